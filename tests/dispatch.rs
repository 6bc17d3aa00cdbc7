//! "Run workflow": every input is validated, all faults are told at once, and what is asked for is written down with who asked and why.

use std::process::Output;

use cutover::trigger::{DispatchAction, Source, Trigger, TriggerError};
use serde_json::{Value, json};

use crate::support::binary::{Sandbox, WEB, code, output, told};

fn trigger(inputs: &Value) -> Result<Trigger, TriggerError> {
    let sha = "a".repeat(40);
    let pairs = [
        ("GITHUB_EVENT_NAME", "workflow_dispatch"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_SHA", sha.as_str()),
        ("GITHUB_REPOSITORY", "acme/shop"),
        ("GITHUB_RUN_ID", "7"),
        ("GITHUB_ACTOR", "alma"),
    ];
    let variables = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Trigger::from_actions(&variables, &json!({"inputs": inputs}))
}

fn faults(inputs: &Value) -> Vec<&'static str> {
    match trigger(inputs) {
        Err(TriggerError::Inputs(faults)) => faults.into_iter().map(|fault| fault.input).collect(),
        other => panic!("{inputs}: {other:?}"),
    }
}

#[test]
fn every_action_is_understood_with_what_it_needs() {
    let release = "r-20260102-030405-abcdef";
    for (action, inputs) in [
        (DispatchAction::Release, json!({"commit": "B".repeat(40), "older": "true", "dry_run": "true"})),
        (DispatchAction::Release, json!({"release": release, "environment": "production"})),
        (DispatchAction::Rollback, json!({"environment": "production", "dry_run": true})),
        (DispatchAction::Promote, json!({"environment": "production", "from": "staging", "release": release})),
        (DispatchAction::Recover, json!({"environment": "", "reason": "the runner died"})),
        (DispatchAction::Hold, json!({"environment": "production", "reason": "a demo at noon"})),
        (DispatchAction::Unhold, json!({"environment": "production"})),
        (DispatchAction::Sweep, json!({"environment": "production", "dry_run": "true"})),
    ] {
        let mut inputs = inputs;
        inputs["action"] = json!(action.as_str());
        let Source::Dispatch(dispatch) = trigger(&inputs).unwrap().source else { panic!("no dispatch") };
        assert_eq!(dispatch.action, action);
        assert_eq!(dispatch.reason.as_deref(), inputs["reason"].as_str());
    }
    let asked = trigger(&json!({"reason": "because"})).unwrap().asked();
    assert_eq!(asked, "dispatch of release on main by alma: because");
}

#[test]
fn all_faults_are_told_at_once() {
    let hostile = json!({
        "environment": "$(id)", "action": "drop tables", "commit": "main", "release": "latest", "from": "../x", "older": "yes",
        "dry_run": "1", "reason": "two\nlines",
    });
    assert_eq!(faults(&hostile), ["environment", "action", "commit", "release", "from", "older", "dry_run", "reason"]);
    let commit = "b".repeat(40);
    let release = "r-20260102-030405-abcdef";
    let misfit = json!({"action": "promote", "commit": commit, "release": release, "older": "true"});
    assert_eq!(faults(&misfit), ["environment", "commit", "commit", "from", "older"]);
    assert_eq!(faults(&json!({"action": "release", "commit": commit, "release": release})), ["commit"]);
    assert_eq!(faults(&json!({"action": "hold"})), ["environment", "reason"]);
    assert_eq!(faults(&json!({"action": "recover", "dry_run": "true", "release": release})), ["release", "dry_run"]);
    assert_eq!(faults(&json!({"action": "promote", "environment": "a", "from": "a"})), ["from"]);
    assert_eq!(faults(&json!({"reason": "x".repeat(501)})), ["reason"]);
    assert_eq!(faults(&json!({"commit": "0".repeat(40)})), ["commit"]);
}

fn dispatch(sandbox: &Sandbox, reference: &str, inputs: &Value) -> Output {
    let payload = sandbox.state.path().join("event.json");
    std::fs::write(&payload, json!({"inputs": inputs}).to_string()).unwrap();
    let mut command = sandbox.command(&["dispatch", "--journal", "file"]);
    let pairs = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "workflow_dispatch"),
        ("GITHUB_EVENT_PATH", payload.to_str().unwrap()),
        ("GITHUB_REF", reference),
        ("GITHUB_SHA", "cccccccccccccccccccccccccccccccccccccccc"),
        ("GITHUB_REPOSITORY", "rehearsal/product"),
        ("GITHUB_RUN_ID", "7"),
        ("GITHUB_JOB", "ops"),
        ("GITHUB_ACTOR", "alma"),
    ];
    command.envs(pairs);
    output(command)
}

/// Returns the journal's records, oldest first.
fn records(sandbox: &Sandbox) -> Vec<Value> {
    let raw = sandbox.run(&["history", "production", "--raw"]);
    String::from_utf8(raw.stdout).unwrap().lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn last(sandbox: &Sandbox) -> Value {
    records(sandbox).pop().unwrap()
}

#[test]
fn hold_and_unhold_are_written_down_with_who_asked() {
    let sandbox = Sandbox::begin();
    let reason = "moving `the` database; $(reboot)";
    let held = dispatch(&sandbox, "refs/heads/main", &json!({"action": "hold", "environment": "production", "reason": reason}));
    assert_eq!(code(&held), 0, "{}", told(&held));
    let record = last(&sandbox);
    assert_eq!((&record["entry"]["reason"], &record["owner"]["actor"]), (&json!(reason), &json!("alma")), "{record}");
    assert_eq!(code(&sandbox.run(&WEB)), 5);
    let free = dispatch(&sandbox, "refs/heads/main", &json!({"action": "unhold", "environment": "production"}));
    assert_eq!(code(&free), 0, "{}", told(&free));
    assert_eq!((&last(&sandbox)["entry"]["is"], &last(&sandbox)["owner"]["actor"]), (&json!("unhold"), &json!("alma")));
    let recovered = dispatch(&sandbox, "refs/heads/main", &json!({"action": "recover"}));
    assert_eq!(code(&recovered), 0, "{}", told(&recovered));
}

#[test]
fn what_may_not_be_is_refused_before_anything_is_touched() {
    let sandbox = Sandbox::begin();
    for (reference, inputs, exit) in [
        ("refs/heads/main", json!({"action": "explode"}), 2),
        ("refs/heads/main", json!({"action": "rollback", "environment": "nowhere"}), 2),
        ("refs/heads/other", json!({"action": "release", "environment": "production"}), 5),
        ("refs/heads/other", json!({"action": "release", "environment": "production", "commit": "c".repeat(40)}), 5),
        ("refs/heads/other", json!({"action": "rollback"}), 2),
        ("refs/tags/v1", json!({"action": "rollback", "environment": "production"}), 5),
        ("refs/heads/main", json!({"action": "rollback", "environment": "production"}), 5),
    ] {
        let refused = dispatch(&sandbox, reference, &inputs);
        assert_eq!(code(&refused), exit, "{inputs}: {}", told(&refused));
        assert!(records(&sandbox).is_empty(), "{inputs}");
    }
    let nobody = sandbox.run(&["dispatch"]);
    assert!(code(&nobody) == 2 && told(&nobody).contains("workflow_dispatch"), "{}", told(&nobody));
}

#[test]
fn a_rollback_can_be_tried_dry() {
    let sandbox = Sandbox::begin();
    for content in ["one", "two"] {
        std::fs::write(sandbox.product.path().join("web/index.html"), format!("<!doctype html><p>{content}\n")).unwrap();
        assert_eq!(code(&sandbox.run(&WEB)), 0);
    }
    let before = last(&sandbox);
    let dry = dispatch(&sandbox, "refs/heads/main", &json!({"action": "rollback", "environment": "production", "dry_run": "true"}));
    assert!(code(&dry) == 0 && told(&dry).contains("Dry run: rollback to r-"), "{}", told(&dry));
    assert_eq!(last(&sandbox), before);
}
