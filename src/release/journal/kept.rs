//! What a finished release leaves alive for a while, so that a rollback is a switch and not a new release of old machines.
//!
//! It is written into the state by the record that closes the release, with its end; whoever finds it due ends it, so that nothing is forgotten.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Begun, Reached, TargetRecord};
use crate::id::ReleaseId;
use crate::platform::{Back, Revision};

/// A generation of one target that users do not get any more and that is still there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The release that took its place.
    pub since: ReleaseId,
    /// The generation.
    pub revision: Revision,
    /// Where it is.
    pub at: Reached,
    /// When it is to be removed.
    pub until: Timestamp,
    /// Whether its removal has begun: from then on nothing goes back to it at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
}

impl Kept {
    /// Returns what a release that finishes now keeps of one target: one generation that can serve again at once, where the manifest said so.
    pub fn of(begun: &Begun, target: &TargetRecord, now: Timestamp) -> Option<Self> {
        let keep = target.reach.keep_ms.filter(|keep| *keep > 0 && !target.carried)?;
        // In place the machines of before are those of after.
        let revision = target.before.single().filter(|_| target.capabilities.back == Back::Instantly)?;
        let until = now.saturating_add(Duration::from_millis(keep)).unwrap_or(Timestamp::MAX);
        let at = Reached { platform: target.platform, thing: target.thing.clone(), reach: target.reach.clone() };
        Some(Self { since: begun.release.clone(), revision: revision.clone(), at, until, ending: false })
    }

    /// Returns whether it is to be removed by `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.ending || self.until <= now
    }

    /// Returns whether a revision is of this generation: made by the same release, or, where none made it, of the same content.
    pub fn is(&self, revision: &Revision) -> bool {
        same_generation(&self.revision, revision)
    }
}

/// Returns whether two revisions are one generation of a target.
pub(in crate::release) fn same_generation(one: &Revision, other: &Revision) -> bool {
    match (&one.release, &other.release) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.same_content(other),
        _ => false,
    }
}
