//! The chain of records behind a ref, as it is read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::message::{self, Said};
use crate::github::{GitCommit, GitHub, GitHubError};
use crate::release::journal::Record;
use crate::release::store::{HeadId, Newest, StoreError, Watcher};

/// For how long a ref that is read as older than it was known to be, or as not there, is read again (github/branch-deploy#180: a written
/// ref is not always readable at once).
pub(super) const READ_LAG: Duration = Duration::from_secs(20);

/// The first pause between two reads of a ref; doubled up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two reads of a ref.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Up to how many commits are read one by one; more are listed.
const FEW: usize = 3;

/// The most records that are looked through for one.
const MOST_SEARCHED: u64 = 2000;

/// A ref with records behind it; cheap to clone, and clones know the same.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    github: GitHub,
    reference: String,
    seen: Arc<Seen>,
}

/// What every clone knows of what was there.
#[derive(Debug, Default)]
struct Seen {
    /// The highest sequence number that was there.
    sequence: AtomicU64,
    /// The newest record that was read, so that a look at an unchanged ref costs one call.
    tip: Mutex<Option<Tip>>,
}

/// The newest record, and the commit that it is.
#[derive(Debug, Clone)]
pub(super) struct Tip {
    pub(super) commit: GitCommit,
    pub(super) record: Record,
}

impl Tip {
    /// Returns whether the commit's tree is the one that every short record has.
    pub(super) fn has_plain_tree(&self) -> bool {
        matches!(message::read(&self.commit.message), Said::Whole(_))
    }
}

impl Chain {
    pub(super) fn new(github: GitHub, reference: String) -> Self {
        Self { github, reference, seen: Arc::default() }
    }

    pub(super) const fn github(&self) -> &GitHub {
        &self.github
    }

    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    /// Returns where it is, for people.
    pub(super) fn place(&self) -> String {
        format!("{} of {}", self.reference, self.github.repository())
    }

    /// Returns what the ref points at; where it seems not to be there, a call that can tell that from a repository that cannot be seen.
    pub(super) async fn pointed(&self) -> Result<Option<String>, GitHubError> {
        if let Some(sha) = self.github.get_ref(&self.reference).await? {
            return Ok(Some(sha));
        }
        let found = self.github.matching_refs(&self.reference).await?;
        Ok(found.into_iter().find(|found| found.name == self.reference).map(|found| found.sha))
    }

    /// Reads the newest record. One that is older than what was there already is waited for, up to [`READ_LAG`]; then it is believed.
    pub(super) async fn newest(&self) -> Result<Option<Tip>, StoreError> {
        let until = Instant::now() + READ_LAG;
        let mut pause = FIRST_PAUSE;
        loop {
            let tip = match self.pointed().await.map_err(|error| self.unread(&error))? {
                Some(sha) => Some(self.tip(&sha).await?),
                None => None,
            };
            let sequence = tip.as_ref().map_or(0, |tip| tip.record.sequence);
            if sequence >= self.seen.sequence.load(Ordering::Relaxed) || Instant::now() + pause > until {
                self.seen.sequence.store(sequence, Ordering::Relaxed);
                return Ok(tip);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Notes that the record with this number is there.
    pub(super) fn has(&self, sequence: u64) {
        self.seen.sequence.fetch_max(sequence, Ordering::Relaxed);
    }

    /// Reads the commit and the record that the ref points at.
    pub(super) async fn tip(&self, sha: &str) -> Result<Tip, StoreError> {
        let known = self.seen.tip.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(tip) = known.filter(|tip| tip.commit.sha == sha) {
            return Ok(tip);
        }
        let commit = self.github.get_commit(sha).await.map_err(|error| self.unread(&error))?;
        let record = self.record(&commit).await?;
        let tip = Tip { commit, record };
        *self.seen.tip.lock().unwrap_or_else(PoisonError::into_inner) = Some(tip.clone());
        Ok(tip)
    }

    /// Reads the record that a commit is. Errors: [`StoreError::UnknownFormat`], and [`StoreError::Damaged`] for what is no record.
    pub(super) async fn record(&self, commit: &GitCommit) -> Result<Record, StoreError> {
        let said = match message::read(&commit.message) {
            Said::Elsewhere(stub) => {
                let content = self.github.file_of_tree(&commit.tree, message::FILE).await.map_err(|error| self.unread(&error))?;
                let content = content.ok_or_else(|| self.damaged(commit, format!("it has no {}", message::FILE)))?;
                match message::read(&String::from_utf8_lossy(&content)) {
                    Said::Whole(record) if record.nonce == stub.nonce => Said::Whole(record),
                    Said::UnknownFormat(format) => Said::UnknownFormat(format),
                    _ => Said::Nothing(format!("its {} is not what its message says", message::FILE)),
                }
            }
            said => said,
        };
        match said {
            Said::Whole(record) => self.fitting(commit, *record),
            Said::UnknownFormat(format) => Err(StoreError::UnknownFormat { place: self.place(), format }),
            Said::Elsewhere(_) => Err(self.damaged(commit, "it leads to itself".to_owned())),
            Said::Nothing(reason) => Err(self.damaged(commit, reason)),
        }
    }

    /// A first record has no parent, every other one exactly one.
    fn fitting(&self, commit: &GitCommit, record: Record) -> Result<Record, StoreError> {
        let parents = commit.parents.len();
        if parents == usize::from(record.sequence > 1) {
            return Ok(record);
        }
        Err(self.damaged(commit, format!("record {} has {parents} parents", record.sequence)))
    }

    /// Reads the newest records of the chain that ends in `tip`, at most `most`, oldest first; each must follow its parent.
    pub(super) async fn records(&self, tip: &Tip, most: usize) -> Result<Vec<Record>, StoreError> {
        let commits = self.back(&tip.commit, most).await.map_err(|error| self.unread(&error))?;
        let mut records: Vec<Record> = Vec::with_capacity(commits.len());
        for commit in commits {
            let record = self.record(&commit).await?;
            if let Some(child) = records.last().filter(|child| child.sequence != record.sequence + 1) {
                return Err(self.damaged(&commit, format!("record {} is followed by record {}", record.sequence, child.sequence)));
            }
            records.push(record);
        }
        records.reverse();
        Ok(records)
    }

    /// Returns whether the chain that ends in `commit` holds a record: the commit `id`, or any with its nonce. `length` bounds how far back
    /// it can be; `None` when that is too far to look. What cannot be read on the way is no hindrance.
    pub(super) async fn holds(&self, commit: &GitCommit, id: &str, nonce: &str, length: u64) -> Result<Option<bool>, GitHubError> {
        let is = |commit: &GitCommit| commit.sha == id || message::read(&commit.message).nonce() == Some(nonce);
        let most = usize::try_from(length.clamp(1, MOST_SEARCHED)).unwrap_or(usize::MAX);
        let found = self.back(commit, most).await?.iter().any(is);
        Ok((found || length <= MOST_SEARCHED).then_some(found))
    }

    /// Returns `commit` and those before it, newest first, at most `most`.
    async fn back(&self, commit: &GitCommit, most: usize) -> Result<Vec<GitCommit>, GitHubError> {
        let mut chain = vec![commit.clone()];
        let mut listed = false;
        while chain.len() < most {
            let Some(parent) = chain.last().and_then(|commit| commit.parents.first()).cloned() else { break };
            let missing = most - chain.len();
            if missing > FEW && !listed {
                listed = true;
                // A server without the listing still has the commits.
                match self.github.list_commits(&parent, missing).await {
                    Ok(commits) if !commits.is_empty() => {
                        chain.extend(commits);
                        continue;
                    }
                    Ok(_) | Err(GitHubError::NotFound { .. } | GitHubError::Refused { .. } | GitHubError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            chain.push(self.github.get_commit(&parent).await?);
        }
        chain.truncate(most);
        Ok(chain)
    }

    pub(super) fn unread(&self, error: &GitHubError) -> StoreError {
        StoreError::Refused { place: self.place(), what: "read", reason: error.to_string() }
    }

    fn damaged(&self, commit: &GitCommit, reason: String) -> StoreError {
        StoreError::Damaged { place: self.place(), at: format!("commit {}", commit.sha), reason }
    }
}

impl Watcher for Chain {
    fn newest<'a>(&'a self, ours: &'a [Option<HeadId>]) -> BoxFuture<'a, Result<Newest, StoreError>> {
        Box::pin(async move {
            let pointed = self.github.get_ref(&self.reference).await.map_err(|error| self.unread(&error))?;
            if ours.contains(&pointed.map(HeadId)) {
                return Ok(Newest::Ours);
            }
            let tip = self.newest().await?;
            let id = tip.as_ref().map(|tip| HeadId(tip.commit.sha.clone()));
            Ok(if ours.contains(&id) { Newest::Ours } else { Newest::Other(tip.map(|tip| Box::new(tip.record))) })
        })
    }
}
