//! Uploaded contents, on disk and by their keys.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::embedded::ground::lock;

/// Contents by key in a temporary directory, which goes with the last clone; made by the first upload.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    directory: Arc<Mutex<Option<Arc<TempDir>>>>,
}

impl Store {
    /// Stores a content; idempotent.
    pub(super) fn put(&self, key: &str, content: &[u8]) -> io::Result<()> {
        let path = {
            let mut directory = lock(&self.directory);
            if directory.is_none() {
                *directory = Some(Arc::new(tempfile::Builder::new().prefix("cutover-cloudflare-").tempdir()?));
            }
            directory.as_ref().map(|directory| directory.path().join(key)).ok_or(io::ErrorKind::NotFound)?
        };
        fs::write(path, content)
    }

    /// Returns a content.
    pub(super) fn read(&self, key: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(key).ok_or(io::ErrorKind::NotFound)?)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        lock(&self.directory).as_ref().map(|directory| directory.path().join(key))
    }
}

/// Returns whether `key` is what the vendor's client gives to this content at this path: BLAKE3 of its base64 and of the extension, as far as 32
/// hex digits go (the vendor's client, measured).
pub(super) fn is_key_of(key: &str, content: &[u8], path: &str) -> bool {
    let mut text = STANDARD.encode(content);
    text.push_str(extension(path));
    blake3::hash(text.as_bytes()).to_hex().as_str().starts_with(key) && key.len() == 32
}

/// Returns the extension as the vendor's client takes it: nothing for a name whose only dot is its first character.
pub(super) fn extension(path: &str) -> &str {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.rfind('.').filter(|dot| *dot > 0).map_or("", |dot| &base[dot + 1..])
}

/// Returns whether a text can be a key, and so the name of a file.
pub(super) fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
