//! When an attempt is repeated, and after how long.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;

use super::{Answer, Call, MAX_PAUSE, Repeat, WireError};
use crate::id::Chance;

/// How often and how long a call is repeated.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The most attempts of one call.
    pub attempts: u32,
    /// The pause after the first attempt; doubled after each further one, with full jitter.
    pub base: Duration,
    /// How long all attempts of one call may take together.
    pub limit: Duration,
    /// A longer wait asked for by a platform is not obeyed but reported.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_millis(300), limit: Duration::from_secs(120), longest_wait: MAX_PAUSE }
    }
}

impl RetryPolicy {
    /// Returns how long to wait before the next attempt, or `None` when this outcome is the last.
    pub fn pause(
        &self,
        call: &Call,
        attempts: u32,
        outcome: &Result<Answer, WireError>,
        chance: &Chance,
        now: Timestamp,
    ) -> Option<Duration> {
        let safe = call.repeat == Repeat::Safe;
        let again = match outcome {
            Err(WireError::NotSent(_)) => true,
            Err(WireError::Lost(_)) => safe,
            Err(WireError::TooLarge | WireError::Unbuildable(_) | WireError::Withheld(_)) => false,
            Ok(answer) => match answer.status {
                StatusCode::TOO_MANY_REQUESTS => true,
                StatusCode::REQUEST_TIMEOUT => safe,
                StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => safe,
                _ => false,
            },
        };
        if !again || attempts >= self.attempts {
            return None;
        }
        if let Some(asked) = outcome.as_ref().ok().and_then(|answer| answer.retry_after(now)) {
            return (asked <= self.longest_wait).then_some(asked);
        }
        let ceiling = (self.base * 2_u32.saturating_pow(attempts - 1)).min(MAX_PAUSE);
        // Half fixed, half chance: callers that failed together do not come back together, and none comes back at once.
        let half = ceiling / 2;
        Some(half + Duration::from_millis(chance.below(half.as_millis() as u64 + 1)))
    }
}
