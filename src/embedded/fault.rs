//! The switchboard: which requests go wrong, and how; how slow a platform is; how often it may be asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ground::lock;
use crate::clock::Clock;
use crate::id::Chance;

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
    /// The platform's name.
    pub platform: String,
    /// The operation's name, or `*` for all.
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
        let (place, ordinal) = match boundary.split_once('#') {
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

    fn matches(&self, platform: &str, operation: &str, target: Option<&str>) -> bool {
        self.platform == platform
            && (self.operation == "*" || self.operation == operation)
            && self.target.as_deref().is_none_or(|wanted| Some(wanted) == target)
    }
}

/// A rate limit on one operation (or all), kept per operation and path: that is, per app for a create and per machine for a machine action.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The platform's name.
    pub platform: String,
    /// The operation's name, or `*` for every operation without a limit of its own.
    pub operation: String,
    /// Requests per second in the long run.
    pub per_second: f64,
    /// Requests that may come at once.
    pub burst: u32,
    /// The `Retry-After` to send, in seconds.
    pub retry_after: Option<u64>,
    /// The body of the 429.
    pub body: String,
}

/// How long a platform takes to answer: `base`, and up to `jitter` more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Added to every request.
    pub base: Duration,
    /// The most that chance adds.
    pub jitter: Duration,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    rule: Rule,
    matched: u64,
    fired: u64,
}

#[derive(Debug, Default)]
struct Board {
    next: u64,
    rules: Vec<Armed>,
    latency: BTreeMap<String, Latency>,
    limits: Vec<Limit>,
    buckets: BTreeMap<String, (f64, Duration)>,
}

/// The switchboard of one world; cheap to clone, and the same for every clone. Everything is off at first.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    board: Arc<Mutex<Board>>,
}

impl Faults {
    /// Arms `rule` and returns its number.
    pub fn set(&self, rule: Rule) -> u64 {
        let mut board = lock(&self.board);
        board.next += 1;
        let id = board.next;
        board.rules.push(Armed { id, rule, matched: 0, fired: 0 });
        id
    }

    /// Returns how often the rule `id` has fired.
    pub fn fired(&self, id: u64) -> u64 {
        lock(&self.board).rules.iter().find(|armed| armed.id == id).map_or(0, |armed| armed.fired)
    }

    /// Disarms the rule `id`; idempotent.
    pub fn unset(&self, id: u64) {
        lock(&self.board).rules.retain(|armed| armed.id != id);
    }

    /// Disarms every rule; latency and limits stay.
    pub fn clear(&self) {
        lock(&self.board).rules.clear();
    }

    /// Sets how long `platform` takes to answer.
    pub fn latency(&self, platform: &str, latency: Latency) {
        lock(&self.board).latency.insert(platform.into(), latency);
    }

    /// Sets a rate limit, in the place of an earlier one on the same operation.
    pub fn limit(&self, limit: Limit) {
        let mut board = lock(&self.board);
        board.limits.retain(|old| (&old.platform, &old.operation) != (&limit.platform, &limit.operation));
        board.limits.push(limit);
    }

    /// Returns the fault that strikes this request, counting it for every rule that matches; the rule armed first wins.
    pub(crate) fn strike(&self, platform: &str, operation: &str, target: Option<&str>) -> Option<(Effect, Answer)> {
        let mut struck = None;
        for armed in &mut lock(&self.board).rules {
            if !armed.rule.matches(platform, operation, target) {
                continue;
            }
            armed.matched += 1;
            let first = armed.rule.ordinal.unwrap_or(1);
            let due = match armed.rule.times {
                Times::Once => armed.matched == first,
                Times::Exactly(count) => armed.matched >= first && armed.matched - first < count,
                Times::Forever => armed.matched >= first,
            };
            if due && struck.is_none() {
                armed.fired += 1;
                struck = Some((armed.rule.effect, armed.rule.answer.clone()));
            }
        }
        struck
    }

    /// Returns how long this request of `platform` is held up.
    pub(super) fn delay(&self, platform: &str, chance: &Chance) -> Duration {
        let latency = lock(&self.board).latency.get(platform).copied().unwrap_or_default();
        let jitter = u64::try_from(latency.jitter.as_micros()).unwrap_or(u64::MAX);
        latency.base + Duration::from_micros(if jitter == 0 { 0 } else { chance.below(jitter) })
    }

    /// Returns the limit that refuses this request, if one does; otherwise counts the request against its limit.
    pub(super) fn refused(&self, platform: &str, operation: &str, path: &str, clock: &Clock) -> Option<Limit> {
        let mut board = lock(&self.board);
        let of = |wanted: &str| board.limits.iter().find(|limit| limit.platform == platform && limit.operation == wanted).cloned();
        let limit = of(operation).or_else(|| of("*"))?;
        let now = clock.elapsed();
        let burst = f64::from(limit.burst);
        let (tokens, at) = board.buckets.entry(format!("{platform}.{operation} {path}")).or_insert((burst, now));
        *tokens = burst.min(*tokens + (now.saturating_sub(*at)).as_secs_f64() * limit.per_second);
        *at = now;
        if *tokens < 1.0 {
            return Some(limit);
        }
        *tokens -= 1.0;
        None
    }
}
