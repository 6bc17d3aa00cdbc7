//! The run as a picture: a Mermaid gantt of gates, images and each target's phases (<https://mermaid.js.org/syntax/gantt.html>).

use std::fmt::Write as _;

use super::Report;
use super::words::phase;

/// The most bars; GitHub refuses to draw a diagram of more than 50 000 characters, and nobody reads a longer one.
const MAX_BARS: usize = 120;

/// The shortest phase that is drawn, in milliseconds.
const LEAST_MS: u64 = 10;

/// One bar.
struct Bar<'a> {
    section: &'a str,
    name: &'a str,
    failed: bool,
    started_ms: u64,
    duration_ms: u64,
}

/// Returns the diagram as a Markdown block; `None` when nothing took any time. Only names from the manifest stand in it, and where a viewer draws no
/// diagrams it is read as text.
///
/// The axis counts seconds: Mermaid tells minutes and hours in the reader's time zone, and some zones are half an hour off.
pub(super) fn gantt(report: &Report) -> Option<String> {
    let bars = bars(report);
    if bars.is_empty() {
        return None;
    }
    let mut out = String::from("```mermaid\ngantt\n    dateFormat x\n    axisFormat %s s\n    todayMarker off\n");
    let mut section = "";
    for bar in bars.iter().take(MAX_BARS) {
        if bar.section != section {
            section = bar.section;
            let _ = writeln!(out, "    section {section}");
        }
        // A bar without length is not drawn.
        let (state, length) = (if bar.failed { "crit, " } else { "" }, bar.duration_ms.max(1));
        let _ = writeln!(out, "    {} :{state}{}, {length}ms", task(bar.name), bar.started_ms);
    }
    out.push_str("```\n");
    Some(out)
}

/// Words that mean something else to Mermaid at the beginning of a line
/// (<https://github.com/mermaid-js/mermaid/blob/develop/packages/mermaid/src/diagrams/gantt/parser/gantt.jison>).
const KEYWORDS: [&str; 19] = [
    "gantt",
    "section",
    "title",
    "click",
    "call",
    "href",
    "includes",
    "excludes",
    "weekday",
    "weekend",
    "todaymarker",
    "dateformat",
    "axisformat",
    "tickinterval",
    "topaxis",
    "inclusiveenddates",
    "acctitle",
    "accdescr",
    "accdescription",
];

/// Returns the name of a bar so that it begins no statement of another kind.
fn task(name: &str) -> String {
    let lower = name.to_lowercase();
    let taken = KEYWORDS.iter().any(|keyword| lower.starts_with(keyword));
    // U+2060 WORD JOINER is seen by nobody, and is no white space to Mermaid.
    if taken { format!("\u{2060}{name}") } else { name.to_owned() }
}

fn bars(report: &Report) -> Vec<Bar<'_>> {
    let gates = report.gates.iter().filter(|gate| gate.attempts > 0).map(|gate| Bar {
        section: "gates",
        name: gate.name.as_str(),
        failed: gate.failed(),
        started_ms: gate.started_ms,
        duration_ms: gate.duration_ms,
    });
    let images = report.images.iter().map(|image| Bar {
        section: "images",
        name: image.name.as_str(),
        failed: image.failure.is_some(),
        started_ms: image.started_ms,
        duration_ms: image.duration_ms,
    });
    let phases = report.phases.iter().map(|it| Bar {
        section: "release",
        name: phase(it.name),
        failed: it.failure.is_some(),
        started_ms: it.started_ms,
        duration_ms: it.duration_ms,
    });
    let targets = report.targets.iter().flat_map(|target| {
        target.steps.iter().map(|it| Bar {
            section: target.name.as_str(),
            name: phase(it.name),
            failed: it.failure.is_some(),
            started_ms: it.started_ms,
            duration_ms: it.duration_ms,
        })
    });
    // What took no time to speak of would be a label without a bar.
    let seen = |bar: &Bar<'_>| bar.failed || bar.duration_ms >= LEAST_MS;
    gates.chain(images).chain(phases.chain(targets).filter(seen)).collect()
}
