//! Roll back: what served before serves again, on every target, in reverse order.
//!
//! Works from the journal's record alone, so that a runner that finds somebody else's unfinished release does the same. It is not ended by
//! the signal that caused it: only a second one ends it, and then the journal still says where we are.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::journal::Journal;
use super::journal::{Entry, Open, Stage, TargetRecord};
use super::{Context, Failure, Release};
use crate::event::{EventKind, Level, Phase};
use crate::id::{Name, ReleaseId};
use crate::platform::{AnyTarget, Observed, PlatformError, Revision, Scope, Target};
use crate::shutdown::{self, Shutdown};

/// The pause between two tries of one target's way back.
const RETRY: Duration = Duration::from_secs(2);

impl Release<'_> {
    /// Goes back; `Err` when a target would not, or nobody can know.
    pub(super) async fn back(&mut self, failure: &Failure) -> Result<(), Vec<Failure>> {
        let targets = self.plan.targets.iter().map(|planned| (planned.target.name().clone(), &planned.target)).collect();
        roll_back(&self.context, self.journal, &targets, &failure.to_string()).await
    }
}

/// Rolls the journal's open release back on `targets` and closes it, or marks it stuck.
///
/// Errors: what would not go back, by target; every other target was still taken back.
pub(super) async fn roll_back(
    context: &Context,
    journal: &mut Journal,
    targets: &BTreeMap<Name, &AnyTarget>,
    cause: &str,
) -> Result<(), Vec<Failure>> {
    let began = Instant::now();
    context.events.emit(EventKind::PhaseStarted { phase: Phase::RollBack });
    let Some(open) = journal.state().open.clone() else {
        context.events.emit(EventKind::PhaseFinished { phase: Phase::RollBack, duration: began.elapsed(), failure: None });
        return Ok(());
    };
    let intent = Entry::RollingBack { cause: cause.to_owned() };
    if let Err(error) = journal.append(intent, context.transport.chance()).await {
        // No `committed` was ever believed and this machine holds the lock, so nobody can have decided otherwise: going back needs no record.
        context.events.notice(Level::Warning, "journal::unwritable", format!("{error}. Going back without a record of it."));
    }
    let urgent = until_now(&context.shutdown);
    let mut failures = Vec::new();
    for record in open.begun.targets.iter().rev().filter(|record| !record.carried) {
        let result = match targets.get(&record.name) {
            Some(target) => take_back(context, &open, record, target, &urgent.shutdown).await,
            None => Err(Failure::said(Phase::RollBack, Some(&record.name), "the manifest does not name this target any more")),
        };
        failures.extend(result.err());
    }
    for failure in &failures {
        context.events.notice(Level::Error, "release::stuck", failure.to_string());
    }
    let entry = if failures.is_empty() {
        Entry::RolledBack
    } else {
        Entry::Stuck { cause: failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ") }
    };
    if let Err(error) = journal.append(entry, context.transport.chance()).await {
        context.events.notice(Level::Warning, "journal::unwritable", format!("{error}. The next run will look at this release once more."));
    }
    let failure = failures.first().map(|failure| failure.text.clone());
    context.events.emit(EventKind::PhaseFinished { phase: Phase::RollBack, duration: began.elapsed(), failure });
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// A shutdown that is raised only when the run's is raised to `Now`.
struct Urgent {
    shutdown: Shutdown,
    watcher: tokio::task::JoinHandle<()>,
}

impl Drop for Urgent {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

fn until_now(run: &Shutdown) -> Urgent {
    let shutdown = Shutdown::default();
    let (run, raised) = (run.clone(), shutdown.clone());
    let watcher = tokio::spawn(async move {
        run.at_least(shutdown::Level::Now).await;
        raised.raise(shutdown::Level::Now);
    });
    Urgent { shutdown, watcher }
}

/// Takes one target back, trying again until its limit is over.
async fn take_back(context: &Context, open: &Open, record: &TargetRecord, target: &AnyTarget, shutdown: &Shutdown) -> Result<(), Failure> {
    let began = Instant::now();
    let deadline = began + context.timing.back_limit;
    let mut scope = context.scope(Phase::RollBack, shutdown);
    scope.release = open.begun.release.clone();
    let result = loop {
        let error = match once(&scope, open, record, target).await {
            Ok(()) => break Ok(()),
            Err(error) => error,
        };
        if error.cancelled() || Instant::now() + RETRY > deadline {
            break Err(Failure::on(Phase::RollBack, target.name(), &error));
        }
        scope.step(target.name(), format!("would not go back yet, trying again: {error}"));
        tokio::time::sleep(RETRY).await;
    };
    let failure = result.as_ref().err().map(|failure: &Failure| failure.text.clone());
    let (name, duration) = (target.name().clone(), began.elapsed());
    context.events.emit(EventKind::TargetFinished { target: name, phase: Phase::RollBack, duration, failure });
    result
}

async fn once(scope: &Scope, open: &Open, record: &TargetRecord, target: &AnyTarget) -> Result<(), PlatformError> {
    let traffic_may_have_moved = !matches!(open.stage, Stage::Begun | Stage::Prepared);
    if traffic_may_have_moved {
        match (record.before_revision(), &record.after) {
            (Some(before), _) => drop(target.serve(scope, before).await?),
            (None, Some(after)) => drop(target.unserve(scope, after).await?),
            (None, None) => {}
        }
    }
    target.restore(scope, &record.settings).await?;
    target.release_holds(scope).await;
    let observed = target.observe(scope).await?;
    target.prune(scope, &left_by(&observed, &open.begun.release, record.after.as_ref())).await
}

/// Returns what a release left on a target that now serves something else: what its stamps say, and what it had prepared.
fn left_by(observed: &Observed, release: &ReleaseId, after: Option<&Revision>) -> Vec<Revision> {
    let stamped = observed.leftovers.iter().filter(|revision| revision.release.as_deref() == Some(release.as_str()));
    let serving = |revision: &Revision| observed.serving.iter().any(|weighted| weighted.revision.hints == revision.hints);
    let mut left: Vec<Revision> = stamped.cloned().collect();
    left.extend(after.filter(|after| !serving(after) && left.iter().all(|known| known.hints != after.hints)).cloned());
    left
}
