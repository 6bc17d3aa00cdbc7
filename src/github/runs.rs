//! Workflow runs (<https://docs.github.com/rest/actions/workflow-runs>).

use serde::Deserialize;

use super::{GitHub, GitHubError, Job};

/// How many of a workflow's newest runs are looked at.
const NEWEST: usize = 30;

/// A workflow run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WorkflowRun {
    /// Its id.
    pub id: u64,
    /// Its number among the runs of its workflow; larger is later, and another attempt keeps it.
    #[serde(default)]
    pub run_number: u64,
    /// Its newest attempt, from 1.
    #[serde(default)]
    pub run_attempt: u32,
    /// `push`, `workflow_dispatch`, ...
    #[serde(default)]
    pub event: String,
    /// `queued`, `in_progress`, `waiting`, `pending`, `requested`, `completed`, or a word that GitHub adds some day.
    #[serde(default)]
    pub status: Option<String>,
    /// Its branch; of a fork too.
    #[serde(default)]
    pub head_branch: Option<String>,
    /// Its commit.
    #[serde(default)]
    pub head_sha: String,
    /// Its page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// How it ended; `action_required` while it waits for a maintainer's approval.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// When it was asked for the first time, in RFC 3339; another attempt keeps it.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The repository that its branch is in; `None` when that fork was deleted.
    #[serde(default)]
    pub head_repository: Option<RunRepository>,
    /// Its own repository.
    #[serde(default)]
    pub repository: Option<RunRepository>,
    /// Who caused it.
    #[serde(default)]
    pub actor: Option<RunActor>,
}

/// A repository as a run names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RunRepository {
    /// Its id, which a new repository of the same name does not get.
    #[serde(default)]
    pub id: u64,
    /// `owner/name`.
    #[serde(default)]
    pub full_name: String,
}

/// An account as a run names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RunActor {
    /// Its login.
    #[serde(default)]
    pub login: String,
}

impl WorkflowRun {
    /// Returns whether GitHub says that it is over.
    pub fn completed(&self) -> bool {
        self.status.as_deref() == Some("completed")
    }

    /// Returns when it was asked for the first time, where GitHub says so.
    pub fn created(&self) -> Option<jiff::Timestamp> {
        self.created_at.as_deref()?.parse().ok()
    }

    /// Returns whether its branch is in another repository than its own; so it counts where either is not known.
    pub fn is_of_fork(&self) -> bool {
        match (&self.head_repository, &self.repository) {
            (Some(head), Some(own)) => head.id != own.id || own.id == 0,
            _ => true,
        }
    }

    /// Returns whether GitHub says that it runs or will.
    pub fn is_ahead(&self) -> bool {
        matches!(self.status.as_deref(), Some("queued" | "in_progress" | "waiting" | "pending" | "requested"))
    }
}

#[derive(Deserialize)]
struct RunsAnswer {
    #[serde(default)]
    workflow_runs: Vec<WorkflowRun>,
}

impl GitHub {
    /// Returns a run. Needs `actions: read`.
    pub async fn run(&self, id: u64) -> Result<WorkflowRun, GitHubError> {
        self.get("get_run", &format!("/actions/runs/{id}")).await
    }

    /// Returns the newest runs of a workflow (its file's name or its id) on a branch, newest first; one call. Needs `actions: read`.
    pub async fn runs_of_workflow(&self, workflow: &str, branch: &str) -> Result<Vec<WorkflowRun>, GitHubError> {
        let branch: String = url::form_urlencoded::byte_serialize(branch.as_bytes()).collect();
        let route = format!("/actions/workflows/{workflow}/runs?branch={branch}&per_page={NEWEST}");
        self.get("list_workflow_runs", &route).await.map(|answer: RunsAnswer| answer.workflow_runs)
    }

    /// Makes sure that runs can be seen at all, so that one that is not found is known to be gone. Needs `actions: read`.
    pub async fn can_see_runs(&self) -> Result<(), GitHubError> {
        self.get("list_runs", "/actions/runs?per_page=1").await.map(|_: RunsAnswer| ())
    }

    /// Returns a job by its id. Needs `actions: read`.
    pub async fn job(&self, id: u64) -> Result<Job, GitHubError> {
        self.get("get_job", &format!("/actions/jobs/{id}")).await
    }
}
