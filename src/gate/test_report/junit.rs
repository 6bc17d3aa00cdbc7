//! Reads `JUnit` XML as tools write it: there is no standard, only dialects.
//!
//! What is taken: a root of `<testsuites>` or a lone `<testsuite>`, suites in suites, cases without attributes, a failure beside an error, the
//! flaky elements of Surefire, nextest and pytest's reruns, control characters and colours, a file whose writer died in the middle. What is not:
//! a DTD, by which a small file becomes a large one, elements deeper than [`MOST_DEPTH`], and files whose root is another.
//! <https://github.com/testmoapp/junitxml> collects the dialects; Surefire's form has a schema
//! (<https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report.xsd>).

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::text::{clean, decode, reference, resolved};

/// How deep elements may stand in one another.
pub const MOST_DEPTH: usize = 64;
/// How much of one case's text is kept, in bytes, from its beginning.
const MOST_TEXT: usize = 256 * 1024;

/// Why a file says nothing about tests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JunitError {
    /// It is something else.
    #[error("its first element is <{root}>, not <testsuites> or <testsuite>")]
    NotJunit {
        /// The first element.
        root: String,
    },
    /// It holds no element at all.
    #[error("it is empty")]
    Empty,
    /// It declares a document type.
    #[error("it has a DOCTYPE, which is not read")]
    Doctype,
    /// Its elements stand too deep in one another.
    #[error("its elements are nested more than {MOST_DEPTH} deep")]
    TooDeep,
    /// It is no XML, from the beginning on.
    #[error("it is no XML: {reason}")]
    Broken {
        /// Why.
        reason: String,
    },
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// How many cases passed at once.
    pub passed: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// The others, in the file's order.
    pub cases: Vec<Case>,
    /// Whether the file ends in the middle, or is no XML from some point on: what stands before it counts.
    pub cut: bool,
}

/// A case that did not simply pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// Its name, with its class where the name alone does not say it.
    pub name: String,
    /// Whether it passed in the end.
    pub flaky: bool,
    /// The failure's `message`, if it has one.
    pub message: String,
    /// The failure's text.
    pub text: String,
    /// The `file` of the case or its suite.
    pub file: Option<String>,
    /// The `line` of the case, from 1.
    pub line: Option<u32>,
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<Document, JunitError> {
    let text = decode(bytes);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    config.expand_empty_elements = true;
    let mut state = State::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => state.open(&element)?,
            Ok(Event::End(_)) => state.close(),
            Ok(Event::Text(text)) => state.text(&text.into_inner()),
            Ok(Event::CData(text)) => state.text(&text.into_inner()),
            Ok(Event::GeneralRef(name)) => state.reference(&name.into_inner()),
            Ok(Event::DocType(_)) => return Err(JunitError::Doctype),
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) if !state.rooted => return Err(JunitError::Broken { reason: error.to_string() }),
            Err(_) => {
                state.document.cut = true;
                break;
            }
        }
    }
    if !state.rooted {
        return Err(JunitError::Empty);
    }
    Ok(state.ended())
}

/// What an open element means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Suite,
    Case,
    /// A failure or an error: the case failed.
    Bad,
    /// A failure in an earlier try: flaky if nothing else is wrong.
    Again,
    /// Surefire's stack trace within the two above.
    Trace,
    Other,
}

#[derive(Default)]
struct State {
    document: Document,
    rooted: bool,
    /// pytest counts lines from 0 (its `xunit1` family).
    from_zero: bool,
    open: Vec<Kind>,
    suites: Vec<Suite>,
    case: Option<OpenCase>,
}

#[derive(Default)]
struct Suite {
    name: String,
    file: Option<String>,
}

#[derive(Default)]
struct OpenCase {
    case: Case,
    failed: bool,
    again: bool,
    skipped: bool,
    /// Whether the case stands for an error of its whole suite.
    of_suite: bool,
}

impl State {
    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), JunitError> {
        if self.open.len() >= MOST_DEPTH {
            return Err(JunitError::TooDeep);
        }
        let name = element.local_name();
        let name: &str = name.as_ref();
        if !self.rooted && !matches!(name, "testsuites" | "testsuite") {
            return Err(JunitError::NotJunit { root: clean(name).chars().take(60).collect() });
        }
        self.rooted = true;
        let kind = match (name, self.case.is_some()) {
            ("testsuites" | "testsuite", false) => {
                self.suite(element);
                Kind::Suite
            }
            ("testcase", false) => {
                self.begin_case(element);
                Kind::Case
            }
            ("failure" | "error", true) => {
                self.bad(element, true);
                Kind::Bad
            }
            // What kept a whole suite from running.
            ("failure" | "error", false) => {
                let suite = self.suites.last();
                let name = suite.map(|suite| suite.name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| "(suite)".to_owned());
                let case = Case { name, file: suite.and_then(|suite| suite.file.clone()), ..Case::default() };
                self.case = Some(OpenCase { case, of_suite: true, ..OpenCase::default() });
                self.bad(element, true);
                Kind::Bad
            }
            ("flakyFailure" | "flakyError" | "rerunFailure" | "rerunError" | "rerun", true) => {
                self.bad(element, false);
                Kind::Again
            }
            ("stackTrace", true) if matches!(self.open.last(), Some(Kind::Bad | Kind::Again)) => Kind::Trace,
            ("skipped", true) => {
                self.case.iter_mut().for_each(|open| open.skipped = true);
                Kind::Other
            }
            _ => Kind::Other,
        };
        self.open.push(kind);
        Ok(())
    }

    fn suite(&mut self, element: &BytesStart<'_>) {
        let name = attribute(element, "name").unwrap_or_default();
        if matches!(name.as_str(), "pytest" | "pytest tests") {
            self.from_zero = true;
        }
        let file = attribute(element, "file").or_else(|| self.suites.last().and_then(|suite| suite.file.clone()));
        self.suites.push(Suite { name, file });
    }

    fn begin_case(&mut self, element: &BytesStart<'_>) {
        let suite = self.suites.last();
        let line = attribute(element, "line").and_then(|line| line.trim().parse::<u32>().ok());
        let line = line.map(|line| if self.from_zero { line.saturating_add(1) } else { line }).filter(|line| *line > 0);
        let file = attribute(element, "file").or_else(|| suite.and_then(|suite| suite.file.clone()));
        let (class, own) = (attribute(element, "classname").unwrap_or_default(), attribute(element, "name").unwrap_or_default());
        let class = if class.is_empty() { suite.map(|suite| suite.name.clone()).unwrap_or_default() } else { class };
        // Google Test lists what it did not run.
        let skipped = matches!(attribute(element, "status").as_deref(), Some("notrun" | "disabled"));
        let case = Case { name: label(&class, &own), file, line, ..Case::default() };
        self.case = Some(OpenCase { case, skipped, ..OpenCase::default() });
    }

    fn bad(&mut self, element: &BytesStart<'_>, failed: bool) {
        let message = attribute(element, "message").map(|message| clean(&message)).unwrap_or_default();
        let Some(open) = &mut self.case else { return };
        let first = if failed { !open.failed } else { !open.failed && !open.again };
        open.failed |= failed;
        open.again |= !failed;
        if first {
            // What the last try says counts more than what an earlier one said.
            open.case.message = message;
            open.case.text.clear();
        }
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Kind::Suite) => drop(self.suites.pop()),
            Some(Kind::Case) => self.end_case(),
            Some(Kind::Bad) if self.case.as_ref().is_some_and(|open| open.of_suite) => self.end_case(),
            _ => {}
        }
    }

    fn end_case(&mut self) {
        let Some(open) = self.case.take() else { return };
        if !open.failed && !open.again {
            *(if open.skipped { &mut self.document.skipped } else { &mut self.document.passed }) += 1;
            return;
        }
        let text = clean(&open.case.text);
        self.document.cases.push(Case { flaky: !open.failed, text, ..open.case });
    }

    fn text(&mut self, text: &str) {
        self.push(text);
    }

    fn reference(&mut self, name: &str) {
        match reference(name) {
            Some(character) => self.push(&character),
            None => self.push(&format!("&{name};")),
        }
    }

    fn push(&mut self, text: &str) {
        let wanted = matches!(self.open.last(), Some(Kind::Bad | Kind::Again | Kind::Trace));
        let Some(open) = self.case.as_mut().filter(|_| wanted) else { return };
        let room = MOST_TEXT.saturating_sub(open.case.text.len());
        open.case.text.push_str(&text[..text.floor_char_boundary(room)]);
    }

    /// A case that was open when the file ended counts if it had failed by then.
    fn ended(mut self) -> Document {
        self.document.cut |= !self.open.is_empty();
        if self.case.as_ref().is_some_and(|open| open.failed) {
            self.end_case();
        }
        self.document
    }
}

/// Returns the value of an attribute that is there and not empty; malformed ones are passed over.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = element.html_attributes();
    let found = attributes.with_checks(false).flatten().find(|attribute| AsRef::<str>::as_ref(&attribute.key.local_name()) == name)?;
    Some(resolved(&found.value)).filter(|value| !value.is_empty())
}

/// Returns the name of a case for a person: the class only where the name does not say it already.
fn label(class: &str, name: &str) -> String {
    let (class, name) = (one_line(class), one_line(name));
    if name.is_empty() {
        return if class.is_empty() { "(a test without a name)".to_owned() } else { class };
    }
    // Node calls every class "test" or "suite".
    if class.is_empty() || name.contains(&class) || matches!(class.as_str(), "test" | "suite") {
        name
    } else {
        format!("{class} › {name}")
    }
}

fn one_line(text: &str) -> String {
    let text = clean(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(500).collect()
}
