//! The file as a tree that remembers where everything stands.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::finding::Findings;
use super::yaml::{parse_json, parse_yaml};

/// In which language a file is written; flyctl decides by its name (fly.md 13).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// TOML: every name that the others do not claim.
    #[default]
    Toml,
    /// JSON: names that end in `.json`.
    Json,
    /// YAML: names that end in `.yaml`, not `.yml`.
    Yaml,
}

impl Form {
    /// Returns the form of the file at `path`.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("json") => Self::Json,
            Some("yaml") => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// A value and where it stands, in bytes from the beginning of the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Moment(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Range<usize>,
    pub(super) node: Node,
}

impl Value {
    /// Returns what it is, for a message.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Moment(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Returns a scalar as flyctl makes a string of it; `None` for lists and tables.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Moment(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::List(_) | Self::Table(_) => None,
        }
    }

    /// Returns the value as JSON, keys as written.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) | Self::Moment(text) => text.clone().into(),
            Self::Integer(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.json()).collect(),
            Self::Table(entries) => {
                serde_json::Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.value.json())).collect())
            }
        }
    }
}

/// Parses a file in its form.
pub(super) fn parse(text: &str, form: Form, findings: &Findings) -> Node {
    match form {
        Form::Toml => parse_toml(text, findings),
        Form::Json => parse_json(text, findings),
        Form::Yaml => parse_yaml(text, findings),
    }
}

/// Parses TOML; every fault that the parser can recover from is found in one pass.
fn parse_toml(text: &str, findings: &Findings) -> Node {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        findings.fault("fly-toml::syntax", "", &error.span().unwrap_or(0..0), error.message());
    }
    let span = table.span();
    Node { span, value: Value::Table(entries(table.into_inner())) }
}

fn entries(table: DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| {
            let at = key.span();
            let span = value.span();
            Entry { key: key.into_inner().into_owned(), at, node: Node { span, value: convert(value.into_inner()) } }
        })
        .collect();
    // The parser sorts by key; findings and lists read better in the order of the file.
    entries.sort_by_key(|entry| entry.at.start);
    entries
}

fn convert(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or_else(|_| Value::Text(digits), Value::Integer)
        }
        DeValue::Float(number) => Value::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(nodes) => {
            Value::List(nodes.into_iter().map(|node| Node { span: node.span(), value: convert(node.into_inner()) }).collect())
        }
        DeValue::Table(table) => Value::Table(entries(table)),
    }
}
