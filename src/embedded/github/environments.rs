//! Environments: made silently by deployments; changed by administrators only.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::page::Wanted;
use super::refusal::Refusal;
use super::shape::{address, moment, node, page};
use super::state::{Environment, Repository};

const READ: Need = &[("actions", Level::Read)];
/// No token of an Actions job can have this (vendor's documentation).
const ADMINISTER: Need = &[("administration", Level::Write)];

/// Makes the environment `name` where it does not exist; names do not distinguish case.
pub(super) fn ensure(repository: &mut Repository, name: &str, id: i64, now: i64) {
    let made = || Environment { id, name: name.to_owned(), created: now };
    repository.environments.entry(name.to_lowercase()).or_insert_with(made);
}

/// `GET /repos/{owner}/{repo}/environments`.
pub(super) async fn list(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &place, READ)?;
    let items = repository.environments.values().map(|one| rendered(&caller, repository, one)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).answer(|items, total| json!({ "total_count": total, "environments": items })))
}

/// `GET /repos/{owner}/{repo}/environments/{name}`.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, environment)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let found = repository.environments.get(&environment.to_lowercase());
    found.map(|one| Json(rendered(&caller, repository, one))).ok_or_else(Refusal::not_found)
}

/// `PUT /repos/{owner}/{repo}/environments/{name}`.
pub(super) async fn put(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, environment)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let id = state.id();
    let repository = caller.repository(&mut state, &(owner, name), ADMINISTER)?;
    ensure(repository, &environment, id, now);
    let found = repository.environments.get(&environment.to_lowercase());
    found.map(|one| Json(rendered(&caller, repository, one))).ok_or_else(Refusal::not_found)
}

/// `DELETE /repos/{owner}/{repo}/environments/{name}`.
pub(super) async fn delete(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, environment)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), ADMINISTER)?;
    repository.environments.remove(&environment.to_lowercase()).map(|_| StatusCode::NO_CONTENT).ok_or_else(Refusal::not_found)
}

fn rendered(caller: &Caller, repository: &Repository, one: &Environment) -> Value {
    json!({
        "id": one.id,
        "node_id": node("Environment", one.id),
        "name": one.name,
        "url": format!("{}/environments/{}", address(&caller.base, repository), one.name.replace('/', "%2F")),
        "html_url": format!("{}/deployments/activity_log?environments_filter={}", page(repository), one.name),
        "created_at": moment(one.created),
        "updated_at": moment(one.created),
        "protection_rules": [],
        "deployment_branch_policy": null,
    })
}
