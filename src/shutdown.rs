//! Cancellation as a value.
//!
//! Operating-system signals become levels; everything that waits is given a [`Shutdown`] and looks at nothing else, so that a test cancels
//! without a signal. No guarantee rests on a handler being run: GitHub sends SIGINT, SIGTERM 7.5 s later, and 2.5 s after that ends the tree.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
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
#[derive(Debug, Clone)]
pub struct Shutdown(std::sync::Arc<watch::Sender<Level>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(std::sync::Arc::new(watch::Sender::new(Level::None)))
    }
}

impl Shutdown {
    /// Returns the present level.
    pub fn level(&self) -> Level {
        *self.0.borrow()
    }

    /// Raises the level; lowering is ignored.
    pub fn raise(&self, level: Level) {
        self.0.send_if_modified(|now| {
            level > *now && {
                *now = level;
                true
            }
        });
    }

    /// Waits until the level is at least `level`; returns at once if it is already.
    pub async fn at_least(&self, level: Level) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _ = receiver.wait_for(|now| *now >= level).await;
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
