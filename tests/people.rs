//! What people type when a release is not enough: hold, history, recover, promote; through the binary, against embedded platforms.

use std::path::Path;
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::binary::{Sandbox, WEB, code, output, told, until, wait};

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
    for said in ["a demo at one", "cutover hold production --off", "nothing was touched", "is held", "since 20"] {
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
    fn clone_of_github(&self) {
        for words in [&["init", "--quiet"][..], &["remote", "add", "origin", "git@github.com:rehearsal/product.git"]] {
            let status = std::process::Command::new("git").args(words).current_dir(self.product.path()).status().unwrap();
            assert!(status.success());
        }
    }

    /// Runs a command with the token for GitHub.
    fn with_token(&self, arguments: &[&str]) -> Output {
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
fn an_empty_disk_recovers_from_the_journal_on_github() {
    let sandbox = Sandbox::begin();
    sandbox.clone_of_github();
    let before = sandbox.web();
    let mut release = sandbox.command(&[&WEB[..], &["--format", "json"]].concat());
    release.envs(sandbox.variables.iter().filter(|(name, _)| name == "GITHUB_TOKEN").cloned());
    let mut release = release.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until(&mut release, "watch");
    kill(Pid::from_raw(i32::try_from(release.id()).unwrap()), Signal::SIGKILL).unwrap();
    release.wait().unwrap();
    assert_ne!(sandbox.web(), before);

    // Another machine: an empty folder that git knows nothing of, in a workflow.
    let elsewhere = tempfile::tempdir().unwrap();
    let event = elsewhere.path().join("event.json");
    std::fs::write(&event, "{}").unwrap();
    let recover = || {
        let mut command = sandbox.command(&["recover"]);
        command.current_dir(elsewhere.path()).envs(sandbox.variables.iter().cloned()).env_remove("CUTOVER_STATE_DIR");
        let runner = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "schedule"),
            ("GITHUB_EVENT_PATH", event.to_str().unwrap()),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", "cccccccccccccccccccccccccccccccccccccccc"),
            ("GITHUB_REPOSITORY", "rehearsal/product"),
            ("GITHUB_RUN_ID", "2"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_JOB", "recover"),
        ];
        command.envs(runner);
        output(command)
    };
    // Its owner is a process of a laptop that nobody can be asked about, and its deadline has not passed: it may still be at work.
    let early = recover();
    assert_eq!(code(&early), 0, "{}", told(&early));
    assert!(told(&early).contains("is left alone"), "{}", told(&early));
    assert_ne!(sandbox.web(), before);
}
