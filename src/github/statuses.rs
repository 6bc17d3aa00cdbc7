//! Commit statuses (<https://docs.github.com/rest/commits/statuses>).

use http::Method;
use serde::Serialize;

use super::{GitHub, GitHubError};

/// The longest description that GitHub takes, in characters.
const MAX_DESCRIPTION: usize = 140;

/// The state of a commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitState {
    /// Not decided yet.
    Pending,
    /// As it should be.
    Success,
    /// Not as it should be.
    Failure,
    /// Not to be decided.
    Error,
}

/// A commit status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitStatus {
    /// The state.
    pub state: CommitState,
    /// Where its details are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// One line; cut to 140 characters when sent.
    pub description: String,
    /// What it is about: the newest status of a context counts. Not case-sensitive.
    pub context: String,
}

impl GitHub {
    /// Sets a status of `sha`. Sent twice it has no further effect, since the newest of a context counts; a lost answer is repeated once.
    ///
    /// Needs `statuses: write`.
    pub async fn set_status(&self, sha: &str, status: &CommitStatus) -> Result<(), GitHubError> {
        let status = CommitStatus { description: shorten(&status.description), ..status.clone() };
        let route = format!("/statuses/{sha}");
        match self.change("set_status", Method::POST, &route, Some(&status)).await {
            Err(error) if error.may_have_happened() => self.change("set_status", Method::POST, &route, Some(&status)).await.map(drop),
            other => other.map(drop),
        }
    }
}

/// Cuts a one-line description to what GitHub takes.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_DESCRIPTION {
        return line;
    }
    line.chars().take(MAX_DESCRIPTION - 1).chain(std::iter::once('…')).collect()
}
