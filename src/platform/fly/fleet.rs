//! The machines of an app, sorted by what they are to a release. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::content::machine_digest;
use super::hints::{Hints, MachineHint};
use super::stamp;
use super::wire::Machine;
use crate::platform::{Content, Revision};

/// The process groups of machines that live for one command only.
const TEMPORARY: [&str; 3] = ["fly_app_release_command", "fly_app_console", "fly_app_test_machine_command"];

/// The machines of an app.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    /// The app.
    pub(super) app: String,
    /// The machines that a release moves, ordered by group, region and id.
    pub(super) machines: Vec<Machine>,
    /// Machines that live for one command.
    pub(super) temporary: Vec<Machine>,
    /// Machines that no release made: named and left alone.
    pub(super) unmanaged: Vec<Machine>,
    default_group: String,
}

impl Fleet {
    /// Sorts the machines of an app.
    pub(super) fn new(app: &str, default_group: &str, machines: Vec<Machine>) -> Self {
        let mut fleet = Self { app: app.to_owned(), default_group: default_group.to_owned(), ..Self::default() };
        for machine in machines.into_iter().filter(|machine| !["destroyed", "destroying"].contains(&machine.state.as_str())) {
            if is_temporary(&machine) {
                fleet.temporary.push(machine);
            } else if machine.metadata("fly_platform_version") == "v2" {
                fleet.machines.push(machine);
            } else {
                fleet.unmanaged.push(machine);
            }
        }
        let default_group = fleet.default_group.clone();
        fleet.machines.sort_by_key(|machine| (group_or(machine, &default_group).to_owned(), machine.region.clone(), machine.id.clone()));
        fleet
    }

    /// Returns a machine's process group; one that names none is in the default group.
    pub(super) fn group<'a>(&'a self, machine: &'a Machine) -> &'a str {
        group_or(machine, &self.default_group)
    }

    /// Returns the machines to which the proxy routes, or would when they run.
    pub(super) fn registered(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| !machine.cordoned && machine.config().is_some())
    }

    /// Returns what users get, as revisions with their machines. A machine whose host does not answer serves nobody: it belongs to the revision
    /// that its like is, and is no revision of its own unless nothing else is left.
    pub(super) fn serving(&self) -> Vec<(Revision, Vec<&Machine>)> {
        let (well, dead): (Vec<&Machine>, Vec<&Machine>) = self.registered().partition(|machine| machine.host_is_well());
        if well.is_empty() {
            return self.generations(dead.into_iter());
        }
        let generations = self.generations(well.into_iter()).into_iter();
        let like = |one: &Machine, other: &Machine| {
            one.image_digest() == other.image_digest() && one.metadata(stamp::RELEASE) == other.metadata(stamp::RELEASE)
        };
        let joined = generations.map(|(_, mut machines)| {
            let with: Vec<&Machine> = dead.iter().copied().filter(|dead| machines.iter().any(|machine| like(machine, dead))).collect();
            machines.extend(with);
            machines
        });
        let joined: Vec<Vec<&Machine>> = joined.collect();
        let others =
            |part: usize| joined.iter().enumerate().filter(move |(other, _)| *other != part).flat_map(|(_, machines)| machines.clone());
        let revisions: Vec<Revision> =
            joined.iter().enumerate().map(|(part, machines)| self.revision_beside(machines, &others(part).collect::<Vec<_>>())).collect();
        revisions.into_iter().zip(joined).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.id == id)
    }

    /// Returns machines as revisions with their machines: equal image, release stamp and content per group belong together.
    pub(super) fn generations<'a>(&'a self, machines: impl Iterator<Item = &'a Machine>) -> Vec<(Revision, Vec<&'a Machine>)> {
        let mut parts: BTreeMap<(String, String), Vec<&Machine>> = BTreeMap::new();
        for machine in machines {
            let artifact = machine.image_digest().unwrap_or_else(|| machine.image().to_owned());
            parts.entry((artifact, machine.metadata(stamp::RELEASE).to_owned())).or_default().push(machine);
        }
        let split = parts.into_values().flat_map(|part| self.split_by_config(part));
        split.map(|machines| (self.revision(&machines), machines)).collect()
    }

    /// Splits machines further where one group has more than one config: somebody changed some of them by hand.
    fn split_by_config<'a>(&'a self, machines: Vec<&'a Machine>) -> Vec<Vec<&'a Machine>> {
        let mut contents: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for machine in &machines {
            contents.entry(self.group(machine)).or_default().insert(machine_digest(machine));
        }
        if contents.values().all(|digests| digests.len() == 1) {
            return vec![machines];
        }
        let mut parts: BTreeMap<String, Vec<&Machine>> = BTreeMap::new();
        for machine in machines {
            parts.entry(machine_digest(machine)).or_default().push(machine);
        }
        parts.into_values().collect()
    }

    /// Returns the revision that these machines are.
    pub(super) fn revision(&self, machines: &[&Machine]) -> Revision {
        self.revision_beside(machines, &[])
    }

    fn revision_beside(&self, machines: &[&Machine], beside: &[&Machine]) -> Revision {
        let first = machines.first();
        let artifact = first.and_then(|machine| machine.image_digest());
        let image = first.map(|machine| machine.pinned_image()).unwrap_or_default();
        // Of a machine whose host does not answer too little may be known: its like in its place speaks for it.
        let ordered =
            machines.iter().filter(|machine| !machine.host_is_well()).chain(machines.iter().filter(|machine| machine.host_is_well()));
        let slots = ordered.map(|machine| (format!("{}/{}", self.group(machine), machine.region), machine_digest(machine)));
        let content = Content { artifact: artifact.clone().unwrap_or_else(|| image.clone()), slots: slots.collect() };
        let release = first.map(|machine| machine.metadata(stamp::RELEASE)).filter(|release| !release.is_empty());
        let hints = Hints {
            app: self.app.clone(),
            strategy: None,
            image: image.clone(),
            gets: Vec::new(),
            machines: machines.iter().map(|machine| MachineHint::observed(machine, self.group(machine))).collect(),
            beside: beside.iter().map(|machine| MachineHint::observed(machine, self.group(machine))).collect(),
        };
        Revision { digest: content.digest(), artifact, label: label(&image), release: release.map(str::to_owned), hints: hints.to_value() }
    }
}

/// Returns whether a machine lives for one command only.
pub(super) fn is_temporary(machine: &Machine) -> bool {
    TEMPORARY.contains(&machine.group()) || machine.group() == "release_command"
}

fn group_or<'a>(machine: &'a Machine, default: &'a str) -> &'a str {
    if machine.group().is_empty() { default } else { machine.group() }
}

/// Returns an image as people call it: repository, tag and the beginning of the digest.
pub(super) fn label(image: &str) -> String {
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    let digest: String = digest.trim_start_matches("sha256:").chars().take(12).collect();
    if digest.is_empty() { name.to_owned() } else { format!("{name}@{digest}") }
}
