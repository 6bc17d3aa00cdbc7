//! What is there before the first request: tokens, repositories, commits, pull requests, runs and jobs.

use std::collections::BTreeMap;

use super::GitHub;
use super::caller::Token;
use super::object::{Commit, Entry, Object, Signature};
use super::repository::{Flat, Git};
use super::state::{Job, Pull, Repository, Run, RunHead};

/// A repository to begin with.
#[derive(Debug, Clone)]
pub struct RepositorySeed {
    /// `owner/name`.
    pub full_name: String,
    /// The default branch.
    pub default_branch: String,
    /// Whether only tokens that reach it may see it.
    pub private: bool,
}

impl RepositorySeed {
    /// Returns a public repository with `main` as its default branch.
    pub fn new(full_name: &str) -> Self {
        Self { full_name: full_name.to_owned(), default_branch: "main".to_owned(), private: false }
    }
}

/// A commit to begin with.
#[derive(Debug, Clone, Default)]
pub struct CommitSeed {
    /// The name that a real repository gave it; `None` to compute it as git does.
    pub sha: Option<String>,
    /// The message.
    pub message: String,
    /// The parents; `None` for the branch's head.
    pub parents: Option<Vec<String>>,
    /// The files that differ from the first parent: content by path, `None` for a file that goes.
    pub files: BTreeMap<String, Option<Vec<u8>>>,
}

/// A pull request to begin with.
#[derive(Debug, Clone, Default)]
pub struct PullSeed {
    /// Its title.
    pub title: String,
    /// The account that opened it.
    pub author: String,
    /// Its branch.
    pub head_branch: String,
    /// Its newest commit, which must be known; `None` for the branch's head.
    pub head_sha: Option<String>,
    /// The owner of the fork that the branch lives in.
    pub fork: Option<String>,
    /// The branch that it goes into; empty for the default branch.
    pub base_branch: String,
    /// The commit by which it was merged.
    pub merge_commit: Option<String>,
    /// The number; `None` for the next one.
    pub number: Option<i64>,
}

/// A workflow run to begin with.
#[derive(Debug, Clone)]
pub struct RunSeed {
    /// Its id.
    pub id: i64,
    /// The file of its workflow.
    pub workflow: String,
    /// The event that started it.
    pub event: String,
    /// Its branch.
    pub branch: String,
    /// Its commit.
    pub sha: String,
    /// Its attempt, from 1.
    pub attempt: i64,
}

/// A job to begin with.
#[derive(Debug, Clone)]
pub struct JobSeed {
    /// Its id, which is also its check run's.
    pub id: i64,
    /// Its run.
    pub run: i64,
    /// The attempt of the run.
    pub attempt: i64,
    /// Its name as shown.
    pub name: String,
    /// The runner that has it.
    pub runner: Option<String>,
}

impl GitHub {
    /// Makes `text` a token.
    pub fn seed_token(&self, text: &str, token: Token) {
        self.state().tokens.insert(text.to_owned(), token);
    }

    /// Adds an empty repository.
    pub fn seed_repository(&self, seed: &RepositorySeed) {
        let created = self.now();
        let mut state = self.state();
        let id = state.id();
        let (owner, name) = seed.full_name.split_once('/').unwrap_or((&seed.full_name, ""));
        let repository = Repository {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            private: seed.private,
            default_branch: seed.default_branch.clone(),
            created,
            git: Git::default(),
            pulls: BTreeMap::new(),
            locked: Vec::new(),
            comments: BTreeMap::new(),
            statuses: Vec::new(),
            check_runs: BTreeMap::new(),
            deployments: BTreeMap::new(),
            environments: BTreeMap::new(),
            runs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            workflows: Vec::new(),
            dispatches: Vec::new(),
            pushed: BTreeMap::new(),
        };
        state.repositories.insert(seed.full_name.clone(), repository);
    }

    /// Adds a commit and makes it the head of `branch`, which need not exist; returns its name, or `None` for an unknown repository.
    pub fn seed_commit(&self, repository: &str, branch: &str, seed: CommitSeed) -> Option<String> {
        let now = self.now();
        let mut state = self.state();
        let repository = state.repositories.get_mut(repository)?;
        let full = format!("refs/heads/{branch}");
        let parents = seed.parents.unwrap_or_else(|| repository.git.head(&full).map(str::to_owned).into_iter().collect());
        let mut files: Flat = parents.first().map(|parent| repository.git.files(parent)).unwrap_or_default();
        for (path, content) in seed.files {
            match content {
                Some(content) => {
                    let sha = repository.git.add(Object::Blob(content));
                    files.insert(path, Entry { mode: "100644".to_owned(), sha });
                }
                None => {
                    files.remove(&path);
                }
            }
        }
        let tree = repository.git.write_tree(&files);
        let made = commit(tree, parents, &seed.message, now);
        let sha = match seed.sha {
            Some(sha) => {
                repository.git.add_as(&sha, made);
                sha
            }
            None => repository.git.add(Object::Commit(made)),
        };
        // Readable at once, whatever the lag of refs; but the commit itself is news.
        repository.git.set(&full, Some(&sha), now - 3_600_000);
        repository.pushed.insert(sha.clone(), now);
        Some(sha)
    }

    /// Adds a pull request; returns its number, or `None` when repository or head are unknown.
    pub fn seed_pull(&self, repository: &str, seed: PullSeed) -> Option<i64> {
        let now = self.now();
        let mut state = self.state();
        let id = state.id();
        let repository = state.repositories.get_mut(repository)?;
        let base_branch = if seed.base_branch.is_empty() { repository.default_branch.clone() } else { seed.base_branch };
        let head_sha = seed.head_sha.or_else(|| repository.git.resolve(&seed.head_branch))?;
        let base = repository.git.head(&format!("refs/heads/{base_branch}")).map(str::to_owned);
        // Where it was merged by a merge commit, the base stood at that commit's first parent.
        let before_merge = seed.merge_commit.as_deref().and_then(|sha| repository.git.commit(sha)?.parents.first().cloned());
        let number = seed.number.unwrap_or_else(|| repository.pulls.keys().max().copied().unwrap_or(0) + 1);
        let merged_at = seed.merge_commit.as_ref().map(|_| now);
        let pull = Pull {
            id,
            number,
            title: seed.title,
            author: seed.author,
            head_branch: seed.head_branch,
            head_sha,
            fork: seed.fork,
            base_branch,
            base_sha: before_merge.or(base).unwrap_or_default(),
            merge_commit: seed.merge_commit,
            merged_at,
            closed_at: merged_at,
            created: now,
        };
        repository.pulls.insert(number, pull);
        Some(number)
    }

    /// Closes a pull request without merging it, or opens it again.
    pub fn close_pull(&self, repository: &str, number: i64, closed: bool) {
        let now = self.now();
        if let Some(pull) = self.state().repositories.get_mut(repository).and_then(|repository| repository.pulls.get_mut(&number)) {
            pull.closed_at = closed.then_some(now);
        }
    }

    /// Makes a commit the newest of a pull request.
    pub fn push_to_pull(&self, repository: &str, number: i64, sha: &str) {
        if let Some(pull) = self.state().repositories.get_mut(repository).and_then(|repository| repository.pulls.get_mut(&number)) {
            sha.clone_into(&mut pull.head_sha);
        }
    }

    /// Returns a repository's number, and the names of its environments; `None` for an unknown one.
    pub fn repository(&self, full_name: &str) -> Option<(i64, Vec<String>)> {
        let state = self.state();
        let repository = state.repositories.get(full_name)?;
        Some((repository.id, repository.environments.keys().cloned().collect()))
    }

    /// Locks or unlocks the conversation of a pull request.
    pub fn lock_conversation(&self, repository: &str, number: i64, locked: bool) {
        if let Some(repository) = self.state().repositories.get_mut(repository) {
            repository.locked.retain(|known| *known != number);
            repository.locked.extend(locked.then_some(number));
        }
    }

    /// Adds a workflow that can be started by hand: its file's name or its id.
    pub fn seed_workflow(&self, repository: &str, workflow: &str) {
        if let Some(repository) = self.state().repositories.get_mut(repository) {
            repository.workflows.push(workflow.to_owned());
        }
    }

    /// Adds a workflow run that is in progress.
    pub fn seed_run(&self, repository: &str, seed: RunSeed) {
        let created = self.now();
        if let Some(repository) = self.state().repositories.get_mut(repository) {
            let run = Run {
                id: seed.id,
                workflow: seed.workflow,
                event: seed.event,
                branch: seed.branch,
                sha: seed.sha,
                attempt: seed.attempt,
                status: "in_progress".to_owned(),
                conclusion: None,
                created,
                head: RunHead::Own,
                actor: None,
            };
            repository.runs.insert(seed.id, run);
        }
    }

    /// Says that a run's branch is in the fork of `owner`; `None` in one that was deleted.
    pub fn run_of_fork(&self, repository: &str, run: i64, owner: Option<&str>) {
        if let Some(run) = self.state().repositories.get_mut(repository).and_then(|repository| repository.runs.get_mut(&run)) {
            run.head = owner.map_or(RunHead::Gone, |owner| RunHead::Fork(owner.to_owned()));
            run.actor = owner.map(str::to_owned);
        }
    }

    /// Says who caused a run.
    pub fn run_by(&self, repository: &str, run: i64, actor: &str) {
        if let Some(run) = self.state().repositories.get_mut(repository).and_then(|repository| repository.runs.get_mut(&run)) {
            run.actor = Some(actor.to_owned());
        }
    }

    /// Gives a run another status (`queued`, `waiting`, `pending`, `in_progress`): what a concurrency group or an approval does to it.
    pub fn set_run_status(&self, repository: &str, run: i64, status: &str) {
        if let Some(run) = self.state().repositories.get_mut(repository).and_then(|repository| repository.runs.get_mut(&run)) {
            status.clone_into(&mut run.status);
            run.conclusion = None;
        }
    }

    /// Begins the next attempt of a run, as a person does who runs it again; its jobs are yet to come.
    pub fn run_again(&self, repository: &str, run: i64) {
        if let Some(run) = self.state().repositories.get_mut(repository).and_then(|repository| repository.runs.get_mut(&run)) {
            run.attempt += 1;
            "queued".clone_into(&mut run.status);
            run.conclusion = None;
        }
    }

    /// Removes a run with its jobs, as a person does in the list of runs.
    pub fn remove_run(&self, repository: &str, run: i64) {
        if let Some(repository) = self.state().repositories.get_mut(repository) {
            repository.runs.remove(&run);
            repository.jobs.retain(|_, job| job.run != run);
        }
    }

    /// Adds a job that is in progress.
    pub fn seed_job(&self, repository: &str, seed: JobSeed) {
        let created = self.now();
        if let Some(repository) = self.state().repositories.get_mut(repository) {
            let job = Job {
                id: seed.id,
                run: seed.run,
                attempt: seed.attempt,
                name: seed.name,
                status: "in_progress".to_owned(),
                conclusion: None,
                runner: seed.runner,
                created,
                completed: None,
            };
            repository.jobs.insert(seed.id, job);
        }
    }

    /// Ends a job with `conclusion` (`success`, `failure`, `cancelled`, ...), and its run when it was the last.
    pub fn end_job(&self, repository: &str, job: i64, conclusion: &str) {
        let now = self.now();
        let mut state = self.state();
        let Some(repository) = state.repositories.get_mut(repository) else { return };
        let Some(job) = repository.jobs.get_mut(&job) else { return };
        "completed".clone_into(&mut job.status);
        job.conclusion = Some(conclusion.to_owned());
        job.completed = Some(now);
        let id = job.run;
        let ended = repository.jobs.values().filter(|job| job.run == id).all(|job| job.status == "completed");
        if let Some(run) = repository.runs.get_mut(&id).filter(|_| ended) {
            "completed".clone_into(&mut run.status);
            run.conclusion = Some(conclusion.to_owned());
        }
    }
}

/// Returns a commit made by nobody in particular.
pub(super) fn commit(tree: String, parents: Vec<String>, message: &str, now: i64) -> Commit {
    let who = Signature { name: "embedded".to_owned(), email: "embedded@example.com".to_owned(), at: now / 1000 };
    Commit { tree, parents, author: who.clone(), committer: who, message: message.to_owned() }
}
