//! A project in which previews stand: every deployment with a mark of theirs.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::mark;
use super::standing::Standing;
use crate::http::{Platform, Transport};
use crate::platform::cloudflare::client::{CloudflareClient, TOKEN_HINT};
use crate::platform::cloudflare::endpoints::CloudflareEndpoints;
use crate::platform::{Leftover, PlatformError, PlatformErrorKind, PreviewGround, PreviewsOf};
use crate::shutdown::Shutdown;

/// A project in which previews stand.
#[derive(Debug)]
pub struct PagesGround {
    client: CloudflareClient,
    project: String,
    place: String,
}

impl PagesGround {
    /// Returns the ground; nothing is asked yet.
    pub fn new(
        project: impl Into<String>,
        account: impl Into<String>,
        endpoints: CloudflareEndpoints,
        token: SecretString,
        transport: Transport,
    ) -> Self {
        let (project, account) = (project.into(), account.into());
        let place = format!("Pages project {project} of the account {account}");
        Self { client: CloudflareClient::new(endpoints, token, account, transport), project, place }
    }
}

impl PreviewGround for PagesGround {
    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    /// A leftover's ids are deployments, the oldest first.
    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        if let Some(wrong) = self.client.token_problem() {
            let kind = PlatformErrorKind::Unauthorized(wrong.to_owned());
            return Err(PlatformError::new(Platform::Cloudflare, "read_token", &self.place, kind).hint(TOKEN_HINT));
        }
        let listed = self.client.all_deployments(&self.project, "preview").await?;
        let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for deployment in listed.iter().rev() {
            if let Some(pull_request) = mark::pull_request(deployment, previews) {
                found.entry(pull_request).or_default().push(deployment.id.clone());
            }
        }
        let leftover = |(pull_request, ids): (u64, Vec<String>)| {
            let what = if ids.len() == 1 { "deployment".to_owned() } else { format!("{} deployments", ids.len()) };
            let thing = format!("{what} of pr-{pull_request} in project {}", self.project);
            Leftover { platform: Platform::Cloudflare, pull_request, thing, ids }
        };
        Ok(found.into_iter().map(leftover).collect())
    }

    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover, shutdown: &Shutdown) -> Result<(), PlatformError> {
        let standing = Standing { client: &self.client, project: &self.project };
        for id in &leftover.ids {
            standing.remove(id, previews, leftover.pull_request, shutdown).await?;
        }
        Ok(())
    }
}
