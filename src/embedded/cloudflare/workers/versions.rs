//! Versions, and the deployment that says which of them users get (API description; vendor's client).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::front::Front;
use super::state::{Deployment, Version, Worker, owner};
use crate::embedded::cloudflare::Cloudflare;
use crate::embedded::cloudflare::caller::Caller;
use crate::embedded::cloudflare::form::Form;
use crate::embedded::cloudflare::refusal::{Refusal, granted};
use crate::embedded::cloudflare::rules::{Headers, Redirects};
use crate::embedded::cloudflare::site::Site;
use crate::embedded::cloudflare::wire::moment;

/// How many versions and deployments a list has at most.
const PAGE: usize = 10;
/// The longest message, in bytes; what is longer is cut (API description).
const LONGEST_MESSAGE: usize = 100;

/// `POST …/versions`: a version without traffic.
pub(in crate::embedded::cloudflare) async fn create(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let metadata = described(&headers, &body)?;
    let site = cloudflare.worker_site(&caller.account, &name, &metadata["assets"])?;
    let version = cloudflare.add_version(&caller.account, &name, site, &metadata)?;
    cloudflare.publish_version(&caller.account, &name, &version.id);
    Ok(granted(&shown(&version)))
}

/// Returns the description of a version in an upload.
pub(super) fn described(headers: &HeaderMap, body: &Bytes) -> Result<Value, Refusal> {
    let bad = |text: &str| Refusal::bad_request(10_021, text);
    let form = Form::parse(headers, body).ok_or_else(|| bad("The body is no form"))?;
    let metadata: Value = form.text("metadata").and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| bad("no metadata"))?;
    if metadata["compatibility_date"].as_str().is_none() {
        return Err(bad("A compatibility_date is required"));
    }
    Ok(metadata)
}

/// `GET …/versions`: the newest, newest first.
pub(in crate::embedded::cloudflare) async fn list(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let worker = state.worker(&caller.account, &name)?;
    let items: Vec<Value> = worker.versions.iter().rev().take(PAGE).map(shown).collect();
    Ok(granted(&json!({ "items": items })))
}

/// `GET …/versions/{version}`.
pub(in crate::embedded::cloudflare) async fn get(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let version = state.worker(&caller.account, &name)?.version(&id);
    // The number is a guess.
    version.map(|version| granted(&shown(version))).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, 10_222, "Version not found."))
}

#[derive(Deserialize)]
pub(in crate::embedded::cloudflare) struct Wanted {
    strategy: String,
    versions: Vec<Share>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Share {
    version_id: String,
    percentage: f64,
}

/// `POST …/deployments`: at most two versions, 100 % together (vendor's documentation of gradual deployments).
pub(in crate::embedded::cloudflare) async fn deploy(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let bad = |text: &str| Refusal::bad_request(10_021, text);
    let total: f64 = wanted.versions.iter().map(|share| share.percentage).sum();
    if wanted.strategy != "percentage" || wanted.versions.len() > 2 || (total - 100.0).abs() > 0.01 {
        return Err(bad("A deployment has one or two versions, whose percentages are 100 together"));
    }
    {
        let state = cloudflare.state();
        let worker = state.worker(&caller.account, &name)?;
        if wanted.versions.iter().any(|share| worker.version(&share.version_id).is_none()) {
            return Err(bad("A version does not exist"));
        }
    }
    let shares = wanted.versions.into_iter().map(|share| (share.version_id, share.percentage)).collect();
    let message = wanted.annotations.get("workers/message").map(String::as_str).unwrap_or_default();
    let deployment = cloudflare.add_deployment(&caller.account, &name, shares, message)?;
    cloudflare.lead_worker(&caller.account, &name);
    Ok(granted(&shown_deployment(&deployment)))
}

/// `GET …/deployments`: the first is in force.
pub(in crate::embedded::cloudflare) async fn deployments(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let worker = state.worker(&caller.account, &name)?;
    let listed: Vec<Value> = worker.deployments.iter().rev().take(PAGE).map(shown_deployment).collect();
    Ok(granted(&json!({ "deployments": listed })))
}

impl Cloudflare {
    /// Adds a version without traffic.
    pub(super) fn add_version(&self, account: &str, name: &str, site: Site, metadata: &Value) -> Result<Version, Refusal> {
        let (id, now) = (self.identity(), self.now());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let annotations = &metadata["annotations"];
        let mut message = text(&annotations["workers/message"]);
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        let not_found = metadata["assets"]["config"]["not_found_handling"].as_str().unwrap_or("none").to_owned();
        let mut state = self.state();
        let created = state.stamp(now);
        let worker = state.worker_mut(account, name)?;
        let front = |preview| Arc::new(Front::new(self, (account, name), &id, preview));
        let version = Version {
            id: id.clone(),
            number: worker.versions.len() as u64 + 1,
            message,
            tag: text(&annotations["workers/tag"]),
            created,
            site: Arc::new(site),
            not_found,
            fate: worker.fates.pop_front().unwrap_or_default(),
            users: front(false),
            preview: front(true),
        };
        worker.versions.push(version.clone());
        Ok(version)
    }

    /// Gives users these versions.
    pub(super) fn add_deployment(
        &self,
        account: &str,
        name: &str,
        shares: Vec<(String, f64)>,
        message: &str,
    ) -> Result<Deployment, Refusal> {
        let (id, now) = (self.identity(), self.now());
        let mut state = self.state();
        let created = state.stamp(now);
        let worker = state.worker_mut(account, name)?;
        let mut message = message.to_owned();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        let deployment = Deployment { id, shares, message, created };
        worker.deployments.push(deployment.clone());
        Ok(deployment)
    }

    /// Returns the site of a version, by the token that completes the upload of its files.
    pub(super) fn worker_site(&self, account: &str, name: &str, assets: &Value) -> Result<Site, Refusal> {
        let bad = |text: &str| Refusal::bad_request(10_021, text);
        let jwt = assets["jwt"].as_str().ok_or_else(|| bad("assets.jwt is missing: the embedded Workers run no code"))?;
        let now = self.now();
        let state = self.state();
        let upload = state.uploads.get(jwt).filter(|upload| upload.ends > now && upload.missing.is_empty());
        let upload = upload.filter(|upload| upload.account == account && upload.worker == name);
        let upload = upload.ok_or_else(|| bad("assets.jwt does not complete an upload of this worker"))?;
        let whose = owner(account, name);
        let kind = |hash: &String| state.contents.get(&(whose.clone(), hash.clone())).cloned().unwrap_or_default();
        let rules = |name: &str| assets["config"][name].as_str().unwrap_or_default();
        Ok(Site {
            manifest: upload.manifest.clone(),
            types: upload.manifest.values().map(|hash| (hash.clone(), kind(hash))).collect(),
            headers: Headers::parse(rules("_headers")),
            redirects: Redirects::parse(rules("_redirects")),
            worker: false,
        })
    }

    /// Makes a version's own hostname lead to it, where versions have any.
    pub(super) fn publish_version(&self, account: &str, name: &str, id: &str) {
        let state = self.state();
        let Ok(worker) = state.worker(account, name) else { return };
        let Some(version) = worker.version(id) else { return };
        self.ground().traffic.lives(id, true);
        if state.has_previews(worker) {
            let short = id.split('-').next().unwrap_or(id);
            let host = format!("{short}-{}", worker.own_host());
            self.ground().traffic.set_showing(&host, vec![version.preview.clone()], vec![version.site.content()]);
        }
    }

    /// Makes a worker's hostnames lead to what its deployment says.
    pub(super) fn lead_worker(&self, account: &str, name: &str) {
        let state = self.state();
        let Ok(worker) = state.worker(account, name) else { return };
        for host in hosts(worker) {
            let serving = worker.in_force().into_iter().flat_map(|deployment| &deployment.shares).filter(|(_, share)| *share > 0.0);
            let serving: Vec<&Version> = serving.filter_map(|(id, _)| worker.version(id)).collect();
            let backends = serving.iter().map(|version| Arc::clone(&version.users)).collect();
            self.ground().traffic.set_showing(&host, backends, serving.iter().map(|version| version.site.content()).collect());
        }
    }
}

/// Returns the hostnames at which users reach a worker.
pub(super) fn hosts(worker: &Worker) -> Vec<String> {
    let own = worker.enabled.then(|| worker.own_host());
    own.into_iter().chain(worker.domains.iter().cloned()).collect()
}

fn shown(version: &Version) -> Value {
    let created = moment(version.created);
    json!({
        "id": version.id,
        "number": version.number,
        "metadata": { "created_on": created, "modified_on": created, "source": "api", "has_preview": true, "author_email": "release@example.com" },
        "annotations": { "workers/message": version.message, "workers/tag": version.tag, "workers/triggered_by": "version_upload" },
        "resources": { "bindings": [], "script": { "handlers": null, "etag": version.id }, "script_runtime": { "usage_model": "standard" } },
        "startup_time_ms": 0,
    })
}

fn shown_deployment(deployment: &Deployment) -> Value {
    let share = |(id, share): &(String, f64)| json!({ "version_id": id, "percentage": share });
    json!({
        "id": deployment.id,
        "source": "api",
        "strategy": "percentage",
        "author_email": "release@example.com",
        "created_on": moment(deployment.created),
        "annotations": { "workers/message": deployment.message, "workers/triggered_by": "deployment" },
        "versions": deployment.shares.iter().map(share).collect::<Vec<_>>(),
    })
}
