//! A GitHub that listens on this machine, with a repository, pull requests, runs and jobs; and the binary as a job of a workflow there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::github::{CommitSeed, GitHub, JobSeed, Level, PullSeed, RepositorySeed, RunSeed, Token};
use cutover::id::Chance;
use serde_json::{Value, json};

use super::binary::{cutover, output};

/// The repository.
pub(crate) const REPOSITORY: &str = "acme/shop";
/// May report: statuses and pull requests.
pub(crate) const REPORTER: &str = "ghs_mayReport00000000000000000000000000";
/// May read: what a fork's run gets.
pub(crate) const READER: &str = "ghs_mayRead0000000000000000000000000000";

/// The surroundings; gone when dropped.
pub(crate) struct Forge {
    _runtime: tokio::runtime::Runtime,
    _world: World,
    pub(crate) github: GitHub,
    pub(crate) base: String,
    pub(crate) folder: tempfile::TempDir,
    /// The head of `main`.
    pub(crate) main: String,
}

impl Forge {
    /// Begins with one commit on `main`.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = World::in_process(Clock::system(), Chance::seeded(7));
        let github = GitHub::new(world.ground());
        github.add_to(&world);
        let addresses = runtime.block_on(world.listen(&BTreeMap::new())).unwrap();
        let base = addresses.base(cutover::embedded::github::AUTHORITY).unwrap();
        github.seed_repository(&RepositorySeed::new(REPOSITORY));
        let read = [("contents", Level::Read), ("actions", Level::Read), ("pull_requests", Level::Read)];
        github.seed_token(READER, Token::of_job(&read));
        let write = [("statuses", Level::Write), ("pull_requests", Level::Write), ("deployments", Level::Write)];
        github.seed_token(REPORTER, Token::of_job(&[&read[..2], &write[..]].concat()));
        let mut forge = Self { _runtime: runtime, _world: world, github, base, folder: tempfile::tempdir().unwrap(), main: String::new() };
        forge.main = forge.commit("main", &[("cutover.yml", "version: 1\n")]);
        forge
    }

    /// Adds a commit on a branch, above the head of that branch or of `main`.
    pub(crate) fn commit(&self, branch: &str, files: &[(&str, &str)]) -> String {
        let known = self.github.head(REPOSITORY, &format!("refs/heads/{branch}"));
        let parents = if known.is_some() || self.main.is_empty() { None } else { Some(vec![self.main.clone()]) };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some(text.as_bytes().to_vec()))).collect();
        let seed = CommitSeed { message: format!("a commit on {branch}"), parents, files, ..CommitSeed::default() };
        self.github.seed_commit(REPOSITORY, branch, seed).unwrap()
    }

    /// Opens a pull request of `fork` (or of the repository itself) with this head.
    pub(crate) fn pull(&self, fork: Option<&str>, branch: &str, sha: &str) -> i64 {
        self.pull_into("main", fork, branch, sha)
    }

    /// Opens one into another branch.
    pub(crate) fn pull_into(&self, base: &str, fork: Option<&str>, branch: &str, sha: &str) -> i64 {
        let seed = PullSeed {
            title: "A change".to_owned(),
            author: fork.unwrap_or("alma").to_owned(),
            head_branch: branch.to_owned(),
            head_sha: Some(sha.to_owned()),
            fork: fork.map(str::to_owned),
            base_branch: base.to_owned(),
            ..PullSeed::default()
        };
        self.github.seed_pull(REPOSITORY, seed).unwrap()
    }

    /// Adds a run of `cutover.yml` with jobs by name and conclusion; a job without one is in progress.
    pub(crate) fn run(&self, id: i64, event: &str, branch: &str, sha: &str, jobs: &[(&str, &str)]) {
        let (workflow, branch) = ("cutover.yml".to_owned(), branch.to_owned());
        self.github.seed_run(REPOSITORY, RunSeed { id, workflow, event: event.to_owned(), branch, sha: sha.to_owned(), attempt: 1 });
        self.jobs(id, 1, jobs);
    }

    /// Adds jobs to an attempt of a run.
    pub(crate) fn jobs(&self, run: i64, attempt: i64, jobs: &[(&str, &str)]) {
        for (number, (name, conclusion)) in (0..).zip(jobs) {
            let id = run * 1000 + attempt * 100 + number;
            let runner = (*conclusion != "no_runner").then(|| format!("GitHub Actions {id}"));
            self.github.seed_job(REPOSITORY, JobSeed { id, run, attempt, name: (*name).to_owned(), runner });
            match *conclusion {
                "" => {}
                "no_runner" => self.github.end_job(REPOSITORY, id, "failure"),
                other => self.github.end_job(REPOSITORY, id, other),
            }
        }
    }

    /// Returns a command as a job of a run there.
    pub(crate) fn job(&self, (run, event): (i64, &str), payload: &Value, token: &str, arguments: &[&str]) -> Command {
        let file = self.folder.path().join(format!("event-{run}.json"));
        std::fs::write(&file, payload.to_string()).unwrap();
        let mut command = cutover(arguments);
        let pairs = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_EVENT_PATH", file.to_str().unwrap()),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", &self.main),
            ("GITHUB_REPOSITORY", REPOSITORY),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_JOB", "report"),
            ("GITHUB_ACTOR", "alma"),
            ("GITHUB_API_URL", &self.base),
            ("GITHUB_TOKEN", token),
        ];
        command.current_dir(self.folder.path()).envs(pairs).env("GITHUB_RUN_ID", run.to_string());
        command.env("GITHUB_STEP_SUMMARY", self.folder.path().join("summary.md"));
        command
    }

    /// Runs `relay` for a run that has ended.
    pub(crate) fn relay(&self, run: i64, more: &[&str]) -> Output {
        let payload = json!({"action": "completed", "repository": {"id": 1}, "workflow_run": {"id": run, "run_attempt": 1}});
        output(self.job((9000 + run, "workflow_run"), &payload, REPORTER, &[&["relay", "--product", "shop"], more].concat()))
    }

    /// Returns the bodies of a pull request's comments.
    pub(crate) fn comments(&self, number: i64) -> Vec<String> {
        self.github.comments(REPOSITORY, number).into_iter().map(|comment| comment.body).collect()
    }

    /// Returns the newest state of a context on a commit.
    pub(crate) fn status(&self, sha: &str, context: &str) -> Option<String> {
        let statuses = self.github.statuses(REPOSITORY, sha);
        statuses.into_iter().rev().find(|(known, ..)| known == context).map(|(_, state, _)| state)
    }

    /// Returns what was written to the summary.
    pub(crate) fn summary(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("summary.md")).unwrap_or_default()
    }

    /// Writes a file below the folder and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Returns a receipt of gates as a job leaves it.
pub(crate) fn receipt(product: &str, outcome: &str, gates: &[(&str, &str, &[&str])]) -> Value {
    let gates: Vec<Value> = gates
        .iter()
        .map(|(name, outcome, lines)| json!({"name": name, "outcome": outcome, "words": "", "duration_ms": 1200, "attempts": 1, "last_lines": lines}))
        .collect();
    json!({
        "version": 1, "product": product, "release": null, "environment": null, "commit": "c".repeat(40), "outcome": outcome, "exit_code": 0,
        "serving": "before", "skew_ms": null, "gates": gates, "targets": [], "phases": [], "requests": {},
    })
}
