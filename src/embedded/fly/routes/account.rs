//! Who the token is, which regions there are, what the organisation may do.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{Answer, Fly};
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::state::Scope;
use crate::embedded::ground::lock;

/// The region of a machine that names none.
pub(in crate::embedded::fly) const NEAREST: &str = "iad";

/// Codes and names. Source: fly.io/docs/reference/regions (August 2026).
const REGIONS: [(&str, &str); 18] = [
    ("ams", "Amsterdam, Netherlands"),
    ("arn", "Stockholm, Sweden"),
    ("bom", "Mumbai, India"),
    ("cdg", "Paris, France"),
    ("dfw", "Dallas, Texas (US)"),
    ("ewr", "Secaucus, NJ (US)"),
    ("fra", "Frankfurt, Germany"),
    ("gru", "Sao Paulo, Brazil"),
    ("iad", "Ashburn, Virginia (US)"),
    ("jnb", "Johannesburg, South Africa"),
    ("lax", "Los Angeles, California (US)"),
    ("lhr", "London, United Kingdom"),
    ("nrt", "Tokyo, Japan"),
    ("ord", "Chicago, Illinois (US)"),
    ("sin", "Singapore, Singapore"),
    ("sjc", "San Jose, California (US)"),
    ("syd", "Sydney, Australia"),
    ("yyz", "Toronto, Canada"),
];

/// Returns whether machines can be made in `code`.
pub(in crate::embedded::fly) fn is_region(code: &str) -> bool {
    REGIONS.iter().any(|(known, _)| *known == code)
}

pub(super) async fn regions(_caller: Caller) -> Json<Value> {
    let regions: Vec<Value> = REGIONS
        .iter()
        .map(|(code, name)| json!({ "code": code, "name": name, "deprecated": false, "gateway_available": true, "requires_paid_plan": false }))
        .collect();
    Json(json!({ "regions": regions, "nearest": NEAREST }))
}

/// Says who the token is. Deploy tokens name their apps. Source: the OpenAPI document's `tokenInfo`.
pub(super) async fn tokens(State(fly): Fly, caller: Caller) -> Json<Value> {
    let token = &caller.token;
    let (org, apps) = match &token.scope {
        Scope::Org(slug) | Scope::Reader(slug) => (slug.clone(), Vec::new()),
        Scope::App(name) => {
            let state = lock(&fly.state);
            (state.apps.get(name).map(|app| app.org.clone()).unwrap_or_default(), vec![name.clone()])
        }
    };
    let info = json!({ "token_id": token.owner, "org_slug": org, "organization": org, "user": token.owner, "apps": apps });
    Json(json!({ "tokens": [info] }))
}

pub(super) async fn organization(State(_): Fly, caller: Caller, Path(slug): Path<String>) -> Answer {
    caller.org(&slug)?;
    Ok(Json(json!({ "organization": {
        "id": slug,
        "internal_numeric_id": 1,
        "slug": slug,
        "raw_slug": slug,
        "name": slug,
        "personal": false,
        "paid_plan": true,
        "billable": true,
        "billing_status": "CURRENT",
        "remote_builder_image": "",
    } })))
}
