//! Paths, methods, names.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, patch, post};
use http::StatusCode;

use super::refusal::Refusal;
use super::{Vercel, accounts, aliases, create, deployments, events, files, hooks, projects, promotion, variables};
use crate::embedded::operation::{Asked, Named, Naming, Operation, Subject, subject};

/// Method and path → operation. Where a request says which project it is about, that becomes its target, by name.
const OPERATIONS: &[Operation] = &[
    Operation::new("GET", "/v2/user", "get_user", Subject::Nothing),
    Operation::new("GET", "/v2/teams/{team}", "get_team", Subject::Nothing),
    Operation::new("GET", "/teams/{team}", "get_team", Subject::Nothing),
    Operation::new("GET", "/v1/teams", "list_teams", Subject::Nothing),
    Operation::new("GET", "/v2/teams", "list_teams", Subject::Nothing),
    Operation::new("POST", "/v2/files", "upload_file", Subject::Nothing),
    Operation::new("POST", "/v13/deployments", "create_deployment", Subject::Body("project")),
    Operation::new("GET", "/v13/deployments/{deployment}", "get_deployment", Subject::Path("deployment")),
    Operation::new("DELETE", "/v13/deployments/{deployment}", "delete_deployment", Subject::Path("deployment")),
    Operation::new("PATCH", "/v12/deployments/{deployment}/cancel", "cancel_deployment", Subject::Path("deployment")),
    Operation::new("GET", "/v6/deployments", "list_deployments", Subject::Query("projectId")),
    Operation::new("GET", "/v7/deployments", "list_deployments", Subject::Query("projectId")),
    Operation::new("GET", "/v3/deployments/{deployment}/events", "list_events", Subject::Path("deployment")),
    Operation::new("GET", "/v3/now/deployments/{deployment}/events", "list_events", Subject::Path("deployment")),
    Operation::new("GET", "/v9/projects/{project}", "get_project", Subject::Path("project")),
    Operation::new("PATCH", "/v9/projects/{project}", "update_project", Subject::Path("project")),
    Operation::new("PATCH", "/v1/projects/{project}/protection-bypass", "update_protection_bypass", Subject::Path("project")),
    Operation::new("POST", "/v10/projects/{project}/promote/{deployment}", "promote", Subject::Path("project")),
    Operation::new("POST", "/v9/projects/{project}/rollback/{deployment}", "roll_back", Subject::Path("project")),
    Operation::new("POST", "/v1/projects/{project}/rollback/{deployment}", "roll_back", Subject::Path("project")),
    Operation::new(
        "PATCH",
        "/v1/projects/{project}/rollback/{deployment}/update-description",
        "describe_rollback",
        Subject::Path("project"),
    ),
    Operation::new("GET", "/v9/projects/{project}/promote/aliases", "list_promoted_hosts", Subject::Path("project")),
    Operation::new("GET", "/v1/projects/{project}/promote/aliases", "list_promoted_hosts", Subject::Path("project")),
    Operation::new("GET", "/v9/projects/{project}/rollback/aliases", "list_rolled_back_hosts", Subject::Path("project")),
    Operation::new("GET", "/v1/projects/{project}/rolling-release", "get_rolling_release", Subject::Path("project")),
    Operation::new("GET", "/v1/projects/{project}/rolling-release/config", "get_rolling_release_config", Subject::Path("project")),
    Operation::new("GET", "/v10/projects/{project}/env", "list_variables", Subject::Path("project")),
    Operation::new("POST", "/v10/projects/{project}/env", "create_variables", Subject::Path("project")),
    Operation::new("GET", "/v1/projects/{project}/env/{id}", "get_variable", Subject::Path("project")),
    Operation::new("PATCH", "/v9/projects/{project}/env/{id}", "update_variable", Subject::Path("project")),
    Operation::new("DELETE", "/v9/projects/{project}/env/{id}", "delete_variable", Subject::Path("project")),
    Operation::new("GET", "/v9/projects/{project}/domains", "list_domains", Subject::Path("project")),
    Operation::new("GET", "/v9/projects/{project}/domains/{domain}", "get_domain", Subject::Path("project")),
    Operation::new("POST", "/v9/projects/{project}/domains/{domain}/verify", "verify_domain", Subject::Path("project")),
    Operation::new("GET", "/v6/domains/{domain}/config", "get_domain_config", Subject::Nothing),
    Operation::new("POST", "/v2/projects/{project}/deploy-hooks", "create_deploy_hook", Subject::Path("project")),
    Operation::new("DELETE", "/v2/projects/{project}/deploy-hooks/{hook}", "delete_deploy_hook", Subject::Path("project")),
    Operation::new("POST", "/v1/integrations/deploy/{project}/{secret}", "trigger_deploy_hook", Subject::Path("project")),
    Operation::new("GET", "/v1/integrations/deploy/{project}/{secret}", "trigger_deploy_hook", Subject::Path("project")).writes(),
    Operation::new("GET", "/v4/aliases", "list_aliases", Subject::Nothing),
    Operation::new("GET", "/v4/aliases/{alias}", "get_alias", Subject::Nothing),
    Operation::new("GET", "/v2/deployments/{deployment}/aliases", "list_deployment_aliases", Subject::Path("deployment")),
    Operation::new("POST", "/v2/deployments/{deployment}/aliases", "assign_alias", Subject::Path("deployment")),
    Operation::new("DELETE", "/v2/aliases/{alias}", "delete_alias", Subject::Nothing),
];

/// Returns the handlers.
pub(super) fn router(vercel: Vercel) -> Router {
    Router::new()
        .route("/v2/user", get(accounts::user))
        .route("/v2/teams/{team}", get(accounts::team))
        .route("/teams/{team}", get(accounts::team))
        .route("/v1/teams", get(accounts::teams))
        .route("/v2/teams", get(accounts::teams))
        .route("/v2/files", post(files::upload))
        .merge(of_deployments())
        .merge(of_projects())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        // The vendor's own limits are the handlers' business.
        .layer(DefaultBodyLimit::disable())
        .with_state(vercel)
}

fn of_deployments() -> Router<Vercel> {
    Router::new()
        .route("/v13/deployments", post(create::create))
        .route("/v13/deployments/{deployment}", get(deployments::get).delete(deployments::delete))
        .route("/v12/deployments/{deployment}/cancel", patch(deployments::cancel))
        .route("/v6/deployments", get(deployments::list_v6))
        .route("/v7/deployments", get(deployments::list))
        .route("/v3/deployments/{deployment}/events", get(events::events))
        .route("/v3/now/deployments/{deployment}/events", get(events::events))
        .route("/v2/deployments/{deployment}/aliases", get(aliases::of_deployment).post(aliases::assign))
        .route("/v2/aliases/{alias}", delete(aliases::delete))
        .route("/v4/aliases", get(aliases::list))
        .route("/v4/aliases/{alias}", get(aliases::get))
}

fn of_projects() -> Router<Vercel> {
    Router::new()
        .route("/v9/projects/{project}", get(projects::get).patch(projects::patch))
        .route("/v1/projects/{project}/protection-bypass", patch(projects::bypass))
        .route("/v10/projects/{project}/promote/{deployment}", post(promotion::promote))
        .route("/v9/projects/{project}/rollback/{deployment}", post(promotion::roll_back))
        .route("/v1/projects/{project}/rollback/{deployment}", post(promotion::roll_back))
        .route("/v1/projects/{project}/rollback/{deployment}/update-description", patch(promotion::describe))
        .route("/v9/projects/{project}/promote/aliases", get(promotion::promoted_hosts))
        .route("/v1/projects/{project}/promote/aliases", get(promotion::promoted_hosts))
        .route("/v9/projects/{project}/rollback/aliases", get(promotion::rolled_back_hosts))
        .route("/v1/projects/{project}/rolling-release", get(promotion::rolling))
        .route("/v1/projects/{project}/rolling-release/config", get(promotion::rolling_config))
        .route("/v10/projects/{project}/env", get(variables::list).post(variables::create))
        .route("/v1/projects/{project}/env/{id}", get(variables::get))
        .route("/v9/projects/{project}/env/{id}", patch(variables::patch).delete(variables::delete))
        .route("/v9/projects/{project}/domains", get(projects::domains))
        .route("/v9/projects/{project}/domains/{domain}", get(projects::domain))
        .route("/v9/projects/{project}/domains/{domain}/verify", post(projects::verify))
        .route("/v6/domains/{domain}/config", get(projects::domain_config))
        .route("/v2/projects/{project}/deploy-hooks", post(hooks::create))
        .route("/v2/projects/{project}/deploy-hooks/{hook}", delete(hooks::delete))
        .route("/v1/integrations/deploy/{project}/{secret}", get(hooks::trigger).post(hooks::trigger))
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", "The embedded Vercel does not know this path or method.")
}

/// Names requests by the table, and their targets by the project's name, whichever id they carry.
pub(super) struct Names(pub(super) Vercel);

impl Naming for Names {
    fn name(&self, asked: &Asked<'_>) -> Named {
        let mut named = OPERATIONS.name(asked);
        let target =
            named.target.take().or_else(|| subject(Subject::Body("name"), asked).filter(|_| named.operation == "create_deployment"));
        let state = self.0.state();
        named.target = target.map(|text| {
            let project = state.deployment(&text).map_or(text.as_str(), |deployment| deployment.project.as_str());
            state.project(project).map_or_else(|| text.clone(), |project| project.name.clone())
        });
        named
    }
}
