//! A journal in an fsynced file on this machine.
//!
//! One line per record: the first sixteen hex digits of the SHA-256 of the record's JSON, a space, the JSON. A last line without its newline
//! is the torn end of an append that died and never counted; any other damage is refused with its offset. The folder is fsynced after the
//! file is created, the file after every append, before the append is believed.
//!
//! Two locks, both the kernel's: the environment's (`.lock` beside the file), held by a run for as long as it lives, and the file's own, held
//! for one append, so that a person's hold can be written while a release runs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::{HeadId, Newest, Store, StoreError, Watcher};
use crate::id::Name;
use crate::release::journal::{FORMAT, Owner, Record};

/// The journal of one environment in a file.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// The environment's lock on this machine, where it was taken.
    lock: Option<File>,
    /// How much of the file is known, in bytes.
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

    /// Returns the product and environment of every journal under `folder`, in order; none where there is no such folder.
    pub fn journals(folder: &Path) -> Result<Vec<(Name, Name)>, StoreError> {
        let root = folder.join("journal");
        let mut found = Vec::new();
        for product in entries(&root)? {
            let Some(name) = product.file_name().and_then(|name| Name::parse(name.to_str()?)) else { continue };
            for file in entries(&product)?.iter().filter(|file| file.extension().is_some_and(|extension| extension == "jsonl")) {
                let environment = file.file_stem().and_then(|stem| Name::parse(stem.to_str()?));
                found.extend(environment.map(|environment| (name.clone(), environment)));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Opens the journal and takes the environment's lock on this machine, which the kernel gives back when the process ends however it ends;
    /// the folder is created if it is not there. Errors: [`StoreError::Held`] when another process has the lock.
    pub fn open(path: &Path, owner: &Owner) -> Result<Self, StoreError> {
        make_folder(folder_of(path)).map_err(|source| failed(path, "created", source))?;
        let lock = take_lock(&path.with_extension("lock"), owner)?;
        let mut store = Self { lock: Some(lock), ..Self::unread(path) };
        store.read_on(&mut store.file()?)?;
        Ok(store)
    }

    /// Opens the journal beside whoever holds the environment: for reading, and for records that may come in between. Nothing is created
    /// before the first append.
    pub fn beside(path: &Path) -> Self {
        Self::unread(path)
    }

    fn unread(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None, length: 0, records: 0, newest: None }
    }

    /// Reads a journal without locking or repairing it; empty when there is none.
    pub fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
        match fs::read(path) {
            Ok(bytes) => parse(path, &bytes).map(|(records, _)| records),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(failed(path, "read", source)),
        }
    }

    /// Opens the file, creating it if it is not there.
    fn file(&self) -> Result<File, StoreError> {
        let io = |what| move |source| failed(&self.path, what, source);
        let folder = folder_of(&self.path);
        make_folder(folder).map_err(io("created"))?;
        let existed = self.path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path).map_err(io("opened"))?;
        if !existed {
            file.sync_all().map_err(io("created"))?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("created"))?;
        }
        Ok(file)
    }

    /// Reads the whole file again, and cuts off a torn last record. The caller has the right to write.
    fn read_on(&mut self, file: &mut File) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|source| failed(&self.path, "read", source))?;
        let (records, length) = parse(&self.path, &bytes)?;
        if length < bytes.len() as u64 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(|source| failed(&self.path, "repaired", source))?;
        }
        self.know(&records, length);
        Ok(())
    }

    fn know(&mut self, records: &[Record], length: u64) {
        self.newest = records.last().map(|record| record.nonce.clone());
        (self.records, self.length) = (records.len() as u64, length);
    }

    async fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut file = self.file()?;
        take_turn(&self.path, &file).await?;
        let length = file.metadata().map_err(|source| failed(&self.path, "read", source))?.len();
        if length != self.length {
            self.read_on(&mut file)?;
        }
        if self.newest.as_ref() == Some(&record.nonce) {
            return Ok(());
        }
        if record.sequence != self.records + 1 {
            let mut records = Self::read(&self.path)?;
            let landed = records.iter().any(|known| known.nonce == record.nonce);
            let head = records.pop().map(Box::new);
            return if landed { Ok(()) } else { Err(StoreError::Overtaken { place: self.place(), head }) };
        }
        let line = line(record).map_err(|source| failed(&self.path, "written", source))?;
        let written = file.seek(SeekFrom::Start(self.length)).and_then(|_| file.write_all(&line)).and_then(|()| file.sync_all());
        if let Err(source) = written {
            // Cutting the file needs no space, and makes sure that a half-written or unsynced record is never believed later.
            let cut = file.set_len(self.length).and_then(|()| file.sync_all());
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
        Box::pin(async {
            let bytes = match fs::read(&self.path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(source) => return Err(failed(&self.path, "read", source)),
            };
            let (mut records, length) = parse(&self.path, &bytes)?;
            self.know(&records, length);
            Ok(records.pop())
        })
    }

    fn append<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.put(record))
    }

    fn records(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        Box::pin(async move {
            let mut records = Self::read(&self.path)?;
            records.drain(..records.len().saturating_sub(most));
            Ok(records)
        })
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        match self.lock {
            Some(_) => Arc::new(Locked),
            None => Arc::new(Reader(self.path.clone())),
        }
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

/// Without the environment's lock anybody may have written: the file tells.
#[derive(Debug)]
struct Reader(PathBuf);

impl Watcher for Reader {
    fn newest<'a>(&'a self, ours: &'a [Option<HeadId>]) -> BoxFuture<'a, Result<Newest, StoreError>> {
        Box::pin(async move {
            let head = FileStore::read(&self.0)?.pop();
            let id = head.as_ref().map(|head| HeadId(head.nonce.clone()));
            Ok(if ours.contains(&id) { Newest::Ours } else { Newest::Other(head.map(Box::new)) })
        })
    }
}

/// How long an append waits for another one to the same file.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// Takes the file's own lock, which goes with the file's handle.
async fn take_turn(path: &Path, file: &File) -> Result<(), StoreError> {
    let began = tokio::time::Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < TURN_LIMIT => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(TryLockError::WouldBlock) => {
                let reason = format!("another append to it has not ended for {TURN_LIMIT:?}");
                return Err(StoreError::Refused { place: path.display().to_string(), what: "written", reason });
            }
            Err(TryLockError::Error(source)) => return Err(failed(path, "locked", source)),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Returns what is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(source) => return Err(failed(folder, "listed", source)),
    };
    let paths = read.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(|source| failed(folder, "listed", source))
}

/// Makes a folder and those above it that are missing, each of them surely there after a power failure: the entry of each is fsynced in the
/// folder above it.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(above)?.sync_all()
}

fn failed(path: &Path, what: &'static str, source: std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), what, source: Arc::new(source) }
}

/// Takes the lock, looking again for a moment: a process that is being started holds what its parent held until it has become another program.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            other => return other,
        }
    }
    file.try_lock()
}

/// How often the lock is looked at again, and after how long.
const LOOKS: u32 = 20;
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

fn take_lock(path: &Path, owner: &Owner) -> Result<File, StoreError> {
    let io = |what| move |source| failed(path, what, source);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io("locked"))?;
    match patiently(&file) {
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
