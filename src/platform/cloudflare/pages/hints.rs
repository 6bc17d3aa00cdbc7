//! By what a deployment is found again.

use serde::{Deserialize, Serialize};

use crate::platform::Revision;

/// A revision's hints: written into the journal, read by this target only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hints {
    /// The deployment: of the staging branch for what was prepared, of production for what was seen serving.
    pub(super) deployment_id: String,
    /// Its own address, with its scheme.
    #[serde(default)]
    pub(super) url: Option<String>,
    /// Whether the deployment is one of production, to which a rollback leads.
    #[serde(default)]
    pub(super) production: bool,
    /// Under which name the staging deployment keeps its record.
    #[serde(default)]
    pub(super) record: Option<String>,
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
