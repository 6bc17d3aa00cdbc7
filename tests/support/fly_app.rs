//! One app on the embedded Fly, in process and in virtual time, and runners that release it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::clock::Clock;
use cutover::embedded::fly::{Fleet, Fly, Group, MachineView, Scope as TokenScope, Switches};
use cutover::embedded::registry::Registry;
use cutover::embedded::world::World;
use cutover::event::{EventKind, Events, Phase};
use cutover::http::{Transport, Wire};
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::fly::machine_config::render;
use cutover::platform::fly::toml::FlyConfig;
use cutover::platform::fly::{FlyEndpoints, FlySettings, FlyTarget};
use cutover::platform::{AnyTarget, Artifact, Target};
use cutover::release::journal::{Journal, Kept, Owner, State};
use cutover::release::lock::{Nobody, Patience, Turn, turn};
use cutover::release::plan::Shipment;
use cutover::release::store::file::FileStore;
use cutover::release::{Context, EndedKept, Ending, Move, Plan, Recovered, Release, Timing, end_due, look_at_closed, recover};
use cutover::shutdown::Shutdown;

pub(crate) use super::bench::{APP, OLD};
use super::bench::{get, name};
use super::wire::InProcess;

pub(crate) const TOML: &str = r#"
app = "api"
primary_region = "iad"
kill_timeout = "35s"
[http_service]
internal_port = 8080
auto_stop_machines = "off"
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#;

/// An app, and the journal of its environment.
pub(crate) struct FlyApp {
    pub(crate) world: World,
    pub(crate) fly: Fly,
    pub(crate) clock: Clock,
    pub(crate) settings: FlySettings,
    journals: tempfile::TempDir,
    heard: Arc<Mutex<Vec<EventKind>>>,
}

impl FlyApp {
    /// An app with so many machines of an earlier release by flyctl in each region.
    pub(crate) async fn new(places: &[(&str, usize)], switches: Switches) -> Self {
        let clock = Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap());
        let world = World::in_process(clock, Chance::seeded(7));
        let registry = Registry::add_to(&world).unwrap();
        let fly = Fly::add_to(&world, &registry, switches);
        fly.seed_token("fm2_deploy", &TokenScope::App(APP.into()), "deployer");
        fly.seed_app(APP, "acme", &[]);
        registry.stand_in(APP, "old", OLD.split_once('@').unwrap().1);
        for number in 1..=9 {
            registry.stand_in(APP, &format!("v{number}"), &digest(number));
        }
        let config = FlyConfig::parse(TOML).unwrap();
        let group = Group::of("app", render(&config, "app", OLD, None).into(), places);
        fly.seed_fleet(&Fleet { app: APP, image: OLD, groups: &[group] });
        let settings = FlySettings::new(name("api"), APP, config);
        // The edges have learnt what serves.
        tokio::time::sleep(Duration::from_secs(25)).await;
        Self { world, fly, clock, settings, journals: tempfile::tempdir().unwrap(), heard: Arc::default() }
    }

    pub(crate) fn wire(&self) -> Arc<dyn Wire> {
        Arc::new(InProcess::new(self.world.clone()))
    }

    pub(crate) fn journal(&self) -> Journal {
        let owner = Owner::process("someone@laptop/42");
        let path = FileStore::path(self.journals.path(), &name("shop"), &name("production"));
        let store = FileStore::open(&path, &owner).unwrap();
        futures_util::FutureExt::now_or_never(Journal::open(Box::new(store), owner, self.clock)).unwrap().unwrap()
    }

    pub(crate) fn state(&self) -> State {
        self.journal().state().clone()
    }

    /// What the newest record says is kept.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.state().kept.get(&name("api")).cloned()
    }

    pub(crate) fn context(&self, id: &str, wire: Arc<dyn Wire>) -> Context {
        let (events, mut receiver) = Events::channel(self.clock);
        let list = self.heard.clone();
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                list.lock().unwrap().push(event.kind);
            }
        });
        let seed = id.bytes().fold(3_u64, |seed, byte| seed.wrapping_mul(257).wrapping_add(u64::from(byte)));
        Context {
            product: name("shop"),
            environment: name("production"),
            release: ReleaseId::from_text(id),
            commit: "c".repeat(40),
            reason: "a test".into(),
            transport: Transport::new(wire, self.clock, Arc::new(Chance::seeded(seed))),
            events,
            shutdown: Shutdown::default(),
            timing: Timing { watch: Duration::from_secs(2), ..Timing::default() },
            secrets: BTreeMap::new(),
            drift: cutover::release::DriftPolicy::default(),
            changes: cutover::platform::Changes::default(),
            hostnames: cutover::platform::cloudflare::dns::Hostnames::default(),
        }
    }

    fn target(&self, context: &Context, journal: &Journal) -> AnyTarget {
        Self::target_of(self.settings.clone(), context, journal)
    }

    fn target_of(settings: FlySettings, context: &Context, journal: &Journal) -> AnyTarget {
        let transport = context.transport.guarded(Arc::new(journal.ownership().clone()));
        let endpoints = FlyEndpoints::from_lookup(|_| None).unwrap();
        let target = FlyTarget::new(settings, endpoints, &"FlyV1 fm2_deploy".to_owned().into(), transport).unwrap();
        AnyTarget::Fly(Box::new(target))
    }

    /// Releases the numbered image.
    pub(crate) async fn release(&self, number: usize) -> Ending {
        self.release_over(number, self.wire()).await
    }

    pub(crate) async fn release_over(&self, number: usize, wire: Arc<dyn Wire>) -> Ending {
        let digest = digest(number);
        let artifact = Artifact::Image { reference: format!("registry.fly.io/{APP}:v{number}@{digest}"), digest, stand_in: true };
        self.ship(&format!("r-{number}"), Shipment::New(artifact), wire).await
    }

    /// Goes back to what served before.
    pub(crate) async fn go_back(&self, id: &str, wire: Arc<dyn Wire>) -> Ending {
        let previous = self.state().previous().unwrap().targets[&name("api")].clone();
        self.ship(id, Shipment::Earlier(Box::new(previous)), wire).await
    }

    async fn ship(&self, id: &str, shipment: Shipment, wire: Arc<dyn Wire>) -> Ending {
        let context = self.context(id, wire);
        let mut journal = self.journal();
        let target = self.target(&context, &journal);
        let checks = vec![get("/health", None)];
        let problems = target.preflight(&context.scope(Phase::Preflight, &context.shutdown)).await.unwrap();
        assert!(problems.iter().all(|problem| !problem.fatal), "{problems:?}");
        let moves = vec![Move { target, shipment, after: Vec::new(), checks }];
        let plan = Plan::make(&context, moves).await.unwrap();
        Release::new(context, &mut journal, plan).run().await
    }

    /// What the scheduled recovery does, with what the journal alone says of the target; a look at closed releases included.
    pub(crate) async fn tidy(&self, wire: Arc<dyn Wire>) -> (Recovered, Vec<EndedKept>) {
        // No two processes draw the same chance.
        let context = self.context(&format!("r-tidy-{}", self.clock.elapsed().as_millis()), wire);
        let mut journal = self.journal();
        let reached = journal.state().reached();
        let settings =
            reached.get(&name("api")).map_or_else(|| self.settings.clone(), |at| FlySettings::recorded(name("api"), &at.thing, &at.reach));
        let target = Self::target_of(settings, &context, &journal);
        let by_name: BTreeMap<Name, &AnyTarget> = [(target.name().clone(), &target)].into();
        match turn(&context, &mut journal, &Nobody, Patience::NONE).await.unwrap() {
            Turn::Free => {
                let ended = end_due(&context, &mut journal, &by_name).await;
                for found in look_at_closed(&context, &journal, &by_name).await {
                    assert!(found.removed.is_empty() && found.error.is_none(), "{found:?}");
                }
                (Recovered::Nothing, ended)
            }
            Turn::Abandoned(abandoned) => (recover(&context, &mut journal, &by_name, &abandoned).await.unwrap(), Vec::new()),
        }
    }

    pub(crate) fn machines(&self) -> Vec<MachineView> {
        self.fly.machines(APP)
    }

    /// How many machines run this image, and how many of them users reach.
    pub(crate) fn of(&self, image: &str) -> (usize, usize) {
        let all: Vec<_> = self.machines().into_iter().filter(|machine| machine.image == image || machine.image.ends_with(image)).collect();
        (all.len(), all.iter().filter(|machine| machine.routable).count())
    }

    /// How often each operation was asked so far.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for entry in self.world.ground().tape.entries().into_iter().filter(|entry| entry.platform == "fly") {
            *asked.entry(entry.operation).or_default() += 1;
        }
        asked
    }

    pub(crate) fn notices(&self, wanted: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let text = |kind: &EventKind| match kind {
            EventKind::Notice { code, text, .. } if *code == wanted => Some(text.clone()),
            _ => None,
        };
        heard.iter().filter_map(text).collect()
    }
}

/// The digest of a numbered image.
pub(crate) fn digest(number: usize) -> String {
    format!("sha256:{}", (number + 1).to_string().repeat(64))
}
