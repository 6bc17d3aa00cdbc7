//! The embedded world of a rehearsal or a sandbox: what the manifest names exists there, and any client can be pointed at it.

mod broken;
mod cloudflare;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Failure, targets};
use crate::clock::Clock;
use crate::embedded::cloudflare::{AUTHORITY as CLOUDFLARE, BASE_PATH, Cloudflare};
use crate::embedded::fly::container::ContainerEngine;
use crate::embedded::fly::{self, Earlier, Fly, Scope};
use crate::embedded::github::{self, CommitSeed, GitHub, Level, PullSeed, RepositorySeed, Token};
use crate::embedded::registry::{self, Registry};
use crate::embedded::vercel::{self, ProjectSeed, Tree, Vercel};
use crate::embedded::world::{Addresses, World};
use crate::id::{Chance, Name};
use crate::manifest::{
    Check, CheckRequest, Expect, ExpectedStatus, FlyTarget, Manifest, PagesSource, PagesTarget, Target, TargetPlatform, VercelSource,
    VercelTarget,
};
use crate::platform::fly::toml::FlyConfig;
use crate::platform::fly::{FlyPreviewSettings, machine_config};
use crate::platform::{PreviewOf, PreviewsOf};
use crate::settings::variable;

/// Fly's token in the world. Harmless: it opens nothing else.
pub(super) const FLY_TOKEN: &str = "fm2_rehearsal0fly0token0opens0nothing0else";
/// Cloudflare's token.
pub(super) const CLOUDFLARE_TOKEN: &str = "rehearsalCloudflareTokenOpensNothingElse";
/// The account that every Pages project belongs to, unless the manifest names another.
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
/// Vercel's token; without a hyphen, which the vendor's client refuses.
pub(super) const VERCEL_TOKEN: &str = "rehearsalVercelTokenOpensNothingElse";
/// GitHub's token.
pub(super) const GITHUB_TOKEN: &str = "ghs_rehearsalGitHubTokenOpensNothingElse";
/// The team that every project belongs to, unless the manifest names another.
const TEAM: &str = "team_rehearsal";
/// The organisation that every app belongs to.
const ORGANISATION: &str = "rehearsal";
/// The token of the organisation in which previews are made; it opens nothing of the other one.
pub(super) const PREVIEW_FLY_TOKEN: &str = "fm2_rehearsal0previews0token0opens0nothing0else";
/// The organisation in which previews are made, unless the manifest names another.
pub(super) const PREVIEW_ORGANISATION: &str = "rehearsal-previews";
/// The number of the pull request in every rehearsal.
pub(super) const PULL_REQUEST: u64 = 7;
/// The repository.
pub(super) const REPOSITORY: (&str, &str) = ("rehearsal", "product");
/// Regions that machines are spread over after the first, when an app keeps several running.
const REGIONS: [&str; 3] = ["iad", "fra", "syd"];

/// What a world begins with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beginning {
    /// Whether an earlier release serves on every target.
    pub(super) earlier: bool,
    /// Whether machines are real containers, if an engine is there.
    pub(super) engine: bool,
    /// Whether apps and projects come to exist when they are first asked for, and any token opens everything.
    pub(super) open: bool,
    /// The first of the ports to take; free ones otherwise.
    pub(super) port: Option<u16>,
}

/// A world with its platforms.
pub(super) struct Embedded {
    /// The surroundings: tape, faults, traffic.
    pub(super) world: World,
    /// Fly.
    pub(super) fly: Fly,
    /// Vercel.
    pub(super) vercel: Vercel,
    pub(super) cloudflare: Cloudflare,
    /// GitHub.
    pub(super) github: GitHub,
    /// Where everything listens.
    pub(super) addresses: Addresses,
    /// Whether machines are real containers.
    pub(super) containers: bool,
    /// The variables that point any client at it.
    pub(super) variables: BTreeMap<String, String>,
    /// The secrets that the GitHub environment of the previews would hold; no other run has them.
    pub(super) preview_secrets: BTreeMap<String, String>,
}

impl Embedded {
    /// Begins a world for a product; without one, only open worlds make sense.
    pub(super) async fn begin(product: Option<(&Path, &Manifest)>, beginning: Beginning) -> Result<Self, Failure> {
        let world = World::in_process(Clock::system(), Chance::from_system());
        let unmade = |error: std::io::Error| Failure::preflight(format!("a temporary folder cannot be made: {error}"));
        let registry = Registry::add_to(&world).map_err(unmade)?;
        let fly = Fly::add_to(&world, &registry, fly::Switches::default());
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        let cloudflare = Cloudflare::new(world.ground());
        cloudflare.add_to(&world);
        let github = GitHub::new(world.ground());
        github.add_to(&world);
        let ports = beginning.port.map(ports).unwrap_or_default();
        let unbound = |error: std::io::Error| Failure::preflight(format!("the embedded platforms cannot listen: {error}"));
        let addresses = world.listen(&ports).await.map_err(unbound)?;
        let mut embedded = Self {
            world,
            fly,
            vercel,
            cloudflare,
            github,
            addresses,
            containers: false,
            variables: BTreeMap::new(),
            preview_secrets: BTreeMap::new(),
        };
        embedded.point();
        embedded.seed_accounts(&registry, beginning.open);
        if let Some(host) = embedded.variables.get(variable::FLY_REGISTRY_HOST) {
            registry.also_called(host);
        }
        if beginning.engine {
            embedded.find_engine().await;
        }
        if let Some((root, manifest)) = product {
            embedded.seed_product(root, manifest, &registry, beginning.earlier).await?;
        }
        Ok(embedded)
    }

    /// Fills in the variables that point any client at the world.
    fn point(&mut self) {
        let base = |authority: &str| self.addresses.base(authority).unwrap_or_default();
        let registry = self.addresses.platforms.get(registry::AUTHORITY).map(ToString::to_string).unwrap_or_default();
        let edges: Vec<String> = self.addresses.edges.iter().map(ToString::to_string).collect();
        let pairs = [
            (variable::FLY_FLAPS_BASE_URL, base(fly::MACHINES_AUTHORITY)),
            (variable::FLY_API_BASE_URL, base(fly::API_AUTHORITY)),
            (variable::FLY_UIEX_BASE_URL, base(fly::API_AUTHORITY)),
            (variable::FLY_REGISTRY_HOST, registry),
            (variable::FLY_API_TOKEN, FLY_TOKEN.to_owned()),
            (variable::VERCEL_API_URL, base(vercel::AUTHORITY)),
            (variable::VERCEL_TOKEN, VERCEL_TOKEN.to_owned()),
            (variable::VERCEL_ORG_ID, TEAM.to_owned()),
            (variable::CLOUDFLARE_API_BASE_URL, format!("{}{}", base(CLOUDFLARE), BASE_PATH)),
            (variable::CLOUDFLARE_API_TOKEN, CLOUDFLARE_TOKEN.to_owned()),
            (variable::CLOUDFLARE_ACCOUNT_ID, ACCOUNT.to_owned()),
            (variable::GITHUB_API_URL, base(github::AUTHORITY)),
            (variable::GITHUB_GRAPHQL_URL, format!("{}/graphql", base(github::AUTHORITY))),
            (variable::GITHUB_TOKEN, GITHUB_TOKEN.to_owned()),
            (variable::CUTOVER_EDGES, edges.join(",")),
            // The embedded edges lag by 120 ms at most; the margin that the real ones need would only make people wait.
            (variable::CUTOVER_DRAIN_MARGIN, "500ms".to_owned()),
        ];
        self.variables = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    }

    async fn find_engine(&mut self) {
        let registry = self.variables.get(variable::FLY_REGISTRY_HOST).cloned().unwrap_or_default();
        let word = self.world.ground().chance.word(8);
        if let Some(engine) = ContainerEngine::find(&registry, FLY_TOKEN, &word).await {
            self.fly.use_containers(engine);
            self.containers = true;
        }
    }

    /// Makes everything exist that any environment of the manifest names.
    async fn seed_product(&mut self, root: &Path, manifest: &Manifest, registry: &Registry, earlier: bool) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        for environment in manifest.environments.keys() {
            let view = manifest.in_environment(environment).unwrap_or_else(|| manifest.clone());
            for (name, target) in &view.targets {
                match &target.platform {
                    TargetPlatform::Fly(fly) => self.seed_fly(root, manifest, name, target, fly, registry, earlier, &mut seen).await?,
                    TargetPlatform::Vercel(vercel) => self.seed_vercel(name, target, vercel, earlier, &mut seen)?,
                    TargetPlatform::Pages(pages) => self.seed_pages(name, target, pages, earlier, &mut seen)?,
                    TargetPlatform::Worker(worker) => self.seed_worker(target, worker, earlier, &mut seen)?,
                    TargetPlatform::Render(_) => {}
                }
                self.seed_names(root, name, target);
            }
        }
        self.seed_previews(root, manifest);
        // What checks sign with is what the machines were given.
        for check in manifest.targets.values().flat_map(|target| &target.verify) {
            if let CheckRequest::Post { signature: Some(signature), .. } = &check.request {
                let value = rehearsed_secret(&signature.secret_name);
                self.variables.insert(signature.secret_name.clone(), value);
            }
        }
        Ok(())
    }

    /// Makes the organisation of previews known, and gives the run what the GitHub environment of previews would hold.
    fn seed_previews(&mut self, root: &Path, manifest: &Manifest) {
        let Some(environment) = manifest.preview_environment() else { return };
        let settings = manifest.environments.get(environment).and_then(|environment| environment.pull_request.as_ref());
        let named = settings.and_then(|settings| settings.organization.clone());
        let organization = named.unwrap_or_else(|| PREVIEW_ORGANISATION.to_owned());
        self.fly.seed_token(PREVIEW_FLY_TOKEN, &Scope::Org(organization), "rehearsal");
        self.variables.insert("PREVIEW_FLY_API_TOKEN".to_owned(), PREVIEW_FLY_TOKEN.to_owned());
        let view = manifest.in_environment(environment);
        for secret in view.iter().flat_map(|view| view.targets.values()).flat_map(|target| &target.secrets) {
            self.preview_secrets.insert(secret.clone(), rehearsed_secret(secret));
        }
        // The rehearsed pull request's apps come to be later, and answer as their checks expect.
        let of = PreviewsOf { product: manifest.product.clone(), repository: 0 };
        let preview = PreviewOf { of, pull_request: PULL_REQUEST };
        for (name, target) in view.iter().flat_map(|view| &view.targets) {
            let TargetPlatform::Fly(fly) = &target.platform else { continue };
            let written = targets::fly_config(root, name, fly).ok().and_then(|config| config.app);
            if let Some(app) = fly.app.clone().or(written) {
                self.script(&FlyPreviewSettings::app_of(&preview, &app), target);
            }
        }
    }

    /// Lets the simulated machines of an app answer as a target's checks expect, until a failure is asked for.
    fn script(&self, app: &str, target: &Target) {
        for check in &target.verify {
            if let Some((path, status, headers)) = scripted(check) {
                let at = (app.to_owned(), path.split('?').next().unwrap_or(&path).to_owned());
                self.fly.switch(|switches| drop(switches.scripted.insert(at, fly::Scripted { status, headers })));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call site, each is another fact of the same app")]
    async fn seed_fly(
        &self,
        root: &Path,
        manifest: &Manifest,
        name: &Name,
        target: &Target,
        fly: &FlyTarget,
        registry: &Registry,
        earlier: bool,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        let unusable = |fault: targets::Unusable| Failure { hints: fault.hints.clone(), ..Failure::usage(fault.to_string()) };
        let config = targets::fly_config(root, name, fly).map_err(unusable)?;
        let Some(app) = fly.app.clone().or_else(|| config.app.clone()) else {
            return Err(Failure::usage(format!("{name}: {} names no app", fly.config.display())));
        };
        if !seen.insert(format!("fly/{app}")) {
            return Ok(());
        }
        let secrets: Vec<(&str, String)> = target.secrets.iter().map(|secret| (secret.as_str(), rehearsed_secret(secret))).collect();
        let borrowed: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.fly.seed_app(&app, ORGANISATION, &borrowed);
        self.seed_database(target, seen);
        // A simulated machine runs no program of the product.
        self.script(&app, target);
        if earlier {
            let text = format!("the release of {} before this one", manifest.product);
            let digest = crate::image::Digest::of(text.as_bytes()).to_string();
            registry.stand_in(&app, "earlier", &digest);
            let host = self.variables.get(variable::FLY_REGISTRY_HOST).cloned().unwrap_or_default();
            let image = format!("{host}/{app}:earlier@{digest}");
            for group in config.groups() {
                let rendered = serde_json::Value::Object(machine_config::render(&config, group, &image, None).into_iter().collect());
                let regions = earlier_regions(&config, group);
                self.fly.seed_earlier_release(&Earlier { app: &app, config: rendered, regions: &regions, image: &image, group }).await;
            }
        }
        Ok(())
    }

    /// Makes the app of a target's database: one machine of its own with a volume, which no release is to touch.
    fn seed_database(&self, target: &Target, seen: &mut BTreeSet<String>) {
        let Some(database) = target.migration.as_ref().and_then(|migration| migration.database.as_deref()) else { return };
        if !seen.insert(format!("fly/{database}")) {
            return;
        }
        self.fly.seed_database(database, ORGANISATION, REGIONS[0]);
    }

    fn seed_vercel(
        &mut self,
        name: &Name,
        target: &Target,
        vercel: &VercelTarget,
        earlier: bool,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        if !seen.insert(format!("vercel/{}", vercel.project)) {
            return Ok(());
        }
        let team = vercel.team.clone().unwrap_or_else(|| TEAM.to_owned());
        let id =
            if vercel.project.starts_with("prj_") { vercel.project.clone() } else { format!("prj_{}", vercel.project.replace('-', "")) };
        let mut seed = ProjectSeed::new(&vercel.project, &id, &team);
        seed.domains = target.dns.iter().flat_map(|dns| dns.hosts.iter().cloned()).collect();
        let connected = !matches!(vercel.source, VercelSource::Directory(_));
        if connected {
            seed.repository = Some((format!("{}/{}", REPOSITORY.0, REPOSITORY.1), "main".to_owned()));
        }
        self.vercel.seed_team(&team, &team.replace("team_", ""));
        self.vercel.seed_token(VERCEL_TOKEN, "usr_rehearsal", &[&team, TEAM], None);
        self.vercel.seed_project(seed);
        for secret in &target.secrets {
            self.vercel.person_sets_variable(&vercel.project, secret, &rehearsed_secret(secret));
        }
        let full = |error: std::io::Error| Failure::preflight(format!("the embedded Vercel cannot keep files: {error}"));
        if earlier {
            let page = |text: &str| text.as_bytes().to_vec();
            let tree: Tree = [("index.html", "<!doctype html><title>earlier</title><p>The release before this one.\n")]
                .into_iter()
                .map(|(path, text)| (path.to_owned(), page(text)))
                .collect();
            self.vercel.seed_earlier_deployment(&vercel.project, &tree, BTreeMap::new()).map_err(full)?;
        }
        if let VercelSource::Hook { secret_name } = &vercel.source {
            let hook = self.vercel.seed_hook(&vercel.project, &format!("hook{name}"), "cutover", "main");
            let base = self.variables.get(variable::VERCEL_API_URL).cloned().unwrap_or_default();
            self.variables.insert(secret_name.clone(), format!("{base}{}", hook.unwrap_or_default()));
        }
        Ok(())
    }

    fn seed_accounts(&self, registry: &Registry, open: bool) {
        self.fly.seed_token(FLY_TOKEN, &Scope::Org(ORGANISATION.to_owned()), "rehearsal");
        self.vercel.seed_team(TEAM, "rehearsal");
        self.vercel.seed_token(VERCEL_TOKEN, "usr_rehearsal", &[TEAM], None);
        self.cloudflare.seed_token(CLOUDFLARE_TOKEN, &[ACCOUNT]);
        if open {
            self.fly.switch(|switches| switches.open_to_anyone = Some(ORGANISATION.to_owned()));
            self.vercel.switch(|switches| switches.open_to_anyone = true);
            self.cloudflare.switch(|switches| switches.open_to_anyone = true);
            registry.allow_anyone();
        }
    }

    /// Fills the embedded GitHub: the repository, the commit on its branch, and the pull request that it came from (or that it is the head of).
    pub(super) fn seed_github(&self, root: Option<&Path>, branch: &str, sha: &str, number: u64, open: bool) {
        let full_name = format!("{}/{}", REPOSITORY.0, REPOSITORY.1);
        // What the job that releases asks for in the workflow that README shows.
        let write = ["checks", "contents", "deployments", "pull_requests", "statuses"].map(|permission| (permission, Level::Write));
        self.github.seed_token(GITHUB_TOKEN, Token::of_job(&[&write[..], &[("actions", Level::Read)]].concat()));
        self.github.seed_repository(&RepositorySeed { default_branch: branch.to_owned(), ..RepositorySeed::new(&full_name) });
        let seed = |sha: Option<&str>, message: &str| CommitSeed {
            sha: sha.map(str::to_owned),
            message: message.to_owned(),
            ..CommitSeed::default()
        };
        // The base branch has the manifest that is rehearsed, and the files that it leaves names to.
        let before = CommitSeed { files: root.map(manifest_files).unwrap_or_default(), ..seed(None, "The commit before") };
        self.github.seed_commit(&full_name, branch, before);
        let (on, merge) = if open { ("topic", None) } else { (branch, Some(sha.to_owned())) };
        self.github.seed_commit(&full_name, on, CommitSeed { parents: None, ..seed(Some(sha), "The rehearsed commit") });
        let pull = PullSeed {
            title: "The rehearsed change".to_owned(),
            author: "rehearsal".to_owned(),
            head_branch: "topic".to_owned(),
            head_sha: Some(sha.to_owned()),
            base_branch: branch.to_owned(),
            merge_commit: merge,
            number: i64::try_from(number).ok(),
            fork: None,
        };
        self.github.seed_pull(&full_name, pull);
    }

    /// Returns in one line what the embedded GitHub was left with.
    pub(super) fn github_seen(&self, number: u64, sha: &str) -> String {
        let full_name = format!("{}/{}", REPOSITORY.0, REPOSITORY.1);
        let comments = self.github.comments(&full_name, i64::try_from(number).unwrap_or_default());
        let deployments = self.github.deployments(&full_name);
        let deployment = deployments.last().map_or_else(
            || "no deployment".to_owned(),
            |last| format!("deployment to {} is {}", last.environment, last.states.last().map_or("without a state", String::as_str)),
        );
        let statuses = self.github.statuses(&full_name, sha);
        let status =
            statuses.last().map_or_else(|| "no commit status".to_owned(), |(context, state, _)| format!("status {context} is {state}"));
        let checks = self.github.check_runs(&full_name, sha);
        let check = checks.last().map_or_else(
            || "no check".to_owned(),
            |(name, status, conclusion)| format!("check {name:?} is {}", conclusion.as_deref().unwrap_or(status)),
        );
        let noun = if comments.len() == 1 { "comment" } else { "comments" };
        format!("{} {noun} on pull request #{number}, {deployment}, {status}, {check}", comments.len())
    }

    /// Tells the simulated connected repository of a commit, so that git-source deployments and hooks build something.
    pub(super) fn seed_commit(&self, manifest: &Manifest, branch: &str, sha: &str) {
        let tree: Tree =
            [("index.html".to_owned(), format!("<!doctype html><title>built</title><p>Built from {sha}.\n").into_bytes())].into();
        for environment in manifest.environments.keys() {
            let view = manifest.in_environment(environment);
            for target in view.iter().flat_map(|view| view.targets.values()) {
                // A full disk shows itself when the deployment is built.
                let _ = match &target.platform {
                    TargetPlatform::Vercel(VercelTarget { source: VercelSource::Directory(_), .. }) => Ok(()),
                    TargetPlatform::Vercel(vercel) => self.vercel.seed_commit(&vercel.project, branch, sha, &tree),
                    TargetPlatform::Pages(PagesTarget { source: PagesSource::Directory(_), .. }) => Ok(()),
                    TargetPlatform::Pages(pages) => self.cloudflare.seed_commit(&pages.project, branch, sha, &tree),
                    _ => Ok(()),
                };
            }
        }
    }

    /// Writes every request and answer to a file, one JSON value a line.
    pub(super) fn write_tape(&self, path: &Path) -> std::io::Result<()> {
        use std::io::Write;
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        for entry in self.world.ground().tape.entries() {
            serde_json::to_writer(&mut out, &entry)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// Returns the manifest and every `fly.toml` of a folder, as a commit holds them.
fn manifest_files(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut paths = vec![crate::manifest::FILE_NAME.to_owned()];
    if let Ok(loaded) = crate::manifest::load(root) {
        paths.extend(crate::preview::BaseManifest::files(&loaded.manifest));
    }
    paths.into_iter().filter_map(|path| Some((path.clone(), Some(std::fs::read(root.join(path)).ok()?)))).collect()
}

/// Returns the ports that a sandbox takes from its first one on: the platforms in the order of their names' use, then the edges.
fn ports(first: u16) -> BTreeMap<String, u16> {
    let names = [
        fly::MACHINES_AUTHORITY,
        fly::API_AUTHORITY,
        registry::AUTHORITY,
        vercel::AUTHORITY,
        github::AUTHORITY,
        "edge-0",
        "edge-1",
        "edge-2",
        // Last, so that what listened before has the port that it had.
        CLOUDFLARE,
    ];
    names.iter().zip(first..).map(|(name, port)| ((*name).to_owned(), port)).collect()
}

/// Returns the value that a secret has in every rehearsal; a secret is never guessed from outside, because it opens nothing.
fn rehearsed_secret(name: &str) -> String {
    format!("rehearsed-{}", name.to_lowercase().replace('_', "-"))
}

/// Returns what a simulated machine must answer at a check's path, where that is not its usual 200.
fn scripted(check: &Check) -> Option<(String, u16, BTreeMap<String, String>)> {
    let Expect { status, headers, location, .. } = &check.expect;
    let status = match status {
        ExpectedStatus::Exactly(status) => *status,
        ExpectedStatus::Class(3) => 302,
        ExpectedStatus::Class(_) => 200,
    };
    let mut answers: BTreeMap<String, String> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(location) = location {
        answers.insert("location".to_owned(), location.clone());
    }
    let usual = status == 200 && answers.is_empty() || matches!(check.request, CheckRequest::WebSocket { .. });
    (!usual).then(|| (check.request.path().to_owned(), status, answers))
}

/// Returns where the machines of a process group stand before a rehearsal: as many as its services keep running, one at least and four at most, in
/// the primary region first.
fn earlier_regions<'a>(config: &'a FlyConfig, group: &str) -> Vec<&'a str> {
    let first = config.primary_region.as_deref().unwrap_or(REGIONS[0]);
    let running = config.services_of(group).iter().filter_map(|service| service.min_machines_running).max().unwrap_or(1).clamp(1, 4);
    let others = REGIONS.iter().copied().filter(|region| *region != first);
    std::iter::once(first).chain(others).cycle().take(running as usize).collect()
}
