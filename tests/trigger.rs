//! What started a run, from what GitHub's runner says and from git.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use cutover::trigger::{Checkout, NO_COMMIT, Permission, Source, Trigger, TriggerError};
use serde_json::{Value, json};

const SHA: &str = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d";
const HEAD: &str = "ffffffffffffffffffffffffffffffffffffffff";

fn variables(event: &str, reference: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", event),
        ("GITHUB_REF", reference),
        ("GITHUB_SHA", SHA),
        ("GITHUB_REPOSITORY", "acme/autoswe"),
        ("GITHUB_RUN_ID", "812"),
        ("GITHUB_RUN_ATTEMPT", "2"),
        ("GITHUB_SERVER_URL", "https://github.example"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn trigger(event: &str, reference: &str, payload: &Value) -> Result<Trigger, TriggerError> {
    Trigger::from_actions(&variables(event, reference), payload)
}

fn pull_request(head_repository: &Value) -> Value {
    json!({
        "action": "synchronize",
        "number": 12,
        "repository": {"id": 1, "full_name": "acme/autoswe"},
        "pull_request": {
            "number": 12,
            "title": "::error::$(rm -rf /) <script>",
            "head": {"sha": HEAD, "ref": "main", "repo": head_repository},
            "base": {"sha": SHA, "ref": "main", "repo": {"id": 1, "full_name": "acme/autoswe"}},
        }
    })
}

#[test]
fn a_push_to_a_branch_may_release_it() {
    let trigger = trigger("push", "refs/heads/main", &json!({"ref": "refs/heads/evil", "before": NO_COMMIT, "after": SHA})).unwrap();
    assert_eq!(trigger.permission(), Permission::Release { branch: "main".to_owned() });
    assert_eq!(trigger.to_string(), "push to main");
    assert_eq!((trigger.tested_commit(), trigger.reported_commit()), (SHA, SHA));
    let run = trigger.run.unwrap();
    assert_eq!((run.id, run.attempt), (812, 2));
    assert_eq!(run.url, "https://github.example/acme/autoswe/actions/runs/812/attempts/2");
    let Source::Push(push) = trigger.source else { panic!("not a push") };
    assert_eq!(push.before, None, "forty zeros mean a new branch");
}

#[test]
fn a_push_without_any_payload_is_known_by_its_variables() {
    // As `act` sends it when no event file is given.
    let trigger = trigger("push", "refs/heads/main", &json!({})).unwrap();
    assert_eq!(trigger.branch(), Some("main"));
}

#[test]
fn a_tag_and_a_deletion_release_nothing() {
    let tag = trigger("push", "refs/tags/v1", &json!({})).unwrap();
    assert!(matches!(tag.permission(), Permission::GatesOnly { .. }));
    let gone = trigger("push", "refs/heads/main", &json!({"ref": "refs/heads/old", "deleted": true})).unwrap();
    assert!(matches!(gone.permission(), Permission::Nothing { .. }));
    assert_eq!(gone.to_string(), "deletion of old");
}

#[test]
fn a_pull_request_is_reported_on_its_head_and_tested_as_its_merge() {
    let trigger = trigger("pull_request", "refs/pull/12/merge", &pull_request(&json!({"id": 1, "full_name": "acme/autoswe"}))).unwrap();
    assert_eq!((trigger.tested_commit(), trigger.reported_commit()), (SHA, HEAD));
    assert_eq!(trigger.branch(), None, "a head branch named main is not the branch main");
    assert!(matches!(trigger.permission(), Permission::GatesOnly { .. }));
    assert_eq!(trigger.to_string(), "pull request #12");
}

#[test]
fn a_fork_is_known_by_its_repository_even_when_it_is_gone_and_not_by_its_flag() {
    for (repository, fork) in [
        (json!({"id": 2, "full_name": "stranger/autoswe", "fork": true}), true),
        (json!({"id": 2, "full_name": "stranger/autoswe", "fork": false}), true),
        (json!(null), true),
        (json!({"id": 1, "full_name": "acme/autoswe", "fork": true}), false),
    ] {
        let trigger = trigger("pull_request", "refs/pull/12/merge", &pull_request(&repository)).unwrap();
        let Source::PullRequest(pull_request) = trigger.source else { panic!("not a pull request") };
        assert_eq!(pull_request.is_fork, fork, "{repository}");
    }
}

#[test]
fn events_that_run_strangers_code_with_our_rights_are_refused() {
    let same = json!({"id": 1, "full_name": "acme/autoswe"});
    let target = trigger("pull_request_target", "refs/heads/main", &pull_request(&same));
    assert!(matches!(target, Err(TriggerError::Refused { .. })), "{target:?}");
    let run = |head: Value| json!({"repository": {"id": 1}, "workflow_run": {"id": 5, "head_repository": head}});
    let forked = trigger("workflow_run", "refs/heads/main", &run(json!({"id": 2})));
    assert!(matches!(forked, Err(TriggerError::Refused { .. })), "{forked:?}");
    let gone = trigger("workflow_run", "refs/heads/main", &run(json!(null)));
    assert!(matches!(gone, Err(TriggerError::Refused { .. })), "{gone:?}");
    let own = trigger("workflow_run", "refs/heads/main", &run(json!({"id": 1}))).unwrap();
    assert!(matches!(own.permission(), Permission::Nothing { .. }));
}

#[test]
fn the_queue_runs_gates_the_clock_runs_nothing_and_the_unknown_is_named() {
    let queue = trigger("merge_group", "refs/heads/gh-readonly-queue/main/pr-1", &json!({"merge_group": {"head_sha": HEAD}})).unwrap();
    assert!(matches!(queue.permission(), Permission::GatesOnly { .. }));
    assert_eq!(queue.tested_commit(), HEAD);
    let clock = trigger("schedule", "refs/heads/main", &json!({"schedule": "0 0 * * *"})).unwrap();
    assert!(matches!(clock.permission(), Permission::Nothing { .. }));
    insta::assert_snapshot!(trigger("watch", "refs/heads/main", &json!({})).unwrap_err(), @"the event watch starts nothing that cutover knows; it knows push, pull_request, workflow_dispatch, merge_group, schedule and workflow_run");
}

#[test]
fn a_dispatch_is_read_with_all_its_inputs() {
    let inputs =
        json!({"inputs": {"environment": "production", "action": "rollback", "release": "r-20260102-030405-abcdef", "dry_run": "True"}});
    let trigger = trigger("workflow_dispatch", "refs/heads/main", &inputs).unwrap();
    assert_eq!(trigger.to_string(), "dispatch of rollback on main");
    let Source::Dispatch(dispatch) = trigger.source else { panic!("not a dispatch") };
    assert_eq!(dispatch.environment.unwrap().as_str(), "production");
    assert_eq!(dispatch.release.unwrap().as_str(), "r-20260102-030405-abcdef");
    assert!(dispatch.dry_run);
}

#[test]
fn a_dispatch_without_inputs_is_a_release_of_its_branch() {
    for payload in [json!({}), json!({"inputs": null}), json!({"inputs": {"environment": "", "action": "", "dry_run": ""}})] {
        let trigger = trigger("workflow_dispatch", "refs/heads/main", &payload).unwrap();
        let Source::Dispatch(dispatch) = trigger.source else { panic!("not a dispatch") };
        assert_eq!((dispatch.environment, dispatch.action.as_str(), dispatch.dry_run), (None, "release", false));
    }
}

#[test]
fn every_bad_input_is_told_at_once() {
    let inputs = json!({"inputs": {"environment": "Prod$(id)", "action": "destroy", "release": "../../x", "dry_run": "yes"}});
    insta::assert_snapshot!(trigger("workflow_dispatch", "refs/heads/main", &inputs).unwrap_err(), @r#"the input environment is "Prod$(id)"; it must be an environment's name from the manifest; the input action is "destroy"; it must be release, rollback, promote, recover, hold, unhold or sweep; the input release is "../../x"; it must be a release's id, like r-20260102-030405-abcdef; the input dry_run is "yes"; it must be true or false"#);
    let release = json!({"inputs": {"action": "hold", "environment": "production", "reason": "x", "release": "r-20260102-030405-abcdef"}});
    insta::assert_snapshot!(trigger("workflow_dispatch", "refs/heads/main", &release).unwrap_err(), @r#"the input release is "r-20260102-030405-abcdef"; it must be empty unless something is released"#);
}

#[test]
fn what_the_runner_does_not_say_is_named() {
    for variable in ["GITHUB_SHA", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_REF"] {
        let mut variables = variables("push", "refs/heads/main");
        variables.remove(variable);
        assert_eq!(Trigger::from_actions(&variables, &json!({})), Err(TriggerError::Environment { variable }));
    }
    let mut variables = variables("push", "refs/heads/main");
    variables.insert("GITHUB_REPOSITORY".to_owned(), "acme/../../x".to_owned());
    assert!(Trigger::from_actions(&variables, &json!({})).is_err());
}

#[tokio::test]
async fn the_state_of_a_work_tree_is_named_whatever_it_is() {
    let outside = tempfile::tempdir().unwrap();
    assert_eq!(Checkout::read(outside.path()).await, Checkout::NoRepository);

    let tree = tempfile::tempdir().unwrap();
    git(tree.path(), &["init", "--quiet", "--initial-branch=main"]);
    assert_eq!(Checkout::read(tree.path()).await, Checkout::Empty { branch: Some("main".to_owned()) });

    std::fs::write(tree.path().join("file"), "one").unwrap();
    git(tree.path(), &["add", "file"]);
    git(tree.path(), &["commit", "--quiet", "-m", "one"]);
    let clean = Checkout::read(tree.path()).await;
    let sha = clean.sha().unwrap().to_owned();
    assert_eq!(clean, Checkout::At { sha: sha.clone(), branch: Some("main".to_owned()), dirty: false, shallow: false });
    assert!(clean.caveats().is_empty());

    std::fs::write(tree.path().join("new file"), "two").unwrap();
    git(tree.path(), &["checkout", "--quiet", "--detach"]);
    let loose = Checkout::read(tree.path()).await;
    assert_eq!(loose, Checkout::At { sha: sha.clone(), branch: None, dirty: true, shallow: false });
    assert_eq!(loose.caveats().len(), 2);

    let copy = tempfile::tempdir().unwrap();
    git(copy.path(), &["clone", "--quiet", "--depth=1", &format!("file://{}", tree.path().display()), "."]);
    // The one commit is the whole history, so make the boundary explicit as a deeper history would.
    std::fs::write(copy.path().join(".git/shallow"), format!("{sha}\n")).unwrap();
    assert!(matches!(Checkout::read(copy.path()).await, Checkout::At { shallow: true, .. }));

    std::fs::write(tree.path().join(".git/HEAD"), "nonsense").unwrap();
    std::fs::write(tree.path().join(".git/config"), "[broken").unwrap();
    assert!(matches!(Checkout::read(tree.path()).await, Checkout::Unusable { .. }));
}

fn git(directory: &Path, words: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(["-c", "user.name=tester", "-c", "user.email=tester@example.com"]).args(words);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    assert!(command.status().unwrap().success(), "git {words:?}");
}
