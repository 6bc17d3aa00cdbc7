//! The report on GitHub: a commit status, a check run, a deployment and a section of the product's comment on the pull request.
//!
//! Called by the run at three named moments, each bounded in time, and never able to fail it. What the token may not do is told once, and from
//! then on left to the summary and the log.
//!
//! One deployment per environment and release, not one per target: a release moves its targets together or back together, "View
//! deployment" shows one address, and what counts deployments (GitHub's own pages, chat and issue trackers) would count every release
//! several times. Its address is that of the first target in the order of cutting over that has a front end's platform, else of the first
//! with any; all addresses stand in the comment. The deployment is made when the release begins: failed gates deploy nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Report;
use super::checks;
use super::comment::{Links, comment};
use super::ending::{Ending, Tone};
use super::markdown::link;
use crate::event::{Events, Level, Outcome};
use crate::github::{
    CheckId, CheckOutcome, CheckOutput, CheckRun, CommitState, CommitStatus, Deployment, DeploymentRequest, DeploymentState,
    DeploymentStatus, GitHub, GitHubError, Mark, Section, Stamp, StatusOutcome, StickyOutcome,
};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};
use crate::mask::Masker;

/// How long each of the three moments may take. A run that is being cancelled has ten seconds in all and passes less to `finish`.
pub const MOMENT_LIMIT: Duration = Duration::from_secs(30);

/// What the reporter must know about the run.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The product.
    pub product: Name,
    /// The environment that is released to, if one is.
    pub environment: Option<Name>,
    /// The commit that is reported on: a pull request's head, never its merge.
    pub commit: String,
    /// The branch that the commit is on.
    pub branch: Option<String>,
    /// The pull request that started the run.
    pub pull_request: Option<u64>,
    /// The pull request that the run previews, where it does.
    pub preview: Option<u64>,
    /// The workflow run.
    pub stamp: Stamp,
    /// The run's page.
    pub run_url: String,
    /// The server's address: `https://github.com`.
    pub server_url: String,
    /// How deployments are made.
    pub deployments: Deployments,
}

/// Who makes GitHub's deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployments {
    /// cutover does.
    Made,
    /// The job has an `environment:` of its own, for which GitHub makes one; a second one would double it.
    ByTheJob,
}

/// What can be reported and can be forbidden, each by its own permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Area {
    Status,
    Check,
    Deployment,
    Comment,
}

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Status => "the commit status",
            Self::Check => "the check run",
            Self::Deployment => "the deployment",
            Self::Comment => "the comment on the pull request",
        }
    }

    const fn permission(self) -> &'static str {
        match self {
            Self::Status => "statuses: write",
            Self::Check => "checks: write",
            Self::Deployment => "deployments: write",
            Self::Comment => "pull-requests: write",
        }
    }
}

/// Reports a run on GitHub.
pub struct GitHubReporter {
    github: GitHub,
    context: RunContext,
    masker: Masker,
    events: Events,
    silent: BTreeSet<Area>,
    deployment: Option<Deployment>,
    check: Option<CheckRun>,
}

impl std::fmt::Debug for GitHubReporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHubReporter").field("context", &self.context).finish_non_exhaustive()
    }
}

impl GitHubReporter {
    /// Returns a reporter; nothing is sent yet.
    pub fn new(github: GitHub, context: RunContext, masker: Masker, events: Events) -> Self {
        Self { github, context, masker, events, silent: BTreeSet::new(), deployment: None, check: None }
    }

    /// Returns where the reader of a report finds more.
    pub fn links(&self) -> Links {
        let RunContext { run_url, server_url, .. } = &self.context;
        let commit = format!("{}/{}/commit/", server_url.trim_end_matches('/'), self.github.repository());
        Links { run: Some(run_url.clone()), commit: Some(commit) }
    }

    /// Says on the commit that the run is under way.
    pub async fn begin(&mut self) {
        self.bounded(MOMENT_LIMIT, "begin", async |reporter| {
            reporter.status(CommitState::Pending, "Gates run.").await;
            reporter.begin_check().await;
        })
        .await;
    }

    /// Says on the commit and on the pull request that the run is under way, for a job that does nothing else.
    pub async fn pending(&mut self, report: &Report) {
        self.bounded(MOMENT_LIMIT, "pending", async |reporter| {
            reporter.status(CommitState::Pending, "The jobs run.").await;
            reporter.comment(report).await;
        })
        .await;
    }

    /// Says that a release begins: its deployment is made and in progress.
    pub async fn release_started(&mut self, release: &ReleaseId) {
        let release = release.clone();
        self.bounded(MOMENT_LIMIT, "release_started", async move |reporter| {
            reporter.status(CommitState::Pending, &format!("Release {release} is under way.")).await;
            reporter.deploy(&release).await;
        })
        .await;
    }

    /// Says how the run ended, within `limit`.
    pub async fn finish(&mut self, report: &Report, limit: Duration) {
        self.bounded(limit, "finish", async |reporter| {
            let ending = Ending::of(report);
            let state = match (ending.tone, report.outcome) {
                (Tone::Good, _) | (_, Some(Outcome::Superseded)) => CommitState::Success,
                (_, Some(Outcome::Stuck | Outcome::Cancelled | Outcome::Held)) | (Tone::Calm, _) => CommitState::Error,
                _ => CommitState::Failure,
            };
            // The deployment first: where time runs out, what tells who serves matters most.
            reporter.settle_deployment(report, &ending).await;
            reporter.status(state, &ending.headline).await;
            reporter.conclude_check(report, &ending).await;
            reporter.comment(report).await;
        })
        .await;
    }

    async fn bounded<F>(&mut self, limit: Duration, moment: &'static str, work: F)
    where
        F: AsyncFnOnce(&mut Self),
    {
        if tokio::time::timeout(limit, work(self)).await.is_err() {
            let text = format!(
                "GitHub did not answer within {limit:?}, so the report there may be incomplete ({moment}); it is in the summary and the log."
            );
            self.events.notice(Level::Warning, "github::slow", text);
        }
    }

    async fn status(&mut self, state: CommitState, description: &str) {
        if self.silent.contains(&Area::Status) {
            return;
        }
        let scope = self.context.environment.as_ref().map_or("gates", |name| name.as_str());
        let status = CommitStatus {
            state,
            target_url: Some(self.context.run_url.clone()),
            description: self.masker.text(description).into_owned(),
            context: format!("cutover/{}/{scope}", self.context.product),
        };
        let result = self.github.set_status(&self.context.commit, &status).await;
        if self.judge(Area::Status, result) == Some(StatusOutcome::Outdated) {
            let text = format!("A later run has set the status {} of {}; it stays.", status.context, self.context.commit);
            self.events.notice(Level::Note, "github::outdated", text);
        }
    }

    fn check_id(&self) -> Option<CheckId> {
        let scope = self.context.environment.clone().or_else(|| Name::parse("gates"))?;
        Some(CheckId { product: self.context.product.clone(), scope, stamp: self.context.stamp })
    }

    async fn begin_check(&mut self) {
        let Some(id) = self.check_id().filter(|_| !self.silent.contains(&Area::Check)) else { return };
        let summary = format!("The run is under way: {}", link("log and summary", &self.context.run_url));
        let output = CheckOutput { title: "Gates run.".to_owned(), summary, annotations: Vec::new() };
        let begun = self.github.begin_check(&self.context.commit, &id, &self.context.run_url, &output).await;
        self.check = self.judge_check(&id, begun);
    }

    /// Every run that ends comes through here, a cancelled one too; one that is killed leaves its check to its next attempt, or to the job that
    /// reports for all.
    async fn conclude_check(&mut self, report: &Report, ending: &Ending) {
        let Some(id) = self.check_id().filter(|_| !self.silent.contains(&Area::Check)) else { return };
        let output = checks::output(report, ending, &self.links(), &self.masker);
        let (commit, run_url) = (&self.context.commit, &self.context.run_url);
        let conclusion = checks::conclusion(report);
        let concluded = self.github.conclude_check(commit, &id, self.check.as_ref(), run_url, conclusion, &output).await;
        self.check = self.judge_check(&id, concluded);
    }

    fn judge_check(&mut self, id: &CheckId, result: Result<CheckOutcome, GitHubError>) -> Option<CheckRun> {
        match self.judge(Area::Check, result)? {
            CheckOutcome::Made(run) => Some(run),
            CheckOutcome::Outdated(stamp) => {
                let text =
                    format!("A later run ({}) reports as {:?} on {}; its check stays.", stamp.run_id, id.name(), self.context.commit);
                self.events.notice(Level::Note, "github::outdated", text);
                None
            }
        }
    }

    async fn deploy(&mut self, release: &ReleaseId) {
        let Some(environment) = self.context.environment.clone() else { return };
        if self.context.deployments == Deployments::ByTheJob || self.silent.contains(&Area::Deployment) {
            return;
        }
        // Nothing inside a job says that it has an `environment:` of its own, for which GitHub makes a deployment; but that can be seen.
        let (commit, run) = (self.context.commit.clone(), self.context.stamp.run_id);
        let own = self.github.deployment_of_job(&self.deployed_environment(&environment), &commit, run).await;
        if let Ok(Some(own)) = own {
            let text =
                format!("GitHub made the deployment {own} of {environment} for this job's own `environment:`; no second one is made.");
            self.events.notice(Level::Note, "github::job-deployment", text);
            self.context.deployments = Deployments::ByTheJob;
            return;
        }
        let request = DeploymentRequest {
            branch: self.context.branch.clone(),
            sha: self.context.commit.clone(),
            environment: self.deployed_environment(&environment),
            description: match self.context.preview {
                Some(number) => format!("{} preview of #{number}", self.context.product),
                None => format!("{} release {release}", self.context.product),
            },
            transient: self.context.preview.is_some(),
            production: environment.as_str() == "production",
            mark: Mark {
                cutover: 1,
                product: self.context.product.to_string(),
                release: release.clone(),
                run_id: self.context.stamp.run_id,
                attempt: self.context.stamp.attempt,
                pull_request: self.context.preview,
            },
        };
        let made = self.github.create_deployment(&request).await;
        self.deployment = self.judge(Area::Deployment, made);
        self.deployment_status(DeploymentState::InProgress, "The release is under way.", None).await;
    }

    /// Returns the name of GitHub's environment that is deployed to.
    fn deployed_environment(&self, environment: &Name) -> String {
        self.context.preview.map_or_else(|| environment.to_string(), |number| crate::github::environment_of(environment, number))
    }

    async fn settle_deployment(&mut self, report: &Report, ending: &Ending) {
        let (Some(deployment), Some(environment)) = (self.deployment.clone(), self.context.environment.clone()) else { return };
        let state = match report.outcome {
            Some(Outcome::Finished | Outcome::Carried) => DeploymentState::Success,
            Some(Outcome::Superseded) => DeploymentState::Inactive,
            Some(Outcome::RolledBack | Outcome::PreflightFailed | Outcome::GatesFailed | Outcome::Held | Outcome::PreviewFailed) => {
                DeploymentState::Failure
            }
            Some(Outcome::Stuck | Outcome::Cancelled) | None => DeploymentState::Error,
        };
        let address = (state == DeploymentState::Success).then(|| front(report)).flatten();
        self.deployment_status(state, &ending.headline, address).await;
        if state == DeploymentState::Success && !self.silent.contains(&Area::Deployment) {
            let result =
                self.github.retire_earlier(&deployment, &self.deployed_environment(&environment), self.context.product.as_str()).await;
            self.judge(Area::Deployment, result);
        }
    }

    async fn deployment_status(&mut self, state: DeploymentState, description: &str, environment_url: Option<String>) {
        let Some(deployment) = self.deployment.as_ref().map(|deployment| deployment.id) else { return };
        if self.silent.contains(&Area::Deployment) {
            return;
        }
        let log_url = Some(self.context.run_url.clone());
        let status = DeploymentStatus { state, description: self.masker.text(description).into_owned(), log_url, environment_url };
        // It was made just now, or found by its own mark: only its end can come late.
        let result = if state == DeploymentState::InProgress {
            self.github.set_deployment_status(deployment, &status).await.map(|()| StatusOutcome::Set)
        } else {
            self.github.settle_deployment(deployment, &status).await
        };
        if self.judge(Area::Deployment, result) == Some(StatusOutcome::Outdated) {
            let text = format!("A newer release has retired the deployment {deployment}; it stays so.");
            self.events.notice(Level::Note, "github::outdated", text);
        }
    }

    async fn comment(&mut self, report: &Report) {
        if self.silent.contains(&Area::Comment) {
            return;
        }
        let Some(pull_request) = self.pull_request().await else { return };
        let scope = self.context.environment.clone().or_else(|| Name::parse("pull-request"));
        let Some(scope) = scope else { return };
        let body = self.masker.text(&comment(report, &self.links())).into_owned();
        let section = Section { scope, stamp: self.context.stamp, body };
        let put = self.github.put_section(pull_request, &self.context.product, &section).await;
        match self.judge(Area::Comment, put) {
            Some(StickyOutcome::Locked) => {
                let text = format!("The conversation of pull request {pull_request} is locked; the report is in the summary and the log.");
                self.events.notice(Level::Note, "github::locked", text);
            }
            Some(StickyOutcome::Outdated(stamp)) => {
                let text = format!("A later run ({}) has reported on pull request {pull_request}; its report stays.", stamp.run_id);
                self.events.notice(Level::Note, "github::outdated", text);
            }
            _ => {}
        }
    }

    /// Returns the pull request to report on: the one that started the run, else the one that the pushed commit came from.
    async fn pull_request(&mut self) -> Option<u64> {
        if self.context.pull_request.is_some() {
            return self.context.pull_request;
        }
        let branch = self.context.branch.clone()?;
        let found = self.github.pull_of_push(&self.context.commit, &branch).await;
        self.judge(Area::Comment, found).flatten().map(|pull| pull.number)
    }

    /// Returns what went well. A refusal of the token is told once with the permission that it needs, and ends the area; anything else is
    /// told and tried again at the next moment.
    fn judge<T>(&mut self, area: Area, result: Result<T, GitHubError>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if !error.is_about_the_token() {
            let text = format!("GitHub did not take {}: {error}. The report is in the summary and the log.", area.name());
            self.events.notice(Level::Warning, "github::not-reported", text);
            return None;
        }
        if self.silent.insert(area) {
            let text = format!(
                "The token may not write {} (the job needs `{}`; a pull request from a fork never has it). The report is in the summary and the log.",
                area.name(),
                area.permission()
            );
            self.events.notice(Level::Note, "github::read-only", text);
        }
        None
    }
}

/// Returns the address for "View deployment": of the first target on a platform for front ends, else of the first that has one.
fn front(report: &Report) -> Option<String> {
    let front = |platform| matches!(platform, Platform::Vercel | Platform::Cloudflare);
    let with_address = || report.targets.iter().filter(|target| target.url.is_some());
    let first = with_address().find(|target| front(target.platform)).or_else(|| with_address().next());
    first.and_then(|target| target.url.clone())
}
