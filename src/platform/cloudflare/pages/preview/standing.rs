//! Removing deployments of previews, each read again just before.

use std::time::Duration;

use tokio::time::Instant;

use super::mark;
use crate::http::Platform;
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::pages::READ_LAG;
use crate::platform::errand::paused;
use crate::platform::{PlatformError, PlatformErrorKind, PreviewsOf};
use crate::shutdown::{Level, Shutdown};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// A project in which previews stand.
pub(super) struct Standing<'a> {
    pub(super) client: &'a CloudflareClient,
    pub(super) project: &'a str,
}

impl Standing<'_> {
    /// Deletes a deployment of a preview, the newest of its branch too (`force`, cloudflare.md 7.5), and sees that it is gone. Not ours by now, or
    /// production: it stays.
    pub(super) async fn remove(
        &self,
        id: &str,
        previews: &PreviewsOf,
        pull_request: u64,
        shutdown: &Shutdown,
    ) -> Result<(), PlatformError> {
        let error = |kind| PlatformError::new(Platform::Cloudflare, "delete_deployment", format!("deployment {id}"), kind);
        let until = Instant::now() + READ_LAG;
        loop {
            if shutdown.level() >= Level::Drain {
                return Err(error(PlatformErrorKind::Cancelled));
            }
            let Some(deployment) = self.client.deployment(self.project, id).await? else { return Ok(()) };
            if mark::pull_request(&deployment, previews) != Some(pull_request) {
                return Ok(());
            }
            // The platform's own word on production, whatever the deployment says of itself.
            if self.client.project(self.project).await?.serves(id) {
                return Ok(());
            }
            self.client.delete_deployment(self.project, id).await?;
            if self.client.deployment(self.project, id).await?.is_none() {
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
