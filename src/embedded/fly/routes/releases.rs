//! Releases, builds and logs: the REST API on api.fly.io. Source: what flyctl sends there and reads back.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::Inner;
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::state::{Release, Scope};
use crate::embedded::fly::wire::{self, BuildBody, ReleaseBody, ReleasePatch};
use crate::embedded::ground::lock;

type Made = Result<(StatusCode, Json<Value>), Problem>;
type Parameters = Query<BTreeMap<String, String>>;

const STRATEGIES: [&str; 4] = ["ROLLING", "CANARY", "IMMEDIATE", "BLUEGREEN"];
const STATUSES: [&str; 4] = ["running", "complete", "failed", "interrupted"];

/// The most lines that one answer of the logs carries.
const LOG_PAGE: usize = 50;

pub(super) async fn begin_build(State(fly): Fly, caller: Caller, body: Bytes) -> Made {
    let body: BuildBody = wire::read(&body)?;
    let mut state = lock(&fly.state);
    caller.app(&mut state, &body.app_name)?;
    state.builds += 1;
    Ok((StatusCode::CREATED, Json(json!({ "id": state.builds, "status": "started" }))))
}

pub(super) async fn finish_build(State(fly): Fly, caller: Caller, body: Bytes) -> Answer {
    let body: BuildBody = wire::read(&body)?;
    let mut state = lock(&fly.state);
    caller.app(&mut state, &body.app_name)?;
    Ok(Json(json!({ "id": body.build_id, "status": body.status })))
}

pub(super) async fn create(State(fly): Fly, caller: Caller, body: Bytes) -> Made {
    let body: ReleaseBody = wire::read(&body)?;
    caller.app(&mut lock(&fly.state), &body.app_name)?;
    if !STRATEGIES.contains(&body.strategy.to_ascii_uppercase().as_str()) {
        return Err(Problem::new(422, format!("invalid strategy: '{}'", body.strategy)));
    }
    if !body.definition.is_object() {
        return Err(Problem::new(422, "definition is required"));
    }
    if fly.switches().release_needs_image && !fly.has_image(&body.image) {
        // Text and status as reported: `failed to create release (status 404): {"error":"Could not find image ..."}`.
        return Err(Problem::new(404, format!("Could not find image \"{}\"", body.image)));
    }
    let release = fly.new_release(&caller, &body.app_name, &body.image, &body.strategy, body.definition)?;
    Ok((StatusCode::CREATED, Json(json!({ "release": wire::release(&release, &caller.token.owner) }))))
}

pub(super) async fn patch(State(fly): Fly, caller: Caller, Path(id): Path<String>, body: Bytes) -> Answer {
    let body: ReleasePatch = wire::read(&body)?;
    if !STATUSES.contains(&body.status.as_str()) {
        return Err(Problem::new(422, format!("invalid status: '{}'", body.status)));
    }
    let release = fly.patch_release(&caller, &id, &body.status, body.metadata)?;
    Ok(Json(json!({ "release": wire::release(&release, &caller.token.owner) })))
}

pub(super) async fn list(State(fly): Fly, caller: Caller, Path(app): Path<String>, Query(query): Parameters) -> Answer {
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(25);
    let mut state = lock(&fly.state);
    let releases = caller.app(&mut state, &app)?.releases.iter().rev().take(limit);
    let listed: Vec<Value> = releases.map(|release| wire::release(release, &caller.token.owner)).collect();
    Ok(Json(json!({ "releases": listed })))
}

/// The newest complete release; 404 when there is none.
pub(super) async fn current(State(fly): Fly, caller: Caller, Path(app): Path<String>) -> Answer {
    let mut state = lock(&fly.state);
    let current = caller.app(&mut state, &app)?.releases.iter().rev().find(|release| release.status == "complete");
    current
        .map(|release| Json(json!({ "release": wire::release(release, &caller.token.owner) })))
        .ok_or_else(|| Problem::new(404, "no current release"))
}

/// Pages through the app's log by `next_token`.
pub(super) async fn logs(State(fly): Fly, caller: Caller, Path(app): Path<String>, Query(query): Parameters) -> Answer {
    let (now, lag) = (fly.now().wall, fly.switches().log_lag);
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    if matches!(caller.token.scope, Scope::App(_)) && !fly.switches().app_tokens_read_logs {
        return Err(Problem::new(401, "unauthorized"));
    }
    let start: usize = query.get("next_token").and_then(|token| token.parse().ok()).unwrap_or(0);
    let there = app.logs.iter().take_while(|line| line.at.saturating_add(lag).is_ok_and(|seen| seen <= now)).count();
    let page = app.logs[..there].iter().enumerate().skip(start).take(LOG_PAGE);
    let next = start.max((start + LOG_PAGE).min(there));
    let wanted = page.filter(|(_, line)| {
        query.get("instance").is_none_or(|id| id.is_empty() || *id == line.machine)
            && query.get("region").is_none_or(|region| region.is_empty() || *region == line.region)
    });
    let data: Vec<Value> = wanted
        .map(|(number, line)| {
            json!({ "id": number.to_string(), "attributes": {
                "timestamp": line.at.to_string(),
                "message": line.message,
                "level": line.level,
                "instance": line.machine,
                "region": line.region,
                "meta": {},
            } })
        })
        .collect();
    Ok(Json(json!({ "data": data, "meta": { "next_token": next.to_string() } })))
}

impl Inner {
    /// Returns whether an image exists, as far as this world can know.
    pub(in crate::embedded::fly) fn has_image(&self, image: &str) -> bool {
        let (registry, repository, tag) = wire::image_parts(image);
        let reference = image.split_once('@').map_or(if tag.is_empty() { "latest" } else { tag }, |(_, digest)| digest);
        !self.registry.is_called(registry) || self.registry.find(repository, reference).is_some()
    }

    /// Adds a release in status `pending`.
    pub(in crate::embedded::fly) fn new_release(
        &self,
        caller: &Caller,
        app: &str,
        image: &str,
        strategy: &str,
        definition: Value,
    ) -> Result<Release, Problem> {
        let (id, created_at) = (self.ulid(), self.now().wall);
        let mut state = lock(&self.state);
        let app = caller.app(&mut state, app)?;
        let version = app.releases.last().map_or(1, |last| last.version + 1);
        let release = Release {
            id,
            version,
            status: "pending".to_owned(),
            strategy: strategy.to_ascii_uppercase(),
            image: image.to_owned(),
            definition,
            metadata: Value::Null,
            created_at,
        };
        app.releases.push(release.clone());
        Ok(release)
    }

    /// Sets a release's status; a complete one makes its app deployed.
    pub(in crate::embedded::fly) fn patch_release(
        &self,
        caller: &Caller,
        id: &str,
        status: &str,
        metadata: Value,
    ) -> Result<Release, Problem> {
        let mut state = lock(&self.state);
        let app = state.apps.values_mut().find(|app| caller.sees(app) && app.releases.iter().any(|release| release.id == id));
        let app = app.ok_or_else(|| Problem::new(404, "release not found"))?;
        app.deployed |= status == "complete";
        let release = app.releases.iter_mut().find(|release| release.id == id).ok_or_else(|| Problem::new(404, "release not found"))?;
        status.clone_into(&mut release.status);
        if !metadata.is_null() {
            release.metadata = metadata;
        }
        Ok(release.clone())
    }
}
