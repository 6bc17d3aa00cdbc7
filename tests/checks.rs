//! Checks that can be trusted: what serves is asked first, and a check that fails on both sides holds a release instead of condemning it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::embedded::fault::Latency;
use cutover::embedded::fly::Scripted;
use cutover::embedded::vercel::Fate;
use cutover::event::{EventKind, Outcome, Phase, Serving, Verdict};
use cutover::http::{Answer, Call, Platform, Via, Wire, WireError};
use cutover::manifest::Check;
use cutover::platform::{Artifact, Target};
use cutover::release::plan::Shipment;
use cutover::release::{Ending, Move, Plan, Release};
use cutover::shutdown::{Level, Shutdown};
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::support::bench::{APP, Bench, Kind, Runner, Users, get, site_digest};
use crate::support::wire::InProcess;

/// What a call is answered with, where it is not the world's own answer.
type Script = Box<dyn Fn(&Call) -> Option<(u16, String)> + Send + Sync>;

/// A wire on which public requests are answered as a test wants, once it is told to.
pub(crate) struct Scripting {
    inner: InProcess,
    pub(crate) on: AtomicBool,
    script: Script,
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
        deep.then(|| (if nth.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) { 500 } else { 200 }, "deep".to_owned()))
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

/// The digest that a target serves, by its address.
fn shown(bench: &Bench, target: &str) -> String {
    let state = bench.journal();
    let shipped = &state.state().serving().unwrap().targets[&crate::support::bench::name(target)];
    shipped.revision.digest.to_string()
}

fn edge_of(call: &Call) -> usize {
    if let Via::Public { edge } = call.via { edge } else { usize::MAX }
}

/// Whether a call asks where a target shows its revision.
fn asks_for_revision(call: &Call, target: &str) -> bool {
    let (host, path) = if target == APP { ("api.fly.dev", "/version") } else { ("front.vercel.app", "/.well-known/cutover.json") };
    call.url.host_str() == Some(host) && call.url.path() == path
}

#[tokio::test(start_paused = true)]
async fn an_old_revision_that_answers_well_is_refused_and_so_is_one_stale_edge_of_three() {
    for target in [APP, "front"] {
        for stale in [vec![0, 1, 2], vec![2], vec![0]] {
            let (mut bench, _) = serving().await;
            let old = json!({ "revision": shown(&bench, target) }).to_string();
            let edges = stale.clone();
            let wire = Scripting::new(&bench, move |call| match deep(200)(call) {
                None => (asks_for_revision(call, target) && edges.contains(&edge_of(call))).then(|| (200, old.clone())),
                answer => answer,
            });
            // The way back and what served before are told apart by the world, not by the scripted address.
            let runner = Runner::new(&bench, "r-2", wire);
            // The app has another setting and the same image: that alone is another revision.
            let moves = newer(&mut bench, &runner);
            let ending = go(&bench, &runner, moves).await;
            let told = format!("{target} {stale:?}: {:?}", ending.failure);
            assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before), "{told}");
            let failure = ending.failure.unwrap();
            assert_eq!((failure.phase, failure.target), (Phase::CutOver, Some(crate::support::bench::name(target))), "{told}");
            assert!(failure.text.contains("does not show the new revision"), "{told}");
            assert_eq!(bench.users()["front"], Users::After, "r-1 serves on");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_alone_is_another_revision_and_is_proven_as_one() {
    let (mut bench, _) = serving().await;
    let before = shown(&bench, APP);
    bench.toml.push_str("\n[env]\nMODE = 'newer'\n");
    let runner = Runner::new(&bench, "r-2", bench.wire());
    let plan = Plan::make(&runner.context, runner.moves(&bench)).await.unwrap();
    let moving: Vec<_> = plan.moving().map(|planned| planned.target.name().to_string()).collect();
    assert_eq!(moving, [APP], "the image is the same, a setting is not");
    let ending = Release::new(runner.context.clone(), &mut bench.journal(), plan).run().await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    let app = ending.targets.iter().find(|settled| settled.name.as_str() == APP).unwrap();
    assert!(app.proven_from_outside);
    assert_eq!(app.before.as_ref().unwrap().artifact, app.after.as_ref().unwrap().artifact);
    assert_ne!(before, shown(&bench, APP));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_shows_the_revision_that_is_said() {
    let bench = Bench::new().await;
    let runner = Runner::new(&bench, "r-1", bench.wire());
    let mut moves = runner.moves(&bench);
    for each in &mut moves {
        each.checks.retain(|check| !check.proves_revision());
    }
    let ending = go(&bench, &runner, moves).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    let proven: BTreeMap<_, _> = ending.targets.iter().map(|settled| (settled.name.as_str(), settled.proven_from_outside)).collect();
    assert_eq!(proven, BTreeMap::from([(APP, false), ("docs", true), ("front", true)]), "sites show it by themselves");
    let heard = runner.heard.lock().unwrap();
    let told = heard.iter().any(|kind| matches!(kind, EventKind::Proven { target, from_outside: false, .. } if target.as_str() == APP));
    assert!(told);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_could_show_its_revision_and_only_fails_there_is_refused() {
    let bench = Bench::new().await;
    let wire = Scripting::new(&bench, |call| asks_for_revision(call, "front").then(|| (500, "no".to_owned())));
    let runner = Runner::new(&bench, "r-1", wire);
    let ending = go(&bench, &runner, runner.moves(&bench)).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before), "{:?}", ending.failure);
    let failure = ending.failure.unwrap();
    assert!(failure.phase == Phase::Watch && failure.text.contains("never showed the new one"), "{failure}");
}

/// Calls that change users' traffic, by the embedded platforms' own tape: when each had its effect, in milliseconds.
fn traffic_calls(bench: &Bench) -> Vec<(u64, String)> {
    const CHANGE: [&str; 5] = ["uncordon_machine", "cordon_machine", "update_machine", "promote", "roll_back"];
    let entries = bench.world.ground().tape.entries().into_iter();
    entries.filter(|entry| CHANGE.contains(&entry.operation.as_str())).map(|entry| (entry.at_ms, entry.boundary)).collect()
}

fn slow(bench: &Bench, jitter: u64, seed: u64) {
    for platform in ["fly", "vercel"] {
        let latency = Latency { base: Duration::from_millis(200 - jitter / 2), jitter: Duration::from_millis(jitter) };
        bench.world.ground().faults.latency(platform, latency);
    }
    for _ in 0..seed {
        let _ = bench.world.ground().chance.next();
    }
}

#[expect(clippy::print_stdout, reason = "the figure is its result")]
#[tokio::test(start_paused = true)]
async fn three_targets_change_within_a_second_of_calls_with_slow_platforms() {
    let (mut calls, mut seen) = (Vec::new(), Vec::new());
    for seed in 0..40 {
        let bench = Bench::new().await;
        slow(&bench, 100, seed);
        let ending = bench.release("r-1").await;
        assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
        let told = ending.skew_calls_ms.unwrap();
        // What is told is what the platforms saw, and the way there and back besides.
        let taped = traffic_calls(&bench);
        let between = taped.last().unwrap().0 - taped[0].0;
        assert!(told >= between && told <= between + 300, "told {told} ms, seen by the platforms {between} ms: {taped:?}");
        assert!(ending.skew_ms.unwrap() >= told);
        let times: Vec<_> = ending.targets.iter().map(|settled| (settled.served_ms.unwrap(), settled.seen_ms.unwrap())).collect();
        assert!(times.iter().all(|(served, seen)| served <= seen && *seen <= ending.skew_ms.unwrap()), "{times:?}");
        // At the edges: from the first change of any public host to the last, and the longest lag.
        let began = taped[0].0;
        let changes = bench.world.ground().traffic.changes().into_iter();
        let hosts = changes.filter(|change| ["api.fly.dev", "front.vercel.app", "docs.vercel.app"].contains(&change.host.as_str()));
        let after: Vec<u64> = hosts.map(|change| change.at.as_millis() as u64).filter(|at| *at + 300 > began).collect();
        let lag = cutover::embedded::traffic::USUAL_LAGS.iter().max().unwrap().as_millis() as u64;
        let (first, last) = (*after.iter().min().unwrap(), *after.iter().max().unwrap());
        assert!(ending.skew_ms.unwrap() + 200 >= last - first + lag, "what is told covers what the edges saw");
        calls.push(told);
        seen.push(last - first + lag);
    }
    calls.sort_unstable();
    seen.sort_unstable();
    println!("skew of three targets: calls p50 {} ms, p95 {} ms; edges p50 {} ms, p95 {} ms", calls[20], calls[38], seen[20], seen[38]);
    assert!(calls[38] < 1_000, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn skew_is_measured_where_a_release_goes_back_too() {
    for fate in [Fate::FAILS_TO_PROMOTE, Fate::FAILS_IN_PRODUCTION] {
        let bench = Bench::new().await;
        slow(&bench, 0, 0);
        bench.vercel.next("front", fate);
        let ending = bench.release("r-1").await;
        assert_eq!(ending.outcome, Outcome::RolledBack);
        let (calls, seen) = (ending.skew_calls_ms.unwrap(), ending.skew_ms.unwrap());
        assert!(seen >= calls && calls > 0, "{calls} {seen}");
        let taped = traffic_calls(&bench);
        if fate == Fate::FAILS_TO_PROMOTE {
            let between = taped.last().unwrap().0 - taped[0].0;
            assert!(calls >= between && calls <= between + 300, "{calls} {between}: {taped:?}");
        }
    }
    // Nothing changed: nothing is told.
    let bench = Bench::new().await;
    bench.vercel.next("front", Fate::FAILS_CHECKS);
    let ending = bench.release("r-1").await;
    assert_eq!((ending.skew_ms, ending.skew_calls_ms), (None, None));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_by_a_redeploy_waits_for_what_comes_back_at_once() {
    for (kind, together) in [(Kind::Rolling, false), (Kind::Bluegreen, true)] {
        let bench = Bench::of(kind).await;
        slow(&bench, 0, 0);
        assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished);
        let taped = traffic_calls(&bench);
        let at = |wanted: &str| taped.iter().find(|(_, boundary)| boundary.contains(wanted)).unwrap().0;
        let (app, docs, front) = (at("[api"), at("[docs"), at("[front"));
        assert!(front > app, "{taped:?}");
        assert_eq!(docs.abs_diff(app) <= 200, together, "{kind:?}: {taped:?}");
        assert!(together || docs < app, "{kind:?}: {taped:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_aborts_only_while_some_target_has_not_begun() {
    // Everything has begun within 900 ms, and takes longer than the budget to be seen: that is told, and nothing goes back.
    for (budget, outcome) in [(1_000, Outcome::Finished), (300, Outcome::RolledBack)] {
        let bench = Bench::new().await;
        slow(&bench, 0, 0);
        let mut runner = Runner::new(&bench, "r-1", bench.wire());
        runner.context.timing.max_skew = Some(Duration::from_millis(budget));
        let ending = bench.run(&runner).await;
        tokio::task::yield_now().await;
        assert_eq!(ending.outcome, outcome, "{budget}: {:?}", ending.failure);
        let heard = runner.heard.lock().unwrap();
        let warned = heard.iter().any(|kind| matches!(kind, EventKind::Notice { code: "release::skew", .. }));
        assert_eq!(warned, outcome == Outcome::Finished);
        if outcome == Outcome::RolledBack {
            assert_eq!(ending.failure.unwrap().target, Some(crate::support::bench::name("front")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_serves_is_asked_at_every_edge() {
    let (mut bench, _) = serving().await;
    // The prepared deployment fails everywhere, what serves only at the last edge.
    let wire = Scripting::new(&bench, |call| {
        let serves = call.url.host_str() == Some("front.vercel.app");
        (call.url.path() == "/deep").then(|| (if serves && edge_of(call) != 2 { 200 } else { 500 }, "deep".to_owned()))
    });
    let runner = Runner::new(&bench, "r-2", wire);
    let moves = with(newer(&mut bench, &runner), "front", &get("/deep", None));
    let ending = go(&bench, &runner, moves).await;
    assert_eq!(ending.outcome, Outcome::Held, "{:?}", ending.failure);
}
