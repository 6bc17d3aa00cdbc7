//! The volumes of an app: placing, mounting, copying and keeping them.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::routes::account;
use super::shortage::Shortage;
use super::state::{App, State};
use super::switches::SnapshotFate;
use super::volume::{Origin, Snapshot, Volume};
use super::wire::VolumeBody;
use super::{Fly, Inner, config};
use crate::embedded::ground::lock;
use crate::embedded::tape::hex;

/// The size of a volume that names none. Source: fly.io/docs/volumes/overview.
const USUAL_GB: u64 = 1;

/// The days for which snapshots are kept where nothing is said. Source: fly.io/docs/volumes/snapshots.
const USUAL_RETENTION: u64 = 5;

/// A volume as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeView {
    /// The volume's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its size.
    pub size_gb: u64,
    /// Its state, as in the API.
    pub state: &'static str,
    /// The machine that has it.
    pub attached: Option<String>,
    /// The status of its host.
    pub host_status: &'static str,
    /// What it was made of.
    pub origin: Origin,
    /// How many snapshots it has that are made.
    pub snapshots: usize,
}

impl Fly {
    /// Returns the volumes of `app` that were not destroyed, in order of their ids.
    pub fn volumes(&self, app: &str) -> Vec<VolumeView> {
        let (now, pace) = (self.inner.now(), self.inner.switches().pace);
        let state = lock(&self.inner.state);
        let volumes = state.apps.get(app).into_iter().flat_map(|app| app.volumes.values()).filter(|volume| volume.lives());
        volumes
            .map(|volume| VolumeView {
                id: volume.id.clone(),
                name: volume.name.clone(),
                region: volume.region.clone(),
                size_gb: volume.size_gb,
                state: volume.state(now.elapsed, &pace),
                attached: volume.attached.clone(),
                host_status: volume.host_status,
                origin: volume.origin.clone(),
                snapshots: volume
                    .seen_snapshots(now.wall, now.elapsed, &pace)
                    .iter()
                    .filter(|snapshot| snapshot.status(now.elapsed, &pace) == "created")
                    .count(),
            })
            .collect()
    }

    /// Returns when each snapshot of `app`'s volumes that was asked for is complete, since the world began; one that never is does not count.
    pub fn snapshots_made(&self, app: &str) -> Vec<Duration> {
        let pace = self.inner.switches().pace;
        let state = lock(&self.inner.state);
        let volumes = state.apps.get(app).into_iter().flat_map(|app| app.volumes.values());
        let asked_for =
            volumes.flat_map(|volume| &volume.snapshots).filter(|snapshot| !snapshot.old && snapshot.fate == SnapshotFate::Made);
        asked_for.map(|snapshot| snapshot.asked + pace.snapshot_wait + pace.snapshot_make).collect()
    }

    /// Makes a volume that has always been there, attached to nothing; returns its id. An unknown app gives an empty id.
    pub fn seed_volume(&self, app: &str, name: &str, region: &str, size_gb: u64) -> String {
        let body = VolumeBody { name: name.to_owned(), region: region.to_owned(), size_gb: Some(size_gb), ..VolumeBody::default() };
        let mut volume = self.inner.bare_volume(&body, Origin::Empty);
        volume.extended = None;
        let id = volume.id.clone();
        let mut state = lock(&self.inner.state);
        let Some(app) = state.apps.get_mut(app) else { return String::new() };
        app.volumes.insert(id.clone(), volume);
        id
    }

    /// Makes a snapshot that was complete `age` ago, as the daily backup leaves them; returns its id, or nothing where there is no such volume.
    pub fn seed_snapshot(&self, app: &str, volume: &str, age: Duration) -> Option<String> {
        let made = self.inner.bare_snapshot();
        let mut state = lock(&self.inner.state);
        let volume = state.apps.get_mut(app)?.volumes.get_mut(volume)?;
        let created_at = made.created_at.checked_sub(age).ok()?;
        let (id, retention_days) = (made.id.clone(), volume.snapshot_retention);
        volume.snapshots.push(Snapshot { created_at, volume_gb: volume.size_gb, retention_days, old: true, ..made });
        volume.snapshots.sort_by_key(|snapshot| snapshot.created_at);
        Some(id)
    }
}

impl Inner {
    /// Returns a new volume, not yet in any app.
    pub(super) fn bare_volume(&self, body: &VolumeBody, origin: Origin) -> Volume {
        let now = self.now();
        Volume {
            id: format!("vol_{}", self.hex(16)),
            name: body.name.clone(),
            region: body.region.clone(),
            zone: self.hex(4),
            size_gb: body.size_gb.unwrap_or(USUAL_GB),
            encrypted: body.encrypted.unwrap_or(true),
            fstype: body.fstype.clone().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "ext4".to_owned()),
            origin,
            host_status: "ok",
            attached: None,
            snapshot_retention: body.snapshot_retention.unwrap_or(USUAL_RETENTION),
            auto_backup_enabled: body.auto_backup_enabled.unwrap_or(true),
            created_at: now.wall,
            born: now.elapsed,
            extended: None,
            died: None,
            snapshots: Vec::new(),
        }
    }

    /// Returns a new snapshot of nothing yet.
    pub(super) fn bare_snapshot(&self) -> Snapshot {
        let (now, id) = (self.now(), format!("vs_{}", self.hex(16)));
        let digest = hex(Sha256::digest(&id).as_slice());
        let fate = self.switches().snapshots;
        Snapshot { id, asked: now.elapsed, created_at: now.wall, volume_gb: 0, retention_days: 0, fate, digest, old: false }
    }

    /// Returns what a volume is to be made of, completes `body` from it, and refuses what cannot be.
    ///
    /// A copy is at least as large as what it is made of, and is called and placed like it where nothing else is said. Source: flyctl's
    /// `volumes fork` and `volumes create --snapshot-id`.
    pub(super) fn origin(&self, state: &State, app: &str, body: &mut VolumeBody) -> Result<Origin, Problem> {
        let (now, pace) = (self.now().elapsed, self.switches().pace);
        let named = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let owner = state.apps.get(app).map(|app| app.org.as_str());
        let volumes = || state.apps.values().filter(|app| owner == Some(app.org.as_str())).flat_map(|app| app.volumes.values());
        let (origin, size_gb) = if let Some(id) = named(&body.source_volume_id) {
            let source = volumes().find(|volume| volume.id == id && volume.lives());
            let source = source.ok_or_else(|| Problem::new(404, format!("volume not found: '{id}'")))?;
            self.reachable(source.host_status)?;
            if body.name.is_empty() {
                body.name.clone_from(&source.name);
            }
            if body.region.is_empty() {
                body.region.clone_from(&source.region);
            }
            (Origin::Fork(id), source.size_gb)
        } else if let Some(id) = named(&body.snapshot_id) {
            let all = || volumes().flat_map(|volume| &volume.snapshots);
            let source =
                all().find(|snapshot| snapshot.id == id).ok_or_else(|| Problem::new(404, format!("snapshot not found: '{id}'")))?;
            if source.status(now, &pace) != "created" {
                return Err(Problem::new(412, format!("failed_precondition: snapshot {id} is not complete")));
            }
            (Origin::Snapshot(id), source.volume_gb)
        } else {
            return Ok(Origin::Empty);
        };
        if *body.size_gb.get_or_insert(size_gb) < size_gb {
            return Err(Problem::new(422, format!("invalid size_gb, must be at least {size_gb}")));
        }
        Ok(origin)
    }

    /// Refuses a volume that cannot be made.
    pub(super) fn may_make_volume(state: &mut State, app: &str, body: &VolumeBody) -> Result<(), Problem> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if body.name.is_empty() || body.name.len() > 30 || !body.name.chars().all(good) {
            return Err(Problem::new(422, "invalid name, a volume's may have lower-case letters, digits and underscores, 30 at most"));
        }
        if !account::is_region(&body.region) {
            return Err(Problem::new(422, format!("invalid region: '{}'", body.region)));
        }
        if !(1..=500).contains(&body.size_gb.unwrap_or(USUAL_GB)) {
            return Err(Problem::new(422, "invalid size_gb, must be between 1 and 500"));
        }
        if !matches!(body.fstype.as_deref(), None | Some("" | "ext4" | "raw")) {
            return Err(Problem::new(422, "invalid fstype, must be ext4 or raw"));
        }
        retention(body.snapshot_retention)?;
        state.room_for(app, &[Shortage::Volume], &body.region)
    }
}

/// Refuses a number of days for which snapshots cannot be kept.
pub(super) fn retention(days: Option<u64>) -> Result<(), Problem> {
    match days {
        Some(days) if !(1..=60).contains(&days) => Err(Problem::new(422, "invalid snapshot_retention, must be between 1 and 60 days")),
        _ => Ok(()),
    }
}

/// Returns the ids of the volumes that a configuration mounts.
pub(super) fn volume_ids(config: &Value) -> Vec<&str> {
    config::list(config, "mounts").iter().filter_map(|mount| config::text(mount, "volume")).collect()
}

/// Refuses a configuration's mounts that cannot be in `region`. A mount names its volume. Source: the OpenAPI document's `fly.MachineMount`.
pub(super) fn may_mount(app: &App, config: &Value, region: &str, now: Duration, pace: &super::Pace) -> Result<(), Problem> {
    for mount in config::list(config, "mounts") {
        let id = config::text(mount, "volume").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Problem::new(422, "invalid config.mounts, a mount needs a volume"))?;
        let volume = app.volumes.get(id).filter(|volume| volume.lives());
        volume.ok_or_else(|| Problem::new(404, format!("volume not found: '{id}'")))?.may_mount(region, now, pace)?;
    }
    Ok(())
}

/// Gives a configuration's volumes to a machine.
pub(super) fn attach(app: &mut App, config: &Value, machine: &str) {
    for id in volume_ids(config) {
        if let Some(volume) = app.volumes.get_mut(id) {
            volume.attached = Some(machine.to_owned());
        }
    }
}

/// Returns a configuration with another volume in the place of the one that it mounts.
pub(super) fn remounted(config: &Value, volume: &str) -> Value {
    let mut config = config.clone();
    if let Some(mount) = config.get_mut("mounts").and_then(|mounts| mounts.get_mut(0)) {
        mount["volume"] = json!(volume);
    }
    config
}
