//! Every strategy against every shape of app, failing at every phase: what the embedded Fly has afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cutover::clock::Clock;
use cutover::embedded::fault::Rule;
use cutover::embedded::fly::{
    Behaviour, Fleet, Fly, Group, MachineState, MachineView, Mount, Pick, Scope as TokenScope, Seeded, Shortage, Switches, Which,
};
use cutover::embedded::registry::Registry;
use cutover::embedded::world::World;
use cutover::event::{Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::fly::machine_config::render;
use cutover::platform::fly::toml::FlyConfig;
use cutover::platform::fly::{FlyEndpoints, FlySettings, FlyTarget};
use cutover::platform::{Artifact, Health, Observed, PlatformError, PlatformErrorKind, Revision, Scope, Target};
use cutover::shutdown::Shutdown;

use crate::support::bench::{APP, NEW, OLD};
use crate::support::wire::InProcess;

const WEB: &str = r#"
app = "api"
primary_region = "iad"
kill_timeout = "2s"
[env]
GREETING = "hello"
[http_service]
internal_port = 8080
auto_stop_machines = "stop"
auto_start_machines = true
processes = ["app"]
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#;
const GROUPS: &str = "[processes]\napp = 'serve'\nworker = 'work'\n";
const VOLUME: &str = "[mounts]\nsource = 'data'\ndestination = '/data'\n";

/// What an app looks like before.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    toml: &'static str,
    web: &'static [(&'static str, usize)],
    /// Of the machines that serve, so many sleep.
    asleep: usize,
    volume: bool,
    /// Started workers and one standby.
    workers: usize,
}

const SHAPES: [Shape; 6] = [
    Shape { name: "single", toml: "", web: &[("iad", 1)], asleep: 0, volume: false, workers: 0 },
    Shape { name: "many", toml: "", web: &[("iad", 5)], asleep: 0, volume: false, workers: 0 },
    Shape { name: "volume", toml: VOLUME, web: &[("iad", 2)], asleep: 0, volume: true, workers: 0 },
    Shape { name: "regions", toml: "", web: &[("iad", 2), ("fra", 1), ("syd", 1)], asleep: 0, volume: false, workers: 0 },
    Shape { name: "groups", toml: GROUPS, web: &[("iad", 1), ("fra", 1)], asleep: 0, volume: false, workers: 2 },
    Shape { name: "asleep", toml: "", web: &[("iad", 3)], asleep: 2, volume: false, workers: 0 },
];

const STRATEGIES: [&str; 4] = ["bluegreen", "rolling", "canary", "immediate"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Never,
    Prepare,
    Verify,
    CutOver,
    Watch,
}

struct Stage {
    world: World,
    fly: Fly,
    target: FlyTarget,
    seeded: Vec<Seeded>,
    toml: String,
}

fn scope(phase: Phase) -> Scope {
    Scope {
        product: Name::parse("shop").unwrap(),
        environment: Name::parse("production").unwrap(),
        release: ReleaseId::from_text("r-1"),
        commit: "c0ffee".into(),
        phase,
        events: Events::channel(Clock::system()).0,
        shutdown: Shutdown::default(),
        changes: cutover::platform::Changes::default(),
        turn: cutover::platform::Turn::default(),
        expected: None,
    }
}

impl Stage {
    fn new(shape: &Shape, strategy: &str) -> Self {
        let toml = format!("{WEB}{}\n[deploy]\nstrategy = '{strategy}'\nmax_unavailable = 0.5\n", shape.toml);
        let toml = toml.as_str();
        // Events are told apart by their time, which therefore is the tests' own.
        let world = World::in_process(Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap()), Chance::seeded(7));
        let registry = Registry::add_to(&world).unwrap();
        let fly = Fly::add_to(&world, &registry, Switches::default());
        fly.seed_token("fm2_deploy", &TokenScope::App(APP.into()), "deployer");
        fly.seed_app(APP, "acme", &[]);
        registry.stand_in(APP, "old", OLD.split_once('@').unwrap().1);
        registry.stand_in(APP, "new", NEW);
        let config = FlyConfig::parse(toml).unwrap();
        let of = |group: &str| {
            let mut config = render(&config, group, OLD, None);
            config["env"]["VERSION"] = "old".into();
            serde_json::Value::from(config)
        };
        let mount = shape.volume.then_some(Mount { name: "data", path: "/data", size_gb: 3 });
        let mut groups = vec![Group { mount, stopped: shape.asleep, ..Group::of("app", of("app"), shape.web) }];
        let workers = [("iad", shape.workers)];
        if shape.workers > 0 {
            groups.push(Group { standbys: 1, ..Group::of("worker", of("worker"), &workers) });
        }
        let seeded = fly.seed_fleet(&Fleet { app: APP, image: OLD, groups: &groups });
        let target = target(&world, FlyConfig::parse(toml).unwrap());
        Self { world, fly, target, seeded, toml: toml.to_owned() }
    }

    async fn observe(&self) -> Observed {
        self.target.observe(&scope(Phase::Observe)).await.unwrap()
    }

    async fn prepare(&self, before: &Observed) -> Result<Revision, PlatformError> {
        let artifact = Artifact::Image { reference: format!("registry.fly.io/{APP}:new@{NEW}"), digest: NEW.into(), stand_in: true };
        self.target.prepare(&scope(Phase::Prepare), &artifact, before, &[]).await
    }

    async fn serve(&self, phase: Phase, revision: &Revision) -> Result<Observed, PlatformError> {
        self.target.serve(&scope(phase), revision).await
    }

    /// Goes back as a release does whose runner has died: in another process, without today's fly.toml.
    async fn go_back(&self, before: &Revision, after: Option<&Revision>, served: bool) {
        let target = target(&self.world, FlyConfig::default());
        if served {
            target.serve(&scope(Phase::RollBack), before).await.unwrap();
        }
        let mut left = target.observe(&scope(Phase::RollBack)).await.unwrap().leftovers;
        left.extend(after.cloned());
        target.prune(&scope(Phase::RollBack), &left).await.unwrap();
        target.release_holds(&scope(Phase::RollBack)).await;
    }

    fn machines(&self) -> Vec<MachineView> {
        self.fly.machines(APP)
    }

    /// How many machines each group has in each region, running or not.
    fn counts(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for machine in self.machines() {
            *counts.entry((machine.group.clone().unwrap_or_default(), machine.region.clone())).or_default() += 1;
        }
        counts
    }

    /// What must hold at rest, on whichever side.
    fn at_rest(&self, shape: &Shape, case: &str, wanted: &str) {
        let machines = self.machines();
        assert_eq!(self.counts(), seeded_counts(&self.seeded), "{case}");
        for machine in &machines {
            assert!(machine.image.contains(wanted), "{case}: {machine:?}");
            assert!(!machine.cordoned && !machine.leased, "{case}: {machine:?}");
            assert_eq!(machine.metadata.contains_key("cutover_release"), wanted == NEW, "{case}: {machine:?}");
        }
        let running = |group: &str| {
            machines.iter().filter(|machine| machine.group.as_deref() == Some(group) && machine.state == MachineState::Started).count()
        };
        let all: usize = shape.web.iter().map(|(_, count)| count).sum();
        assert_eq!(running("app"), all - shape.asleep, "{case}: what sleeps sleeps");
        assert_eq!(running("worker"), shape.workers, "{case}: standbys wait");
        for volume in self.fly.volumes(APP) {
            assert!(volume.attached.is_some(), "{case}: {volume:?}");
        }
        let had: Vec<_> = self.seeded.iter().filter(|seeded| seeded.volume.is_some()).collect();
        for seeded in had {
            let machine = machines.iter().find(|machine| machine.id == seeded.id).unwrap();
            assert_eq!(machine.volume, seeded.volume, "{case}: the same machine with the same volume");
        }
    }
}

fn seeded_counts(seeded: &[Seeded]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for machine in seeded {
        *counts.entry((machine.group.clone(), machine.region.clone())).or_default() += 1;
    }
    counts
}

fn target(world: &World, config: FlyConfig) -> FlyTarget {
    let transport = Transport::new(Arc::new(InProcess::new(world.clone())), world.ground().clock, Arc::new(Chance::seeded(1)));
    let settings =
        FlySettings { wait_deadline: Some(Duration::from_secs(30)), ..FlySettings::new(Name::parse("backend").unwrap(), APP, config) };
    FlyTarget::new(settings, FlyEndpoints::from_lookup(|_| None).unwrap(), &"FlyV1 fm2_deploy".to_owned().into(), transport).unwrap()
}

/// Plays one release; returns whether what was to fail did.
async fn play(shape: &Shape, strategy: &str, fails: Fails) -> bool {
    let case = format!("{} by {strategy}, {fails:?}", shape.name);
    let stage = Stage::new(shape, strategy);
    let before = stage.observe().await;
    let single = before.single().unwrap_or_else(|| panic!("{case}: {before:?}")).clone();
    let old: Vec<String> = stage.machines().into_iter().map(|machine| machine.id).collect();
    if fails == Fails::Prepare {
        stage.fly.behave(APP, Which::Image(NEW.into()), Behaviour::CrashesAtStart(1));
    }
    let after = match stage.prepare(&before).await {
        Ok(after) if fails != Fails::Prepare => after,
        Ok(_) => return false,
        Err(error) => {
            assert_eq!(fails, Fails::Prepare, "{case}: {error}");
            stage.go_back(&single, None, false).await;
            stage.at_rest(shape, &case, OLD);
            return true;
        }
    };
    let new: Vec<MachineView> = stage.machines().into_iter().filter(|machine| !old.contains(&machine.id)).collect();
    for machine in &new {
        assert!(!machine.routable, "{case}: {machine:?}");
        let works = machine.group.as_deref() == Some("worker") && machine.state == MachineState::Started;
        assert!(!works, "{case}: no worker works before it serves");
    }
    if fails == Fails::Verify {
        let Some(runs) = new.iter().find(|machine| machine.state == MachineState::Started) else { return false };
        stage.fly.machine_dies(APP, &Pick::Id(runs.id.clone()), cutover::embedded::fly::Death::AgainAndAgain, 9).unwrap();
        let health = stage.target.probe(&scope(Phase::Verify), &after).await.unwrap();
        assert!(matches!(health, Health::Unhealthy(_)), "{case}: {health:?}");
        stage.go_back(&single, Some(&after), false).await;
        stage.at_rest(shape, &case, OLD);
        return true;
    }
    if fails == Fails::CutOver {
        let operation = if new.is_empty() { "update_machine" } else { "uncordon_machine" };
        let last = if new.is_empty() { old.len() - 1 } else { new.len() };
        let boundary = format!("fly.{operation}[{APP}]#{}", last.max(1));
        let rule = Rule::at(&boundary, cutover::embedded::fault::Effect::None, Rule::status(422, None)).unwrap();
        stage.world.ground().faults.set(rule);
        if strategy != "bluegreen" && shape.asleep == 0 {
            stage.fly.behave(APP, Which::Image(NEW.into()), Behaviour::CrashesAtStart(1));
        }
        let error = stage.serve(Phase::CutOver, &after).await.expect_err(&case);
        assert!(!error.cancelled(), "{case}: {error}");
        stage.world.ground().faults.clear();
        stage.fly.behave_well(APP);
        stage.go_back(&single, Some(&after), true).await;
        stage.at_rest(shape, &case, OLD);
        return true;
    }
    let served = stage.serve(Phase::CutOver, &after).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(served.single().unwrap_or_else(|| panic!("{case}: {served:?}")).same_content(&after), "{case}");
    if fails == Fails::Watch {
        stage.go_back(&single, Some(&after), true).await;
        stage.at_rest(shape, &case, OLD);
        let now = stage.observe().await;
        assert!(now.single().unwrap().same_content(&single), "{case}");
        return true;
    }
    stage.target.prune(&scope(Phase::Finish), &[single]).await.unwrap();
    stage.target.release_holds(&scope(Phase::Finish)).await;
    stage.at_rest(shape, &case, NEW);
    true
}

fn makes_sense(shape: &Shape, strategy: &str) -> bool {
    // A volume belongs to one machine: preflight refuses these two.
    !shape.volume || !["bluegreen", "canary"].contains(&strategy)
}

#[tokio::test(start_paused = true)]
async fn every_strategy_and_every_shape_end_on_one_side_whatever_fails() {
    let mut failed: BTreeMap<String, usize> = BTreeMap::new();
    for shape in SHAPES {
        for strategy in STRATEGIES.into_iter().filter(|strategy| makes_sense(&shape, strategy)) {
            for fails in [Fails::Never, Fails::Prepare, Fails::Verify, Fails::CutOver, Fails::Watch] {
                if Box::pin(play(&shape, strategy, fails)).await {
                    *failed.entry(format!("{fails:?}")).or_default() += 1;
                }
            }
        }
    }
    // In place nothing runs before it serves, so that only bluegreen and canaries can fail at prepare, and only bluegreen at verify.
    let told: Vec<String> = failed.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
    insta::assert_snapshot!(told.join(", "), @"CutOver 22, Never 22, Prepare 10, Verify 5, Watch 22");
}

#[tokio::test(start_paused = true)]
async fn workers_start_before_the_old_ones_drain_and_stay_stopped_until_the_end() {
    let stage = Stage::new(&SHAPES[4], "bluegreen");
    let before = stage.observe().await;
    let after = stage.prepare(&before).await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    let tape = stage.world.ground().tape.entries();
    let at = |operation: &str| tape.iter().position(|entry| entry.operation == operation);
    let last = |operation: &str| tape.iter().rposition(|entry| entry.operation == operation);
    assert!(at("cordon_machine") < at("start_machine"), "the web group moves first");
    assert!(last("start_machine") < at("stop_machine"), "new ones work before old ones stop");
    let stop = tape.iter().find(|entry| entry.operation == "stop_machine").unwrap();
    assert_eq!(stop.request.json().unwrap()["timeout"], "2s", "the kill_timeout of fly.toml");
    let old: Vec<_> =
        stage.machines().into_iter().filter(|machine| machine.image == OLD && machine.group.as_deref() == Some("worker")).collect();
    assert_eq!(old.len(), 3);
    assert!(old.iter().all(|machine| machine.cordoned && machine.state == MachineState::Stopped), "{old:?}");
    let new: Vec<_> = stage.machines().into_iter().filter(|machine| machine.image != OLD).collect();
    let standby = new.iter().find(|machine| machine.group.as_deref() == Some("worker") && machine.state == MachineState::Stopped).unwrap();
    stage.fly.host_fails(APP, &Pick::Id(new.iter().find(|one| one.group == standby.group && one.id != standby.id).unwrap().id.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let standby = stage.machines().into_iter().find(|machine| machine.id == standby.id).unwrap();
    assert_eq!(standby.state, MachineState::Started, "it stands by for the new machine, not for the old one");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_room_for_its_new_version_is_replaced_and_comes_back() {
    for kind in [Shortage::InPlace, Shortage::HostClosed] {
        for back in [false, true] {
            let stage = Stage::new(&SHAPES[3], "rolling");
            let before = stage.observe().await;
            let single = before.single().unwrap().clone();
            let after = stage.prepare(&before).await.unwrap();
            stage.fly.runs_short(APP, kind, Some("fra"), 1);
            let served = stage.serve(Phase::CutOver, &after).await.unwrap();
            assert!(served.single().unwrap().same_content(&after));
            assert_eq!(stage.machines().len(), 5, "the old one lives until the end");
            if back {
                stage.go_back(&single, Some(&after), true).await;
                stage.at_rest(&SHAPES[3], "back", OLD);
            } else {
                stage.target.prune(&scope(Phase::Finish), &[single]).await.unwrap();
                stage.at_rest(&SHAPES[3], "forward", NEW);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_on_a_dead_host_is_refused_with_what_to_type_and_a_machine_without_one_is_replaced() {
    let stage = Stage::new(&SHAPES[2], "rolling");
    let dead = stage.fly.host_fails(APP, &Pick::Nth(1)).unwrap();
    let problems = stage.target.preflight(&scope(Phase::Preflight)).await.unwrap();
    let problem = problems.iter().find(|problem| problem.fatal).unwrap();
    assert!(problem.text.contains(&dead) && problem.hint.as_ref().unwrap().contains("fly volumes snapshots list"), "{problem:?}");
    let error = stage.prepare(&stage.observe().await).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Impossible(_)), "{error}");

    for strategy in ["bluegreen", "rolling"] {
        let stage = Stage::new(&SHAPES[3], strategy);
        stage.fly.host_fails(APP, &Pick::Nth(2)).unwrap();
        let before = stage.observe().await;
        assert_eq!(before.serving.len(), 1);
        let after = stage.prepare(&before).await.unwrap();
        let served = stage.serve(Phase::CutOver, &after).await.unwrap();
        assert!(served.single().unwrap().same_content(&after), "{strategy}");
        stage.target.prune(&scope(Phase::Finish), &[before.single().unwrap().clone()]).await.unwrap();
        stage.at_rest(&SHAPES[3], strategy, NEW);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_release_makes_what_fly_toml_needs() {
    let groups = format!("{WEB}{GROUPS}{VOLUME}processes = ['worker']\n");
    for (toml, machines, volumes) in [(groups, 3, 1), (format!("{WEB}{GROUPS}"), 4, 0), (format!("{WEB}{VOLUME}"), 1, 1)] {
        let shape = Shape { web: &[], ..SHAPES[0] };
        let stage = Stage::new(&shape, "rolling");
        let stage = Stage { target: target(&stage.world, FlyConfig::parse(&toml).unwrap()), ..stage };
        let problems = stage.target.preflight(&scope(Phase::Preflight)).await.unwrap();
        assert!(problems.iter().all(|problem| !problem.fatal), "{problems:?}");
        let after = stage.prepare(&stage.observe().await).await.unwrap();
        assert!(stage.machines().iter().all(|machine| machine.cordoned));
        let served = stage.serve(Phase::CutOver, &after).await.unwrap();
        assert!(served.single().unwrap().same_content(&after));
        assert_eq!((stage.machines().len(), stage.fly.volumes(APP).len()), (machines, volumes), "{toml}");
        let waiting = stage.machines().into_iter().filter(|machine| machine.state == MachineState::Stopped).count();
        assert_eq!(waiting, usize::from(machines == 4), "one standby of the worker");
        stage.target.unserve(&scope(Phase::RollBack), &after).await.unwrap();
        stage.target.prune(&scope(Phase::RollBack), &[after]).await.unwrap();
        assert!(stage.machines().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn going_back_leaves_every_machine_what_it_was_even_where_they_differed() {
    let stage = Stage::new(&SHAPES[1], "rolling");
    let edit = cutover::embedded::fly::Edit::Variable("ONLY".into(), "here".into());
    stage.fly.person_updates(APP, &Pick::Nth(0), &edit).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let was: Vec<String> = stage.machines().into_iter().map(|machine| machine.content).collect();
    let before = stage.observe().await;
    assert_eq!(before.serving.len(), 2);
    let after = stage.prepare(&before).await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    let most = before.serving.iter().max_by(|a, b| a.percent.total_cmp(&b.percent)).unwrap();
    stage.go_back(&most.revision, Some(&after), true).await;
    let now: Vec<String> = stage.machines().into_iter().map(|machine| machine.content).collect();
    assert_eq!(now, was);
}

#[tokio::test(start_paused = true)]
async fn groups_that_come_and_go_are_told_and_moved() {
    let stage = Stage::new(&SHAPES[4], "bluegreen");
    let toml = stage.toml.replace("worker = 'work'", "mailer = 'mail'");
    let stage = Stage { target: target(&stage.world, FlyConfig::parse(&toml).unwrap()), ..stage };
    let problems = stage.target.preflight(&scope(Phase::Preflight)).await.unwrap();
    let codes: Vec<_> = problems.iter().map(|problem| (problem.code, problem.fatal)).collect();
    assert_eq!(codes, [("fly::group-gone", false), ("fly::group-new", false)]);
    let before = stage.observe().await;
    let after = stage.prepare(&before).await.unwrap();
    stage.serve(Phase::CutOver, &after).await.unwrap();
    stage.target.prune(&scope(Phase::Finish), &[before.single().unwrap().clone()]).await.unwrap();
    let groups: BTreeMap<String, usize> = stage.counts().into_iter().fold(BTreeMap::new(), |mut counts, ((group, _), count)| {
        *counts.entry(group).or_default() += count;
        counts
    });
    assert_eq!(groups, [("app".to_owned(), 2), ("mailer".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_somebody_adds_meanwhile_ends_with_what_served_before_or_comes_back_with_it() {
    for (shape, strategy) in [(&SHAPES[1], "bluegreen"), (&SHAPES[1], "rolling"), (&SHAPES[4], "bluegreen")] {
        for (back, forgotten) in [(false, false), (false, true), (true, false)] {
            let case = format!("{} by {strategy}, back {back}, forgotten {forgotten}", shape.name);
            let stage = Stage::new(shape, strategy);
            let before = stage.observe().await;
            let single = before.single().unwrap().clone();
            let after = stage.prepare(&before).await.unwrap();
            let added = stage.fly.person_clones(APP, &Pick::Id(stage.seeded[0].id.clone())).unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            let known = Scope { expected: Some(vec![single.clone()]), ..scope(Phase::CutOver) };
            stage.target.serve(&known, &after).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            let left = stage.machines().into_iter().find(|machine| machine.id == added).unwrap();
            assert!(left.cordoned && left.image == OLD, "{case}: {left:?}");
            if back {
                stage.go_back(&single, Some(&after), true).await;
                let mut counts = seeded_counts(&stage.seeded);
                *counts.get_mut(&("app".to_owned(), "iad".to_owned())).unwrap() += 1;
                assert_eq!(stage.counts(), counts, "{case}");
                assert!(stage.machines().iter().all(|machine| machine.image == OLD && !machine.cordoned), "{case}");
            } else {
                // A runner that died after the commit has told nobody what it took out of routing.
                let finishing = if forgotten { target(&stage.world, FlyConfig::default()) } else { stage.target };
                finishing.prune(&scope(Phase::Finish), &[single]).await.unwrap();
                let machines = stage.fly.machines(APP);
                assert_eq!(machines.len(), stage.seeded.len(), "{case}");
                assert!(machines.iter().all(|machine| machine.image != OLD && !machine.cordoned), "{case}: {machines:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_comes_after_the_migration_and_after_the_secrets_and_leaves_nothing() {
    for crashes in [false, true] {
        let mut app = crate::support::fly_app::FlyApp::new(&[("iad", 2)], Switches::default()).await;
        let toml = format!("{}[deploy]\nstrategy = 'canary'\nrelease_command = 'migrate'\n", crate::support::fly_app::TOML);
        app.settings.config = FlyConfig::parse(&toml).unwrap();
        app.settings.secrets = vec!["KEY".to_owned()];
        app.settings.secret_values = [("KEY".to_owned(), "new".to_owned().into())].into();
        if crashes {
            app.fly.behave(APP, Which::Group("app".to_owned()), Behaviour::CrashesAtStart(1));
        }
        let ending = app.release(1).await;
        assert_eq!(ending.outcome == cutover::event::Outcome::Finished, !crashes, "{:?}", ending.failure);
        let tape = app.world.ground().tape.entries();
        let group = |entry: &cutover::embedded::tape::Entry| {
            let metadata = entry.request.json()?.get("config")?.get("metadata")?.clone();
            Some((metadata.get("fly_process_group")?.as_str()?.to_owned(), metadata.get("fly_canary").is_some()))
        };
        let made: Vec<_> = tape.iter().filter(|entry| entry.operation == "create_machine").filter_map(group).collect();
        assert_eq!(made, [("fly_app_release_command".to_owned(), false), ("app".to_owned(), true)]);
        let at = |operation: &str| tape.iter().position(|entry| entry.operation == operation);
        let last = |operation: &str| tape.iter().rposition(|entry| entry.operation == operation);
        assert!(at("set_secrets") < last("create_machine"), "it runs with them");
        assert!(at("update_machine").is_none_or(|update| last("create_machine") < Some(update)), "before any machine of users");
        assert_eq!(app.machines().len(), 2);
        let image = if crashes { OLD.to_owned() } else { crate::support::fly_app::digest(1) };
        assert_eq!(app.of(&image), (2, 2), "{:?}", app.machines());
    }
}
