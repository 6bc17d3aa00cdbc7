//! How a release ended: what every target serves by a last look at it, over all targets, and what a person is told to type.

use std::time::Duration;

use super::journal::TargetRecord;
use super::plan::Planned;
use super::{Failure, Release};
use crate::event::{EventKind, Outcome, Phase, Serving, Side};
use crate::id::Name;
use crate::platform::{Observed, Revision, Target};
use crate::shutdown::{self, Shutdown};

/// How a release ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, unless it finished.
    pub failure: Option<Failure>,
    /// What serves over all targets.
    pub serving: Serving,
    /// What each target serves, in the order of cutting over.
    pub targets: Vec<Settled>,
    /// From the first change of traffic to the last confirmation from outside, in milliseconds; `None` when traffic never changed. Where the
    /// release went back nobody asks from outside: then the platforms' last answer counts.
    pub skew_ms: Option<u64>,
    /// From the first call that changed traffic to the answer of the last one, those of the way back included, in milliseconds.
    pub skew_calls_ms: Option<u64>,
    /// Commands for a person, when stuck.
    pub commands: Vec<String>,
}

impl Ending {
    /// Returns whether it ended before it began, because another run's record stands where its first one should.
    pub fn lost_its_turn(&self) -> bool {
        self.outcome == Outcome::PreflightFailed && self.failure.as_ref().is_some_and(|failure| failure.overtaken)
    }
}

/// What one target serves at the end.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The target.
    pub name: Name,
    /// What it served before.
    pub before: Option<Revision>,
    /// What it was to serve.
    pub after: Option<Revision>,
    /// Which it serves.
    pub serves: Side,
    /// Its public address.
    pub url: Option<String>,
    /// Whether that address itself showed the revision.
    pub proven_from_outside: bool,
    /// How long after the first change of traffic its platform said that it serves the new revision, in milliseconds.
    pub served_ms: Option<u64>,
    /// How long after the first change of traffic its address had shown the new revision at every edge, in milliseconds.
    pub seen_ms: Option<u64>,
}

impl Release<'_> {
    /// Asks every target once more what it serves, so that the ending tells the truth and not the intention.
    pub(super) async fn end(self, outcome: Outcome, failure: Option<Failure>) -> Ending {
        let settled = futures_util::future::join_all(self.plan.targets.iter().map(|planned| self.settle(planned, outcome))).await;
        let serving = serving(&settled);
        let commands = if outcome == Outcome::Stuck { self.commands(&settled) } else { Vec::new() };
        for target in &settled {
            self.context.events.emit(EventKind::TargetSettled {
                target: target.name.clone(),
                before: target.before.as_ref().map(|revision| revision.label.clone()),
                after: target.after.as_ref().map(|revision| revision.label.clone()),
                serves: target.serves,
                url: target.url.clone(),
                proven_from_outside: target.proven_from_outside,
                served_ms: target.served_ms,
                seen_ms: target.seen_ms,
            });
        }
        let release = self.context.release.clone();
        // After a whole cut over the way back is another spread, and the longer one counts; else both are one.
        let rest = self.context.changes.span();
        let skew_ms = self.skew.max(rest).map(millis);
        let skew_calls_ms = self.skew_calls.max(rest).map(millis);
        self.context.events.emit(EventKind::ReleaseFinished {
            release,
            outcome,
            serving,
            skew_ms,
            skew_calls_ms,
            failure: failure.as_ref().map(ToString::to_string),
            hints: failure.iter().flat_map(|failure| failure.hints.clone()).chain(commands.clone()).collect(),
        });
        Ending { outcome, failure, serving, targets: settled, skew_ms, skew_calls_ms, commands }
    }

    async fn settle(&self, planned: &Planned, outcome: Outcome) -> Settled {
        let target = &planned.target;
        let reached = self.reached.get(target.name()).copied().unwrap_or_default();
        let record = self.record(planned);
        let scope = self.context.scope(Phase::Observe, &Shutdown::default());
        let (before, after) = (record.before_revision().cloned(), record.after.clone());
        let meant = match outcome {
            Outcome::Finished | Outcome::Carried => Some(Side::After),
            Outcome::RolledBack | Outcome::Cancelled => Some(Side::Before),
            _ => None,
        };
        let serves = self.seen(meant, async || match tokio::time::timeout(OBSERVE_LIMIT, target.observe(&scope)).await {
            Ok(Ok(observed)) => side(&observed, (before.as_ref(), planned.placeholder.as_ref()), after.as_ref(), outcome),
            Ok(Err(_)) | Err(_) => Side::Unknown,
        });
        let serves = serves.await;
        Settled {
            name: target.name().clone(),
            before,
            after,
            serves,
            url: target.public_url(),
            proven_from_outside: serves == Side::After && reached.proven,
            served_ms: reached.served.map(millis),
            seen_ms: reached.seen.map(millis),
        }
    }

    /// Looks which side a target serves. What is not what the outcome means may be a stale answer: it is looked at again for longer than reads
    /// lag, and where the looks differ, nobody knows. After a second signal nothing is asked: the end comes at once.
    async fn seen(&self, meant: Option<Side>, mut look: impl AsyncFnMut() -> Side) -> Side {
        let until = tokio::time::Instant::now() + READ_LAG;
        let work = async {
            let first = look().await;
            let mut seen = first;
            while meant.is_some_and(|meant| seen != meant) && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_secs(1)).await;
                seen = look().await;
            }
            if meant == Some(seen) || seen == first { seen } else { Side::Unknown }
        };
        tokio::select! {
            biased;
            () = self.context.shutdown.at_least(shutdown::Level::Now) => Side::Unknown,
            side = work => side,
        }
    }

    /// Returns the journal's record of a target where the release is open, else the plan's own.
    fn record(&self, planned: &Planned) -> TargetRecord {
        let name = planned.target.name();
        let from_journal = self.open().and_then(|open| open.begun.targets.iter().find(|record| record.name == *name));
        let mut record = from_journal.cloned().unwrap_or_else(|| planned.record());
        // A placeholder may serve whose record did not land any more: it is what a first release goes back to.
        if record.before.serving.is_empty() {
            record.before.clone_from(&planned.before);
        }
        if record.after.is_none() {
            record.after.clone_from(&planned.after);
        }
        record
    }

    fn commands(&self, settled: &[Settled]) -> Vec<String> {
        let environment = &self.context.environment;
        let mut commands = vec![format!("cutover status {environment}"), format!("cutover recover {environment}")];
        if let Some(open) = self.open() {
            let known = open.migrations.iter().filter_map(|(name, migrated)| Some((name.clone(), migrated.ended.clone()?)));
            let known = known.collect();
            commands.extend(super::migrate::barred(&self.context, open, &known).into_iter().flat_map(|failure| failure.hints));
        }
        commands.extend(settled.iter().filter(|target| target.serves != Side::Before).filter_map(|target| {
            let planned = self.plan.targets.iter().find(|planned| planned.target.name() == &target.name)?;
            Some(format!("# {} ({} on {}) must serve {}", target.name, planned.target.thing(), planned.target.platform(), {
                target.before.as_ref().map_or("nothing", |revision| revision.label.as_str())
            }))
        }));
        commands
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long what a platform shows may be older than what it has done, at the most that any declares.
const READ_LAG: Duration = Duration::from_secs(6);

/// How long the last look at a target may take.
const OBSERVE_LIMIT: Duration = Duration::from_secs(30);

/// Returns which side a target serves; of two equal sides the one that the outcome means. A placeholder in the place of nothing is what was before.
fn side(
    observed: &Observed,
    (before, placeholder): (Option<&Revision>, Option<&Revision>),
    after: Option<&Revision>,
    outcome: Outcome,
) -> Side {
    let forward = matches!(outcome, Outcome::Finished | Outcome::Carried);
    let equals = |revision: Option<&Revision>| match (observed.serving.as_slice(), revision) {
        ([], None) => true,
        ([], Some(_)) | (_, None) => false,
        (serving, Some(revision)) => serving.iter().all(|weighted| weighted.revision.same_content(revision)),
    };
    let is_after = after.is_some() && equals(after);
    match (equals(before) || (placeholder.is_some() && equals(placeholder)), is_after) {
        (true, true) => {
            if forward {
                Side::After
            } else {
                Side::Before
            }
        }
        (true, false) => Side::Before,
        (false, true) => Side::After,
        (false, false) => Side::Neither,
    }
}

/// Returns what serves over all targets.
fn serving(settled: &[Settled]) -> Serving {
    let all = |side| settled.iter().all(|target| target.serves == side);
    if all(Side::After) {
        Serving::After
    } else if all(Side::Before) {
        Serving::Before
    } else if settled.iter().any(|target| target.serves == Side::Unknown) {
        Serving::Unknown
    } else {
        Serving::Mixed
    }
}
