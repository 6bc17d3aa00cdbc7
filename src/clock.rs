//! Wall time as a value.
//!
//! Waits use `tokio::time`, which a test can pause; wall time is derived from the same source, so that a paused clock stops both and a
//! simulated release is reproducible to the millisecond.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells what time it is; cheap to clone, and the same for every clone.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Wall,
    origin: Instant,
    shift: Option<&'static Shift>,
}

#[derive(Debug, Clone, Copy)]
enum Wall {
    /// The machine's.
    Machine,
    /// This one when the clock was made; it advances with tokio's time.
    From(Timestamp),
}

/// How far a simulated machine's clocks are off: what a step of the wall clock, or a sleep of the machine, does to them.
#[derive(Debug, Default)]
pub struct Shift {
    /// Added to the wall clock, in milliseconds.
    pub wall_ms: AtomicI64,
    /// Added to the clock that counts while the machine sleeps, in milliseconds.
    pub boot_ms: AtomicI64,
}

/// One moment by every clock that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    running: Duration,
    wall: Timestamp,
    boot: Duration,
}

impl Clock {
    /// Returns the machine's own clock.
    pub fn system() -> Self {
        Self { wall: Wall::Machine, origin: Instant::now(), shift: None }
    }

    /// Returns a clock that reads `wall` now and advances with tokio's (possibly paused) time.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { wall: Wall::From(wall), origin: Instant::now(), shift: None }
    }

    /// Returns the same clock on a machine whose clocks are off by `shift`; for simulations.
    #[must_use]
    pub const fn shifted(self, shift: &'static Shift) -> Self {
        Self { shift: Some(shift), ..self }
    }

    /// Returns the wall time, to the resolution of tokio's clock.
    pub fn now(&self) -> Timestamp {
        let now = match self.wall {
            Wall::Machine => Timestamp::now(),
            Wall::From(wall) => wall.saturating_add(self.elapsed()).unwrap_or(wall),
        };
        let shift = self.shift.map_or(0, |shift| shift.wall_ms.load(Ordering::Relaxed));
        now.saturating_add(SignedDuration::from_millis(shift)).unwrap_or(now)
    }

    /// Returns the time since this clock was made, as long as the machine ran.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Returns the wall time in whole milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Returns this moment by every clock.
    pub fn moment(&self) -> Moment {
        let boot = match self.wall {
            Wall::Machine => since_boot().unwrap_or_else(|| self.elapsed()),
            Wall::From(_) => self.elapsed(),
        };
        let shift = self.shift.map_or(0, |shift| shift.boot_ms.load(Ordering::Relaxed));
        Moment { running: self.elapsed(), wall: self.now(), boot: boot + Duration::from_millis(u64::try_from(shift).unwrap_or(0)) }
    }

    /// Returns how long ago a moment was by the clock that says the longest: time that the machine slept counts, and so does a step of the
    /// wall clock forward.
    pub fn age(&self, moment: &Moment) -> Duration {
        let now = self.moment();
        let wall = now.wall.duration_since(moment.wall);
        let wall = Duration::try_from(wall).unwrap_or_default();
        now.running.saturating_sub(moment.running).max(now.boot.saturating_sub(moment.boot)).max(wall)
    }
}

/// Returns the time since the machine started, its sleep included; `None` where the system has no such clock.
fn since_boot() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok().map(Duration::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}
