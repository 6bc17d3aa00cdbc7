//! How the embedded Vercel says no: `{"error":{"code","message", ...}}` (published).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::embedded::fault::Answer;

/// A refused request.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    more: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), more: Map::new() }
    }

    /// Adds a member to the error.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", message)
    }

    /// The platform's own disk failed it.
    pub(super) fn broken(error: &std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", format!("The embedded file store failed: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = Map::new();
        error.insert("code".into(), self.code.into());
        error.insert("message".into(), self.message.into());
        error.extend(self.more);
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

/// Returns a 429 in the vendor's shape, for a fault rule: `code` such as `rate_limited` or `api-upload-free`, to be tried again `after` seconds.
///
/// `reset` is the epoch second at which the limit resets. Source: the published models and user reports.
pub fn rate_limited(code: &str, total: u64, after: u64, reset: i64) -> Answer {
    let limit = json!({ "remaining": 0, "reset": reset, "resetMs": reset * 1000, "total": total });
    let body = json!({ "error": { "code": code, "message": format!("Too many requests - try again in {after} seconds (more than {total})."), "limit": limit } });
    let headers = [
        ("retry-after", after.to_string()),
        ("x-ratelimit-limit", total.to_string()),
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", reset.to_string()),
    ];
    Answer::Status { code: 429, body: body.to_string(), headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec() }
}
