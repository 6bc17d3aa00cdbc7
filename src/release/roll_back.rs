//! Roll back: what served before serves again, on every target, in reverse order.
//!
//! Works from the journal's record alone, so that a runner that finds somebody else's unfinished release does the same. It is not ended by
//! the signal that caused it: only a second one ends it, and then the journal still says where we are.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::journal::{Entry, Journal, Open, Stage, TargetRecord};
use super::store::StoreError;
use super::{Context, Failure, Release};
use crate::event::{EventKind, Level, Phase};
use crate::id::{Name, ReleaseId};
use crate::platform::{AnyTarget, Observed, PlatformError, PlatformErrorKind, Revision, Scope, Target};
use crate::shutdown::{self, Shutdown};

/// The pause between two tries of one target's way back.
const RETRY: Duration = Duration::from_secs(2);

/// Why what served before does not serve again, or is not known to.
#[derive(Debug, Clone)]
pub(super) enum NotBack {
    /// Targets that would not go back, each with its last failure; every other one was taken back.
    Targets(Vec<Failure>),
    /// Nothing was touched: the release is another runner's by now, or a commit may have landed.
    Untouched(Failure),
    /// A second signal ended the way back; the journal says where it is.
    Ended,
}

impl Release<'_> {
    /// Goes back.
    pub(super) async fn back(&mut self, failure: &Failure) -> Result<(), NotBack> {
        let targets = self.plan.targets.iter().map(|planned| (planned.target.name().clone(), &planned.target)).collect();
        roll_back(&self.context, self.journal, &targets, &failure.to_string(), Duration::ZERO).await
    }
}

/// Rolls the journal's open release back on `targets` and closes it, or marks it stuck.
///
/// `quarantine` is how long something of an earlier owner may still land; it is waited for, and everything is looked at once more, before
/// the release is closed. What this run itself left open (answers that were lost) is waited for in the same way.
pub(super) async fn roll_back(
    context: &Context,
    journal: &mut Journal,
    targets: &BTreeMap<Name, &AnyTarget>,
    cause: &str,
    quarantine: Duration,
) -> Result<(), NotBack> {
    let began = Instant::now();
    context.events.emit(EventKind::PhaseStarted { phase: Phase::RollBack });
    let result = back_and_close(context, journal, targets, cause, quarantine).await;
    let failure = match &result {
        Ok(()) => None,
        Err(NotBack::Targets(failures)) => failures.first().map(|failure| failure.text.clone()),
        Err(NotBack::Untouched(failure)) => Some(failure.text.clone()),
        Err(NotBack::Ended) => Some("a second signal ended it".to_owned()),
    };
    context.events.emit(EventKind::PhaseFinished { phase: Phase::RollBack, duration: began.elapsed(), failure });
    result
}

async fn back_and_close(
    context: &Context,
    journal: &mut Journal,
    targets: &BTreeMap<Name, &AnyTarget>,
    cause: &str,
    quarantine: Duration,
) -> Result<(), NotBack> {
    let Some(open) = journal.state().open.clone() else { return Ok(()) };
    decide(context, journal, cause).await?;
    let urgent = until_now(&context.shutdown);
    let way = Way { context, open: &open, targets, shutdown: &urgent.shutdown };
    let mut failures = way.all().await;
    if failures.is_empty() {
        failures = way.second_look(quarantine).await;
    }
    if urgent.shutdown.level() >= shutdown::Level::Now {
        return Err(NotBack::Ended);
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
    if failures.is_empty() { Ok(()) } else { Err(NotBack::Targets(failures)) }
}

/// Decides the direction: going back begins when the journal says so, or when nobody else can have decided otherwise.
async fn decide(context: &Context, journal: &mut Journal, cause: &str) -> Result<(), NotBack> {
    journal.ownership().going_back();
    let Err(error) = journal.append(Entry::RollingBack { cause: cause.to_owned() }, context.transport.chance()).await else {
        return Ok(());
    };
    let untouched = |text: String| NotBack::Untouched(Failure { overtaken: true, ..Failure::said(Phase::RollBack, None, text) });
    if matches!(error, StoreError::Overtaken { .. } | StoreError::Impossible(_)) {
        return Err(untouched(format!("{error}; it brings this release to its end, and nothing was changed back from here")));
    }
    if journal.commit_sent() {
        return Err(untouched(format!("{error}; the commit may have been recorded, so nothing was changed back")));
    }
    if let Err(not_ours) = journal.ownership().assure_within(journal.ownership().terms().term).await {
        return Err(untouched(format!("{error}; {not_ours}, so nothing was changed back")));
    }
    // No `committed` was ever sent and our ownership is fresh, so nobody can have decided otherwise: going back needs no record.
    context.events.notice(Level::Warning, "journal::unwritable", format!("{error}. Going back without a record of it."));
    Ok(())
}

/// One way back over all targets.
struct Way<'a> {
    context: &'a Context,
    open: &'a Open,
    targets: &'a BTreeMap<Name, &'a AnyTarget>,
    shutdown: &'a Shutdown,
}

impl Way<'_> {
    /// Takes every moved target back, in reverse order; returns what would not go.
    async fn all(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for record in self.open.begun.targets.iter().rev().filter(|record| !record.carried) {
            let result = match self.targets.get(&record.name) {
                Some(target) => take_back(self.context, self.open, record, target, self.shutdown).await,
                None => Err(Failure::said(Phase::RollBack, Some(&record.name), "this run has no access to it")),
            };
            failures.extend(result.err());
        }
        failures
    }

    /// Waits until nothing of before can land any more, then makes sure once more. What is on its side already costs reads only.
    async fn second_look(&self, quarantine: Duration) -> Vec<Failure> {
        let own = if self.context.transport.doubts() > 0 { self.context.timing.late } else { Duration::ZERO };
        let wait = quarantine.max(own);
        if wait.is_zero() {
            return Vec::new();
        }
        let text = format!(
            "What served before serves again. For {} s something that was sent before may still arrive; then everything is looked at once more.",
            wait.as_secs()
        );
        self.context.events.notice(Level::Note, "release::second-look", text);
        tokio::select! {
            biased;
            () = self.shutdown.at_least(shutdown::Level::Now) => Vec::new(),
            () = tokio::time::sleep(wait) => self.all().await,
        }
    }
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
        let pointless = error.cancelled() || matches!(error.kind, PlatformErrorKind::Withheld(_));
        if pointless || Instant::now() + RETRY > deadline {
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
    let mut traffic_may_have_moved = open.cut || !matches!(open.stage, Stage::Begun | Stage::Prepared | Stage::RollingBack);
    if traffic_may_have_moved {
        let ours = record.before.serving.iter().map(|weighted| weighted.revision.clone()).chain(record.after.clone());
        let scope = Scope { expected: Some(ours.collect()), ..scope.clone() };
        let served = match (record.before_revision(), &record.after) {
            (Some(before), _) => target.serve(&scope, before).await.map(drop),
            (None, Some(after)) => target.unserve(&scope, after).await.map(drop),
            (None, None) => Ok(()),
        };
        match served {
            // What somebody has put there since is theirs to take away: neither what serves nor its settings are touched.
            Err(error) if matches!(error.kind, PlatformErrorKind::Foreign(_)) => {
                let text = format!("{} is left as it is: {}", target.name(), error.kind);
                scope.events.notice(Level::Warning, "release::foreign", text);
                traffic_may_have_moved = false;
            }
            other => other?,
        }
    }
    let observed = target.observe(scope).await?;
    let before = record.before_revision();
    let untouched = observed.serving.iter().all(|weighted| before.is_some_and(|before| before.same_content(&weighted.revision)));
    // Where traffic was never ours to move and something else serves, somebody else moved it, and pinned it by the same act.
    if traffic_may_have_moved || untouched {
        target.restore(scope, &record.settings).await?;
    }
    target.release_holds(scope).await;
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
