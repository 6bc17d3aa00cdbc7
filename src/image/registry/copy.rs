//! An image from one repository of a registry into another one, by the same digest: nothing is built, and nothing is kept on this machine.

use std::io::Write;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde::Deserialize;

use super::{Registry, RegistryError};
use crate::http::{Body, Call, Platform};
use crate::image::{Blob, Digest};
use crate::shutdown::{Level, Shutdown};

/// How much of a blob is asked for at a time, in bytes; well below the largest answer that is read.
const PIECE: u64 = 16 * 1024 * 1024;

/// What a manifest names, in OCI's and Docker's form alike.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

impl Registry {
    /// Makes sure that `repository` has the image that `from` has by this digest, under `tag` too; returns whether anything had to be copied.
    ///
    /// Each blob is mounted, which moves no byte (distribution specification, "Mounting a blob from another repository"), or, where the
    /// registry does not, fetched in pieces and pushed. Idempotent: everything is named by its content. Errors: [`RegistryError::Gone`] when
    /// `from` does not have it; an index of several images is refused, since nothing that cutover pushed is one.
    pub async fn copy(&self, from: &str, repository: &str, digest: &Digest, tag: &str, shutdown: &Shutdown) -> Result<bool, RegistryError> {
        tokio::select! {
            biased;
            () = shutdown.at_least(Level::Drain) => Err(RegistryError::Cancelled),
            copied = self.copy_all(from, repository, digest, tag) => copied,
        }
    }

    async fn copy_all(&self, from: &str, repository: &str, digest: &Digest, tag: &str) -> Result<bool, RegistryError> {
        if self.manifest_digest(repository, digest.as_str()).await?.as_ref() == Some(digest) {
            return Ok(false);
        }
        let bytes = self.manifest(from, digest).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| self.no_image(from, digest, &error.to_string()))?;
        let Some(config) = manifest.config else { return Err(self.no_image(from, digest, "it is an index of several images")) };
        for blob in std::iter::once(&config).chain(&manifest.layers) {
            self.copy_blob(from, repository, blob).await?;
        }
        let media_type = manifest.media_type.as_deref().unwrap_or("application/vnd.oci.image.manifest.v1+json");
        self.put_manifest(repository, tag, &bytes, media_type, digest).await?;
        self.confirmed(repository, digest).await?;
        Ok(true)
    }

    /// Returns a manifest's exact bytes.
    async fn manifest(&self, repository: &str, digest: &Digest) -> Result<Bytes, RegistryError> {
        let answer = self.send(repository, || self.manifest_call("get_manifest", Method::GET, repository, digest.as_str())).await?;
        match answer.status {
            StatusCode::OK if Digest::of(&answer.body) == *digest => Ok(answer.body),
            StatusCode::OK => {
                let (registry, repository) = (self.host(), repository.to_owned());
                Err(RegistryError::Mismatch { registry, repository, expected: digest.clone(), found: Digest::of(&answer.body) })
            }
            StatusCode::NOT_FOUND => {
                Err(RegistryError::Gone { registry: self.host(), repository: repository.to_owned(), digest: digest.clone() })
            }
            _ => Err(self.refused("get_manifest", repository, &answer)),
        }
    }

    async fn copy_blob(&self, from: &str, repository: &str, blob: &Descriptor) -> Result<(), RegistryError> {
        let mut place = self.url(&format!("/v2/{repository}/blobs/uploads/"));
        place.query_pairs_mut().append_pair("mount", blob.digest.as_str()).append_pair("from", from);
        // Mounted twice is mounted once; an upload that is begun instead is a place that nobody uses, and the registry forgets it.
        let mounted =
            self.send(repository, || Call::new(Platform::Registry, "mount_blob", Method::POST, place.clone()).repeatable()).await?;
        match mounted.status {
            StatusCode::CREATED => Ok(()),
            StatusCode::ACCEPTED => self.fetch_and_push(from, repository, blob).await,
            _ => Err(self.refused("mount_blob", repository, &mounted)),
        }
    }

    async fn fetch_and_push(&self, from: &str, repository: &str, blob: &Descriptor) -> Result<(), RegistryError> {
        let unwritable = |error: std::io::Error| self.no_image(from, &blob.digest, &format!("a temporary file cannot be written: {error}"));
        let mut file = tempfile::NamedTempFile::new().map_err(unwritable)?;
        let mut offset = 0;
        while offset < blob.size {
            let last = (offset + PIECE).min(blob.size) - 1;
            let piece = self.fetch(from, &blob.digest, offset, last).await?;
            if piece.is_empty() || piece.len() as u64 > blob.size - offset {
                return Err(self.no_image(from, &blob.digest, "a piece of it has another length than its manifest says"));
            }
            file.write_all(&piece).map_err(unwritable)?;
            offset += piece.len() as u64;
        }
        // The registry compares the digest with the content: what was fetched wrongly is never confirmed.
        let pushed = Blob { digest: blob.digest.clone(), size: blob.size, media_type: String::new(), offset: 0 };
        self.upload(repository, file.path(), &pushed).await.map(drop)
    }

    /// Reads a range of a blob; a registry that knows no ranges gives the whole, which is good for the first.
    async fn fetch(&self, repository: &str, digest: &Digest, first: u64, last: u64) -> Result<Bytes, RegistryError> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"));
        let range = format!("bytes={first}-{last}");
        let call = |url: &url::Url| Call::new(Platform::Registry, "get_blob", Method::GET, url.clone()).header(header::RANGE, &range);
        let mut answer = self.send(repository, || call(&url)).await?;
        if answer.status.is_redirection() {
            // Where blobs are kept elsewhere, the address is signed by itself, and must not see the registry's login.
            let elsewhere = answer.header("location").and_then(|text| url.join(text).ok());
            let elsewhere = elsewhere.ok_or_else(|| self.no_image(repository, digest, "the redirect to it names no address"))?;
            answer = self.transport.send(call(&elsewhere)).await?;
        }
        match answer.status {
            StatusCode::PARTIAL_CONTENT => Ok(answer.body),
            StatusCode::OK if first == 0 => Ok(answer.body),
            StatusCode::NOT_FOUND => {
                Err(RegistryError::Gone { registry: self.host(), repository: repository.to_owned(), digest: digest.clone() })
            }
            _ => Err(self.refused("get_blob", repository, &answer)),
        }
    }

    /// Puts a manifest under a tag; the registry must confirm its digest.
    pub(super) async fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        bytes: &Bytes,
        media_type: &str,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let put = || {
            // The same bytes under the same names: repeating it changes nothing.
            let mut call = self.manifest_call("put_manifest", Method::PUT, repository, tag).repeatable();
            call.body = Body::Bytes(bytes.clone());
            call.header(header::CONTENT_TYPE, media_type)
        };
        let answer = self.send(repository, put).await?;
        if !answer.status.is_success() {
            return Err(self.refused("put_manifest", repository, &answer));
        }
        match answer.header("docker-content-digest").and_then(Digest::parse) {
            Some(found) if found != *digest => Err(self.mismatch(repository, digest, found)),
            _ => Ok(()),
        }
    }

    fn no_image(&self, repository: &str, digest: &Digest, reason: &str) -> RegistryError {
        RegistryError::Unexpected {
            registry: self.host(),
            operation: "copy",
            status: 200,
            message: format!("{repository}@{digest} cannot be copied: {reason}"),
        }
    }
}
