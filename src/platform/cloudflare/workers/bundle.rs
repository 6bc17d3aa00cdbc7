//! The body of a bucket: a form with one file a content, named by its hash, as base64 (vendor's documentation of direct uploads). It stands on
//! the disk, so that memory holds no content and it can be sent again.

use std::fs::File;
use std::io::{BufWriter, Write};

use tempfile::{NamedTempFile, TempPath};

use crate::platform::cloudflare::pages::files::hash::{Passing, encode};
use crate::platform::cloudflare::pages::files::{Asset, Content, FilesError, aside};

/// A body on the disk.
pub(super) struct Bundle {
    pub(super) path: TempPath,
    /// In bytes.
    pub(super) length: u64,
    pub(super) content_type: String,
}

/// Writes the body of a bucket, on a thread of its own. `word` must not be foreseeable, so that no content can hold the boundary.
pub(super) async fn bundle(assets: Vec<Asset>, word: String) -> Result<Bundle, FilesError> {
    aside(move || write(&assets, &format!("cutover-{word}"))).await
}

fn write(assets: &[Asset], boundary: &str) -> Result<Bundle, FilesError> {
    let mut file = NamedTempFile::with_prefix("cutover-worker-").map_err(FilesError::Spool)?;
    {
        let mut out = BufWriter::with_capacity(256 * 1024, file.as_file_mut());
        for asset in assets {
            let key = &asset.key;
            let disposition = format!("Content-Disposition: form-data; name=\"{key}\"; filename=\"{key}\"");
            write!(out, "--{boundary}\r\n{disposition}\r\nContent-Type: {}\r\n\r\n", served_as(asset.content_type))
                .map_err(FilesError::Spool)?;
            content(&mut out, asset)?;
            out.write_all(b"\r\n").map_err(FilesError::Spool)?;
        }
        write!(out, "--{boundary}--\r\n").and_then(|()| out.flush()).map_err(FilesError::Spool)?;
    }
    let length = file.as_file().metadata().map_err(FilesError::Spool)?.len();
    Ok(Bundle { path: file.into_temp_path(), length, content_type: format!("multipart/form-data; boundary={boundary}") })
}

/// Returns the type with which a content is served: the part's own (vendor's documentation), to which the vendor's client adds a charset.
pub(super) fn served_as(content_type: &str) -> String {
    if content_type.starts_with("text/") { format!("{content_type}; charset=utf-8") } else { content_type.to_owned() }
}

fn content(out: &mut impl Write, asset: &Asset) -> Result<(), FilesError> {
    let mut passing = Passing::new();
    let mut sink = |text: &[u8]| {
        passing.add(text);
        out.write_all(text)
    };
    match &asset.content {
        Content::Memory(bytes) => encode(&mut bytes.as_ref(), &mut sink).map_err(FilesError::Spool)?,
        Content::File(path) => {
            let mut file = File::open(path).map_err(FilesError::unreadable(path))?;
            encode(&mut file, &mut sink).map_err(FilesError::unreadable(path))?
        }
    };
    // What has changed since it was read would be stored under a hash that is not its own.
    if passing.key(&asset.path) == asset.key { Ok(()) } else { Err(FilesError::Changed(asset.path.clone())) }
}
