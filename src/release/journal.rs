//! The append-only record of an environment's releases, as values: records, and the pure fold that gives them meaning.
//!
//! Presumed abort: intent is recorded before the world changes, and the commit. A release without `committed` is rolled back by whoever
//! finds it; after `committed` only finishing is left. Every record carries the whole folded state, so that the head alone suffices, and
//! nothing here is a secret: every reader of the store may read it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::http::Platform;
use crate::id::{Name, ReleaseId};
use crate::platform::{Artifact, Capabilities, Observed, Revision, Settings};

/// The format of records that this version writes; one that it does not know makes it stop and touch nothing.
pub const FORMAT: u32 = 1;

/// How many closed releases the folded state remembers.
pub const HISTORY: usize = 50;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The format version.
    pub format: u32,
    /// The position in the chain, from 1: the fencing number.
    pub sequence: u64,
    /// Chance chosen by the writer; a lost append is recognised by it.
    pub nonce: String,
    /// When it was written, by the writer's clock.
    pub at: Timestamp,
    /// Who wrote it.
    pub owner: Owner,
    /// What it says.
    pub entry: Entry,
    /// The state after it.
    pub state: State,
}

/// Who holds an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// In Actions: `run/attempt/job`; elsewhere `user@host/pid`.
    pub id: String,
    /// Where a person can look: the run's address; may be empty.
    pub url: String,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Entry {
    /// A release is about to make things, out of users' sight.
    Begun(Box<Begun>),
    /// All revisions exist. A target that served nothing and cannot go back to nothing has its placeholder as `before` from here on.
    Prepared {
        /// The revision that each moving target shall serve.
        after: BTreeMap<Name, Revision>,
        /// What targets serve that served nothing when the release began.
        placeholders: BTreeMap<Name, Revision>,
    },
    /// Users' traffic is about to change.
    Cutting,
    /// The new release stays.
    Committed,
    /// What is not needed any more is about to be removed.
    Finishing,
    /// The release is closed: it serves.
    Finished,
    /// What served before is about to serve again.
    RollingBack {
        /// Why.
        cause: String,
    },
    /// The release is closed: what served before serves.
    RolledBack,
    /// A person is needed; the release stays open.
    Stuck {
        /// Why.
        cause: String,
    },
    /// Another runner continues an open release whose owner is gone.
    TakenOver,
}

/// What recovery needs and cannot find better elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The release.
    pub release: ReleaseId,
    /// The git commit.
    pub commit: String,
    /// Who or what asked for it, in words.
    pub reason: String,
    /// The targets in the order of cutting over, carried ones included.
    pub targets: Vec<TargetRecord>,
}

/// A target as a release found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// Its name in the manifest of that release.
    pub name: Name,
    /// Its platform.
    pub platform: Platform,
    /// What it is called there.
    pub thing: String,
    /// What it served.
    pub before: Observed,
    /// What it was to ship; `None` when it is carried.
    pub artifact: Option<Artifact>,
    /// What `before` was made of, as far as it can be shipped once more.
    #[serde(default)]
    pub before_artifact: Option<Artifact>,
    /// What it could do.
    pub capabilities: Capabilities,
    /// The settings to put back on every ending.
    pub settings: Settings,
    /// What it shall serve, from `prepared` on; for a carried target what it serves.
    pub after: Option<Revision>,
    /// Whether it stays as it is.
    pub carried: bool,
}

impl TargetRecord {
    /// Returns the one revision to go back to; `None` when nothing served.
    pub fn before_revision(&self) -> Option<&Revision> {
        self.before.serving.iter().max_by(|a, b| a.percent.total_cmp(&b.percent)).map(|weighted| &weighted.revision)
    }
}

/// Where an open release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Making things out of sight.
    Begun,
    /// Everything is made.
    Prepared,
    /// Traffic may be changing.
    Cutting,
    /// It stays; only finishing is left.
    Committed,
    /// Removing what is not needed.
    Finishing,
    /// Going back.
    RollingBack,
}

/// A release that is not closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// As it began, with `after` filled in once prepared.
    pub begun: Begun,
    /// Where it is.
    pub stage: Stage,
    /// Why it goes back, or why it is stuck.
    pub cause: Option<String>,
    /// Whether a person is needed.
    pub stuck: bool,
    /// Who works on it.
    pub owner: Owner,
}

/// A closed release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The release.
    pub release: ReleaseId,
    /// The git commit.
    pub commit: String,
    /// Who or what asked for it.
    pub reason: String,
    /// When it was closed.
    pub at: Timestamp,
    /// Whether it serves, or was rolled back.
    pub finished: bool,
    /// Why it was rolled back.
    pub cause: Option<String>,
    /// What it shipped, by target; what a rollback to it ships again.
    pub targets: BTreeMap<Name, Shipped>,
}

/// What a closed release shipped to one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// What the target served from then on.
    pub revision: Revision,
    /// The artifact; `None` when the target was carried from before our time.
    pub artifact: Option<Artifact>,
}

/// The meaning of a chain of records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The release that is not closed, if any.
    pub open: Option<Open>,
    /// Closed releases, newest last, at most [`HISTORY`].
    pub closed: Vec<Closed>,
}

/// A record that cannot follow the state before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The entry does not fit the stage.
    #[error("`{entry}` cannot follow {stage}")]
    Step {
        /// The entry's name.
        entry: &'static str,
        /// The stage in words.
        stage: String,
    },
}

impl Entry {
    /// Returns the entry's name as it is written.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Prepared { .. } => "prepared",
            Self::Cutting => "cutting",
            Self::Committed => "committed",
            Self::Finishing => "finishing",
            Self::Finished => "finished",
            Self::RollingBack { .. } => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Stuck { .. } => "stuck",
            Self::TakenOver => "taken_over",
        }
    }
}

impl State {
    /// Returns the newest release that serves, as the journal knows it.
    pub fn serving(&self) -> Option<&Closed> {
        self.closed.iter().rev().find(|closed| closed.finished)
    }

    /// Returns the release before the one that serves: where `rollback` goes by default.
    pub fn previous(&self) -> Option<&Closed> {
        self.closed.iter().rev().filter(|closed| closed.finished).nth(1)
    }

    /// Returns the state after `entry`; pure, and an impossible step is an error.
    pub fn after(&self, entry: &Entry, owner: &Owner, at: Timestamp) -> Result<Self, Impossible> {
        let mut next = self.clone();
        let impossible = || Impossible::Step {
            entry: entry.as_str(),
            stage: self.open.as_ref().map_or_else(|| "a closed release".to_owned(), |open| format!("{:?}", open.stage)),
        };
        match (entry, &mut next.open) {
            (Entry::Begun(begun), open @ None) => {
                *open = Some(Open { begun: (**begun).clone(), stage: Stage::Begun, cause: None, stuck: false, owner: owner.clone() });
            }
            (Entry::Prepared { after, placeholders }, Some(open)) if open.stage == Stage::Begun => {
                for target in &mut open.begun.targets {
                    if let Some(revision) = after.get(&target.name) {
                        target.after = Some(revision.clone());
                    }
                    if let Some(revision) = placeholders.get(&target.name) {
                        target.before.serving = vec![crate::platform::Weighted { revision: revision.clone(), percent: 100.0 }];
                    }
                }
                open.stage = Stage::Prepared;
            }
            (Entry::Cutting, Some(open)) if open.stage == Stage::Prepared => open.stage = Stage::Cutting,
            (Entry::Committed, Some(open)) if open.stage == Stage::Cutting => open.stage = Stage::Committed,
            (Entry::Finishing, Some(open)) if matches!(open.stage, Stage::Committed | Stage::Finishing) => {
                open.stage = Stage::Finishing;
            }
            (Entry::Finished, Some(open)) if matches!(open.stage, Stage::Committed | Stage::Finishing) => next.close(true, at),
            (Entry::RollingBack { cause }, Some(open))
                if matches!(open.stage, Stage::Begun | Stage::Prepared | Stage::Cutting | Stage::RollingBack) =>
            {
                open.stage = Stage::RollingBack;
                open.cause.get_or_insert_with(|| cause.clone());
            }
            (Entry::RolledBack, Some(open)) if open.stage == Stage::RollingBack => next.close(false, at),
            (Entry::Stuck { cause }, Some(open)) => {
                open.stuck = true;
                open.cause = Some(cause.clone());
            }
            (Entry::TakenOver, Some(open)) => open.owner = owner.clone(),
            _ => return Err(impossible()),
        }
        Ok(next)
    }

    /// Remembers what served before the first release that this journal knows, so that there is a place to go back to.
    fn adopt(&mut self, begun: &Begun, at: Timestamp) {
        let adopted = begun.targets.iter().filter_map(|target| {
            let revision = target.before_revision()?.clone();
            Some((target.name.clone(), Shipped { revision, artifact: target.before_artifact.clone() }))
        });
        let targets: BTreeMap<Name, Shipped> = adopted.collect();
        if targets.is_empty() {
            return;
        }
        self.closed.push(Closed {
            release: ReleaseId::from_text(format!("before-{}", begun.release)),
            commit: "0".repeat(40),
            reason: "adopted: it served before the first release that is recorded here".to_owned(),
            at,
            finished: true,
            cause: None,
            targets,
        });
    }

    fn close(&mut self, finished: bool, at: Timestamp) {
        let Some(open) = self.open.take() else { return };
        if finished && self.serving().is_none() {
            self.adopt(&open.begun, at);
        }
        let targets = open.begun.targets.into_iter().filter_map(|target| {
            let revision = target.after?;
            Some((target.name, Shipped { revision, artifact: target.artifact }))
        });
        self.closed.push(Closed {
            release: open.begun.release,
            commit: open.begun.commit,
            reason: open.begun.reason,
            at,
            finished,
            cause: open.cause,
            targets: targets.collect(),
        });
        let surplus = self.closed.len().saturating_sub(HISTORY);
        self.closed.drain(..surplus);
    }
}

/// Folds a chain from its beginning; the states written in the records must be the folded ones.
pub fn fold(records: &[Record]) -> Result<State, Impossible> {
    records.iter().try_fold(State::default(), |state, record| state.after(&record.entry, &record.owner, record.at))
}
