//! Deployments and their statuses: the rules that decide what a pull request shows.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::environments;
use super::page::Wanted;
use super::refusal::{Refusal, parse};
use super::shape::{address, moment, node, user};
use super::state::{CheckRun, Deployment, DeploymentStatus, Repository};
use super::statuses::{LONGEST_DESCRIPTION, newest};

const STATES: [&str; 7] = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];

const READ: Need = &[("deployments", Level::Read)];
const WRITE: Need = &[("deployments", Level::Write)];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct New {
    r#ref: String,
    task: Option<String>,
    auto_merge: Option<bool>,
    required_contexts: Option<Vec<String>>,
    payload: Option<Value>,
    environment: Option<String>,
    description: Option<String>,
    transient_environment: bool,
    production_environment: Option<bool>,
}

/// `POST /repos/{owner}/{repo}/deployments`: 201, 202 when the base was merged instead, 409, 422.
pub(super) async fn create(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let now = github.now();
    let new: New = parse(&body)?;
    github.make_commit(&format!("{}/{}", place.0, place.1), &new.r#ref);
    let mut state = github.state();
    let (id, environment_id) = (state.id(), state.id());
    let repository = caller.repository(&mut state, &place, WRITE)?;
    let sha = repository.git.resolve(&new.r#ref).filter(|_| !new.r#ref.is_empty());
    let sha = sha.ok_or_else(|| Refusal::unprocessable(format!("No ref found for: {}", new.r#ref)))?;
    let environment = new.environment.unwrap_or_else(|| "production".to_owned());
    if environment.is_empty() || environment.chars().count() > 255 {
        return Err(Refusal::invalid("Deployment", "environment", "invalid", "environment must have 1 to 255 characters"));
    }
    too_long(new.description.as_ref())?;
    if new.auto_merge.unwrap_or(true)
        && let Some(answer) = merge(repository, &new.r#ref, &sha, now)?
    {
        return Ok(answer);
    }
    contexts(repository, &new.r#ref, &sha, new.required_contexts.as_deref())?;
    environments::ensure(repository, &environment, environment_id, now);
    let deployment = Deployment {
        id,
        sha,
        git_ref: new.r#ref,
        task: new.task.unwrap_or_else(|| "deploy".to_owned()),
        payload: new.payload.unwrap_or_else(|| json!({})),
        production: new.production_environment.unwrap_or(environment == "production"),
        environment,
        description: new.description,
        transient: new.transient_environment,
        author: caller.login().to_owned(),
        created: now,
        statuses: Vec::new(),
    };
    let answer = rendered(&caller, repository, &deployment);
    repository.deployments.insert(id, deployment);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Merges the default branch into the deployed one, where that is behind: 202 instead of a deployment (published).
fn merge(repository: &mut Repository, branch: &str, sha: &str, now: i64) -> Result<Option<Response>, Refusal> {
    let name = format!("refs/heads/{branch}");
    let main = repository.default_branch.clone();
    let Some(base) = repository.git.head(&format!("refs/heads/{main}")).map(str::to_owned) else { return Ok(None) };
    if repository.git.head(&name).is_none() || repository.git.descends(sha, &base) {
        return Ok(None);
    }
    let fork = repository.git.merge_base(&base, sha);
    let (ours, theirs) = (repository.git.differences(fork.as_deref(), sha), repository.git.differences(fork.as_deref(), &base));
    if ours.iter().any(|one| theirs.iter().any(|other| one.path == other.path && one.sha != other.sha)) {
        return Err(Refusal::conflict(format!("Conflict merging {main} into {branch}.")));
    }
    let mut files = repository.git.files(sha);
    let brought = repository.git.files(&base);
    for change in &theirs {
        match brought.get(&change.path) {
            Some(entry) => files.insert(change.path.clone(), entry.clone()),
            None => files.remove(&change.path),
        };
    }
    let tree = repository.git.write_tree(&files);
    let parents = vec![sha.to_owned(), base];
    let merged = super::seed::commit(tree, parents, &format!("Merge {main} into {branch}"), now);
    let merged = repository.git.add(super::object::Object::Commit(merged));
    repository.git.set(&name, Some(&merged), now);
    let message = format!("Auto-merged {main} into {branch} on deployment.");
    Ok(Some((StatusCode::ACCEPTED, Json(json!({ "message": message }))).into_response()))
}

/// Refuses while a required context is not green; all of them are required when nothing is said (published; check runs count too, by reports).
fn contexts(repository: &Repository, name: &str, sha: &str, required: Option<&[String]>) -> Result<(), Refusal> {
    let statuses = newest(repository, sha);
    let runs: Vec<&CheckRun> = repository.check_runs.values().filter(|run| run.sha == sha).collect();
    let green = |context: &str| {
        let status = statuses.iter().any(|status| status.context == context && status.state == "success");
        let run = runs.iter().rev().find(|run| run.name == context);
        status || run.is_some_and(|run| matches!(run.conclusion.as_deref(), Some("success" | "neutral" | "skipped")))
    };
    let every = || statuses.iter().map(|status| status.context.clone()).chain(runs.iter().map(|run| run.name.clone())).collect();
    let required: Vec<String> = required.map_or_else(every, <[String]>::to_vec);
    if required.iter().all(|context| green(context)) {
        return Ok(());
    }
    Err(Refusal::conflict(format!("Conflict: Commit status checks failed for {name}.")))
}

fn too_long(description: Option<&String>) -> Result<(), Refusal> {
    if description.is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION) {
        return Err(Refusal::invalid("Deployment", "description", "custom", "description is too long (maximum is 140 characters)"));
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    sha: Option<String>,
    r#ref: Option<String>,
    task: Option<String>,
    environment: Option<String>,
}

/// `GET /repos/{owner}/{repo}/deployments`: newest first.
pub(super) async fn list(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    Query(query): Query<ListQuery>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &place, READ)?;
    // `none` is the vendor's own default for each filter.
    let fits = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == "none" || wanted == value);
    let found = repository.deployments.values().rev().filter(|one| {
        fits(&query.sha, &one.sha)
            && fits(&query.r#ref, &one.git_ref)
            && fits(&query.task, &one.task)
            && fits(&query.environment, &one.environment)
    });
    let items = found.map(|one| rendered(&caller, repository, one)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/deployments/{id}`.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let deployment = repository.deployments.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(Json(rendered(&caller, repository, deployment)))
}

/// `DELETE /repos/{owner}/{repo}/deployments/{id}`: not an active one, unless it is the only one of its environment (published).
pub(super) async fn delete(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
) -> Result<StatusCode, Refusal> {
    let mut state = github.state();
    let lenient = state.switches.deletes_active_deployments;
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    let deployment = repository.deployments.get(&id).ok_or_else(Refusal::not_found)?;
    let only = !repository.deployments.values().any(|other| other.id != id && other.environment == deployment.environment);
    if deployment.state() == Some("success") && !only && !lenient {
        return Err(Refusal::unprocessable(
            "We cannot delete an active deployment unless it is the only deployment in a given environment.",
        ));
    }
    repository.deployments.remove(&id);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewStatus {
    state: String,
    description: Option<String>,
    environment: Option<String>,
    environment_url: Option<String>,
    log_url: Option<String>,
    target_url: Option<String>,
    auto_inactive: Option<bool>,
}

/// `POST /repos/{owner}/{repo}/deployments/{id}/statuses`.
pub(super) async fn create_status(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = github.now();
    let mut state = github.state();
    let status_id = state.id();
    let spare: Vec<i64> = (0..100).map(|_| state.id()).collect();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    let new: NewStatus = parse(&body)?;
    let deployment = repository.deployments.get_mut(&id).ok_or_else(Refusal::not_found)?;
    if !STATES.contains(&new.state.as_str()) {
        return Err(Refusal::invalid("DeploymentStatus", "state", "custom", "state is not included in the list"));
    }
    too_long(new.description.as_ref())?;
    for (field, url) in [("environment_url", &new.environment_url), ("log_url", &new.log_url)] {
        let web = |url: &String| url.is_empty() || url.starts_with("https://") || url.starts_with("http://");
        if !url.as_ref().is_none_or(web) {
            return Err(Refusal::invalid("DeploymentStatus", field, "custom", &format!("{field} must use http(s) scheme")));
        }
    }
    let status = DeploymentStatus {
        id: status_id,
        state: new.state,
        description: new.description.unwrap_or_default(),
        environment: new.environment.unwrap_or_else(|| deployment.environment.clone()),
        environment_url: new.environment_url.unwrap_or_default(),
        log_url: new.log_url.or(new.target_url).unwrap_or_default(),
        author: caller.login().to_owned(),
        created: now,
    };
    deployment.statuses.push(status.clone());
    let environment = deployment.environment.clone();
    if status.state == "success" && new.auto_inactive.unwrap_or(true) {
        inactivate(repository, &environment, id, &spare, now);
    }
    Ok((StatusCode::CREATED, Json(rendered_status(&caller, repository, id, &status))))
}

/// Marks earlier successful deployments of `environment` inactive: never transient and never production ones (published).
fn inactivate(repository: &mut Repository, environment: &str, newest: i64, ids: &[i64], now: i64) {
    let earlier = repository.deployments.values_mut().filter(|one| {
        one.id < newest && one.environment == environment && !one.transient && !one.production && one.state() == Some("success")
    });
    for (deployment, id) in earlier.zip(ids) {
        let Some(last) = deployment.statuses.last().cloned() else { continue };
        deployment.statuses.push(DeploymentStatus { id: *id, state: "inactive".to_owned(), created: now, ..last });
    }
}

/// `GET /repos/{owner}/{repo}/deployments/{id}/statuses`: newest first.
pub(super) async fn list_statuses(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let deployment = repository.deployments.get(&id).ok_or_else(Refusal::not_found)?;
    let items = deployment.statuses.iter().rev().map(|status| rendered_status(&caller, repository, id, status)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/deployments/{id}/statuses/{status}`.
pub(super) async fn get_status(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id, status)): Path<(String, String, i64, i64)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let found = repository.deployments.get(&id).and_then(|one| one.statuses.iter().find(|known| known.id == status));
    found.map(|status| Json(rendered_status(&caller, repository, id, status))).ok_or_else(Refusal::not_found)
}

fn rendered(caller: &Caller, repository: &Repository, one: &Deployment) -> Value {
    let url = format!("{}/deployments/{}", address(&caller.base, repository), one.id);
    let updated = one.statuses.last().map_or(one.created, |status| status.created);
    json!({
        "id": one.id,
        "node_id": node("Deployment", one.id),
        "url": url,
        "sha": one.sha,
        "ref": one.git_ref,
        "task": one.task,
        "payload": one.payload,
        "environment": one.environment,
        "original_environment": one.environment,
        "description": one.description,
        "transient_environment": one.transient,
        "production_environment": one.production,
        "creator": user(&caller.base, &one.author),
        "created_at": moment(one.created),
        "updated_at": moment(updated),
        "statuses_url": format!("{url}/statuses"),
        "repository_url": address(&caller.base, repository),
    })
}

fn rendered_status(caller: &Caller, repository: &Repository, deployment: i64, status: &DeploymentStatus) -> Value {
    let url = format!("{}/deployments/{deployment}", address(&caller.base, repository));
    json!({
        "id": status.id,
        "node_id": node("DeploymentStatus", status.id),
        "url": format!("{url}/statuses/{}", status.id),
        "state": status.state,
        "creator": user(&caller.base, &status.author),
        "description": status.description,
        "environment": status.environment,
        "environment_url": status.environment_url,
        "log_url": status.log_url,
        "target_url": status.log_url,
        "created_at": moment(status.created),
        "updated_at": moment(status.created),
        "deployment_url": url,
        "repository_url": address(&caller.base, repository),
    })
}
