//! What a platform's refusal or silence means to whoever called.

use std::time::Duration;

use crate::http::{Answer, Platform, SendError, WireError};
use crate::id::Name;

/// A failed operation on one target: what failed, by which call, and what a caller may do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{platform}: {operation} failed for {thing}: {kind}{}", request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default())]
pub struct PlatformError {
    /// Who refused.
    pub platform: Platform,
    /// The operation's name, for example `create_machine`.
    pub operation: &'static str,
    /// What it was about, as the platform calls it: "app autoswe", "machine 3d8d9 of autoswe".
    pub thing: String,
    /// What it means.
    pub kind: PlatformErrorKind,
    /// By which the platform's support finds it.
    pub request_id: Option<String>,
    /// What to try, in whole sentences; may be empty.
    pub hints: Vec<String>,
}

/// Outcomes that a caller acts on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlatformErrorKind {
    /// The credential is missing, wrong or expired.
    #[error("the token is not accepted ({0})")]
    Unauthorized(String),
    /// The credential is good but may not do this.
    #[error("the token may not do this ({0})")]
    Forbidden(String),
    /// It is not there, or the credential cannot see it.
    #[error("not found ({0})")]
    NotFound(String),
    /// Somebody else has made it serve something that is not ours to replace: nothing was changed.
    #[error("somebody else changed what serves: {0}")]
    Foreign(String),
    /// Somebody else holds it, or it has changed meanwhile.
    #[error("conflict: {0}")]
    Conflict(String),
    /// No room for it.
    #[error("no capacity: {0}")]
    Capacity(String),
    /// The request is refused as it stands.
    #[error("refused: {0}")]
    Refused(String),
    /// Too many requests, and the wait asked for is too long.
    #[error("rate limit reached{}", .0.map(|wait| format!(", the platform asks to wait {wait:?}")).unwrap_or_default())]
    RateLimited(Option<Duration>),
    /// The platform fails (5xx); it may have happened.
    #[error("the platform failed: {0}")]
    Unavailable(String),
    /// No answer came: it may have happened.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// Surely nothing happened: the platform could not be reached.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// It was not sent, since this run may not own the environment any more: nothing happened.
    #[error("not sent: {0}")]
    Withheld(String),
    /// An answer that is not what the platform's documentation promises.
    #[error("an unexpected answer: {0}")]
    Unexpected(String),
    /// The new revision crashed or will never be healthy.
    #[error("not healthy: {0}")]
    Unhealthy(String),
    /// Plain GETs that the platform was given to ask (`PlainGet`) do not pass, and nothing else fails.
    #[error("not healthy: {why}")]
    CheckFailing {
        /// Which of them, from 0, in the order in which they were given.
        ordinals: Vec<usize>,
        /// What the platform says, in words.
        why: String,
    },
    /// A named wait ended without what was waited for.
    #[error("{what} did not happen within {limit:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The manifest or a platform's own file asks for what cannot be done.
    #[error("{0}")]
    Impossible(String),
}

impl PlatformError {
    /// Returns an error that no single answer caused.
    pub fn new(platform: Platform, operation: &'static str, thing: impl Into<String>, kind: PlatformErrorKind) -> Self {
        Self { platform, operation, thing: thing.into(), kind, request_id: None, hints: Vec::new() }
    }

    /// Returns the error for a call that brought no answer.
    pub fn from_send(error: &SendError, thing: impl Into<String>) -> Self {
        let text = error.to_string();
        let kind = match &error.cause {
            _ if error.ambiguous => PlatformErrorKind::NoAnswer(text),
            WireError::Withheld(why) => PlatformErrorKind::Withheld(why.clone()),
            _ => PlatformErrorKind::Unreachable(text),
        };
        Self::new(error.platform, error.operation, thing, kind)
    }

    /// Returns the error for an answer whose status is no success; `message` is what the platform's error body says.
    pub fn from_answer(platform: Platform, operation: &'static str, thing: impl Into<String>, answer: &Answer, message: &str) -> Self {
        let text = format!("{} {message}", answer.status.as_u16());
        let kind = match answer.status.as_u16() {
            401 => PlatformErrorKind::Unauthorized(text),
            403 => PlatformErrorKind::Forbidden(text),
            404 | 410 => PlatformErrorKind::NotFound(text),
            409 | 412 => PlatformErrorKind::Conflict(text),
            429 => PlatformErrorKind::RateLimited(answer.retry_after(jiff::Timestamp::now())),
            408 | 500.. => PlatformErrorKind::Unavailable(text),
            _ => PlatformErrorKind::Refused(text),
        };
        let mut error = Self::new(platform, operation, thing, kind);
        error.request_id = answer.request_id().map(str::to_owned);
        error
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns whether the effect may have happened all the same: it must be looked up before anything is repeated or undone.
    pub const fn ambiguous(&self) -> bool {
        matches!(self.kind, PlatformErrorKind::Unavailable(_) | PlatformErrorKind::NoAnswer(_) | PlatformErrorKind::Unexpected(_))
    }

    /// Returns whether the run's cancellation caused it.
    pub const fn cancelled(&self) -> bool {
        matches!(self.kind, PlatformErrorKind::Cancelled)
    }
}

/// A thing worth fixing that preflight found on a target.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The target.
    pub target: Name,
    /// Whether a release may go on all the same.
    pub fatal: bool,
    /// A stable code, for example `secret::missing`.
    pub code: &'static str,
    /// What is wrong, in a whole sentence.
    pub text: String,
    /// What to type or change.
    pub hint: Option<String>,
}
