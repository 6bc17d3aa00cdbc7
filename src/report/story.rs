//! Events as lines for people: the same story on a terminal and in the log of Actions.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::Report;
use super::ending::{Ending, Tone, is_quiet};
use super::model::TargetReport;
use super::plain::{coloured, lines, plain};
use super::words::{phase, proof, short_commit, short_digest, size, skew, took, verdict as verdict_in_words};
use crate::event::{Event, EventKind, GateOutcome, Level, Phase, Side, TargetSummary, Verdict};

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const STRONG: Style = Style::new().bold();

/// The most lines of a failed gate that are repeated at its end.
const REPEATED_LINES: usize = 20;

/// Which part of the run an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Gates and builds, which run side by side.
    Making,
    /// A phase of the release.
    Phase(Phase),
}

/// Lines of one event.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// What happens.
    pub(super) lines: Vec<String>,
    /// Whether the lines are worth reading for somebody who only wants results.
    pub(super) result: bool,
}

/// Returns the part that an event belongs to; `None` for what stands between the parts.
pub(super) fn part(kind: &EventKind) -> Option<Part> {
    match kind {
        EventKind::GateStarted { .. }
        | EventKind::GateLine { .. }
        | EventKind::GateAttemptFailed { .. }
        | EventKind::GateFinished { .. }
        | EventKind::BuildStarted { .. }
        | EventKind::BuildLine { .. }
        | EventKind::BuildFinished { .. } => Some(Part::Making),
        EventKind::PhaseStarted { phase }
        | EventKind::PhaseFinished { phase, .. }
        | EventKind::TargetStep { phase, .. }
        | EventKind::TargetFinished { phase, .. }
        | EventKind::Checked { phase, .. } => Some(Part::Phase(*phase)),
        _ => None,
    }
}

/// Returns the lines that an event is worth; empty when it is not worth any.
pub(super) fn tell(event: &Event) -> Telling {
    let result = |lines| Telling { lines, result: true };
    let passing = |lines| Telling { lines, result: false };
    match &event.kind {
        EventKind::RunStarted { product, environment, commit, trigger } => {
            let goal = environment.as_ref().map(|name| format!(" → {name}")).unwrap_or_default();
            let heading = format!("{STRONG}{product}{goal}{STRONG:#}");
            passing(vec![heading, format!("{FAINT}{} · {}{FAINT:#}", plain(trigger), plain(&short_commit(commit)))])
        }
        EventKind::Notice { level, code, text } => notice(*level, code, text),
        EventKind::GateStarted { gate, attempt } => {
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            passing(vec![format!("{FAINT}▸{FAINT:#} gate {gate} started{again}")])
        }
        EventKind::GateLine { gate, since, line, .. } => passing(prefixed(gate.as_str(), *since, line)),
        EventKind::GateAttemptFailed { gate, attempt, outcome } => {
            result(vec![format!("{WARN}↻{WARN:#} gate {gate} {}; attempt {} follows", plain(&outcome.to_string()), attempt + 1)])
        }
        EventKind::GateFinished { gate, outcome, duration, last_lines, .. } => {
            Telling { lines: gate_finished(gate.as_str(), outcome, *duration, last_lines), result: !outcome.passed() }
        }
        EventKind::BuildStarted { image, builder } => {
            passing(vec![format!("{FAINT}▸{FAINT:#} image {image} is built by {}", plain(builder))])
        }
        EventKind::BuildLine { image, line } => {
            passing(lines(line).map(|line| format!("{FAINT}{image} │{FAINT:#} {}", coloured(line))).collect())
        }
        EventKind::BuildFinished { image, result: Ok(digest), size: bytes, duration } => {
            let bytes = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
            passing(vec![format!("{GOOD}✓{GOOD:#} image {image} is {}{bytes}{}", plain(&short_digest(digest)), faint(*duration))])
        }
        EventKind::BuildFinished { image, result: Err(reason), duration, .. } => {
            result(vec![format!("{BAD}✗{BAD:#} image {image} could not be built: {}{}", plain(reason), faint(*duration))])
        }
        EventKind::PreviewStarted { pull_request } => {
            passing(vec![String::new(), format!("{STRONG}preview of pull request #{pull_request}{STRONG:#}")])
        }
        EventKind::ReleaseStarted { release, targets, .. } => {
            let mut lines = vec![String::new(), format!("{STRONG}release {release}{STRONG:#}")];
            lines.extend(targets.iter().flat_map(|it| [Some(target(it)), cost(it)]).flatten());
            passing(lines)
        }
        EventKind::PhaseStarted { phase: it } => passing(vec![format!("{STRONG}{}{STRONG:#}", phase(*it))]),
        EventKind::PhaseFinished { phase: it, duration, failure: None } => {
            passing(vec![format!("{GOOD}✓{GOOD:#} {}{}", phase(*it), faint(*duration))])
        }
        EventKind::PhaseFinished { phase: it, duration, failure: Some(reason) } => {
            result(vec![format!("{BAD}✗{BAD:#} {}: {}{}", phase(*it), plain(reason), faint(*duration))])
        }
        EventKind::TargetStep { target, step, .. } => passing(vec![format!("  {target} {FAINT}{}{FAINT:#}", plain(step))]),
        EventKind::TargetFinished { target, duration, failure: None, .. } => {
            passing(vec![format!("  {GOOD}✓{GOOD:#} {target}{}", faint(*duration))])
        }
        EventKind::TargetFinished { target, duration, failure: Some(reason), .. } => {
            result(vec![format!("  {BAD}✗{BAD:#} {target}: {}{}", plain(reason), faint(*duration))])
        }
        EventKind::Checked { target, check, phase, verdict, detail } => {
            let (sign, style) = match verdict {
                Verdict::Pass => ("✓", GOOD),
                Verdict::Fail if *phase > Phase::Observe => ("✗", BAD),
                Verdict::Fail | Verdict::Flaky | Verdict::Suspect => ("?", WARN),
            };
            // A pass and a plain failure are seen by their signs.
            let word = match (verdict, verdict_in_words(*phase, *verdict)) {
                (Verdict::Pass, _) | (Verdict::Fail, "fail") => String::new(),
                (_, word) => format!(" {style}{word}{style:#}"),
            };
            let line = format!("  {style}{sign}{style:#} {target} {}{word} {FAINT}{}{FAINT:#}", plain(check), plain(detail));
            Telling { lines: vec![line], result: *verdict != Verdict::Pass }
        }
        EventKind::Proven { target, url, from_outside } => {
            let how = if *from_outside { "shows the release" } else { "shows no release: not proven from outside, by the platform's word" };
            passing(vec![format!("  {target} {FAINT}{} {how}{FAINT:#}", plain(url))])
        }
        EventKind::Migrated { target, command, breaking, snapshots, ended, .. } => {
            let breaking = if *breaking { ", which is breaking," } else { "" };
            let how = format!("  {target} {FAINT}the migration `{}`{breaking} {}{FAINT:#}", plain(command), plain(ended));
            let kept = snapshots.iter().map(|snapshot| {
                format!(
                    "  {target} {FAINT}the database before it is in snapshot {} of {}{FAINT:#}",
                    plain(&snapshot.id),
                    plain(&snapshot.of)
                )
            });
            passing(std::iter::once(how).chain(kept).collect())
        }
        EventKind::TargetSettled { .. } | EventKind::ReleaseFinished { .. } | EventKind::RunFinished { .. } => Telling::default(),
    }
}

/// Returns the last lines of a run: the outcome and, after a failure, what failed, what is live now and what to type next.
pub(super) fn tell_end(report: &Report) -> Vec<String> {
    let ending = Ending::of(report);
    let (sign, style) = match ending.tone {
        Tone::Good => ("✓", GOOD),
        Tone::Calm => ("•", WARN),
        Tone::Bad => ("✗", BAD),
    };
    let headline = format!("{style}{sign} {}{style:#}", plain(&ending.headline));
    if is_quiet(report) {
        return vec![headline];
    }
    let mut out = vec![String::new(), headline];
    if let Some(failed) = &ending.failed {
        out.push(row("what failed", failed));
    }
    if report.release.is_some() || ending.tone == Tone::Bad {
        out.push(row("live now", &ending.live));
    }
    if report.release.is_some() {
        let unproven = |target: &TargetReport| {
            let claims = !target.carried && target.serves == Side::After && !target.proven_from_outside;
            if claims { proof(target).map(|how| format!(" ({how})")).unwrap_or_default() } else { String::new() }
        };
        let shown = report.targets.iter().filter(|target| target.url.is_some() || !unproven(target).is_empty());
        out.extend(shown.map(|target| {
            let address = target.url.as_deref().map(|url| format!(" {url}")).unwrap_or_default();
            row("", &format!("{}{address}{}", target.name, unproven(target)))
        }));
    }
    let heading = |index| if index == 0 { "what to do" } else { "" };
    out.extend(ending.next.iter().enumerate().map(|(index, next)| row(heading(index), next)));
    out.extend(ending.undo.iter().map(|command| row("to undo it", command)));
    let mut facts = took(u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX));
    if let Some(skew) = skew(report) {
        let _ = write!(facts, ", {skew}");
    }
    out.push(format!("  {FAINT}{:<12}{facts}{FAINT:#}", "took"));
    out
}

fn row(heading: &str, text: &str) -> String {
    format!("  {FAINT}{heading:<12}{FAINT:#}{}", plain(text))
}

fn notice(level: Level, code: &str, text: &str) -> Telling {
    let (sign, style) = match level {
        Level::Note => ("note", FAINT),
        Level::Warning => ("warning", WARN),
        Level::Error => ("error", BAD),
    };
    let mut rest = lines(text);
    let first = rest.next().unwrap_or_default();
    let mut out = vec![format!("{style}{sign}{style:#} {} {FAINT}[{code}]{FAINT:#}", plain(first))];
    out.extend(rest.map(|line| format!("     {}", plain(line))));
    Telling { lines: out, result: level > Level::Note }
}

fn prefixed(gate: &str, since: Duration, line: &str) -> Vec<String> {
    let time = format!("{}.{}s", since.as_secs(), since.subsec_millis() / 100);
    // The reset keeps a colour that the line leaves open from running on.
    lines(line).map(|line| format!("{FAINT}{gate} │ {time:>6}{FAINT:#} {}\u{1b}[0m", coloured(line))).collect()
}

fn gate_finished(gate: &str, outcome: &GateOutcome, duration: Duration, last_lines: &[String]) -> Vec<String> {
    let said = plain(&outcome.to_string());
    match outcome {
        GateOutcome::Passed => vec![format!("{GOOD}✓{GOOD:#} gate {gate} {said}{}", faint(duration))],
        GateOutcome::Flaky | GateOutcome::Leaky => vec![format!("{WARN}✓{WARN:#} gate {gate} {said}{}", faint(duration))],
        GateOutcome::NotStarted { .. } | GateOutcome::Cancelled => vec![format!("{WARN}–{WARN:#} gate {gate} {said}")],
        _ => {
            let mut out = vec![format!("{BAD}✗ gate {gate}{BAD:#} {said}{}", faint(duration))];
            let last = &last_lines[last_lines.len().saturating_sub(REPEATED_LINES)..];
            out.extend(last.iter().flat_map(|line| lines(line)).map(|line| format!("  {FAINT}│{FAINT:#} {}\u{1b}[0m", coloured(line))));
            out
        }
    }
}

fn target(summary: &TargetSummary) -> String {
    let label = |label: &Option<String>| label.as_deref().map_or_else(|| "nothing".to_owned(), plain);
    let (before, after) = (label(&summary.before), label(&summary.after));
    let change = if summary.carried { format!("{before}, unchanged") } else { format!("{before} → {after}") };
    format!("  {} {FAINT}{} {}{FAINT:#} {change}", summary.name, summary.platform, plain(&summary.thing))
}

fn cost(summary: &TargetSummary) -> Option<String> {
    summary.cost.as_ref().map(|cost| format!("    {FAINT}costs {}{FAINT:#}", plain(cost)))
}

fn faint(duration: Duration) -> String {
    format!(" {FAINT}{}{FAINT:#}", took(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}
