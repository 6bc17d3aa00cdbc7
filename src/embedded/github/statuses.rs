//! Commit statuses.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::page::Wanted;
use super::refusal::{Refusal, parse};
use super::shape::{address, minimal, moment, node, user};
use super::state::{Repository, Status};

/// The most characters of a description (general knowledge).
pub(super) const LONGEST_DESCRIPTION: usize = 140;

/// The most statuses of one commit and context (vendor's documentation).
const MOST: usize = 1000;

const READ: Need = &[("statuses", Level::Read)];
const WRITE: Need = &[("statuses", Level::Write)];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewStatus {
    state: String,
    target_url: Option<String>,
    description: Option<String>,
    context: Option<String>,
}

/// `POST /repos/{owner}/{repo}/statuses/{sha}`.
pub(super) async fn create(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, sha)): Path<(String, String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = github.now();
    let mut state = github.state();
    let id = state.id();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    let new: NewStatus = parse(&body)?;
    if repository.git.commit(&sha).is_none() {
        return Err(Refusal::unprocessable(format!("No commit found for SHA: {sha}")));
    }
    if !["error", "failure", "pending", "success"].contains(&new.state.as_str()) {
        return Err(Refusal::invalid("Status", "state", "custom", "state is not included in the list"));
    }
    if new.description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION) {
        return Err(Refusal::invalid("Status", "description", "custom", "description is too long (maximum is 140 characters)"));
    }
    // Contexts do not distinguish case (vendor's documentation).
    let context = new.context.unwrap_or_else(|| "default".to_owned());
    let same = repository.statuses.iter().filter(|status| status.sha == sha && status.context.eq_ignore_ascii_case(&context));
    if same.count() >= MOST {
        return Err(Refusal::invalid("Status", "sha", "custom", "This SHA and context has reached the maximum number of statuses."));
    }
    let status = Status {
        id,
        sha,
        state: new.state,
        context,
        description: new.description,
        target_url: new.target_url,
        author: caller.login().to_owned(),
        created: now,
    };
    let answer = rendered(&caller, repository, &status);
    repository.statuses.push(status);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/statuses`: newest first.
pub(super) async fn list(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, text)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let sha = repository.git.resolve(&text).ok_or_else(Refusal::not_found)?;
    let found = repository.statuses.iter().rev().filter(|status| status.sha == sha);
    let items = found.map(|status| rendered(&caller, repository, status)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/status`: the newest of every context.
pub(super) async fn combined(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, text)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let sha = repository.git.resolve(&text).ok_or_else(Refusal::not_found)?;
    let found = newest(repository, &sha);
    let has = |state: &str| found.iter().any(|status| status.state == state);
    let whole = if has("failure") || has("error") {
        "failure"
    } else if found.is_empty() || has("pending") {
        "pending"
    } else {
        "success"
    };
    let url = address(&caller.base, repository);
    let statuses: Vec<Value> = found
        .iter()
        .map(|status| {
            let mut body = rendered(&caller, repository, status);
            if let Some(members) = body.as_object_mut() {
                members.remove("creator");
            }
            body
        })
        .collect();
    Ok(Json(json!({
        "state": whole,
        "sha": sha,
        "total_count": statuses.len(),
        "statuses": statuses,
        "repository": minimal(&caller.base, repository),
        "commit_url": format!("{url}/commits/{sha}"),
        "url": format!("{url}/commits/{sha}/status"),
    })))
}

/// Returns the newest status of every context of a commit.
pub(super) fn newest<'a>(repository: &'a Repository, sha: &str) -> Vec<&'a Status> {
    let mut by_context: BTreeMap<String, &Status> = BTreeMap::new();
    for status in repository.statuses.iter().filter(|status| status.sha == sha) {
        by_context.insert(status.context.to_lowercase(), status);
    }
    by_context.into_values().collect()
}

fn rendered(caller: &Caller, repository: &Repository, status: &Status) -> Value {
    json!({
        "url": format!("{}/statuses/{}", address(&caller.base, repository), status.sha),
        "avatar_url": null,
        "id": status.id,
        "node_id": node("StatusContext", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": moment(status.created),
        "updated_at": moment(status.created),
        "creator": user(&caller.base, &status.author),
    })
}
