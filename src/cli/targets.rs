//! From the manifest's targets to platforms' targets: reads the platforms' own files and hands each its credentials.

use std::path::Path;

use secrecy::SecretString;

use super::stage::Stage;
use crate::event::Level;
use crate::id::Name;
use crate::manifest::{
    FlyStrategy, FlyTarget as FlyManifest, Target as Named, TargetPlatform, VercelSource as ManifestSource, VercelTarget as VercelManifest,
};
use crate::platform::AnyTarget;
use crate::platform::fly::toml::{FlyConfig, Strategy};
use crate::platform::fly::{FlyEndpoints, FlySettings, FlyTarget};
use crate::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource, VercelTarget};
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
    let (mut targets, mut faults): (Vec<AnyTarget>, Vec<Unusable>) = (Vec::new(), Vec::new());
    for (name, target) in wanted {
        match one(stage, name, target) {
            Ok(target) => targets.push(target),
            Err(fault) => faults.push(fault),
        }
    }
    // Every missing token is told at once: a person fixes them in one go.
    let Some(first) = faults.first() else { return Ok(targets) };
    let reason =
        faults.iter().enumerate().map(|(at, fault)| if at == 0 { fault.reason.clone() } else { fault.to_string() }).collect::<Vec<_>>();
    let hints = faults.iter().flat_map(|fault| fault.hints.clone()).collect();
    Err(Unusable { target: first.target.clone(), reason: reason.join("\n"), hints })
}

fn one(stage: &Stage, name: &Name, target: &Named) -> Result<AnyTarget, Unusable> {
    match &target.platform {
        TargetPlatform::Fly(fly) => Ok(AnyTarget::Fly(Box::new(fly_target(stage, name, target, fly)?))),
        TargetPlatform::Vercel(vercel) => Ok(AnyTarget::Vercel(Box::new(vercel_target(stage, name, target, vercel)?))),
        TargetPlatform::Render(render) => Err(Unusable::new(name, format!("this version cannot release to Render ({})", render.service))
            .hint("leave the target out of the environment's list, or use --only with the others")),
    }
}

fn fly_target(stage: &Stage, name: &Name, target: &Named, fly: &FlyManifest) -> Result<FlyTarget, Unusable> {
    let config = fly_config(&stage.root, name, fly)?;
    for warning in &config.warnings {
        let text = format!("{}: {}: {}", fly.config.display(), warning.path, warning.message);
        stage.events.notice(Level::Warning, "fly::toml", text);
    }
    let app = fly.app.clone().or_else(|| config.app.clone()).ok_or_else(|| {
        Unusable::new(name, format!("{} names no app", fly.config.display()))
            .hint("write `app = \"NAME\"` there, or `app: NAME` in the manifest")
    })?;
    let token = token(name, stage.settings.fly_token.as_ref(), variable::FLY_API_TOKEN, "fly tokens create deploy")?;
    let endpoints = FlyEndpoints::from_lookup(|variable| stage.settings.environment.get(variable).cloned())
        .map_err(|error| Unusable::new(name, error.to_string()))?;
    let settings = FlySettings {
        strategy: fly.strategy.map(strategy),
        secrets: target.secrets.clone(),
        drain_margin: Some(stage.settings.drain_margin),
        // In a rehearsal nothing is far away: what is not well within this time never will be.
        wait_deadline: stage.rehearsal.then_some(std::time::Duration::from_secs(12)),
        smoke_margin: stage.rehearsal.then_some(std::time::Duration::from_secs(1)),
        public_url: target.url.clone(),
        ..FlySettings::new(name.clone(), app, config)
    };
    FlyTarget::new(settings, endpoints, &token, stage.transport.clone()).map_err(|error| Unusable {
        target: name.clone(),
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

fn vercel_target(stage: &Stage, name: &Name, target: &Named, vercel: &VercelManifest) -> Result<VercelTarget, Unusable> {
    let token = token(name, stage.settings.vercel_token.as_ref(), variable::VERCEL_TOKEN, "https://vercel.com/account/settings/tokens")?;
    let team = vercel.team.clone().or_else(|| stage.settings.vercel_org.clone());
    let source = match &vercel.source {
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
        git_deployments_disabled: matches!(&vercel.source, ManifestSource::Directory(path) if pushes_deploy_nothing(&stage.root, path)),
        ..VercelSettings::new(name.clone(), vercel.project.clone(), team, source)
    };
    Ok(VercelTarget::new(settings, VercelEndpoints { api: stage.settings.vercel_api.clone() }, token, stage.transport.clone()))
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
