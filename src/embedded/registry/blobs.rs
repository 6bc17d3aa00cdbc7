//! Blobs and their uploads.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use super::Registry;
use super::refusal::Refusal;
use crate::embedded::ground::lock;
use crate::embedded::tape::hex;

/// How much of a blob is read at once when it is hashed.
const READ_BYTES: usize = 256 * 1024;

type Answer = Result<Response, Refusal>;

fn query(request: &Request, name: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Returns an empty answer with headers; a value that is no header value is left out.
pub(super) fn empty(status: StatusCode, headers: &[(&'static str, String)]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Registry {
    pub(super) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        lock(&self.inner.state).blobs.get(repository).is_some_and(|blobs| blobs.contains(digest))
    }

    fn add_blob(&self, repository: &str, digest: &str) {
        lock(&self.inner.state).blobs.entry(repository.to_owned()).or_default().insert(digest.to_owned());
    }

    pub(super) async fn blob(&self, repository: &str, digest: &str, method: &Method) -> Answer {
        if !self.has_blob(repository, digest) {
            return Err(Refusal::BlobUnknown);
        }
        let file = File::open(self.blob_path(digest)).await.map_err(|_| Refusal::BlobUnknown)?;
        let length = file.metadata().await.map_err(|_| Refusal::Unavailable)?.len();
        let headers = [("docker-content-digest", digest.to_owned()), ("content-type", "application/octet-stream".to_owned())];
        let mut response = empty(StatusCode::OK, &headers);
        if *method == Method::GET {
            *response.body_mut() = Body::from_stream(ReaderStream::new(file));
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        Ok(response)
    }

    /// Begins an upload: 202 with its place, or 201 when a mount makes it needless. An upload in one POST is begun only, as registry 2.8.2 does.
    pub(super) async fn begin_upload(&self, repository: &str, request: Request) -> Answer {
        if let (Some(digest), Some(from)) = (query(&request, "mount"), query(&request, "from"))
            && self.has_blob(&from, &digest)
        {
            self.add_blob(repository, &digest);
            return Ok(created(repository, "blobs", &digest));
        }
        let id = self.inner.ground.chance.word(24);
        File::create(self.upload_path(&id)).await.map_err(|_| Refusal::Unavailable)?;
        lock(&self.inner.state).uploads.insert(id.clone(), repository.to_owned());
        Ok(accepted(repository, &id, 0))
    }

    pub(super) async fn upload_status(&self, repository: &str, id: &str) -> Answer {
        let length = self.uploaded(repository, id).await?;
        let mut response = accepted(repository, id, length);
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// Appends a chunk. One with a `Content-Range` must follow on what is there: 416 otherwise.
    pub(super) async fn append(&self, repository: &str, id: &str, request: Request) -> Answer {
        let length = self.uploaded(repository, id).await?;
        let range = request.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let start = range.and_then(|range| range.trim_start_matches("bytes ").split_once('-')).map(|(start, _)| start.parse::<u64>());
        if start.is_some_and(|start| start != Ok(length)) {
            return Err(Refusal::RangeInvalid);
        }
        let length = self.write(id, request.into_body(), length).await?;
        Ok(accepted(repository, id, length))
    }

    /// Ends an upload, with or without a last chunk: the content must have the digest it is said to have.
    pub(super) async fn finish_upload(&self, repository: &str, id: &str, request: Request) -> Answer {
        let length = self.uploaded(repository, id).await?;
        let digest = query(&request, "digest").filter(|digest| is_digest(digest)).ok_or(Refusal::DigestInvalid)?;
        self.write(id, request.into_body(), length).await?;
        let path = self.upload_path(id);
        let found = digest_of(&path).await.map_err(|_| Refusal::Unavailable)?;
        lock(&self.inner.state).uploads.remove(id);
        if found != digest {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(Refusal::DigestInvalid);
        }
        tokio::fs::rename(&path, self.blob_path(&digest)).await.map_err(|_| Refusal::Unavailable)?;
        self.add_blob(repository, &digest);
        Ok(created(repository, "blobs", &digest))
    }

    pub(super) async fn cancel_upload(&self, repository: &str, id: &str) -> Answer {
        self.uploaded(repository, id).await?;
        lock(&self.inner.state).uploads.remove(id);
        let _ = tokio::fs::remove_file(self.upload_path(id)).await;
        Ok(empty(StatusCode::NO_CONTENT, &[]))
    }

    /// Returns how many bytes an upload has so far.
    async fn uploaded(&self, repository: &str, id: &str) -> Result<u64, Refusal> {
        if lock(&self.inner.state).uploads.get(id).is_none_or(|owner| owner != repository) {
            return Err(Refusal::UploadUnknown);
        }
        Ok(tokio::fs::metadata(self.upload_path(id)).await.map_err(|_| Refusal::UploadUnknown)?.len())
    }

    /// Appends `body` to an upload of `length` bytes; a body that breaks off leaves the upload as it was.
    async fn write(&self, id: &str, mut body: Body, length: u64) -> Result<u64, Refusal> {
        let mut file = OpenOptions::new().append(true).open(self.upload_path(id)).await.map_err(|_| Refusal::Unavailable)?;
        let mut total = length;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                let _ = file.set_len(length).await;
                return Err(Refusal::UploadInvalid);
            };
            if let Ok(data) = frame.into_data() {
                total += data.len() as u64;
                file.write_all(&data).await.map_err(|_| Refusal::Unavailable)?;
            }
        }
        file.flush().await.map_err(|_| Refusal::Unavailable)?;
        Ok(total)
    }
}

async fn digest_of(path: &std::path::Path) -> std::io::Result<String> {
    let mut file = File::open(path).await?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok(format!("sha256:{}", hex(hash.finalize().as_slice())));
        }
        hash.update(&buffer[..read]);
    }
}

/// 202 with the place to go on at. The place has a query already, as registry 2.8.2's has, so that clients must append with `&`.
fn accepted(repository: &str, id: &str, length: u64) -> Response {
    let location = format!("/v2/{repository}/blobs/uploads/{id}?_state={id}");
    // An empty upload has the range 0-0 too: the specification's notation cannot say "nothing".
    let range = format!("0-{}", length.saturating_sub(1));
    empty(StatusCode::ACCEPTED, &[("location", location), ("range", range), ("docker-upload-uuid", id.to_owned())])
}

/// 201 with the place and the digest.
pub(super) fn created(repository: &str, kind: &str, digest: &str) -> Response {
    let location = format!("/v2/{repository}/{kind}/{digest}");
    empty(StatusCode::CREATED, &[("location", location), ("docker-content-digest", digest.to_owned())])
}
