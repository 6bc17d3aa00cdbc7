//! Comments of pull requests and issues.

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
use super::shape::{address, moment, node, page, user};
use super::state::{Comment, Repository};

/// The most characters of a body (report: the vendor's own message).
const LONGEST_BODY: usize = 65_536;

const READ: Need = &[("issues", Level::Read), ("pull_requests", Level::Read)];
const WRITE: Need = &[("issues", Level::Write), ("pull_requests", Level::Write)];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Since {
    since: Option<String>,
}

/// `GET /repos/{owner}/{repo}/issues/{number}/comments`: oldest first.
pub(super) async fn list(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, number)): Path<(String, String, i64)>,
    Query(wanted): Query<Wanted>,
    Query(since): Query<Since>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    if !repository.pulls.contains_key(&number) {
        return Err(Refusal::not_found());
    }
    let since = since.since.and_then(|text| text.parse::<jiff::Timestamp>().ok()).map_or(i64::MIN, jiff::Timestamp::as_millisecond);
    let comments = repository.comments.values().filter(|comment| comment.issue == number && comment.updated >= since);
    let items = comments.map(|comment| rendered(&caller, repository, comment)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewBody {
    body: String,
}

impl NewBody {
    fn checked(self) -> Result<String, Refusal> {
        // Line ends are normalised on the way in (vendor's behaviour, general knowledge).
        let body = self.body.replace("\r\n", "\n");
        if body.trim().is_empty() {
            return Err(Refusal::unprocessable("Validation Failed")
                .error(json!({ "resource": "IssueComment", "code": "missing_field", "field": "body" })));
        }
        if body.chars().count() > LONGEST_BODY {
            let message = format!("Body is too long (maximum is {LONGEST_BODY} characters)");
            return Err(Refusal::invalid("IssueComment", "body", "unprocessable", &message));
        }
        Ok(body)
    }
}

/// `POST /repos/{owner}/{repo}/issues/{number}/comments`.
pub(super) async fn create(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, number)): Path<(String, String, i64)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = github.now();
    let mut state = github.state();
    let id = state.id();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    if !repository.pulls.contains_key(&number) {
        return Err(Refusal::not_found());
    }
    let body = parse::<NewBody>(&body)?.checked()?;
    if repository.locked.contains(&number) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Unable to create comment because issue is locked."));
    }
    let comment = Comment { id, issue: number, author: caller.login().to_owned(), body, created: now, updated: now, minimized: None };
    let answer = rendered(&caller, repository, &comment);
    repository.comments.insert(id, comment);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `GET /repos/{owner}/{repo}/issues/comments/{id}`.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let comment = repository.comments.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(Json(rendered(&caller, repository, comment)))
}

/// `PATCH /repos/{owner}/{repo}/issues/comments/{id}`.
pub(super) async fn update(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    let comment = repository.comments.get_mut(&id).ok_or_else(Refusal::not_found)?;
    comment.body = parse::<NewBody>(&body)?.checked()?;
    comment.updated = now;
    let comment = comment.clone();
    Ok(Json(rendered(&caller, repository, &comment)))
}

/// `DELETE /repos/{owner}/{repo}/issues/comments/{id}`.
pub(super) async fn delete(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
) -> Result<StatusCode, Refusal> {
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    repository.comments.remove(&id).map(|_| StatusCode::NO_CONTENT).ok_or_else(Refusal::not_found)
}

fn rendered(caller: &Caller, repository: &Repository, comment: &Comment) -> Value {
    let url = address(&caller.base, repository);
    json!({
        "id": comment.id,
        "node_id": node("IssueComment", comment.id),
        "url": format!("{url}/issues/comments/{}", comment.id),
        "html_url": format!("{}/pull/{}#issuecomment-{}", page(repository), comment.issue, comment.id),
        "issue_url": format!("{url}/issues/{}", comment.issue),
        "body": comment.body,
        "user": user(&caller.base, &comment.author),
        "author_association": if comment.author.ends_with("[bot]") { "NONE" } else { "CONTRIBUTOR" },
        "created_at": moment(comment.created),
        "updated_at": moment(comment.updated),
    })
}
