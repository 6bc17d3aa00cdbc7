//! What runs of an app, as the Machines API gives it: the lists of its machines and of its volumes in one document.

use serde::Deserialize;

use super::fleet::Fleet;
use super::toml::FlyConfig;
use super::wire::{Machine, object};

/// The machines and volumes of an app, in the Machines API's own shapes. Decoded leniently: unknown fields are ignored, missing ones accepted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Live {
    /// What `GET /v1/apps/APP/machines` answers.
    pub machines: Vec<Machine>,
    /// What `GET /v1/apps/APP/volumes` answers.
    pub volumes: Vec<Volume>,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its name, which other volumes share.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// Its state, for example `created`.
    pub state: Option<String>,
    /// Its size, in GB.
    pub size_gb: Option<u32>,
    /// The machine that has it.
    pub attached_machine_id: Option<String>,
    /// The allocation that has it, on the older platform.
    pub attached_alloc_id: Option<String>,
    /// `ok`, or what is wrong with its host.
    pub host_status: Option<String>,
}

/// States of volumes that are on their way out (fly.md 7).
const LEAVING: [&str; 5] = ["scheduling_destroy", "fork_cleanup", "waiting_for_detach", "pending_destroy", "destroying"];

impl Volume {
    /// Returns whether it stays.
    pub fn stays(&self) -> bool {
        !self.state.as_deref().is_some_and(|state| LEAVING.contains(&state))
    }

    /// Returns whether a machine may have it: it stays, its host is well, and nobody else has it.
    pub fn is_free(&self) -> bool {
        let nobody = |holder: &Option<String>| holder.as_deref().is_none_or(str::is_empty);
        let well = self.host_status.as_deref().is_none_or(|status| status.is_empty() || status == "ok");
        self.stays() && well && nobody(&self.attached_machine_id) && nobody(&self.attached_alloc_id)
    }
}

impl Live {
    /// Returns the machines that a release moves, each with its process group, by id: managed ones of the groups that `config` has.
    pub fn managed(&self, config: &FlyConfig) -> Vec<(String, Machine)> {
        let groups = config.groups();
        self.fleet(config).into_iter().filter(|(group, _)| groups.contains(&group.as_str())).collect()
    }

    /// Returns the managed machines of groups that `config` has no longer, each with its group, by id.
    pub fn orphans(&self, config: &FlyConfig) -> Vec<(String, Machine)> {
        let groups = config.groups();
        self.fleet(config).into_iter().filter(|(group, _)| !groups.contains(&group.as_str())).collect()
    }

    /// Returns the size of the machine of the default group that has the most memory; `None` where there is none with a size.
    pub fn largest(&self, config: &FlyConfig) -> Option<serde_json::Map<String, serde_json::Value>> {
        let memory = |guest: &serde_json::Map<String, serde_json::Value>| guest.get("memory_mb").and_then(serde_json::Value::as_u64);
        let machines = self.managed(config).into_iter().filter(|(group, _)| group == config.default_group());
        let guests = machines.map(|(_, machine)| object(machine.config().and_then(|config| config.get("guest"))));
        // Of equal ones the first counts.
        guests.filter(|guest| memory(guest).is_some()).rev().max_by_key(memory)
    }

    fn fleet(&self, config: &FlyConfig) -> Vec<(String, Machine)> {
        let fleet = Fleet::new("", config.default_group(), self.machines.clone());
        let mut machines: Vec<(String, Machine)> =
            fleet.machines.iter().map(|machine| (fleet.group(machine).to_owned(), machine.clone())).collect();
        machines.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        machines
    }
}
