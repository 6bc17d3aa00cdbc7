//! The hostnames of a release's targets: made to lead there before anything moves, and their cache purged after every change of what serves.
//!
//! Nothing here is undone when a release goes back: a hostname leads to a target, whichever revision that serves. What a record was before stands in
//! the journal with what its target served, so that a person can put it back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;

use super::journal::{Journal, Open, TargetRecord};
use super::plan::{Plan, Planned};
use super::{Context, Failure, Release};
use crate::event::{Level, Phase};
use crate::platform::cloudflare::dns::Hostnames;
use crate::platform::{Scope, Target};
use crate::shutdown::{Level as Urgency, Shutdown};

/// How long a target's proof waits for its hostnames to be purged: what a zone has cached would be taken for what serves. The purge that counts
/// comes once everything has moved, and waits for as long as Cloudflare asks.
const BEFORE_PROOF: Duration = Duration::from_secs(5);
/// How long a platform may take to answer for a hostname whose record is right: a certificate takes minutes, and what takes longer than a quarter
/// of an hour never comes by itself (cloudflare.md 7.6). Nothing has moved meanwhile.
const ACTIVE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// Returns the context's hostnames, whose changes leave only while the environment is this run's.
pub(super) fn guarded(context: &Context, journal: &Journal) -> Hostnames {
    context.hostnames.guarded(Arc::new(journal.ownership().clone()))
}

impl Release<'_> {
    /// Returns the records of all targets, with what their managed hostnames are now and which hostnames are purged.
    pub(super) async fn records(&self) -> Result<Vec<TargetRecord>, Failure> {
        let records = self.plan.targets.iter().map(async |planned| {
            let name = planned.target.name();
            let mut record = planned.record();
            record.reach.purged = self.context.hostnames.purged(name);
            if !planned.carried {
                let facts = self.context.hostnames.as_they_are(&planned.target).await;
                record.before.facts.extend(facts.map_err(|error| Failure::on(Phase::Preflight, name, &error))?);
            }
            Ok(record)
        });
        join_all(records).await.into_iter().collect()
    }

    /// Makes the managed hostnames of what moves lead there, and waits until their platforms answer: the last step before the first change of
    /// traffic.
    pub(super) async fn lead_hostnames(&mut self) -> Result<(), Failure> {
        let managed = |planned: &Planned| self.context.hostnames.of(planned.target.name()).is_some_and(|of| of.manage);
        let managed: Vec<bool> = self.plan.targets.iter().map(|planned| !planned.carried && managed(planned)).collect();
        if !managed.contains(&true) {
            return Ok(());
        }
        self.keep(Phase::Verify).await?;
        let scope = self.context.scope(Phase::Verify, &self.context.shutdown);
        for (planned, _) in self.plan.targets.iter().zip(&managed).filter(|(_, managed)| **managed) {
            let set = self.context.hostnames.set_right(&scope, &planned.target).await;
            set.map_err(|error| Failure::on(Phase::Verify, planned.target.name(), &error))?;
        }
        let until = Instant::now() + ACTIVE_LIMIT;
        for at in (0..managed.len()).filter(|at| managed[*at]) {
            self.until_answered(at, until).await?;
        }
        Ok(())
    }

    /// Waits until the platform of a target answers for every managed hostname of it. One that takes too long is told: it goes on by itself, and the
    /// target's proof decides.
    async fn until_answered(&mut self, at: usize, until: Instant) -> Result<(), Failure> {
        loop {
            let target = &self.plan.targets[at].target;
            let (name, under_way) = (target.name().clone(), self.context.hostnames.under_way(target).await);
            let Some((host, status)) = under_way.map_err(|error| Failure::on(Phase::Verify, &name, &error))? else { return Ok(()) };
            if Instant::now() >= until {
                let text = format!("{name}: {host} is still {status} after {ACTIVE_LIMIT:?}; going on without it.");
                self.context.events.notice(Level::Warning, "dns::not-active", text);
                return Ok(());
            }
            self.keep(Phase::Verify).await?;
            tokio::select! {
                biased;
                () = self.context.shutdown.at_least(Urgency::Drain) => return Err(Failure::cancellation(Phase::Verify)),
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
    }

    /// Purges the hostnames of a target that has just moved, so that its proof asks what serves; what fails here is tried again once everything
    /// has moved.
    pub(super) async fn purge_before_proof(&self, planned: &Planned) {
        let hosts = self.context.hostnames.purged(planned.target.name());
        if hosts.is_empty() {
            return;
        }
        let quiet =
            Scope { events: crate::event::Events::channel(self.context.transport.clock()).0, ..scope(&self.context, Phase::CutOver) };
        // Without an answer in this time the proof asks all the same.
        let _ = tokio::time::timeout(BEFORE_PROOF, self.context.hostnames.purge(&quiet, &hosts)).await;
    }
}

fn scope(context: &Context, phase: Phase) -> Scope {
    context.scope(phase, &context.shutdown)
}

/// The purge of everything that has moved. It goes on beside what is done meanwhile and keeps nothing waiting: neither the way back, when that
/// fails, nor the commit.
pub(super) struct Purging(Option<BoxFuture<'static, ()>>);

impl Purging {
    /// Begins with everything that moves; what could not be purged is told.
    pub(super) fn of(context: &Context, plan: &Plan) -> Self {
        let hosts: Vec<String> = plan.moving().flat_map(|planned| context.hostnames.purged(planned.target.name())).collect();
        let (hostnames, scope) = (context.hostnames.clone(), scope(context, Phase::CutOver));
        Self((!hosts.is_empty()).then(|| async move { hostnames.purge(&scope, &hosts).await }.boxed()))
    }

    /// Does `work`, and purges as long as that takes.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let Some(purging) = &mut self.0 else { return work.await };
            tokio::select! {
                biased;
                () = purging => self.0 = None,
                done = &mut work => return done,
            }
        }
    }

    /// Purges what is left.
    pub(super) async fn rest(self) {
        if let Some(purging) = self.0 {
            purging.await;
        }
    }
}

/// Purges the hostnames of what a release has taken back, by the journal's own word for them.
pub(super) async fn purge_back(context: &Context, journal: &Journal, open: &Open, shutdown: &Shutdown) {
    let moved = open.begun.targets.iter().filter(|record| !record.carried);
    let hosts: Vec<String> = moved.flat_map(|record| record.reach.purged.clone()).collect();
    if hosts.is_empty() {
        return;
    }
    let hostnames = guarded(context, journal);
    let scope = context.scope(Phase::RollBack, shutdown);
    context.events.notice(Level::Note, "dns::purging", format!("Purging the cache of {}.", hosts.join(", ")));
    hostnames.purge(&scope, &hosts).await;
}
