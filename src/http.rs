//! The one way out: every request to a platform, to GitHub, to a registry or to a public address goes through [`Transport`].
//!
//! Deadlines, retries, pacing, request counts and redacted errors live here and nowhere else. Whether a call may be repeated is stated by
//! the caller ([`Repeat`]), never guessed from the method: a lost answer is *unknown*, not failed, and only the caller knows by which id the
//! effect can be looked up. Below it a [`Wire`] carries single attempts: over the network that is [`Network`]; in a simulation an embedded
//! platform called in process.

mod call;
mod network;
mod pace;
mod retry;

pub use call::{Answer, Body, Call, Platform, Repeat, Via};
pub use network::Network;
pub use pace::{Pace, Pacer};
pub use retry::RetryPolicy;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::id::Chance;

/// The largest answer that is read, in bytes; a longer one is an error, never truncated silently.
pub const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Carries one attempt of a call.
pub trait Wire: Send + Sync + fmt::Debug {
    /// Sends the call once; no retry, no following of redirects.
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>>;
}

/// Decides right before a call leaves whether it may.
pub trait Guard: Send + Sync + fmt::Debug {
    /// Returns why the call must not be sent, if it must not.
    fn admit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), String>>;
}

/// What became of one attempt that brought no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WireError {
    /// The request did not leave: nothing can have happened.
    #[error("could not connect: {0}")]
    NotSent(String),
    /// The request left, its answer did not arrive: it may have happened.
    #[error("the answer was lost: {0}")]
    Lost(String),
    /// The answer was larger than [`MAX_ANSWER_BYTES`].
    #[error("the answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The guard withheld it: nothing was sent.
    #[error("withheld: {0}")]
    Withheld(String),
    /// The request could not be made from the call.
    #[error("the request could not be built: {0}")]
    Unbuildable(String),
}

/// A call that brought no answer, after all the attempts that it allows.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{platform} {operation}: {method} {url}: {cause}{}", if *.attempts > 1 { format!(" (after {} attempts)", .attempts) } else { String::new() })]
pub struct SendError {
    /// Who was called.
    pub platform: Platform,
    /// The operation's name, as in the tape and in schedules.
    pub operation: &'static str,
    /// The HTTP method.
    pub method: http::Method,
    /// The address without its secrets.
    pub url: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// What became of the last attempt; ambiguous if any attempt was.
    pub cause: WireError,
    /// Whether any attempt may have had its effect.
    pub ambiguous: bool,
}

/// How many requests went out, by platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Attempts of calls that change nothing.
    pub reads: u64,
    /// Attempts of calls that may change something.
    pub writes: u64,
}

/// Sends calls with deadlines, retries and pacing; cheap to clone, clones share counts and pacing.
#[derive(Debug, Clone)]
pub struct Transport {
    inner: Arc<Inner>,
    guard: Option<Arc<dyn Guard>>,
}

#[derive(Debug)]
struct Inner {
    wire: Arc<dyn Wire>,
    clock: Clock,
    chance: Arc<Chance>,
    pacer: Pacer,
    policy: RetryPolicy,
    requests: Mutex<BTreeMap<Platform, Requests>>,
    doubts: AtomicU64,
}

impl Transport {
    /// Returns a transport over `wire` with the default retry policy.
    pub fn new(wire: Arc<dyn Wire>, clock: Clock, chance: Arc<Chance>) -> Self {
        Self::with_policy(wire, clock, chance, RetryPolicy::default())
    }

    /// Returns a transport over `wire` that repeats by `policy`.
    pub fn with_policy(wire: Arc<dyn Wire>, clock: Clock, chance: Arc<Chance>, policy: RetryPolicy) -> Self {
        let inner = Inner { wire, clock, chance, pacer: Pacer::default(), policy, requests: Mutex::default(), doubts: AtomicU64::new(0) };
        Self { inner: Arc::new(inner), guard: None }
    }

    /// Returns the same transport, asking `guard` before every attempt.
    #[must_use]
    pub fn guarded(&self, guard: Arc<dyn Guard>) -> Self {
        Self { inner: self.inner.clone(), guard: Some(guard) }
    }

    /// Returns the clock that the transport waits by.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// Returns the source of randomness that clients draw their ids from.
    pub fn chance(&self) -> &Chance {
        &self.inner.chance
    }

    /// Returns how many requests went out so far, by platform; every attempt counts.
    pub fn requests(&self) -> BTreeMap<Platform, Requests> {
        self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many attempts to change something on a platform had an answer that leaves their effect open: each may still land.
    pub fn doubts(&self) -> u64 {
        self.inner.doubts.load(Ordering::Relaxed)
    }

    /// Sends `call` and returns the answer, whatever its status; repeats within [`Repeat`]'s permission and the call's deadline.
    ///
    /// An answer with status 429 or 5xx is returned when the permission, the attempts or the deadline are used up.
    pub async fn send(&self, call: Call) -> Result<Answer, SendError> {
        let inner = &*self.inner;
        let began = tokio::time::Instant::now();
        let mut attempts = 0;
        let mut ambiguous = false;
        loop {
            if let Some(pace) = &call.pace {
                inner.pacer.wait(pace).await;
            }
            if let Some(guard) = &self.guard
                && let Err(why) = guard.admit(&call).await
            {
                return Err(failure(&call, attempts, WireError::Withheld(why), ambiguous));
            }
            attempts += 1;
            self.count(&call);
            let outcome = match tokio::time::timeout(call.deadline, inner.wire.send(&call)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(WireError::Lost(format!("no answer within {:?}", call.deadline))),
            };
            trace(&call, attempts, &outcome);
            if call.is_fenced() && leaves_open(&outcome) {
                inner.doubts.fetch_add(1, Ordering::Relaxed);
            }
            ambiguous |= matches!(outcome, Err(WireError::Lost(_) | WireError::TooLarge));
            let left = inner.policy.limit.saturating_sub(began.elapsed());
            match inner.policy.pause(&call, attempts, &outcome, &inner.chance, inner.clock.now()) {
                Some(pause) if pause < left => tokio::time::sleep(pause).await,
                _ => return outcome.map_err(|cause| failure(&call, attempts, cause, ambiguous)),
            }
        }
    }

    fn count(&self, call: &Call) {
        let mut requests = self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = requests.entry(call.platform).or_default();
        if call.changes_nothing() {
            entry.reads += 1;
        } else {
            entry.writes += 1;
        }
    }
}

/// Returns whether an outcome says neither that the call had its effect nor that it had none.
fn leaves_open(outcome: &Result<Answer, WireError>) -> bool {
    match outcome {
        Ok(answer) => answer.status.is_server_error() || answer.status == http::StatusCode::REQUEST_TIMEOUT,
        Err(error) => matches!(error, WireError::Lost(_) | WireError::TooLarge),
    }
}

fn failure(call: &Call, attempts: u32, cause: WireError, ambiguous: bool) -> SendError {
    SendError {
        platform: call.platform,
        operation: call.operation,
        method: call.method.clone(),
        url: call.safe_url(),
        attempts,
        cause,
        ambiguous,
    }
}

fn trace(call: &Call, attempt: u32, outcome: &Result<Answer, WireError>) {
    let (platform, operation, url) = (call.platform, call.operation, call.safe_url());
    match outcome {
        Ok(answer) => {
            tracing::debug!(%platform, operation, method = %call.method, url, attempt, status = answer.status.as_u16(), "answered");
        }
        Err(error) => {
            tracing::debug!(%platform, operation, method = %call.method, url, attempt, %error, "not answered");
        }
    }
}

/// The longest single wait between two attempts.
pub const MAX_PAUSE: Duration = Duration::from_secs(60);
