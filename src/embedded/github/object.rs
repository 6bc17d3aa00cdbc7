//! Git objects, named as git names them: the SHA-1 of kind, length and content (git's own documentation of its object format).

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

use crate::embedded::tape::hex;

/// One git object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// The content of a file.
    Blob(Vec<u8>),
    /// A directory: entries by name.
    Tree(BTreeMap<String, Entry>),
    /// A commit.
    Commit(Commit),
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Six digits: `100644`, `100755`, `120000`, `040000`, `160000`.
    pub(super) mode: String,
    /// The object.
    pub(super) sha: String,
}

impl Entry {
    pub(super) fn is_tree(&self) -> bool {
        self.mode == "040000"
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.mode.as_str() {
            "040000" => "tree",
            "160000" => "commit",
            _ => "blob",
        }
    }
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
    pub(super) author: Signature,
    pub(super) committer: Signature,
    pub(super) message: String,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) email: String,
    /// Seconds since 1970; the zone is always UTC.
    pub(super) at: i64,
}

impl Object {
    /// Returns the object's name: 40 lower-case hex digits.
    pub(super) fn id(&self) -> String {
        let (kind, content) = match self {
            Self::Blob(content) => ("blob", content.clone()),
            Self::Tree(entries) => ("tree", tree(entries)),
            Self::Commit(commit) => ("commit", commit.text().into_bytes()),
        };
        let mut hash = Sha1::new();
        hash.update(format!("{kind} {}\0", content.len()));
        hash.update(&content);
        hex(hash.finalize().as_slice())
    }
}

impl Commit {
    fn text(&self) -> String {
        let parents: String = self.parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let sign = |who: &Signature| format!("{} <{}> {} +0000", who.name, who.email, who.at);
        format!("tree {}\n{parents}author {}\ncommitter {}\n\n{}", self.tree, sign(&self.author), sign(&self.committer), self.message)
    }
}

/// Returns the tree's content; git sorts a directory as if its name ended in a slash.
fn tree(entries: &BTreeMap<String, Entry>) -> Vec<u8> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|(name, entry)| if entry.is_tree() { format!("{name}/") } else { (*name).clone() });
    let mut content = Vec::new();
    for (name, entry) in sorted {
        content.extend(entry.mode.trim_start_matches('0').as_bytes());
        content.push(b' ');
        content.extend(name.as_bytes());
        content.push(0);
        content.extend(bytes(&entry.sha));
    }
    content
}

fn bytes(sha: &str) -> Vec<u8> {
    (0..sha.len() / 2).map(|at| sha.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0)).collect()
}
