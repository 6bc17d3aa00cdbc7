//! What a journal knows of a release's migrations, and to where a later release may go back over them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Closed, Open, State};
use crate::id::Name;
use crate::platform::{Migration, MigrationEnd, Snapshot};

/// A migration that a release was about to run, or has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// What was to run.
    pub migration: Migration,
    /// What was kept of the database before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// How it ended; `None` until somebody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<MigrationEnd>,
    /// Whether a person has said that the old code can work with what it left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back_allowed: bool,
}

impl Migrated {
    /// Returns whether the code that served before may be unable to work with the database, if it ended as `end`.
    pub fn bars_the_way(&self, end: &MigrationEnd) -> bool {
        self.migration.breaking && !self.back_allowed && end.may_have_changed()
    }
}

impl Open {
    /// Returns the migrations of which nobody has written down yet how they ended.
    pub fn unsettled(&self) -> impl Iterator<Item = (&Name, &Migrated)> {
        self.migrations.iter().filter(|(_, migrated)| migrated.ended.is_none())
    }
}

impl State {
    /// Returns why the release `to` is not known to work with the database as it is; `None` where nothing speaks against it.
    ///
    /// A migration is made to work with the code that served when it ran, and is not known to work with any older one. One that is called
    /// breaking works with the new code alone. A release that was rolled back left its migration all the same.
    pub fn barred(&self, to: &Closed) -> Option<String> {
        let place = self.closed.iter().position(|closed| closed.release == to.release)?;
        let later = &self.closed[place + 1..];
        let mut served = to;
        for closed in later {
            for (name, migrated) in &closed.migrations {
                if migrated.back_allowed || matches!(migrated.ended, Some(MigrationEnd::NeverRan)) {
                    continue;
                }
                let what = format!("{} of {name} ran `{}` after it", closed.release, migrated.migration.command);
                if migrated.migration.breaking {
                    return Some(format!("{what}, which the manifest calls breaking"));
                }
                if served.release != to.release {
                    return Some(format!("{what}, which is known to work with the code of {} and with no older one", served.release));
                }
            }
            if closed.finished {
                served = closed;
            }
        }
        None
    }
}

/// Sets how migrations ended; `false` where one is not known.
pub(super) fn settle(migrations: &mut BTreeMap<Name, Migrated>, ended: &BTreeMap<Name, MigrationEnd>) -> bool {
    ended.iter().all(|(name, end)| {
        let known = migrations.get_mut(name);
        known.map(|migrated| migrated.ended = Some(end.clone())).is_some()
    })
}
