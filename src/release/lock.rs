//! The lock: one release per environment, whose owner is a job that GitHub knows, or a process until its deadline.
//!
//! Holding the lock is being the owner of the open release in the journal; there is no second thing that could disagree with it. Waiters
//! write nothing. Taking over needs a reason ([`Standing::Over`]), or a deadline that has passed; that nobody answers is no reason.

use std::fmt;

use futures_util::future::BoxFuture;

use super::journal::Owner;

/// Knows about owners and about newer runs; on GitHub that is its API.
pub trait Census: fmt::Debug + Send + Sync {
    /// Returns whether an owner is still at work.
    fn standing<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Standing>;

    /// Returns, in words, the run for a newer commit that waits for the same environment, if there is one: it supersedes this one.
    fn newer(&self) -> BoxFuture<'_, Option<String>>;
}

/// Whether an owner is still at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is over, by the word of who must know.
    Over {
        /// That word, in words.
        because: String,
    },
    /// It is at work.
    AtWork,
    /// Nobody can say: its deadline decides.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Knows nothing: deadlines decide. For processes outside GitHub, and for their journals.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Census for Nobody {
    fn standing<'a>(&'a self, _owner: &'a Owner) -> BoxFuture<'a, Standing> {
        Box::pin(async { Standing::Unknown { reason: "nobody can be asked".to_owned() } })
    }

    fn newer(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { None })
    }
}
