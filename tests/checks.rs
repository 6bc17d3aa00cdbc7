//! Checks that can be trusted: what serves is asked first, and a check that fails on both sides holds a release instead of condemning it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cutover::embedded::fly::Scripted;
use cutover::event::{EventKind, Outcome, Phase, Serving, Verdict};
use cutover::http::{Answer, Call, Platform, Wire, WireError};
use cutover::manifest::Check;
use cutover::platform::{Artifact, Target};
use cutover::release::plan::Shipment;
use cutover::release::{Ending, Move, Plan, Release};
use cutover::shutdown::{Level, Shutdown};
use futures_util::future::BoxFuture;

use crate::support::bench::{APP, Bench, Runner, Users, get, site_digest};
use crate::support::wire::InProcess;

/// A wire on which public requests are answered as a test wants, once it is told to.
pub(crate) struct Scripting {
    inner: InProcess,
    pub(crate) on: AtomicBool,
    script: Box<dyn Fn(&Call) -> Option<(u16, String)> + Send + Sync>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Scripting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripting")
    }
}

impl Scripting {
    pub(crate) fn new(bench: &Bench, script: impl Fn(&Call) -> Option<(u16, String)> + Send + Sync + 'static) -> Arc<Self> {
        let inner = InProcess::new(bench.world.clone());
        Arc::new(Self { inner, on: AtomicBool::new(true), script: Box::new(script), asked: Mutex::default() })
    }
}

impl Wire for Scripting {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        let public = call.platform == Platform::Public;
        if public {
            self.asked.lock().unwrap().push(format!("{} {}", call.url.host_str().unwrap(), call.url.path()));
        }
        let scripted = if public && self.on.load(Ordering::SeqCst) { (self.script)(call) } else { None };
        Box::pin(async move {
            match scripted {
                Some((status, body)) => {
                    let status = http::StatusCode::from_u16(status).unwrap();
                    Ok(Answer { status, headers: http::HeaderMap::new(), body: body.into() })
                }
                None => self.inner.send(call).await,
            }
        })
    }
}

/// Moves to a newer version of everything: other files on the sites, another setting of the app.
pub(crate) fn newer(bench: &mut Bench, runner: &Runner) -> Vec<Move> {
    bench.toml.push_str("\n[env]\nMODE = 'newer'\n");
    for site in ["front", "docs"] {
        std::fs::write(bench.sites.path().join(site).join(".vercel/output/static/index.html"), format!("newer {site}")).unwrap();
    }
    let mut moves = runner.moves(bench);
    for each in &mut moves {
        if let Shipment::New(Artifact::Directory { digest, .. }) = &mut each.shipment {
            *digest = site_digest(each.target.name().as_str(), "4");
        }
    }
    moves
}

/// Adds a check to one target's move.
fn with(mut moves: Vec<Move>, target: &str, check: &Check) -> Vec<Move> {
    moves.iter_mut().filter(|each| each.target.name().as_str() == target).for_each(|each| each.checks.push(check.clone()));
    moves
}

pub(crate) async fn go(bench: &Bench, runner: &Runner, moves: Vec<Move>) -> Ending {
    let plan = Plan::make(&runner.context, moves).await.unwrap();
    let ending = Release::new(runner.context.clone(), &mut bench.journal(), plan).run().await;
    // The hearer of events is a task of its own.
    tokio::task::yield_now().await;
    ending
}

/// Verdicts that were told, by target, check and phase; passes are left out.
fn verdicts(runner: &Runner) -> Vec<(String, Phase, Verdict, String)> {
    let heard = runner.heard.lock().unwrap();
    let told = heard.iter().filter_map(|kind| match kind {
        EventKind::Checked { target, check, phase, verdict, detail } if *verdict != Verdict::Pass => {
            Some((format!("{target} {check}"), *phase, *verdict, detail.clone()))
        }
        _ => None,
    });
    told.collect()
}

fn passing_detail(runner: &Runner, wanted: &str, phase: Phase) -> String {
    let heard = runner.heard.lock().unwrap();
    let found = heard.iter().find_map(|kind| match kind {
        EventKind::Checked { check, phase: seen, verdict: Verdict::Pass, detail, .. } if check == wanted && *seen == phase => {
            Some(detail.clone())
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{wanted} passed in no {phase:?}"))
}

/// A release that serves and was judged by `GET /deep` of the front end, and a bench on which the next one is made.
async fn serving() -> (Bench, BTreeMap<&'static str, Option<String>>) {
    let bench = Bench::new().await;
    let runner = Runner::new(&bench, "r-1", Scripting::new(&bench, deep(200)));
    let ending = go(&bench, &runner, with(runner.moves(&bench), "front", &get("/deep", None))).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert!(!runner.phases().contains(&Phase::Observe), "a first release has no baseline");
    let serves = ["front", "docs"].map(|project| (project, bench.vercel.production(project))).into();
    (bench, serves)
}

/// Answers `/deep`, which the sites do not have, with this status everywhere.
fn deep(status: u16) -> impl Fn(&Call) -> Option<(u16, String)> + Send + Sync + 'static {
    move |call| (call.url.path() == "/deep").then(|| (status, "deep".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_on_both_sides_holds_the_release() {
    let (mut bench, serves) = serving().await;
    let machines = bench.fly.machines(APP).len();
    let wire = Scripting::new(&bench, deep(500));
    let runner = Runner::new(&bench, "r-2", wire.clone());
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Held, Serving::Before), "{:?}", ending.failure);
    let failure = ending.failure.unwrap();
    assert!(failure.text.contains("fails on what served before as well") && failure.text.contains("no traffic has moved"), "{failure}");
    assert_eq!(failure.text.matches("status 500").count(), 2, "both details are told: {failure}");
    assert!(!failure.hints.is_empty());
    let told: Vec<_> = verdicts(&runner).into_iter().map(|(check, phase, verdict, _)| (check, phase, verdict)).collect();
    let check = "front GET /deep".to_owned();
    assert_eq!(told, [(check.clone(), Phase::Observe, Verdict::Fail), (check, Phase::Verify, Verdict::Suspect)]);
    // What was prepared is taken back, and nothing was cut over.
    assert_eq!(
        ["front", "docs"].map(|project| (project, bench.vercel.production(project))),
        serves.into_iter().rev().collect::<Vec<_>>()[..]
    );
    assert_eq!(bench.fly.machines(APP).len(), machines);
    assert_eq!(bench.records()[6..], ["begun", "prepared", "rolling_back", "rolled_back"]);
    // The baseline came before anything was made: the first public requests are those to what serves, at every edge.
    let asked = wire.asked.lock().unwrap().clone();
    assert!(asked.iter().position(|url| url == "front.vercel.app /deep") < asked.iter().position(|url| url.contains("-shop.vercel.app")));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_the_new_release_mends_passes_and_says_so() {
    let (mut bench, _) = serving().await;
    let old = |call: &Call| call.url.path() == "/deep" && call.url.host_str() == Some("front.vercel.app");
    let wire = Scripting::new(&bench, move |call| match call.url.path() {
        "/deep" => Some((if old(call) { 500 } else { 200 }, "deep".to_owned())),
        _ => None,
    });
    let turning = wire.clone();
    let runner = Runner::hearing(&bench, "r-2", wire, move |kind| {
        if matches!(kind, EventKind::PhaseStarted { phase: Phase::CutOver }) {
            turning.on.store(false, Ordering::SeqCst);
        }
        false
    });
    std::fs::write(bench.sites.path().join("front/.vercel/output/static/deep"), "deep").unwrap();
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    for phase in [Phase::Verify, Phase::Watch] {
        let detail = passing_detail(&runner, "GET /deep", phase);
        assert!(detail.contains("it failed on what served before: this release mends it"), "{phase:?}: {detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_or_changed_check_condemns_the_release_alone() {
    let (mut bench, _) = serving().await;
    let mut changed = get("/deep", None);
    changed.passes = 1;
    let runner = Runner::new(&bench, "r-2", Scripting::new(&bench, deep(500)));
    let moves = with(newer(&mut bench, &runner), "front", &changed);
    let ending = go(&bench, &runner, moves).await;
    assert_eq!(ending.outcome, Outcome::RolledBack);
    let told: Vec<_> = verdicts(&runner).into_iter().map(|(_, phase, verdict, _)| (phase, verdict)).collect();
    assert_eq!(told, [(Phase::Verify, Verdict::Fail)]);
}

#[tokio::test(start_paused = true)]
async fn what_only_the_new_release_fails_condemns_it_whatever_is_suspect_besides() {
    for site in ["front", "docs"] {
        let (mut bench, _) = serving().await;
        bench.vercel.next(site, cutover::embedded::vercel::Fate::FAILS_CHECKS);
        let runner = Runner::new(&bench, "r-2", Scripting::new(&bench, deep(500)));
        // The suspect check is asked first.
        let mut moves = newer(&mut bench, &runner);
        moves.iter_mut().filter(|each| each.target.name().as_str() == "front").for_each(|each| each.checks.insert(0, get("/deep", None)));
        let ending = go(&bench, &runner, moves).await;
        assert_eq!(ending.outcome, Outcome::RolledBack, "{site}: {:?}", ending.failure);
        let failure = ending.failure.unwrap();
        assert!(failure.text.starts_with("the check GET / failed"), "{site}: {failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspect_check_after_traffic_moved_takes_the_release_back_and_says_so() {
    let (mut bench, _) = serving().await;
    // Only what serves fails: the prepared deployment's own address answers well.
    let wire = Scripting::new(&bench, |call| match (call.url.path(), call.url.host_str()) {
        ("/deep", Some("front.vercel.app")) => Some((500, "deep".to_owned())),
        ("/deep", _) => Some((200, "deep".to_owned())),
        _ => None,
    });
    let runner = Runner::new(&bench, "r-2", wire);
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before));
    let failure = ending.failure.unwrap();
    assert_eq!(failure.phase, Phase::Watch);
    assert!(failure.text.contains("traffic had moved"), "{failure}");
    assert_eq!(verdicts(&runner).last().unwrap().2, Verdict::Suspect);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fly_asks_for_us_is_held_or_condemned_by_the_same_rule() {
    for (before, outcome) in [(503, Outcome::Held), (200, Outcome::RolledBack)] {
        let mut bench = Bench::new().await;
        let script = |bench: &Bench, status: u16| {
            bench.fly.switch(|switches| {
                switches.scripted.insert((APP.to_owned(), "/deep".to_owned()), Scripted { status, headers: BTreeMap::new() });
            });
        };
        script(&bench, 200);
        let runner = Runner::new(&bench, "r-1", bench.wire());
        let ending = go(&bench, &runner, with(runner.moves(&bench), APP, &get("/deep", None))).await;
        assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
        script(&bench, before);
        let (fly, failing) = (bench.fly.clone(), AtomicBool::new(false));
        let runner = Runner::hearing(&bench, "r-2", bench.wire(), move |kind| {
            let preparing = matches!(kind, EventKind::PhaseStarted { phase: Phase::Prepare });
            if preparing && !failing.swap(true, Ordering::SeqCst) {
                fly.switch(|switches| {
                    switches.scripted.insert((APP.to_owned(), "/deep".to_owned()), Scripted { status: 503, headers: BTreeMap::new() });
                });
            }
            false
        });
        let machines = bench.fly.machines(APP).len();
        let moves = with(newer(&mut bench, &runner), APP, &get("/deep", None));
        let ending = go(&bench, &runner, moves).await;
        assert_eq!((ending.outcome, ending.serving), (outcome, Serving::Before), "{:?}", ending.failure);
        assert_eq!(ending.failure.unwrap().phase, Phase::Prepare);
        assert_eq!(bench.fly.machines(APP).len(), machines, "what was prepared is taken back");
        let told = verdicts(&runner).pop().unwrap();
        let verdict = if outcome == Outcome::Held { Verdict::Suspect } else { Verdict::Fail };
        assert_eq!((told.0.as_str(), told.2), ("api GET /deep", verdict));
    }
}

#[tokio::test(start_paused = true)]
async fn one_probe_never_decides() {
    let (mut bench, _) = serving().await;
    let nth = std::sync::atomic::AtomicUsize::new(0);
    // Every third asking fails, on both sides alike.
    let wire = Scripting::new(&bench, move |call| {
        let deep = call.url.path() == "/deep";
        deep.then(|| (if nth.fetch_add(1, Ordering::SeqCst) % 3 == 0 { 500 } else { 200 }, "deep".to_owned()))
    });
    let runner = Runner::new(&bench, "r-2", wire);
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    let told = verdicts(&runner);
    assert!(!told.is_empty() && told.iter().all(|(_, _, verdict, _)| *verdict == Verdict::Flaky), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_of_the_revision_is_asked_of_what_serves_by_its_own_digest() {
    let (mut bench, _) = serving().await;
    // `GET /version equals revision` of the app holds before and after: each by its own digest.
    let runner = Runner::new(&bench, "r-2", Scripting::new(&bench, deep(200)));
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert_eq!(verdicts(&runner), []);
    assert!(runner.phases().contains(&Phase::Observe));
}

#[tokio::test(start_paused = true)]
async fn a_run_cancelled_while_it_asks_what_serves_has_written_nothing() {
    let (mut bench, _) = serving().await;
    let records = bench.records().len();
    let run: Arc<Mutex<Option<Shutdown>>> = Arc::default();
    let cancelled = run.clone();
    let wire = Scripting::new(&bench, move |call| {
        cancelled.lock().unwrap().iter().for_each(|run| run.raise(Level::Drain));
        deep(200)(call)
    });
    let runner = Runner::new(&bench, "r-2", wire);
    *run.lock().unwrap() = Some(runner.context.shutdown.clone());
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!((ending.outcome, bench.records().len()), (Outcome::Cancelled, records));
    bench.recover().await;
    assert!(bench.users().values().all(|users| *users == Users::After));
}
