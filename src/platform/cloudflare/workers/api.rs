//! The calls: each is one request, with no decision in it.

mod scripts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::wire::{AccountSubdomain, CustomDomain, Deployment, Deployments, OnWorkersDev, Session, Share, Uploaded, Version, Versions};
use crate::http::Body;
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;
use crate::platform::cloudflare::pages::api::Form;
use crate::platform::cloudflare::pages::files::{Asset, Content};
use crate::platform::{PlatformError, PlatformErrorKind};

/// How long a call with every path of a site may take.
const PATHS_DEADLINE: Duration = Duration::from_secs(120);
/// How long a bucket may take at least, and the slowest line that is waited for, in bytes a second.
const BUCKET: (Duration, u64) = (Duration::from_secs(60), 256 * 1024);

/// Returns `None` for what is not there.
fn or_gone<T>(result: Result<T, PlatformError>) -> Result<Option<T>, PlatformError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl CloudflareClient {
    /// Opens an upload: tells every path, and hears which contents are not stored. A repetition opens another one, which changes nothing.
    pub(super) async fn open_upload(&self, worker: &str, manifest: &BTreeMap<&str, Value>) -> Result<Session, PlatformError> {
        let call = self
            .in_account("open_upload", Method::POST, &["workers", "scripts", worker, "assets-upload-session"], &[])
            .json(&json!({ "manifest": manifest }))
            .deadline(PATHS_DEADLINE)
            .repeatable();
        self.read(call, &format!("worker {worker}")).await.map_err(Refusal::plain)
    }

    /// Stores a bucket that was written to a file, from which it is streamed; stored already is done, so it may be repeated.
    pub(super) async fn upload_bucket(&self, jwt: &str, path: PathBuf, length: u64, content_type: &str) -> Result<Uploaded, PlatformError> {
        let path_of = ["accounts", self.account(), "workers", "assets", "upload"];
        let mut call = self
            .call("upload_bucket", Method::POST, &path_of, &[("base64", "true")], jwt)
            .header(CONTENT_TYPE, content_type)
            .deadline(BUCKET.0 + Duration::from_secs(length / BUCKET.1))
            .repeatable();
        call.body = Body::File { path, offset: 0, length };
        let envelope = self.ask(call, "a bucket of contents").await.map_err(Refusal::plain)?;
        // All but the last answer may have no result.
        Ok(serde_json::from_value(envelope.result).unwrap_or_default())
    }

    /// Stores one content as it is, where the upload's token asks for single requests (vendor's client); stored already is done, so it may be
    /// repeated.
    pub(super) async fn upload_one(&self, jwt: &str, asset: &Asset, content_type: &str) -> Result<Uploaded, PlatformError> {
        let path_of = ["accounts", self.account(), "workers", "assets", "upload", &asset.key];
        let mut call = self
            .call("upload_asset", Method::POST, &path_of, &[], jwt)
            .header(CONTENT_TYPE, content_type)
            .deadline(BUCKET.0 + Duration::from_secs(asset.size / BUCKET.1))
            .repeatable();
        call.body = match &asset.content {
            Content::File(path) => Body::File { path: path.clone(), offset: 0, length: asset.size },
            Content::Memory(bytes) => Body::Bytes(bytes.clone()),
        };
        let envelope = self.ask(call, &format!("content of {}", asset.path)).await.map_err(Refusal::plain)?;
        Ok(serde_json::from_value(envelope.result).unwrap_or_default())
    }

    /// Makes a version without traffic. Never repeated by the transport: after a lost answer it must be looked up.
    pub(super) async fn create_version(&self, worker: &str, form: Form) -> Result<Version, PlatformError> {
        let (kind, body) = form.finish();
        let mut call = self
            .in_account("create_version", Method::POST, &["workers", "scripts", worker, "versions"], &[])
            .header(CONTENT_TYPE, &kind)
            .deadline(PATHS_DEADLINE);
        call.body = Body::Bytes(body);
        self.read(call, &format!("worker {worker}")).await.map_err(Refusal::plain)
    }

    /// Returns the newest versions of a worker, newest first.
    pub(super) async fn versions(&self, worker: &str) -> Result<Vec<Version>, PlatformError> {
        let call = self.in_account("list_versions", Method::GET, &["workers", "scripts", worker, "versions"], &[]);
        let listed: Option<Versions> = self.read(call, &format!("versions of {worker}")).await.map_err(Refusal::plain)?;
        Ok(listed.and_then(|listed| listed.items).unwrap_or_default())
    }

    /// Returns a version; `None` when nobody knows it.
    pub(super) async fn version(&self, worker: &str, id: &str) -> Result<Option<Version>, PlatformError> {
        let call = self.in_account("get_version", Method::GET, &["workers", "scripts", worker, "versions", id], &[]);
        or_gone(self.read(call, &format!("version {id}")).await.map_err(Refusal::plain))
    }

    /// Returns the deployments of a worker; the first is in force.
    pub(super) async fn worker_deployments(&self, worker: &str) -> Result<Vec<Deployment>, PlatformError> {
        let call = self.in_account("list_worker_deployments", Method::GET, &["workers", "scripts", worker, "deployments"], &[]);
        let listed: Option<Deployments> = self.read(call, &format!("worker {worker}")).await.map_err(Refusal::plain)?;
        Ok(listed.and_then(|listed| listed.deployments).unwrap_or_default())
    }

    /// Gives users these versions. Never repeated by the transport: a repetition that comes late could run over what was asked for since.
    /// `back` says that a version of before serves again, for which the platform wants to be told that what changed since may be lost (vendor's
    /// client: `force`).
    pub(super) async fn deploy(&self, worker: &str, shares: &[Share], message: &str, back: bool) -> Result<(), PlatformError> {
        let versions: Vec<Value> =
            shares.iter().map(|share| json!({ "version_id": share.version_id, "percentage": share.percentage })).collect();
        let body = json!({ "strategy": "percentage", "versions": versions, "annotations": { "workers/message": message } });
        let force: &[(&str, &str)] = if back { &[("force", "true")] } else { &[] };
        let call = self
            .in_account("deploy_version", Method::POST, &["workers", "scripts", worker, "deployments"], force)
            .json(&body)
            .moving_traffic();
        self.ask(call, &format!("worker {worker}")).await.map(drop).map_err(Refusal::plain)
    }

    /// Returns whether a worker and its versions answer on workers.dev.
    pub(super) async fn on_workers_dev(&self, worker: &str) -> Result<OnWorkersDev, PlatformError> {
        let call = self.in_account("get_worker_subdomain", Method::GET, &["workers", "scripts", worker, "subdomain"], &[]);
        let found: Option<OnWorkersDev> = or_gone(self.read(call, &format!("worker {worker}")).await.map_err(Refusal::plain))?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the account's name on workers.dev, if it has one.
    pub(super) async fn account_subdomain(&self) -> Result<Option<String>, PlatformError> {
        let call = self.in_account("get_account_subdomain", Method::GET, &["workers", "subdomain"], &[]);
        let found: Option<AccountSubdomain> = or_gone(self.read(call, "the account").await.map_err(Refusal::plain))?;
        Ok(found.and_then(|found| found.subdomain))
    }

    /// Returns the custom hostnames of a worker.
    pub(super) async fn worker_domains(&self, worker: &str) -> Result<Vec<CustomDomain>, PlatformError> {
        let call = self.in_account("list_worker_domains", Method::GET, &["workers", "domains"], &[("service", worker)]);
        let found: Option<Vec<CustomDomain>> = self.read(call, &format!("domains of {worker}")).await.map_err(Refusal::plain)?;
        let of = |domain: &CustomDomain| domain.service.as_deref().is_none_or(|service| service == worker);
        Ok(found.unwrap_or_default().into_iter().filter(of).collect())
    }
}
