//! `cutover dispatch`: what a person asked for with "Run workflow", read from the event itself, so that no input passes through a shell.

use super::arguments::{Changed, Forward, Output, Sweep};
use super::ask::{self, Ask};
use super::conduct::{Options, short};
use super::run::{Base, Ready, conducted, event, misfit, ready};
use super::{Ended, Failure, hold, journal, recover, sweep};
use crate::github::Relation;
use crate::id::Name;
use crate::trigger::{Checkout, Dispatch, DispatchAction, Source, git};

/// Does what the event asks for.
pub(super) async fn run(base: Base, output: Output) -> Ended {
    let Some(Source::Dispatch(dispatch)) = event()?.map(|trigger| trigger.source) else {
        return Err(Failure::usage("`cutover dispatch` does what a workflow_dispatch asks for, and nothing of the kind has started this")
            .hint("on a machine of your own: cutover release, rollback, promote, recover, hold or sweep"));
    };
    match dispatch.action {
        DispatchAction::Release | DispatchAction::Rollback | DispatchAction::Promote => released(base, &dispatch, &output).await,
        DispatchAction::Recover => recover::run(base, dispatch.environment, None, (false, false), output).await,
        DispatchAction::Hold | DispatchAction::Unhold => {
            let environment = dispatch.environment.ok_or_else(|| Failure::usage("which environment? The input is empty"))?;
            let reason = dispatch.reason.filter(|_| dispatch.action == DispatchAction::Hold);
            hold::run(base, environment, None, reason).await
        }
        DispatchAction::Sweep => sweep::run(base, Sweep { dry_run: dispatch.dry_run, most: sweep::MOST, pull_request: None, output }).await,
    }
}

async fn released(base: Base, dispatch: &Dispatch, output: &Output) -> Ended {
    let mut ready = ready(&base).await?;
    // Whoever may not release anything is refused before anything is looked up.
    ask::allowed(&ready.stage.trigger).map_err(misfit)?;
    let environment = environment(&ready, dispatch)?;
    let release = dispatch.release.as_ref().map(|release| release.as_str().to_owned());
    let dry_run = dispatch.dry_run;
    let ask = match (dispatch.action, release, &dispatch.commit) {
        (DispatchAction::Promote, release, _) => {
            let from = dispatch.from.clone().ok_or_else(|| Failure::usage("promote from where? The input from is empty"))?;
            ask::known(&ready.stage.manifest, &from).map_err(misfit)?;
            Ask::Promote { from, to: environment, release, dry_run }
        }
        (DispatchAction::Rollback, to, _) => Ask::Rollback { environment, to, dry_run },
        (_, Some(release), _) => Ask::Again { environment, release, dry_run },
        (_, None, Some(commit)) => of_commit(&mut ready, environment, commit, dry_run).await?,
        (_, None, None) => ask::ask(&ready.stage.trigger, &ready.stage.manifest, Some(&environment), dry_run).map_err(misfit)?,
    };
    let forward = Forward { older: dispatch.older, changed: Changed::default() };
    conducted(ready, ask, Options { forward, reason: dispatch.reason.clone(), ..Options::default() }, output).await
}

/// Returns the environment that is meant: the one that was named, else the one of the branch that was chosen for the workflow.
fn environment(ready: &Ready, dispatch: &Dispatch) -> Result<Name, Failure> {
    let manifest = &ready.stage.manifest;
    if let Some(named) = &dispatch.environment {
        return ask::known(manifest, named).cloned().map_err(misfit);
    }
    let branch = ready.stage.trigger.branch();
    let own = branch.and_then(|branch| manifest.environment_of_branch(branch)).cloned();
    own.ok_or_else(|| Failure::usage("which environment? The branch that was chosen belongs to none, and the input is empty"))
}

/// Returns what releases a commit: what a release of it shipped, if the journal knows one, so that nothing is built; else the commit itself, if
/// it is what is checked out.
async fn of_commit(ready: &mut Ready, environment: Name, commit: &str, dry_run: bool) -> Result<Ask, Failure> {
    let stage = &ready.stage;
    let Source::Dispatch(dispatch) = &stage.trigger.source else { return Err(Failure::usage("this is no workflow_dispatch")) };
    let branch = stage.trigger.branch().unwrap_or_default().to_owned();
    ask::on_branch(&stage.manifest, Some(&environment), &branch).map_err(misfit)?;
    let head = dispatch.sha.clone();
    if !is_on(ready, commit, &head).await {
        let text = format!("the commit {} is not on {branch}, as far as git and GitHub can tell; nothing was touched", short(commit));
        return Err(Failure::preflight(text).hint("release what is on the branch, or start the workflow on the branch that has it"));
    }
    let journal = journal::beside(stage, &stage.manifest.product, &environment).await?;
    let earlier = journal.state().closed.iter().rev().find(|closed| closed.finished && closed.commit == commit);
    if let Some(earlier) = earlier {
        return Ok(Ask::Again { environment, release: earlier.release.as_str().to_owned(), dry_run });
    }
    if Checkout::read(&stage.root).await.sha() != Some(commit) {
        let text = format!("no release of {environment} shipped {}, and another commit is checked out; nothing was touched", short(commit));
        return Err(Failure::preflight(text).hint("let the workflow check out `ref: ${{ inputs.commit || github.sha }}`"));
    }
    if let Source::Dispatch(dispatch) = &mut ready.stage.means.trigger.source {
        commit.clone_into(&mut dispatch.sha);
    }
    Ok(Ask::Release { environment, dry_run })
}

/// Returns whether a commit is on the branch whose head is `head`; what nobody can tell is not.
async fn is_on(ready: &Ready, commit: &str, head: &str) -> bool {
    if commit == head {
        return true;
    }
    match git::is_ancestor(&ready.stage.root, commit, head).await {
        Some(on) => on,
        None => match journal::github(&ready.stage).await {
            Some(github) => matches!(github.relation(commit, head).await, Ok(Some(Relation::Older | Relation::Same))),
            None => false,
        },
    }
}
