//! One blob into a registry.

use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode, header};
use url::Url;

use super::{Registry, RegistryError};
use crate::http::{Answer, Body, Call, Platform, SendError};
use crate::image::Blob;

/// How often a blob is begun anew after an upload that broke off.
const UPLOADS: u32 = 3;

/// The slowest rate at which an upload may go on before it is given up, in bytes a second.
const SLOWEST_RATE: u64 = 128 * 1024;

/// How one upload ended that did not fail for good.
enum Upload {
    Done,
    /// It broke off, or the upload's place is gone: whether the blob is there must be asked.
    Unknown(Broken),
}

/// How it broke.
enum Broken {
    Send(SendError),
    Status(Answer),
}

impl Registry {
    /// Makes sure that the registry has a blob; returns how many bytes were sent for it, zero when it was there.
    pub(super) async fn upload(&self, repository: &str, archive: &Path, blob: &Blob) -> Result<u64, RegistryError> {
        let mut tried = 0;
        let mut broken = None;
        loop {
            if self.has_blob(repository, blob).await? {
                return Ok(if tried == 0 { 0 } else { blob.size });
            }
            if tried == UPLOADS {
                return Err(match broken {
                    Some(Broken::Send(error)) => error.into(),
                    Some(Broken::Status(answer)) => self.refused("put_blob", repository, &answer),
                    None => RegistryError::NotVisible { registry: self.host(), repository: repository.to_owned() },
                });
            }
            tried += 1;
            match self.upload_once(repository, archive, blob).await? {
                Upload::Done => return Ok(blob.size),
                Upload::Unknown(how) => broken = Some(how),
            }
        }
    }

    async fn has_blob(&self, repository: &str, blob: &Blob) -> Result<bool, RegistryError> {
        let url = self.url(&format!("/v2/{repository}/blobs/{}", blob.digest));
        let answer = self.send(repository, || Call::new(Platform::Registry, "head_blob", Method::HEAD, url.clone())).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            // A registry that keeps blobs elsewhere redirects to them: they are there.
            status if status.is_success() || status.is_redirection() => Ok(true),
            _ => Err(self.refused("head_blob", repository, &answer)),
        }
    }

    async fn upload_once(&self, repository: &str, archive: &Path, blob: &Blob) -> Result<Upload, RegistryError> {
        let begin = self.url(&format!("/v2/{repository}/blobs/uploads/"));
        // An upload that is begun twice is a place that nobody uses; the registry forgets it.
        let call = || Call::new(Platform::Registry, "begin_upload", Method::POST, begin.clone()).repeatable();
        let begun = self.send(repository, call).await?;
        if begun.status != StatusCode::ACCEPTED {
            return Err(self.refused("begin_upload", repository, &begun));
        }
        let place = begun.header("location").and_then(|text| self.base.join(text).ok());
        let Some(mut place) = place else {
            return Err(RegistryError::Unexpected {
                registry: self.host(),
                operation: "begin_upload",
                status: begun.status.as_u16(),
                message: "the answer names no place to upload to".to_owned(),
            });
        };
        place.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        self.put_blob(repository, archive, blob, &place).await
    }

    async fn put_blob(&self, repository: &str, archive: &Path, blob: &Blob, place: &Url) -> Result<Upload, RegistryError> {
        let call = || {
            // Not repeatable as it stands: the place may be used up. It is asked whether the blob is there, and begun anew.
            let mut call = Call::new(Platform::Registry, "put_blob", Method::PUT, place.clone()).deadline(deadline(blob.size));
            call.body = Body::File { path: archive.to_owned(), offset: blob.offset, length: blob.size };
            call.header(header::CONTENT_TYPE, "application/octet-stream")
        };
        // A place on another host is signed by itself, and must not see the registry's login.
        let sent = if place.origin() == self.base.origin() {
            self.send(repository, call).await
        } else {
            self.transport.send(call()).await.map_err(RegistryError::from)
        };
        match sent {
            Ok(answer) if answer.status.is_success() => Ok(Upload::Done),
            Ok(answer) if matches!(answer.status.as_u16(), 404 | 408 | 416 | 500..) => Ok(Upload::Unknown(Broken::Status(answer))),
            Ok(answer) => Err(self.refused("put_blob", repository, &answer)),
            Err(RegistryError::NoAnswer(error)) => Ok(Upload::Unknown(Broken::Send(error))),
            Err(error) => Err(error),
        }
    }
}

fn deadline(bytes: u64) -> Duration {
    Call::DEADLINE + Duration::from_secs(bytes / SLOWEST_RATE)
}
