//! Names and identities: what a person chose in the manifest, and what a release is called.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name from the manifest: of a gate, an image, a target, an environment or the product.
///
/// One to 63 characters of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit. The manifest's validation enforces this; code below
/// it may rely on a name being harmless in a path, a header, a metadata value and Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The longest name in characters: what fits a DNS label.
    pub const MAX_LENGTH: usize = 63;

    /// Returns the name, or `None` when `text` breaks the rule above.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let rest = bytes.all(|byte| good(byte) || byte == b'-' || byte == b'_');
        (good(first) && rest && text.len() <= Self::MAX_LENGTH).then(|| Self(text.to_owned()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| format!("{text:?} is no name: use a-z, 0-9, - and _, beginning with a letter or digit"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The identity of one release attempt: `r-<UTC time>-<six characters of chance>`; sorts by time of beginning.
///
/// It is stamped on everything the release makes on a platform, and is what a lost answer is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ReleaseId(String);

impl ReleaseId {
    /// Returns a new id for a release that begins `at`.
    pub fn new(at: Timestamp, chance: &Chance) -> Self {
        Self(format!("r-{}-{}", at.strftime("%Y%m%d-%H%M%S"), chance.word(6)))
    }

    /// Returns an id read back from a journal, a platform's stamp or a person.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A source of random numbers that can be seeded, so that a simulated release is reproducible.
///
/// SplitMix64: good enough for identities and jitter, never used for secrets.
#[derive(Debug)]
pub struct Chance(AtomicU64);

impl Chance {
    /// Returns a source seeded by the operating system's randomness.
    pub fn from_system() -> Self {
        use std::hash::{BuildHasher, Hasher};
        // RandomState is seeded by the system once a process; the time and the pid separate processes and calls.
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_i128(Timestamp::now().as_nanosecond());
        hasher.write_u32(std::process::id());
        Self::seeded(hasher.finish())
    }

    /// Returns a source that gives the same numbers for the same `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns the next 64 random bits.
    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number in `0..bound`; zero when `bound` is zero.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Returns `length` characters of `a-z` and `2-7`.
    pub fn word(&self, length: usize) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        (0..length).map(|_| char::from(LETTERS[(self.next() % 32) as usize])).collect()
    }
}
