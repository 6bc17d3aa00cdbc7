//! Whole workers: made with their files, listed, tagged, removed (API description; which members the answers have is the vendor's client's word).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::Worker;
use super::versions::{described, hosts};
use crate::embedded::cloudflare::Cloudflare;
use crate::embedded::cloudflare::caller::Caller;
use crate::embedded::cloudflare::refusal::{Refusal, granted};
use crate::embedded::cloudflare::wire::moment;

/// The most tags of a worker (vendor's documentation of Workers for Platforms).
const MOST_TAGS: usize = 8;

/// `GET /accounts/{account}/workers/scripts`: all of them, without pages. Whether tags are shown is a switch.
pub(in crate::embedded::cloudflare) async fn list(State(cloudflare): State<Cloudflare>, caller: Caller) -> Json<Value> {
    let state = cloudflare.state();
    let tagged = state.switches.worker_list_shows_tags;
    let of = state.workers.values().filter(|worker| worker.account == caller.account);
    granted(&of.map(|worker| shown(worker, tagged)).collect())
}

/// `PUT …/scripts/{worker}`: makes a version of the files and gives it to every user; a worker that is not there is made, and does not answer on
/// workers.dev yet.
pub(in crate::embedded::cloudflare) async fn put(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let metadata = described(&headers, &body)?;
    let site = cloudflare.worker_site(&caller.account, &name, &metadata["assets"])?;
    let tags = metadata.get("tags").map(tags).transpose()?;
    {
        let mut state = cloudflare.state();
        let subdomain = state.subdomain_of(&caller.account);
        let worker =
            state.workers.entry((caller.account.clone(), name.clone())).or_insert_with(|| Worker::new(&caller.account, &name, subdomain));
        // Tags that an upload does not name stay [?].
        worker.tags = tags.unwrap_or_else(|| std::mem::take(&mut worker.tags));
    }
    let version = cloudflare.add_version(&caller.account, &name, site, &metadata)?;
    cloudflare.publish_version(&caller.account, &name, &version.id);
    cloudflare.add_deployment(&caller.account, &name, vec![(version.id, 100.0)], &version.message)?;
    cloudflare.lead_worker(&caller.account, &name);
    let state = cloudflare.state();
    Ok(granted(&shown(state.worker(&caller.account, &name)?, true)))
}

/// `DELETE …/scripts/{worker}`: with all of its versions and hostnames.
pub(in crate::embedded::cloudflare) async fn delete(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    RawQuery(_): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let removed = cloudflare.state().workers.remove(&(caller.account, name)).ok_or_else(Refusal::no_worker)?;
    let traffic = &cloudflare.ground().traffic;
    for host in hosts(&removed) {
        traffic.remove(&host);
    }
    for version in &removed.versions {
        traffic.lives(&version.id, false);
        let short = version.id.split('-').next().unwrap_or(&version.id);
        traffic.remove(&format!("{short}-{}", removed.own_host()));
    }
    Ok(granted(&Value::Null))
}

/// `GET …/scripts/{worker}/script-settings`.
pub(in crate::embedded::cloudflare) async fn settings(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    state.worker(&caller.account, &name).map(|worker| granted(&set_of(worker)))
}

#[derive(Deserialize)]
pub(in crate::embedded::cloudflare) struct Wanted {
    tags: Option<Value>,
}

/// `PATCH …/scripts/{worker}/script-settings`.
pub(in crate::embedded::cloudflare) async fn set(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let wanted = wanted.tags.as_ref().map(tags).transpose()?;
    let mut state = cloudflare.state();
    let worker = state.worker_mut(&caller.account, &name)?;
    if let Some(wanted) = wanted {
        worker.tags = wanted;
    }
    Ok(granted(&set_of(worker)))
}

/// Reads tags; the number of the refusal is a guess.
fn tags(value: &Value) -> Result<Vec<String>, Refusal> {
    let bad = || Refusal::bad_request(10_021, "A worker has at most 8 tags, which have no comma and no ampersand");
    let tags: Vec<String> = serde_json::from_value(value.clone()).map_err(|_| bad())?;
    let good = tags.len() <= MOST_TAGS && tags.iter().all(|tag| !tag.is_empty() && !tag.contains([',', '&']));
    if good { Ok(tags) } else { Err(bad()) }
}

fn set_of(worker: &Worker) -> Value {
    json!({ "logpush": false, "observability": null, "tags": worker.tags, "tail_consumers": null })
}

fn shown(worker: &Worker, tagged: bool) -> Value {
    let created = worker.versions.first().map_or(0, |version| version.created);
    let modified = worker.deployments.last().map_or(created, |deployment| deployment.created);
    let mut body = json!({
        "id": worker.name,
        "created_on": moment(created),
        "modified_on": moment(modified),
        "etag": worker.versions.last().map(|version| version.id.as_str()),
        "has_assets": true,
        "has_modules": false,
        "handlers": null,
        "logpush": false,
        "usage_model": "standard",
    });
    if tagged {
        body["tags"] = json!(worker.tags);
    }
    body
}
