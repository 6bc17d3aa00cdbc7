//! The jobs of a workflow run (<https://docs.github.com/rest/actions/workflow-jobs>).

use serde::Deserialize;

use super::{GitHub, GitHubError};

/// A job of a workflow run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: u64,
    /// Its display name: legs of a matrix are "id (a, b)".
    #[serde(default)]
    pub name: String,
    /// `queued`, `in_progress`, `completed`, or a word that GitHub adds some day.
    #[serde(default)]
    pub status: String,
    /// `success`, `failure`, `cancelled`, `skipped`, ...; `None` while it runs.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// Its page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// The runner that it runs on.
    #[serde(default)]
    pub runner_name: Option<String>,
}

impl Job {
    /// Returns whether GitHub says that it is over.
    pub fn completed(&self) -> bool {
        self.status == "completed"
    }
}

#[derive(Deserialize)]
struct JobsAnswer {
    #[serde(default)]
    jobs: Vec<Job>,
}

impl GitHub {
    /// Returns the jobs of one attempt of a run. Needs `actions: read`.
    pub async fn jobs(&self, run: u64, attempt: u32) -> Result<Vec<Job>, GitHubError> {
        let route = format!("/actions/runs/{run}/attempts/{attempt}/jobs?per_page=100");
        self.get_all("list_jobs", &route, |page: JobsAnswer| page.jobs).await
    }
}
