//! Who is still at work, by GitHub's word about jobs and runs.
//!
//! Only what GitHub says counts: that a job has completed, that its run is gone, that another attempt of it has begun. No answer, a refusal
//! or a job that cannot be told from others is nobody's end.

use futures_util::future::BoxFuture;

use super::{GitHub, GitHubError, Job, WorkflowRun};
use crate::release::journal::{Owner, OwnerJob};
use crate::release::lock::{Census, Standing};

/// The events that begin a release of an environment.
const RELEASING: [&str; 2] = ["push", "workflow_dispatch"];

/// GitHub's word on owners and on newer runs.
#[derive(Debug, Clone)]
pub struct GitHubCensus {
    github: GitHub,
    own: Option<OwnRun>,
}

/// This run as it knows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRun {
    /// `GITHUB_RUN_ID`.
    pub id: u64,
    /// The file of its workflow, without its folder: `release.yml`, from `GITHUB_WORKFLOW_REF`.
    pub workflow: String,
    /// Its branch.
    pub branch: String,
    /// Its commit.
    pub sha: String,
}

impl OwnRun {
    /// Returns the workflow's file that `GITHUB_WORKFLOW_REF` means: `owner/name/.github/workflows/release.yml@refs/heads/main`.
    pub fn workflow_file(reference: &str) -> Option<String> {
        let file = reference.split('@').next()?.rsplit('/').next()?;
        let plain = file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        (plain && !file.is_empty()).then(|| file.to_owned())
    }
}

impl GitHubCensus {
    /// Returns a census that knows the jobs of one repository, and, with its own run, which runs are newer. Needs `actions: read`.
    pub const fn new(github: GitHub, own: Option<OwnRun>) -> Self {
        Self { github, own }
    }

    async fn judge(&self, owner: &Owner) -> Result<Standing, GitHubError> {
        let Some(job) = &owner.job else { return Ok(unknown("it is no job that GitHub knows")) };
        if !job.repository.eq_ignore_ascii_case(&self.github.repository().to_string()) {
            return Ok(unknown(format!("it is a job of {}, which nobody can be asked about here", job.repository)));
        }
        match job.id {
            Some(id) => match self.github.job(id).await {
                Ok(known) => Ok(said(&known)),
                Err(GitHubError::NotFound { .. }) => self.by_run(job).await,
                Err(error) => Err(error),
            },
            None => match self.github.jobs(job.run, job.attempt).await {
                Ok(jobs) => match of(job, &jobs) {
                    Some(standing) => Ok(standing),
                    None => self.by_run(job).await,
                },
                Err(GitHubError::NotFound { .. }) => self.by_run(job).await,
                Err(error) => Err(error),
            },
        }
    }

    /// Asks about the run of a job that could not be found.
    async fn by_run(&self, job: &OwnerJob) -> Result<Standing, GitHubError> {
        let run = job.run;
        match self.github.run(run).await {
            // GitHub begins another attempt only when the one before has ended.
            Ok(found) if found.run_attempt > job.attempt => Ok(over(format!(
                "GitHub says that attempt {} of run {run} has begun, so attempt {} is over",
                found.run_attempt, job.attempt
            ))),
            Ok(found) if found.completed() => Ok(over(format!("GitHub says that run {run} completed"))),
            Ok(_) => Ok(unknown(format!("no job of run {run} can be told to be it"))),
            Err(GitHubError::NotFound { .. }) => {
                // Found nowhere: gone, if runs can be seen at all.
                self.github.can_see_runs().await?;
                Ok(over(format!("GitHub has no run {run} any more")))
            }
            Err(error) => Err(error),
        }
    }

    async fn later(&self, own: &OwnRun) -> Result<Option<String>, GitHubError> {
        let runs = self.github.runs_of_workflow(&own.workflow, &own.branch).await?;
        let number = runs.iter().find(|run| run.id == own.id).map(|run| run.run_number);
        let later = |run: &&WorkflowRun| {
            let after = number.map_or(run.id > own.id, |number| run.run_number > number);
            let on_branch = run.head_branch.as_deref() == Some(own.branch.as_str()) && RELEASING.contains(&run.event.as_str());
            after && on_branch && run.head_sha != own.sha && run.is_ahead()
        };
        Ok(runs.iter().filter(later).max_by_key(|run| (run.run_number, run.id)).map(|run| {
            let commit = run.head_sha.get(..12).unwrap_or(&run.head_sha);
            let page = run.html_url.as_ref().map(|url| format!(" ({url})")).unwrap_or_default();
            format!("run {} of {} at {commit}{page}", run.run_number, own.workflow)
        }))
    }
}

impl Census for GitHubCensus {
    fn standing<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Standing> {
        Box::pin(async { self.judge(owner).await.unwrap_or_else(|error| unknown(format!("GitHub cannot be asked: {error}"))) })
    }

    fn newer(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async {
            match self.later(self.own.as_ref()?).await {
                Ok(newer) => newer,
                Err(error) => {
                    tracing::debug!(%error, "whether a newer run waits is not known");
                    None
                }
            }
        })
    }
}

/// Returns GitHub's id of a job that knows only itself; `None` when it cannot be told from others. One call (one more for every hundred jobs
/// of its run). Needs `actions: read`.
pub async fn own_job(github: &GitHub, job: &OwnerJob) -> Option<u64> {
    let jobs = github.jobs(job.run, job.attempt).await.ok()?;
    let working: Vec<Job> = jobs.into_iter().filter(|job| !job.completed()).collect();
    match matching(job, &working)[..] {
        [one] => Some(one.id),
        _ => None,
    }
}

/// Returns what the jobs of its attempt say about a job; `None` when it is not among them.
fn of(job: &OwnerJob, jobs: &[Job]) -> Option<Standing> {
    if !jobs.is_empty() && jobs.iter().all(Job::completed) {
        return Some(over(format!("GitHub says that every job of run {} (attempt {}) completed", job.run, job.attempt)));
    }
    let found = matching(job, jobs);
    found.iter().find(|job| !job.completed()).or(found.first()).map(|job| said(job))
}

/// Returns the jobs that may be this one. The list has no keys of the workflow file, only names as they are shown; the runner's name tells
/// more, and a runner of one's own may have several jobs of a run, one after the other.
fn matching<'a>(job: &OwnerJob, jobs: &'a [Job]) -> Vec<&'a Job> {
    let Some(runner) = job.runner.as_deref() else {
        return jobs.iter().filter(|known| shown_as(&job.name, &known.name)).collect();
    };
    let on_runner: Vec<&Job> = jobs.iter().filter(|known| known.runner_name.as_deref() == Some(runner)).collect();
    let named: Vec<&Job> = on_runner.iter().copied().filter(|known| shown_as(&job.name, &known.name)).collect();
    if named.is_empty() { on_runner } else { named }
}

/// Returns whether a job with this key may be shown under this name: legs of a matrix are "key (a, b)", jobs of a called workflow
/// "caller / key".
fn shown_as(key: &str, shown: &str) -> bool {
    let last = shown.rsplit(" / ").next().unwrap_or(shown);
    last == key || last.strip_prefix(key).is_some_and(|rest| rest.starts_with(" ("))
}

fn said(job: &Job) -> Standing {
    if job.completed() {
        let conclusion = job.conclusion.as_deref().unwrap_or("without a conclusion");
        return over(format!("GitHub says that job {} ({}) completed ({conclusion})", job.id, job.name));
    }
    Standing::AtWork
}

fn over(because: String) -> Standing {
    Standing::Over { because }
}

fn unknown(reason: impl Into<String>) -> Standing {
    Standing::Unknown { reason: reason.into() }
}
