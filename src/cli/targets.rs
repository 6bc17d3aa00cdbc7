//! The targets of a run: the manifest's, or those that a journal names.

pub(crate) use crate::settings::targets::{Unusable, fly_config, strategy};

use std::collections::BTreeMap;

use super::stage::{Means, Stage};
use crate::event::Level;
use crate::http::Transport;
use crate::id::Name;
use crate::platform::AnyTarget;
use crate::release::journal::State;
use crate::settings::targets::{self, NO_VARIABLES, TargetSettings};

/// Returns the targets of an environment in its order, with its overrides applied; those of `only` where it names any.
pub(crate) fn of(stage: &Stage, environment: &Name, only: &[Name]) -> Result<Vec<AnyTarget>, Unusable> {
    through(stage, &stage.transport, environment, only)
}

/// Returns the same targets with their calls sent by `transport`.
pub(crate) fn through(stage: &Stage, transport: &Transport, environment: &Name, only: &[Name]) -> Result<Vec<AnyTarget>, Unusable> {
    let Some(view) = stage.manifest.in_environment(environment) else {
        return Err(Unusable::new(environment, "the manifest has no such environment"));
    };
    if let Some(unknown) = only.iter().find(|name| !view.targets.contains_key(*name)) {
        let known: Vec<_> = view.targets.keys().map(Name::as_str).collect();
        return Err(Unusable::new(unknown, format!("{environment} has no such target")).hint(format!("it has {}", known.join(", "))));
    }
    let wanted = view.targets.iter().filter(|(name, _)| only.is_empty() || only.contains(name));
    let needed = view.targets.values().any(|target| !target.variables.is_empty());
    let variables = if needed { super::gates::variables(stage, environment) } else { BTreeMap::new() };
    usable(wanted.map(|(name, target)| {
        let settings = TargetSettings::read(&means_of(stage, &variables), name, target)?;
        for warning in settings.warnings() {
            stage.events.notice(Level::Warning, "fly::toml", warning);
        }
        settings.target(transport.clone())
    }))
}

/// Returns the targets that a journal's state names, without any manifest: those of the open release, else those of the release that serves.
/// A target that the open release moved must be usable; any other is left out where it is not.
pub(crate) fn recorded(means: &Means, transport: &Transport, state: &State) -> Result<Vec<AnyTarget>, Unusable> {
    let one = |name: &Name, platform, thing: &str, reach: &crate::platform::Reach| {
        TargetSettings::recorded(&means_of(means, &NO_VARIABLES), name, platform, thing, reach)?.target(transport.clone())
    };
    if let Some(open) = &state.open {
        let all =
            open.begun.targets.iter().map(|record| (one(&record.name, record.platform, &record.thing, &record.reach), record.carried));
        return usable(all.filter_map(|(target, carried)| (target.is_ok() || !carried).then_some(target)));
    }
    // Without a credential nobody can look at a target of a closed release, and that is no fault.
    let all = state.reached().into_iter().map(|(name, at)| one(&name, at.platform, &at.thing, &at.reach));
    Ok(all.filter_map(Result::ok).collect())
}

/// Returns the public address of each target of an environment that has one before it is released; nothing is asked, and no variable is needed.
pub(crate) fn addresses(stage: &Stage, environment: &Name) -> BTreeMap<Name, String> {
    let Some(view) = stage.manifest.in_environment(environment) else { return BTreeMap::new() };
    let means = means_of(stage, &NO_VARIABLES);
    let address = |(name, target): (&Name, &crate::manifest::Target)| {
        let target = TargetSettings::read(&means, name, target).and_then(|settings| settings.target(stage.transport.clone())).ok()?;
        Some((name.clone(), crate::platform::Target::public_url(&target)?))
    };
    view.targets.iter().filter_map(address).collect()
}

/// Returns by what targets' settings are found.
pub(crate) fn means_of<'a>(means: &'a Means, variables: &'a BTreeMap<String, String>) -> targets::Means<'a> {
    targets::Means { root: &means.root, settings: &means.settings, rehearsal: means.rehearsal, variables }
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
