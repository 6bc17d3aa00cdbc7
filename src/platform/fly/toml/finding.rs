//! What is wrong or odd in a `fly.toml`, and where.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// One thing found while reading a `fly.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable code, for example `fly-toml::unknown-key`.
    pub code: &'static str,
    /// Where in the document, for example `http_service.checks[0].interval`; empty for the document itself.
    pub path: String,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// Where it stands in the file, in bytes.
    pub span: Range<usize>,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The line's text.
    pub source_line: String,
    /// How many characters of the line the caret marks; at least 1.
    pub width: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " (did you mean `{suggestion}`?)")?;
        }
        Ok(())
    }
}

/// A `fly.toml` that cannot be used, with all its faults.
#[derive(Debug, Clone, thiserror::Error)]
#[error("fly.toml has {} fault(s), the first at {}", faults.len(), faults.first().map(ToString::to_string).unwrap_or_default())]
pub struct FlyTomlError {
    /// What is wrong, in the order of the file; never empty.
    pub faults: Vec<Finding>,
    /// What is odd.
    pub warnings: Vec<Finding>,
}

/// Collects findings while the document is read.
#[derive(Debug)]
pub(super) struct Findings {
    text: String,
    faults: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

impl Findings {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), faults: RefCell::default(), warnings: RefCell::default() }
    }

    /// Adds something that makes the file unusable.
    pub(super) fn fault(&self, code: &'static str, path: &str, span: &Range<usize>, message: impl Into<String>) {
        self.faults.borrow_mut().push(self.locate(code, path, span, message.into(), None));
    }

    /// Adds something that a reader should know.
    pub(super) fn warn(&self, code: &'static str, path: &str, span: &Range<usize>, message: impl Into<String>, suggestion: Option<String>) {
        self.warnings.borrow_mut().push(self.locate(code, path, span, message.into(), suggestion));
    }

    /// Returns the warnings, or everything when there is a fault.
    pub(super) fn finish(self) -> Result<Vec<Finding>, FlyTomlError> {
        let (mut faults, mut warnings) = (self.faults.into_inner(), self.warnings.into_inner());
        faults.sort_by_key(|finding| finding.span.start);
        warnings.sort_by_key(|finding| finding.span.start);
        if faults.is_empty() { Ok(warnings) } else { Err(FlyTomlError { faults, warnings }) }
    }

    fn locate(&self, code: &'static str, path: &str, span: &Range<usize>, message: String, suggestion: Option<String>) -> Finding {
        let text = &self.text;
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source_line = text[begin..end].trim_end_matches('\r').to_owned();
        let column = text[begin..start].chars().count() + 1;
        let marked = text.get(start..span.end.min(end)).map_or(1, |marked| marked.chars().count());
        Finding {
            code,
            path: path.to_owned(),
            message,
            suggestion,
            span: span.clone(),
            line: text[..begin].matches('\n').count() + 1,
            column,
            source_line,
            width: marked.max(1),
        }
    }
}
