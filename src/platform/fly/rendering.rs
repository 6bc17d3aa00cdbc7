//! What a release would make of an app: one machine per slot, rendered and stamped. Pure.

use super::FlySettings;
use super::content::config_digest;
use super::fleet::{Fleet, label};
use super::hints::{Hints, MachineHint, runs};
use super::machine_config::{MachineConfig, render};
use super::stamp::{self, Marks};
use super::toml::{FlyConfig, Strategy};
use super::wire::{Machine, ReleaseRecord};
use crate::platform::{Artifact, Content, Revision, RevisionDigest, Scope};

/// A place for one machine: where, of which group, after which machine.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) group: String,
    pub(super) region: String,
    /// The machine whose place it takes; none in a first release.
    pub(super) old: Option<Machine>,
    /// Whether it runs at once.
    pub(super) launch: bool,
}

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

/// Returns one slot per serving machine: count, regions and what runs stay as they are. Where nothing of a group runs, its first machine
/// is launched all the same, or nothing would prove the group's health.
pub(super) fn slots_after(fleet: &Fleet, serving: &[&Machine]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = serving
        .iter()
        .map(|machine| Slot {
            group: fleet.group(machine).to_owned(),
            region: machine.region.clone(),
            old: Some((*machine).clone()),
            launch: runs(machine),
        })
        .collect();
    let groups: std::collections::BTreeSet<String> = slots.iter().map(|slot| slot.group.clone()).collect();
    for group in groups {
        if !slots.iter().any(|slot| slot.group == group && slot.launch)
            && let Some(first) = slots.iter_mut().find(|slot| slot.group == group)
        {
            first.launch = true;
        }
    }
    slots
}

/// Returns the slots of a first release: two machines for a group with services, one for any other (fly.md 15.13).
pub(super) fn first_slots(config: &FlyConfig, region: &str, high_availability: bool) -> Vec<Slot> {
    let slot = |group: &str| Slot { group: group.to_owned(), region: region.to_owned(), old: None, launch: true };
    let count = |group: &str| {
        let twice = high_availability && !config.services_of(group).is_empty() && config.mounts_of(group).is_empty();
        if twice { 2 } else { 1 }
    };
    config.groups().into_iter().flat_map(|group| std::iter::repeat_n(slot(group), count(group))).collect()
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
    config
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
    let hints =
        Hints { app: settings.app.clone(), strategy: Some(strategy), image: image.reference.clone(), gets: gets.to_vec(), machines };
    Revision {
        digest: digest(settings, slots, image),
        artifact: Some(image.digest.clone()),
        label: label(&image.reference),
        release: Some(scope.release.as_str().to_owned()),
        hints: hints.to_value(),
    }
}
