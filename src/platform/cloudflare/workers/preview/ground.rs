//! An account in which workers of previews stand.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::mark;
use crate::http::{Platform, Transport};
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::endpoints::CloudflareEndpoints;
use crate::platform::cloudflare::workers::READ_LAG;
use crate::platform::cloudflare::workers::preflight::TOKEN_HINT;
use crate::platform::errand::paused;
use crate::platform::{Leftover, PlatformError, PlatformErrorKind, PreviewGround, PreviewsOf};
use crate::shutdown::{Level, Shutdown};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// An account in which workers of previews stand.
#[derive(Debug)]
pub struct WorkersGround {
    client: CloudflareClient,
    place: String,
}

impl WorkersGround {
    /// Returns the ground; nothing is asked yet.
    pub fn new(account: impl Into<String>, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let account = account.into();
        let place = format!("workers of the account {account}");
        Self { client: CloudflareClient::new(endpoints, token, account, transport), place }
    }

    async fn remove_one(&self, worker: &str, previews: &PreviewsOf, pull_request: u64, shutdown: &Shutdown) -> Result<(), PlatformError> {
        let error = |kind| PlatformError::new(Platform::Cloudflare, "delete_script", format!("worker {worker}"), kind);
        let until = Instant::now() + READ_LAG;
        loop {
            if shutdown.level() >= Level::Drain {
                return Err(error(PlatformErrorKind::Cancelled));
            }
            let Some(tags) = self.client.script_tags(worker).await? else { return Ok(()) };
            if mark::pull_request(worker, &tags, previews) != Some(pull_request) {
                return Ok(());
            }
            self.client.delete_script(worker).await?;
            if self.client.script_tags(worker).await?.is_none() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(error(PlatformErrorKind::Unexpected("it is still there although its deletion was accepted".to_owned())));
            }
            if !paused(self.client.transport.chance(), shutdown, LOOK).await {
                return Err(error(PlatformErrorKind::Cancelled));
            }
        }
    }
}

impl PreviewGround for WorkersGround {
    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    /// Every worker is a leftover of its own; its id is its name.
    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        if let Some(wrong) = self.client.token_problem() {
            let kind = PlatformErrorKind::Unauthorized(wrong.to_owned());
            return Err(PlatformError::new(Platform::Cloudflare, "read_token", &self.place, kind).hint(TOKEN_HINT));
        }
        let mut found = Vec::new();
        for worker in self.client.scripts().await? {
            if !mark::may_be_one(&worker.id) {
                continue;
            }
            let tags = match worker.tags {
                Some(tags) => Some(tags),
                // Whether the list shows tags is documented by the API description alone [?].
                None => self.client.script_tags(&worker.id).await?,
            };
            let Some(pull_request) = tags.and_then(|tags| mark::pull_request(&worker.id, &tags, previews)) else { continue };
            let thing = format!("worker {}", worker.id);
            found.push(Leftover { platform: Platform::Cloudflare, pull_request, thing, ids: vec![worker.id] });
        }
        Ok(found)
    }

    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover, shutdown: &Shutdown) -> Result<(), PlatformError> {
        for worker in &leftover.ids {
            self.remove_one(worker, previews, leftover.pull_request, shutdown).await?;
        }
        Ok(())
    }
}
