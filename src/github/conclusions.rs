//! What the jobs of a run come to together: GitHub's own word, which no receipt outdoes.

use super::Job;

/// The jobs of a run, by how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conclusions {
    /// Those that did what they were to do.
    pub passed: Vec<Job>,
    /// Those that a condition, or another job's end, left out.
    pub skipped: Vec<Job>,
    /// Those that failed, ran out of time or never got a runner, or ended in a word that is not known.
    pub failed: Vec<Job>,
    /// Those that were cancelled.
    pub cancelled: Vec<Job>,
    /// Those that are not over.
    pub unfinished: Vec<Job>,
    /// What had to pass and did not, though nothing of it failed: it was skipped, or there is no such job. In words.
    pub missing: Vec<String>,
}

impl Conclusions {
    /// Returns what `jobs` come to. Every job that is called by a name of `required` must have passed, and there must be one: for GitHub a job that
    /// is skipped counts as a success (<https://docs.github.com/pull-requests/collaborating-with-pull-requests/collaborating-on-repositories-with-code-quality-features/troubleshooting-required-status-checks>).
    pub fn of(jobs: Vec<Job>, required: &[String]) -> Self {
        let mut all = Self::default();
        for name in required {
            let called: Vec<&Job> = jobs.iter().filter(|job| job.is_called(name)).collect();
            if called.is_empty() {
                all.missing.push(format!("there is no job {name}, which must pass"));
            } else if called.iter().any(|job| job.conclusion.as_deref() == Some("skipped")) {
                all.missing.push(format!("the job {name}, which must pass, was skipped"));
            }
        }
        for job in jobs {
            let which = match job.conclusion.as_deref() {
                _ if !job.completed() => &mut all.unfinished,
                Some("success" | "neutral") => &mut all.passed,
                Some("skipped") => &mut all.skipped,
                Some("cancelled") => &mut all.cancelled,
                _ => &mut all.failed,
            };
            which.push(job);
        }
        if all.passed.is_empty() && all.trouble().is_empty() {
            all.missing.push("no job passed".to_owned());
        }
        all
    }

    /// Returns whether every job ended as it should have.
    pub fn are_good(&self) -> bool {
        self.trouble().is_empty()
    }

    /// Returns whether nothing went wrong but that jobs were cancelled.
    pub fn only_cancelled(&self) -> bool {
        !self.cancelled.is_empty() && self.failed.is_empty() && self.unfinished.is_empty()
    }

    /// Returns what did not end as it should have, a sentence's part each; names of jobs are foreign text.
    pub fn trouble(&self) -> Vec<String> {
        let job = |job: &Job, how: &str| format!("the job {} {how}", job.name);
        let failed = self.failed.iter().map(|it| match it.conclusion.as_deref() {
            Some("timed_out") => job(it, "ran out of time"),
            Some("action_required") => job(it, "waits for an approval"),
            Some("startup_failure" | "stale") => job(it, "never began"),
            _ if it.runner_name.as_deref().unwrap_or_default().is_empty() => job(it, "failed without a runner"),
            _ => job(it, "failed"),
        });
        let cancelled = self.cancelled.iter().map(|it| job(it, "was cancelled"));
        let unfinished = self.unfinished.iter().map(|it| job(it, "is not over"));
        failed.chain(cancelled).chain(unfinished).chain(self.missing.iter().cloned()).collect()
    }
}
