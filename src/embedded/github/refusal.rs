//! How the embedded GitHub says no: `{"message","documentation_url","status"}`, with `errors` for what is invalid (published).

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A refused request.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Vec<Value>,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Adds one thing that is invalid.
    #[must_use]
    pub(super) fn error(mut self, error: Value) -> Self {
        self.errors.push(error);
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// A field has a value that it must not have.
    pub(super) fn invalid(resource: &str, field: &str, code: &str, message: &str) -> Self {
        let error = json!({ "resource": resource, "field": field, "code": code, "message": message });
        Self::unprocessable("Validation Failed").error(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({
            "message": self.message,
            "documentation_url": "https://docs.github.com/rest",
        });
        // The published shape of a validation error has no status.
        if self.status != StatusCode::UNPROCESSABLE_ENTITY {
            body["status"] = self.status.as_u16().to_string().into();
        }
        if !self.errors.is_empty() {
            body["errors"] = self.errors.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Returns the body as `T`: 400 for what is not JSON, 422 for JSON of another form.
pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "Problems parsing JSON"))?;
    serde_json::from_value(value).map_err(|error| Refusal::unprocessable(format!("Invalid request.\n\n{error}.")))
}
