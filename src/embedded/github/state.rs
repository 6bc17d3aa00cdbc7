//! What the embedded GitHub remembers: tokens, repositories and everything that hangs on them. Plain data; time is handed in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::caller::Token;
use super::repository::Git;
use super::switch::Switches;

/// Everything one embedded GitHub remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) switches: Switches,
    pub(super) tokens: BTreeMap<String, Token>,
    /// Repositories by `owner/name`.
    pub(super) repositories: BTreeMap<String, Repository>,
    last_id: i64,
}

impl State {
    /// Returns the next identity; they grow, as the vendor's do.
    pub(super) fn id(&mut self) -> i64 {
        self.last_id += 1;
        1_000_000 + self.last_id
    }
}

/// A repository.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) id: i64,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) default_branch: String,
    pub(super) created: i64,
    pub(super) git: Git,
    pub(super) pulls: BTreeMap<i64, Pull>,
    /// Numbers of pull requests (and issues) whose conversation is locked.
    pub(super) locked: Vec<i64>,
    pub(super) comments: BTreeMap<i64, Comment>,
    pub(super) statuses: Vec<Status>,
    pub(super) check_runs: BTreeMap<i64, CheckRun>,
    pub(super) deployments: BTreeMap<i64, Deployment>,
    pub(super) environments: BTreeMap<String, Environment>,
    pub(super) runs: BTreeMap<i64, Run>,
    pub(super) jobs: BTreeMap<i64, Job>,
    /// Files of workflows that can be dispatched.
    pub(super) workflows: Vec<String>,
    pub(super) dispatches: Vec<Dispatch>,
    /// When each commit became known, for what lags behind a push.
    pub(super) pushed: BTreeMap<String, i64>,
}

/// A pull request.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub(super) id: i64,
    pub(super) number: i64,
    pub(super) title: String,
    pub(super) author: String,
    pub(super) head_branch: String,
    pub(super) head_sha: String,
    /// The owner of the fork that the head lives in.
    pub(super) fork: Option<String>,
    pub(super) base_branch: String,
    /// Where the base stood when the pull request was opened.
    pub(super) base_sha: String,
    pub(super) merge_commit: Option<String>,
    pub(super) merged_at: Option<i64>,
    pub(super) closed_at: Option<i64>,
    pub(super) created: i64,
}

/// A comment of a conversation.
#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub(super) id: i64,
    pub(super) issue: i64,
    pub(super) author: String,
    pub(super) body: String,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) minimized: Option<String>,
}

/// A commit status.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) id: i64,
    pub(super) sha: String,
    pub(super) state: String,
    pub(super) context: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
    pub(super) author: String,
    pub(super) created: i64,
}

/// A check run.
#[derive(Debug, Clone)]
pub(super) struct CheckRun {
    pub(super) id: i64,
    pub(super) sha: String,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) started: Option<String>,
    pub(super) completed: Option<String>,
    pub(super) details_url: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) title: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) text: Option<String>,
    pub(super) annotations: Vec<Value>,
}

/// A deployment.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub(super) id: i64,
    pub(super) sha: String,
    pub(super) git_ref: String,
    pub(super) task: String,
    pub(super) payload: Value,
    pub(super) environment: String,
    pub(super) description: Option<String>,
    pub(super) transient: bool,
    pub(super) production: bool,
    pub(super) author: String,
    pub(super) created: i64,
    pub(super) statuses: Vec<DeploymentStatus>,
}

impl Deployment {
    /// Returns the newest state; a deployment without a status has none.
    pub(super) fn state(&self) -> Option<&str> {
        self.statuses.last().map(|status| status.state.as_str())
    }
}

/// A status of a deployment.
#[derive(Debug, Clone)]
pub(super) struct DeploymentStatus {
    pub(super) id: i64,
    pub(super) state: String,
    pub(super) description: String,
    pub(super) environment: String,
    pub(super) environment_url: String,
    pub(super) log_url: String,
    pub(super) author: String,
    pub(super) created: i64,
}

/// An environment.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) created: i64,
}

/// A workflow run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) workflow: String,
    pub(super) event: String,
    pub(super) branch: String,
    pub(super) sha: String,
    pub(super) attempt: i64,
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) created: i64,
    pub(super) head: RunHead,
    /// Who caused it; the owner of the repository where nobody else is named.
    pub(super) actor: Option<String>,
}

/// Where the branch of a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum RunHead {
    /// In its own repository.
    #[default]
    Own,
    /// In the fork of this owner.
    Fork(String),
    /// In a fork that was deleted.
    Gone,
}

impl Run {
    /// Returns the run as it was at an attempt before its newest one: over (a next one begins only then), and as its jobs ended.
    pub(super) fn earlier(&self, attempt: i64, repository: &Repository) -> Self {
        let mut jobs = repository.jobs.values().filter(|job| job.run == self.id && job.attempt == attempt);
        let failed = jobs.find_map(|job| job.conclusion.clone().filter(|conclusion| conclusion != "success"));
        let conclusion = failed.unwrap_or_else(|| "success".to_owned());
        Self { attempt, status: "completed".to_owned(), conclusion: Some(conclusion), ..self.clone() }
    }
}

/// A job of a workflow run.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) run: i64,
    pub(super) attempt: i64,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) runner: Option<String>,
    pub(super) created: i64,
    pub(super) completed: Option<i64>,
}

/// A workflow that was asked for by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// The workflow's file or id, as asked for.
    pub workflow: String,
    /// The branch or tag.
    pub git_ref: String,
    /// The inputs.
    pub inputs: BTreeMap<String, String>,
}

impl Repository {
    /// Returns `owner/name`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Returns the commits of a pull request, oldest first.
    pub(super) fn commits_of(&self, pull: &Pull) -> Vec<String> {
        self.git.between(&pull.base_sha, &pull.head_sha)
    }

    /// Returns the check suite of a commit: one, as all runs of the Actions app land in one (reports).
    pub(super) fn suite(sha: &str) -> i64 {
        i64::from_str_radix(sha.get(..7).unwrap_or("0"), 16).unwrap_or(0)
    }
}
