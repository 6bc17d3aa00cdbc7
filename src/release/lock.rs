//! The lock: one release per environment, whose owner is a job that GitHub knows, or a process until its deadline.
//!
//! Holding the lock is being the owner of the open release in the journal; there is no second thing that could disagree with it. Waiters
//! write nothing. Taking over needs a reason ([`Standing::Over`]; a process of this very machine that is gone), or a deadline that has passed;
//! that nobody answers is no reason.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::Context;
use super::journal::{Journal, Open, Owner};
use super::store::StoreError;
use crate::event::Level;
use crate::shutdown;

/// How often a waiter says that it still waits.
const SAID: Duration = Duration::from_secs(60);

/// How long, and how often, somebody else's release is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long at most.
    pub limit: Duration,
    /// The pause between two looks.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { limit: Duration::from_secs(30 * 60), pause: Duration::from_secs(15) }
    }
}

impl Patience {
    /// Does not wait at all.
    pub const NONE: Self = Self { limit: Duration::ZERO, pause: Duration::from_secs(1) };
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// No release is open.
    Free,
    /// A release is open and its owner is gone: it must be brought to its end first.
    Abandoned(Abandoned),
}

/// An open release without an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Why its owner counts as gone.
    pub because: String,
    /// How long after taking over something of that owner may still land.
    pub quarantine: Duration,
}

/// Why a turn never came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoTurn {
    /// The wait is over and the other release is not.
    #[error("{owner} has been releasing {environment} since {since}{}; nothing was touched", patience(*.waited))]
    TimedOut {
        /// Who holds the environment, with the address where a person can look.
        owner: String,
        /// Which.
        environment: String,
        /// When its newest record was written.
        since: String,
        /// How long.
        waited: Duration,
    },
    /// A run for a newer commit waits as well.
    #[error("{0} is for a newer commit, so this one is not released")]
    Superseded(String),
    /// The run was cancelled.
    #[error("the run was cancelled while it waited for its turn")]
    Cancelled,
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns how long was waited, where it was.
fn patience(waited: Duration) -> String {
    if waited < Duration::from_secs(1) { String::new() } else { format!(", and is not done after {} s of waiting", waited.as_secs()) }
}

/// Returns a span in the seconds that people read.
fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs())
}

/// Waits until it is this run's turn. Nothing is written: a turn is taken by appending, and only one append can win.
///
/// A look that fails is repeated within the limit; nobody's silence is taken for anybody's end.
pub async fn turn(context: &Context, journal: &mut Journal, census: &dyn Census, patience: Patience) -> Result<Turn, NoTurn> {
    let began = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        let Some(open) = journal.state().open.clone() else { return Ok(Turn::Free) };
        if let Some(abandoned) = abandoned(context, journal, census, &open).await {
            return Ok(Turn::Abandoned(abandoned));
        }
        if began.elapsed() >= patience.limit {
            return Err(NoTurn::TimedOut {
                owner: named(&open.owner),
                environment: context.environment.to_string(),
                since: journal.head().map(|head| head.at.to_string()).unwrap_or_default(),
                waited: began.elapsed(),
            });
        }
        if let Some(newer) = census.newer().await {
            return Err(NoTurn::Superseded(newer));
        }
        if said.is_none_or(|said| said.elapsed() >= SAID) {
            let text = format!(
                "Waiting for the release {} of {} by {}; it is {}. This run has waited {} and waits {} at most.",
                open.begun.release,
                context.environment,
                named(&open.owner),
                open.stage.in_words(),
                seconds(began.elapsed()),
                seconds(patience.limit)
            );
            context.events.notice(Level::Note, "lock::waiting", text);
            said = Some(Instant::now());
        }
        tokio::select! {
            biased;
            () = context.shutdown.at_least(shutdown::Level::Drain) => return Err(NoTurn::Cancelled),
            () = tokio::time::sleep(patience.pause) => {}
        }
        match journal.refresh().await {
            Ok(()) => {}
            Err(error) if began.elapsed() >= patience.limit => return Err(NoTurn::Store(error)),
            Err(error @ (StoreError::UnknownFormat { .. } | StoreError::Damaged { .. })) => return Err(NoTurn::Store(error)),
            Err(error) => context.events.notice(Level::Note, "lock::unreadable", format!("{error}. Looking again.")),
        }
    }
}

/// Returns why the owner of an open release is gone, if it is.
async fn abandoned(context: &Context, journal: &Journal, census: &dyn Census, open: &Open) -> Option<Abandoned> {
    let late = context.timing.quarantine.unwrap_or(context.timing.late);
    let whole = context.timing.quarantine.unwrap_or(journal.ownership().terms().term + context.timing.late);
    if !journal.outlives_the_machine() {
        // The kernel has given us the lock of this machine: the process that had it is gone, and only its last requests may still land.
        return Some(Abandoned { because: "its process has ended".to_owned(), quarantine: late });
    }
    if open.owner.id == journal.owner().id {
        return Some(Abandoned { because: "it is this job's own, from before".to_owned(), quarantine: late });
    }
    if open.stuck {
        return Some(Abandoned { because: "its owner gave up and said so".to_owned(), quarantine: late });
    }
    if let (Some(process), Some(own)) = (&open.owner.process, &journal.owner().process)
        && own.sees_that_is_gone(process)
    {
        // As with the kernel's lock: only its last requests may still land.
        return Some(Abandoned { because: format!("its process {} on this machine has ended", process.pid), quarantine: late });
    }
    match census.standing(&open.owner).await {
        Standing::Over { because } => Some(Abandoned { because, quarantine: whole }),
        Standing::AtWork => None,
        Standing::Unknown { reason } => {
            let passed =
                open.until.saturating_add(journal.ownership().terms().clocks).is_ok_and(|until| until < context.transport.clock().now());
            passed.then(|| Abandoned { because: format!("its deadline {} has passed, and {reason}", open.until), quarantine: whole })
        }
    }
}

/// Returns an owner for people: who, and where to look.
pub fn named(owner: &Owner) -> String {
    if owner.url.is_empty() { owner.id.clone() } else { format!("{} ({})", owner.id, owner.url) }
}

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
