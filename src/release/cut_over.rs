//! Cut over: users get the new revisions, dependencies first, everything else at the same time.
//!
//! Targets that do not depend on each other change together, so that the moment of two sides does not grow with their number. Order is kept
//! where it matters: what depends on a target waits until that serves, and what comes back less easily waits for everything before it in
//! the plan that comes back more easily, so that a failure there strands as little as possible. A target reads what it needs before its turn
//! comes; the first change waits until all have, and each first call then is a change. Each is proven from outside as soon as it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::journal::Entry;
use super::plan::Planned;
use super::{Failure, Release};
use crate::event::{EventKind, Level, Phase};
use crate::id::Name;
use crate::platform::{Target, Turn};
use crate::shutdown::{Level as Urgency, Shutdown};

/// How often the budget is looked at while targets wait for their turn.
const BUDGET_LOOK: Duration = Duration::from_millis(100);

/// How long the first change waits until every target has read what it needs; a target that takes longer is not waited for.
const READY_LIMIT: Duration = Duration::from_secs(2);

/// How far a target came in cutting over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reached {
    /// When its platform said that it serves the new revision, from the first change of traffic.
    pub(super) served: Option<Duration>,
    /// When its public address had shown the new revision at every edge, from the first change of traffic.
    pub(super) seen: Option<Duration>,
    /// Whether its public address itself showed the new revision, in cutting over or at the end of *watch*.
    pub(super) proven: bool,
}

/// Whose turn it is.
struct Turns<'p> {
    /// Every moving target, in the plan's order.
    order: Vec<&'p Planned>,
    waiting: Vec<(&'p Planned, watch::Sender<bool>)>,
    began: BTreeMap<&'p Name, Instant>,
    done: BTreeSet<&'p Name>,
    /// How many have not said yet that they could begin at once.
    unready: usize,
    /// When the first change is made all the same.
    latest: Instant,
}

impl Release<'_> {
    /// Serves every prepared revision; the record of the intent is on the disk before the first change.
    pub(super) async fn cut_over(&mut self) -> Result<(), Failure> {
        self.phase(Phase::CutOver, async |release| {
            if release.context.cancelled() {
                return Err(Failure::cancellation(Phase::CutOver));
            }
            release.look_again().await?;
            release.set_secrets(Phase::CutOver).await?;
            release.append(Phase::CutOver, Entry::Cutting).await?;
            let (reached, result) = release.move_all().await;
            release.reached = reached;
            result?;
            release.skew = release.context.changes.first().map(|first| first.elapsed());
            release.skew_calls = release.context.changes.take();
            if let (Some(budget), Some(skew)) = (release.context.timing.max_skew, release.skew)
                && skew > budget
            {
                let text = format!("The release was spread over two sides for {skew:.1?}; its budget is {budget:?}.");
                release.context.events.notice(Level::Warning, "release::skew", text);
            }
            Ok(())
        })
        .await
    }

    /// Moves and proves all targets; the first failure ends the others' waits, begins nothing new, and waits for what is under way.
    async fn move_all(&self) -> (BTreeMap<Name, Reached>, Result<(), Failure>) {
        let stop = Shutdown::default();
        let (mut reached, mut failure) = (BTreeMap::new(), None);
        let (mut serving, mut proving) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut turns = Turns::of(self.plan.moving().collect());
        let (ready, mut heard) = mpsc::unbounded_channel();
        for planned in self.plan.moving() {
            let (given, turn) = Turn::waiting(ready.clone());
            turns.waiting.push((planned, given));
            serving.push(self.serve_one(planned, turn, &stop));
        }
        let mut cancelled = false;
        while !serving.is_empty() || (failure.is_none() && !proving.is_empty()) {
            if failure.is_none() {
                failure = self.over_budget(&turns);
                if failure.is_some() {
                    stop.raise(Urgency::Drain);
                    continue;
                }
                turns.give();
            }
            let budgeted = failure.is_none() && !turns.waiting.is_empty() && self.context.timing.max_skew.is_some();
            let found = tokio::select! {
                biased;
                () = self.context.shutdown.at_least(Urgency::Drain), if !cancelled => {
                    cancelled = true;
                    Some(Failure::cancellation(Phase::CutOver))
                }
                Some((planned, result)) = serving.next() => self.served(planned, result, &mut turns, &mut reached, |planned| {
                    proving.push(self.prove(planned));
                }),
                Some(()) = heard.recv(), if turns.unready > 0 => {
                    turns.unready -= 1;
                    None
                }
                () = tokio::time::sleep_until(turns.latest), if turns.unready > 0 => {
                    turns.unready = 0;
                    None
                }
                Some(proof) = proving.next(), if failure.is_none() => self.proved(proof, &mut reached).err(),
                () = tokio::time::sleep(BUDGET_LOOK), if budgeted => self.over_budget(&turns),
            };
            if let Some(found) = found {
                // The first failure is the cause; what it ends is not.
                failure.get_or_insert(found);
                stop.raise(Urgency::Drain);
            }
        }
        (reached, failure.map_or(Ok(()), Err))
    }

    async fn serve_one<'p>(&self, planned: &'p Planned, turn: Turn, stop: &Shutdown) -> (&'p Planned, Result<(), Failure>) {
        let name = planned.target.name();
        let Some(revision) = &planned.after else {
            return (planned, Err(Failure::said(Phase::CutOver, Some(name), "there is no prepared revision to serve")));
        };
        let expected = Some(planned.before.serving.iter().map(|weighted| weighted.revision.clone()).collect());
        let scope = crate::platform::Scope { turn, expected, ..self.context.scope(Phase::CutOver, stop) };
        let observed = match planned.target.serve(&scope, revision).await {
            Ok(observed) => observed,
            Err(error) => return (planned, Err(self.refused(Phase::CutOver, planned, &error))),
        };
        if observed.single().is_some_and(|serving| serving.same_content(revision)) {
            return (planned, Ok(()));
        }
        let seen: Vec<_> = observed.serving.iter().map(|weighted| weighted.revision.label.as_str()).collect();
        let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join(" and ") };
        let text = format!("{} was told to serve {} and serves {seen}", planned.target.thing(), revision.label);
        (planned, Err(Failure::said(Phase::CutOver, Some(name), text)))
    }

    /// Takes the end of one target's serving in; a good one is proven next.
    fn served<'p>(
        &self,
        planned: &'p Planned,
        result: Result<(), Failure>,
        turns: &mut Turns<'p>,
        reached: &mut BTreeMap<Name, Reached>,
        prove: impl FnOnce(&'p Planned),
    ) -> Option<Failure> {
        let name = planned.target.name();
        let waited = turns.waiting.len();
        turns.waiting.retain(|(waiting, _)| waiting.target.name() != name);
        if turns.waiting.len() < waited {
            // It ended without a change.
            turns.unready = turns.unready.saturating_sub(1);
        }
        if let Some(began) = turns.began.get(name) {
            let (failure, duration) = (result.as_ref().err().map(|failure| failure.text.clone()), began.elapsed());
            self.context.events.emit(EventKind::TargetFinished { target: name.clone(), phase: Phase::CutOver, duration, failure });
        }
        match result {
            Err(failure) => Some(failure),
            Ok(()) => {
                reached.entry(name.clone()).or_default().served = Some(self.since_first_change());
                turns.done.insert(name);
                prove(planned);
                None
            }
        }
    }

    fn proved(&self, proof: Result<super::proof::Proof, Failure>, reached: &mut BTreeMap<Name, Reached>) -> Result<(), Failure> {
        let proof = proof?;
        self.tell_proof(&proof);
        if proof.from_outside {
            let reached = reached.entry(proof.target).or_default();
            (reached.seen, reached.proven) = (Some(self.since_first_change()), true);
        }
        Ok(())
    }

    /// Returns why the release goes back, if it has been spread for too long while some target has not begun to move.
    fn over_budget(&self, turns: &Turns<'_>) -> Option<Failure> {
        let (budget, (planned, _)) = (self.context.timing.max_skew?, turns.waiting.first()?);
        let spread = self.context.changes.first()?.elapsed();
        let name = planned.target.name();
        let text = format!("{spread:.1?} have passed since the first target changed and {name} has not; the budget is {budget:?}");
        (spread > budget).then(|| Failure::said(Phase::CutOver, Some(name), text))
    }

    fn since_first_change(&self) -> Duration {
        self.context.changes.first().map(|first| first.elapsed()).unwrap_or_default()
    }
}

impl<'p> Turns<'p> {
    fn of(order: Vec<&'p Planned>) -> Self {
        let (unready, latest) = (order.len(), Instant::now() + READY_LIMIT);
        Self { order, waiting: Vec::new(), began: BTreeMap::new(), done: BTreeSet::new(), unready, latest }
    }

    /// Gives their turn to all that wait for nothing any more.
    fn give(&mut self) {
        if self.unready > 0 {
            return;
        }
        let (next, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(|(planned, _)| self.is_next(planned));
        self.waiting = left;
        for (planned, given) in next {
            self.began.insert(planned.target.name(), Instant::now());
            // One that has ended already waits for nothing.
            let _ = given.send(true);
        }
    }

    /// Returns whether everything that `planned` depends on serves, and everything before it in the plan that comes back more easily.
    fn is_next(&self, planned: &Planned) -> bool {
        let back = |planned: &Planned| planned.target.capabilities().back;
        let before = self.order.iter().take_while(|other| other.target.name() != planned.target.name());
        let needed = |other: &&&Planned| planned.needs.contains(other.target.name()) || back(other) < back(planned);
        before.filter(needed).all(|other| self.done.contains(other.target.name()))
    }
}
