//! Paths, methods, names.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use http::StatusCode;

use super::refusal::Refusal;
use super::{Cloudflare, assets, deployments, domains, projects, purge, records, workers, zones};
use crate::embedded::operation::{Operation, Subject};

/// Where a request says which project it is about.
const PROJECT: Subject = Subject::Path("project");
/// Where a request says which zone it is about.
const ZONE: Subject = Subject::Path("zone");
/// Where a request says which worker it is about.
const WORKER: Subject = Subject::Path("worker");

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
    Operation::new("POST", "/client/v4/accounts/{account}/pages/projects/{project}/domains", "add_domain", PROJECT),
    Operation::new("GET", "/client/v4/accounts/{account}/pages/projects/{project}/domains/{domain}", "get_domain", PROJECT),
    Operation::new("PATCH", "/client/v4/accounts/{account}/pages/projects/{project}/domains/{domain}", "look_at_domain", PROJECT),
    Operation::new("DELETE", "/client/v4/accounts/{account}/pages/projects/{project}/domains/{domain}", "remove_domain", PROJECT),
    Operation::new("GET", "/client/v4/zones", "find_zone", Subject::Query("name")),
    Operation::new("GET", "/client/v4/zones/{zone}", "get_zone", ZONE),
    Operation::new("GET", "/client/v4/zones/{zone}/dns_records", "list_records", ZONE),
    Operation::new("POST", "/client/v4/zones/{zone}/dns_records", "create_record", Subject::Body("name")),
    Operation::new("GET", "/client/v4/zones/{zone}/dns_records/{record}", "get_record", ZONE),
    Operation::new("PATCH", "/client/v4/zones/{zone}/dns_records/{record}", "update_record", Subject::Body("name")),
    Operation::new("PUT", "/client/v4/zones/{zone}/dns_records/{record}", "replace_record", Subject::Body("name")),
    Operation::new("DELETE", "/client/v4/zones/{zone}/dns_records/{record}", "delete_record", ZONE),
    Operation::new("POST", "/client/v4/zones/{zone}/purge_cache", "purge_cache", ZONE),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/subdomain", "get_account_subdomain", Subject::Nothing),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/domains", "list_worker_domains", Subject::Query("service")),
    Operation::new("POST", "/client/v4/accounts/{account}/workers/assets/upload", "upload_bucket", Subject::Nothing),
    Operation::new("POST", "/client/v4/accounts/{account}/workers/assets/upload/{hash}", "upload_asset", Subject::Nothing),
    Operation::new("POST", "/client/v4/accounts/{account}/workers/scripts/{worker}/assets-upload-session", "open_upload", WORKER),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/scripts", "list_scripts", Subject::Nothing),
    Operation::new("PUT", "/client/v4/accounts/{account}/workers/scripts/{worker}", "put_script", WORKER),
    Operation::new("DELETE", "/client/v4/accounts/{account}/workers/scripts/{worker}", "delete_script", WORKER),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/scripts/{worker}/script-settings", "get_script_settings", WORKER),
    Operation::new("PATCH", "/client/v4/accounts/{account}/workers/scripts/{worker}/script-settings", "set_script_settings", WORKER),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/scripts/{worker}/subdomain", "get_worker_subdomain", WORKER),
    Operation::new("POST", "/client/v4/accounts/{account}/workers/scripts/{worker}/subdomain", "set_worker_subdomain", WORKER),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/scripts/{worker}/versions", "list_versions", WORKER),
    Operation::new("POST", "/client/v4/accounts/{account}/workers/scripts/{worker}/versions", "create_version", WORKER),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/scripts/{worker}/versions/{id}", "get_version", WORKER),
    Operation::new("GET", "/client/v4/accounts/{account}/workers/scripts/{worker}/deployments", "list_worker_deployments", WORKER),
    Operation::new("POST", "/client/v4/accounts/{account}/workers/scripts/{worker}/deployments", "deploy_version", WORKER),
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
        .route(&below("/domains"), get(projects::domains).post(domains::add))
        .route(&below("/domains/{domain}"), get(domains::get).patch(domains::look).delete(domains::remove))
        .route(&below("/deployments"), get(deployments::list).post(deployments::create))
        .route(&below("/deployments/{id}"), get(deployments::get).delete(deployments::delete))
        .route(&below("/deployments/{id}/rollback"), post(deployments::roll_back))
        .route(&below("/deployments/{id}/history/logs"), get(deployments::log))
        .route("/client/v4/pages/webhooks/deploy_hooks/{hook}", post(deployments::hook))
        .route("/client/v4/pages/assets/check-missing", post(assets::missing))
        .route("/client/v4/pages/assets/upload", post(assets::upload))
        .route("/client/v4/pages/assets/upsert-hashes", post(assets::refresh))
        .merge(names())
        .merge(of_workers())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        // The vendor's own limits are the handlers' business.
        .layer(DefaultBodyLimit::disable())
        .with_state(cloudflare)
}

/// Returns the handlers of zones.
fn names() -> Router<Cloudflare> {
    Router::new()
        .route("/client/v4/zones", get(zones::list))
        .route("/client/v4/zones/{zone}", get(zones::get))
        .route("/client/v4/zones/{zone}/dns_records", get(records::list).post(records::create))
        .route(
            "/client/v4/zones/{zone}/dns_records/{record}",
            get(records::get).patch(records::change).put(records::change).delete(records::delete),
        )
        .route("/client/v4/zones/{zone}/purge_cache", post(purge::purge))
}

/// Returns the handlers of workers.
fn of_workers() -> Router<Cloudflare> {
    let below = |rest: &str| format!("/client/v4/accounts/{{account}}/workers/scripts/{{worker}}{rest}");
    Router::new()
        .route("/client/v4/accounts/{account}/workers/subdomain", get(workers::addresses::account))
        .route("/client/v4/accounts/{account}/workers/domains", get(workers::addresses::domains))
        .route("/client/v4/accounts/{account}/workers/assets/upload", post(workers::uploads::upload))
        .route("/client/v4/accounts/{account}/workers/assets/upload/{hash}", post(workers::uploads::upload_one))
        .route(&below("/assets-upload-session"), post(workers::uploads::open))
        .route("/client/v4/accounts/{account}/workers/scripts", get(workers::scripts::list))
        .route(&below(""), put(workers::scripts::put).delete(workers::scripts::delete))
        .route(&below("/script-settings"), get(workers::scripts::settings).patch(workers::scripts::set))
        .route(&below("/subdomain"), get(workers::addresses::worker).post(workers::addresses::set))
        .route(&below("/versions"), get(workers::versions::list).post(workers::versions::create))
        .route(&below("/versions/{id}"), get(workers::versions::get))
        .route(&below("/deployments"), get(workers::versions::deployments).post(workers::versions::deploy))
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, 7_003, "Could not route to the path or method: the embedded Cloudflare does not know it.")
}
