//! How two commits stand to each other (<https://docs.github.com/rest/commits/commits#compare-two-commits>): for clones without history.

use serde::Deserialize;

use super::{GitHub, GitHubError};

/// How one commit stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are the same.
    Same,
    /// The first is an ancestor of the second.
    Older,
    /// The second is an ancestor of the first.
    Newer,
    /// Neither is the other's ancestor.
    Apart,
}

#[derive(Deserialize)]
struct Comparison {
    #[serde(default)]
    status: String,
}

impl GitHub {
    /// Returns how `one` stands to `other`, both whole commit ids; `None` when GitHub knows one of them no more, or says a word that is not
    /// known. Needs `contents: read`.
    pub async fn relation(&self, one: &str, other: &str) -> Result<Option<Relation>, GitHubError> {
        // The list of commits is long and of no use here.
        let answer: Result<Comparison, _> = self.get("compare", &format!("/compare/{one}...{other}?per_page=1")).await;
        match answer {
            Ok(comparison) => Ok(match comparison.status.as_str() {
                "identical" => Some(Relation::Same),
                "ahead" => Some(Relation::Older),
                "behind" => Some(Relation::Newer),
                "diverged" => Some(Relation::Apart),
                _ => None,
            }),
            Err(GitHubError::NotFound { .. } | GitHubError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
