//! The summary of the job: the same words as the comment, with more of the logs.

use super::Report;
use super::comment::Links;
use super::sections::compose;

/// The longest summary, in bytes. GitHub drops a summary of more than 1 MiB as a whole.
pub const MAX_BYTES: usize = 1_000_000;

/// The most lines of a failed gate that a summary shows.
const MOST_LINES: usize = 2_000;

/// Returns the summary in Markdown, at most [`MAX_BYTES`] long.
pub fn summary(report: &Report, links: &Links) -> String {
    compose(report, links, true, MOST_LINES, MAX_BYTES, str::len)
}
