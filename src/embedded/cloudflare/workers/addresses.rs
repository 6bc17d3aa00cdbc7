//! Where a worker answers: on workers.dev, and at custom hostnames (API description).

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use crate::embedded::cloudflare::Cloudflare;
use crate::embedded::cloudflare::caller::Caller;
use crate::embedded::cloudflare::refusal::{Refusal, granted};
use crate::embedded::operation::query_value;

/// Every account's name on workers.dev.
pub(super) const SUBDOMAIN: &str = "embedded";

/// `GET /accounts/{account}/workers/subdomain`.
pub(in crate::embedded::cloudflare) async fn account(_: Caller) -> Json<Value> {
    granted(&json!({ "subdomain": SUBDOMAIN }))
}

/// `GET …/scripts/{worker}/subdomain`.
pub(in crate::embedded::cloudflare) async fn worker(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let worker = state.worker(&caller.account, &name)?;
    let suffix = format!("-{}", worker.own_host(SUBDOMAIN));
    Ok(granted(&json!({
        "enabled": worker.enabled, "previews_enabled": state.switches.worker_previews, "preview_url_suffix": suffix,
    })))
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
