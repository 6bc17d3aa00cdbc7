//! The vendor's envelope: how the embedded Cloudflare says yes and no (published).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::embedded::fault::Answer;

/// A refused request.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: u64,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: u64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn bad_request(code: u64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn no_project() -> Self {
        let text = "Project not found. The specified project name does not match any of your existing projects.";
        Self::new(StatusCode::NOT_FOUND, 8_000_007, text)
    }

    /// The number is a guess; the status is what the vendor answers for what is not there.
    pub(super) fn no_deployment() -> Self {
        Self::new(StatusCode::NOT_FOUND, 8_000_009, "The deployment ID you have specified does not exist.")
    }

    pub(super) fn no_zone() -> Self {
        Self::new(StatusCode::NOT_FOUND, 7_003, "Could not route to /zones/…, perhaps your object identifier is invalid?")
    }

    /// A user report.
    pub(super) fn no_worker() -> Self {
        Self::new(StatusCode::NOT_FOUND, 10_007, "This Worker does not exist on your account.")
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::FORBIDDEN, 10_000, "Authentication error")
    }

    pub(super) fn stale_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 8_000_013, "Authorization failed")
    }

    /// The platform's own disk failed it.
    pub(super) fn broken(error: &std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 8_000_000, format!("The embedded store of contents failed: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "code": self.code, "message": self.message });
        (self.status, Json(json!({ "success": false, "errors": [error], "messages": [], "result": null }))).into_response()
    }
}

/// Returns a success.
pub(super) fn granted(result: &Value) -> Json<Value> {
    Json(json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

/// Returns a 429 in the vendor's shape, for a fault rule, to be tried again `after` seconds (user reports).
pub fn rate_limited(after: u64) -> Answer {
    let error = json!({ "code": 971, "message": "Please wait and consider throttling your request speed" });
    let body = json!({ "success": false, "errors": [error], "messages": [], "result": null });
    Answer::Status { code: 429, body: body.to_string(), headers: vec![("retry-after".to_owned(), after.to_string())] }
}
