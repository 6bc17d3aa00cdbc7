//! How a run ended, in words: what failed, what is live now, what to type next. The same words in every rendering.

use super::Report;
use super::model::{GateReport, TargetReport};
use super::words::{count, list, side};
use crate::event::{Outcome, Serving, Side, Verdict};

/// How good the news is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As wished.
    Good,
    /// Not as wished, and nothing is broken.
    Calm,
    /// Failed.
    Bad,
}

/// The end of a run. Its texts are plain; `failed` and `next` may hold foreign text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How good the news is.
    pub tone: Tone,
    /// The outcome in one sentence.
    pub headline: String,
    /// What failed, one sentence or more.
    pub failed: Option<String>,
    /// What users get now.
    pub live: String,
    /// Commands and sentences for what to do next.
    pub next: Vec<String>,
    /// How the release is undone: a command, or a sentence without its end.
    pub undo: Option<String>,
}

impl Ending {
    /// Returns the words for a run that has ended; a run without an outcome counts as still under way.
    pub fn of(report: &Report) -> Self {
        if let Some(ending) = super::jobs::ending(report).or_else(|| super::previewed::ending(report)) {
            return ending;
        }
        let environment = report.environment.as_ref().map_or("production", |name| name.as_str());
        let tone = match report.outcome {
            Some(Outcome::Finished | Outcome::Carried) => Tone::Good,
            None | Some(Outcome::Superseded | Outcome::Held) => Tone::Calm,
            Some(_) => Tone::Bad,
        };
        let changed = report.outcome == Some(Outcome::Finished) && report.targets.iter().any(|target| target.before.is_some());
        // A journal that ended with its runner knows no release to go back to; the commit itself can always be taken back.
        let forgotten = report.notices.iter().any(|notice| notice.code == "journal::local-only");
        let undo =
            changed.then(|| if forgotten { format!("git revert {}", report.commit) } else { format!("cutover rollback {environment}") });
        Self {
            tone,
            headline: headline(report, environment),
            failed: failed(report),
            live: live(report),
            next: next(report, environment),
            undo,
        }
    }
}

/// The most failed gates that a command names.
const MOST_GATES: usize = 20;
/// The most failed tests of a gate that a sentence names.
const MOST_NAMED: usize = 3;
/// The code of the notice that every release was closed when a recovery looked.
const NOTHING: &str = "recover::nothing";

/// Returns whether the run was a recovery that found nothing to do.
pub(super) fn is_quiet(report: &Report) -> bool {
    let told = |code: &str| report.notices.iter().any(|notice| notice.code == code);
    report.outcome == Some(Outcome::Carried) && told(NOTHING) && !told("recover::rolled-back")
}

/// Returns what a recovery did, in its own words.
fn recovered(report: &Report) -> Option<String> {
    let done: Vec<&str> = report
        .notices
        .iter()
        .filter(|notice| matches!(notice.code.as_str(), NOTHING | "recover::rolled-back" | "recover::finished"))
        .map(|notice| notice.text.as_str())
        .collect();
    (!done.is_empty()).then(|| done.join(" "))
}

fn headline(report: &Report, environment: &str) -> String {
    if let (Some(Outcome::Finished | Outcome::Carried), None, Some(done)) = (report.outcome, &report.release, recovered(report)) {
        return done;
    }
    let moved = report.targets.iter().filter(|target| !target.carried).count();
    match report.outcome {
        None => "The run is under way.".to_owned(),
        Some(Outcome::Finished) if report.release.is_none() => {
            format!("{} passed.", count(report.gates.iter().filter(|gate| gate.passed()).count(), "gate"))
        }
        Some(Outcome::Finished) => format!("{environment} serves the new release on {}.", count(moved, "target")),
        Some(Outcome::Carried) => format!("Nothing had to change: {environment} serves this already."),
        Some(Outcome::Superseded) => "A newer commit took the place of this one; nothing was touched.".to_owned(),
        Some(Outcome::RolledBack) => format!("The release to {environment} failed, and everything was rolled back."),
        Some(Outcome::GatesFailed) => {
            let failed: Vec<&str> = report.failed_gates().map(|gate| gate.name.as_str()).collect();
            let which = if failed.is_empty() { String::new() } else { format!(": {}", list(failed.iter().copied())) };
            format!("{} of {} failed{which}. Nothing was touched.", failed.len(), count(report.gates.len(), "gate"))
        }
        Some(Outcome::Stuck) => format!("The release to {environment} is stuck: a person is needed."),
        Some(Outcome::PreviewFailed) => "The preview failed; no environment was touched.".to_owned(),
        Some(Outcome::PreflightFailed) => "The preflight failed; nothing was touched.".to_owned(),
        Some(Outcome::Held) if report.checks.iter().any(|check| check.verdict == Verdict::Suspect) => {
            format!("The release to {environment} is held: a check fails on what serves as well. No traffic has moved.")
        }
        Some(Outcome::Held) => format!("No release of {environment} can begin now; nothing was touched."),
        Some(Outcome::Cancelled) => "The run was cancelled.".to_owned(),
    }
}

fn failed(report: &Report) -> Option<String> {
    if report.failure.is_some() || report.outcome != Some(Outcome::GatesFailed) {
        return report.failure.clone();
    }
    let gates: Vec<String> = report.failed_gates().map(|gate| format!("{} {}{}", gate.name, gate.words, tests(gate))).collect();
    (!gates.is_empty()).then(|| gates.join("; "))
}

/// Returns which tests of a gate failed, the first of them by name.
fn tests(gate: &GateReport) -> String {
    let Some(tests) = gate.tests.as_ref().filter(|tests| tests.failed > 0) else { return String::new() };
    let named: Vec<&str> = tests.failures().take(MOST_NAMED).map(|test| test.name.as_str()).collect();
    let rest = if tests.failed > named.len() as u64 { format!(" and {} more", tests.failed - named.len() as u64) } else { String::new() };
    format!(" ({} of {}: {}{rest})", tests.failed, count(usize::try_from(tests.total()).unwrap_or(usize::MAX), "test"), named.join("; "))
}

fn live(report: &Report) -> String {
    if report.release.is_none() || report.targets.is_empty() {
        return match report.serving {
            Serving::Before => "What served before this run.".to_owned(),
            Serving::After => "The new release.".to_owned(),
            Serving::Mixed | Serving::Unknown => "Not known.".to_owned(),
        };
    }
    let all = |wanted: Side| report.targets.iter().all(|target| target.serves == wanted);
    if all(Side::After) {
        return "The new release, on every target.".to_owned();
    }
    if all(Side::Before) {
        return "What served before, on every target.".to_owned();
    }
    let sentence = |target: &TargetReport| match target.serves {
        Side::Unknown => format!("what {} serves is not known", target.name),
        serves => format!("{} serves {}", target.name, side(serves)),
    };
    format!("{}.", report.targets.iter().map(sentence).collect::<Vec<_>>().join("; "))
}

fn next(report: &Report, environment: &str) -> Vec<String> {
    if !report.hints.is_empty() {
        // The way back and the release may have said the same.
        let mut hints: Vec<String> = Vec::new();
        for hint in &report.hints {
            let hint = hint.strip_prefix("# ").unwrap_or(hint);
            if !hints.iter().any(|known| known == hint) {
                hints.push(hint.to_owned());
            }
        }
        return hints;
    }
    match report.outcome {
        Some(Outcome::GatesFailed) => {
            let failed: Vec<&str> = report.failed_gates().take(MOST_GATES).map(|gate| gate.name.as_str()).collect();
            let command = format!("run what failed on your machine, mend it and push: cutover gates {}", failed.join(" "));
            if failed.is_empty() { Vec::new() } else { vec![command] }
        }
        Some(Outcome::RolledBack) => vec![format!("mend what failed and push; or try this commit again: cutover release {environment}")],
        Some(Outcome::Cancelled) if report.release.is_some() => vec![format!("cutover release {environment}")],
        Some(Outcome::Stuck) => vec![format!("cutover status {environment}"), format!("cutover recover {environment}")],
        Some(Outcome::PreflightFailed) => vec![format!("cutover plan {environment}")],
        Some(Outcome::Held) => vec![format!("cutover status {environment}")],
        _ => Vec::new(),
    }
}
