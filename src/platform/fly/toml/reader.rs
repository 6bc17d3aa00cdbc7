//! Reading a table key by key: wrong kinds become faults, keys that nobody asked for become warnings.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use super::finding::Findings;
use super::tree::{Entry, Node, Value};
use super::values::parse_duration;

/// What a bare number means where a duration is expected; the reference's tables of odd units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// Milliseconds, as Fly's old forms and its documentation say for checks.
    Milliseconds,
    /// Milliseconds too, but flyctl takes nanoseconds there: said aloud.
    MillisecondsWarned,
    /// Seconds, truncated (`kill_timeout`).
    Seconds,
    /// Seconds too, but flyctl takes nanoseconds there: said aloud.
    SecondsWarned,
}

/// A table that goes to Fly as it is written.
#[derive(Debug)]
pub(super) struct Shaping<'a> {
    table: Reader<'a>,
    kept: RefCell<serde_json::Map<String, serde_json::Value>>,
}

impl Shaping<'_> {
    /// Keeps these keys, whatever they hold.
    pub(super) fn known(&self, keys: &[&'static str]) {
        for entry in keys.iter().filter_map(|key| self.table.get(key)) {
            self.kept.borrow_mut().insert(entry.key.clone(), entry.node.value.json());
        }
    }

    /// Keeps a table, or each table of a list, less what Fly does not know in it.
    pub(super) fn nested(&self, key: &'static str, shape: &dyn Fn(&Shaping<'_>)) {
        if let Some(value) = self.table.shaped(key, &|inner| shape(inner)) {
            self.kept.borrow_mut().insert(key.to_owned(), value);
        }
    }
}

/// Reads one table.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    entries: &'a [Entry],
    pub(super) span: Range<usize>,
    pub(super) path: String,
    findings: &'a Findings,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `node`; what is no table reads as an empty one, with a fault.
    pub(super) fn new(node: &'a Node, path: String, findings: &'a Findings) -> Self {
        let entries = if let Value::Table(entries) = &node.value {
            entries.as_slice()
        } else {
            findings.fault("fly-toml::type", &path, &node.span, format!("must be a table, not {}", node.value.kind()));
            &[]
        };
        Self { entries, span: node.span.clone(), path, findings, asked: RefCell::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entry of `key` and notes that the key is known.
    pub(super) fn get(&self, key: &'static str) -> Option<&'a Entry> {
        self.asked.borrow_mut().push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Returns every entry, all of them known: for tables whose keys are names.
    pub(super) fn all(&self) -> &'a [Entry] {
        self.entries
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn fault(&self, code: &'static str, key: &str, message: impl Into<String>) {
        let span = self.entries.iter().find(|entry| entry.key == key).map_or(&self.span, |entry| &entry.node.span);
        self.findings.fault(code, &self.path_of(key), span, message);
    }

    pub(super) fn warn(&self, code: &'static str, key: &str, message: impl Into<String>) {
        let span = self.entries.iter().find(|entry| entry.key == key).map_or(&self.span, |entry| &entry.node.span);
        self.findings.warn(code, &self.path_of(key), span, message, None);
    }

    fn wrong(&self, entry: &Entry, wanted: &str) {
        let message = format!("must be {wanted}, not {}", entry.node.value.kind());
        self.findings.fault("fly-toml::type", &self.path_of(&entry.key), &entry.node.span, message);
    }

    /// Reads a string.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        let entry = self.get(key)?;
        if let Value::Text(text) = &entry.node.value {
            return Some(text.clone());
        }
        self.wrong(entry, "a string");
        None
    }

    /// Reads a string; numbers and flags are made into one.
    pub(super) fn loose_text(&self, key: &'static str) -> Option<String> {
        let entry = self.get(key)?;
        let text = entry.node.value.scalar();
        if text.is_none() {
            self.wrong(entry, "a string");
        }
        text
    }

    /// Reads a whole number within `range`; digits in a string are accepted, as flyctl does for ports.
    pub(super) fn integer(&self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let entry = self.get(key)?;
        let number = match &entry.node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.wrong(entry, "a whole number");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let message = format!("must be between {} and {}", range.start(), range.end());
        self.findings.fault("fly-toml::range", &self.path_of(key), &entry.node.span, message);
        None
    }

    /// Reads a port.
    pub(super) fn port(&self, key: &'static str) -> Option<u16> {
        self.integer(key, 1..=65535).and_then(|number| u16::try_from(number).ok())
    }

    /// Reads a count.
    pub(super) fn count(&self, key: &'static str) -> Option<u32> {
        self.integer(key, 0..=i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())
    }

    /// Reads a number, whole or not.
    pub(super) fn number(&self, key: &'static str) -> Option<f64> {
        let entry = self.get(key)?;
        match &entry.node.value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => {
                self.wrong(entry, "a number");
                None
            }
        }
    }

    /// Reads true or false.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let entry = self.get(key)?;
        if let Value::Flag(flag) = entry.node.value {
            return Some(flag);
        }
        self.wrong(entry, "true or false");
        None
    }

    /// Reads a duration in Go's form; a bare number means what `bare` says, and an empty string means unset.
    pub(super) fn duration(&self, key: &'static str, bare: Bare) -> Option<Duration> {
        let entry = self.get(key)?;
        let bare_number = |number: f64| {
            let seconds = match bare {
                Bare::Milliseconds | Bare::MillisecondsWarned => number / 1000.0,
                Bare::Seconds | Bare::SecondsWarned => number.trunc(),
            };
            if matches!(bare, Bare::MillisecondsWarned | Bare::SecondsWarned) {
                let read = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                self.warn(
                    "fly-toml::bare-duration",
                    key,
                    format!("a bare number is read as {read:?} here, flyctl reads nanoseconds; write a unit"),
                );
            }
            Duration::try_from_secs_f64(seconds).ok()
        };
        let duration = match &entry.node.value {
            Value::Text(text) if text.is_empty() => return None,
            Value::Text(text) => parse_duration(text),
            Value::Integer(number) => bare_number(*number as f64),
            Value::Float(number) => bare_number(*number),
            _ => None,
        };
        if duration.is_none() {
            self.fault("fly-toml::duration", key, "must be a duration such as \"10s\", \"1m30s\" or \"500ms\"");
        }
        duration
    }

    /// Reads a list of strings.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let entry = self.get(key)?;
        let Value::List(nodes) = &entry.node.value else {
            self.wrong(entry, "a list of strings");
            return None;
        };
        let texts: Option<Vec<String>> = nodes.iter().map(|node| node.value.scalar()).collect();
        if texts.is_none() {
            self.wrong(entry, "a list of strings");
        }
        texts
    }

    /// Reads a list of strings for which a single string is accepted as one element, not split.
    pub(super) fn text_or_texts(&self, key: &'static str) -> Option<Vec<String>> {
        match &self.get(key)?.node.value {
            Value::Text(text) => Some(vec![text.clone()]),
            _ => self.texts(key),
        }
    }

    /// Reads a table of scalars as strings.
    pub(super) fn text_map(&self, key: &'static str) -> Option<Vec<(String, String)>> {
        let table = self.table(key)?;
        let pairs = table.all().iter().filter_map(|entry| {
            let text = entry.node.value.scalar();
            if text.is_none() {
                table.wrong(entry, "a string");
            }
            Some((entry.key.clone(), text?))
        });
        Some(pairs.collect())
    }

    /// Reads a table.
    pub(super) fn table(&self, key: &'static str) -> Option<Reader<'a>> {
        let entry = self.get(key)?;
        Some(Reader::new(&entry.node, self.path_of(key), self.findings))
    }

    /// Reads a table or a list of tables; empty tables in single form count as nothing.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        match &entry.node.value {
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| Reader::new(node, format!("{}[{index}]", self.path_of(key)), self.findings))
                .collect(),
            _ => Some(Reader::new(&entry.node, self.path_of(key), self.findings)).filter(|table| !table.is_empty()).into_iter().collect(),
        }
    }

    /// Reads a table that goes to Fly as it is written, less the keys that Fly does not know: `shape` tells those that it does.
    pub(super) fn shaped(&self, key: &'static str, shape: &dyn Fn(&Shaping<'a>)) -> Option<serde_json::Value> {
        let entry = self.get(key)?;
        let tables: Vec<Reader<'a>> = match &entry.node.value {
            Value::List(_) => self.tables(key),
            _ => vec![Reader::new(&entry.node, self.path_of(key), self.findings)],
        };
        let values = tables.into_iter().map(|table| {
            let shaping = Shaping { table, kept: RefCell::default() };
            shape(&shaping);
            shaping.table.finish();
            serde_json::Value::Object(shaping.kept.into_inner())
        });
        let mut values: Vec<serde_json::Value> = values.collect();
        if matches!(entry.node.value, Value::List(_)) { Some(values.into()) } else { values.pop() }
    }

    /// Warns about every key that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for entry in self.entries.iter().filter(|entry| !asked.contains(&entry.key.as_str())) {
            let nearest = asked.iter().map(|known| (strsim::osa_distance(known, &entry.key), *known)).min();
            let suggestion = nearest.filter(|(distance, known)| *distance <= 1 + known.len() / 4).map(|(_, known)| known.to_owned());
            let path = self.path_of(&entry.key);
            self.findings.warn("fly-toml::unknown-key", &path, &entry.at, "is not known and has no effect", suggestion);
        }
    }
}
