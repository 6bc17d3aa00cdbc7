//! The targets of a run.

pub(crate) use crate::settings::targets::{Unusable, fly_config, strategy};

use super::stage::Stage;
use crate::event::Level;
use crate::id::Name;
use crate::platform::AnyTarget;
use crate::settings::targets::{Means, TargetSettings};

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
    let means = Means { root: &stage.root, settings: &stage.settings, rehearsal: stage.rehearsal };
    let (mut targets, mut faults): (Vec<AnyTarget>, Vec<Unusable>) = (Vec::new(), Vec::new());
    for (name, target) in wanted {
        match one(stage, &means, name, target) {
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

fn one(stage: &Stage, means: &Means<'_>, name: &Name, target: &crate::manifest::Target) -> Result<AnyTarget, Unusable> {
    let settings = TargetSettings::read(means, name, target)?;
    for warning in settings.warnings() {
        stage.events.notice(Level::Warning, "fly::toml", warning);
    }
    settings.target(stage.transport.clone())
}
