//! The places that a release fills: one for each machine that serves, and those of process groups that have none yet. Pure.
//!
//! Counts, regions and what sleeps stay as they are. A place is filled by a new machine beside the old one, or by the old one in place.

use std::collections::BTreeMap;

use serde_json::Value;

use super::FlySettings;
use super::fleet::Fleet;
use super::hints::runs;
use super::machine_config::MachineConfig;
use super::toml::{FlyConfig, Strategy};
use super::updates::Update;
use super::wire::Machine;

/// A place for one machine: where, of which group, after which machine.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) group: String,
    pub(super) region: String,
    /// The machine whose place it takes; none where the group had no machine.
    pub(super) old: Option<Machine>,
    /// Whether it runs once it serves.
    pub(super) launch: bool,
    /// Whether a new machine takes the place; else the old one is changed.
    pub(super) beside: bool,
    /// The volume of a new machine.
    pub(super) volume: Option<String>,
    /// The places of the machines in whose stead it starts when their host dies.
    pub(super) stands_by: Vec<usize>,
}

impl Slot {
    fn first(group: &str, region: &str) -> Self {
        let (group, region) = (group.to_owned(), region.to_owned());
        Self { group, region, old: None, launch: true, beside: true, volume: None, stands_by: Vec::new() }
    }

    /// Returns the place of a machine that is changed where it is.
    pub(super) fn in_place(group: &str, machine: &Machine, launch: bool) -> Self {
        Self { old: Some(machine.clone()), launch, beside: false, ..Self::first(group, &machine.region) }
    }

    /// Returns whether it waits for another machine's host to die.
    pub(super) fn is_standby(&self) -> bool {
        !self.stands_by.is_empty() || self.old.as_ref().is_some_and(|old| !standbys(old.config()).is_empty())
    }
}

/// Returns the places after those of `serving`. `updates` says, by machine, who cannot be changed in place.
pub(super) fn slots_after(settings: &FlySettings, fleet: &Fleet, serving: &[&Machine], updates: &BTreeMap<String, Update>) -> Vec<Slot> {
    let config = &settings.config;
    let groups = config.groups();
    let strategy = settings.strategy();
    // A machine of a group that fly.toml has no longer gets no successor.
    let staying = serving.iter().filter(|machine| groups.contains(&fleet.group(machine)));
    let mut slots: Vec<Slot> = staying
        .map(|machine| {
            let update = updates.get(&machine.id);
            let mounted = machine.config().is_some_and(has_mounts);
            let replaced = update.is_some_and(|update| update.replace);
            Slot {
                group: fleet.group(machine).to_owned(),
                region: machine.region.clone(),
                old: Some((*machine).clone()),
                launch: runs(machine),
                // A volume has one machine: it is never given to a second one.
                beside: replaced || (strategy == Strategy::Bluegreen && !mounted),
                volume: update.filter(|_| replaced).and_then(|update| volume_of(&update.config)),
                stands_by: Vec::new(),
            }
        })
        .collect();
    follow_leaders(&mut slots);
    for group in &groups {
        prove_one(config, group, &mut slots);
    }
    let Some(region) = config.primary_region.clone().filter(|region| !region.is_empty()).or_else(|| Some(slots.first()?.region.clone()))
    else {
        return slots;
    };
    for group in groups {
        if slots.iter().all(|slot| slot.group != group) {
            let first = first_of_group(config, group, &region, settings.high_availability, slots.len());
            slots.extend(first);
        }
    }
    slots
}

/// Lets standbys follow the machines in whose stead they start: to new ones, beside them.
fn follow_leaders(slots: &mut [Slot]) {
    let places: BTreeMap<String, usize> =
        slots.iter().enumerate().filter_map(|(place, slot)| Some((slot.old.as_ref()?.id.clone(), place))).collect();
    for place in 0..slots.len() {
        let leaders = slots[place].old.as_ref().map(|old| standbys(old.config())).unwrap_or_default();
        let leaders: Vec<usize> = leaders.iter().filter_map(|id| places.get(id).copied()).collect();
        let moved = leaders.iter().any(|leader| slots[*leader].beside);
        slots[place].stands_by = leaders;
        slots[place].beside |= moved;
    }
}

/// Where nothing of a group with services runs, its first new machine is launched all the same, or nothing would prove the group's health. A
/// group without services is left asleep: to launch it is to let it work.
fn prove_one(config: &FlyConfig, group: &str, slots: &mut [Slot]) {
    if config.services_of(group).is_empty() || slots.iter().any(|slot| slot.group == group && slot.launch) {
        return;
    }
    if let Some(first) = slots.iter_mut().find(|slot| slot.group == group && slot.beside && !slot.is_standby()) {
        first.launch = true;
    }
}

/// Returns the slots of a first release, group by group (fly.md 15.13).
pub(super) fn first_slots(config: &FlyConfig, region: &str, high_availability: bool) -> Vec<Slot> {
    let mut slots = Vec::new();
    for group in config.groups() {
        let first = first_of_group(config, group, region, high_availability, slots.len());
        slots.extend(first);
    }
    slots
}

/// Returns the first slots of a group: two machines where it has services, one and its standby where it has none, one where it has a volume or
/// nothing shall be there twice.
fn first_of_group(config: &FlyConfig, group: &str, region: &str, high_availability: bool, place: usize) -> Vec<Slot> {
    let slot = || Slot::first(group, region);
    if !high_availability || !config.mounts_of(group).is_empty() {
        vec![slot()]
    } else if config.services_of(group).is_empty() {
        vec![slot(), Slot { launch: false, stands_by: vec![place], ..slot() }]
    } else {
        vec![slot(), slot()]
    }
}

/// Returns the machines in whose stead one with this config starts.
pub(super) fn standbys(config: Option<&MachineConfig>) -> Vec<String> {
    let ids = config.and_then(|config| config.get("standbys")).and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns whether a machine with this config has a volume.
pub(super) fn has_mounts(config: &MachineConfig) -> bool {
    config.get("mounts").and_then(Value::as_array).is_some_and(|mounts| !mounts.is_empty())
}

/// Returns whether users reach a machine with this config: it offers a service.
pub(super) fn has_services(config: &MachineConfig) -> bool {
    config.get("services").and_then(Value::as_array).is_some_and(|services| !services.is_empty())
}

/// Returns the volume of a machine with this config.
pub(super) fn volume_of(config: &MachineConfig) -> Option<String> {
    let mount = config.get("mounts").and_then(Value::as_array)?.first()?;
    mount.get("volume").and_then(Value::as_str).filter(|volume| !volume.is_empty()).map(str::to_owned)
}
