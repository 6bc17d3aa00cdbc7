//! Reading machines.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::config;
use crate::embedded::fly::machine::{Machine, MachineState};
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::responder::{self, Behaviour};
use crate::embedded::fly::wire;
use crate::embedded::ground::lock;

type Parameters = Query<BTreeMap<String, String>>;

/// Lists machines. Filters: `region`, `state`, `include_deleted`, `metadata.KEY`; `summary` is accepted and changes nothing here.
pub(super) async fn list(State(fly): Fly, caller: Caller, Path(app): Path<String>, Query(filter): Parameters) -> Answer {
    let (now, switches) = (fly.now().elapsed, fly.switches());
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    let listed = app.machines.values().filter(|machine| listable(machine, &filter, now, switches.list_lag));
    Ok(Json(Value::Array(listed.map(wire::machine).collect())))
}

fn listable(machine: &Machine, filter: &BTreeMap<String, String>, now: Duration, lag: Duration) -> bool {
    let deleted = filter.get("include_deleted").is_some_and(|value| value == "true" || value == "1");
    let fresh = now < machine.born + lag && !lag.is_zero();
    let gone = machine.died.is_some_and(|died| lag.is_zero() || now >= died + lag);
    !fresh
        && (deleted || !gone)
        && filter.get("region").is_none_or(|region| *region == machine.region)
        && filter.get("state").is_none_or(|state| state.split(',').any(|state| state == machine.state.as_str()))
        && filter
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("metadata.")?, value)))
            .all(|(key, value)| config::metadata(&machine.config, key) == Some(value.as_str()))
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path((app, id)): Path<(String, String)>) -> Answer {
    fly.look(&caller, &app, &id, wire::machine).map(Json)
}

pub(super) async fn events(State(fly): Fly, caller: Caller, Path((app, id)): Path<(String, String)>, Query(query): Parameters) -> Answer {
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
    fly.look(&caller, &app, &id, |machine| Json(machine.events.iter().take(limit).cloned().collect()))
}

pub(super) async fn versions(State(fly): Fly, caller: Caller, Path((app, id)): Path<(String, String)>) -> Answer {
    fly.look(&caller, &app, &id, |machine| {
        let versions = machine.versions.iter().rev();
        Json(versions.map(|(version, config)| json!({ "version": version, "user_config": **config })).collect())
    })
}

/// Lists the simulated program, or a container's init, with the ports it listens on.
pub(super) async fn processes(State(fly): Fly, caller: Caller, Path((app, id)): Path<(String, String)>) -> Answer {
    fly.reachable(fly.look(&caller, &app, &id, |machine| machine.host_status)?)?;
    let sockets = fly.look(&caller, &app, &id, |machine| (machine.state == MachineState::Started).then(|| listening(machine)))?;
    let Some(sockets) = sockets else { return Err(Problem::new(412, "failed_precondition: machine not started")) };
    Ok(Json(json!([{
        "pid": 312,
        "command": "/app/server",
        "directory": "/app",
        "cpu": 0,
        "rss": 12_582_912,
        "stime": 1,
        "rtime": 1,
        "listen_sockets": sockets,
    }])))
}

fn listening(machine: &Machine) -> Vec<Value> {
    let mut ports = config::ports(&machine.config);
    if let Behaviour::WrongPort(port) = machine.behaviour {
        ports = vec![port];
    }
    let heard = ports.into_iter().filter(|port| machine.container.is_some() || responder::listens(machine, *port));
    heard.map(|port| json!({ "proto": "tcp", "address": format!("0.0.0.0:{port}") })).collect()
}

/// Pretends to run a command: a started machine's command succeeds and prints nothing.
pub(super) async fn exec(State(fly): Fly, caller: Caller, Path((app, id)): Path<(String, String)>, body: Bytes) -> Answer {
    let body: Value = wire::read(&body)?;
    if config::list(&body, "command").is_empty() && config::text(&body, "cmd").is_none_or(str::is_empty) {
        return Err(Problem::new(400, "command is required"));
    }
    fly.reachable(fly.look(&caller, &app, &id, |machine| machine.host_status)?)?;
    let started = fly.look(&caller, &app, &id, |machine| machine.state == MachineState::Started)?;
    if !started {
        return Err(Problem::new(412, "failed_precondition: machine not started"));
    }
    Ok(Json(json!({ "exit_code": 0, "exit_signal": 0, "stdout": "", "stderr": "" })))
}
