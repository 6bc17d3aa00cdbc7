//! The record of what was asked of the platforms, in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
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

    /// Returns it without the secrets that it carries; of what is no JSON only the length.
    fn masked(self) -> Self {
        match self {
            Self::Json(mut value) => {
                let bare = !value.is_object();
                mask(&mut value, bare);
                Self::Json(value)
            }
            Self::Bytes { length, .. } => Self::Bytes { length, sha256: "***".to_owned() },
            other => other,
        }
    }

    /// Returns the JSON value, where there is one.
    pub fn json(&self) -> Option<&Value> {
        if let Self::Json(value) = self { Some(value) } else { None }
    }
}

/// The operations whose bodies carry secrets or tokens, which no tape shows.
const CARRY_SECRETS: [&str; 3] = ["set_secrets", "set_secret", "authorize_token"];

/// The keys under which they do.
const SECRET_KEYS: [&str; 3] = ["values", "value", "header"];

/// Puts asterisks in the place of every text below a key of [`SECRET_KEYS`]; a text that is no JSON object may be one itself.
fn mask(value: &mut Value, below: bool) {
    match value {
        Value::String(text) if below => "***".clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, below)),
        Value::Object(entries) => {
            entries.iter_mut().for_each(|(key, value)| mask(value, below || SECRET_KEYS.contains(&key.as_str())));
        }
        _ => {}
    }
}

/// A body as it arrived, read when somebody looks at the tape.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// Known already.
    Is(Recorded),
    /// Not looked at yet.
    Unread(Bytes),
}

impl Raw {
    /// Returns the bytes, where they are here.
    pub(super) fn bytes(&self) -> &[u8] {
        if let Self::Unread(bytes) = self { bytes } else { &[] }
    }

    fn read(&self) -> Recorded {
        match self {
            Self::Is(recorded) => recorded.clone(),
            Self::Unread(bytes) => Recorded::of(bytes),
        }
    }
}

/// Whose act an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hand {
    /// A request of a client.
    #[default]
    Client,
    /// A person, in a vendor's dashboard or with a vendor's client: the operation is called `person_...`.
    Person,
    /// Nobody: it happened by itself, as a machine dies or a host becomes unreachable.
    Nobody,
}

/// One request and its answer, or something that was done without a request.
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
    /// Whose act it is.
    pub hand: Hand,
    /// The HTTP method; empty for what came without a request.
    pub method: String,
    /// The host that was asked, without its port.
    pub authority: String,
    /// Path and query; of what came without a request, what it was done to, in words.
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
    /// The answer's body, as the handler gave it.
    pub response: Recorded,
    /// The fault that fired, as in the text of its rule: `effect=late(20s) answer=lost`; "in vain" behind it where the answer could not be altered.
    pub fault: Option<String>,
    /// Whether the operation changes something.
    pub write: bool,
}

impl Entry {
    /// Returns an empty entry under this name.
    pub(super) fn of(platform: &str, operation: &str, target: Option<&str>) -> Self {
        Self {
            sequence: 0,
            at_ms: 0,
            platform: platform.to_owned(),
            operation: operation.to_owned(),
            boundary: String::new(),
            hand: Hand::Client,
            method: String::new(),
            authority: String::new(),
            path: String::new(),
            target: target.map(str::to_owned),
            scheme: None,
            content_type: None,
            request: Recorded::Nothing,
            status: None,
            response: Recorded::Nothing,
            fault: None,
            write: false,
        }
    }
}

/// A request by its name: what a schedule of faults is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crossed {
    /// `platform.operation[target]#n`.
    pub boundary: String,
    /// The platform.
    pub platform: String,
    /// The operation.
    pub operation: String,
    /// What it is about.
    pub target: Option<String>,
    /// Whether the operation changes something.
    pub write: bool,
    /// Milliseconds since the world began.
    pub at_ms: u64,
    /// The fault that fired.
    pub fault: Option<String>,
}

/// The ordered record of all requests to all platforms of one world; cheap to clone, and the same for every clone.
#[derive(Debug, Clone)]
pub struct Tape {
    clock: Clock,
    reel: Arc<Mutex<Reel>>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    request: Raw,
    response: Raw,
}

#[derive(Debug, Default)]
struct Reel {
    kept: Vec<Kept>,
    seen: BTreeMap<String, u64>,
    without_bodies: bool,
}

/// How many requests a platform received, by kind.
pub type Counts = BTreeMap<String, (u64, u64)>;

impl Tape {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, reel: Arc::default() }
    }

    /// Keeps no bodies from now on: for many simulated releases, of which only names and faults are looked at.
    pub fn forget_bodies(&self) {
        lock(&self.reel).without_bodies = true;
    }

    /// Adds `entry` at its place and returns its sequence number; the time and the boundary's ordinal are filled in here.
    pub(super) fn begin(&self, mut entry: Entry, request: Raw) -> u64 {
        let mut reel = lock(&self.reel);
        let base = boundary_base(&entry.platform, &entry.operation, entry.target.as_deref());
        let nth = match reel.seen.get_mut(&base) {
            Some(nth) => {
                *nth += 1;
                *nth
            }
            None => {
                reel.seen.insert(base.clone(), 1);
                1
            }
        };
        entry.boundary = format!("{base}#{nth}");
        entry.sequence = reel.kept.len() as u64 + 1;
        entry.at_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sequence = entry.sequence;
        let request = if reel.without_bodies { Raw::Is(Recorded::Unread) } else { request };
        reel.kept.push(Kept { entry, request, response: Raw::Is(Recorded::Nothing) });
        sequence
    }

    /// Writes down what happened without a request.
    pub(super) fn note(&self, hand: Hand, platform: &str, operation: &str, target: &str, what: &str) {
        let entry = Entry { hand, path: what.to_owned(), write: true, ..Entry::of(platform, operation, Some(target)) };
        self.begin(entry, Raw::Is(Recorded::Nothing));
    }

    /// Fills in what became of the entry `sequence`.
    pub(super) fn amend(&self, sequence: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(kept) = lock(&self.reel).at(sequence) {
            change(&mut kept.entry);
        }
    }

    /// Fills in what the handler answered; `sent` is a request's body that could only be measured while it passed.
    pub(super) fn answered(&self, sequence: u64, status: u16, response: Raw, sent: Option<Raw>) {
        let mut reel = lock(&self.reel);
        let without_bodies = reel.without_bodies;
        let Some(kept) = reel.at(sequence) else { return };
        kept.entry.status = Some(status);
        if !without_bodies {
            kept.response = response;
            kept.request = sent.unwrap_or_else(|| std::mem::replace(&mut kept.request, Raw::Is(Recorded::Nothing)));
        }
    }

    /// Returns a copy of everything recorded so far, in order.
    pub fn entries(&self) -> Vec<Entry> {
        let read = |kept: &Kept| {
            let secret = CARRY_SECRETS.contains(&kept.entry.operation.as_str());
            let shown = |raw: &Raw| if secret { raw.read().masked() } else { raw.read() };
            Entry { request: shown(&kept.request), response: shown(&kept.response), ..kept.entry.clone() }
        };
        lock(&self.reel).kept.iter().map(read).collect()
    }

    /// Returns the requests of clients by their names, in order.
    pub fn crossed(&self) -> Vec<Crossed> {
        let reel = lock(&self.reel);
        let clients = reel.kept.iter().map(|kept| &kept.entry).filter(|entry| entry.hand == Hand::Client);
        let named = clients.map(|entry| Crossed {
            boundary: entry.boundary.clone(),
            platform: entry.platform.clone(),
            operation: entry.operation.clone(),
            target: entry.target.clone(),
            write: entry.write,
            at_ms: entry.at_ms,
            fault: entry.fault.clone(),
        });
        named.collect()
    }

    /// Returns how many entries have been recorded so far: the sequence number of the newest.
    pub fn length(&self) -> u64 {
        lock(&self.reel).kept.len() as u64
    }

    /// Returns the boundary of the entry `sequence`; empty where there is none.
    pub(super) fn boundary(&self, sequence: u64) -> String {
        let index = usize::try_from(sequence).unwrap_or(0).wrapping_sub(1);
        lock(&self.reel).kept.get(index).map(|kept| kept.entry.boundary.clone()).unwrap_or_default()
    }

    /// Returns how many reads and writes each platform received from clients: `platform → (reads, writes)`.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for kept in lock(&self.reel).kept.iter().filter(|kept| kept.entry.hand == Hand::Client) {
            let (reads, writes) = counts.entry(kept.entry.platform.clone()).or_default();
            *(if kept.entry.write { writes } else { reads }) += 1;
        }
        counts
    }

    /// Forgets everything, so that what follows is counted from zero.
    pub fn clear(&self) {
        let mut reel = lock(&self.reel);
        *reel = Reel { without_bodies: reel.without_bodies, ..Reel::default() };
    }
}

impl Reel {
    fn at(&mut self, sequence: u64) -> Option<&mut Kept> {
        self.kept.get_mut(usize::try_from(sequence).unwrap_or(0).wrapping_sub(1))
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
