//! Observe: what users get from an app now.

use std::collections::BTreeMap;

use super::FlyTarget;
use super::fleet::Fleet;
use super::stamp;
use super::wire::Machine;
use crate::platform::{Observed, PlatformError, Scope, Unfinished, Weighted};

/// States that a machine only passes through.
const PASSING: [&str; 8] = ["creating", "starting", "stopping", "restarting", "suspending", "updating", "replacing", "destroying"];

/// States of a machine that runs nothing.
const AT_REST: [&str; 3] = ["created", "stopped", "failed"];

impl FlyTarget {
    /// Reads and sorts the app's machines.
    pub(super) async fn fleet(&self) -> Result<Fleet, PlatformError> {
        let machines = self.client.list_machines(&self.settings.app).await?;
        Ok(Fleet::new(&self.settings.app, self.settings.config.default_group(), machines))
    }
}

/// Returns what these machines serve, what is unfinished, and what is left over. Pure.
pub(super) fn observed(scope: &Scope, fleet: &Fleet) -> Observed {
    let serving = fleet.serving();
    let registered: usize = serving.iter().map(|(_, machines)| machines.len()).sum();
    let serving =
        serving.into_iter().map(|(revision, machines)| Weighted { revision, percent: 100.0 * machines.len() as f64 / registered as f64 });
    let ours = |machine: &&Machine| stamp::is_ours(machine, &scope.product, &scope.environment);
    // A machine for one command that does not run, and was not gone by itself, was never launched.
    let unlaunched = fleet.temporary.iter().filter(|machine| AT_REST.contains(&machine.state.as_str()));
    let left = fleet.machines.iter().filter(|machine| machine.cordoned).chain(unlaunched).filter(ours);
    Observed {
        serving: serving.collect(),
        unfinished: unfinished(fleet),
        settings: BTreeMap::new(),
        leftovers: fleet.generations(left).into_iter().map(|(revision, _)| revision).collect(),
        facts: facts(fleet),
    }
}

fn unfinished(fleet: &Fleet) -> Vec<Unfinished> {
    let release = |machine: &Machine| Some(machine.metadata(stamp::RELEASE)).filter(|release| !release.is_empty()).map(str::to_owned);
    let temporary = fleet.temporary.iter().map(|machine| Unfinished {
        id: machine.id.clone(),
        what: format!("machine {} runs a command ({})", machine.id, machine.group()),
        release: release(machine),
    });
    let passing = fleet.registered().filter(|machine| PASSING.contains(&machine.state.as_str())).map(|machine| Unfinished {
        id: machine.id.clone(),
        what: format!("machine {} is {}", machine.id, machine.state),
        release: release(machine),
    });
    temporary.chain(passing).collect()
}

/// Returns what is reported and is no drift: counts, sizes, states, and what is left alone.
fn facts(fleet: &Fleet) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let counted = |keys: Vec<String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
        counts.into_iter().map(|(key, count)| format!("{count} × {key}")).collect::<Vec<_>>().join(", ")
    };
    let mut fact = |name: &str, text: String| {
        if !text.is_empty() {
            facts.insert(name.to_owned(), text);
        }
    };
    fact("machines", counted(fleet.registered().map(|machine| format!("{} in {}", fleet.group(machine), machine.region)).collect()));
    fact("states", counted(fleet.registered().map(|machine| machine.state.clone()).collect()));
    fact("sizes", counted(fleet.registered().filter_map(size).collect()));
    let names = |machines: Vec<&Machine>| machines.iter().map(|machine| machine.id.as_str()).collect::<Vec<_>>().join(", ");
    fact("unmanaged", names(fleet.unmanaged.iter().collect()));
    fact("unreachable", names(fleet.machines.iter().filter(|machine| !machine.host_is_well()).collect()));
    facts
}

fn size(machine: &Machine) -> Option<String> {
    let guest = machine.config()?.get("guest")?;
    Some(format!("{} {} CPU {} MB", guest.get("cpu_kind")?.as_str()?, guest.get("cpus")?, guest.get("memory_mb")?))
}
