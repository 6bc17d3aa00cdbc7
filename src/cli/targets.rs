//! The targets of a run: the manifest's, or those that a journal names.

pub(crate) use crate::settings::targets::{Unusable, fly_config, strategy};

use super::stage::{Means, Stage};
use crate::event::Level;
use crate::http::Transport;
use crate::id::Name;
use crate::platform::AnyTarget;
use crate::release::journal::State;
use crate::settings::targets::{self, TargetSettings};

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
    usable(wanted.map(|(name, target)| {
        let settings = TargetSettings::read(&means_of(stage), name, target)?;
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
        TargetSettings::recorded(&means_of(means), name, platform, thing, reach)?.target(transport.clone())
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

fn means_of(means: &Means) -> targets::Means<'_> {
    targets::Means { root: &means.root, settings: &means.settings, rehearsal: means.rehearsal }
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
