//! Brings files to Vercel: only what it does not have, many at a time, streamed from disk; many small ones as one archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::client::file_body;
use super::files::{Source, Upload, digest};
use super::{PlatformError, PlatformErrorKind, VercelTarget};
use crate::http::Body;
use crate::shutdown::{Level, Shutdown};

/// How many uploads are under way at once.
const IN_FLIGHT: usize = 24;
/// Above this many files one archive is sent: every file counts against a daily quota (5 000 on the free plan).
const MOST_FILES: usize = 500;
/// The size of an archive's part, as the vendor's command line cuts it.
const PART: u64 = 100 * 1024 * 1024;
/// The mode that the vendor's command line gives an archive's part.
const PART_MODE: u32 = 0o666;

/// The entries of a deployment's list of files, and where their contents are.
#[derive(Debug)]
pub(super) struct Entries {
    /// The `files` of the create call.
    pub(super) list: Vec<Value>,
    contents: BTreeMap<String, Body>,
    /// Keeps an archive on disk for as long as it may be sent.
    _archive: Option<tempfile::NamedTempFile>,
}

/// Returns the entries for `uploads`: one a file, or the parts of one archive. Blocks while it packs.
pub(super) fn entries(uploads: Vec<Upload>) -> io::Result<Entries> {
    if uploads.len() > MOST_FILES {
        return archive(&uploads);
    }
    let mut entries = Entries { list: Vec::with_capacity(uploads.len()), contents: BTreeMap::new(), _archive: None };
    for upload in uploads {
        entries.list.push(json!({ "file": upload.name, "sha": upload.sha1, "size": upload.size, "mode": upload.mode }));
        let body = match upload.content {
            Source::File(path) => file_body(&path, 0, upload.size),
            Source::Bytes(bytes) => Body::Bytes(bytes),
        };
        entries.contents.insert(upload.sha1, body);
    }
    Ok(entries)
}

fn archive(uploads: &[Upload]) -> io::Result<Entries> {
    let mut file = tempfile::NamedTempFile::new()?;
    let mut tar = tar::Builder::new(GzEncoder::new(io::BufWriter::new(file.as_file_mut()), Compression::fast()));
    for upload in uploads {
        let mut header = tar::Header::new_gnu();
        header.set_mode(upload.mode & 0o7777);
        header.set_mtime(0);
        match &upload.content {
            Source::Bytes(bytes) if upload.mode & 0o170_000 == 0o120_000 => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, &upload.name, String::from_utf8_lossy(bytes).as_ref())?;
            }
            Source::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, &upload.name, bytes.as_ref())?;
            }
            Source::File(path) => {
                header.set_size(upload.size);
                tar.append_data(&mut header, &upload.name, std::fs::File::open(path)?)?;
            }
        }
    }
    tar.into_inner()?.finish()?.flush()?;
    parts(file)
}

fn parts(file: tempfile::NamedTempFile) -> io::Result<Entries> {
    let length = file.as_file().metadata()?.len();
    let (mut list, mut contents) = (Vec::new(), BTreeMap::new());
    for (number, offset) in (0..length).step_by(PART as usize).enumerate() {
        let size = PART.min(length - offset);
        let (sha1, _) = digest(slice(file.path(), offset, size)?)?;
        list.push(json!({ "file": format!(".vercel/source.tgz.part{}", number + 1), "sha": sha1, "size": size, "mode": PART_MODE }));
        contents.insert(sha1, file_body(file.path(), offset, size));
    }
    Ok(Entries { list, contents, _archive: Some(file) })
}

fn slice(path: &Path, offset: u64, size: u64) -> io::Result<impl io::Read> {
    use std::io::{Read, Seek};
    let mut file = std::fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(offset))?;
    Ok(file.take(size))
}

impl VercelTarget {
    /// Uploads the contents that Vercel says it lacks; what is there already is not sent.
    pub(super) async fn upload_missing(&self, entries: &Entries, missing: &[String], shutdown: &Shutdown) -> Result<(), PlatformError> {
        let wanted: BTreeSet<&String> = missing.iter().collect();
        let uploads = wanted.into_iter().map(|sha1| async move {
            if shutdown.level() >= Level::Drain {
                return Err(self.error("upload_file", PlatformErrorKind::Cancelled));
            }
            let Some(body) = entries.contents.get(sha1) else {
                let text = format!("Vercel asks for a content that was never named ({sha1})");
                return Err(self.error("upload_file", PlatformErrorKind::Unexpected(text)));
            };
            self.client.upload(sha1, body.clone()).await
        });
        stream::iter(uploads).buffer_unordered(IN_FLIGHT).try_collect().await
    }
}
