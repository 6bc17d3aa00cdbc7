//! Kept generations: what served before a release and stays for a while, and its end when that is over.
//!
//! A release's finish decides what stays and removes what an earlier one kept, so there is at most one; the record that closes it says what and
//! until when. Whoever looks after that time ends it: first a record that it is ending, so that no rollback counts on it any more and none can
//! have begun to, then the removal, then a record that it is over. A death in between leaves it ending, and the next look goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use super::Context;
use super::journal::{Entry, Journal, Kept, TargetRecord, same_generation};
use crate::event::{Level, Phase};
use crate::id::Name;
use crate::platform::{AnyTarget, PlatformError, Revision, Scope, Target};
use crate::shutdown::Shutdown;

/// The month of a price list, by which the share of an overlap is worked out.
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Lets what served before stay, and tells until when and at which cost.
pub(super) async fn keep(scope: &Scope, kept: &Kept, target: &AnyTarget) -> Result<(), PlatformError> {
    let monthly = target.keep(scope, &kept.revision).await?;
    let keep = Duration::from_millis(kept.at.reach.keep_ms.unwrap_or_default());
    let cost = monthly.map(|usd| format!("; the overlap costs about ${:.2}", usd * keep.as_secs_f64() / MONTH.as_secs_f64()));
    let text = format!(
        "{}: {} stays alive, out of routing, until {}: `cutover rollback {}` goes back to it at once{}.",
        target.name(),
        kept.revision.label,
        kept.until.strftime("%Y-%m-%d %H:%M UTC"),
        scope.environment,
        cost.unwrap_or_default()
    );
    scope.events.notice(Level::Note, "release::kept", text);
    Ok(())
}

/// Returns what a finished release removes of one target: what served before unless it stays, what dead runners left, and what an earlier
/// release kept; never the generation that serves now.
pub(super) fn to_remove(record: &TargetRecord, stays: Option<&Kept>, earlier: Option<&Kept>) -> Vec<Revision> {
    let before = record.before.serving.iter().map(|weighted| &weighted.revision).filter(|_| stays.is_none());
    let after = record.after.as_ref();
    let serves = |revision: &Revision| after.is_some_and(|after| same_generation(after, revision));
    let rest = record.before.leftovers.iter().chain(earlier.map(|kept| &kept.revision)).filter(|revision| !serves(revision));
    before.chain(rest).cloned().collect()
}

/// What became of a kept generation whose time was over.
#[derive(Debug, Clone)]
pub struct EndedKept {
    /// The target.
    pub target: Name,
    /// What was kept.
    pub label: String,
    /// Why it could not be removed; the next look tries again.
    pub error: Option<PlatformError>,
}

/// Ends the kept generations whose time is over, if it is anybody's turn: the journal must have no open release. Quiet when there is nothing to
/// do, and when another run is doing it.
///
/// `targets` must be able to reach what the journal names. Nothing here fails a release: what could not be ended stays in the journal.
pub async fn end_due(context: &Context, journal: &mut Journal, targets: &BTreeMap<Name, &AnyTarget>) -> Vec<EndedKept> {
    let now = context.transport.clock().now();
    let state = journal.state();
    let due: BTreeMap<Name, Kept> =
        state.kept.clone().into_iter().filter(|(name, kept)| kept.is_due(now) && targets.contains_key(name)).collect();
    if state.open.is_some() || due.is_empty() {
        return Vec::new();
    }
    journal.ownership().tidying(journal.head());
    let ended = end(context, journal, targets, &due).await;
    journal.ownership().tidied();
    ended
}

async fn end(context: &Context, journal: &mut Journal, targets: &BTreeMap<Name, &AnyTarget>, due: &BTreeMap<Name, Kept>) -> Vec<EndedKept> {
    let told = |error: &dyn std::fmt::Display| {
        let text = format!("What was kept for a rollback is not removed yet: {error}. The next run removes it.");
        context.events.notice(Level::Note, "release::kept-unended", text);
    };
    let chance = context.transport.chance();
    let begin: BTreeSet<Name> = due.iter().filter(|(_, kept)| !kept.ending).map(|(name, _)| name.clone()).collect();
    if !begin.is_empty()
        && let Err(error) = journal.append(Entry::EndingKept { targets: begin }, chance).await
    {
        told(&error);
        return Vec::new();
    }
    let scope = context.scope(Phase::Finish, &Shutdown::default());
    let removals = due.iter().filter_map(|(name, kept)| Some((name, kept, *targets.get(name)?))).map(async |(name, kept, target)| {
        let error = target.prune(&scope, std::slice::from_ref(&kept.revision)).await.err();
        EndedKept { target: name.clone(), label: kept.revision.label.clone(), error }
    });
    let ended = join_all(removals).await;
    let gone: BTreeSet<Name> = ended.iter().filter(|ended| ended.error.is_none()).map(|ended| ended.target.clone()).collect();
    if !gone.is_empty()
        && let Err(error) = journal.append(Entry::EndedKept { targets: gone }, chance).await
    {
        told(&error);
    }
    ended
}
