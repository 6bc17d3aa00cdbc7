//! Paths, methods, names.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http::StatusCode;

use super::refusal::Refusal;
use super::{Cloudflare, assets, deployments, projects};
use crate::embedded::operation::{Operation, Subject};

/// Where a request says which project it is about.
const PROJECT: Subject = Subject::Path("project");

/// Method and path → operation.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("GET", "/client/v4/user", "get_user", Subject::Nothing),
    Operation::new("GET", "/client/v4/user/tokens/verify", "verify_token", Subject::Nothing),
    Operation::new("GET", "/client/v4/memberships", "list_memberships", Subject::Nothing),
    Operation::new("GET", "/client/v4/accounts", "list_accounts", Subject::Nothing),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects", "list_projects", Subject::Nothing),
    Operation::new("POST", "/client/v4/accounts/{account}/pages/projects", "create_project", Subject::Body("name")),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}", "get_project", PROJECT),
    Operation::new("PATCH", "/client/v4/accounts/{account}/pages/projects/{project}", "update_project", PROJECT),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}/upload-token", "get_upload_token", PROJECT),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}/domains", "list_domains", PROJECT),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}/deployments", "list_deployments", PROJECT),
    Operation::new("POST", "/client/v4/accounts/{account}/pages/projects/{project}/deployments", "create_deployment", PROJECT),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}/deployments/{id}", "get_deployment", PROJECT),
    Operation::new("DELETE", "/client/v4/accounts/{account}/pages/projects/{project}/deployments/{id}", "delete_deployment", PROJECT),
    Operation::new("POST", "/client/v4/accounts/{account}/pages/projects/{project}/deployments/{id}/rollback", "roll_back", PROJECT),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}/deployments/{id}/history/logs", "get_log", PROJECT),
    Operation::new("POST", "/client/v4/pages/webhooks/deploy_hooks/{hook}", "trigger_deploy_hook", Subject::Nothing),
    Operation::new("POST", "/client/v4/pages/assets/check-missing", "check_missing", Subject::Nothing).reads(),
    Operation::new("POST", "/client/v4/pages/assets/upload", "upload_assets", Subject::Nothing),
    Operation::new("POST", "/client/v4/pages/assets/upsert-hashes", "upsert_hashes", Subject::Nothing),
];

/// Returns the handlers.
pub(super) fn router(cloudflare: Cloudflare) -> Router {
    const PROJECTS: &str = "/client/v4/accounts/{account}/pages/projects";
    let below = |rest: &str| format!("{PROJECTS}/{{project}}{rest}");
    Router::new()
        .route("/client/v4/user", get(projects::user))
        .route("/client/v4/user/tokens/verify", get(projects::verify))
        .route("/client/v4/memberships", get(projects::memberships))
        .route("/client/v4/accounts", get(projects::accounts))
        .route(PROJECTS, get(projects::list).post(projects::create))
        .route(&below(""), get(projects::get).patch(projects::patch))
        .route(&below("/upload-token"), get(assets::token))
        .route(&below("/domains"), get(projects::domains))
        .route(&below("/deployments"), get(deployments::list).post(deployments::create))
        .route(&below("/deployments/{id}"), get(deployments::get).delete(deployments::delete))
        .route(&below("/deployments/{id}/rollback"), post(deployments::roll_back))
        .route(&below("/deployments/{id}/history/logs"), get(deployments::log))
        .route("/client/v4/pages/webhooks/deploy_hooks/{hook}", post(deployments::hook))
        .route("/client/v4/pages/assets/check-missing", post(assets::missing))
        .route("/client/v4/pages/assets/upload", post(assets::upload))
        .route("/client/v4/pages/assets/upsert-hashes", post(assets::refresh))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        // The vendor's own limits are the handlers' business.
        .layer(DefaultBodyLimit::disable())
        .with_state(cloudflare)
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, 7_003, "Could not route to the path or method: the embedded Cloudflare does not know it.")
}
