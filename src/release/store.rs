//! Where a journal is kept: here an fsynced file on this machine.
//!
//! One line per record: the first sixteen hex digits of the SHA-256 of the record's JSON, a space, the JSON. A last line without its newline
//! is the torn end of an append that died and never counted; any other damage is refused with its offset. The folder is fsynced after the
//! file is created, the file after every append, before the append is believed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::journal::{Entry, FORMAT, Impossible, Owner, Record, State};
use crate::clock::Clock;
use crate::id::{Chance, Name};

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("the journal {} cannot be {what}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "read", "written", ...
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A record in the middle is not what was written.
    #[error("the journal {} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// In what way.
        reason: String,
    },
    /// A newer version wrote it.
    #[error("the journal {} has a record of format {format}, which this version does not know (it knows {FORMAT})", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
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
}

/// An open journal of one environment: locked for this process, read, and ready for appends.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    _lock: File,
    length: u64,
    sequence: u64,
    state: State,
    owner: Owner,
    clock: Clock,
}

impl Journal {
    /// Returns where the journal of an environment is kept under `folder`.
    pub fn path(folder: &Path, product: &Name, environment: &Name) -> PathBuf {
        folder.join("journal").join(product.as_str()).join(format!("{environment}.jsonl"))
    }

    /// Opens the journal, creating it if it is not there, and takes the lock of this machine; [`StoreError::Held`] when another has it.
    pub fn open(path: &Path, owner: Owner, clock: Clock) -> Result<Self, StoreError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let io = |what| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, what, source }
        };
        fs::create_dir_all(folder).map_err(io("created"))?;
        let lock = take_lock(&path.with_extension("lock"), &owner)?;
        let existed = path.exists();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io("opened"))?;
        if !existed {
            file.sync_all().map_err(io("created"))?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("created"))?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let (records, length) = parse(path, &bytes)?;
        if length < bytes.len() as u64 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(io("repaired"))?;
        }
        let state = super::journal::fold(&records)?;
        let sequence = records.last().map_or(0, |record| record.sequence);
        Ok(Self { path: path.to_owned(), file, _lock: lock, length, sequence, state, owner, clock })
    }

    /// Reads a journal without locking or repairing it; empty when there is none.
    pub fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
        match fs::read(path) {
            Ok(bytes) => parse(path, &bytes).map(|(records, _)| records),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StoreError::Io { path: path.to_owned(), what: "read", source }),
        }
    }

    /// Returns the folded state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns the sequence number of the last record.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Appends an entry; when it returns `Ok`, the record is on the disk. When it returns an error, the record is not in the journal.
    pub fn append(&mut self, entry: Entry, chance: &Chance) -> Result<(), StoreError> {
        let at: Timestamp = self.clock.now();
        let state = self.state.after(&entry, &self.owner, at)?;
        let record = Record {
            format: FORMAT,
            sequence: self.sequence + 1,
            nonce: chance.word(16),
            at,
            owner: self.owner.clone(),
            entry,
            state: state.clone(),
        };
        let line = line(&record).map_err(|source| self.io("written", source))?;
        let written =
            self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(&line)).and_then(|()| self.file.sync_all());
        if let Err(source) = written {
            // Cutting the file needs no space, and makes sure that a half-written or unsynced record is never believed later.
            let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
            return Err(self.io("written", cut.err().unwrap_or(source)));
        }
        self.length += line.len() as u64;
        self.sequence += 1;
        self.state = state;
        Ok(())
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), what, source }
    }
}

fn take_lock(path: &Path, owner: &Owner) -> Result<File, StoreError> {
    let io = |what| move |source| StoreError::Io { path: path.to_owned(), what, source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io("locked"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // What the holder wrote is a courtesy; the lock itself is the kernel's.
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::Held { holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(StoreError::Io { path: path.to_owned(), what: "locked", source }),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{} {}", owner.id, owner.url)).map_err(io("locked"))?;
    Ok(file)
}

fn line(record: &Record) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(record)?;
    let mut line = checksum(&json).into_bytes();
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

fn checksum(json: &[u8]) -> String {
    Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the records and the length in bytes of what is whole.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, u64), StoreError> {
    let mut records: Vec<Record> = Vec::new();
    let mut offset = 0;
    while let Some(end) = bytes[offset..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[offset..offset + end];
        let damaged = |reason: &str| StoreError::Damaged { path: path.to_owned(), offset: offset as u64, reason: reason.to_owned() };
        let (sum, json) = line.split_at_checked(17).ok_or_else(|| damaged("too short"))?;
        if sum != format!("{} ", checksum(json)).as_bytes() {
            return Err(damaged("the checksum does not fit"));
        }
        let format = serde_json::from_slice::<serde_json::Value>(json).ok().and_then(|value| value["format"].as_u64());
        if let Some(format) = format.filter(|format| *format != u64::from(FORMAT)) {
            return Err(StoreError::UnknownFormat { path: path.to_owned(), format });
        }
        let record: Record = serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))?;
        if record.sequence != records.len() as u64 + 1 {
            return Err(damaged("the sequence number does not follow"));
        }
        records.push(record);
        offset += end + 1;
    }
    Ok((records, offset as u64))
}
