//! What builders write, brought into our own form.
//!
//! An OCI layout whose layers are compressed keeps its manifest byte for byte. What `docker save` writes has plain layers and, before engine
//! 25, no manifest at all: its layers are compressed by us, always in the same way, and it gets one manifest, so that the digest is the same
//! in every registry (two pushes by an engine need not agree).

use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde::Deserialize;
use serde_json::json;

use super::archive::{Descriptor, Document, TarIndex, blob_path};
use super::layout::{CONFIG, LAYER_GZIP, LayoutWriter, MANIFEST};
use super::{ArchiveError, Digest, Hasher, ImageArchive};

/// The platform that images are for: Fly and Render run nothing else.
pub(super) const PLATFORM: &str = "linux/amd64";

/// How deep an index may name an index.
const MAX_INDEX_DEPTH: usize = 4;

/// One entry of `manifest.json` as `docker save` writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

/// An image as it stands in a builder's archive.
struct Found {
    /// The manifest with its media type, if it can be kept as it is.
    manifest: Option<(Vec<u8>, String)>,
    config: Part,
    layers: Vec<Part>,
}

/// A file of the archive, and the digest that it must have, where it is named by one.
struct Part {
    range: (u64, u64),
    digest: Option<Digest>,
    name: String,
}

/// Reads an image archive of any known form at `source` and writes it in our own form to `destination`.
///
/// Memory is bounded, whatever the image's size; disk is needed for the image twice, at most. The same image gives the same file. Blocks: call
/// it where that is allowed.
pub fn normalise(source: &Path, destination: &Path) -> Result<ImageArchive, ArchiveError> {
    let index = TarIndex::read(source)?;
    let found = if index.has("index.json") {
        from_layout(&index)?
    } else if index.has("manifest.json") {
        from_saved(&index)?
    } else {
        return Err(index.no_image("it has neither index.json nor manifest.json"));
    };
    let mut writer = LayoutWriter::begin(destination)?;
    if let Some((manifest, media_type)) = found.manifest {
        for part in found.layers.iter().chain([&found.config]) {
            copy(&index, part, &mut writer)?;
        }
        return writer.finish(&manifest, &media_type);
    }
    let mut layers = Vec::new();
    for part in &found.layers {
        let (digest, size) = compress(&index, part, &mut writer)?;
        layers.push(json!({ "mediaType": LAYER_GZIP, "digest": digest.as_str(), "size": size }));
    }
    let (digest, size) = copy(&index, &found.config, &mut writer)?;
    let config = json!({ "mediaType": CONFIG, "digest": digest.as_str(), "size": size });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers }).to_string();
    writer.finish(manifest.as_bytes(), MANIFEST)
}

fn from_layout(index: &TarIndex) -> Result<Found, ArchiveError> {
    let mut candidates = Vec::new();
    collect(index, index.document("index.json")?.manifests, 0, &mut candidates)?;
    let chosen = match candidates.as_slice() {
        [only] => only,
        several => {
            let fitting: Vec<_> = several.iter().filter(|candidate| is_for(candidate, PLATFORM)).collect();
            match fitting[..] {
                [one] => one,
                _ => return Err(ArchiveError::NotOne { path: index.path().to_owned(), found: fitting.len(), wanted: PLATFORM }),
            }
        }
    };
    let digest = index.digest(chosen)?;
    let bytes = index.verified(&digest)?;
    let document: Document = index.parsed(&bytes, digest.as_str())?;
    let part = |descriptor: &Descriptor| {
        let digest = index.digest(descriptor)?;
        Ok(Part { range: index.range(&blob_path(&digest))?, name: digest.to_string(), digest: Some(digest) })
    };
    let compressed = document.layers.iter().all(|layer| layer.media_type.ends_with("gzip") || layer.media_type.ends_with("zstd"));
    let media_type = if document.media_type.is_empty() { chosen.media_type.clone() } else { document.media_type.clone() };
    Ok(Found {
        config: part(&document.config)?,
        layers: document.layers.iter().map(part).collect::<Result<_, ArchiveError>>()?,
        manifest: compressed.then_some((bytes, media_type)),
    })
}

/// Collects the manifests of images, through indexes; attestations, which builders put beside them, are left out.
fn collect(index: &TarIndex, descriptors: Vec<Descriptor>, depth: usize, found: &mut Vec<Descriptor>) -> Result<(), ArchiveError> {
    for descriptor in descriptors {
        let attestation = descriptor.annotations.contains_key("vnd.docker.reference.type")
            || descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        let digest = index.digest(&descriptor)?;
        // An index may name manifests of other platforms that the engine never pulled.
        if attestation || !index.has(&blob_path(&digest)) {
            continue;
        }
        if descriptor.media_type.contains("index") || descriptor.media_type.contains("manifest.list") {
            if depth >= MAX_INDEX_DEPTH {
                return Err(index.no_image("its indexes name each other too deeply"));
            }
            let inner: Document = index.parsed(&index.verified(&digest)?, digest.as_str())?;
            collect(index, inner.manifests, depth + 1, found)?;
        } else if !found.iter().any(|known| known.digest == descriptor.digest) {
            found.push(descriptor);
        }
    }
    Ok(())
}

fn is_for(descriptor: &Descriptor, wanted: &str) -> bool {
    descriptor.platform.as_ref().is_some_and(|platform| format!("{}/{}", platform.os, platform.architecture) == wanted)
}

fn from_saved(index: &TarIndex) -> Result<Found, ArchiveError> {
    let saved: Vec<Saved> = index.parsed(&index.bytes("manifest.json")?, "manifest.json")?;
    let [image] = saved.as_slice() else {
        return Err(ArchiveError::NotOne { path: index.path().to_owned(), found: saved.len(), wanted: PLATFORM });
    };
    let part = |name: &String| {
        // `<hex>.json` before engine 25, `blobs/sha256/<hex>` since: both name the content.
        let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".json");
        Ok(Part { range: index.range(name)?, name: name.clone(), digest: Digest::parse(&format!("sha256:{stem}")) })
    };
    let layers = image.layers.iter().map(part).collect::<Result<_, ArchiveError>>()?;
    Ok(Found { manifest: None, config: part(&image.config)?, layers })
}

/// Copies a part as it is, checking its digest; returns digest and size.
fn copy(index: &TarIndex, part: &Part, writer: &mut LayoutWriter) -> Result<(Digest, u64), ArchiveError> {
    let digest = match &part.digest {
        Some(digest) => digest.clone(),
        None => hash(index, part)?,
    };
    let mut checked = Checked { inner: BufReader::new(index.reader(part.range)?), hasher: Hasher::default() };
    writer.blob(&digest, part.range.1, &mut checked)?;
    check(index, part, checked)?;
    Ok((digest, part.range.1))
}

/// Compresses a plain layer, always in the same way, checking its digest; a layer that is compressed already is copied.
fn compress(index: &TarIndex, part: &Part, writer: &mut LayoutWriter) -> Result<(Digest, u64), ArchiveError> {
    let mut magic = [0; 2];
    let is_gzip = index.reader(part.range)?.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    if is_gzip {
        return copy(index, part, writer);
    }
    let mut plain = Checked { inner: BufReader::new(index.reader(part.range)?), hasher: Hasher::default() };
    let mut packed = tempfile::tempfile().map_err(|source| index.io(source))?;
    let (digest, size) = {
        // No time, no name, and "unknown" as the system: the bytes depend on the content alone.
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).read(&mut plain, Compression::new(6));
        Hasher::copy(&mut gzip, &mut packed).map_err(|source| index.io(source))?
    };
    check(index, part, plain)?;
    packed.rewind().map_err(|source| index.io(source))?;
    writer.blob(&digest, size, BufReader::new(packed))?;
    Ok((digest, size))
}

fn hash(index: &TarIndex, part: &Part) -> Result<Digest, ArchiveError> {
    let copied = Hasher::copy(&mut index.reader(part.range)?, &mut io::sink());
    copied.map(|(digest, _)| digest).map_err(|source| index.io(source))
}

fn check(index: &TarIndex, part: &Part, read: Checked<impl Read>) -> Result<(), ArchiveError> {
    let Some(named) = &part.digest else { return Ok(()) };
    // Zero bytes read: the writer had this blob already.
    if read.hasher.bytes() == 0 && part.range.1 > 0 {
        return Ok(());
    }
    let found = read.hasher.digest();
    if found == *named { Ok(()) } else { Err(index.damaged(&part.name, found)) }
}

/// A reader that computes the digest of what passes.
struct Checked<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
