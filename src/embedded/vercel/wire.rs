//! Bodies of the answers about deployments, in the published shapes.

use serde_json::{Map, Value, json};

use super::life::production_hosts;
use super::state::{BuildState, Deployment, State};

/// Returns the deployment as `GET /v13/deployments/{id}` and the create call answer it.
pub(super) fn deployment(state: &State, one: &Deployment) -> Value {
    let hosts = hosts(state, one);
    let mut body = json!({
        "id": one.id,
        "url": one.url,
        "name": one.name,
        "version": 2,
        "type": "LAMBDAS",
        "projectId": one.project,
        "project": { "id": one.project, "name": one.name, "framework": null },
        "ownerId": one.scope,
        "creator": { "uid": one.creator, "username": one.creator },
        "plan": state.switches.plan.as_str(),
        "createdIn": "iad1",
        "regions": one.regions,
        "meta": one.meta,
        "target": one.production.then_some("production"),
        "source": one.source,
        "readyState": one.ready.as_str(),
        "status": one.ready.as_str(),
        "createdAt": one.created,
        "bootedAt": one.building_at.unwrap_or(one.created),
        "buildingAt": one.building_at.unwrap_or(one.created),
        "build": { "env": [] },
        "buildSkipped": one.prebuilt,
        "isInConcurrentBuildsQueue": one.ready == BuildState::Queued,
        "isInSystemBuildsQueue": false,
        "public": false,
        "inspectorUrl": inspector(one),
        "alias": hosts,
        "automaticAliases": [],
        "userAliases": [],
        "aliasAssigned": one.alias_assigned.is_some(),
        "aliasError": null,
        "autoAssignCustomDomains": one.auto_assign,
    });
    if let Some(team) = state.teams.get(&one.scope) {
        body["team"] = json!({ "id": team.id, "name": team.slug, "slug": team.slug });
    }
    if let Some(at) = one.alias_assigned {
        body["aliasAssignedAt"] = at.into();
    }
    if let Some(source) = &one.git_source {
        body["gitSource"] = source.clone();
    }
    if let Some(at) = one.ended_at {
        let name = match one.ready {
            BuildState::Canceled => "canceledAt",
            BuildState::Error => "buildErrorAt",
            _ => "ready",
        };
        body[name] = at.into();
    }
    if let Some(substate) = substate(state, one) {
        body["readySubstate"] = substate.into();
    }
    if let Some((code, message)) = &one.error {
        body["errorCode"] = code.as_str().into();
        body["errorMessage"] = message.as_str().into();
        body["errorStep"] = "buildStep".into();
    }
    body
}

/// Returns the deployment as lists show it: `uid` in the place of `id`.
pub(super) fn listed(state: &State, one: &Deployment) -> Value {
    let mut body = json!({
        "uid": one.id,
        "name": one.name,
        "projectId": one.project,
        "url": one.url,
        "created": one.created,
        "createdAt": one.created,
        "buildingAt": one.building_at.unwrap_or(one.created),
        "type": "LAMBDAS",
        "creator": { "uid": one.creator, "username": one.creator },
        "inspectorUrl": inspector(one),
        "state": one.ready.as_str(),
        "readyState": one.ready.as_str(),
        "target": one.production.then_some("production"),
        "source": one.source,
        "meta": one.meta,
        "aliasAssigned": one.alias_assigned.map_or(Value::Bool(false), Value::from),
        "aliasError": null,
        "isRollbackCandidate": state.rollback_candidate(&one.id),
    });
    if let Some(at) = one.ended_at.filter(|_| one.ready == BuildState::Ready) {
        body["ready"] = at.into();
    }
    if let Some(substate) = substate(state, one) {
        body["readySubstate"] = substate.into();
    }
    if let Some((code, message)) = &one.error {
        body["errorCode"] = code.as_str().into();
        body["errorMessage"] = message.as_str().into();
    }
    body
}

/// Returns the deployment as a project's `targets.production` shows it.
pub(super) fn target(state: &State, one: &Deployment) -> Value {
    let mut body = json!({
        "id": one.id,
        "name": one.name,
        "url": one.url,
        "deploymentHostname": one.url.trim_end_matches(".vercel.app"),
        "alias": hosts(state, one),
        "aliasAssigned": one.alias_assigned,
        "aliasError": null,
        "createdAt": one.created,
        "createdIn": "iad1",
        "creator": { "uid": one.creator, "username": one.creator, "email": format!("{}@example.com", one.creator) },
        "meta": one.meta,
        "plan": state.switches.plan.as_str(),
        "private": false,
        "readyState": one.ready.as_str(),
        "target": one.production.then_some("production"),
        "teamId": state.teams.contains_key(&one.scope).then_some(one.scope.as_str()),
        "type": "LAMBDAS",
        "userId": one.creator,
    });
    if let Some(substate) = substate(state, one) {
        body["readySubstate"] = substate.into();
    }
    body
}

/// Returns a page of `items`, all of which are shown.
pub(super) fn page(name: &str, items: Vec<Value>, next: Option<i64>, previous: Option<i64>) -> Value {
    let mut body = Map::new();
    body.insert("pagination".into(), json!({ "count": items.len(), "next": next, "prev": previous }));
    body.insert(name.into(), items.into());
    Value::Object(body)
}

fn substate(state: &State, one: &Deployment) -> Option<&'static str> {
    let shown = state.switches.shows_substate && one.ready == BuildState::Ready && one.production;
    shown.then_some(if one.promoted { "PROMOTED" } else { "STAGED" })
}

fn inspector(one: &Deployment) -> String {
    format!("https://vercel.com/{}/{}/{}", one.scope, one.name, one.id.trim_start_matches("dpl_"))
}

/// Returns the hostnames of a deployment: those that lead to it, and for one that assigns its domains by itself those that will.
fn hosts(state: &State, one: &Deployment) -> Vec<String> {
    let coming = one.production && one.auto_assign && !one.ready.ended();
    match state.projects.get(&one.project).filter(|_| coming) {
        Some(project) => production_hosts(project),
        None => state.hosts_of(&one.id),
    }
}
