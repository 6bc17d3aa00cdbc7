//! The journal: its fold, its file, its lock.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cutover::clock::Clock;
use cutover::http::Platform;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::{AskedFrom, Back, Capabilities, Observed, Preparation, Reach, Revision, RevisionDigest, Weighted};
use cutover::release::journal::{Begun, Entry, Impossible, Journal, Owner, Stage, TargetRecord, fold};
use cutover::release::store::StoreError;
use cutover::release::store::file::FileStore;
use futures_util::FutureExt;

struct Bench {
    folder: tempfile::TempDir,
    chance: Chance,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), chance: Chance::seeded(1) }
    }

    fn path(&self) -> PathBuf {
        FileStore::path(self.folder.path(), &name("shop"), &name("production"))
    }

    fn open(&self) -> Result<Journal, StoreError> {
        let store = FileStore::open(&self.path(), &owner())?;
        let clock = Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap());
        // A file is there at once.
        Journal::open(Box::new(store), owner(), clock).now_or_never().unwrap()
    }

    fn append(&self, journal: &mut Journal, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            append(journal, entry, &self.chance).unwrap();
        }
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn owner() -> Owner {
    Owner::process("someone@laptop/42")
}

fn append(journal: &mut Journal, entry: Entry, chance: &Chance) -> Result<(), StoreError> {
    journal.append(entry, chance).now_or_never().unwrap()
}

fn revision(text: &str) -> Revision {
    Revision {
        digest: RevisionDigest::of(text.as_bytes()),
        artifact: None,
        label: text.to_owned(),
        release: None,
        hints: serde_json::Value::Null,
    }
}

fn begun() -> Entry {
    let target = TargetRecord {
        name: name("api"),
        platform: Platform::Fly,
        thing: "shop".to_owned(),
        before: Observed { serving: vec![Weighted { revision: revision("old"), percent: 100.0 }], ..Observed::default() },
        artifact: None,
        before_artifact: None,
        capabilities: Capabilities {
            prepare: Preparation::Fully,
            asked_from: AskedFrom::PlatformChecks,
            back: Back::Instantly,
            gap: None,
            unserve: true,
            side_effects: Vec::new(),
        },
        settings: BTreeMap::new(),
        reach: Reach::default(),
        checks: Vec::new(),
        after: None,
        carried: false,
    };
    Entry::Begun(Box::new(Begun {
        release: ReleaseId::from_text("r-1"),
        commit: "c".repeat(40),
        reason: "a test".to_owned(),
        targets: vec![target],
    }))
}

fn prepared() -> Entry {
    Entry::Prepared { after: BTreeMap::from([(name("api"), revision("new"))]), placeholders: BTreeMap::new() }
}

fn to_commit() -> [Entry; 4] {
    [begun(), prepared(), Entry::Cutting, Entry::Committed]
}

#[test]
fn a_release_is_read_back_as_it_was_written() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    bench.append(&mut journal, to_commit());
    bench.append(&mut journal, [Entry::Finishing, Entry::Finished]);
    let state = journal.state().clone();
    drop(journal);

    let again = bench.open().unwrap();
    assert_eq!(again.state(), &state);
    assert_eq!(again.sequence(), 6);
    let serving = again.state().serving().unwrap();
    assert_eq!(serving.release.as_str(), "r-1");
    assert_eq!(serving.targets[&name("api")].revision.label, "new");
    let adopted = again.state().previous().unwrap();
    assert_eq!(adopted.targets[&name("api")].revision.label, "old", "what served before the first release is a place to go back to");
    let records = FileStore::read(&bench.path()).unwrap();
    assert_eq!(fold(&records).unwrap(), state);
    assert_eq!(records.last().unwrap().state, state, "the head alone suffices");
}

#[test]
fn a_rolled_back_release_is_no_place_to_go_back_to() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    bench.append(&mut journal, [begun(), prepared(), Entry::Cutting, Entry::RollingBack { cause: "checks".to_owned() }, Entry::RolledBack]);
    assert!(journal.state().open.is_none());
    assert!(journal.state().serving().is_none());
    assert_eq!(journal.state().closed[0].cause.as_deref(), Some("checks"));
}

#[test]
fn impossible_steps_are_refused_and_change_nothing() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    let refused =
        [Entry::Cutting, Entry::Committed, Entry::Finished, Entry::RolledBack, Entry::TakenOver { because: String::new() }, prepared()];
    for entry in refused {
        let error = append(&mut journal, entry, &bench.chance).unwrap_err();
        assert!(matches!(error, StoreError::Impossible(Impossible::Step { .. })), "{error}");
    }
    bench.append(&mut journal, to_commit());
    // After the commit there is no way back.
    let error = append(&mut journal, Entry::RollingBack { cause: String::new() }, &bench.chance).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the journal refuses the record: `rolling_back` cannot follow a release that is committed, and to be finished"
    );
    assert_eq!(journal.sequence(), 4);
    assert_eq!(FileStore::read(&bench.path()).unwrap().len(), 4);
}

#[test]
fn a_torn_last_record_never_counted() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    bench.append(&mut journal, to_commit());
    drop(journal);
    let whole = fs::read(bench.path()).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [last + 1, last + 40, whole.len() - 1] {
        fs::write(bench.path(), &whole[..cut]).unwrap();
        let mut journal = bench.open().unwrap();
        assert_eq!(journal.state().open.as_ref().unwrap().stage, Stage::Cutting, "cut at {cut}");
        bench.append(&mut journal, [Entry::RollingBack { cause: "torn".to_owned() }, Entry::RolledBack]);
        drop(journal);
        assert_eq!(FileStore::read(&bench.path()).unwrap().len(), 5);
    }
}

#[test]
fn other_damage_is_refused_with_its_offset() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    bench.append(&mut journal, to_commit());
    drop(journal);
    let mut bytes = fs::read(bench.path()).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second + 60] ^= 1;
    fs::write(bench.path(), &bytes).unwrap();
    match bench.open().unwrap_err() {
        StoreError::Damaged { at, .. } => assert_eq!(at, format!("byte {second}")),
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(bench.path()).unwrap(), bytes, "a refused journal is left as it is");
}

#[test]
fn an_unknown_format_stops_everything() {
    use sha2::{Digest, Sha256};
    let bench = Bench::new();
    drop(bench.open().unwrap());
    let json = br#"{"format":2,"sequence":1}"#;
    let sum: String = Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    fs::write(bench.path(), format!("{sum} {}\n", String::from_utf8_lossy(json))).unwrap();
    assert!(matches!(bench.open().unwrap_err(), StoreError::UnknownFormat { format: 2, .. }));
}

#[test]
fn a_second_run_is_told_who_holds_the_environment() {
    let bench = Bench::new();
    let first = bench.open().unwrap();
    match bench.open().unwrap_err() {
        StoreError::Held { holder } => assert_eq!(holder, "someone@laptop/42"),
        other => panic!("{other}"),
    }
    drop(first);
    bench.open().unwrap();
}
