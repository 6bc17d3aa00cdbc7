//! Commits, comparisons, the repository itself.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, METADATA, Need};
use super::object::Signature;
use super::page::Wanted;
use super::refusal::Refusal;
use super::repository::Difference;
use super::shape::{address, extend, full, moment, node, page};
use super::state::Repository;

const READ: Need = &[("contents", Level::Read)];

/// The most files of a comparison, all on its first page (published).
const MOST_COMPARED: usize = 300;
/// The most commits of a comparison that is not paged (published).
const MOST_COMMITS: usize = 250;

/// `GET /repos/{owner}/{repo}`.
pub(super) async fn repository(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &place, METADATA)?;
    Ok(Json(full(&caller.base, repository)))
}

/// `GET /repos/{owner}/{repo}/commits/{ref}`.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, text)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    if repository.git.is_empty() {
        return Err(Refusal::conflict("Git Repository is empty."));
    }
    let sha = repository.git.resolve(&text).ok_or_else(|| Refusal::unprocessable(format!("No commit found for SHA: {text}")))?;
    let mut body = rendered(&caller, repository, &sha).ok_or_else(Refusal::not_found)?;
    let parent = repository.git.commit(&sha).and_then(|commit| commit.parents.first().cloned());
    let files = repository.git.differences(parent.as_deref(), &sha);
    let count = |of: fn(&Difference) -> usize| files.iter().map(of).sum::<usize>();
    let (additions, deletions) = (count(|file| file.additions), count(|file| file.deletions));
    extend(&mut body, json!({ "stats": { "additions": additions, "deletions": deletions, "total": additions + deletions } }));
    let items = files.iter().map(|one| file(&caller, repository, &sha, one)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).answer(|files, _| {
        extend(&mut body, json!({ "files": files }));
        body
    }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct From {
    sha: Option<String>,
}

/// `GET /repos/{owner}/{repo}/commits`: from `sha` (a branch or a commit; by default the default branch) back, newest first (vendor's
/// documentation, "List commits").
pub(super) async fn list(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    Query(from): Query<From>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &place, READ)?;
    if repository.git.is_empty() {
        return Err(Refusal::conflict("Git Repository is empty."));
    }
    let text = from.sha.unwrap_or_else(|| repository.default_branch.clone());
    let sha = repository.git.resolve(&text).ok_or_else(Refusal::not_found)?;
    let items = repository.git.history(&sha).iter().filter_map(|sha| rendered(&caller, repository, sha)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).array())
}

/// `GET /repos/{owner}/{repo}/compare/{base}...{head}`: from where the two parted.
pub(super) async fn compare(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, range)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let (base, head) = range.split_once("...").ok_or_else(Refusal::not_found)?;
    // `OWNER:branch` names a branch of a fork; all forks' commits are here.
    let resolve = |text: &str| repository.git.resolve(text.rsplit_once(':').map_or(text, |(_, branch)| branch));
    let (base, head) = (resolve(base).ok_or_else(Refusal::not_found)?, resolve(head).ok_or_else(Refusal::not_found)?);
    let parted = repository.git.merge_base(&base, &head).ok_or_else(Refusal::not_found)?;
    let (ahead, behind) = (repository.git.between(&base, &head), repository.git.between(&head, &base));
    let status = match (ahead.is_empty(), behind.is_empty()) {
        (true, true) => "identical",
        (false, true) => "ahead",
        (true, false) => "behind",
        (false, false) => "diverged",
    };
    let files = repository.git.differences(Some(&parted), &head);
    let files: Vec<_> = files.iter().take(MOST_COMPARED).map(|one| file(&caller, repository, &head, one)).collect();
    let url = format!("{}/compare/{range}", address(&caller.base, repository));
    let html = format!("{}/compare/{range}", page(repository));
    Ok(Json(json!({
        "url": url,
        "html_url": html,
        "permalink_url": html,
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "base_commit": rendered(&caller, repository, &base),
        "merge_base_commit": rendered(&caller, repository, &parted),
        "status": status,
        "ahead_by": ahead.len(),
        "behind_by": behind.len(),
        "total_commits": ahead.len(),
        "commits": ahead.iter().take(MOST_COMMITS).filter_map(|sha| rendered(&caller, repository, sha)).collect::<Vec<_>>(),
        "files": files,
    })))
}

/// Returns a commit as listings show it.
pub(super) fn rendered(caller: &Caller, repository: &Repository, sha: &str) -> Option<Value> {
    let commit = repository.git.commit(sha)?;
    let (url, page) = (address(&caller.base, repository), page(repository));
    let parents = commit
        .parents
        .iter()
        .map(|parent| json!({ "sha": parent, "url": format!("{url}/commits/{parent}"), "html_url": format!("{page}/commit/{parent}") }));
    Some(json!({
        "sha": sha,
        "node_id": node("Commit", sha),
        "url": format!("{url}/commits/{sha}"),
        "html_url": format!("{page}/commit/{sha}"),
        "comments_url": format!("{url}/commits/{sha}/comments"),
        "commit": {
            "url": format!("{url}/git/commits/{sha}"),
            "author": signature(&commit.author),
            "committer": signature(&commit.committer),
            "message": commit.message,
            "comment_count": 0,
            "tree": { "sha": commit.tree, "url": format!("{url}/git/trees/{}", commit.tree) },
            "verification": unverified(),
        },
        // Nobody here has an account that an address belongs to.
        "author": null,
        "committer": null,
        "parents": parents.collect::<Vec<_>>(),
    }))
}

/// Returns who signed a commit.
pub(super) fn signature(who: &Signature) -> Value {
    json!({ "name": who.name, "email": who.email, "date": moment(who.at * 1000) })
}

/// Returns the verification of a commit that nobody signed.
pub(super) fn unverified() -> Value {
    json!({ "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null })
}

/// Returns one changed file.
pub(super) fn file(caller: &Caller, repository: &Repository, sha: &str, one: &Difference) -> Value {
    let (url, page) = (address(&caller.base, repository), page(repository));
    let mut body = json!({
        "sha": one.sha,
        "filename": one.path,
        "status": one.status,
        "additions": one.additions,
        "deletions": one.deletions,
        "changes": one.additions + one.deletions,
        "blob_url": format!("{page}/blob/{sha}/{}", one.path),
        "raw_url": format!("{page}/raw/{sha}/{}", one.path),
        "contents_url": format!("{url}/contents/{}?ref={sha}", one.path),
    });
    if let Some(previous) = &one.previous {
        body["previous_filename"] = previous.as_str().into();
    }
    body
}
