//! `cutover history`: the releases of an environment as its journal tells them; reads only.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::run::{Base, settle};
use super::{Ended, Failure, Format, conduct, hold, journal, pretty, put, show};
use crate::id::{Name, ReleaseId};
use crate::release::journal::{Begun, Entry, Hold, Owner, Record};
use crate::report::plain;

/// The history as JSON.
#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    product: Name,
    environment: Name,
    /// Where the journal is.
    journal: String,
    /// Why another journal may be the one that counts.
    caveat: Option<String>,
    /// The hold, while there is one.
    hold: Option<Hold>,
    /// Releases and holds, the newest first.
    events: Vec<Item>,
}

/// One release, or one wish of a person.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Item {
    Release(Told),
    Hold { at: Timestamp, by: Owner, reason: String },
    Unhold { at: Timestamp, by: Owner },
}

/// A release as its records tell it.
#[derive(Debug, Serialize)]
struct Told {
    release: ReleaseId,
    commit: String,
    /// Who or what asked for it.
    reason: String,
    /// Who did it.
    by: Owner,
    began: Timestamp,
    /// When its last record was written.
    ended: Timestamp,
    /// `finished`, `rolled_back`, or where it is.
    outcome: &'static str,
    /// Whether it is closed.
    closed: bool,
    /// Why it went back, or why it is stuck.
    cause: Option<String>,
    targets: Vec<Moved>,
    /// The records, by name.
    records: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Moved {
    name: Name,
    platform: &'static str,
    thing: String,
    before: Option<String>,
    after: Option<String>,
    carried: bool,
}

#[derive(Debug, Serialize)]
struct Step {
    sequence: u64,
    at: Timestamp,
    entry: &'static str,
    by: String,
}

/// Prints the history of an environment.
pub(super) async fn run(base: Base, environment: Name, product: Option<Name>, raw: bool, last: usize) -> Ended {
    let product = journal::product(&base, product, &environment)?;
    let settled = settle(&base, journal::root(&base), None).await?;
    let (mut journal, caveat) = journal::read(&settled.means, &product, &environment).await?;
    let records = journal::records(&mut journal, last.max(1)).await?;
    if raw {
        return put(&lines(&records)?);
    }
    let mut events = items(&records);
    events.reverse();
    let hold = journal.state().hold.clone();
    let document = Document { version: 1, product, environment, journal: journal.place(), caveat, hold, events };
    match base.format {
        Format::Json => put(&pretty(&document)),
        Format::Text | Format::Markdown => show(&settled.means, &text(&document)),
    }
}

fn lines(records: &[Record]) -> Result<String, Failure> {
    let mut out = String::new();
    for record in records {
        let line =
            serde_json::to_string(record).map_err(|error| Failure::preflight(format!("a record cannot be written as JSON: {error}")))?;
        out.push_str(&line);
        out.push('\n');
    }
    Ok(out)
}

/// Tells records, oldest first, as releases and holds. A release whose beginning is not among them is told from what they know of it.
fn items(records: &[Record]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for (at, record) in records.iter().enumerate() {
        match &record.entry {
            Entry::Hold { reason } => {
                items.push(Item::Hold { at: record.at, by: record.owner.clone(), reason: reason.clone() });
                continue;
            }
            Entry::Unhold => {
                items.push(Item::Unhold { at: record.at, by: record.owner.clone() });
                continue;
            }
            _ => {}
        }
        let begun = match &record.entry {
            Entry::Begun(begun) => Some(begun.as_ref()),
            _ if at == 0 => record.state.open.as_ref().map(|open| &open.begun),
            _ => None,
        };
        items.extend(begun.map(|begun| Item::Release(told(begun, record))));
        let last = items.iter_mut().rev().find_map(|item| match item {
            Item::Release(told) if !told.closed => Some(told),
            _ => None,
        });
        if let Some(told) = last {
            told.go_on(record);
        }
    }
    items
}

fn told(begun: &Begun, record: &Record) -> Told {
    let targets = begun.targets.iter().map(|target| Moved {
        name: target.name.clone(),
        platform: target.platform.as_str(),
        thing: target.thing.clone(),
        before: target.before_revision().map(|revision| revision.label.clone()),
        after: target.after.as_ref().map(|revision| revision.label.clone()),
        carried: target.carried,
    });
    Told {
        release: begun.release.clone(),
        commit: begun.commit.clone(),
        reason: begun.reason.clone(),
        by: record.owner.clone(),
        began: record.at,
        ended: record.at,
        outcome: "begun",
        closed: false,
        cause: None,
        targets: targets.collect(),
        records: Vec::new(),
    }
}

impl Told {
    fn go_on(&mut self, record: &Record) {
        self.ended = record.at;
        let entry = record.entry.as_str();
        self.records.push(Step { sequence: record.sequence, at: record.at, entry, by: record.owner.id.clone() });
        match &record.entry {
            Entry::Renewed | Entry::TakenOver { .. } | Entry::Secrets { .. } | Entry::SecretsSet { .. } | Entry::SecretsKept => {}
            Entry::Prepared { after, .. } => {
                for target in &mut self.targets {
                    target.after = after.get(&target.name).map_or_else(|| target.after.take(), |revision| Some(revision.label.clone()));
                }
                self.outcome = entry;
            }
            Entry::RollingBack { cause } => {
                self.cause.get_or_insert_with(|| cause.clone());
                self.outcome = entry;
            }
            Entry::Stuck { cause } => {
                self.cause = Some(cause.clone());
                self.outcome = entry;
            }
            Entry::Finished | Entry::RolledBack => {
                self.closed = true;
                self.outcome = entry;
            }
            _ => self.outcome = entry,
        }
    }
}

fn text(document: &Document) -> String {
    let mut out = format!("{} → {}, as told by {}\n", document.product, document.environment, document.journal);
    // Writing to a string cannot fail.
    if let Some(caveat) = &document.caveat {
        let _ = writeln!(out, "careful: {caveat}");
    }
    if let Some(held) = &document.hold {
        let _ = writeln!(out, "held: {} (by {}, since {})", plain(&held.reason), held.by.id, hold::when(held));
    }
    if document.events.is_empty() {
        let _ = writeln!(out, "\nNothing was released yet.");
    }
    for item in &document.events {
        let _ = match item {
            Item::Hold { at, by, reason } => writeln!(out, "\n{}  held by {}: {}", minute(*at), by.id, plain(reason)),
            Item::Unhold { at, by } => writeln!(out, "\n{}  hold taken back by {}", minute(*at), by.id),
            Item::Release(told) => {
                out.push_str(&release(told));
                Ok(())
            }
        };
    }
    out
}

fn release(told: &Told) -> String {
    let mut out = String::new();
    let outcome = match told.outcome {
        "finished" => "finished".to_owned(),
        "rolled_back" => "rolled back".to_owned(),
        other => format!("UNFINISHED ({})", other.replace('_', " ")),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{}  {}  {outcome}", minute(told.began), told.release);
    let _ = writeln!(out, "    commit {}, {}", conduct::short(&told.commit), plain(&told.reason));
    let _ = writeln!(out, "    by {}{}", told.by.id, if told.by.url.is_empty() { String::new() } else { format!(" {}", told.by.url) });
    for target in &told.targets {
        let before = target.before.as_deref().unwrap_or("nothing");
        let after = if target.carried { "stayed as it was".to_owned() } else { format!("→ {}", target.after.as_deref().unwrap_or("?")) };
        let _ = writeln!(out, "    {:<12} {before} {after}", target.name);
    }
    if let Some(cause) = &told.cause {
        let _ = writeln!(out, "    because {}", plain(cause));
    }
    out
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
