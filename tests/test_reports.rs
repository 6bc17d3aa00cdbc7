//! Test reports of gates: the dialects of JUnit XML, what is hostile or broken in them, places in the repository, and what a gate makes of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover::clock::Clock;
use cutover::event::{EventKind, Events, GateOutcome, Place, TestResults};
use cutover::gate::test_report::junit::{Document, JunitError, MOST_DEPTH, read};
use cutover::gate::test_report::places::Places;
use cutover::gate::test_report::results;
use cutover::gate::{GateContext, GatePlan, PlannedGate, gate_environment, run_gates};
use cutover::id::{Chance, Name};
use cutover::mask::{Masker, Secret};
use cutover::process::Command;
use cutover::shutdown::Shutdown;

const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="9" time="1,234.5" hostname="h"><testcase classname="tests.test_sum" name="test_ok" time="0.001"/><testcase classname="tests.test_sum" name="test_sum[1-2]" file="tests/test_sum.py" line="4" time="0.001"><failure message="assert 3 == 4&#10; +  where 3 = sum([1, 2])">def test_sum():
&gt;       assert total == 4
E       assert 3 == 4

tests/test_sum.py:6: AssertionError</failure></testcase><testcase classname="tests.test_sum" name="test_later" time="0"><skipped type="pytest.xfail" message="" /></testcase><testcase classname="tests.test_sum" name="test_set_up"><error message="failed on setup with &quot;KeyError: 'x'&quot;">Traceback (most recent call last):
  File "/usr/lib/python3.11/runner.py", line 3, in run
  File "/app/tests/test_sum.py", line 9, in fixture
KeyError: 'x'</error></testcase><testcase classname="tests.test_sum" name="test_again"><rerun message="once">first try</rerun></testcase></testsuite></testsuites>"#;

const JEST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="jest tests" tests="3" failures="1" errors="0" time="2.1">
  <testsuite name="cart" errors="0" failures="1" skipped="0" tests="2">
    <testcase classname="cart adds" name="cart adds" time="0.01"></testcase>
    <testcase classname="cart removes" name="cart removes" time="0.01">
      <failure>Error: expect(received).toBe(expected) // Object.is equality

Expected: 0
Received: 1
    at Object.&lt;anonymous&gt; (/home/runner/work/shop/shop/web/cart.test.js:14:17)
    at node_modules/jest/run.js:3:1</failure>
    </testcase>
    <testcase classname="cart waits" name="cart waits"><skipped/></testcase>
  </testsuite>
</testsuites>"#;

const NEXTEST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0" uuid="6" timestamp="2026-01-01T00:00:00Z" time="0.3">
    <testsuite name="shop::it" tests="3" disabled="0" errors="0" failures="1">
        <testcase name="cart::fails" classname="shop::it" time="0.1">
            <failure message="thread 'cart::fails' (71) panicked at src/cart.rs:12:5" type="test failure">thread 'cart::fails' (71) panicked at src/cart.rs:12:5:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1`</failure>
        </testcase>
        <testcase name="cart::flaky" classname="shop::it"><flakyFailure message="timed out" type="test timeout"/></testcase>
        <testcase name="cart::never" classname="shop::it"><failure message="last"/><rerunFailure message="first"><stackTrace>x</stackTrace></rerunFailure></testcase>
    </testsuite>
</testsuites>"#;

const PLAYWRIGHT: &str = "<testsuites id=\"\" name=\"\" tests=\"1\" failures=\"1\" skipped=\"0\" errors=\"0\"><testsuite name=\"e2e/login.spec.ts\" hostname=\"chromium\"><testcase name=\"login › works\" classname=\"e2e/login.spec.ts\" time=\"3\"><failure message=\"login.spec.ts:8:5 works\" type=\"FAILURE\"><![CDATA[  [chromium] › e2e/login.spec.ts:8:5 › login › works\n\n    \u{1b}[31mError: \u{1b}[2mexpect(\u{1b}[22mlocator\u{1b}[2m)\u{1b}[22m failed\u{1b}[39m\n\n        at e2e/login.spec.ts:9:30]]></failure><system-out><![CDATA[\n[[ATTACHMENT|trace.zip]]\n]]></system-out></testcase></testsuite></testsuites>";

/// A repository with the files that the reports above name.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = ["tests/test_sum.py", "web/cart.test.js", "src/cart.rs", "e2e/login.spec.ts", "node_modules/jest/run.js", "sub/src/own.rs"];
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x\n").unwrap();
    }
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    folder
}

fn told(xml: &str) -> String {
    let folder = repository();
    let document = read(xml.as_bytes()).unwrap();
    shown(&results(vec![document], &Places::new(folder.path(), folder.path())))
}

fn shown(results: &TestResults) -> String {
    let mut lines = vec![results.words()];
    for test in &results.tests {
        let place = test.place.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
        lines.push(format!("{}{} at {place}: {}", if test.flaky { "flaky " } else { "" }, test.name, test.message.replace('\n', " / ")));
    }
    lines.join("\n")
}

#[test]
fn dialects_are_read() {
    insta::assert_snapshot!(told(PYTEST), @"
    2 failed, 1 flaky, 1 passed, 1 skipped
    tests.test_sum › test_sum[1-2] at tests/test_sum.py:5: assert 3 == 4 /  +  where 3 = sum([1, 2])
    tests.test_sum › test_set_up at tests/test_sum.py:9: failed on setup with \"KeyError: 'x'\"
    flaky tests.test_sum › test_again at nowhere: once
    ");
    insta::assert_snapshot!(told(JEST), @"
    1 failed, 1 passed, 1 skipped
    cart removes at web/cart.test.js:14: Error: expect(received).toBe(expected) // Object.is equality
    ");
    insta::assert_snapshot!(told(NEXTEST), @"
    2 failed, 1 flaky
    shop::it › cart::fails at src/cart.rs:12: assertion `left == right` failed / left: 1 / right: 2
    shop::it › cart::never at nowhere: last
    flaky shop::it › cart::flaky at nowhere: timed out
    ");
    insta::assert_snapshot!(told(PLAYWRIGHT), @"
    1 failed
    e2e/login.spec.ts › login › works at e2e/login.spec.ts:8: Error: expect(locator) failed
    ");
}

fn counts(document: &Document) -> (u64, u64, usize, usize) {
    let flaky = document.cases.iter().filter(|case| case.flaky).count();
    (document.passed, document.skipped, document.cases.len() - flaky, flaky)
}

#[test]
fn what_is_unusual_is_read_all_the_same() {
    let cases = [
        ("a lone suite", "<testsuite><testcase/></testsuite>", (1, 0, 0, 0)),
        (
            "suites in suites",
            "<testsuites><testsuite><testsuite><testcase name='a'/></testsuite><testcase name='b'/></testsuite></testsuites>",
            (2, 0, 0, 0),
        ),
        ("a failure and an error", "<testsuite><testcase name='a'><failure/><error/></testcase></testsuite>", (0, 0, 1, 0)),
        ("skipped and failed", "<testsuite><testcase name='a'><skipped/><failure/></testcase></testsuite>", (0, 0, 1, 0)),
        ("what was not run", "<testsuite><testcase name='a' status='notrun'/></testsuite>", (0, 1, 0, 0)),
        ("an error of the suite", "<testsuite name='s'><error message='no setup'/><testcase/></testsuite>", (1, 0, 1, 0)),
        ("wrong totals", "<testsuite tests='99' failures='98'><testcase/></testsuite>", (1, 0, 0, 0)),
        ("no quotes", "<testsuite tests=1><testcase name=a><failure message=x></failure></testcase></testsuite>", (0, 0, 1, 0)),
        ("names with a prefix", "<j:testsuite xmlns:j='x'><j:testcase><j:failure/></j:testcase></j:testsuite>", (0, 0, 1, 0)),
        (
            "control characters",
            "<testsuite><testcase name='a\u{1b}[31m\u{8}b'><failure>\u{0}\u{1b}[0mx\u{b}</failure></testcase></testsuite>",
            (0, 0, 1, 0),
        ),
        (
            "unknown entities",
            "<testsuite><testcase name='a &nbsp; &amp; b'><failure>&x; &#0; &#xZ; & &</failure></testcase></testsuite>",
            (0, 0, 1, 0),
        ),
        (
            "a comment and a declaration of processing",
            "<?xml-stylesheet href='x'?><!-- <a> --><testsuite><testcase/></testsuite>",
            (1, 0, 0, 0),
        ),
    ];
    for (what, xml, expected) in cases {
        let document = read(xml.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(counts(&document), expected, "{what}");
        for case in &document.cases {
            let text = format!("{}{}{}", case.name, case.message, case.text);
            assert!(text.chars().all(|character| !character.is_control() || character == '\n'), "{what}: {text:?}");
        }
    }
}

#[test]
fn a_file_whose_writer_died_counts_as_far_as_it_goes() {
    let whole = NEXTEST.as_bytes();
    let mut cut_anywhere = 0;
    for end in 0..whole.len() {
        match read(&whole[..end]) {
            Ok(document) => {
                let (passed, _, failed, flaky) = counts(&document);
                assert!(passed == 0 && failed <= 2 && flaky <= 1, "{end}: a broken file invents nothing");
                cut_anywhere += usize::from(document.cut);
            }
            Err(error) => assert!(end < 160, "{end}: {error}"),
        }
    }
    assert!(cut_anywhere > 700, "{cut_anywhere}");
}

#[test]
fn what_is_no_report_is_refused_with_a_reason() {
    let bomb = format!(
        "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY a 'ha'>{}]><testsuite><testcase name='&i;'/></testsuite>",
        "<!ENTITY b '&a;&a;&a;'>"
    );
    assert_eq!(read(bomb.as_bytes()), Err(JunitError::Doctype));
    assert_eq!(read(b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><testsuite/>"), Err(JunitError::Doctype));
    assert_eq!(read(b"<html><body>502</body></html>"), Err(JunitError::NotJunit { root: "html".to_owned() }));
    assert_eq!(read(b""), Err(JunitError::Empty));
    assert_eq!(read(b"nothing at all"), Err(JunitError::Empty));
    let deep = "<testsuite>".repeat(MOST_DEPTH + 1);
    assert_eq!(read(deep.as_bytes()), Err(JunitError::TooDeep));
}

#[test]
fn encodings_are_read_as_they_are_not_as_they_are_called() {
    let xml = |encoding: &str| {
        format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?><testsuite><testcase name=\"né\"><failure/></testcase></testsuite>")
    };
    let latin = |text: &str| text.chars().map(|character| character as u8).collect::<Vec<u8>>();
    let wide = |text: &str, big: bool| {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect::<Vec<u8>>()
    };
    let with_mark = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
    let cases = [
        ("UTF-8", xml("UTF-8").into_bytes()),
        ("UTF-8 with a mark", with_mark(b"\xef\xbb\xbf", xml("UTF-8").into_bytes())),
        ("UTF-8 that calls itself Latin-1", xml("ISO-8859-1").into_bytes()),
        ("UTF-8 that calls itself UTF-16", xml("UTF-16").into_bytes()),
        ("Latin-1", latin(&xml("ISO-8859-1"))),
        ("Windows-1252", latin(&xml("windows-1252"))),
        ("Latin-1 that says nothing", latin("<testsuite><testcase name='né'><failure/></testcase></testsuite>")),
        ("UTF-16, little end first", with_mark(b"\xff\xfe", wide(&xml("UTF-16"), false))),
        ("UTF-16, big end first", with_mark(b"\xfe\xff", wide(&xml("UTF-16"), true))),
        ("UTF-16 without a mark", wide(&xml("UTF-16"), false)),
    ];
    for (what, bytes) in cases {
        assert_eq!(read(&bytes).unwrap().cases[0].name, "né", "{what}");
    }
}

#[test]
fn places_are_files_of_the_repository_and_nothing_else() {
    let folder = repository();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.rs"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.rs"), folder.path().join("src/linked.rs")).unwrap();
    let root = folder.path().join("sub");
    let places = Places::new(&root, &root);
    let cases = [
        ("src/own.rs", Some("sub/src/own.rs")),
        ("./src/own.rs", Some("sub/src/own.rs")),
        ("../src/cart.rs", Some("src/cart.rs")),
        ("src/cart.rs", Some("src/cart.rs")),
        ("src\\cart.rs", Some("src/cart.rs")),
        ("/app/src/cart.rs", Some("src/cart.rs")),
        ("/home/runner/work/shop/shop/web/cart.test.js", Some("web/cart.test.js")),
        ("file:///builds/web/cart.test.js", Some("web/cart.test.js")),
        ("D:\\a\\shop\\web\\cart.test.js", Some("web/cart.test.js")),
        ("src", None),
        ("src/linked.rs", None),
        ("../../../../etc/passwd", None),
        ("/etc/passwd", None),
        ("node_modules/jest/run.js", None),
        ("/root/.cargo/registry/src/cart.rs", None),
        ("cart.rs", None),
        ("", None),
        ("/", None),
    ];
    for (path, expected) in cases {
        assert_eq!(places.resolve(path).as_deref(), expected, "{path}");
    }
    let frame = |text: &str| places.frame(text).map(|place| place.to_string());
    assert_eq!(frame("thread 'x' panicked at src/cart.rs:12:5:\nboom").as_deref(), Some("src/cart.rs:12"));
    assert_eq!(
        frame("at f (node_modules/jest/run.js:1:1)\nat g (web/cart.test.js:4:2)\nat h (e2e/login.spec.ts:1:1)").as_deref(),
        Some("web/cart.test.js:4")
    );
    assert_eq!(
        frame("File \"tests/test_sum.py\", line 3, in a\nFile \"/app/tests/test_sum.py\", line 8, in b").as_deref(),
        Some("tests/test_sum.py:8")
    );
    assert_eq!(frame("https://src/cart.rs:12 12:30:11 a:b src/cart.rs:0 src/cart.rs:99999999999"), None);
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Runs one gate by a script with this report, and returns what it told.
async fn gate(folder: &Path, report: &str, retries: u32, script: &str) -> (GateOutcome, Vec<EventKind>) {
    let (events, mut receiver) = Events::channel(Clock::system());
    let environment = gate_environment(std::env::vars_os().filter(|(name, _)| name == "PATH"), &std::collections::BTreeSet::new());
    let command = Command::new("bash", folder).words(["-ec", script]).environment(environment.variables());
    let planned = PlannedGate {
        name: name("unit"),
        command,
        needs: Vec::new(),
        timeout: Duration::from_secs(60),
        retries,
        services: Vec::new(),
        outputs: Vec::new(),
        report: Some(report.to_owned()),
        root: folder.to_owned(),
    };
    let plan = GatePlan { gates: vec![planned], parallel: 1, engine: "docker".into(), environment };
    let masker = Masker::new();
    masker.learn_all([("TOKEN", &Secret::new("hunter2hunter2"))]);
    let context = GateContext::new(events, Shutdown::default(), masker, Arc::new(Chance::seeded(1)));
    let mut ended = run_gates(plan, context).await;
    let mut told = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        told.push(event.kind);
    }
    (ended.gates.remove(0).outcome, told)
}

fn tests(told: &[EventKind]) -> Option<&TestResults> {
    told.iter().find_map(|kind| match kind {
        EventKind::GateTests { tests, .. } => Some(tests),
        _ => None,
    })
}

fn notices(told: &[EventKind]) -> Vec<String> {
    let text = |kind: &EventKind| match kind {
        EventKind::Notice { level, code, text } => Some(format!("{level:?} {code} {text}")),
        _ => None,
    };
    told.iter().filter_map(text).collect()
}

#[tokio::test]
async fn a_gate_tells_its_tests_before_its_end_whether_it_passed_or_failed() {
    for code in [0, 1] {
        let folder = repository();
        std::fs::write(folder.path().join("made.xml"), NEXTEST).unwrap();
        let script = format!("mkdir -p reports/deep; cp made.xml reports/deep/a.xml; exit {code}");
        for pattern in ["reports/**/*.xml", "reports/", "reports/deep/a.xml"] {
            let (_, told) = gate(folder.path(), pattern, 0, &script).await;
            let results = tests(&told).unwrap_or_else(|| panic!("{pattern}: {:?}", notices(&told)));
            assert_eq!((results.failed, results.flaky), (2, 1), "{pattern}");
            let place = Some(Place { file: "src/cart.rs".to_owned(), line: 12 });
            assert_eq!(results.tests[0].place, place);
            assert!(matches!(told.last(), Some(EventKind::GateFinished { .. })));
        }
    }
}

#[tokio::test]
async fn a_report_that_is_missing_old_or_broken_is_a_notice_and_decides_nothing() {
    let folder = repository();
    let (outcome, told) = gate(folder.path(), "r/*.xml", 0, "true").await;
    assert_eq!(outcome, GateOutcome::Passed);
    assert_eq!(notices(&told), ["Note gate::no-report The gate unit left no report at r/*.xml."]);

    std::fs::write(folder.path().join("old.xml"), NEXTEST).unwrap();
    let (outcome, told) = gate(folder.path(), "old.xml", 0, "true").await;
    assert_eq!((outcome, tests(&told)), (GateOutcome::Passed, None), "yesterday's failures are not today's");
    assert_eq!(notices(&told), ["Note gate::no-report The gate unit did not write its report old.xml: what is there is from before."]);

    let (outcome, told) = gate(folder.path(), "b.xml", 0, "echo '<html/>' > b.xml").await;
    assert_eq!(outcome, GateOutcome::Passed);
    assert_eq!(
        notices(&told),
        [
            "Warning gate::report The gate unit left a report that cannot be read (b.xml): its first element is <html>, not <testsuites> or <testsuite>."
        ]
    );

    let script = "head -c 40000000 /dev/zero > huge.xml; ln -s /dev/zero endless.xml; mkfifo pipe.xml";
    let (outcome, told) = gate(folder.path(), "{huge,endless,pipe}.xml", 0, script).await;
    assert_eq!(outcome, GateOutcome::Passed);
    assert!(tests(&told).is_none());
    assert!(notices(&told).iter().any(|notice| notice.contains("it has more than 32 MiB")), "{:?}", notices(&told));
}

#[tokio::test]
async fn what_failed_in_an_earlier_attempt_of_a_gate_that_passed_is_flaky() {
    let folder = repository();
    let red = "<testsuite><testcase name=\"a\"/><testcase name=\"b\"><failure message=\"once\"/></testcase></testsuite>";
    let green = "<testsuite><testcase name=\"a\"/><testcase name=\"b\"/></testsuite>";
    std::fs::write(folder.path().join("red"), red).unwrap();
    std::fs::write(folder.path().join("green"), green).unwrap();
    let (outcome, told) = gate(folder.path(), "r.xml", 1, "if [ -f r.xml ]; then cp green r.xml; else cp red r.xml; exit 1; fi").await;
    assert_eq!(outcome, GateOutcome::Flaky);
    insta::assert_snapshot!(shown(tests(&told).unwrap()), @"
    1 flaky, 1 passed
    flaky b at nowhere: once
    ");
}

#[test]
fn hundreds_of_failures_are_counted_and_the_first_are_kept() {
    let case = |index| format!("<testcase name='t{index}'><failure message='m'>{}</failure></testcase>", "x".repeat(20_000));
    let xml = format!("<testsuite>{}</testsuite>", (0..700).map(case).collect::<String>());
    let folder = repository();
    let results = results(vec![read(xml.as_bytes()).unwrap()], &Places::new(folder.path(), folder.path()));
    assert_eq!((results.failed, results.tests.len()), (700, TestResults::MOST_TESTS));
    assert!(results.tests.iter().all(|test| test.detail.chars().count() <= 8_000));
}
