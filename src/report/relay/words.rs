//! The relayed report in Markdown: our own words first, the fork's below, all of the fork's escaped.

use std::fmt::Write as _;

use super::super::markdown::{block, cell_code, code, link, text};
use super::super::words::{count, took};
use super::{Claim, Claims, Relayed, Standing};
use crate::github::Job;

/// The most jobs that are listed.
const MOST_JOBS: usize = 50;
/// The most failed gates whose lines are shown.
const MOST_FAILED: usize = 10;
/// The most files below `.github/` that are named.
const MOST_NAMED: usize = 20;
/// The longest name of a job or file, in characters.
const MOST_CHARACTERS: usize = 120;
/// The longest report, in characters: it shares the comment with other sections.
const MOST: usize = 50_000;

/// Returns the report of a fork's run; at most 50 000 characters, with the fork's own words left out first.
pub fn body(relayed: &Relayed, claims: &Claims) -> String {
    let own = own(relayed);
    let mut whole = format!("{own}\n{}", claimed(claims, MOST_FAILED));
    if whole.chars().count() > MOST {
        whole = format!("{own}\n{}", claimed(claims, 0));
    }
    if whole.chars().count() > MOST { own } else { whole }
}

/// What GitHub says.
fn own(relayed: &Relayed) -> String {
    let sign = match relayed.standing() {
        Standing::Passed => "✅",
        Standing::Failed | Standing::Cancelled => "❌",
        Standing::UnderWay => "⏳",
        Standing::ToBeSeen => "⚠️",
    };
    let mut out = format!("### {sign} {}\n\n", text(&relayed.headline()));
    let page = link("its run", &relayed.page);
    let _ =
        writeln!(out, "This pull request comes from where the token may write nothing, so this is told by another workflow, from {page}.");
    if let [_, _, ..] = relayed.pulls.as_slice() {
        let numbers: Vec<String> = relayed.pulls.iter().map(|number| format!("\\#{number}")).collect();
        let _ = writeln!(
            out,
            "\n**{} have this commit as their head** ({}), and GitHub does not say for which of them the run was. Push another commit to one of them.",
            count(relayed.pulls.len(), "open pull request"),
            numbers.join(", ")
        );
    }
    deciding(&mut out, relayed);
    jobs(&mut out, relayed);
    out
}

fn deciding(out: &mut String, relayed: &Relayed) {
    let decides = &relayed.decides;
    if decides.unknown {
        out.push_str(
            "\n**It changes more files than GitHub lists**, so nobody can tell here whether it changes the workflow that judged it.\n",
        );
    }
    if !decides.workflow.is_empty() {
        out.push_str("\n**It changes what judged it.** The workflow that ran was its own, so names and conclusions of jobs prove nothing. Look at:\n\n");
        for name in decides.workflow.iter().take(MOST_NAMED) {
            let _ = writeln!(out, "- {}", code(&cut(name)));
        }
        if let more @ 1.. = decides.workflow.len().saturating_sub(MOST_NAMED) {
            let _ = writeln!(out, "- and {more} more");
        }
    }
    if decides.manifest {
        out.push_str("\n**It changes the manifest**, so the gates that ran are those that it names itself.\n");
    }
}

fn jobs(out: &mut String, relayed: &Relayed) {
    let Some(jobs) = &relayed.jobs else { return };
    for missing in &jobs.missing {
        let _ = writeln!(out, "\n**{}.**", text(&cut(missing)));
    }
    let all: Vec<&Job> =
        jobs.failed.iter().chain(&jobs.cancelled).chain(&jobs.unfinished).chain(&jobs.passed).chain(&jobs.skipped).collect();
    if all.is_empty() {
        return;
    }
    out.push_str("\n| job | GitHub says |\n|---|---|\n");
    for job in all.iter().take(MOST_JOBS) {
        let word = job.conclusion.as_deref().unwrap_or("not over");
        let word = text(&cut(word));
        let word = job.html_url.as_deref().map_or_else(|| word.clone(), |page| link(&word, page));
        let _ = writeln!(out, "| {} | {word} |", cell_code(&cut(&job.name)));
    }
    if let more @ 1.. = all.len().saturating_sub(MOST_JOBS) {
        let _ = writeln!(out, "\n{} more.", count(more, "job"));
    }
}

/// What the fork's run says.
fn claimed(claims: &Claims, most_failed: usize) -> String {
    if claims.gates.is_empty() && claims.more == 0 && claims.refused == 0 {
        return "No receipt of its gates was found.\n".to_owned();
    }
    let mut out = String::from(
        "#### Reported by the fork's run\n\nThe fork's own code wrote what follows. Nobody checked it, and it decided nothing above.\n\n",
    );
    if !claims.gates.is_empty() {
        out.push_str("| gate | as it says | took |\n|---|---|---|\n");
        for gate in &claims.gates {
            let _ = writeln!(out, "| {} | {} | {} |", cell_code(gate.name.as_str()), said(gate), took(gate.duration_ms));
        }
    }
    if claims.more > 0 {
        let _ = writeln!(out, "\n{} left out.", count(claims.more, "gate"));
    }
    if claims.refused > 0 {
        let _ = writeln!(out, "\n{} of it left out: no receipt of this product, or too large.", count(claims.refused, "file"));
    }
    for gate in claims.gates.iter().filter(|gate| !gate.passed() && !gate.last_lines.is_empty()).take(most_failed) {
        let _ = write!(
            out,
            "\nThe last lines of {}, as the fork's run says:\n\n{}",
            code(gate.name.as_str()),
            block(gate.last_lines.iter().map(String::as_str))
        );
    }
    out
}

fn said(gate: &Claim) -> String {
    if gate.words.trim().is_empty() { gate.outcome.replace('_', " ") } else { text(&gate.words) }
}

fn cut(foreign: &str) -> String {
    foreign.chars().take(MOST_CHARACTERS).collect()
}
