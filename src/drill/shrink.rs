//! The least that still fails: what can be left out of a failing schedule is left out.

use super::explore::Stage;
use super::schedule::Schedule;
use crate::embedded::fault::{Effect, Times};

/// How many schedules are tried at most.
const TRIES: usize = 200;

/// Returns the shortest schedule found on which one of the same invariants still does not hold. Errors: no temporary folder, or a full disk.
pub fn shrink(stage: &Stage, failing: &Schedule) -> std::io::Result<Schedule> {
    let wanted: Vec<_> = stage.play(failing)?.findings.iter().map(|finding| finding.invariant).collect();
    let mut least = failing.clone();
    let mut tries = 0;
    'again: loop {
        for smaller in smaller(&least) {
            tries += 1;
            if tries > TRIES {
                return Ok(least);
            }
            let found = stage.play(&smaller)?.findings;
            if found.iter().any(|finding| wanted.contains(&finding.invariant)) {
                least = smaller;
                continue 'again;
            }
        }
        return Ok(least);
    }
}

/// Returns schedules with less going wrong: without one thing, or with one thing that is milder.
fn smaller(schedule: &Schedule) -> Vec<Schedule> {
    let mut smaller = Vec::new();
    for index in 0..schedule.rules.len() {
        let mut less = schedule.clone();
        less.rules.remove(index);
        smaller.push(less);
    }
    for index in 0..schedule.incidents.len() {
        let mut less = schedule.clone();
        less.incidents.remove(index);
        smaller.push(less);
    }
    for (index, rule) in schedule.rules.iter().enumerate() {
        let mut milder = Vec::new();
        match rule.times {
            Times::Forever => milder.extend([Times::Once, Times::Exactly(3)].map(|times| rule.clone().times(times))),
            Times::Exactly(count) if count > 1 => milder.push(rule.clone().times(Times::Once)),
            Times::Exactly(_) | Times::Once => {}
        }
        if matches!(rule.effect, Effect::Twice | Effect::Partial) {
            milder.push(crate::embedded::fault::Rule { effect: Effect::Once, ..rule.clone() });
        }
        smaller.extend(milder.into_iter().map(|mild| {
            let mut less = schedule.clone();
            less.rules[index] = mild;
            less
        }));
    }
    if schedule.seed != 1 {
        smaller.push(Schedule { seed: 1, ..schedule.clone() });
    }
    smaller
}
