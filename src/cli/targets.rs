//! From the manifest's targets to platforms' targets: reads the platforms' own files and hands each its credentials.

use std::path::Path;

use secrecy::SecretString;

use super::stage::{Means, Stage};
use crate::event::Level;
use crate::http::Platform;
use crate::id::Name;
use crate::manifest::{
    FlyStrategy, FlyTarget as FlyManifest, Target as Named, TargetPlatform, VercelSource as ManifestSource, VercelTarget as VercelManifest,
};
use crate::platform::fly::toml::{FlyConfig, Strategy};
use crate::platform::fly::{FlyEndpoints, FlySettings, FlyTarget};
use crate::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource, VercelTarget};
use crate::platform::{AnyTarget, Reach};
use crate::release::journal::State;
use crate::settings::variable;

/// Why a target of the manifest cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{target}: {reason}")]
pub(crate) struct Unusable {
    /// The target.
    pub(crate) target: Name,
    /// Why.
    pub(crate) reason: String,
    /// What to try.
    pub(crate) hints: Vec<String>,
}

impl Unusable {
    fn new(target: &Name, reason: impl Into<String>) -> Self {
        Self { target: target.clone(), reason: reason.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Returns the targets of an environment in its order, with its overrides applied; those of `only` where it names any.
pub(crate) fn of(stage: &Stage, environment: &Name, only: &[Name]) -> Result<Vec<AnyTarget>, Unusable> {
    let Some(view) = stage.manifest.in_environment(environment) else {
        return Err(Unusable::new(environment, "the manifest has no such environment"));
    };
    if let Some(unknown) = only.iter().find(|name| !view.targets.contains_key(*name)) {
        let known: Vec<_> = view.targets.keys().map(Name::as_str).collect();
        return Err(Unusable::new(unknown, format!("{environment} has no such target")).hint(format!("it has {}", known.join(", "))));
    }
    let wanted = view.targets.iter().filter(|(name, _)| only.is_empty() || only.contains(name));
    usable(wanted.map(|(name, target)| one(stage, name, target)))
}

fn one(stage: &Stage, name: &Name, target: &Named) -> Result<AnyTarget, Unusable> {
    match &target.platform {
        TargetPlatform::Fly(fly) => Ok(AnyTarget::Fly(Box::new(fly_target(stage, name, target, fly)?))),
        TargetPlatform::Vercel(vercel) => Ok(AnyTarget::Vercel(Box::new(vercel_target(stage, name, target, vercel)?))),
        TargetPlatform::Render(render) => Err(Unusable::new(name, format!("this version cannot release to Render ({})", render.service))
            .hint("leave the target out of the environment's list, or use --only with the others")),
    }
}

/// Returns a target as a journal names it, without any manifest: enough to serve, restore and prune what is recorded, not to prepare anything
/// new. Its credential comes from the environment.
pub(crate) fn recorded(means: &Means, name: &Name, platform: Platform, thing: &str, reach: &Reach) -> Result<AnyTarget, Unusable> {
    match platform {
        Platform::Fly => {
            let mut settings = FlySettings::recorded(name.clone(), thing, reach);
            settings.drain_margin = settings.drain_margin.or(Some(means.settings.drain_margin));
            Ok(AnyTarget::Fly(Box::new(fly(means, settings)?)))
        }
        Platform::Vercel => {
            let bypass = means.settings.vercel_bypass.clone();
            let settings = VercelSettings { bypass, ..VercelSettings::recorded(name.clone(), thing, reach) };
            Ok(AnyTarget::Vercel(Box::new(vercel(means, name, settings)?)))
        }
        other => Err(Unusable::new(name, format!("this version cannot reach {thing} on {other}; nothing was touched"))
            .hint("use the version that began the release")),
    }
}

/// Returns the targets that a journal's state names: those of the open release, else those of the release that serves. A target of the open
/// release that moved must be usable; any other is left out where it is not.
pub(crate) fn of_journal(means: &Means, state: &State) -> Result<Vec<AnyTarget>, Unusable> {
    if let Some(open) = &state.open {
        let all = open
            .begun
            .targets
            .iter()
            .map(|record| (recorded(means, &record.name, record.platform, &record.thing, &record.reach), record.carried));
        return usable(all.filter_map(|(target, carried)| (target.is_ok() || !carried).then_some(target)));
    }
    let closed = state.serving().into_iter().flat_map(|closed| &closed.targets);
    let all = closed.map(|(name, shipped)| recorded(means, name, shipped.platform, &shipped.thing, &shipped.reach));
    Ok(all.filter_map(Result::ok).collect())
}

/// Returns every target, or every fault at once: a person fixes missing tokens in one go.
fn usable(all: impl Iterator<Item = Result<AnyTarget, Unusable>>) -> Result<Vec<AnyTarget>, Unusable> {
    let (mut targets, mut faults): (Vec<AnyTarget>, Vec<Unusable>) = (Vec::new(), Vec::new());
    for target in all {
        match target {
            Ok(target) => targets.push(target),
            Err(fault) => faults.push(fault),
        }
    }
    let Some(first) = faults.first() else { return Ok(targets) };
    let reason =
        faults.iter().enumerate().map(|(at, fault)| if at == 0 { fault.reason.clone() } else { fault.to_string() }).collect::<Vec<_>>();
    let hints = faults.iter().flat_map(|fault| fault.hints.clone()).collect();
    Err(Unusable { target: first.target.clone(), reason: reason.join("\n"), hints })
}

fn fly_target(stage: &Stage, name: &Name, target: &Named, fly_of: &FlyManifest) -> Result<FlyTarget, Unusable> {
    let config = fly_config(&stage.root, name, fly_of)?;
    for warning in &config.warnings {
        let text = format!("{}: {}: {}", fly_of.config.display(), warning.path, warning.message);
        stage.events.notice(Level::Warning, "fly::toml", text);
    }
    let app = fly_of.app.clone().or_else(|| config.app.clone()).ok_or_else(|| {
        Unusable::new(name, format!("{} names no app", fly_of.config.display()))
            .hint("write `app = \"NAME\"` there, or `app: NAME` in the manifest")
    })?;
    let settings = FlySettings {
        strategy: fly_of.strategy.map(strategy),
        secrets: target.secrets.clone(),
        drain_margin: Some(stage.settings.drain_margin),
        public_url: target.url.clone(),
        ..FlySettings::new(name.clone(), app, config)
    };
    fly(stage, settings)
}

/// Returns an app as a target, with the credential and the addresses of the environment.
fn fly(means: &Means, settings: FlySettings) -> Result<FlyTarget, Unusable> {
    let name = settings.target.clone();
    let token = token(&name, means.settings.fly_token.as_ref(), variable::FLY_API_TOKEN, "fly tokens create deploy")?;
    let endpoints = FlyEndpoints::from_lookup(|variable| means.settings.environment.get(variable).cloned())
        .map_err(|error| Unusable::new(&name, error.to_string()))?;
    let settings = FlySettings {
        // In a rehearsal nothing is far away: what is not well within this time never will be.
        wait_deadline: means.rehearsal.then_some(std::time::Duration::from_secs(12)),
        smoke_margin: means.rehearsal.then_some(std::time::Duration::from_secs(1)),
        ..settings
    };
    FlyTarget::new(settings, endpoints, &token, means.transport.clone()).map_err(|error| Unusable {
        target: name,
        reason: error.to_string(),
        hints: error.hints,
    })
}

/// Reads a target's `fly.toml`, with the files that it names.
pub(crate) fn fly_config(root: &Path, name: &Name, fly: &FlyManifest) -> Result<FlyConfig, Unusable> {
    let path = root.join(&fly.config);
    let text =
        std::fs::read_to_string(&path).map_err(|error| Unusable::new(name, format!("{} cannot be read: {error}", fly.config.display())))?;
    let mut config = FlyConfig::parse(&text).map_err(|error| Unusable::new(name, format!("{}: {error}", fly.config.display())))?;
    let folder = path.parent().unwrap_or(root).to_owned();
    config
        .load_files(|file| std::fs::read(folder.join(file)))
        .map_err(|(file, error)| Unusable::new(name, format!("{}: the file {file} cannot be read: {error}", fly.config.display())))?;
    Ok(config)
}

/// Returns the platform's word for a strategy of the manifest.
pub(crate) const fn strategy(strategy: FlyStrategy) -> Strategy {
    match strategy {
        FlyStrategy::Bluegreen => Strategy::Bluegreen,
        FlyStrategy::Rolling => Strategy::Rolling,
        FlyStrategy::Immediate => Strategy::Immediate,
        FlyStrategy::Canary => Strategy::Canary,
    }
}

fn vercel_target(stage: &Stage, name: &Name, target: &Named, vercel_of: &VercelManifest) -> Result<VercelTarget, Unusable> {
    let team = vercel_of.team.clone().or_else(|| stage.settings.vercel_org.clone());
    let source = match &vercel_of.source {
        ManifestSource::Directory(_) => VercelSource::Directory,
        ManifestSource::Git { branch } => VercelSource::Git { branch: branch.clone() },
        ManifestSource::Hook { secret_name } => {
            let url = stage.settings.secret(secret_name).ok_or_else(|| {
                Unusable::new(name, format!("the environment variable {secret_name}, which holds the deploy hook's address, is not set"))
            })?;
            VercelSource::Hook { url }
        }
    };
    let settings = VercelSettings {
        url: target.url.clone(),
        bypass: stage.settings.vercel_bypass.clone(),
        git_deployments_disabled: matches!(&vercel_of.source, ManifestSource::Directory(path) if pushes_deploy_nothing(&stage.root, path)),
        ..VercelSettings::new(name.clone(), vercel_of.project.clone(), team, source)
    };
    vercel(stage, name, settings)
}

/// Returns a project as a target, with the credential and the address of the environment.
fn vercel(means: &Means, name: &Name, settings: VercelSettings) -> Result<VercelTarget, Unusable> {
    let token = token(name, means.settings.vercel_token.as_ref(), variable::VERCEL_TOKEN, "https://vercel.com/account/settings/tokens")?;
    Ok(VercelTarget::new(settings, VercelEndpoints { api: means.settings.vercel_api.clone() }, token, means.transport.clone()))
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
