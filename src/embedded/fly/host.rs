//! Hosts that cannot be reached: what fails on them, and the standbys that start in their place.

use std::sync::Arc;
use std::time::Duration;

use super::machine::{Machine, MachineState};
use super::problem::Problem;
use super::{Fly, Inner, config};
use crate::embedded::ground::lock;

impl Fly {
    /// Sets the `host_status` of a machine and of the volume it has: `ok`, `unknown` or `unreachable`.
    ///
    /// Anything but `ok` takes the machine out of routing, hides its configuration, makes everything that needs the host fail (see
    /// [`super::Switches::dead_hosts_refuse`]) and starts the machine's standbys.
    pub fn host(&self, app: &str, machine: &str, status: &'static str) {
        if status != "ok" {
            self.inner.ground.traffic.ends(machine, Duration::ZERO);
        }
        self.inner.change(app, machine, |machine, _| machine.host_status = status);
        if let Some(app) = lock(&self.inner.state).apps.get_mut(app) {
            for volume in app.volumes.values_mut().filter(|volume| volume.attached.as_deref() == Some(machine)) {
                volume.host_status = status;
            }
        }
        if status != "ok" {
            self.inner.stand_in(app, machine);
        }
    }

    /// Sets the `host_status` of a volume that no machine has.
    pub fn volume_host(&self, app: &str, volume: &str, status: &'static str) {
        let mut state = lock(&self.inner.state);
        if let Some(volume) = state.apps.get_mut(app).and_then(|app| app.volumes.get_mut(volume)) {
            volume.host_status = status;
        }
    }
}

impl Inner {
    /// Refuses what needs a host that cannot be reached.
    pub(super) fn reachable(&self, host_status: &str) -> Result<(), Problem> {
        match self.switches().dead_hosts_refuse {
            Some(status) if host_status != "ok" => Err(Problem::new(status, format!("deadline_exceeded: the host is {host_status}"))),
            _ => Ok(()),
        }
    }

    /// Starts the standbys of a machine whose host is gone. Source: fly.io/docs/reference/configuration (`standbys`): they start only then.
    fn stand_in(self: &Arc<Self>, app: &str, gone: &str) {
        let stands_by = |machine: &&Machine| {
            machine.state == MachineState::Stopped && config::list(&machine.config, "standbys").iter().any(|other| other == gone)
        };
        let standbys: Vec<(String, u64)> = {
            let state = lock(&self.state);
            let living = state.apps.get(app).into_iter().flat_map(super::state::App::living);
            living.filter(stands_by).map(|machine| (machine.id.clone(), machine.epoch)).collect()
        };
        for (id, epoch) in standbys {
            self.launch(app, &id, epoch);
        }
    }
}
