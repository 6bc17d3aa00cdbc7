//! Pushing an image, blob by blob, without any Docker.
//!
//! The OCI distribution specification's push (HEAD blob, POST upload, PUT content, PUT manifest) and the token flow of the distribution
//! project. No layer is ever in memory: the transport streams it from the archive. Every step may be repeated; a push that was cut off and is
//! repeated sends only what is not there yet. A manifest is put last, so that a push that never ends is visible to nobody.

mod authorization;
mod copy;
mod error;
mod upload;

pub use authorization::Login;
pub use error::RegistryError;

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode, header};
use tokio::time::{Instant, sleep};
use url::Url;

use super::{Digest, ImageArchive};
use crate::http::{Answer, Call, Platform, Transport};
use crate::mask::Secret;
use crate::shutdown::{Level, Shutdown};

/// The media types that a manifest is asked for in: without them a registry may answer 404, or convert and so give another digest.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// How many blobs are pushed at a time.
const PARALLEL_BLOBS: usize = 4;

/// How long a manifest that was just put may take to be seen: seconds are known from the wild.
pub(super) const VISIBLE_DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One registry and the login for it.
#[derive(Debug)]
pub struct Registry {
    transport: Transport,
    base: Url,
    login: Option<Login>,
    /// The `Authorization` header by repository, as the registry last asked for it.
    authorizations: Mutex<BTreeMap<String, Secret>>,
}

/// What a manifest says about sizes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sizes {
    config: Sized,
    layers: Vec<Sized>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sized {
    size: u64,
}

impl Sizes {
    fn total(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).fold(self.config.size, u64::saturating_add)
    }
}

/// What a registry confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// `host/repository@sha256:…`.
    pub reference: String,
    /// The digest, as the registry returned it; it is the archive's.
    pub digest: Digest,
    /// How many bytes were sent; zero when everything was there.
    pub sent: u64,
}

impl Registry {
    /// Returns a client for the registry at `host`: a host name with or without a port, or an address with a scheme.
    ///
    /// Without a scheme it is https, but for this machine itself, where registries have no certificate.
    pub fn new(transport: Transport, host: &str, login: Option<Login>) -> Result<Self, RegistryError> {
        let with_scheme = match host.split_once("://") {
            Some(_) => host.to_owned(),
            None if is_local(host) => format!("http://{host}"),
            None => format!("https://{host}"),
        };
        let base = Url::parse(&with_scheme).ok().filter(Url::has_host);
        let base = base.ok_or_else(|| RegistryError::BadAddress { address: host.to_owned() })?;
        Ok(Self { transport, base, login, authorizations: Mutex::default() })
    }

    /// Returns the registry's name as it stands in references.
    pub fn host(&self) -> String {
        let port = self.base.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.base.host_str().unwrap_or_default())
    }

    /// Pushes an image to `repository`, also under `tag`, and returns what the registry confirms. `step` is told what is done, in a few words.
    ///
    /// Idempotent: blobs and the manifest are named by their content. Refuses to return when the registry confirms another digest. Ends with
    /// [`RegistryError::Cancelled`] at [`Level::Drain`]; what was sent until then does no harm and is not sent again.
    pub async fn push(
        &self,
        repository: &str,
        tag: &str,
        archive: &ImageArchive,
        shutdown: &Shutdown,
        step: &(dyn Fn(String) + Sync),
    ) -> Result<Pushed, RegistryError> {
        tokio::select! {
            biased;
            () = shutdown.at_least(Level::Drain) => Err(RegistryError::Cancelled),
            pushed = self.push_all(repository, tag, archive, step) => pushed,
        }
    }

    /// Returns the digest of a manifest by tag or digest, or `None` when the registry has none.
    pub async fn manifest_digest(&self, repository: &str, reference: &str) -> Result<Option<Digest>, RegistryError> {
        let head = || self.manifest_call("head_manifest", Method::HEAD, repository, reference);
        let answer = self.send(repository, head).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => match answer.header("docker-content-digest").and_then(Digest::parse) {
                Some(digest) => Ok(Some(digest)),
                // The header is optional in the specification: the content itself tells.
                None => self.manifest_digest_by_content(repository, reference).await.map(Some),
            },
            _ => Err(self.refused("head_manifest", repository, &answer)),
        }
    }

    /// Returns the compressed size of an image that is there, as it is downloaded: all layers and the configuration. `None` where the registry has
    /// none, or has an index of several platforms. One read; the digest is compared with what came.
    pub async fn image_size(&self, repository: &str, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        let read = || self.manifest_call("get_manifest", Method::GET, repository, digest.as_str());
        let answer = self.send(repository, read).await?;
        match answer.status {
            StatusCode::OK if Digest::of(&answer.body) == *digest => {
                let manifest: Option<Sizes> = serde_json::from_slice(&answer.body).ok();
                Ok(manifest.filter(|manifest| !manifest.layers.is_empty()).map(|manifest| manifest.total()))
            }
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused("get_manifest", repository, &answer)),
        }
    }

    async fn manifest_digest_by_content(&self, repository: &str, reference: &str) -> Result<Digest, RegistryError> {
        let answer = self.send(repository, || self.manifest_call("get_manifest", Method::GET, repository, reference)).await?;
        if answer.status == StatusCode::OK { Ok(Digest::of(&answer.body)) } else { Err(self.refused("get_manifest", repository, &answer)) }
    }

    async fn push_all(
        &self,
        repository: &str,
        tag: &str,
        archive: &ImageArchive,
        step: &(dyn Fn(String) + Sync),
    ) -> Result<Pushed, RegistryError> {
        let known = self.manifest_digest(repository, archive.digest.as_str()).await?;
        let mut sent = 0;
        if known.as_ref() != Some(&archive.digest) {
            let blobs = archive.blobs();
            let count = blobs.len();
            let uploads = stream::iter(blobs.into_iter().enumerate()).map(|(at, blob)| async move {
                let sent = self.upload(repository, &archive.path, blob).await?;
                let what = if sent == 0 { "was there".to_owned() } else { format!("pushed, {}", megabytes(sent)) };
                step(format!("blob {} of {count} {what}", at + 1));
                Ok::<u64, RegistryError>(sent)
            });
            let all: Vec<u64> = uploads.buffer_unordered(PARALLEL_BLOBS).try_collect().await?;
            sent = all.iter().sum();
        }
        self.put_manifest(repository, tag, &archive.manifest, &archive.media_type, &archive.digest).await?;
        let digest = self.confirmed(repository, &archive.digest).await?;
        Ok(Pushed { reference: format!("{}/{repository}@{digest}", self.host()), digest, sent })
    }

    /// Waits until the registry shows a manifest by its digest.
    async fn confirmed(&self, repository: &str, digest: &Digest) -> Result<Digest, RegistryError> {
        let began = Instant::now();
        loop {
            match self.manifest_digest(repository, digest.as_str()).await? {
                Some(found) if found == *digest => return Ok(found),
                Some(found) => return Err(self.mismatch(repository, digest, found)),
                None if began.elapsed() >= VISIBLE_DEADLINE => {
                    return Err(RegistryError::NotVisible { registry: self.host(), repository: repository.to_owned() });
                }
                None => sleep(LOOK_EVERY).await,
            }
        }
    }

    fn manifest_call(&self, operation: &'static str, method: Method, repository: &str, reference: &str) -> Call {
        let url = self.url(&format!("/v2/{repository}/manifests/{reference}"));
        Call::new(Platform::Registry, operation, method, url).header(header::ACCEPT, ACCEPT)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    fn mismatch(&self, repository: &str, expected: &Digest, found: Digest) -> RegistryError {
        RegistryError::Mismatch { registry: self.host(), repository: repository.to_owned(), expected: expected.clone(), found }
    }

    fn refused(&self, operation: &'static str, repository: &str, answer: &Answer) -> RegistryError {
        error::from_answer(&self.host(), self.login.as_ref().map(|login| login.user.clone()), operation, repository, answer)
    }

    /// Sends a call of our own making, with the authorization that the registry asks for.
    ///
    /// On 401 the challenge is answered and the call is sent once more.
    async fn send(&self, repository: &str, call: impl Fn() -> Call) -> Result<Answer, RegistryError> {
        let known = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned();
        let answer = self.transport.send(authorization::with(call(), known.as_ref())).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(fresh) = self.authorize(repository, &answer).await? else {
            return Ok(answer);
        };
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.to_owned(), fresh.clone());
        Ok(self.transport.send(authorization::with(call(), Some(&fresh))).await?)
    }
}

fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.starts_with("127.") || name == "[::1]"
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
