//! Volumes of a release: a machine's own stays with it; a machine that is new gets a free one, or one that is made for it.
//!
//! A machine with a volume on a host that does not answer is refused. Its volume is not forked: a fork is read from that very host, and the newest
//! snapshot is older than what was written last, so what becomes of the data is a person's decision.

use super::FlyTarget;
use super::fleet::Fleet;
use super::live::{Live, Volume};
use super::preparing::CREATIONS;
use super::rendering;
use super::slots::{Slot, has_mounts};
use super::updates::{Update, UpdateError, updates};
use super::wire::{CreateVolume, Machine};
use crate::platform::{PlatformError, PlatformErrorKind, Scope};

/// The size of a volume where fly.toml says none; flyctl's value (fly.md 15.6).
const SIZE_GB: u32 = 1;

impl FlyTarget {
    /// Returns what each of these machines would be sent, and why one cannot be.
    pub(super) async fn updates_of(&self, machines: &[&Machine], image: &str) -> Result<Vec<Update>, PlatformError> {
        let config = &self.settings.config;
        let mounted = !config.mounts.is_empty() || machines.iter().any(|machine| machine.config().is_some_and(has_mounts));
        let volumes = if mounted { self.client.volumes(&self.settings.app).await? } else { Vec::new() };
        let live = Live { machines: machines.iter().map(|machine| (*machine).clone()).collect(), volumes };
        Ok(updates(config, image, &live))
    }

    /// Returns what to type about a machine that cannot become what `fly.toml` says.
    pub(super) fn help_with(&self, problem: &UpdateError) -> String {
        let app = &self.settings.app;
        match problem {
            UpdateError::NoVolume { name, region } => format!("make one with `fly volumes create {name} -a {app} -r {region}`"),
            UpdateError::VolumeOnDeadHost { volume } => format!(
                "wait until its host answers, or give up what was written since the newest snapshot: `fly volumes snapshots list {volume} -a {app}`, \
                 `fly volumes create NAME --snapshot-id ID -a {app}`, and destroy the machine"
            ),
            UpdateError::VolumeOnOtherHost { .. } => {
                format!("fork its volume with `fly volumes fork VOLUME -a {app} --host-dedication-id ID`, or take host_dedication_id back")
            }
        }
    }

    /// Gives every new machine that fly.toml mounts a volume on one of its own: a free one, or a new one where its group had no machine yet.
    pub(super) async fn ensure_volumes(&self, scope: &Scope, fleet: &Fleet, slots: &mut [Slot]) -> Result<(), PlatformError> {
        let (app, config) = (&self.settings.app, &self.settings.config);
        let wants = |slot: &Slot| slot.beside && slot.old.is_none() && slot.volume.is_none() && !config.mounts_of(&slot.group).is_empty();
        if !slots.iter().any(wants) {
            return Ok(());
        }
        let mut volumes = self.client.volumes(app).await?;
        for (place, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| wants(slot)) {
            // Made by an earlier call: it has its volume.
            let intent = rendering::intent(scope.release.as_str(), place);
            if super::preparing::own(fleet, scope, &intent).is_some() {
                continue;
            }
            let Some(mount) = config.mounts_of(&slot.group).first().copied().cloned() else { continue };
            let is_it = |volume: &Volume| volume.is_free() && volume.name == mount.source && volume.region == slot.region;
            if let Some(at) = volumes.iter().position(is_it) {
                slot.volume = Some(volumes.remove(at).id);
                continue;
            }
            let size_gb = mount.initial_size_gb.unwrap_or(SIZE_GB);
            let body = CreateVolume {
                name: mount.source.clone(),
                region: slot.region.clone(),
                size_gb,
                encrypted: true,
                snapshot_retention: mount.snapshot_retention,
            };
            scope.step(&self.settings.target, format!("making volume {} of {size_gb} GB in {}", mount.source, slot.region));
            slot.volume = Some(self.make_volume(scope, &body, is_it).await?);
        }
        Ok(())
    }

    /// Makes a volume; after a lost answer a free one that fits is it, since it was looked for just before. There is none to be found where a list
    /// lags or the effect comes late: then there is one too many in the end, which costs little and is used by the next machine.
    async fn make_volume(&self, scope: &Scope, body: &CreateVolume, is_it: impl Fn(&Volume) -> bool) -> Result<String, PlatformError> {
        let app = &self.settings.app;
        let mut attempt = 0;
        loop {
            self.unless_cancelled(scope, "create_volume")?;
            attempt += 1;
            let error = match self.client.create_volume(app, body).await {
                Ok(volume) if !volume.id.is_empty() => return Ok(volume.id),
                Ok(_) => self.error("create_volume", PlatformErrorKind::Unexpected("the new volume has no id".to_owned())),
                Err(error) if error.ambiguous() => error,
                Err(error) => return Err(error),
            };
            tokio::time::sleep(super::LOOKUP_WINDOW).await;
            if let Some(made) = self.client.volumes(app).await?.into_iter().find(&is_it) {
                return Ok(made.id);
            }
            if attempt >= CREATIONS {
                return Err(error);
            }
        }
    }
}
