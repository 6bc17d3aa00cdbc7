//! Purging what the edge has cached (the embedded edge caches nothing: what was asked for is what counts).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Cloudflare;
use super::caller::Caller;
use super::refusal::{Refusal, granted};
use super::state::Allowance;

/// The most items of one request (vendor's documentation).
const MOST: usize = 100;
/// The ways to say what is purged, of which a request has exactly one (vendor's documentation).
const WAYS: [&str; 5] = ["purge_everything", "files", "hosts", "prefixes", "tags"];

/// A purge that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// The zone's name.
    pub zone: String,
    /// By which way: `hosts`, `files`, …
    pub way: &'static str,
    /// The items; none for everything.
    pub items: Vec<String>,
}

/// `POST …/purge_cache`.
pub(super) async fn purge(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let now = cloudflare.now();
    let mut state = cloudflare.state();
    let zone = state.zone(&caller, &id)?.clone();
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    let ways: Vec<&'static str> = WAYS.into_iter().filter(|way| !wanted[*way].is_null()).collect();
    let [way] = ways[..] else {
        let text = "Request must contain one of \"purge_everything\", \"files\", \"tags\", \"hosts\" or \"prefixes\"";
        return Err(Refusal::bad_request(1_012, text));
    };
    let text = |item: &Value| item.as_str().or_else(|| item["url"].as_str()).map(str::to_owned);
    let items: Vec<String> = wanted[way].as_array().into_iter().flatten().filter_map(text).collect();
    if items.len() > MOST {
        return Err(Refusal::bad_request(1_094, format!("At most {MOST} items can be purged by one request")));
    }
    // The number is a guess.
    if way == "hosts" && items.iter().any(|host| !zone.has(host)) {
        return Err(Refusal::bad_request(1_106, "A host does not belong to the zone"));
    }
    let (most, refill) = (state.switches.purges, state.switches.purge_refill);
    if way != "files" {
        let allowance = state.allowances.entry(zone.account.clone()).or_insert(Allowance { left: most, since: now });
        if let Err(wait) = allowance.take(now, most, refill) {
            return Ok(throttled(wait));
        }
    }
    state.purges.push(Purge { zone: zone.name.clone(), way, items });
    Ok(granted(&json!({ "id": zone.id })).into_response())
}

/// Returns a 429 that asks to wait for so many seconds.
fn throttled(wait: u64) -> Response {
    let error = json!({ "code": 971, "message": "Please wait and consider throttling your request speed" });
    let body = Json(json!({ "success": false, "errors": [error], "messages": [], "result": null }));
    (http::StatusCode::TOO_MANY_REQUESTS, [(http::header::RETRY_AFTER, wait.to_string())], body).into_response()
}

impl Allowance {
    /// Takes one; else returns after how many seconds there is one again.
    fn take(&mut self, now: i64, most: u32, refill: std::time::Duration) -> Result<(), u64> {
        let step = i64::try_from(refill.as_millis()).unwrap_or(i64::MAX).max(1);
        let come = (now - self.since) / step;
        if come > 0 {
            self.left = self.left.saturating_add(u32::try_from(come).unwrap_or(u32::MAX)).min(most);
            self.since += come * step;
        }
        if self.left > 0 {
            self.left -= 1;
            return Ok(());
        }
        let wait = self.since + step - now;
        Err(u64::try_from(wait).unwrap_or(0).div_ceil(1000).max(1))
    }
}
