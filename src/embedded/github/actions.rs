//! Workflow runs, their jobs, and workflows started by hand.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::caller::{Caller, Level, Need};
use super::page::Wanted;
use super::refusal::{Refusal, parse};
use super::shape::{address, extend, fork, minimal, moment, node, page, user};
use super::state::{Dispatch, Job, Repository, Run, RunHead};

const READ: Need = &[("actions", Level::Read)];
const WRITE: Need = &[("actions", Level::Write)];

type One = (String, String, i64);

/// By what runs are chosen (published).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chosen {
    branch: Option<String>,
    event: Option<String>,
    head_sha: Option<String>,
    /// A status or a conclusion.
    status: Option<String>,
}

impl Chosen {
    fn fits(&self, run: &Run) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.branch, &run.branch)
            && is(&self.event, &run.event)
            && is(&self.head_sha, &run.sha)
            && (is(&self.status, &run.status) || is(&self.status, run.conclusion.as_deref().unwrap_or_default()))
    }
}

/// `GET /repos/{owner}/{repo}/actions/runs`: newest first.
pub(super) async fn runs(
    State(github): State<GitHub>,
    caller: Caller,
    Path(place): Path<(String, String)>,
    Query(chosen): Query<Chosen>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &place, READ)?;
    let items = repository.runs.values().rev().filter(|run| chosen.fits(run)).map(|run| rendered(&caller, repository, run)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).answer(|items, total| json!({ "total_count": total, "workflow_runs": items })))
}

/// `GET /repos/{owner}/{repo}/actions/workflows/{workflow}/runs`: the same for one workflow, by its file (vendor's documentation, "List
/// workflow runs for a workflow").
pub(super) async fn runs_of_workflow(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, workflow)): Path<(String, String, String)>,
    Query(chosen): Query<Chosen>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let known = repository.workflows.contains(&workflow) || repository.runs.values().any(|run| run.workflow == workflow);
    if !known {
        return Err(Refusal::not_found());
    }
    let found = repository.runs.values().rev().filter(|run| run.workflow == workflow && chosen.fits(run));
    let items = found.map(|run| rendered(&caller, repository, run)).collect();
    Ok(wanted.cut(items, &caller.base, &uri).answer(|items, total| json!({ "total_count": total, "workflow_runs": items })))
}

/// `GET /repos/{owner}/{repo}/actions/runs/{run}`.
pub(super) async fn run(State(github): State<GitHub>, caller: Caller, Path((owner, name, id)): Path<One>) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    repository.runs.get(&id).map(|run| Json(rendered(&caller, repository, run))).ok_or_else(Refusal::not_found)
}

/// `GET /repos/{owner}/{repo}/actions/runs/{run}/attempts/{attempt}`.
pub(super) async fn attempt(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id, attempt)): Path<(String, String, i64, i64)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let run = repository.runs.get(&id).filter(|run| (1..=run.attempt).contains(&attempt));
    let run = run.map(|run| if run.attempt == attempt { run.clone() } else { run.earlier(attempt, repository) });
    run.map(|run| Json(rendered(&caller, repository, &run))).ok_or_else(Refusal::not_found)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobsQuery {
    filter: Option<String>,
}

/// `GET /repos/{owner}/{repo}/actions/runs/{run}/jobs`: of the newest attempt unless `filter=all`.
pub(super) async fn jobs(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id)): Path<One>,
    Query(query): Query<JobsQuery>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    let newest = repository.runs.get(&id).ok_or_else(Refusal::not_found)?.attempt;
    let all = query.filter.as_deref() == Some("all");
    Ok(listed(&caller, repository, id, &wanted, &uri, |job| all || job.attempt == newest))
}

/// `GET /repos/{owner}/{repo}/actions/runs/{run}/attempts/{attempt}/jobs`.
pub(super) async fn jobs_of_attempt(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, id, attempt)): Path<(String, String, i64, i64)>,
    Query(wanted): Query<Wanted>,
    uri: http::Uri,
) -> Result<Response, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    repository.runs.get(&id).filter(|run| (1..=run.attempt).contains(&attempt)).ok_or_else(Refusal::not_found)?;
    Ok(listed(&caller, repository, id, &wanted, &uri, |job| job.attempt == attempt))
}

fn listed(caller: &Caller, repository: &Repository, run: i64, wanted: &Wanted, uri: &http::Uri, fits: impl Fn(&Job) -> bool) -> Response {
    let found = repository.jobs.values().filter(|job| job.run == run && fits(job));
    let items = found.map(|job| rendered_job(caller, repository, job)).collect();
    wanted.cut(items, &caller.base, uri).answer(|items, total| json!({ "total_count": total, "jobs": items }))
}

/// `GET /repos/{owner}/{repo}/actions/jobs/{job}`.
pub(super) async fn job(State(github): State<GitHub>, caller: Caller, Path((owner, name, id)): Path<One>) -> Result<Json<Value>, Refusal> {
    let mut state = github.state();
    let repository = &*caller.repository(&mut state, &(owner, name), READ)?;
    repository.jobs.get(&id).map(|job| Json(rendered_job(&caller, repository, job))).ok_or_else(Refusal::not_found)
}

/// `POST /repos/{owner}/{repo}/actions/runs/{run}/cancel`: 202, 409 when it has ended.
pub(super) async fn cancel(State(github): State<GitHub>, caller: Caller, Path((owner, name, id)): Path<One>) -> Result<Response, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    let run = repository.runs.get_mut(&id).ok_or_else(Refusal::not_found)?;
    if run.status == "completed" {
        return Err(Refusal::conflict("Cannot cancel a workflow run that is completed."));
    }
    end(&mut run.status, &mut run.conclusion);
    for job in repository.jobs.values_mut().filter(|job| job.run == id && job.status != "completed") {
        end(&mut job.status, &mut job.conclusion);
        job.completed = Some(now);
    }
    Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
}

fn end(status: &mut String, conclusion: &mut Option<String>) {
    "completed".clone_into(status);
    *conclusion = Some("cancelled".to_owned());
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewDispatch {
    r#ref: String,
    inputs: BTreeMap<String, Value>,
    return_run_details: bool,
}

/// `POST /repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches`: 204, or 200 with the run where its details are asked for.
pub(super) async fn dispatch(
    State(github): State<GitHub>,
    caller: Caller,
    Path((owner, name, workflow)): Path<(String, String, String)>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let now = github.now();
    let mut state = github.state();
    let id = state.id();
    let repository = caller.repository(&mut state, &(owner, name), WRITE)?;
    if !repository.workflows.contains(&workflow) {
        return Err(Refusal::not_found());
    }
    let new: NewDispatch = parse(&body)?;
    let sha = repository.git.resolve(&new.r#ref).filter(|_| !new.r#ref.is_empty());
    let sha = sha.ok_or_else(|| Refusal::unprocessable(format!("No ref found for: {}", new.r#ref)))?;
    let inputs = new.inputs.into_iter().map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    repository.dispatches.push(Dispatch { workflow: workflow.clone(), git_ref: new.r#ref.clone(), inputs: inputs.collect() });
    let run = Run {
        id,
        workflow,
        event: "workflow_dispatch".to_owned(),
        branch: new.r#ref,
        sha,
        attempt: 1,
        status: "queued".to_owned(),
        conclusion: None,
        created: now,
        head: RunHead::Own,
        actor: Some(caller.login().to_owned()),
    };
    repository.runs.insert(id, run);
    if !new.return_run_details {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (url, page) = (address(&caller.base, repository), page(repository));
    let body = json!({
        "workflow_run_id": id,
        "run_url": format!("{url}/actions/runs/{id}"),
        "html_url": format!("{page}/actions/runs/{id}"),
    });
    Ok(Json(body).into_response())
}

fn rendered(caller: &Caller, repository: &Repository, run: &Run) -> Value {
    let url = format!("{}/actions/runs/{}", address(&caller.base, repository), run.id);
    let head = repository.git.commit(&run.sha).map(|commit| {
        let who = |who: &super::object::Signature| json!({ "name": who.name, "email": who.email });
        json!({
            "id": run.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": moment(commit.committer.at * 1000),
            "author": who(&commit.author),
            "committer": who(&commit.committer),
        })
    });
    json!({
        "id": run.id,
        "name": run.workflow,
        "node_id": node("WorkflowRun", run.id),
        "check_suite_id": Repository::suite(&run.sha),
        "check_suite_node_id": node("CheckSuite", Repository::suite(&run.sha)),
        "head_branch": run.branch,
        "head_sha": run.sha,
        "path": format!(".github/workflows/{}", run.workflow),
        "run_number": repository.runs.values().filter(|known| known.workflow == run.workflow && known.id <= run.id).count(),
        "run_attempt": run.attempt,
        "event": run.event,
        "display_title": run.workflow,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": 1,
        "url": url,
        "html_url": format!("{}/actions/runs/{}", page(repository), run.id),
        "pull_requests": [],
        "actor": user(&caller.base, run.actor.as_deref().unwrap_or(&repository.owner)),
        "triggering_actor": user(&caller.base, run.actor.as_deref().unwrap_or(&repository.owner)),
        "created_at": moment(run.created),
        "updated_at": moment(run.created),
        "run_started_at": moment(run.created),
        "jobs_url": format!("{url}/jobs"),
        "logs_url": format!("{url}/logs"),
        "check_suite_url": format!("{}/check-suites/{}", address(&caller.base, repository), Repository::suite(&run.sha)),
        "artifacts_url": format!("{url}/artifacts"),
        "cancel_url": format!("{url}/cancel"),
        "rerun_url": format!("{url}/rerun"),
        "previous_attempt_url": null,
        "workflow_url": format!("{}/actions/workflows/1", address(&caller.base, repository)),
        "head_commit": head,
        "repository": minimal(&caller.base, repository),
        "head_repository": head_repository(caller, repository, run),
    })
}

/// Returns the repository that a run's branch is in: `null` once a fork is deleted, and the list of pull requests is empty for forks (reports).
fn head_repository(caller: &Caller, repository: &Repository, run: &Run) -> Value {
    let mut body = minimal(&caller.base, repository);
    match &run.head {
        RunHead::Own => {}
        RunHead::Gone => return Value::Null,
        RunHead::Fork(owner) => extend(&mut body, fork(&caller.base, repository, owner)),
    }
    body
}

fn rendered_job(caller: &Caller, repository: &Repository, job: &Job) -> Value {
    let url = address(&caller.base, repository);
    let run = repository.runs.get(&job.run);
    json!({
        "id": job.id,
        "run_id": job.run,
        "run_attempt": job.attempt,
        "run_url": format!("{url}/actions/runs/{}", job.run),
        "node_id": node("CheckRun", job.id),
        "head_sha": run.map(|run| run.sha.clone()).unwrap_or_default(),
        "head_branch": run.map(|run| run.branch.clone()),
        "workflow_name": run.map(|run| run.workflow.clone()),
        "url": format!("{url}/actions/jobs/{}", job.id),
        "html_url": format!("{}/actions/runs/{}/job/{}", page(repository), job.run, job.id),
        "status": job.status,
        "conclusion": job.conclusion,
        "created_at": moment(job.created),
        "started_at": moment(job.created),
        "completed_at": job.completed.map(moment),
        "name": job.name,
        "steps": [],
        "check_run_url": format!("{url}/check-runs/{}", job.id),
        "labels": ["ubuntu-latest"],
        "runner_id": job.runner.as_ref().map(|_| 1),
        "runner_name": job.runner,
        "runner_group_id": job.runner.as_ref().map(|_| 1),
        "runner_group_name": job.runner.as_ref().map(|_| "GitHub Actions"),
    })
}
