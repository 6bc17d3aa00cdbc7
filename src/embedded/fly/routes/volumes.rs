//! Volumes.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::storage;
use crate::embedded::fly::volume::Volume;
use crate::embedded::fly::wire::{self, VolumeBody};
use crate::embedded::fly::{Inner, Pace};
use crate::embedded::ground::lock;

pub(super) type Place = Path<(String, String)>;

/// Lists volumes; destroyed ones are listed for a day, as `pending_destroy`. `summary` is accepted and changes nothing here.
pub(super) async fn list(State(fly): Fly, caller: Caller, Path(app): Path<String>, Query(_): Query<BTreeMap<String, String>>) -> Answer {
    let (now, pace) = (fly.now().elapsed, fly.switches().pace);
    let mut state = lock(&fly.state);
    let listed = caller.app(&mut state, &app)?.volumes.values().filter(|volume| volume.listed(now));
    Ok(Json(listed.map(|volume| wire::volume(volume, now, &pace)).collect()))
}

pub(super) async fn create(State(fly): Fly, caller: Caller, Path(app): Path<String>, body: Bytes) -> Answer {
    let mut body: VolumeBody = wire::read(&body)?;
    let (now, pace) = (fly.now().elapsed, fly.switches().pace);
    let origin = {
        let mut state = lock(&fly.state);
        caller.app(&mut state, &app)?;
        let origin = fly.origin(&state, &app, &mut body)?;
        Inner::may_make_volume(&mut state, &app, &body)?;
        origin
    };
    let volume = fly.bare_volume(&body, origin);
    let answer = wire::volume(&volume, now, &pace);
    let mut state = lock(&fly.state);
    caller.app(&mut state, &app)?.volumes.insert(volume.id.clone(), volume);
    Ok(Json(answer))
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    let (now, pace) = (fly.now().elapsed, fly.switches().pace);
    let mut state = lock(&fly.state);
    let volume = caller.app(&mut state, &app)?.volumes.get(&id).filter(|volume| volume.listed(now));
    volume.map(|volume| Json(wire::volume(volume, now, &pace))).ok_or_else(|| missing(&id))
}

pub(super) async fn change(State(fly): Fly, caller: Caller, Path((app, id)): Place, body: Bytes) -> Answer {
    let body: VolumeBody = wire::read(&body)?;
    storage::retention(body.snapshot_retention)?;
    fly.volume(&caller, &app, &id, |volume, pace| {
        volume.snapshot_retention = body.snapshot_retention.unwrap_or(volume.snapshot_retention);
        volume.auto_backup_enabled = body.auto_backup_enabled.unwrap_or(volume.auto_backup_enabled);
        Ok(wire::volume(volume, fly.now().elapsed, pace))
    })
}

/// Makes a volume larger. An attached one's machine has to be restarted before it sees that here, the unfriendlier of the two answers.
pub(super) async fn extend(State(fly): Fly, caller: Caller, Path((app, id)): Place, body: Bytes) -> Answer {
    let body: VolumeBody = wire::read(&body)?;
    fly.volume(&caller, &app, &id, |volume, pace| {
        fly.reachable(volume.host_status)?;
        let (wanted, now) = (body.size_gb.unwrap_or(0), fly.now().elapsed);
        if wanted <= volume.size_gb || wanted > 500 {
            return Err(Problem::new(422, "invalid size_gb, a volume can only grow, to 500 at most"));
        }
        volume.size_gb = wanted;
        volume.extended = Some(now);
        Ok(json!({ "volume": wire::volume(volume, now, pace), "needs_restart": volume.attached.is_some() }))
    })
}

/// Destroys a volume that no machine has: softly, see [`list`].
pub(super) async fn remove(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    fly.volume(&caller, &app, &id, |volume, pace| match &volume.attached {
        Some(machine) => Err(Problem::new(412, format!("failed_precondition: volume is attached to machine {machine}"))),
        None => {
            let now = fly.now().elapsed;
            volume.died = Some(now);
            Ok(wire::volume(volume, now, pace))
        }
    })
}

fn missing(id: &str) -> Problem {
    Problem::new(404, format!("volume not found: '{id}'"))
}

impl Inner {
    /// Works on a volume that was not destroyed, on behalf of `caller`.
    pub(super) fn volume(
        &self,
        caller: &Caller,
        app: &str,
        id: &str,
        work: impl FnOnce(&mut Volume, &Pace) -> Result<Value, Problem>,
    ) -> Answer {
        let pace = self.switches().pace;
        let mut state = lock(&self.state);
        let volume = caller.app(&mut state, app)?.volumes.get_mut(id).filter(|volume| volume.lives());
        work(volume.ok_or_else(|| missing(id))?, &pace).map(Json)
    }
}
