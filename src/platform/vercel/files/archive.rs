//! The archive form: one gzipped tar of the tree, cut into parts (vercel.md 2.5).
//!
//! Equal trees make equal archives (no times, no owners, names in order), so an unchanged site uploads nothing at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha1::{Digest, Sha1};
use tar::{Builder, EntryType, Header};
use tempfile::{NamedTempFile, TempPath};

use super::walk::{Found, Kind};
use super::{Content, Entry, hash};

/// How large a part is, in bytes; the vendor's client's value.
const PART: u64 = 100 * 1024 * 1024;
/// The `st_mode` that the vendor's client gives a part.
const PART_MODE: u32 = 438;

/// Packs `found` into a temporary file and returns its parts as entries; the file goes with the path.
pub(super) fn pack(found: &[Found]) -> io::Result<(Vec<Entry>, TempPath)> {
    let file = NamedTempFile::new()?;
    let (file, path) = file.into_parts();
    let parts = Parts { file: BufWriter::with_capacity(256 * 1024, file), sha: Sha1::new(), size: 0, done: Vec::new() };
    let mut tar = Builder::new(GzEncoder::new(parts, Compression::fast()));
    found.iter().try_for_each(|one| add(&mut tar, one))?;
    let mut parts = tar.into_inner()?.finish()?;
    parts.file.flush()?;
    if parts.size > 0 {
        parts.cut();
    }
    let mut offset = 0;
    let entries = parts.done.into_iter().enumerate().map(|(index, (sha, size))| {
        let content = Content::File { path: path.to_path_buf(), offset };
        offset += size;
        Entry { file: format!(".vercel/source.tgz.part{}", index + 1), sha: Some(sha), size, mode: PART_MODE, content }
    });
    Ok((entries.collect(), path))
}

fn add<W: Write>(tar: &mut Builder<W>, one: &Found) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(one.kind.mode() & 0o777);
    header.set_mtime(0);
    header.set_size(0);
    match &one.kind {
        Kind::File { path, .. } => {
            let file = File::open(path)?;
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, &one.file, file)
        }
        Kind::Ours(bytes) => {
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &one.file, bytes.as_slice())
        }
        Kind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, &one.file, target)
        }
        Kind::EmptyDirectory => {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, &one.file, io::empty())
        }
    }
}

/// Writes to one file and digests each part of it by itself.
struct Parts {
    file: BufWriter<File>,
    sha: Sha1,
    /// Of the part that is being written.
    size: u64,
    done: Vec<(String, u64)>,
}

impl Parts {
    fn cut(&mut self) {
        self.done.push((hash::hex(std::mem::take(&mut self.sha)), self.size));
        self.size = 0;
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(PART - self.size).unwrap_or(usize::MAX);
        let piece = &bytes[..bytes.len().min(room)];
        self.file.write_all(piece)?;
        self.sha.update(piece);
        self.size += piece.len() as u64;
        if self.size == PART {
            self.cut();
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
