//! The git database: refs, commits, trees and blobs, without a clone (<https://docs.github.com/rest/git>).
//!
//! Objects are named by their content, so making one again makes nothing new, and those calls are repeated freely. A ref is another matter:
//! the caller reads it before it asks again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::error::RequestId;
use super::{GitHub, GitHubError};

/// How many commits one page of a listing has at most.
const PAGE: usize = 100;

/// A ref and the object that it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRef {
    /// Its full name: `refs/heads/main`.
    pub name: String,
    /// The object.
    pub sha: String,
}

/// A commit as it is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewCommit {
    /// The message, kept as it is.
    pub message: String,
    /// The name of a tree that exists.
    pub tree: String,
    /// The commits before it, which exist.
    pub parents: Vec<String>,
    /// Who wrote it.
    pub author: GitSignature,
    /// Who put it there.
    pub committer: GitSignature,
}

impl NewCommit {
    /// Returns the name that git gives it: the SHA-1 of its kind, length and content
    /// (<https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>), with dates in UTC, as they are sent.
    pub fn id(&self) -> String {
        let parents: String = self.parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let sign = |who: &GitSignature| format!("{} <{}> {} +0000", who.name, who.email, who.date.as_second());
        let (author, committer) = (sign(&self.author), sign(&self.committer));
        let content = format!("tree {}\n{parents}author {author}\ncommitter {committer}\n\n{}", self.tree, self.message);
        let digest = Sha1::digest(format!("commit {}\0{content}", content.len()));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GitSignature {
    /// The name.
    pub name: &'static str,
    /// The address.
    pub email: &'static str,
    /// When, in whole seconds: git keeps no more.
    pub date: jiff::Timestamp,
}

/// A commit as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommit {
    /// Its name.
    pub sha: String,
    /// Its message.
    pub message: String,
    /// The name of its tree.
    pub tree: String,
    /// The commits before it.
    pub parents: Vec<String>,
}

#[derive(Deserialize)]
struct RefAnswer {
    #[serde(default, rename = "ref")]
    name: String,
    #[serde(default)]
    object: ObjectAnswer,
}

#[derive(Default, Deserialize)]
struct ObjectAnswer {
    #[serde(default)]
    sha: String,
}

#[derive(Deserialize)]
struct CommitAnswer {
    sha: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    tree: ObjectAnswer,
    #[serde(default)]
    parents: Vec<ObjectAnswer>,
}

/// One element of the listing of commits, which wraps what git knows.
#[derive(Deserialize)]
struct ListedCommit {
    sha: String,
    commit: InnerCommit,
    #[serde(default)]
    parents: Vec<ObjectAnswer>,
}

#[derive(Deserialize)]
struct InnerCommit {
    #[serde(default)]
    message: String,
    #[serde(default)]
    tree: ObjectAnswer,
}

#[derive(Deserialize)]
struct TreeAnswer {
    sha: String,
    #[serde(default)]
    tree: Vec<EntryAnswer>,
}

#[derive(Deserialize)]
struct EntryAnswer {
    #[serde(default)]
    path: String,
    #[serde(default)]
    sha: String,
}

#[derive(Deserialize)]
struct BlobAnswer {
    #[serde(default)]
    content: String,
}

#[derive(Serialize)]
struct RefBody<'a> {
    #[serde(rename = "ref")]
    name: &'a str,
    sha: &'a str,
}

#[derive(Serialize)]
struct MoveBody<'a> {
    sha: &'a str,
    force: bool,
}

#[derive(Serialize)]
struct TreeBody<'a> {
    tree: Vec<EntryBody<'a>>,
}

#[derive(Serialize)]
struct EntryBody<'a> {
    path: &'a str,
    mode: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    content: &'a str,
}

impl From<RefAnswer> for GitRef {
    fn from(answer: RefAnswer) -> Self {
        Self { name: answer.name, sha: answer.object.sha }
    }
}

impl From<CommitAnswer> for GitCommit {
    fn from(answer: CommitAnswer) -> Self {
        let parents = answer.parents.into_iter().map(|parent| parent.sha).collect();
        Self { sha: answer.sha, message: answer.message, tree: answer.tree.sha, parents }
    }
}

impl From<ListedCommit> for GitCommit {
    fn from(listed: ListedCommit) -> Self {
        let parents = listed.parents.into_iter().map(|parent| parent.sha).collect();
        Self { sha: listed.sha, message: listed.commit.message, tree: listed.commit.tree.sha, parents }
    }
}

impl GitHub {
    /// Returns what the ref `name` (`refs/heads/main`) points at; `None` when it is not there, or not readable yet: a ref may be read late
    /// (github/branch-deploy#180). An empty repository (409) has none.
    pub async fn get_ref(&self, name: &str) -> Result<Option<String>, GitHubError> {
        match self.get::<RefAnswer>("get_ref", &format!("/git/ref/{}", below_refs(name))).await {
            Ok(answer) => Ok(Some(answer.object.sha)),
            Err(GitHubError::NotFound { .. } | GitHubError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the refs whose names begin with `prefix` (`refs/cutover/`). Unlike [`GitHub::get_ref`] it is an error when the repository
    /// cannot be seen; an empty one (409) has none.
    pub async fn matching_refs(&self, prefix: &str) -> Result<Vec<GitRef>, GitHubError> {
        let route = format!("/git/matching-refs/{}", below_refs(prefix));
        match self.get_all("list_matching_refs", &route, |page: Vec<RefAnswer>| page.into_iter().map(GitRef::from).collect()).await {
            Err(GitHubError::Conflict { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Makes the ref `name`; returns what it points at. Never repeated by itself: [`GitHubError::Refused`] (422) says that it exists, or that
    /// the server takes no such name. Needs `contents: write`.
    pub async fn create_ref(&self, name: &str, sha: &str) -> Result<String, GitHubError> {
        let page = self.change("create_ref", Method::POST, "/git/refs", Some(&RefBody { name, sha })).await?;
        page.decode::<RefAnswer>().map(|answer| answer.object.sha)
    }

    /// Moves the ref `name` forward to `sha`, which must descend from what it points at (else 422); returns what it points at. Moving it to
    /// where it is changes nothing. Never repeated by itself. Needs `contents: write`.
    pub async fn update_ref(&self, name: &str, sha: &str) -> Result<String, GitHubError> {
        let route = format!("/git/refs/{}", below_refs(name));
        let page = self.change("update_ref", Method::PATCH, &route, Some(&MoveBody { sha, force: false })).await?;
        page.decode::<RefAnswer>().map(|answer| answer.object.sha)
    }

    /// Makes a tree of text files in one directory; returns its name. Repeated as the transport sees fit. Needs `contents: write`.
    pub async fn create_tree(&self, files: &[(&str, &str)]) -> Result<String, GitHubError> {
        let tree = files.iter().map(|(path, content)| EntryBody { path, mode: "100644", kind: "blob", content }).collect();
        let page = self.change_again("create_tree", Method::POST, "/git/trees", &TreeBody { tree }).await?;
        page.decode::<TreeAnswer>().map(|answer| answer.sha)
    }

    /// Makes a commit that no ref points at yet. Repeated as the transport sees fit. Needs `contents: write`.
    pub async fn create_commit(&self, commit: &NewCommit) -> Result<GitCommit, GitHubError> {
        let page = self.change_again("create_git_commit", Method::POST, "/git/commits", commit).await?;
        page.decode::<CommitAnswer>().map(GitCommit::from)
    }

    /// Returns a commit.
    pub async fn get_commit(&self, sha: &str) -> Result<GitCommit, GitHubError> {
        self.get::<CommitAnswer>("get_git_commit", &format!("/git/commits/{sha}")).await.map(GitCommit::from)
    }

    /// Returns the commit `sha` and those before it by their first parents, newest first, at most `most`; a hundred a call. Where the listing
    /// leaves one out, the rest is left out too.
    pub async fn list_commits(&self, sha: &str, most: usize) -> Result<Vec<GitCommit>, GitHubError> {
        let mut chain: Vec<GitCommit> = Vec::new();
        let mut next = Some(sha.to_owned());
        while let Some(from) = next.take() {
            let route = format!("/commits?sha={from}&per_page={}", PAGE.min(most - chain.len()));
            let page: Vec<ListedCommit> = self.get("list_commits", &route).await?;
            let begun = chain.len();
            let mut wanted = from;
            for commit in page.into_iter().map(GitCommit::from) {
                if commit.sha != wanted || chain.len() >= most {
                    break;
                }
                let parent = commit.parents.first().cloned();
                chain.push(commit);
                match parent {
                    Some(parent) => wanted = parent,
                    None => return Ok(chain),
                }
            }
            next = (chain.len() > begun && chain.len() < most).then_some(wanted);
        }
        Ok(chain)
    }

    /// Returns the content of the file `path` at the top of a tree; `None` when the tree has none. Two calls.
    pub async fn file_of_tree(&self, tree: &str, path: &str) -> Result<Option<Vec<u8>>, GitHubError> {
        let listed: TreeAnswer = self.get("get_tree", &format!("/git/trees/{tree}")).await?;
        let Some(entry) = listed.tree.into_iter().find(|entry| entry.path == path) else { return Ok(None) };
        let blob: BlobAnswer = self.get("get_blob", &format!("/git/blobs/{}", entry.sha)).await?;
        // It comes in lines (<https://docs.github.com/rest/git/blobs>).
        let encoded: String = blob.content.split_whitespace().collect();
        let unreadable = |reason: base64::DecodeError| GitHubError::Unreadable {
            operation: "get_blob",
            reason: reason.to_string(),
            request_id: RequestId::default(),
        };
        STANDARD.decode(encoded).map(Some).map_err(unreadable)
    }
}

fn below_refs(name: &str) -> &str {
    name.strip_prefix("refs/").unwrap_or(name)
}
