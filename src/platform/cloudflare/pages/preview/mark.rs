//! What marks a deployment as a preview's: its commit's message, in a form that no release writes (cloudflare.md 3.9: it is kept whole up to
//! 384 bytes).

use serde::{Deserialize, Serialize};

use crate::platform::cloudflare::pages::wire::Deployment;
use crate::platform::{PreviewOf, PreviewsOf, RevisionDigest};

/// What the message begins with.
const PREFIX: &str = "cutover preview ";
/// What digests begin with, left out of the message.
const ALGORITHM: &str = "sha256:";

/// A preview's mark on a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The preview's own.
    #[serde(rename = "m")]
    mark: String,
    /// The revision's digest, without its algorithm.
    #[serde(rename = "v")]
    revision: String,
}

impl Mark {
    pub(super) fn of(preview: &PreviewOf, revision: &RevisionDigest) -> Self {
        Self { mark: preview.mark(), revision: revision.as_str().trim_start_matches(ALGORITHM).to_owned() }
    }

    /// Returns the message.
    pub(super) fn message(&self) -> String {
        // Strings always serialize.
        format!("{PREFIX}{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// Returns the mark of a deployment; `None` where its message is somebody else's.
    pub(super) fn on(deployment: &Deployment) -> Option<Self> {
        serde_json::from_str(deployment.message()?.strip_prefix(PREFIX)?).ok()
    }

    pub(super) fn revision(&self) -> RevisionDigest {
        RevisionDigest::from_text(format!("{ALGORITHM}{}", self.revision))
    }
}

/// Returns the pull request whose preview a deployment is; `None` for one of production, and of others.
pub(super) fn pull_request(deployment: &Deployment, previews: &PreviewsOf) -> Option<u64> {
    let mark = Mark::on(deployment).filter(|_| !deployment.is_production())?;
    previews.pull_request(&mark.mark)
}
