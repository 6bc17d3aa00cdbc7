//! Snapshots of volumes: asked for at once, made later.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::volumes::Place;
use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::volume::Snapshot;
use crate::embedded::fly::{Pace, state::Now};

/// Lists snapshots, newest first, with what is known of each by now.
pub(super) async fn list(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    let now = fly.now();
    fly.volume(&caller, &app, &id, |volume, pace| {
        let seen = volume.seen_snapshots(now.wall, now.elapsed, pace);
        Ok(seen.into_iter().map(|snapshot| written(snapshot, now, pace)).collect())
    })
}

/// Asks for a snapshot. The answer does not say which: the OpenAPI document gives it no body, and flyctl reads none.
pub(super) async fn create(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    let asked = fly.bare_snapshot();
    fly.volume(&caller, &app, &id, |volume, _| {
        fly.reachable(volume.host_status)?;
        volume.snapshots.push(Snapshot { volume_gb: volume.size_gb, retention_days: volume.snapshot_retention, ..asked });
        Ok(json!({ "ok": true }))
    })
}

fn written(snapshot: &Snapshot, now: Now, pace: &Pace) -> Value {
    let status = snapshot.status(now.elapsed, pace);
    let mut object = json!({
        "id": snapshot.id,
        "size": snapshot.size(now.elapsed, pace),
        "volume_size": snapshot.volume_gb * 1_000_000_000,
        "created_at": snapshot.created_at.to_string(),
        "status": status,
        "retention_days": snapshot.retention_days,
    });
    // What is not made yet has no digest.
    if status == "created" {
        object["digest"] = json!(snapshot.digest);
    }
    object
}
