//! `cutover relay`: the report of a fork's run, which may write nothing itself, by a run of the default branch's own workflow.
//!
//! It runs no code of the fork and needs no checkout. Which run it is stands in the event; everything else is asked of GitHub. What the run
//! left behind is read as a stranger's word (see [`crate::report::relay`]).

use std::path::PathBuf;

use super::run::{Base, Settled, settle_to_report};
use super::stage::Means;
use super::{Ended, Failure, journal, show};
use crate::github::{
    CommitState, CommitStatus, Conclusions, GitHub, GitHubError, Pull, Section, Stamp, StatusOutcome, StickyOutcome, WorkflowRun,
};
use crate::id::Name;
use crate::report::outputs;
use crate::report::relay::{Claims, Deciding, Relayed, Standing, body};
use crate::trigger::HeardRun;

/// The status of a fork's commit, by the name of the job that README tells to require: where a check and a status have the same name, both
/// are required (<https://docs.github.com/pull-requests/collaborating-with-pull-requests/collaborating-on-repositories-with-code-quality-features/troubleshooting-required-status-checks>).
const CONTEXT: &str = "cutover";
/// Whose pull requests get a token that may write nothing although they come from the repository itself.
const DEPENDABOT: &str = "dependabot[bot]";

/// Reports the run that the event names, if it is one that cannot report itself.
pub(super) async fn run(base: Base, product: Name, from: Option<PathBuf>, required: Vec<String>) -> Ended {
    let (Settled { means, .. }, heard) = settle_to_report(&base, journal::root(&base))?;
    let Some(github) = journal::github(&means).await else {
        return Err(
            Failure::preflight("GITHUB_TOKEN is not set, so nothing can be reported").hint("pass `GITHUB_TOKEN: ${{ github.token }}`")
        );
    };
    let manifest = base.manifest.to_string_lossy().into_owned();
    let told = told(&github, heard, &required, &manifest).await.map_err(refused)?;
    let (relayed, stamp, sha) = match told {
        Told::Nothing { because } => return show(&means, &format!("Nothing to report: {because}.")),
        Told::Something { relayed, stamp, sha } => (relayed, stamp, sha),
    };
    let claims = from.map(|folder| Claims::read(&folder, &product)).unwrap_or_default();
    let body = means.masker.text(&body(&relayed, &claims)).into_owned();
    let lines = report(&github, &relayed, stamp, &sha, &product, &body).await.map_err(refused)?;
    if let Some(path) = means.settings.environment.get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        outputs::append(std::path::Path::new(path), &body).map_err(|error| Failure::preflight(error.to_string()))?;
    }
    show_all(&means, &relayed, &lines)
}

/// What there is to say.
enum Told {
    Nothing { because: String },
    Something { relayed: Box<Relayed>, stamp: Stamp, sha: String },
}

/// Asks GitHub about the run, its jobs and its pull requests.
async fn told(github: &GitHub, heard: HeardRun, required: &[String], manifest: &str) -> Result<Told, GitHubError> {
    let nothing = |because: &str| Ok(Told::Nothing { because: because.to_owned() });
    let run = github.run(heard.id).await?;
    if run.event != "pull_request" {
        return nothing("no pull request started the run");
    }
    let by_dependabot = run.actor.as_ref().is_some_and(|actor| actor.login == DEPENDABOT);
    if !run.is_of_fork() && !by_dependabot {
        return nothing("the run is not of a fork, and reports itself");
    }
    if run.run_attempt > heard.attempt {
        return nothing("a later attempt of the run has begun, and will be reported");
    }
    let pulls = pulls(github, &run).await?;
    let Some(first) = pulls.first() else {
        return nothing("no open pull request has the run's commit as its head: it was pushed to, closed, or its fork was deleted");
    };
    let decides = Deciding::of(github.changed_files(first.number).await?.as_deref(), manifest);
    // The files are those of the commit that was judged only if nothing was pushed meanwhile.
    if github.pull(first.number).await?.head.sha != run.head_sha {
        return nothing("the pull request was pushed to meanwhile");
    }
    let waits = run.conclusion.as_deref() == Some("action_required");
    // The news of its beginning may be told after its end: what GitHub says now goes before what the event said then.
    let over = (heard.completed || run.completed()) && !waits;
    let jobs = if over { Some(Conclusions::of(github.newest_jobs(run.id, heard.attempt).await?, required)) } else { None };
    let page = run.html_url.clone().unwrap_or_default();
    let page = format!("{}/attempts/{}", page.trim_end_matches('/'), heard.attempt);
    let relayed = Box::new(Relayed { jobs, waits, decides, pulls: pulls.iter().map(|pull| pull.number).collect(), page });
    Ok(Told::Something { relayed, stamp: Stamp { run_id: run.id, attempt: heard.attempt }, sha: run.head_sha })
}

/// Returns the open pull requests that the run may be of: by the fork's repository, its branch and its commit. The run's own list is empty for
/// forks, and a number that anybody else names is not asked for.
async fn pulls(github: &GitHub, run: &WorkflowRun) -> Result<Vec<Pull>, GitHubError> {
    let (Some(head), Some(branch)) = (&run.head_repository, &run.head_branch) else { return Ok(Vec::new()) };
    let Some((owner, _)) = head.full_name.split_once('/') else { return Ok(Vec::new()) };
    let mut pulls = github.open_pulls_of(owner, branch).await?;
    pulls.retain(|pull| {
        let same = pull.head.repo.as_ref().is_some_and(|repository| repository.id == head.id && head.id != 0);
        same && pull.state == "open" && pull.head.reference == *branch && pull.head.sha == run.head_sha
    });
    pulls.sort_by_key(|pull| pull.number);
    Ok(pulls)
}

/// Writes the status and the comments; returns what the reader should know of it.
async fn report(
    github: &GitHub,
    relayed: &Relayed,
    stamp: Stamp,
    sha: &str,
    product: &Name,
    body: &str,
) -> Result<Vec<String>, GitHubError> {
    let mut lines = Vec::new();
    let state = match relayed.standing() {
        Standing::Passed => CommitState::Success,
        Standing::Failed => CommitState::Failure,
        Standing::Cancelled | Standing::ToBeSeen => CommitState::Error,
        Standing::UnderWay => CommitState::Pending,
    };
    let (target_url, description) = (Some(relayed.page.clone()), relayed.headline());
    let status = CommitStatus { state, target_url, description, context: CONTEXT.to_owned() };
    if github.set_status(sha, &status).await? == StatusOutcome::Outdated {
        lines.push(format!("A later run has set the status of {sha}; it stays."));
    }
    let Some(scope) = Name::parse("pull-request") else { return Ok(lines) };
    for number in &relayed.pulls {
        let section = Section { scope: scope.clone(), stamp, body: body.to_owned() };
        lines.push(match github.put_section(*number, product, &section).await? {
            StickyOutcome::Created(_) | StickyOutcome::Updated(_) => format!("Pull request {number} was told."),
            StickyOutcome::Unchanged(_) => format!("Pull request {number} says it already."),
            StickyOutcome::Outdated(_) => format!("A later run has reported on pull request {number}; its report stays."),
            StickyOutcome::Locked => format!("The conversation of pull request {number} is locked; the status and this summary tell."),
        });
    }
    Ok(lines)
}

fn show_all(means: &Means, relayed: &Relayed, lines: &[String]) -> Ended {
    let trouble = relayed.jobs.as_ref().map(Conclusions::trouble).unwrap_or_default();
    let mut text = relayed.headline();
    for line in trouble.iter().chain(lines) {
        text.push('\n');
        text.push_str(line);
    }
    show(means, &text)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn refused(error: GitHubError) -> Failure {
    Failure::preflight(format!("the fork's run could not be reported: {error}"))
        .hint("the job needs `statuses: write`, `pull-requests: write` and `actions: read`")
}
