//! By what a version is found again.

use serde::{Deserialize, Serialize};

use crate::platform::Revision;

/// A revision's hints: written into the journal, read by this target only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hints {
    /// The version.
    pub(super) version: String,
    /// Its own address, with its scheme; `None` where it is asked by the header that chooses it.
    #[serde(default)]
    pub(super) preview: Option<String>,
}

impl Hints {
    /// Returns the hints of a revision of this platform.
    pub(super) fn of(revision: &Revision) -> Option<Self> {
        serde_json::from_value(revision.hints.clone()).ok()
    }

    /// Returns the hints as they are kept.
    pub(super) fn to_value(&self) -> serde_json::Value {
        // Strings always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }
}
