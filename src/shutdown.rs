//! Cancellation as a value.

use tokio::sync::watch;

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

/// A level that is only ever raised; cheap to clone.
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
    /// Waits until the level is at least `level`.
    pub async fn at_least(&self, level: Level) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _ = receiver.wait_for(|now| *now >= level).await;
    }
}
