//! Leases. Source: fly.io/docs/machines/api/machines-resource (lease), with the wrapper that fly-go decodes.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Fly, nonce};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::wire::{self, LeaseBody};
use crate::embedded::ground::lock;

type Place = Path<(String, String)>;

pub(super) async fn show(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    let now = fly.now().elapsed;
    // The nonce belongs to the holder alone.
    let lease = fly.look(&caller, &app, &id, |machine| machine.held(now).map(|lease| wire::lease(machine, lease, false)))?;
    lease.map(Json).ok_or_else(|| Problem::new(404, "lease not found"))
}

/// Acquires a lease, or refreshes it when the nonce of the held one is sent along: the nonce then comes back unchanged.
pub(super) async fn acquire(
    State(fly): Fly,
    caller: Caller,
    Path((app, id)): Place,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let body: LeaseBody = wire::read_if_any(&body)?;
    let ttl = query.get("ttl").and_then(|ttl| ttl.parse().ok()).or(body.ttl).unwrap_or(30);
    let mut fresh = fly.new_lease(&caller, Duration::from_secs(ttl), body.description.unwrap_or_default());
    let now = fly.now().elapsed;
    let mut state = lock(&fly.state);
    let machine = caller.app(&mut state, &app)?.machines.get_mut(&id).filter(|machine| machine.died.is_none());
    let machine = machine.ok_or_else(|| Problem::no_machine(&id))?;
    fly.reachable(machine.host_status)?;
    if let Some(held) = machine.held(now) {
        if nonce(&headers) != Some(held.nonce.as_str()) {
            return Err(machine.leased(held));
        }
        fresh.nonce.clone_from(&held.nonce);
        fresh.description.clone_from(&held.description);
    }
    let answer = wire::lease(machine, &fresh, true);
    machine.lease = Some(fresh);
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn release(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap) -> Answer {
    let now = fly.now().elapsed;
    let mut state = lock(&fly.state);
    let machine = caller.app(&mut state, &app)?.machines.get_mut(&id).filter(|machine| machine.died.is_none());
    let machine = machine.ok_or_else(|| Problem::no_machine(&id))?;
    let Some(held) = machine.held(now) else { return Err(Problem::new(404, "lease not found")) };
    if nonce(&headers) != Some(held.nonce.as_str()) {
        return Err(machine.leased(held));
    }
    machine.lease = None;
    Ok(Json(json!({ "ok": true })))
}
