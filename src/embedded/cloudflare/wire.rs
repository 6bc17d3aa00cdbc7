//! Projects and deployments as answers show them, with every field that the vendor's document requires.

use serde_json::{Value, json};

use super::deployments::aliases;
use super::state::{Deployment, Project, State};

/// Returns a project.
pub(super) fn project(state: &State, project: &Project) -> Value {
    let domains: Vec<&str> =
        std::iter::once(project.subdomain.as_str()).chain(project.domains.iter().map(|(name, _)| name.as_str())).collect();
    let canonical = project.canonical.as_ref().and_then(|id| state.deployments.get(id)).map(|one| shown(state, one));
    let latest = state.deployments_of(&project.account, &project.name).first().map(|one| shown(state, one));
    let mut body = json!({
        "id": project.id,
        "name": project.name,
        "subdomain": project.subdomain,
        "domains": domains,
        "production_branch": project.production_branch,
        "created_on": moment(project.created),
        "framework": "",
        "framework_version": "",
        "preview_script_name": format!("pages-worker--{}-preview", project.name),
        "production_script_name": format!("pages-worker--{}-production", project.name),
        "uses_functions": false,
        "build_config": build_config(),
        "deployment_configs": { "production": settings(), "preview": settings() },
        "canonical_deployment": canonical,
        "latest_deployment": latest,
    });
    if let Some(source) = source(project) {
        body["source"] = source;
    }
    body
}

/// What deployments of one kind are made with: nothing that anybody has set.
fn settings() -> Value {
    json!({
        "always_use_latest_compatibility_date": false,
        "build_image_major_version": 3,
        "compatibility_date": "2026-01-01",
        "compatibility_flags": [],
        "env_vars": {},
        "fail_open": true,
        "usage_model": "standard",
    })
}

fn build_config() -> Value {
    json!({ "build_command": "", "destination_dir": "", "root_dir": "", "web_analytics_tag": null, "web_analytics_token": null })
}

/// Returns the connected repository; projects by direct upload have none.
fn source(project: &Project) -> Option<Value> {
    let (owner, name, on) = project.source.as_ref()?;
    let config = json!({
        "owner": owner,
        "owner_id": "1",
        "repo_name": name,
        "repo_id": "2",
        "production_branch": project.production_branch,
        "production_deployments_enabled": on,
        "deployments_enabled": on,
        "pr_comments_enabled": true,
        "preview_deployment_setting": "none",
        "preview_branch_includes": ["*"],
        "preview_branch_excludes": [],
        "path_includes": ["*"],
        "path_excludes": [],
    });
    Some(json!({ "type": "github", "config": config }))
}

/// Returns a deployment.
pub(super) fn shown(state: &State, deployment: &Deployment) -> Value {
    let project = state.project(&deployment.account, &deployment.project);
    let subdomain = project.map(|project| project.subdomain.clone()).unwrap_or_default();
    let (stage, status) = deployment.stage.words();
    let (created, ended) = (moment(deployment.created), deployment.ended.map(moment));
    let aliases = aliases(state, deployment);
    let mut body = json!({
        "id": deployment.id,
        "short_id": deployment.short(),
        "project_id": project.map(|project| project.id.clone()),
        "project_name": deployment.project,
        "environment": environment_of(deployment),
        "url": format!("https://{}.{subdomain}", deployment.short()),
        "aliases": if aliases.is_empty() { Value::Null } else { json!(aliases) },
        "created_on": created,
        "modified_on": ended.clone().unwrap_or_else(|| created.clone()),
        "latest_stage": { "name": stage, "status": status, "started_on": created, "ended_on": ended },
        "stages": [{ "name": stage, "status": status, "started_on": created, "ended_on": ended }],
        "deployment_trigger": { "type": deployment.trigger, "metadata": {
            "branch": deployment.branch,
            "commit_hash": deployment.commit,
            "commit_message": deployment.message,
            "commit_dirty": deployment.dirty,
        } },
        "build_config": build_config(),
        "env_vars": {},
        "is_skipped": false,
        "uses_functions": deployment.site.worker,
    });
    if let Some(source) = project.and_then(source) {
        body["source"] = source;
    }
    body
}

/// Returns the environment that a deployment was made in.
pub(super) fn environment_of(deployment: &Deployment) -> &'static str {
    if deployment.production { "production" } else { "preview" }
}

/// Returns a time as answers show it.
pub(super) fn moment(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map(|at| format!("{at}")).unwrap_or_default()
}
