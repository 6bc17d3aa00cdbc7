//! Promotions and rollbacks: requests for jobs, and what the jobs did to each hostname.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::state::{BuildState, JobStatus, Verb};
use super::switch::JobFate;
use super::wire::page;

/// `POST /v10/projects/{projectId}/promote/{deploymentId}`: 201 asked for, 202 queued behind a rolling release (vendor's client), 409 live already (reports)
/// or a job is running.
pub(super) async fn promote(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((project, deployment)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut state = vercel.state();
    let project = caller.project(&state, &project)?.clone();
    let deployment = caller.deployment(&state, &deployment)?.clone();
    if deployment.project != project.id {
        return Err(Refusal::bad_request("The deployment does not belong to the project."));
    }
    if deployment.ready != BuildState::Ready {
        return Err(Refusal::unprocessable(format!("Deployment \"{}\" is {}, not READY.", deployment.url, deployment.ready.as_str())));
    }
    if !deployment.production {
        return Err(Refusal::unprocessable(format!("Deployment \"{}\" is not a production deployment.", deployment.url)));
    }
    if project.busy() {
        return Err(Refusal::conflict("Another promotion or rollback of this project is in progress."));
    }
    let live = project.production.as_deref() == Some(&deployment.id) && state.serves_everywhere(&project, &deployment.id);
    if live && state.switches.refuses_promoting_live {
        return Err(Refusal::conflict(format!("Deployment \"{}\" is already the current production deployment.", deployment.id)));
    }
    if project.rolling.is_some() && project.production.is_some() {
        return Ok((StatusCode::ACCEPTED, Json(Value::Null)).into_response());
    }
    if live && let Some(project) = state.projects.get_mut(&project.id) {
        project.job_fates.push_front(JobFate::Skipped);
    }
    vercel.begin_job(&mut state, &project.id, &deployment.id, Verb::Promote);
    Ok(StatusCode::CREATED.into_response())
}

/// `POST /v9/projects/{projectId}/rollback/{deploymentId}` (vendor's client), `/v1/...` (published).
pub(super) async fn roll_back(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((project, deployment)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut state = vercel.state();
    let project = caller.project(&state, &project)?.clone();
    let deployment = caller.deployment(&state, &deployment)?.clone();
    if deployment.project != project.id {
        return Err(Refusal::bad_request("The deployment does not belong to the project."));
    }
    if project.busy() {
        return Err(Refusal::conflict("Another promotion or rollback of this project is in progress."));
    }
    if project.production.as_deref() == Some(&deployment.id) {
        if state.serves_everywhere(&project, &deployment.id) {
            return Err(Refusal::conflict(format!("Deployment \"{}\" is already the current production deployment.", deployment.id)));
        }
    } else if !state.rollback_candidate(&deployment.id) {
        let once = deployment.promoted && deployment.ready == BuildState::Ready;
        if once {
            return Err(Refusal::new(
                StatusCode::PAYMENT_REQUIRED,
                "upgrade_required",
                "Your plan only allows to roll back to the previous production deployment.",
            ));
        }
        if state.switches.refuses_rollback_to_staged || deployment.ready != BuildState::Ready {
            return Err(Refusal::unprocessable(format!("Deployment \"{}\" never had production traffic.", deployment.id)));
        }
    }
    vercel.begin_job(&mut state, &project.id, &deployment.id, Verb::Rollback);
    Ok(StatusCode::CREATED.into_response())
}

/// `PATCH /v1/projects/{projectId}/rollback/{deploymentId}/update-description`.
pub(super) async fn describe(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((project, deployment)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let state = vercel.state();
    caller.project(&state, &project)?;
    caller.deployment(&state, &deployment)?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HostsQuery {
    failed_only: Option<String>,
    limit: Option<usize>,
}

/// `GET .../promote/aliases`: what the last promotion did to each hostname.
pub(super) async fn promoted_hosts(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(project): Path<String>,
    Query(query): Query<HostsQuery>,
) -> Result<Json<Value>, Refusal> {
    hosts(&vercel, &caller, &project, &query, Verb::Promote)
}

/// `GET .../rollback/aliases`: what the last rollback did to each hostname.
pub(super) async fn rolled_back_hosts(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(project): Path<String>,
    Query(query): Query<HostsQuery>,
) -> Result<Json<Value>, Refusal> {
    hosts(&vercel, &caller, &project, &query, Verb::Rollback)
}

fn hosts(vercel: &Vercel, caller: &Caller, project: &str, query: &HostsQuery, kind: Verb) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let project = caller.project(&state, project)?;
    let request = project.request.as_ref().filter(|request| request.kind == kind);
    let failed_only = query.failed_only.as_deref() == Some("true");
    let items = request.into_iter().flat_map(|request| &request.hosts);
    let items = items.filter(|(_, status)| !failed_only || *status == JobStatus::Failed).take(query.limit.unwrap_or(20));
    let items = items.map(|(host, status)| {
        let id = state.aliases.get(host).map_or(host.as_str(), |alias| alias.id.as_str());
        json!({ "alias": host, "id": id, "status": status.of_host() })
    });
    Ok(Json(page("aliases", items.collect(), None, None)))
}

/// `GET /v1/projects/{idOrName}/rolling-release`: none is ever active here.
pub(super) async fn rolling(State(vercel): State<Vercel>, caller: Caller, Path(project): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    caller.project(&state, &project)?;
    Ok(Json(json!({ "rollingRelease": null })))
}

/// `GET /v1/projects/{idOrName}/rolling-release/config`.
pub(super) async fn rolling_config(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    Ok(Json(json!({ "rollingRelease": caller.project(&state, &project)?.rolling })))
}
