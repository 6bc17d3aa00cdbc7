//! Removing deployments that a release left, each read again just before.

use std::time::Duration;

use tokio::time::Instant;

use super::hints::Hints;
use super::wire::{Deployment, Progress};
use super::{PagesSettings, PagesTarget, READ_LAG};
use crate::event::Phase;
use crate::platform::{PlatformError, PlatformErrorKind, Revision, Scope};

/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

impl PagesTarget {
    /// Removes exactly these deployments, as far as they are ours and nobody needs them.
    ///
    /// One of production stays when a release finishes: it is what the project can be rolled back to, and costs nothing. Only the release
    /// that failed removes its own, even where it served for a moment.
    pub(super) async fn prune_revisions(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        for revision in revisions {
            let Some(hints) = Hints::of(revision) else { continue };
            // What was to be built has no deployment that anybody could know for ours.
            if hints.deployment_id.is_empty() {
                continue;
            }
            self.prune_one(scope, revision, &hints.deployment_id).await?;
            if scope.phase == Phase::RollBack {
                for id in self.own_production(scope, revision).await? {
                    self.prune_one(scope, revision, &id).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns the production deployments that this release has made of a revision.
    async fn own_production(&self, scope: &Scope, revision: &Revision) -> Result<Vec<String>, PlatformError> {
        let listed = self.client.deployments(&self.settings.project, "production", 1).await?;
        let own = |one: &&Deployment| one.stamp().is_some_and(|stamp| stamp.is_of(scope) && stamp.revision() == revision.digest);
        Ok(listed.iter().filter(own).map(|one| one.id.clone()).collect())
    }

    async fn prune_one(&self, scope: &Scope, revision: &Revision, id: &str) -> Result<(), PlatformError> {
        let Some(deployment) = self.client.deployment(&self.settings.project, id).await? else { return Ok(()) };
        if let Some(why) = self.kept_because(scope, revision, &deployment).await? {
            scope.step(&self.settings.target, format!("{} stays: {why}", revision.label));
            return Ok(());
        }
        if deployment.is_production() && deployment.progress() == Progress::Ready {
            self.drain(scope).await?;
            // The margin was long enough for the world to change.
            if self.kept_because(scope, revision, &deployment).await?.is_some() {
                return Ok(());
            }
        }
        scope.step(&self.settings.target, format!("removes {}", deployment.url.as_deref().unwrap_or(id)));
        self.remove(scope, id).await
    }

    /// Returns why a deployment is not removed; production is read anew, and again for as long as a read may lag behind our own move.
    async fn kept_because(
        &self,
        scope: &Scope,
        revision: &Revision,
        deployment: &Deployment,
    ) -> Result<Option<&'static str>, PlatformError> {
        let stamp = deployment.stamp();
        let ours = stamp.as_ref().is_some_and(|stamp| stamp.is_ours(scope) && Some(stamp.release.as_str()) == revision.release.as_deref());
        if !ours {
            return Ok(Some("it is not of this product and environment"));
        }
        let until = Instant::now() + READ_LAG;
        while self.project().await?.serves(&deployment.id) {
            if scope.phase != Phase::RollBack || Instant::now() >= until {
                return Ok(Some("it serves"));
            }
            self.pause(scope, LOOK_PAUSE).await?;
        }
        let failed = scope.phase == Phase::RollBack && stamp.is_some_and(|stamp| stamp.is_of(scope));
        Ok((deployment.is_production() && !failed).then_some("it can be rolled back to"))
    }

    /// Deletes a deployment and sees that it is gone. Errors: it is still there after [`READ_LAG`].
    async fn remove(&self, scope: &Scope, id: &str) -> Result<(), PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            self.client.delete_deployment(&self.settings.project, id).await?;
            if self.client.deployment(&self.settings.project, id).await?.is_none() {
                return Ok(());
            }
            if Instant::now() >= until {
                let why = format!("deployment {id} is still there although its deletion was accepted");
                return Err(self.error("delete_deployment", PlatformErrorKind::Unexpected(why)));
            }
            self.pause(scope, LOOK_PAUSE).await?;
        }
    }

    /// Waits until every edge has learnt that production has left: what is deleted answers nobody any more.
    async fn drain(&self, scope: &Scope) -> Result<(), PlatformError> {
        let margin = self.settings.drain_margin.unwrap_or(PagesSettings::DRAIN_MARGIN);
        let left = self.memory().moved.map_or(margin, |moved| margin.saturating_sub(moved.elapsed()));
        if left.is_zero() { Ok(()) } else { self.pause(scope, left).await }
    }
}
