//! The names of Fly's requests on the tape and the switchboard.

use crate::embedded::operation::{Asked, Named, Naming, Operation, Subject};

use super::graphql;

const APP: Subject = Subject::Path("app");

const fn at(method: &'static str, template: &'static str, name: &'static str) -> Operation {
    Operation::new(method, template, name, APP)
}

/// The Machines API.
pub(super) const MACHINES: &[Operation] = &[
    Operation::new("GET", "/v1/apps", "list_apps", Subject::Nothing),
    Operation::new("POST", "/v1/apps", "create_app", Subject::Body("name")),
    at("GET", "/v1/apps/{app}", "get_app"),
    at("DELETE", "/v1/apps/{app}", "delete_app"),
    at("GET", "/v1/apps/{app}/machines", "list_machines"),
    at("POST", "/v1/apps/{app}/machines", "create_machine"),
    at("GET", "/v1/apps/{app}/machines/{machine}", "get_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}", "update_machine"),
    at("DELETE", "/v1/apps/{app}/machines/{machine}", "destroy_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/start", "start_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/stop", "stop_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/restart", "restart_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/suspend", "suspend_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/signal", "signal_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/cordon", "cordon_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/uncordon", "uncordon_machine"),
    at("POST", "/v1/apps/{app}/machines/{machine}/exec", "exec"),
    at("GET", "/v1/apps/{app}/machines/{machine}/ps", "list_processes"),
    at("GET", "/v1/apps/{app}/machines/{machine}/events", "list_events"),
    at("GET", "/v1/apps/{app}/machines/{machine}/versions", "list_versions"),
    at("GET", "/v1/apps/{app}/machines/{machine}/wait", "wait_machine"),
    at("GET", "/v1/apps/{app}/machines/{machine}/lease", "get_lease"),
    at("POST", "/v1/apps/{app}/machines/{machine}/lease", "acquire_lease"),
    at("DELETE", "/v1/apps/{app}/machines/{machine}/lease", "release_lease"),
    at("GET", "/v1/apps/{app}/machines/{machine}/metadata", "list_metadata"),
    at("PATCH", "/v1/apps/{app}/machines/{machine}/metadata", "patch_metadata"),
    at("PUT", "/v1/apps/{app}/machines/{machine}/metadata", "patch_metadata"),
    at("GET", "/v1/apps/{app}/machines/{machine}/metadata/{key}", "get_metadata"),
    at("POST", "/v1/apps/{app}/machines/{machine}/metadata/{key}", "set_metadata"),
    at("DELETE", "/v1/apps/{app}/machines/{machine}/metadata/{key}", "unset_metadata"),
    at("GET", "/v1/apps/{app}/secrets", "list_secrets"),
    at("POST", "/v1/apps/{app}/secrets", "set_secrets"),
    at("GET", "/v1/apps/{app}/secrets/{name}", "get_secret"),
    at("POST", "/v1/apps/{app}/secrets/{name}", "set_secret"),
    at("DELETE", "/v1/apps/{app}/secrets/{name}", "unset_secret"),
    at("GET", "/v1/apps/{app}/volumes", "list_volumes"),
    at("POST", "/v1/apps/{app}/volumes", "create_volume"),
    at("GET", "/v1/apps/{app}/volumes/{volume}", "get_volume"),
    at("PUT", "/v1/apps/{app}/volumes/{volume}", "update_volume"),
    at("DELETE", "/v1/apps/{app}/volumes/{volume}", "delete_volume"),
    at("PUT", "/v1/apps/{app}/volumes/{volume}/extend", "extend_volume"),
    at("GET", "/v1/apps/{app}/volumes/{volume}/snapshots", "list_snapshots"),
    at("POST", "/v1/apps/{app}/volumes/{volume}/snapshots", "create_snapshot"),
    at("GET", "/v1/apps/{app}/ip_assignments", "list_addresses"),
    at("POST", "/v1/apps/{app}/ip_assignments", "assign_address"),
    at("DELETE", "/v1/apps/{app}/ip_assignments/{ip}", "release_address"),
    Operation::new("GET", "/v1/tokens/current", "current_token", Subject::Nothing),
    Operation::new("GET", "/v1/platform/regions", "list_regions", Subject::Nothing),
];

/// api.fly.io without GraphQL.
const PLATFORM: &[Operation] = &[
    Operation::new("GET", "/api/v1/organizations/{slug}", "get_organization", Subject::Nothing),
    Operation::new("POST", "/api/v1/builds", "create_build", Subject::Body("app_name")),
    Operation::new("POST", "/api/v1/builds/finish", "finish_build", Subject::Body("app_name")),
    Operation::new("POST", "/api/v1/releases", "create_release", Subject::Body("app_name")),
    Operation::new("PATCH", "/api/v1/releases/{id}", "update_release", Subject::Nothing),
    at("GET", "/api/v1/apps/{app}/releases", "list_releases"),
    at("GET", "/api/v1/apps/{app}/releases/current", "current_release"),
    at("GET", "/api/v1/apps/{app}/logs", "list_logs"),
];

/// Names a request to api.fly.io; GraphQL by its field, so that a query counts as a read.
pub(super) fn name_platform_request(asked: &Asked<'_>) -> Named {
    if asked.template != "/graphql" {
        return PLATFORM.name(asked);
    }
    let query = asked.body().and_then(|body| body.get("query")).and_then(serde_json::Value::as_str).unwrap_or_default();
    let variables = asked.body().and_then(|body| body.get("variables"));
    let target = ["appName", "name", "appId"].iter().find_map(|key| variables?.get(*key)?.as_str());
    let inner = variables.and_then(|variables| variables.get("input")).and_then(|input| input.get("appId")?.as_str());
    Named {
        operation: format!("graphql_{}", graphql::operation(query)),
        target: target.or(inner).map(str::to_owned),
        write: query.trim_start().starts_with("mutation"),
    }
}
