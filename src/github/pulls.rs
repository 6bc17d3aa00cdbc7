//! The pull requests that a commit came from (<https://docs.github.com/rest/commits/commits>).

use std::time::Duration;

use serde::Deserialize;

use super::{GitHub, GitHubError, RunRepository};

/// The list may be empty for seconds after a push; it is asked this many times.
const LOOKUPS: u32 = 4;
/// The most files of a pull request that are ever listed (<https://docs.github.com/rest/pulls/pulls#list-pull-requests-files>).
const MOST_FILES: usize = 3000;
/// The pause between two of them.
const LOOKUP_PAUSE: Duration = Duration::from_secs(2);

/// A pull request as a commit knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// `open` or `closed`.
    #[serde(default)]
    pub state: String,
    /// When it was merged.
    #[serde(default)]
    pub merged_at: Option<String>,
    /// The commit that its merge made.
    #[serde(default)]
    pub merge_commit_sha: Option<String>,
    /// Whether its conversation is locked.
    #[serde(default)]
    pub locked: bool,
    /// Its own branch.
    #[serde(default)]
    pub head: Side,
    /// The branch it was merged into.
    #[serde(default)]
    pub base: Side,
}

/// One side of a pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Side {
    /// The branch.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// Its commit.
    #[serde(default)]
    pub sha: String,
    /// Its repository; `None` when that fork was deleted.
    #[serde(default)]
    pub repo: Option<RunRepository>,
}

/// A file that a pull request changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ChangedFile {
    /// Its path.
    #[serde(default)]
    pub filename: String,
    /// Its path before, where it was renamed.
    #[serde(default)]
    pub previous_filename: Option<String>,
}

impl GitHub {
    /// Returns a pull request.
    pub async fn pull(&self, number: u64) -> Result<Pull, GitHubError> {
        self.get("get_pull", &format!("/pulls/{number}")).await
    }

    /// Returns the open pull requests of a branch of `owner`: a fork's are found by nothing else, since their run's own list is empty.
    pub async fn open_pulls_of(&self, owner: &str, branch: &str) -> Result<Vec<Pull>, GitHubError> {
        let head: String = url::form_urlencoded::byte_serialize(format!("{owner}:{branch}").as_bytes()).collect();
        self.get_all("list_pulls", &format!("/pulls?state=open&head={head}&per_page=100"), |page: Vec<Pull>| page).await
    }

    /// Returns the files that a pull request changes; `None` where the list may not be all of them.
    pub async fn changed_files(&self, number: u64) -> Result<Option<Vec<ChangedFile>>, GitHubError> {
        let route = format!("/pulls/{number}/files?per_page=100");
        let files = self.get_all("list_pull_files", &route, |page: Vec<ChangedFile>| page).await?;
        // As many pages as are followed at most, or as many files as GitHub lists at most.
        Ok((files.len() < MOST_FILES.min(super::client::MAX_PAGES * 100)).then_some(files))
    }

    /// Returns the pull request that a pushed commit came from, if it came from one; asks again for about six seconds while GitHub knows none.
    pub async fn pull_of_push(&self, sha: &str, branch: &str) -> Result<Option<Pull>, GitHubError> {
        for lookup in 1.. {
            let pulls: Vec<Pull> = self.get("list_pulls_of_commit", &format!("/commits/{sha}/pulls?per_page=100")).await?;
            if !pulls.is_empty() || lookup >= LOOKUPS {
                return Ok(choose_for_push(pulls, sha, branch));
            }
            tokio::time::sleep(LOOKUP_PAUSE).await;
        }
        Ok(None)
    }
}

/// Returns which of the pull requests that hold a commit brought it to `branch`: the one whose merge made it, else the newest one merged
/// there, else the one that is open on the branch itself.
pub fn choose_for_push(mut pulls: Vec<Pull>, sha: &str, branch: &str) -> Option<Pull> {
    pulls.sort_by_key(|pull| std::cmp::Reverse(pull.number));
    let merged = |pull: &&Pull| pull.merged_at.is_some() && pull.base.reference == branch;
    let by_merge = pulls.iter().filter(merged).find(|pull| pull.merge_commit_sha.as_deref() == Some(sha));
    let by_base = || pulls.iter().find(merged);
    let open = || pulls.iter().find(|pull| pull.state == "open" && pull.head.reference == branch);
    by_merge.or_else(by_base).or_else(open).cloned()
}
