//! Removing what a release left: a version without traffic stays, since no call removes one; out of the deployment it is taken.

use super::WorkerTarget;
use super::hints::Hints;
use super::wire::{Deployment, Share};
use crate::platform::{PlatformError, Revision, Scope};

/// How often the deployment is made anew: lost answers use up tries.
const TRIES: usize = 3;

impl WorkerTarget {
    /// Takes exactly these versions out of the deployment, as far as they are ours and no user gets them.
    pub(super) async fn prune_revisions(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        for revision in revisions {
            if let Some(hints) = Hints::of(revision) {
                self.dismiss(scope, revision, &hints).await?;
            }
        }
        Ok(())
    }

    async fn dismiss(&self, scope: &Scope, revision: &Revision, hints: &Hints) -> Result<(), PlatformError> {
        let mut last = None;
        for _ in 0..TRIES {
            let Some(in_force) = self.in_force().await? else { return Ok(()) };
            let Some(rest) = without(&in_force, &hints.version) else { return Ok(()) };
            let version = self.version_of(&hints.version, &[]).await?;
            let ours = version.stamp().is_some_and(|stamp| stamp.is_of(scope) || Some(stamp.release) == revision.release);
            if !ours {
                return Ok(());
            }
            scope.step(&self.settings.target, format!("takes {} out of the deployment {}", revision.label, in_force.id));
            let message = format!("cutover {} leaves {}", scope.release, hints.version);
            match self.client.deploy(&self.settings.worker, &rest, &message, true).await {
                Ok(()) => return Ok(()),
                Err(error) if error.ambiguous() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        last.map_or(Ok(()), Err)
    }
}

/// Returns a deployment's shares without a version that has none of the users; `None` where it is not in it, or users get it.
fn without(in_force: &Deployment, version: &str) -> Option<Vec<Share>> {
    let own = in_force.versions.iter().find(|share| share.version_id == version)?;
    let rest: Vec<Share> = in_force.versions.iter().filter(|share| share.version_id != version).cloned().collect();
    (own.percentage <= 0.0 && !rest.is_empty()).then_some(rest)
}
