//! The matrix: which schedules are played, and what they came to together.

pub mod campaign;
pub mod catalogue;
pub mod plan;
pub mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::blueprint::Blueprint;
use super::case::{Case, played};
use super::judge::{Finding, Reference, judge};
use super::schedule::{Beginning, Keeping, Schedule};
use crate::event::Outcome;

/// A product on one of its stages: what a fault-free release of it does, and what it comes to.
#[derive(Debug)]
pub struct Stage {
    /// The product.
    pub blueprint: Arc<Blueprint>,
    /// The schedule on which nothing goes wrong.
    pub calm: Schedule,
    /// What it comes to.
    pub reference: Reference,
    /// Every request of the release, in order.
    pub boundaries: Vec<String>,
}

/// What one case came to, without what it was judged from.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What went wrong.
    pub schedule: Schedule,
    /// Whether everything that was to go wrong did.
    pub fired: bool,
    /// What did not hold.
    pub findings: Vec<Finding>,
    /// How the release ended; `None` when its runner died.
    pub ending: Option<Outcome>,
    /// Whether the new release serves at rest.
    pub stays: bool,
    /// The newest record that was known when the first thing went wrong.
    pub state: &'static str,
    /// Requests from the first thing that went wrong on, by name, in order of their first coming.
    pub met: Vec<String>,
    /// From the beginning of what went wrong to a consistent world.
    pub until_consistent: Option<Duration>,
    /// A digest of everything that was asked and answered.
    pub digest: String,
}

/// Why a stage cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum Unset {
    /// No temporary folder, or a disk that is full.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Something does not hold even when nothing goes wrong.
    #[error("with nothing going wrong, `{schedule}` does not hold: {}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Calm {
        /// The schedule.
        schedule: String,
        /// What does not hold.
        findings: Vec<Finding>,
    },
}

impl Stage {
    /// Plays the fault-free release of a product, judges it, and takes it for the reference.
    pub fn set(blueprint: Arc<Blueprint>, beginning: Beginning, keeping: Keeping, seed: u64) -> Result<Self, Unset> {
        let calm = Schedule::calm(&blueprint.called, beginning, keeping, seed);
        let case = played(&blueprint, &calm)?;
        let reference = Reference::of(&blueprint, &case);
        let findings = judge(&blueprint, &reference, &case);
        if !findings.is_empty() {
            return Err(Unset::Calm { schedule: calm.to_string(), findings });
        }
        let boundaries = case.met.iter().filter(|met| met.sender == 1).map(|met| met.boundary.clone()).collect();
        Ok(Self { blueprint, calm, reference, boundaries })
    }

    /// Plays one schedule and judges it; blocks.
    pub fn play(&self, schedule: &Schedule) -> std::io::Result<Summary> {
        let case = played(&self.blueprint, schedule)?;
        let findings = judge(&self.blueprint, &self.reference, &case);
        Ok(summary(&self.reference, &case, findings))
    }

    /// Plays many schedules at the same time; the answers are in the schedules' order.
    pub fn play_all(&self, schedules: &[Schedule]) -> std::io::Result<Vec<Summary>> {
        in_parallel(schedules, |schedule| self.play(schedule))
    }
}

/// Does the same to each, on twice as many threads as there are cores, since a case waits for its own threads and files now and then; the answers are in
/// the things' order.
pub fn in_parallel<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> std::io::Result<R> + Sync) -> std::io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, std::io::Result<R>>> = Mutex::default();
    let threads = (2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).min(things.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, thing)) = take(&next, things) {
                    let answer = work(thing);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(index, answer);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn take<'t, T>(next: &AtomicUsize, things: &'t [T]) -> Option<(usize, &'t T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    things.get(index).map(|thing| (index, thing))
}

fn summary(reference: &Reference, case: &Case, findings: Vec<Finding>) -> Summary {
    let mut seen = BTreeSet::new();
    let (began, state) = when_it_began(case);
    let after = case.met.iter().filter(|met| met.at >= began);
    let met = after.filter(|met| seen.insert(&met.boundary)).map(|met| met.boundary.clone()).collect();
    Summary {
        schedule: case.schedule.clone(),
        fired: case.fired(),
        findings,
        ending: case.ended.iter().find(|ended| ended.runner == 1).map(|ended| ended.word.outcome),
        stays: reference.stands(&case.before, &case.rest).values().all(|stand| *stand == super::judge::Stand::After),
        state,
        met,
        until_consistent: consistent(reference, case).map(|at| at.saturating_sub(began)).filter(|_| !case.schedule.is_calm()),
        digest: case.tape_digest(),
    }
}

/// Returns when the first thing went wrong, and the newest record that was known then.
fn when_it_began(case: &Case) -> (Duration, &'static str) {
    let incident = |boundary: &String| case.schedule.incidents.iter().any(|incident| incident.boundary == *boundary);
    let rule =
        |boundary: &str| case.schedule.rules.iter().any(|rule| boundary.starts_with(&format!("{}.{}", rule.platform, rule.operation)));
    let struck = case.tape.iter().find(|entry| entry.fault.is_some()).map(|entry| Duration::from_millis(entry.at_ms));
    let met = case.met.iter().find(|met| incident(&met.boundary)).map(|met| met.at);
    let beside = case.met.iter().find(|met| rule(&met.boundary)).map(|met| met.at);
    let at = struck.into_iter().chain(met).min().or(beside).unwrap_or_default();
    (at, case.ledger.iter().rev().find(|record| record.at <= at).map_or("nothing", |record| record.entry))
}

/// Returns when the world was seen to be on one side for good: at the end of the first runner after whom it always was.
fn consistent(reference: &Reference, case: &Case) -> Option<Duration> {
    let ends = || case.ended.iter().chain(&case.recoveries);
    let sides: Vec<(Duration, bool)> = ends()
        .map(|ended| {
            let stands = reference.stands(&case.before, &ended.truth);
            let first = stands.values().next().copied();
            (ended.at, first.is_some_and(|first| first != super::judge::Stand::Torn && stands.values().all(|stand| *stand == first)))
        })
        .collect();
    let last_torn = sides.iter().rposition(|(_, one)| !one).map_or(0, |index| index + 1);
    sides.get(last_torn).map(|(at, _)| *at)
}
