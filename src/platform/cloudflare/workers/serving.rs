//! Serve: a deployment with this version alone.

use std::time::Duration;

use tokio::time::Instant;

use super::hints::Hints;
use super::wire::{Deployment, Share};
use super::{READ_LAG, WorkerTarget};
use crate::event::Phase;
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Revision, Scope};

/// How often a move is asked for before it is given up: lost answers and other people's deployments use up tries.
const MOVES: usize = 4;
/// The shortest and the longest pause between two looks at the deployment.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

impl WorkerTarget {
    /// Reads before each change: what serves already is left alone.
    pub(super) async fn serve_revision(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        let hints = Hints::of(revision)
            .ok_or_else(|| self.error("serve", PlatformErrorKind::Impossible(format!("{} names no version", revision.label))))?;
        let mut last = None;
        for tries in 0..MOVES {
            let in_force = self.in_force().await?;
            if self.is_served(in_force.as_ref(), revision, &hints).await? {
                if tries == 0 && self.may_be_old_news(scope).await? {
                    continue;
                }
                return self.observed_serving(scope, revision, &hints).await;
            }
            self.is_expected(scope, in_force.as_ref()).await?;
            self.forward_may_go_on(scope)?;
            let stale = scope.turn.wait(&scope.shutdown).await;
            self.forward_may_go_on(scope)?;
            if stale {
                continue;
            }
            match self.move_to(scope, revision, &hints).await {
                Ok(()) => {}
                Err(error) if error.ambiguous() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        if self.is_served(self.in_force().await?.as_ref(), revision, &hints).await? {
            return self.observed_serving(scope, revision, &hints).await;
        }
        let what = format!("the move to {}", revision.label);
        Err(last.unwrap_or_else(|| self.error("serve", PlatformErrorKind::TimedOut { what, limit: self.settings.move_deadline })))
    }

    fn forward_may_go_on(&self, scope: &Scope) -> Result<(), PlatformError> {
        if scope.phase == Phase::RollBack { Ok(()) } else { self.may_go_on(scope) }
    }

    /// Returns whether every user gets this revision: this very version, or another one of the same content.
    async fn is_served(&self, in_force: Option<&Deployment>, revision: &Revision, hints: &Hints) -> Result<bool, PlatformError> {
        let Some(single) = in_force.and_then(Deployment::single) else { return Ok(false) };
        if single == hints.version {
            return Ok(true);
        }
        let version = self.version_of(single, &[]).await?;
        Ok(self.revision_of(&version, None).same_content(revision))
    }

    /// Makes sure that what users get may be replaced. A deployment has no precondition on Cloudflare's side, so a person's act between this look
    /// and the move is still run over.
    async fn is_expected(&self, scope: &Scope, in_force: Option<&Deployment>) -> Result<(), PlatformError> {
        let (Some(expected), Some(in_force)) = (&scope.expected, in_force) else { return Ok(()) };
        for share in in_force.serving() {
            let version = self.version_of(&share.version_id, &[]).await?;
            let now = self.revision_of(&version, None);
            let own = now.release.as_deref() == Some(scope.release.as_str());
            let known = |revision: &Revision| Hints::of(revision).is_some_and(|hints| hints.version == share.version_id);
            if !own && !expected.iter().any(|revision| known(revision) || revision.same_content(&now)) {
                let text = format!("users get {}, which this release did not find there", now.label);
                return Err(self.error("serve", PlatformErrorKind::Foreign(text)));
            }
        }
        Ok(())
    }

    /// Returns whether what was read may be from before the move that was asked for last; then waits until it cannot be old any more.
    async fn may_be_old_news(&self, scope: &Scope) -> Result<bool, PlatformError> {
        let asked = self.memory().asked.take();
        let left = asked.map_or(Duration::ZERO, |asked| READ_LAG.saturating_sub(asked.elapsed()));
        if !left.is_zero() {
            self.pause(scope, left).await?;
        }
        Ok(!left.is_zero())
    }

    async fn move_to(&self, scope: &Scope, revision: &Revision, hints: &Hints) -> Result<(), PlatformError> {
        scope.step(&self.settings.target, format!("deploys {}", revision.label));
        self.memory().asked = Some(Instant::now());
        let shares = [Share { version_id: hints.version.clone(), percentage: 100.0 }];
        let back = scope.phase == Phase::RollBack;
        let message = format!("cutover {} {}", scope.release, if back { "goes back" } else { "cuts over" });
        if let Err(error) = scope.changes.during(self.client.deploy(&self.settings.worker, &shares, &message, back)).await {
            if !error.ambiguous() {
                // It was refused, so that nothing can come of it.
                self.memory().asked = None;
            }
            return Err(error);
        }
        self.until_served(scope, revision, hints).await
    }

    /// Waits until the worker's own word on its deployment is this version; a limit reached is left to the caller's next look.
    async fn until_served(&self, scope: &Scope, revision: &Revision, hints: &Hints) -> Result<(), PlatformError> {
        let began = Instant::now();
        let mut pause = LOOKS.0;
        loop {
            if self.is_served(self.in_force().await?.as_ref(), revision, hints).await? {
                // It was seen after the move, so nothing older can be shown for news.
                self.memory().asked = None;
                return Ok(());
            }
            if began.elapsed() >= READ_LAG.max(self.settings.move_deadline / MOVES as u32) {
                return Ok(());
            }
            self.pause(scope, pause).await?;
            pause = (pause * 3 / 2).min(LOOKS.1);
        }
    }

    /// Observes what was seen to be served; what shows another is looked at again for as long as reads may lag.
    async fn observed_serving(&self, scope: &Scope, revision: &Revision, hints: &Hints) -> Result<Observed, PlatformError> {
        let until = Instant::now() + READ_LAG;
        loop {
            let observed = self.observed().await?;
            let is = |one: &Revision| one.same_content(revision) || Hints::of(one).is_some_and(|own| own.version == hints.version);
            if observed.single().is_some_and(is) || Instant::now() >= until {
                return Ok(observed);
            }
            self.pause(scope, LOOKS.1).await?;
        }
    }
}
