//! Apps.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::wire::{self, AppBody};
use crate::embedded::ground::lock;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    org_slug: Option<String>,
}

pub(super) async fn list(State(fly): Fly, caller: Caller, Query(filter): Query<Filter>) -> Answer {
    let Some(slug) = filter.org_slug else { return Err(Problem::new(400, "org_slug is required")) };
    caller.org(&slug)?;
    let state = lock(&fly.state);
    let apps: Vec<Value> = state.apps.values().filter(|app| app.org == slug).map(wire::app).collect();
    Ok(Json(json!({ "total_apps": apps.len(), "apps": apps })))
}

/// A taken name is 422 with `name_taken`, whoever has it: names are one global space. Source: fly-go's handling of it.
pub(super) async fn create(State(fly): Fly, caller: Caller, body: Bytes) -> Result<(StatusCode, Json<Value>), Problem> {
    let body: AppBody = wire::read(&body)?;
    caller.org(&body.org_slug)?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if body.name.is_empty() || body.name.len() > 63 || !body.name.chars().all(good) {
        return Err(Problem::new(422, "Validation failed: Name may only contain lowercase letters, numbers and dashes"));
    }
    if lock(&fly.state).apps.contains_key(&body.name) {
        return Err(Problem::new(422, "Validation failed: Name has already been taken").code("name_taken"));
    }
    fly.new_app(&body.name, &body.org_slug, &body.network);
    let state = lock(&fly.state);
    let made = state.apps.get(&body.name).map(wire::app).unwrap_or_default();
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path(name): Path<String>) -> Answer {
    let mut state = lock(&fly.state);
    Ok(Json(wire::app(caller.app(&mut state, &name)?)))
}

pub(super) async fn remove(State(fly): Fly, caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let machines: Vec<String> = {
        let mut state = lock(&fly.state);
        caller.app(&mut state, &name)?.living().map(|machine| machine.id.clone()).collect()
    };
    for id in machines {
        fly.destroy(&name, &id);
    }
    lock(&fly.state).apps.remove(&name);
    fly.forget_routes(&name);
    Ok(StatusCode::ACCEPTED)
}
