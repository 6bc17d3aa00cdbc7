//! Keeping to a platform's documented rate, so that no 429 is met.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A rate: `burst` calls at once, then one every `interval`, counted per `key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// What is counted together, for example `fly.create_machine/app`.
    pub key: String,
    /// Time between two calls once the burst is used up.
    pub interval: Duration,
    /// How many calls may go at once.
    pub burst: u32,
}

/// Remembers when the next call of each key may go.
#[derive(Debug, Default)]
pub struct Pacer {
    // The theoretical arrival time of the generic cell rate algorithm.
    arrivals: Mutex<HashMap<String, Instant>>,
}

impl Pacer {
    /// Waits until a call at this pace may go, and counts it.
    pub async fn wait(&self, pace: &Pace) {
        let go = {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let arrival = arrivals.get(&pace.key).copied().unwrap_or(now).max(now);
            arrivals.insert(pace.key.clone(), arrival + pace.interval);
            let tolerance = pace.interval * pace.burst.saturating_sub(1);
            arrival.checked_sub(tolerance).unwrap_or(now)
        };
        tokio::time::sleep_until(go).await;
    }
}
