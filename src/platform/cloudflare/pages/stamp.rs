//! What marks a deployment as ours: its commit message. Pages has no metadata of a deployer's own, and keeps this text whole up to 384 bytes
//! (cloudflare.md 3.9).

use serde::{Deserialize, Serialize};

use crate::platform::{RevisionDigest, Scope};

/// What the message begins with.
const PREFIX: &str = "cutover ";
/// The longest message, in bytes; the vendor's client cuts there (cloudflare.md 3.9).
const LONGEST: usize = 384;
/// What digests begin with, left out of the message.
const ALGORITHM: &str = "sha256:";

/// A release's mark on a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    #[serde(rename = "p")]
    pub(super) product: String,
    #[serde(rename = "e")]
    pub(super) environment: String,
    #[serde(rename = "r")]
    pub(super) release: String,
    /// The revision's digest, without its algorithm.
    #[serde(rename = "v")]
    revision: String,
    /// Under which name the staging deployment keeps its record; see [`super::record`].
    #[serde(rename = "k")]
    pub(super) record: String,
    /// The artifact's digest.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact: Option<String>,
}

impl Stamp {
    /// Returns the mark of a release's revision.
    pub(super) fn of(scope: &Scope, revision: &RevisionDigest, artifact: Option<&str>, record: &str) -> Self {
        Self {
            product: scope.product.to_string(),
            environment: scope.environment.to_string(),
            release: scope.release.to_string(),
            revision: revision.as_str().trim_start_matches(ALGORITHM).to_owned(),
            record: record.to_owned(),
            artifact: artifact.map(str::to_owned),
        }
    }

    /// Returns the message; the artifact is left out where all is too long.
    pub(super) fn message(&self) -> String {
        // Strings always serialize.
        let text = |stamp: &Self| format!("{PREFIX}{}", serde_json::to_string(stamp).unwrap_or_default());
        let whole = text(self);
        if whole.len() <= LONGEST { whole } else { text(&Self { artifact: None, ..self.clone() }) }
    }

    /// Returns the mark in a message; `None` where the message is somebody else's.
    pub(super) fn parse(message: &str) -> Option<Self> {
        serde_json::from_str(message.trim().strip_prefix(PREFIX)?).ok()
    }

    pub(super) fn revision(&self) -> RevisionDigest {
        RevisionDigest::from_text(format!("{ALGORITHM}{}", self.revision))
    }

    /// Returns whether it was made for this product and environment.
    pub(super) fn is_ours(&self, scope: &Scope) -> bool {
        self.product == scope.product.as_str() && self.environment == scope.environment.as_str()
    }

    /// Returns whether it was made by this very release.
    pub(super) fn is_of(&self, scope: &Scope) -> bool {
        self.is_ours(scope) && self.release == scope.release.as_str()
    }
}
