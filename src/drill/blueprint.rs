//! What is drilled: a product's targets in one environment, as its manifest says, with stand-ins for what would be built.
//!
//! Made once, used by every case: nothing in it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::stand_in::{self, Rules};
use crate::id::Name;
use crate::image::Digest;
use crate::manifest::{Check, CheckRequest, Expect, ExpectedStatus, Loaded, Manifest, Target as Named, TargetPlatform};
use crate::platform::cloudflare::pages::PagesSource;
use crate::platform::fly::machine_config;
use crate::platform::fly::toml::FlyConfig;
use crate::platform::{AnyTarget, Artifact};
use crate::release::plan::Shipment;
use crate::release::{Move, Timing};
use crate::settings::targets::{Means, NO_VARIABLES, TargetSettings, Unusable};
use crate::settings::{Settings, variable};

/// The tokens of every drill. They open nothing, and each is looked for wherever no secret may be.
pub const FLY_TOKEN: &str = "fm2_drillCanary0FlyToken0opensNothing";
/// Vercel's.
pub const VERCEL_TOKEN: &str = "drillCanaryVercelTokenOpensNothing";
/// GitHub's.
pub const GITHUB_TOKEN: &str = "ghs_drillCanaryGitHubTokenOpensNothing";
/// Cloudflare's.
pub const CLOUDFLARE_TOKEN: &str = "drillCanaryCloudflareTokenOpensNothing";
/// The account that every site belongs to, unless the manifest names another.
pub const ACCOUNT: &str = "0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d";
/// The team that every project belongs to, unless the manifest names another.
pub const TEAM: &str = "team_drill";
/// The branch that every commit is on.
pub const BRANCH: &str = "main";
/// Where machines stand after the first, when an app keeps several running.
const REGIONS: [&str; 3] = ["iad", "fra", "syd"];

/// A product ready to be drilled.
#[derive(Debug)]
pub struct Blueprint {
    /// The name in schedules.
    pub called: String,
    /// The product.
    pub product: Name,
    /// The environment.
    pub environment: Name,
    /// Its targets, in the manifest's order.
    pub parts: Vec<Part>,
    /// The waits of its releases.
    pub timing: Timing,
    /// What its environment says.
    settings: Settings,
    /// Where its manifest is.
    root: PathBuf,
    /// What its checks sign with.
    pub secrets: BTreeMap<String, SecretString>,
    /// Holds the stand-ins for directories, where nobody else does.
    #[expect(dead_code, reason = "removed with this")]
    folder: Option<tempfile::TempDir>,
}

/// One target.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub name: Name,
    /// What it is released with.
    pub settings: TargetSettings,
    /// What must serve before it.
    pub after: Vec<Name>,
    /// How it is judged.
    pub checks: Vec<Check>,
    /// What is shipped.
    pub artifact: Artifact,
    /// What its platform has of it.
    pub seed: Seed,
}

/// What a platform has of a target before anything runs.
#[derive(Debug)]
pub enum Seed {
    /// An app.
    App {
        /// Its name.
        app: String,
        /// Its secrets, with values that are looked for wherever no secret may be.
        secrets: Vec<(String, String)>,
        /// The secrets that the release changes, with what they are set to: those whose change the manifest calls compatible.
        changed: BTreeMap<String, String>,
        /// What a simulated program answers where it is not its usual 200: path, status, headers.
        scripted: Vec<(String, u16, BTreeMap<String, String>)>,
        /// The image of the earlier release, and its digest.
        earlier: (String, String),
        /// The digest of the new image.
        image: String,
        /// The machines of the earlier release, by process group.
        groups: Vec<SeededGroup>,
        /// Its first region.
        region: String,
        /// The app of its database, of which a snapshot is taken before it migrates.
        database: Option<String>,
    },
    /// A project.
    Project {
        /// Its name.
        project: String,
        /// Its team.
        team: String,
    },
    /// A project on Cloudflare Pages.
    Site {
        /// Its name.
        project: String,
        /// Its account.
        account: String,
        /// The commit at the head of its production branch, where Cloudflare builds it.
        built: Option<String>,
    },
    /// A worker on Cloudflare.
    Worker {
        /// Its name.
        name: String,
        /// Its account.
        account: String,
    },
}

/// The machines that a process group has before anything runs: two in two regions where users reach them, one and its standby where nobody does,
/// one where they have a volume.
#[derive(Debug)]
pub struct SeededGroup {
    /// Its name.
    pub name: String,
    /// The configuration of its machines.
    pub config: Value,
    /// Where they stand.
    pub regions: Vec<String>,
    /// The volume of each: its name, where it is mounted, its size in GB.
    pub mount: Option<(String, String, u64)>,
    /// How many of them sleep.
    pub asleep: usize,
    /// How many stand by for the first.
    pub standbys: usize,
}

impl SeededGroup {
    fn of(config: &FlyConfig, group: &str, image: &str, first: &str) -> Self {
        let rendered = Value::Object(machine_config::render(config, group, image, None).into_iter().collect());
        let services = rendered["services"].as_array().cloned().unwrap_or_default();
        let mount = config.mounts_of(group).first().map(|mount| (mount.source.clone(), mount.destination.clone(), 1));
        let others = REGIONS.into_iter().filter(|region| *region != first);
        let many = if services.is_empty() || mount.is_some() { 1 } else { 2 };
        let falls_asleep = |service: &Value| {
            let stops = service["autostop"] == true || ["stop", "suspend"].iter().any(|word| service["autostop"] == *word);
            stops && service["autostart"] == true && service["min_machines_running"].as_u64().unwrap_or_default() < 2
        };
        Self {
            name: group.to_owned(),
            regions: std::iter::once(first).chain(others).take(many).map(str::to_owned).collect(),
            asleep: usize::from(many > 1 && services.iter().any(falls_asleep)),
            standbys: usize::from(services.is_empty() && mount.is_none()),
            config: rendered,
            mount,
        }
    }
}

/// Why a product cannot be drilled.
#[derive(Debug, thiserror::Error)]
pub enum Undrillable {
    /// A target cannot be used.
    #[error(transparent)]
    Target(#[from] Unusable),
    /// The manifest has no such environment, or none of its targets can be drilled.
    #[error("{0} has no target that can be drilled")]
    Nothing(Name),
    /// A stand-in cannot be written.
    #[error("a stand-in cannot be written: {0}")]
    Folder(#[from] std::io::Error),
    /// The environment of the drill is not understood.
    #[error(transparent)]
    Settings(#[from] crate::settings::UnusableVariable),
}

impl Blueprint {
    /// Returns what a manifest says of an environment. Targets that this version cannot release are left out.
    pub fn of(called: &str, loaded: &Loaded, environment: &Name) -> Result<Self, Undrillable> {
        let folder = tempfile::Builder::new().prefix("cutover-drill-").tempdir()?;
        let blueprint = Self::of_in(called, loaded, environment, folder.path())?;
        Ok(Self { folder: Some(folder), ..blueprint })
    }

    /// As [`Blueprint::of`], with the stand-ins for directories in a folder that stays. Its path is part of what a journal keeps: processes that
    /// are to play a case alike to the last byte are given the same one.
    pub fn of_in(called: &str, loaded: &Loaded, environment: &Name, folder: &Path) -> Result<Self, Undrillable> {
        let settings = Settings::from_environment(variables(&loaded.manifest))?;
        let view = loaded.manifest.in_environment(environment).unwrap_or_else(|| loaded.manifest.clone());
        let means = Means { root: &loaded.root, settings: &settings, rehearsal: false, variables: &NO_VARIABLES };
        let mut parts = Vec::new();
        for (name, target) in &view.targets {
            if !matches!(target.platform, TargetPlatform::Render(_)) {
                parts.push(part(&means, folder, name, target)?);
            }
        }
        let Some(of) = view.environments.get(environment).filter(|_| !parts.is_empty()) else {
            return Err(Undrillable::Nothing(environment.clone()));
        };
        // Two rounds of checks judge as much as ten, and every case waits for them.
        let timing = Timing { watch: of.watch.min(Duration::from_secs(2)), max_skew: of.max_skew, ..Timing::default() };
        let secrets = signing(&view).into_iter().map(|name| (name.clone(), SecretString::from(value_of(&name)))).collect();
        let (product, environment) = (view.product.clone(), environment.clone());
        Ok(Self {
            called: called.to_owned(),
            product,
            environment,
            parts,
            timing,
            root: loaded.root.clone(),
            settings,
            secrets,
            folder: None,
        })
    }

    /// Returns the targets as they move, given how each becomes a target of one runner.
    pub fn moves(&self, mut target: impl FnMut(&Part) -> Result<AnyTarget, Unusable>) -> Result<Vec<Move>, Unusable> {
        let one = |part: &Part| {
            Ok(Move {
                target: target(part)?,
                shipment: Shipment::New(part.artifact.clone()),
                after: part.after.clone(),
                checks: part.checks.clone(),
            })
        };
        self.parts.iter().map(one).collect()
    }

    /// Returns the target of this name.
    pub fn part(&self, name: &Name) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == *name)
    }

    /// Returns whether a release leaves something alive that ends later.
    pub fn keeps(&self) -> bool {
        self.parts.iter().any(|part| matches!(&part.settings, TargetSettings::Fly { settings, .. } if settings.keep_previous.is_some()))
    }

    /// Returns what settings of targets are found by.
    pub fn means(&self) -> Means<'_> {
        Means { root: &self.root, settings: &self.settings, rehearsal: false, variables: &NO_VARIABLES }
    }

    /// Returns every value that must appear nowhere but in a header.
    pub fn canaries(&self) -> Vec<String> {
        let tokens = [FLY_TOKEN, VERCEL_TOKEN, CLOUDFLARE_TOKEN, GITHUB_TOKEN].map(str::to_owned);
        let secrets = self.parts.iter().flat_map(|part| match &part.seed {
            Seed::App { secrets, changed, .. } => secrets.iter().map(|(_, value)| value).chain(changed.values()).cloned().collect(),
            Seed::Project { .. } | Seed::Site { .. } | Seed::Worker { .. } => Vec::<String>::new(),
        });
        tokens.into_iter().chain(secrets).collect()
    }
}

impl Part {
    /// Returns the app or the project.
    pub fn thing(&self) -> &str {
        match &self.seed {
            Seed::App { app, .. } => app,
            Seed::Project { project, .. } | Seed::Site { project, .. } => project,
            Seed::Worker { name, .. } => name,
        }
    }

    /// Returns the public host name that its users know.
    pub fn host(&self) -> String {
        match &self.seed {
            Seed::App { app, .. } => format!("{app}.fly.dev"),
            Seed::Project { project, .. } => format!("{project}.vercel.app"),
            Seed::Site { project, .. } => format!("{project}.pages.dev"),
            Seed::Worker { name, .. } => format!("{name}.embedded.workers.dev"),
        }
    }
}

fn part(means: &Means<'_>, folder: &Path, name: &Name, target: &Named) -> Result<Part, Undrillable> {
    let settings = TargetSettings::read(means, name, target)?;
    let (artifact, seed) = match &settings {
        TargetSettings::Fly { settings, .. } => {
            let digest = |which: &str| Digest::of(format!("{which} image of {name}").as_bytes()).to_string();
            let (old, new) = (digest("the earlier"), digest("the new"));
            let (app, config) = (&settings.app, &settings.config);
            let image = format!("registry.fly.io/{app}:earlier@{old}");
            let region = config.primary_region.clone().unwrap_or_else(|| REGIONS[0].to_owned());
            let groups = config.groups().into_iter().map(|group| SeededGroup::of(config, group, &image, &region)).collect();
            let seed = Seed::App {
                app: app.clone(),
                secrets: target.secrets.iter().map(|secret| (secret.clone(), value_of(secret))).collect(),
                changed: target.compatible_secrets.iter().map(|secret| (secret.clone(), new_value_of(secret))).collect(),
                scripted: target.verify.iter().filter_map(scripted).collect(),
                earlier: (image, old),
                image: new.clone(),
                groups,
                region,
                database: target.migration.as_ref().and_then(|migration| migration.database.clone()),
            };
            let reference = format!("registry.fly.io/{app}:new@{new}");
            (Artifact::Image { reference, digest: new, stand_in: true }, seed)
        }
        TargetSettings::Vercel { settings, .. } => {
            let path = folder.join(name.as_str());
            stand_in::write(&path, Rules::Vercel, name, &target.verify)?;
            let digest = Digest::of(format!("the new files of {name}").as_bytes()).to_string();
            let team = settings.team.clone().unwrap_or_else(|| TEAM.to_owned());
            (Artifact::Directory { path, digest }, Seed::Project { project: settings.project.clone(), team })
        }
        TargetSettings::Pages { settings, .. } => {
            let (project, account) = (settings.project.clone(), settings.account.clone());
            if matches!(settings.source, PagesSource::Directory) {
                let path = folder.join(name.as_str());
                stand_in::write(&path, Rules::Cloudflare, name, &target.verify)?;
                let digest = Digest::of(format!("the new files of {name}").as_bytes()).to_string();
                (Artifact::Directory { path, digest }, Seed::Site { project, account, built: None })
            } else {
                let sha = "c".repeat(40);
                let artifact = Artifact::Commit { sha: sha.clone(), branch: BRANCH.to_owned() };
                (artifact, Seed::Site { project, account, built: Some(sha) })
            }
        }
        TargetSettings::Worker { settings, .. } => {
            let path = folder.join(name.as_str());
            stand_in::write(&path, Rules::Cloudflare, name, &target.verify)?;
            let digest = Digest::of(format!("the new files of {name}").as_bytes()).to_string();
            (Artifact::Directory { path, digest }, Seed::Worker { name: settings.worker.clone(), account: settings.account.clone() })
        }
    };
    Ok(Part { name: name.clone(), settings, after: target.after.clone(), checks: target.verify.clone(), artifact, seed })
}

/// Returns what is answered at a check's path, where that is not just 200: the path, the status, the headers.
pub fn scripted(check: &Check) -> Option<(String, u16, BTreeMap<String, String>)> {
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
    let path = check.request.path().split('?').next().unwrap_or_default().to_owned();
    (!usual).then_some((path, status, answers))
}

fn variables(manifest: &Manifest) -> BTreeMap<String, String> {
    let known = [
        (variable::FLY_API_TOKEN, FLY_TOKEN.to_owned()),
        (variable::VERCEL_TOKEN, VERCEL_TOKEN.to_owned()),
        (variable::VERCEL_ORG_ID, TEAM.to_owned()),
        (variable::CLOUDFLARE_API_TOKEN, CLOUDFLARE_TOKEN.to_owned()),
        (variable::CLOUDFLARE_ACCOUNT_ID, ACCOUNT.to_owned()),
        (variable::GITHUB_TOKEN, GITHUB_TOKEN.to_owned()),
    ];
    let mut variables: BTreeMap<String, String> = known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    variables.extend(signing(manifest).into_iter().map(|name| (name.clone(), value_of(&name))));
    let changed = manifest.targets.values().flat_map(|target| &target.compatible_secrets);
    variables.extend(changed.map(|name| (name.clone(), new_value_of(name))));
    variables
}

fn signing(manifest: &Manifest) -> Vec<String> {
    let checks = manifest.targets.values().flat_map(|target| &target.verify);
    let secret = |check: &Check| match &check.request {
        CheckRequest::Post { signature: Some(signature), .. } => Some(signature.secret_name.clone()),
        _ => None,
    };
    checks.filter_map(secret).collect()
}

/// Returns the value that a release of every drill gives to a secret whose change the manifest calls compatible.
fn new_value_of(name: &str) -> String {
    format!("drillCanary-{}-opens-nothing-either", name.to_lowercase().replace('_', "-"))
}

/// Returns the value that a secret has in every drill.
fn value_of(name: &str) -> String {
    format!("drillCanary-{}-opens-nothing", name.to_lowercase().replace('_', "-"))
}
