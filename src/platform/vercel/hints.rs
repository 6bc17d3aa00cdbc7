//! By what a deployment is found again.

use serde::{Deserialize, Serialize};

use crate::platform::Revision;

/// A revision's hints: written into the journal, read by this target only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hints {
    pub(super) deployment_id: String,
    /// The deployment's own hostname.
    #[serde(default)]
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) project_id: String,
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
