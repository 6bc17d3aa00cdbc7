//! The patterns of Build Output API routes: the part of regular expressions that the vendor's builders write.
//!
//! Literals, `.`, classes, groups (capturing, named, not capturing), alternatives, greedy and lazy repetition, `^`, `$` and look-ahead, which
//! the vendor's own route files use and common linear-time engines leave out. Matching is bounded: after [`MOST_STEPS`] it gives up as no match.

/// The most steps that one match may take.
const MOST_STEPS: usize = 200_000;

/// The longest text that is matched, in characters: each one may cost a few frames of the stack.
const LONGEST_TEXT: usize = 4096;

#[derive(Debug, Clone)]
enum Node {
    Char(char),
    Any,
    Class { ranges: Vec<(char, char)>, negated: bool },
    Start,
    End,
    Group { capture: Option<usize>, inner: Box<Node> },
    Look { negated: bool, inner: Box<Node> },
    Repeat { inner: Box<Node>, least: usize, most: usize, greedy: bool },
    Sequence(Vec<Node>),
    Either(Vec<Node>),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    root: Node,
    names: Vec<Option<String>>,
    any_case: bool,
}

/// What a match captured, by number (0 is the whole) and by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captures {
    groups: Vec<Option<String>>,
    names: Vec<Option<String>>,
}

impl Captures {
    /// Returns `template` with `$1`, `$name` and `${name}` replaced; what captured nothing becomes empty.
    pub(super) fn expand(&self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            let (name, tail) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some(braced) => braced,
                None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
            };
            if name.is_empty() {
                text.push('$');
            } else {
                text.push_str(self.get(name).unwrap_or_default());
            }
            rest = tail;
        }
        text.push_str(rest);
        text
    }

    fn get(&self, name: &str) -> Option<&str> {
        let index = name.parse().ok().or_else(|| self.names.iter().position(|known| known.as_deref() == Some(name)))?;
        self.groups.get(index)?.as_deref()
    }
}

impl Pattern {
    /// Compiles `source`; it matches the whole path, as the vendor's routes do. Returns `None` for what it does not understand.
    pub(super) fn compile(source: &str, any_case: bool) -> Option<Self> {
        let mut parser = Parser { rest: source.chars().collect(), at: 0, names: vec![None] };
        let root = parser.either()?;
        (parser.at == parser.rest.len()).then_some(Self { root, names: parser.names, any_case })
    }

    /// Returns the captures when the whole of `text` matches.
    pub(super) fn matches(&self, text: &str) -> Option<Captures> {
        let text: Vec<char> = text.chars().collect();
        if text.len() > LONGEST_TEXT {
            return None;
        }
        let mut search = Search { text: &text, any_case: self.any_case, steps: 0, groups: vec![None; self.names.len()] };
        let end = text.len();
        if !search.step(&self.root, 0, &mut |_, at| at == end) {
            return None;
        }
        let mut groups: Vec<Option<String>> =
            search.groups.iter().map(|span| span.map(|(from, to)| text[from..to].iter().collect())).collect();
        groups[0] = Some(text.iter().collect());
        Some(Captures { groups, names: self.names.clone() })
    }
}

struct Parser {
    rest: Vec<char>,
    at: usize,
    names: Vec<Option<String>>,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += 1;
        Some(found)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(i, c)| self.rest.get(self.at + i) == Some(&c));
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn either(&mut self) -> Option<Node> {
        let mut choices = vec![self.sequence()?];
        while self.eat("|") {
            choices.push(self.sequence()?);
        }
        if choices.len() == 1 { choices.pop() } else { Some(Node::Either(choices)) }
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut nodes = Vec::new();
        while self.peek().is_some_and(|c| c != '|' && c != ')') {
            let atom = self.atom()?;
            nodes.push(self.repeated(atom)?);
        }
        Some(Node::Sequence(nodes))
    }

    fn repeated(&mut self, atom: Node) -> Option<Node> {
        let (least, most) = match self.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let close = self.rest[self.at..].iter().position(|c| *c == '}')? + self.at;
                let inside: String = self.rest[self.at + 1..close].iter().collect();
                self.at = close;
                match inside.split_once(',') {
                    None => (inside.parse().ok()?, inside.parse().ok()?),
                    Some((least, "")) => (least.parse().ok()?, usize::MAX),
                    Some((least, most)) => (least.parse().ok()?, most.parse().ok()?),
                }
            }
            _ => return Some(atom),
        };
        self.at += 1;
        let greedy = !self.eat("?");
        Some(Node::Repeat { inner: Box::new(atom), least, most, greedy })
    }

    fn atom(&mut self) -> Option<Node> {
        match self.take()? {
            '^' => Some(Node::Start),
            '$' => Some(Node::End),
            '.' => Some(Node::Any),
            '[' => self.class(),
            '\\' => self.escaped(),
            '(' => self.group(),
            '*' | '+' | '?' => None,
            plain => Some(Node::Char(plain)),
        }
    }

    fn escaped(&mut self) -> Option<Node> {
        let letter = self.take()?;
        Some(match shorthand(letter) {
            Some(ranges) => Node::Class { ranges, negated: letter.is_ascii_uppercase() },
            None => Node::Char(control(letter)?),
        })
    }

    fn class(&mut self) -> Option<Node> {
        let negated = self.eat("^");
        let mut ranges = Vec::new();
        loop {
            let from = match self.take()? {
                ']' if !ranges.is_empty() => return Some(Node::Class { ranges, negated }),
                '\\' => {
                    let letter = self.take()?;
                    if let Some(more) = shorthand(letter) {
                        ranges.extend(more);
                        continue;
                    }
                    control(letter)?
                }
                plain => plain,
            };
            let ranged = self.peek() == Some('-') && self.rest.get(self.at + 1).is_some_and(|c| *c != ']');
            if ranged {
                self.at += 1;
                ranges.push((from, self.take()?));
            } else {
                ranges.push((from, from));
            }
        }
    }

    fn group(&mut self) -> Option<Node> {
        let mut capture = None;
        let mut look = None;
        if self.eat("?:") {
        } else if self.eat("?=") {
            look = Some(false);
        } else if self.eat("?!") {
            look = Some(true);
        } else if self.eat("?<") || self.eat("?P<") {
            let mut name = String::new();
            loop {
                match self.take()? {
                    '>' => break,
                    letter if letter.is_ascii_alphanumeric() || letter == '_' => name.push(letter),
                    _ => return None,
                }
            }
            capture = Some(self.names.len());
            self.names.push(Some(name));
        } else {
            capture = Some(self.names.len());
            self.names.push(None);
        }
        let inner = Box::new(self.either()?);
        if !self.eat(")") {
            return None;
        }
        Some(match look {
            Some(negated) => Node::Look { negated, inner },
            None => Node::Group { capture, inner },
        })
    }
}

fn shorthand(letter: char) -> Option<Vec<(char, char)>> {
    match letter.to_ascii_lowercase() {
        'd' => Some(vec![('0', '9')]),
        'w' => Some(vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]),
        's' => Some(vec![(' ', ' '), ('\t', '\r')]),
        _ => None,
    }
}

fn control(letter: char) -> Option<char> {
    match letter {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        // Word borders, back references and the like are not understood.
        other => (!other.is_ascii_alphanumeric()).then_some(other),
    }
}

struct Search<'a> {
    text: &'a [char],
    any_case: bool,
    steps: usize,
    groups: Vec<Option<(usize, usize)>>,
}

type Then<'t, 'a> = &'t mut dyn FnMut(&mut Search<'a>, usize) -> bool;

impl<'a> Search<'a> {
    fn step(&mut self, node: &Node, at: usize, then: Then<'_, 'a>) -> bool {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return false;
        }
        match node {
            Node::Start => at == 0 && then(self, at),
            Node::End => at == self.text.len() && then(self, at),
            Node::Char(wanted) => self.one(at, |found| found == *wanted) && then(self, at + 1),
            Node::Any => self.one(at, |found| found != '\n') && then(self, at + 1),
            Node::Class { ranges, negated } => {
                let inside = |found: char| ranges.iter().any(|(from, to)| (*from..=*to).contains(&found));
                self.one(at, |found| inside(found) != *negated) && then(self, at + 1)
            }
            Node::Group { capture: None, inner } => self.step(inner, at, then),
            Node::Group { capture: Some(index), inner } => {
                let before = self.groups[*index];
                let found = self.step(inner, at, &mut |search, end| {
                    let outer = search.groups[*index].replace((at, end));
                    then(search, end) || {
                        search.groups[*index] = outer;
                        false
                    }
                });
                if !found {
                    self.groups[*index] = before;
                }
                found
            }
            Node::Look { negated, inner } => self.step(inner, at, &mut |_, _| true) != *negated && then(self, at),
            Node::Sequence(nodes) => self.sequence(nodes, at, then),
            Node::Either(choices) => choices.iter().any(|choice| self.step(choice, at, then)),
            Node::Repeat { inner, least, most, greedy } => self.repeat((inner, *least, *most, *greedy), 0, at, then),
        }
    }

    fn one(&self, at: usize, accepts: impl Fn(char) -> bool) -> bool {
        let Some(found) = self.text.get(at).copied() else { return false };
        accepts(found) || self.any_case && (accepts(found.to_ascii_lowercase()) || accepts(found.to_ascii_uppercase()))
    }

    fn sequence(&mut self, nodes: &[Node], at: usize, then: Then<'_, 'a>) -> bool {
        match nodes.split_first() {
            None => then(self, at),
            Some((first, rest)) => self.step(first, at, &mut |search, next| search.sequence(rest, next, then)),
        }
    }

    fn repeat(&mut self, what: (&Node, usize, usize, bool), done: usize, at: usize, then: Then<'_, 'a>) -> bool {
        let (inner, least, most, greedy) = what;
        if !greedy && done >= least && then(self, at) {
            return true;
        }
        // A round that consumed nothing would go on for ever.
        let again = done < most
            && self.step(inner, at, &mut |search, next| (next > at || done < least) && search.repeat(what, done + 1, next, then));
        again || greedy && done >= least && then(self, at)
    }
}
