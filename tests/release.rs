//! The release: one transaction over a Fly app and two Vercel projects, in process and in virtual time, with failures at every boundary.
//!
//! What serves is read from the embedded platforms' own state, never from the release's word alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cutover::embedded::fault::{Answer as Told, Effect, Rule, Times};
use cutover::embedded::fly::{Behaviour, Which};
use cutover::embedded::vercel::Fate;
use cutover::event::{EventKind, Outcome, Phase, Serving, Side};
use cutover::http::{Answer, Call, Wire, WireError};
use cutover::platform::{Artifact, Target};
use cutover::release::journal::Stage;
use cutover::release::plan::Shipment;
use cutover::release::{Plan, Recovered, Release};
use cutover::shutdown::Level;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::support::wire::InProcess;

use crate::support::bench::*;

/// A wire that dies with its runner at the nth call that changes something: the call's effect may still happen, its answer never comes.
#[derive(Debug)]
pub(crate) struct Mortal {
    pub(crate) inner: InProcess,
    pub(crate) left: AtomicUsize,
    pub(crate) effect: bool,
    pub(crate) died: Arc<Notify>,
    pub(crate) after_death: AtomicUsize,
}

impl Wire for Mortal {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            if self.left.load(Ordering::SeqCst) == 0 {
                self.after_death.fetch_add(1, Ordering::SeqCst);
                return std::future::pending().await;
            }
            if !call.changes_nothing() && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                let sent = if self.effect { Some(self.inner.send(call).await) } else { None };
                drop(sent);
                self.died.notify_one();
                return std::future::pending().await;
            }
            self.inner.send(call).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_moves_every_target_and_leaves_nothing_of_the_one_before() {
    let bench = Bench::new().await;
    bench.settled_on(Users::Before, "the beginning");
    let runner = Runner::new(&bench, "r-1", bench.wire());
    let ending = bench.run(&runner).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Finished, Serving::After), "{:?}", ending.failure);
    bench.settled_on(Users::After, "success");
    assert!(ending.targets.iter().all(|target| target.serves == Side::After && target.proven_from_outside), "{:?}", ending.targets);
    assert!(ending.skew_ms.is_some());
    assert_eq!(bench.records(), ["begun", "prepared", "cutting", "committed", "finishing", "finished"]);
    assert_eq!(runner.phases(), [Phase::Prepare, Phase::Verify, Phase::CutOver, Phase::Watch, Phase::Commit, Phase::Finish]);
}

#[tokio::test(start_paused = true)]
async fn what_others_depend_on_serves_first() {
    let bench = Bench::new().await;
    bench.release("r-1").await;
    let changes = bench.world.ground().tape.entries();
    let first = |operation: &str, target: &str| {
        let found = changes.iter().find(|entry| entry.operation == operation && entry.boundary.contains(target));
        found.unwrap_or_else(|| panic!("{operation} {target}: {:?}", bench.writes())).sequence
    };
    let last_cordon = changes.iter().rev().find(|entry| entry.operation == "cordon_machine").unwrap().sequence;
    assert!(last_cordon < first("promote", "front"), "the app serves whole before the front end moves");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_any_target_in_any_phase_goes_back_everywhere() {
    for kind in KINDS {
        for target in [APP, "front", "docs"] {
            for phase in [Phase::Prepare, Phase::Verify, Phase::CutOver, Phase::Watch] {
                let bench = Bench::of(kind).await;
                let told = format!("{target}:{phase:?} {kind:?}");
                let sour =
                    Arc::new(Sour { inner: InProcess::new(bench.world.clone()), target: target.to_owned(), now: AtomicBool::default() });
                if phase != Phase::Watch {
                    break_target(&bench, target, phase, kind);
                }
                let turning = sour.clone();
                let runner = Runner::hearing(&bench, "r-1", sour, move |kind| {
                    if phase == Phase::Watch && matches!(kind, EventKind::PhaseStarted { phase: Phase::Watch }) {
                        turning.now.store(true, Ordering::SeqCst);
                    }
                    false
                });
                let ending = bench.run(&runner).await;
                assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before), "{told}: {:?}", ending.failure);
                let failure = ending.failure.unwrap();
                // What is replaced in place is judged as it cuts over; Fly's own checks are asked of what is prepared before prepare ends.
                let seen_in = match (target, phase, kind) {
                    (APP, Phase::Prepare | Phase::Verify, Kind::Rolling) => Phase::CutOver,
                    (APP, Phase::Verify, _) => Phase::Prepare,
                    _ => phase,
                };
                assert_eq!((failure.target, failure.phase), (Some(name(target)), seen_in), "{told}: {}", failure.text);
                bench.settled_on(Users::Before, &told);
                assert_eq!(bench.records().last(), Some(&"rolled_back"), "{told}");
            }
        }
    }
}

/// A wire on which a target's public address answers 500 from some moment on.
#[derive(Debug)]
struct Sour {
    inner: InProcess,
    target: String,
    now: AtomicBool,
}

impl Wire for Sour {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        let public = call
            .url
            .host_str()
            .is_some_and(|host| host == format!("{}.fly.dev", self.target) || host == format!("{}.vercel.app", self.target));
        let broken = public && self.now.load(Ordering::SeqCst);
        let answer = Answer { status: http::StatusCode::INTERNAL_SERVER_ERROR, headers: http::HeaderMap::new(), body: "sour".into() };
        Box::pin(async move { if broken { Ok(answer) } else { self.inner.send(call).await } })
    }
}

fn break_target(bench: &Bench, target: &str, phase: Phase, kind: Kind) {
    let behave = |behaviour| bench.fly.behave(APP, Which::FromNowOn, behaviour);
    match (target, phase) {
        (APP, Phase::Prepare) => behave(Behaviour::CrashesAtStart(1)),
        (APP, Phase::Verify) => behave(Behaviour::NeverHealthy),
        (APP, Phase::CutOver) if kind == Kind::Rolling => behave(Behaviour::CrashesAtStart(1)),
        (APP, Phase::CutOver) => {
            bench.strike("fly.uncordon_machine[api]", Effect::None, Rule::status(422, None), Times::Forever);
        }
        (APP, _) => panic!("a machine is not told how to fail in {phase:?}"),
        (project, phase) => {
            if kind == Kind::First {
                bench.vercel.next(project, Fate::default());
            }
            let fate = match phase {
                Phase::Prepare => Fate::FAILS_TO_BUILD,
                Phase::Verify => Fate::FAILS_CHECKS,
                Phase::CutOver => Fate::FAILS_TO_PROMOTE,
                _ => Fate::FAILS_IN_PRODUCTION,
            };
            bench.vercel.next(project, fate);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_release_serves_everywhere() {
    let bench = Bench::of(Kind::First).await;
    let ending = bench.release("r-1").await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    bench.settled_on(Users::After, "first");
}

#[tokio::test(start_paused = true)]
async fn the_same_again_is_carried_without_a_single_write() {
    let bench = Bench::new().await;
    bench.release("r-1").await;
    let (writes, records) = (bench.writes().len(), bench.records().len());
    let ending = bench.release("r-2").await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Carried, Serving::After));
    assert_eq!((bench.writes().len(), bench.records().len()), (writes, records));
}

#[tokio::test(start_paused = true)]
async fn what_is_carried_stays_while_the_others_go_back() {
    let bench = Bench::new().await;
    bench.release("r-1").await;
    let docs = bench.vercel.production("docs");
    std::fs::write(bench.sites.path().join("front/.vercel/output/static/index.html"), "newer").unwrap();
    bench.vercel.next("front", Fate::FAILS_TO_PROMOTE);
    let front = bench.vercel.production("front");
    let runner = Runner::new(&bench, "r-2", bench.wire());
    let mut moves = runner.moves(&bench);
    for each in &mut moves {
        if let Shipment::New(Artifact::Directory { digest, .. }) = &mut each.shipment
            && each.target.name().as_str() == "front"
        {
            *digest = site_digest("front", "4");
        }
    }
    let plan = Plan::make(&runner.context, moves).await.unwrap();
    assert_eq!(plan.moving().count(), 1);
    let ending = Release::new(runner.context.clone(), &mut bench.journal(), plan).run().await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before), "{:?}", ending.failure);
    assert_eq!((bench.vercel.production("front"), bench.vercel.production("docs")), (front, docs));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_spread_for_too_long_goes_back() {
    let bench = Bench::new().await;
    let mut runner = Runner::new(&bench, "r-1", bench.wire());
    runner.context.timing.max_skew = Some(Duration::from_millis(100));
    let ending = bench.run(&runner).await;
    assert_eq!(ending.outcome, Outcome::RolledBack);
    assert!(ending.failure.unwrap().text.contains("the budget is 100ms"));
    bench.settled_on(Users::Before, "max_skew");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_cancelled_in_prepare_leaves_no_record_in_flys_list() {
    for kind in KINDS {
        let bench = Bench::of(kind).await;
        let prepare = |kind: &EventKind| matches!(kind, EventKind::PhaseStarted { phase: Phase::Prepare });
        let runner = Runner::hearing(&bench, "r-1", bench.wire(), prepare);
        let ending = bench.run(&runner).await;
        assert_eq!(ending.outcome, Outcome::Cancelled, "{kind:?}: {:?}", ending.failure);
        let writes = bench.writes();
        assert!(!writes.iter().any(|write| write.contains("create_release") || write.contains("create_machine")), "{kind:?}: {writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn on_the_way_back_every_target_serves_before_anything_is_removed() {
    let bench = Bench::new().await;
    let runner = Runner::hearing(&bench, "r-1", bench.wire(), |kind| matches!(kind, EventKind::PhaseStarted { phase: Phase::Watch }));
    let ending = bench.run(&runner).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Cancelled, Serving::Before), "{:?}", ending.failure);
    let writes = bench.writes();
    let places = |part: &str| writes.iter().enumerate().filter(|(_, write)| write.contains(part)).map(|(at, _)| at).collect::<Vec<_>>();
    let moves = [places(".roll_back["), places(".uncordon_machine[")].concat();
    let removals = [places(".delete_deployment["), places(".destroy_machine["), places(".stop_machine[")].concat();
    assert!(moves.len() >= 3 && !removals.is_empty(), "{writes:#?}");
    assert!(moves.iter().max() < removals.iter().min(), "{writes:#?}");
    // What does not need each other goes together: no site waits for the end of the other one's job.
    let all = bench.world.ground().tape.entries();
    let asked: Vec<u64> = all.iter().filter(|entry| entry.boundary.contains(".roll_back[")).map(|entry| entry.at_ms).collect();
    assert!(asked.len() == 2 && asked[0].abs_diff(asked[1]) < 200, "{asked:?}: {writes:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_release_ends_where_it_began() {
    for phase in [Phase::Prepare, Phase::Verify, Phase::CutOver, Phase::Watch] {
        let bench = Bench::new().await;
        let runner = Runner::hearing(
            &bench,
            "r-1",
            bench.wire(),
            move |kind| matches!(kind, EventKind::PhaseStarted { phase: seen } if *seen == phase),
        );
        let began = tokio::time::Instant::now();
        let ending = bench.run(&runner).await;
        let told = format!("{phase:?}: {:?}", ending.failure);
        assert_eq!((ending.outcome, ending.serving), (Outcome::Cancelled, Serving::Before), "{told}");
        bench.settled_on(Users::Before, &told);
        assert!(began.elapsed() < Duration::from_secs(30), "{told} took {:?}", began.elapsed());
    }
    for target in [APP, "front", "docs"] {
        for phase in [Phase::Prepare, Phase::Verify, Phase::CutOver, Phase::Watch] {
            let bench = Bench::new().await;
            let wanted = name(target);
            let runner = Runner::hearing(
                &bench,
                "r-1",
                bench.wire(),
                move |kind| matches!(kind, EventKind::TargetFinished { phase: seen, target, .. } if *seen == phase && *target == wanted),
            );
            let ending = bench.run(&runner).await;
            let told = format!("{target}:{phase:?}: {:?}", ending.failure);
            assert_eq!(ending.outcome, Outcome::Cancelled, "{told}");
            bench.settled_on(Users::Before, &told);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_after_the_commit_finishes() {
    let bench = Bench::new().await;
    let runner = Runner::hearing(&bench, "r-1", bench.wire(), |kind| matches!(kind, EventKind::PhaseStarted { phase: Phase::Finish }));
    assert_eq!(bench.run(&runner).await.outcome, Outcome::Finished);
    bench.settled_on(Users::After, "cancelled while finishing");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_begins_nothing() {
    let bench = Bench::new().await;
    let runner = Runner::new(&bench, "r-1", bench.wire());
    let plan = Plan::make(&runner.context, runner.moves(&bench)).await.unwrap();
    runner.context.shutdown.raise(Level::Drain);
    let ending = Release::new(runner.context.clone(), &mut bench.journal(), plan).run().await;
    assert_eq!((ending.outcome, bench.writes().len(), bench.records().len()), (Outcome::Cancelled, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_death_of_the_runner_at_any_write_leaves_one_side_after_recovery() {
    for kind in KINDS {
        die_at_every_write(kind).await;
    }
}

async fn die_at_every_write(kind: Kind) {
    let fault_free = Bench::of(kind).await;
    assert_eq!(fault_free.release("r-1").await.outcome, Outcome::Finished);
    // What the wire takes for a change: everything but GET and HEAD.
    let entries = fault_free.world.ground().tape.entries();
    let writes: Vec<String> =
        entries.into_iter().filter(|entry| entry.method != "GET" && entry.method != "HEAD").map(|entry| entry.boundary).collect();
    assert!(writes.len() > 15, "{writes:?}");
    let mut sides = BTreeSet::new();
    for effect in [false, true] {
        for (nth, boundary) in writes.iter().enumerate() {
            let bench = Bench::of(kind).await;
            let died = Arc::new(Notify::new());
            let wire = Arc::new(Mortal {
                inner: InProcess::new(bench.world.clone()),
                left: AtomicUsize::new(nth + 1),
                effect,
                died: died.clone(),
                after_death: AtomicUsize::new(0),
            });
            let runner = Runner::new(&bench, "r-1", wire.clone());
            let ended = tokio::select! {
                biased;
                () = died.notified() => None,
                ending = bench.run(&runner) => Some(ending.outcome),
            };
            let told = format!("{kind:?}: death at write {nth} (about {boundary}), effect {effect}");
            assert_eq!(ended, None, "{told}: the release has fewer writes than before");
            drop(runner);
            let asked = wire.after_death.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(wire.after_death.load(Ordering::SeqCst), asked, "{told}: something of the dead runner still works");
            let committed = bench.records().contains(&"committed");
            match (bench.recover().await, committed) {
                (Recovered::Finished(_), true) | (Recovered::RolledBack(_), false) => {}
                (other, _) => panic!("{told}: {other:?} with {:?}", bench.records()),
            }
            let side = if committed { Users::After } else { Users::Before };
            bench.settled_on(side, &told);
            assert!(matches!(bench.recover().await, Recovered::Nothing), "{told}");
            sides.insert(side);
        }
    }
    assert_eq!(sides.len(), 2, "deaths before and after the commit were tried");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_or_a_refusal_at_any_write_never_leaves_two_sides() {
    for kind in KINDS {
        strike_every_write(kind).await;
    }
}

async fn strike_every_write(kind: Kind) {
    let fault_free = Bench::of(kind).await;
    assert_eq!(fault_free.release("r-1").await.outcome, Outcome::Finished);
    let mut outcomes = BTreeMap::new();
    for boundary in fault_free.writes() {
        let faults = [
            ("lost after the effect", Effect::Once, Told::Lost),
            ("lost before the effect", Effect::None, Told::Lost),
            ("500 without effect", Effect::None, Rule::status(500, None)),
            ("500 after the effect", Effect::Once, Rule::status(500, None)),
        ];
        for (what, effect, answer) in faults {
            let bench = Bench::of(kind).await;
            let rule = bench.strike(&boundary, effect, answer, Times::Once);
            let ending = bench.release("r-1").await;
            let told = format!("{kind:?}: {boundary} {what}: {:?}", ending.failure);
            assert_eq!(bench.world.ground().faults.fired(rule), 1, "{told}: never struck");
            match ending.outcome {
                Outcome::Finished if bench.journal().state().open.is_some() => {
                    // The release serves; what could not be removed is removed by whoever comes next.
                    assert!(matches!(bench.recover().await, Recovered::Finished(_)), "{told}");
                    bench.settled_on(Users::After, &told);
                }
                Outcome::Finished => bench.settled_on(Users::After, &told),
                Outcome::RolledBack => bench.settled_on(Users::Before, &told),
                other => panic!("{told}: {other:?}"),
            }
            *outcomes.entry(ending.outcome.as_str()).or_insert(0) += 1;
        }
    }
    assert!(outcomes["finished"] > 0, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_will_not_go_back_is_stuck_and_recovered_later() {
    let bench = Bench::new().await;
    bench.vercel.next("front", Fate::FAILS_IN_PRODUCTION);
    let rule = bench.strike("vercel.roll_back[docs]", Effect::None, Rule::status(403, None), Times::Forever);
    let ending = bench.release("r-1").await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Stuck, Serving::Mixed), "{:?}", bench.writes());
    assert_eq!(bench.users(), BTreeMap::from([(APP, Users::Before), ("front", Users::Before), ("docs", Users::After)]));
    assert!(ending.commands.iter().any(|command| command == "cutover recover production"), "{:?}", ending.commands);
    let open = bench.journal().state().open.clone().unwrap();
    assert_eq!((open.stuck, open.stage), (true, Stage::RollingBack));
    bench.world.ground().faults.unset(rule);
    assert!(matches!(bench.recover().await, Recovered::RolledBack(_)));
    bench.settled_on(Users::Before, "after the refusal has gone");
}

#[tokio::test(start_paused = true)]
async fn recovery_brings_back_a_setting_that_was_off() {
    let bench = Bench::new().await;
    for fails in [true, false] {
        let patch = serde_json::json!({ "autoAssignCustomDomains": false }).to_string();
        let request = http::Request::patch(format!("https://api.vercel.com/v9/projects/prj_front?teamId={TEAM}"))
            .header("authorization", "Bearer vercelToken")
            .header("content-type", "application/json")
            .body(patch.into())
            .unwrap();
        assert_eq!(cutover::embedded::in_process::call(&bench.world, request).await.unwrap().status(), 200);
        if fails {
            bench.vercel.next("docs", Fate::FAILS_IN_PRODUCTION);
        }
        let ending = bench.release(if fails { "r-1" } else { "r-2" }).await;
        assert_eq!(ending.outcome, if fails { Outcome::RolledBack } else { Outcome::Finished });
        assert_eq!(bench.vercel.auto_assigns("front"), Some(false), "a person's setting is put back on every ending");
    }
}

#[tokio::test(start_paused = true)]
async fn users_lose_no_request_through_a_release_and_through_one_that_goes_back() {
    for fails in [false, true] {
        let bench = Bench::new().await;
        if fails {
            bench.vercel.next("front", Fate::FAILS_TO_PROMOTE);
        }
        let traffic = bench.world.ground().traffic.clone();
        let hosts = ["api.fly.dev", "front.vercel.app", "docs.vercel.app"];
        let asking = traffic.clone();
        let client = tokio::spawn(async move {
            loop {
                for host in hosts {
                    let request = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
                    asking.ask_any(host, request).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let ending = bench.release("r-1").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.abort();
        assert_eq!(ending.outcome, if fails { Outcome::RolledBack } else { Outcome::Finished }, "{:?}", ending.failure);
        for host in hosts {
            let tally = traffic.tally(host);
            assert!(tally.asked > 500, "{host}: {tally:?}");
            assert_eq!(tally.lost, 0, "{host}: {tally:?}");
        }
        let app = traffic.tally("api.fly.dev").by_backend;
        assert_eq!(app.len(), 4, "two old machines and two new ones were asked: {app:?}");
    }
}
