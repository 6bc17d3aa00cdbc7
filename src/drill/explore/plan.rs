//! Which schedules a stage is played with, and in what order.

use std::collections::BTreeSet;
use std::time::Duration;

use super::catalogue::{company, faults, incidents, is_read};
use super::{Stage, Summary};
use crate::drill::line::PUBLIC;
use crate::drill::schedule::{Act, Keeping, Schedule, When};
use crate::embedded::fault::{Answer, Effect, Rule};
use crate::id::Chance;

/// Requests at which users' traffic moves.
const MOVES: [&str; 6] = ["uncordon_machine", "cordon_machine", "update_machine", "promote", "roll_back", "create_machine"];

impl Stage {
    /// Returns every fault and every incident at every request of the fault-free release, one at a time.
    pub fn singles(&self) -> Vec<Schedule> {
        self.boundaries.iter().flat_map(|boundary| self.worse(&self.calm, boundary)).collect()
    }

    /// Returns a schedule with one more thing going wrong, in every way in which it can at this request.
    pub fn worse(&self, base: &Schedule, boundary: &str) -> Vec<Schedule> {
        let faults = faults(boundary).into_iter().filter_map(|(effect, answer, times)| {
            let rule = Rule::at(boundary, effect, answer)?.times(times);
            Some(base.clone().with(rule))
        });
        let incidents = incidents().into_iter().map(|(when, act)| base.clone().at(boundary, when, act));
        faults.chain(incidents).collect()
    }

    /// Returns what others do at every request: runners, people, machines.
    pub fn with_company(&self) -> Vec<Schedule> {
        let company = company(self.calm.keeping == Keeping::Ref);
        let asked = self.boundaries.iter().filter(|boundary| !boundary.starts_with(PUBLIC));
        asked.flat_map(|boundary| company.iter().map(|(when, act)| self.calm.clone().at(boundary, *when, *act))).collect()
    }

    /// Returns the death of the runner at every request that moves traffic or writes a record, whose effect lands only later.
    pub fn late_deaths(&self) -> Vec<Schedule> {
        let moves = self.boundaries.iter().filter(|boundary| MOVES.iter().any(|word| boundary.contains(&format!(".{word}"))));
        let late = |boundary: &String, seconds| {
            let rule = Rule::at(boundary, Effect::Late(Duration::from_secs(seconds)), Answer::Lost)?;
            Some(self.calm.clone().with(rule).at(boundary, When::During, Act::Die))
        };
        moves.flat_map(|boundary| [5, 40, 90, 1200].into_iter().filter_map(move |seconds| late(boundary, seconds))).collect()
    }

    /// Returns what else can go wrong once something has: everything at every request that came after it, on the way back above all, each kind of
    /// request once for every state of the journal that the first thing came in.
    pub fn on_the_way_back(&self, summaries: &[Summary], known: &mut BTreeSet<String>) -> Vec<Schedule> {
        let mut found = Vec::new();
        for summary in summaries.iter().filter(|summary| summary.fired && summary.findings.is_empty()) {
            for boundary in &summary.met {
                let base = base(boundary);
                if !base.starts_with(PUBLIC) && known.insert(kind(summary, boundary)) {
                    found.extend(self.worse(&summary.schedule, boundary));
                }
            }
        }
        found
    }

    /// Returns schedules by chance: two or three things at requests that are known, from the given seed.
    pub fn random(&self, known: &[String], seed: u64, count: usize) -> Vec<Schedule> {
        let chance = Chance::seeded(seed);
        let pick = |length: usize| usize::try_from(chance.below(length as u64)).unwrap_or(0);
        let one = |mut schedule: Schedule| {
            let Some(boundary) = known.get(pick(known.len())) else { return schedule };
            let worse = self.worse(&schedule, boundary);
            if let Some(chosen) = worse.get(pick(worse.len())) {
                schedule = chosen.clone();
            }
            schedule
        };
        (0..count)
            .map(|_| {
                let calm = Schedule { seed: chance.next() % 1_000_000, ..self.calm.clone() };
                (0..2 + pick(2)).fold(calm, |schedule, _| one(schedule))
            })
            .collect()
    }

    /// Returns the requests that change something, by name.
    pub fn writes(&self) -> impl Iterator<Item = &String> {
        self.boundaries.iter().filter(|boundary| !is_read(boundary))
    }
}

/// Returns at most `count` of `all`, in steps that meet every boundary and every fault: the step shares no factor with either's number.
pub fn spread<T>(all: Vec<T>, count: usize) -> Vec<T> {
    if all.len() <= count {
        return all;
    }
    let length = all.len();
    // Nearly the golden ratio's share: consecutive picks lie far apart, and no pick comes twice.
    let mut step = (length as f64 * 0.618_034) as usize;
    while gcd(step, length) != 1 {
        step += 1;
    }
    let mut picked: Vec<usize> = (0..count).map(|index| (index * step) % length).collect();
    picked.sort_unstable();
    let mut next = picked.into_iter().peekable();
    all.into_iter().enumerate().filter_map(|(index, one)| next.next_if_eq(&index).map(|_| one)).collect()
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns a boundary without its ordinal.
pub fn base(boundary: &str) -> &str {
    boundary.rsplit_once('#').map_or(boundary, |(base, _)| base)
}

/// Returns what a request under a fault is told apart by: its name, and where its release was when the first thing went wrong.
fn kind(summary: &Summary, boundary: &str) -> String {
    format!("{} after {}", base(boundary), summary.state)
}
