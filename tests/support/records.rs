//! Records of a made-up release, for tests of what keeps them.

use std::collections::BTreeMap;

use cutover::github::{GitCommit, GitSignature, NewCommit};
use cutover::http::Platform;
use cutover::id::{Name, ReleaseId};
use cutover::platform::{AskedFrom, Back, Capabilities, Observed, Preparation, Reach, Revision, RevisionDigest, Weighted};
use cutover::release::journal::{Begun, Entry, FORMAT, Owner, Record, State, TargetRecord};

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn owner(id: &str) -> Owner {
    Owner::process(id)
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

/// A release of one target begins.
pub(crate) fn begun() -> Entry {
    let target = TargetRecord {
        name: name("api"),
        platform: Platform::Fly,
        thing: "shop-api".to_owned(),
        before: Observed { serving: vec![Weighted { revision: revision("v1"), percent: 100.0 }], ..Observed::default() },
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
        adopts: false,
        release: ReleaseId::from_text("r-20261121-050000-abcdef"),
        commit: "c".repeat(40),
        reason: "push to main by alma: Größe, \"quoted\"\n{not: the record}".to_owned(),
        targets: vec![target],
    }))
}

/// Everything of it is made.
pub(crate) fn prepared() -> Entry {
    Entry::Prepared { after: BTreeMap::from([(name("api"), revision("v2"))]), placeholders: BTreeMap::new() }
}

/// Returns the record after `before`; its nonce tells its writer, entry and place.
pub(crate) fn next(before: Option<&Record>, entry: Entry, writer: &str) -> Record {
    let sequence = before.map_or(1, |record| record.sequence + 1);
    let began: jiff::Timestamp = "2026-11-21T05:00:00.25Z".parse().unwrap();
    let at = began + jiff::SignedDuration::from_millis(i64::try_from(sequence).unwrap() * 1500);
    let mut record = Record {
        format: FORMAT,
        sequence,
        nonce: format!("{writer}-{}-{sequence}", entry.as_str()),
        at,
        owner: owner(writer),
        until: at + jiff::SignedDuration::from_secs(3600),
        entry,
        state: State::default(),
    };
    let state = before.map(|record| record.state.clone()).unwrap_or_default();
    // A record that cannot follow is made all the same, where a test wants to see it refused.
    record.state = state.after(&record).unwrap_or(state);
    record
}

/// Returns what a record says.
pub(crate) fn entry_of(record: &Record) -> Entry {
    record.entry.clone()
}

/// The records of a whole release.
pub(crate) fn release(writer: &str) -> Vec<Record> {
    let entries = [begun(), prepared(), Entry::Cutting, Entry::Committed, Entry::Finishing, Entry::Finished];
    let mut records: Vec<Record> = Vec::new();
    for entry in entries {
        records.push(next(records.last(), entry, writer));
    }
    records
}

/// Returns a commit on `parent` that says `message`, made by a stranger.
pub(crate) fn commit_on(parent: &GitCommit, message: &str) -> NewCommit {
    let who = GitSignature { name: "somebody", email: "somebody@example.com", date: "2026-11-21T06:00:00Z".parse().unwrap() };
    NewCommit {
        message: message.to_owned(),
        tree: parent.tree.clone(),
        parents: vec![parent.sha.clone()],
        author: who.clone(),
        committer: who,
    }
}
