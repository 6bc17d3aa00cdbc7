//! The stream of events as JSON, one value a line (`--format json`).

use std::io::Write;

use super::sink::Sink;
use crate::event::Event;

/// Writes every event as one line of JSON.
pub struct JsonLines<W> {
    out: W,
}

impl<W> std::fmt::Debug for JsonLines<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines").finish_non_exhaustive()
    }
}

impl<W: Write + Send> JsonLines<W> {
    /// Returns a writer to `out`, usually standard output.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn on(&mut self, event: &Event) {
        // Flushed line by line: whoever reads a pipe wants to see what happens now. A closed pipe is the reader's wish.
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}
