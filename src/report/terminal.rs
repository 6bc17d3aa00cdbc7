//! The story on a person's terminal: lines as things happen, what runs now below them, and at the end what to know. Plain lines where
//! standard error is no terminal; colours only where they are wanted (`NO_COLOR`, `CLICOLOR_FORCE`).

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use super::Report;
use super::progress::Progress;
use super::sink::Sink;
use super::story::{Telling, tell, tell_end};
use crate::event::Event;

/// Tells the story of a run.
pub struct Terminal {
    out: Out,
    quiet: bool,
}

enum Out {
    Lines(Box<dyn Write + Send>),
    Live { progress: Box<Progress>, colours: bool },
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("quiet", &self.quiet).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Returns the story on standard error: live on a terminal that can move its cursor, else plain lines.
    pub fn stderr(quiet: bool) -> Self {
        let stderr = std::io::stderr();
        let choice = AutoStream::choice(&stderr);
        let capable = stderr.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let out = if capable && !quiet {
            Out::Live { progress: Box::new(Progress::new()), colours: choice != ColorChoice::Never }
        } else {
            Out::Lines(Box::new(AutoStream::new(stderr, choice)))
        };
        Self { out, quiet }
    }

    /// Returns the story as plain lines without colours.
    pub fn plain(out: Box<dyn Write + Send>, quiet: bool) -> Self {
        Self { out: Out::Lines(Box::new(anstream::StripStream::new(out))), quiet }
    }

    fn say(&mut self, line: &str) {
        match &mut self.out {
            // Whoever closed the pipe does not want to know.
            Out::Lines(out) => drop(writeln!(out, "{line}")),
            Out::Live { progress, colours: true } => progress.print(line),
            Out::Live { progress, colours: false } => progress.print(&anstream::adapter::strip_str(line).to_string()),
        }
    }
}

impl Sink for Terminal {
    fn on(&mut self, event: &Event) {
        if let Out::Live { progress, .. } = &mut self.out {
            progress.on(event);
        }
        let Telling { lines, result } = tell(event);
        if result || !self.quiet {
            for line in &lines {
                self.say(line);
            }
        }
    }

    fn end(&mut self, report: &Report) {
        if let Out::Live { progress, .. } = &mut self.out {
            progress.clear();
        }
        if report.outcome.is_some() {
            for line in tell_end(report) {
                self.say(&line);
            }
        }
    }
}
