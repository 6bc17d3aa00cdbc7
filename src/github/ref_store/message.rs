//! A record as a commit's message: a first line and words for people, then the record itself as one line of JSON.

use serde::{Deserialize, Serialize};

use crate::release::journal::{Begun, Entry, FORMAT, Record, TargetRecord};
use crate::release::lock::named;

/// The longest JSON that stands in the message, in bytes; a longer one is a file in the commit's tree.
pub(super) const LONGEST_IN_MESSAGE: usize = 40_000;

/// The file of a record that is too long for the message.
pub(super) const FILE: &str = "record.json";

/// The longest text of a person that is repeated in the words above the JSON, in characters.
const LONGEST_WORDS: usize = 300;

/// A record as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// The commit's message.
    pub(super) message: String,
    /// The content of [`FILE`], where the record is too long for the message.
    pub(super) file: Option<String>,
}

/// What the last line of a message says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// The record.
    Whole(Box<Record>),
    /// It is in [`FILE`]; so much is known without it.
    Elsewhere(Stub),
    /// A newer version wrote it.
    UnknownFormat(u64),
    /// No record, and why.
    Nothing(String),
}

/// What stands in the message of a record that is in [`FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stub {
    format: u32,
    sequence: u64,
    pub(super) nonce: String,
    file: String,
}

impl Said {
    /// Returns the nonce of what was written, where it can be read.
    pub(super) fn nonce(&self) -> Option<&str> {
        match self {
            Self::Whole(record) => Some(&record.nonce),
            Self::Elsewhere(stub) => Some(&stub.nonce),
            Self::UnknownFormat(_) | Self::Nothing(_) => None,
        }
    }
}

/// Returns a record as it is written for `environment`; the same record is always the same text.
pub(super) fn write(environment: &str, record: &Record) -> Result<Written, serde_json::Error> {
    let json = serde_json::to_string(record)?;
    let words = words(environment, record);
    if json.len() <= LONGEST_IN_MESSAGE {
        return Ok(Written { message: format!("{words}\n\n{json}"), file: None });
    }
    let stub = Stub { format: record.format, sequence: record.sequence, nonce: record.nonce.clone(), file: FILE.to_owned() };
    let message = format!("{words}\nThe record is long: it is in {FILE} of this commit.\n\n{}", serde_json::to_string(&stub)?);
    Ok(Written { message, file: Some(json) })
}

/// Reads what stands in a message, or in the file that it names.
pub(super) fn read(text: &str) -> Said {
    let json = text.trim_end().rsplit('\n').next().unwrap_or_default();
    let value: serde_json::Value = match serde_json::from_str(json) {
        Ok(value) => value,
        Err(error) => return Said::Nothing(format!("its message ends with no record: {error}")),
    };
    let Some(format) = value["format"].as_u64() else { return Said::Nothing("its record names no format".to_owned()) };
    if format != u64::from(FORMAT) {
        return Said::UnknownFormat(format);
    }
    if value["file"] == FILE {
        return serde_json::from_value(value).map_or_else(|error| Said::Nothing(error.to_string()), Said::Elsewhere);
    }
    serde_json::from_value(value).map_or_else(|error| Said::Nothing(error.to_string()), |record| Said::Whole(Box::new(record)))
}

/// Writes the first line, and below it who, why and what.
fn words(environment: &str, record: &Record) -> String {
    let entry = record.entry.as_str().replace('_', " ");
    let release = release(record);
    let named_release = release.as_ref().map(|(id, _, _)| format!(" {id}")).unwrap_or_default();
    let mut lines = vec![format!("{environment}: {entry}{named_release} ({})", record.sequence), String::new()];
    lines.push(format!("By {}.", line(&named(&record.owner))));
    let why = match &record.entry {
        Entry::RollingBack { cause } | Entry::Stuck { cause } => Some(cause),
        Entry::TakenOver { because } => Some(because),
        Entry::Hold { reason } => Some(reason),
        Entry::Begun(begun) => Some(&begun.reason),
        _ => None,
    };
    lines.extend(why.map(|why| format!("Why: {}", line(why))));
    if let Some((_, commit, targets)) = release {
        lines.push(format!("Commit: {commit}"));
        lines.extend(targets);
    }
    lines.join("\n")
}

/// Returns the release that a record is about: its id, its commit, a line for each target.
fn release(record: &Record) -> Option<(String, String, Vec<String>)> {
    let of = |begun: &Begun| (begun.release.to_string(), begun.commit.clone(), begun.targets.iter().map(target).collect());
    match (&record.entry, &record.state.open) {
        (Entry::Hold { .. } | Entry::Unhold, _) => None,
        (_, Some(open)) => Some(of(&open.begun)),
        (Entry::Begun(begun), None) => Some(of(begun)),
        (_, None) => {
            let closed = record.state.closed.last()?;
            let targets = closed.targets.iter().map(|(name, shipped)| {
                let serving = if closed.finished { Some(&shipped.revision) } else { shipped.before.as_ref() };
                let at = serving.map_or_else(|| "nothing".to_owned(), |revision| line(&revision.label));
                format!("Target: {name} on {} ({}) at {at}", shipped.platform, line(&shipped.thing))
            });
            Some((closed.release.to_string(), closed.commit.clone(), targets.collect()))
        }
    }
}

fn target(target: &TargetRecord) -> String {
    let before = target.before_revision().map_or_else(|| "nothing".to_owned(), |revision| line(&revision.label));
    let way = match &target.after {
        _ if target.carried => format!("stays at {before}"),
        Some(after) => format!("from {before} to {}", line(&after.label)),
        None => format!("from {before}"),
    };
    format!("Target: {} on {} ({}) {way}", target.name, target.platform, line(&target.thing))
}

/// Returns a text on one line, without control characters, and cut where it is long.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST_WORDS { line } else { line.chars().take(LONGEST_WORDS).chain(std::iter::once('…')).collect() }
}
