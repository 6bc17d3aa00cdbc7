//! Acting on machines.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::config;
use crate::embedded::fly::lifecycle::Then;
use crate::embedded::fly::machine::MachineState;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::wire::{self, StopBody};
use crate::embedded::ground::partial;

type Place = Path<(String, String)>;
type Parameters = Query<BTreeMap<String, String>>;

/// Signals that a stop accepts. Source: the OpenAPI document's `StopRequest`.
const STOP_SIGNALS: [&str; 7] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM"];

fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// Starts a machine; one that is started already stays so.
pub(super) async fn start(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap) -> Answer {
    fly.may_command(&caller, &app, &id, &headers)?;
    let (state, epoch) = fly.look(&caller, &app, &id, |machine| machine.may_start().map(|()| (machine.state, machine.epoch)))??;
    if !state.runs() {
        let machine = fly.look(&caller, &app, &id, Clone::clone)?;
        fly.room_in_place(&app, &machine, true)?;
        fly.change(&app, &id, |machine, _| machine.restarts = 0);
        fly.redecide(&app, &id);
        fly.launch(&app, &id, epoch);
    }
    Ok(Json(json!({ "message": "", "status": "success", "previous_state": state.as_str() })))
}

pub(super) async fn stop(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap, body: Bytes) -> Answer {
    let body: StopBody = wire::read_if_any(&body)?;
    fly.may_command(&caller, &app, &id, &headers)?;
    if let Some(signal) = body.signal.as_deref().filter(|signal| !signal.is_empty() && !STOP_SIGNALS.contains(signal)) {
        return Err(Problem::new(400, format!("invalid signal: {signal}")));
    }
    let timeout = body.timeout.as_ref().filter(|timeout| !timeout.is_null() && *timeout != "");
    let read = timeout.map(|timeout| config::duration(timeout).ok_or_else(|| Problem::new(400, "invalid timeout"))).transpose()?;
    fly.stop(&app, &id, body.signal.as_deref().filter(|signal| !signal.is_empty()), read, Then::Stay(MachineState::Stopped));
    Ok(done())
}

pub(super) async fn restart(
    State(fly): Fly,
    caller: Caller,
    Path((app, id)): Place,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Answer {
    fly.may_command(&caller, &app, &id, &headers)?;
    let timeout = query.get("timeout").map(|text| Value::from(text.as_str())).and_then(|text| config::duration(&text));
    let running = fly.look(&caller, &app, &id, |machine| machine.may_start().map(|()| machine.state.runs()))??;
    if running {
        let then = if partial() { Then::Stay(MachineState::Stopped) } else { Then::Launch };
        fly.stop(&app, &id, query.get("signal").map(String::as_str), timeout, then);
        return Ok(done());
    }
    start(State(fly), caller, Path((app, id)), headers).await
}

/// Suspends a started machine; what does not run stays as it is.
pub(super) async fn suspend(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap) -> Answer {
    fly.may_command(&caller, &app, &id, &headers)?;
    fly.stop(&app, &id, None, None, Then::Stay(MachineState::Suspended));
    Ok(done())
}

/// Sends a signal; a kill ends the machine like a stop, anything else is ignored by the program.
pub(super) async fn signal(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap, body: Bytes) -> Answer {
    let body: Value = wire::read(&body)?;
    fly.may_command(&caller, &app, &id, &headers)?;
    if body.get("signal").is_some_and(|signal| signal == 9 || signal == "SIGKILL") {
        fly.stop(&app, &id, Some("SIGKILL"), None, Then::Stay(MachineState::Stopped));
    }
    Ok(done())
}

pub(super) async fn cordon(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap) -> Answer {
    fly.may_command(&caller, &app, &id, &headers)?;
    fly.change(&app, &id, |machine, _| machine.cordoned = true);
    Ok(done())
}

pub(super) async fn uncordon(State(fly): Fly, caller: Caller, Path((app, id)): Place, headers: HeaderMap) -> Answer {
    fly.may_command(&caller, &app, &id, &headers)?;
    fly.change(&app, &id, |machine, _| machine.cordoned = false);
    Ok(done())
}

/// Destroys a machine. `force` is the documented parameter, `kill` is flyctl's; both stop it first. Destroying twice is 404 the second time.
pub(super) async fn destroy(
    State(fly): Fly,
    caller: Caller,
    Path((app, id)): Place,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Answer {
    let set = |name: &str| query.get(name).is_some_and(|value| value == "true" || value == "1");
    fly.may_change(&caller, &app, &id, &headers)?;
    fly.look(&caller, &app, &id, |machine| machine.may_destroy(set("force") || set("kill")))??;
    let runs = fly.look(&caller, &app, &id, |machine| machine.state.runs())?;
    if runs && partial() {
        fly.stop(&app, &id, Some("SIGKILL"), Some(std::time::Duration::ZERO), Then::Stay(MachineState::Stopped));
        return Ok(done());
    }
    fly.destroy(&app, &id);
    Ok(done())
}
