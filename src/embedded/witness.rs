//! Who is told of every request: what lets a simulation kill a runner, wake another or act as a person at exactly one boundary.
//!
//! A fault changes what one request does and is told ([`super::fault`]); a witness may change anything else in the world at the moment at which
//! a request arrives or is about to be answered, since it is asked by the platform's own task and not by the caller's.

use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;

use super::ground::lock;

/// Which end of a request is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It has arrived, and nothing has come of it yet.
    Before,
    /// It has had its effect, if it has one, and is about to be answered.
    After,
}

/// Who sent a request, as an extension of the request: the number that a simulation gave its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender(pub u64);

impl Sender {
    pub(super) fn of(extensions: &http::Extensions) -> Option<Self> {
        extensions.get::<Self>().copied()
    }
}

/// Is told of every request of a world.
pub trait Witness: Send + Sync + fmt::Debug {
    /// Meets the request called `boundary` (`platform.operation[target]#n`) at one of its ends; returns whether it goes on.
    ///
    /// `false` before means that it never reached the platform's state; after, that its answer never arrives.
    fn meets<'a>(&'a self, boundary: &'a str, moment: Moment, sender: Option<Sender>) -> BoxFuture<'a, bool>;
}

/// The witness of a world, if it has one; cheap to clone, and the same for every clone.
#[derive(Debug, Clone, Default)]
pub struct Witnesses {
    one: Arc<Mutex<Option<Arc<dyn Witness>>>>,
}

impl Witnesses {
    /// Calls `witness` from now on, in the place of an earlier one.
    pub fn call(&self, witness: Arc<dyn Witness>) {
        *lock(&self.one) = Some(witness);
    }

    /// Calls nobody any more.
    pub fn dismiss(&self) {
        *lock(&self.one) = None;
    }

    /// Returns the witness.
    pub fn get(&self) -> Option<Arc<dyn Witness>> {
        lock(&self.one).clone()
    }
}
