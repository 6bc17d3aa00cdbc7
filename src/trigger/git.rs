//! The state of the work tree on a person's machine, read with the `git` program.
//!
//! Fails softly: every way in which there may be no usable git is a named state, because a release from a laptop must still say exactly
//! what it ships.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long one call of git may take; `status` reads the whole tree once.
const GIT_DEADLINE: Duration = Duration::from_secs(30);

/// What git says about a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkout {
    /// The program git is not installed.
    NoGit,
    /// The directory belongs to no repository.
    NoRepository,
    /// A repository without a commit.
    Empty {
        /// The branch that the first commit will be on.
        branch: Option<String>,
    },
    /// A repository is there, but git refuses or breaks (another owner, a damaged index, too slow).
    Unusable {
        /// Why, in git's words.
        reason: String,
    },
    /// A commit is checked out.
    At {
        /// The whole commit id.
        sha: String,
        /// The branch; `None` when HEAD is detached.
        branch: Option<String>,
        /// Whether files differ from the commit; files that git does not know count.
        dirty: bool,
        /// Whether history is cut off, so that ancestors cannot be told.
        shallow: bool,
    },
}

impl Checkout {
    /// Reads the state of the work tree that `directory` is in; changes nothing, not even git's index.
    pub async fn read(directory: &Path) -> Self {
        let status = match git(directory, &["status", "--porcelain=v2", "--branch", "-z"]).await {
            Ok(status) => status,
            Err(Trouble::NotInstalled) => return Self::NoGit,
            Err(Trouble::Refused(reason)) => {
                // git uses exit code 128 for "no repository" and for every refusal; the directory itself tells them apart.
                let inside = directory.canonicalize().is_ok_and(|path| path.ancestors().any(|above| above.join(".git").exists()));
                return if inside { Self::Unusable { reason } } else { Self::NoRepository };
            }
        };
        let shallow = git(directory, &["rev-parse", "--is-shallow-repository"]).await.is_ok_and(|answer| answer.trim() == "true");
        parse(&status, shallow)
    }

    /// Returns the whole id of the commit that is checked out.
    pub fn sha(&self) -> Option<&str> {
        match self {
            Self::At { sha, .. } => Some(sha),
            _ => None,
        }
    }

    /// Returns the branch that is checked out.
    pub fn branch(&self) -> Option<&str> {
        match self {
            Self::At { branch, .. } | Self::Empty { branch } => branch.as_deref(),
            _ => None,
        }
    }

    /// Returns what the reader should know before a release from here; empty when a clean commit of a branch is checked out.
    pub fn caveats(&self) -> Vec<&'static str> {
        match self {
            Self::NoGit => vec!["git is not installed, so the release cannot say which commit it ships"],
            Self::NoRepository => vec!["this directory is in no git repository, so the release cannot say which commit it ships"],
            Self::Empty { .. } => vec!["the repository has no commit yet, so the release cannot say which commit it ships"],
            Self::Unusable { .. } => vec!["git cannot read this repository, so the release cannot say which commit it ships"],
            Self::At { branch, dirty, shallow, .. } => {
                let mut caveats = Vec::new();
                if *dirty {
                    caveats.push("files differ from the commit; what is released is the work tree, not the commit");
                }
                if branch.is_none() {
                    caveats.push("HEAD is detached, so no environment is chosen by branch");
                }
                if *shallow {
                    caveats.push("the clone is shallow, so it cannot be told whether the commit is older than what serves");
                }
                caveats
            }
        }
    }
}

/// In words: "at 1a2b3c4d5e6f on main, with changes". Holds foreign text.
impl fmt::Display for Checkout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGit => f.write_str("without git"),
            Self::NoRepository => f.write_str("outside any repository"),
            Self::Empty { .. } => f.write_str("in a repository without a commit"),
            Self::Unusable { reason } => write!(f, "in a repository that git cannot read ({reason})"),
            Self::At { sha, branch, dirty, .. } => {
                write!(f, "at {}", sha.get(..12).unwrap_or(sha))?;
                if let Some(branch) = branch {
                    write!(f, " on {branch}")?;
                }
                f.write_str(if *dirty { ", with changes" } else { "" })
            }
        }
    }
}

/// Reads the output of `git status --porcelain=v2 --branch -z` (<https://git-scm.com/docs/git-status>).
fn parse(status: &str, shallow: bool) -> Checkout {
    let (mut sha, mut branch, mut dirty) = (None, None, false);
    for record in status.split('\0').filter(|record| !record.is_empty()) {
        if let Some(oid) = record.strip_prefix("# branch.oid ") {
            sha = (oid != "(initial)").then(|| oid.to_owned());
        } else if let Some(head) = record.strip_prefix("# branch.head ") {
            branch = (head != "(detached)").then(|| head.to_owned());
        } else if !record.starts_with("# ") {
            dirty = true;
        }
    }
    match sha {
        Some(sha) => Checkout::At { sha, branch, dirty, shallow },
        None => Checkout::Empty { branch },
    }
}

enum Trouble {
    NotInstalled,
    Refused(String),
}

async fn git(directory: &Path, words: &[&str]) -> Result<String, Trouble> {
    let mut command = Command::new("git");
    // No question to a terminal, and no refresh of the index under somebody else's lock.
    command.arg("-C").arg(directory).args(words).env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(GIT_DEADLINE, command.output()).await {
        Err(_) => Err(Trouble::Refused(format!("git took longer than {GIT_DEADLINE:?}"))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound && directory.is_dir() => Err(Trouble::NotInstalled),
        Ok(Err(error)) => Err(Trouble::Refused(error.to_string())),
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Trouble::Refused(said.lines().next().unwrap_or("git said nothing").chars().take(300).collect()))
        }
    }
}

/// Returns the address of the remote that a clone came from (`origin`); `None` without one, or without git.
pub async fn origin(directory: &Path) -> Option<String> {
    let address = git(directory, &["remote", "get-url", "origin"]).await.ok()?;
    Some(address.trim().to_owned()).filter(|address| !address.is_empty())
}

/// Returns `owner/name` of the repository that a remote's address means, if it is on the GitHub at `host`: pure.
///
/// Knows https and ssh addresses and git's short form `git@host:owner/name.git`; GitHub's ssh may stand at port 443 of `ssh.github.com`
/// (<https://docs.github.com/authentication/troubleshooting-ssh/using-ssh-over-the-https-port>).
pub fn repository_on(host: &str, address: &str) -> Option<String> {
    let (authority, path) = match address.split_once("://") {
        Some(("https" | "http" | "ssh" | "git", rest)) => rest.split_once('/')?,
        Some(_) => return None,
        None => address.split_once(':')?,
    };
    let named = authority.rsplit('@').next()?.split(':').next()?;
    let same = named.eq_ignore_ascii_case(host) || named.strip_prefix("ssh.").is_some_and(|named| named.eq_ignore_ascii_case(host));
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let (owner, name) = path.split_once('/')?;
    (same && plain(owner) && plain(name)).then(|| path.to_owned())
}

/// Returns whether `older` is an ancestor of `newer`; `None` when git cannot tell (no git, a shallow clone, an unknown commit).
pub async fn is_ancestor(directory: &Path, older: &str, newer: &str) -> Option<bool> {
    // Both must be there: git answers 1 for "no" and 128 for "do not know", and a missing commit must not read as "no".
    for commit in [older, newer] {
        git(directory, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).await.ok()?;
    }
    let base = git(directory, &["merge-base", older, newer]).await.ok()?;
    Some(base.trim() == older)
}
