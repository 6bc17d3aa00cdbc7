//! Secrets that a release sets on a target: what is told of them, which is never a value.

use serde::{Deserialize, Serialize};

/// A secret that the manifest names for a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedSecret {
    /// Its name on the platform.
    pub name: String,
    /// Whether this run has a value for it, and sets it where it differs.
    pub held: bool,
    /// Whether the revision that serves before works with a changed value as well, by the manifest's word.
    pub compatible: bool,
}

/// A secret as a release is about to set it; recorded before it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretChange {
    /// Its name on the platform.
    pub name: String,
    /// A digest of the value under a key that only this release's credential holder has, so that readers of a journal cannot guess by it.
    pub digest: String,
    /// The platform's own digest of the value that it had; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Whether the revision that serves before works with the new value as well.
    pub compatible: bool,
}

/// A secret as a release left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSecret {
    /// Its name on the platform.
    pub name: String,
    /// The digest of [`SecretChange`].
    pub digest: String,
    /// The platform's own digest of the value.
    pub listed: String,
}
