//! The log of GitHub Actions: the same story in groups, and annotations for what failed.
//!
//! The runner obeys workflow commands in whatever a step writes: `::name::` at the beginning of a line, `##[name]` anywhere in it, and a
//! carriage return begins a line. Every line that is not our own command passes [`harmless`], so that a test's output stays output.
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>

use std::io::Write;

use super::Report;
use super::ending::{Ending, Tone};
use super::plain::plain;
use super::sink::Sink;
use super::story::{Part, part, tell, tell_end};
use super::words::phase;
use crate::event::{Event, EventKind, Level, TestCase};

/// The runner keeps ten annotations of each kind for a whole step; the last error is kept free for how the run ended.
const MAX_ANNOTATIONS: usize = 9;
/// The runner cuts messages at 4096 characters.
const MAX_MESSAGE: usize = 4_000;
/// No file has a longer path, whatever another job's receipt says.
pub(super) const MAX_PATH: usize = 1_000;
/// GitHub takes titles of 255 characters.
const MAX_TITLE: usize = 250;
/// The most lines of a failed gate in its annotation.
const MAX_LINES: usize = 15;

/// Writes the log of Actions.
pub struct ActionsLog {
    out: Box<dyn Write + Send>,
    quiet: bool,
    open: Option<Part>,
    results: Vec<String>,
    errors: usize,
    warnings: usize,
}

impl std::fmt::Debug for ActionsLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionsLog").field("open", &self.open).finish_non_exhaustive()
    }
}

impl ActionsLog {
    /// Returns a log that is written to `out`: standard output or error, the runner reads both.
    pub fn new(out: Box<dyn Write + Send>, quiet: bool) -> Self {
        Self { out, quiet, open: None, results: Vec::new(), errors: 0, warnings: 0 }
    }

    fn command(&mut self, command: &str) {
        // A step whose log cannot be written has other troubles.
        let _ = writeln!(self.out, "{command}");
    }

    fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{}", harmless(line));
    }

    /// Closes the open group, repeats the results of what ran in it, where the reader sees them, and opens the next group.
    fn turn_to(&mut self, next: Option<Part>) {
        if self.open == next {
            return;
        }
        if self.open.is_some() {
            self.command("::endgroup::");
            for line in std::mem::take(&mut self.results) {
                self.say(&line);
            }
        }
        if let Some(part) = next {
            let title = match part {
                Part::Making => "gates and images",
                Part::Phase(it) => phase(it),
            };
            self.command(&format!("::group::{title}"));
        }
        self.open = next;
    }

    /// Points at the line where a test failed; a test without a place is told by its gate.
    fn annotate_test(&mut self, gate: &str, test: &TestCase) {
        let level = if test.flaky { Level::Warning } else { Level::Error };
        let Some(place) = test.place.as_ref().filter(|place| place.file.len() <= MAX_PATH) else { return };
        let title: String = plain(&format!("{gate}: {}", test.name)).chars().take(MAX_TITLE).collect();
        let place = format!("file={},line={},", property(&plain(&place.file)), place.line);
        let said = if test.message.is_empty() { "failed" } else { &test.message };
        self.annotate_at(level, &place, &title, &plain_lines(said));
    }

    fn annotate(&mut self, level: Level, title: &str, message: &str) {
        self.annotate_at(level, "", title, message);
    }

    fn annotate_at(&mut self, level: Level, place: &str, title: &str, message: &str) {
        let (kind, used) = match level {
            Level::Error => ("error", &mut self.errors),
            Level::Warning => ("warning", &mut self.warnings),
            Level::Note => return,
        };
        *used += 1;
        if *used <= MAX_ANNOTATIONS {
            let message: String = message.chars().take(MAX_MESSAGE).collect();
            self.command(&format!("::{kind} {place}title={}::{}", property(title), data(&message)));
        }
    }
}

impl Sink for ActionsLog {
    fn on(&mut self, event: &Event) {
        let telling = tell(event);
        if self.quiet && !telling.result {
            return;
        }
        match &event.kind {
            // A notice may come while a group is open and must not close it.
            EventKind::Notice { level: level @ (Level::Warning | Level::Error), code, text } => {
                self.annotate(*level, code, &plain_lines(text));
                return;
            }
            EventKind::Notice { .. } | EventKind::Proven { .. } => {}
            kind => self.turn_to(part(kind)),
        }
        let heading = matches!(event.kind, EventKind::PhaseStarted { .. });
        for line in telling.lines.iter().filter(|_| !heading) {
            self.say(line);
        }
        match &event.kind {
            EventKind::GateTests { gate, tests } => {
                for test in &tests.tests {
                    self.annotate_test(gate.as_str(), test);
                }
            }
            EventKind::GateFinished { gate, outcome, last_lines, .. } => {
                self.results.extend(telling.lines.first().cloned());
                if !outcome.passed()
                    && !matches!(outcome, crate::event::GateOutcome::NotStarted { .. } | crate::event::GateOutcome::Cancelled)
                {
                    let last = &last_lines[last_lines.len().saturating_sub(MAX_LINES)..];
                    self.annotate(Level::Error, &format!("gate {gate}"), &plain_lines(&format!("{outcome}\n{}", last.join("\n"))));
                }
            }
            EventKind::BuildFinished { .. } => self.results.extend(telling.lines),
            EventKind::PhaseFinished { .. } => {
                self.results.extend(telling.lines);
                self.turn_to(None);
            }
            _ => {}
        }
    }

    fn end(&mut self, report: &Report) {
        self.turn_to(None);
        if report.outcome.is_none() {
            return;
        }
        for line in tell_end(report) {
            self.say(&line);
        }
        let ending = Ending::of(report);
        if ending.tone == Tone::Bad {
            let mut message = vec![ending.headline.clone()];
            message.extend(ending.failed.iter().map(|failed| format!("What failed: {failed}")));
            message.push(format!("Live now: {}", ending.live));
            message.extend(ending.next.iter().map(|next| format!("What to do: {next}")));
            self.errors = self.errors.min(MAX_ANNOTATIONS - 1);
            self.annotate(Level::Error, "cutover", &plain_lines(&message.join("\n")));
        }
    }
}

/// Returns a line that the runner takes for text whatever it holds.
pub fn harmless(line: &str) -> String {
    let line: String = line.chars().map(|character| if matches!(character, '\r' | '\n') { ' ' } else { character }).collect();
    // A zero-width space is not seen and breaks both forms of a command.
    let line = line.replace("##[", "#\u{200b}#[");
    if line.trim_start().starts_with("::") { format!("\u{200b}{line}") } else { line }
}

fn plain_lines(text: &str) -> String {
    super::plain::lines(text).map(plain).collect::<Vec<_>>().join("\n")
}

/// Escapes the data of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace("##[", "#\u{200b}#[")
}

/// Escapes the value of a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
