//! The test reports that a gate leaves (`report:` in the manifest): read after each of its attempts, whether it passed or failed.
//!
//! A report decides nothing. The gate's exit code is its verdict; the report says which tests it was. So nothing here fails a gate: a report
//! that is missing, old or not to be read is a notice.

pub mod junit;
pub mod places;
mod text;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use self::junit::{Case, Document, JunitError};
use self::places::Places;
use super::outputs;
use crate::event::{Level, TestCase, TestResults};

/// The longest report that is read, in bytes.
pub const MOST_FILE_BYTES: u64 = 32 * 1024 * 1024;
/// The most files of one gate that are read, in the order of their names.
pub const MOST_FILES: usize = 500;
/// The most bytes of all reports of one gate.
pub const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// Something that the reader of a report should know about its report files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How much it matters.
    pub level: Level,
    /// A stable code.
    pub code: &'static str,
    /// A sentence's end that follows "the gate NAME ": "left no report at reports/*.xml".
    pub what: String,
}

/// The report files of a gate, before an attempt.
#[derive(Debug, Clone)]
pub struct Awaited {
    root: PathBuf,
    directory: PathBuf,
    pattern: String,
    before: BTreeMap<PathBuf, Option<Mark>>,
}

/// What changes when a file is written again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    modified: Option<std::time::SystemTime>,
    length: u64,
}

impl Mark {
    fn of(meta: &Metadata) -> Self {
        Self { modified: meta.modified().ok(), length: meta.len() }
    }
}

impl Awaited {
    /// Notes what is there before an attempt: a file that the attempt does not write again is no report of it. Touches nothing.
    pub fn begin(root: &Path, directory: &Path, pattern: &str) -> Self {
        let files = outputs::matching(root, pattern);
        let before = files.into_iter().map(|path| (path.clone(), std::fs::metadata(&path).ok().map(|meta| Mark::of(&meta)))).collect();
        Self { root: root.to_owned(), directory: directory.to_owned(), pattern: pattern.to_owned(), before }
    }

    /// Reads what the attempt wrote; `None` where it wrote no report that can be read.
    pub fn read(&self) -> (Option<TestResults>, Vec<Trouble>) {
        let mut troubles = Vec::new();
        let (mut old, mut fresh) = (0, Vec::new());
        for path in outputs::matching(&self.root, &self.pattern) {
            let mark = std::fs::metadata(&path).ok().map(|meta| Mark::of(&meta));
            if self.before.get(&path).is_some_and(|before| *before == mark) { old += 1 } else { fresh.push(path) }
        }
        if fresh.is_empty() {
            let what = if old > 0 {
                format!("did not write its report {}: what is there is from before", self.pattern)
            } else {
                format!("left no report at {}", self.pattern)
            };
            troubles.push(Trouble { level: Level::Note, code: "gate::no-report", what });
            return (None, troubles);
        }
        if fresh.len() > MOST_FILES {
            let what = format!("left {} report files; the first {MOST_FILES} are read", fresh.len());
            troubles.push(Trouble { level: Level::Warning, code: "gate::report", what });
            fresh.truncate(MOST_FILES);
        }
        let mut room = MOST_BYTES;
        let mut documents = Vec::new();
        for path in &fresh {
            let shown = path.strip_prefix(&self.root).unwrap_or(path).display();
            match file(path, &mut room) {
                Ok(document) => {
                    if document.cut {
                        let what = format!("left a report that ends in the middle ({shown}); what stands before counts");
                        troubles.push(Trouble { level: Level::Note, code: "gate::report", what });
                    }
                    documents.push(document);
                }
                Err(error) => {
                    let what = format!("left a report that cannot be read ({shown}): {error}");
                    troubles.push(Trouble { level: Level::Warning, code: "gate::report", what });
                }
            }
        }
        let results = (!documents.is_empty()).then(|| results(documents, &Places::new(&self.root, &self.directory)));
        (results, troubles)
    }
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{0}")]
    Junit(#[from] JunitError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it has more than {} MiB", MOST_FILE_BYTES / 1024 / 1024)]
    TooLarge,
    #[error("all reports of the gate together have more than {} MiB", MOST_BYTES / 1024 / 1024)]
    NoRoom,
}

fn file(path: &Path, room: &mut u64) -> Result<Document, FileError> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(FileError::Io(std::io::Error::other("it is no file")));
    }
    let limit = MOST_FILE_BYTES.min(*room);
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    let length = bytes.len() as u64;
    if length > limit {
        return Err(if limit == MOST_FILE_BYTES { FileError::TooLarge } else { FileError::NoRoom });
    }
    *room -= length;
    Ok(junit::read(&bytes)?)
}

/// Returns the documents as one result.
pub fn results(documents: Vec<Document>, places: &Places) -> TestResults {
    let mut results = TestResults::default();
    let (mut failed, mut flaky) = (Vec::new(), Vec::new());
    for document in documents {
        results.passed += document.passed;
        results.skipped += document.skipped;
        for case in document.cases {
            let (count, kept) = if case.flaky { (&mut results.flaky, &mut flaky) } else { (&mut results.failed, &mut failed) };
            *count += 1;
            if kept.len() < TestResults::MOST_TESTS {
                kept.push(case);
            }
        }
    }
    let kept = failed.into_iter().chain(flaky).take(TestResults::MOST_TESTS);
    results.tests = kept.map(|case| told(case, places)).collect();
    results
}

/// Adds to the results of a gate that passed in a later attempt what failed in an earlier one: those tests are flaky.
pub fn with_earlier(mut results: TestResults, earlier: Vec<TestResults>) -> TestResults {
    for test in earlier.into_iter().flat_map(|results| results.tests) {
        let known = results.tests.iter().any(|known| known.name == test.name);
        if known || results.passed == 0 || results.tests.len() >= TestResults::MOST_TESTS {
            continue;
        }
        results.passed -= 1;
        results.flaky += 1;
        results.tests.push(TestCase { flaky: true, ..test });
    }
    results
}

fn told(case: Case, places: &Places) -> TestCase {
    let place = places.of(&case);
    let message = message(&case);
    let rest = case.text.trim();
    let detail = if rest == message { String::new() } else { rest.chars().take(TestCase::MOST_DETAIL).collect() };
    let message = message.chars().take(TestCase::MOST_MESSAGE).collect();
    TestCase { name: case.name, flaky: case.flaky, message, detail, place }
}

/// Returns why a test failed, in as few lines as its report allows.
fn message(case: &Case) -> String {
    let lines = || case.text.lines().map(str::trim).filter(|line| !line.is_empty());
    // Rust says where first, and what on the next line.
    let panicked = |line: &str| line.starts_with("thread '") && line.contains("panicked at");
    if panicked(&case.message) || (case.message.is_empty() && lines().next().is_some_and(panicked)) {
        let mut after = lines().skip_while(|line| !panicked(line)).skip(1);
        let said: Vec<&str> =
            after.by_ref().take_while(|line| !line.starts_with("note: run with") && !line.starts_with("stack backtrace")).take(6).collect();
        if !said.is_empty() {
            return said.join("\n");
        }
    }
    // Playwright's message is the test's own place and title.
    let titled = case.message.split_whitespace().next().is_some_and(|word| word.matches(':').count() >= 2 && word.contains('.'));
    if titled && let Some(error) = lines().find(|line| line.split_whitespace().next().is_some_and(|word| word.ends_with("Error:"))) {
        return error.to_owned();
    }
    match case.message.trim() {
        "" => lines().next().unwrap_or_default().to_owned(),
        said => said.to_owned(),
    }
}
