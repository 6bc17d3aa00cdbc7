//! A product on a Fly app and two Vercel projects, in process and in virtual time, and runners that release it.
//!
//! What serves is read from the embedded platforms' own state, never from the release's word alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::clock::Clock;
use cutover::embedded::fault::{Answer as Told, Effect, Rule, Times};
use cutover::embedded::fly::{Earlier, Fly, Scope as TokenScope, Switches};
use cutover::embedded::registry::Registry;
use cutover::embedded::vercel::{ProjectSeed, Tree, Vercel};
use cutover::embedded::world::World;
use cutover::event::{EventKind, Events, Phase};
use cutover::http::{Transport, Wire};
use cutover::id::{Chance, Name, ReleaseId};
use cutover::manifest::{Check, CheckRequest, Equals, Expect, ExpectedStatus};
use cutover::platform::fly::machine_config::render;
use cutover::platform::fly::toml::FlyConfig;
use cutover::platform::fly::{FlyDatabase, FlyEndpoints, FlySettings, FlyTarget};
use cutover::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource, VercelTarget};
use cutover::platform::{AnyTarget, Artifact, Target};
use cutover::release::journal::{Journal, Owner, Record};
use cutover::release::lock::{Nobody, Patience, Turn, turn};
use cutover::release::plan::Shipment;
use cutover::release::store::file::FileStore;
use cutover::release::{Context, Ending, Move, Plan, Recovered, Release, Timing, recover};
use cutover::shutdown::{Level, Shutdown};

use super::wire::InProcess;

pub(crate) const APP: &str = "api";
pub(crate) const TEAM: &str = "team_shop";
pub(crate) const PROJECTS: [&str; 2] = ["front", "docs"];
pub(crate) const OLD: &str = "registry.fly.io/api:old@sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const NEW: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
pub(crate) const TOML: &str = r#"
app = "api"
primary_region = "iad"
kill_timeout = "1s"
[http_service]
internal_port = 8080
auto_stop_machines = "off"
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
"#;

/// A product on a Fly app and two Vercel projects, and its journal.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) fly: Fly,
    pub(crate) registry: Registry,
    pub(crate) vercel: Vercel,
    pub(crate) clock: Clock,
    pub(crate) toml: String,
    /// Where the app's database is, and whether its release command breaks the code that serves.
    pub(crate) database: Option<FlyDatabase>,
    pub(crate) breaking: bool,
    pub(crate) sites: tempfile::TempDir,
    pub(crate) journals: tempfile::TempDir,
    /// What served at the beginning: machines of the app, then the deployment of each project.
    pub(crate) machines: BTreeSet<String>,
    pub(crate) deployments: BTreeMap<&'static str, Option<String>>,
    /// The app's secrets that the manifest names: name, the value that a run has, and whether a changed one is called compatible.
    pub(crate) secrets: Vec<(&'static str, Option<&'static str>, bool)>,
}

/// How a bench begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An earlier release serves; new machines stand beside the old ones.
    Bluegreen,
    /// An earlier release serves; its machines are replaced in place.
    Rolling,
    /// Nothing serves.
    First,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Bluegreen, Kind::Rolling, Kind::First];

/// What users of a target get, by the embedded platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Users {
    Before,
    After,
    Torn,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::of(Kind::Bluegreen).await
    }

    pub(crate) async fn of(kind: Kind) -> Self {
        let clock = Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap());
        let world = World::in_process(clock, Chance::seeded(7));
        let registry = Registry::add_to(&world).unwrap();
        let fly = Fly::add_to(&world, &registry, Switches::default());
        fly.seed_token("fm2_deploy", &TokenScope::App(APP.into()), "deployer");
        fly.seed_app(APP, "acme", &[]);
        registry.stand_in(APP, "old", OLD.split_once('@').unwrap().1);
        registry.stand_in(APP, "new", NEW);
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        vercel.seed_team(TEAM, "shop");
        vercel.seed_token("vercelToken", "usr_one", &[TEAM], None);
        let sites = tempfile::tempdir().unwrap();
        for project in PROJECTS {
            vercel.seed_project(ProjectSeed::new(project, &format!("prj_{project}"), TEAM));
            // No file is equal to one of the other site: which of two equal ones is uploaded would be a matter of chance.
            let output = sites.path().join(project).join(".vercel/output");
            std::fs::create_dir_all(output.join("static")).unwrap();
            std::fs::write(output.join("config.json"), format!("{{\"version\":3}}{}", " ".repeat(project.len()))).unwrap();
            std::fs::write(output.join("static/index.html"), format!("new {project}")).unwrap();
        }
        let toml = if kind == Kind::Rolling { format!("{TOML}\n[deploy]\nstrategy = 'rolling'\n") } else { TOML.to_owned() };
        if kind != Kind::First {
            let config = FlyConfig::parse(&toml).unwrap();
            let config = render(&config, "app", OLD, None).into();
            fly.seed_earlier_release(&Earlier { app: APP, config, regions: &["iad", "fra"], image: OLD, group: "app" }).await;
            for project in PROJECTS {
                let tree: Tree = [("index.html".to_owned(), b"old".to_vec())].into();
                vercel.seed_earlier_deployment(project, &tree, BTreeMap::new()).unwrap();
            }
        }
        let machines = fly.machines(APP).into_iter().map(|machine| machine.id).collect();
        let deployments = PROJECTS.map(|project| (project, vercel.production(project))).into();
        // The edges have learnt what serves.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (database, breaking) = (None, false);
        Self {
            database,
            breaking,
            world,
            fly,
            registry,
            vercel,
            clock,
            toml,
            sites,
            journals: tempfile::tempdir().unwrap(),
            machines,
            deployments,
            secrets: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        FileStore::path(self.journals.path(), &name("shop"), &name("production"))
    }

    pub(crate) fn journal(&self) -> Journal {
        let owner = Owner::process("someone@laptop/42");
        let store = FileStore::open(&self.path(), &owner).unwrap();
        // A file is there at once.
        futures_util::FutureExt::now_or_never(Journal::open(Box::new(store), owner, self.clock)).unwrap().unwrap()
    }

    pub(crate) fn records(&self) -> Vec<&'static str> {
        FileStore::read(&self.path()).unwrap().iter().map(|record: &Record| record.entry.as_str()).collect()
    }

    pub(crate) fn wire(&self) -> Arc<dyn Wire> {
        Arc::new(InProcess::new(self.world.clone()))
    }

    pub(crate) fn writes(&self) -> Vec<String> {
        let entries = self.world.ground().tape.entries();
        entries.into_iter().filter(|entry| entry.write).map(|entry| entry.boundary).collect()
    }

    pub(crate) fn strike(&self, boundary: &str, effect: Effect, answer: Told, times: Times) -> u64 {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap().times(times))
    }

    /// What users of the app and of each project get.
    pub(crate) fn users(&self) -> BTreeMap<&'static str, Users> {
        let routable: Vec<_> = self.fly.machines(APP).into_iter().filter(|machine| machine.routable).collect();
        let old = routable.iter().filter(|machine| machine.image == OLD).count();
        let app = match (old, routable.len() - old) {
            (old, 0) if old == self.machines.len() => Users::Before,
            (0, 2) if routable.iter().all(|machine| machine.revision.is_some() && machine.image.ends_with(NEW)) => Users::After,
            _ => Users::Torn,
        };
        let mut users = BTreeMap::from([(APP, app)]);
        for project in PROJECTS {
            let serves = self.vercel.production(project);
            let led = self.vercel.leads_to(&format!("{project}.vercel.app"));
            let made = self.vercel.deployments(project).into_iter().find(|seen| Some(&seen.id) == serves.as_ref());
            let placeholder = || made.as_ref().is_some_and(|seen| self.page_of(&seen.url).contains("about to be released"));
            let side = if serves != led {
                Users::Torn
            } else if serves.is_none() || serves == self.deployments[project] || (self.deployments[project].is_none() && placeholder()) {
                Users::Before
            } else if made.as_ref().is_some_and(|seen| seen.meta.contains_key("cutoverRelease")) {
                Users::After
            } else {
                Users::Torn
            };
            users.insert(project, side);
        }
        users
    }

    /// The page at a deployment's own address.
    pub(crate) fn page_of(&self, host: &str) -> String {
        let request = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
        let asked = async {
            use http_body_util::BodyExt;
            let answer = self.world.ground().traffic.ask(0, host, request).await;
            answer.into_body().collect().await.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default()
        };
        futures_util::FutureExt::now_or_never(asked).unwrap_or_default()
    }

    /// Everything is as users of this side get it, and nothing of the release is left over.
    #[track_caller]
    pub(crate) fn settled_on(&self, side: Users, told: &str) {
        let users = self.users();
        assert!(users.values().all(|seen| *seen == side), "{told}: {users:?}, {:?}", self.records());
        let machines: BTreeSet<String> = self.fly.machines(APP).into_iter().map(|machine| machine.id).collect();
        let made = |project: &str| self.vercel.deployments(project).into_iter().filter(|seen| seen.meta.contains_key("cutoverRelease"));
        if side == Users::Before {
            assert_eq!(machines, self.machines, "{told}: machines are left over");
        } else {
            // By `users`, two of the new revision are routed to.
            assert_eq!(machines.len(), 2, "{told}: old machines are left over");
        }
        for project in PROJECTS {
            let serves = self.vercel.production(project);
            let over: Vec<_> = made(project).filter(|seen| Some(&seen.id) != serves.as_ref() && seen.state != "DELETED").collect();
            // The placeholder of a first release stays: it is what the first revision could go back to.
            let allowed = usize::from(side == Users::After && self.deployments[project].is_none());
            assert!(over.len() <= allowed, "{told}: {over:?}");
            assert_eq!(self.vercel.auto_assigns(project), Some(true), "{told}: {project}");
        }
        assert!(self.journal().state().open.is_none(), "{told}: {:?}", self.records());
    }

    /// Runs a release to its end.
    pub(crate) async fn release(&self, id: &str) -> Ending {
        self.run(&Runner::new(self, id, self.wire())).await
    }

    pub(crate) async fn run(&self, runner: &Runner) -> Ending {
        let mut journal = self.journal();
        let plan = Plan::make(&runner.context, runner.moves(self)).await.unwrap();
        Release::new(runner.context.clone(), &mut journal, plan).run().await
    }

    /// Recovers as another runner would, with targets of its own.
    pub(crate) async fn recover(&self) -> Recovered {
        let runner = Runner::new(self, "r-recovery", self.wire());
        let targets = runner.targets(self);
        let by_name = targets.iter().map(|target| (target.name().clone(), target)).collect();
        let mut journal = self.journal();
        match turn(&runner.context, &mut journal, &Nobody, Patience::NONE).await.unwrap() {
            Turn::Free => Recovered::Nothing,
            Turn::Abandoned(abandoned) => recover(&runner.context, &mut journal, &by_name, &abandoned).await.unwrap(),
        }
    }
}

/// One process that releases.
pub(crate) struct Runner {
    pub(crate) context: Context,
    pub(crate) heard: Arc<Mutex<Vec<EventKind>>>,
}

impl Runner {
    pub(crate) fn new(bench: &Bench, id: &str, wire: Arc<dyn Wire>) -> Self {
        Self::hearing(bench, id, wire, |_| false)
    }

    /// A runner whose events are heard, and that is told to end when `when` says so.
    pub(crate) fn hearing(bench: &Bench, id: &str, wire: Arc<dyn Wire>, when: impl Fn(&EventKind) -> bool + Send + 'static) -> Self {
        let transport = Transport::new(wire, bench.clock, Arc::new(Chance::seeded(seed(id))));
        let (events, mut receiver) = Events::channel(bench.clock);
        let (shutdown, heard) = (Shutdown::default(), Arc::new(Mutex::new(Vec::new())));
        let (raised, list) = (shutdown.clone(), heard.clone());
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                if when(&event.kind) {
                    raised.raise(Level::Drain);
                }
                list.lock().unwrap().push(event.kind);
            }
        });
        let context = Context {
            product: name("shop"),
            environment: name("production"),
            release: ReleaseId::from_text(id),
            commit: "c".repeat(40),
            reason: "a test".into(),
            transport,
            events,
            shutdown,
            timing: Timing { watch: Duration::from_secs(2), ..Timing::default() },
            secrets: BTreeMap::new(),
            drift: cutover::release::DriftPolicy::default(),
            changes: cutover::platform::Changes::default(),
            hostnames: cutover::platform::cloudflare::dns::Hostnames::default(),
        };
        Self { context, heard }
    }

    pub(crate) fn targets(&self, bench: &Bench) -> [AnyTarget; 3] {
        let settings = FlySettings {
            drain_margin: Some(Duration::from_secs(1)),
            wait_deadline: Some(Duration::from_secs(60)),
            database: bench.database.clone(),
            breaking: bench.breaking,
            secrets: bench.secrets.iter().map(|(name, _, _)| (*name).to_owned()).collect(),
            secret_values: bench
                .secrets
                .iter()
                .filter_map(|(name, value, _)| Some(((*name).to_owned(), (*value)?.to_owned().into())))
                .collect(),
            compatible_secrets: bench.secrets.iter().filter(|(_, _, good)| *good).map(|(name, _, _)| (*name).to_owned()).collect(),
            ..FlySettings::new(name("api"), APP, FlyConfig::parse(&bench.toml).unwrap())
        };
        let endpoints = FlyEndpoints::from_lookup(|_| None).unwrap();
        // A database in an app of its own is beyond a deploy token.
        let token = if bench.database.is_some() { "FlyV1 fm2_org" } else { "FlyV1 fm2_deploy" };
        let fly = FlyTarget::new(settings, endpoints, &token.to_owned().into(), self.context.transport.clone()).unwrap();
        let vercel = |project: &str| {
            let settings = VercelSettings::new(name(project), project, Some(TEAM.into()), VercelSource::Directory);
            let endpoints = VercelEndpoints { api: "https://api.vercel.com".parse().unwrap() };
            let target = VercelTarget::new(settings, endpoints, "vercelToken".to_owned().into(), self.context.transport.clone());
            AnyTarget::Vercel(Box::new(target))
        };
        [AnyTarget::Fly(Box::new(fly)), vercel("front"), vercel("docs")]
    }

    /// The front end comes after the app; the documentation comes whenever it likes.
    pub(crate) fn moves(&self, bench: &Bench) -> Vec<Move> {
        let artifact = |target: &AnyTarget| match target.name().as_str() {
            "api" => Artifact::Image { reference: format!("registry.fly.io/{APP}:new@{NEW}"), digest: NEW.into(), stand_in: true },
            site => Artifact::Directory { path: bench.sites.path().join(site), digest: site_digest(site, "3") },
        };
        let one = |target: AnyTarget| {
            let after = if target.name().as_str() == "front" { vec![name("api")] } else { Vec::new() };
            let checks = match target.name().as_str() {
                "api" => vec![get("/health", None), get("/version", Some(Equals::Revision))],
                _ => vec![get("/", None)],
            };
            Move { shipment: Shipment::New(artifact(&target)), after, checks, target }
        };
        self.targets(bench).map(one).into()
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter_map(|kind| if let EventKind::PhaseStarted { phase } = kind { Some(*phase) } else { None }).collect()
    }
}

/// A runner's own chance: of two runners no id is ever the same.
fn seed(id: &str) -> u64 {
    id.bytes().fold(3_u64, |seed, byte| seed.wrapping_mul(257).wrapping_add(u64::from(byte)))
}

/// The digest of a site's files: of another digit, of other files.
pub(crate) fn site_digest(site: &str, digit: &str) -> String {
    format!("sha256:{}{}", digit.repeat(63), site.len() % 10)
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn get(path: &str, equals: Option<Equals>) -> Check {
    Check {
        name: format!("GET {path}"),
        request: CheckRequest::Get { path: path.into(), headers: indexmap::IndexMap::new() },
        expect: Expect {
            status: ExpectedStatus::Class(2),
            json: equals.is_some().then(|| "/revision".to_owned()),
            equals,
            contains: None,
            headers: indexmap::IndexMap::new(),
            location: None,
        },
        passes: 2,
        of: 3,
        timeout: Duration::from_secs(10),
    }
}
