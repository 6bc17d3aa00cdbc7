//! Check runs: made by apps only, with the limits that test reporters keep running into.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Kind, Level, Need};
use super::page::Wanted;
use super::refusal::{Refusal, parse};
use super::shape::{actions_app, address, moment, node, page};
use super::state::{CheckRun, Repository};

/// The most bytes of `summary` and `text` (report: the vendor's own message).
const LONGEST_TEXT: usize = 65_535;
/// The most annotations of one request (published).
const MOST_ANNOTATIONS: usize = 50;
const STATUSES: [&str; 3] = ["queued", "in_progress", "completed"];
const CONCLUSIONS: [&str; 7] = ["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"];

const READ: Need = &[("checks", Level::Read)];
const WRITE: Need = &[("checks", Level::Write)];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    name: Option<String>,
    head_sha: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    details_url: Option<String>,
    external_id: Option<String>,
    output: Option<Output>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Output {
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    annotations: Vec<Value>,
}

/// `POST /repos/{owner}/{repo}/check-runs`.
pub(super) async fn create(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = github.now();
    let change: Change = parse(&body)?;
    let sha = change.head_sha.clone().unwrap_or_default();
    github.make_commit(&format!("{}/{}", place.0, place.1), &sha);
    let mut state = github.state();
    let id = state.id();
    let repository = caller.repository(&mut state, &place, WRITE)?;
    apps_only(&caller)?;
    if repository.git.commit(&sha).is_none() {
        return Err(Refusal::unprocessable(format!("No commit found for SHA: {sha}")));
    }
    let name = change.name.clone().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refusal::unprocessable("Invalid request.\n\n\"name\" wasn't supplied."))?;
    let mut run = CheckRun {
        id,
        sha,
        name,
        status: "queued".to_owned(),
        conclusion: None,
        started: Some(moment(now)),
        completed: None,
        details_url: None,
        external_id: None,
        title: None,
        summary: None,
        text: None,
        annotations: Vec::new(),
    };
    apply(&mut run, change, now)?;
    let answer = rendered(&caller, repository, &run);
    repository.check_runs.insert(id, run);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `PATCH /repos/{owner}/{repo}/check-runs/{id}`; annotations are added to those that are there.
pub(super) async fn update(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    apps_only(&caller)?;
    let mut run = repository.check_runs.get(&id).cloned().ok_or_else(Refusal::not_found)?;
    apply(&mut run, parse(&body)?, now)?;
    let answer = rendered(&caller, repository, &run);
    repository.check_runs.insert(id, run);
    Ok(Json(answer))
}

/// `GET /repos/{owner}/{repo}/check-runs/{id}`.
pub(super) async fn get(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let run = repository.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(Json(rendered(&caller, repository, run)))
}

/// `GET /repos/{owner}/{repo}/check-runs/{id}/annotations`.
pub(super) async fn annotations(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<(String, String, i64)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let run = repository.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
    let items = run.annotations.iter().map(|one| {
        let text = |name: &str| one.get(name).cloned().unwrap_or(Value::Null);
        json!({
            "path": text("path"),
            "start_line": text("start_line"),
            "end_line": text("end_line"),
            "start_column": text("start_column"),
            "end_column": text("end_column"),
            "annotation_level": text("annotation_level"),
            "title": text("title"),
            "message": text("message"),
            "raw_details": text("raw_details"),
            "blob_href": format!("{}/blob/{}/{}", page(repository), run.sha, text("path").as_str().unwrap_or_default()),
        })
    });
    Ok(wanted.cut(items.collect(), &caller.base, &uri).array())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    check_name: Option<String>,
    status: Option<String>,
    filter: Option<String>,
    app_id: Option<i64>,
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/check-runs`: by default the newest of each name.
pub(super) async fn list(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, text)): Path<(String, String, String)>,
    Query(query): Query<ListQuery>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let sha = repository.git.resolve(&text).ok_or_else(|| Refusal::unprocessable(format!("No commit found for SHA: {text}")))?;
    let all = query.filter.as_deref() == Some("all");
    let newest =
        |run: &CheckRun| !repository.check_runs.values().any(|other| other.sha == run.sha && other.name == run.name && other.id > run.id);
    let runs = repository.check_runs.values().rev().filter(|run| {
        run.sha == sha
            && (all || newest(run))
            && query.check_name.as_ref().is_none_or(|name| run.name == *name)
            && query.status.as_ref().is_none_or(|status| run.status == *status)
            && query.app_id.is_none_or(|app| app == 15368)
    });
    let items = runs.map(|run| rendered(&caller, repository, run)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).answer(|items, total| json!({ "total_count": total, "check_runs": items })))
}

/// Refuses tokens of persons (vendor's documentation).
fn apps_only(caller: &Caller) -> Result<(), Refusal> {
    if caller.token.kind == Kind::Installation {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "You must authenticate via a GitHub App."))
}

fn apply(run: &mut CheckRun, change: Change, now: i64) -> Result<(), Refusal> {
    let invalid = |what: &str| Refusal::unprocessable(format!("Invalid request.\n\n{what}"));
    if let Some(status) = change.status {
        if !STATUSES.contains(&status.as_str()) {
            return Err(invalid(&format!("{status} is not a member of {STATUSES:?}.")));
        }
        run.status = status;
    }
    if let Some(conclusion) = change.conclusion {
        if !CONCLUSIONS.contains(&conclusion.as_str()) {
            return Err(invalid(&format!("{conclusion} is not a member of {CONCLUSIONS:?}.")));
        }
        run.conclusion = Some(conclusion);
        // A conclusion completes the run (published).
        "completed".clone_into(&mut run.status);
    }
    if run.status == "completed" {
        if run.conclusion.is_none() {
            return Err(invalid("Required if status is \"completed\": \"conclusion\" wasn't supplied."));
        }
        run.completed = change.completed_at.or_else(|| run.completed.take()).or_else(|| Some(moment(now)));
    }
    run.name = change.name.unwrap_or_else(|| run.name.clone());
    run.started = change.started_at.or_else(|| run.started.take());
    run.details_url = change.details_url.or_else(|| run.details_url.take());
    run.external_id = change.external_id.or_else(|| run.external_id.take());
    let Some(output) = change.output else { return Ok(()) };
    let (Some(title), Some(summary)) = (output.title, output.summary) else {
        return Err(invalid("\"title\" and \"summary\" weren't supplied with \"output\"."));
    };
    for (name, text) in [("summary", Some(&summary)), ("text", output.text.as_ref())] {
        if text.is_some_and(|text| text.len() > LONGEST_TEXT) {
            return Err(Refusal::invalid("CheckRun", name, "custom", &format!("{name} exceeds a maximum bytesize of {LONGEST_TEXT}")));
        }
    }
    if output.annotations.len() > MOST_ANNOTATIONS {
        return Err(invalid(&format!("No more than {MOST_ANNOTATIONS} items are allowed; {} were supplied.", output.annotations.len())));
    }
    output.annotations.iter().try_for_each(annotation)?;
    run.title = Some(title);
    run.summary = Some(summary);
    run.text = output.text.or_else(|| run.text.take());
    run.annotations.extend(output.annotations);
    Ok(())
}

fn annotation(one: &Value) -> Result<(), Refusal> {
    let invalid = |what: &str| Err(Refusal::unprocessable(format!("Invalid request.\n\nIn an annotation: {what}.")));
    let text = |name: &str| one.get(name).and_then(Value::as_str);
    if text("path").is_none_or(str::is_empty) {
        return invalid("path is empty");
    }
    let (Some(start), Some(end)) = (one.get("start_line").and_then(Value::as_i64), one.get("end_line").and_then(Value::as_i64)) else {
        return invalid("start_line and end_line are required");
    };
    if start < 1 || end < start {
        return invalid("lines begin at 1 and do not go backwards");
    }
    if start != end && (one.get("start_column").is_some() || one.get("end_column").is_some()) {
        return invalid("columns are for annotations of one line");
    }
    if !matches!(text("annotation_level"), Some("notice" | "warning" | "failure")) {
        return invalid("annotation_level is not a member of [\"notice\", \"warning\", \"failure\"]");
    }
    if text("message").is_none_or(|message| message.is_empty() || message.len() > 64 * 1024) {
        return invalid("message is missing or larger than 64 KB");
    }
    if text("title").is_some_and(|title| title.chars().count() > 255) {
        return invalid("title is longer than 255 characters");
    }
    Ok(())
}

fn rendered(caller: &Caller, repository: &Repository, run: &CheckRun) -> Value {
    let url = format!("{}/check-runs/{}", address(&caller.base, repository), run.id);
    json!({
        "id": run.id,
        "node_id": node("CheckRun", run.id),
        "name": run.name,
        "head_sha": run.sha,
        "external_id": run.external_id.clone().unwrap_or_default(),
        "url": url,
        "html_url": format!("{}/runs/{}", page(repository), run.id),
        "details_url": run.details_url,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started,
        "completed_at": run.completed,
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": run.annotations.len(),
            "annotations_url": format!("{url}/annotations"),
        },
        "check_suite": { "id": Repository::suite(&run.sha) },
        "app": actions_app(&caller.base),
        "pull_requests": [],
    })
}
