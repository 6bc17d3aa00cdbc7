//! What every piece of work on a platform has in common, whether a release asks for it or a preview: where its steps are told, and by what it is
//! ended.

use super::{PreviewScope, Scope};
use crate::event::Events;
use crate::id::Name;
use crate::shutdown::Shutdown;

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

fn known(commit: &str) -> Option<&str> {
    commit.bytes().any(|byte| byte != b'0').then_some(commit)
}
