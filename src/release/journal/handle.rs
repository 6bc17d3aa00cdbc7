//! A run's hold of an environment's journal.

use std::time::Duration;

use super::{Entry, FORMAT, Owner, Record, State};
use crate::clock::Clock;
use crate::id::Chance;
use crate::release::ownership::{Ownership, Terms};
use crate::release::store::{Store, StoreError};

/// For how long a writer counts as alive after its last record where nobody can say: longer than any wait of a release between two records.
pub(super) const DEADLINE: Duration = Duration::from_secs(60 * 60);

/// How near the deadline must be before it is pushed back by a record of its own.
pub(super) const RENEW_BELOW: Duration = Duration::from_secs(15 * 60);

/// An environment's journal as one run knows it: read, and ready for appends.
#[derive(Debug)]
pub struct Journal {
    store: Box<dyn Store>,
    head: Option<Record>,
    /// A record that was sent and of which nobody knows.
    doubt: Option<Record>,
    /// Whether a `committed` was ever sent.
    commit_sent: bool,
    owner: Owner,
    clock: Clock,
    ownership: Ownership,
    empty: State,
}

impl Journal {
    /// Reads the journal's head; nothing is written.
    pub async fn open(store: Box<dyn Store>, owner: Owner, clock: Clock) -> Result<Self, StoreError> {
        Self::open_on(store, owner, clock, Terms::default()).await
    }

    /// Reads the journal's head, on other terms than the usual ones.
    pub async fn open_on(mut store: Box<dyn Store>, owner: Owner, clock: Clock, terms: Terms) -> Result<Self, StoreError> {
        let asked = clock.moment();
        let head = store.head().await?;
        let ownership = Ownership::new(store.watcher(), owner.clone(), clock, terms);
        ownership.seen(store.ours(), head.as_ref(), asked);
        Ok(Self { store, head, doubt: None, commit_sent: false, owner, clock, ownership, empty: State::default() })
    }

    /// Reads the head again: what others have written since is seen.
    pub async fn refresh(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        let asked = self.clock.moment();
        self.head = self.store.head().await?;
        self.ownership.seen(self.store.ours(), self.head.as_ref(), asked);
        Ok(())
    }

    /// Returns the folded state.
    pub fn state(&self) -> &State {
        self.head.as_ref().map_or(&self.empty, |head| &head.state)
    }

    /// Returns the newest record; `None` in an empty journal.
    pub const fn head(&self) -> Option<&Record> {
        self.head.as_ref()
    }

    /// Returns the sequence number of the newest record.
    pub fn sequence(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.sequence)
    }

    /// Returns who writes.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns where it is kept, for people.
    pub fn place(&self) -> String {
        self.store.place()
    }

    /// Returns whether another machine can read it when this one is gone.
    pub fn outlives_the_machine(&self) -> bool {
        self.store.outlives_the_machine()
    }

    /// Returns whether a `committed` was ever sent, so that going back needs the journal's word.
    pub const fn commit_sent(&self) -> bool {
        self.commit_sent
    }

    /// Returns whether a record was sent of which nobody knows whether it landed.
    pub const fn in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Returns what tells whether the environment is still this run's.
    pub const fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Reads the newest records, at most `most`, oldest first.
    pub async fn records(&mut self, most: usize) -> Result<Vec<Record>, StoreError> {
        self.store.records(most).await
    }

    /// Appends an entry. `Ok` means that the record is there to stay; what an error means, [`StoreError`] says.
    ///
    /// A record in doubt is settled first: its fate decides what this one follows. A hold that a person wrote in between is no reason to stop.
    pub async fn append(&mut self, entry: Entry, chance: &Chance) -> Result<(), StoreError> {
        self.settle().await?;
        for _ in 0..INTERRUPTIONS {
            let record = self.next(entry.clone(), chance)?;
            let commit = matches!(entry, Entry::Committed);
            self.commit_sent |= commit;
            let result = self.put(record).await;
            // An error that says for certain that it has not landed, and never will, leaves things as if it had not been sent.
            if commit && result.is_err() && self.doubt.is_none() {
                self.commit_sent = false;
            }
            match result {
                Err(StoreError::Overtaken { head: Some(head), .. }) if self.still_ours(&head) => {
                    self.head = Some(*head);
                }
                other => return other,
            }
        }
        Err(StoreError::Refused { place: self.store.place(), what: "written", reason: "other records keep coming in between".to_owned() })
    }

    /// Appends a record that pushes the deadline back, if it is near; else does nothing.
    pub async fn renew_if_near(&mut self, chance: &Chance) -> Result<(), StoreError> {
        let until = self.state().open.as_ref().filter(|open| open.owner.id == self.owner.id).map(|open| open.until);
        let soon = self.clock.now().saturating_add(RENEW_BELOW).unwrap_or(jiff::Timestamp::MAX);
        if until.is_some_and(|until| until < soon) { self.append(Entry::Renewed, chance).await } else { Ok(()) }
    }

    fn next(&self, entry: Entry, chance: &Chance) -> Result<Record, StoreError> {
        let at = self.clock.now();
        let mut record = Record {
            format: FORMAT,
            sequence: self.sequence() + 1,
            nonce: chance.word(16),
            at,
            owner: self.owner.clone(),
            until: at.saturating_add(DEADLINE).unwrap_or(jiff::Timestamp::MAX),
            entry,
            state: State::default(),
        };
        record.state = self.state().after(&record)?;
        Ok(record)
    }

    /// Sends the record in doubt once more: it is found, or lands, or can never land.
    async fn settle(&mut self) -> Result<(), StoreError> {
        match self.doubt.take() {
            Some(record) => match self.put(record).await {
                Err(StoreError::Overtaken { head: Some(head), .. }) if self.still_ours(&head) => {
                    self.head = Some(*head);
                    Ok(())
                }
                other => other,
            },
            None => Ok(()),
        }
    }

    async fn put(&mut self, record: Record) -> Result<(), StoreError> {
        self.ownership.doubt(self.store.ours());
        let asked = self.clock.moment();
        let result = self.store.append(&record).await;
        match &result {
            Ok(()) => {
                self.ownership.seen(self.store.ours(), Some(&record), asked);
                self.head = Some(record);
            }
            Err(StoreError::Unknown { .. }) => {
                self.ownership.doubt(self.store.ours());
                self.doubt = Some(record);
            }
            Err(StoreError::Overtaken { head, .. }) => self.ownership.overtaken(head.as_deref()),
            Err(_) => {}
        }
        result
    }

    fn still_ours(&self, head: &Record) -> bool {
        self.ownership.is_ours(head)
    }
}

/// How many records of others (holds) may come in between before an append gives up.
const INTERRUPTIONS: usize = 4;
