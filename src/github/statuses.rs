//! Commit statuses (<https://docs.github.com/rest/commits/statuses>).
//!
//! The newest status of a context counts, and GitHub has no compare-and-set for it. So the newest is read right before each write, and one of a
//! later run stays: a cancelled older run that is slow to end does not put its word over the newer one's. What is left is a later run's
//! write that lands between that read and ours; that run's own next status, its last at the latest, corrects it, unless ours came after even that.

use http::Method;
use serde::{Deserialize, Serialize};

use super::sticky::Stamp;
use super::{GitHub, GitHubError};

/// The longest description that GitHub takes, in characters.
const MAX_DESCRIPTION: usize = 140;

/// The state of a commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What became of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOutcome {
    /// It is the newest of its context.
    Set,
    /// A later run has written there, or what it is about was retired; nothing was changed.
    Outdated,
}

/// A status as it is listed; a state that is not known is no reason not to understand the rest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusAnswer {
    state: String,
    target_url: Option<String>,
    description: Option<String>,
    context: String,
}

impl StatusAnswer {
    fn says(&self, status: &CommitStatus) -> bool {
        let state = serde_json::to_value(status.state).ok();
        state.as_ref().and_then(serde_json::Value::as_str) == Some(self.state.as_str())
            && self.target_url == status.target_url
            && self.description.as_deref() == Some(status.description.as_str())
    }
}

impl GitHub {
    /// Sets a status of `sha`, unless the newest of its context is a later run's, by the run that its address names (see the module).
    ///
    /// After a lost answer the newest is looked at again: what is there is not sent twice. Needs `statuses: write`.
    pub async fn set_status(&self, sha: &str, status: &CommitStatus) -> Result<StatusOutcome, GitHubError> {
        let status = CommitStatus { description: shorten(&status.description), ..status.clone() };
        let route = format!("/statuses/{sha}");
        if self.outdated(sha, &status).await? {
            return Ok(StatusOutcome::Outdated);
        }
        match self.change("set_status", Method::POST, &route, Some(&status)).await {
            Err(error) if error.may_have_happened() => {
                let newest = self.newest_status(sha, &status.context).await.unwrap_or_default();
                if newest.as_ref().is_some_and(|newest| newest.says(&status)) {
                    return Ok(StatusOutcome::Set);
                }
                if newest.is_some_and(|newest| later(newest.target_url.as_deref(), status.target_url.as_deref())) {
                    return Ok(StatusOutcome::Outdated);
                }
                self.change("set_status", Method::POST, &route, Some(&status)).await.map(|_| StatusOutcome::Set)
            }
            other => other.map(|_| StatusOutcome::Set),
        }
    }

    /// Returns whether a later run's status is the newest of the context.
    async fn outdated(&self, sha: &str, status: &CommitStatus) -> Result<bool, GitHubError> {
        // A status that names no run is as new as it is sent.
        if status.target_url.as_deref().and_then(Stamp::in_address).is_none() {
            return Ok(false);
        }
        match self.newest_status(sha, &status.context).await {
            Ok(newest) => Ok(newest.is_some_and(|newest| later(newest.target_url.as_deref(), status.target_url.as_deref()))),
            Err(error) if error.is_about_the_token() => Err(error),
            // A status that stays pending for ever is worse than one that may be older than another.
            Err(_) => Ok(false),
        }
    }

    /// Returns the newest status of a context among the newest hundred of a commit; they are listed newest first.
    async fn newest_status(&self, sha: &str, context: &str) -> Result<Option<StatusAnswer>, GitHubError> {
        let listed: Vec<StatusAnswer> = self.get("list_statuses", &format!("/commits/{sha}/statuses?per_page=100")).await?;
        Ok(listed.into_iter().find(|status| status.context.eq_ignore_ascii_case(context)))
    }
}

/// Returns whether the one address is that of a later run than the other.
fn later(one: Option<&str>, other: Option<&str>) -> bool {
    let stamp = |address: Option<&str>| address.and_then(Stamp::in_address);
    matches!((stamp(one), stamp(other)), (Some(one), Some(other)) if one > other)
}

/// Cuts a one-line description to what GitHub takes.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_DESCRIPTION {
        return line;
    }
    line.chars().take(MAX_DESCRIPTION - 1).chain(std::iter::once('…')).collect()
}
