//! Gates and their tests in Markdown.

use std::fmt::Write as _;

use super::super::Report;
use super::super::actions::MAX_PATH;
use super::super::markdown::{block, code, link, text};
use super::super::model::GateReport;
use super::super::words::{count, took};
use super::{Links, cut, folded};
use crate::event::{Place, TestCase};

/// The most flaky tests that are listed.
const MOST_FLAKY: usize = 20;

/// How much of the tests is shown beside so many of a gate's last lines.
const fn room(lines: usize) -> (usize, usize) {
    match lines {
        61.. => (100, 40),
        21..=60 => (20, 12),
        6..=20 => (10, 6),
        _ => (3, 2),
    }
}

/// The gates that failed: each with its failed tests and their messages, then its last lines.
pub(super) fn failed(report: &Report, links: &Links, lines: usize) -> Option<String> {
    let failed: Vec<&GateReport> = report.failed_gates().collect();
    let one = |(index, gate): (usize, &&GateReport)| {
        let counts = gate.tests.as_ref().map(|tests| format!(" ({})", tests.words())).unwrap_or_default();
        let mut out = format!("❌ **{}** {} after {}{counts}\n", gate.name, text(&cut(&gate.words)), took(gate.duration_ms));
        let shown = failed_tests(gate, report, links, lines);
        out.push_str(&shown);
        let last = &gate.last_lines[gate.last_lines.len().saturating_sub(lines)..];
        if !last.is_empty() {
            let title = if last.len() == 1 { "The last line".to_owned() } else { format!("The last {} lines", last.len()) };
            // Where tests tell what failed, the log is for whoever wants more.
            let open = index == 0 && shown.is_empty();
            let _ = write!(out, "\n{}", folded(&title, open, &block(last.iter().map(String::as_str))));
        }
        out
    };
    (!failed.is_empty()).then(|| failed.iter().enumerate().map(one).collect::<Vec<_>>().join("\n"))
}

fn failed_tests(gate: &GateReport, report: &Report, links: &Links, lines: usize) -> String {
    let Some(tests) = gate.tests.as_ref() else { return String::new() };
    let (most_tests, most_lines) = room(lines);
    let mut out = String::new();
    let shown: Vec<&TestCase> = tests.failures().take(most_tests).collect();
    for test in &shown {
        let _ = write!(out, "\n{}\n", named(test, report, links));
        let message: Vec<&str> = test.message.lines().take(most_lines).collect();
        if !message.is_empty() {
            let _ = write!(out, "\n{}", block(message));
        }
    }
    let rest = usize::try_from(tests.failed).unwrap_or(usize::MAX).saturating_sub(shown.len());
    if rest > 0 && !shown.is_empty() {
        let _ = writeln!(out, "\nand {}.", count(rest, "more failed test"));
    }
    out
}

/// Tests that passed, but not at once: in gates that failed and in gates that passed.
pub(super) fn flaky(report: &Report, links: &Links) -> Option<String> {
    let all = || report.gates.iter().flat_map(|gate| gate.tests.iter().flat_map(|tests| &tests.tests).filter(|test| test.flaky));
    let number = usize::try_from(report.gates.iter().filter_map(|gate| gate.tests.as_ref()).map(|tests| tests.flaky).sum::<u64>())
        .unwrap_or(usize::MAX);
    let rows: String = all().take(MOST_FLAKY).map(|test| format!("- {}\n", named(test, report, links))).collect();
    let title = format!("{}: passed, but not at once", count(number, "flaky test"));
    (number > 0).then(|| folded(&title, false, &rows))
}

/// Returns a test by its name and its place, which is a link where the commit has a page.
fn named(test: &TestCase, report: &Report, links: &Links) -> String {
    let name = code(&cut(&test.name));
    match &test.place {
        Some(place) => format!("{name} at {}", at(place, report, links)),
        None => name,
    }
}

fn at(place: &Place, report: &Report, links: &Links) -> String {
    let shown = code(&cut(&place.to_string()));
    // An address that no file can have would take the room of everything else.
    let base = links.commit.as_deref().filter(|_| place.file.len() <= MAX_PATH);
    let page = base.and_then(|base| base.strip_suffix("/commit/")).map(|repository| {
        // A path is not a query: what ends one in an address is encoded.
        let path: Vec<String> = place
            .file
            .split('/')
            .map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
            .collect();
        format!("{repository}/blob/{}/{}#L{}", report.commit, path.join("/"), place.line)
    });
    page.map_or_else(|| shown.clone(), |page| link(&shown, &page))
}

/// Every gate with its outcome, failed ones first; folded away where all passed.
pub(super) fn table(report: &Report) -> Option<String> {
    if report.gates.is_empty() {
        return None;
    }
    let tested = report.gates.iter().any(|gate| gate.tests.is_some());
    let mut rows: Vec<&GateReport> = report.gates.iter().collect();
    rows.sort_by_key(|gate| !gate.failed());
    let mut out = String::from(if tested {
        "| gate | outcome | tests | time | attempts |\n|---|---|---|--:|--:|\n"
    } else {
        "| gate | outcome | time | attempts |\n|---|---|--:|--:|\n"
    });
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
        let tests = match &gate.tests {
            Some(tests) => format!("| {} ", tests.words()),
            None if tested => "| ".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(out, "| {} | {sign} {words} {tests}| {time} | {} |", gate.name, gate.attempts);
    }
    if report.gates.iter().all(GateReport::passed) {
        return Some(folded(&format!("✅ {} passed", count(report.gates.len(), "gate")), false, &out));
    }
    Some(out)
}
