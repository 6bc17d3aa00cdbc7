//! Removing deployments that a release left, each read again just before.

use secrecy::ExposeSecret;

use super::hints::Hints;
use super::preflight::Hook;
use super::stamp;
use super::wire::{Deployment, Project};
use super::{VercelSource, VercelTarget};
use crate::event::Phase;
use crate::platform::{PlatformError, Revision, Scope};

impl VercelTarget {
    /// Removes exactly these deployments, as far as they are ours and nobody needs them.
    ///
    /// One that had production traffic stays when a release finishes: deleting it would take it from what can be rolled back to
    /// (vercel.md 5), and it costs nothing. Only the release that failed removes its own, even where it served for a moment.
    pub(super) async fn prune_revisions(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        for revision in revisions {
            let Some(hints) = Hints::of(revision) else { continue };
            let Some(deployment) = self.client.deployment(&hints.deployment_id).await? else { continue };
            let project = self.project().await?;
            if let Some(why) = self.kept_because(scope, revision, &deployment, &project).await? {
                scope.step(&self.settings.target, format!("{} stays: {why}", revision.label));
                continue;
            }
            scope.step(&self.settings.target, format!("removes {}", revision.label));
            self.client.delete_deployment(&hints.deployment_id).await?;
        }
        Ok(())
    }

    async fn kept_because(
        &self,
        scope: &Scope,
        revision: &Revision,
        deployment: &Deployment,
        project: &Project,
    ) -> Result<Option<&'static str>, PlatformError> {
        let id = deployment.id();
        let of_project = deployment.project_id.as_deref().is_none_or(|of| of == project.id);
        if !of_project || !(Self::is_stamped(scope, revision, deployment) || self.is_hooked(deployment)) {
            return Ok(Some("it is not of this product and environment"));
        }
        if project.serves(id) {
            return Ok(Some("it serves"));
        }
        if deployment.has_served() == Some(false) {
            return Ok(None);
        }
        let failed = scope.phase == Phase::RollBack && deployment.meta(stamp::RELEASE) == Some(scope.release.as_str());
        if !failed {
            return Ok(Some("it can be rolled back to"));
        }
        // Deleting it would leave a hostname that still leads to it without an answer.
        let leads = self.hosts(project).await?.iter().any(|(_, leads_to)| leads_to == id);
        Ok(leads.then_some("a production hostname leads to it"))
    }

    fn is_stamped(scope: &Scope, revision: &Revision, deployment: &Deployment) -> bool {
        stamp::is_ours(deployment.all_meta(), scope) && deployment.meta(stamp::RELEASE) == revision.release.as_deref()
    }

    /// Returns whether our hook made it; it then carries no stamp, but the hook's id.
    fn is_hooked(&self, deployment: &Deployment) -> bool {
        let VercelSource::Hook { url } = &self.settings.source else { return false };
        Hook::parse(url.expose_secret()).is_some_and(|hook| deployment.meta(stamp::HOOK) == Some(&hook.id))
    }
}
