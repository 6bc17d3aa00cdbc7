//! Migrations: what runs once on a new artifact before anything that needs its schema, and what is kept of the database before it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a target asks to be run once on the new artifact, before what needs the new schema is prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Migration {
    /// The command, as the platform's own file names it.
    pub command: String,
    /// Whether the code that serves cannot work with what it leaves: then there is no way back once it has run.
    #[serde(default)]
    pub breaking: bool,
    /// How long it may run, in milliseconds; `None` where there is no limit.
    #[serde(default)]
    pub limit_ms: Option<u64>,
    /// Of what a snapshot is taken before it, in words; `None` where none is asked for.
    #[serde(default)]
    pub database: Option<String>,
}

/// A copy of a database's volume that a person can go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The platform's id of it.
    pub id: String,
    /// What it is a copy of, as the platform calls it: "volume `vol_…` of app `dailyreps-db`".
    pub of: String,
}

/// How a migration ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MigrationEnd {
    /// Its process ended; 0 is success.
    Exited {
        /// The exit code.
        code: i64,
    },
    /// It ran longer than it may, and was ended.
    TimedOut,
    /// It was never begun, and will not be.
    NeverRan,
    /// Nobody can say any more.
    Unknown {
        /// Why.
        why: String,
    },
}

/// How a migration that this run waited for ended, and what a person may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationResult {
    /// How it ended.
    pub end: MigrationEnd,
    /// Its last lines, or where they are. Foreign text.
    pub hints: Vec<String>,
}

impl MigrationEnd {
    /// Returns whether it did what it was to do.
    pub const fn succeeded(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }

    /// Returns whether the database may have the new schema. The exit code decides, where the process gave one itself: one that was killed
    /// (128 and more) said nothing.
    pub const fn may_have_changed(&self) -> bool {
        !matches!(self, Self::NeverRan | Self::Exited { code: 1..=127 })
    }
}

impl fmt::Display for MigrationEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "ended with exit code {code}"),
            Self::TimedOut => f.write_str("ran longer than it may, and was ended"),
            Self::NeverRan => f.write_str("was never begun"),
            Self::Unknown { why } => write!(f, "ended in a way that nobody can tell: {why}"),
        }
    }
}
