//! What every embedded platform stands on: one clock, one source of chance, one tape, one switchboard of faults, one data plane.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fault::Faults;
use super::past::Past;
use super::tape::Tape;
use super::traffic::Traffic;
use super::witness::Witnesses;
use crate::clock::Clock;
use crate::id::Chance;

tokio::task_local! {
    /// Set while a handler is to do only a part of what it is asked for.
    static PARTIAL: ();
}

/// Returns whether the handler that asks is to do only a part of what was asked for; see [`super::fault::has_parts`].
///
/// A handler asks before it spawns: the answer holds in the task that the request runs in.
pub(super) fn partial() -> bool {
    PARTIAL.try_with(|()| ()).is_ok()
}

/// Runs a handler that is to do only a part of what it is asked for.
pub(super) async fn in_part<F: Future>(work: F) -> F::Output {
    PARTIAL.scope((), work).await
}

/// The shared surroundings of the platforms of one world; cheap to clone, and the same for every clone.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Wall time, which a test can pause.
    pub clock: Clock,
    /// Seeded randomness: every identity and jitter of the world comes from here.
    pub chance: Arc<Chance>,
    /// What was asked of the platforms.
    pub tape: Tape,
    /// Which requests go wrong, and how.
    pub faults: Faults,
    /// Who answers under which public host name.
    pub traffic: Traffic,
    /// What the platforms were like before.
    pub past: Past,
    /// Who is told of every request as it arrives and as it is answered.
    pub witness: Witnesses,
    end: CancellationToken,
}

impl Ground {
    /// Returns fresh surroundings.
    pub fn new(clock: Clock, chance: Chance) -> Self {
        Self {
            clock,
            chance: Arc::new(chance),
            tape: Tape::new(clock),
            faults: Faults::default(),
            traffic: Traffic::new(clock),
            past: Past::new(clock),
            witness: Witnesses::default(),
            end: CancellationToken::new(),
        }
    }

    /// Returns surroundings of the same time for a copy of a platform: nothing that is done there is seen here, and nothing happens there by
    /// itself, since its tasks end before they begin.
    ///
    /// Identities come from a chance of their own, so that a copy does not change what the world does next.
    pub(super) fn aside(&self) -> Self {
        let seed = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let aside = Self::new(self.clock, Chance::seeded(seed ^ 0x00C0_FFEE));
        aside.end.cancel();
        aside
    }

    /// Copies `platform` if somebody may ask for what it was like before the change that follows.
    pub(super) fn before_change(&self, platform: &str) {
        if !self.past.lag_of(platform).is_zero() || self.faults.asks_for_the_past(platform) {
            self.past.keep(platform);
        }
    }

    /// Runs `work` as a task of its own that ends with the world at the latest.
    ///
    /// Platform handlers run like this, so that a caller that goes away does not undo what it has asked for.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let end = self.end.clone();
        tokio::spawn(async move { end.run_until_cancelled(work).await })
    }

    /// Runs `work` once `after` has passed, unless the world ends first.
    pub fn spawn_after<F>(&self, after: Duration, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(async move {
            tokio::time::sleep(after).await;
            work.await;
        });
    }

    /// Ends every task of the world and forgets the routes; idempotent.
    pub(super) fn end(&self) {
        self.end.cancel();
        self.traffic.clear();
        self.past.clear();
    }
}

/// Locks `mutex`, going on after a panic elsewhere: state here is plain data whose every write is complete in itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
