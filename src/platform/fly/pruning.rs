//! Prune: exactly these machines end, each read again just before.

use std::time::Duration;

use tokio::time::Instant;

use super::FlyTarget;
use super::api::Waited;
use super::hints::{Hints, MachineHint};
use super::machine_config::MachineConfig;
use super::stamp;
use super::toml::parse_duration;
use super::wire::Machine;
use crate::platform::{PlatformError, PlatformErrorKind, Revision, Scope};

/// How long a process has to end when its config does not say; Fly's default.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of a machine that was told to be destroyed is waited for.
const DESTROY_MARGIN: Duration = Duration::from_secs(30);
/// How often a machine is told to be destroyed that does not go.
const DESTROYS: usize = 3;
/// States in which a machine is gone or about to be.
const GOING: [&str; 2] = ["destroyed", "destroying"];
/// How much longer than its kill time-out a machine may take to be stopped before it is destroyed all the same.
const STOP_MARGIN: Duration = Duration::from_secs(30);

impl FlyTarget {
    pub(super) async fn prune_revision(&self, scope: &Scope, revision: &Revision) -> Result<(), PlatformError> {
        let hints = Hints::of(revision, &self.settings.app)?;
        let work = self.each(&hints.machines, async |hint| self.prune_machine(scope, revision, hint).await);
        self.or_cancelled(scope, "prune", work).await
    }

    /// Removes what a person had added to what served before, and what left with it.
    pub(super) async fn prune_added(&self, scope: &Scope) -> Result<(), PlatformError> {
        let none_here = {
            let memory = self.memory();
            memory.went_forward && memory.added.is_empty()
        };
        if none_here {
            return Ok(());
        }
        let fleet = self.fleet().await?;
        let left = |machine: &&Machine| machine.cordoned && machine.metadata(stamp::LEAVING) == scope.release.as_str();
        for machine in fleet.machines.iter().filter(left) {
            self.prune_revision(scope, &fleet.revision(&[machine])).await?;
        }
        Ok(())
    }

    async fn prune_machine(&self, scope: &Scope, revision: &Revision, hint: &MachineHint) -> Result<(), PlatformError> {
        // What this run took out of routing itself needs no look to know how long ago that was.
        let known = self.memory().cordoned.get(&hint.id).map(|at| self.drain_margin().saturating_sub(at.elapsed()));
        let left = match known {
            Some(left) => left,
            None => match self.matching(scope, revision, hint).await? {
                Some(machine) => self.drain_left(&machine),
                None => return Ok(()),
            },
        };
        tokio::time::sleep(left).await;
        // The margin was long enough for the world to change.
        let Some(machine) = self.matching(scope, revision, hint).await? else { return Ok(()) };
        let app = &self.settings.app;
        if machine.host_is_well() && ["started", "starting", "restarting"].contains(&machine.state.as_str()) {
            self.once_free(async || self.client.stop_machine(app, &machine.id, machine.config(), None).await).await?;
            self.await_stopped(&machine).await?;
        }
        self.destroy(&machine.id).await?;
        self.memory().cordoned.remove(&machine.id);
        self.memory().unseen.remove(&machine.id);
        Ok(())
    }

    /// Destroys a machine and sees that it goes: its name and its address are taken until it is gone, and an answer alone is no end of it.
    pub(super) async fn destroy(&self, id: &str) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        for _ in 0..DESTROYS {
            self.once_free(async || self.client.destroy_machine(app, id).await).await?;
            if self.client.wait_once(app, id, &["destroyed"], None, DESTROY_MARGIN).await? != Waited::NotYet {
                return Ok(());
            }
            // What is on its way takes longer and goes all the same.
            let machine = self.client.get_machine(app, id).await?;
            if machine.is_none_or(|machine| GOING.contains(&machine.state.as_str())) {
                return Ok(());
            }
        }
        let why = format!("machine {id} was to be destroyed {DESTROYS} times, and is still there");
        Err(self.error("destroy_machine", PlatformErrorKind::Unexpected(why)))
    }

    /// Reads a machine again. `None` when it is gone, or is not this revision any more: updated in place, it belongs to another. A machine
    /// that users reach is never pruned.
    async fn matching(&self, scope: &Scope, revision: &Revision, hint: &MachineHint) -> Result<Option<Machine>, PlatformError> {
        let machine = self.client.get_machine(&self.settings.app, &hint.id).await?;
        let Some(machine) = machine.filter(|machine| !GOING.contains(&machine.state.as_str())) else {
            return Ok(None);
        };
        let stamped = stamp::is_ours(&machine, &scope.product, &scope.environment);
        let same = match &revision.release {
            Some(release) => stamped && machine.metadata(stamp::RELEASE) == release,
            // Made by flyctl: nothing but its version says that it is still the one that was observed.
            None => !hint.instance_id.is_empty() && machine.instance_id == hint.instance_id,
        };
        if !same {
            return Ok(None);
        }
        // A machine on a dead host serves nobody, and could not be taken out of routing; what runs one command is never routed to.
        if machine.cordoned || !machine.host_is_well() || super::fleet::is_temporary(&machine) {
            return Ok(Some(machine));
        }
        let why = format!("machine {} serves users, so it is not removed", hint.id);
        Err(self.error("prune", PlatformErrorKind::Impossible(why)))
    }

    /// Returns how much of the drain margin is left for a machine. One that nobody ever was routed to needs none; where nobody remembers
    /// when it was cordoned, the margin begins now.
    fn drain_left(&self, machine: &Machine) -> Duration {
        let margin = self.drain_margin();
        let memory = self.memory();
        let asked = machine.config().is_some_and(super::slots::has_services);
        if memory.unseen.contains(&machine.id) || !asked || !super::hints::runs(machine) || !machine.host_is_well() {
            return Duration::ZERO;
        }
        memory.cordoned.get(&machine.id).map_or(margin, |at| margin.saturating_sub(at.elapsed()))
    }

    pub(super) async fn await_stopped(&self, machine: &Machine) -> Result<(), PlatformError> {
        let limit = machine.config().map_or(KILL_TIMEOUT, kill_timeout) + STOP_MARGIN;
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let version = Some(machine.instance_id.as_str()).filter(|version| !version.is_empty());
            let waited = self.client.wait_once(&self.settings.app, &machine.id, &["stopped"], version, left).await?;
            // What does not stop is destroyed by force next; what went elsewhere or is gone needs no waiting.
            if waited != Waited::NotYet || Instant::now() >= until {
                return Ok(());
            }
        }
    }
}

fn kill_timeout(config: &MachineConfig) -> Duration {
    let timeout = config.get("stop_config").and_then(|stop| stop.get("timeout"));
    match timeout {
        Some(serde_json::Value::String(text)) => parse_duration(text).unwrap_or(KILL_TIMEOUT),
        Some(value) => value.as_u64().map_or(KILL_TIMEOUT, Duration::from_nanos),
        None => KILL_TIMEOUT,
    }
}
