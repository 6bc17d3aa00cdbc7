//! What is uploaded: a directory read once, every file known by its digest, no content held in memory.
//!
//! A directory that holds `.vercel/output`, or is one, is uploaded as it was built. Any other is a plain static site; it is wrapped into a Build
//! Output tree, so that Vercel builds nothing. Either way `/.well-known/cutover.json` is added, by which the public address shows its
//! revision. Above a number of files one archive is sent instead, because single uploads have daily quotas (vercel.md 2.5).

mod archive;
mod config;
mod functions;
mod hash;
mod ignored;
mod layout;
mod pattern;
mod rules;
mod walk;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempPath;
use tokio::runtime::{Handle, RuntimeFlavor};

pub use self::layout::Form;
use self::layout::Layout;
use self::rules::Rules;
use self::walk::Found;
use crate::http::Body;
use crate::platform::RevisionDigest;

/// Where a site shows its revision, below its root.
pub const MARK: &str = ".well-known/cutover.json";
/// The most entries of one create call (report: terraform-provider-vercel#289).
pub const MOST_ENTRIES: usize = 15_000;

/// What is read and how.
#[derive(Debug, Clone)]
pub struct ReadDirectory {
    /// The directory.
    pub directory: PathBuf,
    /// The project's root directory below the repository's; names in the upload begin with it (vercel.md 10).
    pub root: Option<String>,
    /// What the mark shows.
    pub revision: RevisionDigest,
    /// Above how many files an archive is made.
    pub archive_above: usize,
    /// The `vercel.json` of a plain site that has none of its own.
    pub rules: Option<PathBuf>,
}

/// A directory, ready to be sent.
#[derive(Debug)]
pub struct Upload {
    /// What the create call lists, in the order of names.
    pub entries: Vec<Entry>,
    /// Whether it was built or is wrapped.
    pub form: Form,
    /// How many files the site has, the mark and the configuration included.
    pub files: usize,
    /// Whether the entries are parts of an archive.
    pub archived: bool,
    /// What the reader should know, in whole sentences.
    pub notes: Vec<String>,
    // The archive is removed with this.
    _archive: Option<TempPath>,
}

/// One entry of the create call.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name from the deploy root on, with `/` between its parts.
    pub file: String,
    /// The SHA-1 of the content, 40 lower-case hex digits; `None` for an empty directory.
    pub sha: Option<String>,
    /// How large it is, in bytes.
    pub size: u64,
    /// The file's type and permissions as `st_mode`.
    pub mode: u32,
    /// Where the content is.
    pub content: Content,
}

/// Where a content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In a file, from here on.
    File {
        /// The file.
        path: PathBuf,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// In memory: what is ours, and targets of links.
    Memory(Bytes),
    /// There is none.
    EmptyDirectory,
}

impl Entry {
    /// Returns the content as a body that is streamed from the disk.
    pub fn body(&self) -> Body {
        match &self.content {
            Content::File { path, offset } => Body::File { path: path.clone(), offset: *offset, length: self.size },
            Content::Memory(bytes) => Body::Bytes(bytes.clone()),
            Content::EmptyDirectory => Body::Empty,
        }
    }
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
    /// A link to what would not be uploaded, or must not be.
    #[error("the link {} leads to {}, which is outside of what is uploaded, or does not exist", link.display(), target.display())]
    LinkLeavesTree {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// Vercel takes one of them.
    #[error("{} has both .vercelignore and .nowignore: remove one of them", .0.display())]
    TwoIgnoreFiles(PathBuf),
    /// A line of an ignore file is no pattern.
    #[error("{}: {reason}", path.display())]
    BadPattern {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of the Build Output API is not as it must be.
    #[error("{} is not valid: {reason}", path.display())]
    InvalidOutput {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A `vercel.json` asks for what cannot be had.
    #[error("{}: {reason}", path.display())]
    InvalidRules {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// `vercel build` failed and left its output.
    #[error("{} says that the build failed: {reason}", path.display())]
    BuildFailed {
        /// `builds.json`.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The output was built for another environment.
    #[error("{} was built for {target}, not for production: build it with `vercel build --prod`", path.display())]
    OtherTarget {
        /// `builds.json`.
        path: PathBuf,
        /// For what.
        target: String,
    },
    /// A function needs a file that is not there.
    #[error("the function {function} needs {file}, which is not below {}: that must be the directory which the build used as repository root", root.display())]
    MissingFile {
        /// The function's `.vc-config.json`.
        function: String,
        /// The file as `filePathMap` says.
        file: String,
        /// The deploy root.
        root: PathBuf,
    },
    /// The archive cannot be written.
    #[error("the archive of the upload cannot be written: {0}")]
    Archive(#[source] io::Error),
    /// The reading ended without a result.
    #[error("reading the directory was interrupted")]
    Interrupted,
}

impl FilesError {
    fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unreadable { path, source }
    }
}

impl Upload {
    /// Reads a directory on a thread of its own.
    pub async fn read(wanted: ReadDirectory) -> Result<Self, FilesError> {
        // A runtime of one thread is a simulation's: another thread would answer when it likes, and no case would be played twice alike.
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Self::read_now(&wanted);
        }
        tokio::task::spawn_blocking(move || Self::read_now(&wanted)).await.unwrap_or(Err(FilesError::Interrupted))
    }

    /// Reads a directory: lists it, then digests each file or packs all of them.
    pub fn read_now(wanted: &ReadDirectory) -> Result<Self, FilesError> {
        let layout = Layout::of(&wanted.directory, wanted.root.as_deref())?;
        let mut notes = Vec::new();
        let mut found = list(&layout, wanted, &mut notes)?;
        found.sort_by(|one, other| one.file.cmp(&other.file));
        let files = found.len();
        let archived = files > wanted.archive_above.min(MOST_ENTRIES);
        let (entries, archive) = if archived {
            let (entries, archive) = archive::pack(&found).map_err(FilesError::Archive)?;
            (entries, Some(archive))
        } else {
            (hash::entries(&found)?, None)
        };
        Ok(Self { entries, form: layout.form, files, archived, notes, _archive: archive })
    }
}

/// Returns whether a directory's deployment gets the project's environment variables: those of a site without functions do not.
pub fn has_functions(directory: &Path) -> bool {
    layout::has_functions(directory)
}

/// Returns everything that belongs to the upload, ours included.
fn list(layout: &Layout, wanted: &ReadDirectory, notes: &mut Vec<String>) -> Result<Vec<Found>, FilesError> {
    let mut found = match layout.form {
        Form::Prebuilt => prebuilt(layout, notes)?,
        Form::Static => plain(layout, wanted.rules.as_deref(), notes)?,
    };
    let mark = format!("{}static/{MARK}", layout.prefix);
    if found.iter().any(|one| one.file == mark) {
        notes.push(format!("The site's own /{MARK} is replaced: it shows the revision."));
        found.retain(|one| one.file != mark);
    }
    let text = serde_json::json!({ "revision": wanted.revision.as_str() }).to_string();
    found.push(Found::ours(mark, text.into_bytes()));
    Ok(found)
}

fn prebuilt(layout: &Layout, notes: &mut Vec<String>) -> Result<Vec<Found>, FilesError> {
    layout::check_builds(&layout.files)?;
    let mut found = walk::output(&layout.files, &layout.prefix)?;
    functions::add_mapped(&mut found, layout, notes)?;
    functions::add_routes(&mut found, layout);
    let name = format!("{}config.json", layout.prefix);
    let path = layout.files.join("config.json");
    let text = std::fs::read(&path).map_err(FilesError::unreadable(&path))?;
    if let Some((changed, note)) = config::marked(&text).map_err(|reason| FilesError::InvalidOutput { path, reason })? {
        found.retain(|one| one.file != name);
        found.push(Found::ours(name, changed));
        notes.push(note);
    }
    Ok(found)
}

fn plain(layout: &Layout, above: Option<&Path>, notes: &mut Vec<String>) -> Result<Vec<Found>, FilesError> {
    let ignored = ignored::Rules::of(&layout.files)?;
    let base = format!("{}static/", layout.prefix);
    let mut found = walk::site(&layout.files, &base, &ignored)?;
    found.retain(|one| one.file != format!("{base}vercel.json"));
    if found.is_empty() {
        return Err(FilesError::Empty(layout.files.clone()));
    }
    let has = |name: &str| found.iter().any(|one| one.file.strip_prefix(&base) == Some(name));
    let config = match rules_of(&layout.files, above)? {
        Some((path, rules)) => {
            if !rules.unknown.is_empty() {
                notes.push(format!("{} says what is not known here and not applied: {}.", path.display(), rules.unknown.join(", ")));
            }
            if Some(path.as_path()) == above && !rules.say_nothing() {
                notes.push(format!("The rules of {} are applied: the site has no vercel.json of its own.", path.display()));
            }
            compiled(&path, &rules, &found, &base)?
        }
        None => config::of_static(has("404.html")),
    };
    found.push(Found::ours(format!("{}config.json", layout.prefix), config));
    Ok(found)
}

/// Returns the configuration of a site by its rules, with a place for the mark.
fn compiled(path: &Path, rules: &Rules, found: &[Found], base: &str) -> Result<Vec<u8>, FilesError> {
    if rules.say_nothing() {
        return Ok(config::of_static(found.iter().any(|one| one.file.strip_prefix(base) == Some("404.html"))));
    }
    let config = rules.config(found.iter().filter_map(|one| one.file.strip_prefix(base)));
    let invalid = |reason: String| FilesError::InvalidRules { path: path.to_owned(), reason };
    // That a route was put before the site's own is no news where all of them were made here.
    Ok(config::marked(&config).map_err(invalid)?.map_or(config, |(changed, _)| changed))
}

/// Returns the `vercel.json` that a plain site goes by, its own before the one above it.
fn rules_of(site: &Path, above: Option<&Path>) -> Result<Option<(PathBuf, Rules)>, FilesError> {
    let own = site.join("vercel.json");
    let path = if own.is_file() { Some(own) } else { above.map(Path::to_owned) };
    path.map(|path| Rules::read(&path).map(|rules| (path, rules))).transpose()
}

/// Returns what is told apart by a plain site's rules, beside its files: the same text for the same rules, `None` where it has none.
pub fn rules(site: &Path, above: Option<&Path>) -> Result<Option<String>, FilesError> {
    if Form::of(site) == Form::Prebuilt {
        return Ok(None);
    }
    let found = rules_of(site, above)?.filter(|(_, rules)| !rules.say_nothing());
    Ok(found.map(|(_, rules)| String::from_utf8_lossy(&rules.config(std::iter::empty())).into_owned()))
}
