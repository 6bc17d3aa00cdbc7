//! An image in the one form that cutover keeps and pushes: an OCI layout in a tar file, with one manifest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use super::Digest;
use super::stand_in::STAND_IN_LABEL;

/// The largest manifest, index or configuration that is read, in bytes; the distribution specification asks registries for 4 MiB.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// The most entries of an archive that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// An image on this machine, ready to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageArchive {
    /// The tar file.
    pub path: PathBuf,
    /// The digest of the manifest: the image's identity in every registry.
    pub digest: Digest,
    /// The manifest's exact bytes.
    pub manifest: Bytes,
    /// The manifest's media type.
    pub media_type: String,
    /// The configuration.
    pub config: Blob,
    /// The layers, from the lowest up.
    pub layers: Vec<Blob>,
    /// The image's labels.
    pub labels: BTreeMap<String, String>,
}

/// A range of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The digest of the range.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// Where it begins in the file.
    pub offset: u64,
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or its new form cannot be written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is neither an OCI layout nor what `docker save` writes.
    #[error("{} is no image archive: {reason}", .path.display())]
    NotAnImage {
        /// Which.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// It holds several images, and none of them alone is for the platform that is asked for.
    #[error("{} holds {found} images for {wanted}; one is needed", .path.display())]
    NotOne {
        /// Which.
        path: PathBuf,
        /// How many fit.
        found: usize,
        /// `os/architecture`.
        wanted: &'static str,
    },
    /// A part does not have the digest by which it is named.
    #[error("{} is damaged: {part} has the digest {found}", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The part as it is named.
        part: String,
        /// What its bytes give.
        found: Digest,
    },
}

/// A descriptor of the OCI image specification.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType")]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) platform: Option<PlatformName>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// An operating system and an architecture.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlatformName {
    pub(super) os: String,
    pub(super) architecture: String,
}

/// A manifest or an index of the OCI image specification; whichever of the two lists is filled tells.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    #[serde(rename = "mediaType")]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// What is read of an image's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    config: ContainerConfiguration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerConfiguration {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl ImageArchive {
    /// Opens an archive in our own form; blobs are found, not read.
    ///
    /// The manifest and the configuration are checked against their digests, the layers against their sizes; a registry checks each layer's
    /// digest when it is pushed.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let index = TarIndex::read(path)?;
        let root: Document = index.document("index.json")?;
        let [descriptor] = root.manifests.as_slice() else {
            return Err(index.no_image(format!("its index names {} manifests", root.manifests.len())));
        };
        let digest = index.digest(descriptor)?;
        let manifest = index.verified(&digest)?;
        let document: Document = index.parsed(&manifest, digest.as_str())?;
        let config = index.blob(&document.config)?;
        let configuration: Configuration = index.parsed(&index.verified(&config.digest)?, "its configuration")?;
        let layers = document.layers.iter().map(|layer| index.blob(layer)).collect::<Result<_, _>>()?;
        let media_type = [document.media_type, descriptor.media_type.clone()].into_iter().find(|text| !text.is_empty());
        Ok(Self {
            path: path.to_owned(),
            digest,
            manifest: manifest.into(),
            media_type: media_type.unwrap_or_else(|| super::layout::MANIFEST.to_owned()),
            config,
            layers,
            labels: configuration.config.labels.unwrap_or_default(),
        })
    }

    /// Returns the compressed size in bytes, as it is downloaded: all layers and the configuration.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum::<u64>() + self.config.size
    }

    /// Returns whether it stands for an image that nobody built.
    pub fn is_stand_in(&self) -> bool {
        self.labels.contains_key(STAND_IN_LABEL)
    }

    /// Returns every blob that a registry must have before the manifest, each digest once.
    pub fn blobs(&self) -> Vec<&Blob> {
        let mut seen = std::collections::BTreeSet::new();
        self.layers.iter().chain([&self.config]).filter(|blob| seen.insert(&blob.digest)).collect()
    }
}

/// Where each file of a tar is.
#[derive(Debug)]
pub(super) struct TarIndex {
    path: PathBuf,
    entries: BTreeMap<String, Place>,
}

/// Where one file of a tar is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Range { offset: u64, size: u64 },
    Link { target: String },
}

impl TarIndex {
    /// Reads the headers of a tar; contents are skipped.
    pub(super) fn read(path: &Path) -> Result<Self, ArchiveError> {
        let io_error = |source| ArchiveError::Io { path: path.to_owned(), source };
        let mut tar = tar::Archive::new(File::open(path).map_err(io_error)?);
        let mut entries = BTreeMap::new();
        for entry in tar.entries_with_seek().map_err(io_error)? {
            let entry = entry.map_err(|error| ArchiveError::NotAnImage { path: path.to_owned(), reason: error.to_string() })?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            let kind = entry.header().entry_type();
            let place = if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
                // A hard link's target is named from the archive's root, a symbolic link's from the link.
                let below = if kind.is_symlink() { parent(&name) } else { "" };
                Place::Link { target: joined(below, &target) }
            } else if kind.is_file() {
                Place::Range { offset: entry.raw_file_position(), size: entry.size() }
            } else {
                continue;
            };
            if entries.len() >= MAX_ENTRIES {
                let reason = format!("it has more than {MAX_ENTRIES} entries");
                return Err(ArchiveError::NotAnImage { path: path.to_owned(), reason });
            }
            entries.insert(name, place);
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Returns offset and size of a file, through links.
    pub(super) fn range(&self, name: &str) -> Result<(u64, u64), ArchiveError> {
        let mut name = name;
        for _ in 0..8 {
            match self.entries.get(name) {
                Some(Place::Range { offset, size }) => return Ok((*offset, *size)),
                Some(Place::Link { target }) => name = target,
                None => break,
            }
        }
        Err(self.no_image(format!("{name} is missing")))
    }

    /// Returns a reader over a range of the file.
    pub(super) fn reader(&self, (offset, size): (u64, u64)) -> Result<io::Take<File>, ArchiveError> {
        let open = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file.take(size))
        };
        open().map_err(|source| self.io(source))
    }

    /// Returns the whole of a small file.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let range = self.range(name)?;
        if range.1 > MAX_DOCUMENT_BYTES {
            return Err(self.no_image(format!("{name} has {} bytes, more than {MAX_DOCUMENT_BYTES}", range.1)));
        }
        let mut bytes = Vec::new();
        self.reader(range)?.read_to_end(&mut bytes).map_err(|source| self.io(source))?;
        Ok(bytes)
    }

    /// Returns a small blob, checked against its digest.
    pub(super) fn verified(&self, digest: &Digest) -> Result<Vec<u8>, ArchiveError> {
        let bytes = self.bytes(&blob_path(digest))?;
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(self.damaged(digest.as_str(), found)) }
    }

    pub(super) fn document(&self, name: &str) -> Result<Document, ArchiveError> {
        self.parsed(&self.bytes(name)?, name)
    }

    pub(super) fn parsed<T: serde::de::DeserializeOwned>(&self, bytes: &[u8], name: &str) -> Result<T, ArchiveError> {
        serde_json::from_slice(bytes).map_err(|error| self.no_image(format!("{name}: {error}")))
    }

    pub(super) fn digest(&self, descriptor: &Descriptor) -> Result<Digest, ArchiveError> {
        Digest::parse(&descriptor.digest).ok_or_else(|| self.no_image(format!("{:?} is no sha256 digest", descriptor.digest)))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob, ArchiveError> {
        let digest = self.digest(descriptor)?;
        let (offset, size) = self.range(&blob_path(&digest))?;
        if size != descriptor.size {
            return Err(self.no_image(format!("{digest} has {size} bytes, not {}", descriptor.size)));
        }
        Ok(Blob { digest, size, media_type: descriptor.media_type.clone(), offset })
    }

    pub(super) fn io(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Io { path: self.path.clone(), source }
    }

    pub(super) fn no_image(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::NotAnImage { path: self.path.clone(), reason: reason.into() }
    }

    pub(super) fn damaged(&self, part: &str, found: Digest) -> ArchiveError {
        ArchiveError::Damaged { path: self.path.clone(), part: part.to_owned(), found }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns where the OCI layout keeps a blob.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(above, _)| above)
}

fn joined(below: &str, target: &str) -> String {
    let mut parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
