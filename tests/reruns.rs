//! Old code is never released by itself: by a run that is run again, by a clone without history, after a person's way back.

use std::process::{Command, Output};
use std::sync::Arc;

use cutover::clock::Clock;
use cutover::github::{GitHub, GitSignature, NewCommit, Repository};
use cutover::http::{Network, Transport};
use cutover::id::Chance;
use serde_json::{Value, json};

use crate::support::binary::{Sandbox, WEB, code, output, told};

/// A sandbox whose embedded GitHub knows a line of commits, oldest first; no clone has any history of it.
struct Line {
    sandbox: Sandbox,
    commits: Vec<String>,
}

impl Line {
    fn new(length: usize) -> Self {
        let sandbox = Sandbox::begin();
        let variable = |name: &str| sandbox.variables.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let commits = runtime.block_on(async {
            let wire = Network::new(Vec::new()).unwrap();
            let transport = Transport::new(Arc::new(wire), Clock::system(), Arc::new(Chance::seeded(7)));
            let base = url::Url::parse(&variable("GITHUB_API_URL")).unwrap();
            let token = variable("GITHUB_TOKEN").as_str().into();
            let github = GitHub::new(transport, base, token, Repository::parse("rehearsal/product").unwrap());
            let tree = github.create_tree(&[("a", "b")]).await.unwrap();
            let mut commits: Vec<String> = Vec::new();
            for number in 0..length {
                let parents = commits.last().into_iter().cloned().collect();
                let who = GitSignature { name: "Alma", email: "alma@example.com", date: "2026-01-02T03:04:05Z".parse().unwrap() };
                let new =
                    NewCommit { message: format!("commit {number}"), tree: tree.clone(), parents, author: who.clone(), committer: who };
                commits.push(github.create_commit(&new).await.unwrap().sha);
            }
            commits
        });
        Self { sandbox, commits }
    }

    /// Runs a command as an attempt of a run for a commit, with the event that started it.
    fn job(&self, (run, attempt): (u32, u32), event: &str, inputs: &Value, commit: &str, arguments: &[&str]) -> Command {
        let payload = self.sandbox.state.path().join("event.json");
        std::fs::write(&payload, json!({"ref": "refs/heads/main", "inputs": inputs}).to_string()).unwrap();
        let mut command = self.sandbox.command(arguments);
        let pairs = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_EVENT_PATH", payload.to_str().unwrap()),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", commit),
            ("GITHUB_REPOSITORY", "rehearsal/product"),
            ("GITHUB_JOB", "release"),
            ("GITHUB_ACTOR", "alma"),
        ];
        command.envs(self.sandbox.variables.iter().cloned()).envs(pairs).env("CUTOVER_STATE_DIR", self.sandbox.state.path().join("state"));
        command.env("GITHUB_RUN_ID", run.to_string()).env("GITHUB_RUN_ATTEMPT", attempt.to_string());
        command
    }

    /// Runs a push of a commit with this content of the front end.
    fn push(&self, run: (u32, u32), commit: usize, more: &[&str]) -> Output {
        let content = format!("<!doctype html><p>{commit}\n");
        std::fs::write(self.sandbox.product.path().join("web/index.html"), content).unwrap();
        output(self.job(run, "push", &Value::Null, &self.commits[commit], &[&WEB[..], more].concat()))
    }

    fn released(&self, run: u32, commit: usize) {
        let released = self.push((run, 1), commit, &[]);
        assert_eq!(code(&released), 0, "{}", told(&released));
    }

    fn serving(&self) -> Value {
        let history = output(self.job((99, 1), "push", &Value::Null, &self.commits[0], &["history", "production", "--format", "json"]));
        serde_json::from_slice::<Value>(&history.stdout).unwrap_or_else(|error| panic!("{error}: {}", told(&history)))["events"][0].clone()
    }
}

fn refused(output: &Output, because: &str) {
    assert_eq!(code(output), 5, "{}", told(output));
    assert!(told(output).contains(because), "{}", told(output));
}

#[test]
fn an_old_run_that_is_run_again_releases_nothing_unless_that_is_asked_for() {
    let line = Line::new(3);
    line.released(1, 0);
    line.released(2, 1);
    refused(&line.push((1, 2), 0, &[]), "was released as");
    let asked = line.push((1, 2), 0, &["--older"]);
    assert_eq!(code(&asked), 0, "{}", told(&asked));
}

#[test]
fn a_clone_without_history_asks_github_which_commit_is_older() {
    let line = Line::new(4);
    line.released(2, 2);
    // It never came to a release of its own, so the journal does not know it.
    refused(&line.push((1, 2), 1, &[]), "is older than");
    refused(&line.push((1, 1), 0, &[]), "is older than");
    line.released(3, 3);
}

#[test]
fn what_a_person_has_taken_back_comes_back_by_a_person_only() {
    let line = Line::new(3);
    line.released(1, 0);
    line.released(2, 1);
    let back = output(line.job((3, 1), "workflow_dispatch", &json!({"action": "rollback"}), &line.commits[1], &["rollback", "production"]));
    assert_eq!(code(&back), 0, "{}", told(&back));
    let again = line.push((2, 2), 1, &[]);
    refused(&again, "has taken its place since");
    assert!(told(&again).contains("by alma") && told(&again).contains("--older"), "{}", told(&again));
    // What comes after it is news.
    line.released(4, 2);
}

#[test]
fn a_release_that_failed_may_be_tried_again() {
    let line = Line::new(2);
    line.released(1, 0);
    let (good, bad) = ("after: api, verify: [{ get: / }]", "after: api, verify: [{ get: /not-there }]");
    line.sandbox.product.replace("cutover.yml", good, bad);
    let failed = line.push((2, 1), 1, &[]);
    assert_eq!(code(&failed), 3, "{}", told(&failed));
    line.sandbox.product.replace("cutover.yml", bad, good);
    let again = line.push((2, 2), 1, &[]);
    assert_eq!(code(&again), 0, "{}", told(&again));
}

#[test]
fn where_nobody_can_tell_a_new_run_is_told_and_an_old_one_refused() {
    let line = Line::new(1);
    line.released(1, 0);
    let strange = |run| {
        std::fs::write(line.sandbox.product.path().join("web/index.html"), "<!doctype html><p>strange\n").unwrap();
        output(line.job(run, "push", &Value::Null, &"d".repeat(40), &WEB))
    };
    refused(&strange((2, 2)), "attempt 2 of the run 2");
    let first = strange((2, 1));
    assert!(code(&first) == 0 && told(&first).contains("Nobody can tell"), "{}", told(&first));
}

#[test]
fn a_dispatch_of_long_ago_that_is_run_again_moves_nothing() {
    let line = Line::new(2);
    line.released(1, 0);
    line.released(2, 1);
    let inputs = json!({"action": "rollback", "environment": "production", "reason": "it is slow"});
    let again = output(line.job((3, 2), "workflow_dispatch", &inputs, &line.commits[1], &["dispatch"]));
    refused(&again, "start the workflow anew");
    let first = output(line.job((4, 1), "workflow_dispatch", &inputs, &line.commits[1], &["dispatch"]));
    assert_eq!(code(&first), 0, "{}", told(&first));
    let reason = line.serving()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("rollback to r-") && reason.ends_with("by alma: it is slow"), "{reason}");
}

#[test]
fn a_dispatch_releases_a_commit_from_what_was_shipped_and_an_older_one_only_with_older() {
    let line = Line::new(3);
    line.released(1, 0);
    line.released(2, 1);
    let dispatch = |inputs: Value| output(line.job((3, 1), "workflow_dispatch", &inputs, &line.commits[1], &["dispatch"]));
    let of = |commit: usize| json!({"action": "release", "environment": "production", "commit": line.commits[commit]});
    refused(&dispatch(of(0)), "is older than");
    let mut older = of(0);
    older["older"] = json!("true");
    older["dry_run"] = json!("true");
    let dry = dispatch(older.clone());
    assert!(code(&dry) == 0 && told(&dry).contains("Dry run: release of what r-"), "{}", told(&dry));
    assert_eq!(line.serving()["commit"], json!(line.commits[1]));
    older["dry_run"] = json!("false");
    let released = dispatch(older);
    assert_eq!(code(&released), 0, "{}", told(&released));
    assert_eq!(line.serving()["commit"], json!(line.commits[0]));
    // What is not on the branch, and what nobody has checked out.
    refused(&dispatch(of(2)), "is not on main");
    let unknown = json!({"action": "release", "environment": "production", "commit": "d".repeat(40)});
    refused(&dispatch(unknown), "is not on main");
}
