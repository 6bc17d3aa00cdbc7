//! The main job through the binary: a small product from a push to serving traffic on embedded platforms, and back.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::binary::{Sandbox, WEB, code, cutover, output, told, until, wait};
use crate::support::product::Product;

/// A rehearsal that is under way, with its receipt and its tape.
struct Rehearsal {
    child: Child,
    folder: tempfile::TempDir,
}

impl Rehearsal {
    fn begin(product: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = cutover(&["rehearse", product.to_str().unwrap(), "--no-engine"]);
        command.arg("--receipt").arg(folder.path().join("receipt.json")).arg("--tape").arg(folder.path().join("tape.jsonl")).args(more);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, folder }
    }

    fn end(self) -> Done {
        let output = wait(self.child);
        let text = |file: &str| std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        let receipt = serde_json::from_str(&text("receipt.json")).unwrap_or(Value::Null);
        let tape = text("tape.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Done { output, receipt, tape }
    }
}

/// A rehearsal that has ended.
struct Done {
    output: Output,
    receipt: Value,
    tape: Vec<Value>,
}

impl Done {
    fn code(&self) -> i32 {
        code(&self.output)
    }

    fn serves(&self) -> Vec<&str> {
        self.receipt["targets"].as_array().unwrap().iter().map(|target| target["serves"].as_str().unwrap()).collect()
    }

    /// Writes that platforms received, GitHub's left out.
    fn writes(&self) -> Vec<&str> {
        let writes = self.tape.iter().filter(|entry| entry["write"] == true && entry["platform"] != "github");
        writes.map(|entry| entry["boundary"].as_str().unwrap()).collect()
    }
}

fn rehearse(product: &Path, more: &[&str]) -> Done {
    Rehearsal::begin(product, more).end()
}

#[test]
fn a_push_is_released_and_the_receipt_says_so() {
    let product = Product::new();
    let done = rehearse(product.path(), &[]);
    assert_eq!(done.code(), 0, "{}", told(&done.output));
    let schema = cutover_schema("receipt");
    let faults: Vec<String> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&done.receipt).map(|fault| fault.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
    let receipt = &done.receipt;
    let fields = ["version", "release", "environment", "outcome", "exit_code", "serving"].map(|field| receipt[field].clone());
    let release = receipt["release"].as_str().unwrap();
    assert!(release.starts_with("r-"), "{release}");
    let wanted: [Value; 6] = [1.into(), release.into(), "production".into(), "finished".into(), 0.into(), "after".into()];
    assert_eq!(fields, wanted);
    assert_eq!(receipt["commit"].as_str().unwrap().len(), 40);
    assert!(receipt["skew_ms"].is_u64());
    for gate in receipt["gates"].as_array().unwrap() {
        assert!(gate["name"].is_string() && gate["outcome"] == "passed" && gate["duration_ms"].is_u64(), "{gate}");
    }
    let names: Vec<_> = receipt["targets"].as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["api", "web"]);
    for target in receipt["targets"].as_array().unwrap() {
        assert!(["platform", "before", "after", "url"].iter().all(|field| target[field].is_string()), "{target}");
        assert_eq!((&target["serves"], &target["proven_from_outside"]), (&"after".into(), &true.into()), "{target}");
    }
    let phases: Vec<_> = receipt["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["preflight", "prepare", "verify", "cut-over", "watch", "commit", "finish"]);
    for platform in ["fly", "vercel", "github"] {
        assert!(receipt["requests"][platform].as_u64().unwrap() > 0, "{platform}");
    }
}

#[test]
fn a_failure_asked_for_in_any_phase_of_any_target_goes_back() {
    let product = Product::new();
    let begun: Vec<_> = [&[][..], &["--first"]]
        .into_iter()
        .flat_map(|first| ["api", "web"].map(|target| (first, target)))
        .flat_map(|(first, target)| ["prepare", "verify", "cut-over", "watch"].map(|phase| (first, format!("{target}:{phase}"))))
        .map(|(first, failure)| {
            let more = [&["--fail", failure.as_str()], first].concat();
            (format!("{failure} {first:?}"), Rehearsal::begin(product.path(), &more))
        })
        .collect();
    for (failure, rehearsal) in begun {
        let done = rehearsal.end();
        assert_eq!(done.code(), 3, "{failure}: {}", told(&done.output));
        assert_eq!(
            (done.receipt["outcome"].as_str(), done.receipt["serving"].as_str()),
            (Some("rolled_back"), Some("before")),
            "{failure}"
        );
        assert_eq!(done.serves(), ["before", "before"], "{failure}");
        assert!(told(&done.output).contains("A failure was asked for"), "{failure}: {}", told(&done.output));
    }
}

#[test]
fn machines_that_are_replaced_in_place_go_forward_and_back() {
    let product = Product::new();
    product.replace("backend/fly.toml", "[http_service]", "[deploy]\nstrategy = \"rolling\"\n[http_service]");
    let (forward, back) = (Rehearsal::begin(product.path(), &[]), Rehearsal::begin(product.path(), &["--fail", "api:cut-over"]));
    let (forward, back) = (forward.end(), back.end());
    assert_eq!((forward.code(), forward.serves()), (0, vec!["after", "after"]), "{}", told(&forward.output));
    assert_eq!((back.code(), back.serves()), (3, vec!["before", "before"]), "{}", told(&back.output));
}

#[test]
fn a_first_release_serves() {
    let done = rehearse(Product::new().path(), &["--first"]);
    assert_eq!((done.code(), done.serves()), (0, vec!["after", "after"]), "{}", told(&done.output));
}

#[test]
fn a_failing_gate_touches_nothing() {
    let product = Product::new();
    product.replace("cutover.yml", "lint: { run: \"true\"", "lint: { run: \"false\"");
    let done = rehearse(product.path(), &[]);
    assert_eq!((done.code(), done.writes()), (1, vec![]), "{}", told(&done.output));
    assert_eq!((done.receipt["outcome"].as_str(), done.receipt["serving"].as_str()), (Some("gates_failed"), Some("before")));
    assert_eq!(done.receipt["gates"][1]["outcome"], "failed", "{}", done.receipt["gates"]);
}

#[test]
fn a_pull_request_runs_gates_and_a_dispatch_releases() {
    let product = Product::new();
    let (pull, dispatch) = (
        Rehearsal::begin(product.path(), &["--event", "pull_request"]),
        Rehearsal::begin(product.path(), &["--event", "workflow_dispatch"]),
    );
    let (pull, dispatch) = (pull.end(), dispatch.end());
    assert_eq!((pull.code(), pull.writes()), (0, vec![]), "{}", told(&pull.output));
    assert_eq!(pull.receipt["gates"].as_array().unwrap().len(), 2);
    assert_eq!((dispatch.code(), dispatch.serves()), (0, vec!["after", "after"]), "{}", told(&dispatch.output));
}

#[test]
fn json_is_one_value_a_line_and_nothing_else() {
    let done = rehearse(Product::new().path(), &["--format", "json", "--event", "pull_request"]);
    let lines: Vec<Value> =
        String::from_utf8(done.output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["kind"]["event"], "run_finished");
    assert!(lines.iter().any(|line| line["kind"]["event"] == "gate_finished"));
}

#[test]
fn what_cannot_be_meant_is_refused_as_usage() {
    let product = Product::new();
    let unknown = rehearse(product.path(), &["--fail", "ap:verify"]);
    assert_eq!(unknown.code(), 2);
    assert!(told(&unknown.output).contains("the targets are api, web"), "{}", told(&unknown.output));
    assert_eq!(rehearse(product.path(), &["--fail", "api:later"]).code(), 2);
    assert_eq!(rehearse(Path::new("/nowhere/at/all"), &[]).code(), 2);
    product.replace("cutover.yml", "image: server", "imag: server");
    let malformed = rehearse(product.path(), &[]);
    let text = told(&malformed.output);
    assert_eq!(malformed.code(), 2, "{text}");
    assert!(text.contains("cutover.yml:") && text.contains('^') && text.contains("image"), "{text}");
}

#[test]
fn a_path_with_a_space_and_letters_of_the_world_is_a_path() {
    let product = Product::at("mein Produkt ü 製品");
    let done = rehearse(product.path(), &[]);
    assert_eq!((done.code(), done.serves()), (0, vec!["after", "after"]), "{}", told(&done.output));
}

#[test]
fn the_commands_that_need_no_platform() {
    let product = Product::new();
    let in_product = |arguments: &[&str]| {
        let mut command = cutover(arguments);
        command.current_dir(product.path());
        output(command)
    };
    let check = in_product(&["check"]);
    assert_eq!(code(&check), 0, "{}", told(&check));
    let check = in_product(&["check", "--format", "json"]);
    assert_eq!((code(&check), serde_json::from_slice::<Value>(&check.stdout).is_ok()), (0, true));
    assert!(cutover_schema("manifest")["properties"]["targets"].is_object());
    let completions = in_product(&["completions", "bash"]);
    assert!(String::from_utf8_lossy(&completions.stdout).contains("_cutover"));
    let gates = in_product(&["gates"]);
    assert_eq!(code(&gates), 0, "{}", told(&gates));
    let tokenless = in_product(&["release", "production", "--skip-gates"]);
    assert_eq!(code(&tokenless), 5, "{}", told(&tokenless));
    assert!(told(&tokenless).contains("FLY_API_TOKEN is not set"), "{}", told(&tokenless));
}

fn cutover_schema(of: &str) -> Value {
    serde_json::from_slice(&output(cutover(&["schema", of])).stdout).unwrap()
}

#[test]
fn a_laptop_plans_releases_looks_and_goes_back() {
    let sandbox = Sandbox::begin();
    let plan = sandbox.run(&["plan", "production", "--format", "json"]);
    assert_eq!(code(&plan), 0, "{}", told(&plan));
    assert!(serde_json::from_slice::<Value>(&plan.stdout).is_ok());
    assert!(!sandbox.journal().exists(), "a plan writes nothing");

    let first = sandbox.run(&WEB);
    assert_eq!(code(&first), 0, "{}", told(&first));
    let again = sandbox.run(&WEB);
    assert_eq!(code(&again), 0, "{}", told(&again));
    assert_eq!(sandbox.finished(), 1, "the same again is carried");
    sandbox.product.replace("web/index.html", "new", "newer");
    let second = sandbox.run(&WEB);
    assert_eq!((code(&second), sandbox.finished()), (0, 2), "{}", told(&second));

    let serves = || {
        let status = sandbox.run(&["status", "production", "--format", "json"]);
        assert_eq!(code(&status), 0, "{}", told(&status));
        let document: Value = serde_json::from_slice(&status.stdout).unwrap();
        document["targets"][1]["serves"][0].as_str().unwrap().to_owned()
    };
    let newer = serves();
    let back = sandbox.run(&["rollback", "production"]);
    assert_eq!((code(&back), sandbox.finished()), (0, 3), "{}", told(&back));
    assert_ne!(serves(), newer);
    let nothing = sandbox.run(&["recover", "production"]);
    assert_eq!(code(&nothing), 0, "{}", told(&nothing));
}

#[test]
fn a_wrong_token_is_told_before_anything_is_touched() {
    let sandbox = Sandbox::begin();
    for (variable, wrong) in [("VERCEL_TOKEN", "vercelTokenOfNobody"), ("FLY_API_TOKEN", "fm2_tokenofnobody")] {
        let mut command = sandbox.command(&["release", "production", "--skip-gates"]);
        command.env(variable, wrong);
        let output = output(command);
        assert_eq!(code(&output), 5, "{variable}: {}", told(&output));
        let text = told(&output);
        assert!(text.contains(&format!("set {variable}")) && text.contains("nothing was touched"), "{variable}: {text}");
        assert!(!text.contains("rehearsalVercelToken") && !text.contains(wrong), "no token is shown: {text}");
    }
}

#[test]
fn two_runs_at_once_are_one_run_and_one_that_is_told_who_holds() {
    let sandbox = Sandbox::begin();
    let open = sandbox.product.path().join("open");
    sandbox.product.replace("cutover.yml", "unit: \"true\"", "unit: sh wait.sh");
    std::fs::write(sandbox.product.path().join("wait.sh"), "while ! test -e open; do sleep 0.05; done\n").unwrap();
    let mut first = sandbox.command(&["release", "production", "--only", "web", "--format", "json"]);
    let mut first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(&mut first, "gate_started");
    let second = sandbox.run(&WEB);
    assert_eq!(code(&second), 5, "{}", told(&second));
    let holder = format!("/{}", first.id());
    assert!(told(&second).contains(&holder), "{holder}: {}", told(&second));
    std::fs::write(open, "").unwrap();
    let first = wait(first);
    assert_eq!(code(&first), 0, "{}", told(&first));
}

#[test]
fn an_interrupt_ends_gates_and_releases_within_seconds() {
    let product = Product::new();
    product.replace("cutover.yml", "unit: \"true\"", "unit: sleep 60");
    let slow = product.path().to_owned();
    let quick = Product::new();
    for (path, event) in [(slow.as_path(), "gate_started"), (quick.path(), "release_started"), (quick.path(), "proven")] {
        let mut rehearsal = Rehearsal::begin(path, &["--format", "json"]);
        until(&mut rehearsal.child, event);
        let began = Instant::now();
        kill(Pid::from_raw(i32::try_from(rehearsal.child.id()).unwrap()), Signal::SIGINT).unwrap();
        let done = rehearsal.end();
        assert_eq!(done.code(), 130, "{event}: {}", told(&done.output));
        assert!(began.elapsed() < Duration::from_secs(10), "{event}: {:?}", began.elapsed());
        assert_eq!((done.receipt["outcome"].as_str(), done.receipt["serving"].as_str()), (Some("cancelled"), Some("before")), "{event}");
        if event == "gate_started" {
            assert_eq!(done.writes(), Vec::<&str>::new());
        }
    }
}

#[test]
fn a_full_disk_under_the_journal_serves_one_side() {
    let whole = Sandbox::begin();
    assert_eq!(code(&whole.run(&WEB)), 0);
    let text = std::fs::read_to_string(whole.journal()).unwrap();
    let entries: Vec<(&str, usize)> = text
        .split_inclusive('\n')
        .scan(0, |end, line| {
            *end += line.len();
            let name = line.split("\"entry\":{\"is\":\"").nth(1)?.split('"').next()?;
            Some((name, *end))
        })
        .collect();
    for refused in ["begun", "prepared", "cutting", "committed", "finished"] {
        let sandbox = Sandbox::begin();
        let end = entries.iter().find(|(name, _)| *name == refused).unwrap().1;
        // The largest file of any process below, in units of 1024 bytes: the journal ends within the record. No signal is raised for it.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", (end - 600) / 1024);
        let arguments = [&[env!("CARGO_BIN_EXE_cutover")][..], &WEB].concat();
        let command = sandbox.command(&[]);
        let mut limited = Command::new("bash");
        limited.arg("-c").arg(script).args(arguments).current_dir(sandbox.product.path()).env_clear();
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = output(limited);
        let text = told(&output);
        let left = std::fs::read_to_string(sandbox.journal()).unwrap();
        let kept = entries.iter().position(|(name, _)| *name == refused).unwrap();
        assert_eq!(left.lines().count(), kept, "{refused}: exactly that record does not fit: {text}");
        let status = sandbox.run(&["status", "production", "--format", "json"]);
        let document: Value = serde_json::from_slice(&status.stdout).unwrap();
        let side = document["targets"][1]["serves"][0].as_str().unwrap().to_owned();
        match refused {
            "begun" => assert_eq!(code(&output), 5, "{refused}: {text}"),
            "finished" => assert_eq!(code(&output), 0, "{refused}: {text}"),
            _ => assert_eq!(code(&output), 3, "{refused}: {text}"),
        }
        if refused != "finished" {
            assert!(text.contains("journal"), "{refused}: {text}");
        }
        // With room again, whoever comes next brings it to its end and changes no side.
        let recovered = sandbox.run(&["recover", "production"]);
        assert_eq!(code(&recovered), 0, "{refused}: {}", told(&recovered));
        let after: Value = serde_json::from_slice(&sandbox.run(&["status", "production", "--format", "json"]).stdout).unwrap();
        assert_eq!(after["targets"][1]["serves"][0].as_str().unwrap(), side, "{refused}");
        assert!(after["unfinished"].is_null(), "{refused}: {after}");
    }
}
