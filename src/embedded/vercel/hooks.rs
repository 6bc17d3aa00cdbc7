//! Deploy hooks: triggering them without a credential, and keeping them.

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::create::of_tree;
use super::projects::{base, rendered};
use super::refusal::Refusal;
use super::state::{Hook, Link, Project};

/// `POST` or `GET /v1/integrations/deploy/{projectId}/{hookSecret}`: 201 and a job that names no deployment (vendor's documentation).
pub(super) async fn trigger(
    State(vercel): State<Vercel>,
    Path((project, secret)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let created = vercel.now();
    let (hook, after) = {
        let state = vercel.state();
        let link = state.projects.get(&project).and_then(|project| project.link.as_ref());
        let hook = link.and_then(|link| link.hooks.iter().find(|hook| hook.id == secret)).cloned();
        (hook.ok_or_else(|| Refusal::not_found("The deploy hook was not found."))?, state.switches.hook_time)
    };
    let job = vercel.ground().chance.word(20);
    let inner = vercel.clone();
    vercel.ground().spawn_after(after, async move { inner.hooked(&project, &hook) });
    Ok((StatusCode::CREATED, Json(json!({ "job": { "id": job, "state": "PENDING", "createdAt": created } }))))
}

impl Vercel {
    /// Builds the head of the hook's branch; where the branch has no commit, nothing happens at all.
    fn hooked(&self, project: &str, hook: &Hook) {
        let (origin, earlier) = {
            let state = self.state();
            let Some(project) = state.projects.get(project) else { return };
            let (Some(tree), Some(link)) = (project.tree(&hook.branch, None), &project.link) else { return };
            let mut origin = of_tree(project, tree);
            "git-deploy-hook".clone_into(&mut origin.source);
            origin.production = link.production_branch == hook.branch;
            if state.switches.shows_hook_id {
                origin.meta.insert("deployHookId".into(), hook.id.clone());
                origin.meta.insert("deployHookName".into(), hook.name.clone());
                origin.meta.insert("deployHookRef".into(), hook.branch.clone());
            }
            let unfinished = state.deployments.values().filter(|one| {
                state.switches.hook_cancels_earlier
                    && one.project == project.id
                    && !one.ready.ended()
                    && one.source == "git-deploy-hook"
                    && one.meta.get("deployHookId") == origin.meta.get("deployHookId")
            });
            let earlier: Vec<String> = unfinished.map(|one| one.id.clone()).collect();
            (origin, earlier)
        };
        for id in &earlier {
            self.stop(id);
        }
        self.add_deployment(project, "deploy-hook", origin);
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NewHook {
    name: String,
    r#ref: String,
}

/// `POST /v2/projects/{idOrName}/deploy-hooks`: answers the project (vendor's client).
pub(super) async fn create(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(new): Json<NewHook>,
) -> Result<Json<Value>, Refusal> {
    if new.name.is_empty() || new.name.len() > 180 || new.r#ref.is_empty() {
        return Err(Refusal::bad_request("Invalid request: a hook needs a `name` of up to 180 characters and a `ref`."));
    }
    let created = vercel.now();
    let mut state = vercel.state();
    let id = caller.project(&state, &id)?.id.clone();
    let hook = Hook { id: vercel.ground().chance.word(10), name: new.name, branch: new.r#ref, created };
    let link = state.projects.get_mut(&id).and_then(|project| project.link.as_mut());
    link.ok_or_else(|| Refusal::bad_request("The project is not connected to a repository."))?.hooks.push(hook);
    Ok(Json(rendered(&state, caller.project(&state, &id)?, false, &base(&headers))))
}

/// `DELETE /v2/projects/{idOrName}/deploy-hooks/{hookId}`.
pub(super) async fn delete(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((id, hook)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let mut state = vercel.state();
    let id = caller.project(&state, &id)?.id.clone();
    let link = state.projects.get_mut(&id).and_then(|project| project.link.as_mut());
    let hooks = link.map(|link| &mut link.hooks).filter(|hooks| hooks.iter().any(|known| known.id == hook));
    hooks.ok_or_else(|| Refusal::not_found("The deploy hook was not found."))?.retain(|known| known.id != hook);
    Ok(StatusCode::OK)
}

/// Returns the project's `link`; hooks' addresses lead back to `base`.
pub(super) fn link(project: &Project, link: &Link, base: &str) -> Value {
    let hooks = link.hooks.iter().map(|hook| {
        let url = format!("{base}/v1/integrations/deploy/{}/{}", project.id, hook.id);
        json!({ "id": hook.id, "name": hook.name, "ref": hook.branch, "url": url, "createdAt": hook.created })
    });
    json!({
        "type": "github",
        "org": link.org,
        "repo": link.repo,
        "repoId": link.repo_id,
        "productionBranch": link.production_branch,
        "gitCredentialId": "cred_embedded",
        "sourceless": false,
        "createdAt": project.created,
        "updatedAt": project.created,
        "deployHooks": hooks.collect::<Vec<_>>(),
    })
}
