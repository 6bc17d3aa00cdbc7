//! The report as one HTML page that needs nothing else: no script, no font, no request to anywhere.

use super::Report;
use super::ending::{Ending, Tone};
use super::model::{GateReport, PhaseReport};
use super::plain::plain;
use super::words::{
    condemns, cost, is_command, phase, proof, short_commit, short_digest, side, size, size_change, skew, took, verdict, way_back,
};
use crate::event::{Level, Side, SnapshotTaken, TestResults, Verdict};

/// The style of the page; light or dark as the reader's system asks.
const STYLE: &str = include_str!("html.css");

/// Returns the page.
pub fn html(report: &Report) -> String {
    let ending = Ending::of(report);
    let product = report.product.as_ref().map_or("cutover", |name| name.as_str());
    let goal = report.environment.as_ref().map(|name| format!(" → {name}")).unwrap_or_default();
    let body: String = [
        opening(report, &ending, &format!("{product}{goal}")),
        targets(report),
        migrations(report),
        failed_gates(report),
        timeline(report),
        gates(report),
        images(report),
        checks(report),
        notices(report),
    ]
    .into_iter()
    .collect();
    // The policy keeps a page safe that is shown from a server: even if an escape were missed, nothing runs and nothing is fetched.
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&format!("{product}{goal}: {}", ending.headline))
    )
}

/// Returns foreign text for HTML, inside and outside of attributes.
pub fn escape(foreign: &str) -> String {
    let mut out = String::with_capacity(foreign.len() + 8);
    for character in plain(foreign).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn opening(report: &Report, ending: &Ending, title: &str) -> String {
    let tone = match ending.tone {
        Tone::Good => "good",
        Tone::Calm => "calm",
        Tone::Bad => "bad",
    };
    let mut facts = vec![format!("commit <code>{}</code>", escape(&short_commit(&report.commit)))];
    facts.extend(report.release.as_ref().map(|release| format!("release <code>{}</code>", escape(release.as_str()))));
    facts.push(format!("started by {}", escape(&report.trigger)));
    facts.extend(report.started.map(|started| escape(&started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())));
    facts.push(took(u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)));
    facts.extend(skew(report));
    let mut rows = Vec::new();
    rows.extend(ending.failed.as_ref().map(|failed| ("What failed", lines(failed))));
    rows.push(("Live now", escape(&ending.live)));
    let next: String = ending.next.iter().map(|next| format!("<code>{}</code><br>", escape(next))).collect();
    rows.extend((!next.is_empty()).then_some(("What to do", next)));
    let typed = |undo: &String| if is_command(undo) { format!("<code>{}</code>", escape(undo)) } else { escape(undo) };
    rows.extend(ending.undo.as_ref().map(|undo| ("To undo it", typed(undo))));
    rows.extend(cost(report).map(|words| ("Cost", escape(&words))));
    let rows: String = rows.into_iter().map(|(heading, text)| format!("<dt>{heading}</dt><dd>{text}</dd>\n")).collect();
    format!(
        "<header class=\"{tone}\">\n<p class=\"title\">{}</p>\n<h1>{}</h1>\n<dl>\n{rows}</dl>\n<p class=\"facts\">{}</p>\n</header>\n",
        escape(title),
        escape(&ending.headline),
        facts.join(" · ")
    )
}

fn targets(report: &Report) -> String {
    let rows = report.targets.iter().map(|target| {
        let label =
            |label: &Option<String>| label.as_deref().map_or_else(|| "nothing".to_owned(), |it| format!("<code>{}</code>", escape(it)));
        let (before, after) = (label(&target.before), label(&target.after));
        let change = if target.carried { format!("{before}, unchanged") } else { format!("{before} → {after}") };
        let proven = proof(target).map(|how| format!(", {how}")).unwrap_or_default();
        let class = match target.serves {
            Side::After => "good",
            Side::Before => "calm",
            Side::Neither | Side::Unknown => "bad",
        };
        vec![
            format!("<b>{}</b>", target.name),
            format!("{} <code>{}</code>", target.platform, escape(&target.thing)),
            change,
            format!("<span class=\"{class}\">{}</span>{proven}", side(target.serves)),
            target.url.as_deref().map(address).unwrap_or_default(),
        ]
    });
    table("Targets", &["target", "on", "before → after", "serves", "address"], rows)
}

fn migrations(report: &Report) -> String {
    let ran = report.targets.iter().filter_map(|target| Some((target, target.migration.as_ref()?)));
    let rows = ran.map(|(target, migration)| {
        let class = if migration.succeeded { "good" } else { "bad" };
        let kept = |it: &SnapshotTaken| format!("<code>{}</code> of {}", escape(&it.id), escape(&it.of));
        let snapshots: Vec<String> = migration.snapshots.iter().map(kept).collect();
        vec![
            format!("<b>{}</b>", target.name),
            format!("<code>{}</code>", escape(&migration.command)),
            format!("<span class=\"{class}\">{}</span>", lines(&migration.ended)),
            if snapshots.is_empty() { "no snapshot".to_owned() } else { snapshots.join("<br>") },
            way_back(migration).to_owned(),
        ]
    });
    table("Migrations", &["target", "command", "how it ended", "the database before it", "the way back"], rows)
}

fn failed_gates(report: &Report) -> String {
    let one = |gate: &GateReport| {
        let last: String = gate.last_lines.iter().map(|line| format!("{}\n", escape(line))).collect();
        let last = if last.is_empty() { last } else { format!("<pre>{last}</pre>\n") };
        format!("<h2 class=\"bad\">gate {} {}</h2>\n{}{last}", gate.name, escape(&gate.words), tests(gate))
    };
    report.failed_gates().map(one).collect()
}

/// The tests of a gate that a person has to look at.
fn tests(gate: &GateReport) -> String {
    let rows = gate.tests.iter().flat_map(|tests| &tests.tests).map(|test| {
        let (class, word) = if test.flaky { ("calm", "flaky") } else { ("bad", "failed") };
        let place = test.place.as_ref().map(|place| format!("<br><code>{}</code>", escape(&place.to_string()))).unwrap_or_default();
        vec![
            format!("<span class=\"{class}\">{word}</span>"),
            format!("{}{place}", escape(&test.name)),
            format!("<pre>{}</pre>", pre(&test.message)),
        ]
    });
    table("Tests", &["", "test", "message"], rows)
}

/// Returns foreign lines for an element that keeps them.
fn pre(foreign: &str) -> String {
    super::plain::lines(foreign).map(escape).collect::<Vec<_>>().join("\n")
}

fn gates(report: &Report) -> String {
    let rows = report.gates.iter().map(|gate| {
        let class = if gate.passed() {
            "good"
        } else if gate.failed() {
            "bad"
        } else {
            "calm"
        };
        let words = format!("<span class=\"{class}\">{}</span>", escape(&gate.words));
        let tests = gate.tests.as_ref().map(TestResults::words).unwrap_or_default();
        vec![gate.name.to_string(), words, tests, took(gate.duration_ms), gate.attempts.to_string()]
    });
    table("Gates", &["gate", "outcome", "tests", "time", "attempts"], rows)
}

fn images(report: &Report) -> String {
    let rows = report.images.iter().map(|image| {
        let digest = match (&image.digest, &image.failure) {
            (Some(digest), _) => format!("<code>{}</code>", escape(&short_digest(digest))),
            (None, Some(failure)) => format!("<span class=\"bad\">{}</span>", lines(failure)),
            (None, None) => "not built".to_owned(),
        };
        let bytes = image.size.map_or_else(|| "not known".to_owned(), size);
        let change = image.size.zip(image.before).map_or_else(|| "not known".to_owned(), |(now, before)| size_change(before, now));
        vec![image.name.to_string(), digest, bytes, change, escape(&image.builder), took(image.duration_ms)]
    });
    table("Images", &["image", "digest", "size", "change", "built by", "time"], rows)
}

fn checks(report: &Report) -> String {
    let rows = report.checks.iter().map(|check| {
        let class = match check.verdict {
            Verdict::Pass => "good",
            Verdict::Fail if condemns(check) => "bad",
            Verdict::Fail | Verdict::Flaky | Verdict::Suspect => "calm",
        };
        let verdict = verdict(check.phase, check.verdict);
        vec![
            check.target.to_string(),
            format!("<code>{}</code>", escape(&check.check)),
            phase(check.phase).to_owned(),
            format!("<span class=\"{class}\">{verdict}</span>"),
            escape(&check.detail),
        ]
    });
    table("Checks", &["target", "check", "in", "verdict", "seen"], rows)
}

fn notices(report: &Report) -> String {
    let rows = report.notices.iter().map(|notice| {
        let (class, level) = match notice.level {
            Level::Note => ("calm", "note"),
            Level::Warning => ("calm", "warning"),
            Level::Error => ("bad", "error"),
        };
        vec![format!("<span class=\"{class}\">{level}</span>"), lines(&notice.text), format!("<code>{}</code>", escape(&notice.code))]
    });
    table("Notices", &["", "", ""], rows)
}

/// The run as bars over its time.
fn timeline(report: &Report) -> String {
    let gates = report.gates.iter().filter(|gate| gate.attempts > 0);
    let mut bars: Vec<(String, u64, u64, bool)> =
        gates.map(|gate| (format!("gate {}", gate.name), gate.started_ms, gate.duration_ms, gate.failed())).collect();
    bars.extend(report.images.iter().map(|it| (format!("image {}", it.name), it.started_ms, it.duration_ms, it.failure.is_some())));
    let step = |of: &str, it: &PhaseReport| (format!("{of}{}", phase(it.name)), it.started_ms, it.duration_ms, it.failure.is_some());
    bars.extend(report.phases.iter().map(|it| step("", it)));
    bars.extend(report.targets.iter().flat_map(|target| target.steps.iter().map(move |it| step(&format!("{}: ", target.name), it))));
    let end = bars.iter().map(|(_, started, length, _)| started + length).max().unwrap_or(0);
    if end == 0 {
        return String::new();
    }
    let percent = |value: u64| value as f64 * 100.0 / end as f64;
    let rows = bars.iter().map(|(name, started, length, failed)| {
        let (left, width, class) = (percent(*started), percent(*length).max(0.3), if *failed { "bar failed" } else { "bar" });
        let bar = format!("<span class=\"{class}\" style=\"margin-left:{left:.2}%;width:{width:.2}%\"></span>");
        vec![escape(name), format!("<div class=\"lane\">{bar}</div>"), took(*length)]
    });
    table("Timeline", &["", "", ""], rows)
}

fn table(title: &str, headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: String =
        rows.map(|cells| format!("<tr>{}</tr>\n", cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>())).collect();
    if rows.is_empty() {
        return String::new();
    }
    let named = headings.iter().any(|heading| !heading.is_empty());
    let headings: String = headings.iter().filter(|_| named).map(|heading| format!("<th>{heading}</th>")).collect();
    let class = title.to_lowercase();
    format!("<h2>{title}</h2>\n<table class=\"{class}\">\n<tr>{headings}</tr>\n{rows}</table>\n").replace("<tr></tr>\n", "")
}

fn lines(foreign: &str) -> String {
    super::plain::lines(foreign).map(escape).collect::<Vec<_>>().join("<br>")
}

/// Returns a link to a web address; anything else stays text.
fn address(foreign: &str) -> String {
    match url::Url::parse(foreign) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            let shown = escape(url.as_str().trim_end_matches('/'));
            format!("<a href=\"{}\" rel=\"noreferrer\">{shown}</a>", escape(url.as_str()))
        }
        _ => escape(foreign),
    }
}
