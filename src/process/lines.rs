//! Bytes of a pipe into lines of bounded length.

use std::time::Duration;

use tokio::time::Instant;

/// Which of its two outputs a command wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipe {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was written to.
    pub pipe: Pipe,
    /// Time since the command was started.
    pub since: Duration,
    /// The line without its end; what is not UTF-8 is replaced.
    pub text: String,
}

/// Cuts a stream of bytes into lines.
///
/// A line ends with LF, CR LF or a lone CR: the log of GitHub Actions treats all three so, and a command hidden behind a CR would be obeyed
/// there. A line that is longer than the limit comes in pieces.
#[derive(Debug)]
pub struct LineSplitter {
    pipe: Pipe,
    began: Instant,
    limit: usize,
    rest: Vec<u8>,
    after_cr: bool,
}

impl LineSplitter {
    /// Returns a splitter for one stream of a command that was started at `began`; `limit` is in bytes.
    pub fn new(pipe: Pipe, began: Instant, limit: usize) -> Self {
        Self { pipe, began, limit: limit.max(4), rest: Vec::new(), after_cr: false }
    }

    /// Takes bytes and returns the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for &byte in bytes {
            let second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => lines.push(self.take(self.rest.len())),
                _ => {
                    self.rest.push(byte);
                    if self.rest.len() >= self.limit {
                        lines.push(self.take(whole_characters(&self.rest)));
                    }
                }
            }
        }
        lines
    }

    /// Returns the last line, if it had no end.
    pub fn finish(&mut self) -> Option<Line> {
        (!self.rest.is_empty()).then(|| self.take(self.rest.len()))
    }

    fn take(&mut self, length: usize) -> Line {
        let rest = self.rest.split_off(length);
        let text = String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).into_owned();
        Line { pipe: self.pipe, since: self.began.elapsed(), text }
    }
}

/// Returns how many bytes at the beginning of `bytes` do not cut a character in two.
fn whole_characters(bytes: &[u8]) -> usize {
    let cut = (1..=3).find(|back| bytes.len() > *back && bytes[bytes.len() - back] & 0xC0 == 0xC0);
    match cut {
        // The last character begins `back` bytes before the end and needs more bytes than that.
        Some(back) if bytes[bytes.len() - back].leading_ones() as usize > back => bytes.len() - back,
        _ => bytes.len(),
    }
}
