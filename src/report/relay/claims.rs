//! What a fork's run left behind: bytes of a stranger, of which little is read and nothing believed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::id::Name;

/// The most files that are opened.
const MOST_FILES: usize = 32;
/// The most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 1000;
/// The most bytes of a file; a larger one is left out.
const MOST_BYTES: u64 = 2 * 1024 * 1024;
/// The most gates that are told.
const MOST_GATES: usize = 50;
/// The most lines of a failed gate.
const MOST_LINES: usize = 20;
/// The most characters of a line or of words.
const MOST_CHARACTERS: usize = 300;
/// The outcomes that a gate may claim; the words of `cutover schema receipt`.
const OUTCOMES: [&str; 12] = [
    "passed",
    "flaky",
    "leaky",
    "failed",
    "signalled",
    "timed_out",
    "could_not_start",
    "output_missing",
    "output_unreadable",
    "service_failed",
    "cancelled",
    "not_started",
];

/// What a fork's run says of its gates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The gates, the failed ones first.
    pub gates: Vec<Claim>,
    /// How many gates were left out because there were too many.
    pub more: usize,
    /// How many files were no receipts of this product, or too large, or too many.
    pub refused: usize,
}

/// What a fork's run says of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name, in the form that a manifest allows.
    pub name: Name,
    /// One of the known words.
    pub outcome: &'static str,
    /// The outcome in words. Foreign text.
    pub words: String,
    /// How long it took.
    pub duration_ms: u64,
    /// The last lines of its output. Foreign text.
    pub last_lines: Vec<String>,
}

impl Claim {
    /// Returns whether it claims to have passed.
    pub fn passed(&self) -> bool {
        matches!(self.outcome, "passed" | "flaky" | "leaky")
    }
}

/// A receipt, as far as a stranger's is read.
#[derive(Deserialize)]
struct Left {
    version: u32,
    product: String,
    #[serde(default)]
    gates: Vec<LeftGate>,
}

#[derive(Deserialize)]
struct LeftGate {
    name: String,
    outcome: String,
    #[serde(default)]
    words: String,
    #[serde(default)]
    duration_ms: u64,
    #[serde(default)]
    last_lines: Vec<String>,
}

impl Claims {
    /// Reads every `.json` file of a folder and of the folders in it (one for each artifact). Links are not followed, and what is no receipt
    /// of `product` in version 1 is left out and counted. A folder that is not there holds nothing.
    pub fn read(folder: &Path, product: &Name) -> Self {
        let mut paths = Vec::new();
        for path in entries(folder) {
            if is_folder(&path) { paths.extend(entries(&path)) } else { paths.push(path) }
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let mut claims = Self { refused: paths.len().saturating_sub(MOST_FILES), ..Self::default() };
        for path in paths.iter().take(MOST_FILES) {
            match bytes(path).and_then(|bytes| serde_json::from_slice::<Left>(&bytes).ok()) {
                Some(left) if left.version == 1 && left.product == product.as_str() => claims.take(left.gates),
                _ => claims.refused += 1,
            }
        }
        claims.gates.sort_by_key(Claim::passed);
        claims.more += claims.gates.len().saturating_sub(MOST_GATES);
        claims.gates.truncate(MOST_GATES);
        claims
    }

    fn take(&mut self, gates: Vec<LeftGate>) {
        for gate in gates.into_iter().take(MOST_ENTRIES) {
            let outcome = OUTCOMES.into_iter().find(|known| *known == gate.outcome);
            let (Some(name), Some(outcome)) = (Name::parse(&gate.name), outcome) else {
                self.more += 1;
                continue;
            };
            let from = gate.last_lines.len().saturating_sub(MOST_LINES);
            let last_lines = gate.last_lines[from..].iter().map(|line| cut(line)).collect();
            self.gates.push(Claim { name, outcome, words: cut(&gate.words), duration_ms: gate.duration_ms, last_lines });
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(folder) else { return Vec::new() };
    listed.take(MOST_ENTRIES).flatten().map(|entry| entry.path()).collect()
}

fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns a plain file's content; `None` for anything else, and for one that is too large.
fn bytes(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).collect()
}
