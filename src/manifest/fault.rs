//! Something that is wrong with a manifest, and where.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// What kind of thing is wrong. The words are public: scripts and editors may rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The file is not there or cannot be read.
    Unreadable,
    /// The file is larger than 1 MiB, or has more than 20 000 values.
    TooLarge,
    /// The file is not UTF-8.
    NotUtf8,
    /// The file says nothing.
    Empty,
    /// The file is not YAML.
    Syntax,
    /// The file holds more than one document.
    SeveralDocuments,
    /// Values are nested deeper than 64 levels.
    TooDeep,
    /// A value has a tag (`!something`).
    Tag,
    /// An anchor, an alias or a merge key.
    Alias,
    /// A key without a value.
    Null,
    /// A key that was written before.
    DuplicateKey,
    /// A key that means nothing here.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// A `version` that this cutover does not read.
    UnknownVersion,
    /// A text where a map is needed, a list where a number is needed, and so on.
    WrongType,
    /// A name that breaks the rule for names.
    BadName,
    /// A value of the right type that cannot be read: a duration, a size, a glob, an address.
    BadValue,
    /// A number, a duration or a size beyond its limit.
    OutOfRange,
    /// More things than a manifest may have.
    TooMany,
    /// A name that no environment variable can have.
    BadVariableName,
    /// A glob that begins with `!`.
    NegatedGlob,
    /// A path that leaves the repository.
    OutsideRepository,
    /// Keys that exclude each other.
    Conflict,
    /// A gate that does not exist.
    UnknownGate,
    /// A service that does not exist.
    UnknownService,
    /// An image that does not exist.
    UnknownImage,
    /// A target that does not exist.
    UnknownTarget,
    /// Gates or targets that wait for each other.
    Cycle,
    /// A target of the manifest, but not of this environment.
    OutsideEnvironment,
    /// Two environments that claim the same branch, or every pull request.
    ClaimedTwice,
    /// A file or directory that the manifest names and the repository does not have.
    MissingFile,
    /// A file that the manifest names and that does not say what it must.
    BadFile,
    /// Only a warning: something that nothing uses.
    Unused,
}

impl Code {
    /// Returns the code as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "manifest::unreadable",
            Self::TooLarge => "manifest::too-large",
            Self::NotUtf8 => "manifest::not-utf8",
            Self::Empty => "manifest::empty",
            Self::Syntax => "manifest::syntax",
            Self::SeveralDocuments => "manifest::several-documents",
            Self::TooDeep => "manifest::too-deep",
            Self::Tag => "manifest::tag",
            Self::Alias => "manifest::alias",
            Self::Null => "manifest::null",
            Self::DuplicateKey => "manifest::duplicate-key",
            Self::UnknownKey => "manifest::unknown-key",
            Self::MissingKey => "manifest::missing-key",
            Self::UnknownVersion => "manifest::unknown-version",
            Self::WrongType => "manifest::wrong-type",
            Self::BadName => "manifest::bad-name",
            Self::BadValue => "manifest::bad-value",
            Self::OutOfRange => "manifest::out-of-range",
            Self::TooMany => "manifest::too-many",
            Self::BadVariableName => "manifest::bad-variable-name",
            Self::NegatedGlob => "manifest::negated-glob",
            Self::OutsideRepository => "manifest::outside-repository",
            Self::Conflict => "manifest::conflict",
            Self::UnknownGate => "manifest::unknown-gate",
            Self::UnknownService => "manifest::unknown-service",
            Self::UnknownImage => "manifest::unknown-image",
            Self::UnknownTarget => "manifest::unknown-target",
            Self::Cycle => "manifest::cycle",
            Self::OutsideEnvironment => "manifest::outside-environment",
            Self::ClaimedTwice => "manifest::claimed-twice",
            Self::MissingFile => "manifest::missing-file",
            Self::BadFile => "manifest::bad-file",
            Self::Unused => "manifest::unused",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of thing is wrong.
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, in bytes of the file.
    pub span: Range<usize>,
    /// What to write instead, in one sentence without a full stop.
    pub suggestion: Option<String>,
    /// Another place that belongs to it, with a word on it.
    pub related: Option<(Range<usize>, String)>,
}

impl Fault {
    /// Returns the fault `code` at `span`.
    pub(super) fn new(code: Code, span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: span.clone(), suggestion: None, related: None }
    }

    /// Adds what to write instead.
    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Adds `suggestion`, if there is one.
    pub(super) fn suggest_maybe(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion.or(self.suggestion);
        self
    }

    /// Adds another place that belongs to it.
    pub(super) fn related(mut self, span: &Range<usize>, word: impl Into<String>) -> Self {
        self.related = Some((span.clone(), word.into()));
        self
    }
}

/// The text of a manifest and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// Its text, without a byte order mark.
    pub text: String,
}

impl Source {
    /// Returns line and column of the byte at `offset`, both from 1, the column in characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = (0..=offset.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Everything that is wrong with a manifest, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file.
    pub source: Source,
    /// What is wrong; at least one.
    pub faults: Vec<Fault>,
    /// What is only odd.
    pub warnings: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.faults.first() else { return write!(f, "{} has no faults", self.source.path.display()) };
        let (line, column) = self.source.position(first.span.start);
        write!(f, "{}:{line}:{column}: {} [{}]", self.source.path.display(), first.message, first.code)?;
        match self.faults.len() {
            1 => Ok(()),
            more => write!(f, ", and {} more; `cutover check` shows all", more - 1),
        }
    }
}

impl std::error::Error for Faults {}
