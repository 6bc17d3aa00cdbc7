//! The matrix: which schedules are played, and what they came to together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::blueprint::Blueprint;
use super::case::{Case, played};
use super::judge::{Finding, Reference, judge};
use super::schedule::{Act, Beginning, Keeping, Schedule, When};
use crate::embedded::fault::{Answer, Effect, Rule, Times};
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
    /// The newest record that was known when the first thing went wrong.
    pub state: &'static str,
    /// Requests, by name, in order of their first coming.
    pub met: Vec<String>,
    /// From the beginning to a consistent world.
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

    /// Plays one schedule and judges it.
    pub fn play(&self, schedule: &Schedule) -> std::io::Result<Summary> {
        let case = played(&self.blueprint, schedule)?;
        let findings = judge(&self.blueprint, &self.reference, &case);
        Ok(summary(&case, findings))
    }

    /// Plays many schedules on as many threads as there are cores; the answers are in the schedules' order.
    pub fn play_all(&self, schedules: &[Schedule]) -> std::io::Result<Vec<Summary>> {
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<usize, std::io::Result<Summary>>> = Mutex::default();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(schedules.len().max(1));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(schedule) = schedules.get(index) else { return };
                        let summary = self.play(schedule);
                        done.lock().unwrap_or_else(PoisonError::into_inner).insert(index, summary);
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    /// Returns every fault and death at every one of `boundaries`, one at a time.
    pub fn singles<'b>(&self, boundaries: impl IntoIterator<Item = &'b String>) -> Vec<Schedule> {
        boundaries.into_iter().flat_map(|boundary| self.singles_at(boundary)).collect()
    }

    fn singles_at(&self, boundary: &str) -> Vec<Schedule> {
        let faults = catalogue(boundary).into_iter().filter_map(|(effect, answer, times)| {
            let rule = Rule::at(boundary, effect, answer)?.times(times);
            Some(self.calm.clone().with(rule))
        });
        let ends = [
            (When::Before, Act::Die),
            (When::During, Act::Die),
            (When::After, Act::Die),
            (When::After, Act::Cancel),
            (When::Before, Act::Freeze(Duration::from_secs(40))),
        ];
        let incidents = ends.into_iter().map(|(when, act)| self.calm.clone().at(boundary, when, act));
        faults.chain(incidents).collect()
    }
}

/// Returns the faults that a request can meet: its effect, what its caller is told, how often.
fn catalogue(boundary: &str) -> Vec<(Effect, Answer, Times)> {
    let late = Effect::Late(Duration::from_secs(20));
    let slow = |seconds| Answer::Slow(Duration::from_secs(seconds));
    let status = |code| Rule::status(code, None);
    let (platform, operation) = boundary.split_once('.').unwrap_or_default();
    if platform == super::keeper::JOURNAL {
        return vec![(Effect::None, Answer::Lost, Times::Once), (Effect::None, status(503), Times::Forever)];
    }
    let reads = ["get_", "list_", "wait_", "head_", "check", "current_"].iter().any(|word| operation.starts_with(word));
    let mut faults = vec![
        (Effect::Once, Answer::Lost, Times::Once),
        (Effect::Once, Answer::Html, Times::Once),
        (Effect::Once, Answer::Truncated, Times::Once),
        (Effect::Once, slow(10), Times::Once),
        (Effect::Once, slow(100), Times::Once),
        (Effect::None, status(500), Times::Once),
        (Effect::None, status(503), Times::Exactly(3)),
        (Effect::None, status(429), Times::Once),
        (Effect::None, Rule::status(429, Some(7)), Times::Once),
        (Effect::None, Rule::status(429, Some(3600)), Times::Exactly(2)),
        (Effect::None, status(401), Times::Forever),
        (Effect::None, Answer::Lost, Times::Forever),
    ];
    if !reads {
        faults.extend([
            (Effect::None, Answer::Lost, Times::Once),
            (Effect::Once, status(500), Times::Once),
            (late, Answer::Lost, Times::Once),
            (late, Answer::True, Times::Once),
            (Effect::None, status(422), Times::Forever),
            (Effect::Once, Answer::Lost, Times::Forever),
        ]);
    }
    faults
}

fn summary(case: &Case, findings: Vec<Finding>) -> Summary {
    let mut seen = BTreeSet::new();
    let met = case.met.iter().filter(|met| seen.insert(&met.boundary)).map(|met| met.boundary.clone()).collect();
    Summary {
        schedule: case.schedule.clone(),
        fired: case.fired(),
        findings,
        ending: case.ended.first().filter(|ended| ended.runner == 1).map(|ended| ended.word.outcome),
        state: state_at_first_fault(case),
        met,
        until_consistent: case.until_consistent,
        digest: case.tape_digest(),
    }
}

/// Returns the newest record that was known when the first thing went wrong.
fn state_at_first_fault(case: &Case) -> &'static str {
    let of_incident = case.schedule.incidents.first().map(|incident| incident.boundary.as_str());
    let struck = case.tape.iter().find(|entry| entry.fault.is_some() || Some(entry.boundary.as_str()) == of_incident);
    let at = struck.map_or(Duration::ZERO, |entry| Duration::from_millis(entry.at_ms));
    case.ledger.iter().rev().find(|record| record.at <= at).map_or("nothing", |record| record.entry)
}
