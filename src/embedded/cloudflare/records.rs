//! DNS records: list, create, change, delete, and what cannot stand beside what (user reports for the numbers of refusals).

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::Cloudflare;
use super::caller::Caller;
use super::refusal::{Refusal, granted};
use super::wire::moment;
use super::zones::Zone;
use crate::embedded::operation::query_value;

/// The kinds that lead to a host, of which a CNAME stands alone.
const LEADING: [&str; 3] = ["A", "AAAA", "CNAME"];

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The id, 32 hex digits.
    pub id: String,
    /// The kind: `CNAME`, `A`, …
    pub kind: String,
    /// The whole name.
    pub name: String,
    /// Where it leads.
    pub content: String,
    /// Whether it passes through the vendor's proxy.
    pub proxied: bool,
    /// In seconds; 1 is the vendor's choice.
    pub ttl: u32,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
}

/// `GET …/dns_records`.
pub(super) async fn list(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let one = |names: [&str; 2]| names.into_iter().find_map(|name| query_value(query.as_deref(), name));
    let name = one(["name.exact", "name"]).map(|name| name.to_lowercase());
    let (content, kind) = (one(["content.exact", "content"]), query_value(query.as_deref(), "type"));
    let state = cloudflare.state();
    let zone = state.zone(&caller, &id)?;
    let fits = |record: &&Record| {
        name.as_ref().is_none_or(|name| *name == record.name)
            && content.as_ref().is_none_or(|content| *content == record.content)
            && kind.as_ref().is_none_or(|kind| *kind == record.kind)
    };
    let records: Vec<Value> = zone.records.iter().filter(fits).map(shown).collect();
    let info = json!({ "page": 1, "per_page": 100, "count": records.len(), "total_count": records.len(), "total_pages": 1 });
    Ok(Json(json!({ "success": true, "errors": [], "messages": [], "result": records, "result_info": info })))
}

/// `GET …/dns_records/{record}`.
pub(super) async fn get(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((id, record)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let zone = state.zone(&caller, &id)?;
    let found = zone.records.iter().find(|one| one.id == record).ok_or_else(no_record)?;
    Ok(granted(&shown(found)))
}

/// `POST …/dns_records`.
pub(super) async fn create(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let wanted = parsed(&body)?;
    let (new, now) = (cloudflare.identity().replace('-', ""), cloudflare.now());
    let answer = {
        let mut state = cloudflare.state();
        let zone = state.zone_mut(&caller, &id)?;
        let empty = Record {
            id: new,
            kind: String::new(),
            name: String::new(),
            content: String::new(),
            proxied: false,
            ttl: 1,
            comment: None,
            created: now,
        };
        let record = changed(zone, empty, &wanted)?;
        stands_beside(zone, &record)?;
        zone.records.push(record.clone());
        granted(&shown(&record))
    };
    cloudflare.look_at_domains();
    Ok(answer)
}

/// `PATCH …/dns_records/{record}`, and `PUT`, for which everything that is required must be there.
pub(super) async fn change(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((id, record)): Path<(String, String)>,
    method: http::Method,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let wanted = parsed(&body)?;
    let whole = ["type", "name", "content", "ttl"].iter().all(|member| !wanted[*member].is_null());
    if method == http::Method::PUT && !whole {
        return Err(invalid("type, name, content and ttl are required"));
    }
    let answer = {
        let mut state = cloudflare.state();
        let zone = state.zone_mut(&caller, &id)?;
        let at = zone.records.iter().position(|one| one.id == record).ok_or_else(no_record)?;
        let new = changed(zone, zone.records[at].clone(), &wanted)?;
        stands_beside(zone, &new)?;
        zone.records[at] = new.clone();
        granted(&shown(&new))
    };
    cloudflare.look_at_domains();
    Ok(answer)
}

/// `DELETE …/dns_records/{record}`.
pub(super) async fn delete(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((id, record)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    {
        let mut state = cloudflare.state();
        let zone = state.zone_mut(&caller, &id)?;
        let at = zone.records.iter().position(|one| one.id == record).ok_or_else(no_record)?;
        zone.records.remove(at);
    }
    cloudflare.look_at_domains();
    Ok(granted(&json!({ "id": record })))
}

fn parsed(body: &Bytes) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|error| invalid(&error.to_string()))?;
    if value.is_object() { Ok(value) } else { Err(invalid("the body is no object")) }
}

/// Returns a record with what is wanted of it, once it is valid.
fn changed(zone: &Zone, record: Record, wanted: &Value) -> Result<Record, Refusal> {
    let text = |member: &str| wanted[member].as_str().map(str::to_owned);
    let name = text("name").map_or(record.name, |name| in_zone(zone, &name));
    let new = Record {
        kind: text("type").unwrap_or(record.kind),
        name,
        content: text("content").map_or(record.content, |content| content.trim_end_matches('.').to_owned()),
        proxied: wanted["proxied"].as_bool().unwrap_or(record.proxied),
        ttl: wanted["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(record.ttl),
        comment: text("comment").or(record.comment),
        ..record
    };
    if new.kind.is_empty() || new.name.is_empty() || new.content.is_empty() {
        return Err(invalid("type, name and content are required"));
    }
    if new.ttl != 1 && !(60..=86_400).contains(&new.ttl) {
        return Err(invalid("ttl must be 1 or from 60 to 86400"));
    }
    let bad = |code, text: &str| Err(Refusal::bad_request(code, text));
    match new.kind.as_str() {
        "A" if new.content.parse::<Ipv4Addr>().is_err() => bad(9_005, "Content for A record must be a valid IPv4 address."),
        "AAAA" if new.content.parse::<Ipv6Addr>().is_err() => bad(9_006, "Content for AAAA record must be a valid IPv6 address."),
        "CNAME" if new.content == new.name => bad(9_039, "A CNAME record cannot reference itself."),
        kind if new.proxied && !LEADING.contains(&kind) => bad(9_004, "This record type cannot be proxied."),
        _ => Ok(new),
    }
}

/// Returns the whole name: one that is not in the zone is meant below it.
fn in_zone(zone: &Zone, name: &str) -> String {
    let name = name.trim_end_matches('.').to_lowercase();
    if name == "@" {
        zone.name.clone()
    } else if zone.has(&name) {
        name
    } else {
        format!("{name}.{}", zone.name)
    }
}

/// Refuses what cannot stand beside the zone's other records (user reports).
fn stands_beside(zone: &Zone, new: &Record) -> Result<(), Refusal> {
    let others = || zone.records.iter().filter(|other| other.id != new.id && other.name == new.name);
    let leads = |record: &Record| LEADING.contains(&record.kind.as_str());
    if others().any(|other| other.kind == new.kind && other.content == new.content) {
        return Err(Refusal::bad_request(81_058, "An identical record already exists."));
    }
    if new.kind == "CNAME" && others().any(leads) {
        return Err(Refusal::bad_request(81_053, "An A, AAAA, or CNAME record with that host already exists."));
    }
    if leads(new) && others().any(|other| other.kind == "CNAME") {
        return Err(Refusal::bad_request(81_054, "A CNAME record with that host already exists."));
    }
    Ok(())
}

fn invalid(text: &str) -> Refusal {
    Refusal::bad_request(1_004, format!("DNS Validation Error: {text}"))
}

fn no_record() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, 81_044, "Record does not exist.")
}

/// Returns a record as answers show it: an own word on its zone is not in the document, and a comment that nobody wrote is left out.
fn shown(record: &Record) -> Value {
    let mut shown = json!({
        "id": record.id,
        "type": record.kind,
        "name": record.name,
        "content": record.content,
        "proxied": record.proxied,
        "proxiable": LEADING.contains(&record.kind.as_str()),
        "ttl": record.ttl,
        "tags": [],
        "settings": {},
        "created_on": moment(record.created),
        "modified_on": moment(record.created),
    });
    if let Some(comment) = &record.comment {
        shown["comment"] = json!(comment);
    }
    shown
}
