//! Wall time as a value.
//!
//! Waits use `tokio::time`, which a test can pause; wall time is derived from the same source, so that a paused clock stops both and a
//! simulated release is reproducible to the millisecond.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells what time it is; cheap to clone, and the same for every clone.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Timestamp,
    origin: Instant,
}

impl Clock {
    /// Returns a clock that begins at the machine's wall time.
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// Returns a clock that reads `wall` now and advances with tokio's (possibly paused) time.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { wall, origin: Instant::now() }
    }

    /// Returns the wall time, to the resolution of tokio's clock.
    pub fn now(&self) -> Timestamp {
        self.wall.saturating_add(self.elapsed()).unwrap_or(self.wall)
    }

    /// Returns the time since this clock was made.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Returns the wall time in whole milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}
