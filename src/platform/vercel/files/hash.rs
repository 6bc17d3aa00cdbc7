//! SHA-1 of contents, streamed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::{Digest, Sha1};

/// Returns the digest and the size of a file; 64 KiB of it are in memory at a time.
pub(super) fn file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut sha = Sha1::new();
    let mut piece = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((hex(sha), size));
        }
        sha.update(&piece[..read]);
        size += read as u64;
    }
}

/// Returns the digest of what is in memory.
pub(super) fn bytes(bytes: &[u8]) -> String {
    hex(Sha1::new_with_prefix(bytes))
}

/// Returns a digest as 40 lower-case hex digits.
pub(super) fn hex(sha: Sha1) -> String {
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
