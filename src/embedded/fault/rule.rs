//! One fault: where it strikes, how often, what the request does and what its caller is told.

use std::time::Duration;

/// What a struck request does to the platform's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// Nothing: it never reached the platform's state.
    None,
    /// What it asks for, at once.
    #[default]
    Once,
    /// What it asks for, but only after this time; the caller is answered before.
    Late(Duration),
    /// What it asks for, two times, as a proxy that repeats a request does; the caller gets the first answer.
    Twice,
    /// A part of what it asks for; equals [`Effect::Once`] where the operation has no parts (see [`super::has_parts`]).
    Partial,
}

/// What the caller of a struck request is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Answer {
    /// The platform's own answer. Where there is none yet (no effect, or a late one) it is 503.
    #[default]
    True,
    /// No answer: the connection closes.
    Lost,
    /// This status, body and headers. A body that parses as JSON is sent as JSON.
    Status {
        /// The HTTP status.
        code: u16,
        /// The body; empty for none.
        body: String,
        /// Further headers, such as `retry-after`.
        headers: Vec<(String, String)>,
    },
    /// 502 with a page of HTML, as a broken proxy in front of an API answers.
    Html,
    /// The true status and half of the true body, then the connection closes.
    Truncated,
    /// The true answer, this much later.
    Slow(Duration),
    /// The true answer, but one word of a closed list in it (a state, a status) is a word that nobody knows. Equals [`Answer::True`] where the
    /// answer holds no such word, and the tape then says "in vain".
    Unknown,
    /// For reads: what the same request would have been answered before the latest change that makes a difference to it. Equals
    /// [`Answer::True`] where nothing of the kind is remembered, and the tape then says "in vain".
    Stale,
    /// "Done", whatever the effect: the answer that the request would get if it were carried out now, from a copy of the platform that is thrown
    /// away. With [`Effect::None`] it is a success that never happens, with [`Effect::Late`] one that is told too early.
    DoneWhenNot,
}

/// How often a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// On one request.
    #[default]
    Once,
    /// On this many requests in a row.
    Exactly(u64),
    /// On every request from the first one on.
    Forever,
}

/// One fault: where, how often, and what happens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// The platform's name, or `*` for all.
    pub platform: String,
    /// The operation's name, several with `|` between them, or `*` for all.
    pub operation: String,
    /// The target, or `None` for all.
    pub target: Option<String>,
    /// The first matching request to strike, from 1 and counted since the rule was set; `None` is the first.
    pub ordinal: Option<u64>,
    /// How often it fires.
    pub times: Times,
    /// What the request does.
    pub effect: Effect,
    /// What the caller is told.
    pub answer: Answer,
}

impl Rule {
    /// Returns a rule for the boundary `platform.operation[target]#n`; `[target]` and `#n` may be missing.
    ///
    /// Returns `None` when the text has no `.` or an ordinal that is not a number above zero.
    pub fn at(boundary: &str, effect: Effect, answer: Answer) -> Option<Self> {
        let (place, ordinal) = match boundary.rsplit_once('#') {
            Some((place, nth)) => (place, Some(nth.parse().ok().filter(|nth| *nth > 0)?)),
            None => (boundary, None),
        };
        let (platform, rest) = place.split_once('.')?;
        let (operation, target) = match rest.split_once('[') {
            Some((operation, target)) => (operation, Some(target.strip_suffix(']')?.to_owned())),
            None => (rest, None),
        };
        Some(Self { platform: platform.into(), operation: operation.into(), target, ordinal, times: Times::Once, effect, answer })
    }

    /// Returns the rule, firing as often as `times` says.
    #[must_use]
    pub fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Returns an answer of `code` with a JSON error body and, where given, `Retry-After` in seconds.
    pub fn status(code: u16, retry_after: Option<u64>) -> Answer {
        let headers = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())).into_iter().collect();
        Answer::Status { code, body: format!(r#"{{"error":"status {code} by request of the fault switchboard"}}"#), headers }
    }

    pub(super) fn matches(&self, platform: &str, operation: &str, target: Option<&str>) -> bool {
        (self.platform == "*" || self.platform == platform)
            && (self.operation == "*" || self.operation.split('|').any(|one| one == operation))
            && self.target.as_deref().is_none_or(|wanted| Some(wanted) == target)
    }
}
