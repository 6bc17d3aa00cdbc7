//! What marks a worker as a preview's: its tags say whose it is and which commit it shows, and the version that serves says its revision.
//!
//! A version's message is kept up to 100 bytes (API description). How long a tag may be is documented nowhere [?]; commas and ampersands are refused
//! in tags (vendor's documentation of Workers for Platforms), and ours have none.

use crate::platform::{PreviewsOf, RevisionDigest};

/// What the tag of the commit begins with.
const COMMIT: &str = "cutover-commit-";
/// What the message begins with; no release writes it.
const MESSAGE: &str = "cutover-preview ";
/// What digests begin with, left out of the message.
const ALGORITHM: &str = "sha256:";

/// Returns the tags of a worker.
pub(super) fn tags(mark: String, commit: Option<&str>) -> Vec<String> {
    let commit = commit.map(|commit| format!("{COMMIT}{commit}"));
    std::iter::once(mark).chain(commit).collect()
}

/// Returns the pull request whose preview a worker is: by its tags, and by its name, which every worker of a preview ends with.
pub(super) fn pull_request(worker: &str, tags: &[String], previews: &PreviewsOf) -> Option<u64> {
    let marked = tags.iter().find_map(|tag| previews.pull_request(tag))?;
    worker.ends_with(&format!("-pr-{marked}")).then_some(marked)
}

/// Returns whether a name could be a preview's worker's.
pub(super) fn may_be_one(worker: &str) -> bool {
    worker.rsplit_once("-pr-").is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the commit that a worker shows.
pub(super) fn commit(tags: &[String]) -> Option<String> {
    tags.iter().find_map(|tag| tag.strip_prefix(COMMIT)).map(str::to_owned)
}

/// Returns what a version of this revision says.
pub(super) fn message(revision: &RevisionDigest) -> String {
    format!("{MESSAGE}{}", revision.as_str().trim_start_matches(ALGORITHM))
}

/// Returns the revision that a version is, by what it says.
pub(super) fn revision(message: &str) -> Option<RevisionDigest> {
    message.strip_prefix(MESSAGE).map(|hex| RevisionDigest::from_text(format!("{ALGORITHM}{hex}")))
}
