//! Prepare: a production deployment exists, is ready, and has none of the project's domains.

use std::time::Duration;

use tokio::time::Instant;

use super::wire::{Deployment, Progress};
use super::{VercelSource, VercelTarget};
use crate::event::{Level, Phase};
use crate::platform::{Artifact, Health, Observed, PlatformError, PlatformErrorKind, Revision, Scope};

/// For how long the platform's word that a deployment is ready is its word of now.
const FRESH: Duration = Duration::from_millis(250);

impl VercelTarget {
    pub(super) async fn prepare_revision(&self, scope: &Scope, artifact: &Artifact, before: &Observed) -> Result<Revision, PlatformError> {
        let digest = self.would_be(artifact).await?;
        // A hook follows the project's setting of this moment; what is made of files does not.
        let project = match artifact {
            Artifact::Directory { .. } => self.known_project().await?,
            _ => self.project().await?,
        };
        let made = match (artifact, &self.settings.source) {
            (Artifact::Commit { sha, branch }, VercelSource::Hook { url }) => self.made_by_hook(scope, &project, url, sha, branch).await?,
            (Artifact::Commit { sha, branch }, _) => self.made_of_commit(scope, &project, &digest, sha, branch).await?,
            (Artifact::Directory { path, digest: files }, _) => self.made_of_files(scope, &project, &digest, path, files).await?,
            (Artifact::Image { .. }, _) => {
                return Err(self.error("prepare", PlatformErrorKind::Impossible("Vercel serves no image".to_owned())));
            }
        };
        let ready = self.until_ready(scope, made).await?;
        let revision = self.revision(&ready, &project);
        self.is_staged(scope, &ready, before).await?;
        self.memory().ready = Some((ready.id().to_owned(), Instant::now()));
        Ok(revision)
    }

    /// Makes sure that nobody but us gives the deployment to users.
    ///
    /// A project's first deployment goes to production by itself (vercel.md 2.3): nothing served before it, so that is told and goes on. In any
    /// other case what served before is given back at once, since the way back of a release begins with cutting over.
    async fn is_staged(&self, scope: &Scope, ready: &Deployment, before: &Observed) -> Result<(), PlatformError> {
        if ready.target.as_deref() != Some("production") {
            let text = format!("{} was made as a preview, which cannot be promoted", ready.url.as_deref().unwrap_or(ready.id()));
            return Err(self.error("prepare", PlatformErrorKind::Refused(text)));
        }
        // The platform's own mark of what never had traffic; where it is missing, the project tells.
        if ready.has_served() == Some(false) || !self.project().await?.serves(ready.id()) {
            return Ok(());
        }
        let Some(earlier) = before.single() else {
            let text = format!(
                "{} is the first production deployment of {}; Vercel gave it the domains by itself.",
                ready.url.as_deref().unwrap_or(ready.id()),
                self.settings.project
            );
            scope.events.notice(Level::Note, "vercel::first-deployment", text);
            return Ok(());
        };
        if self.revision_of(ready.id(), None, "", ready.all_meta()).same_content(earlier) {
            return Ok(());
        }
        scope.step(&self.settings.target, format!("went live before its time; {} serves again", earlier.label));
        let back = Scope { phase: Phase::RollBack, ..scope.clone() };
        self.serve_revision(&back, earlier).await?;
        let text = "the deployment took the domains although it was told not to; what served before serves again".to_owned();
        Err(self.error("prepare", PlatformErrorKind::Refused(text)))
    }

    pub(super) async fn probe_revision(&self, revision: &Revision) -> Result<Health, PlatformError> {
        let Some(hints) = super::Hints::of(revision) else { return Ok(Health::Unknown("it has no deployment id".to_owned())) };
        let fresh = self.memory().ready.as_ref().is_some_and(|(id, at)| *id == hints.deployment_id && at.elapsed() < FRESH);
        if fresh {
            return Ok(Health::Healthy);
        }
        Ok(match self.client.deployment(&hints.deployment_id).await? {
            None => Health::Unhealthy(format!("the deployment {} is gone", hints.deployment_id)),
            Some(deployment) => match deployment.progress() {
                Progress::Ready => Health::Healthy,
                Progress::Failed => Health::Unhealthy(deployment.reason()),
                Progress::UnderWay => Health::Unknown(format!("it is {}", deployment.state())),
            },
        })
    }
}
