//! The life of a simulated runner: alive, standing still, dead.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::sync::Notify;

use crate::clock::Shift;
use crate::shutdown::Shutdown;

/// What a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Being {
    /// It works.
    Alive,
    /// It stands still, and will go on.
    Frozen,
    /// It is gone.
    Dead,
}

/// One runner, as the world around it can touch it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Life {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    number: u64,
    being: Mutex<(Being, Option<Waker>)>,
    changed: Notify,
    ghosts: AtomicU64,
    /// Whether nothing is left of its work.
    gone: AtomicBool,
    shutdown: Shutdown,
    shift: &'static Shift,
}

impl Life {
    /// Returns a runner that lives.
    pub fn new(number: u64, shift: &'static Shift) -> Self {
        let inner = Inner {
            number,
            being: Mutex::new((Being::Alive, None)),
            changed: Notify::new(),
            ghosts: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            shutdown: Shutdown::default(),
            shift,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the number by which the world knows it.
    pub fn number(&self) -> u64 {
        self.inner.number
    }

    /// Returns what it is.
    pub fn being(&self) -> Being {
        self.lock().0
    }

    /// Returns what tells it to end.
    pub fn shutdown(&self) -> &Shutdown {
        &self.inner.shutdown
    }

    /// Returns how far its machine's clocks are off.
    pub fn shift(&self) -> &'static Shift {
        self.inner.shift
    }

    /// Makes it something else; what is dead stays dead.
    pub fn become_(&self, being: Being) {
        let waker = {
            let mut state = self.lock();
            if state.0 == Being::Dead {
                return;
            }
            state.0 = being;
            state.1.take()
        };
        self.inner.changed.notify_waiters();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns how often something was sent in its name after its death.
    pub fn ghosts(&self) -> u64 {
        self.inner.ghosts.load(Ordering::Relaxed)
    }

    /// Returns while it lives; waits while it stands still, and for ever once it is dead.
    pub async fn awake(&self) {
        loop {
            let changed = self.inner.changed.notified();
            match self.being() {
                Being::Alive => return,
                Being::Frozen => changed.await,
                Being::Dead => std::future::pending().await,
            }
        }
    }

    /// As [`Life::awake`], for something that is about to leave it: what comes when nothing is left of it is counted as a ghost.
    ///
    /// What stood beside the request that it died at is no ghost: it dies at its next step.
    pub async fn sends(&self) {
        if self.inner.gone.load(Ordering::Relaxed) {
            self.inner.ghosts.fetch_add(1, Ordering::Relaxed);
        }
        self.awake().await;
    }

    /// Runs `work` as long as it lives; `None` when it dies first, and then nothing of `work` is left.
    pub async fn lead<F: Future>(&self, work: F) -> Option<F::Output> {
        let ended = self.follow(work).await;
        self.inner.gone.store(ended.is_none(), Ordering::Relaxed);
        ended
    }

    async fn follow<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let being = {
                let mut state = self.lock();
                state.1 = Some(context.waker().clone());
                state.0
            };
            match being {
                Being::Dead => Poll::Ready(None),
                Being::Frozen => Poll::Pending,
                Being::Alive => work.as_mut().poll(context).map(Some),
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, (Being, Option<Waker>)> {
        self.inner.being.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
