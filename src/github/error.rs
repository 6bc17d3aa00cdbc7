//! What a refusal or silence of GitHub means to whoever called.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::http::SendError;

/// By which GitHub's support finds an answer: its `x-github-request-id`; none where an answer has none
/// (<https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api>).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestId(Option<String>);

impl RequestId {
    /// Returns the id that an answer's headers name.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get("x-github-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// A failed call to GitHub.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitHubError {
    /// No answer came; `source.ambiguous` says whether it may have happened.
    #[error("{0}")]
    NoAnswer(#[source] Box<SendError>),
    /// The token is missing, wrong or expired (401).
    #[error("GitHub does not accept the token for {operation}{request_id}")]
    Unauthorized {
        /// The operation.
        operation: &'static str,
        /// The answer's id.
        request_id: RequestId,
    },
    /// The token may not do this (403 without a rate limit), or the thing is locked.
    #[error("GitHub refused {operation}: {message}{}{request_id}", .needs.as_ref().map(|needs| format!(" (it needs {needs})")).unwrap_or_default())]
    Forbidden {
        /// The operation.
        operation: &'static str,
        /// What GitHub says.
        message: String,
        /// The permission that is missing, from `X-Accepted-GitHub-Permissions`: `pull_requests=write`.
        needs: Option<String>,
        /// The answer's id.
        request_id: RequestId,
    },
    /// Too many requests (403 or 429 with the limit's headers), and the wait asked for was too long.
    #[error("GitHub's rate limit is reached for {operation}{request_id}")]
    RateLimited {
        /// The operation.
        operation: &'static str,
        /// The answer's id.
        request_id: RequestId,
    },
    /// It is not there, or the token cannot see it (404, 410).
    #[error("{operation}: not found, or the token cannot see it{request_id}")]
    NotFound {
        /// The operation.
        operation: &'static str,
        /// The answer's id.
        request_id: RequestId,
    },
    /// It is in a state that does not allow this (409).
    #[error("{operation}: conflict: {message}{request_id}")]
    Conflict {
        /// The operation.
        operation: &'static str,
        /// What GitHub says.
        message: String,
        /// The answer's id.
        request_id: RequestId,
    },
    /// The request is refused as it stands (422 and the rest of 4xx).
    #[error("{operation}: refused with {status}: {message}{request_id}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// The status.
        status: u16,
        /// What GitHub says.
        message: String,
        /// The answer's id.
        request_id: RequestId,
    },
    /// GitHub fails (5xx), after all the repeats that were allowed; it may have happened.
    #[error("{operation}: GitHub failed with {status}{request_id}")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// The status.
        status: u16,
        /// The answer's id.
        request_id: RequestId,
    },
    /// The call succeeded, but its answer could not be read.
    #[error("{operation} succeeded, but its answer could not be read: {reason}{request_id}")]
    Unreadable {
        /// The operation.
        operation: &'static str,
        /// Why.
        reason: String,
        /// The answer's id.
        request_id: RequestId,
    },
    /// The request could not be made, or an answer points to another server.
    #[error("{operation}: {reason}")]
    Impossible {
        /// The operation.
        operation: &'static str,
        /// Why.
        reason: String,
    },
}

impl GitHubError {
    /// Returns whether the call may have had its effect although it failed; the caller then looks it up before repeating it.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::NoAnswer(error) => error.ambiguous,
            Self::Unavailable { .. } | Self::Unreadable { .. } => true,
            _ => false,
        }
    }

    /// Returns whether the token, not the request, is the reason: asking again cannot help.
    pub fn is_about_the_token(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::Forbidden { .. })
    }

    /// Returns the error for an answer whose status is no success.
    ///
    /// A missing permission and a rate limit share status 403 and differ in their headers
    /// (<https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>). The permissions header is sent with every answer to
    /// an installation's token, so it explains a refusal but does not prove one.
    pub(super) fn from_answer(operation: &'static str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let request_id = RequestId::of(headers);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let message = message(status, body);
        let limited = header("retry-after").is_some() || header("x-ratelimit-remaining") == Some("0");
        match status.as_u16() {
            401 => Self::Unauthorized { operation, request_id },
            429 => Self::RateLimited { operation, request_id },
            403 if limited => Self::RateLimited { operation, request_id },
            403 => Self::Forbidden { operation, message, needs: header("x-accepted-github-permissions").map(str::to_owned), request_id },
            404 | 410 => Self::NotFound { operation, request_id },
            409 => Self::Conflict { operation, message, request_id },
            408 | 500.. => Self::Unavailable { operation, status: status.as_u16(), request_id },
            status => Self::Refused { operation, status, message, request_id },
        }
    }
}

/// The error body of the REST API; `errors` is left out because its elements may be texts or objects.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    message: String,
}

fn message(status: StatusCode, body: &[u8]) -> String {
    let said = serde_json::from_slice::<Body>(body).map(|body| body.message).unwrap_or_default();
    // A 5xx or a proxy answers with HTML, which helps nobody.
    let said = if said.is_empty() { status.canonical_reason().unwrap_or("no message").to_owned() } else { said };
    said.chars().take(300).collect()
}
