//! The last lines of a gate's output, for a report.

use std::collections::VecDeque;

/// Keeps the last lines that were written.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<String>);

impl Tail {
    /// How many lines are kept.
    const LINES: usize = 40;
    /// How many bytes of each.
    const LINE_BYTES: usize = 1000;

    pub(super) fn push(&mut self, line: &str) {
        if self.0.len() == Self::LINES {
            self.0.pop_front();
        }
        let mut kept = line.to_owned();
        if kept.len() > Self::LINE_BYTES {
            kept.truncate(line.floor_char_boundary(Self::LINE_BYTES));
            kept.push('…');
        }
        self.0.push_back(kept);
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}
