//! The parts of a report in Markdown, from which the comment and the summary are put together within their limits.

mod gates;
mod targets;

use std::fmt::Write as _;

use super::ending::{Ending, Tone};
use super::markdown::{cell_code, code, link, text};
use super::model::NoticeReport;
use super::words::{condemns, count, is_command, phase, short_commit, took, verdict};
use super::{Report, timeline};
use crate::event::{Level, Verdict};

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
        (90, gates::failed(report, links, detail.lines)),
        (80, targets::table(report)),
        (75, targets::cost(report)),
        (ALWAYS, undo(report, &ending)),
        (70, (!warnings.is_empty()).then(|| notices("Warnings", &warnings))),
        (65, gates::flaky(report, links)),
        (60, checks(report)),
        (50, gates::table(report)),
        (40, targets::images(report)),
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
            let _ = writeln!(out, "- {}", hinted(&hint.chars().take(500).collect::<String>()));
        }
    }
    if let Some(failed) = &ending.failed {
        let shown: String = failed.chars().take(MAX_FAILURE).collect();
        let _ = writeln!(out, "\n**What failed:** {}", text(&shown));
    }
    let _ = writeln!(out, "\n**Live now:** {}", text(&ending.live));
    out
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

/// Returns a hint with what is to be typed as code: the whole of it, or what follows its last colon.
fn hinted(hint: &str) -> String {
    if is_command(hint) {
        return code(hint);
    }
    match hint.rsplit_once(": ").filter(|(_, command)| is_command(command)) {
        Some((before, command)) => format!("{}: {}", text(before), code(command)),
        None => text(hint),
    }
}

/// How to go back, and what keeps the next push from releasing the same again.
fn undo(report: &Report, ending: &Ending) -> Option<String> {
    let undo = ending.undo.as_deref()?;
    if report.preview.is_some() {
        return Some(format!("**How to undo it:** {}.", text(undo)));
    }
    let revert = (undo.starts_with("cutover ") && known(&report.commit)).then(|| {
        let command = code(&format!("git revert {}", short_commit(&report.commit)));
        format!(" The next push releases this change again unless {command} (with `-m 1` for a merge) is pushed before.")
    });
    let what = if undo.starts_with("git ") { ", and push: this releases what served before" } else { " serves what served before again" };
    Some(format!("**How to undo it:** {}{what}.{}", code(undo), revert.unwrap_or_default()))
}

fn timings(report: &Report, picture: bool) -> Option<String> {
    // What took no time to speak of is no news.
    let lasting = report.phases.iter().filter(|it| it.duration_ms >= 50 || it.failure.is_some());
    let phases: Vec<String> = lasting.map(|it| format!("{} {}", phase(it.name), took(it.duration_ms))).collect();
    let words = if phases.is_empty() { "Timings".to_owned() } else { format!("Timings: {}", phases.join(" · ")) };
    match if picture { timeline::gantt(report) } else { None } {
        Some(drawn) => Some(folded(&words, false, &drawn)),
        None => (!phases.is_empty()).then(|| format!("{words}.\n")),
    }
}

fn notices(title: &str, notices: &[&NoticeReport]) -> String {
    let heading = if title.is_empty() { String::new() } else { format!("**{title}**\n\n") };
    let row = |notice: &&NoticeReport| format!("- {} {}\n", text(&notice.text.chars().take(2_000).collect::<String>()), code(&notice.code));
    format!("{heading}{}", notices.iter().take(50).map(row).collect::<String>())
}

fn footer(report: &Report, links: &Links) -> String {
    let mut facts = Vec::new();
    if known(&report.commit) {
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

/// Returns whether a commit is known: without git it is all zeros.
fn known(commit: &str) -> bool {
    commit.chars().any(|character| character != '0')
}

fn folded(title: &str, open: bool, markdown: &str) -> String {
    let open = if open { " open" } else { "" };
    format!("<details{open}><summary>{title}</summary>\n\n{}\n\n</details>\n", markdown.trim_end())
}

fn cut(foreign: &str) -> String {
    foreign.chars().take(200).collect()
}
