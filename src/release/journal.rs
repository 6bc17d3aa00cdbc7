//! The append-only record of an environment's releases, as values: records, and the pure fold that gives them meaning.
//!
//! [`Journal`] is the handle by which a run reads and appends; where the records are kept is a [`super::store::Store`]'s business.
//!
//! Presumed abort: intent is recorded before the world changes, and the commit. A release without `committed` is rolled back by whoever
//! finds it; after `committed` only finishing is left. Every record carries the whole folded state, so that the head alone suffices, and
//! nothing here is a secret: every reader of the store may read it.

mod handle;
mod kept;
mod migrated;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::handle::Journal;
pub use self::kept::Kept;
pub(in crate::release) use self::kept::same_generation;
pub use self::migrated::Migrated;
pub use self::state::{Closed, Hold, Impossible, Open, Reached, Shipped, Stage, State, fold};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};
use crate::manifest::Check;
use crate::platform::{Artifact, Capabilities, KnownSecret, MigrationEnd, Observed, Reach, Revision, SecretChange, Settings};
use crate::process::Identity;

/// The format of records that this version writes; one that it does not know makes it stop and touch nothing.
pub const FORMAT: u32 = 1;

/// How many closed releases the folded state remembers; older ones stay in the chain, for `cutover history`.
pub const HISTORY: usize = 20;

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
    /// Until when its writer counts as alive where nobody can say: the lock's deadline, pushed back by every record of the same owner.
    pub until: Timestamp,
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
    /// The job that it is, by which GitHub can say whether it is over; `None` outside Actions.
    #[serde(default)]
    pub job: Option<OwnerJob>,
    /// The process that it is, by which the same machine can say whether it is over; `None` in Actions, and where the system cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Identity>,
    /// Who started it, by GitHub's word; `None` outside Actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl Owner {
    /// Returns an owner that GitHub knows nothing of: a process on some machine.
    pub fn process(id: impl Into<String>) -> Self {
        Self { id: id.into(), url: String::new(), job: None, process: None, actor: None }
    }
}

/// A job of a workflow run, as far as it knows itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerJob {
    /// `owner/name` of the repository.
    pub repository: String,
    /// The run's id.
    pub run: u64,
    /// The run's attempt, from 1.
    pub attempt: u32,
    /// The job's id in the workflow file; legs of a matrix share it.
    pub name: String,
    /// The runner's name (`RUNNER_NAME`), by which the API's list of jobs is searched.
    pub runner: Option<String>,
    /// GitHub's own id of the job, where it could be found out.
    pub id: Option<u64>,
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
    /// Migrations are about to run, each once; what needs no new schema is prepared by now.
    Migrating {
        /// By target, with the snapshots that were taken before.
        migrations: BTreeMap<Name, Migrated>,
    },
    /// Every migration has done what it was to do; what needs the new schema is prepared next.
    Migrated {
        /// How each ended.
        ended: BTreeMap<Name, MigrationEnd>,
    },
    /// A person says that the old code can work with the database as it is: the way back over a breaking migration is open.
    BackAllowed {
        /// Why, in the person's words.
        reason: String,
    },
    /// These secrets are about to be set; no value is in here.
    Secrets {
        /// By target.
        changes: BTreeMap<Name, Vec<SecretChange>>,
    },
    /// They are set.
    SecretsSet {
        /// As they are now, by target.
        known: BTreeMap<Name, Vec<KnownSecret>>,
    },
    /// A person says that what served before works with the secrets as they are now: they do not bar the way back any more.
    SecretsKept,
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
    TakenOver {
        /// Why its owner counts as gone.
        because: String,
    },
    /// The owner is still at work: only the deadline moves.
    Renewed,
    /// A person wants no release to begin.
    Hold {
        /// Why, in the person's words.
        reason: String,
    },
    /// The hold is over.
    Unhold,
    /// Generations that were kept are about to be removed, and are no place to go back to at once any more.
    EndingKept {
        /// Of which targets.
        targets: BTreeSet<Name>,
    },
    /// They are gone.
    EndedKept {
        /// Of which targets.
        targets: BTreeSet<Name>,
    },
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
    /// Whether what the targets serve was changed by somebody else since the last release and is accepted as the state to go back to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopts: bool,
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
    /// How it is reached without the manifest.
    pub reach: Reach,
    /// The targets that must serve before it, and go back after it; `None` in records of versions that did not write it: then all go back one by
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<Name>>,
    /// How it was judged; a later release asks unchanged ones of what served first.
    #[serde(default)]
    pub checks: Vec<Check>,
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

impl Entry {
    /// Returns the entry's name as it is written.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Prepared { .. } => "prepared",
            Self::Migrating { .. } => "migrating",
            Self::Migrated { .. } => "migrated",
            Self::BackAllowed { .. } => "back_allowed",
            Self::Secrets { .. } => "secrets",
            Self::SecretsSet { .. } => "secrets_set",
            Self::SecretsKept => "secrets_kept",
            Self::Cutting => "cutting",
            Self::Committed => "committed",
            Self::Finishing => "finishing",
            Self::Finished => "finished",
            Self::RollingBack { .. } => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Stuck { .. } => "stuck",
            Self::TakenOver { .. } => "taken_over",
            Self::Renewed => "renewed",
            Self::Hold { .. } => "hold",
            Self::Unhold => "unhold",
            Self::EndingKept { .. } => "ending_kept",
            Self::EndedKept { .. } => "ended_kept",
        }
    }
}
