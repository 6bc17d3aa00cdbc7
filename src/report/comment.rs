//! What stands on the pull request, without the marks by which it is found again.

use super::Report;
use super::sections::compose;

pub use super::sections::Links;

/// The longest comment of one scope, in characters: it shares the document with other scopes and with our marks.
pub const MAX_CHARACTERS: usize = 58_000;

/// The most lines of a failed gate that a comment shows.
const MOST_LINES: usize = 60;

/// Returns the comment: the outcome and, after a failure, what to do; then gates, targets, timings; at most [`MAX_CHARACTERS`] long, with the
/// least important sections left out.
pub fn comment(report: &Report, links: &Links) -> String {
    compose(report, links, true, MOST_LINES, MAX_CHARACTERS, |markdown| markdown.chars().count())
}
