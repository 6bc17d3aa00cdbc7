//! Files and directories at a ref.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::ACCEPT;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::object::Entry;
use super::refusal::Refusal;
use super::shape::{address, page};
use super::state::Repository;

const READ: Need = &[("contents", Level::Read)];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct At {
    r#ref: Option<String>,
}

/// `GET /repos/{owner}/{repo}/contents/{path}`: base64 in lines of 60, raw where the media type asks for it, an array for a directory.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, path)): Path<(String, String, String)>,
    Query(at): Query<At>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let reference = at.r#ref.unwrap_or_else(|| repository.default_branch.clone());
    let sha = repository.git.resolve(&reference);
    let sha = sha.ok_or_else(|| Refusal::new(http::StatusCode::NOT_FOUND, format!("No commit found for the ref {reference}")))?;
    let files = repository.git.files(&sha);
    let path = path.trim_matches('/');
    if let Some(entry) = files.get(path) {
        let content = repository.git.blob(&entry.sha).unwrap_or_default();
        let raw = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|kind| kind.contains("raw"));
        if raw {
            return Ok(content.to_vec().into_response());
        }
        let mut body = described(&caller, repository, path, entry, &reference, "file", content.len());
        body["encoding"] = "base64".into();
        body["content"] = in_lines(content).into();
        return Ok(Json(body).into_response());
    }
    let below: Vec<_> = files.iter().filter_map(|(file, entry)| Some((file.strip_prefix(&format!("{path}/"))?, entry))).collect();
    if below.is_empty() {
        return Err(Refusal::not_found());
    }
    let direct = below.iter().filter(|(rest, _)| !rest.contains('/')).map(|(rest, entry)| {
        let size = repository.git.blob(&entry.sha).map_or(0, <[u8]>::len);
        described(&caller, repository, &format!("{path}/{rest}"), entry, &reference, "file", size)
    });
    Ok(Json(Value::from(direct.collect::<Vec<_>>())).into_response())
}

/// Returns a content in base64, in lines of 60.
pub(super) fn in_lines(content: &[u8]) -> String {
    let encoded = STANDARD.encode(content);
    encoded.as_bytes().chunks(60).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

fn described(caller: &Caller, repository: &Repository, path: &str, entry: &Entry, reference: &str, kind: &str, size: usize) -> Value {
    let (url, page) = (address(&caller.base, repository), page(repository));
    let own = format!("{url}/contents/{path}?ref={reference}");
    let git = format!("{url}/git/blobs/{}", entry.sha);
    let html = format!("{page}/blob/{reference}/{path}");
    json!({
        "type": kind,
        "name": path.rsplit('/').next().unwrap_or(path),
        "path": path,
        "sha": entry.sha,
        "size": size,
        "url": own,
        "git_url": git,
        "html_url": html,
        "download_url": format!("https://raw.githubusercontent.com/{}/{reference}/{path}", repository.full_name()),
        "_links": { "self": own, "git": git, "html": html },
    })
}
