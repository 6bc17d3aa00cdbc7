//! The git database: refs that move forward only, commits and trees by their real names.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::commits::{signature, unverified};
use super::contents::in_lines;
use super::object::{Commit, Entry, Object, Signature};
use super::refusal::{Refusal, parse};
use super::repository::Flat;
use super::shape::{address, node, page};
use super::state::Repository;

const READ: Need = &[("contents", Level::Read)];
const WRITE: Need = &[("contents", Level::Write)];

type Place = (String, String, String);

/// `GET /repos/{owner}/{repo}/git/ref/{ref}`: what is there, or was there a moment ago where the switch says so.
pub(super) async fn get_ref(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, reference)): Path<Place>,
) -> Result<Json<Value>, Refusal> {
    let at = github.readable();
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    filled(repository)?;
    let full = format!("refs/{reference}");
    let sha = repository.git.head_at(&full, at).ok_or_else(Refusal::not_found)?;
    Ok(Json(rendered_ref(&caller, repository, &full, sha)))
}

/// `GET /repos/{owner}/{repo}/git/matching-refs/{ref}`: every ref that begins so, in every namespace.
pub(super) async fn matching(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, reference)): Path<Place>,
) -> Result<Json<Value>, Refusal> {
    let at = github.readable();
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    filled(repository)?;
    let names = repository.git.refs(&format!("refs/{reference}"));
    let found = names.iter().filter_map(|(full, _)| Some(rendered_ref(&caller, repository, full, repository.git.head_at(full, at)?)));
    Ok(Json(found.collect()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewRef {
    r#ref: String,
    sha: String,
}

/// `POST /repos/{owner}/{repo}/git/refs`: 422 when it exists; of several creators one gets 201 (vendor's documentation).
pub(super) async fn create_ref(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = github.now();
    let mut state = github.state();
    let other_namespaces = state.switches.takes_other_namespaces;
    let repository = caller.repository(&mut state, &place, WRITE)?;
    filled(repository)?;
    let new: NewRef = parse(&body)?;
    let known = new.r#ref.starts_with("refs/heads/") || new.r#ref.starts_with("refs/tags/") || other_namespaces;
    let named =
        new.r#ref.starts_with("refs/") && new.r#ref.matches('/').count() >= 2 && !new.r#ref.ends_with('/') && !new.r#ref.contains("..");
    if !named || !known || new.r#ref.bytes().any(|byte| byte <= b' ' || b"~^:?*[\\".contains(&byte)) {
        return Err(Refusal::unprocessable("Reference name must be of the form refs/<namespace>/<name>"));
    }
    object(repository, &new.sha)?;
    if repository.git.head(&new.r#ref).is_some() {
        return Err(Refusal::unprocessable("Reference already exists"));
    }
    repository.move_to(&new.r#ref, &new.sha, now);
    Ok((StatusCode::CREATED, Json(rendered_ref(&caller, repository, &new.r#ref, &new.sha))))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Move {
    sha: String,
    force: bool,
}

/// `PATCH /repos/{owner}/{repo}/git/refs/{ref}`: without `force` only to a descendant. The truth decides, not what a lagging reader sees.
pub(super) async fn update_ref(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, reference)): Path<Place>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    filled(repository)?;
    let change: Move = parse(&body)?;
    let full = format!("refs/{reference}");
    let current = repository.git.head(&full).map(str::to_owned).ok_or_else(|| Refusal::unprocessable("Reference does not exist"))?;
    object(repository, &change.sha)?;
    if !change.force && !repository.git.descends(&change.sha, &current) {
        return Err(Refusal::unprocessable("Update is not a fast forward"));
    }
    repository.move_to(&full, &change.sha, now);
    Ok(Json(rendered_ref(&caller, repository, &full, &change.sha)))
}

/// `DELETE /repos/{owner}/{repo}/git/refs/{ref}`.
pub(super) async fn delete_ref(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, reference)): Path<Place>,
) -> Result<StatusCode, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    filled(repository)?;
    let full = format!("refs/{reference}");
    if repository.git.head(&full).is_none() {
        return Err(Refusal::unprocessable("Reference does not exist"));
    }
    repository.git.set(&full, None, now);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewCommit {
    message: String,
    tree: String,
    parents: Vec<String>,
    author: Option<Who>,
    committer: Option<Who>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Who {
    name: String,
    email: String,
    date: Option<String>,
}

impl Who {
    fn signed(self, now: i64) -> Result<Signature, Refusal> {
        let at = match self.date {
            None => now / 1000,
            Some(text) => {
                let moment: jiff::Timestamp = text.parse().map_err(|_| Refusal::unprocessable("date is not a valid timestamp"))?;
                moment.as_second()
            }
        };
        Ok(Signature { name: self.name, email: self.email, at })
    }
}

/// `POST /repos/{owner}/{repo}/git/commits`.
pub(super) async fn create_commit(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = github.now();
    let mut state = github.state();
    let repository = caller.repository(&mut state, &place, WRITE)?;
    filled(repository)?;
    let new: NewCommit = parse(&body)?;
    if repository.git.tree(&new.tree).is_none() {
        return Err(Refusal::unprocessable("Tree SHA does not exist"));
    }
    if let Some(parent) = new.parents.iter().find(|parent| repository.git.commit(parent).is_none()) {
        return Err(Refusal::unprocessable(format!("Parent SHA does not exist or is not a commit object: {parent}")));
    }
    let login = caller.login().to_owned();
    let own = Who { name: login.clone(), email: format!("41898282+{login}@users.noreply.github.com"), date: None };
    let author = new.author.unwrap_or(own);
    let committer = new.committer.unwrap_or_else(|| author.clone()).signed(now)?;
    let commit = Commit { tree: new.tree, parents: new.parents, author: author.signed(now)?, committer, message: new.message };
    let sha = repository.git.add(Object::Commit(commit));
    let body = rendered_commit(&caller, repository, &sha).ok_or_else(Refusal::not_found)?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// `GET /repos/{owner}/{repo}/git/commits/{sha}`.
pub(super) async fn get_commit(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, sha)): Path<Place>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    filled(repository)?;
    rendered_commit(&caller, repository, &sha).map(Json).ok_or_else(Refusal::not_found)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewTree {
    base_tree: Option<String>,
    tree: Vec<NewEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewEntry {
    path: String,
    mode: String,
    r#type: String,
    content: Option<String>,
    /// Not given, null (the path goes), or an object's name.
    sha: Option<Value>,
}

/// `POST /repos/{owner}/{repo}/git/trees`.
pub(super) async fn create_tree(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let mut state = github.state();
    let repository = caller.repository(&mut state, &place, WRITE)?;
    filled(repository)?;
    // A null that was sent and a field that was not are different things here.
    let sent: Value = parse(&body)?;
    let new: NewTree = parse(&body)?;
    let mut files = match &new.base_tree {
        None => Flat::new(),
        Some(base) => {
            repository.git.tree(base).ok_or_else(Refusal::not_found)?;
            repository.git.flat(base)
        }
    };
    for (index, entry) in new.tree.into_iter().enumerate() {
        let removes = sent["tree"][index].get("sha").is_some_and(Value::is_null) && entry.content.is_none();
        if removes {
            files.retain(|path, _| *path != entry.path && !path.starts_with(&format!("{}/", entry.path)));
        } else {
            place_entry(repository, &mut files, entry)?;
        }
    }
    let sha = repository.git.write_tree(&files);
    Ok((StatusCode::CREATED, Json(rendered_tree(&caller, repository, &sha))))
}

fn place_entry(repository: &mut Repository, files: &mut Flat, entry: NewEntry) -> Result<(), Refusal> {
    let modes: BTreeMap<&str, &str> =
        [("100644", "blob"), ("100755", "blob"), ("120000", "blob"), ("040000", "tree"), ("160000", "commit")].into();
    let fits = modes.get(entry.mode.as_str()).is_some_and(|kind| entry.r#type.is_empty() || *kind == entry.r#type);
    if !fits
        || entry.path.is_empty()
        || entry.path.starts_with('/')
        || entry.path.split('/').any(|part| matches!(part, "" | "." | ".." | ".git"))
    {
        return Err(Refusal::unprocessable("Must supply a valid tree.path, tree.mode and tree.type"));
    }
    let sha = match (&entry.sha, entry.content) {
        (Some(_), Some(_)) => return Err(Refusal::unprocessable("Must supply either tree.sha or tree.content, not both")),
        (Some(sha), None) => {
            let sha = sha.as_str().unwrap_or_default().to_owned();
            object(repository, &sha)?;
            sha
        }
        (None, Some(content)) => repository.git.add(Object::Blob(content.into_bytes())),
        (None, None) => return Err(Refusal::unprocessable("Must supply either tree.sha or tree.content")),
    };
    if entry.mode == "040000" {
        for (path, below) in repository.git.flat(&sha) {
            files.insert(format!("{}/{path}", entry.path), below);
        }
    } else {
        files.insert(entry.path, Entry { mode: entry.mode, sha });
    }
    Ok(())
}

/// `GET /repos/{owner}/{repo}/git/trees/{sha}`.
pub(super) async fn get_tree(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, sha)): Path<Place>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    filled(repository)?;
    let of_commit = repository.git.resolve(&sha).and_then(|sha| Some(repository.git.commit(&sha)?.tree.clone()));
    let sha = of_commit.unwrap_or(sha);
    repository.git.tree(&sha).ok_or_else(Refusal::not_found)?;
    Ok(Json(rendered_tree(&caller, repository, &sha)))
}

/// `GET /repos/{owner}/{repo}/git/blobs/{sha}`: base64 in lines of 60 (vendor's documentation; the lines as in its example).
pub(super) async fn get_blob(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, sha)): Path<Place>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    filled(repository)?;
    let content = repository.git.blob(&sha).ok_or_else(Refusal::not_found)?;
    Ok(Json(json!({
        "sha": sha,
        "node_id": node("Blob", &sha),
        "size": content.len(),
        "url": format!("{}/git/blobs/{sha}", address(&caller.base, repository)),
        "content": in_lines(content),
        "encoding": "base64",
    })))
}

impl Repository {
    /// Moves a ref, and remembers when the commit became known.
    pub(super) fn move_to(&mut self, full: &str, sha: &str, now: i64) {
        self.git.set(full, Some(sha), now);
        self.pushed.entry(sha.to_owned()).or_insert(now);
    }
}

impl GitHub {
    /// Returns the time whose refs a reader sees.
    fn readable(&self) -> i64 {
        self.now() - i64::try_from(self.state().switches.ref_lag.as_millis()).unwrap_or(0)
    }
}

/// Refuses while the repository has no commit (published: 409).
fn filled(repository: &Repository) -> Result<(), Refusal> {
    if repository.git.is_empty() { Err(Refusal::conflict("Git Repository is empty.")) } else { Ok(()) }
}

fn object(repository: &Repository, sha: &str) -> Result<(), Refusal> {
    repository.git.object(sha).map(|_| ()).ok_or_else(|| Refusal::unprocessable("Object does not exist"))
}

fn rendered_ref(caller: &Caller, repository: &Repository, full: &str, sha: &str) -> Value {
    let url = address(&caller.base, repository);
    let kind = match repository.git.object(sha) {
        Some(Object::Tree(_)) => "tree",
        Some(Object::Blob(_)) => "blob",
        _ => "commit",
    };
    json!({
        "ref": full,
        "node_id": node("Ref", full),
        "url": format!("{url}/git/{full}"),
        "object": { "sha": sha, "type": kind, "url": format!("{url}/git/{kind}s/{sha}") },
    })
}

fn rendered_commit(caller: &Caller, repository: &Repository, sha: &str) -> Option<Value> {
    let commit = repository.git.commit(sha)?;
    let (url, page) = (address(&caller.base, repository), page(repository));
    let parents = commit.parents.iter().map(
        |parent| json!({ "sha": parent, "url": format!("{url}/git/commits/{parent}"), "html_url": format!("{page}/commit/{parent}") }),
    );
    Some(json!({
        "sha": sha,
        "node_id": node("Commit", sha),
        "url": format!("{url}/git/commits/{sha}"),
        "html_url": format!("{page}/commit/{sha}"),
        "author": signature(&commit.author),
        "committer": signature(&commit.committer),
        "message": commit.message,
        "tree": { "sha": commit.tree, "url": format!("{url}/git/trees/{}", commit.tree) },
        "parents": parents.collect::<Vec<_>>(),
        "verification": unverified(),
    }))
}

fn rendered_tree(caller: &Caller, repository: &Repository, sha: &str) -> Value {
    let url = address(&caller.base, repository);
    let entries = repository.git.tree(sha).into_iter().flatten().map(|(name, entry)| {
        let mut body = json!({
            "path": name,
            "mode": entry.mode,
            "type": entry.kind(),
            "sha": entry.sha,
            "url": format!("{url}/git/{}s/{}", entry.kind(), entry.sha),
        });
        if let Some(content) = repository.git.blob(&entry.sha) {
            body["size"] = content.len().into();
        }
        body
    });
    json!({ "sha": sha, "url": format!("{url}/git/trees/{sha}"), "tree": entries.collect::<Vec<_>>(), "truncated": false })
}
