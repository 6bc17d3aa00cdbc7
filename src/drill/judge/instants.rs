//! What must hold at every instant, at every edge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Findings, Invariant, Reference};
use crate::drill::blueprint::{Blueprint, Part};
use crate::drill::case::Case;
use crate::drill::schedule::Beginning;
use crate::embedded::traffic::Change;
use crate::platform::fly::toml::Strategy;
use crate::settings::targets::TargetSettings;

/// How long edges take to learn what served before anything ran.
const SEEDED: Duration = Duration::from_millis(900);

pub(super) fn judge(blueprint: &Blueprint, reference: &Reference, case: &Case, findings: &mut Findings) {
    for part in &blueprint.parts {
        if case.touched.iter().any(|(touched, _)| *touched == part.name) {
            continue;
        }
        let history: Vec<&Change> = case.changes.iter().filter(|change| change.host == part.host()).collect();
        only_both_sides(part, reference, case, &history, findings);
        if case.schedule.beginning == Beginning::Earlier && !case.crashed() {
            let until = if has_gap(part) { announced(case) } else { Duration::MAX };
            never_nothing(part, case, &history, until, findings);
        }
    }
}

/// Returns whether the target's capability has a gap.
fn has_gap(part: &Part) -> bool {
    match &part.settings {
        TargetSettings::Fly { settings, .. } => settings.strategy() != Strategy::Bluegreen,
        TargetSettings::Vercel { .. } | TargetSettings::Pages { .. } | TargetSettings::Worker { .. } => false,
    }
}

/// Returns when the first change that users could see was announced: a gap that is planned begins then, and never before.
fn announced(case: &Case) -> Duration {
    case.ledger.iter().find(|record| ["cutting", "rolling_back"].contains(&record.entry)).map_or(Duration::MAX, |record| record.at)
}

fn only_both_sides(part: &Part, reference: &Reference, case: &Case, history: &[&Change], findings: &mut Findings) {
    let before = case.before.targets.get(&part.name).map(|seen| seen.serves.clone()).unwrap_or_default();
    let after = reference.after.get(&part.name).map(|seen| seen.serves.clone()).unwrap_or_default();
    let known: BTreeSet<String> = before.into_iter().chain(after).chain(reference.placeholder.get(&part.name).cloned()).collect();
    for change in history {
        if let Some(strange) = change.contents.iter().find(|content| !known.contains(*content)) {
            findings.add(Invariant::NeverNothing, format!("{} served {strange} at {:?}", part.name, change.at));
            return;
        }
    }
}

fn never_nothing(part: &Part, case: &Case, history: &[&Change], limit: Duration, findings: &mut Findings) {
    if let Some(empty) = history.iter().find(|change| change.at > SEEDED && change.at < limit && change.backends.is_empty()) {
        findings.add(Invariant::NeverNothing, format!("{} served nothing from {:?} on", part.name, empty.at));
        return;
    }
    let lives = lives(case);
    for (edge, lag) in case.lags.iter().enumerate() {
        for (index, change) in history.iter().enumerate() {
            let from = change.at + *lag;
            let until = history.get(index + 1).map_or(Duration::MAX, |next| next.at + *lag).min(limit);
            for backend in change.backends.iter().filter(|_| from < until) {
                // An edge that has not learnt yet still sends users to what it knows: that must be there.
                if let Some(dead) = died_within(&lives, backend, from, until) {
                    let text = format!("edge {edge} of {} led to {backend} until {until:?}, which was gone at {dead:?}", part.name);
                    findings.add(Invariant::NeverNothing, text);
                    return;
                }
            }
        }
    }
}

fn lives(case: &Case) -> BTreeMap<&str, Vec<(Duration, bool)>> {
    let mut lives: BTreeMap<&str, Vec<(Duration, bool)>> = BTreeMap::new();
    for life in &case.lives {
        lives.entry(life.backend.as_str()).or_default().push((life.at, life.alive));
    }
    lives
}

/// Returns when a backend was gone in a span of time, if it was.
fn died_within(lives: &BTreeMap<&str, Vec<(Duration, bool)>>, backend: &str, from: Duration, until: Duration) -> Option<Duration> {
    let history = lives.get(backend)?;
    let at_first = history.iter().rev().find(|(at, _)| *at <= from).filter(|(_, alive)| !alive).map(|_| from);
    at_first.or_else(|| history.iter().find(|(at, alive)| !alive && *at > from && *at < until).map(|(at, _)| *at))
}
