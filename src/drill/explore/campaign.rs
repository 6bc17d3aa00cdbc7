//! A stage explored with a number of cases: what its release meets first, then what is only met because something went wrong, then chance.

use std::collections::BTreeSet;

use super::plan::spread;
use super::{Stage, Summary};
use crate::drill::schedule::Schedule;

/// The most cases that are played before what they met is looked at.
const WAVE: usize = 4_000;

/// What exploring a stage came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Explored {
    /// Cases that were played.
    pub played: usize,
    /// Requests that were met after something had gone wrong, each in every state of the journal that it had gone wrong in.
    pub followed: usize,
    /// Whether no request was left at which nothing had been broken.
    pub exhausted: bool,
}

/// Plays at most `budget` cases, and hands each to `told`, in an order that is the same for the same budget and seed.
///
/// Five in eight go to the fault-free run: deaths whose effect lands late, company, and everything at every request. Two in eight go to
/// requests that came after a fault, with that fault before them, again and again until none is new: those are the pairs whose second lies on the
/// first's way back. What is left is by chance, over every request that is known by then. Errors: no temporary folder, or a disk that is full.
pub fn explore(stage: &Stage, budget: usize, seed: u64, told: &mut dyn FnMut(Summary)) -> std::io::Result<Explored> {
    let mut explored = Explored::default();
    let mut known = BTreeSet::new();
    let mut requests: BTreeSet<String> = stage.boundaries.iter().cloned().collect();
    let mut next = first(stage, budget * 5 / 8);
    let way_back = budget * 7 / 8;
    loop {
        let mut found = Vec::new();
        for wave in next.chunks(WAVE) {
            let summaries = stage.play_all(wave)?;
            explored.played += summaries.len();
            found.extend(stage.on_the_way_back(&summaries, &mut known));
            for mut summary in summaries {
                requests.extend(std::mem::take(&mut summary.met));
                told(summary);
            }
        }
        if found.is_empty() {
            explored.exhausted = true;
            break;
        }
        next = spread(found, way_back.saturating_sub(explored.played));
        if next.is_empty() {
            break;
        }
    }
    explored.followed = known.len();
    let requests: Vec<String> = requests.into_iter().collect();
    let by_chance = stage.random(&requests, seed, budget.saturating_sub(explored.played));
    for wave in by_chance.chunks(WAVE) {
        for mut summary in stage.play_all(wave)? {
            explored.played += 1;
            summary.met.clear();
            told(summary);
        }
    }
    Ok(explored)
}

/// Returns at most `count` schedules on the fault-free run: all of them, or of each kind some, spread over all requests.
fn first(stage: &Stage, count: usize) -> Vec<Schedule> {
    let mut chosen = spread(stage.late_deaths(), count / 6);
    chosen.extend(spread(stage.with_company(), count / 6));
    chosen.extend(spread(stage.singles(), count.saturating_sub(chosen.len())));
    chosen
}
