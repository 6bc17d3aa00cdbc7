//! Manifests and tags.

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::blobs::{created, empty};
use super::refusal::Refusal;
use super::{Manifest, Registry};
use crate::embedded::ground::{lock, partial};
use crate::embedded::tape::hex;

/// The largest manifest. Source: the OCI distribution specification advises registries to accept at least 4 MiB.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

type Answer = Result<Response, Refusal>;

impl Registry {
    /// Gives a manifest by tag or digest; one whose media type the client does not accept is unknown to it, as registry 2.8.2 was seen to answer.
    pub(super) fn manifest(&self, repository: &str, reference: &str, request: &Request) -> Answer {
        let state = lock(&self.inner.state);
        let digest = if reference.starts_with("sha256:") {
            Some(reference)
        } else {
            state.tags.get(repository).and_then(|tags| tags.get(reference)).map(String::as_str)
        };
        let found = digest.and_then(|digest| Some((digest, state.manifests.get(repository)?.get(digest)?)));
        let (digest, manifest) = found.ok_or(Refusal::ManifestUnknown)?;
        if !accepts(request.headers(), &manifest.media_type) {
            return Err(Refusal::ManifestUnknown);
        }
        let headers = [("docker-content-digest", digest.to_owned()), ("content-type", manifest.media_type.clone())];
        let mut response = empty(StatusCode::OK, &headers);
        if *request.method() == Method::GET {
            *response.body_mut() = Body::from(manifest.bytes.clone());
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
        Ok(response)
    }

    /// Takes a manifest whose parts are all here.
    pub(super) async fn put_manifest(&self, repository: &str, reference: &str, request: Request) -> Answer {
        let sent = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(request.into_body(), LARGEST_MANIFEST).collect().await.map_err(|_| Refusal::ManifestInvalid)?;
        let bytes = body.to_bytes();
        let document: Value = serde_json::from_slice(&bytes).map_err(|_| Refusal::ManifestInvalid)?;
        let own = document.get("mediaType").and_then(Value::as_str).map(str::to_owned);
        if own.is_some() && sent.is_some() && own != sent {
            return Err(Refusal::ManifestInvalid);
        }
        let media_type = sent.or(own).ok_or(Refusal::ManifestInvalid)?;
        self.parts_are_here(repository, &document)?;
        let digest = format!("sha256:{}", hex(Sha256::digest(&bytes).as_slice()));
        if reference.starts_with("sha256:") && reference != digest {
            return Err(Refusal::DigestInvalid);
        }
        let mut state = lock(&self.inner.state);
        state.manifests.entry(repository.to_owned()).or_default().insert(digest.clone(), Manifest { media_type, bytes });
        if !reference.starts_with("sha256:") && !partial() {
            state.tags.entry(repository.to_owned()).or_default().insert(reference.to_owned(), digest.clone());
        }
        Ok(created(repository, "manifests", &digest))
    }

    fn parts_are_here(&self, repository: &str, document: &Value) -> Result<(), Refusal> {
        let digest = |part: &Value| part.get("digest").and_then(Value::as_str).map(str::to_owned);
        let list = |key: &str| document.get(key).and_then(Value::as_array).into_iter().flatten();
        let blobs = document.get("config").into_iter().chain(list("layers")).map(digest);
        let manifests: Vec<_> = list("manifests").map(digest).collect();
        for blob in blobs {
            if !self.has_blob(repository, &blob.ok_or(Refusal::ManifestInvalid)?) {
                return Err(Refusal::ManifestBlobUnknown);
            }
        }
        let state = lock(&self.inner.state);
        let here = state.manifests.get(repository);
        for manifest in manifests {
            let manifest = manifest.ok_or(Refusal::ManifestInvalid)?;
            if !here.is_some_and(|here| here.contains_key(&manifest)) {
                return Err(Refusal::ManifestBlobUnknown);
            }
        }
        Ok(())
    }

    pub(super) fn tags(&self, repository: &str) -> Answer {
        let state = lock(&self.inner.state);
        let tags = state.tags.get(repository).ok_or(Refusal::NameUnknown)?;
        Ok(Json(json!({ "name": repository, "tags": tags.keys().collect::<Vec<_>>() })).into_response())
    }
}

/// Returns whether one of the Accept headers names `media_type`, or everything.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut offered = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    offered.any(|offer| {
        let offer = offer.split(';').next().unwrap_or_default().trim();
        offer == media_type || offer == "*/*" || offer == "application/*"
    })
}
