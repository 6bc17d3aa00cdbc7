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

thread_local! {
    /// An append waits for the file's lock now and then: a process that another test begins has the file open until it becomes its program.
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
}

fn append(journal: &mut Journal, entry: Entry, chance: &Chance) -> Result<(), StoreError> {
    RUNTIME.with(|runtime| runtime.block_on(journal.append(entry, chance)))
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
        needs: None,
        checks: Vec::new(),
        after: None,
        carried: false,
    };
    Entry::Begun(Box::new(Begun {
        release: ReleaseId::from_text("r-1"),
        commit: "c".repeat(40),
        reason: "a test".to_owned(),
        targets: vec![target],
        adopts: false,
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

/// Every entry that there is, in some form.
fn any_entry(chance: &Chance) -> Entry {
    match chance.below(13) {
        0 => begun(),
        1 => prepared(),
        2 => Entry::Cutting,
        3 => Entry::Committed,
        4 => Entry::Finishing,
        5 => Entry::Finished,
        6 => Entry::RollingBack { cause: "chance".to_owned() },
        7 => Entry::RolledBack,
        8 => Entry::Stuck { cause: "chance".to_owned() },
        9 => Entry::TakenOver { because: "chance".to_owned() },
        10 => Entry::Renewed,
        11 => Entry::Hold { reason: "chance".to_owned() },
        _ => Entry::Unhold,
    }
}

#[test]
fn whatever_is_tried_in_whatever_order_a_release_ends_on_the_side_that_its_commit_says() {
    let (mut closed, mut refused) = ([0, 0], 0);
    for seed in 0..80 {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), chance: Chance::seeded(seed) };
        let mut journal = bench.open().unwrap();
        let (mut committed, mut going_back) = (false, false);
        for _ in 0..60 {
            let (entry, before) = (any_entry(&bench.chance), journal.state().clone());
            let told = format!("seed {seed}: {entry:?} after {:?}", before.open.as_ref().map(|open| open.stage));
            if append(&mut journal, entry.clone(), &bench.chance).is_err() {
                assert_eq!(journal.state(), &before, "{told}: what is refused changes nothing");
                refused += 1;
                continue;
            }
            assert_eq!(
                journal.state().closed.len().saturating_sub(before.closed.len()) > 0,
                before.open.is_some() && journal.state().open.is_none()
            );
            match entry {
                Entry::Begun(_) => {
                    assert!(before.open.is_none(), "{told}: one release at a time");
                    (committed, going_back) = (false, false);
                }
                Entry::Committed => {
                    assert!(!going_back, "{told}: committed after the way back had begun");
                    committed = true;
                }
                Entry::RollingBack { .. } => {
                    assert!(!committed, "{told}: the way back after the commit");
                    going_back = true;
                }
                Entry::Finished | Entry::RolledBack => {
                    let last = journal.state().closed.last().unwrap();
                    assert_eq!((last.finished, committed, going_back), (committed, last.finished, !last.finished), "{told}");
                    closed[usize::from(last.finished)] += 1;
                }
                _ => {}
            }
        }
        let records = FileStore::read(&bench.path()).unwrap();
        assert_eq!(&fold(&records).unwrap(), journal.state(), "the file says what the handle says");
        assert!(records.iter().zip(1..).all(|(record, nth)| record.sequence == nth));
    }
    assert!(closed[0] > 5 && closed[1] > 5 && refused > 500, "{closed:?} closed, {refused} refused: the chance reaches too little");
}

#[test]
fn wherever_a_journal_is_cut_every_whole_record_counts_and_no_torn_one() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    bench.append(&mut journal, to_commit());
    drop(journal);
    let whole = fs::read(bench.path()).unwrap();
    for cut in 0..=whole.len() {
        fs::write(bench.path(), &whole[..cut]).unwrap();
        let records = whole[..cut].split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(FileStore::read(&bench.path()).unwrap().len(), records, "cut at {cut}");
    }
}

#[test]
fn whichever_byte_is_changed_the_damage_is_seen() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    bench.append(&mut journal, to_commit());
    drop(journal);
    let whole = fs::read(bench.path()).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for at in (0..whole.len()).step_by(7).chain([last - 1, last, whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(bench.path(), &bytes).unwrap();
        match FileStore::read(&bench.path()) {
            Err(StoreError::Damaged { at: place, .. }) => {
                let offset: usize = place.trim_start_matches("byte ").parse().unwrap();
                assert!(offset <= at && at - offset < whole.len(), "byte {at}: {place}");
            }
            // The end of the last line is what makes it count.
            Ok(records) => assert_eq!((at, records.len()), (whole.len() - 1, 3), "byte {at} was changed and nobody saw it"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}
