//! Waiting for a machine's state. Source: fly.io/docs/machines/api (wait) and flyctl's loop over it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::machine::{Machine, MachineState};
use crate::embedded::fly::problem::Problem;

/// States that can be waited for.
const STATES: [&str; 6] = ["started", "stopped", "suspended", "destroyed", "failed", "settled"];

/// The limits of `timeout`, in seconds.
const TIMEOUT: std::ops::RangeInclusive<u64> = 1..=60;

struct Wanted {
    states: Vec<String>,
    version: Option<String>,
    /// Only what came after this event counts.
    after: Option<String>,
}

/// Waits until the machine is in one of the wanted states: 200; 408 when the time is up; 400 when it can no longer get there; 404 when it is gone.
pub(super) async fn wait(State(fly): Fly, caller: Caller, Path((app, id)): Path<(String, String)>, RawQuery(query): RawQuery) -> Answer {
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let switches = fly.switches();
    let (wanted, timeout) = read(&query)?;
    if switches.stopped_needs_version && wanted.version.is_none() && wanted.states.iter().any(|state| state == "stopped") {
        return Err(Problem::new(400, "invalid instance_id, it is required to wait for stopped"));
    }
    let waiting = async {
        loop {
            // Taken before the look: a change in between is seen.
            let changed = fly.changes.notified();
            if let Some(answer) = fly.look(&caller, &app, &id, |machine| judge(machine, &wanted, switches.waits_on_destroyed_are_404))?? {
                return Ok(Json(answer));
            }
            changed.await;
        }
    };
    tokio::time::timeout(timeout, waiting).await.unwrap_or_else(|_| {
        let text = format!("deadline_exceeded: machine {id} did not reach {} in time", wanted.states.join(", "));
        Err(Problem::new(408, text))
    })
}

fn read(query: &[(String, String)]) -> Result<(Wanted, Duration), Problem> {
    let of = |name: &str| query.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone());
    // Repeated or joined by commas. Source: the OpenAPI document.
    let named = query.iter().filter(|(key, _)| key == "state").flat_map(|(_, value)| value.split(','));
    let mut states: Vec<String> = named.filter(|state| !state.is_empty()).map(str::to_owned).collect();
    if states.is_empty() {
        states.push("started".to_owned());
    }
    if let Some(other) = states.iter().find(|state| !STATES.contains(&state.as_str())) {
        return Err(Problem::new(400, format!("invalid state: '{other}'")));
    }
    let seconds = of("timeout").map_or(Ok(60), |text| text.trim_end_matches('s').parse()).unwrap_or(0);
    if !TIMEOUT.contains(&seconds) {
        return Err(Problem::new(400, "invalid timeout, must be between 1 and 60 seconds"));
    }
    Ok((Wanted { states, version: of("version").or_else(|| of("instance_id")), after: of("from_event_id") }, Duration::from_secs(seconds)))
}

/// Returns the answer once there is one.
fn judge(machine: &Machine, wanted: &Wanted, gone_is_404: bool) -> Result<Option<Value>, Problem> {
    let wants = |state: &str| wanted.states.iter().any(|wanted| wanted == state);
    let answer = |version: &str, state: &str| {
        let event = machine.events.first().and_then(|event| event.get("id")).cloned().unwrap_or_default();
        json!({ "ok": true, "state": state, "version": version, "event_id": event })
    };
    let unreachable = |state: &str| {
        let text = format!("machine failed to reach desired state, {}, currently {state}", wanted.states.join(", "));
        Err(Problem::new(400, text))
    };
    if let Some(version) = wanted.version.as_deref().filter(|version| *version != machine.instance_id) {
        if !machine.versions.iter().any(|(known, _)| known == version) {
            return Err(Problem::new(404, format!("machine version not found: '{version}'")));
        }
        // A replaced version's process has ended, or is about to.
        let ended = machine.state != MachineState::Replacing;
        return match (wants("stopped") || wants("destroyed") || wants("settled"), ended) {
            (true, true) => Ok(Some(answer(version, "replaced"))),
            (true, false) => Ok(None),
            (false, _) => unreachable("replaced"),
        };
    }
    let state = machine.state.as_str();
    if gone_is_404 && machine.state == MachineState::Destroyed && !wants(state) && !wants("settled") {
        return Err(Problem::no_machine(&machine.id));
    }
    let newest = machine.events.first().and_then(|event| event.get("id")?.as_str()).unwrap_or_default();
    if wanted.after.as_deref() == Some(newest) {
        return Ok(None);
    }
    if wants(state) || (wants("settled") && machine.state.rests()) {
        return Ok(Some(answer(&machine.instance_id, state)));
    }
    if matches!(machine.state, MachineState::Failed | MachineState::Destroyed | MachineState::LaunchFailed) && !wants("destroyed") {
        return unreachable(state);
    }
    Ok(None)
}
