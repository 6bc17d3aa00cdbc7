//! Whole workers: made with their files, listed, removed (API description).

use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::{PATHS_DEADLINE, or_gone};
use crate::http::{Body, Platform};
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;
use crate::platform::cloudflare::pages::api::Form;
use crate::platform::cloudflare::workers::wire::{Listed, ScriptSettings};
use crate::platform::{PlatformError, PlatformErrorKind};

/// How many pages a list has at most; the published one has a single page.
const MOST_PAGES: u64 = 100;

impl CloudflareClient {
    /// Makes a worker of a version, or gives every user of the worker this version, and sets its tags. Never repeated by the transport: after a
    /// lost answer it must be looked up.
    pub(in crate::platform::cloudflare::workers) async fn put_script(&self, worker: &str, form: Form) -> Result<(), PlatformError> {
        let (kind, body) = form.finish();
        let mut call = self
            .in_account("put_script", Method::PUT, &["workers", "scripts", worker], &[])
            .header(CONTENT_TYPE, &kind)
            .deadline(PATHS_DEADLINE);
        call.body = Body::Bytes(body);
        self.ask(call, &format!("worker {worker}")).await.map(drop).map_err(Refusal::plain)
    }

    /// Returns the tags of a worker; `None` when there is no such worker.
    pub(in crate::platform::cloudflare::workers) async fn script_tags(&self, worker: &str) -> Result<Option<Vec<String>>, PlatformError> {
        let call = self.in_account("get_script_settings", Method::GET, &["workers", "scripts", worker, "script-settings"], &[]);
        let found: Option<ScriptSettings> = or_gone(self.read(call, &format!("worker {worker}")).await.map_err(Refusal::plain))?;
        Ok(found.map(|settings| settings.tags.unwrap_or_default()))
    }

    /// Returns every worker of the account.
    pub(in crate::platform::cloudflare::workers) async fn scripts(&self) -> Result<Vec<Listed>, PlatformError> {
        let unexpected =
            |text: String| PlatformError::new(Platform::Cloudflare, "list_scripts", "workers", PlatformErrorKind::Unexpected(text));
        let mut all: Vec<Listed> = Vec::new();
        for page in 1..=MOST_PAGES {
            let number = page.to_string();
            // The published call has no pages; they are followed where an answer speaks of them.
            let query: &[(&str, &str)] = if page == 1 { &[] } else { &[("page", number.as_str())] };
            let call = self.in_account("list_scripts", Method::GET, &["workers", "scripts"], query);
            let envelope = self.ask(call, "workers").await.map_err(Refusal::plain)?;
            let listed: Vec<Listed> = serde_json::from_value(envelope.result).map_err(|error| unexpected(error.to_string()))?;
            let nothing = listed.is_empty();
            all.extend(listed.into_iter().filter(|one| !one.id.is_empty()));
            if nothing || envelope.pages.is_none_or(|pages| page >= pages) {
                return Ok(all);
            }
        }
        Err(unexpected(format!("the list of workers has no end after {MOST_PAGES} pages")))
    }

    /// Lets a worker answer below the account's name on workers.dev, without addresses for its versions. Idempotent.
    pub(in crate::platform::cloudflare::workers) async fn answer_on_workers_dev(&self, worker: &str) -> Result<(), PlatformError> {
        let call = self
            .in_account("set_worker_subdomain", Method::POST, &["workers", "scripts", worker, "subdomain"], &[])
            .json(&json!({ "enabled": true, "previews_enabled": false }))
            .repeatable();
        self.ask(call, &format!("worker {worker}")).await.map(drop).map_err(Refusal::plain)
    }

    /// Removes a worker with all of its versions; done when it is gone already. Without `force`: one that another worker is bound to stays, and the
    /// platform says so.
    pub(in crate::platform::cloudflare::workers) async fn delete_script(&self, worker: &str) -> Result<(), PlatformError> {
        let call = self.in_account("delete_script", Method::DELETE, &["workers", "scripts", worker], &[]).repeatable();
        or_gone(self.ask(call, &format!("worker {worker}")).await.map_err(Refusal::plain)).map(drop)
    }
}
