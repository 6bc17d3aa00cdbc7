//! Reads values out of the tree, and keeps every fault on the way.
//!
//! Each method returns `None` after it reported a fault, and the caller goes on with the next value: that is how one pass finds everything.

use std::ops::Range;
use std::time::Duration;

use indexmap::IndexMap;

use super::fault::{Code, Fault};
use super::keys::Section;
use super::scalar;
use super::tree::{Key, Kind, Node};
use crate::id::Name;

/// What a name in the manifest points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pointed {
    Gate,
    Service,
    Image,
    Target,
}

impl Pointed {
    /// Returns the word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Service => "service",
            Self::Image => "image",
            Self::Target => "target",
        }
    }
}

/// Who points: the kind of thing and its name; an override points from inside of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct From {
    pub(super) section: &'static str,
    pub(super) name: String,
    pub(super) environment: Option<String>,
}

/// One name that points at something, and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) to: Pointed,
    pub(super) name: Name,
    pub(super) span: Range<usize>,
    pub(super) from: From,
}

/// One path that must be there, and where it is written.
#[derive(Debug, Clone)]
pub(super) struct PathUse {
    pub(super) path: String,
    pub(super) directory: bool,
    pub(super) span: Range<usize>,
    /// What the manifest needs it for, in words.
    pub(super) what: String,
    pub(super) suggestion: Option<String>,
}

/// Everything that reading leaves behind besides the values.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
    pub(super) references: Vec<Reference>,
    pub(super) paths: Vec<PathUse>,
}

/// A map with a fixed set of keys, all known.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    /// Where to say that something is missing: at the key that names the map.
    pub(super) at: Range<usize>,
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// Returns the value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// Returns `key` and its value.
    pub(super) fn entry(&self, key: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries.iter().find(|(own, _)| own.text == key).map(|(key, node)| (key, node))
    }
}

impl Reader {
    /// Keeps a fault.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Reports that `node` is not `wanted`.
    pub(super) fn wrong_type<T>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        if !matches!(node.kind, Kind::Refused) {
            self.fault(Fault::new(Code::WrongType, &node.span, format!("this must be {wanted}, not {}", node.kind.words())));
        }
        None
    }

    /// Returns the map `node` as the `section` that `at` names, after reporting unknown and missing keys.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, at: &Range<usize>, section: &Section) -> Option<Fields<'n>> {
        let fields = self.loose_fields(node, at, section)?;
        for key in section.required {
            if fields.get(key).is_none() {
                self.fault(Fault::new(Code::MissingKey, at, format!("{} needs `{key}`", section.what)));
            }
        }
        Some(fields)
    }

    /// Returns the map `node` as a part of `section`, after reporting unknown keys.
    pub(super) fn loose_fields<'n>(&mut self, node: &'n Node, at: &Range<usize>, section: &Section) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else { return self.wrong_type(node, "a map") };
        for (key, _) in entries {
            if !section.keys.iter().any(|known| known.name == key.text) {
                let fault = Fault::new(Code::UnknownKey, &key.span, format!("{} has no key `{}`", section.what, scalar::shown(&key.text)));
                let known = section.keys.iter().map(|known| known.name);
                self.fault(
                    fault.suggest_maybe(closest(&key.text, known.clone()).or_else(|| Some(format!("known keys: {}", listed(known))))),
                );
            }
        }
        Some(Fields { at: at.clone(), entries })
    }

    /// Returns the entries of the map `node` whose keys are names, reading each value with `read`.
    pub(super) fn named<T>(
        &mut self,
        node: &Node,
        what: &str,
        mut read: impl FnMut(&mut Self, &Name, &Key, &Node) -> Option<T>,
    ) -> IndexMap<Name, T> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type::<()>(node, &format!("a map with the name of each {what}"));
            return IndexMap::new();
        };
        let mut all = IndexMap::new();
        for (key, value) in entries {
            // A fault of the name does not hide the faults of what it names.
            let name = self.name_from(&key.text, &key.span).or_else(|| Name::parse("unnamed"));
            if let Some(name) = name
                && let Some(value) = read(self, &name, key, value)
            {
                all.insert(name, value);
            }
        }
        all
    }

    /// Returns `text` as a name.
    pub(super) fn name_from(&mut self, text: &str, span: &Range<usize>) -> Option<Name> {
        let name = Name::parse(text);
        if name.is_none() {
            let fault = Fault::new(Code::BadName, span, format!("`{}` cannot be a name", scalar::shown(text)));
            let rule = format!("a name has up to {} of a-z, 0-9, `-` and `_`, and begins with a letter or digit", Name::MAX_LENGTH);
            let better: String =
                text.to_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
            let better = better.trim_matches('-');
            self.fault(fault.suggest(Name::parse(better).map_or(rule.clone(), |name| format!("write `{name}`: {rule}"))));
        }
        name
    }

    /// Returns the scalar `node` as text, and whether it is plain.
    pub(super) fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<(&'n str, bool)> {
        match &node.kind {
            Kind::Text { text, plain } => Some((text, *plain)),
            _ => self.wrong_type(node, wanted),
        }
    }

    /// Returns the scalar `node` as a text that is not empty.
    pub(super) fn text(&mut self, node: &Node, wanted: &str) -> Option<String> {
        let (text, _) = self.scalar(node, wanted)?;
        if text.trim().is_empty() {
            self.fault(Fault::new(Code::BadValue, &node.span, format!("this must be {wanted}, and is empty")));
            return None;
        }
        Some(text.to_owned())
    }

    /// Returns a value that `parse` reads from the scalar `node`.
    pub(super) fn parsed<T>(&mut self, node: &Node, wanted: &str, parse: impl FnOnce(&str) -> Result<T, scalar::Wrong>) -> Option<T> {
        let text = self.text(node, wanted)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.fault(Fault::new(wrong.code, &node.span, wrong.message).suggest_maybe(wrong.suggestion));
                None
            }
        }
    }

    /// Returns the scalars of a list, or the one scalar that stands for a list of one.
    pub(super) fn list<T>(&mut self, node: &Node, wanted: &str, mut read: impl FnMut(&mut Self, &Node) -> Option<T>) -> Vec<T> {
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| read(self, item)).collect(),
            Kind::Map(_) => {
                self.wrong_type::<()>(node, &format!("{wanted} or a list of them"));
                Vec::new()
            }
            _ => read(self, node).into_iter().collect(),
        }
    }

    /// Returns a list of names that point at things, each remembered; a name that is written twice is reported.
    pub(super) fn references(&mut self, node: Option<&Node>, to: Pointed, from: &From) -> Vec<Name> {
        let Some(node) = node else { return Vec::new() };
        let mut seen: Vec<Name> = Vec::new();
        self.list(node, &format!("the name of a {}", to.word()), |reader, item| {
            let name = reader.reference(item, to, from)?;
            if seen.contains(&name) {
                reader.fault(Fault::new(Code::DuplicateKey, &item.span, format!("`{name}` is written twice")).suggest("keep one of them"));
                return None;
            }
            seen.push(name.clone());
            Some(name)
        })
    }

    /// Returns one name that points at something, remembered.
    pub(super) fn reference(&mut self, node: &Node, to: Pointed, from: &From) -> Option<Name> {
        let text = self.text(node, &format!("the name of a {}", to.word()))?;
        let name = self.name_from(&text, &node.span)?;
        self.references.push(Reference { to, name: name.clone(), span: node.span.clone(), from: from.clone() });
        Some(name)
    }

    /// Returns a duration of more than nothing and at most `limit`.
    pub(super) fn duration(&mut self, node: &Node, limit: Duration) -> Option<Duration> {
        self.parsed(node, "a duration such as `60s` or `15m`", |text| scalar::duration(text, limit))
    }

    /// Returns a whole number within `range`.
    pub(super) fn number(&mut self, node: &Node, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        self.parsed(node, &wanted, |text| scalar::number(text, &range))
    }

    /// Returns a boolean, which only `true` and `false` are.
    pub(super) fn flag(&mut self, node: &Node) -> Option<bool> {
        let (text, plain) = self.scalar(node, "`true` or `false`")?;
        match (text, plain) {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            (other, _) => {
                let fault =
                    Fault::new(Code::WrongType, &node.span, format!("this must be `true` or `false`, not `{}`", scalar::shown(other)));
                let meant = match other.to_lowercase().as_str() {
                    "yes" | "on" | "true" | "y" => Some("write `true`".to_owned()),
                    "no" | "off" | "false" | "n" => Some("write `false`".to_owned()),
                    _ => None,
                };
                self.fault(fault.suggest_maybe(meant));
                None
            }
        }
    }

    /// Returns a map of texts whose keys `key` judges.
    pub(super) fn texts(&mut self, node: Option<&Node>, mut key: impl FnMut(&mut Self, &Key) -> bool) -> IndexMap<String, String> {
        let mut all = IndexMap::new();
        let Some(node) = node else { return all };
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type::<()>(node, "a map of texts");
            return all;
        };
        for (own, value) in entries {
            let good = key(self, own);
            if let Some((text, _)) = self.scalar(value, "a text")
                && good
            {
                all.insert(own.text.clone(), text.to_owned());
            }
        }
        all
    }

    /// Returns whether `text` can name an environment variable, after reporting when it cannot.
    pub(super) fn is_variable(&mut self, text: &str, span: &Range<usize>) -> bool {
        let good = scalar::is_variable_name(text);
        if !good {
            let fault = Fault::new(Code::BadVariableName, span, format!("`{}` cannot name an environment variable", scalar::shown(text)));
            self.fault(fault.suggest("use letters, digits and `_`, and do not begin with a digit"));
        }
        good
    }

    /// Returns the name of an environment variable.
    pub(super) fn variable_name(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "the name of an environment variable")?;
        self.is_variable(&text, &node.span).then_some(text)
    }

    /// Returns a list of names of environment variables.
    pub(super) fn variable_names(&mut self, node: Option<&Node>) -> Vec<String> {
        node.map_or_else(Vec::new, |node| self.list(node, "the name of an environment variable", Self::variable_name))
    }

    /// Returns a path below the repository's root.
    pub(super) fn path(&mut self, node: &Node, wanted: &str) -> Option<String> {
        self.parsed(node, wanted, scalar::path)
    }

    /// Returns a list of globs below the repository's root.
    pub(super) fn globs(&mut self, node: Option<&Node>) -> Vec<String> {
        node.map_or_else(Vec::new, |node| self.list(node, "a glob", |reader, item| reader.parsed(item, "a glob", scalar::glob)))
    }
}

/// Returns "did you mean …" when one of `known` is near to `written`.
pub(super) fn closest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let near = known.map(|known| (strsim::damerau_levenshtein(written, known), known)).min_by_key(|(distance, _)| *distance);
    let (distance, known) = near?;
    // Two slips in a word of six, one in a shorter one; a short form of the word counts as well.
    let allowed = (written.len().max(known.len()) / 3).clamp(1, 3);
    let begun = written.len() >= 3 && (known.starts_with(written) || written.starts_with(known));
    (distance <= allowed || begun).then(|| format!("did you mean `{known}`?"))
}

/// Returns names as a list for people: the first dozen, and how many more there are.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    const MOST: usize = 12;
    let first = names.clone().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.skip(MOST).count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
