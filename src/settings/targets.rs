//! From the manifest's targets to what the platforms' targets are released with: reads the platforms' own files and finds the credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{Settings, variable};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::manifest::{
    FlyStrategy, FlyTarget as FlyManifest, Migration, PagesSource as PagesManifestSource, PagesTarget as PagesManifest, Target as Named,
    TargetPlatform, VercelSource as ManifestSource, VercelTarget as VercelManifest, WorkerTarget as WorkerManifest,
};
use crate::platform::cloudflare::CloudflareEndpoints;
use crate::platform::cloudflare::pages::{PagesSettings, PagesSource, PagesTarget};
use crate::platform::cloudflare::workers::{WorkerSettings, WorkerTarget};
use crate::platform::fly::toml::{FlyConfig, Form, Strategy};
use crate::platform::fly::{FlyDatabase, FlyEndpoints, FlySettings, FlyTarget};
use crate::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource, VercelTarget};
use crate::platform::{AnyTarget, Reach};

/// What a target's settings are found by.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// The repository's root: where the manifest is.
    pub root: &'a Path,
    /// What the environment says.
    pub settings: &'a Settings,
    /// Whether nothing is far away: shorter waits.
    pub rehearsal: bool,
    /// The variables of the environment, addresses filled in.
    pub variables: &'a BTreeMap<String, String>,
}

/// No variable at all: for what is asked before addresses are known, or needs none.
pub static NO_VARIABLES: BTreeMap<String, String> = BTreeMap::new();

/// What one target is released with.
#[derive(Debug, Clone)]
pub enum TargetSettings {
    /// An app on Fly.io.
    Fly {
        /// Its `fly.toml`, as the manifest names it.
        file: PathBuf,
        /// Its settings.
        settings: Box<FlySettings>,
        /// Where the platform is asked.
        endpoints: Box<FlyEndpoints>,
        /// The credential.
        token: SecretString,
    },
    /// A project on Vercel.
    Vercel {
        /// Its settings.
        settings: Box<VercelSettings>,
        /// Where the platform is asked.
        endpoints: VercelEndpoints,
        /// The credential.
        token: SecretString,
    },
    /// A project on Cloudflare Pages.
    Pages {
        /// Its settings.
        settings: Box<PagesSettings>,
        /// Where the platform is asked.
        endpoints: CloudflareEndpoints,
        /// The credential.
        token: SecretString,
    },
    /// A worker on Cloudflare that serves static assets.
    Worker {
        /// Its settings.
        settings: Box<WorkerSettings>,
        /// Where the platform is asked.
        endpoints: CloudflareEndpoints,
        /// The credential.
        token: SecretString,
    },
}

/// Why a target of the manifest cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{target}: {reason}")]
pub struct Unusable {
    /// The target.
    pub target: Name,
    /// Why.
    pub reason: String,
    /// What to try.
    pub hints: Vec<String>,
}

impl Unusable {
    /// Returns why a target cannot be used.
    pub fn new(target: &Name, reason: impl Into<String>) -> Self {
        Self { target: target.clone(), reason: reason.into(), hints: Vec::new() }
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl TargetSettings {
    /// Reads what `name` is released with: its platform's own file, its credential. Nothing is asked.
    pub fn read(means: &Means<'_>, name: &Name, target: &Named) -> Result<Self, Unusable> {
        match &target.platform {
            TargetPlatform::Fly(fly) => fly_settings(means, name, target, fly),
            TargetPlatform::Vercel(vercel) => vercel_settings(means, name, target, vercel),
            TargetPlatform::Pages(pages) => pages_settings(means, name, target, pages),
            TargetPlatform::Worker(of) => worker_settings(means, name, target, of),
            TargetPlatform::Render(render) => {
                Err(Unusable::new(name, format!("this version cannot release to Render ({})", render.service))
                    .hint("leave the target out of the environment's list, or use --only with the others"))
            }
        }
    }

    /// Returns what a target is reached with that a journal names: no manifest and no file is read, and it can serve, restore and prune what is
    /// recorded, not prepare anything new.
    pub fn recorded(means: &Means<'_>, name: &Name, platform: Platform, thing: &str, reach: &Reach) -> Result<Self, Unusable> {
        match platform {
            Platform::Fly => {
                let settings = FlySettings::recorded(name.clone(), thing, reach);
                let drain_margin = settings.drain_margin.or(Some(means.settings.drain_margin));
                fly(means, FlySettings { drain_margin, ..settings }, PathBuf::new())
            }
            Platform::Vercel => {
                let settings = VercelSettings::recorded(name.clone(), thing, reach);
                let drain_margin = settings.drain_margin.or(Some(means.settings.drain_margin));
                vercel(means, VercelSettings { drain_margin, ..settings })
            }
            Platform::Cloudflare if reach.product.as_deref() == Some(WorkerSettings::PRODUCT) => {
                let account = account(means, name, reach.account.as_deref())?;
                worker(means, WorkerSettings::recorded(name.clone(), thing, account, reach))
            }
            Platform::Cloudflare => {
                let account = account(means, name, reach.account.as_deref())?;
                let settings = PagesSettings::recorded(name.clone(), thing, account, reach);
                let drain_margin = settings.drain_margin.or(Some(means.settings.drain_margin));
                pages(means, PagesSettings { drain_margin, ..settings })
            }
            other => Err(Unusable::new(name, format!("this version cannot reach {thing} on {other}; nothing was touched"))
                .hint("use the version that began the release")),
        }
    }

    /// Returns what its platform's own file says that should be known, each in a sentence.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Fly { file, settings, .. } => {
                let told = settings.config.warnings.iter();
                told.map(|warning| format!("{}: {}: {}", file.display(), warning.path, warning.message)).collect()
            }
            Self::Vercel { .. } | Self::Pages { .. } | Self::Worker { .. } => Vec::new(),
        }
    }

    /// Returns the target, which sends its calls by `transport`.
    pub fn target(&self, transport: Transport) -> Result<AnyTarget, Unusable> {
        match self {
            Self::Fly { settings, endpoints, token, .. } => {
                let target = FlyTarget::new((**settings).clone(), (**endpoints).clone(), token, transport);
                let unusable = |error: crate::platform::PlatformError| Unusable {
                    target: settings.target.clone(),
                    reason: error.to_string(),
                    hints: error.hints,
                };
                Ok(AnyTarget::Fly(Box::new(target.map_err(unusable)?)))
            }
            Self::Vercel { settings, endpoints, token } => {
                let target = VercelTarget::new((**settings).clone(), endpoints.clone(), token.clone(), transport);
                Ok(AnyTarget::Vercel(Box::new(target)))
            }
            Self::Pages { settings, endpoints, token } => {
                let target = PagesTarget::new((**settings).clone(), endpoints.clone(), token.clone(), transport);
                Ok(AnyTarget::Pages(Box::new(target)))
            }
            Self::Worker { settings, endpoints, token } => {
                let target = WorkerTarget::new((**settings).clone(), endpoints.clone(), token.clone(), transport);
                Ok(AnyTarget::Worker(Box::new(target)))
            }
        }
    }
}

fn fly_settings(means: &Means<'_>, name: &Name, target: &Named, of: &FlyManifest) -> Result<TargetSettings, Unusable> {
    let mut config = fly_config(means.root, name, of)?;
    let given = |variable: &String| Some((variable.clone(), means.variables.get(variable)?.clone()));
    config.env.extend(target.variables.iter().filter_map(given));
    let app = of.app.clone().or_else(|| config.app.clone()).ok_or_else(|| {
        Unusable::new(name, format!("{} names no app", of.config.display()))
            .hint("write `app = \"NAME\"` there, or `app: NAME` in the manifest")
    })?;
    let settings = FlySettings {
        strategy: of.strategy.map(strategy),
        workers_first: of.workers_first,
        secrets: target.secrets.clone(),
        secret_values: target.secrets.iter().filter_map(|name| Some((name.clone(), means.settings.secret(name)?))).collect(),
        compatible_secrets: target.compatible_secrets.iter().cloned().collect(),
        drain_margin: Some(means.settings.drain_margin),
        public_url: target.url.clone(),
        keep_previous: of.keep_previous,
        database: target.migration.as_ref().and_then(database),
        breaking: target.migration.as_ref().is_some_and(|migration| migration.breaking),
        ..FlySettings::new(name.clone(), app, config)
    };
    fly(means, settings, of.config.clone())
}

/// Returns where the database of a target is.
fn database(migration: &Migration) -> Option<FlyDatabase> {
    let app = migration.database.clone()?;
    Some(FlyDatabase { app, volumes: migration.volumes.clone(), rpo: migration.rpo })
}

/// Adds what the environment says to an app's settings.
fn fly(means: &Means<'_>, settings: FlySettings, file: PathBuf) -> Result<TargetSettings, Unusable> {
    let name = &settings.target;
    let token = token(name, means.settings.fly_token.as_ref(), variable::FLY_API_TOKEN, "fly tokens create deploy")?;
    let endpoints = FlyEndpoints::from_lookup(|variable| means.settings.environment.get(variable).cloned())
        .map_err(|error| Unusable::new(name, error.to_string()))?;
    let settings = FlySettings {
        // In a rehearsal nothing is far away: what is not well within this time never will be.
        wait_deadline: means.rehearsal.then_some(std::time::Duration::from_secs(12)),
        smoke_margin: means.rehearsal.then_some(std::time::Duration::from_secs(1)),
        ..settings
    };
    Ok(TargetSettings::Fly { file, settings: Box::new(settings), endpoints: Box::new(endpoints), token })
}

/// Reads a target's `fly.toml`, with the files that it names.
pub fn fly_config(root: &Path, name: &Name, fly: &FlyManifest) -> Result<FlyConfig, Unusable> {
    let path = root.join(&fly.config);
    let text =
        std::fs::read_to_string(&path).map_err(|error| Unusable::new(name, format!("{} cannot be read: {error}", fly.config.display())))?;
    let mut config =
        FlyConfig::parse_as(&text, Form::of(&path)).map_err(|error| Unusable::new(name, format!("{}: {error}", fly.config.display())))?;
    let folder = path.parent().unwrap_or(root).to_owned();
    config
        .load_files(|file| std::fs::read(folder.join(file)))
        .map_err(|(file, error)| Unusable::new(name, format!("{}: the file {file} cannot be read: {error}", fly.config.display())))?;
    Ok(config)
}

/// Returns the platform's word for a strategy of the manifest.
pub const fn strategy(strategy: FlyStrategy) -> Strategy {
    match strategy {
        FlyStrategy::Bluegreen => Strategy::Bluegreen,
        FlyStrategy::Rolling => Strategy::Rolling,
        FlyStrategy::Immediate => Strategy::Immediate,
        FlyStrategy::Canary => Strategy::Canary,
    }
}

fn vercel_settings(means: &Means<'_>, name: &Name, target: &Named, of: &VercelManifest) -> Result<TargetSettings, Unusable> {
    let team = of.team.clone().or_else(|| means.settings.vercel_org.clone());
    let source = match &of.source {
        ManifestSource::Directory(_) => VercelSource::Directory,
        ManifestSource::Git { branch } => VercelSource::Git { branch: branch.clone() },
        ManifestSource::Hook { secret_name } => VercelSource::Hook { url: hook(means, name, secret_name)? },
    };
    let settings = VercelSettings {
        url: target.url.clone(),
        variables: target.secrets.clone(),
        rules: target.directory().and_then(|directory| rules_above(means.root, directory)),
        archive_above: of.archive_above.map_or(VercelSettings::ARCHIVE_ABOVE, |files| files as usize),
        drain_margin: Some(means.settings.drain_margin),
        git_deployments_disabled: matches!(&of.source, ManifestSource::Directory(path) if pushes_deploy_nothing(means.root, path)),
        ..VercelSettings::new(name.clone(), of.project.clone(), team, source)
    };
    vercel(means, settings)
}

/// Adds what the environment says to a project's settings.
fn vercel(means: &Means<'_>, settings: VercelSettings) -> Result<TargetSettings, Unusable> {
    let made = "https://vercel.com/account/settings/tokens";
    let token = token(&settings.target, means.settings.vercel_token.as_ref(), variable::VERCEL_TOKEN, made)?;
    let settings = VercelSettings { bypass: means.settings.vercel_bypass.clone(), ..settings };
    let endpoints = VercelEndpoints { api: means.settings.vercel_api.clone() };
    Ok(TargetSettings::Vercel { settings: Box::new(settings), endpoints, token })
}

/// Returns the address of a deploy hook, which is its secret.
fn hook(means: &Means<'_>, name: &Name, secret_name: &str) -> Result<SecretString, Unusable> {
    means.settings.secret(secret_name).ok_or_else(|| {
        Unusable::new(name, format!("the environment variable {secret_name}, which holds the deploy hook's address, is not set"))
    })
}

fn pages_settings(means: &Means<'_>, name: &Name, target: &Named, of: &PagesManifest) -> Result<TargetSettings, Unusable> {
    let account = account(means, name, of.account.as_deref())?;
    let source = match &of.source {
        PagesManifestSource::Directory(_) => PagesSource::Directory,
        PagesManifestSource::Git => PagesSource::Git,
        PagesManifestSource::Hook { secret_name } => PagesSource::Hook { url: hook(means, name, secret_name)? },
    };
    let settings = PagesSettings {
        source,
        url: target.url.clone(),
        dotfiles: of.dotfiles.clone(),
        drain_margin: Some(means.settings.drain_margin),
        ..PagesSettings::new(name.clone(), of.project.clone(), account)
    };
    pages(means, settings)
}

/// Adds what the environment says to a Pages project's settings.
fn pages(means: &Means<'_>, settings: PagesSettings) -> Result<TargetSettings, Unusable> {
    let made = "https://dash.cloudflare.com/profile/api-tokens, Account › Cloudflare Pages › Edit";
    let token = token(&settings.target, means.settings.cloudflare_token.as_ref(), variable::CLOUDFLARE_API_TOKEN, made)?;
    let settings = PagesSettings { access: means.settings.cloudflare_access.clone(), ..settings };
    let endpoints = CloudflareEndpoints { api: means.settings.cloudflare_api.clone() };
    Ok(TargetSettings::Pages { settings: Box::new(settings), endpoints, token })
}

fn worker_settings(means: &Means<'_>, name: &Name, target: &Named, of: &WorkerManifest) -> Result<TargetSettings, Unusable> {
    let account = account(means, name, of.account.as_deref())?;
    let settings = WorkerSettings {
        url: target.url.clone(),
        dotfiles: of.dotfiles.clone(),
        not_found: of.not_found.as_str().to_owned(),
        ..WorkerSettings::new(name.clone(), of.name.clone(), account)
    };
    worker(means, settings)
}

/// Adds what the environment says to a worker's settings.
fn worker(means: &Means<'_>, settings: WorkerSettings) -> Result<TargetSettings, Unusable> {
    let made = "https://dash.cloudflare.com/profile/api-tokens, Account › Workers Scripts › Edit";
    let token = token(&settings.target, means.settings.cloudflare_token.as_ref(), variable::CLOUDFLARE_API_TOKEN, made)?;
    let settings = WorkerSettings { access: means.settings.cloudflare_access.clone(), ..settings };
    let endpoints = CloudflareEndpoints { api: means.settings.cloudflare_api.clone() };
    Ok(TargetSettings::Worker { settings: Box::new(settings), endpoints, token })
}

/// Returns Cloudflare's account: the one that is named, else the environment's. Guessing one by the token would ask for more rights than it needs.
fn account(means: &Means<'_>, name: &Name, named: Option<&str>) -> Result<String, Unusable> {
    named.map(str::to_owned).or_else(|| means.settings.cloudflare_account.clone()).ok_or_else(|| {
        Unusable::new(name, "nobody says in which Cloudflare account the project is")
            .hint("write `pages: { project: NAME, account: ID }`, or set CLOUDFLARE_ACCOUNT_ID (32 hex digits, in the dashboard's address)")
    })
}

/// Returns the nearest `vercel.json` above a shipped directory: what the vendor's client reads where a build writes into a directory of its project.
/// A directory with a `package.json` or a link file is a project of its own, and nothing above it is asked.
fn rules_above(root: &Path, directory: &Path) -> Option<PathBuf> {
    for folder in directory.ancestors().skip(1).map(|folder| root.join(folder)) {
        let path = folder.join("vercel.json");
        if path.is_file() {
            return Some(path);
        }
        if folder.join("package.json").is_file() || folder.join(".vercel/project.json").is_file() {
            return None;
        }
    }
    None
}

/// Returns whether the nearest `vercel.json`, from the shipped directory up to the repository's root, turns deployments by git off.
fn pushes_deploy_nothing(root: &Path, directory: &Path) -> bool {
    let nearest = directory.ancestors().map(|folder| root.join(folder).join("vercel.json")).find_map(|path| std::fs::read(path).ok());
    let config = nearest.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    config.is_some_and(|config| config["git"]["deploymentEnabled"] == false)
}

fn token(name: &Name, token: Option<&SecretString>, variable: &str, made: &str) -> Result<SecretString, Unusable> {
    token.cloned().ok_or_else(|| {
        Unusable::new(name, format!("{variable} is not set, or empty"))
            .hint(format!("make a token ({made}) and set {variable}; nothing was touched"))
    })
}
