//! Finish: what is not needed any more is removed, and settings go back; after the commit there is no other way than on.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::journal::Journal;
use super::journal::{Entry, Kept, Open, TargetRecord};
use super::{Context, Release, kept};
use crate::event::{EventKind, Level, Phase};
use crate::id::Name;
use crate::platform::{AnyTarget, PlatformError, Scope, Target};
use crate::shutdown::Shutdown;

impl Release<'_> {
    /// Finishes the committed release; what cannot be removed now is told, and removed by the next run.
    pub(super) async fn finish(&mut self) {
        let targets = self.plan.targets.iter().map(|planned| (planned.target.name().clone(), &planned.target)).collect();
        finish(&self.context, self.journal, &targets).await;
    }
}

/// Finishes the journal's open, committed release on `targets`; returns whether it could be closed.
pub(super) async fn finish(context: &Context, journal: &mut Journal, targets: &BTreeMap<Name, &AnyTarget>) -> bool {
    let Some(open) = journal.state().open.clone() else { return true };
    let began = Instant::now();
    context.events.emit(EventKind::PhaseStarted { phase: Phase::Finish });
    let mut troubles: Vec<String> =
        journal.append(Entry::Finishing, context.transport.chance()).await.err().iter().map(ToString::to_string).collect();
    let moved = open.begun.targets.iter().filter(|record| !record.carried);
    let kept = journal.state().kept.clone();
    let ended =
        join_all(moved.map(|record| end_one(context, &open, record, kept.get(&record.name), targets.get(&record.name).copied()))).await;
    troubles.extend(ended.into_iter().filter_map(Result::err));
    if troubles.is_empty() {
        troubles.extend(journal.append(Entry::Finished, context.transport.chance()).await.err().iter().map(ToString::to_string));
    }
    for trouble in &troubles {
        let text = format!("The release serves, but finishing it met this: {trouble}. The next run finishes it.");
        context.events.notice(Level::Warning, "release::unfinished", text);
    }
    let failure = troubles.first().cloned();
    let closed = failure.is_none();
    context.events.emit(EventKind::PhaseFinished { phase: Phase::Finish, duration: began.elapsed(), failure });
    closed
}

async fn end_one(
    context: &Context,
    open: &Open,
    record: &TargetRecord,
    earlier: Option<&Kept>,
    target: Option<&AnyTarget>,
) -> Result<(), String> {
    let Some(target) = target else {
        return Err(format!("{} is not in the manifest any more; what it served before is not removed", record.name));
    };
    // Finishing is not ended by a signal: its waits are short and bounded, and the journal knows that it has begun.
    let mut scope = context.scope(Phase::Finish, &Shutdown::default());
    scope.release = open.begun.release.clone();
    let began = Instant::now();
    // As the record that closes the release will have it, to the second.
    let stays = Kept::of(&open.begun, record, context.transport.clock().now());
    let result = remove(&scope, record, target, stays.as_ref(), earlier).await.map_err(|error| error.to_string());
    let (name, duration, failure) = (target.name().clone(), began.elapsed(), result.as_ref().err().cloned());
    context.events.emit(EventKind::TargetFinished { target: name, phase: Phase::Finish, duration, failure });
    result
}

async fn remove(
    scope: &Scope,
    record: &TargetRecord,
    target: &AnyTarget,
    stays: Option<&Kept>,
    earlier: Option<&Kept>,
) -> Result<(), PlatformError> {
    target.restore(scope, &record.settings).await?;
    target.release_holds(scope).await;
    if let Some(stays) = stays {
        kept::keep(scope, stays, target).await?;
    }
    target.prune(scope, &kept::to_remove(record, stays, earlier)).await
}
