//! A journal in an fsynced file on this machine.
//!
//! One line per record: the first sixteen hex digits of the SHA-256 of the record's JSON, a space, the JSON. A last line without its newline
//! is the torn end of an append that died and never counted; any other damage is refused with its offset. The folder is fsynced after the
//! file is created, the file after every append, before the append is believed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::{HeadId, Newest, Store, StoreError, Watcher};
use crate::id::Name;
use crate::release::journal::{FORMAT, Owner, Record};

/// The journal of one environment in a file, locked for this process.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
    _lock: File,
    length: u64,
    records: u64,
    /// The newest record's nonce.
    newest: Option<String>,
}

impl FileStore {
    /// Returns where the journal of an environment is kept under `folder`.
    pub fn path(folder: &Path, product: &Name, environment: &Name) -> PathBuf {
        folder.join("journal").join(product.as_str()).join(format!("{environment}.jsonl"))
    }

    /// Opens the journal, creating it if it is not there, and takes the lock of this machine, which the kernel gives back when the process
    /// ends however it ends. A torn last record is cut off. Errors: [`StoreError::Held`] when another process has the lock.
    pub fn open(path: &Path, owner: &Owner) -> Result<Self, StoreError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let io = |what| move |source| failed(path, what, source);
        fs::create_dir_all(folder).map_err(io("created"))?;
        let lock = take_lock(&path.with_extension("lock"), owner)?;
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
        let newest = records.last().map(|record| record.nonce.clone());
        Ok(Self { path: path.to_owned(), file, _lock: lock, length, records: records.len() as u64, newest })
    }

    /// Reads a journal without locking or repairing it; empty when there is none.
    pub fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
        match fs::read(path) {
            Ok(bytes) => parse(path, &bytes).map(|(records, _)| records),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(failed(path, "read", source)),
        }
    }

    fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        if self.newest.as_ref() == Some(&record.nonce) {
            return Ok(());
        }
        if record.sequence != self.records + 1 {
            let head = Self::read(&self.path)?.pop().map(Box::new);
            return Err(StoreError::Overtaken { place: self.place(), head });
        }
        let line = line(record).map_err(|source| failed(&self.path, "written", source))?;
        let written =
            self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(&line)).and_then(|()| self.file.sync_all());
        if let Err(source) = written {
            // Cutting the file needs no space, and makes sure that a half-written or unsynced record is never believed later.
            let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
            return Err(failed(&self.path, "written", cut.err().unwrap_or(source)));
        }
        self.length += line.len() as u64;
        self.records += 1;
        self.newest = Some(record.nonce.clone());
        Ok(())
    }
}

impl Store for FileStore {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn outlives_the_machine(&self) -> bool {
        false
    }

    fn head(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async { Ok(Self::read(&self.path)?.pop()) })
    }

    fn append<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.put(record) })
    }

    fn records(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        Box::pin(async move {
            let mut records = Self::read(&self.path)?;
            records.drain(..records.len().saturating_sub(most));
            Ok(records)
        })
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        Arc::new(Locked)
    }

    fn ours(&self) -> Vec<Option<HeadId>> {
        vec![self.newest.clone().map(HeadId)]
    }
}

/// The kernel's lock is held as long as the process lives: nobody else can have written.
#[derive(Debug)]
struct Locked;

impl Watcher for Locked {
    fn newest<'a>(&'a self, _ours: &'a [Option<HeadId>]) -> BoxFuture<'a, Result<Newest, StoreError>> {
        Box::pin(async { Ok(Newest::Ours) })
    }
}

fn failed(path: &Path, what: &'static str, source: std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), what, source: Arc::new(source) }
}

fn take_lock(path: &Path, owner: &Owner) -> Result<File, StoreError> {
    let io = |what| move |source| failed(path, what, source);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io("locked"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // What the holder wrote is a courtesy; the lock itself is the kernel's.
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::Held { holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(path, "locked", source)),
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
        let damaged = |reason: &str| StoreError::Damaged {
            place: path.display().to_string(),
            at: format!("byte {offset}"),
            reason: reason.to_owned(),
        };
        let (sum, json) = line.split_at_checked(17).ok_or_else(|| damaged("too short"))?;
        if sum != format!("{} ", checksum(json)).as_bytes() {
            return Err(damaged("the checksum does not fit"));
        }
        let format = serde_json::from_slice::<serde_json::Value>(json).ok().and_then(|value| value["format"].as_u64());
        if let Some(format) = format.filter(|format| *format != u64::from(FORMAT)) {
            return Err(StoreError::UnknownFormat { place: path.display().to_string(), format });
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
