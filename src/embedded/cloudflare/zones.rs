//! Zones: what the vendor keeps the DNS of.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::Cloudflare;
use super::caller::Caller;
use super::records::Record;
use super::refusal::{Refusal, granted};
use super::state::State as World;
use crate::embedded::operation::query_value;

/// A zone.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) name: String,
    pub(super) records: Vec<Record>,
}

impl Zone {
    /// Returns whether a hostname is in it.
    pub(super) fn has(&self, host: &str) -> bool {
        host == self.name || host.strip_suffix(&self.name).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl World {
    /// Returns the zone of a hostname: the one with the longest name.
    pub(super) fn zone_of(&self, host: &str) -> Option<&Zone> {
        self.zones.values().filter(|zone| zone.has(host)).max_by_key(|zone| zone.name.len())
    }

    /// Returns a zone that the caller may touch.
    pub(super) fn zone(&self, caller: &Caller, id: &str) -> Result<&Zone, Refusal> {
        let found = self.zones.get(id).filter(|zone| caller.reaches.contains(&zone.account));
        found.ok_or_else(Refusal::no_zone)
    }

    pub(super) fn zone_mut(&mut self, caller: &Caller, id: &str) -> Result<&mut Zone, Refusal> {
        let found = self.zones.get_mut(id).filter(|zone| caller.reaches.contains(&zone.account));
        found.ok_or_else(Refusal::no_zone)
    }
}

/// `GET /zones`: those that the token sees, by name where one is given.
pub(super) async fn list(State(cloudflare): State<Cloudflare>, caller: Caller, RawQuery(query): RawQuery) -> Json<Value> {
    let name = query_value(query.as_deref(), "name");
    let state = cloudflare.state();
    let seen = |zone: &&Zone| caller.reaches.contains(&zone.account) && name.as_ref().is_none_or(|name| *name == zone.name);
    let zones: Vec<Value> = state.zones.values().filter(seen).map(shown).collect();
    let info = json!({ "page": 1, "per_page": 20, "count": zones.len(), "total_count": zones.len(), "total_pages": 1 });
    Json(json!({ "success": true, "errors": [], "messages": [], "result": zones, "result_info": info }))
}

/// `GET /zones/{zone}`.
pub(super) async fn get(State(cloudflare): State<Cloudflare>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    state.zone(&caller, &id).map(|zone| granted(&shown(zone)))
}

fn shown(zone: &Zone) -> Value {
    json!({
        "id": zone.id,
        "name": zone.name,
        "status": "active",
        "paused": false,
        "type": "full",
        "account": { "id": zone.account, "name": "embedded" },
        "plan": { "legacy_id": "free", "name": "Free Website" },
    })
}
