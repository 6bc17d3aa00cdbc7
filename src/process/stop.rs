//! Waiting for the leader's end, and bringing it about.

use std::future::Future;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::shutdown::{Level, Shutdown};

/// What bounds a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// How long it may take.
    pub timeout: Duration,
    /// How long its group may take to end after it was asked to, before it is killed.
    pub grace: Duration,
    /// How long its output may stay open after it has ended.
    pub leak_grace: Duration,
    /// The longest line in bytes; a longer one comes in pieces.
    pub max_line_bytes: usize,
}

impl Default for Bounds {
    /// An hour; four seconds of grace, which fits between GitHub's SIGINT and the end of the tree; half a
    /// second, which a busy machine needs to read a last line; 64 KiB.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3600),
            grace: Duration::from_secs(4),
            leak_grace: Duration::from_millis(500),
            max_line_bytes: 64 * 1024,
        }
    }
}

impl Bounds {
    /// How long a killed process may take to disappear: one that hangs in the kernel is left behind.
    pub const KILL_DEADLINE: Duration = Duration::from_secs(5);

    /// Returns the default bounds with another timeout.
    pub fn timeout(timeout: Duration) -> Self {
        Self { timeout, ..Self::default() }
    }
}

/// How the leader ended.
pub(super) enum Exit {
    /// Without us.
    ByItself(ExitStatus),
    /// We ended it.
    Stopped(StopCause),
    /// The operating system would not tell.
    WaitFailed(String),
}

/// Why we ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopCause {
    /// It took too long.
    Timeout,
    /// The run was cancelled.
    Cancelled,
}

/// Waits until the leader has ended, by itself or because of its timeout or the shutdown.
pub(super) async fn until_exit(child: &mut Child, group: Option<Pid>, bounds: &Bounds, shutdown: &Shutdown) -> Exit {
    let cause = tokio::select! {
        biased;
        status = child.wait() => return status.map_or_else(|error| Exit::WaitFailed(error.to_string()), Exit::ByItself),
        () = shutdown.at_least(Level::Drain) => StopCause::Cancelled,
        () = sleep(bounds.timeout) => StopCause::Timeout,
    };
    if !politely(child.wait(), group, bounds.grace, shutdown).await {
        kill(group);
        // A process that hangs in the kernel cannot be waited for; nothing more can be done to it.
        let _ = timeout(Bounds::KILL_DEADLINE, child.wait()).await;
    }
    Exit::Stopped(cause)
}

/// Asks the group to end; returns whether the leader did within the grace period.
async fn politely(exit: impl Future, group: Option<Pid>, grace: Duration, shutdown: &Shutdown) -> bool {
    signal_group(group, Signal::SIGTERM);
    tokio::select! {
        biased;
        _ = exit => true,
        () = shutdown.at_least(Level::Now) => false,
        () = sleep(grace) => false,
    }
}

/// Kills what is left of the group; does nothing if nothing is.
pub(super) fn kill(group: Option<Pid>) {
    signal_group(group, Signal::SIGKILL);
}

fn signal_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // ESRCH: the group is gone, which is what was wanted.
        let _ = killpg(group, signal);
    }
}
