//! What is to be run: the manifest's gates with everything filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use super::Environment;
use crate::id::Name;
use crate::manifest::{Gate, Manifest, Run, Service};
use crate::process::Command;

/// The gates of one run.
#[derive(Debug, Clone)]
pub struct GatePlan {
    /// In the manifest's order, which is the order among those that are ready at once.
    pub gates: Vec<PlannedGate>,
    /// How many may run at a time; at least one.
    pub parallel: usize,
    /// The Docker client's program, for services.
    pub engine: OsString,
    /// The environment that every gate gets, and the Docker client too.
    pub environment: Environment,
}

/// One gate with everything that it takes to run it.
#[derive(Debug, Clone)]
pub struct PlannedGate {
    /// Its name.
    pub name: Name,
    /// The command with its directory and its whole environment, but for the addresses of services.
    pub command: Command,
    /// Gates of this plan that pass first.
    pub needs: Vec<Name>,
    /// How long one attempt may take, services' start not counted.
    pub timeout: Duration,
    /// How often it is tried again.
    pub retries: u32,
    /// What runs beside it, started anew for each attempt.
    pub services: Vec<PlannedService>,
    /// What it must leave.
    pub outputs: Vec<String>,
    /// The path or glob of the test reports that it writes.
    pub report: Option<String>,
    /// Where outputs and reports are: the manifest's folder.
    pub root: PathBuf,
}

/// A container that runs beside a gate.
#[derive(Debug, Clone)]
pub struct PlannedService {
    /// Its name in the manifest.
    pub name: Name,
    /// What it is.
    pub service: Service,
}

impl GatePlan {
    /// The words that a gate's script is given to. The shell is found in the gate's `PATH`.
    pub const SHELL: [&'static str; 4] = ["bash", "-eo", "pipefail", "-c"];

    /// Returns the plan for `chosen` gates of a manifest and all that they need; every gate when `chosen` is empty.
    ///
    /// `variables` are the environment's, resolved; one that a gate names and that is not among them is not set. `parallel` defaults to the
    /// number of processors.
    pub fn new(
        manifest: &Manifest,
        chosen: &[Name],
        root: &Path,
        environment: Environment,
        variables: &BTreeMap<String, String>,
        parallel: Option<usize>,
    ) -> Self {
        let wanted = with_needs(&manifest.gates, chosen);
        let planned = |(name, gate): (&Name, &Gate)| PlannedGate {
            name: name.clone(),
            command: command(gate, root, &environment, variables),
            needs: gate.needs.clone(),
            timeout: gate.timeout,
            retries: gate.retries,
            services: services(gate, &manifest.services),
            outputs: gate.outputs.clone(),
            report: gate.report.clone(),
            root: root.to_owned(),
        };
        let gates = manifest.gates.iter().filter(|(name, _)| wanted.contains(*name)).map(planned).collect();
        let parallel = parallel.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).max(1);
        Self { gates, parallel, engine: "docker".into(), environment }
    }
}

fn with_needs<'a>(gates: &'a IndexMap<Name, Gate>, chosen: &'a [Name]) -> BTreeSet<&'a Name> {
    if chosen.is_empty() {
        return gates.keys().collect();
    }
    let mut wanted = BTreeSet::new();
    let mut open: Vec<&Name> = chosen.iter().collect();
    while let Some(name) = open.pop() {
        if wanted.insert(name) {
            open.extend(gates.get(name).iter().flat_map(|gate| &gate.needs));
        }
    }
    wanted
}

fn command(gate: &Gate, root: &Path, environment: &Environment, variables: &BTreeMap<String, String>) -> Command {
    let directory = gate.directory.as_ref().map_or_else(|| root.to_owned(), |below| root.join(below));
    let command = match &gate.run {
        Run::Words(words) => {
            let (program, rest) = words.split_first().map_or(("", [].as_slice()), |(first, rest)| (first.as_str(), rest));
            Command::new(program, directory).words(rest)
        }
        Run::Shell(script) => {
            let [shell, rest @ ..] = GatePlan::SHELL;
            Command::new(shell, directory).words(rest).words([script])
        }
    };
    let named = gate.variables.iter().filter_map(|name| variables.get_key_value(name));
    command.environment(environment.variables()).environment(named).environment(&gate.env)
}

fn services(gate: &Gate, all: &IndexMap<Name, Service>) -> Vec<PlannedService> {
    let planned = |name: &Name| all.get(name).map(|service| PlannedService { name: name.clone(), service: service.clone() });
    gate.services.iter().filter_map(planned).collect()
}
