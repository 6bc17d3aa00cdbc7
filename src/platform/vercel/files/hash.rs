//! SHA-1 of contents, streamed, on as many threads as there are processors and no more than four.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::{Digest, Sha1};

use super::walk::{Found, Kind};
use super::{Content, Entry, FilesError};

/// The most threads: more only wait for the disk.
const MOST_THREADS: usize = 4;

/// Returns what was found as entries, in the same order, each known by its digest.
pub(super) fn entries(found: &[Found]) -> Result<Vec<Entry>, FilesError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let share = found.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let shares = found.chunks(share).map(|share| scope.spawn(move || share.iter().map(entry).collect::<Result<Vec<_>, _>>()));
        let shares: Vec<_> = shares.collect();
        let mut entries = Vec::with_capacity(found.len());
        for share in shares {
            entries.extend(share.join().unwrap_or(Err(FilesError::Interrupted))?);
        }
        Ok(entries)
    })
}

/// Returns the digest and the size of a file; 64 KiB of it are in memory at a time.
fn file(path: &Path) -> io::Result<(String, u64)> {
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
fn bytes(bytes: &[u8]) -> String {
    hex(Sha1::new_with_prefix(bytes))
}

/// Returns a digest as 40 lower-case hex digits.
pub(super) fn hex(sha: Sha1) -> String {
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(found: &Found) -> Result<Entry, FilesError> {
    let mode = found.kind.mode();
    let (sha, size, content) = match &found.kind {
        Kind::File { path, .. } => {
            let (sha, size) = file(path).map_err(FilesError::unreadable(path))?;
            (Some(sha), size, Content::File { path: path.clone(), offset: 0 })
        }
        Kind::Link(target) => (Some(bytes(target.as_bytes())), target.len() as u64, Content::Memory(target.clone().into())),
        Kind::Ours(content) => (Some(bytes(content)), content.len() as u64, Content::Memory(content.clone().into())),
        Kind::EmptyDirectory => (None, 0, Content::EmptyDirectory),
    };
    Ok(Entry { file: found.file.clone(), sha, size, mode, content })
}
