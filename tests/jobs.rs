//! The report job: receipts say what, jobs say whether; whatever happened to them reaches the pull request, and the required check fails.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::binary::{code, output, told};
use crate::support::forge::{Forge, REPORTER, REPOSITORY, receipt};
use crate::support::product::Product;

/// A pull request of the repository itself, and its run 7 with these jobs.
struct Bench {
    forge: Forge,
    sha: String,
    number: i64,
}

impl Bench {
    fn new(jobs: &[(&str, &str)]) -> Self {
        let forge = Forge::new();
        let sha = forge.commit("feature", &[("a", "b")]);
        let number = forge.pull(None, "feature", &sha);
        forge.run(7, "pull_request", "feature", &sha, jobs);
        Self { forge, sha, number }
    }

    fn payload(&self) -> Value {
        json!({"action": "synchronize", "number": self.number, "pull_request": {"number": self.number,
            "head": {"sha": self.sha, "ref": "feature", "repo": {"id": 1, "full_name": REPOSITORY}},
            "base": {"sha": self.forge.main, "ref": "main", "repo": {"id": 1, "full_name": REPOSITORY}}}})
    }

    fn report(&self, more: &[&str]) -> Output {
        let arguments = [&["report", "--product", "shop"], more].concat();
        output(self.forge.job((7, "pull_request"), &self.payload(), REPORTER, &arguments))
    }

    fn gates(&self) -> String {
        self.forge.file("gates.json", &receipt("shop", "finished", &[("unit", "passed", &[])]).to_string())
    }

    fn status(&self) -> Option<String> {
        self.forge.status(&self.sha, "cutover/shop/gates")
    }

    fn comment(&self) -> String {
        self.forge.comments(self.number).concat()
    }
}

#[test]
fn it_is_pending_first_and_then_what_the_jobs_say() {
    let bench = Bench::new(&[("gates", "success"), ("build", "skipped"), ("release", "skipped"), ("cutover", "")]);
    let pending = bench.report(&["--pending"]);
    assert_eq!(code(&pending), 0, "{}", told(&pending));
    assert_eq!(bench.status().as_deref(), Some("pending"));
    assert!(bench.comment().contains("under way"), "{}", bench.comment());
    let gates = bench.gates();
    let report = bench.report(&["--from", &gates, "--required", "gates"]);
    assert_eq!(code(&report), 0, "{}", told(&report));
    assert_eq!(bench.status().as_deref(), Some("success"));
    assert!(bench.comment().contains("1 gate passed") && !bench.comment().contains("under way"), "{}", bench.comment());
    assert_eq!(bench.forge.comments(bench.number).len(), 1);
}

#[test]
fn a_job_that_did_not_do_what_it_was_to_do_reaches_the_pull_request() {
    for (jobs, said, state, exit) in [
        // It died and left nothing; the receipt that is there tells of success.
        (&[("gates", "success"), ("build", "failure")][..], "the job build failed", "failure", 1),
        (&[("gates", "timed_out")], "ran out of time", "failure", 1),
        (&[("gates", "no_runner")], "failed without a runner", "failure", 1),
        (&[("gates", "startup_failure")], "never began", "failure", 1),
        (&[("gates", "a_word_of_tomorrow")], "the job gates failed", "failure", 1),
        // For GitHub a job that was skipped is a success.
        (&[("gates", "skipped"), ("begin", "success")], "was skipped", "failure", 1),
        (&[("begin", "success")], "there is no job gates", "failure", 1),
        (&[("gates", "success"), ("gates (linux)", "skipped")], "was skipped", "failure", 1),
        (&[("gates", "cancelled")], "cancelled", "error", 130),
    ] {
        let bench = Bench::new(&[jobs, &[("cutover", "")]].concat());
        let gates = bench.gates();
        let report = bench.report(&["--from", &gates, "--required", "gates"]);
        assert_eq!(code(&report), exit, "{jobs:?}: {}", told(&report));
        assert_eq!(bench.status().as_deref(), Some(state), "{jobs:?}");
        assert!(bench.comment().contains(said), "{jobs:?}: {}", bench.comment());
        assert!(bench.forge.summary().contains(said), "{jobs:?}: {}", bench.forge.summary());
    }
}

#[test]
fn nothing_but_skipped_jobs_proves_nothing() {
    let bench = Bench::new(&[("gates", "skipped"), ("build", "skipped"), ("cutover", "")]);
    let report = bench.report(&[]);
    assert_eq!(code(&report), 1, "{}", told(&report));
    assert!(bench.comment().contains("no job passed"), "{}", bench.comment());
}

#[test]
fn a_job_that_nobody_waited_for_is_no_success() {
    let bench = Bench::new(&[("gates", "success"), ("other", ""), ("cutover", "")]);
    let report = bench.report(&[]);
    assert_eq!(code(&report), 1, "{}", told(&report));
    assert!(bench.comment().contains("the job other is not over"), "{}", bench.comment());
}

#[test]
fn a_failure_in_a_receipt_stays_whatever_the_jobs_say() {
    let bench = Bench::new(&[("gates", "success"), ("cutover", "")]);
    let mut failed = receipt("shop", "gates_failed", &[("unit", "failed", &["assertion failed"])]);
    failed["exit_code"] = json!(1);
    let gates = bench.forge.file("gates.json", &failed.to_string());
    assert_eq!(code(&bench.report(&["--from", &gates])), 1);
    assert!(bench.comment().contains("assertion failed"), "{}", bench.comment());
    // And the other way round: both failed, both are told.
    let bench = Bench::new(&[("gates", "failure"), ("preview", "failure"), ("cutover", "")]);
    let gates = bench.forge.file("gates.json", &failed.to_string());
    assert_eq!(code(&bench.report(&["--from", &gates])), 1);
    assert!(bench.comment().contains("the job preview failed"), "{}", bench.comment());
}

#[test]
fn without_receipts_and_without_a_manifest_the_jobs_still_speak() {
    let bench = Bench::new(&[("gates", "success"), ("cutover", "")]);
    let other = bench.forge.file("other.json", &receipt("bank", "finished", &[("theirs", "passed", &[])]).to_string());
    bench.forge.file("cutover.yml", "no: [manifest");
    let report = bench.report(&["--from", &other, "--from", "nowhere.json", "--required", "gates"]);
    assert_eq!(code(&report), 0, "{}", told(&report));
    let comment = bench.comment();
    assert!(comment.contains("1 job passed") && comment.contains("another product") && !comment.contains("theirs"), "{comment}");
    let unnamed = output(bench.forge.job((7, "pull_request"), &bench.payload(), REPORTER, &["report"]));
    assert!(code(&unnamed) == 2 && told(&unnamed).contains("--product NAME"), "{}", told(&unnamed));
}

#[test]
fn what_github_does_not_say_is_no_success() {
    let bench = Bench::new(&[("gates", "success"), ("cutover", "")]);
    let gates = bench.gates();
    let mut unknown = bench.forge.job((8, "pull_request"), &bench.payload(), REPORTER, &["report", "--product", "shop", "--from", &gates]);
    let report = output(unknown);
    assert_eq!(code(&report), 1, "no run 8: {}", told(&report));
    assert!(bench.comment().contains("actions: read"), "{}", bench.comment());
    unknown = bench.forge.job((7, "pull_request"), &bench.payload(), REPORTER, &["report", "--product", "shop", "--from", &gates]);
    unknown.env_remove("GITHUB_TOKEN");
    assert_eq!(code(&output(unknown)), 1);
}

#[test]
fn what_passed_in_an_earlier_attempt_counts_and_what_failed_there_does_not() {
    let bench = Bench::new(&[("gates", "success"), ("build", "failure"), ("cutover", "failure")]);
    bench.forge.github.run_again(REPOSITORY, 7);
    // "Re-run failed jobs": the attempt lists only those.
    bench.forge.jobs(7, 2, &[("build", "success"), ("cutover", "")]);
    let mut report =
        bench.forge.job((7, "pull_request"), &bench.payload(), REPORTER, &["report", "--product", "shop", "--required", "gates"]);
    report.env("GITHUB_RUN_ATTEMPT", "2");
    let report = output(report);
    assert_eq!(code(&report), 0, "{}", told(&report));
    assert_eq!(bench.status().as_deref(), Some("success"));
}

#[test]
fn a_release_whose_job_died_is_told_as_not_known_and_one_whose_job_ended_well_as_it_is() {
    for (release, live, exit) in [("failure", "Not known from here", 1), ("success", "the job that released it did what it was to do", 1)] {
        let forge = Forge::new();
        forge.run(7, "push", "main", &forge.main, &[("gates", "success"), ("release", release), ("smoke", "failure"), ("cutover", "")]);
        let mut told_release = receipt("shop", "finished", &[]);
        told_release["release"] = json!("r-20260102-030405-abcdef");
        told_release["environment"] = json!("production");
        told_release["serving"] = json!("after");
        let file = forge.file("release.json", &told_release.to_string());
        let report = output(forge.job((7, "push"), &json!({}), REPORTER, &["report", "--product", "shop", "--from", &file]));
        assert_eq!(code(&report), exit, "{}", told(&report));
        assert!(forge.summary().contains(live), "{release}: {}", forge.summary());
        assert_eq!(forge.status(&forge.main, "cutover/shop/production").as_deref(), Some("failure"));
    }
}

#[test]
fn the_merge_queue_runs_gates_only_and_hears_of_them_on_its_own_commit() {
    let forge = Forge::new();
    let product = Product::new();
    let group = forge.commit("gh-readonly-queue/main/pr-1", &[("a", "b")]);
    forge.run(7, "merge_group", "gh-readonly-queue/main/pr-1", &group, &[("gates", "success"), ("cutover", "")]);
    let payload = json!({"action": "checks_requested", "merge_group": {"head_sha": group, "base_ref": "refs/heads/main"}});
    let job = |arguments: &[&str]| {
        let mut command = forge.job((7, "merge_group"), &payload, REPORTER, arguments);
        command.current_dir(product.path()).env("GITHUB_REF", "refs/heads/gh-readonly-queue/main/pr-1").env("GITHUB_SHA", &group);
        output(command)
    };
    let receipt = forge.folder.path().join("gates.json");
    let receipt = receipt.to_str().unwrap();
    let ran = job(&["run", "--receipt", receipt]);
    assert_eq!(code(&ran), 0, "{}", told(&ran));
    assert!(told(&ran).contains("the merge queue asks for gates only"), "{}", told(&ran));
    assert_eq!(forge.status(&group, "cutover/small/gates").as_deref(), Some("success"));
    let released = job(&["release", "production"]);
    assert!(!told(&released).contains("is under way") && forge.github.deployments(REPOSITORY).is_empty(), "{}", told(&released));
    let report = job(&["report", "--from", receipt, "--required", "gates"]);
    assert_eq!(code(&report), 0, "{}", told(&report));
    product.replace("cutover.yml", "unit: \"true\"", "unit: \"false\"");
    assert_eq!(code(&job(&["run"])), 1);
    assert_eq!(forge.status(&group, "cutover/small/gates").as_deref(), Some("failure"));
}
