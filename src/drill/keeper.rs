//! The keeper of a simulated runner's journal: a real store, whose appends and reads are boundaries like requests to a platform.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::director::Director;
use super::life::Life;
use crate::embedded::fault::{Answer, Effect};
use crate::embedded::ground::Ground;
use crate::embedded::witness::{Moment, Sender, Witness};
use crate::release::journal::{Record, Stage};
use crate::release::store::{HeadId, Store, StoreError, Watcher};

/// The journal's name on the switchboard and in schedules.
pub const JOURNAL: &str = "journal";

/// A record that its writer knows to be in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its name.
    pub entry: &'static str,
    /// The stage of the open release after it; `None` when none is open.
    pub stage: Option<Stage>,
    /// Who wrote it.
    pub writer: u64,
    /// How many requests the tape had when the writer got to know.
    pub tape: u64,
    /// Since the world began.
    pub at: Duration,
}

/// What became known to be in the journal, in order; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<Acknowledged>>>);

impl Ledger {
    /// Returns all of it.
    pub fn all(&self) -> Vec<Acknowledged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, one: Acknowledged) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }
}

/// A store as one runner has it.
#[derive(Debug)]
pub struct Kept {
    store: Box<dyn Store>,
    ground: Ground,
    director: Arc<Director>,
    life: Life,
    ledger: Ledger,
}

impl Kept {
    /// Wraps a store.
    pub fn new(store: Box<dyn Store>, ground: Ground, director: Arc<Director>, life: Life, ledger: Ledger) -> Self {
        Self { store, ground, director, life, ledger }
    }

    fn fault(&self, operation: &str, target: Option<&str>) -> Option<(Effect, Answer)> {
        self.ground.faults.strike(JOURNAL, operation, target)
    }

    fn refused(&self, what: &'static str) -> StoreError {
        if self.store.outlives_the_machine() {
            return StoreError::Refused { place: self.store.place(), what, reason: "by request of the fault switchboard".to_owned() };
        }
        let source = Arc::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
        StoreError::Io { path: self.store.place().into(), what, source }
    }

    async fn struck_append(&mut self, record: &Record, fault: Option<(Effect, Answer)>) -> Result<(), StoreError> {
        match fault {
            None => self.store.append(record).await,
            Some((Effect::None | Effect::Late(_), Answer::Lost)) if self.store.outlives_the_machine() => Err(self.unknown()),
            Some((Effect::None | Effect::Late(_), _)) => Err(self.refused("written")),
            Some((Effect::Once | Effect::Twice | Effect::Partial, answer)) => {
                let result = self.store.append(record).await;
                // A file that has been written and synced is written; only a keeper at the other end of a wire can leave that open.
                let open = answer != Answer::True && self.store.outlives_the_machine();
                if open && result.is_ok() { Err(self.unknown()) } else { result }
            }
        }
    }

    fn unknown(&self) -> StoreError {
        StoreError::Unknown { place: self.store.place(), reason: "its answer was lost by request of the fault switchboard".to_owned() }
    }
}

impl Store for Kept {
    fn place(&self) -> String {
        self.store.place()
    }

    fn outlives_the_machine(&self) -> bool {
        self.store.outlives_the_machine()
    }

    fn head(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            self.life.sends().await;
            let boundary = self.director.named(JOURNAL, "head", None);
            meets(&self.director, &self.life, &boundary, Moment::Before).await;
            let result = match self.fault("head", None) {
                None => self.store.head().await,
                Some(_) => Err(self.refused("read")),
            };
            meets(&self.director, &self.life, &boundary, Moment::After).await;
            result
        })
    }

    fn append<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.life.sends().await;
            let entry = record.entry.as_str();
            let boundary = self.director.named(JOURNAL, "append", Some(entry));
            meets(&self.director, &self.life, &boundary, Moment::Before).await;
            let fault = self.fault("append", Some(entry));
            let result = self.struck_append(record, fault).await;
            meets(&self.director, &self.life, &boundary, Moment::After).await;
            if result.is_ok() {
                self.ledger.add(Acknowledged {
                    entry,
                    stage: record.state.open.as_ref().map(|open| open.stage),
                    writer: self.life.number(),
                    tape: self.ground.tape.length(),
                    at: self.ground.clock.elapsed(),
                });
            }
            result
        })
    }

    fn records(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        self.store.records(most)
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        self.store.watcher()
    }

    fn ours(&self) -> Vec<Option<HeadId>> {
        self.store.ours()
    }
}

/// Comes to one end of a request; waits for ever where its sender dies of it.
async fn meets(director: &Director, life: &Life, boundary: &str, moment: Moment) {
    let goes_on = director.meets(boundary, moment, Some(Sender(life.number()))).await;
    if !goes_on {
        std::future::pending::<()>().await;
    }
    life.awake().await;
}
