//! YAML as a tree in which every value knows its place. The only file that names the YAML crate.
//!
//! The tree keeps what a map would lose: keys that are written twice, and whether a text was quoted. What the manifest never allows (tags,
//! anchors, aliases, nulls, keys that are no text) is reported here, all of it, and stands in the tree as [`Kind::Refused`], which the reader passes
//! over in silence. Rejected: binding through serde, which stops at the first fault and keeps one of two equal keys.

use std::ops::Range;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::fault::{Code, Fault};

/// How deep values may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// How many values a manifest may have.
pub(super) const MAX_NODES: usize = 20_000;

/// A value and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A scalar; `plain` when it is not quoted, so that it may be a number or a boolean.
    Text { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, with every key that was written.
    Map(Vec<(Key, Node)>),
    /// Something that was reported already.
    Refused,
}

impl Kind {
    /// Returns what it is, in words.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Refused => "nothing",
        }
    }
}

/// Returns the tree of the only document in `text`, with everything that the tree itself refuses in `faults`; `None` when there is no tree.
pub(super) fn parse(text: &str, faults: &mut Vec<Fault>) -> Option<Node> {
    let options = granit_parser::options! { emit_unresolved_aliases: true, emit_anchor_events: true, disallow_directives: true, emit_comments: false };
    let mut growing = Growing { text, faults, open: Vec::new(), root: None, nodes: 0 };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                growing.faults.push(syntax(text, &error));
                return None;
            }
        };
        let at = span.byte_range().unwrap_or(0..0);
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                growing.faults.push(
                    Fault::new(Code::SeveralDocuments, &at, "the file holds more than one document")
                        .suggest("keep one manifest in the file"),
                );
                break;
            }
        }
        let tag = span.tag_span().and_then(|tag| tag.byte_range());
        if !growing.take(event, &at, tag) {
            return None;
        }
    }
    growing.finish()
}

fn syntax(text: &str, error: &ScanError) -> Fault {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(&(at..at));
    }
    let fault = Fault::new(Code::Syntax, &(at..at), format!("this is not YAML: {}", error.info()));
    let line = text[..at].rsplit('\n').next().unwrap_or_default();
    let tab = line.starts_with('\t') || text[at..].starts_with('\t');
    if tab { fault.suggest("indent with spaces; YAML does not allow tabs") } else { fault }
}

fn too_deep(at: &Range<usize>) -> Fault {
    Fault::new(Code::TooDeep, at, format!("values are nested deeper than {MAX_DEPTH} levels"))
}

enum Open {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<(Key, Node)>, key: Waiting },
}

/// What a map waits for.
#[derive(Default)]
enum Waiting {
    /// For a key.
    #[default]
    Anew,
    /// For the value of this key.
    ValueOf(Key),
    /// For the value of a key that was refused.
    Nothing,
}

struct Growing<'t> {
    text: &'t str,
    faults: &'t mut Vec<Fault>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Growing<'_> {
    /// Takes one event; returns whether to go on.
    fn take(&mut self, event: Event<'_>, at: &Range<usize>, tag: Option<Range<usize>>) -> bool {
        if let Some(tag) = tag {
            let word = self.text.get(tag.clone()).unwrap_or("!");
            self.faults.push(
                Fault::new(Code::Tag, &tag, format!("the tag `{word}` is not allowed"))
                    .suggest("quote the value, if the tag is a part of it"),
            );
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    self.null(&text, at);
                } else {
                    self.put(Node { span: at.clone(), kind: Kind::Text { text: text.into_owned(), plain } });
                }
            }
            Event::SequenceStart(..) => self.open.push(Open::List { start: at.start, items: Vec::new() }),
            Event::MappingStart(..) => self.open.push(Open::Map { start: at.start, entries: Vec::new(), key: Waiting::Anew }),
            Event::SequenceEnd | Event::MappingEnd => self.close(at.end),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.not_twice(at, "alias");
                self.put(Node { span: at.clone(), kind: Kind::Refused });
            }
            Event::Anchor(..) => self.not_twice(at, "anchor"),
            _ => {}
        }
        self.within_limits(at)
    }

    fn within_limits(&mut self, at: &Range<usize>) -> bool {
        if self.open.len() > MAX_DEPTH {
            self.faults.push(too_deep(at));
        } else if self.nodes > MAX_NODES {
            self.faults.push(Fault::new(Code::TooLarge, at, format!("the manifest has more than {MAX_NODES} values")));
        } else {
            return true;
        }
        false
    }

    fn not_twice(&mut self, at: &Range<usize>, what: &str) {
        let word = self.text.get(at.clone()).unwrap_or_default();
        let fault = Fault::new(Code::Alias, at, format!("the {what} `{word}` is not allowed: a manifest says everything where it is read"));
        self.faults.push(fault.suggest("write the value out, or quote it if it is a text"));
    }

    fn null(&mut self, text: &str, at: &Range<usize>) {
        let refused = Node { span: at.clone(), kind: Kind::Refused };
        // The parser writes a value that is not there as `~` of no width.
        let nothing = at.is_empty();
        if nothing && self.open.is_empty() {
            self.put(refused);
            return;
        }
        let fault = match self.open.last() {
            Some(Open::Map { key: Waiting::ValueOf(key), .. }) => {
                let (place, hint) = if nothing {
                    (&key.span, "give it a value, or take the key out".to_owned())
                } else {
                    (at, format!("quote it, if the text `{text}` is meant"))
                };
                Fault::new(Code::Null, place, format!("`{}` has no value", key.text)).suggest(hint)
            }
            _ => Fault::new(Code::Null, at, "there is no value here").suggest(format!("quote it (`\"{text}\"`), if it is a text")),
        };
        self.faults.push(fault);
        self.put(refused);
    }

    fn close(&mut self, end: usize) {
        let node = match self.open.pop() {
            Some(Open::List { start, items }) => Node { span: start..end.max(start), kind: Kind::List(items) },
            Some(Open::Map { start, entries, .. }) => Node { span: start..end.max(start), kind: Kind::Map(entries) },
            None => return,
        };
        self.put(node);
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node) {
        self.nodes += 1;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match std::mem::take(key) {
                Waiting::ValueOf(key) => add(self.faults, entries, key, node),
                Waiting::Nothing => {}
                Waiting::Anew => *key = as_key(self.faults, node),
            },
        }
    }

    fn finish(self) -> Option<Node> {
        match self.root {
            Some(Node { kind: Kind::Refused, .. }) | None => {
                if self.faults.is_empty() {
                    self.faults.push(Fault::new(Code::Empty, &(0..0), "the manifest says nothing").suggest("begin with `version: 1`"));
                }
                None
            }
            root => root,
        }
    }
}

fn as_key(faults: &mut Vec<Fault>, node: Node) -> Waiting {
    match node.kind {
        Kind::Text { text, .. } => Waiting::ValueOf(Key { text, span: node.span }),
        Kind::Refused => Waiting::Nothing,
        other => {
            faults.push(Fault::new(Code::WrongType, &node.span, format!("a key must be a text, not {}", other.words())));
            Waiting::Nothing
        }
    }
}

fn add(faults: &mut Vec<Fault>, entries: &mut Vec<(Key, Node)>, key: Key, node: Node) {
    if let Some((first, _)) = entries.iter().find(|(other, _)| other.text == key.text) {
        let fault = Fault::new(Code::DuplicateKey, &key.span, format!("`{}` is written twice", key.text));
        faults.push(fault.related(&first.span, "first written here").suggest("keep one of them"));
        return;
    }
    entries.push((key, node));
}
