//! The patterns of `vercel.json`: `/blog/:slug*`, made into what a route of the Build Output API matches and inserts.
//!
//! The grammar is that of path-to-regexp 6.1, by which the vendor's client compiles them (vendor's client, `@vercel/routing-utils`): a name
//! after a colon, a pattern in parentheses, both with a `*`, `+` or `?`, groups in braces, a backslash before what is meant as it stands.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// What a name matches that says nothing else: one part of a path.
const ONE_PART: &str = "[^/]+?";
/// What the vendor's client puts a backslash before. A slash needs none outside of JavaScript's own notation.
const SPECIAL: &str = ".+*?=^!:${}()[]|\\";

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The regular expression.
    pub(super) src: String,
    /// What each of its captures is called, in order; `None` for one without a name.
    pub(super) names: Vec<Option<String>>,
}

#[derive(Debug, Default)]
struct Segment {
    name: Option<String>,
    pattern: Option<String>,
    prefix: String,
    suffix: String,
    modifier: Option<char>,
}

impl Pattern {
    /// Compiles a `source`. Errors: what is wrong with it, in words.
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        let mut reader = Reader { letters: source.chars().peekable() };
        let mut made = Self { src: "^".to_owned(), names: Vec::new() };
        while let Some(letter) = reader.letters.peek().copied() {
            match letter {
                '/' | '.' if reader.is_before_segment() => {
                    reader.letters.next();
                    let segment = reader.segment(letter.to_string())?;
                    made.add(segment);
                }
                ':' | '(' => {
                    let segment = reader.segment(String::new())?;
                    made.add(segment);
                }
                '{' => {
                    let segment = reader.group()?;
                    made.add(segment);
                }
                '}' | '*' | '+' | '?' => return Err(format!("`{letter}` stands where a name or a pattern is expected in `{source}`")),
                _ => made.src.push_str(&escaped(&reader.literal()?)),
            }
        }
        made.src.push('$');
        Ok(made)
    }

    fn add(&mut self, segment: Segment) {
        let (prefix, suffix) = (escaped(&segment.prefix), escaped(&segment.suffix));
        let modifier = segment.modifier.map(String::from).unwrap_or_default();
        let pattern = match (&segment.name, segment.pattern) {
            (_, Some(pattern)) => pattern,
            (Some(_), None) => ONE_PART.to_owned(),
            (None, None) => {
                self.src.extend(["(?:", &prefix, &suffix, ")", &modifier]);
                return;
            }
        };
        self.names.push(segment.name);
        let text = match segment.modifier {
            _ if prefix.is_empty() && suffix.is_empty() => format!("({pattern}){modifier}"),
            Some(many @ ('*' | '+')) => {
                let perhaps = if many == '*' { "?" } else { "" };
                format!("(?:{prefix}((?:{pattern})(?:{suffix}{prefix}(?:{pattern}))*){suffix}){perhaps}")
            }
            _ => format!("(?:{prefix}({pattern}){suffix}){modifier}"),
        };
        self.src.push_str(&text);
    }

    /// Returns by what a destination inserts each named capture: `$1`, and `$name` for what a condition (`has`) captures.
    pub(super) fn inserted<'a>(&'a self, conditions: &'a [String]) -> Vec<(&'a str, String)> {
        let own = self.names.iter().enumerate().filter_map(|(index, name)| Some((name.as_deref()?, format!("${}", index + 1))));
        own.chain(conditions.iter().map(|name| (name.as_str(), format!("${name}")))).collect()
    }
}

/// A text in which names were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    pub(super) used: BTreeSet<String>,
    /// What looks like a name and is none of the known ones.
    pub(super) unknown: Option<String>,
}

/// Replaces `:name`, with its pattern and its modifier, by what inserts the capture; everything else stays.
pub(super) fn expand(template: &str, known: &[(&str, String)]) -> Expanded {
    let mut expanded = Expanded { text: String::new(), used: BTreeSet::new(), unknown: None };
    let mut reader = Reader { letters: template.chars().peekable() };
    while let Some(letter) = reader.letters.next() {
        match letter {
            '\\' => expanded.text.extend(reader.letters.next()),
            ':' => {
                let name = reader.name();
                if let Some((_, inserted)) = known.iter().find(|(known, _)| *known == name) {
                    expanded.text.push_str(inserted);
                    expanded.used.insert(name);
                    if reader.letters.peek() == Some(&'(') {
                        // A pattern in a destination says nothing that the source has not said.
                        let _ = reader.parentheses();
                    }
                    reader.modifier();
                } else {
                    // `https://` and a port are no names.
                    if name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
                        expanded.unknown.get_or_insert_with(|| name.clone());
                    }
                    expanded.text.push(':');
                    expanded.text.push_str(&name);
                }
            }
            other => expanded.text.push(other),
        }
    }
    expanded
}

struct Reader<'a> {
    letters: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    /// Returns whether the slash or dot that comes next belongs to the segment behind it.
    fn is_before_segment(&self) -> bool {
        matches!(self.letters.clone().nth(1), Some(':' | '('))
    }

    fn literal(&mut self) -> Result<String, String> {
        match self.letters.next() {
            Some('\\') => self.letters.next().map(String::from).ok_or_else(|| "it ends with a backslash".to_owned()),
            Some(letter) => Ok(letter.to_string()),
            None => Ok(String::new()),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) = self.letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_') {
            name.push(letter);
        }
        name
    }

    fn modifier(&mut self) -> Option<char> {
        self.letters.next_if(|letter| matches!(letter, '*' | '+' | '?'))
    }

    /// Reads a name, a pattern or both, and what stands behind them.
    fn named(&mut self) -> Result<Segment, String> {
        let mut segment = Segment::default();
        if self.letters.next_if_eq(&':').is_some() {
            let name = self.name();
            if name.is_empty() {
                return Err("a colon has no name behind it".to_owned());
            }
            segment.name = Some(name);
        }
        if self.letters.peek() == Some(&'(') {
            segment.pattern = Some(self.parentheses()?);
        }
        Ok(segment)
    }

    fn segment(&mut self, prefix: String) -> Result<Segment, String> {
        let segment = self.named()?;
        Ok(Segment { prefix, modifier: self.modifier(), ..segment })
    }

    /// Reads `{prefix:name(pattern)suffix}` with its modifier.
    fn group(&mut self) -> Result<Segment, String> {
        self.letters.next();
        let prefix = self.text()?;
        let segment = self.named()?;
        let suffix = self.text()?;
        if self.letters.next() != Some('}') {
            return Err("a brace is not closed".to_owned());
        }
        Ok(Segment { prefix, suffix, modifier: self.modifier(), ..segment })
    }

    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        while !matches!(self.letters.peek(), None | Some(':' | '(' | '{' | '}' | '*' | '+' | '?')) {
            text.push_str(&self.literal()?);
        }
        Ok(text)
    }

    /// Reads what is between a parenthesis and its counterpart. A group in it must not capture, since captures are counted.
    fn parentheses(&mut self) -> Result<String, String> {
        self.letters.next();
        let mut pattern = String::new();
        let mut depth = 1;
        while let Some(letter) = self.letters.next() {
            match letter {
                '\\' => {
                    pattern.push(letter);
                    pattern.extend(self.letters.next());
                    continue;
                }
                '(' if self.letters.peek() != Some(&'?') => {
                    return Err(format!("a group in a pattern must not capture: write `(?:` after `({pattern}`"));
                }
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let usable = !pattern.is_empty() && !pattern.starts_with('?');
                return if usable { Ok(pattern) } else { Err(format!("`({pattern})` is no pattern")) };
            }
            pattern.push(letter);
        }
        Err("a parenthesis is not closed".to_owned())
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if SPECIAL.contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
