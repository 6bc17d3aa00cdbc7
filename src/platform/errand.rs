//! What every piece of work on a platform has in common, whether a release asks for it or a preview: where its steps are told, and by what it is
//! ended.

use std::time::Duration;

use super::{PreviewScope, Scope};
use crate::event::Events;
use crate::id::{Chance, Name};
use crate::shutdown::{Level, Shutdown};

/// A piece of work: uploading, creating, waiting. Who it is for is told by marks, which are none of its business.
pub(crate) trait Errand {
    /// Tells what a target does now.
    fn step(&self, target: &Name, step: impl Into<String>);
    /// Returns where notices are told.
    fn events(&self) -> &Events;
    /// Returns what ends waits.
    fn shutdown(&self) -> &Shutdown;
    /// Returns the commit that the work is about; `None` without git, where it is all zeros.
    fn commit(&self) -> Option<&str>;
}

impl Errand for Scope {
    fn step(&self, target: &Name, step: impl Into<String>) {
        Self::step(self, target, step);
    }

    fn events(&self) -> &Events {
        &self.events
    }

    fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    fn commit(&self) -> Option<&str> {
        known(&self.commit)
    }
}

impl Errand for PreviewScope {
    fn step(&self, target: &Name, step: impl Into<String>) {
        Self::step(self, target, step);
    }

    fn events(&self) -> &Events {
        &self.events
    }

    fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    fn commit(&self) -> Option<&str> {
        known(&self.commit)
    }
}

/// Waits, and a little longer by chance: several that wait for the same platform do not ask it in step. Returns `false` when it was ended before, by
/// [`Level::Drain`].
pub(crate) async fn paused(chance: &Chance, shutdown: &Shutdown, pause: Duration) -> bool {
    let jitter = chance.below(pause.as_millis() as u64 / 4 + 1);
    tokio::select! {
        biased;
        () = shutdown.at_least(Level::Drain) => false,
        () = tokio::time::sleep(pause + Duration::from_millis(jitter)) => true,
    }
}

fn known(commit: &str) -> Option<&str> {
    commit.bytes().any(|byte| byte != b'0').then_some(commit)
}
