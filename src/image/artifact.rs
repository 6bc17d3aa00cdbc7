//! What was made and can be shipped.

use super::{DirectoryArtifact, ImageArchive};
use crate::id::Name;

/// Something that a release can ship.
#[derive(Debug, Clone)]
pub enum Artifact {
    /// An image in an archive on this machine.
    Image(ImageArtifact),
    /// A directory on this machine.
    Directory(DirectoryArtifact),
}

/// An image that was built once.
#[derive(Debug, Clone)]
pub struct ImageArtifact {
    /// Its name in the manifest.
    pub image: Name,
    /// Where its bytes are; the digest of the archive's manifest is the image's.
    pub archive: ImageArchive,
}

impl Artifact {
    /// Returns the digest of the content: of the image's manifest, or of the directory's file manifest.
    pub fn digest(&self) -> &super::Digest {
        match self {
            Self::Image(image) => &image.archive.digest,
            Self::Directory(directory) => &directory.digest,
        }
    }

    /// Returns the size in bytes: of an image compressed, as it is downloaded.
    pub fn size(&self) -> u64 {
        match self {
            Self::Image(image) => image.archive.size(),
            Self::Directory(directory) => directory.bytes,
        }
    }
}
