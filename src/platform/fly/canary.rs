//! The canary: one machine more, which nobody is sent to, proves the new version before any machine of users is changed.
//!
//! It is made while preparing, registered never, and destroyed whatever becomes of it; one that a dead runner leaves is found by its stamp.
//! A group without services has none: a started worker takes jobs.

use super::FlyTarget;
use super::fleet::Fleet;
use super::preparing::own;
use super::rendering::{self, Image, Rendering};
use super::slots::{Slot, has_services, standbys};
use super::watching::Awaited;
use super::wire::{CreateMachine, Machine, object};
use crate::platform::{PlatformError, Scope};

impl FlyTarget {
    /// Makes, proves and destroys one canary of each group that users reach.
    pub(super) async fn try_canaries(
        &self,
        scope: &Scope,
        fleet: &Fleet,
        slots: &[Slot],
        image: &Image,
        gets: &[String],
    ) -> Result<(), PlatformError> {
        let revision = rendering::digest(&self.settings, slots, image);
        let (release, record) = (scope.release.as_str(), self.memory().record.clone());
        let rendering =
            Rendering { settings: &self.settings, scope, release, revision: revision.as_str(), image, gets, record: record.as_ref() };
        for group in self.settings.config.groups() {
            let runs = |slot: &&Slot| slot.group == group && slot.launch && !slot.beside && !slot.is_standby();
            let Some(slot) = slots.iter().find(runs) else { continue };
            let intent = format!("{release}/canary-{group}");
            let mut config = rendering.config(slot, intent.clone());
            if !has_services(&config) || !standbys(Some(&config)).is_empty() || !self.settings.config.mounts_of(group).is_empty() {
                continue;
            }
            let mut metadata = object(config.get("metadata"));
            metadata.insert("fly_canary".to_owned(), "true".into());
            config.insert("metadata".to_owned(), metadata.into());
            let mut dns = object(config.get("dns"));
            dns.insert("skip_registration".to_owned(), true.into());
            config.insert("dns".to_owned(), dns.into());
            let body = CreateMachine {
                config,
                region: slot.region.clone(),
                skip_launch: false,
                skip_service_registration: true,
                min_secrets_version: self.secrets_version(),
            };
            let machine = match own(fleet, scope, &intent) {
                Some(machine) => machine.clone(),
                None => self.create_one(scope, &body, &intent).await?,
            };
            self.try_canary(scope, group, &machine).await?;
        }
        Ok(())
    }

    async fn try_canary(&self, scope: &Scope, group: &str, machine: &Machine) -> Result<(), PlatformError> {
        scope.step(
            &self.settings.target,
            format!("canary of {group}: machine {} tries the new version, and no user reaches it", machine.id),
        );
        let awaited = Awaited { id: machine.id.clone(), after: 0, version: machine.instance_id.clone() };
        let proven = self.await_healthy(scope, &[awaited]).await;
        // Whatever it proved: what cannot be destroyed now is removed by its stamp when the release goes back.
        let ended = self.destroy(&machine.id).await;
        match (proven, ended) {
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}
