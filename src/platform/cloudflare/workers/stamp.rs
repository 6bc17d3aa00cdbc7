//! What marks a version as ours: its annotations. A message is cut to 100 bytes (API description), so it has the release and the revision, and
//! the tag says whose it is: the longest tag is documented nowhere [?], so ours has 24 characters.

use sha2::{Digest, Sha256};

use crate::platform::{RevisionDigest, Scope};

/// What the message and the tag begin with.
const PREFIX: &str = "cutover";
/// What digests begin with, left out of the message.
const ALGORITHM: &str = "sha256:";
/// How many hex digits a digest has.
const DIGITS: usize = 64;
/// The longest message that is kept whole, in bytes (API description).
const LONGEST: usize = 100;

/// A release's mark on a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) release: String,
    revision: String,
    /// Whose it is: product and environment, as a short digest.
    pub(super) tag: String,
}

impl Stamp {
    /// Returns the mark of a release's revision.
    pub(super) fn of(scope: &Scope, revision: &RevisionDigest) -> Self {
        Self { release: scope.release.to_string(), revision: revision.as_str().trim_start_matches(ALGORITHM).to_owned(), tag: tag(scope) }
    }

    /// Returns the message; `None` where it would not be kept whole, so that the version could not be found again.
    pub(super) fn message(&self) -> Option<String> {
        let text = format!("{PREFIX} {} {}", self.release, self.revision);
        (text.len() <= LONGEST).then_some(text)
    }

    /// Returns the mark in a message and a tag; `None` where the message is somebody else's.
    pub(super) fn parse(message: &str, tag: &str) -> Option<Self> {
        let mut words = message.split(' ');
        let (prefix, release, revision) = (words.next()?, words.next()?, words.next()?);
        let whole = revision.len() == DIGITS && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        let ours = prefix == PREFIX && whole && words.next().is_none();
        ours.then(|| Self { release: release.to_owned(), revision: revision.to_owned(), tag: tag.to_owned() })
    }

    pub(super) fn revision(&self) -> RevisionDigest {
        RevisionDigest::from_text(format!("{ALGORITHM}{}", self.revision))
    }

    /// Returns whether it was made by this very release.
    pub(super) fn is_of(&self, scope: &Scope) -> bool {
        self.tag == tag(scope) && self.release == scope.release.as_str()
    }
}

fn tag(scope: &Scope) -> String {
    let whose = format!("{}\n{}", scope.product, scope.environment);
    let digest = Sha256::digest(whose.as_bytes());
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}-{short}")
}
