//! What keeps old code from being released by accident: by a run that somebody runs again, by one that waited, by a dispatch of long ago.
//!
//! Three questions are asked, in this order. Was this very commit released before, and something else since? Then somebody has decided, and a
//! run that is merely run again decides nothing. Is it an ancestor of what serves, by git or, in a clone without history, by GitHub? And where
//! neither can tell and the run is another attempt: was something released since it was first asked for?

use super::conduct::{Conclusion, Stop, short};
use super::journal;
use super::stage::{Means, Stage};
use crate::event::Level;
use crate::github::Relation;
use crate::release::Context;
use crate::release::journal::{Closed, Journal};
use crate::trigger::{NO_COMMIT, Source, git};

/// Returns why the commit is older than what serves, or was replaced by it; where nobody can tell, that is told, and refused only for a run that is
/// run again after something else was released.
pub(crate) async fn than_serving(stage: &Stage, context: &Context, journal: &Journal) -> Option<String> {
    let serving = journal.state().serving()?;
    if serving.commit == context.commit || context.commit == NO_COMMIT || stage.rehearsal {
        return None;
    }
    let commit = short(&context.commit);
    if let Some(earlier) = journal.state().closed.iter().rev().find(|closed| closed.finished && closed.commit == context.commit) {
        return Some(format!(
            "the commit {commit} was released as {}, and {} has taken its place since, with {} ({})",
            earlier.release,
            serving.release,
            short(&serving.commit),
            serving.reason
        ));
    }
    let by_git = git::is_ancestor(&stage.root, &context.commit, &serving.commit).await;
    let relation = match by_git {
        Some(true) => Some(Relation::Older),
        Some(false) => Some(if git::is_ancestor(&stage.root, &serving.commit, &context.commit).await == Some(true) {
            Relation::Newer
        } else {
            Relation::Apart
        }),
        None => by_github(stage, context, serving).await,
    };
    match relation {
        Some(Relation::Older) => {
            Some(format!("the commit {commit} is older than {}, which serves since {}", short(&serving.commit), serving.release))
        }
        Some(Relation::Newer | Relation::Same) => None,
        // A branch that was rewritten is a person's decision, but only of the run that the rewriting started.
        Some(Relation::Apart) => released_since(stage, serving).await,
        None => {
            let refused = released_since(stage, serving).await;
            if refused.is_none() {
                let text = format!(
                    "Nobody can tell whether {commit} is older than {}, which serves: git has no history here (fetch-depth: 0), and GitHub does not know both.",
                    short(&serving.commit)
                );
                context.events.notice(Level::Note, "git::cannot-compare", text);
            }
            refused
        }
    }
}

/// Asks GitHub, which has the history that a shallow clone lacks.
async fn by_github(means: &Means, context: &Context, serving: &Closed) -> Option<Relation> {
    let github = journal::github(means).await?;
    match github.relation(&context.commit, &serving.commit).await {
        Ok(relation) => relation,
        Err(error) => {
            tracing::debug!(%error, "GitHub cannot compare the commits");
            None
        }
    }
}

/// Returns why a run that is run again is refused: what serves was released after the run was first asked for, or nobody can say when that was.
async fn released_since(means: &Means, serving: &Closed) -> Option<String> {
    if !means.trigger.is_again() {
        return None;
    }
    let run = means.trigger.run.as_ref()?;
    let created = match journal::github(means).await {
        Some(github) => github.run(run.id).await.ok().and_then(|run| run.created()),
        None => None,
    };
    match created {
        Some(created) if created >= serving.at => None,
        Some(created) => Some(format!(
            "this run was asked for at {} and is run again now; {} was released after that ({})",
            created.strftime("%Y-%m-%d %H:%M UTC"),
            serving.release,
            serving.reason
        )),
        None => Some(format!(
            "this is attempt {} of the run {}, and nobody can say whether {} was released after it was first asked for",
            run.attempt, run.id, serving.release
        )),
    }
}

/// Refuses another attempt of a dispatch that would move an environment as somebody wanted it then: what serves was released since.
pub(super) async fn dispatched_again(stage: &Stage, journal: &Journal) -> Result<(), Stop> {
    let Source::Dispatch(dispatch) = &stage.trigger.source else { return Ok(()) };
    let Some(serving) = journal.state().serving().filter(|_| dispatch.action.releases()) else { return Ok(()) };
    match released_since(stage, serving).await {
        None => Ok(()),
        Some(text) => Err(Conclusion::refused(
            format!("{text}; nothing was touched"),
            vec!["start the workflow anew (\"Run workflow\") instead of running an old run again".to_owned()],
        )),
    }
}
