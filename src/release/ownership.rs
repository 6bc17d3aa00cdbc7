//! What a runner that was taken over can still do, and what bounds it.
//!
//! No platform checks a fencing token. So every change is sent only while the last look that found this run owning its environment is younger
//! than [`Terms::look`], and [`Terms::close`] where users' traffic moves, or [`Terms::term`] for a way back while the journal cannot be read; whoever takes over waits [`Terms::term`] and the
//! longest deadline of a request before the last word (*quarantine*). The age is measured by the wall clock and by the clock that counts
//! while the machine sleeps, whichever is older: a laptop that was shut, or a virtual machine that was frozen, has lost its ownership until it
//! has looked again. What is left is one request that was on its way at that moment; recovery looks again after the quarantine and repairs it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::journal::{Owner, Record};
use super::store::{HeadId, Newest, StoreError, Watcher};
use crate::clock::{Clock, Moment};
use crate::http::{Call, Guard};

/// Tells whether the environment is still this run's; cheap to clone, and the same for every clone.
#[derive(Debug, Clone)]
pub struct Ownership {
    inner: Arc<Inner>,
}

/// For how long a look at the journal is believed. Every runner of an environment must believe in the same: what one may still do, the other
/// waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How old the last look may be when a change forward is sent: the longest cut-over without a look between its first and last change of
    /// traffic fits into it.
    pub look: Duration,
    /// How old it may be when what users get is changed forward: whoever was frozen in the middle of a cut-over looks first.
    pub close: Duration,
    /// How old the last look may be when a change of the way back is sent while the journal cannot be read; T of what whoever takes over waits.
    pub term: Duration,
    /// For how long a writer counts as alive after its last record where nobody can say: longer than any wait of a release between two
    /// records. It is pushed back by a record of its own when less than a quarter of it is left.
    pub alive: Duration,
    /// How much two machines' clocks may differ before a deadline counts as passed too early.
    pub clocks: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(120),
            close: Duration::from_secs(15),
            term: Duration::from_secs(300),
            alive: Duration::from_secs(60 * 60),
            clocks: Duration::from_secs(120),
        }
    }
}

impl Terms {
    /// For embedded platforms, on which nothing is far away and a person waits.
    pub const REHEARSED: Self = Self {
        look: Duration::from_secs(4),
        close: Duration::from_secs(2),
        term: Duration::from_secs(10),
        alive: Duration::from_secs(60 * 60),
        clocks: Duration::from_secs(120),
    };

    /// The same with another time for which a silent writer counts as alive, of processes that all read this machine's clock.
    #[must_use]
    pub const fn alive_for(self, alive: Duration) -> Self {
        Self { alive, clocks: Duration::ZERO, ..self }
    }
}

#[derive(Debug)]
struct Inner {
    watcher: Arc<dyn Watcher>,
    owner: Owner,
    clock: Clock,
    terms: Terms,
    known: Mutex<Known>,
    /// One look at a time, so that many changes at once cost one call.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Identities that the newest record may have while the environment is ours.
    ours: Vec<Option<HeadId>>,
    /// When it was last seen to be ours: the moment before the journal was asked.
    at: Option<Moment>,
    /// When the journal was last read or written, whosever it was: the moment before it was asked.
    asked: Option<Moment>,
    /// Who took over, once anybody did.
    lost_to: Option<String>,
    /// Whether the way back is being gone: it is fenced by [`Terms::term`] and not by a fresh look.
    back: bool,
    /// Whether nothing is done but tidying up after closed releases.
    tidying: bool,
}

/// Why a change may not be sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotOurs {
    /// Somebody else has taken over.
    #[error("{0} has taken this release over; nothing more is changed from here")]
    TakenOver(String),
    /// Nobody can say whose it is.
    #[error("the journal cannot be read, so nobody can say whether this release is still ours: {0}")]
    Unreadable(StoreError),
}

impl Ownership {
    pub(super) fn new(watcher: Arc<dyn Watcher>, owner: Owner, clock: Clock, terms: Terms) -> Self {
        Self { inner: Arc::new(Inner { watcher, owner, clock, terms, known: Mutex::default(), looking: tokio::sync::Mutex::new(()) }) }
    }

    /// Returns for how long a look at the journal is believed.
    pub fn terms(&self) -> Terms {
        self.inner.terms
    }

    /// Notes that the newest record was read or written, what it is, and the moment before that was asked: what came while the answer was on
    /// its way, or while this process stood still, the answer cannot know.
    pub(super) fn seen(&self, ours: Vec<Option<HeadId>>, head: Option<&Record>, asked: Moment) {
        let mine = head.is_some_and(|head| self.is_ours(head));
        let mut known = self.known();
        known.ours = ours;
        known.asked = Some(asked);
        known.at = mine.then_some(asked);
        if mine {
            known.lost_to = None;
        }
    }

    /// Notes that the newest record may by now be another one of ours.
    pub(super) fn doubt(&self, ours: Vec<Option<HeadId>>) {
        self.known().ours = ours;
    }

    /// Notes that somebody else has written.
    pub(super) fn overtaken(&self, head: Option<&Record>) {
        if !head.is_some_and(|head| self.is_ours(head)) {
            let mut known = self.known();
            known.at = None;
            known.lost_to = Some(writer(head));
        }
    }

    /// Says that from now on the way back is gone.
    pub(super) fn going_back(&self) {
        self.known().back = true;
    }

    /// Returns whether the last look that found the environment ours is younger than [`Terms::term`].
    fn within_term(&self) -> bool {
        self.known().younger(&self.inner.clock, self.inner.terms.term)
    }

    /// Makes sure that the environment is ours: by the last look if it is young enough, else by a new one.
    pub async fn assure(&self) -> Result<(), NotOurs> {
        self.assure_within(self.inner.terms.look).await
    }

    /// Makes sure that the environment is ours by a look that is at most this old.
    pub(super) async fn assure_within(&self, age: Duration) -> Result<(), NotOurs> {
        let fresh = |known: &Known| known.younger(&self.inner.clock, age);
        if fresh(&self.known()) {
            return Ok(());
        }
        let _turn = self.inner.looking.lock().await;
        let (ours, back, lost_to) = {
            let known = self.known();
            if fresh(&known) {
                return Ok(());
            }
            (known.ours.clone(), known.back, known.lost_to.clone())
        };
        if let Some(who) = lost_to {
            return Err(NotOurs::TakenOver(who));
        }
        let before = self.inner.clock.moment();
        match self.inner.watcher.newest(&ours).await {
            Ok(Newest::Other(head)) if !head.as_ref().is_some_and(|head| self.is_ours(head)) => {
                self.overtaken(head.as_deref());
                Err(NotOurs::TakenOver(writer(head.as_deref())))
            }
            // The look counts from when it was asked: what came after it, it cannot know.
            Ok(_) => {
                self.known().at = Some(before);
                Ok(())
            }
            Err(_) if back && self.within_term() => Ok(()),
            Err(error) => Err(NotOurs::Unreadable(error)),
        }
    }

    /// Says that what follows tidies up after closed releases: as long as no release is open, that is anybody's to do.
    pub(super) fn tidying(&self, head: Option<&Record>) {
        let mut known = self.known();
        known.tidying = true;
        known.at = known.asked.filter(|_| head.is_none_or(|head| head.state.open.is_none()));
    }

    /// Says that tidying up is over: from here on only a release of this run's own makes the environment its.
    pub(super) fn tidied(&self) {
        let mut known = self.known();
        known.tidying = false;
        known.at = None;
    }

    /// Returns whether a newest record means that the environment is this run's.
    pub(super) fn is_ours(&self, head: &Record) -> bool {
        match &head.state.open {
            Some(open) => open.owner.id == self.inner.owner.id,
            None => self.known().tidying,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn younger(&self, clock: &Clock, limit: Duration) -> bool {
        self.lost_to.is_none() && self.at.is_some_and(|at| clock.age(&at) < limit)
    }
}

impl Guard for Ownership {
    fn admit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if !call.is_fenced() {
                return Ok(());
            }
            let terms = self.terms();
            let age = if call.moves_traffic { terms.close.min(terms.look) } else { terms.look };
            self.assure_within(age).await.map_err(|error| error.to_string())
        })
    }
}

fn writer(head: Option<&Record>) -> String {
    head.map_or_else(|| "somebody who emptied the journal".to_owned(), |head| head.owner.id.clone())
}
