//! What a run tells, in every form: from one stream of events with fixed times.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::event::{
    Event, EventKind, GateOutcome, Level, Monthly, Outcome, Phase, Place, Serving, Side, SnapshotTaken, Stream, TargetSummary, TestCase,
    TestResults, Verdict,
};
use cutover::http::Platform;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::mask::Masker;
use cutover::report::actions::{ActionsLog, harmless};
use cutover::report::comment::{Links, MAX_CHARACTERS, comment};
use cutover::report::html::html;
use cutover::report::json::JsonLines;
use cutover::report::markdown;
use cutover::report::outputs::{outputs, render_outputs};
use cutover::report::summary::{MAX_BYTES, summary};
use cutover::report::terminal::Terminal;
use cutover::report::{Receipt, Report, Sink, Sinks};

/// Texts by which somebody could try to be more than text.
const HOSTILE: &[&str] = &[
    "@everyone look at #1 and acme/other#7 and GH-9",
    "[click](https://evil.example) ![x](https://evil.example/x.png) <https://evil.example> www.evil.example https://evil.example",
    "<img src=x onerror=alert(1)><script>alert(1)</script><!-- cutover:end -->",
    "a | b\n| c | d |\n\n# heading\n```\nfence",
    "::error::fake ::set-output name=x::y",
    "##[set-output name=url]evil",
    "x\r::error file=a::b\r\n::stop-commands::t",
    "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31mred\u{1b}[0m\u{202e}gnp.exe",
    "`code` ``more`` \\` $x^2$ &lt; :smile: *b* _i_ ~s~",
];

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn events(kinds: Vec<(u64, EventKind)>) -> Vec<Event> {
    let began: jiff::Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
    let event = |(at, kind)| {
        let elapsed = Duration::from_millis(at);
        Event { at: began + elapsed, elapsed, kind }
    };
    kinds.into_iter().map(event).collect()
}

fn begun(trigger: &str) -> EventKind {
    EventKind::RunStarted {
        product: name("autoswe"),
        environment: Some(name("production")),
        commit: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".to_owned(),
        trigger: trigger.to_owned(),
    }
}

fn gate(gate: &str, began: u64, took: u64, outcome: GateOutcome, last: &[&str]) -> Vec<(u64, EventKind)> {
    vec![
        (began, EventKind::GateStarted { gate: name(gate), attempt: 1 }),
        (
            began + took,
            EventKind::GateFinished {
                gate: name(gate),
                outcome,
                duration: Duration::from_millis(took),
                attempts: 1,
                last_lines: last.iter().map(|line| (*line).to_owned()).collect(),
            },
        ),
    ]
}

fn target(target: &str, platform: Platform, thing: &str) -> TargetSummary {
    TargetSummary {
        name: name(target),
        platform,
        thing: thing.to_owned(),
        url: Some(format!("https://{thing}.example")),
        before: Some("v12".to_owned()),
        after: Some("v13".to_owned()),
        carried: false,
        cost: None,
        monthly: None,
    }
}

fn phase(phase: Phase, began: u64, took: u64, targets: &[&str], failure: Option<&str>) -> Vec<(u64, EventKind)> {
    let duration = Duration::from_millis(took);
    let failure = failure.map(str::to_owned);
    let mut all = vec![(began, EventKind::PhaseStarted { phase })];
    for target in targets {
        let failure = failure.clone();
        all.push((began + took, EventKind::TargetFinished { target: name(target), phase, duration, failure }));
    }
    all.push((began + took, EventKind::PhaseFinished { phase, duration, failure }));
    all
}

fn settled(target: &str, thing: &str, serves: Side) -> EventKind {
    EventKind::TargetSettled {
        target: name(target),
        before: Some("v12".to_owned()),
        after: Some("v13".to_owned()),
        serves,
        url: Some(format!("https://{thing}.example")),
        proven_from_outside: serves == Side::After,
        served_ms: None,
        seen_ms: None,
    }
}

fn ended(outcome: Outcome, exit_code: u8, serving: Serving) -> EventKind {
    EventKind::RunFinished {
        outcome,
        exit_code,
        serving,
        failure: None,
        hints: Vec::new(),
        requests: [(Platform::Fly, 31), (Platform::Vercel, 14)].into(),
    }
}

fn made() -> Vec<(u64, EventKind)> {
    let mut all = vec![(0, begun("push to main"))];
    all.extend(gate("test", 10, 4_200, GateOutcome::Passed, &[]));
    all.push((20, EventKind::BuildStarted { image: name("server"), builder: "buildx".to_owned() }));
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned();
    let duration = Duration::from_millis(9_480);
    all.push((9_500, EventKind::BuildFinished { image: name("server"), result: Ok(digest), size: Some(23_456_789), duration }));
    all.push((
        9_600,
        EventKind::ReleaseStarted {
            release: ReleaseId::from_text("r-20260304-050617-abcdef"),
            environment: name("production"),
            targets: vec![target("api", Platform::Fly, "autoswe-api"), target("web", Platform::Vercel, "autoswe-web")],
        },
    ));
    all
}

fn finished() -> Vec<Event> {
    let mut all = made();
    all.extend(phase(Phase::Prepare, 9_700, 6_000, &["api", "web"], None));
    all.push((
        15_800,
        EventKind::Checked {
            target: name("web"),
            check: "GET /".to_owned(),
            phase: Phase::Verify,
            verdict: Verdict::Pass,
            detail: "200 in 31 ms".to_owned(),
        },
    ));
    all.extend(phase(Phase::Verify, 15_700, 1_200, &["api", "web"], None));
    all.extend(phase(Phase::CutOver, 16_900, 800, &["api", "web"], None));
    all.extend(phase(Phase::Watch, 17_700, 10_000, &[], None));
    all.push((28_000, settled("api", "autoswe-api", Side::After)));
    all.push((28_000, settled("web", "autoswe-web", Side::After)));
    all.push((
        28_100,
        EventKind::ReleaseFinished {
            release: ReleaseId::from_text("r-20260304-050617-abcdef"),
            outcome: Outcome::Finished,
            serving: Serving::After,
            skew_ms: Some(640),
            skew_calls_ms: None,
            failure: None,
            hints: Vec::new(),
        },
    ));
    all.push((28_200, ended(Outcome::Finished, 0, Serving::After)));
    events(all)
}

fn rolled_back() -> Vec<Event> {
    let mut all = made();
    all.extend(phase(Phase::Prepare, 9_700, 6_000, &["api", "web"], None));
    let refused = "GET / of web answered 500 three times of three";
    all.push((
        16_000,
        EventKind::Checked {
            target: name("web"),
            check: "GET /".to_owned(),
            phase: Phase::Verify,
            verdict: Verdict::Fail,
            detail: "500 three times of three".to_owned(),
        },
    ));
    all.extend(phase(Phase::Verify, 15_700, 1_200, &["web"], Some(refused)));
    all.extend(phase(Phase::RollBack, 16_900, 700, &["web", "api"], None));
    all.push((18_000, settled("api", "autoswe-api", Side::Before)));
    all.push((18_000, settled("web", "autoswe-web", Side::Before)));
    all.push((
        18_100,
        EventKind::ReleaseFinished {
            release: ReleaseId::from_text("r-20260304-050617-abcdef"),
            outcome: Outcome::RolledBack,
            serving: Serving::Before,
            skew_ms: None,
            skew_calls_ms: None,
            failure: Some(format!("verify of web: {refused}")),
            hints: Vec::new(),
        },
    ));
    all.push((18_200, ended(Outcome::RolledBack, 3, Serving::Before)));
    events(all)
}

fn gates_failed(trigger: &str, lines: &[&str]) -> Vec<Event> {
    let mut all = vec![(0, begun(trigger))];
    all.extend(gate("lint", 0, 900, GateOutcome::Passed, &[]));
    for line in lines {
        let (gate, since) = (name("unit"), Duration::from_millis(1_250));
        all.push((1_300, EventKind::GateLine { gate, stream: Stream::Stdout, since, line: (*line).to_owned() }));
    }
    all.extend(gate("unit", 50, 3_000, GateOutcome::Failed { code: 101 }, lines));
    let because = "unit failed".to_owned();
    let outcome = GateOutcome::NotStarted { because };
    all.push((
        3_060,
        EventKind::GateFinished { gate: name("e2e"), outcome, duration: Duration::ZERO, attempts: 0, last_lines: Vec::new() },
    ));
    all.push((3_100, ended(Outcome::GatesFailed, 1, Serving::Before)));
    events(all)
}

fn stuck() -> Vec<Event> {
    let mut all = made();
    all.extend(phase(Phase::CutOver, 16_900, 800, &["web"], Some("web: promote was refused with 409")));
    all.push((18_000, settled("api", "autoswe-api", Side::After)));
    all.push((18_000, settled("web", "autoswe-web", Side::Unknown)));
    all.push((
        18_100,
        EventKind::ReleaseFinished {
            release: ReleaseId::from_text("r-20260304-050617-abcdef"),
            outcome: Outcome::Stuck,
            serving: Serving::Unknown,
            skew_ms: Some(1_000),
            skew_calls_ms: None,
            failure: Some("cut-over of web: promote was refused with 409".to_owned()),
            hints: vec![
                "cutover status production".to_owned(),
                "cutover recover production".to_owned(),
                "Vercel must serve v12 on web.".to_owned(),
            ],
        },
    ));
    all.push((18_200, ended(Outcome::Stuck, 4, Serving::Unknown)));
    events(all)
}

fn links() -> Links {
    Links {
        run: Some("https://github.com/acme/autoswe/actions/runs/812/attempts/1".to_owned()),
        commit: Some("https://github.com/acme/autoswe/commit/".to_owned()),
    }
}

/// Memory that a sink writes to and a test reads.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn told(sink: impl FnOnce(Box<dyn Write + Send>) -> Box<dyn Sink>, events: &[Event]) -> String {
    let paper = Paper::default();
    let mut sinks = Sinks::new(Masker::new(), vec![sink(Box::new(paper.clone()))]);
    for event in events {
        sinks.on(event);
    }
    sinks.end();
    paper.text()
}

fn terminal(events: &[Event], quiet: bool) -> String {
    told(|out| Box::new(Terminal::plain(out, quiet)), events)
}

fn actions(events: &[Event]) -> String {
    told(|out| Box::new(ActionsLog::new(out, false)), events)
}

#[test]
fn the_terminal_tells_a_release() {
    insta::assert_snapshot!(terminal(&finished(), false), @"
    autoswe → production
    push to main · 1a2b3c4d5e6f
    ▸ gate test started
    ✓ gate test passed 4.2 s
    ▸ image server is built by buildx
    ✓ image server is 0123456789ab, 23.4 MB 9.4 s

    release r-20260304-050617-abcdef
      api fly autoswe-api v12 → v13
      web vercel autoswe-web v12 → v13
    prepare
      ✓ api 6.0 s
      ✓ web 6.0 s
    ✓ prepare 6.0 s
      ✓ web GET / 200 in 31 ms
    verify
      ✓ api 1.2 s
      ✓ web 1.2 s
    ✓ verify 1.2 s
    cut over
      ✓ api 0.8 s
      ✓ web 0.8 s
    ✓ cut over 0.8 s
    watch
    ✓ watch 10 s

    ✓ production serves the new release on 2 targets.
      live now    The new release, on every target.
                  api https://autoswe-api.example
                  web https://autoswe-web.example
      to undo it  cutover rollback production
      took        28 s, the targets changed over within 0.6 s
    ");
}

#[test]
fn the_terminal_ends_a_failure_with_what_failed_what_is_live_and_what_to_type() {
    insta::assert_snapshot!(terminal(&rolled_back(), true), @"
      ✗ web GET / 500 three times of three
      ✗ web: GET / of web answered 500 three times of three 1.2 s
    ✗ verify: GET / of web answered 500 three times of three 1.2 s

    ✗ The release to production failed, and everything was rolled back.
      what failed verify of web: GET / of web answered 500 three times of three
      live now    What served before, on every target.
                  api https://autoswe-api.example
                  web https://autoswe-web.example
      what to do  mend what failed and push; or try this commit again: cutover release production
      took        18 s
    ");
    insta::assert_snapshot!(terminal(&gates_failed("push to main", &["thread 'adds' panicked at src/lib.rs:7"]), true), @"
    ✗ gate unit failed with exit code 101 3.0 s
      │ thread 'adds' panicked at src/lib.rs:7
    – gate e2e not started: unit failed

    ✗ 1 of 3 gates failed: unit. Nothing was touched.
      what failed unit failed with exit code 101
      live now    What served before this run.
      what to do  run what failed on your machine, mend it and push: cutover gates unit
      took        3.1 s
    ");
    insta::assert_snapshot!(terminal(&stuck(), true), @"
      ✗ web: web: promote was refused with 409 0.8 s
    ✗ cut over: web: promote was refused with 409 0.8 s

    ✗ The release to production is stuck: a person is needed.
      what failed cut-over of web: promote was refused with 409
      live now    api serves the new release; what web serves is not known.
                  api https://autoswe-api.example
                  web https://autoswe-web.example
      what to do  cutover status production
                  cutover recover production
                  Vercel must serve v12 on web.
      took        18 s, traffic was changed for 1.0 s
    ");
}

#[test]
fn quiet_says_nothing_but_the_end_of_what_went_well() {
    insta::assert_snapshot!(terminal(&finished(), true), @"

    ✓ production serves the new release on 2 targets.
      live now    The new release, on every target.
                  api https://autoswe-api.example
                  web https://autoswe-web.example
      to undo it  cutover rollback production
      took        28 s, the targets changed over within 0.6 s
    ");
}

#[test]
fn the_log_of_actions_has_groups_results_and_annotations() {
    let log = anstream::adapter::strip_str(&actions(&rolled_back())).to_string();
    insta::assert_snapshot!(log, @"
    autoswe → production
    push to main · 1a2b3c4d5e6f
    ::group::gates and images
    ▸ gate test started
    ✓ gate test passed 4.2 s
    ▸ image server is built by buildx
    ✓ image server is 0123456789ab, 23.4 MB 9.4 s
    ::endgroup::
    ✓ gate test passed 4.2 s
    ✓ image server is 0123456789ab, 23.4 MB 9.4 s

    release r-20260304-050617-abcdef
      api fly autoswe-api v12 → v13
      web vercel autoswe-web v12 → v13
    ::group::prepare
      ✓ api 6.0 s
      ✓ web 6.0 s
    ✓ prepare 6.0 s
    ::endgroup::
    ✓ prepare 6.0 s
    ::group::verify
      ✗ web GET / 500 three times of three
      ✗ web: GET / of web answered 500 three times of three 1.2 s
    ✗ verify: GET / of web answered 500 three times of three 1.2 s
    ::endgroup::
    ✗ verify: GET / of web answered 500 three times of three 1.2 s
    ::group::roll back
      ✓ web 0.7 s
      ✓ api 0.7 s
    ✓ roll back 0.7 s
    ::endgroup::
    ✓ roll back 0.7 s

    ✗ The release to production failed, and everything was rolled back.
      what failed verify of web: GET / of web answered 500 three times of three
      live now    What served before, on every target.
                  api https://autoswe-api.example
                  web https://autoswe-web.example
      what to do  mend what failed and push; or try this commit again: cutover release production
      took        18 s
    ::error title=cutover::The release to production failed, and everything was rolled back.%0AWhat failed: verify of web: GET / of web answered 500 three times of three%0ALive now: What served before, on every target.%0AWhat to do: mend what failed and push; or try this commit again: cutover release production
    ");
}

#[test]
fn no_output_of_a_gate_is_a_workflow_command() {
    let log = actions(&gates_failed("push to ::error::main\r::warning::x", HOSTILE));
    for line in log.split(['\r', '\n']) {
        assert!(!line.contains("##["), "{line:?}");
        let ours = ["::group::", "::endgroup::", "::error title="];
        assert!(!line.trim_start().starts_with("::") || ours.iter().any(|command| line.starts_with(command)), "{line:?}");
    }
    // Of our own commands, only as many as there are failures.
    assert_eq!(log.matches("\n::error title=").count(), 2, "{log}");
    assert!(!log.contains('\r'));
}

#[test]
fn a_line_stays_as_it_is_unless_it_is_a_command() {
    assert_eq!(harmless("a::b [##x] 5% ::"), "a::b [##x] 5% ::");
    assert_eq!(harmless("  ::error::x"), "\u{200b}  ::error::x");
    assert_eq!(harmless("x ##[error]y"), "x #\u{200b}#[error]y");
}

#[test]
fn at_most_ten_errors_are_annotated_and_the_last_is_the_ending() {
    let mut all = vec![(0, begun("push to main"))];
    for index in 0..15 {
        all.extend(gate(&format!("g{index}"), 0, 100, GateOutcome::Failed { code: 1 }, &["no"]));
    }
    all.push((200, ended(Outcome::GatesFailed, 1, Serving::Before)));
    let log = actions(&events(all));
    assert_eq!(log.matches("::error title=").count(), 10);
    assert!(log.lines().last().unwrap().starts_with("::error title=cutover::15 of 15 gates failed"), "{log}");
}

#[test]
fn the_comment_of_a_release_shows_what_changed_and_how_to_undo_it() {
    insta::assert_snapshot!(comment(&Report::of(&finished()), &links()), @"
    ### ✅ production serves the new release on 2 targets.

    **Live now:** The new release, on every target.

    | target | on | before → after | live now |
    |---|---|---|---|
    | api | fly `autoswe-api` | `v12` → `v13` | ✅ new release, proven from outside · [open](https://autoswe-api.example/) |
    | web | vercel `autoswe-web` | `v12` → `v13` | ✅ new release, proven from outside · [open](https://autoswe-web.example/) |

    The targets changed over within 0.6 s.

    **How to undo it:** `cutover rollback production` serves what served before again. The next push releases this change again unless `git revert 1a2b3c4d5e6f` (with `-m 1` for a merge) is pushed before.

    1 check passed.

    <details><summary>✅ 1 gate passed</summary>

    | gate | outcome | time | attempts |
    |---|---|--:|--:|
    | test | ✅ passed | 4.2 s | 1 |

    </details>

    | image | digest | size | change | built by | time |
    |---|---|--:|--:|---|--:|
    | server | `0123456789ab` | 23.4 MB | not known | buildx | 9.4 s |

    <details><summary>Timings: prepare 6.0 s · verify 1.2 s · cut over 0.8 s · watch 10 s</summary>

    ```mermaid
    gantt
        dateFormat x
        axisFormat %s s
        todayMarker off
        section gates
        test :10, 4200ms
        section images
        server :20, 9480ms
        section release
        prepare :9700, 6000ms
        verify :15700, 1200ms
        cut over :16900, 800ms
        watch :17700, 10000ms
        section api
        prepare :9700, 6000ms
        verify :15700, 1200ms
        cut over :16900, 800ms
        section web
        prepare :9700, 6000ms
        verify :15700, 1200ms
        cut over :16900, 800ms
    ```

    </details>

    <sub>commit [`1a2b3c4d5e6f`](https://github.com/acme/autoswe/commit/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d) · release `r-20260304-050617-abcdef` · started by push to main · 28 s · [log and summary](https://github.com/acme/autoswe/actions/runs/812/attempts/1)</sub>
    ");
}

#[test]
fn the_comment_of_a_failure_begins_with_what_to_do() {
    insta::assert_snapshot!(comment(&Report::of(&rolled_back()), &links()), @"
    ### ❌ The release to production failed, and everything was rolled back.

    **What to do**

    - mend what failed and push; or try this commit again: `cutover release production`

    **What failed:** verify of web: GET / of web answered 500 three times of three

    **Live now:** What served before, on every target.

    | target | on | before → after | live now |
    |---|---|---|---|
    | api | fly `autoswe-api` | `v12` → `v13` | what served before · [open](https://autoswe-api.example/) |
    | web | vercel `autoswe-web` | `v12` → `v13` | what served before · [open](https://autoswe-web.example/) |

    Checks: 0 passed, 1 to look at.

    | target | check | in | verdict | seen |
    |---|---|---|---|---|
    | web | `GET /` | verify | ❌ fail | 500 three times of three |

    <details><summary>✅ 1 gate passed</summary>

    | gate | outcome | time | attempts |
    |---|---|--:|--:|
    | test | ✅ passed | 4.2 s | 1 |

    </details>

    | image | digest | size | change | built by | time |
    |---|---|--:|--:|---|--:|
    | server | `0123456789ab` | 23.4 MB | not known | buildx | 9.4 s |

    <details><summary>Timings: prepare 6.0 s · verify 1.2 s · roll back 0.7 s</summary>

    ```mermaid
    gantt
        dateFormat x
        axisFormat %s s
        todayMarker off
        section gates
        test :10, 4200ms
        section images
        server :20, 9480ms
        section release
        prepare :9700, 6000ms
        verify :crit, 15700, 1200ms
        roll back :16900, 700ms
        section api
        prepare :9700, 6000ms
        roll back :16900, 700ms
        section web
        prepare :9700, 6000ms
        verify :crit, 15700, 1200ms
        roll back :16900, 700ms
    ```

    </details>

    <sub>commit [`1a2b3c4d5e6f`](https://github.com/acme/autoswe/commit/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d) · release `r-20260304-050617-abcdef` · started by push to main · 18 s · [log and summary](https://github.com/acme/autoswe/actions/runs/812/attempts/1)</sub>
    ");
    insta::assert_snapshot!(comment(&Report::of(&stuck()), &links()), @"
    ### ❌ The release to production is stuck: a person is needed.

    **What to do**

    - `cutover status production`
    - `cutover recover production`
    - Vercel must serve v12 on web.

    **What failed:** cut-over of web: promote was refused with 409

    **Live now:** api serves the new release; what web serves is not known.

    | target | on | before → after | live now |
    |---|---|---|---|
    | api | fly `autoswe-api` | `v12` → `v13` | ✅ new release, proven from outside · [open](https://autoswe-api.example/) |
    | web | vercel `autoswe-web` | `v12` → `v13` | ⚠️ not known · [open](https://autoswe-web.example/) |

    Traffic was changed for 1.0 s.

    <details><summary>✅ 1 gate passed</summary>

    | gate | outcome | time | attempts |
    |---|---|--:|--:|
    | test | ✅ passed | 4.2 s | 1 |

    </details>

    | image | digest | size | change | built by | time |
    |---|---|--:|--:|---|--:|
    | server | `0123456789ab` | 23.4 MB | not known | buildx | 9.4 s |

    <details><summary>Timings: cut over 0.8 s</summary>

    ```mermaid
    gantt
        dateFormat x
        axisFormat %s s
        todayMarker off
        section gates
        test :10, 4200ms
        section images
        server :20, 9480ms
        section release
        cut over :crit, 16900, 800ms
        section web
        cut over :crit, 16900, 800ms
    ```

    </details>

    <sub>commit [`1a2b3c4d5e6f`](https://github.com/acme/autoswe/commit/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d) · release `r-20260304-050617-abcdef` · started by push to main · 18 s · [log and summary](https://github.com/acme/autoswe/actions/runs/812/attempts/1)</sub>
    ");
}

#[test]
fn the_comment_of_failed_gates_shows_them_first_with_their_last_lines() {
    let report = Report::of(&gates_failed("pull request #12 (from a fork)", &["assertion failed: left == right", "```", "  left: 4"]));
    insta::assert_snapshot!(comment(&report, &Links::default()), @"
    ### ❌ 1 of 3 gates failed: unit. Nothing was touched.

    **What to do**

    - run what failed on your machine, mend it and push: `cutover gates unit`

    **What failed:** unit failed with exit code 101

    **Live now:** What served before this run.

    ❌ **unit** failed with exit code 101 after 3.0 s

    <details open><summary>The last 3 lines</summary>

    ````text
    assertion failed: left == right
    ```
      left: 4
    ````

    </details>

    | gate | outcome | time | attempts |
    |---|---|--:|--:|
    | unit | ❌ failed with exit code 101 | 3.0 s | 1 |
    | lint | ✅ passed | 0.9 s | 1 |
    | e2e | ▫️ not started: unit failed |  | 0 |

    <details><summary>Timings</summary>

    ```mermaid
    gantt
        dateFormat x
        axisFormat %s s
        todayMarker off
        section gates
        lint :0, 900ms
        unit :crit, 50, 3000ms
    ```

    </details>

    <sub>commit `1a2b3c4d5e6f` · started by pull request \\#\u{200b}12 (from a fork) · 3.1 s</sub>
    ");
}

#[test]
fn hostile_text_stays_text_in_markdown() {
    for (index, hostile) in HOSTILE.iter().enumerate() {
        let text = markdown::text(hostile);
        assert!(!text.contains(['\n', '\r', '\u{1b}', '\u{202e}']), "{index}: {text:?}");
        let text = text.replace("<span>\\$</span>", "");
        for (mark, _) in text.match_indices(['<', '[', ']', '`', '*', '_', '|', '>', '&', '$', '~']) {
            assert!(text[..mark].ends_with('\\'), "{index}: an unescaped {:?} in {text:?}", &text[mark..]);
        }
        for (mark, _) in text.match_indices('@') {
            assert!(text[mark + 1..].starts_with('\u{200b}'), "{index}: a mention in {text:?}");
        }
        assert!(!text.contains("https:") && !text.contains("www.evil"), "{index}: a link in {text:?}");
        let code = markdown::code(hostile);
        assert!(!code.contains('\n'), "{index}: {code:?}");
        let cell = markdown::cell_code(hostile);
        assert!(cell.match_indices('|').all(|(bar, _)| cell[..bar].ends_with('\\')), "{index}: {cell:?}");
    }
    insta::assert_snapshot!(markdown::text("@octocat #12 GH-3 a_b *c* | www.x.org"), @"@\u{200b}octocat \\#\u{200b}12 GH\u{200b}-3 a\\_b \\*c\\* \\| www\\.x.org");
    insta::assert_snapshot!(markdown::code("a ``b` c"), @"```a ``b` c```");
    insta::assert_snapshot!(markdown::link("open", "https://x.example/a b)c|<d>"), @"[open](https://x.example/a%20b%29c%7C%3Cd%3E)");
    insta::assert_snapshot!(markdown::link("open", "javascript:alert(1)"), @"open");
}

#[test]
fn no_line_of_a_log_ends_its_block() {
    let block = markdown::block(["```", "````text", "~~~", "<!-- cutover:end -->", "</details>"]);
    insta::assert_snapshot!(block, @"
    `````text
    ```
    ````text
    ~~~
    <!\u{2011}- cutover:end -->
    </details>
    `````
    ");
}

#[test]
fn the_comment_keeps_its_limit_by_leaving_the_least_important_out() {
    let long = "x".repeat(480);
    let lines: Vec<&str> = std::iter::repeat_n(long.as_str(), 3_000).collect();
    let mut all = vec![(0, begun("push to main"))];
    for index in 0..120 {
        all.extend(gate(&format!("gate-with-a-rather-long-name-{index}"), 0, 100, GateOutcome::Failed { code: 1 }, &lines[..60]));
        all.push((100, EventKind::Notice { level: Level::Note, code: "x::y", text: "a note ".repeat(40) }));
    }
    all.push((200, ended(Outcome::GatesFailed, 1, Serving::Before)));
    let report = Report::of(&events(all));
    let markdown = comment(&report, &links());
    assert!(markdown.chars().count() <= MAX_CHARACTERS, "{}", markdown.chars().count());
    assert!(markdown.starts_with("### ❌ 120 of 120 gates failed"));
    assert!(markdown.contains("left out for want of room; everything is [on the run's page]"), "{}", &markdown[..2_000]);
    assert!(summary(&report, &links()).len() <= MAX_BYTES);
}

fn with_tests(gate: &str, failed: u64, flaky: u64) -> EventKind {
    let case = |index: u64| TestCase {
        name: format!("cart › adds {index}"),
        flaky: index >= failed,
        message: format!("expected {index}\n  got nothing"),
        detail: "at a\n".repeat(900),
        place: index.is_multiple_of(2).then(|| Place { file: "src/a b#c.rs".to_owned(), line: 7 }),
    };
    let tests = TestResults { passed: 40, failed, skipped: 2, flaky, tests: (0..failed + flaky).map(case).take(200).collect() };
    EventKind::GateTests { gate: name(gate), tests }
}

/// The story of failed gates, with the tests of the one that failed.
fn tested(failed: u64, flaky: u64) -> Report {
    let mut events = gates_failed("push to main", &["the log"]);
    let at =
        events.iter().position(|event| matches!(&event.kind, EventKind::GateFinished { gate, .. } if gate.as_str() == "unit")).unwrap();
    let told = Event { kind: with_tests("unit", failed, flaky), ..events[at].clone() };
    events.insert(at, told);
    Report::of(&events)
}

#[test]
fn failed_tests_stand_before_everything_else_with_their_messages_and_places() {
    let markdown = comment(&tested(2, 1), &links());
    let shown = markdown.split("| gate |").next().unwrap();
    insta::assert_snapshot!(shown, @"
    ### ❌ 1 of 3 gates failed: unit. Nothing was touched.

    **What to do**

    - run what failed on your machine, mend it and push: `cutover gates unit`

    **What failed:** unit failed with exit code 101 (2 of 45 tests: cart › adds 0; cart › adds 1)

    **Live now:** What served before this run.

    ❌ **unit** failed with exit code 101 after 3.0 s (2 failed, 1 flaky, 40 passed, 2 skipped)

    `cart › adds 0` at [`src/a b#c.rs:7`](https://github.com/acme/autoswe/blob/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d/src/a%20b%23c.rs#L7)

    ```text
    expected 0
      got nothing
    ```

    `cart › adds 1`

    ```text
    expected 1
      got nothing
    ```

    <details><summary>The last line</summary>

    ```text
    the log
    ```

    </details>

    <details><summary>1 flaky test: passed, but not at once</summary>

    - `cart › adds 2` at [`src/a b#c.rs:7`](https://github.com/acme/autoswe/blob/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d/src/a%20b%23c.rs#L7)

    </details>
    ");
    insta::assert_snapshot!(actions(&{
        let mut events = gates_failed("push to main", &["the log"]);
        let told = Event { kind: with_tests("unit", 2, 1), ..events[2].clone() };
        events.insert(4, told);
        events
    }).lines().filter(|line| line.starts_with("::error") || line.starts_with("::warning")).collect::<Vec<_>>().join("\n"), @"
    ::error file=src/a b#c.rs,line=7,title=unit%3A cart › adds 0::expected 0%0A  got nothing
    ::warning file=src/a b#c.rs,line=7,title=unit%3A cart › adds 2::expected 2%0A  got nothing
    ::error title=gate unit::failed with exit code 101%0Athe log
    ::error title=cutover::1 of 3 gates failed: unit. Nothing was touched.%0AWhat failed: unit failed with exit code 101%0ALive now: What served before this run.%0AWhat to do: run what failed on your machine, mend it and push: cutover gates unit
    ");
}

#[test]
fn thousands_of_failed_tests_leave_the_comment_within_its_limit() {
    let report = tested(4_000, 300);
    let markdown = comment(&report, &links());
    assert!(markdown.chars().count() <= MAX_CHARACTERS);
    assert!(markdown.starts_with("### ❌ 1 of 3 gates failed: unit. Nothing was touched.\n\n**What to do**"));
    assert!(markdown.contains("3980 more failed tests"), "{}", &markdown[..3_000]);
    assert!(summary(&report, &links()).len() <= MAX_BYTES);
}

#[test]
fn what_it_costs_and_how_large_it_is_are_told_with_their_change() {
    let monthly = |usd, before| Some(Monthly { usd, before, prices_as_of: "2026-08".to_owned() });
    let line = |costs: [Option<Monthly>; 2]| {
        let mut report = Report::of(&finished());
        for (target, monthly) in report.targets.iter_mut().zip(costs) {
            target.monthly = monthly;
        }
        let markdown = comment(&report, &links());
        markdown.lines().find(|line| line.starts_with("**Cost")).unwrap_or("nothing").to_owned()
    };
    let all = [
        line([monthly(7.78, Some(5.0)), monthly(2.0, Some(2.0))]),
        line([monthly(7.78, Some(7.78)), None]),
        line([monthly(5.0, Some(7.5)), None]),
        line([monthly(5.0, None), monthly(1.0, Some(1.0))]),
        line([None, None]),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    **Cost:** <span>\\$</span>9.78 a month, +<span>\\$</span>2.78 (prices of 2026-08).
    **Cost:** <span>\\$</span>7.78 a month for api, unchanged (prices of 2026-08); the price of web is not known.
    **Cost:** <span>\\$</span>5.00 a month for api, −<span>\\$</span>2.50 (prices of 2026-08); the price of web is not known.
    **Cost:** <span>\\$</span>6.00 a month, where not everything had a price before (prices of 2026-08).
    nothing
    ");
    let sizes = |before| {
        let mut events = finished();
        let kind = EventKind::ImageShipped { image: name("server"), digest: "sha256:00".to_owned(), size: 23_456_789, before };
        let told = Event { kind, ..events[5].clone() };
        events.insert(6, told);
        let markdown = comment(&Report::of(&events), &links());
        markdown.lines().find(|line| line.starts_with("| server")).unwrap().to_owned()
    };
    insta::assert_snapshot!([sizes(Some(22_000_000)), sizes(Some(23_456_789)), sizes(Some(30_000_000)), sizes(None)].join("\n"), @"
    | server | `0123456789ab` | 23.4 MB | +1.4 MB (+6.6 %) | buildx | 9.4 s |
    | server | `0123456789ab` | 23.4 MB | unchanged | buildx | 9.4 s |
    | server | `0123456789ab` | 23.4 MB | −6.5 MB (−21.8 %) | buildx | 9.4 s |
    | server | `0123456789ab` | 23.4 MB | not known | buildx | 9.4 s |
    ");
}

#[test]
fn a_name_that_mermaid_knows_begins_no_statement_of_another_kind() {
    let mut all = vec![(0, begun("push to main"))];
    for word in ["title", "section", "click", "gantt-chart", "end", "unit"] {
        all.extend(gate(word, 0, 100, GateOutcome::Passed, &[]));
    }
    all.push((200, ended(Outcome::Finished, 0, Serving::Before)));
    let markdown = comment(&Report::of(&events(all)), &links());
    let bars: Vec<&str> = markdown.lines().filter(|line| line.ends_with("100ms")).collect();
    insta::assert_snapshot!(bars.join("\n"), @"
    \u{2060}title :0, 100ms
    \u{2060}section :0, 100ms
    \u{2060}click :0, 100ms
    \u{2060}gantt-chart :0, 100ms
    end :0, 100ms
    unit :0, 100ms
    ");
}

#[test]
fn the_summary_has_a_picture_of_the_times() {
    let summary = summary(&Report::of(&finished()), &links());
    let picture: String = summary
        .lines()
        .skip_while(|line| *line != "```mermaid")
        .take_while(|line| *line != "```")
        .map(|line| format!("{line}\n"))
        .collect();
    insta::assert_snapshot!(picture, @"
    ```mermaid
    gantt
        dateFormat x
        axisFormat %s s
        todayMarker off
        section gates
        test :10, 4200ms
        section images
        server :20, 9480ms
        section release
        prepare :9700, 6000ms
        verify :15700, 1200ms
        cut over :16900, 800ms
        watch :17700, 10000ms
        section api
        prepare :9700, 6000ms
        verify :15700, 1200ms
        cut over :16900, 800ms
        section web
        prepare :9700, 6000ms
        verify :15700, 1200ms
        cut over :16900, 800ms
    ");
}

#[test]
fn the_page_runs_nothing_and_fetches_nothing() {
    let events = gates_failed(HOSTILE[2], HOSTILE);
    let page = html(&Report::of(&events));
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
}

#[test]
fn the_receipt_is_what_the_schema_says() {
    let committed: serde_json::Value = serde_json::from_str(include_str!("../src/report/receipt.schema.json")).unwrap();
    assert_eq!(Receipt::schema(), committed, "run `cutover schema receipt > src/report/receipt.schema.json`");
    let validator = jsonschema::validator_for(&committed).unwrap();
    for run in [finished(), rolled_back(), gates_failed("push to main", HOSTILE), stuck()] {
        let receipt = serde_json::to_value(Receipt::of(&Report::of(&run)).unwrap()).unwrap();
        assert!(validator.is_valid(&receipt), "{:?}", validator.iter_errors(&receipt).map(|error| error.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn the_receipt_holds_what_the_run_did() {
    let receipt = Receipt::of(&Report::of(&rolled_back())).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&receipt).unwrap(), @r#"
    {
      "version": 1,
      "product": "autoswe",
      "release": "r-20260304-050617-abcdef",
      "environment": "production",
      "commit": "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d",
      "trigger": "push to main",
      "started": "2026-03-04T05:06:07Z",
      "duration_ms": 18200,
      "outcome": "rolled_back",
      "exit_code": 3,
      "serving": "before",
      "skew_ms": null,
      "skew_calls_ms": null,
      "failure": "verify of web: GET / of web answered 500 three times of three",
      "hints": [],
      "gates": [
        {
          "name": "test",
          "outcome": "passed",
          "words": "passed",
          "duration_ms": 4200,
          "attempts": 1,
          "started_ms": 10,
          "last_lines": []
        }
      ],
      "images": [
        {
          "name": "server",
          "builder": "buildx",
          "digest": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
          "failure": null,
          "size": 23456789,
          "started_ms": 20,
          "duration_ms": 9480
        }
      ],
      "targets": [
        {
          "name": "api",
          "platform": "fly",
          "thing": "autoswe-api",
          "before": "v12",
          "after": "v13",
          "serves": "before",
          "url": "https://autoswe-api.example",
          "proven_from_outside": false,
          "served_ms": null,
          "seen_ms": null,
          "carried": false,
          "steps": [
            {
              "name": "prepare",
              "duration_ms": 6000,
              "started_ms": 9700,
              "failure": null
            },
            {
              "name": "roll-back",
              "duration_ms": 700,
              "started_ms": 16900,
              "failure": null
            }
          ]
        },
        {
          "name": "web",
          "platform": "vercel",
          "thing": "autoswe-web",
          "before": "v12",
          "after": "v13",
          "serves": "before",
          "url": "https://autoswe-web.example",
          "proven_from_outside": false,
          "served_ms": null,
          "seen_ms": null,
          "carried": false,
          "steps": [
            {
              "name": "prepare",
              "duration_ms": 6000,
              "started_ms": 9700,
              "failure": null
            },
            {
              "name": "verify",
              "duration_ms": 1200,
              "started_ms": 15700,
              "failure": "GET / of web answered 500 three times of three"
            },
            {
              "name": "roll-back",
              "duration_ms": 700,
              "started_ms": 16900,
              "failure": null
            }
          ]
        }
      ],
      "phases": [
        {
          "name": "prepare",
          "duration_ms": 6000,
          "started_ms": 9700,
          "failure": null
        },
        {
          "name": "verify",
          "duration_ms": 1200,
          "started_ms": 15700,
          "failure": "GET / of web answered 500 three times of three"
        },
        {
          "name": "roll-back",
          "duration_ms": 700,
          "started_ms": 16900,
          "failure": null
        }
      ],
      "checks": [
        {
          "target": "web",
          "check": "GET /",
          "phase": "verify",
          "verdict": "fail",
          "detail": "500 three times of three"
        }
      ],
      "requests": {
        "fly": 31,
        "vercel": 14
      },
      "notices": []
    }
    "#);
}

#[test]
fn a_receipt_is_written_whole_read_back_and_refused_when_its_names_are_not_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    let report = Report::of(&finished());
    Receipt::of(&report).unwrap().write(&path).unwrap();
    assert_eq!(Receipt::read(&path).unwrap().into_report(), report);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
    let forged = std::fs::read_to_string(&path).unwrap().replace("\"test\"", "\"<img src=x>\"");
    std::fs::write(&path, forged).unwrap();
    insta::assert_snapshot!(Receipt::read(&path).unwrap_err().to_string().replace(&folder.path().display().to_string(), "[TEMP_DIR]"), @r#"[TEMP_DIR]/r.json is no receipt of version 1: "<img src=x>" is no name"#);
    assert!(Receipt::of(&Report::default()).is_err(), "a run that has not ended has no receipt");
}

#[test]
fn reports_of_several_jobs_become_one() {
    let mut gates = Report::of(&gates_failed("push to main", &["no"]));
    gates.outcome = Some(Outcome::Finished);
    gates.gates.retain(|gate| gate.name.as_str() == "lint");
    let mut release = Report::of(&finished());
    release.gates.clear();
    release.started = release.started.map(|started| started + Duration::from_secs(60));
    let whole = Report::merged(vec![gates, release]);
    assert_eq!(whole.outcome, Some(Outcome::Finished));
    assert_eq!(whole.gates.len(), 1);
    assert_eq!(whole.targets.len(), 2);
    assert_eq!(whole.phases[0].started_ms, 69_700);
    assert_eq!(whole.requests[&Platform::Fly], 62);
}

#[test]
fn no_value_of_an_output_defines_another_one() {
    let report = Report::of(&finished());
    let names: Vec<_> = outputs(&report).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    insta::assert_snapshot!(names.join("\n"), @r#"
    outcome=finished
    release=r-20260304-050617-abcdef
    urls={"api":"https://autoswe-api.example","web":"https://autoswe-web.example"}
    url_api=https://autoswe-api.example
    url_web=https://autoswe-web.example
    "#);
    let chance = Chance::seeded(1);
    let hostile = vec![("release".to_owned(), "x\noutcome=finished\nEOF\n".to_owned()), ("bad\nname".to_owned(), "y".to_owned())];
    let text = render_outputs(&hostile, &chance);
    let mut lines = text.lines();
    let delimiter = lines.next().unwrap().strip_prefix("release<<").unwrap().to_owned();
    assert!(delimiter.starts_with("ghadelimiter_") && delimiter.len() == 39);
    assert_eq!(lines.next_back(), Some(delimiter.as_str()));
    assert!(lines.all(|line| line != delimiter));
}

#[test]
fn secrets_are_masked_before_any_escaping_can_hide_them() {
    let masker = Masker::new();
    let secret = cutover::mask::Secret::new("s3cret_with*marks");
    let _ = masker.learn(&secret);
    let paper = Paper::default();
    let sinks: Vec<Box<dyn Sink>> = vec![
        Box::new(Terminal::plain(Box::new(paper.clone()), false)),
        Box::new(ActionsLog::new(Box::new(paper.clone()), false)),
        Box::new(JsonLines::new(paper.clone())),
    ];
    let mut sinks = Sinks::new(masker, sinks);
    let line = "token=s3cret_with*marks";
    let mut run = gates_failed(line, &[line]);
    run.insert(1, events(vec![(1, EventKind::Notice { level: Level::Warning, code: "x::y", text: line.to_owned() })]).remove(0));
    for event in &run {
        sinks.on(event);
    }
    let report = sinks.end();
    let receipt = serde_json::to_string(&Receipt::of(&report).unwrap()).unwrap();
    for text in [paper.text(), comment(&report, &links()), summary(&report, &links()), html(&report), receipt] {
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains("token="), "{text}");
    }
}

#[tokio::test]
async fn whoever_reports_elsewhere_gets_the_report_once_the_run_has_ended() {
    let mut sinks = Sinks::new(Masker::new(), Vec::new());
    let tally = sinks.tally();
    let waiting = tokio::spawn(async move { tally.finished().await });
    for event in &finished() {
        sinks.on(event);
    }
    assert_eq!(waiting.await.unwrap(), Report::of(&finished()));
}

#[test]
fn the_json_stream_is_one_value_a_line() {
    let paper = Paper::default();
    let mut sinks = Sinks::new(Masker::new(), vec![Box::new(JsonLines::new(paper.clone()))]);
    for event in &gates_failed("push to main", HOSTILE) {
        sinks.on(event);
    }
    let text = paper.text();
    let values: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.len(), gates_failed("push to main", HOSTILE).len());
    insta::assert_snapshot!(text.lines().next().unwrap(), @r#"{"at":"2026-03-04T05:06:07Z","elapsed":0,"kind":{"event":"run_started","product":"autoswe","environment":"production","commit":"1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d","trigger":"push to main"}}"#);
}

/// A release that ended with a check that fails on both sides; with one flaky check and one that it mends.
fn held() -> Vec<Event> {
    let mut all = made();
    let checked = |check: &str, phase, verdict, detail: &str| EventKind::Checked {
        target: name("web"),
        check: check.to_owned(),
        phase,
        verdict,
        detail: detail.to_owned(),
    };
    all.push((9_650, checked("GET /deep", Phase::Observe, Verdict::Fail, "2 of 2 failed; last: status 500")));
    all.push((9_660, checked("GET /old", Phase::Observe, Verdict::Fail, "2 of 2 failed; last: status 404")));
    all.extend(phase(Phase::Prepare, 9_700, 6_000, &["api", "web"], None));
    let mends = "2 of 2, slowest 3 ms; it failed on what served before: this release mends it";
    all.push((16_000, checked("GET /old", Phase::Verify, Verdict::Pass, mends)));
    all.push((16_000, checked("GET /", Phase::Verify, Verdict::Flaky, "2 of 3 passed; once: status 502")));
    let both = "2 of 2 failed; last: status 500; on what served before: 2 of 2 failed; last: status 500";
    all.push((16_000, checked("GET /deep", Phase::Verify, Verdict::Suspect, both)));
    all.push((18_000, settled("api", "autoswe-api", Side::Before)));
    all.push((18_000, settled("web", "autoswe-web", Side::Before)));
    all.push((
        18_100,
        EventKind::ReleaseFinished {
            release: ReleaseId::from_text("r-20260304-050617-abcdef"),
            outcome: Outcome::Held,
            serving: Serving::Before,
            skew_ms: None,
            skew_calls_ms: None,
            failure: Some("verify of web: the check GET /deep failed, and it fails on what served before as well".to_owned()),
            hints: vec!["find out why GET /deep of web fails on what serves now, then release again".to_owned()],
        },
    ));
    all.push((18_200, ended(Outcome::Held, 5, Serving::Before)));
    events(all)
}

#[test]
fn every_verdict_is_told_in_every_rendering() {
    let (events, words) = (
        held(),
        [
            "fails on what serves now",
            "flaky: passed, but not every time",
            "suspect: fails on what served before too",
            "this release mends it",
        ],
    );
    let report = Report::of(&events);
    let renderings = [
        ("terminal", terminal(&events, false), &words[..]),
        ("actions", actions(&events), &words[..]),
        // A pass is counted there, not listed.
        ("comment", comment(&report, &links()), &words[..3]),
        ("summary", summary(&report, &links()), &words[..3]),
        ("page", html(&report), &words[..]),
    ];
    for (rendering, text, words) in renderings {
        for word in words {
            assert!(text.contains(word), "{rendering} lacks {word:?}:\n{text}");
        }
        assert!(
            text.contains("The release to production is held: a check fails on what serves as well. No traffic has moved."),
            "{rendering}"
        );
        assert!(!text.contains("❌ fail"), "{rendering}: no check condemns this release");
    }
    let receipt = serde_json::to_value(Receipt::of(&report).unwrap()).unwrap();
    let verdicts: Vec<&str> = receipt["checks"].as_array().unwrap().iter().map(|check| check["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["fail", "fail", "pass", "flaky", "suspect"]);
}

#[test]
fn what_nothing_shows_is_told_as_not_proven_from_outside_in_every_rendering() {
    let mut events = finished();
    for event in &mut events {
        match &mut event.kind {
            EventKind::TargetSettled { target, proven_from_outside, served_ms, seen_ms, .. } => {
                *served_ms = Some(120);
                *proven_from_outside = target.as_str() == "web";
                *seen_ms = (*proven_from_outside).then_some(840);
            }
            EventKind::ReleaseFinished { skew_ms, skew_calls_ms, .. } => {
                *skew_ms = Some(1_640);
                *skew_calls_ms = Some(420);
            }
            _ => {}
        }
    }
    let report = Report::of(&events);
    let renderings = [
        ("terminal", terminal(&events, false)),
        ("actions", actions(&events)),
        ("comment", comment(&report, &links())),
        ("summary", summary(&report, &links())),
        ("page", html(&report)),
    ];
    for (rendering, text) in renderings {
        assert_eq!(text.matches("not proven from outside: by the platform's word").count(), 1, "{rendering}:\n{text}");
        let skew = "he targets changed over within 1.6 s (the calls themselves took 0.4 s)";
        assert!(text.contains(skew), "{rendering}:\n{text}");
        assert!(matches!(rendering, "terminal" | "actions") || text.contains("proven from outside after 0.8 s"), "{rendering}:\n{text}");
    }
    let receipt = serde_json::to_value(Receipt::of(&report).unwrap()).unwrap();
    assert_eq!((&receipt["skew_ms"], &receipt["skew_calls_ms"]), (&1_640.into(), &420.into()));
    let targets = receipt["targets"].as_array().unwrap();
    assert_eq!(
        (&targets[0]["proven_from_outside"], &targets[0]["served_ms"], &targets[0]["seen_ms"]),
        (&false.into(), &120.into(), &serde_json::Value::Null)
    );
    assert_eq!((&targets[1]["proven_from_outside"], &targets[1]["seen_ms"]), (&true.into(), &840.into()));
}

/// A release whose migration has ended in some way, and then went back.
fn migrated(breaking: bool, succeeded: bool, command: &str) -> Vec<Event> {
    let mut all = made();
    let of = "volume vol_1 of app autoswe-db".to_owned();
    let ended_with = if succeeded { "ended with exit code 0" } else { "ended with exit code 3" };
    all.push((
        9_900,
        EventKind::Migrated {
            target: name("api"),
            command: command.to_owned(),
            breaking,
            snapshots: vec![SnapshotTaken { id: "vs_1".to_owned(), of }],
            succeeded,
            ended: ended_with.to_owned(),
        },
    ));
    let failure = (!succeeded).then_some(ended_with);
    all.extend(phase(Phase::Migrate, 9_800, 100, &["api"], failure));
    let (outcome, code, side, serving) = if succeeded {
        (Outcome::Finished, 0, Side::After, Serving::After)
    } else {
        (Outcome::RolledBack, 3, Side::Before, Serving::Before)
    };
    all.extend([(10_000, settled("api", "autoswe-api", side)), (10_000, settled("web", "autoswe-web", side))]);
    all.push((10_100, ended(outcome, code, serving)));
    events(all)
}

#[test]
fn a_migration_is_told_alike_in_every_rendering() {
    for (breaking, succeeded) in [(false, true), (true, true), (false, false)] {
        let events = migrated(breaking, succeeded, "python -m migrate upgrade head");
        let report = Report::of(&events);
        let how = if succeeded { "ended with exit code 0" } else { "ended with exit code 3" };
        for (what, told) in [
            ("terminal", terminal(&events, false)),
            ("actions", actions(&events)),
            ("comment", comment(&report, &links())),
            ("summary", summary(&report, &links())),
            ("page", html(&report)),
        ] {
            for part in ["python -m migrate upgrade head", how, "vs_1", "volume vol_1 of app autoswe-db"] {
                assert!(told.contains(part) || told.contains(&part.replace('_', "\\_")), "{what} says nothing of {part}: {told}");
            }
            assert_eq!(told.contains("breaking"), breaking, "{what}: {told}");
        }
        let receipt: serde_json::Value = serde_json::to_value(Receipt::of(&report).unwrap()).unwrap();
        let migration = &receipt["targets"][0]["migration"];
        assert_eq!((&migration["breaking"], &migration["succeeded"]), (&breaking.into(), &succeeded.into()));
        assert_eq!(migration["snapshots"][0]["id"], "vs_1");
    }
}

#[test]
fn a_command_of_a_migration_is_text_in_the_page() {
    for hostile in HOSTILE {
        let page = html(&Report::of(&migrated(true, true, hostile)));
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains('\u{1b}'), "{page}");
    }
}
