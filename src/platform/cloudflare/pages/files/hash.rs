//! An asset's key, by which Pages knows its content.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How much of a file is in memory at a time. A multiple of three, so that pieces encode as the whole would.
const PIECE: usize = 48 * 1024;
/// How many hex digits of the digest make a key.
const DIGITS: usize = 32;

/// Returns the key of a content under a file name: BLAKE3 over its base64 and the name's extension, the first 32 hex digits, lower case
/// (cloudflare.md 3.4, measured against the vendor's client).
pub fn key_of(content: &[u8], name: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(STANDARD.encode(content).as_bytes());
    finished(&mut hasher, name)
}

/// Returns the extension that is part of a key: what follows the last dot of the base name, its case kept; nothing where the only dot comes
/// first or the name ends with one (cloudflare.md 3.4).
pub fn extension(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    match base.rfind('.') {
        None | Some(0) => "",
        Some(dot) => &base[dot + 1..],
    }
}

/// Returns the key and the size of a file.
pub(super) fn of_file(path: &Path, name: &str) -> io::Result<(String, u64)> {
    let mut hasher = blake3::Hasher::new();
    let size = encode(&mut File::open(path)?, |text| {
        hasher.update(text);
        Ok(())
    })?;
    Ok((finished(&mut hasher, name), size))
}

/// A key that is worked out while its content passes.
pub(in crate::platform::cloudflare) struct Passing(blake3::Hasher);

impl Passing {
    pub(in crate::platform::cloudflare) fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    /// Adds a piece of the base64 text.
    pub(in crate::platform::cloudflare) fn add(&mut self, text: &[u8]) {
        self.0.update(text);
    }

    pub(in crate::platform::cloudflare) fn key(mut self, name: &str) -> String {
        finished(&mut self.0, name)
    }
}

/// Gives the base64 of all that `reader` has to `sink`, piece by piece; returns how many bytes were read.
pub(in crate::platform::cloudflare) fn encode(reader: &mut dyn Read, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut text = vec![0; PIECE / 3 * 4];
    let mut size = 0;
    loop {
        let read = fill(reader, &mut piece)?;
        if read > 0 {
            let written = STANDARD.encode_slice(&piece[..read], &mut text).map_err(io::Error::other)?;
            sink(&text[..written])?;
            size += read as u64;
        }
        // Only the last piece may be short: padding inside the text would make it another one.
        if read < PIECE {
            return Ok(size);
        }
    }
}

fn fill(reader: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match reader.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn finished(hasher: &mut blake3::Hasher, name: &str) -> String {
    hasher.update(extension(name).as_bytes());
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}
