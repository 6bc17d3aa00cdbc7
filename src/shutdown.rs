//! Cancellation as a value.
//!
//! Operating-system signals become levels; everything that waits is given a [`Shutdown`] and looks at nothing else, so that a test cancels
//! without a signal. No guarantee rests on a handler being run: GitHub sends SIGINT, SIGTERM 7.5 s later, and 2.5 s after that ends the tree.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How urgently work is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    None,
    /// Begin nothing new; end what runs in order.
    Drain,
    /// End at once.
    Now,
}

impl Level {
    /// Returns the level that one more signal raises this one to.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::None => Self::Drain,
            Self::Drain | Self::Now => Self::Now,
        }
    }
}

/// A level that is only ever raised; cheap to clone, and clones share the level.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Inner>);

/// Who waits is woken in the order of coming, so that the same run ends in the same way; tokio's watch channel wakes by chance.
#[derive(Debug)]
struct Inner {
    level: Mutex<Level>,
    raised: Notify,
}

impl Default for Inner {
    fn default() -> Self {
        Self { level: Mutex::new(Level::None), raised: Notify::new() }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shutdown {
    /// Returns the present level.
    pub fn level(&self) -> Level {
        *self.0.lock()
    }

    /// Raises the level; lowering is ignored.
    pub fn raise(&self, level: Level) {
        let mut now = self.0.lock();
        if level > *now {
            *now = level;
            drop(now);
            self.0.raised.notify_waiters();
        }
    }

    /// Waits until the level is at least `level`; returns at once if it is already.
    pub async fn at_least(&self, level: Level) {
        loop {
            // Taken before the look: what is raised in between is seen.
            let raised = self.0.raised.notified();
            if self.level() >= level {
                return;
            }
            raised.await;
        }
    }

    /// Begins to map SIGINT and SIGTERM to levels: the first to [`Level::Drain`], the second, of either kind, to [`Level::Now`].
    ///
    /// The handlers are installed when this returns; the task runs until it is aborted or the runtime ends. Fails if the operating system
    /// refuses a handler, and must be called within a tokio runtime.
    pub fn listen(&self) -> io::Result<JoinHandle<()>> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = self.clone();
        Ok(tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = interrupt.recv() => {}
                    Some(()) = terminate.recv() => {}
                    else => return,
                }
                shutdown.raise(shutdown.level().next());
            }
        }))
    }
}
