//! Metadata. Writing it neither restarts a machine nor makes a new version, and needs no lease. Source: fly.io/docs/machines/api.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Fly};
use crate::embedded::fault::half;
use crate::embedded::fly::Inner;
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::config;
use crate::embedded::fly::machine::Machine;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::wire::{self, MetadataBody, ValueBody};
use crate::embedded::ground::{lock, partial};

type Place = Path<(String, String)>;
type Key = Path<(String, String, String)>;
type Written = Result<StatusCode, Problem>;

pub(super) async fn list(State(fly): Fly, caller: Caller, Path((app, id)): Place) -> Answer {
    fly.look(&caller, &app, &id, |machine| Json(machine.config.get("metadata").cloned().unwrap_or_else(|| json!({}))))
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path((app, id, key)): Key) -> Answer {
    let value = fly.look(&caller, &app, &id, |machine| config::metadata(&machine.config, &key).map(str::to_owned))?;
    value.map(|value| Json(json!({ "value": value }))).ok_or_else(|| Problem::new(404, "metadata key not found"))
}

pub(super) async fn set(State(fly): Fly, caller: Caller, Path((app, id, key)): Key, body: Bytes) -> Written {
    let body: ValueBody = wire::read(&body)?;
    fly.write(&caller, &app, &id, |machine| {
        put(machine, &key, Some(body.value));
        Ok(())
    })
}

pub(super) async fn unset(State(fly): Fly, caller: Caller, Path((app, id, key)): Key) -> Written {
    fly.write(&caller, &app, &id, |machine| {
        put(machine, &key, None);
        Ok(())
    })
}

/// Merges several keys; null or an empty text removes one; 412 when the machine has moved on from `machine_version`.
pub(super) async fn patch(State(fly): Fly, caller: Caller, Path((app, id)): Place, body: Bytes) -> Written {
    let body: MetadataBody = wire::read(&body)?;
    if body.metadata.values().any(|value| !value.is_null() && !value.is_string()) {
        return Err(Problem::new(400, "metadata values must be strings"));
    }
    fly.write(&caller, &app, &id, |machine| {
        if body.machine_version.as_deref().is_some_and(|version| !version.is_empty() && version != machine.instance_id) {
            return Err(Problem::new(412, "failed_precondition: machine version does not match"));
        }
        let count = if partial() { half(body.metadata.len()) } else { body.metadata.len() };
        for (key, value) in body.metadata.iter().take(count) {
            put(machine, key, value.as_str().filter(|value| !value.is_empty()).map(str::to_owned));
        }
        Ok(())
    })
}

fn put(machine: &mut Machine, key: &str, value: Option<String>) {
    let config = Arc::make_mut(&mut machine.config);
    if !config["metadata"].is_object() {
        config["metadata"] = Value::Object(Map::new());
    }
    if let Some(metadata) = config["metadata"].as_object_mut() {
        match value {
            Some(value) => {
                metadata.insert(key.to_owned(), Value::from(value));
            }
            None => {
                metadata.shift_remove(key);
            }
        }
    }
    // The current version's record follows, so that going back to an earlier version does not bring back newer metadata.
    if let Some((_, config)) = machine.versions.last_mut() {
        *config = machine.config.clone();
    }
}

impl Inner {
    fn write(&self, caller: &Caller, app: &str, id: &str, write: impl FnOnce(&mut Machine) -> Result<(), Problem>) -> Written {
        let mut state = lock(&self.state);
        let machine = caller.app(&mut state, app)?.machines.get_mut(id).filter(|machine| machine.died.is_none());
        write(machine.ok_or_else(|| Problem::no_machine(id))?)?;
        Ok(StatusCode::NO_CONTENT)
    }
}
