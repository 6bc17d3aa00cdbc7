//! Deployments: create, read, list, roll back, delete, log.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use http::HeaderMap;
use serde_json::{Value, json};

use super::Cloudflare;
use super::caller::Caller;
use super::form::Form;
use super::front::Front;
use super::refusal::{Refusal, granted};
use super::rules::{Headers, Redirects};
use super::site::Site;
use super::state::{Deployment, Stage, State as World};
use super::store::{extension, is_key_of};
use super::switch::{Ending, Fate};
use super::wire::{environment_of, moment, shown};
use crate::embedded::ground::partial;

/// The most deployments of a page (a report: more is refused).
const PAGE: usize = 25;
/// The longest commit message, in bytes (the vendor's client cuts there).
const LONGEST_MESSAGE: usize = 384;

/// `POST …/deployments`: a manifest of contents that are stored, or a build of the connected repository. The branch alone decides the environment.
pub(super) async fn create(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let form = Form::parse(&headers, &body).ok_or_else(|| Refusal::bad_request(8_000_000, "The body is no form"))?;
    let branch = form.text("branch").filter(|branch| !branch.is_empty());
    let connected = cloudflare.state().project(&caller.account, &name).ok_or_else(Refusal::no_project)?.source.is_some();
    // Of a connected project a request without files asks for a build.
    let new = if connected && form.text("manifest").is_none() {
        cloudflare.head(&caller.account, &name, branch, "ad_hoc")?
    } else {
        let mut message = form.text("commit_message").unwrap_or_default();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        New {
            branch,
            message,
            commit: form.text("commit_hash").unwrap_or_default(),
            dirty: form.text("commit_dirty").as_deref() == Some("true"),
            trigger: "ad_hoc",
            builds: false,
            site: Arc::new(cloudflare.site(&caller.account, &name, &form)?),
        }
    };
    let id = cloudflare.add(&caller.account, &name, new)?;
    let state = cloudflare.state();
    let made = state.deployments.get(&id).ok_or_else(Refusal::no_deployment)?;
    let mut answer = shown(&state, made);
    // In this answer only, as the vendor's client reads it.
    answer["production_branch"] = json!(state.project(&made.account, &made.project).map(|project| &project.production_branch));
    Ok(granted(&answer))
}

/// `POST /pages/webhooks/deploy_hooks/{hook}`: a build of the hook's branch, for whoever knows the address. What the answer holds is not
/// documented; this one names nothing.
pub(super) async fn hook(State(cloudflare): State<Cloudflare>, Path(hook): Path<String>) -> Result<Json<Value>, Refusal> {
    let found = {
        let state = cloudflare.state();
        let found = state.projects.values().find_map(|one| Some((one.account.clone(), one.name.clone(), one.hooks.get(&hook)?.clone())));
        found.ok_or_else(Refusal::no_project)?
    };
    let (account, project, branch) = found;
    let new = cloudflare.head(&account, &project, Some(branch), "deploy_hook")?;
    cloudflare.add(&account, &project, new)?;
    Ok(granted(&Value::Null))
}

/// What a deployment is made of.
struct New {
    /// `None` is the production branch.
    branch: Option<String>,
    message: String,
    commit: String,
    dirty: bool,
    trigger: &'static str,
    builds: bool,
    site: Arc<Site>,
}

impl Cloudflare {
    /// Returns a build of a branch's newest commit. The number of the refusal is a guess.
    fn head(&self, account: &str, project: &str, branch: Option<String>, trigger: &'static str) -> Result<New, Refusal> {
        let state = self.state();
        let project = state.project(account, project).ok_or_else(Refusal::no_project)?;
        let branch = branch.unwrap_or_else(|| project.production_branch.clone());
        let (commit, site) = project
            .heads
            .get(&branch)
            .cloned()
            .ok_or_else(|| Refusal::bad_request(8_000_009, format!("The branch {branch} is not there")))?;
        Ok(New { branch: Some(branch), message: "a commit".to_owned(), commit, dirty: false, trigger, builds: true, site })
    }

    /// Adds a deployment and begins it; returns its id. The branch alone decides the environment.
    fn add(&self, account: &str, name: &str, new: New) -> Result<String, Refusal> {
        let in_part = partial();
        let id = self.identity();
        let now = self.now();
        {
            let mut state = self.state();
            let created = state.stamp(now);
            let project = state.project_mut(account, name).ok_or_else(Refusal::no_project)?;
            let branch = new.branch.unwrap_or_else(|| project.production_branch.clone());
            let production = branch == project.production_branch;
            let fates = if production { &mut project.fates.1 } else { &mut project.fates.0 };
            let fate = fates.pop_front().unwrap_or_default();
            // A part of a deployment is one that exists and never ends.
            let fate = if in_part { Fate { ending: Ending::Hangs, ..fate } } else { fate };
            let deployment = Deployment {
                id: id.clone(),
                account: account.to_owned(),
                project: name.to_owned(),
                production,
                branch,
                message: new.message,
                commit: new.commit,
                dirty: new.dirty,
                trigger: new.trigger,
                builds: new.builds,
                stage: Stage::Queued,
                fate,
                site: new.site,
                created,
                ended: None,
                backend: Arc::new(Front::new(self, &id)),
            };
            state.deployments.insert(id.clone(), deployment);
        }
        self.begin(&id);
        Ok(id)
    }
}

impl Cloudflare {
    /// Returns the site that a form describes, once every content of it is stored and is what its key says.
    fn site(&self, account: &str, project: &str, form: &Form) -> Result<Site, Refusal> {
        let text = form.text("manifest").ok_or_else(|| {
            Refusal::bad_request(8_000_096, "A \"manifest\" field was expected in the request body but was not provided.")
        })?;
        let manifest: BTreeMap<String, String> =
            serde_json::from_str(&text).map_err(|error| Refusal::bad_request(8_000_000, format!("The manifest is not valid: {error}")))?;
        let mut state = self.state();
        state.project(account, project).ok_or_else(Refusal::no_project)?;
        if manifest.len() as u64 > state.switches.most_files {
            return Err(Refusal::bad_request(8_000_000, "The manifest has too many files"));
        }
        let owner = state.owner(account, project);
        let mut types = BTreeMap::new();
        for (path, key) in &manifest {
            let kind = state.contents.get(&(owner.clone(), key.clone())).cloned();
            let kind = kind.ok_or_else(|| Refusal::bad_request(8_000_000, format!("The content of {path} is not stored")))?;
            types.insert(key.clone(), kind);
            let known = (key.clone(), extension(path).to_owned());
            if state.switches.checks_keys && !state.checked.contains(&known) {
                let content = self.store().read(key).map_err(|error| Refusal::broken(&error))?;
                if !is_key_of(key, &content, path) {
                    return Err(Refusal::bad_request(8_000_000, format!("{key} is not the key of {path}")));
                }
                state.checked.insert(known);
            }
        }
        Ok(Site {
            manifest,
            types,
            headers: form.text("_headers").map(|text| Headers::parse(&text)).unwrap_or_default(),
            redirects: form.text("_redirects").map(|text| Redirects::parse(&text)).unwrap_or_default(),
            worker: form.has("_worker.js") || form.has("_worker.bundle"),
        })
    }
}

/// `GET …/deployments`: newest first, at most 25 a page.
pub(super) async fn list(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let query = query.unwrap_or_default();
    let one =
        |wanted: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned());
    let bad = || Refusal::bad_request(8_000_024, "Invalid list options provided. Review the `page` or `per_page` parameter.");
    let number = |wanted: &str, usual: usize| one(wanted).map_or(Ok(usual), |text| text.parse().map_err(|_| bad()));
    let (page, size) = (number("page", 1)?, number("per_page", PAGE)?);
    if page == 0 || size == 0 || size > PAGE {
        return Err(bad());
    }
    let state = cloudflare.state();
    state.project(&caller.account, &name).ok_or_else(Refusal::no_project)?;
    let visible = cloudflare.now() - i64::try_from(state.switches.list_lag.as_millis()).unwrap_or(i64::MAX);
    let environment = one("env");
    let fits = |one: &&Deployment| {
        (state.switches.list_lag.is_zero() || one.created <= visible)
            && environment.as_deref().is_none_or(|wanted| wanted == environment_of(one))
    };
    let all: Vec<&Deployment> = state.deployments_of(&caller.account, &name).into_iter().filter(fits).collect();
    let listed: Vec<Value> = all.iter().skip((page - 1) * size).take(size).map(|one| shown(&state, one)).collect();
    let info = json!({
        "page": page, "per_page": size, "count": listed.len(), "total_count": all.len(), "total_pages": all.len().div_ceil(size),
    });
    Ok(Json(json!({ "success": true, "errors": [], "messages": [], "result": listed, "result_info": info })))
}

/// `GET …/deployments/{id}`.
pub(super) async fn get(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    of_project(&state, &caller, &name, &id).map(|one| granted(&shown(&state, one)))
}

/// `DELETE …/deployments/{id}`: never production; the newest of a branch only with `force`.
pub(super) async fn delete(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name, id)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let forced = query.is_some_and(|query| query.split('&').any(|part| part == "force=true"));
    let mut state = cloudflare.state();
    let deployment = of_project(&state, &caller, &name, &id)?;
    let project = state.project(&caller.account, &name).ok_or_else(Refusal::no_project)?;
    if project.canonical.as_deref() == Some(id.as_str()) {
        // The number is a guess.
        return Err(Refusal::bad_request(8_000_034, "The live production deployment cannot be deleted"));
    }
    if !forced && !aliases(&state, deployment).is_empty() {
        return Err(Refusal::bad_request(8_000_035, "Cannot delete an aliased deployment without `?force=true`"));
    }
    cloudflare.remove(&mut state, &id);
    Ok(granted(&Value::Null))
}

/// `POST …/deployments/{id}/rollback`: production is an earlier production deployment that succeeded, at once (vendor's documentation).
pub(super) async fn roll_back(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = cloudflare.state();
    let deployment = of_project(&state, &caller, &name, &id)?;
    // The numbers are guesses.
    if state.switches.refuses_rollback && state.project(&caller.account, &name).is_some_and(|project| project.source.is_none()) {
        return Err(Refusal::bad_request(8_000_065, "Rollbacks are not available for this project"));
    }
    if !deployment.production || deployment.stage != Stage::Success {
        return Err(Refusal::bad_request(8_000_066, "Only a successful production deployment can be rolled back to"));
    }
    cloudflare.make_production(&mut state, &id);
    of_project(&state, &caller, &name, &id).map(|one| granted(&shown(&state, one)))
}

/// `GET …/history/logs`.
pub(super) async fn log(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let deployment = of_project(&state, &caller, &name, &id)?;
    let last = match deployment.stage {
        Stage::Success => "Success: Your site was deployed!",
        Stage::Failure => "Error: Failed to publish your assets",
        Stage::Queued | Stage::Building | Stage::Active => "Deploying your site to Cloudflare's global network...",
    };
    let at = moment(deployment.created);
    let lines = [json!({ "ts": at, "line": "Validating asset output" }), json!({ "ts": at, "line": last })];
    Ok(granted(&json!({ "total": lines.len(), "includes_container_logs": false, "data": lines })))
}

fn of_project<'a>(state: &'a World, caller: &Caller, project: &str, id: &str) -> Result<&'a Deployment, Refusal> {
    state.project(&caller.account, project).ok_or_else(Refusal::no_project)?;
    let found = state.deployments.get(id).filter(|one| one.account == caller.account && one.project == project);
    found.ok_or_else(Refusal::no_deployment)
}

/// Returns the addresses besides its own that lead to a deployment: its branch's, where it is a preview and the newest of it.
pub(super) fn aliases(state: &World, deployment: &Deployment) -> Vec<String> {
    let Some(project) = state.project(&deployment.account, &deployment.project) else { return Vec::new() };
    let rival = |one: &&Deployment| !one.production && one.stage == Stage::Success && one.alias() == deployment.alias();
    let newest = state.deployments_of(&deployment.account, &deployment.project).into_iter().find(rival).map(|one| one.id.as_str());
    let leads = newest == Some(deployment.id.as_str());
    leads.then(|| format!("https://{}.{}", deployment.alias(), project.subdomain)).into_iter().collect()
}
