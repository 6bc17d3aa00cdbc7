//! What of previews stands in a project, and removing single things of it, each read again just before.

use std::time::Duration;

use tokio::time::Instant;

use super::mark::{self, HOST};
use crate::http::Platform;
use crate::platform::errand::paused;
use crate::platform::vercel::READ_LAG;
use crate::platform::vercel::api::Holder;
use crate::platform::vercel::client::VercelClient;
use crate::platform::{PlatformError, PlatformErrorKind, PreviewsOf};
use crate::shutdown::{Level, Shutdown};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// A project in which previews stand.
pub(super) struct Standing<'a> {
    pub(super) client: &'a VercelClient,
    /// Its id.
    pub(super) project: &'a str,
}

impl Standing<'_> {
    /// Deletes a deployment of a preview and sees that it is gone. Not ours by now, in production, or led to by `keeps`: it stays.
    pub(super) async fn remove_deployment(
        &self,
        id: &str,
        previews: &PreviewsOf,
        pull_request: u64,
        keeps: Option<&str>,
        shutdown: &Shutdown,
    ) -> Result<(), PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            Self::may_go_on(shutdown, id)?;
            let Some(deployment) = self.client.deployment(id).await? else { return Ok(()) };
            if mark::pull_request(&deployment, self.project, previews) != Some(pull_request) {
                return Ok(());
            }
            // The platform's own word on production, whatever the deployment says of itself.
            if self.client.project(self.project).await?.serves(id) {
                return Ok(());
            }
            if let Some(host) = keeps
                && let Holder::Known(alias) = self.client.holder(host).await?
                && alias.deployment_id.as_deref() == Some(id)
            {
                return Ok(());
            }
            self.client.delete_deployment(id).await?;
            if self.client.deployment(id).await?.is_none() {
                return Ok(());
            }
            self.again(until, shutdown, "delete_deployment", &format!("deployment {id}")).await?;
        }
    }

    /// Takes a preview's hostname away and sees that it is gone. One that leads to anything else than a deployment of this preview stays.
    pub(super) async fn remove_hostname(
        &self,
        host: &str,
        previews: &PreviewsOf,
        pull_request: u64,
        shutdown: &Shutdown,
    ) -> Result<(), PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            Self::may_go_on(shutdown, host)?;
            let alias = match self.client.holder(host).await? {
                Holder::Nobody | Holder::Unseen(_) => return Ok(()),
                Holder::Known(alias) => alias,
            };
            let Some(id) = alias.deployment_id else { return Ok(()) };
            let Some(shown) = self.client.deployment(&id).await? else { return Ok(()) };
            let ours = mark::pull_request(&shown, self.project, previews) == Some(pull_request) && shown.meta(HOST) == Some(host);
            if !ours {
                return Ok(());
            }
            self.client.delete_alias(if alias.uid.is_empty() { host } else { &alias.uid }).await?;
            if matches!(self.client.holder(host).await?, Holder::Nobody | Holder::Unseen(_)) {
                return Ok(());
            }
            self.again(until, shutdown, "delete_alias", &format!("hostname {host}")).await?;
        }
    }

    /// Waits before another look at what is still there. Errors: it is for longer than a read may lag.
    async fn again(&self, until: Instant, shutdown: &Shutdown, operation: &'static str, thing: &str) -> Result<(), PlatformError> {
        if Instant::now() >= until {
            let kind = PlatformErrorKind::Unexpected("it is still there although its deletion was accepted".to_owned());
            return Err(PlatformError::new(Platform::Vercel, operation, thing, kind));
        }
        if paused(self.client.transport.chance(), shutdown, LOOK).await { Ok(()) } else { Err(cancelled(thing)) }
    }

    fn may_go_on(shutdown: &Shutdown, thing: &str) -> Result<(), PlatformError> {
        if shutdown.level() >= Level::Drain { Err(cancelled(thing)) } else { Ok(()) }
    }
}

fn cancelled(thing: &str) -> PlatformError {
    PlatformError::new(Platform::Vercel, "remove", thing, PlatformErrorKind::Cancelled)
}
