//! The name that git gives a commit: the SHA-1 of its kind, length and content (<https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>).
//!
//! Knowing it before the commit is made is what makes an append that lost its answer easy to find.

use sha1::{Digest, Sha1};

use crate::github::{GitSignature, NewCommit};

/// Returns the name of a commit: 40 hex digits. Dates are written in UTC, as the API writes what is sent to it in UTC.
pub(super) fn commit_id(commit: &NewCommit) -> String {
    let parents: String = commit.parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    let sign = |who: &GitSignature| format!("{} <{}> {} +0000", who.name, who.email, who.date.as_second());
    let (author, committer) = (sign(&commit.author), sign(&commit.committer));
    let content = format!("tree {}\n{parents}author {author}\ncommitter {committer}\n\n{}", commit.tree, commit.message);
    let digest = Sha1::digest(format!("commit {}\0{content}", content.len()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
