//! Contents: the upload token, what is missing, buckets.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::http::Body;
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;
use crate::platform::cloudflare::pages::wire::{Ticket, UploadToken};
use crate::platform::{PlatformError, PlatformErrorKind};

/// How long a call with every key of a site may take.
const KEYS_DEADLINE: Duration = Duration::from_secs(60);
/// How long a bucket may take at least, and the slowest line that is waited for, in bytes a second.
const BUCKET: (Duration, u64) = (Duration::from_secs(60), 256 * 1024);

impl CloudflareClient {
    /// Returns a token for uploads; short-lived (cloudflare.md 3.1).
    pub(in crate::platform::cloudflare) async fn upload_token(&self, project: &str) -> Result<Ticket, PlatformError> {
        let call = self.in_account("get_upload_token", Method::GET, &["pages", "projects", project, "upload-token"], &[]);
        let token: UploadToken = self.read(call, &format!("project {project}")).await.map_err(Refusal::plain)?;
        Ticket::parse(&token.jwt).ok_or_else(|| {
            let kind = PlatformErrorKind::Unexpected("the upload token is no token of three parts".to_owned());
            PlatformError::new(crate::http::Platform::Cloudflare, "get_upload_token", format!("project {project}"), kind)
        })
    }

    /// Returns those of the keys whose contents are not stored. All are asked for at once, as the vendor's client does (cloudflare.md 3.5).
    pub(in crate::platform::cloudflare) async fn missing(&self, ticket: &Ticket, keys: &[&str]) -> Result<Vec<String>, Refusal> {
        let call = self
            .call("check_missing", Method::POST, &["pages", "assets", "check-missing"], &[], ticket.bearer())
            .json(&json!({ "hashes": keys }))
            .deadline(KEYS_DEADLINE)
            .repeatable();
        self.read(call, &format!("{} contents", keys.len())).await
    }

    /// Stores a bucket that was written to a file, from which it is streamed; stored already is done, so it may be repeated (cloudflare.md 3.6).
    pub(in crate::platform::cloudflare) async fn upload(&self, ticket: &Ticket, path: PathBuf, length: u64) -> Result<(), Refusal> {
        let mut call = self
            .call("upload_assets", Method::POST, &["pages", "assets", "upload"], &[], ticket.bearer())
            .header(CONTENT_TYPE, "application/json")
            .deadline(BUCKET.0 + Duration::from_secs(length / BUCKET.1))
            .repeatable();
        call.body = Body::File { path, offset: 0, length };
        self.ask(call, "a bucket of contents").await.map(drop)
    }

    /// Marks contents as used, so that later runs find them (cloudflare.md 3.7). Idempotent.
    pub(in crate::platform::cloudflare) async fn refresh(&self, ticket: &Ticket, keys: &[&str]) -> Result<(), Refusal> {
        let call = self
            .call("upsert_hashes", Method::POST, &["pages", "assets", "upsert-hashes"], &[], ticket.bearer())
            .json(&json!({ "hashes": keys }))
            .deadline(KEYS_DEADLINE)
            .repeatable();
        self.ask(call, &format!("{} contents", keys.len())).await.map(drop)
    }
}
