//! The record of what was asked of the platforms, in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ground::lock;
use crate::clock::Clock;

/// A body as the tape keeps it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// There was no body.
    Nothing,
    /// A JSON body, whole.
    Json(Value),
    /// A body that is not JSON: its length in bytes and its SHA-256 in hex.
    Bytes {
        /// Length in bytes.
        length: u64,
        /// SHA-256 of the bytes, lower-case hex.
        sha256: String,
    },
    /// A body that was passed on without being read.
    Unread,
}

impl Recorded {
    /// Returns what the tape keeps of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        serde_json::from_slice(bytes)
            .map_or_else(|_| Self::Bytes { length: bytes.len() as u64, sha256: hex(Sha256::digest(bytes).as_slice()) }, Self::Json)
    }

    /// Returns the JSON value, where there is one.
    pub fn json(&self) -> Option<&Value> {
        if let Self::Json(value) = self { Some(value) } else { None }
    }
}

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Position on the tape, from 1.
    pub sequence: u64,
    /// Milliseconds since the world began, when the request arrived.
    pub at_ms: u64,
    /// The platform, such as `fly`.
    pub platform: String,
    /// The operation's name, such as `create_machine`; `unknown` for a path the platform does not have.
    pub operation: String,
    /// `platform.operation[target]#n`: the name by which a fault can be put on exactly this request of a repeated run.
    pub boundary: String,
    /// The HTTP method.
    pub method: String,
    /// The host that was asked, without its port.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// The app, project or repository the request is about.
    pub target: Option<String>,
    /// The scheme of the Authorization header (`Bearer`, `FlyV1`, `Basic`); its value is never recorded.
    pub scheme: Option<String>,
    /// The request's content type.
    pub content_type: Option<String>,
    /// The request's body.
    pub request: Recorded,
    /// The status that the handler gave; `None` while it works, or when the request never reached it.
    pub status: Option<u16>,
    /// The answer's body.
    pub response: Recorded,
    /// The fault that fired, in words.
    pub fault: Option<String>,
    /// Whether the operation changes something.
    pub write: bool,
}

/// The ordered record of all requests to all platforms of one world; cheap to clone, and the same for every clone.
#[derive(Debug, Clone)]
pub struct Tape {
    clock: Clock,
    reel: Arc<Mutex<Reel>>,
}

#[derive(Debug, Default)]
struct Reel {
    entries: Vec<Entry>,
    seen: BTreeMap<String, u64>,
}

/// How many requests a platform received, by kind.
pub type Counts = BTreeMap<String, (u64, u64)>;

impl Tape {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, reel: Arc::default() }
    }

    /// Adds `entry` at its place and returns its sequence number; the time and the boundary's ordinal are filled in here.
    pub(super) fn begin(&self, mut entry: Entry) -> u64 {
        let mut reel = lock(&self.reel);
        let base = boundary_base(&entry.platform, &entry.operation, entry.target.as_deref());
        let nth = reel.seen.entry(base.clone()).and_modify(|n| *n += 1).or_insert(1);
        entry.boundary = format!("{base}#{nth}");
        entry.sequence = reel.entries.len() as u64 + 1;
        entry.at_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sequence = entry.sequence;
        reel.entries.push(entry);
        sequence
    }

    /// Fills in what became of the entry `sequence`.
    pub(super) fn amend(&self, sequence: u64, change: impl FnOnce(&mut Entry)) {
        let mut reel = lock(&self.reel);
        let index = usize::try_from(sequence).unwrap_or(0).wrapping_sub(1);
        if let Some(entry) = reel.entries.get_mut(index) {
            change(entry);
        }
    }

    /// Returns a copy of everything recorded so far, in order.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.reel).entries.clone()
    }

    /// Returns how many requests have been recorded so far: the sequence number of the newest.
    pub fn length(&self) -> u64 {
        lock(&self.reel).entries.len() as u64
    }

    /// Returns the boundary of the entry `sequence`; empty where there is none.
    pub(super) fn boundary(&self, sequence: u64) -> String {
        let index = usize::try_from(sequence).unwrap_or(0).wrapping_sub(1);
        lock(&self.reel).entries.get(index).map(|entry| entry.boundary.clone()).unwrap_or_default()
    }

    /// Returns how many reads and writes each platform received: `platform → (reads, writes)`.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for entry in &lock(&self.reel).entries {
            let (reads, writes) = counts.entry(entry.platform.clone()).or_default();
            *(if entry.write { writes } else { reads }) += 1;
        }
        counts
    }

    /// Forgets everything, so that what follows is counted from zero.
    pub fn clear(&self) {
        *lock(&self.reel) = Reel::default();
    }
}

/// Returns `platform.operation[target]`, the part of a boundary's name before its ordinal.
pub fn boundary_base(platform: &str, operation: &str, target: Option<&str>) -> String {
    target.map_or_else(|| format!("{platform}.{operation}"), |target| format!("{platform}.{operation}[{target}]"))
}

/// Returns `bytes` as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
