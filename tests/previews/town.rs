//! A product with an app on Fly, a project on Vercel and one on Pages, its repository on GitHub, and neighbours who must not be touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cutover::clock::Clock;
use cutover::embedded::cloudflare::{self, Cloudflare};
use cutover::embedded::fly::{Fly, Scope as TokenScope, Switches};
use cutover::embedded::github::{CommitSeed, GitHub as Hub, Level as Right, PullSeed, RepositorySeed, Token};
use cutover::embedded::in_process;
use cutover::embedded::registry::Registry;
use cutover::embedded::tape::Recorded;
use cutover::embedded::vercel::{ProjectSeed, Tree, Vercel};
use cutover::embedded::world::World;
use cutover::event::{Events, Phase};
use cutover::github::{DeploymentRequest, DeploymentState, DeploymentStatus, GitHub, Mark, PreviewedPulls, Repository, environment_of};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::manifest::{Check, CheckRequest, Expect, ExpectedStatus};
use cutover::platform::cloudflare::CloudflareEndpoints;
use cutover::platform::cloudflare::pages::PagesSettings;
use cutover::platform::cloudflare::pages::preview::{PagesGround, PagesPreview, PagesPreviewSettings};
use cutover::platform::fly::toml::FlyConfig;
use cutover::platform::fly::{FlyEndpoints, FlyGround, FlyPreview, FlyPreviewSettings};
use cutover::platform::vercel::preview::{VercelGround, VercelPreview, VercelPreviewSettings};
use cutover::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource};
use cutover::platform::{Artifact, Preview, PreviewOf, PreviewScope, PreviewsOf};
use cutover::preview::{AnyGround, AnyPreview, Copy, ShowFailure, Showing, SweepError, SweepLimits, Swept, show, sweep};
use cutover::release::{Context, Timing};
use cutover::shutdown::Shutdown;
use indexmap::IndexMap;
use secrecy::SecretString;

use crate::support::wire::InProcess;

pub(crate) const FULL_NAME: &str = "acme/shop";
pub(crate) const ORGANIZATION: &str = "acme-previews";
const TEAM: &str = "team_acme";
const ACCOUNT: &str = "00112233445566778899aabbccddeeff";
const FLY_TOKEN: &str = "fm2_previews";
const TOKEN: &str = "secretOfTheTest";
const TOML: &str = r#"
app = "shop"
primary_region = "iad"
[http_service]
internal_port = 8080
min_machines_running = 3
auto_stop_machines = "off"
[[http_service.checks]]
path = "/health"
interval = "2s"
grace_period = "1s"
[[vm]]
size = "performance-8x"
"#;

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// The town and everybody in it.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) clock: Clock,
    pub(crate) fly: Fly,
    pub(crate) registry: Registry,
    pub(crate) vercel: Vercel,
    pub(crate) cloudflare: Cloudflare,
    pub(crate) hub: Hub,
    pub(crate) of: PreviewsOf,
    pub(crate) events: Events,
    sites: tempfile::TempDir,
    releases: std::cell::Cell<u64>,
}

/// What an app's preview is made with, where it is not the usual.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) seed: Option<&'static str>,
    pub(crate) secrets: Vec<(&'static str, Option<&'static str>)>,
    pub(crate) token: Option<&'static str>,
    pub(crate) variables: Vec<(&'static str, &'static str)>,
}

impl Town {
    pub(crate) fn new() -> Self {
        let clock = Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
        let world = World::in_process(clock, Chance::seeded(7));
        // How far edges lag is the checks' matter.
        world.ground().traffic.lags(&[Duration::ZERO]);
        let registry = Registry::add_to(&world).unwrap();
        let fly = Fly::add_to(&world, &registry, Switches::default());
        fly.seed_token(FLY_TOKEN, &TokenScope::Org(ORGANIZATION.into()), "previews");
        fly.seed_token("fm2_production", &TokenScope::Org("acme".into()), "production");
        fly.seed_app("shop", "acme", &[]);
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        vercel.seed_team(TEAM, "acme");
        vercel.seed_token(TOKEN, "usr_alma", &[TEAM], None);
        vercel.seed_project(ProjectSeed::new("front", "prj_front", TEAM));
        let page: Tree = [("index.html".to_owned(), b"old".to_vec())].into();
        vercel.seed_earlier_deployment("front", &page, BTreeMap::new()).unwrap();
        let cloudflare = Cloudflare::new(world.ground());
        cloudflare.add_to(&world);
        cloudflare.seed_token(TOKEN, &[ACCOUNT]);
        cloudflare.seed_project(cloudflare::ProjectSeed::new(ACCOUNT, "site"));
        cloudflare.seed_earlier_deployment("site", &page).unwrap();
        let hub = Hub::new(world.ground());
        hub.add_to(&world);
        let rights =
            [("contents", Right::Read), ("deployments", Right::Write), ("pull_requests", Right::Write), ("statuses", Right::Write)];
        hub.seed_token(TOKEN, Token::of_job(&rights));
        hub.seed_repository(&RepositorySeed::new(FULL_NAME));
        hub.seed_commit(FULL_NAME, "main", CommitSeed { message: "first".into(), ..CommitSeed::default() });
        let repository = u64::try_from(hub.repository(FULL_NAME).unwrap().0).unwrap();
        // Nobody listens: what counts is what stands.
        let (events, _) = Events::channel(clock);
        let of = PreviewsOf { product: name("shop"), repository };
        let (sites, releases) = (tempfile::tempdir().unwrap(), std::cell::Cell::new(0));
        let town = Self { world, clock, fly, registry, vercel, cloudflare, hub, of, events, sites, releases };
        town.settle_neighbours();
        town
    }

    /// Others live here too: a person's app with a preview's name, another product's, another repository's.
    fn settle_neighbours(&self) {
        self.fly.seed_app("shop-pr-9000", ORGANIZATION, &[]);
        self.fly.seed_app("person", ORGANIZATION, &[]);
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::new(Arc::new(InProcess::new(self.world.clone())), self.clock, Arc::new(Chance::seeded(11)))
    }

    pub(crate) fn github(&self) -> GitHub {
        let base = "https://api.github.com".parse().unwrap();
        GitHub::new(self.transport(), base, TOKEN.to_owned().into(), Repository::parse(FULL_NAME).unwrap())
    }

    pub(crate) fn preview(&self, pull_request: u64) -> PreviewOf {
        PreviewOf { of: self.of.clone(), pull_request }
    }

    pub(crate) fn app(&self, of: PreviewOf, wanted: &Wanted) -> AnyPreview {
        let mut config = FlyConfig::parse(TOML).unwrap();
        config.env.extend(wanted.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let value = |(name, value): &(&str, Option<&str>)| Some(((*name).to_owned(), SecretString::from((*value)?.to_owned())));
        let settings = FlyPreviewSettings {
            preview: of,
            target: name("api"),
            base_app: "shop".to_owned(),
            organization: ORGANIZATION.to_owned(),
            config,
            secrets: wanted.secrets.iter().map(|(name, _)| (*name).to_owned()).collect(),
            secret_values: wanted.secrets.iter().filter_map(value).collect(),
            seed: wanted.seed.map(str::to_owned),
            memory_mb: 256,
            production: vec!["shop".to_owned()],
            wait_deadline: Some(Duration::from_secs(60)),
            smoke_margin: None,
        };
        let token = SecretString::from(wanted.token.unwrap_or(FLY_TOKEN).to_owned());
        let endpoints = FlyEndpoints::from_lookup(|_| None).unwrap();
        AnyPreview::Fly(Box::new(FlyPreview::new(settings, endpoints, &token, self.transport()).unwrap()))
    }

    fn web(&self, preview: PreviewOf) -> AnyPreview {
        let site = VercelSettings::new(name("web"), "front", Some(TEAM.to_owned()), VercelSource::Directory);
        let settings = VercelPreviewSettings { site, preview, alias: None };
        let endpoints = VercelEndpoints::from_lookup(|_| None).unwrap();
        AnyPreview::Vercel(Box::new(VercelPreview::new(settings, endpoints, TOKEN.to_owned().into(), self.transport())))
    }

    fn docs(&self, preview: PreviewOf) -> AnyPreview {
        let site = PagesSettings::new(name("docs"), "site", ACCOUNT);
        let settings = PagesPreviewSettings { site, preview, subdomain: None };
        let endpoints = CloudflareEndpoints::from_lookup(|_| None).unwrap();
        AnyPreview::Pages(Box::new(PagesPreview::new(settings, endpoints, TOKEN.to_owned().into(), self.transport())))
    }

    pub(crate) fn copies(&self, of: &PreviewOf, wanted: &Wanted) -> Vec<Copy> {
        let copy = |preview: AnyPreview, after: &[&str]| Copy {
            checks: vec![get(if preview.name().as_str() == "api" { "/health" } else { "/" })],
            after: after.iter().map(|after| name(after)).collect(),
            preview,
        };
        vec![copy(self.app(of.clone(), wanted), &[]), copy(self.web(of.clone()), &["api"]), copy(self.docs(of.clone()), &[])]
    }

    pub(crate) fn scope(&self, of: &PreviewOf, commit: &str) -> PreviewScope {
        self.releases.set(self.releases.get() + 1);
        PreviewScope {
            preview: of.clone(),
            environment: name("preview"),
            commit: commit.to_owned(),
            release: ReleaseId::from_text(format!("r-20260102-030405-{:06}", self.releases.get())),
            phase: Phase::Preflight,
            events: self.events.clone(),
            shutdown: Shutdown::default(),
        }
    }

    pub(crate) fn context(&self, scope: &PreviewScope) -> Context {
        Context {
            product: name("shop"),
            environment: scope.environment.clone(),
            release: scope.release.clone(),
            commit: scope.commit.clone(),
            reason: "a test".into(),
            transport: self.transport(),
            events: self.events.clone(),
            shutdown: scope.shutdown.clone(),
            timing: Timing::default(),
            secrets: BTreeMap::new(),
            drift: cutover::release::DriftPolicy::default(),
            changes: cutover::platform::Changes::default(),
            hostnames: cutover::platform::cloudflare::dns::Hostnames::default(),
        }
    }

    /// Shows a commit on every target.
    pub(crate) async fn show(&self, pull_request: u64, commit: &str) -> Result<(), ShowFailure> {
        self.show_with(pull_request, commit, &Wanted::default()).await
    }

    pub(crate) async fn show_with(&self, pull_request: u64, commit: &str, wanted: &Wanted) -> Result<(), ShowFailure> {
        let of = self.preview(pull_request);
        let scope = self.scope(&of, commit);
        let context = self.context(&scope);
        let showing = Showing { copies: self.copies(&of, wanted), scope, context: &context };
        show(&showing, async |preview: &AnyPreview| Ok(self.artifact(preview, commit))).await.map_err(|not| not.failure)
    }

    /// Makes what is shipped, where its platform pulls it from.
    fn artifact(&self, preview: &AnyPreview, commit: &str) -> Artifact {
        if let AnyPreview::Fly(_) = preview {
            let digest = cutover::image::Digest::of(commit.as_bytes()).to_string();
            self.registry.stand_in(preview.thing(), "new", &digest);
            return Artifact::Image { reference: format!("registry.fly.io/{}@{digest}", preview.thing()), digest, stand_in: true };
        }
        let folder = self.sites.path().join(preview.name().as_str());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("index.html"), format!("{} of {commit}", preview.name())).unwrap();
        let digest = cutover::image::Digest::of(format!("{}{commit}", preview.name()).as_bytes()).to_string();
        Artifact::Directory { path: folder, digest }
    }

    /// Opens a pull request on GitHub; its preview is somebody else's matter.
    pub(crate) fn open(&self, pull_request: u64) {
        let number = i64::try_from(pull_request).unwrap();
        let branch = format!("topic-{pull_request}");
        self.hub.seed_commit(FULL_NAME, &branch, CommitSeed { message: format!("change {pull_request}"), ..CommitSeed::default() });
        let seed =
            PullSeed { title: "a change".into(), author: "alma".into(), head_branch: branch, number: Some(number), ..PullSeed::default() };
        self.hub.seed_pull(FULL_NAME, seed).unwrap();
    }

    pub(crate) fn close(&self, pull_request: u64) {
        self.hub.close_pull(FULL_NAME, i64::try_from(pull_request).unwrap(), true);
    }

    /// Makes the deployment that the reporter makes beside a preview.
    pub(crate) async fn deploy(&self, pull_request: u64) {
        let request = DeploymentRequest {
            branch: Some(format!("topic-{pull_request}")),
            sha: self.hub.head(FULL_NAME, &format!("refs/heads/topic-{pull_request}")).unwrap(),
            environment: environment_of(&name("preview"), pull_request),
            description: "a preview".into(),
            transient: true,
            production: false,
            mark: Mark {
                cutover: 1,
                product: "shop".into(),
                release: ReleaseId::from_text(format!("r-{pull_request}-{}", self.releases.get())),
                run_id: pull_request,
                attempt: 1,
                pull_request: Some(pull_request),
            },
        };
        let github = self.github();
        let deployment = github.create_deployment(&request).await.unwrap();
        let status = DeploymentStatus {
            state: DeploymentState::Success,
            description: "shown".into(),
            log_url: None,
            environment_url: Some(format!("https://shop-web-pr-{pull_request}.vercel.app")),
        };
        github.set_deployment_status(deployment.id, &status).await.unwrap();
    }

    pub(crate) fn grounds(&self) -> Vec<AnyGround> {
        let cloudflare = CloudflareEndpoints::from_lookup(|_| None).unwrap();
        let vercel = VercelEndpoints::from_lookup(|_| None).unwrap();
        let fly = FlyEndpoints::from_lookup(|_| None).unwrap();
        let token = || SecretString::from(TOKEN.to_owned());
        let organization = FlyGround::new(ORGANIZATION, fly, &SecretString::from(FLY_TOKEN.to_owned()), self.transport()).unwrap();
        vec![
            AnyGround::Fly(Box::new(organization)),
            AnyGround::Vercel(Box::new(VercelGround::new("front", Some(TEAM.to_owned()), vercel, token(), self.transport()))),
            AnyGround::Pages(Box::new(PagesGround::new("site", ACCOUNT, cloudflare, token(), self.transport()))),
        ]
    }

    pub(crate) async fn sweep(&self, limits: SweepLimits) -> Result<Swept, SweepError> {
        let pulls = PreviewedPulls::new(self.github(), name("shop"), name("preview"));
        sweep(&self.grounds(), &self.of, &pulls, limits, (&self.events, &Shutdown::default())).await
    }

    /// Returns the pull requests that have something on each platform, by the platforms' own state.
    pub(crate) fn standing(&self) -> [BTreeSet<u64>; 3] {
        let apps = self.fly.apps(ORGANIZATION).into_iter().filter_map(|(_, network)| self.of.pull_request(&network));
        let previews = |number: &str| number.parse::<u64>().ok();
        let deployments = self
            .vercel
            .deployments("front")
            .into_iter()
            .filter_map(|seen| self.of.pull_request(seen.meta.values().find(|value| value.starts_with("cutover-"))?));
        let branches = self.cloudflare.deployments("site").into_iter().filter_map(|seen| previews(seen.branch.strip_prefix("pr-")?));
        [apps.collect(), deployments.collect(), branches.collect()]
    }

    /// Returns the pull requests whose newest deployment on GitHub is not inactive.
    pub(crate) fn active(&self) -> BTreeSet<u64> {
        let all = self.hub.deployments(FULL_NAME);
        let active = all.iter().filter(|seen| seen.states.last().is_some_and(|state| state != "inactive"));
        active.filter_map(|seen| seen.environment.strip_prefix("preview-pr-")?.parse().ok()).collect()
    }

    pub(crate) async fn get(&self, address: &str, path: &str) -> (u16, String) {
        let host = address.trim_start_matches("https://");
        let request = http::Request::builder().uri(format!("https://{host}{path}")).header("host", host);
        let answer = in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// Returns the only machine of an app, as the Machines API shows it.
    pub(crate) async fn machine(&self, app: &str) -> serde_json::Value {
        let id = self.fly.machines(app).pop().unwrap().id;
        let uri = format!("https://api.machines.dev/v1/apps/{app}/machines/{id}");
        let request =
            http::Request::builder().uri(uri).header("host", "api.machines.dev").header("authorization", format!("Bearer {FLY_TOKEN}"));
        let answer = in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// Returns the bodies that an operation was asked with.
    pub(crate) fn bodies(&self, operation: &str) -> Vec<serde_json::Value> {
        let entries = self.world.ground().tape.entries();
        let asked = entries.into_iter().filter(|entry| entry.operation == operation);
        asked.filter_map(|entry| if let Recorded::Json(body) = entry.request { Some(body) } else { None }).collect()
    }
}

fn get(path: &str) -> Check {
    Check {
        name: format!("GET {path}"),
        request: CheckRequest::Get { path: path.to_owned(), headers: IndexMap::new() },
        expect: Expect {
            status: ExpectedStatus::Class(2),
            json: None,
            equals: None,
            contains: None,
            headers: IndexMap::new(),
            location: None,
        },
        passes: 1,
        of: 1,
        timeout: Duration::from_secs(10),
    }
}
