//! A refusal in Fly's form: `{"error": TEXT, "status": CODE}`, or `message` in the place of `error` where the real one does that.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
    code: Option<&'static str>,
    as_message: bool,
}

impl Problem {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, text: text.into(), code: None, as_message: false }
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// 404 in the words of flyctl's users' reports.
    pub(super) fn no_machine(id: &str) -> Self {
        Self::new(404, format!("machine not found: '{id}'"))
    }

    /// 409 with the payload that Fly's staff showed for it: `{"status":"error","message":...}` (community.fly.io/t/15555).
    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Self { as_message: true, code: Some("error"), ..Self::new(409, text) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({});
        body[if self.as_message { "message" } else { "error" }] = json!(self.text);
        if let Some(code) = self.code {
            body["status"] = json!(code);
        }
        (self.status, Json(body)).into_response()
    }
}
