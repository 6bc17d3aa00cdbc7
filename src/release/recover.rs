//! Recovery: an unfinished release found in the journal is brought to one of its two sides before anything new begins.
//!
//! Convergence, from the journal and the platforms alone: today's manifest is not read, and what another recovery did half is simply there.
//! Whoever takes over appends first; only one can win. A runner that was taken over may still be alive for as long as
//! [`super::ownership::Terms::term`] says, so a release that is rolled back stays open for a quarantine and is looked at once more.

use std::collections::BTreeMap;

use super::journal::{Entry, Journal, Stage};
use super::lock::Abandoned;
use super::roll_back::NotBack;
use super::{Context, Failure, drift, finish, roll_back};
use crate::event::{Level, Phase};
use crate::id::{Name, ReleaseId};
use crate::platform::{AnyTarget, PlatformError, Revision, Target};

/// What recovery found and did.
#[derive(Debug)]
pub enum Recovered {
    /// Every release was closed.
    Nothing,
    /// The release had been committed; it is finished now.
    Finished(ReleaseId),
    /// The release had been committed and serves; what it left could not all be removed, which the next recovery tries again.
    Unfinished(ReleaseId),
    /// The release had not been committed; what served before it serves.
    RolledBack(ReleaseId),
    /// A target would not go back.
    Stuck(ReleaseId, Vec<Failure>),
}

/// Brings the journal's open release, if any, to its end: back before `committed`, on after it.
///
/// `targets` must be able to reach every target that moved, by the journal's own record of them. Quiet when there is nothing to do; called
/// again it does nothing more. Errors: the journal could not be written, or somebody else took the release over first; nothing was touched.
pub async fn recover(
    context: &Context,
    journal: &mut Journal,
    targets: &BTreeMap<Name, &AnyTarget>,
    abandoned: &Abandoned,
) -> Result<Recovered, Failure> {
    let Some(open) = journal.state().open.clone() else { return Ok(Recovered::Nothing) };
    let release = open.begun.release.clone();
    let text = format!(
        "The release {release} of {} by {} was not finished: it is {}, and {}. Bringing it to its end first.",
        context.environment,
        super::lock::named(&open.owner),
        open.stage.in_words(),
        abandoned.because
    );
    context.events.notice(Level::Warning, "release::unfinished-found", text);
    let taken = Entry::TakenOver { because: abandoned.because.clone() };
    journal.append(taken, context.transport.chance()).await.map_err(|error| Failure::journal(Phase::Preflight, &error))?;
    match open.stage {
        Stage::Committed | Stage::Finishing => {
            let closed = finish::finish(context, journal, targets).await;
            Ok(if closed { Recovered::Finished(release) } else { Recovered::Unfinished(release) })
        }
        Stage::Begun | Stage::Prepared | Stage::Migrating | Stage::Migrated | Stage::Cutting | Stage::RollingBack => {
            let cause = open.cause.clone().unwrap_or_else(|| "its runner ended before the release did".to_owned());
            match roll_back::roll_back(context, journal, targets, &cause, abandoned.quarantine).await {
                Ok(()) => Ok(Recovered::RolledBack(release)),
                Err(NotBack::Targets(failures)) => Ok(Recovered::Stuck(release, failures)),
                Err(NotBack::Untouched(failure)) => Err(failure),
                Err(NotBack::Ended) => Err(Failure::cancellation(Phase::RollBack)),
            }
        }
    }
}

/// What a look at closed releases found on one target.
#[derive(Debug, Clone)]
pub struct Afterwards {
    /// The target.
    pub target: Name,
    /// What serves nobody, was made by a closed release, and was removed now: an effect that came after everybody had stopped waiting.
    pub removed: Vec<Revision>,
    /// What serves, when it is not what the newest finished release left there; it is reported and not touched.
    pub drifted_to: Option<String>,
    /// Why the target could not be looked at or tidied.
    pub error: Option<PlatformError>,
}

/// Looks whether closed releases left anything that landed late, and removes what serves nobody. The journal must have no open release;
/// nothing is written into it. Quiet where everything is as recorded.
pub async fn look_at_closed(context: &Context, journal: &Journal, targets: &BTreeMap<Name, &AnyTarget>) -> Vec<Afterwards> {
    if journal.state().open.is_some() {
        return Vec::new();
    }
    journal.ownership().tidying(journal.head());
    let looks = targets.iter().map(|(name, target)| look_at_one(context, journal, name, target));
    let found = futures_util::future::join_all(looks).await;
    found.into_iter().filter(|found| !found.removed.is_empty() || found.drifted_to.is_some() || found.error.is_some()).collect()
}

async fn look_at_one(context: &Context, journal: &Journal, name: &Name, target: &AnyTarget) -> Afterwards {
    let mut found = Afterwards { target: name.clone(), removed: Vec::new(), drifted_to: None, error: None };
    let scope = context.scope(Phase::Observe, &context.shutdown);
    let observed = match target.observe(&scope).await {
        Ok(observed) => observed,
        Err(error) => return Afterwards { error: Some(error), ..found },
    };
    found.drifted_to = drift::of(journal.state(), target, &observed).map(|drift| drift.found);
    let closed = |release: &String| journal.state().closed.iter().any(|closed| closed.release.as_str() == release);
    // What is kept has an end of its own.
    let kept = |left: &Revision| journal.state().kept.get(name).is_some_and(|kept| kept.is(left));
    let ours = |left: &&Revision| left.release.as_ref().is_some_and(closed) && !kept(left);
    let late: Vec<Revision> = observed.leftovers.iter().filter(ours).cloned().collect();
    if !late.is_empty() {
        match target.prune(&scope, &late).await {
            Ok(()) => found.removed = late,
            Err(error) => found.error = Some(error),
        }
    }
    found
}
