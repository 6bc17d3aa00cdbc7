//! Runs gates as a part of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::stage::Stage;
use crate::event::{Level, Outcome};
use crate::gate::{Environment, GateContext, GatePlan, gate_environment, run_gates};
use crate::id::Name;
use crate::manifest::Variable;

/// Runs the chosen gates, all when none is chosen, with the environment's variables; `Err` is the outcome that stops the run.
pub(crate) async fn run(stage: &Stage, environment: Option<&Name>, chosen: &[Name]) -> Result<(), Outcome> {
    if stage.manifest.gates.is_empty() {
        return Ok(());
    }
    let variables = environment.map(|name| variables(stage, name)).unwrap_or_default();
    let plan = GatePlan::new(&stage.manifest, chosen, &stage.root, inherited(stage), &variables, None);
    let context = GateContext::new(stage.events.clone(), stage.shutdown.clone(), stage.masker.clone(), stage.chance.clone());
    let report = run_gates(plan, context).await;
    match (report.passed(), report.cancelled()) {
        (true, _) => Ok(()),
        (false, true) => Err(Outcome::Cancelled),
        (false, false) => Err(Outcome::GatesFailed),
    }
}

/// Returns what gates and builds get of this process's environment.
pub(crate) fn inherited(stage: &Stage) -> Environment {
    let secrets: BTreeSet<String> = stage.manifest.targets.values().flat_map(|target| target.secrets.iter().cloned()).collect();
    let own = stage.settings.environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    gate_environment(own, &secrets)
}

/// Returns the environment's variables with the addresses of its targets filled in; one whose target has no address is told and left out.
pub(crate) fn variables(stage: &Stage, environment: &Name) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(settings) = stage.manifest.environments.get(environment) else { return variables };
    let addresses = match &stage.previewing {
        Some(previewing) if previewing.agreed.environment == *environment => previewing.addresses.clone(),
        _ => super::targets::addresses(stage, environment),
    };
    for (name, variable) in &settings.variables {
        match variable {
            Variable::Text(text) => {
                variables.insert(name.clone(), text.clone());
            }
            Variable::UrlOf { target, path } => match addresses.get(target) {
                Some(address) => {
                    variables.insert(name.clone(), format!("{}{path}", address.trim_end_matches('/')));
                }
                None => {
                    let text = format!("{name} is the address of {target}, which cannot be told before it is released; it is not set.");
                    stage.events.notice(Level::Warning, "variable::no-address", text);
                }
            },
        }
    }
    variables
}
