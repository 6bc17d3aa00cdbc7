//! Secrets. Setting them touches no machine; each write makes a new version.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, Fly};
use crate::embedded::fault::half;
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::state::{App, Now, Secret};
use crate::embedded::fly::wire::{self, SecretsBody, ValueBody};
use crate::embedded::ground::{lock, partial};
use crate::embedded::tape::hex;

/// Lists names and digests. `show_secrets` is accepted, but values need a permission that these tokens do not have.
pub(super) async fn list(
    State(fly): Fly,
    caller: Caller,
    Path(app): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    // fly-go sends `version`, the OpenAPI document says `min_version`.
    let wanted: u64 = query.get("min_version").or_else(|| query.get("version")).and_then(|text| text.parse().ok()).unwrap_or(0);
    if wanted > app.secrets_version() {
        return Err(Problem::new(412, format!("failed_precondition: secrets version {wanted} is not available")));
    }
    let secrets: Vec<Value> = app.secrets.iter().map(|(name, secret)| wire::secret(name, secret)).collect();
    Ok(Json(json!({ "secrets": secrets })))
}

pub(super) async fn show(State(fly): Fly, caller: Caller, Path((app, name)): Path<(String, String)>) -> Answer {
    let mut state = lock(&fly.state);
    let secret = caller.app(&mut state, &app)?.secrets.get(&name);
    secret.map(|secret| Json(wire::secret(&name, secret))).ok_or_else(|| Problem::new(404, "secret not found"))
}

/// Sets several at once; null deletes.
pub(super) async fn set_several(State(fly): Fly, caller: Caller, Path(app): Path<String>, body: Bytes) -> Answer {
    let body: SecretsBody = wire::read(&body)?;
    if let Some((name, _)) = body.values.iter().find(|(_, value)| !value.is_null() && !value.is_string()) {
        return Err(Problem::new(400, format!("invalid value for secret {name}, must be a string or null")));
    }
    let now = fly.now();
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    let count = if partial() { half(body.values.len()) } else { body.values.len() };
    for (name, value) in body.values.iter().take(count) {
        write(app, name, value.as_str(), now)?;
    }
    app.secrets_changed(now.elapsed);
    let secrets: Vec<Value> = app.secrets.iter().map(|(name, secret)| wire::secret(name, secret)).collect();
    Ok(Json(json!({ "secrets": secrets, "version": app.secrets_version(), "Version": app.secrets_version() })))
}

pub(super) async fn set(
    State(fly): Fly,
    caller: Caller,
    Path((app, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let body: ValueBody = wire::read(&body)?;
    let now = fly.now();
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    write(app, &name, Some(&body.value), now)?;
    app.secrets_changed(now.elapsed);
    let mut answer = app.secrets.get(&name).map(|secret| wire::secret(&name, secret)).unwrap_or_default();
    answer["version"] = json!(app.secrets_version());
    answer["Version"] = json!(app.secrets_version());
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn unset(State(fly): Fly, caller: Caller, Path((app, name)): Path<(String, String)>) -> Answer {
    let now = fly.now();
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    if app.secrets.remove(&name).is_none() {
        return Err(Problem::new(404, "secret not found"));
    }
    app.secrets_changed(now.elapsed);
    Ok(Json(json!({ "version": app.secrets_version(), "Version": app.secrets_version() })))
}

/// Writes or deletes one secret; the version is the caller's to raise.
pub(in crate::embedded::fly) fn write(app: &mut App, name: &str, value: Option<&str>, now: Now) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Source: flyctl's own check of names.
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(good) {
        return Err(Problem::new(422, format!("invalid secret name: '{name}'")));
    }
    let Some(value) = value else {
        app.secrets.remove(name);
        return Ok(());
    };
    // The real digest is keyed: nobody outside can compute it, only compare it with an earlier one.
    let digest = hex(&Sha256::digest(format!("{}\0{name}\0{value}", app.id)).as_slice()[..8]);
    let created_at = app.secrets.get(name).map_or(now.wall, |old| old.created_at);
    app.secrets.insert(name.to_owned(), Secret { value: value.to_owned(), digest, created_at, updated_at: now.wall });
    Ok(())
}
