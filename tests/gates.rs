//! Gates: order, outcomes, output, cancellation, environment, services.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cutover::clock::Clock;
use cutover::event::{Event, EventKind, Events, GateOutcome};
use cutover::gate::line::{Colour, neutral, relayable};
use cutover::gate::{Environment, GateContext, GatePlan, GatesReport, PlannedGate, PlannedService, gate_environment, run_gates};
use cutover::id::{Chance, Name};
use cutover::manifest::Service;
use cutover::mask::{Masker, Secret};
use cutover::process::{Bounds, Command, Ended, LineSplitter, Pipe, capture};
use cutover::shutdown::{Level, Shutdown};
use tokio::sync::mpsc::UnboundedReceiver;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A run of gates in a directory of its own.
struct Gates {
    directory: tempfile::TempDir,
    plan: GatePlan,
    context: GateContext,
    events: UnboundedReceiver<Event>,
}

impl Gates {
    fn new() -> Self {
        let (sender, events) = Events::channel(Clock::system());
        let environment = gate_environment(std::env::vars_os(), &BTreeSet::new());
        let plan = GatePlan { gates: Vec::new(), parallel: 4, engine: "/no/docker".into(), environment };
        let context = GateContext::new(sender, Shutdown::default(), Masker::new(), Arc::new(Chance::seeded(1)));
        Self { directory: tempfile::tempdir().unwrap(), plan, context, events }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a gate that runs a script.
    fn gate(self, gate: &str, needs: &[&str], script: &str) -> Self {
        let command = Command::new("bash", self.path()).words(["-eo", "pipefail", "-c", script]);
        self.command(gate, needs, command)
    }

    fn command(mut self, gate: &str, needs: &[&str], command: Command) -> Self {
        let command = command.environment(self.plan.environment.variables());
        self.plan.gates.push(PlannedGate {
            name: name(gate),
            command,
            needs: needs.iter().map(|need| name(need)).collect(),
            timeout: Duration::from_secs(60),
            retries: 0,
            services: Vec::new(),
            outputs: Vec::new(),
            report: None,
            root: self.directory.path().to_owned(),
        });
        self
    }

    /// Changes the gate added last.
    fn with(mut self, change: impl FnOnce(&mut PlannedGate)) -> Self {
        change(self.plan.gates.last_mut().unwrap());
        self
    }

    async fn run(&mut self) -> GatesReport {
        run_gates(self.plan.clone(), self.context.clone()).await
    }

    /// Returns each gate's outcome as one line of text.
    async fn outcomes(&mut self) -> String {
        told(&self.run().await)
    }

    fn take_events(&mut self) -> Vec<EventKind> {
        let mut taken = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            taken.push(event.kind);
        }
        taken
    }

    fn lines(&mut self) -> Vec<String> {
        let line = |kind| match kind {
            EventKind::GateLine { line, .. } => Some(line),
            _ => None,
        };
        self.take_events().into_iter().filter_map(line).collect()
    }

    /// Waits until a gate has written a line.
    async fn saw_line(&mut self, wanted: &str) {
        while let Some(event) = self.events.recv().await {
            if matches!(&event.kind, EventKind::GateLine { line, .. } if line == wanted) {
                return;
            }
        }
    }

    fn script(&self, file: &str, text: &str) -> PathBuf {
        let path = self.path().join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn told(report: &GatesReport) -> String {
    report.gates.iter().fold(String::new(), |mut text, gate| {
        let _ = writeln!(text, "{}: {}", gate.name, gate.outcome);
        text
    })
}

/// Returns whether a process is there and is no zombie.
fn alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// Waits, bounded, until a process is gone: a kill takes effect a moment after it is sent.
async fn gone(pid: &str) -> bool {
    let watch = async {
        while alive(pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), watch).await.is_ok()
}

#[tokio::test]
async fn gates_run_in_the_order_of_their_needs_and_a_failure_stops_what_depends_on_it() {
    let mut gates = Gates::new()
        .gate("install", &[], "echo one > order")
        .gate("unit", &["install"], "echo two >> order; exit 3")
        .gate("lint", &["install"], "true")
        .gate("e2e", &["unit", "lint"], "echo never >> order")
        .gate("report", &["e2e"], "true");
    insta::assert_snapshot!(gates.outcomes().await, @r"
    install: passed
    unit: failed with exit code 3
    lint: passed
    e2e: not started: unit failed with exit code 3
    report: not started: unit failed with exit code 3
    ");
    assert_eq!(std::fs::read_to_string(gates.path().join("order")).unwrap(), "one\ntwo\n");
}

#[tokio::test]
async fn gates_that_need_nothing_of_each_other_run_at_once_up_to_the_limit() {
    // Each waits for the other's file: they end only if both run at the same time.
    let meet = |mine: &str, other: &str| format!("touch {mine}; until [ -e {other} ]; do :; done");
    let mut gates = Gates::new().gate("left", &[], &meet("l", "r")).gate("right", &[], &meet("r", "l"));
    assert!(gates.run().await.passed());

    let busy = "mkdir busy && rmdir busy";
    let mut gates = Gates::new().gate("a", &[], busy).gate("b", &[], busy).gate("c", &[], busy);
    gates.plan.parallel = 1;
    assert!(gates.run().await.passed());
}

#[tokio::test]
async fn every_way_to_end_has_a_name() {
    let gates = Gates::new();
    let plain = gates.path().join("plain.txt");
    std::fs::write(&plain, "text").unwrap();
    gates.script("orphan.sh", "#!/no/such/interpreter\n");
    let here = gates.path().to_owned();
    let mut gates = gates
        .gate("passed", &[], "true")
        .gate("failed", &[], "exit 7")
        .gate("pipe", &[], "false | true")
        .gate("signalled", &[], "kill -SEGV $$")
        .gate("late", &[], "sleep 600 & wait")
        .with(|gate| gate.timeout = Duration::from_millis(300))
        .command("unknown", &[], Command::new("no-such-program", &here))
        .command("plain", &[], Command::new(plain, &here))
        .command("interpreter", &[], Command::new("./orphan.sh", &here))
        .command("nowhere", &[], Command::new("true", here.join("missing")))
        .gate("output", &[], "touch made; mkdir out")
        .with(|gate| gate.outputs = ["made", "out/", "m*e", "dist/*.js"].map(str::to_owned).to_vec());
    let outcomes = gates.outcomes().await;
    insta::with_settings!({filters => vec![(here.to_str().unwrap(), "[DIR]")]}, {
        insta::assert_snapshot!(outcomes, @r"
        passed: passed
        failed: failed with exit code 7
        pipe: failed with exit code 1
        signalled: ended by signal 11
        late: took longer than its timeout of 300ms
        unknown: could not be started: no-such-program: command not found
        plain: could not be started: [DIR]/plain.txt: not executable
        interpreter: could not be started: ./orphan.sh: the interpreter named in its first line is not there
        nowhere: could not be started: the directory [DIR]/missing is not there
        output: passed, but its declared output dist/*.js is not there
        ");
    });
}

#[tokio::test]
async fn a_timeout_ends_the_whole_process_group() {
    let mut gates = Gates::new().gate(
        "stubborn",
        &[],
        "trap '' TERM; (trap '' TERM; echo $BASHPID > pid; while :; do sleep 1; done) & wait; wait; wait",
    );
    gates.context.grace = Duration::from_millis(200);
    gates.plan.gates[0].timeout = Duration::from_millis(500);
    let report = gates.run().await;
    assert_eq!(report.gates[0].outcome, GateOutcome::TimedOut { limit_ms: 500 });
    assert!(gone(&std::fs::read_to_string(gates.path().join("pid")).unwrap()).await);
}

#[tokio::test]
async fn a_process_left_behind_with_the_output_open_makes_the_gate_leaky_and_is_ended() {
    let mut gates = Gates::new().gate("leaky", &[], "sleep 600 & echo $! > pid; echo done");
    assert_eq!(gates.outcomes().await, "leaky: passed, but left a process behind that kept its output open\n");
    assert_eq!(gates.lines(), ["done"]);
    assert!(gone(&std::fs::read_to_string(gates.path().join("pid")).unwrap()).await);
}

#[tokio::test]
async fn a_process_that_left_the_group_cannot_hang_the_run() {
    let mut gates = Gates::new().gate("escaped", &[], "setsid bash -c 'echo $$ > pid; exec sleep 600' & until [ -s pid ]; do :; done");
    let report = tokio::time::timeout(Duration::from_secs(30), gates.run()).await.unwrap();
    assert_eq!(report.gates[0].outcome, GateOutcome::Leaky);
    let pid = std::fs::read_to_string(gates.path().join("pid")).unwrap();
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()), nix::sys::signal::Signal::SIGKILL);
}

#[tokio::test]
async fn output_is_streamed_masked_and_told_with_the_gates_name_and_time() {
    let mut gates = Gates::new().gate("talk", &[], "printf 'one hunt'; printf 'er22\\rtwo\\r\\nthree'; echo err >&2; exit 1");
    let _ = gates.context.masker.learn(&Secret::new("hunter22"));
    let report = gates.run().await;
    let mut out = String::new();
    for event in gates.take_events() {
        match event {
            EventKind::GateLine { gate, stream, line, since } if since < Duration::from_secs(60) => {
                let _ = writeln!(out, "{gate} {stream:?} {line}");
            }
            EventKind::GateStarted { gate, attempt } => {
                let _ = writeln!(out, "{gate} started {attempt}");
            }
            EventKind::GateFinished { gate, outcome, attempts, last_lines, .. } => {
                let _ = writeln!(out, "{gate} {} {attempts} {}", outcome.as_str(), last_lines.len());
            }
            other => panic!("{other:?}"),
        }
    }
    // Two pipes have no order between them.
    let mut lines: Vec<_> = out.lines().collect();
    let last = lines.len() - 1;
    lines[1..last].sort_unstable();
    assert_eq!(
        lines,
        ["talk started 1", "talk Stderr err", "talk Stdout one ***", "talk Stdout three", "talk Stdout two", "talk failed 1 4"]
    );
    assert_eq!(report.gates[0].last_lines.len(), 4);
}

#[tokio::test]
async fn a_gate_that_passes_later_is_flaky_and_its_failures_are_told() {
    let mut gates = Gates::new().gate("flaky", &[], "echo x >> tries; [ $(wc -l < tries) -ge 3 ]").with(|gate| gate.retries = 5);
    let report = gates.run().await;
    assert_eq!((&report.gates[0].outcome, report.gates[0].attempts), (&GateOutcome::Flaky, 3));
    let failed = |kind: &EventKind| matches!(kind, EventKind::GateAttemptFailed { outcome: GateOutcome::Failed { code: 1 }, .. });
    assert_eq!(gates.take_events().iter().filter(|kind| failed(kind)).count(), 2);
    let mut gates = Gates::new().gate("gone", &[], "exit 1").with(|gate| gate.retries = 2);
    assert_eq!(gates.run().await.gates[0].attempts, 3);
}

#[tokio::test]
async fn a_cancellation_asks_the_group_to_end_and_starts_nothing_more() {
    let script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let mut gates = Gates::new().gate("first", &[], script).gate("second", &["first"], "touch never");
    let (plan, context) = (gates.plan.clone(), gates.context.clone());
    let shutdown = context.shutdown.clone();
    let run = tokio::spawn(run_gates(plan, context));
    gates.saw_line("ready").await;
    shutdown.raise(Level::Drain);
    let report = run.await.unwrap();
    assert_eq!(told(&report), "first: cancelled\nsecond: not started: the run was cancelled\n");
    assert!(report.cancelled());
    // The shell may tell of the `sleep` that the group's signal ended first.
    assert_eq!(gates.lines().last().unwrap(), "asked");
    assert!(!gates.path().join("never").exists());
}

#[tokio::test]
async fn a_second_cancellation_does_not_wait() {
    let mut gates = Gates::new().gate("deaf", &[], "trap '' TERM; echo ready; while :; do sleep 0.02; done");
    gates.context.grace = Duration::from_secs(600);
    let (plan, context) = (gates.plan.clone(), gates.context.clone());
    let shutdown = context.shutdown.clone();
    let run = tokio::spawn(run_gates(plan, context));
    gates.saw_line("ready").await;
    shutdown.raise(Level::Drain);
    shutdown.raise(Level::Now);
    let report = tokio::time::timeout(Duration::from_secs(30), run).await.unwrap().unwrap();
    assert_eq!(report.gates[0].outcome, GateOutcome::Cancelled);
}

#[tokio::test]
async fn a_gate_that_never_stops_writing_is_ended_by_its_timeout() {
    let mut gates = Gates::new().gate("flood", &[], "yes").with(|gate| gate.timeout = Duration::from_millis(200));
    assert_eq!(gates.run().await.gates[0].outcome, GateOutcome::TimedOut { limit_ms: 200 });
}

#[tokio::test]
async fn standard_input_is_closed() {
    let mut gates = Gates::new().gate("reads", &[], "read -r line || echo closed");
    assert!(gates.run().await.passed());
    assert_eq!(gates.lines(), ["closed"]);
}

#[tokio::test]
async fn the_board_tells_when_needs_have_passed_while_others_run() {
    let mut gates = Gates::new().gate("quick", &[], "true").gate("slow", &[], "until [ -e go ]; do sleep 0.02; done; exit 1");
    let board = gates.context.board.clone();
    let run = tokio::spawn(run_gates(gates.plan.clone(), gates.context.clone()));
    assert_eq!(board.all_passed(&[name("quick")]).await, Ok(()));
    std::fs::write(gates.path().join("go"), "").unwrap();
    let refused = board.all_passed(&[name("quick"), name("slow")]).await.unwrap_err();
    assert_eq!(refused.to_string(), "the gate slow did not pass: failed with exit code 1");
    let _ = run.await.unwrap();
    assert!(board.all_passed(&[name("other")]).await.is_err());
    gates.events.close();
}

#[tokio::test]
async fn the_shells_words_come_from_the_manifest() {
    use cutover::manifest::{Gate, Manifest, Run};
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    let gate = |run, below: Option<&str>, needs: &[&str]| Gate {
        run,
        needs: needs.iter().map(|need| name(need)).collect(),
        directory: below.map(PathBuf::from),
        timeout: Duration::from_secs(60),
        retries: 0,
        variables: vec!["API_URL".to_owned()],
        env: [("OWN".to_owned(), "mine".to_owned())].into_iter().collect(),
        inputs: Vec::new(),
        except: Vec::new(),
        outputs: Vec::new(),
        report: None,
        services: Vec::new(),
    };
    let words = ["test", "-e", "marker"].map(str::to_owned).to_vec();
    let script = r#"[ "$API_URL $OWN $CI" = "https://x mine true" ] && touch sub/marker"#;
    let manifest = Manifest {
        product: name("p"),
        gates: [
            (name("check"), gate(Run::Words(words), Some("sub"), &["make"])),
            (name("make"), gate(Run::Shell(script.to_owned()), None, &[])),
            (name("other"), gate(Run::Shell("exit 1".to_owned()), None, &[])),
        ]
        .into_iter()
        .collect(),
        services: indexmap::IndexMap::new(),
        images: indexmap::IndexMap::new(),
        targets: indexmap::IndexMap::new(),
        environments: indexmap::IndexMap::new(),
    };
    let variables = BTreeMap::from([("API_URL".to_owned(), "https://x".to_owned()), ("UNUSED".to_owned(), String::new())]);
    let inherited = std::env::vars_os().filter(|(key, _)| key != "CI");
    let environment = gate_environment(inherited, &BTreeSet::new());
    let plan = GatePlan::new(&manifest, &[name("check")], directory.path(), environment, &variables, None);
    assert_eq!(plan.gates.len(), 2);
    let gates = Gates::new();
    assert_eq!(told(&run_gates(plan, gates.context.clone()).await), "check: passed\nmake: passed\n");
}

fn inherited(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn shown(environment: &Environment) -> Vec<String> {
    environment.variables().map(|(key, value)| format!("{}={}", key.display(), value.display())).collect()
}

#[test]
fn without_a_deploy_credential_gates_inherit_all_but_tokens() {
    let secrets = BTreeSet::from(["DATABASE_URL".to_owned()]);
    let variables = inherited(&[
        ("PATH", "/bin"),
        ("MY_TOOL", "1"),
        ("DATABASE_URL", "postgres://production"),
        ("GITHUB_TOKEN", "t"),
        ("GH_TOKEN", "t"),
        ("GITHUB_SHA", "abc"),
        ("GITHUB_ENV", "/f"),
        ("ACTIONS_RUNTIME_TOKEN", "t"),
        ("VERCEL_TOKEN", ""),
        ("CI", "1"),
    ]);
    let environment = gate_environment(variables, &secrets);
    assert_eq!(environment.restricted_by, None);
    assert_eq!(shown(&environment), ["CI=1", "GITHUB_SHA=abc", "MY_TOOL=1", "PATH=/bin"]);
    assert_eq!(environment.withheld, ["ACTIONS_RUNTIME_TOKEN", "DATABASE_URL", "GH_TOKEN", "GITHUB_ENV", "GITHUB_TOKEN", "VERCEL_TOKEN"]);
}

#[test]
fn with_a_deploy_credential_gates_get_an_allow_list() {
    for credential in ["FLY_API_TOKEN", "VERCEL_TOKEN", "AWS_SECRET_ACCESS_KEY", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
        let variables = inherited(&[("PATH", "/bin"), ("MY_TOOL", "1"), ("LC_ALL", "C"), ("AWS_REGION", "x"), (credential, "t")]);
        let environment = gate_environment(variables, &BTreeSet::new());
        assert_eq!(environment.restricted_by.as_deref(), Some(credential));
        assert_eq!(shown(&environment), ["CI=true", "LC_ALL=C", "PATH=/bin"]);
        assert!(environment.withheld.contains(&"MY_TOOL".to_owned()));
    }
}

#[test]
fn no_line_of_a_gate_is_a_command_to_the_runner() {
    for line in [
        "::set-output name=url::x",
        "  \t::add-mask::x",
        "a ##[error]b",
        "#\u{7}#[error]x",
        "\u{7}::error::x",
        "\u{a0}::error::x",
        "a\r::error::x",
    ] {
        for colour in [Colour::Keep, Colour::Strip] {
            let safe = relayable(line, colour);
            assert!(!safe.trim_start().starts_with("::") && !safe.contains("##[") && !safe.contains(['\r', '\n', '\u{7}']), "{safe:?}");
        }
    }
    for line in ["plain: text", "std::env::var", "# [x] ## [y]", "täb\tand ünïcode"] {
        assert_eq!(relayable(line, Colour::Strip), line);
        assert!(matches!(neutral(line), std::borrow::Cow::Borrowed(_)));
    }
}

#[test]
fn control_sequences_go_and_colours_stay_if_asked() {
    let line = "\u{1b}[2K\u{1b}[1;32mok\u{1b}[0m \u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{7} \u{1b}[?25l\u{1b}(Bend\u{1b}[3";
    assert_eq!(relayable(line, Colour::Keep), "\u{1b}[1;32mok\u{1b}[0m link Bend");
    assert_eq!(relayable(line, Colour::Strip), "ok link Bend");
}

#[tokio::test]
async fn long_lines_come_in_pieces_at_character_borders() {
    let began = tokio::time::Instant::now();
    let mut splitter = LineSplitter::new(Pipe::Stdout, began, 5);
    let mut lines: Vec<_> = splitter.push("aaaäbbbbb\nßßßß\r".as_bytes()).into_iter().map(|line| line.text).collect();
    lines.extend(splitter.push(b"\nx\n\n").into_iter().map(|line| line.text));
    lines.extend(splitter.push(b"\xff\xfeend").into_iter().map(|line| line.text));
    assert!(splitter.finish().is_none());
    assert_eq!(lines, ["aaaä", "bbbbb", "", "ßß", "ßß", "x", "", "\u{fffd}\u{fffd}end"]);
}

#[tokio::test]
async fn a_command_can_be_asked_for_its_answer() {
    let command = Command::new("bash", "/").words(["-c", "echo out; echo why >&2; exit 4"]).environment([("PATH", "/usr/bin:/bin")]);
    let captured = capture(&command, &Bounds::default(), &Shutdown::default(), &Masker::new()).await.unwrap();
    assert_eq!(captured.ended, Ended::Exited { code: 4, leaky: false });
    assert_eq!((captured.stdout.as_str(), captured.reason().as_str()), ("out\n", "why"));
}

/// A stand-in for the Docker client that notes what it was asked.
const CLIENT: &str = r#"#!/bin/bash
echo "$@" >> "$(dirname "$0")/asked"
case "$1" in
  run) echo id ;;
  inspect) cat "$(dirname "$0")/state" ;;
  port) cat "$(dirname "$0")/address" ;;
  logs) echo 'cannot bind' ;;
esac
"#;

fn with_service(gates: Gates) -> Gates {
    let service = Service { image: "redis:7".to_owned(), port: 6379, provides: "REDIS_URL".to_owned() };
    gates.with(|gate| gate.services = vec![PlannedService { name: name("redis"), service }])
}

#[tokio::test]
async fn a_service_runs_beside_its_gate_and_is_removed_after_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let mut gates = with_service(Gates::new().gate("integration", &[], "echo $REDIS_URL; exit 1"));
    gates.plan.engine = gates.script("docker", CLIENT).into();
    std::fs::write(gates.path().join("state"), "running \n").unwrap();
    std::fs::write(gates.path().join("address"), format!("{address}\n")).unwrap();
    assert_eq!(gates.outcomes().await, "integration: failed with exit code 1\n");
    assert_eq!(gates.lines(), [format!("redis://{address}")]);
    let asked = std::fs::read_to_string(gates.path().join("asked")).unwrap();
    insta::with_settings!({filters => vec![(r"redis-[a-z2-7]{8}", "redis-[ID]")]}, {
        insta::assert_snapshot!(asked, @r"
        run -d --init --name cutover-integration-redis-[ID] --label cutover.gate=integration -p 127.0.0.1::6379 redis:7
        inspect -f {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}} cutover-integration-redis-[ID]
        port cutover-integration-redis-[ID] 6379/tcp
        rm -f -v cutover-integration-redis-[ID]
        ");
    });
    serving.abort();
}

#[tokio::test]
async fn a_service_that_cannot_be_had_says_why() {
    let mut gates = with_service(Gates::new().gate("integration", &[], "touch never"));
    insta::assert_snapshot!(gates.outcomes().await, @"integration: its service redis could not be started: there is no Docker client: /no/docker: command not found");
    gates.plan.engine = gates.script("docker", CLIENT).into();
    std::fs::write(gates.path().join("state"), "exited \n").unwrap();
    insta::assert_snapshot!(gates.outcomes().await, @"integration: its service redis could not be started: the container ended at once: cannot bind");
    gates.plan.engine = gates.script("refuses", "#!/bin/bash\necho 'Cannot connect to the Docker daemon.' >&2; exit 1\n").into();
    insta::assert_snapshot!(gates.outcomes().await, @"integration: its service redis could not be started: docker run: Cannot connect to the Docker daemon.");
    assert!(!gates.path().join("never").exists());
}

#[tokio::test]
async fn signals_become_levels() {
    let shutdown = Shutdown::default();
    let listening = shutdown.listen().unwrap();
    let raise = |signal| nix::sys::signal::kill(nix::unistd::Pid::this(), signal).unwrap();
    raise(nix::sys::signal::Signal::SIGINT);
    shutdown.at_least(Level::Drain).await;
    assert_eq!(shutdown.level(), Level::Drain);
    raise(nix::sys::signal::Signal::SIGTERM);
    shutdown.at_least(Level::Now).await;
    shutdown.raise(Level::None);
    assert_eq!(shutdown.level(), Level::Now);
    listening.abort();
}
