//! Drift: a person's act is never run over unasked; what is scale or our own is no drift.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cutover::embedded::in_process;
use cutover::embedded::vercel::Fate;
use cutover::event::{EventKind, Outcome, Phase, Serving};
use cutover::http::{Answer, Call, Wire, WireError};
use cutover::release::{DriftPolicy, Ending};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::checks::{go, newer};
use crate::support::bench::{APP, Bench, Kind, Runner, TEAM, Users};
use crate::support::wire::InProcess;

/// Does what a person does in a dashboard or with a vendor's client.
async fn person(world: &cutover::embedded::world::World, method: &str, url: &str, body: Value) -> Value {
    let token = if url.contains("vercel") { "Bearer vercelToken" } else { "Bearer fm2_deploy" };
    let bytes = if body.is_null() { bytes::Bytes::new() } else { body.to_string().into() };
    let request = http::Request::builder().method(method).uri(url).header("authorization", token);
    let request = request.header("content-type", "application/json").body(bytes).unwrap();
    let answer = in_process::call(world, request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body();
    assert!(status.is_success(), "{method} {url}: {status} {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap_or_default()
}

/// Rolls a project back by Vercel's dashboard.
async fn roll_back(bench: &Bench, project: &str, deployment: &str) {
    let url = format!("https://api.vercel.com/v9/projects/prj_{project}/rollback/{deployment}?teamId={TEAM}");
    person(&bench.world, "POST", &url, Value::Null).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(bench.vercel.production(project).as_deref(), Some(deployment));
}

const MACHINES: &str = "https://api.machines.dev/v1/apps/api/machines";

/// Changes a variable of one machine by `fly machine update`, or of all.
async fn set_variable(world: &cutover::embedded::world::World, machines: &[String]) {
    for id in machines {
        let machine = person(world, "GET", &format!("{MACHINES}/{id}"), Value::Null).await;
        let mut config = machine["config"].clone();
        config["env"]["MODE"] = "by hand".into();
        person(world, "POST", &format!("{MACHINES}/{id}"), json!({ "config": config })).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
}

fn routable(bench: &Bench) -> Vec<String> {
    bench.fly.machines(APP).into_iter().filter(|machine| machine.routable).map(|machine| machine.id).collect()
}

async fn next(bench: &mut Bench, id: &str, policy: DriftPolicy) -> (Ending, Runner) {
    let mut runner = Runner::new(bench, id, bench.wire());
    runner.context.drift = policy;
    let moves = newer(bench, &runner);
    (go(bench, &runner, moves).await, runner)
}

fn notices(runner: &Runner, wanted: &str) -> Vec<String> {
    let heard = runner.heard.lock().unwrap();
    let told = heard.iter().filter_map(|kind| match kind {
        EventKind::Notice { code, text, .. } if *code == wanted => Some(text.clone()),
        _ => None,
    });
    told.collect()
}

async fn released() -> Bench {
    let bench = Bench::new().await;
    assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished);
    bench
}

#[tokio::test(start_paused = true)]
async fn a_first_release_of_a_live_product_adopts_it_and_says_so() {
    for (kind, told) in [(Kind::Bluegreen, 3), (Kind::First, 0)] {
        let bench = Bench::of(kind).await;
        let runner = Runner::new(&bench, "r-1", bench.wire());
        assert_eq!(bench.run(&runner).await.outcome, Outcome::Finished);
        tokio::task::yield_now().await;
        let adopted = notices(&runner, "release::adopted");
        assert_eq!(adopted.len(), told, "{adopted:?}");
        assert!(adopted.iter().all(|text| text.contains("is what a failure of this one goes back to")), "{adopted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_persons_rollback_stops_the_next_release() {
    let mut bench = released().await;
    let earlier = bench.deployments["front"].clone().unwrap();
    roll_back(&bench, "front", &earlier).await;
    let (writes, records) = (bench.writes().len(), bench.records().len());
    let (ending, _) = next(&mut bench, "r-2", DriftPolicy::Refuse).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::PreflightFailed, Serving::Before));
    let failure = ending.failure.unwrap();
    assert_eq!(failure.target, Some(crate::support::bench::name("front")));
    for part in ["front: ", "it is what before-r-1 left: somebody went back to it by hand", "autoAssignCustomDomains is off and was on"] {
        assert!(failure.text.contains(part), "{part}: {failure}");
    }
    assert!(failure.hints.iter().any(|hint| hint.contains("--adopt")) && failure.hints.iter().any(|hint| hint.contains("--override")));
    assert_eq!((bench.writes().len(), bench.records().len()), (writes, records), "nothing was touched");
}

#[tokio::test(start_paused = true)]
async fn a_pin_alone_stops_the_next_release() {
    let mut bench = released().await;
    let url = format!("https://api.vercel.com/v9/projects/prj_docs?teamId={TEAM}");
    person(&bench.world, "PATCH", &url, json!({ "autoAssignCustomDomains": false })).await;
    let (ending, _) = next(&mut bench, "r-2", DriftPolicy::Refuse).await;
    assert_eq!(ending.outcome, Outcome::PreflightFailed);
    assert!(ending.failure.unwrap().text.contains("docs: autoAssignCustomDomains is off and was on: somebody has pinned what serves"));
}

#[tokio::test(start_paused = true)]
async fn machines_that_a_person_changed_stop_the_next_release() {
    for all in [false, true] {
        let mut bench = released().await;
        let machines = routable(&bench);
        set_variable(&bench.world, if all { &machines } else { &machines[..1] }).await;
        let (ending, _) = next(&mut bench, "r-2", DriftPolicy::Refuse).await;
        assert_eq!(ending.outcome, Outcome::PreflightFailed);
        let failure = ending.failure.unwrap();
        assert!(failure.text.contains("the settings of app are not those of the release"), "{failure}");
        assert!(failure.text.contains("r-1 made it, and somebody has changed it since"), "{failure}");
        assert_eq!(failure.text.contains("for some users"), !all, "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn scale_is_adopted_and_told() {
    let mut bench = released().await;
    let one = routable(&bench).remove(0);
    let config = person(&bench.world, "GET", &format!("{MACHINES}/{one}"), Value::Null).await["config"].clone();
    person(&bench.world, "POST", MACHINES, json!({ "config": config, "region": "lhr" })).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(routable(&bench).len(), 3);
    let (ending, runner) = next(&mut bench, "r-2", DriftPolicy::Refuse).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    let told = notices(&runner, "drift::scale");
    assert!(
        told.iter().any(|text| text.contains("app runs on 1 in fra, 1 in iad, 1 in lhr, and was left on 1 in fra, 1 in iad")),
        "{told:?}"
    );
    assert_eq!(routable(&bench).len(), 3, "the new release has the scale that it found");
}

#[tokio::test(start_paused = true)]
async fn what_is_adopted_is_a_state_to_go_back_to_and_no_drift_any_more() {
    for fails in [true, false] {
        let mut bench = released().await;
        let earlier = bench.deployments["front"].clone().unwrap();
        roll_back(&bench, "front", &earlier).await;
        if fails {
            bench.vercel.next("docs", Fate::FAILS_IN_PRODUCTION);
        }
        let (ending, runner) = next(&mut bench, "r-2", DriftPolicy::Adopt).await;
        assert_eq!(ending.outcome, if fails { Outcome::RolledBack } else { Outcome::Finished }, "{:?}", ending.failure);
        assert_eq!(notices(&runner, "drift::adopted").len(), 1);
        let journal = bench.journal();
        let state = journal.state();
        let adopted = if fails { state.serving() } else { state.previous() }.unwrap();
        assert_eq!(adopted.release.as_str(), "before-r-2");
        assert!(adopted.reason.contains("somebody else changed what serves"), "{}", adopted.reason);
        drop(journal);
        if fails {
            assert_eq!(bench.vercel.production("front"), Some(earlier));
        }
        bench.toml.push_str("OTHER = 'yes'\n");
        let runner = Runner::new(&bench, "r-3", bench.wire());
        let ending = go(&bench, &runner, runner.moves(&bench)).await;
        assert_eq!(ending.outcome, Outcome::Finished, "no drift any more: {:?}", ending.failure);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_overridden_stays_drift_if_the_release_fails() {
    let mut bench = released().await;
    let earlier = bench.deployments["front"].clone().unwrap();
    roll_back(&bench, "front", &earlier).await;
    bench.vercel.next("docs", Fate::FAILS_IN_PRODUCTION);
    let (ending, runner) = next(&mut bench, "r-2", DriftPolicy::Override).await;
    assert_eq!(ending.outcome, Outcome::RolledBack, "{:?}", ending.failure);
    assert_eq!(notices(&runner, "drift::overridden").len(), 1);
    assert_eq!(bench.vercel.production("front"), Some(earlier), "what a person served serves again");
    assert_eq!(bench.vercel.auto_assigns("front"), Some(false), "and is as pinned as it was");
    bench.toml = bench.toml.replace("\n[env]\nMODE = 'newer'\n", "");
    let (ending, _) = next(&mut bench, "r-3", DriftPolicy::Refuse).await;
    assert_eq!(ending.outcome, Outcome::PreflightFailed);
}

#[tokio::test(start_paused = true)]
async fn what_a_release_that_went_back_left_is_no_drift() {
    let mut bench = released().await;
    for (id, fate) in [("r-2", Fate::FAILS_TO_PROMOTE), ("r-3", Fate::FAILS_IN_PRODUCTION)] {
        bench.vercel.next("front", fate);
        let runner = Runner::new(&bench, id, bench.wire());
        let ending = {
            let moves = newer(&mut bench, &runner);
            go(&bench, &runner, moves).await
        };
        assert_eq!(ending.outcome, Outcome::RolledBack, "{:?}", ending.failure);
        bench.toml = bench.toml.replace("\n[env]\nMODE = 'newer'\n", "");
    }
    // One that was stuck, and was then taken back.
    bench.vercel.next("front", Fate::FAILS_IN_PRODUCTION);
    let rule = bench.strike(
        "vercel.roll_back[docs]",
        cutover::embedded::fault::Effect::None,
        cutover::embedded::fault::Rule::status(403, None),
        cutover::embedded::fault::Times::Forever,
    );
    let (ending, _) = next(&mut bench, "r-4", DriftPolicy::Refuse).await;
    assert_eq!(ending.outcome, Outcome::Stuck);
    bench.world.ground().faults.unset(rule);
    bench.recover().await;
    bench.toml = bench.toml.replace("\n[env]\nMODE = 'newer'\n", "");
    let (ending, _) = next(&mut bench, "r-5", DriftPolicy::Refuse).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
}

/// A wire on which somebody acts, once, right before the nth call that creates something leaves.
struct Meddling {
    world: cutover::embedded::world::World,
    inner: InProcess,
    done: AtomicBool,
    at: &'static str,
    /// The runner dies at this call: neither it nor any later one is answered.
    dies_at: Option<&'static str>,
    died: AtomicBool,
    project: Option<(&'static str, String)>,
    machines: Vec<String>,
}

impl std::fmt::Debug for Meddling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddling")
    }
}

impl Wire for Meddling {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            if call.operation == self.at && !self.done.swap(true, Ordering::SeqCst) {
                if let Some((project, deployment)) = &self.project {
                    let url = format!("https://api.vercel.com/v9/projects/prj_{project}/rollback/{deployment}?teamId={TEAM}");
                    person(&self.world, "POST", &url, Value::Null).await;
                }
                set_variable(&self.world, &self.machines).await;
            }
            if self.dies_at == Some(call.operation) || self.died.load(Ordering::SeqCst) {
                self.died.store(true, Ordering::SeqCst);
                return std::future::pending().await;
            }
            self.inner.send(call).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_person_does_while_a_release_prepares_ends_it_and_stays() {
    for by_machines in [false, true] {
        let mut bench = released().await;
        let earlier = bench.deployments["front"].clone().unwrap();
        let wire = Arc::new(Meddling {
            world: bench.world.clone(),
            inner: InProcess::new(bench.world.clone()),
            done: AtomicBool::new(false),
            at: "create_deployment",
            dies_at: None,
            died: AtomicBool::new(false),
            project: (!by_machines).then(|| ("front", earlier.clone())),
            machines: if by_machines { routable(&bench) } else { Vec::new() },
        });
        let served = routable(&bench);
        let runner = Runner::new(&bench, "r-2", wire.clone());
        let moves = newer(&mut bench, &runner);
        let ending = go(&bench, &runner, moves).await;
        assert!(wire.done.load(Ordering::SeqCst), "nobody meddled");
        assert_eq!(ending.outcome, Outcome::RolledBack, "{:?}", ending.failure);
        let failure = ending.failure.unwrap();
        assert_eq!(failure.phase, Phase::CutOver);
        assert!(failure.text.contains("somebody else changed what") && failure.text.contains("no traffic has moved"), "{failure}");
        assert_eq!(bench.records()[6..], ["begun", "prepared", "rolling_back", "rolled_back"]);
        if by_machines {
            assert_eq!(routable(&bench), served);
            let machine = person(&bench.world, "GET", &format!("{MACHINES}/{}", served[0]), Value::Null).await;
            assert_eq!(machine["config"]["env"]["MODE"], "by hand", "a person's act stays");
        } else {
            assert_eq!(bench.vercel.production("front"), Some(earlier), "a person's act stays");
            assert_eq!(bench.vercel.auto_assigns("front"), Some(false), "and stays pinned");
        }
        assert_eq!(bench.users()["docs"], Users::After, "r-1 serves on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_persons_act_survives_the_death_of_a_runner_that_was_giving_way_to_it() {
    let mut bench = released().await;
    let earlier = bench.deployments["front"].clone().unwrap();
    let wire = Arc::new(Meddling {
        world: bench.world.clone(),
        inner: InProcess::new(bench.world.clone()),
        done: AtomicBool::new(false),
        at: "create_deployment",
        dies_at: Some("delete_deployment"),
        died: AtomicBool::new(false),
        project: Some(("front", earlier.clone())),
        machines: Vec::new(),
    });
    let runner = Runner::new(&bench, "r-2", wire.clone());
    let moves = newer(&mut bench, &runner);
    let death = async {
        while !wire.died.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ending = go(&bench, &runner, moves) => panic!("the runner did not die: {:?}", ending.failure),
        () = death => {}
    }
    assert_eq!(bench.records().last(), Some(&"rolling_back"));
    bench.recover().await;
    assert_eq!(bench.records().last(), Some(&"rolled_back"));
    assert_eq!(bench.vercel.production("front"), Some(earlier), "a person's act stays");
    assert_eq!(bench.vercel.auto_assigns("front"), Some(false), "and stays pinned");
}

/// Releases a newer content, during which somebody pins what the project `docs` serves when `phase` begins; the run is cancelled there, or not.
async fn pinned_in(bench: &mut Bench, id: &str, phase: Phase, cancelled: bool) -> (Ending, Runner) {
    let vercel = bench.vercel.clone();
    let runner = Runner::hearing(bench, id, bench.wire(), move |kind| {
        let now = matches!(kind, EventKind::PhaseStarted { phase: seen } if *seen == phase);
        assert!(!now || vercel.person_pins("docs"));
        now && cancelled
    });
    let moves = newer(bench, &runner);
    (go(bench, &runner, moves).await, runner)
}

#[tokio::test(start_paused = true)]
async fn a_pin_set_during_a_release_stays_and_is_told() {
    let mut bench = released().await;
    assert_eq!(bench.vercel.auto_assigns("docs"), Some(true));
    let (ending, runner) = pinned_in(&mut bench, "r-2", Phase::Watch, false).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    tokio::task::yield_now().await;
    let told = notices(&runner, "drift::setting");
    assert!(told.len() == 1 && told[0].contains("docs: autoAssignCustomDomains is false and was true"), "{told:?}");
    assert_eq!((bench.vercel.auto_assigns("docs"), bench.vercel.auto_assigns("front")), (Some(false), Some(true)));
}

#[tokio::test(start_paused = true)]
async fn a_pin_set_during_a_release_that_goes_back_stays_and_what_the_release_changed_does_not() {
    let mut bench = released().await;
    let (ending, runner) = pinned_in(&mut bench, "r-2", Phase::Watch, true).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Cancelled, Serving::Before), "{:?}", ending.failure);
    tokio::task::yield_now().await;
    assert_eq!(notices(&runner, "drift::setting").len(), 1);
    assert_eq!((bench.vercel.auto_assigns("docs"), bench.vercel.auto_assigns("front")), (Some(false), Some(true)));
}

#[tokio::test(start_paused = true)]
async fn a_pin_set_before_traffic_moves_ends_the_release_and_stays() {
    for phase in [Phase::Prepare, Phase::Verify] {
        let mut bench = released().await;
        let (ending, _) = pinned_in(&mut bench, "r-2", phase, false).await;
        assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before), "{phase:?}: {:?}", ending.failure);
        let failure = ending.failure.unwrap();
        assert!(failure.text.contains("autoAssignCustomDomains is off and was on: somebody has pinned what serves"), "{failure}");
        assert_eq!(bench.vercel.auto_assigns("docs"), Some(false), "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_set_before_a_recovery_stays() {
    let mut bench = released().await;
    let before = [bench.vercel.production("front"), bench.vercel.production("docs")];
    let runner = Runner::new(&bench, "r-2", bench.wire());
    let heard = runner.heard.clone();
    let watching = async {
        while !heard.lock().unwrap().iter().any(|kind| matches!(kind, EventKind::PhaseStarted { phase: Phase::Watch })) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let moves = newer(&mut bench, &runner);
    tokio::select! {
        biased;
        () = watching => {}
        ending = go(&bench, &runner, moves) => panic!("{ending:?}"),
    }
    assert!(bench.vercel.person_pins("docs"));
    bench.recover().await;
    assert_eq!([bench.vercel.production("front"), bench.vercel.production("docs")], before);
    assert_eq!((bench.vercel.auto_assigns("docs"), bench.vercel.auto_assigns("front")), (Some(false), Some(true)));
}
