//! `cutover hold`: a person's wish that no release of an environment begins, written into its journal and taken back there.

use serde::Serialize;

use super::run::{Base, settle};
use super::{Ended, Failure, Format, journal, pretty, put, show};
use crate::id::Name;
use crate::release::journal::{Entry, Hold, Journal};
use crate::release::store::StoreError;
use crate::report::plain;

/// How many times a record of somebody else may come first.
const TRIES: usize = 8;

/// The hold as JSON.
#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    product: Name,
    environment: Name,
    held: bool,
    #[serde(flatten)]
    hold: Option<Hold>,
}

/// Holds an environment for a reason, or lets releases begin again without one.
pub(super) async fn run(base: Base, environment: Name, product: Option<Name>, reason: Option<String>) -> Ended {
    let product = journal::product(&base, product, &environment)?;
    let settled = settle(&base, journal::root(&base), None).await?;
    let means = &settled.means;
    let mut journal = journal::beside(means, &product, &environment).await?;
    let before = journal.state().hold.clone();
    let entry = match &reason {
        Some(reason) => Entry::Hold { reason: plain(&means.masker.text(reason)) },
        None => Entry::Unhold,
    };
    if reason.is_some() || before.is_some() {
        append(&mut journal, &entry, &means.chance).await?;
    }
    let hold = journal.state().hold.clone();
    match base.format {
        Format::Json => put(&pretty(&Document { version: 1, product, environment, held: hold.is_some(), hold })),
        Format::Text | Format::Markdown => show(means, &text(&environment, before.as_ref(), hold.as_ref())),
    }
}

/// Appends a record beside whoever works on the environment: what they write in between is no reason to stop.
pub(super) async fn append(journal: &mut Journal, entry: &Entry, chance: &crate::id::Chance) -> Result<(), Failure> {
    for _ in 0..TRIES {
        match journal.append(entry.clone(), chance).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Overtaken { .. }) => journal.refresh().await.map_err(|error| Failure::from(journal::refusal(&error, None)))?,
            Err(StoreError::Impossible(_)) if matches!(entry, Entry::Unhold) => return Ok(()),
            Err(error) => return Err(journal::refusal(&error, None).into()),
        }
    }
    Err(Failure::preflight("the environment's journal is written to without a pause; nothing was written by this command")
        .hint("try again"))
}

fn text(environment: &Name, before: Option<&Hold>, hold: Option<&Hold>) -> String {
    match (before, hold) {
        (None, None) => format!("{environment} is not held; nothing to do."),
        (Some(before), None) => {
            format!("Releases of {environment} may begin again; it was held by {} since {}.", before.by.id, when(before))
        }
        (before, Some(hold)) => {
            let instead = before.map(|before| format!("\nIt replaces: {} (by {}).", before.reason, before.by.id)).unwrap_or_default();
            format!(
                "{environment} is held: {} (by {}, since {}).{instead}\nNo release of it begins until `cutover hold {environment} --off`; rollback and recover still run.",
                hold.reason,
                hold.by.id,
                when(hold)
            )
        }
    }
}

/// Returns since when an environment is held, for people.
pub(super) fn when(hold: &Hold) -> String {
    hold.since.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
