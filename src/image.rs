//! What a release ships: an image that is built once, or a directory; each named by the digest of its content.
//!
//! A builder makes an archive beside the source and holds no deploy credential; the archive is brought into one form whose manifest, and so
//! whose digest, is the same in every registry; a release pushes it blob by blob without any Docker and deploys what the registry confirms.

mod archive;
mod artifact;
mod build;
mod builder;
mod detect;
mod digest;
mod directory;
mod layout;
mod registry;
mod source;
mod stand_in;

pub use archive::{ArchiveError, Blob, ImageArchive};
pub use artifact::{Artifact, ImageArtifact};
pub use build::{BuildContext, BuildError, build};
pub use builder::{BuildFiles, BuildPlan, Builder, SecretMissing, Words};
pub use detect::{Found, NoBuilder, choose, detect};
pub use digest::{Digest, Hasher};
pub use directory::{DirectoryArtifact, DirectoryError, FileEntry, FileKind};
pub use registry::{Login, Pushed, Registry, RegistryError};
pub use source::normalise;
pub use stand_in::{STAND_IN_LABEL, stand_in};
