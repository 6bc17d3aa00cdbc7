//! Hostnames: what they lead to, and moving single ones by hand.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::state::{Alias, BuildState, State as Everything};
use super::wire::page;

/// `GET /v4/aliases/{idOrAlias}`.
pub(super) async fn get(State(vercel): State<Vercel>, caller: Caller, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let alias = state.aliases.values().find(|alias| alias.host == name || alias.id == name);
    let alias = alias.ok_or_else(|| Refusal::not_found("The alias was not found"))?;
    caller.project(&state, &alias.project)?;
    let body = rendered(&state, alias);
    Ok(Json(if state.switches.alias_in_array { json!([body]) } else { body }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListQuery {
    project_id: Option<String>,
}

/// `GET /v4/aliases`.
pub(super) async fn list(State(vercel): State<Vercel>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let ours = |alias: &&Alias| {
        state.projects.get(&alias.project).is_some_and(|project| project.scope == caller.scope)
            && query.project_id.as_ref().is_none_or(|project| *project == alias.project)
    };
    let items = state.aliases.values().filter(ours).map(|alias| rendered(&state, alias)).collect();
    Ok(Json(page("aliases", items, None, None)))
}

/// `GET /v2/deployments/{id}/aliases`.
pub(super) async fn of_deployment(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let id = &caller.deployment(&state, &id)?.id;
    let items = state.aliases.values().filter(|alias| alias.deployment == *id);
    let items = items.map(|alias| json!({ "uid": alias.id, "alias": alias.host, "created": moment(alias.created), "redirect": null }));
    Ok(Json(json!({ "aliases": items.collect::<Vec<_>>() })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NewAlias {
    alias: String,
}

/// `POST /v2/deployments/{id}/aliases`: moves one hostname at once, past the bookkeeping of promotions.
pub(super) async fn assign(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    Json(new): Json<NewAlias>,
) -> Result<Json<Value>, Refusal> {
    let mut state = vercel.state();
    let deployment = caller.deployment(&state, &id)?.clone();
    if deployment.ready != BuildState::Ready {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "deployment_not_ready", "The deployment is not READY and can not be aliased"));
    }
    let valid = new.alias.contains('.') && new.alias.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if !valid {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_alias", format!("The alias \"{}\" is invalid", new.alias)));
    }
    let old = state.aliases.get(&new.alias).cloned();
    if old.as_ref().is_some_and(|old| old.deployment == deployment.id) {
        return Err(Refusal::conflict("The alias is already assigned to the deployment").with("alias", new.alias));
    }
    if let Some(old) = &old
        && state.projects.get(&old.project).is_none_or(|project| project.scope != caller.scope)
    {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "alias_in_use", "The alias is already in use"));
    }
    vercel.point(&mut state, &new.alias, &deployment.id);
    let made = state.aliases.get(&new.alias).ok_or_else(|| Refusal::not_found("The alias was not found"))?;
    let mut body = json!({ "uid": made.id, "alias": made.host, "created": moment(made.created) });
    if let Some(old) = old {
        body["oldDeploymentId"] = old.deployment.into();
    }
    Ok(Json(body))
}

/// `DELETE /v2/aliases/{aliasId}`.
pub(super) async fn delete(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let mut state = vercel.state();
    let found = state.aliases.values().find(|alias| alias.id == id || alias.host == id).cloned();
    let alias = found.ok_or_else(|| Refusal::not_found("The alias was not found"))?;
    caller.project(&state, &alias.project)?;
    state.aliases.remove(&alias.host);
    vercel.ground().traffic.remove(&alias.host);
    Ok(Json(json!({ "status": "SUCCESS" })))
}

fn rendered(state: &Everything, alias: &Alias) -> Value {
    let mut body = json!({
        "uid": alias.id,
        "alias": alias.host,
        "created": moment(alias.created),
        "createdAt": alias.created,
        "deploymentId": alias.deployment,
        "projectId": alias.project,
        "redirect": null,
    });
    if let Some(deployment) = state.deployments.get(&alias.deployment) {
        body["deployment"] = json!({ "id": deployment.id, "url": deployment.url });
    }
    body
}

/// Returns an ISO 8601 time.
fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
