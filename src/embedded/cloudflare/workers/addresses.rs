//! Where a worker answers: on workers.dev, and at custom hostnames (API description).

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::embedded::cloudflare::Cloudflare;
use crate::embedded::cloudflare::caller::Caller;
use crate::embedded::cloudflare::refusal::{Refusal, granted};
use crate::embedded::operation::query_value;

/// An account's name on workers.dev, unless a world says another.
pub(super) const SUBDOMAIN: &str = "embedded";

/// `GET /accounts/{account}/workers/subdomain`.
pub(in crate::embedded::cloudflare) async fn account(State(cloudflare): State<Cloudflare>, caller: Caller) -> Json<Value> {
    granted(&json!({ "subdomain": cloudflare.state().subdomain_of(&caller.account) }))
}

/// `GET …/scripts/{worker}/subdomain`.
pub(in crate::embedded::cloudflare) async fn worker(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let worker = state.worker(&caller.account, &name)?;
    let suffix = format!("-{}", worker.own_host());
    Ok(granted(&json!({
        "enabled": worker.enabled, "previews_enabled": state.has_previews(worker), "preview_url_suffix": suffix,
    })))
}

#[derive(Deserialize)]
pub(in crate::embedded::cloudflare) struct Wanted {
    enabled: bool,
    previews_enabled: Option<bool>,
}

/// `POST …/scripts/{worker}/subdomain`.
pub(in crate::embedded::cloudflare) async fn set(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let (own, enabled) = {
        let mut state = cloudflare.state();
        let worker = state.worker_mut(&caller.account, &name)?;
        worker.enabled = wanted.enabled;
        worker.previews_enabled = wanted.previews_enabled.or(worker.previews_enabled);
        (worker.own_host(), worker.enabled)
    };
    if enabled {
        cloudflare.lead_worker(&caller.account, &name);
    } else {
        cloudflare.ground().traffic.remove(&own);
    }
    let state = cloudflare.state();
    let worker = state.worker(&caller.account, &name)?;
    Ok(granted(&json!({ "enabled": worker.enabled, "previews_enabled": state.has_previews(worker) })))
}

/// `GET /accounts/{account}/workers/domains`.
pub(in crate::embedded::cloudflare) async fn domains(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Json<Value> {
    let service = query_value(query.as_deref(), "service");
    let state = cloudflare.state();
    let of = state.workers.values().filter(|worker| worker.account == caller.account);
    let of = of.filter(|worker| service.as_ref().is_none_or(|service| *service == worker.name));
    let shown = |name: &String, host: &String| json!({ "id": host, "hostname": host, "service": name, "environment": "production" });
    let listed: Vec<Value> = of.flat_map(|worker| worker.domains.iter().map(|host| shown(&worker.name, host))).collect();
    granted(&json!(listed))
}
