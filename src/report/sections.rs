//! The parts of a report in Markdown, from which the comment and the summary are put together within their limits.

use std::fmt::Write as _;

use super::ending::{Ending, Tone};
use super::markdown::{block, cell_code, code, link, text};
use super::model::{GateReport, NoticeReport, TargetReport};
use super::words::{capital, condemns, count, phase, proof, short_commit, short_digest, size, skew, took, verdict, way_back};
use super::{Report, timeline};
use crate::event::{Level, Side, Verdict};

/// The longest sentence of a failure, in characters.
const MAX_FAILURE: usize = 4_000;
/// The most hints.
const MAX_HINTS: usize = 20;

/// Where the reader finds more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The page of the workflow run, with its summary and log.
    pub run: Option<String>,
    /// The page of a commit, without its id: `https://github.com/o/r/commit/`.
    pub commit: Option<String>,
}

/// A part of the report. The least important ones are left out first.
pub(super) struct Part {
    importance: u8,
    markdown: String,
}

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    /// How many of the last lines of a failed gate.
    pub(super) lines: usize,
    /// Whether the picture of the timings is drawn.
    pub(super) picture: bool,
}

/// Parts that stay whatever is left out.
const ALWAYS: u8 = u8::MAX;

/// Puts the report together so that `measure` of it is at most `limit`: first with fewer lines of logs, then with fewer parts.
pub(super) fn compose(
    report: &Report,
    links: &Links,
    picture: bool,
    most_lines: usize,
    limit: usize,
    measure: fn(&str) -> usize,
) -> String {
    for lines in [most_lines, 60, 20, 5].into_iter().filter(|lines| *lines <= most_lines) {
        let whole = join(&parts(report, links, Detail { lines, picture }), 0, links);
        if measure(&whole) <= limit {
            return whole;
        }
    }
    let mut left = parts(report, links, Detail { lines: 5, picture });
    let all = left.len();
    loop {
        let markdown = join(&left, all - left.len(), links);
        let least = left.iter().enumerate().filter(|(_, part)| part.importance < ALWAYS).min_by_key(|(_, part)| part.importance);
        match least.map(|(index, _)| index) {
            Some(index) if measure(&markdown) > limit => drop(left.remove(index)),
            _ => return markdown,
        }
    }
}

fn join(parts: &[Part], left_out: usize, links: &Links) -> String {
    let mut whole = parts.iter().map(|part| part.markdown.trim_end()).collect::<Vec<_>>().join("\n\n");
    if left_out > 0 {
        let rest = links.run.as_deref().map_or_else(|| "in the log".to_owned(), |run| link("on the run's page", run));
        let _ = write!(whole, "\n\n{} left out for want of room; everything is {rest}.", count(left_out, "section"));
    }
    whole.push('\n');
    whole
}

fn parts(report: &Report, links: &Links, detail: Detail) -> Vec<Part> {
    let ending = Ending::of(report);
    let warnings: Vec<&NoticeReport> = report.warnings().filter(|it| report.failure.as_ref() != Some(&it.text)).collect();
    let notes: Vec<&NoticeReport> = report.notices.iter().filter(|it| it.level == Level::Note).collect();
    let candidates = [
        (ALWAYS, Some(opening(&ending))),
        (90, failed_gates(report, detail.lines)),
        (80, targets(report)),
        (ALWAYS, ending.undo.as_deref().map(undo)),
        (70, (!warnings.is_empty()).then(|| notices("Warnings", &warnings))),
        (60, checks(report)),
        (50, gates(report)),
        (40, images(report)),
        (30, timings(report, detail.picture)),
        (20, (!notes.is_empty()).then(|| folded("Notes", false, &notices("", &notes)))),
        (ALWAYS, Some(footer(report, links))),
    ];
    candidates.into_iter().filter_map(|(importance, markdown)| Some(Part { importance, markdown: markdown? })).collect()
}

/// The outcome; after a failure also what failed, what is live now and what to do.
fn opening(ending: &Ending) -> String {
    let sign = match ending.tone {
        Tone::Good => "✅",
        Tone::Calm => "⏸️",
        Tone::Bad => "❌",
    };
    let mut out = format!("### {sign} {}\n", text(&ending.headline));
    if let (Tone::Bad, next @ [_, ..]) = (ending.tone, ending.next.as_slice()) {
        out.push_str("\n**What to do**\n\n");
        for hint in next.iter().take(MAX_HINTS) {
            let typed = hint.starts_with("cutover ") || hint.starts_with("fly ") || hint.starts_with("git ");
            let shown: String = hint.chars().take(500).collect();
            let _ = writeln!(out, "- {}", if typed { code(&shown) } else { text(&shown) });
        }
    }
    if let Some(failed) = &ending.failed {
        let shown: String = failed.chars().take(MAX_FAILURE).collect();
        let _ = writeln!(out, "\n**What failed:** {}", text(&shown));
    }
    let _ = writeln!(out, "\n**Live now:** {}", text(&ending.live));
    out
}

fn undo(command: &str) -> String {
    let how = if command.starts_with("git") {
        "and push: this releases what served before"
    } else {
        "where the journal is, on the machine that released it"
    };
    format!("**To undo it:** {} {how}.", code(command))
}

fn failed_gates(report: &Report, lines: usize) -> Option<String> {
    let failed: Vec<&GateReport> = report.failed_gates().collect();
    let one = |(index, gate): (usize, &&GateReport)| {
        let mut out = format!("❌ **{}** {} after {}\n", gate.name, text(&gate.words), took(gate.duration_ms));
        let last = &gate.last_lines[gate.last_lines.len().saturating_sub(lines)..];
        if !last.is_empty() {
            let title = format!("The last {}", count(last.len(), "line"));
            let _ = write!(out, "\n{}", folded(&title, index == 0, &block(last.iter().map(String::as_str))));
        }
        out
    };
    (!failed.is_empty()).then(|| failed.iter().enumerate().map(one).collect::<Vec<_>>().join("\n"))
}

fn gates(report: &Report) -> Option<String> {
    if report.gates.is_empty() {
        return None;
    }
    let mut rows: Vec<&GateReport> = report.gates.iter().collect();
    rows.sort_by_key(|gate| !gate.failed());
    let mut out = String::from("| gate | outcome | time | attempts |\n|---|---|--:|--:|\n");
    for gate in rows {
        let sign = if gate.passed() {
            "✅"
        } else if gate.failed() {
            "❌"
        } else {
            "▫️"
        };
        let words = text(&cut(&gate.words));
        let time = if gate.attempts == 0 { String::new() } else { took(gate.duration_ms) };
        let _ = writeln!(out, "| {} | {sign} {words} | {time} | {} |", gate.name, gate.attempts);
    }
    Some(out)
}

fn targets(report: &Report) -> Option<String> {
    if report.targets.is_empty() {
        return None;
    }
    let mut out = String::from("| target | on | before → after | live now |\n|---|---|---|---|\n");
    for target in &report.targets {
        let (before, after) = (revision(target.before.as_deref()), revision(target.after.as_deref()));
        let change = if target.carried { format!("{before}, unchanged") } else { format!("{before} → {after}") };
        let _ = writeln!(out, "| {} | {} {} | {change} | {} |", target.name, target.platform, cell_code(&cut(&target.thing)), live(target));
    }
    for target in &report.targets {
        let Some(migration) = &target.migration else { continue };
        let sign = if migration.succeeded { "✅" } else { "❌" };
        let _ =
            writeln!(out, "\n{sign} Migration of {}: {} {}.", target.name, code(&cut(&migration.command)), text(&cut(&migration.ended)));
        for snapshot in &migration.snapshots {
            let _ = writeln!(out, "The database before it is in snapshot {} of {}.", code(&cut(&snapshot.id)), text(&cut(&snapshot.of)));
        }
        let _ = writeln!(out, "{}", way_back(migration));
    }
    if let Some(skew) = skew(report) {
        let _ = writeln!(out, "\n{}.", capital(&skew));
    }
    let costs: Vec<String> = report.targets.iter().filter_map(|it| Some(format!("{} {}", it.name, text(it.cost.as_deref()?)))).collect();
    if !costs.is_empty() {
        let _ = writeln!(out, "\nCost: {}.", costs.join("; "));
    }
    Some(out)
}

fn revision(label: Option<&str>) -> String {
    label.map_or_else(|| "nothing".to_owned(), |label| cell_code(&cut(label)))
}

fn live(target: &TargetReport) -> String {
    let serves = match target.serves {
        Side::After if target.carried => "unchanged",
        Side::After => "✅ new release",
        Side::Before => "what served before",
        Side::Neither => "⚠️ something else",
        Side::Unknown => "⚠️ not known",
    };
    let proven = proof(target).map(|how| format!(", {how}")).unwrap_or_default();
    let address = target.url.as_deref().map(|url| format!(" · {}", link("open", url))).unwrap_or_default();
    format!("{serves}{proven}{address}")
}

fn checks(report: &Report) -> Option<String> {
    let suspicious: Vec<_> = report.checks.iter().filter(|check| check.verdict != Verdict::Pass).collect();
    let passed = report.checks.len() - suspicious.len();
    if suspicious.is_empty() {
        return (passed > 0).then(|| format!("{} passed.\n", count(passed, "check")));
    }
    let mut out = format!(
        "Checks: {passed} passed, {} to look at.\n\n| target | check | in | verdict | seen |\n|---|---|---|---|---|\n",
        suspicious.len()
    );
    for check in suspicious.iter().take(50) {
        let sign = if condemns(check) { "❌ " } else { "⚠️ " };
        let verdict = format!("{sign}{}", verdict(check.phase, check.verdict));
        let (asked, seen) = (cell_code(&cut(&check.check)), text(&cut(&check.detail)));
        let _ = writeln!(out, "| {} | {asked} | {} | {verdict} | {seen} |", check.target, phase(check.phase));
    }
    Some(out)
}

fn images(report: &Report) -> Option<String> {
    if report.images.is_empty() {
        return None;
    }
    let mut out = String::from("| image | digest | size | built by | time |\n|---|---|--:|---|--:|\n");
    for image in &report.images {
        let digest = match (&image.digest, &image.failure) {
            (Some(digest), _) => cell_code(&short_digest(digest)),
            (None, Some(failure)) => format!("❌ {}", text(&cut(failure))),
            (None, None) => "not built".to_owned(),
        };
        let bytes = image.size.map_or_else(|| "not known".to_owned(), size);
        let _ = writeln!(out, "| {} | {digest} | {bytes} | {} | {} |", image.name, text(&image.builder), took(image.duration_ms));
    }
    Some(out)
}

fn timings(report: &Report, picture: bool) -> Option<String> {
    let phases: Vec<String> = report.phases.iter().map(|it| format!("{} {}", phase(it.name), took(it.duration_ms))).collect();
    let words = (!phases.is_empty()).then(|| format!("Timings: {}.\n", phases.join(" · ")));
    let drawn = if picture { timeline::gantt(report) } else { None };
    match (words, drawn) {
        (None, None) => None,
        (words, drawn) => Some([words, drawn].into_iter().flatten().collect::<Vec<_>>().join("\n")),
    }
}

fn notices(title: &str, notices: &[&NoticeReport]) -> String {
    let heading = if title.is_empty() { String::new() } else { format!("**{title}**\n\n") };
    let row = |notice: &&NoticeReport| format!("- {} {}\n", text(&notice.text.chars().take(2_000).collect::<String>()), code(&notice.code));
    format!("{heading}{}", notices.iter().take(50).map(row).collect::<String>())
}

fn footer(report: &Report, links: &Links) -> String {
    let mut facts = Vec::new();
    if report.commit.chars().any(|character| character != '0') {
        let short = code(&short_commit(&report.commit));
        let page = links.commit.as_ref().map(|base| format!("{base}{}", report.commit));
        facts.push(format!("commit {}", page.map_or_else(|| short.clone(), |page| link(&short, &page))));
    }
    if let Some(release) = &report.release {
        facts.push(format!("release {}", code(release.as_str())));
    }
    facts.push(format!("started by {}", text(&cut(&report.trigger))));
    facts.push(took(u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)));
    facts.extend(links.run.as_deref().map(|run| link("log and summary", run)));
    format!("<sub>{}</sub>", facts.join(" · "))
}

fn folded(title: &str, open: bool, markdown: &str) -> String {
    let open = if open { " open" } else { "" };
    format!("<details{open}><summary>{title}</summary>\n\n{}\n\n</details>\n", markdown.trim_end())
}

fn cut(foreign: &str) -> String {
    foreign.chars().take(200).collect()
}
