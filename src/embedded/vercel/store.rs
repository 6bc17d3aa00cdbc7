//! Uploaded contents, on disk and keyed by their SHA-1: what the vendor calls files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use crate::embedded::ground::lock;
use crate::embedded::tape::hex;

/// One file of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// SHA-1 of the content, 40 lower-case hex digits.
    pub(super) sha: String,
    /// Length in bytes.
    pub(super) size: u64,
}

/// The files of a deployment by their path, without a leading slash.
pub(super) type Files = BTreeMap<String, Stored>;

/// Contents by SHA-1 in a temporary directory, which goes with the store; cheap to clone.
///
/// The directory is made by the first upload, so that a world which uploads nothing leaves no trace.
#[derive(Debug, Clone, Default)]
pub(super) struct FileStore {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    directory: Option<Arc<TempDir>>,
    sizes: BTreeMap<String, u64>,
    uploads: Arc<AtomicU64>,
}

impl FileStore {
    /// Returns a store that knows the same contents; what is stored there from now on is not known here.
    pub(super) fn aside(&self) -> Self {
        let known = lock(&self.known);
        let aside = Known { directory: known.directory.clone(), sizes: known.sizes.clone(), uploads: Arc::clone(&known.uploads) };
        Self { known: Arc::new(Mutex::new(aside)) }
    }

    /// Returns the size of the content `sha`, where it is stored.
    pub(super) fn size(&self, sha: &str) -> Option<u64> {
        lock(&self.known).sizes.get(sha).copied()
    }

    /// Stores `content`; idempotent.
    pub(super) fn put(&self, content: &[u8]) -> io::Result<Stored> {
        let mut upload = self.begin()?;
        upload.write(content)?;
        upload.finish()
    }

    /// Begins to store a content that arrives in pieces.
    pub(super) fn begin(&self) -> io::Result<Upload> {
        let mut known = lock(&self.known);
        if known.directory.is_none() {
            known.directory = Some(Arc::new(tempfile::Builder::new().prefix("cutover-vercel-").tempdir()?));
        }
        let name = format!("upload-{}", known.uploads.fetch_add(1, Ordering::Relaxed));
        let path = known.directory.as_ref().map(|directory| directory.path().join(name)).unwrap_or_default();
        Ok(Upload { store: self.clone(), file: File::create(&path)?, path, hash: Sha1::new(), size: 0 })
    }

    /// Returns the content `sha`.
    pub(super) fn read(&self, sha: &str) -> io::Result<Vec<u8>> {
        let path = lock(&self.known).directory.as_ref().map(|directory| directory.path().join(sha));
        fs::read(path.ok_or(io::ErrorKind::NotFound)?)
    }

    /// Unpacks the parts of a gzip'd tar, in order, and stores what it holds; paths lose a leading `./`.
    ///
    /// A symbolic link is stored as the text of its goal, as a single upload of one would be.
    pub(super) fn unpack(&self, parts: &[Stored]) -> io::Result<Files> {
        let mut whole = Vec::new();
        for part in parts {
            whole.extend(self.read(&part.sha)?);
        }
        let mut files = Files::new();
        let mut archive = tar::Archive::new(GzDecoder::new(whole.as_slice()));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            let mut content = Vec::new();
            match entry.header().entry_type() {
                tar::EntryType::Directory => continue,
                tar::EntryType::Symlink => {
                    let goal = entry.link_name()?.map(|goal| goal.to_string_lossy().into_owned()).unwrap_or_default();
                    content.extend(goal.as_bytes());
                }
                _ => {
                    entry.read_to_end(&mut content)?;
                }
            }
            files.insert(path, self.put(&content)?);
        }
        Ok(files)
    }
}

/// One content on its way into the store.
pub(super) struct Upload {
    store: FileStore,
    file: File,
    path: PathBuf,
    hash: Sha1,
    size: u64,
}

impl Upload {
    /// Adds a piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.size += piece.len() as u64;
        self.file.write_all(piece)
    }

    /// Returns how much has arrived, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Keeps the content under its SHA-1.
    pub(super) fn finish(self) -> io::Result<Stored> {
        let sha = self.sha();
        fs::rename(&self.path, self.path.with_file_name(&sha))?;
        lock(&self.store.known).sizes.insert(sha.clone(), self.size);
        Ok(Stored { sha, size: self.size })
    }

    /// Returns the SHA-1 of what has arrived.
    pub(super) fn sha(&self) -> String {
        hex(self.hash.clone().finalize().as_slice())
    }

    /// Forgets what has arrived.
    pub(super) fn discard(self) {
        // What stays behind goes with the directory.
        let _ = fs::remove_file(&self.path);
    }
}
