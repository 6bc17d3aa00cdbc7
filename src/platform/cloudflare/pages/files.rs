//! What is uploaded: a directory read once, every file known by its key, no content held in memory.
//!
//! Everything is published as it is, but for what configures the site (`_headers`, `_redirects`, `_routes.json`, `_worker.js`), what tools leave
//! behind, and names that begin with a dot: a `.env` in a directory of files is an accident far more often than a page. To the site comes
//! `/.well-known/cutover.json`, by which a public address shows its revision.

mod buckets;
pub(in crate::platform::cloudflare) mod hash;
mod rules;
mod types;
mod walk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempPath;
use tokio::runtime::{Handle, RuntimeFlavor};

pub use self::buckets::{AT_ONCE, MOST_BYTES, MOST_CONTENTS, pack};
pub use self::hash::{extension, key_of};
pub use self::types::Types;
use crate::platform::RevisionDigest;

/// Where a site shows its revision.
pub const MARK: &str = "/.well-known/cutover.json";
/// The largest file, in bytes (cloudflare.md 3.3).
pub const LARGEST_FILE: u64 = 25 * 1024 * 1024;
/// How many files a site has at most unless the upload token says otherwise (cloudflare.md 3.1).
pub const MOST_FILES: u64 = 20_000;

/// What is read and how.
#[derive(Debug, Clone)]
pub struct ReadSite {
    /// The directory.
    pub directory: PathBuf,
    /// What the mark shows.
    pub revision: RevisionDigest,
    /// Patterns of names with a dot that are published all the same, in the syntax of `.gitignore`.
    pub dotfiles: Vec<String>,
}

/// A directory, ready to be sent.
#[derive(Debug, Clone)]
pub struct Site {
    /// Every file, in the order of paths; equal contents are listed as often as they have paths.
    pub assets: Vec<Asset>,
    /// `_headers`, where it says anything.
    pub headers: Option<String>,
    /// `_redirects`, where it says anything.
    pub redirects: Option<String>,
    /// `_routes.json`; only a worker heeds it.
    pub routes: Option<String>,
    /// What answers before the files do.
    pub worker: Worker,
    /// What the reader should know, in whole sentences.
    pub notes: Vec<String>,
}

/// One file of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The path, with a leading slash, not encoded.
    pub path: String,
    /// The key of the content under this name, 32 lower-case hex digits.
    pub key: String,
    /// How large it is, in bytes.
    pub size: u64,
    /// The content type that is stored with it.
    pub content_type: &'static str,
    /// Where the content is.
    pub content: Content,
}

/// Where a content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In a file.
    File(PathBuf),
    /// In memory: what is ours.
    Memory(Bytes),
}

/// What answers before the files do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worker {
    /// Nothing.
    None,
    /// One script: `_worker.js`.
    Script(PathBuf),
    /// A bundle that a gate has made: `_worker.bundle`, as `wrangler pages functions build --outfile` writes it.
    Bundle(PathBuf),
}

/// Why a directory cannot be uploaded.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing in it is to be served.
    #[error("{} holds no file to serve", .0.display())]
    Empty(PathBuf),
    /// A name that is not UTF-8 cannot be sent.
    #[error("the name {} is not UTF-8", .0.display())]
    NotUnicode(PathBuf),
    /// A socket, a device or a pipe.
    #[error("{} is neither a file nor a directory", .0.display())]
    NotAFile(PathBuf),
    /// A link out of the directory, or around in it.
    #[error("the link {} leads to {}, which is outside of what is published, or around in a circle", link.display(), target.display())]
    LinkLeavesTree {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// A pattern of `dotfiles` is none.
    #[error("the pattern {pattern} of `dotfiles` is not valid: {reason}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// Above the vendor's limit for one file.
    #[error("{path} has {size} bytes; Pages takes at most {} (25 MiB) a file", LARGEST_FILE)]
    TooLarge {
        /// The file, as the site names it.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// Above the account's limit of files.
    #[error("the site has {count} files, and this account may publish {limit}; the first that is too much is {first}")]
    TooMany {
        /// How many it has.
        count: u64,
        /// How many it may have.
        limit: u64,
        /// The first file above the limit, in the order of paths.
        first: String,
    },
    /// A file that configures the site is not as it must be.
    #[error("{}{} is not valid: {reason}", path.display(), line.map(|line| format!(", line {line},")).unwrap_or_default())]
    BadRules {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where one is to blame.
        line: Option<usize>,
        /// Why.
        reason: String,
    },
    /// Functions are there as sources.
    #[error("{} holds functions that nobody has bundled: without them the site would be published broken", .0.display())]
    Unbundled(PathBuf),
    /// Two things want to answer first.
    #[error("{} has both _worker.js and _worker.bundle: remove one of them", .0.display())]
    TwoWorkers(PathBuf),
    /// A file is another one than when it was read.
    #[error("{0} has changed while it was uploaded: nothing may write to the directory meanwhile")]
    Changed(String),
    /// A bucket cannot be written.
    #[error("a bucket of the upload cannot be written to the temporary directory: {0}")]
    Spool(#[source] io::Error),
    /// The reading ended without a result.
    #[error("reading the directory was interrupted")]
    Interrupted,
}

impl FilesError {
    pub(in crate::platform::cloudflare) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unreadable { path, source }
    }
}

impl Site {
    /// Reads a directory on a thread of its own.
    pub async fn read(wanted: ReadSite) -> Result<Self, FilesError> {
        aside(move || Self::read_now(&wanted)).await
    }

    /// Reads a directory: lists it, then works out the key of each file.
    pub fn read_now(wanted: &ReadSite) -> Result<Self, FilesError> {
        let directory = wanted.directory.as_path();
        let worker = worker(directory)?;
        let listing = walk::site(directory, &wanted.dotfiles)?;
        let mut notes = listing.notes;
        if listing.found.is_empty() && worker == Worker::None {
            return Err(FilesError::Empty(directory.to_owned()));
        }
        let types = Types::new();
        let mut assets = Vec::with_capacity(listing.found.len() + 1);
        for found in listing.found {
            let path = format!("/{}", found.name);
            if path == MARK {
                notes.push(format!("The site's own {MARK} is replaced: it shows the revision."));
                continue;
            }
            let (key, size) = hash::of_file(&found.path, &path).map_err(FilesError::unreadable(&found.path))?;
            if size > LARGEST_FILE {
                return Err(FilesError::TooLarge { path, size });
            }
            assets.push(Asset { content_type: types.of(&path), path, key, size, content: Content::File(found.path) });
        }
        assets.push(Asset::ours(MARK.to_owned(), mark(&wanted.revision)));
        assets.sort_by(|one, other| one.path.cmp(&other.path));
        let routes = special(directory, "_routes.json", rules::routes)?;
        if routes.is_some() && worker == Worker::None {
            notes.push("_routes.json is not sent: no worker is there to heed it.".to_owned());
        }
        let headers = special(directory, "_headers", rules::headers)?;
        let redirects = special(directory, "_redirects", rules::redirects)?;
        Ok(Self { assets, headers, redirects, routes, worker, notes })
    }

    /// Returns the manifest: keys by path.
    pub fn manifest(&self) -> BTreeMap<String, String> {
        self.assets.iter().map(|asset| (asset.path.clone(), asset.key.clone())).collect()
    }

    /// Returns one asset for each content that is among `keys`: what has two paths travels once.
    pub fn unique<'a>(&'a self, keys: &[String]) -> Vec<&'a Asset> {
        let wanted: std::collections::HashSet<&str> = keys.iter().map(String::as_str).collect();
        let by_key: BTreeMap<&str, &Asset> = self.assets.iter().map(|asset| (asset.key.as_str(), asset)).collect();
        by_key.into_values().filter(|asset| wanted.contains(asset.key.as_str())).collect()
    }

    /// Makes sure that the site has no more files than the account may publish; counted by paths, as the vendor does (cloudflare.md 3.3).
    pub fn within(&self, limit: u64) -> Result<(), FilesError> {
        let count = self.assets.len() as u64;
        match self.assets.get(usize::try_from(limit).unwrap_or(usize::MAX)) {
            Some(first) => Err(FilesError::TooMany { count, limit, first: first.path.clone() }),
            None => Ok(()),
        }
    }
}

impl Asset {
    /// Returns a file that we add.
    pub fn ours(path: String, content: Vec<u8>) -> Self {
        let key = key_of(&content, &path);
        Self { key, size: content.len() as u64, content_type: "application/json", path, content: Content::Memory(content.into()) }
    }
}

/// Returns the content of the mark that shows a revision.
pub fn mark(revision: &RevisionDigest) -> Vec<u8> {
    serde_json::json!({ "revision": revision.as_str() }).to_string().into_bytes()
}

/// Returns whether something answers before the files of a directory do.
pub fn has_worker(directory: &Path) -> bool {
    ["_worker.js", "_worker.bundle"].iter().any(|name| directory.join(name).exists())
}

/// Writes the body of a bucket to a temporary file, on a thread of its own.
pub(super) async fn spool(bucket: Vec<Asset>) -> Result<(TempPath, u64), FilesError> {
    aside(move || buckets::spool(&bucket)).await
}

/// Runs work that waits for the disk on a thread of its own.
pub(in crate::platform::cloudflare) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    // A runtime of one thread is a simulation's: another thread would answer when it likes, and no case would be played twice alike.
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(FilesError::Interrupted))
}

fn worker(directory: &Path) -> Result<Worker, FilesError> {
    let (script, bundle) = (directory.join("_worker.js"), directory.join("_worker.bundle"));
    match (script.exists(), bundle.is_file()) {
        (true, true) => Err(FilesError::TwoWorkers(directory.to_owned())),
        (true, false) if script.is_dir() => Err(FilesError::Unbundled(script)),
        (true, false) => of_size(script).map(Worker::Script),
        (false, true) => of_size(bundle).map(Worker::Bundle),
        (false, false) if directory.join("functions").is_dir() => Err(FilesError::Unbundled(directory.join("functions"))),
        (false, false) => Ok(Worker::None),
    }
}

fn of_size(path: PathBuf) -> Result<PathBuf, FilesError> {
    let size = std::fs::metadata(&path).map_err(FilesError::unreadable(&path))?.len();
    if size > LARGEST_FILE { Err(FilesError::TooLarge { path: path.display().to_string(), size }) } else { Ok(path) }
}

/// Returns a file that configures the site once it was checked; `None` where it is not there or says nothing.
fn special(directory: &Path, name: &str, check: fn(&str) -> Result<(), rules::Wrong>) -> Result<Option<String>, FilesError> {
    let path = directory.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(FilesError::unreadable(&path))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    check(&text).map_err(|(line, reason)| FilesError::BadRules { path, line, reason })?;
    Ok(Some(text))
}
