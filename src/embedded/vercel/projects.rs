//! Projects: what serves, settings, domains, protection.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::hooks;
use super::refusal::Refusal;
use super::state::{Domain, Project, State as Everything};
use super::wire::{page, target};
use super::{AUTHORITY, Vercel};
use crate::embedded::fault::half;
use crate::embedded::ground::partial;

/// The settings that a PATCH may change besides those with a meaning here; they are kept and shown (published).
const KEPT: &[&str] = &[
    "autoExposeSystemEnvs",
    "buildCommand",
    "commandForIgnoringBuildStep",
    "customerSupportCodeVisibility",
    "devCommand",
    "directoryListing",
    "enableAffectedProjectsDeployments",
    "enablePreviewFeedback",
    "enableProductionFeedback",
    "framework",
    "gitForkProtection",
    "gitLFS",
    "installCommand",
    "nodeVersion",
    "outputDirectory",
    "publicSource",
    "serverlessFunctionZeroConfigFailover",
    "skewProtectionBoundaryAt",
    "skewProtectionMaxAge",
    "skipGitConnectDuringLink",
    "sourceFilesOutsideRootDirectory",
    "gitComments",
];

/// Published as settable, but never shown.
const UNSHOWN: &[&str] = &["previewDeploymentsDisabled", "trustedIps", "passwordProtection", "optionsAllowlist", "resourceConfig"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ProjectQuery {
    rollback_info: Option<String>,
}

/// `GET /v9/projects/{idOrName}`; with `rollbackInfo=true` also the last alias request (vendor's client).
pub(super) async fn get(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ProjectQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let project = caller.project(&state, &id)?;
    Ok(Json(rendered(&state, project, query.rollback_info.as_deref() == Some("true"), &base(&headers))))
}

/// `PATCH /v9/projects/{idOrName}`.
pub(super) async fn patch(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let changes: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| Refusal::bad_request("Invalid JSON"))?;
    let mut state = vercel.state();
    let id = caller.project(&state, &id)?.id.clone();
    if let Some(name) = changes.get("name").and_then(Value::as_str)
        && state.projects.values().any(|other| other.name == name && other.scope == caller.scope && other.id != id)
    {
        return Err(Refusal::conflict(format!("A project with the name \"{name}\" already exists.")));
    }
    let Some(project) = state.projects.get_mut(&id) else { return Err(Refusal::not_found("Project not found.")) };
    let mut changed = project.clone();
    let count = if partial() { half(changes.len()) } else { changes.len() };
    for (name, value) in changes.iter().take(count) {
        set(&mut changed, name, value)?;
    }
    *project = changed;
    Ok(Json(rendered(&state, caller.project(&state, &id)?, false, &base(&headers))))
}

pub(super) fn set(project: &mut Project, name: &str, value: &Value) -> Result<(), Refusal> {
    let wrong = || Refusal::bad_request(format!("Invalid request: `{name}` has the wrong type."));
    match name {
        "name" => value.as_str().ok_or_else(wrong)?.clone_into(&mut project.name),
        "autoAssignCustomDomains" => project.auto_assign = value.as_bool().ok_or_else(wrong)?,
        "rootDirectory" if value.is_null() => project.root_directory = None,
        "rootDirectory" => project.root_directory = Some(value.as_str().ok_or_else(wrong)?.to_owned()),
        "ssoProtection" if value.is_null() => project.protection = None,
        "ssoProtection" => project.protection = Some(value["deploymentType"].as_str().ok_or_else(wrong)?.to_owned()),
        known if KEPT.contains(&known) => {
            project.settings.insert(known.to_owned(), value.clone());
        }
        known if UNSHOWN.contains(&known) => {}
        unknown => {
            return Err(Refusal::bad_request(format!("Invalid request: should NOT have additional property `{unknown}`."))
                .with("keyword", "additionalProperties"));
        }
    }
    Ok(())
}

/// Returns the address under which the caller reached this platform, so that addresses in answers lead back here.
pub(super) fn base(headers: &HeaderMap) -> String {
    let host = headers.get(http::header::HOST).and_then(|value| value.to_str().ok()).unwrap_or(AUTHORITY);
    if host.starts_with("127.0.0.1:") || host.starts_with("localhost:") { format!("http://{host}") } else { format!("https://{AUTHORITY}") }
}

/// Returns the project as the API shows it.
pub(super) fn rendered(state: &Everything, project: &Project, with_request: bool, base: &str) -> Value {
    let mut body = json!({
        "id": project.id,
        "name": project.name,
        "accountId": project.scope,
        "directoryListing": false,
        "nodeVersion": "22.x",
        "framework": null,
        "rootDirectory": project.root_directory,
        "autoAssignCustomDomains": project.auto_assign,
        "createdAt": project.created,
        "updatedAt": project.created,
        "live": project.production.is_some(),
        "rollingRelease": project.rolling,
        "ssoProtection": project.protection.as_ref().map(|kind| json!({ "deploymentType": kind })),
        "gitComments": { "onPullRequest": true, "onCommit": false },
    });
    for (name, value) in &project.settings {
        body[name] = value.clone();
    }
    let bypasses = project
        .bypass
        .iter()
        .map(|(secret, at)| (secret.clone(), json!({ "createdAt": at, "createdBy": project.scope, "scope": "automation-bypass" })));
    body["protectionBypass"] = Value::Object(bypasses.collect());
    if let Some(link) = &project.link {
        body["link"] = hooks::link(project, link, base);
    }
    let production = project.production.as_ref().and_then(|id| state.deployments.get(id));
    body["targets"] = production.map_or_else(|| json!({}), |one| json!({ "production": target(state, one) }));
    if with_request && state.switches.shows_alias_request {
        body["lastAliasRequest"] = project.request.as_ref().map_or(Value::Null, |request| {
            json!({
                "fromDeploymentId": request.from,
                "toDeploymentId": request.to,
                "jobStatus": request.status.as_str(),
                "requestedAt": request.requested,
                "type": request.kind.as_str(),
            })
        });
    }
    body
}

/// `PATCH /v1/projects/{idOrName}/protection-bypass`: `generate` makes a secret, `revoke` ends one.
pub(super) async fn bypass(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<BTreeMap<String, Value>>,
) -> Result<Json<Value>, Refusal> {
    let now = vercel.now();
    let mut state = vercel.state();
    let id = caller.project(&state, &id)?.id.clone();
    let Some(project) = state.projects.get_mut(&id) else { return Err(Refusal::not_found("Project not found.")) };
    if let Some(generate) = body.get("generate") {
        let secret = generate["secret"].as_str().map_or_else(|| vercel.ground().chance.word(32), str::to_owned);
        project.bypass.insert(secret, now);
    }
    if let Some(secret) = body.get("revoke").and_then(|revoke| revoke["secret"].as_str()) {
        project.bypass.remove(secret);
    }
    let shown = project
        .bypass
        .iter()
        .map(|(secret, at)| (secret.clone(), json!({ "createdAt": at, "createdBy": caller.user, "scope": "automation-bypass" })));
    Ok(Json(json!({ "protectionBypass": shown.collect::<Map<_, _>>() })))
}

/// `GET /v9/projects/{idOrName}/domains`.
pub(super) async fn domains(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let project = caller.project(&state, &id)?;
    let items = project.domains.iter().map(|domain| shown(project, domain)).collect();
    Ok(Json(page("domains", items, None, None)))
}

/// `GET /v9/projects/{idOrName}/domains/{domain}`.
pub(super) async fn domain(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let project = caller.project(&state, &id)?;
    let domain = project.domains.iter().find(|domain| domain.name == name);
    domain.map(|domain| Json(shown(project, domain))).ok_or_else(|| Refusal::not_found("The domain was not found in this project."))
}

/// `POST /v9/projects/{idOrName}/domains/{domain}/verify`: 400 as long as the seed says so.
pub(super) async fn verify(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let project = caller.project(&state, &id)?;
    let domain = project.domains.iter().find(|domain| domain.name == name);
    let domain = domain.ok_or_else(|| Refusal::not_found("The domain was not found in this project."))?;
    if !domain.verified {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "missing_txt_record",
            format!("Domain _vercel.{name} is missing required TXT Record"),
        ));
    }
    let mut body = shown(project, domain);
    if let Some(members) = body.as_object_mut() {
        members.remove("verification");
    }
    Ok(Json(body))
}

/// `GET /v6/domains/{domain}/config`.
pub(super) async fn domain_config(State(vercel): State<Vercel>, _caller: Caller, Path(name): Path<String>) -> Json<Value> {
    let state = vercel.state();
    let good = state.projects.values().flat_map(|project| &project.domains).any(|domain| domain.name == name && domain.verified);
    Json(json!({
        "configuredBy": good.then_some("CNAME"),
        "acceptedChallenges": if good { json!(["http-01"]) } else { json!([]) },
        "recommendedIPv4": [{ "rank": 1, "value": ["76.76.21.21"] }],
        "recommendedCNAME": [{ "rank": 1, "value": "cname.vercel-dns.com" }],
        "misconfigured": !good,
    }))
}

fn shown(project: &Project, domain: &Domain) -> Value {
    let apex: Vec<&str> = domain.name.rsplit('.').take(2).collect();
    let mut body = json!({
        "name": domain.name,
        "apexName": apex.into_iter().rev().collect::<Vec<_>>().join("."),
        "projectId": project.id,
        "verified": domain.verified,
        "redirect": null,
        "redirectStatusCode": null,
        "gitBranch": null,
        "createdAt": domain.created,
        "updatedAt": domain.created,
    });
    if !domain.verified {
        body["verification"] = json!([{
            "type": "TXT",
            "domain": format!("_vercel.{}", domain.name),
            "value": format!("vc-domain-verify={},embedded", domain.name),
            "reason": "pending_domain_verification",
        }]);
    }
    body
}
