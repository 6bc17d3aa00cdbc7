//! Keep: machines of before stay for a while, ready to serve again; workers among them do not go on working.

use super::FlyTarget;
use super::cost::MachineKind;
use super::hints::{Hints, runs};
use super::slots::has_services;
use super::wire::Machine;
use crate::platform::{PlatformError, Revision, Scope};

impl FlyTarget {
    /// Stops the machines of a kept revision that nobody is routed to by a service, and returns what the others cost a month.
    pub(super) async fn keep_revision(&self, scope: &Scope, revision: &Revision) -> Result<Option<f64>, PlatformError> {
        let hints = Hints::of(revision, &self.settings.app)?;
        let fleet = self.fleet().await?;
        let machines: Vec<&Machine> =
            hints.machines.iter().filter_map(|hint| fleet.find(&hint.id)).filter(|machine| runs(machine)).collect();
        let (workers, others): (Vec<&Machine>, Vec<&Machine>) =
            machines.into_iter().partition(|machine| !machine.config().is_some_and(has_services));
        let work = self.each(&workers, async |machine| {
            if machine.host_is_well() {
                self.once_free(async || self.client.stop_machine(&self.settings.app, &machine.id, machine.config(), None).await).await?;
            }
            Ok(())
        });
        self.or_cancelled(scope, "keep", work).await?;
        let price = |machine: &&Machine| MachineKind::of(machine.config()?.get("guest")?, &machine.region)?.monthly();
        Ok(others.iter().map(price).sum())
    }
}
