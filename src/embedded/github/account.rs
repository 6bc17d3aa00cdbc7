//! The caller itself: its account and its rate limit.

use axum::Json;
use axum::extract::Extension;
use http::StatusCode;
use serde_json::{Value, json};

use super::caller::{Caller, Kind};
use super::gate::Standing;
use super::refusal::Refusal;
use super::shape::user;

/// `GET /user`: closed to tokens of installations (vendor's documentation).
pub(super) async fn get(caller: Caller) -> Result<Json<Value>, Refusal> {
    if caller.token.kind == Kind::Installation {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Resource not accessible by integration"));
    }
    Ok(Json(user(&caller.base, caller.login())))
}

/// `GET /rate_limit`: does not count against the limit (vendor's documentation).
pub(super) async fn rate_limit(Extension(standing): Extension<Standing>) -> Json<Value> {
    let core = json!({
        "limit": standing.limit,
        "used": standing.used.min(standing.limit),
        "remaining": standing.limit.saturating_sub(standing.used),
        "reset": standing.reset,
    });
    let unused = |limit: u64| json!({ "limit": limit, "used": 0, "remaining": limit, "reset": standing.reset });
    Json(json!({ "resources": { "core": core, "search": unused(30), "graphql": unused(1000) }, "rate": core }))
}
