//! Secrets out of every byte stream.
//!
//! One [`Masker`] knows every secret of a run and the forms in which secrets travel. Everything that leaves (log, summary, comment, HTML,
//! JSON, error, trace) passes it. Bytes in are bytes out, but for secrets, each of which becomes `***`; where the stream is cut into chunks
//! makes no difference. An occurrence is masked whole even where it overlaps another one.

mod forms;
mod secret;
mod stream;

pub use secret::Secret;
pub use stream::{MaskStream, MaskWriter};

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// The shortest secret that is masked, in bytes: shorter ones would riddle every log with asterisks. GitHub's own advice is the same.
pub const MIN_SECRET_BYTES: usize = 4;

/// Knows every secret; cheap to clone, and clones share what they know.
///
/// A secret learned later is masked from then on, in streams that are already open too.
#[derive(Clone, Default)]
pub struct Masker {
    patterns: Arc<RwLock<Arc<Patterns>>>,
}

/// What became of a secret that a masker was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a secret that is too short is not masked, and somebody should be told"]
pub enum Learned {
    /// It is masked from now on.
    Masked,
    /// It has fewer than [`MIN_SECRET_BYTES`] bytes and is *not* masked.
    TooShort,
    /// It is empty: there is nothing to mask.
    Empty,
}

impl Masker {
    /// Returns a masker that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns one secret. Learning it again changes nothing.
    pub fn learn(&self, secret: &Secret) -> Learned {
        self.learn_text(secret.expose())
    }

    /// Learns many secrets at once and returns the names of those too short to be masked.
    pub fn learn_all<'a>(&self, secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Vec<String> {
        let mut forms = BTreeSet::new();
        let mut too_short = Vec::new();
        for (name, secret) in secrets {
            match verdict(secret.expose()) {
                Learned::Masked => forms.extend(forms::of(secret.expose())),
                Learned::TooShort => too_short.push(name.to_owned()),
                Learned::Empty => {}
            }
        }
        self.extend(forms);
        too_short
    }

    /// Returns `text` with every secret masked.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A secret is a whole number of characters, so nothing is cut in two; should a form ever do that, the rest still shows.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Returns `bytes` with every secret masked.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.snapshot().find(bytes, 0).is_none() {
            return Cow::Borrowed(bytes);
        }
        let mut stream = self.stream();
        let mut out = Vec::with_capacity(bytes.len());
        stream.push(bytes, &mut out);
        stream.finish(&mut out);
        Cow::Owned(out)
    }

    /// Returns the state for masking one stream that comes in chunks.
    pub fn stream(&self) -> MaskStream {
        MaskStream::new(self.clone())
    }

    /// Returns a writer that masks what is written to it and passes it on to `inner`.
    pub fn writer<W: std::io::Write>(&self, inner: W) -> MaskWriter<W> {
        MaskWriter::new(self.stream(), inner)
    }

    fn learn_text(&self, secret: &str) -> Learned {
        let verdict = verdict(secret);
        if verdict == Learned::Masked {
            self.extend(forms::of(secret));
        }
        verdict
    }

    fn extend(&self, forms: BTreeSet<Vec<u8>>) {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        if forms.iter().all(|form| patterns.sorted.binary_search(form).is_ok()) {
            return;
        }
        let all: BTreeSet<Vec<u8>> = patterns.sorted.iter().cloned().chain(forms).collect();
        *patterns = Arc::new(Patterns::new(all));
    }

    fn snapshot(&self) -> Arc<Patterns> {
        Arc::clone(&self.patterns.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("patterns", &self.snapshot().sorted.len()).finish()
    }
}

fn verdict(secret: &str) -> Learned {
    match secret.trim().len() {
        0 => Learned::Empty,
        length if length < MIN_SECRET_BYTES => Learned::TooShort,
        _ => Learned::Masked,
    }
}

/// All forms of all secrets, ready to be searched for.
#[derive(Default)]
struct Patterns {
    sorted: Vec<Vec<u8>>,
    search: Option<AhoCorasick>,
    first: FirstBytes,
    longest: usize,
}

impl Patterns {
    fn new(forms: BTreeSet<Vec<u8>>) -> Self {
        let sorted: Vec<Vec<u8>> = forms.into_iter().filter(|form| !form.is_empty()).collect();
        // Building fails only beyond two billion states; then the search is a slow one.
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&sorted).ok();
        let mut first = FirstBytes::default();
        for form in &sorted {
            first.0[usize::from(form[0])] = true;
        }
        let longest = sorted.iter().map(Vec::len).max().unwrap_or(0);
        Self { sorted, search, first, longest }
    }

    /// Returns start and end of the leftmost, and there the longest, form at or after `from`.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let Some(search) = &self.search else {
            let longest = |at: usize| self.sorted.iter().filter(|form| bytes[at..].starts_with(form)).map(Vec::len).max();
            return (from..bytes.len()).find_map(|at| longest(at).map(|length| (at, at + length)));
        };
        search.find(aho_corasick::Input::new(bytes).range(from..)).map(|found| (found.start(), found.end()))
    }

    /// Returns the first position from which everything to the end of `bytes` may be the beginning of a form; the length if none.
    fn hold_from(&self, bytes: &[u8]) -> usize {
        let earliest = (bytes.len() + 1).saturating_sub(self.longest).min(bytes.len());
        (earliest..bytes.len()).find(|&at| self.first.0[usize::from(bytes[at])] && self.begins_one(&bytes[at..])).unwrap_or(bytes.len())
    }

    /// Returns whether a form that is longer than `bytes` begins with `bytes`.
    fn begins_one(&self, bytes: &[u8]) -> bool {
        // Sorted: the forms that begin with `bytes` follow it directly, after an equal one.
        let at = self.sorted.partition_point(|form| form.as_slice() <= bytes);
        self.sorted.get(at).is_some_and(|form| form.starts_with(bytes))
    }
}

struct FirstBytes([bool; 256]);

impl Default for FirstBytes {
    fn default() -> Self {
        Self([false; 256])
    }
}
