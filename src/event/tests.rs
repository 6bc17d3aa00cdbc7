//! What the test reports of a gate say: counts, and the tests that a person has to look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tests of a gate, counted case by case: the totals that reports write down are not believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestResults {
    /// How many passed at once.
    #[serde(default)]
    pub passed: u64,
    /// How many failed.
    #[serde(default)]
    pub failed: u64,
    /// How many were skipped.
    #[serde(default)]
    pub skipped: u64,
    /// How many passed, but not at once.
    #[serde(default)]
    pub flaky: u64,
    /// Those that failed, then the flaky ones, each in the order of the reports; at most [`TestResults::MOST_TESTS`].
    #[serde(default)]
    pub tests: Vec<TestCase>,
}

/// A test that did not simply pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestCase {
    /// Its name, with that of its class or suite where the name alone does not say it. Foreign text.
    pub name: String,
    /// Whether it passed in another attempt; otherwise it failed.
    #[serde(default)]
    pub flaky: bool,
    /// Why, in short: at most [`TestCase::MOST_MESSAGE`] characters. Foreign text.
    #[serde(default)]
    pub message: String,
    /// What the report says besides, from its beginning: at most [`TestCase::MOST_DETAIL`] characters. Foreign text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Where in the repository; `null` where the report names no file that is there.
    #[serde(default)]
    pub place: Option<Place>,
}

/// A line of a file in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The path from the repository's top, with `/`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

impl TestResults {
    /// The most tests that are kept.
    pub const MOST_TESTS: usize = 200;

    /// Returns how many tests there are.
    pub const fn total(&self) -> u64 {
        self.passed + self.failed + self.skipped + self.flaky
    }

    /// Returns the tests that are kept and failed.
    pub fn failures(&self) -> impl Iterator<Item = &TestCase> {
        self.tests.iter().filter(|test| !test.flaky)
    }

    /// Returns the counts in words, without those that are zero: "46 passed, 2 failed, 1 flaky".
    pub fn words(&self) -> String {
        let counts = [(self.failed, "failed"), (self.flaky, "flaky"), (self.passed, "passed"), (self.skipped, "skipped")];
        let said: Vec<String> = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        if said.is_empty() { "no tests".to_owned() } else { said.join(", ") }
    }
}

impl TestCase {
    /// The longest message, in characters.
    pub const MOST_MESSAGE: usize = 2_000;
    /// The longest detail, in characters.
    pub const MOST_DETAIL: usize = 8_000;
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
