//! What a release would make of an app: one machine per slot, rendered and stamped. Pure.

use super::FlySettings;
use super::content::config_digest;
use super::fleet::label;
use super::hints::{Hints, MachineHint};
use super::machine_config::{MachineConfig, render};
use super::slots::{Slot, standbys};
use super::stamp::{self, Marks};
use super::toml::Strategy;
use super::wire::{Machine, ReleaseRecord, object};
use crate::platform::{Artifact, Content, Revision, RevisionDigest, Scope};

/// An image to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) reference: String,
    pub(super) digest: String,
}

impl Image {
    /// Returns the image of an artifact; `None` for anything else.
    pub(super) fn of(artifact: &Artifact) -> Option<Self> {
        let Artifact::Image { reference, digest, .. } = artifact else { return None };
        let pinned = if reference.contains('@') { reference.clone() } else { format!("{reference}@{digest}") };
        Some(Self { reference: pinned, digest: digest.clone() })
    }
}

/// Returns a slot's config before any mark is put on it.
pub(super) fn unmarked(settings: &FlySettings, slot: &Slot, image: &Image) -> MachineConfig {
    let existing = slot.old.as_ref().and_then(Machine::config);
    let mut config = render(&settings.config, &slot.group, &image.reference, existing);
    if let Some(metadata) = config.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        metadata.retain(|key, _| !key.starts_with("cutover_"));
        if sized(settings, &slot.group) {
            metadata.insert(stamp::SIZED.to_owned(), "fly.toml".into());
        }
        let before = slot.old.as_ref().map(|old| old.metadata(stamp::SECRETS)).unwrap_or_default();
        if let Some(mark) = stamp::secrets_mark(before, &settings.secret_digests) {
            metadata.insert(stamp::SECRETS.to_owned(), mark.into());
        }
    }
    if let Some(volume) = &slot.volume
        && let Some(mount) = config.get_mut("mounts").and_then(|mounts| mounts.get_mut(0)).and_then(serde_json::Value::as_object_mut)
    {
        mount.insert("volume".to_owned(), volume.clone().into());
    }
    let leaders = standbys(Some(&config));
    if !leaders.is_empty() {
        stand_by(&mut config, &leaders);
    }
    config
}

/// Makes a config that of a machine which starts in the stead of others.
pub(super) fn stand_by(config: &mut MachineConfig, leaders: &[String]) {
    config.insert("standbys".to_owned(), leaders.to_vec().into());
    let mut env = object(config.get("env"));
    env.insert("FLY_STANDBY_FOR".to_owned(), leaders.join(",").into());
    config.insert("env".to_owned(), env.into());
}

/// Returns whether `fly.toml` declares the size of a group's machines, which makes it part of the revision.
fn sized(settings: &FlySettings, group: &str) -> bool {
    settings.config.vm_of(group).is_some()
}

/// Returns the digest of the revision that these slots would be.
pub(super) fn digest(settings: &FlySettings, slots: &[Slot], image: &Image) -> RevisionDigest {
    let content = slots.iter().map(|slot| (format!("{}/{}", slot.group, slot.region), config_digest(&unmarked(settings, slot, image))));
    Content { artifact: image.digest.clone(), slots: content.collect() }.digest()
}

/// Returns the key by which a release finds the machine of a slot again.
pub(super) fn intent(release: &str, ordinal: usize) -> String {
    format!("{release}/{ordinal}")
}

/// What a whole release of an app stamps on each machine.
#[derive(Debug, Clone)]
pub(super) struct Rendering<'a> {
    pub(super) settings: &'a FlySettings,
    pub(super) scope: &'a Scope,
    pub(super) release: &'a str,
    pub(super) revision: &'a str,
    pub(super) image: &'a Image,
    pub(super) gets: &'a [String],
    pub(super) record: Option<&'a ReleaseRecord>,
}

impl Rendering<'_> {
    /// Returns the config that Fly is sent for a slot.
    pub(super) fn config(&self, slot: &Slot, intent: String) -> MachineConfig {
        let mut config = unmarked(self.settings, slot, self.image);
        Marks {
            product: &self.scope.product,
            environment: &self.scope.environment,
            release: self.release,
            revision: self.revision,
            intent,
            sized: sized(self.settings, &slot.group),
            gets: self.gets,
            record: self.record,
        }
        .put(&mut config);
        config
    }
}

/// Returns a revision of machines that are to be, or have just been, made by `scope`'s release.
pub(super) fn revision(
    settings: &FlySettings,
    scope: &Scope,
    slots: &[Slot],
    image: &Image,
    gets: &[String],
    strategy: Strategy,
    machines: Vec<MachineHint>,
) -> Revision {
    let hints = Hints {
        app: settings.app.clone(),
        strategy: Some(strategy),
        image: image.reference.clone(),
        gets: gets.to_vec(),
        machines,
        beside: Vec::new(),
    };
    Revision {
        digest: digest(settings, slots, image),
        artifact: Some(image.digest.clone()),
        label: label(&image.reference),
        release: Some(scope.release.as_str().to_owned()),
        hints: hints.to_value(),
    }
}
