//! The Fly target against the embedded Fly, in process: prepare, serve, back, prune, and what goes wrong meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cutover::clock::Clock;
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::fly::{Behaviour, Earlier, Fly, MachineState, Scope as TokenScope, Switches, Which};
use cutover::embedded::registry::Registry;
use cutover::embedded::world::World;
use cutover::event::{Event, EventKind, Events, Phase};
use cutover::http::{Call, Transport, Wire, WireError};
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::fly::machine_config::render;
use cutover::platform::fly::toml::FlyConfig;
use cutover::platform::fly::{FlyEndpoints, FlySettings, FlyTarget};
use cutover::platform::{Artifact, Health, Observed, PlainGet, PlatformErrorKind, Revision, Scope, Target};
use cutover::shutdown::{Level, Shutdown};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::bench::{APP, NEW, OLD};
use crate::support::openapi::Document;
use crate::support::wire::InProcess;

const TOML: &str = r#"
app = "api"
primary_region = "iad"
kill_timeout = "2s"
[env]
GREETING = "hello"
[http_service]
internal_port = 8080
auto_stop_machines = "off"
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#;

/// A world with one app, and cutover's own view of it.
struct Stage {
    world: World,
    fly: Fly,
    target: FlyTarget,
    events: Events,
    heard: UnboundedReceiver<Event>,
}

impl Stage {
    /// An app with machines of an earlier release by flyctl in these regions.
    async fn new(toml: &str, regions: &[&str]) -> Self {
        Self::with(toml, regions, Switches::default()).await
    }

    async fn with(toml: &str, regions: &[&str], switches: Switches) -> Self {
        let clock = Clock::system();
        let world = World::in_process(clock, Chance::seeded(7));
        let registry = Registry::add_to(&world).unwrap();
        let fly = Fly::add_to(&world, &registry, switches);
        fly.seed_token("fm2_deploy", &TokenScope::App(APP.into()), "deployer");
        fly.seed_token("fm2_other", &TokenScope::App(APP.into()), "somebody else");
        fly.seed_app(APP, "acme", &[("DATABASE_URL", "postgres://secret")]);
        registry.stand_in(APP, "old", OLD.split_once('@').unwrap().1);
        registry.stand_in(APP, "new", NEW);
        let config = FlyConfig::parse(toml).unwrap();
        let mut earlier = render(&config, "app", OLD, None);
        earlier["env"]["VERSION"] = "old".into();
        fly.seed_earlier_release(&Earlier { app: APP, config: earlier.into(), regions, image: OLD, group: "app" }).await;
        let (events, heard) = Events::channel(clock);
        let target = target(&world, clock, FlyConfig::parse(toml).unwrap());
        Self { world, fly, target, events, heard }
    }

    fn scope(&self, release: &str, phase: Phase) -> Scope {
        Scope {
            product: Name::parse("shop").unwrap(),
            environment: Name::parse("production").unwrap(),
            release: ReleaseId::from_text(release),
            commit: "c0ffee".into(),
            phase,
            events: self.events.clone(),
            shutdown: Shutdown::default(),
            changes: cutover::platform::Changes::default(),
            turn: cutover::platform::Turn::default(),
            expected: None,
        }
    }

    async fn observe(&self) -> Observed {
        self.target.observe(&self.scope("r-1", Phase::Observe)).await.unwrap()
    }

    /// The one revision that serves.
    async fn before(&self) -> Revision {
        self.observe().await.single().unwrap().clone()
    }

    async fn prepare(&self) -> Result<Revision, cutover::platform::PlatformError> {
        let before = self.observe().await;
        let gets = [PlainGet { path: "/version".into() }];
        self.target.prepare(&self.scope("r-1", Phase::Prepare), &artifact(), &before, &gets).await
    }

    async fn serve(&self, phase: Phase, revision: &Revision) -> Result<Observed, cutover::platform::PlatformError> {
        let result = self.target.serve(&self.scope("r-1", phase), revision).await;
        self.no_lease_is_left();
        result
    }

    /// Ids of the machines to which the proxy routes.
    fn routable(&self) -> Vec<String> {
        self.fly.machines(APP).into_iter().filter(|machine| machine.routable).map(|machine| machine.id).collect()
    }

    fn images(&self) -> Vec<String> {
        self.fly.machines(APP).into_iter().map(|machine| machine.image).collect()
    }

    /// How often an operation was asked.
    fn asked(&self, operation: &str) -> usize {
        self.world.ground().tape.entries().iter().filter(|entry| entry.operation == operation).count()
    }

    fn strike(&self, boundary: &str, effect: Effect, answer: Answer) {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap());
    }

    /// Every lease taken was given back.
    fn no_lease_is_left(&self) {
        let entries = self.world.ground().tape.entries();
        let by = |operation: &str, method: &str| {
            let mut ids: Vec<String> = entries
                .iter()
                .filter(|entry| entry.operation == operation && entry.method == method && entry.status.is_some_and(|status| status < 300))
                .map(|entry| entry.path.split('/').nth(5).unwrap().to_owned())
                .collect();
            ids.sort();
            ids.dedup();
            ids
        };
        assert_eq!(by("acquire_lease", "POST"), by("release_lease", "DELETE"));
    }

    fn heard(&mut self) -> Vec<EventKind> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).map(|event| event.kind).collect()
    }
}

fn target(world: &World, clock: Clock, config: FlyConfig) -> FlyTarget {
    target_over(Arc::new(InProcess::new(world.clone())), clock, config)
}

fn target_over(wire: Arc<dyn Wire>, clock: Clock, config: FlyConfig) -> FlyTarget {
    made(wire, clock, config, None)
}

fn target_with(world: &World, drain_margin: Option<Duration>) -> FlyTarget {
    made(Arc::new(InProcess::new(world.clone())), Clock::system(), FlyConfig::parse(TOML).unwrap(), drain_margin)
}

fn made(wire: Arc<dyn Wire>, clock: Clock, config: FlyConfig, drain_margin: Option<Duration>) -> FlyTarget {
    let transport = Transport::new(wire, clock, Arc::new(Chance::seeded(1)));
    let settings = FlySettings {
        drain_margin,
        wait_deadline: Some(Duration::from_secs(60)),
        secrets: vec!["DATABASE_URL".into()],
        ..FlySettings::new(Name::parse("backend").unwrap(), APP, config)
    };
    FlyTarget::new(settings, FlyEndpoints::from_lookup(|_| None).unwrap(), &"FlyV1 fm2_deploy".to_owned().into(), transport).unwrap()
}

fn artifact() -> Artifact {
    Artifact::Image { reference: format!("registry.fly.io/{APP}:new@{NEW}"), digest: NEW.into(), stand_in: true }
}

fn rolling() -> String {
    format!("{TOML}\n[deploy]\nstrategy = 'rolling'\n")
}

#[tokio::test(start_paused = true)]
async fn bluegreen_goes_from_old_to_new_and_leaves_only_the_new() {
    let stage = Stage::new(TOML, &["iad", "iad", "fra"]).await;
    let before = stage.before().await;
    let old = stage.routable();
    let problems = stage.target.preflight(&stage.scope("r-1", Phase::Preflight)).await.unwrap();
    assert!(problems.is_empty(), "{problems:?}");

    let expected = stage.target.digest_of(&artifact(), &stage.observe().await).await.unwrap();
    let after = stage.prepare().await.unwrap();
    assert_eq!(after.digest, expected);
    assert_eq!(stage.routable(), old, "nothing prepared is routed to");
    assert_eq!(stage.target.probe(&stage.scope("r-1", Phase::Verify), &after).await.unwrap(), Health::Healthy);
    assert_eq!(stage.before().await, before, "what is prepared does not serve");

    let observed = stage.serve(Phase::CutOver, &after).await.unwrap();
    let serving = observed.single().unwrap();
    assert_eq!((&serving.digest, serving.release.as_deref()), (&after.digest, Some("r-1")));
    assert_eq!(serving.artifact.as_deref(), Some(NEW));
    let machines = stage.fly.machines(APP);
    let new: Vec<_> = machines.iter().filter(|machine| machine.routable).collect();
    assert_eq!(new.len(), 3);
    assert!(new.iter().all(|machine| machine.revision.as_deref() == Some(after.digest.as_str())));
    assert_eq!(observed.facts["machines"], "1 × app in fra, 2 × app in iad");
    assert!(
        machines
            .iter()
            .filter(|machine| old.contains(&machine.id))
            .all(|machine| machine.state == MachineState::Started && machine.cordoned)
    );

    stage.target.prune(&stage.scope("r-1", Phase::Finish), &[before]).await.unwrap();
    assert_eq!(stage.fly.machines(APP).len(), 3);
    stage.target.release_holds(&stage.scope("r-1", Phase::Finish)).await;
    assert_eq!(stage.observe().await.leftovers, []);
}

#[tokio::test(start_paused = true)]
async fn the_old_machines_live_for_the_drain_margin() {
    let stage = Stage::new(TOML, &["iad"]).await;
    let before = stage.before().await;
    let after = stage.prepare().await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    let cordoned = tokio::time::Instant::now();
    stage.target.prune(&stage.scope("r-1", Phase::Finish), &[before]).await.unwrap();
    assert!(cordoned.elapsed() >= Duration::from_secs(9), "{:?}", cordoned.elapsed());
}

#[tokio::test(start_paused = true)]
async fn going_back_registers_the_old_machines_and_removes_the_new_ones() {
    let stage = Stage::new(TOML, &["iad", "fra"]).await;
    let (before, old) = (stage.before().await, stage.routable());
    let after = stage.prepare().await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    let observed = stage.serve(Phase::RollBack, &before).await.unwrap();
    assert!(observed.single().unwrap().same_content(&before));
    assert_eq!(stage.routable(), old);
    stage.target.prune(&stage.scope("r-1", Phase::RollBack), &[after]).await.unwrap();
    assert_eq!(stage.fly.machines(APP).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn serving_twice_changes_nothing_the_second_time() {
    let stage = Stage::new(TOML, &["iad", "fra"]).await;
    let after = stage.prepare().await.unwrap();
    let first = stage.serve(Phase::CutOver, &after).await.unwrap();
    let writes = stage.world.ground().tape.entries().iter().filter(|entry| entry.write).count();
    let second = stage.serve(Phase::CutOver, &after).await.unwrap();
    assert_eq!(first.serving, second.serving);
    assert_eq!(stage.world.ground().tape.entries().iter().filter(|entry| entry.write).count(), writes);
}

#[tokio::test(start_paused = true)]
async fn preparing_twice_finds_its_own_machines_from_another_process_too() {
    let stage = Stage::new(TOML, &["iad", "fra"]).await;
    let first = stage.prepare().await.unwrap();
    let stage = Stage { target: target(&stage.world, Clock::system(), FlyConfig::parse(TOML).unwrap()), ..stage };
    let second = stage.prepare().await.unwrap();
    assert_eq!(first.digest, second.digest);
    assert_eq!((stage.fly.machines(APP).len(), stage.asked("create_machine")), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_start_fails_at_once_with_its_exit_code() {
    let stage = Stage::with(TOML, &["iad"], Switches { app_tokens_read_logs: true, ..Switches::default() }).await;
    let old = stage.routable();
    stage.fly.behave(APP, Which::FromNowOn, Behaviour::CrashesAtStart(3));
    let began = tokio::time::Instant::now();
    let error = stage.prepare().await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::Unhealthy(why) if why.contains("exited with code 3")), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("Main child exited")), "{:?}", error.hints);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(stage.routable(), old);
    let leftovers = stage.observe().await.leftovers;
    assert_eq!(leftovers.len(), 1);
    stage.target.prune(&stage.scope("r-1", Phase::RollBack), &leftovers).await.unwrap();
    assert_eq!(stage.fly.machines(APP).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_never_gets_healthy_fails_with_the_check_and_its_output() {
    let stage = Stage::new(TOML, &["iad"]).await;
    stage.fly.behave(APP, Which::FromNowOn, Behaviour::WrongPort(9999));
    let error = stage.prepare().await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::Unhealthy(why) if why.contains("connection refused")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_creation_makes_no_twin() {
    for (effect, answer, creations) in [
        (Effect::Once, Answer::Lost, 1),
        (Effect::Once, Rule::status(500, None), 1),
        (Effect::None, Answer::Lost, 2),
        (Effect::Late(Duration::from_secs(2)), Rule::status(408, None), 1),
        (Effect::Once, Answer::Truncated, 1),
        (Effect::Once, Answer::Html, 1),
    ] {
        let stage = Stage::with(TOML, &["iad"], Switches { list_lag: Duration::from_secs(1), ..Switches::default() }).await;
        stage.strike("fly.create_machine[api]#1", effect, answer.clone());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = stage.prepare().await.unwrap();
        assert_eq!(stage.fly.machines(APP).len(), 2, "{effect:?} {answer:?}");
        assert_eq!(stage.asked("create_machine"), creations, "{effect:?} {answer:?}");
        stage.serve(Phase::CutOver, &after).await.unwrap();
        assert_eq!(stage.routable().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_while_cutting_over_change_nothing_about_the_end() {
    for operation in
        ["uncordon_machine", "cordon_machine", "acquire_lease", "release_lease", "list_machines", "stop_machine", "destroy_machine"]
    {
        for effect in [Effect::None, Effect::Once] {
            let stage = Stage::new(TOML, &["iad", "fra"]).await;
            let before = stage.before().await;
            let after = stage.prepare().await.unwrap();
            stage.strike(&format!("fly.{operation}[api]#1"), effect, Answer::Lost);
            stage
                .target
                .serve(&stage.scope("r-1", Phase::CutOver), &after)
                .await
                .unwrap_or_else(|error| panic!("{operation} {effect:?}: {error}"));
            stage.target.prune(&stage.scope("r-1", Phase::Finish), &[before]).await.unwrap_or_else(|error| panic!("{operation}: {error}"));
            assert_eq!((stage.routable().len(), stage.fly.machines(APP).len()), (2, 2), "{operation} {effect:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_lease_is_waited_for_and_its_holder_named() {
    let mut stage = Stage::new(TOML, &["iad"]).await;
    let after = stage.prepare().await.unwrap();
    let held = hold_lease(&stage, 30).await;
    let began = tokio::time::Instant::now();
    stage.target.serve(&stage.scope("r-1", Phase::CutOver), &after).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(20), "{:?}", began.elapsed());
    let told = stage
        .heard()
        .into_iter()
        .any(|kind| matches!(kind, EventKind::TargetStep { step, .. } if step.contains("somebody else") && step.contains(&held)));
    assert!(told);
    assert_eq!(stage.routable().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_never_given_back_ends_the_wait_with_nothing_changed() {
    let stage = Stage::new(TOML, &["iad"]).await;
    let (before, after) = (stage.before().await, stage.prepare().await.unwrap());
    hold_lease(&stage, 600).await;
    let error = stage.target.serve(&stage.scope("r-1", Phase::CutOver), &after).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Conflict(_)), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("somebody else")), "{:?}", error.hints);
    assert_eq!(stage.before().await, before);
}

/// Takes the lease of the only old machine with another token, and returns the machine's id.
async fn hold_lease(stage: &Stage, seconds: u32) -> String {
    let id = stage.routable().remove(0);
    let uri = format!("https://api.machines.dev/v1/apps/{APP}/machines/{id}/lease?ttl={seconds}");
    let request = http::Request::post(uri).header("authorization", "FlyV1 fm2_other").body(bytes::Bytes::new()).unwrap();
    let response = cutover::embedded::in_process::call(&stage.world, request).await.unwrap();
    assert_eq!(response.status(), 201);
    id
}

/// A runner that dies at its `left`-th request: neither that one nor any later one is ever answered.
#[derive(Debug)]
struct Mortal {
    wire: InProcess,
    left: AtomicUsize,
    /// Whether the last request still has its effect.
    last_words: bool,
}

impl Wire for Mortal {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<cutover::http::Answer, WireError>> {
        Box::pin(async move {
            let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok_and(|left| left > 0) {
                return self.wire.send(call).await;
            }
            if left.is_ok() && self.last_words {
                let _ = self.wire.send(call).await;
            }
            std::future::pending().await
        })
    }
}

/// Returns a target whose runner dies at request `nth`.
fn mortal(stage: &Stage, toml: &str, nth: usize, last_words: bool) -> FlyTarget {
    let wire = Mortal { wire: InProcess::new(stage.world.clone()), left: AtomicUsize::new(nth), last_words };
    target_over(Arc::new(wire), Clock::system(), FlyConfig::parse(toml).unwrap())
}

/// Runs `work` until it ends or its runner has been dead for a while; `None` when it died.
async fn until_death<T>(work: impl Future<Output = T>) -> Option<T> {
    // Longer than every deadline of a call that is answered at all, shorter than a wait for a dead one.
    tokio::time::timeout(Duration::from_secs(20), work).await.ok()
}

#[tokio::test(start_paused = true)]
async fn serve_survives_the_death_of_its_runner_at_every_request_and_in_both_directions() {
    for (toml, back) in [(TOML.to_owned(), false), (TOML.to_owned(), true), (rolling(), false), (rolling(), true)] {
        for last_words in [false, true] {
            let mut nth = 0;
            loop {
                nth += 1;
                let case = format!("request {nth}, effect {last_words}, back {back}");
                let stage = Stage::new(&toml, &["iad", "fra"]).await;
                let before = stage.before().await;
                let after = stage.prepare().await.unwrap();
                let dying = mortal(&stage, &toml, nth, last_words);
                let done = until_death(dying.serve(&stage.scope("r-1", Phase::CutOver), &after)).await;
                assert!(!stage.routable().is_empty(), "somebody serves after {case}");
                let (wanted, phase) = if back { (&before, Phase::RollBack) } else { (&after, Phase::CutOver) };
                // Who goes back needs no fly.toml; who goes forward has today's.
                let config = if back { FlyConfig::default() } else { FlyConfig::parse(&toml).unwrap() };
                let next = target_over(Arc::new(InProcess::new(stage.world.clone())), Clock::system(), config);
                let observed = next.serve(&stage.scope("r-1", phase), wanted).await.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert!(observed.single().unwrap().same_content(wanted), "{case}");
                assert_eq!(stage.routable().len(), 2, "{case}");
                let other = if back { &after } else { &before };
                next.prune(&stage.scope("r-1", Phase::Finish), std::slice::from_ref(other))
                    .await
                    .unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(stage.fly.machines(APP).len(), 2, "{case}");
                if done.is_some() {
                    assert!(nth > 6, "the loop saw a whole serve");
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prepare_survives_the_death_of_its_runner_at_every_request() {
    for last_words in [false, true] {
        let mut nth = 0;
        loop {
            nth += 1;
            let stage = Stage::new(TOML, &["iad", "fra"]).await;
            let (before, artifact) = (stage.observe().await, artifact());
            let dying = mortal(&stage, TOML, nth, last_words);
            let done = until_death(dying.prepare(&stage.scope("r-1", Phase::Prepare), &artifact, &before, &[])).await;
            let after = stage.target.prepare(&stage.scope("r-1", Phase::Prepare), &artifact, &before, &[]).await.unwrap();
            assert_eq!(stage.fly.machines(APP).len(), 4, "request {nth}, effect {last_words}");
            assert_eq!(stage.routable().len(), 2);
            stage.target.prune(&stage.scope("r-1", Phase::RollBack), &[after]).await.unwrap();
            assert_eq!(stage.fly.machines(APP).len(), 2, "request {nth}, effect {last_words}");
            if done.is_some() {
                assert!(nth > 5, "the loop saw a whole prepare");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_outside_sees_a_failed_request_while_edges_lag_less_than_the_drain_margin() {
    // The last row is the measure of the others: without the margin, requests do fail.
    for (back, margin, fails) in [(false, None, false), (true, None, false), (false, Some(Duration::ZERO), true)] {
        let stage = Stage::new(TOML, &["iad", "fra"]).await;
        let stage = Stage { target: target_with(&stage.world, margin), ..stage };
        stage.world.ground().traffic.lags(&[Duration::ZERO, Duration::from_secs(3), Duration::from_secs(9)]);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let before = stage.before().await;
        let failed = std::cell::Cell::new(0);
        let asked = std::cell::Cell::new(0);
        let clients = async {
            loop {
                for edge in 0..3 {
                    let request = http::Request::get("/").header("host", "api.fly.dev").body(axum::body::Body::empty()).unwrap();
                    let response = stage.world.ground().traffic.ask(edge, "api.fly.dev", request).await;
                    asked.set(asked.get() + 1);
                    failed.set(failed.get() + u32::from(!response.status().is_success()));
                }
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        };
        let release = async {
            let after = stage.prepare().await.unwrap();
            stage.serve(Phase::CutOver, &after).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut gone = before.clone();
            if back {
                stage.serve(Phase::RollBack, &before).await.unwrap();
                gone = after;
            }
            stage.target.prune(&stage.scope("r-1", Phase::Finish), &[gone]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
        };
        tokio::select! {
            () = clients => {}
            () = release => {}
        }
        assert!(asked.get() > 1000, "{}", asked.get());
        assert_eq!((failed.get() > 0, stage.fly.machines(APP).len()), (fails, 2), "back {back}, {} failed", failed.get());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_valid_against_fly_s_own_document() {
    let Some(document) = Document::find("fly-machines-openapi.json", "/v1") else { return };
    let mut faults = std::collections::BTreeSet::new();
    for (toml, regions) in [(TOML.to_owned(), &["iad", "fra"][..]), (rolling(), &["iad"][..]), (TOML.to_owned(), &[][..])] {
        let stage = Stage::new(&toml, regions).await;
        stage.target.preflight(&stage.scope("r-1", Phase::Preflight)).await.unwrap();
        let before = stage.observe().await;
        let after = stage.prepare().await.unwrap();
        stage.serve(Phase::CutOver, &after).await.unwrap();
        if let Some(before) = before.single() {
            stage.serve(Phase::RollBack, before).await.unwrap();
        }
        stage.target.prune(&stage.scope("r-1", Phase::RollBack), &[after]).await.ok();
        for entry in stage.world.ground().tape.entries().iter().filter(|entry| entry.authority == "api.machines.dev") {
            let status = entry.status.unwrap_or_default();
            faults.extend(document.judge(&entry.method, &entry.path, entry.request.json(), status, None));
        }
    }
    let faults: Vec<String> = faults.into_iter().collect();
    // Pinned, each with its source in the reference: section 4 (kill is flyctl's name of force), section 12 (what flyctl writes for a service).
    insta::assert_snapshot!(faults.join("\n"), @r"
    DELETE /apps/{app_name}/machines/{machine_id}?kill: unknown parameter
    POST /apps/{app_name}/machines request.config.services[].autostop: false is not among the values
    POST /apps/{app_name}/machines request.config.services[].autostop: is not string
    POST /apps/{app_name}/machines request.config.services[].force_instance_key: null is not allowed
    POST /apps/{app_name}/machines/{machine_id} request.config.services[].autostop: false is not among the values
    POST /apps/{app_name}/machines/{machine_id} request.config.services[].autostop: is not string
    POST /apps/{app_name}/machines/{machine_id} request.config.services[].force_instance_key: null is not allowed
    ");
}

#[tokio::test(start_paused = true)]
async fn stopped_old_machines_are_started_and_well_before_they_serve_again() {
    let stage = Stage::new(TOML, &["iad", "fra"]).await;
    let (before, old) = (stage.before().await, stage.routable());
    let after = stage.prepare().await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    for id in &old {
        let uri = format!("https://api.machines.dev/v1/apps/{APP}/machines/{id}/stop");
        let request = http::Request::post(uri).header("authorization", "FlyV1 fm2_other").body(bytes::Bytes::new()).unwrap();
        cutover::embedded::in_process::call(&stage.world, request).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.serve(Phase::RollBack, &before).await.unwrap();
    assert_eq!(stage.routable(), old);
}

#[tokio::test(start_paused = true)]
async fn rolling_changes_each_machine_in_place_and_back() {
    let stage = Stage::new(&rolling(), &["iad", "fra"]).await;
    let (before, ids) = (stage.before().await, stage.routable());
    let after = stage.prepare().await.unwrap();
    assert_eq!(stage.asked("create_machine") + stage.asked("update_machine"), 0, "nothing is prepared but a rendering");
    assert!(matches!(stage.target.probe(&stage.scope("r-1", Phase::Verify), &after).await.unwrap(), Health::Unknown(_)));

    let observed = stage.serve(Phase::CutOver, &after).await.unwrap();
    assert!(observed.single().unwrap().same_content(&after));
    assert_eq!(stage.routable(), ids, "the same machines");
    assert!(stage.images().iter().all(|image| image.contains(NEW)));

    stage.target.prune(&stage.scope("r-1", Phase::Finish), std::slice::from_ref(&before)).await.unwrap();
    assert_eq!(stage.routable(), ids, "what was updated in place is not removed");

    let back = stage.serve(Phase::RollBack, &before).await.unwrap();
    assert!(back.single().unwrap().same_content(&before));
    assert_eq!(back.single().unwrap().release, None, "with everything it had before, marks included");
    assert!(stage.images().iter().all(|image| image == OLD));
    stage.target.prune(&stage.scope("r-1", Phase::RollBack), &[after]).await.unwrap();
    assert_eq!(stage.routable(), ids);
}

#[tokio::test(start_paused = true)]
async fn rolling_stops_at_the_first_machine_that_is_not_well_and_goes_back() {
    let stage = Stage::new(&rolling(), &["iad", "iad", "fra"]).await;
    let before = stage.before().await;
    let after = stage.prepare().await.unwrap();
    stage.fly.behave(APP, Which::Image(NEW.into()), Behaviour::CrashesAtStart(1));
    let error = stage.serve(Phase::CutOver, &after).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unhealthy(_)), "{error}");
    assert_eq!(stage.routable().len(), 2, "the others still serve");
    assert_eq!(stage.observe().await.serving.len(), 2, "two generations");
    // In another process, which knows no fly.toml.
    let stage = Stage { target: target(&stage.world, Clock::system(), FlyConfig::default()), ..stage };
    let back = stage.serve(Phase::RollBack, &before).await.unwrap();
    assert!(back.single().unwrap().same_content(&before));
    assert_eq!(stage.routable().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_an_update_updates_once() {
    for (effect, answer) in
        [(Effect::Once, Answer::Lost), (Effect::None, Answer::Lost), (Effect::Late(Duration::from_secs(2)), Rule::status(504, None))]
    {
        let stage = Stage::new(&rolling(), &["iad"]).await;
        let after = stage.prepare().await.unwrap();
        stage.strike("fly.update_machine[api]#1", effect, answer.clone());
        let observed = stage.serve(Phase::CutOver, &after).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert!(observed.single().unwrap().same_content(&after), "{effect:?} {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rolling_leaves_alone_what_somebody_else_changed() {
    let stage = Stage::new(&rolling(), &["iad"]).await;
    let after = stage.prepare().await.unwrap();
    let id = stage.routable().remove(0);
    let uri = format!("https://api.machines.dev/v1/apps/{APP}/machines/{id}");
    let body = serde_json::json!({"config": {"image": OLD, "env": {"BY": "hand"}, "metadata": {"fly_platform_version": "v2", "fly_process_group": "app"}}});
    let request = http::Request::post(uri).header("authorization", "FlyV1 fm2_other").body(body.to_string().into()).unwrap();
    assert_eq!(cutover::embedded::in_process::call(&stage.world, request).await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let error = stage.serve(Phase::CutOver, &after).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Conflict(_)), "{error}");
    assert_eq!(stage.images(), [OLD]);
}

#[tokio::test(start_paused = true)]
async fn machines_that_sleep_until_a_request_comes_keep_sleeping() {
    let toml =
        TOML.replace("auto_stop_machines = \"off\"", "auto_stop_machines = \"stop\"\nauto_start_machines = true\nmin_machines_running = 0");
    let stage = Stage::new(&toml, &["iad", "iad"]).await;
    for id in stage.routable() {
        let uri = format!("https://api.machines.dev/v1/apps/{APP}/machines/{id}/stop");
        let request = http::Request::post(uri).header("authorization", "FlyV1 fm2_other").body(bytes::Bytes::new()).unwrap();
        cutover::embedded::in_process::call(&stage.world, request).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = stage.before().await;
    let after = stage.prepare().await.unwrap();
    let observed = stage.serve(Phase::CutOver, &after).await.unwrap();
    assert!(observed.single().unwrap().same_content(&after));
    assert_eq!(observed.facts["states"], "1 × started, 1 × stopped", "one was woken, or nothing would have proven the new image");
    let back = stage.serve(Phase::RollBack, &before).await.unwrap();
    assert!(back.single().unwrap().same_content(&before));
    assert_eq!((back.facts["states"].as_str(), stage.asked("start_machine")), ("2 × stopped", 0));
}

#[test]
fn a_token_is_read_as_people_paste_it() {
    use cutover::platform::fly::token::FlyToken;
    use secrecy::ExposeSecret;
    let pieces = |text: &str| {
        let token = FlyToken::parse(&text.to_owned().into())?;
        let pieces: Vec<String> = token.pieces().iter().map(|piece| piece.expose_secret().to_owned()).collect();
        Some((pieces, token.registry_password().expose_secret().to_owned()))
    };
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        pieces(" flyv1 Bearer FlyV1 fm2_a, fm1r_b ,user "),
        Some((owned(&["fm2_a", "fm1r_b", "user", "fm2_a,fm1r_b", "fm2_a,fm1r_b,user"]), "fm2_a,fm1r_b".into()))
    );
    assert_eq!(pieces("plain"), Some((owned(&["plain"]), "plain".into())));
    assert_eq!(pieces("FlyV1 ,"), None);
}

#[test]
fn endpoints_follow_flyctl_s_variables() {
    let overridden = FlyEndpoints::from_lookup(|name| match name {
        "FLY_API_BASE_URL" => Some("http://127.0.0.1:4000".into()),
        "FLY_REGISTRY_HOST" => Some("127.0.0.1:5000".into()),
        "FLY_UIEX_BASE_URL" => Some("  ".into()),
        _ => None,
    });
    let overridden = overridden.unwrap();
    assert_eq!(overridden.graphql.as_str(), "http://127.0.0.1:4000/graphql");
    assert_eq!(overridden.uiex.as_str(), "https://api.fly.io/");
    assert_eq!((overridden.flaps.as_str(), overridden.registry.as_str()), ("https://api.machines.dev/", "127.0.0.1:5000"));
    let broken = FlyEndpoints::from_lookup(|name| (name == "FLY_FLAPS_BASE_URL").then(|| "not an address".into()));
    assert!(broken.unwrap_err().to_string().contains("FLY_FLAPS_BASE_URL"));
}

#[tokio::test(start_paused = true)]
async fn a_first_release_makes_two_machines_and_can_be_taken_back_to_nothing() {
    let stage = Stage::new(TOML, &[]).await;
    let before = stage.observe().await;
    assert!(before.serving.is_empty());
    let after = stage.prepare().await.unwrap();
    assert_eq!((stage.fly.machines(APP).len(), stage.routable().len()), (2, 0));
    let served = stage.serve(Phase::CutOver, &after).await.unwrap();
    assert_eq!(served.single().unwrap().digest, after.digest);
    assert_eq!(stage.routable().len(), 2);
    let observed = stage.target.unserve(&stage.scope("r-1", Phase::RollBack), &after).await.unwrap();
    assert!(observed.serving.is_empty());
    stage.target.prune(&stage.scope("r-1", Phase::RollBack), &[after]).await.unwrap();
    assert!(stage.fly.machines(APP).is_empty());
}

#[tokio::test(start_paused = true)]
async fn prune_never_removes_what_serves_or_what_is_not_ours() {
    let stage = Stage::new(TOML, &["iad"]).await;
    let before = stage.before().await;
    let prune = async |revision: &Revision| stage.target.prune(&stage.scope("r-1", Phase::Finish), std::slice::from_ref(revision)).await;
    assert!(prune(&before).await.is_err(), "it serves");
    let after = stage.prepare().await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    assert!(prune(&after).await.is_err(), "it serves now");
    let mut another = before.clone();
    another.release = Some("r-0".into());
    prune(&another).await.unwrap();
    assert_eq!(stage.fly.machines(APP).len(), 2, "its stamp is not that of r-0, so it is another revision");
    prune(&before).await.unwrap();
    prune(&before).await.unwrap();
    assert_eq!(stage.fly.machines(APP).len(), 1, "gone already is done");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_begins_nothing_and_waits_no_longer() {
    let stage = Stage::new(TOML, &["iad"]).await;
    stage.fly.behave(APP, Which::FromNowOn, Behaviour::NeverHealthy);
    let scope = stage.scope("r-1", Phase::Prepare);
    let before = stage.observe().await;
    let artifact = artifact();
    let prepare = stage.target.prepare(&scope, &artifact, &before, &[]);
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        scope.shutdown.raise(Level::Drain);
    };
    let (prepared, ()) = tokio::join!(prepare, cancel);
    assert!(prepared.unwrap_err().cancelled());
    let again = stage.target.prepare(&scope, &artifact, &before, &[]).await.unwrap_err();
    assert!(again.cancelled());
    assert_eq!(stage.asked("create_machine"), 1);
}

#[tokio::test(start_paused = true)]
async fn preflight_says_what_is_missing_and_what_to_type() {
    let stage = Stage::new(TOML, &["iad"]).await;
    let config = FlyConfig::parse(
        "app = 'other'\n[deploy]\nstrategy = 'bluegreen'\n[[services]]\ninternal_port = 80\n[mounts]\nsource = 'd'\ndestination = '/d'",
    )
    .unwrap();
    let transport = Transport::new(Arc::new(InProcess::new(stage.world.clone())), Clock::system(), Arc::new(Chance::seeded(1)));
    let make = |app: &str, token: &str| {
        let settings = FlySettings {
            secrets: vec!["DATABASE_URL".into(), "JWT".into()],
            ..FlySettings::new(Name::parse("b").unwrap(), app, config.clone())
        };
        FlyTarget::new(settings, FlyEndpoints::from_lookup(|_| None).unwrap(), &token.to_owned().into(), transport.clone())
    };
    let scope = stage.scope("r-1", Phase::Preflight);
    let problems = make(APP, "fm2_deploy").unwrap().preflight(&scope).await.unwrap();
    let codes: Vec<_> = problems.iter().map(|problem| (problem.code, problem.fatal)).collect();
    assert_eq!(
        codes,
        [
            ("fly::other-app", false),
            ("secret::missing", true),
            ("fly::bluegreen-volume", true),
            ("fly::bluegreen-checks", true),
            ("fly::volume", true)
        ]
    );
    assert_eq!(problems[1].hint.as_deref(), Some("set JWT in the environment of this run, or type: fly secrets set --stage -a api JWT=…"));

    stage.fly.switch(|switches| switches.bluegreen_allowed = false);
    let problems = stage.target.preflight(&scope).await.unwrap();
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["fly::bluegreen-limit"]);

    let error = make(APP, "fm2_wrong").unwrap().preflight(&scope).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unauthorized(_)), "{error}");
    let error = make("nowhere", "fm2_deploy").unwrap().preflight(&scope).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::NotFound(_)), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("fly apps create nowhere")), "{:?}", error.hints);
    assert!(make(APP, " Bearer ,").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_release_meets_no_rate_limit() {
    let stage = Stage::new(TOML, &["iad", "iad", "iad", "fra", "fra", "fra", "lhr", "lhr", "lhr", "lhr"]).await;
    let limit = |operation: &str, per_second, burst| cutover::embedded::fault::Limit {
        platform: "fly".into(),
        operation: operation.into(),
        per_second,
        burst,
        retry_after: None,
        body: "rate limit exceeded".into(),
    };
    stage.world.ground().faults.limit(limit("*", 1.0, 3));
    stage.world.ground().faults.limit(limit("get_machine", 5.0, 10));
    let before = stage.before().await;
    let after = stage.prepare().await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    stage.target.prune(&stage.scope("r-1", Phase::Finish), &[before]).await.unwrap();
    let entries = stage.world.ground().tape.entries();
    let refused: Vec<&str> = entries.iter().filter(|entry| entry.fault.is_some()).map(|entry| entry.boundary.as_str()).collect();
    assert_eq!(refused, [""; 0]);
    assert_eq!(stage.fly.machines(APP).len(), 10);
}
