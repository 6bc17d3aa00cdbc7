//! The name of a content: `sha256:` and 64 hexadecimal digits.

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest in the form of the OCI image specification.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.digest()
    }

    /// Returns the digest that `text` spells, or `None` when it spells none: another algorithm, another length, capital digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let good = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        good.then(|| Self(text.to_owned()))
    }

    /// Returns the whole digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text} is no sha256 digest"))
    }
}

/// Computes a digest piece by piece, and counts.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Returns how many bytes it has taken.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the digest of all bytes taken.
    pub fn digest(self) -> Digest {
        let hex: String = self.state.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest(format!("sha256:{hex}"))
    }

    /// Copies `from` to `to` with bounded memory, and returns digest and length of what was copied.
    pub fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<(Digest, u64)> {
        let mut hasher = Self::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => {
                    let bytes = hasher.bytes;
                    return Ok((hasher.digest(), bytes));
                }
                Ok(count) => {
                    hasher.update(&chunk[..count]);
                    to.write_all(&chunk[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
