//! Removing deployments that a release left, each read again just before.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::hints::Hints;
use super::preflight::Hook;
use super::stamp;
use super::wire::{Deployment, Project};
use super::{READ_LAG, VercelSettings, VercelSource, VercelTarget};
use crate::event::Phase;
use crate::platform::{PlatformError, PlatformErrorKind, Revision, Scope};

/// The pause between two looks whether production has left a deployment.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Why a deployment is not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is not of this product and environment.
    NotOurs,
    /// It is the project's production.
    Serves,
    /// It has had production traffic, so the project can be rolled back to it.
    CanServeAgain,
    /// A hostname leads to it, which would answer nothing any more.
    Leads,
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "it is not of this product and environment",
            Self::Serves => "it serves",
            Self::CanServeAgain => "it can be rolled back to",
            Self::Leads => "a production hostname leads to it",
        })
    }
}

impl VercelTarget {
    /// Removes exactly these deployments, as far as they are ours and nobody needs them.
    ///
    /// One that had production traffic stays when a release finishes: deleting it would take it from what can be rolled back to
    /// (vercel.md 5), and it costs nothing. Only the release that failed removes its own, even where it served for a moment.
    pub(super) async fn prune_revisions(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        for revision in revisions {
            let Some(hints) = Hints::of(revision) else { continue };
            let id = hints.deployment_id.as_str();
            if let Some(deployment) = self.removable(scope, revision, id).await? {
                if deployment.has_served() != Some(false) {
                    self.drain(scope).await?;
                    // The margin was long enough for the world to change.
                    if self.removable(scope, revision, id).await?.is_none() {
                        continue;
                    }
                }
                scope.step(&self.settings.target, format!("removes {}", revision.label));
                self.remove(scope, id).await?;
            }
        }
        Ok(())
    }

    /// Deletes a deployment and sees that it is gone: nobody comes back for one whose deletion was only said to be done. A read may lag behind the
    /// deletion, and to delete once more what is gone changes nothing. Errors: it is still there after [`READ_LAG`].
    async fn remove(&self, scope: &Scope, id: &str) -> Result<(), PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            self.client.delete_deployment(id).await?;
            if self.client.deployment(id).await?.is_none() {
                return Ok(());
            }
            if Instant::now() >= until {
                let why = format!("deployment {id} is still there although its deletion was accepted");
                return Err(self.error("delete_deployment", PlatformErrorKind::Unexpected(why)));
            }
            self.pause(scope, LOOK_PAUSE).await?;
        }
    }

    /// Reads a deployment again, once no job of its project is under way: what production is about to lead to is not removed. `None` when it is
    /// gone, or stays.
    async fn removable(&self, scope: &Scope, revision: &Revision, id: &str) -> Result<Option<Deployment>, PlatformError> {
        if scope.phase != Phase::RollBack && self.was_production(id) {
            self.tell_that_it_stays(scope, revision, id);
            return Ok(None);
        }
        let mut found = self.client.deployment(id).await?;
        let left = self.memory().made.map_or(Duration::ZERO, |made| READ_LAG.saturating_sub(made.elapsed()));
        if found.is_none() && !left.is_zero() {
            // It was made just now, and a read may lag behind that.
            self.pause(scope, left).await?;
            found = self.client.deployment(id).await?;
        }
        let Some(deployment) = found else { return Ok(None) };
        if scope.phase != Phase::RollBack && deployment.has_served() == Some(true) {
            self.tell_that_it_stays(scope, revision, id);
            return Ok(None);
        }
        let mut kept = self.kept_because(scope, revision, &deployment, &self.settled(scope).await?).await?;
        // It was taken out of production just now, and a read may lag behind that; what is left here nobody would come back for.
        let until = Instant::now() + READ_LAG;
        while scope.phase == Phase::RollBack && matches!(kept, Some(Kept::Serves | Kept::Leads)) && Instant::now() < until {
            self.pause(scope, LOOK_PAUSE).await?;
            kept = self.kept_because(scope, revision, &deployment, &self.settled(scope).await?).await?;
        }
        if let Some(why) = kept {
            scope.step(&self.settings.target, format!("{} stays: {why}", revision.label));
            return Ok(None);
        }
        Ok(Some(deployment))
    }

    /// Tells that a deployment which has had production traffic stays, whatever else is true of it.
    fn tell_that_it_stays(&self, scope: &Scope, revision: &Revision, id: &str) {
        let moved_to = self.memory().moved_to.clone();
        let serves = moved_to.map_or_else(|| self.was_production(id), |moved_to| moved_to == id);
        let why = if serves { Kept::Serves } else { Kept::CanServeAgain };
        scope.step(&self.settings.target, format!("{} stays: {why}", revision.label));
    }

    /// Waits until every edge has learnt that production has left: what is deleted answers nobody any more. Where nobody remembers when it
    /// left, the margin begins now.
    async fn drain(&self, scope: &Scope) -> Result<(), PlatformError> {
        let margin = self.settings.drain_margin.unwrap_or(VercelSettings::DRAIN_MARGIN);
        let left = self.memory().moved.map_or(margin, |moved| margin.saturating_sub(moved.elapsed()));
        if left.is_zero() { Ok(()) } else { self.pause(scope, left).await }
    }

    async fn kept_because(
        &self,
        scope: &Scope,
        revision: &Revision,
        deployment: &Deployment,
        project: &Project,
    ) -> Result<Option<Kept>, PlatformError> {
        let id = deployment.id();
        let of_project = deployment.project_id.as_deref().is_none_or(|of| of == project.id);
        if !of_project || !(Self::is_stamped(scope, revision, deployment) || self.is_hooked(deployment)) {
            return Ok(Some(Kept::NotOurs));
        }
        if project.serves(id) {
            return Ok(Some(Kept::Serves));
        }
        if deployment.has_served() == Some(false) {
            return Ok(None);
        }
        let failed = scope.phase == Phase::RollBack && deployment.meta(stamp::RELEASE) == Some(scope.release.as_str());
        if !failed {
            return Ok(Some(Kept::CanServeAgain));
        }
        // Deleting it would leave a hostname that still leads to it without an answer.
        let leads = self.hosts(project).await?.iter().any(|(_, leads_to)| leads_to == id);
        Ok(leads.then_some(Kept::Leads))
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
