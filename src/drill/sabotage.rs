//! The world made to misbehave on purpose, beyond every fault that a schedule can name: the controls of the judge.
//!
//! A fault is what a vendor may do; a sabotage is what must never be. It is no part of a schedule, happens in no drill, and is there so that the
//! tests can see each invariant broken in the world itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;

use super::director::Director;
use super::truth::Platforms;
use crate::embedded::witness::{Moment, Sender, Witness};

/// When a sabotage comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cue {
    /// At one end of the platform's request of this name (`platform.operation[target]#n`); not at the journal's, nor at public ones.
    Meets(String, Moment),
    /// When no fault strikes any more, before the first of the recoveries at the end.
    Curtain,
    /// Before the last of the recoveries at the end.
    LastRecovery,
    /// When every recovery is over, before the world is looked at for the last time.
    Rest,
}

type Deed = Arc<dyn Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync>;

struct One {
    cue: Cue,
    deed: Deed,
    done: AtomicBool,
}

/// What is done to the world of one case, each deed once.
#[derive(Default)]
pub struct Sabotage {
    deeds: Vec<One>,
}

impl fmt::Debug for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.deeds.iter().map(|one| &one.cue)).finish()
    }
}

impl Sabotage {
    /// Returns the same and one more deed; it is done before anything else comes of its cue.
    #[must_use]
    pub fn and(mut self, cue: Cue, deed: impl Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        self.deeds.push(One { cue, deed: Arc::new(deed), done: AtomicBool::new(false) });
        self
    }

    /// Returns whether everything has been done.
    pub fn done(&self) -> bool {
        self.deeds.iter().all(|one| one.done.load(Ordering::Relaxed))
    }

    /// Does what is due at this cue and has not been done.
    pub(super) async fn comes(&self, platforms: &Platforms, cue: &Cue) {
        for one in self.deeds.iter().filter(|one| one.cue == *cue) {
            // A deed may itself send requests, and meet its own cue again.
            if !one.done.swap(true, Ordering::Relaxed) {
                (one.deed)(platforms.clone()).await;
            }
        }
    }
}

/// The director, and a saboteur beside.
#[derive(Debug)]
pub(super) struct Sabotaged {
    pub(super) director: Arc<Director>,
    pub(super) platforms: Platforms,
    pub(super) sabotage: Arc<Sabotage>,
}

impl Witness for Sabotaged {
    fn meets<'a>(&'a self, boundary: &'a str, moment: Moment, sender: Option<Sender>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.sabotage.comes(&self.platforms, &Cue::Meets(boundary.to_owned(), moment)).await;
            self.director.meets(boundary, moment, sender).await
        })
    }
}
