//! A journal in memory that several runners share, and that fails on demand: a store with the compare-and-set of the real ones.

use std::sync::{Arc, Mutex};

use cutover::release::journal::Record;
use cutover::release::store::{HeadId, Newest, Store, StoreError, Watcher};
use futures_util::future::BoxFuture;

/// What is wrong with the shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Nobody answers, and nothing lands.
    Away,
    /// The next append lands, then nobody answers any more.
    LandsOnce,
}

/// The shelf; clones are the same shelf.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    records: Vec<Record>,
    trouble: Trouble,
    /// What goes wrong from the record of this name on.
    next: Option<(&'static str, Trouble)>,
    looks: usize,
}

impl Shelf {
    pub(crate) fn records(&self) -> Vec<Record> {
        self.shared.lock().unwrap().records.clone()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.records().iter().map(|record| record.entry.as_str()).collect()
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.shared.lock().unwrap().trouble = trouble;
    }

    /// From the append of a record of this name on.
    pub(crate) fn trouble_from(&self, entry: &'static str, trouble: Trouble) {
        self.shared.lock().unwrap().next = Some((entry, trouble));
    }

    /// How often the head was looked at or read.
    pub(crate) fn looks(&self) -> usize {
        self.shared.lock().unwrap().looks
    }

    /// A store of one runner on this shelf.
    pub(crate) fn store(&self) -> Box<dyn Store> {
        Box::new(Reader { shelf: self.clone(), known: None, doubt: None })
    }

    fn look(&self) -> Result<Option<Record>, StoreError> {
        let mut shared = self.shared.lock().unwrap();
        shared.looks += 1;
        match shared.trouble {
            Trouble::Away => Err(StoreError::Refused { place: "the shelf".into(), what: "read", reason: "it is away".into() }),
            Trouble::None | Trouble::LandsOnce => Ok(shared.records.last().cloned()),
        }
    }
}

#[derive(Debug)]
struct Reader {
    shelf: Shelf,
    known: Option<HeadId>,
    doubt: Option<HeadId>,
}

impl Reader {
    fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut shared = self.shelf.shared.lock().unwrap();
        if let Some((_, trouble)) = shared.next.take_if(|(entry, _)| *entry == record.entry.as_str()) {
            shared.trouble = trouble;
        }
        let trouble = shared.trouble;
        let unknown = || StoreError::Unknown { place: "the shelf".into(), reason: "nobody answers".into() };
        self.doubt = Some(HeadId(record.nonce.clone()));
        match trouble {
            Trouble::Away => return Err(unknown()),
            Trouble::None | Trouble::LandsOnce => {}
        }
        let found = shared.records.iter().any(|known| known.nonce == record.nonce);
        if !found && shared.records.len() as u64 + 1 != record.sequence {
            self.doubt = None;
            let head = shared.records.last().cloned().map(Box::new);
            return Err(StoreError::Overtaken { place: "the shelf".into(), head });
        }
        if !found {
            shared.records.push(record.clone());
        }
        if trouble == Trouble::LandsOnce {
            shared.trouble = Trouble::Away;
            return Err(unknown());
        }
        self.known = self.doubt.take();
        Ok(())
    }
}

impl Store for Reader {
    fn place(&self) -> String {
        "the shelf".to_owned()
    }

    fn outlives_the_machine(&self) -> bool {
        true
    }

    fn head(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async {
            let head = self.shelf.look()?;
            self.known = head.as_ref().map(|record| HeadId(record.nonce.clone()));
            Ok(head)
        })
    }

    fn append<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.put(record) })
    }

    fn records(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        let records = self.shelf.records();
        Box::pin(async move { Ok(records.into_iter().rev().take(most).rev().collect()) })
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        Arc::new(self.shelf.clone())
    }

    fn ours(&self) -> Vec<Option<HeadId>> {
        [Some(self.known.clone()), self.doubt.clone().map(Some)].into_iter().flatten().collect()
    }
}

impl Watcher for Shelf {
    fn newest<'a>(&'a self, ours: &'a [Option<HeadId>]) -> BoxFuture<'a, Result<Newest, StoreError>> {
        Box::pin(async move {
            let head = self.look()?;
            let id = head.as_ref().map(|record| HeadId(record.nonce.clone()));
            Ok(if ours.contains(&id) { Newest::Ours } else { Newest::Other(head.map(Box::new)) })
        })
    }
}
