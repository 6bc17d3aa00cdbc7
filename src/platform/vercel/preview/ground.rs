//! A project in which previews stand: every deployment with a mark of theirs, and the hostnames that lead to them.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use super::mark::{self, HOST, PREVIEWS};
use super::standing::Standing;
use crate::http::{Platform, Transport};
use crate::platform::vercel::api::ListQuery;
use crate::platform::vercel::client::{TOKEN_HINT, VercelClient};
use crate::platform::vercel::endpoints::VercelEndpoints;
use crate::platform::vercel::wire::Project;
use crate::platform::{Leftover, PlatformError, PlatformErrorKind, PreviewGround, PreviewsOf};
use crate::shutdown::Shutdown;

/// A project in which previews stand.
#[derive(Debug)]
pub struct VercelGround {
    client: VercelClient,
    project: String,
    place: String,
}

impl VercelGround {
    /// Returns the ground; nothing is asked yet. `team` is a team's id or slug, as for the project's target.
    #[expect(clippy::needless_pass_by_value, reason = "in the form that a target's settings have it")]
    pub fn new(
        project: impl Into<String>,
        team: Option<String>,
        endpoints: VercelEndpoints,
        token: SecretString,
        transport: Transport,
    ) -> Self {
        let project = project.into();
        let client = VercelClient::new(endpoints, token, team.as_deref(), transport);
        let place = format!("project {project} of {}", client.scope());
        Self { client, project, place }
    }

    async fn found(&self) -> Result<Project, PlatformError> {
        let error = |kind| PlatformError::new(Platform::Vercel, "get_project", format!("project {}", self.project), kind);
        if !self.client.has_token() {
            return Err(error(PlatformErrorKind::Unauthorized("no token".to_owned())).hint(TOKEN_HINT));
        }
        let project = self.client.project(&self.project).await?;
        if project.id.is_empty() {
            return Err(error(PlatformErrorKind::Unexpected("the project has no id".to_owned())));
        }
        self.client.learn_scope(&project.account_id);
        Ok(project)
    }
}

impl PreviewGround for VercelGround {
    fn platform(&self) -> Platform {
        Platform::Vercel
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    /// A leftover's ids are hostnames, then deployments, the oldest first: a deployment that is gone would take the proof with it that a hostname is
    /// ours.
    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        let project = self.found().await?;
        let prefix = previews.prefix();
        let meta = [(PREVIEWS, prefix.as_str())];
        let listed = self.client.all_deployments(&project.id, &ListQuery { production: false, meta: &meta, since_ms: None }).await?;
        let mut found: BTreeMap<u64, (BTreeSet<String>, Vec<String>)> = BTreeMap::new();
        for deployment in listed.iter().rev() {
            let Some(pull_request) = mark::pull_request(deployment, &project.id, previews) else { continue };
            if project.serves(deployment.id()) {
                continue;
            }
            let (hosts, ids) = found.entry(pull_request).or_default();
            hosts.extend(deployment.meta(HOST).map(str::to_owned));
            ids.push(deployment.id().to_owned());
        }
        let leftover = |(pull_request, (hosts, ids)): (u64, (BTreeSet<String>, Vec<String>))| {
            let what = if ids.len() == 1 { "deployment".to_owned() } else { format!("{} deployments", ids.len()) };
            let thing = format!("{what} of pr-{pull_request} in project {}", self.project);
            Leftover { platform: Platform::Vercel, pull_request, thing, ids: hosts.into_iter().chain(ids).collect() }
        };
        Ok(found.into_iter().map(leftover).collect())
    }

    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover, shutdown: &Shutdown) -> Result<(), PlatformError> {
        let project = self.found().await?;
        let standing = Standing { client: &self.client, project: &project.id };
        for id in &leftover.ids {
            // Hostnames have dots, ids have none.
            if id.contains('.') {
                standing.remove_hostname(id, previews, leftover.pull_request, shutdown).await?;
            } else {
                standing.remove_deployment(id, previews, leftover.pull_request, None, shutdown).await?;
            }
        }
        Ok(())
    }
}
