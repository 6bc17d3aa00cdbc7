//! The jobs of a workflow run (<https://docs.github.com/rest/actions/workflow-jobs>).

use serde::Deserialize;

use super::{GitHub, GitHubError};

/// A job of a workflow run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: u64,
    /// The attempt of the run that it belongs to.
    #[serde(default)]
    pub run_attempt: u32,
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

    /// Returns whether it is a later attempt's job of the same name.
    fn replaces(&self, earlier: &Self) -> bool {
        self.name == earlier.name && self.run_attempt > earlier.run_attempt
    }

    /// Returns whether it is the job that a workflow file calls `name`, by its key or by the name it is shown by: a leg of a matrix is
    /// "name (a, b)", a job of a called workflow "caller / name".
    pub fn is_called(&self, name: &str) -> bool {
        let last = self.name.rsplit(" / ").next().unwrap_or(&self.name);
        self.name == name || last == name || last.strip_prefix(name).is_some_and(|rest| rest.starts_with(" ("))
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

    /// Returns what the jobs of a run have come to by one of its attempts: of each name the newest, since an attempt that runs only the failed
    /// jobs again may list only those (<https://github.com/r-universe-org/help/issues/607>). Needs `actions: read`.
    pub async fn newest_jobs(&self, run: u64, attempt: u32) -> Result<Vec<Job>, GitHubError> {
        let route = format!("/actions/runs/{run}/jobs?filter=all&per_page=100");
        let mut jobs = self.get_all("list_jobs_of_run", &route, |page: JobsAnswer| page.jobs).await?;
        jobs.retain(|job| job.run_attempt <= attempt);
        let newest: Vec<Job> = jobs.iter().filter(|job| jobs.iter().all(|other| !other.replaces(job))).cloned().collect();
        Ok(newest)
    }
}
