//! A revision's identity by content.

use std::collections::BTreeMap;

use super::WorkerTarget;
use super::hints::Hints;
use super::wire::Version;
use crate::platform::revision::Content;
use crate::platform::{Artifact, PlatformError, PlatformErrorKind, Revision, RevisionDigest};

impl WorkerTarget {
    /// Returns the digest that `artifact` would have: its own, which names with a dot are published, and what a path gets that no file has. Our
    /// marks are left out.
    pub(super) fn would_be(&self, artifact: &Artifact) -> Result<RevisionDigest, PlatformError> {
        let Artifact::Directory { digest, .. } = artifact else {
            let text = "a worker target ships a directory (`dir`) and nothing else".to_owned();
            return Err(self.error("digest", PlatformErrorKind::Impossible(text)));
        };
        let mut slots = BTreeMap::from([("form".to_owned(), "worker assets".to_owned())]);
        slots.insert("not found".to_owned(), self.settings.not_found.clone());
        if !self.settings.dotfiles.is_empty() {
            slots.insert("dotfiles".to_owned(), self.settings.dotfiles.join("\n"));
        }
        Ok(Content { artifact: digest.clone(), slots }.digest())
    }

    /// Returns the revision that a version is, by what it says about itself.
    pub(super) fn revision_of(&self, version: &Version, preview: Option<String>) -> Revision {
        let stamp = version.stamp();
        // Not ours: a version never changes, so its id stands for its content.
        let of_id = || RevisionDigest::of(format!("cloudflare worker version {}", version.id).as_bytes());
        Revision {
            digest: stamp.as_ref().map_or_else(of_id, super::stamp::Stamp::revision),
            artifact: None,
            label: format!("{} {}", self.settings.worker, version.label()),
            release: stamp.map(|stamp| stamp.release),
            hints: Hints { version: version.id.clone(), preview }.to_value(),
        }
    }
}
