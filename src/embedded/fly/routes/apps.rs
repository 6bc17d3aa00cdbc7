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
    let switches = fly.switches();
    let name = body.named(switches.app_name);
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        return Err(Problem::new(422, "Validation failed: Name may only contain lowercase letters, numbers and dashes"));
    }
    if lock(&fly.state).apps.contains_key(name) {
        let taken = Problem::new(422, "Validation failed: Name has already been taken");
        return Err(if switches.name_taken_has_code { taken.code("name_taken") } else { taken });
    }
    fly.new_app(name, &body.org_slug, &body.network);
    let state = lock(&fly.state);
    let made = state.apps.get(name).map(wire::app).unwrap_or_default();
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path(name): Path<String>) -> Answer {
    let (now, lag) = (fly.now().elapsed, fly.switches().app_lag);
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &name)?;
    if now < app.born + lag {
        return Err(Problem::new(404, format!("Could not find App \"{name}\"")));
    }
    Ok(Json(wire::app(app)))
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
