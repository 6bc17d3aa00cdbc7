//! The switchboard: which requests go wrong, and how; how slow a platform is; how often it may be asked.
//!
//! | file | concept |
//! |---|---|
//! | `rule` | one fault: where, how often, what happens |
//! | `notation` | a rule as one line of text, and back |
//! | `parts` | which operations can happen in part |
//! | `forge` | answers that are not the platform's own |

mod forge;
mod notation;
mod parts;
mod rule;

pub use notation::RuleError;
pub(super) use parts::half;
pub use parts::{has_parts, operations_with_parts};
pub use rule::{Answer, Effect, Rule, Times};

pub(super) use forge::{strange, truncated};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ground::lock;
use crate::clock::Clock;
use crate::id::Chance;

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

    /// Returns the rules that are armed, in order of arming.
    pub fn armed(&self) -> Vec<Rule> {
        lock(&self.board).rules.iter().map(|armed| armed.rule.clone()).collect()
    }

    /// Returns whether a rule may ask for what `platform` answered earlier.
    pub(super) fn asks_for_the_past(&self, platform: &str) -> bool {
        let of = |rule: &Rule| rule.answer == Answer::Stale && (rule.platform == "*" || rule.platform == platform);
        lock(&self.board).rules.iter().any(|armed| of(&armed.rule))
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
