//! What people type when a release is not enough: hold, history, recover, promote; through the binary, against embedded platforms.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::binary::{Sandbox, WEB, code, output, told, until, wait};
use crate::support::product::Product;

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", told(output)))
}

fn records(sandbox: &Sandbox) -> usize {
    std::fs::read_to_string(sandbox.journal()).unwrap().lines().count()
}

impl Sandbox {
    /// Releases another content of the front end, which must succeed.
    fn release(&self, content: &str) {
        std::fs::write(self.product.path().join("web/index.html"), format!("<!doctype html><p>{content}\n")).unwrap();
        let released = self.run(&WEB);
        assert_eq!(code(&released), 0, "{}", told(&released));
    }

    /// Returns what the front end serves, in the platform's words.
    fn web(&self) -> String {
        let status = json(&self.run(&["status", "production", "--format", "json"]));
        status["targets"][1]["serves"][0].as_str().unwrap().to_owned()
    }

    /// Begins a release and kills its process, with SIGKILL, once it has told of `event`.
    fn die_at(&self, event: &str) {
        let mut release = self.command(&[&WEB[..], &["--format", "json"]].concat());
        let mut release = release.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        until(&mut release, event);
        kill(Pid::from_raw(i32::try_from(release.id()).unwrap()), Signal::SIGKILL).unwrap();
        release.wait().unwrap();
    }

    /// Runs a command in another folder: no manifest, no checkout.
    fn elsewhere(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.current_dir(folder);
        output(command)
    }
}

#[test]
fn a_hold_lets_nothing_begin_and_says_who_and_why() {
    let sandbox = Sandbox::begin();
    assert_eq!(code(&sandbox.run(&["hold", "production"])), 2, "a hold needs a reason");
    let nothing = sandbox.run(&["hold", "production", "--off"]);
    assert_eq!((code(&nothing), sandbox.journal().exists()), (0, false), "{}", told(&nothing));
    sandbox.release("one");
    sandbox.release("two");
    let two = sandbox.web();

    let hold = sandbox.run(&["hold", "production", "--reason", "a demo at noon\n\u{1b}[2J"]);
    assert_eq!(code(&hold), 0, "{}", told(&hold));
    let held = json(&sandbox.run(&["hold", "production", "--reason", "a demo at one", "--format", "json"]));
    assert_eq!((&held["held"], &held["reason"]), (&true.into(), &"a demo at one".into()), "the second replaces the first");

    let before = records(&sandbox);
    let refused = sandbox.run(&WEB);
    let text = told(&refused);
    assert_eq!((code(&refused), records(&sandbox)), (5, before), "{text}");
    for said in ["a demo at one", "cutover hold production --off", "nothing was touched", "production is held", "since 20"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let status = sandbox.run(&["status", "production"]);
    assert!(told(&status).contains("held: a demo at one (by "), "{}", told(&status));

    let back = sandbox.run(&["rollback", "production"]);
    assert_eq!(code(&back), 0, "{}", told(&back));
    assert!(told(&back).contains("going back all the same"), "{}", told(&back));
    assert_ne!(sandbox.web(), two);
    let recover = sandbox.run(&["recover", "production"]);
    assert_eq!(code(&recover), 0, "{}", told(&recover));

    let off = sandbox.run(&["hold", "production", "--off"]);
    assert_eq!(code(&off), 0, "{}", told(&off));
    sandbox.release("three");
}

#[test]
fn a_hold_reaches_a_release_that_is_still_at_its_gates() {
    let sandbox = Sandbox::begin();
    sandbox.product.replace("cutover.yml", "unit: \"true\"", "unit: sh wait.sh");
    std::fs::write(sandbox.product.path().join("wait.sh"), "while ! test -e open; do sleep 0.05; done\n").unwrap();
    let mut release = sandbox.command(&["release", "production", "--only", "web", "--format", "json"]);
    let mut release = release.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut release, "gate_started");
    let hold = sandbox.run(&["hold", "production", "--reason", "the database is being moved"]);
    assert_eq!(code(&hold), 0, "{}", told(&hold));
    std::fs::write(sandbox.product.path().join("open"), "").unwrap();
    let release = wait(release);
    assert_eq!((code(&release), records(&sandbox)), (5, 1), "{}", told(&release));
}

#[test]
fn a_hold_does_not_disturb_a_release_under_way() {
    let sandbox = Sandbox::begin();
    let mut release = sandbox.command(&[&WEB[..], &["--format", "json"]].concat());
    let mut release = release.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut release, "watch");
    let hold = sandbox.run(&["hold", "production", "--reason", "the last one for today"]);
    assert_eq!(code(&hold), 0, "{}", told(&hold));
    let release = wait(release);
    assert_eq!(code(&release), 0, "{}", told(&release));
    let names = entries(&sandbox);
    assert_eq!(names, ["begun", "prepared", "cutting", "hold", "committed", "finishing", "finished"]);
    assert_eq!(code(&sandbox.run(&WEB)), 5);
}

/// Returns the names of the journal's records, as `history --raw` prints them.
fn entries(sandbox: &Sandbox) -> Vec<String> {
    let raw = sandbox.run(&["history", "production", "--raw"]);
    assert_eq!(code(&raw), 0, "{}", told(&raw));
    let lines = String::from_utf8(raw.stdout).unwrap();
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| record["entry"]["is"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn recovery_needs_neither_manifest_nor_checkout() {
    for (event, serves) in [("release_started", "before"), ("watch", "before"), ("finish", "after")] {
        let sandbox = Sandbox::begin();
        sandbox.release("one");
        let before = sandbox.web();
        std::fs::write(sandbox.product.path().join("web/index.html"), "two\n").unwrap();
        sandbox.die_at(event);
        let elsewhere = tempfile::tempdir().unwrap();
        let receipt = elsewhere.path().join("receipt.json");
        let recovered = sandbox.elsewhere(elsewhere.path(), &["recover", "--receipt", receipt.to_str().unwrap()]);
        assert_eq!(code(&recovered), 0, "{event}: {}", told(&recovered));
        assert_eq!(sandbox.web() == before, serves == "before", "{event}: {}", told(&recovered));
        let receipt: Value = serde_json::from_str(&std::fs::read_to_string(&receipt).unwrap()).unwrap();
        assert_eq!(receipt["exit_code"], 0, "{event}");

        let known = records(&sandbox);
        let again = sandbox.elsewhere(elsewhere.path(), &["recover"]);
        assert_eq!((code(&again), records(&sandbox)), (0, known), "{event}: {}", told(&again));
        assert_eq!(told(&again), "✓ Every release of production is closed; nothing to do.\n", "{event}");
        // The release ended as far as its first record, or never began: either way what came before it is told.
        let history = json(&sandbox.run(&["history", "production", "--format", "json"]));
        let newest = &history["events"][0];
        assert_eq!(newest["closed"], true, "{event}: {history}");
    }
}

#[test]
fn recovery_of_what_nobody_knows_is_no_failure_and_of_two_products_a_question() {
    let sandbox = Sandbox::begin();
    let elsewhere = tempfile::tempdir().unwrap();
    let nothing = sandbox.elsewhere(elsewhere.path(), &["recover"]);
    assert_eq!((code(&nothing), told(&nothing).lines().count()), (0, 1), "{}", told(&nothing));
    sandbox.release("one");
    let other = sandbox.state.path().join("journal/other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::copy(sandbox.journal(), other.join("production.jsonl")).unwrap();
    let both = sandbox.elsewhere(elsewhere.path(), &["recover", "production"]);
    assert_eq!(code(&both), 5, "{}", told(&both));
    assert!(told(&both).contains("--product"), "{}", told(&both));
    let one = sandbox.elsewhere(elsewhere.path(), &["recover", "production", "--product", "other"]);
    assert_eq!(code(&one), 0, "{}", told(&one));
}

#[test]
fn history_tells_people_and_programs_the_same() {
    let sandbox = Sandbox::begin();
    let empty = sandbox.run(&["history", "production"]);
    assert_eq!(code(&empty), 0, "{}", told(&empty));
    assert!(told(&empty).contains("Nothing was released yet."), "{}", told(&empty));
    sandbox.release("one");
    assert_eq!(code(&sandbox.run(&["hold", "production", "--reason", "lunch"])), 0);
    assert_eq!(code(&sandbox.run(&["hold", "production", "--off"])), 0);
    assert_eq!(code(&sandbox.run(&WEB)), 0);
    let document = json(&sandbox.run(&["history", "production", "--format", "json"]));
    let kinds: Vec<&str> = document["events"].as_array().unwrap().iter().map(|event| event["is"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["unhold", "hold", "release"], "the same content again is carried, and writes nothing");
    std::fs::write(sandbox.product.path().join("web/index.html"), "two\n").unwrap();
    sandbox.die_at("watch");
    let document = json(&sandbox.run(&["history", "production", "--format", "json"]));
    let newest = &document["events"][0];
    assert_eq!((&newest["outcome"], &newest["closed"]), (&"cutting".into(), &false.into()), "{newest}");
    let text = told(&sandbox.run(&["history", "production"]));
    assert!(text.contains("UNFINISHED (cutting)") && text.contains("lunch") && text.contains("finished"), "{text}");
    let status = told(&sandbox.run(&["status", "production"]));
    assert!(status.contains("counts as at work until") && status.contains("cutover recover production"), "{status}");
}

impl Sandbox {
    /// Makes the product's folder a clone of the sandbox's repository, as far as git knows.
    pub(crate) fn clone_of_github(&self) {
        for words in
            [&["init", "--quiet", "--initial-branch", "main"][..], &["remote", "add", "origin", "git@github.com:rehearsal/product.git"]]
        {
            let status = std::process::Command::new("git").args(words).current_dir(self.product.path()).status().unwrap();
            assert!(status.success());
        }
    }

    /// Runs a command with the token for GitHub.
    pub(crate) fn with_token(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.envs(self.variables.iter().filter(|(name, _)| name == "GITHUB_TOKEN").cloned());
        output(command)
    }
}

#[test]
fn a_clone_of_a_repository_on_github_reads_the_journal_there() {
    let sandbox = Sandbox::begin();
    sandbox.clone_of_github();
    let refused = sandbox.run(&WEB);
    let text = told(&refused);
    assert_eq!(code(&refused), 5, "{text}");
    assert!(
        text.contains("may be on GitHub, in rehearsal/product") && text.contains("GITHUB_TOKEN") && text.contains("--journal file"),
        "{text}"
    );
    let status = sandbox.run(&["status", "production"]);
    assert!(code(&status) == 0 && told(&status).contains("careful: the journal of this environment may be on GitHub"), "{}", told(&status));

    let released = sandbox.with_token(&WEB);
    assert_eq!((code(&released), sandbox.journal().exists()), (0, false), "{}", told(&released));
    let history = json(&sandbox.with_token(&["history", "production", "--format", "json"]));
    assert_eq!(history["events"][0]["outcome"], "finished", "{history}");
    assert!(history["journal"].as_str().unwrap().contains("refs/cutover/small/production"), "{history}");

    let hold = sandbox.with_token(&["hold", "production", "--reason", "moving house"]);
    assert_eq!(code(&hold), 0, "{}", told(&hold));
    assert_eq!(code(&sandbox.with_token(&WEB)), 5);
    let status = json(&sandbox.with_token(&["status", "production", "--format", "json"]));
    assert_eq!(status["hold"]["reason"], "moving house");

    // What was said goes before what is seen.
    let own = sandbox.run(&[&WEB[..], &["--journal", "file"]].concat());
    assert_eq!((code(&own), sandbox.journal().exists()), (0, true), "{}", told(&own));
}

#[test]
fn what_github_refuses_is_told_with_operation_and_request() {
    let sandbox = Sandbox::begin();
    sandbox.clone_of_github();
    let mut release = sandbox.command(&WEB);
    release.env("GITHUB_TOKEN", "ghp_ofSomebodyElse000000000000000000000000");
    let refused = output(release);
    let text = told(&refused);
    assert_eq!(code(&refused), 5, "{text}");
    let last = text.lines().find(|line| line.contains("refs/cutover/small/production")).unwrap_or_else(|| panic!("{text}"));
    let (said, id) = last.split_once(" (request ").unwrap_or_else(|| panic!("{text}"));
    assert!(said.contains("get_ref") && id.len() > 4, "{text}");
}

impl Sandbox {
    /// Returns a command as a job of a workflow runs it, in a folder of its own: nothing of any other machine's disk.
    fn job(&self, folder: &Path, run: u32, event: &str, arguments: &[&str]) -> Command {
        let payload = folder.join("event.json");
        let text = r#"{"ref":"refs/heads/main","inputs":{},"workflow_run":{"id":1,"head_repository":{"id":1}},"repository":{"id":1}}"#;
        std::fs::write(&payload, text).unwrap();
        let mut command = self.command(arguments);
        command.current_dir(folder).envs(self.variables.iter().cloned()).env("CUTOVER_STATE_DIR", folder.join("state"));
        let runner = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_EVENT_PATH", payload.to_str().unwrap()),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", "cccccccccccccccccccccccccccccccccccccccc"),
            ("GITHUB_REPOSITORY", "rehearsal/product"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_JOB", "release"),
        ];
        command.envs(runner).env("GITHUB_RUN_ID", run.to_string());
        command
    }
}

#[test]
fn an_empty_disk_recovers_from_the_journal_on_github() {
    let sandbox = Sandbox::begin();
    let before = sandbox.web();
    let mut release = sandbox.job(sandbox.product.path(), 1, "push", &[&WEB[..], &["--format", "json"]].concat());
    let mut release = release.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until(&mut release, "watch");
    kill(Pid::from_raw(i32::try_from(release.id()).unwrap()), Signal::SIGKILL).unwrap();
    release.wait().unwrap();
    assert_ne!(sandbox.web(), before);
    assert!(!sandbox.product.path().join("state").exists(), "the journal is on GitHub");

    // Another runner. GitHub knows no run 1 any more, so its job is over; what it sent last may land until the quarantine has passed, and
    // that is longer than a test may take: what serves is right long before.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut recover = sandbox.job(elsewhere.path(), 2, "workflow_run", &["recover", "--format", "json"]);
    let mut recover = recover.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until(&mut recover, "target_finished");
    assert_eq!(sandbox.web(), before);
    kill(Pid::from_raw(i32::try_from(recover.id()).unwrap()), Signal::SIGKILL).unwrap();
    recover.wait().unwrap();
    let entries: Vec<String> = String::from_utf8(
        output(sandbox.job(elsewhere.path(), 3, "schedule", &["history", "production", "--product", "small", "--raw"])).stdout,
    )
    .unwrap()
    .lines()
    .map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"]["is"].as_str().unwrap().to_owned())
    .collect();
    assert_eq!(entries, ["begun", "prepared", "cutting", "taken_over", "rolling_back"]);
}

#[test]
fn somebody_who_may_be_at_work_is_left_alone() {
    let sandbox = Sandbox::begin();
    sandbox.clone_of_github();
    let mut release = sandbox.command(&[&WEB[..], &["--format", "json"]].concat());
    release.envs(sandbox.variables.iter().filter(|(name, _)| name == "GITHUB_TOKEN").cloned());
    let mut release = release.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until(&mut release, "watch");
    let id = Pid::from_raw(i32::try_from(release.id()).unwrap());
    kill(id, Signal::SIGSTOP).unwrap();
    let serves = sandbox.web();
    // Its owner is a process that nobody can be asked about, and its deadline has not passed.
    let elsewhere = tempfile::tempdir().unwrap();
    let every = output(sandbox.job(elsewhere.path(), 2, "schedule", &["recover"]));
    assert_eq!(code(&every), 0, "{}", told(&every));
    assert!(told(&every).contains("production is left alone"), "{}", told(&every));
    let named = output(sandbox.job(elsewhere.path(), 2, "schedule", &["recover", "production"]));
    assert_eq!(code(&named), 0, "a schedule comes again: {}", told(&named));
    let named = output(sandbox.job(elsewhere.path(), 2, "workflow_dispatch", &["recover", "production"]));
    assert_eq!(code(&named), 5, "{}", told(&named));
    assert_eq!(sandbox.web(), serves);
    kill(id, Signal::SIGKILL).unwrap();
    release.wait().unwrap();
}

/// A product whose front end is made by a gate with variables that differ per environment, in a repository of its own.
pub(crate) fn made_by_a_gate() -> Product {
    let product = Product::new();
    product.replace(
        "cutover.yml",
        "  unit: \"true\"",
        "  site: { run: sh make.sh, variables: [TITLE], outputs: [out/] }\n  unit: \"true\"",
    );
    product.replace("cutover.yml", "dir: web", "dir: out");
    product.replace(
        "cutover.yml",
        "  production: { branch: main, watch: 1s }",
        "  production: { branch: main, watch: 1s, variables: { TITLE: live } }
  staging:
    branch: staging
    watch: 1s
    variables: { TITLE: staging }
    overrides: { api: { fly: { app: small-api-staging } }, web: { vercel: { project: small-web-staging } } }
  testing:
    branch: testing
    watch: 1s
    variables: { TITLE: live }
    overrides: { api: { fly: { app: small-api-testing } }, web: { vercel: { project: small-web-testing } } }",
    );
    std::fs::write(product.path().join("make.sh"), "mkdir -p out && echo \"<p>$TITLE one\" >out/index.html\n").unwrap();
    std::fs::write(product.path().join(".gitignore"), "out/\n").unwrap();
    git(product.path(), &["init", "--quiet", "--initial-branch", "main"]);
    commit(product.path());
    product
}

pub(crate) fn git(folder: &Path, words: &[&str]) -> String {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let output = Command::new("git").args(identity).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn commit(folder: &Path) -> String {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "change"]);
    git(folder, &["rev-parse", "HEAD"])
}

#[test]
fn what_staging_serves_is_promoted_from_its_own_commit() {
    let sandbox = Sandbox::of(made_by_a_gate());
    let root = sandbox.product.path();
    let of_staging = git(root, &["rev-parse", "HEAD"]);
    let staged = sandbox.run(&["release", "staging", "--only", "web"]);
    assert_eq!(code(&staged), 0, "{}", told(&staged));
    // Meanwhile the branch went on, and its gate would fail.
    std::fs::write(root.join("make.sh"), "exit 1\n").unwrap();
    commit(root);

    let promoted = sandbox.run(&["promote", "--from", "staging", "--to", "production", "--reason", "looks right"]);
    let text = told(&promoted);
    assert_eq!(code(&promoted), 0, "{text}");
    for said in [
        "what it is made with differs between staging and production (TITLE)",
        "made again from the commit",
        "the files differ from those of then",
        "api was no part of",
        "looks right",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let newest = json(&sandbox.run(&["history", "production", "--format", "json"]))["events"][0].clone();
    assert_eq!((&newest["commit"], &newest["outcome"]), (&of_staging.as_str().into(), &"finished".into()), "{newest}");
    let reason = newest["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("promotion of r-") && reason.contains(" from staging by someone@") && reason.ends_with(": looks right"),
        "{reason}"
    );
    assert_eq!(git(root, &["worktree", "list"]).lines().count(), 1, "no work tree is left");
    assert!(!git(root, &["status", "--porcelain"]).contains('M'), "what is checked out is untouched");

    // With equal variables the same commit gives the same files.
    let tested = sandbox.run(&["promote", "--from", "production", "--to", "testing"]);
    let text = told(&tested);
    assert_eq!(code(&tested), 0, "{text}");
    assert!(text.contains("belong to another project, that of production") && text.contains("the files are the same as then"), "{text}");

    let again = sandbox.run(&["promote", "--from", "staging", "--to", "production"]);
    assert_eq!(code(&again), 0, "{}", told(&again));
    assert!(told(&again).contains("Nothing had to change"), "{}", told(&again));

    assert_eq!(code(&sandbox.run(&["hold", "production", "--reason", "no"])), 0);
    assert_eq!(code(&sandbox.run(&["promote", "--from", "staging", "--to", "production"])), 5, "a promotion is refused while held");
    assert_eq!(code(&sandbox.run(&["promote", "--from", "staging", "--to", "staging"])), 2);
    let unknown = sandbox.run(&["promote", "--from", "staging", "--to", "testing", "--release", "r-20260101-000000-aaaaaa"]);
    assert!(code(&unknown) == 5 && told(&unknown).contains("it knows "), "{}", told(&unknown));
}

#[test]
fn what_started_a_run_decides_whether_it_may_promote() {
    let sandbox = Sandbox::begin();
    let folder = tempfile::tempdir().unwrap();
    for event in ["schedule", "workflow_run"] {
        let mut command = sandbox.job(folder.path(), 2, event, &["rollback", "production", "--journal", "file"]);
        command.current_dir(sandbox.product.path());
        let refused = output(command);
        assert!(code(&refused) == 5 && told(&refused).contains("may release nothing"), "{event}: {}", told(&refused));
    }
}

impl Sandbox {
    /// Begins a release, and sends it this many SIGINTs once it has told of `event`; returns its output and its receipt.
    fn interrupted(&self, event: &str, signals: usize) -> (Output, Value, std::time::Duration) {
        let receipt = self.state.path().join("receipt.json");
        let mut release = self.command(&[&WEB[..], &["--format", "json", "--receipt", receipt.to_str().unwrap()]].concat());
        let mut release = release.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(&mut release, event);
        let began = std::time::Instant::now();
        let id = Pid::from_raw(i32::try_from(release.id()).unwrap());
        kill(id, Signal::SIGINT).unwrap();
        for _ in 1..signals {
            // A second signal of the same kind that comes before the first was handled would be one signal.
            kill(id, Signal::SIGTERM).unwrap();
        }
        let output = wait(release);
        let receipt = serde_json::from_str(&std::fs::read_to_string(&receipt).unwrap_or_default()).unwrap_or(Value::Null);
        (output, receipt, began.elapsed())
    }
}

#[test]
fn an_interrupt_in_any_phase_ends_on_a_known_side() {
    for event in ["preflight", "prepare", "verify", "cut-over", "watch", "finish"] {
        let sandbox = Sandbox::begin();
        sandbox.release("one");
        let before = sandbox.web();
        std::fs::write(sandbox.product.path().join("web/index.html"), "two\n").unwrap();
        let (output, receipt, took) = sandbox.interrupted(event, 1);
        let text = told(&output);
        let serves = if sandbox.web() == before { "before" } else { "after" };
        assert_eq!(receipt["serving"], serves, "{event}: {receipt}: {text}");
        // After the commit there is no way but on.
        let (outcome, wanted) = if event == "finish" { ("finished", 0) } else { ("cancelled", 130) };
        assert_eq!((receipt["outcome"].as_str(), code(&output)), (Some(outcome), wanted), "{event}: {text}");
        assert!(took < std::time::Duration::from_secs(20), "{event}: {took:?}");
        let status = json(&sandbox.run(&["status", "production", "--format", "json"]));
        assert!(status["unfinished"].is_null(), "{event}: {status}");
    }
}

#[test]
fn a_second_signal_ends_at_once_and_recovery_does_the_rest() {
    for event in ["prepare", "cut-over", "watch"] {
        let sandbox = Sandbox::begin();
        sandbox.release("one");
        let before = sandbox.web();
        std::fs::write(sandbox.product.path().join("web/index.html"), "two\n").unwrap();
        let (output, receipt, took) = sandbox.interrupted(event, 2);
        let text = told(&output);
        assert_eq!(code(&output), 130, "{event}: {text}");
        assert!(took < std::time::Duration::from_secs(5), "{event}: {took:?}");
        let said = receipt["serving"].as_str().unwrap();
        assert!(["before", "unknown", "mixed"].contains(&said), "{event}: {receipt}");
        if said == "before" {
            assert_eq!(sandbox.web(), before, "{event}: {text}");
        }
        let recovered = sandbox.run(&["recover", "production"]);
        assert_eq!((code(&recovered), sandbox.web()), (0, before), "{event}: {}", told(&recovered));
    }
}

#[test]
fn an_interrupt_ends_a_rollback_and_a_recovery_on_a_known_side() {
    let sandbox = Sandbox::begin();
    sandbox.release("one");
    let one = sandbox.web();
    sandbox.release("two");
    let two = sandbox.web();
    let mut back = sandbox.command(&["rollback", "production", "--format", "json"]);
    let mut back = back.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut back, "watch");
    kill(Pid::from_raw(i32::try_from(back.id()).unwrap()), Signal::SIGINT).unwrap();
    let back = wait(back);
    assert_eq!((code(&back), sandbox.web()), (130, two.clone()), "{}", told(&back));

    std::fs::write(sandbox.product.path().join("web/index.html"), "three\n").unwrap();
    sandbox.die_at("watch");
    let mut recover = sandbox.command(&["recover", "production", "--format", "json"]);
    let mut recover = recover.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut recover, "roll-back");
    let id = Pid::from_raw(i32::try_from(recover.id()).unwrap());
    kill(id, Signal::SIGINT).unwrap();
    kill(id, Signal::SIGTERM).unwrap();
    let recover = wait(recover);
    assert_eq!(code(&recover), 130, "{}", told(&recover));
    let recovered = sandbox.run(&["recover", "production"]);
    assert_eq!((code(&recovered), sandbox.web()), (0, two), "{}", told(&recovered));
    assert_ne!(sandbox.web(), one);
}
