//! Pull requests, their files and commits.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::commits;
use super::page::Wanted;
use super::refusal::Refusal;
use super::shape::{address, extend, fork, moment, node, ordinary, page, user};
use super::state::{Pull, Repository};

pub(super) const READ: Need = &[("pull_requests", Level::Read)];
const WRITE: Need = &[("pull_requests", Level::Write)];

/// The most files that are ever listed (published).
const MOST_FILES: usize = 3000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    state: Option<String>,
    head: Option<String>,
    base: Option<String>,
}

/// `GET /repos/{owner}/{repo}/pulls`: newest first, open ones unless asked otherwise.
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
    let found = repository.pulls.values().rev().filter(|pull| {
        let open = pull.closed_at.is_none();
        let head = format!("{}:{}", pull.fork.as_ref().unwrap_or(&repository.owner), pull.head_branch);
        let in_state = match query.state.as_deref() {
            None | Some("open") => open,
            Some("closed") => !open,
            Some(_) => true,
        };
        in_state
            && query.head.as_ref().is_none_or(|wanted| *wanted == head)
            && query.base.as_ref().is_none_or(|base| *base == pull.base_branch)
    });
    let items = found.map(|pull| simple(&caller, repository, pull)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/pulls/{number}`.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, number)): Path<(String, String, i64)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let pull = repository.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    let files = repository.git.differences(base_of(repository, pull).as_deref(), &pull.head_sha);
    let mut body = simple(&caller, repository, pull);
    let more = json!({
        "merged": pull.merged_at.is_some(),
        "merged_by": pull.merged_at.map(|_| user(&caller.base, &pull.author)),
        "mergeable": if pull.closed_at.is_none() { json!(true) } else { Value::Null },
        "mergeable_state": if pull.closed_at.is_none() { "clean" } else { "unknown" },
        "rebaseable": null,
        "comments": repository.comments.values().filter(|comment| comment.issue == number).count(),
        "review_comments": 0,
        "maintainer_can_modify": false,
        "commits": repository.commits_of(pull).len(),
        "additions": files.iter().map(|file| file.additions).sum::<usize>(),
        "deletions": files.iter().map(|file| file.deletions).sum::<usize>(),
        "changed_files": files.len(),
    });
    extend(&mut body, more);
    Ok(Json(body))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    state: Option<String>,
}

/// `PATCH /repos/{owner}/{repo}/pulls/{number}`: closes it, or opens it again; other fields of it never change here (published).
pub(super) async fn update(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, number)): Path<(String, String, i64)>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Refusal> {
    let now = github.now();
    let change: Change = super::refusal::parse(&body)?;
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    let pull = repository.pulls.get_mut(&number).ok_or_else(Refusal::not_found)?;
    match change.state.as_deref() {
        Some("closed") => pull.closed_at = pull.closed_at.or(Some(now)),
        Some("open") if pull.merged_at.is_none() => pull.closed_at = None,
        None => {}
        Some(_) => return Err(Refusal::new(http::StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed")),
    }
    let repository = &*repository;
    let pull = repository.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    Ok(Json(simple(&caller, repository, pull)))
}

/// `GET /repos/{owner}/{repo}/pulls/{number}/files`: at most 3000 in all.
pub(super) async fn files(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, number)): Path<(String, String, i64)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let pull = repository.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    let files = repository.git.differences(base_of(repository, pull).as_deref(), &pull.head_sha);
    let items = files.iter().take(MOST_FILES).map(|file| commits::file(&caller, repository, &pull.head_sha, file)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/pulls/{number}/commits`: oldest first.
pub(super) async fn list_commits(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, number)): Path<(String, String, i64)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let pull = repository.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    let found = repository.commits_of(pull);
    let items = found.iter().filter_map(|sha| commits::rendered(&caller, repository, sha)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/commits/{sha}/pulls`: the merged one that brought the commit, and those that contain it. Empty for a while after a push
/// where the switch says so.
pub(super) async fn of_commit(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, sha)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let lag = i64::try_from(state.switches.pulls_lag.as_millis()).unwrap_or(i64::MAX);
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    if repository.git.commit(&sha).is_none() {
        return Err(Refusal::unprocessable(format!("No commit found for SHA: {sha}")));
    }
    let known = repository.pushed.get(&sha).is_none_or(|pushed| pushed.saturating_add(lag) <= now);
    let brings = |pull: &&Pull| pull.merge_commit.as_deref() == Some(&*sha) || repository.commits_of(pull).contains(&sha);
    let found = repository.pulls.values().filter(|_| known).filter(brings);
    let items = found.map(|pull| simple(&caller, repository, pull)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// Returns the commit that the pull request's changes are counted from.
fn base_of(repository: &Repository, pull: &Pull) -> Option<String> {
    repository.git.merge_base(&pull.base_sha, &pull.head_sha)
}

fn simple(caller: &Caller, repository: &Repository, pull: &Pull) -> Value {
    let (base, url, page) = (&caller.base, address(&caller.base, repository), page(repository));
    let (pulls, issue) = (format!("{url}/pulls/{}", pull.number), format!("{url}/issues/{}", pull.number));
    let html = format!("{page}/pull/{}", pull.number);
    let owner = pull.fork.as_ref().unwrap_or(&repository.owner);
    let mut of_head = ordinary(base, repository);
    if let Some(owner) = &pull.fork {
        extend(&mut of_head, fork(base, repository, owner));
    }
    let base_sha =
        repository.git.head(&format!("refs/heads/{}", pull.base_branch)).filter(|_| pull.closed_at.is_none()).unwrap_or(&pull.base_sha);
    let statuses = format!("{url}/statuses/{}", pull.head_sha);
    let mut body = json!({
        "id": pull.id,
        "node_id": node("PullRequest", pull.id),
        "number": pull.number,
        "url": pulls,
        "html_url": html,
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "issue_url": issue,
        "commits_url": format!("{pulls}/commits"),
        "review_comments_url": format!("{pulls}/comments"),
        "review_comment_url": format!("{url}/pulls/comments{{/number}}"),
        "comments_url": format!("{issue}/comments"),
        "statuses_url": statuses,
        "locked": repository.locked.contains(&pull.number),
        "title": pull.title,
        "user": user(base, &pull.author),
        "body": null,
        "labels": [],
        "milestone": null,
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "draft": false,
        "author_association": "CONTRIBUTOR",
        "auto_merge": null,
    });
    let standing = json!({
        "state": if pull.closed_at.is_none() { "open" } else { "closed" },
        "created_at": moment(pull.created),
        "updated_at": moment(pull.closed_at.unwrap_or(pull.created)),
        "closed_at": pull.closed_at.map(moment),
        "merged_at": pull.merged_at.map(moment),
        "merge_commit_sha": pull.merge_commit,
        "head": {
            "label": format!("{owner}:{}", pull.head_branch),
            "ref": pull.head_branch,
            "sha": pull.head_sha,
            "user": user(base, owner),
            "repo": of_head,
        },
        "base": {
            "label": format!("{}:{}", repository.owner, pull.base_branch),
            "ref": pull.base_branch,
            "sha": base_sha,
            "user": user(base, &repository.owner),
            "repo": ordinary(base, repository),
        },
        "_links": {
            "self": { "href": pulls },
            "html": { "href": html },
            "issue": { "href": issue },
            "comments": { "href": format!("{issue}/comments") },
            "review_comments": { "href": format!("{pulls}/comments") },
            "review_comment": { "href": format!("{url}/pulls/comments{{/number}}") },
            "commits": { "href": format!("{pulls}/commits") },
            "statuses": { "href": statuses },
        },
    });
    extend(&mut body, standing);
    body
}
