//! What an earlier release shipped, made ready to be released once more: for going back, and for another environment.
//!
//! An image keeps its digest and is never built again. A directory that is not on this machine any more, or that belongs to another
//! environment, is made again from the same commit. All of it happens before anything moves, and is told.

use std::collections::BTreeMap;

use super::build::{self, BuildFailure};
use super::conduct::{Conclusion, short};
use super::rebuild::{self, Rebuilt};
use super::stage::Stage;
use crate::event::{Level, Phase};
use crate::id::Name;
use crate::image::{Digest, DirectoryArtifact, RegistryError};
use crate::platform::{AnyTarget, Artifact, Health, Target};
use crate::release::Context;
use crate::release::journal::{Closed, Shipped};
use crate::release::plan::Shipment;

/// An earlier release, and the environment that it was a release of, where that is another one.
pub(super) struct Source<'a> {
    /// The release.
    pub(super) closed: &'a Closed,
    /// The other environment.
    pub(super) from: Option<&'a Name>,
}

/// What each target ships, and what must live until it is shipped.
pub(super) struct Shipments {
    /// By target, for those that the earlier release had.
    pub(super) by_target: BTreeMap<Name, Shipment>,
    /// Holds the directories that were made again.
    pub(super) _rebuilt: Option<Rebuilt>,
}

/// Returns what every target ships that the earlier release had; the others are named, and stay as they are.
pub(super) async fn shipments(
    stage: &Stage,
    context: &Context,
    source: &Source<'_>,
    targets: &[AnyTarget],
) -> Result<Shipments, Conclusion> {
    tell_others(stage, source, targets);
    let mut by_target = BTreeMap::new();
    let mut rebuild: Vec<(Name, Shipped, String)> = Vec::new();
    for target in targets {
        let Some(shipped) = source.closed.targets.get(target.name()) else { continue };
        match one(stage, context, source, target, shipped).await? {
            Way::Ship(shipment) => drop(by_target.insert(target.name().clone(), shipment)),
            Way::Rebuild(because) => rebuild.push((target.name().clone(), shipped.clone(), because)),
        }
    }
    if rebuild.is_empty() {
        return Ok(Shipments { by_target, _rebuilt: None });
    }
    let names: Vec<Name> = rebuild.iter().map(|(name, ..)| name.clone()).collect();
    for (name, _, because) in &rebuild {
        let text = format!(
            "{name}: {because}; its files are made again from the commit {} with the variables of {}.",
            short(&source.closed.commit),
            context.environment
        );
        stage.events.notice(Level::Note, "earlier::rebuilt", text);
    }
    let rebuilt = rebuild::directories(stage, &context.environment, &source.closed.commit, &names).await?;
    for (name, shipped, _) in rebuild {
        let Some(made) = rebuilt.directories.get(&name) else { continue };
        compare(stage, &name, &shipped, made);
        let artifact = Artifact::Directory { path: made.path.clone(), digest: made.digest.to_string() };
        let shipment = match source.from {
            Some(_) => Shipment::New(artifact),
            None => Shipment::Earlier(Box::new(Shipped { artifact: Some(artifact), ..shipped })),
        };
        by_target.insert(name, shipment);
    }
    Ok(Shipments { by_target, _rebuilt: Some(rebuilt) })
}

/// How a target comes by what it ships.
enum Way {
    Ship(Shipment),
    /// From the commit, for a reason.
    Rebuild(String),
}

async fn one(stage: &Stage, context: &Context, source: &Source<'_>, target: &AnyTarget, shipped: &Shipped) -> Result<Way, Conclusion> {
    let name = target.name();
    if shipped.platform != target.platform() {
        let text = format!("{name} was on {} then and is on {} now; nothing was touched", shipped.platform, target.platform());
        return Err(Conclusion::refused(text, Vec::new()));
    }
    if source.from.is_none() && is_there(context, target, shipped).await {
        return Ok(Way::Ship(Shipment::Earlier(Box::new(shipped.clone()))));
    }
    let Some(artifact) = &shipped.artifact else {
        let text = format!("{name}: what {} shipped is not recorded, and is there no more; nothing was touched", source.closed.release);
        return Err(Conclusion::refused(text, vec![format!("cutover history {}", context.environment)]));
    };
    let again = |artifact: Artifact| match source.from {
        Some(_) => Shipment::New(artifact),
        None => Shipment::Earlier(Box::new(Shipped { artifact: Some(artifact), ..shipped.clone() })),
    };
    match artifact {
        Artifact::Image { reference, digest, stand_in } => {
            let reference = reachable(stage, target, reference, digest).await.map_err(failed)?;
            Ok(Way::Ship(again(Artifact::Image { reference, digest: digest.clone(), stand_in: *stand_in })))
        }
        Artifact::Directory { path, digest } => match (source.from, DirectoryArtifact::read(path)) {
            (None, Ok(there)) if there.digest.as_str() == digest => Ok(Way::Ship(again(artifact.clone()))),
            (None, _) => Ok(Way::Rebuild("neither its platform nor this machine has its files any more".to_owned())),
            (Some(from), _) => Ok(Way::Rebuild(rebuild::differing(stage, name, from, &context.environment))),
        },
        Artifact::Commit { .. } => Ok(Way::Ship(again(artifact.clone()))),
    }
}

/// Returns whether the platform still has the revision, so that it need only be served.
async fn is_there(context: &Context, target: &AnyTarget, shipped: &Shipped) -> bool {
    let scope = context.scope(Phase::Preflight, &context.shutdown);
    matches!(target.probe(&scope, &shipped.revision).await, Ok(Health::Healthy))
}

/// Makes sure that a target's platform can pull an image by its digest; returns by which reference. One in another app's repository of the
/// same registry is copied; one in a registry of somebody else stays there.
async fn reachable(stage: &Stage, target: &AnyTarget, reference: &str, digest: &str) -> Result<String, BuildFailure> {
    let registry = build::fly_registry(stage, target.name())?;
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let name = name.strip_prefix(&format!("{}/", registry.host())).map(str::to_owned);
    let (Some(from), Some(digest)) = (name, Digest::parse(digest)) else { return Ok(reference.to_owned()) };
    let from = from.split(':').next().unwrap_or(&from).to_owned();
    let app = target.thing();
    let tag = format!("cutover-{:.12}", digest.hex());
    let unusable = |error: RegistryError| match error {
        RegistryError::Cancelled => BuildFailure::cancelled(),
        RegistryError::Gone { .. } => {
            BuildFailure::preflight(format!("{}: {error}, and an image is never built again; nothing was touched", target.name()))
                .hint("release a commit instead: cutover release ENV")
        }
        error => {
            BuildFailure::preflight(format!("{}: the image cannot be made ready for {app}: {error}; nothing was touched", target.name()))
                .hint(format!("the token must be allowed to read {from} and to push to {app}"))
        }
    };
    let copied = registry.copy(&from, app, &digest, &tag, &stage.shutdown).await.map_err(unusable)?;
    if copied {
        let text = format!("{}: the image {digest} was copied from {from} to {app}; it was not built again.", target.name());
        stage.events.notice(Level::Note, "earlier::copied", text);
    }
    Ok(format!("{}/{app}@{digest}", registry.host()))
}

fn compare(stage: &Stage, name: &Name, shipped: &Shipped, made: &DirectoryArtifact) {
    let recorded = shipped.artifact.as_ref().map(Artifact::digest);
    let text = if recorded == Some(made.digest.as_str()) {
        format!("{name}: the files are the same as then ({}).", made.digest)
    } else {
        format!("{name}: the files differ from those of then: {} now, {} then.", made.digest, recorded.unwrap_or("not recorded"))
    };
    stage.events.notice(Level::Note, "earlier::compared", text);
}

/// Names what the two sides do not have in common.
fn tell_others(stage: &Stage, source: &Source<'_>, targets: &[AnyTarget]) {
    let release = &source.closed.release;
    for target in targets.iter().filter(|target| !source.closed.targets.contains_key(target.name())) {
        let text = format!("{} was no part of {release}; it stays as it is.", target.name());
        stage.events.notice(Level::Warning, "rollback::not-part", text);
    }
    for name in source.closed.targets.keys().filter(|name| targets.iter().all(|target| target.name() != *name)) {
        let text = format!("{name} was a part of {release} and is no target here; it is left out.");
        stage.events.notice(Level::Warning, "rollback::no-target", text);
    }
}

fn failed(error: BuildFailure) -> Conclusion {
    Conclusion { outcome: error.outcome, ..Conclusion::refused(error.text, error.hints) }
}
