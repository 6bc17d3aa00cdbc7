//! The registry's surface: one handler that reads the place from the path, because repository names may contain slashes.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Registry;
use super::refusal::Refusal;
use crate::embedded::ground::lock;

/// What a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A manifest, by tag or digest.
    Manifest(String),
    /// A blob, by digest.
    Blob(String),
    /// The beginning of an upload.
    NewUpload,
    /// An upload that was begun.
    Upload(String),
    /// The list of tags.
    Tags,
}

impl Kind {
    /// Returns the word for the tape.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "manifest",
            Self::Blob(_) => "blob",
            Self::NewUpload | Self::Upload(_) => "upload",
            Self::Tags => "tags",
        }
    }
}

/// A repository and what in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub repository: String,
    pub kind: Kind,
}

impl Place {
    /// Reads `/v2/<repository>/<kind>/...`; `None` for anything else.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix("/v2/")?.split('/').collect();
        let (name, kind) = match segments.as_slice() {
            [name @ .., "manifests", reference] if !reference.is_empty() => (name, Kind::Manifest((*reference).to_owned())),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, Kind::NewUpload),
            [name @ .., "blobs", "uploads", id] => (name, Kind::Upload((*id).to_owned())),
            [name @ .., "blobs", digest] => (name, Kind::Blob((*digest).to_owned())),
            [name @ .., "tags", "list"] => (name, Kind::Tags),
            _ => return None,
        };
        (!name.is_empty() && name.iter().all(|part| !part.is_empty())).then(|| Self { repository: name.join("/"), kind })
    }
}

pub(super) fn router(registry: &Registry) -> Router {
    Router::new().fallback(answer).with_state(registry.clone())
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    let mut response = registry.answer(request).await.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}

impl Registry {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let opens = self.admit(request.headers())?;
        let path = request.uri().path().to_owned();
        if path == "/v2/" || path == "/v2" {
            return Ok((StatusCode::OK, axum::Json(serde_json::json!({}))).into_response());
        }
        let Some(Place { repository, kind }) = Place::parse(&path) else { return Err(Refusal::NameUnknown) };
        if opens.is_some_and(|only| only != repository) {
            return Err(Refusal::Denied);
        }
        let method = request.method().clone();
        let reads = method == Method::GET || method == Method::HEAD;
        if !reads && !lock(&self.inner.state).repositories.contains(&repository) {
            return Err(Refusal::NameUnknown);
        }
        match (kind, method) {
            (Kind::Manifest(reference), Method::GET | Method::HEAD) => self.manifest(&repository, &reference, &request),
            (Kind::Manifest(reference), Method::PUT) => self.put_manifest(&repository, &reference, request).await,
            (Kind::Blob(digest), Method::GET | Method::HEAD) => self.blob(&repository, &digest, request.method()).await,
            (Kind::NewUpload, Method::POST) => self.begin_upload(&repository, request).await,
            (Kind::Upload(id), Method::GET) => self.upload_status(&repository, &id).await,
            (Kind::Upload(id), Method::PATCH) => self.append(&repository, &id, request).await,
            (Kind::Upload(id), Method::PUT) => self.finish_upload(&repository, &id, request).await,
            (Kind::Upload(id), Method::DELETE) => self.cancel_upload(&repository, &id).await,
            (Kind::Tags, Method::GET) => self.tags(&repository),
            _ => Err(Refusal::Unsupported),
        }
    }

    /// Lets in user `x` with a known password; returns the only repository it opens, or `None` for all. Source: `fly auth docker`.
    fn admit(&self, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Refusal::Unauthorized)?;
        let encoded = header.strip_prefix("Basic ").ok_or(Refusal::Unauthorized)?;
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| Refusal::Unauthorized)?;
        let text = String::from_utf8(decoded).map_err(|_| Refusal::Unauthorized)?;
        let Some(("x", password)) = text.split_once(':') else { return Err(Refusal::Unauthorized) };
        let state = lock(&self.inner.state);
        if state.open_to_anyone && !password.is_empty() {
            return Ok(None);
        }
        // The password is the token as a whole, or several joined by commas.
        password.split(',').find_map(|piece| state.passwords.get(piece)).cloned().ok_or(Refusal::Unauthorized)
    }
}
