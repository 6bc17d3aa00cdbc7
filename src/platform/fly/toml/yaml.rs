//! The same file in JSON or YAML, as the same tree: flyctl takes `fly.json` and `fly.yaml` for a `fly.toml` (fly.md 13).

use std::ops::Range;

use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle};

use super::finding::Findings;
use super::tree::{Entry, Node, Value};

/// How deep values may be nested.
const MAX_DEPTH: usize = 64;
/// How many values a file may have.
const MAX_NODES: usize = 20_000;

/// Parses JSON. The parser for JSON judges it, the one for YAML says where everything stands: every JSON text is YAML, once its tabs,
/// which JSON allows between values only, are blanks.
pub(super) fn parse_json(text: &str, findings: &Findings) -> Node {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = (before + error.column().saturating_sub(1)).min(text.len());
        findings.fault("fly-toml::syntax", "", &(at..at), format!("this is not JSON: {error}"));
        return empty();
    }
    parse_yaml(&text.replace('\t', " "), findings)
}

/// Parses YAML; what the tree cannot say (aliases, several documents) is a fault.
pub(super) fn parse_yaml(text: &str, findings: &Findings) -> Node {
    let options = granit_parser::options! { emit_unresolved_aliases: true, emit_comments: false };
    let mut growing = Growing { findings, open: Vec::new(), root: None, nodes: 0 };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                findings.fault("fly-toml::syntax", "", &(at..at), format!("this is not YAML: {}", error.info()));
                return empty();
            }
        };
        let at = span.byte_range().unwrap_or(0..0);
        documents += usize::from(matches!(event, Event::DocumentStart(..)));
        growing.take(event, &at);
        let refusal = if documents > 1 {
            Some("holds more than one document")
        } else if growing.open.len() > MAX_DEPTH || growing.nodes > MAX_NODES {
            Some("is nested too deeply or holds too much")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            findings.fault("fly-toml::syntax", "", &at, refusal);
            return empty();
        }
    }
    growing.root.unwrap_or_else(empty)
}

fn empty() -> Node {
    Node { span: 0..0, value: Value::Table(Vec::new()) }
}

enum Open {
    List { start: usize, items: Vec<Node> },
    Table { start: usize, entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

struct Growing<'f> {
    findings: &'f Findings,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Growing<'_> {
    fn take(&mut self, event: Event<'_>, at: &Range<usize>) {
        match event {
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Table { key: key @ None, .. }) = self.open.last_mut() {
                    *key = Some((text.into_owned(), at.clone()));
                    return;
                }
                let value = if style == ScalarStyle::Plain { plain(&text) } else { Some(Value::Text(text.into_owned())) };
                self.put(value, at.clone());
            }
            Event::SequenceStart(..) => self.begin(Open::List { start: at.start, items: Vec::new() }, at),
            Event::MappingStart(..) => self.begin(Open::Table { start: at.start, entries: Vec::new(), key: None }, at),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { start, items }) => self.put(Some(Value::List(items)), start..at.end.max(start)),
                Some(Open::Table { start, entries, .. }) => self.put(Some(Value::Table(entries)), start..at.end.max(start)),
                None => {}
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.findings.fault("fly-toml::syntax", "", at, "aliases are not followed: write the value out");
                self.put(None, at.clone());
            }
            _ => {}
        }
    }

    fn begin(&mut self, open: Open, at: &Range<usize>) {
        if let Some(Open::Table { key: key @ None, .. }) = self.open.last_mut() {
            self.findings.fault("fly-toml::syntax", "", at, "a key must be a text");
            *key = Some((String::new(), at.clone()));
        }
        self.open.push(open);
    }

    /// Puts a finished value where it belongs; a null is as good as a key that is not there.
    fn put(&mut self, value: Option<Value>, span: Range<usize>) {
        self.nodes += 1;
        let node = value.map(|value| Node { span, value });
        match self.open.last_mut() {
            None => self.root = node,
            Some(Open::List { items, .. }) => items.extend(node),
            Some(Open::Table { entries, key, .. }) => {
                let Some((key, at)) = key.take() else { return };
                if entries.iter().any(|entry| entry.key == key) {
                    self.findings.fault("fly-toml::syntax", &key, &at, "is written twice");
                }
                entries.extend(node.map(|node| Entry { key, at, node }));
            }
        }
    }
}

/// Returns what a scalar without quotes is; `None` for null.
fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => None,
        "true" | "True" | "TRUE" => Some(Value::Flag(true)),
        "false" | "False" | "FALSE" => Some(Value::Flag(false)),
        _ => {
            let number =
                text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE_".contains(&byte)) && text.bytes().any(|b| b.is_ascii_digit());
            let integer = text.parse().ok().map(Value::Integer);
            let float = || text.parse().ok().filter(|_| number).map(Value::Float);
            integer.or_else(float).or_else(|| Some(Value::Text(text.to_owned())))
        }
    }
}
