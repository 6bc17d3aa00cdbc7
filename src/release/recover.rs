//! Recovery: an unfinished release found in the journal is brought to one of its two sides before anything new begins.

use std::collections::BTreeMap;

use super::journal::Journal;
use super::journal::{Entry, Stage};
use super::{Context, Failure, finish, roll_back};
use crate::event::{Level, Phase};
use crate::id::{Name, ReleaseId};
use crate::platform::AnyTarget;

/// What recovery found and did.
#[derive(Debug)]
pub enum Recovered {
    /// Every release was closed.
    Nothing,
    /// The release had been committed; it is finished now.
    Finished(ReleaseId),
    /// The release had not been committed; what served before it serves.
    RolledBack(ReleaseId),
    /// A target would not go back.
    Stuck(ReleaseId, Vec<Failure>),
}

/// Brings the journal's open release, if any, to its end: back before `committed`, on after it.
///
/// The caller holds the journal's lock, so its owner is gone. Quiet when there is nothing to do; called again it does nothing more.
pub async fn recover(context: &Context, journal: &mut Journal, targets: &BTreeMap<Name, &AnyTarget>) -> Result<Recovered, Failure> {
    let Some(open) = journal.state().open.clone() else { return Ok(Recovered::Nothing) };
    let release = open.begun.release.clone();
    let text = format!(
        "The release {release} of {} was not finished (stage {:?}, by {}); bringing it to its end first.",
        context.environment, open.stage, open.owner.id
    );
    context.events.notice(Level::Warning, "release::unfinished-found", text);
    let because = "the machine's lock was free".to_owned();
    journal
        .append(Entry::TakenOver { because }, context.transport.chance())
        .await
        .map_err(|error| Failure::journal(Phase::Preflight, &error))?;
    match open.stage {
        Stage::Committed | Stage::Finishing => {
            finish::finish(context, journal, targets).await;
            Ok(Recovered::Finished(release))
        }
        Stage::Begun | Stage::Prepared | Stage::Cutting | Stage::RollingBack => {
            let cause = open.cause.clone().unwrap_or_else(|| "its runner ended before the release did".to_owned());
            match roll_back::roll_back(context, journal, targets, &cause).await {
                Ok(()) => Ok(Recovered::RolledBack(release)),
                Err(failures) => Ok(Recovered::Stuck(release, failures)),
            }
        }
    }
}
