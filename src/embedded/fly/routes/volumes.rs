//! Volumes and their snapshots.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{Answer, Fly, account};
use crate::embedded::fly::Inner;
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::state::Volume;
use crate::embedded::fly::wire::{self, VolumeBody};
use crate::embedded::ground::lock;

type Place = Path<(String, String)>;

pub(super) async fn list(State(fly): Fly, caller: Caller, Path(app): Path<String>) -> Answer {
    let mut state = lock(&fly.state);
    Ok(Json(caller.app(&mut state, &app)?.volumes.values().map(wire::volume).collect()))
}

pub(super) async fn create(State(fly): Fly, caller: Caller, Path(app): Path<String>, body: Bytes) -> Answer {
    let body: VolumeBody = wire::read(&body)?;
    if body.name.is_empty() || !account::is_region(&body.region) {
        return Err(Problem::new(422, "a volume needs a name and a known region"));
    }
    let size_gb = body.size_gb.unwrap_or(1);
    if !(1..=500).contains(&size_gb) {
        return Err(Problem::new(422, "invalid size_gb, must be between 1 and 500"));
    }
    retention(body.snapshot_retention)?;
    let volume = Volume {
        id: format!("vol_{}", fly.hex(16)),
        name: body.name,
        region: body.region,
        size_gb,
        encrypted: body.encrypted.unwrap_or(true),
        attached: None,
        snapshot_retention: body.snapshot_retention.unwrap_or(5),
        auto_backup_enabled: body.auto_backup_enabled.unwrap_or(true),
        created_at: fly.now().wall,
        snapshots: Vec::new(),
    };
    let answer = wire::volume(&volume);
    let mut state = lock(&fly.state);
    caller.app(&mut state, &app)?.volumes.insert(volume.id.clone(), volume);
    Ok(Json(answer))
}

fn retention(days: Option<u64>) -> Result<(), Problem> {
    match days {
        Some(days) if !(1..=60).contains(&days) => Err(Problem::new(422, "invalid snapshot_retention, must be between 1 and 60 days")),
        _ => Ok(()),
    }
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    fly.volume(&caller, &app, &id, |volume| Ok(wire::volume(volume)))
}

pub(super) async fn change(State(fly): Fly, caller: Caller, Path((app, id)): Place, body: Bytes) -> Answer {
    let body: VolumeBody = wire::read(&body)?;
    retention(body.snapshot_retention)?;
    fly.volume(&caller, &app, &id, |volume| {
        volume.snapshot_retention = body.snapshot_retention.unwrap_or(volume.snapshot_retention);
        volume.auto_backup_enabled = body.auto_backup_enabled.unwrap_or(volume.auto_backup_enabled);
        Ok(wire::volume(volume))
    })
}

pub(super) async fn extend(State(fly): Fly, caller: Caller, Path((app, id)): Place, body: Bytes) -> Answer {
    let body: VolumeBody = wire::read(&body)?;
    fly.volume(&caller, &app, &id, |volume| {
        let wanted = body.size_gb.unwrap_or(0);
        if wanted <= volume.size_gb {
            return Err(Problem::new(422, "invalid size_gb, a volume can only grow"));
        }
        volume.size_gb = wanted;
        Ok(json!({ "volume": wire::volume(volume), "needs_restart": false }))
    })
}

pub(super) async fn remove(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    let answer = fly.volume(&caller, &app, &id, |volume| match &volume.attached {
        Some(machine) => Err(Problem::new(412, format!("failed_precondition: volume is attached to machine {machine}"))),
        None => Ok(wire::volume(volume)),
    })?;
    let mut state = lock(&fly.state);
    caller.app(&mut state, &app)?.volumes.remove(&id);
    Ok(answer)
}

pub(super) async fn snapshots(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    fly.volume(&caller, &app, &id, |volume| {
        let snapshots = volume.snapshots.iter().rev().map(|(snapshot, at)| {
            json!({
                "id": snapshot,
                "size": 4096,
                "volume_size": volume.size_gb * 1_000_000_000,
                "digest": snapshot,
                "created_at": at.to_string(),
                "status": "created",
                "retention_days": volume.snapshot_retention,
            })
        });
        Ok(snapshots.collect())
    })
}

pub(super) async fn snapshot(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    let (snapshot, now) = (format!("vs_{}", fly.hex(16)), fly.now().wall);
    fly.volume(&caller, &app, &id, |volume| {
        volume.snapshots.push((snapshot, now));
        Ok(json!({ "ok": true }))
    })
}

impl Inner {
    fn volume(&self, caller: &Caller, app: &str, id: &str, work: impl FnOnce(&mut Volume) -> Result<Value, Problem>) -> Answer {
        let mut state = lock(&self.state);
        let volume = caller.app(&mut state, app)?.volumes.get_mut(id);
        work(volume.ok_or_else(|| Problem::new(404, format!("volume not found: '{id}'")))?).map(Json)
    }
}
