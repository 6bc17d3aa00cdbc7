//! What a registry's refusal means to whoever pushes.

use std::time::Duration;

use serde::Deserialize;

use super::VISIBLE_DEADLINE;
use crate::http::{Answer, SendError};
use crate::image::Digest;

/// Why a push did not end with a confirmed digest. Nobody serves what was pushed until a release says so: nothing needs to be undone.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry's address is none.
    #[error("{address:?} is no address of a registry")]
    BadAddress {
        /// As it was given.
        address: String,
    },
    /// The registry wants the login sent to a server that is not safe to send it to.
    #[error("{registry} asks for its login at {realm}, which is not an https address")]
    BadRealm {
        /// The registry.
        registry: String,
        /// Where it wants the login.
        realm: String,
    },
    /// The login is missing, wrong or expired.
    #[error("{registry} does not accept the login{} for {repository}: {message}", .user.as_ref().map(|user| format!(" of user {user}")).unwrap_or_default())]
    Unauthorized {
        /// The registry.
        registry: String,
        /// Who tried.
        user: Option<String>,
        /// Where.
        repository: String,
        /// The registry's words.
        message: String,
    },
    /// The login is good and may not push there, or the tag is immutable.
    #[error("{registry} does not allow pushing to {repository}: {message}")]
    Denied {
        /// The registry.
        registry: String,
        /// Where.
        repository: String,
        /// The registry's words.
        message: String,
    },
    /// The repository is not there. At Fly it comes with the app; at ECR it must be made.
    #[error("{registry} has no repository {repository}: {message}")]
    NoRepository {
        /// The registry.
        registry: String,
        /// Which.
        repository: String,
        /// The registry's words.
        message: String,
    },
    /// Too many requests, for longer than a push waits.
    #[error("{registry} limits the rate{}", .wait.map(|wait| format!(" and asks to wait {wait:?}")).unwrap_or_default())]
    RateLimited {
        /// The registry.
        registry: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// The registry confirms another digest than that of what was sent: it must not be deployed.
    #[error("{registry} confirms {found} for {repository}, but {expected} was pushed")]
    Mismatch {
        /// The registry.
        registry: String,
        /// Where.
        repository: String,
        /// What was sent.
        expected: Digest,
        /// What it says.
        found: Digest,
    },
    /// What shall be copied is not there.
    #[error("{registry} has no {repository}@{digest} any more")]
    Gone {
        /// The registry.
        registry: String,
        /// Where it was.
        repository: String,
        /// What.
        digest: Digest,
    },
    /// The manifest was taken and cannot be seen.
    #[error("{registry} does not show what was pushed to {repository} within {VISIBLE_DEADLINE:?}")]
    NotVisible {
        /// The registry.
        registry: String,
        /// Where.
        repository: String,
    },
    /// No answer came. Pushing again is safe.
    #[error(transparent)]
    NoAnswer(#[from] SendError),
    /// An answer that the specification does not know.
    #[error("{registry} answered {operation} with {status}: {message}")]
    Unexpected {
        /// The registry.
        registry: String,
        /// Which call.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// The registry's words, or the beginning of the answer.
        message: String,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// The error body of the distribution specification.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OneError {
    code: String,
    message: String,
}

/// Returns what a refusal means, by its status and, where that is not enough, by the specification's codes.
pub(super) fn from_answer(
    registry: &str,
    user: Option<String>,
    operation: &'static str,
    repository: &str,
    answer: &Answer,
) -> RegistryError {
    let (registry, repository) = (registry.to_owned(), repository.to_owned());
    let errors: Errors = answer.json().unwrap_or_default();
    let first = errors.errors.into_iter().next().unwrap_or_default();
    let message = match (first.code.as_str(), first.message.as_str()) {
        ("", "") => answer.excerpt(),
        (code, "") => code.to_owned(),
        (_, message) => message.to_owned(),
    };
    match (answer.status.as_u16(), first.code.as_str()) {
        (401, _) => RegistryError::Unauthorized { registry, user, repository, message },
        (403, _) | (_, "DENIED") => RegistryError::Denied { registry, repository, message },
        (404, _) | (_, "NAME_UNKNOWN") => RegistryError::NoRepository { registry, repository, message },
        (429, _) => RegistryError::RateLimited { registry, wait: answer.retry_after(jiff::Timestamp::now()) },
        (status, _) => RegistryError::Unexpected { registry, operation, status, message },
    }
}
