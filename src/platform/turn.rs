//! When users' traffic changes: whose turn it is, and from when to when it changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::shutdown::{Level, Shutdown};

/// What is read ahead of a change counts for so long; after a longer wait it is read again.
pub(super) const READ_AHEAD: Duration = Duration::from_secs(3);

/// From the first call that changed users' traffic to the answer of the last one, over all targets of one release; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<Option<(Instant, Instant)>>>);

impl Changes {
    /// Makes a call that changes traffic: notes when it leaves and when it is answered, or given up.
    pub async fn during<T>(&self, call: impl Future<Output = T>) -> T {
        self.note();
        let answer = call.await;
        self.note();
        answer
    }

    /// Returns when the first call left; `None` while traffic never changed.
    pub fn first(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|(first, _)| first)
    }

    /// Returns how long after the first call left the last one was answered.
    pub fn span(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|(first, last)| last - first)
    }

    /// Returns the span and begins anew.
    pub fn take(&self) -> Option<Duration> {
        let span = self.span();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        span
    }

    fn note(&self) {
        let now = Instant::now();
        let mut span = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = span.map_or(now, |(first, _)| first);
        *span = Some((first, now));
    }
}

/// A target's permission to change traffic. Until it is given the target may read what it needs, so that its first call is the change.
#[derive(Debug, Clone, Default)]
pub struct Turn(Option<Waiting>);

#[derive(Debug, Clone)]
struct Waiting {
    given: watch::Receiver<bool>,
    ready: mpsc::UnboundedSender<()>,
}

impl Turn {
    /// Returns a turn that is not given yet, and how it is given; `ready` hears of every target that has read all it needs. The turn counts
    /// as given too when the giver is gone.
    pub fn waiting(ready: mpsc::UnboundedSender<()>) -> (watch::Sender<bool>, Self) {
        let (sender, given) = watch::channel(false);
        (sender, Self(Some(Waiting { given, ready })))
    }

    /// Waits for the turn, or until the run is cancelled, which the caller asks for next. Returns whether what was read before is too old.
    pub async fn wait(&self, shutdown: &Shutdown) -> bool {
        let Some(Waiting { mut given, ready }) = self.0.clone() else { return false };
        let began = Instant::now();
        // Whoever does not listen any more needs no word.
        let _ = ready.send(());
        tokio::select! {
            biased;
            _ = given.wait_for(|given| *given) => {}
            () = shutdown.at_least(Level::Drain) => {}
        }
        began.elapsed() > READ_AHEAD
    }
}
