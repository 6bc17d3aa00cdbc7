//! Writing an image in our own form: the same content gives the same file, byte for byte.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::archive::blob_path;
use super::{ArchiveError, Digest, ImageArchive};

/// Media types of the OCI image specification.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Of a manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Of a configuration.
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Of a layer as we compress it.
pub(super) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Writes one archive; it appears under its name only when it is whole.
pub(super) struct LayoutWriter {
    destination: PathBuf,
    partial: tempfile::NamedTempFile,
    tar: tar::Builder<BufWriter<File>>,
    written: BTreeSet<Digest>,
}

impl LayoutWriter {
    /// Begins an archive at `destination`, whose directory is made if it is not there.
    pub(super) fn begin(destination: &Path) -> Result<Self, ArchiveError> {
        let begin = || {
            let directory = destination.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(directory)?;
            let partial = tempfile::Builder::new().prefix(".image-").tempfile_in(directory)?;
            let tar = tar::Builder::new(BufWriter::new(partial.reopen()?));
            Ok((partial, tar))
        };
        let (partial, tar) = begin().map_err(|source| ArchiveError::Io { path: destination.to_owned(), source })?;
        Ok(Self { destination: destination.to_owned(), partial, tar, written: BTreeSet::new() })
    }

    /// Adds a blob of `size` bytes; a digest that is there already is not written again.
    pub(super) fn blob(&mut self, digest: &Digest, size: u64, content: impl Read) -> Result<(), ArchiveError> {
        if self.written.insert(digest.clone()) { self.file(&blob_path(digest), size, content) } else { Ok(()) }
    }

    /// Adds the manifest and the index, and puts the archive in its place.
    pub(super) fn finish(mut self, manifest: &[u8], media_type: &str) -> Result<ImageArchive, ArchiveError> {
        let digest = Digest::of(manifest);
        self.blob(&digest, manifest.len() as u64, manifest)?;
        let descriptor = json!({ "mediaType": media_type, "digest": digest.as_str(), "size": manifest.len() });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] }).to_string();
        self.file("index.json", index.len() as u64, index.as_bytes())?;
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        self.file("oci-layout", layout.len() as u64, layout.as_bytes())?;
        let Self { destination, partial, tar, .. } = self;
        let close = || {
            let mut file = tar.into_inner()?;
            file.flush()?;
            file.get_ref().sync_all()?;
            readable_by_all(partial.path())?;
            partial.persist(&destination).map_err(|error| error.error)?;
            io::Result::Ok(())
        };
        close().map_err(|source| ArchiveError::Io { path: destination.clone(), source })?;
        ImageArchive::open(&destination)
    }

    fn file(&mut self, name: &str, size: u64, content: impl Read) -> Result<(), ArchiveError> {
        // Nothing of this machine or this moment goes into the header: the same content is the same file.
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        let appended = self.tar.append_data(&mut header, name, content);
        appended.map_err(|source| ArchiveError::Io { path: self.destination.clone(), source })
    }
}

/// A temporary file is private; an archive is handed from job to job.
fn readable_by_all(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}
