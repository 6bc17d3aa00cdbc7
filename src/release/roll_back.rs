//! Roll back: what served before serves again, on every target, in reverse order of what needs what.
//!
//! Every target is on its side before anything is removed on any. Works from the journal's record alone, so that a runner that finds somebody else's unfinished release does the same. It is not ended by
//! the signal that caused it: only a second one ends it, and then the journal still says where we are.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::journal::{Entry, Journal, Kept, Open, Stage, TargetRecord};
use super::store::StoreError;
use super::{Context, Failure, Release, migrate};
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
    let kept = journal.state().kept.clone();
    let way = Way { context, open: &open, kept: &kept, targets, shutdown: &urgent.shutdown };
    // Before the first change of traffic nothing waits for this; after it every migration has ended already.
    let mut failures = match migrate::settle(context, &open, targets, &urgent.shutdown).await {
        Ok(ended) => migrate::barred(context, &open, &ended),
        Err(failures) => failures,
    };
    if failures.is_empty() {
        failures = super::secrets::in_the_way(context, &open, targets).await;
    }
    if failures.is_empty() {
        failures = way.all().await;
        if open.cut {
            super::hostnames::purge_back(context, journal, &open, &urgent.shutdown).await;
        }
        if failures.is_empty() {
            failures = way.second_look(quarantine).await;
        }
        if failures.is_empty() {
            failures = super::secrets::left(context, &open, targets).await;
        }
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
    kept: &'a BTreeMap<Name, Kept>,
    targets: &'a BTreeMap<Name, &'a AnyTarget>,
    shutdown: &'a Shutdown,
}

impl Way<'_> {
    /// Takes every moved target back, in reverse order, and removes what the release left there; returns what would not go.
    ///
    /// Users come first: nothing is removed, and no edge's lag waited out, while another target may still be on the other side. A target goes
    /// once everything that needs it has gone, or would not; what does not depend on each other goes together, as it came.
    async fn all(&self) -> Vec<Failure> {
        let moved: Vec<&TargetRecord> = self.open.begun.targets.iter().filter(|record| !record.carried).collect();
        let (mut failures, mut back, mut done) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut waiting: Vec<One<'_>> = Vec::new();
        for record in moved.iter().rev() {
            if let Some(target) = self.targets.get(&record.name) {
                waiting.push(One { way: self, record, target, began: Instant::now() });
            } else {
                failures.push(Failure::said(Phase::RollBack, Some(&record.name), "this run has no access to it"));
                done.insert(&record.name);
            }
        }
        let mut going = FuturesUnordered::new();
        loop {
            let (next, left): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|one| may_go_back(one.record, &moved, &done));
            waiting = left;
            for one in next {
                going.push(async move {
                    let result = one.insist(async |scope| one.take_back(scope).await).await;
                    (one, result)
                });
            }
            let Some((one, result)) = going.next().await else { break };
            done.insert(&one.record.name);
            match result {
                Ok(()) => back.push(one),
                Err(failure) => {
                    one.tell(Some(&failure));
                    failures.push(failure);
                }
            }
        }
        let tidied = back.iter().map(async |one| {
            let again = Cell::new(false);
            let work = async |scope: &Scope| {
                // What would not be removed may serve by a change that came late: then it goes back once more.
                if again.replace(true) {
                    one.take_back(scope).await?;
                }
                one.tidy(scope).await
            };
            let result = one.insist(work).await;
            one.tell(result.as_ref().err());
            result
        });
        failures.extend(join_all(tidied).await.into_iter().filter_map(Result::err));
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

/// Returns whether nothing that came after a target, and needs it or may need it, is still on its way back.
fn may_go_back(record: &TargetRecord, moved: &[&TargetRecord], done: &BTreeSet<&Name>) -> bool {
    let after = moved.iter().skip_while(|other| other.name != record.name).skip(1);
    let mut needing = after.filter(|other| other.needs.as_ref().is_none_or(|needs| needs.contains(&record.name)));
    needing.all(|other| done.contains(&other.name))
}

/// One target on its way back.
#[derive(Clone, Copy)]
struct One<'a> {
    way: &'a Way<'a>,
    record: &'a TargetRecord,
    target: &'a AnyTarget,
    began: Instant,
}

impl One<'_> {
    /// Does something to the target, trying again until its limit is over.
    async fn insist(&self, work: impl AsyncFn(&Scope) -> Result<(), PlatformError>) -> Result<(), Failure> {
        let (context, target) = (self.way.context, self.target);
        let deadline = Instant::now() + context.timing.back_limit;
        let mut scope = context.scope(Phase::RollBack, self.way.shutdown);
        scope.release = self.way.open.begun.release.clone();
        loop {
            let error = match work(&scope).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let pointless = error.cancelled() || matches!(error.kind, PlatformErrorKind::Withheld(_));
            if pointless || Instant::now() + RETRY > deadline {
                return Err(Failure::on(Phase::RollBack, target.name(), &error));
            }
            scope.step(target.name(), format!("would not go back yet, trying again: {error}"));
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Gives users what served before, where they may get something else.
    async fn take_back(&self, scope: &Scope) -> Result<(), PlatformError> {
        if !self.traffic_may_have_moved() {
            return Ok(());
        }
        let scope = Scope { expected: Some(self.ours().cloned().collect()), ..scope.clone() };
        let served = match (self.record.before_revision(), &self.record.after) {
            (Some(before), _) => self.target.serve(&scope, before).await.map(drop),
            (None, Some(after)) => self.target.unserve(&scope, after).await.map(drop),
            (None, None) => Ok(()),
        };
        match served {
            // What somebody has put there since is theirs to take away.
            Err(error) if matches!(error.kind, PlatformErrorKind::Foreign(_)) => {
                let text = format!("{} is left as it is: {}", self.target.name(), error.kind);
                scope.events.notice(Level::Warning, "release::foreign", text);
                Ok(())
            }
            other => other,
        }
    }

    /// Returns what served before, and what the release was to serve.
    fn ours(&self) -> impl Iterator<Item = &Revision> {
        self.record.before.serving.iter().map(|weighted| &weighted.revision).chain(&self.record.after)
    }

    /// Puts settings back and removes what the release left on a target that serves what it served.
    async fn tidy(&self, scope: &Scope) -> Result<(), PlatformError> {
        let (record, target) = (self.record, self.target);
        let observed = target.observe(scope).await?;
        let before = record.before_revision();
        let untouched = observed.serving.iter().all(|weighted| before.is_some_and(|before| before.same_content(&weighted.revision)));
        let release = Some(self.way.open.begun.release.as_str());
        let known = |revision: &Revision| revision.release.as_deref() == release || self.ours().any(|ours| ours.same_content(revision));
        let theirs = observed.serving.iter().any(|weighted| !known(&weighted.revision));
        // Where something else serves somebody else moved it, and pinned it by the same act.
        if untouched || (self.traffic_may_have_moved() && !theirs) {
            target.restore(scope, &record.settings).await?;
        }
        target.release_holds(scope).await;
        // A kept generation that was to serve again is not this release's to remove.
        let kept = |after: &&Revision| self.way.kept.get(&record.name).is_some_and(|kept| kept.is(after));
        let after = record.after.as_ref().filter(|after| !kept(after));
        target.prune(scope, &left_by(&observed, &self.way.open.begun.release, after)).await
    }

    fn traffic_may_have_moved(&self) -> bool {
        let open = self.way.open;
        open.cut || !matches!(open.stage, Stage::Begun | Stage::Prepared | Stage::Migrating | Stage::Migrated | Stage::RollingBack)
    }

    fn tell(&self, failure: Option<&Failure>) {
        let (target, duration) = (self.target.name().clone(), self.began.elapsed());
        let failure = failure.map(|failure| failure.text.clone());
        self.way.context.events.emit(EventKind::TargetFinished { target, phase: Phase::RollBack, duration, failure });
    }
}

/// Returns what a release left on a target that now serves something else: what its stamps say, and what it had prepared.
fn left_by(observed: &Observed, release: &ReleaseId, after: Option<&Revision>) -> Vec<Revision> {
    let stamped = observed.leftovers.iter().filter(|revision| revision.release.as_deref() == Some(release.as_str()));
    let serving = |revision: &Revision| observed.serving.iter().any(|weighted| weighted.revision.hints == revision.hints);
    let mut left: Vec<Revision> = stamped.cloned().collect();
    left.extend(after.filter(|after| !serving(after) && left.iter().all(|known| known.hints != after.hints)).cloned());
    left
}
