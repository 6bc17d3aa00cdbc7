//! Projects and who may see them.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Caller;
use super::refusal::{Refusal, granted};
use super::state::State as World;
use super::wire::project as body;
use super::{Cloudflare, ProjectSeed};

/// `GET /user`.
pub(super) async fn user(_: Caller) -> Json<Value> {
    granted(&json!({ "id": "5f2bca29d7d57a0c4d3ae5a2f4d3c001", "email": "release@example.com" }))
}

/// `GET /user/tokens/verify`.
pub(super) async fn verify(_: Caller) -> Json<Value> {
    granted(&json!({ "id": "5f2bca29d7d57a0c4d3ae5a2f4d3c002", "status": "active" }))
}

/// `GET /accounts`.
pub(super) async fn accounts(State(cloudflare): State<Cloudflare>, _: Caller) -> Json<Value> {
    granted(&Value::from(known(&cloudflare.state())))
}

/// `GET /memberships`.
pub(super) async fn memberships(State(cloudflare): State<Cloudflare>, _: Caller) -> Json<Value> {
    let listed = known(&cloudflare.state()).into_iter().map(|account| json!({ "id": account["id"], "account": account }));
    granted(&listed.collect())
}

fn known(state: &World) -> Vec<Value> {
    let mut accounts: Vec<&str> = state.projects.keys().map(|(account, _)| account.as_str()).collect();
    accounts.dedup();
    accounts
        .into_iter()
        .map(|account| json!({ "id": account, "name": format!("account {}", account.get(..6).unwrap_or(account)) }))
        .collect()
}

/// `GET …/pages/projects`.
pub(super) async fn list(State(cloudflare): State<Cloudflare>, caller: Caller) -> Json<Value> {
    let state = cloudflare.state();
    let projects: Vec<Value> = state.projects.values().filter(|one| one.account == caller.account).map(|one| body(&state, one)).collect();
    let info = json!({ "page": 1, "per_page": 10, "count": projects.len(), "total_count": projects.len(), "total_pages": 1 });
    Json(json!({ "success": true, "errors": [], "messages": [], "result": projects, "result_info": info }))
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    name: String,
    production_branch: String,
}

/// `POST …/pages/projects`.
pub(super) async fn create(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let plain = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    if wanted.name.is_empty() || !wanted.name.chars().all(plain) || wanted.name.starts_with('-') {
        return Err(Refusal::bad_request(8_000_001, "The project name is not valid: lower-case letters, digits and hyphens"));
    }
    if cloudflare.state().project(&caller.account, &wanted.name).is_some() {
        return Err(Refusal::bad_request(8_000_002, "A project with this name already exists"));
    }
    cloudflare.seed_project(ProjectSeed { production_branch: wanted.production_branch, ..ProjectSeed::new(&caller.account, &wanted.name) });
    let state = cloudflare.state();
    state.project(&caller.account, &wanted.name).map(|project| granted(&body(&state, project))).ok_or_else(Refusal::no_project)
}

/// `GET …/pages/projects/{project}`.
pub(super) async fn get(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    state.project(&caller.account, &name).map(|project| granted(&body(&state, project))).ok_or_else(Refusal::no_project)
}

/// `PATCH …/pages/projects/{project}`: the production branch, and whether pushes of a connected repository deploy.
pub(super) async fn patch(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    Json(change): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let mut state = cloudflare.state();
    let project = state.project_mut(&caller.account, &name).ok_or_else(Refusal::no_project)?;
    if let Some(branch) = change["production_branch"].as_str() {
        branch.clone_into(&mut project.production_branch);
    }
    let enabled = change["source"]["config"]["production_deployments_enabled"].as_bool();
    if let (Some((.., on)), Some(enabled)) = (&mut project.source, enabled) {
        *on = enabled;
    }
    state.project(&caller.account, &name).map(|project| granted(&body(&state, project))).ok_or_else(Refusal::no_project)
}

/// `GET …/domains`.
pub(super) async fn domains(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let project = state.project(&caller.account, &name).ok_or_else(Refusal::no_project)?;
    Ok(granted(&project.domains.iter().map(|(name, status)| super::domains::shown(&state, project, name, status)).collect()))
}
