//! Where the records of one environment are kept, behind one face: a file on this machine ([`file::FileStore`]), or a git ref on GitHub
//! ([`crate::github::ref_store::RefStore`]).
//!
//! An append is a compare-and-set: it lands on the record that the writer knows as the last one, or not at all. Nobody else's records are
//! ever replaced or removed.

pub mod file;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::journal::{FORMAT, Impossible, Record};

/// By what a look at the newest record tells it from others: a commit's id, or a sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadId(pub String);

/// The records of one environment.
pub trait Store: fmt::Debug + Send {
    /// Returns where it is, for people.
    fn place(&self) -> String;

    /// Returns whether its records outlive this machine, so that another one can recover.
    fn outlives_the_machine(&self) -> bool;

    /// Reads the newest record; `None` in an empty journal. What comes next is appended on it.
    fn head(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Appends `record` on the record that [`Store::head`] returned or that was appended last.
    ///
    /// `Ok` means that it is there to stay. Called again with the *same* record (sequence, nonce and all) it is idempotent: a record that has
    /// landed already is found, even if others follow it by now, and never lands twice. Errors: [`StoreError::Overtaken`] when another record
    /// took its place, so that it can never land; [`StoreError::Unknown`] when nobody can say within a bounded time; anything else means
    /// that it has not landed and will not.
    fn append<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Reads the newest records, at most `most`, oldest first.
    fn records(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>>;

    /// Returns what looks at the newest record beside the store, while it appends.
    fn watcher(&self) -> Arc<dyn Watcher>;

    /// Returns the identities that the newest record may have while nobody else has written: the last record's, and that of an append under
    /// way or in doubt.
    fn ours(&self) -> Vec<Option<HeadId>>;
}

/// Looks which record is the newest, and nothing else.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// Looks at the newest record: one call where it is one of `ours`, and what it says where it is not.
    fn newest<'a>(&'a self, ours: &'a [Option<HeadId>]) -> BoxFuture<'a, Result<Newest, StoreError>>;
}

/// What a look at the newest record showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Newest {
    /// One of those that were named.
    Ours,
    /// Another one; `None` when the journal is empty.
    Other(Option<Box<Record>>),
}

/// Why a journal cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("the journal {} cannot be {what}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "read", "written", ...
        what: &'static str,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// A record is not what was written.
    #[error("the journal {place} is damaged at {at}: {reason}")]
    Damaged {
        /// Where the journal is.
        place: String,
        /// Which place in it: a byte's offset, a commit.
        at: String,
        /// In what way.
        reason: String,
    },
    /// A newer version wrote it.
    #[error(
        "the journal {place} has a record of format {format}, which this version does not know (it knows {FORMAT}); nothing was touched"
    )]
    UnknownFormat {
        /// Where the journal is.
        place: String,
        /// The format found.
        format: u64,
    },
    /// Another run on this machine holds the environment.
    #[error("another run holds the environment: {holder}")]
    Held {
        /// Who, as it wrote itself down.
        holder: String,
    },
    /// The record does not fit the state.
    #[error("the journal refuses the record: {0}")]
    Impossible(#[from] Impossible),
    /// Somebody else appended first: the record can never land.
    #[error("another runner has written to the journal {place}: {}", head.as_ref().map_or_else(|| "its records are gone".to_owned(), |head| format!("`{}` by {}", head.entry.as_str(), head.owner.id)))]
    Overtaken {
        /// Where the journal is.
        place: String,
        /// The newest record.
        head: Option<Box<Record>>,
    },
    /// The answer was lost and nobody could be asked since: the record may have landed.
    #[error("nobody can say whether the journal {place} has the record: {reason}")]
    Unknown {
        /// Where the journal is.
        place: String,
        /// What happened.
        reason: String,
    },
    /// The keeper of the journal refuses, or cannot be reached: nothing was written, or nothing could be read.
    #[error("the journal {place} cannot be {what}: {reason}")]
    Refused {
        /// Where the journal is.
        place: String,
        /// What was tried: "read", "written".
        what: &'static str,
        /// What was answered, with the request's id where there is one.
        reason: String,
    },
}
