//! Which contents travel together, and how a bucket becomes a body that is streamed from the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use tempfile::{NamedTempFile, TempPath};

use super::{Asset, Content, FilesError, hash};

/// The most raw bytes of a bucket (cloudflare.md 3.6).
pub const MOST_BYTES: u64 = 40 * 1024 * 1024;
/// The most contents of a bucket (cloudflare.md 3.6).
pub const MOST_CONTENTS: usize = 2_000;
/// How many buckets are on their way at once (cloudflare.md 3.6), and over how many contents are spread at first.
pub const AT_ONCE: usize = 3;
/// Up to how many bytes one bucket is enough: two more requests would take longer than the bytes do.
const SMALL: u64 = 1024 * 1024;

/// Packs contents into buckets as the vendor's client does, so that there are never more requests than it makes: the largest first, each into the
/// next bucket that has room, a new bucket where none has.
pub fn pack(mut assets: Vec<&Asset>) -> Vec<Vec<&Asset>> {
    assets.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.key.cmp(&other.key)));
    let total: u64 = assets.iter().map(|asset| asset.size).sum();
    let begin = if total <= SMALL && assets.len() <= MOST_CONTENTS { 1 } else { AT_ONCE };
    let mut buckets: Vec<(u64, Vec<&Asset>)> = (0..begin).map(|_| (0, Vec::new())).collect();
    let mut turn = 0;
    for asset in assets {
        let room = |(bytes, held): &(u64, Vec<&Asset>)| bytes + asset.size <= MOST_BYTES && held.len() < MOST_CONTENTS;
        let count = buckets.len();
        let free = (0..count).map(|step| (turn + step) % count).find(|at| room(&buckets[*at]));
        let at = free.unwrap_or_else(|| {
            buckets.push((0, Vec::new()));
            count
        });
        buckets[at].0 += asset.size;
        buckets[at].1.push(asset);
        turn = at + 1;
    }
    buckets.into_iter().map(|(_, held)| held).filter(|held| !held.is_empty()).collect()
}

/// Writes the body of a bucket to a temporary file, which is removed with its path; returns it and its length in bytes.
///
/// A bucket is up to 53 MiB of text: on disk it costs no memory however large the site is, and can be sent again. What has changed since it was
/// read is an error, since the key would name another content.
pub(super) fn spool(bucket: &[Asset]) -> Result<(TempPath, u64), FilesError> {
    let mut file = NamedTempFile::with_prefix("cutover-pages-").map_err(FilesError::Spool)?;
    {
        let mut out = BufWriter::with_capacity(256 * 1024, file.as_file_mut());
        out.write_all(b"[").map_err(FilesError::Spool)?;
        for (index, asset) in bucket.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{{\"key\":\"{}\",\"value\":\"", asset.key).map_err(FilesError::Spool)?;
            content(&mut out, asset)?;
            // The table's types hold nothing that JSON would escape.
            write!(out, "\",\"metadata\":{{\"contentType\":\"{}\"}},\"base64\":true}}", asset.content_type).map_err(FilesError::Spool)?;
        }
        out.write_all(b"]").and_then(|()| out.flush()).map_err(FilesError::Spool)?;
    }
    let length = file.as_file().metadata().map_err(FilesError::Spool)?.len();
    Ok((file.into_temp_path(), length))
}

fn content(out: &mut impl Write, asset: &Asset) -> Result<(), FilesError> {
    let mut passing = hash::Passing::new();
    let mut sink = |text: &[u8]| {
        passing.add(text);
        out.write_all(text)
    };
    match &asset.content {
        Content::Memory(bytes) => hash::encode(&mut bytes.as_ref(), &mut sink).map_err(FilesError::Spool)?,
        Content::File(path) => {
            let mut file = File::open(path).map_err(FilesError::unreadable(path))?;
            hash::encode(&mut file, &mut sink).map_err(|error: io::Error| FilesError::unreadable(path)(error))?
        }
    };
    if passing.key(&asset.path) == asset.key { Ok(()) } else { Err(FilesError::Changed(asset.path.clone())) }
}
