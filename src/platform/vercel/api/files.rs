//! Uploading contents, `POST /v2/files`.

use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName};

use crate::http::Body;
use crate::platform::PlatformError;
use crate::platform::vercel::client::VercelClient;

const DIGEST: HeaderName = HeaderName::from_static("x-vercel-digest");
const SIZE: HeaderName = HeaderName::from_static("x-now-size");
/// How long one upload may take at least.
const DEADLINE: Duration = Duration::from_secs(60);
/// The slowest line that is waited for, in bytes a second.
const SLOWEST: u64 = 256 * 1024;

impl VercelClient {
    /// Stores a content under its SHA-1; stored already is done, so it may be repeated (vercel.md 2.2). Streamed when it is a file.
    pub(in crate::platform::vercel) async fn upload(&self, sha: &str, size: u64, body: Body, thing: &str) -> Result<(), PlatformError> {
        let mut call = self
            .call("upload_file", Method::POST, &["v2", "files"], &[])
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(DIGEST, sha)
            .header(SIZE, &size.to_string())
            .deadline(DEADLINE + Duration::from_secs(size / SLOWEST))
            .repeatable();
        call.body = body;
        self.ask(call, thing).await.map(drop)
    }
}
