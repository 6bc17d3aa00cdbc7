//! Deployments by id and in lists; cancelling and deleting them.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::state::{BuildState, Deployment};
use super::wire;

/// The most items of a page, and how many there are when nothing is asked for (published: `limit`).
const PAGE: (usize, usize) = (100, 20);

/// `GET /v13/deployments/{idOrUrl}`.
pub(super) async fn get(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    Ok(Json(wire::deployment(&state, caller.deployment(&state, &id)?)))
}

/// `GET /v6/deployments`, unless the switch says that it is gone.
pub(super) async fn list_v6(state: State<Vercel>, caller: Caller, query: RawQuery) -> Result<Json<Value>, Refusal> {
    if state.0.state().switches.list_v6_gone {
        return Err(Refusal::new(StatusCode::GONE, "gone", "This version of the endpoint is gone, use /v7/deployments"));
    }
    list(state, caller, query).await
}

/// `GET /v7/deployments`: newest first, filtered, page by page through `until = pagination.next`.
pub(super) async fn list(State(vercel): State<Vercel>, caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Refusal> {
    let asked: Vec<(String, String)> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let one = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let number = |name: &str| -> Result<Option<i64>, Refusal> {
        one(name)
            .map(|text| text.parse().map_err(|_| Refusal::bad_request(format!("Invalid request: `{name}` should be number."))))
            .transpose()
    };
    let (since, until) = (number("since")?, number("until")?);
    let limit = number("limit")?.map_or(PAGE.1, |limit| usize::try_from(limit).unwrap_or(1).clamp(1, PAGE.0));
    let state = vercel.state();
    let wanted: Option<Vec<String>> = if let Some(project) = one("projectId").or_else(|| one("app")) {
        Some(vec![caller.project(&state, project)?.id.clone()])
    } else {
        let several = asked.iter().filter(|(name, _)| name.starts_with("projectIds")).map(|(_, value)| value.clone());
        Some(several.collect()).filter(|several: &Vec<String>| !several.is_empty())
    };
    let visible = vercel.now() - i64::try_from(state.switches.list_lag.as_millis()).unwrap_or(i64::MAX);
    let fits = |deployment: &&Deployment| {
        deployment.scope == caller.scope
            && (deployment.created <= visible || state.switches.list_lag.is_zero())
            && wanted.as_ref().is_none_or(|projects| projects.contains(&deployment.project))
            && since.is_none_or(|since| deployment.created >= since)
            && until.is_none_or(|until| deployment.created < until)
            && one("target").is_none_or(|target| (target == "production") == deployment.production)
            && one("state").is_none_or(|states| states.split(',').any(|name| name == deployment.ready.as_str()))
            && one("branch").is_none_or(|branch| deployment.meta.get("githubCommitRef").is_some_and(|known| known == branch))
            && one("sha").is_none_or(|sha| deployment.meta.get("githubCommitSha").is_some_and(|known| known == sha))
            && one("rollbackCandidate").is_none_or(|asked| asked != "true" || state.rollback_candidate(&deployment.id))
            && asked
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix("meta-")?, value)))
                .all(|(key, value)| deployment.meta.get(key) == Some(value))
    };
    let mut found: Vec<&Deployment> = state.deployments.values().filter(fits).collect();
    found.sort_by_key(|deployment| std::cmp::Reverse(deployment.created));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|deployment| deployment.created).filter(|_| more);
    let previous = found.first().map(|deployment| deployment.created);
    let items = found.into_iter().map(|deployment| wire::listed(&state, deployment)).collect();
    Ok(Json(wire::page("deployments", items, next, previous)))
}

/// `PATCH /v12/deployments/{id}/cancel`: only what has not ended (published).
pub(super) async fn cancel(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let id = {
        let state = vercel.state();
        let deployment = caller.deployment(&state, &id)?;
        if deployment.ready.ended() {
            return Err(Refusal::bad_request(format!(
                "Only deployments that are queued or building can be canceled; this one is {}.",
                deployment.ready.as_str()
            )));
        }
        deployment.id.clone()
    };
    vercel.stop(&id);
    let state = vercel.state();
    let deployment = caller.deployment(&state, &id)?;
    Ok(Json(wire::deployment(&state, deployment)))
}

/// `DELETE /v13/deployments/{id}`. Hostnames that lead to it lead nowhere afterwards, those of production too.
pub(super) async fn delete(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let mut state = vercel.state();
    let id = caller.deployment(&state, &id)?.id.clone();
    vercel.remove(&mut state, &id);
    Ok(Json(json!({ "uid": id, "state": "DELETED" })))
}

impl Vercel {
    /// Ends the deployment `id` as CANCELED, where it has not ended.
    pub(super) fn stop(&self, id: &str) {
        let now = self.now();
        if let Some(deployment) = self.state().deployments.get_mut(id).filter(|deployment| !deployment.ready.ended()) {
            deployment.ready = BuildState::Canceled;
            deployment.ended_at = Some(now);
            deployment.write(now, "deployment-state", "", Some(BuildState::Canceled));
        }
        self.shared.grown.notify_waiters();
    }
}
