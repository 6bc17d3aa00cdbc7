//! Figures and states in words, the same in every rendering.

use super::Report;
use super::model::{CheckReport, MigrationReport, TargetReport};
use crate::event::{Monthly, Outcome, Phase, Side, Verdict};

/// Returns how long something took: "0.8 s", "42 s", "3 min 05 s", "1 h 02 min".
pub(super) fn took(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..=9 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Returns a size in decimal units: "12.3 MB".
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

/// Returns the first twelve characters of a commit id.
pub(super) fn short_commit(commit: &str) -> String {
    commit.chars().take(12).collect()
}

/// Returns the first twelve characters of a digest after its algorithm.
pub(super) fn short_digest(digest: &str) -> String {
    digest.rsplit_once(':').map_or(digest, |(_, hex)| hex).chars().take(12).collect()
}

/// Returns what a migration means for the way back, as a sentence.
pub(super) fn way_back(migration: &MigrationReport) -> &'static str {
    if migration.breaking {
        "It is breaking: the code that served before cannot work with what it leaves, so that nothing goes back by itself."
    } else {
        "It is called compatible: the code that served before works with what it leaves, so that a failure goes back to that code."
    }
}

/// Returns a phase as a heading.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::CutOver => "cut over",
        Phase::RollBack => "roll back",
        other => other.as_str(),
    }
}

/// Returns which side a target serves, as the end of the sentence "it serves ..." where it is known.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Before => "what it served before",
        Side::After => "the new release",
        Side::Neither => "neither the new release nor what it served before",
        Side::Unknown => "not known",
    }
}

/// Returns a verdict as it is shown beside its check. What fails before anything is prepared fails on what serves, which no release did.
pub(super) fn verdict(phase: Phase, verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Flaky => "flaky: passed, but not every time",
        Verdict::Fail if phase <= Phase::Observe => "fails on what serves now",
        Verdict::Fail => "fail",
        Verdict::Suspect => "suspect: fails on what served before too",
    }
}

/// Returns whether a check speaks against the new release alone.
pub(super) fn condemns(check: &CheckReport) -> bool {
    check.verdict == Verdict::Fail && check.phase > Phase::Observe
}

/// Returns by what it is known that a target serves the new release; `None` where nobody claims that it does.
pub(super) fn proof(target: &TargetReport) -> Option<String> {
    match (target.serves, target.proven_from_outside, target.seen_ms) {
        (Side::After, true, Some(after)) => Some(format!("proven from outside after {}", took(after))),
        (Side::After, true, None) => Some("proven from outside".to_owned()),
        (Side::After, false, _) if target.carried => Some("by the platform's word".to_owned()),
        (Side::After, false, _) => Some("not proven from outside: by the platform's word".to_owned()),
        _ => None,
    }
}

/// Returns how long users could get either side, as a sentence without its end: seen from outside, and by the calls alone.
pub(super) fn skew(report: &Report) -> Option<String> {
    let seen = took(report.skew_ms?);
    let calls = report.skew_calls_ms.map(|calls| format!(" (the calls themselves took {})", took(calls))).unwrap_or_default();
    Some(match report.outcome {
        Some(Outcome::Finished) | None => format!("the targets changed over within {seen}{calls}"),
        // Nobody knows when it will be on one side again.
        Some(Outcome::Stuck) => format!("traffic was changed for {seen}{calls}"),
        Some(_) => format!("traffic was on two sides for {seen} at most{calls}"),
    })
}

/// Returns how a size changed: "+1.2 MB (5 %)", "unchanged".
pub(super) fn size_change(before: u64, now: u64) -> String {
    let (sign, difference) = if now >= before { ("+", now - before) } else { ("−", before - now) };
    if difference == 0 {
        return "unchanged".to_owned();
    }
    let percent = if before == 0 { String::new() } else { format!(" ({sign}{:.1} %)", difference as f64 * 100.0 / before as f64) };
    format!("{sign}{}{percent}", size(difference))
}

/// Returns what all targets cost a month together, and how the release changes that, as a sentence without its end; `None` where no price is known.
pub(super) fn cost(report: &Report) -> Option<String> {
    let known: Vec<(&TargetReport, &Monthly)> = report.targets.iter().filter_map(|it| Some((it, it.monthly.as_ref()?))).collect();
    let (_, first) = known.first()?;
    let usd: f64 = known.iter().map(|(_, monthly)| monthly.usd).sum();
    let before: Option<f64> = known.iter().map(|(_, monthly)| monthly.before).sum();
    let change = match before.map(|before| usd - before) {
        Some(change) if change.abs() < 0.005 => ", unchanged".to_owned(),
        Some(change) => format!(", {}${:.2}", if change < 0.0 { "−" } else { "+" }, change.abs()),
        None => ", where not everything had a price before".to_owned(),
    };
    let of = if known.len() == report.targets.len() && known.len() > 1 {
        String::new()
    } else {
        format!(" for {}", list(known.iter().map(|(target, _)| target.name.as_str())))
    };
    let others: Vec<&str> = report.targets.iter().filter(|it| it.monthly.is_none()).map(|it| it.name.as_str()).collect();
    let others = if others.is_empty() { String::new() } else { format!("; the price of {} is not known", list(others)) };
    Some(format!("${usd:.2} a month{of}{change} (prices of {}){others}", first.prices_as_of))
}

/// Returns whether a hint is something to type.
pub(super) fn is_command(hint: &str) -> bool {
    ["cutover ", "fly ", "git ", "gh ", "vercel ", "wrangler ", "docker "].iter().any(|program| hint.starts_with(program))
}

/// Returns the text with a capital at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Returns "1 gate" or "2 gates".
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns names as a list in a sentence: "a, b and c".
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
