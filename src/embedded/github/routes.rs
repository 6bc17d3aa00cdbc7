//! Paths, methods, names.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, patch, post};

use super::refusal::Refusal;
use super::{
    GitHub, account, actions, checks, comments, commits, contents, deployments, environments, gate, git, graphql, pulls, statuses,
};
use crate::embedded::operation::{Asked, Named, Naming, Operation, Subject};

const fn row(method: &'static str, template: &'static str, name: &'static str) -> Operation {
    Operation::new(method, template, name, Subject::Nothing)
}

/// Method and path → operation. The target of every request is its repository, `owner/name`.
const OPERATIONS: &[Operation] = &[
    row("GET", "/user", "get_user"),
    row("GET", "/rate_limit", "get_rate_limit"),
    row("POST", "/graphql", "graphql"),
    row("GET", "/repos/{owner}/{repo}", "get_repository"),
    row("GET", "/repos/{owner}/{repo}/issues/{number}/comments", "list_comments"),
    row("POST", "/repos/{owner}/{repo}/issues/{number}/comments", "create_comment"),
    row("GET", "/repos/{owner}/{repo}/issues/comments/{id}", "get_comment"),
    row("PATCH", "/repos/{owner}/{repo}/issues/comments/{id}", "update_comment"),
    row("DELETE", "/repos/{owner}/{repo}/issues/comments/{id}", "delete_comment"),
    row("POST", "/repos/{owner}/{repo}/statuses/{sha}", "create_status"),
    row("GET", "/repos/{owner}/{repo}/commits/{ref}/status", "get_combined_status"),
    row("GET", "/repos/{owner}/{repo}/commits/{ref}/statuses", "list_statuses"),
    row("POST", "/repos/{owner}/{repo}/check-runs", "create_check_run"),
    row("GET", "/repos/{owner}/{repo}/check-runs/{id}", "get_check_run"),
    row("PATCH", "/repos/{owner}/{repo}/check-runs/{id}", "update_check_run"),
    row("GET", "/repos/{owner}/{repo}/check-runs/{id}/annotations", "list_annotations"),
    row("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs", "list_check_runs"),
    row("GET", "/repos/{owner}/{repo}/deployments", "list_deployments"),
    row("POST", "/repos/{owner}/{repo}/deployments", "create_deployment"),
    row("GET", "/repos/{owner}/{repo}/deployments/{id}", "get_deployment"),
    row("DELETE", "/repos/{owner}/{repo}/deployments/{id}", "delete_deployment"),
    row("GET", "/repos/{owner}/{repo}/deployments/{id}/statuses", "list_deployment_statuses"),
    row("POST", "/repos/{owner}/{repo}/deployments/{id}/statuses", "create_deployment_status"),
    row("GET", "/repos/{owner}/{repo}/deployments/{id}/statuses/{status}", "get_deployment_status"),
    row("GET", "/repos/{owner}/{repo}/environments", "list_environments"),
    row("GET", "/repos/{owner}/{repo}/environments/{name}", "get_environment"),
    row("PUT", "/repos/{owner}/{repo}/environments/{name}", "put_environment"),
    row("DELETE", "/repos/{owner}/{repo}/environments/{name}", "delete_environment"),
    row("GET", "/repos/{owner}/{repo}/pulls", "list_pulls"),
    row("GET", "/repos/{owner}/{repo}/pulls/{number}", "get_pull"),
    row("PATCH", "/repos/{owner}/{repo}/pulls/{number}", "update_pull"),
    row("GET", "/repos/{owner}/{repo}/pulls/{number}/files", "list_pull_files"),
    row("GET", "/repos/{owner}/{repo}/pulls/{number}/commits", "list_pull_commits"),
    row("GET", "/repos/{owner}/{repo}/commits/{ref}/pulls", "list_pulls_of_commit"),
    row("GET", "/repos/{owner}/{repo}/commits", "list_commits"),
    row("GET", "/repos/{owner}/{repo}/commits/{ref}", "get_commit"),
    row("GET", "/repos/{owner}/{repo}/compare/{*range}", "compare"),
    row("GET", "/repos/{owner}/{repo}/contents/{*path}", "get_content"),
    row("GET", "/repos/{owner}/{repo}/git/ref/{*ref}", "get_ref"),
    row("GET", "/repos/{owner}/{repo}/git/matching-refs/{*ref}", "list_matching_refs"),
    row("POST", "/repos/{owner}/{repo}/git/refs", "create_ref"),
    row("PATCH", "/repos/{owner}/{repo}/git/refs/{*ref}", "update_ref"),
    row("DELETE", "/repos/{owner}/{repo}/git/refs/{*ref}", "delete_ref"),
    row("POST", "/repos/{owner}/{repo}/git/commits", "create_git_commit"),
    row("GET", "/repos/{owner}/{repo}/git/commits/{sha}", "get_git_commit"),
    row("POST", "/repos/{owner}/{repo}/git/trees", "create_tree"),
    row("GET", "/repos/{owner}/{repo}/git/trees/{sha}", "get_tree"),
    row("GET", "/repos/{owner}/{repo}/git/blobs/{sha}", "get_blob"),
    row("GET", "/repos/{owner}/{repo}/actions/runs", "list_runs"),
    row("GET", "/repos/{owner}/{repo}/actions/runs/{run}", "get_run"),
    row("GET", "/repos/{owner}/{repo}/actions/runs/{run}/jobs", "list_jobs"),
    row("GET", "/repos/{owner}/{repo}/actions/runs/{run}/attempts/{attempt}", "get_run_attempt"),
    row("GET", "/repos/{owner}/{repo}/actions/runs/{run}/attempts/{attempt}/jobs", "list_jobs_of_attempt"),
    row("POST", "/repos/{owner}/{repo}/actions/runs/{run}/cancel", "cancel_run"),
    row("GET", "/repos/{owner}/{repo}/actions/jobs/{job}", "get_job"),
    row("GET", "/repos/{owner}/{repo}/actions/workflows/{workflow}/runs", "list_workflow_runs"),
    row("POST", "/repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches", "dispatch_workflow"),
];

/// Returns the handlers, behind the gate.
pub(super) fn router(github: GitHub) -> Router {
    Router::new()
        .route("/user", get(account::get))
        .route("/rate_limit", get(account::rate_limit))
        .route("/graphql", post(graphql::query))
        .route("/repos/{owner}/{repo}", get(commits::repository))
        .merge(conversations())
        .merge(deploys())
        .merge(code())
        .merge(runs())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(from_fn_with_state(github.clone(), gate::gate))
        .layer(DefaultBodyLimit::disable())
        .with_state(github)
}

fn conversations() -> Router<GitHub> {
    Router::new()
        .route("/repos/{owner}/{repo}/issues/{number}/comments", get(comments::list).post(comments::create))
        .route("/repos/{owner}/{repo}/issues/comments/{id}", get(comments::get).patch(comments::update).delete(comments::delete))
        .route("/repos/{owner}/{repo}/pulls", get(pulls::list))
        .route("/repos/{owner}/{repo}/pulls/{number}", get(pulls::get).patch(pulls::update))
        .route("/repos/{owner}/{repo}/pulls/{number}/files", get(pulls::files))
        .route("/repos/{owner}/{repo}/pulls/{number}/commits", get(pulls::list_commits))
}

fn deploys() -> Router<GitHub> {
    Router::new()
        .route("/repos/{owner}/{repo}/deployments", get(deployments::list).post(deployments::create))
        .route("/repos/{owner}/{repo}/deployments/{id}", get(deployments::get).delete(deployments::delete))
        .route("/repos/{owner}/{repo}/deployments/{id}/statuses", get(deployments::list_statuses).post(deployments::create_status))
        .route("/repos/{owner}/{repo}/deployments/{id}/statuses/{status}", get(deployments::get_status))
        .route("/repos/{owner}/{repo}/environments", get(environments::list))
        .route("/repos/{owner}/{repo}/environments/{name}", get(environments::get).put(environments::put).delete(environments::delete))
}

fn code() -> Router<GitHub> {
    Router::new()
        .route("/repos/{owner}/{repo}/commits", get(commits::list))
        .route("/repos/{owner}/{repo}/commits/{ref}", get(commits::get))
        .route("/repos/{owner}/{repo}/commits/{ref}/pulls", get(pulls::of_commit))
        .route("/repos/{owner}/{repo}/commits/{ref}/status", get(statuses::combined))
        .route("/repos/{owner}/{repo}/commits/{ref}/statuses", get(statuses::list))
        .route("/repos/{owner}/{repo}/commits/{ref}/check-runs", get(checks::list))
        .route("/repos/{owner}/{repo}/statuses/{sha}", post(statuses::create))
        .route("/repos/{owner}/{repo}/check-runs", post(checks::create))
        .route("/repos/{owner}/{repo}/check-runs/{id}", get(checks::get).patch(checks::update))
        .route("/repos/{owner}/{repo}/check-runs/{id}/annotations", get(checks::annotations))
        .route("/repos/{owner}/{repo}/compare/{*range}", get(commits::compare))
        .route("/repos/{owner}/{repo}/contents/{*path}", get(contents::get))
        .route("/repos/{owner}/{repo}/git/ref/{*ref}", get(git::get_ref))
        .route("/repos/{owner}/{repo}/git/matching-refs/{*ref}", get(git::matching))
        .route("/repos/{owner}/{repo}/git/refs", post(git::create_ref))
        .route("/repos/{owner}/{repo}/git/refs/{*ref}", patch(git::update_ref).delete(git::delete_ref))
        .route("/repos/{owner}/{repo}/git/commits", post(git::create_commit))
        .route("/repos/{owner}/{repo}/git/commits/{sha}", get(git::get_commit))
        .route("/repos/{owner}/{repo}/git/trees", post(git::create_tree))
        .route("/repos/{owner}/{repo}/git/trees/{sha}", get(git::get_tree))
        .route("/repos/{owner}/{repo}/git/blobs/{sha}", get(git::get_blob))
}

fn runs() -> Router<GitHub> {
    Router::new()
        .route("/repos/{owner}/{repo}/actions/runs", get(actions::runs))
        .route("/repos/{owner}/{repo}/actions/runs/{run}", get(actions::run))
        .route("/repos/{owner}/{repo}/actions/runs/{run}/jobs", get(actions::jobs))
        .route("/repos/{owner}/{repo}/actions/runs/{run}/attempts/{attempt}", get(actions::attempt))
        .route("/repos/{owner}/{repo}/actions/runs/{run}/attempts/{attempt}/jobs", get(actions::jobs_of_attempt))
        .route("/repos/{owner}/{repo}/actions/runs/{run}/cancel", post(actions::cancel))
        .route("/repos/{owner}/{repo}/actions/jobs/{job}", get(actions::job))
        .route("/repos/{owner}/{repo}/actions/workflows/{workflow}/runs", get(actions::runs_of_workflow))
        .route("/repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches", post(actions::dispatch))
}

async fn unknown() -> Refusal {
    Refusal::not_found()
}

/// Names a request by the table; its target is its repository.
pub(super) fn name(asked: &Asked<'_>) -> Named {
    let mut named = OPERATIONS.name(asked);
    let mut parts = asked.path.strip_prefix("/repos/").unwrap_or_default().split('/');
    named.target = parts.next().zip(parts.next()).filter(|(owner, _)| !owner.is_empty()).map(|(owner, name)| format!("{owner}/{name}"));
    // Queries come by POST as well; only the mutations change something.
    if named.operation == "graphql" {
        named.write = asked.body().and_then(|body| body["query"].as_str()).is_some_and(|query| query.trim_start().starts_with("mutation"));
    }
    named
}
