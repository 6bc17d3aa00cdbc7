//! A directory of files, named by the digest of its file manifest.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Digest, Hasher};

/// A directory as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryArtifact {
    /// Where it is.
    pub path: PathBuf,
    /// The digest of the file manifest: for each file, sorted by path, `<mode> <sha256> <path>` and a NUL byte.
    pub digest: Digest,
    /// The files, sorted by path.
    pub files: Vec<FileEntry>,
    /// The sizes of all files together.
    pub bytes: u64,
}

/// One file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the directory, with `/`.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// The digest of its content; of a link, of its target's text.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// Bytes.
    Plain,
    /// Bytes that may be executed.
    Executable,
    /// A symbolic link to something inside the directory.
    Link {
        /// The target, relative to the link, as it is written.
        target: String,
    },
}

impl FileKind {
    /// Returns the mode as git writes it.
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::Link { .. } => "120000",
        }
    }
}

/// Why a directory cannot be shipped.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is not there, or is no directory.
    #[error("the directory {} is not there", .0.display())]
    Missing(PathBuf),
    /// There is no file in it.
    #[error("the directory {} is empty", .0.display())]
    Empty(PathBuf),
    /// Something in it cannot be read.
    #[error("{}: {source}", .path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name is not UTF-8: no platform takes it.
    #[error("the name {} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// A link leads out of the directory, or nowhere: what it would ship is not what is there.
    #[error("the link {} leads to {}, which is not inside the directory", .path.display(), .target.display())]
    Escapes {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A socket, a pipe or a device.
    #[error("{} is neither a file nor a directory nor a link", .0.display())]
    Special(PathBuf),
}

impl DirectoryArtifact {
    /// Reads a directory. Hidden files are in, `.git` is not; empty directories leave no trace. Links are kept as links.
    ///
    /// Reads every byte: call it where blocking is allowed.
    pub fn read(path: &Path) -> Result<Self, DirectoryError> {
        if !path.is_dir() {
            return Err(DirectoryError::Missing(path.to_owned()));
        }
        let root = path.canonicalize().map_err(|source| DirectoryError::Unreadable { path: path.to_owned(), source })?;
        let mut files = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(directory) = open.pop() {
            let unreadable = |source| DirectoryError::Unreadable { path: directory.clone(), source };
            for entry in fs::read_dir(&directory).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_dir() && entry.file_name() != ".git" {
                    open.push(entry.path());
                } else if !kind.is_dir() {
                    files.push(read_entry(&root, &entry.path(), kind)?);
                }
            }
        }
        if files.is_empty() {
            return Err(DirectoryError::Empty(path.to_owned()));
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let bytes = files.iter().map(|file| file.size).sum();
        Ok(Self { path: path.to_owned(), digest: manifest_digest(&files), files, bytes })
    }
}

/// Returns the digest of the file manifest of `files`, which are sorted by path.
fn manifest_digest(files: &[FileEntry]) -> Digest {
    let mut hasher = Hasher::default();
    for file in files {
        // NUL: the one byte that no name can hold.
        hasher.update(format!("{} {} {}\0", file.kind.mode(), file.digest.hex(), file.path).as_bytes());
    }
    hasher.digest()
}

fn read_entry(root: &Path, path: &Path, kind: fs::FileType) -> Result<FileEntry, DirectoryError> {
    let unreadable = |source| DirectoryError::Unreadable { path: path.to_owned(), source };
    let below = path.strip_prefix(root).unwrap_or(path);
    let name = below.to_str().ok_or_else(|| DirectoryError::NotUtf8(path.to_owned()))?.to_owned();
    if kind.is_symlink() {
        let target = fs::read_link(path).map_err(unreadable)?;
        if target.is_absolute() || !stays_inside(below, &target) || !path.exists() {
            return Err(DirectoryError::Escapes { path: path.to_owned(), target });
        }
        let target = target.to_str().ok_or_else(|| DirectoryError::NotUtf8(target.clone()))?.to_owned();
        return Ok(FileEntry {
            digest: Digest::of(target.as_bytes()),
            size: target.len() as u64,
            path: name,
            kind: FileKind::Link { target },
        });
    }
    if !kind.is_file() {
        return Err(DirectoryError::Special(path.to_owned()));
    }
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let (digest, size) = Hasher::copy(&mut file, &mut io::sink()).map_err(unreadable)?;
    let executable = file.metadata().is_ok_and(|metadata| is_executable(&metadata));
    let kind = if executable { FileKind::Executable } else { FileKind::Plain };
    Ok(FileEntry { path: name, kind, digest, size })
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

/// Returns whether a link at `below` that points to the relative `target` never leaves the directory, step by step.
fn stays_inside(below: &Path, target: &Path) -> bool {
    let mut depth = below.components().count().saturating_sub(1);
    target.components().all(|component| match component {
        Component::CurDir => true,
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::ParentDir => {
            let above = depth.checked_sub(1);
            depth = above.unwrap_or(0);
            above.is_some()
        }
        Component::RootDir | Component::Prefix(_) => false,
    })
}
