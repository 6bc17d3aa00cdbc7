//! Hostile text in every place that a stranger can write to, in every rendering: it comes out as text.
//!
//! The judge is the structure. A report is rendered once with harmless words and once with a hostile text in the same places; what a reader of
//! Markdown, HTML or workflow commands sees beside the words must be the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comrak::nodes::NodeValue;
use comrak::{Arena, Options, parse_document};
use cutover::event::{
    Event, EventKind, GateOutcome, Level, Outcome, Phase, Place, Serving, Side, SnapshotTaken, Stream, TargetSummary, TestCase,
    TestResults, Verdict,
};
use cutover::http::Platform;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::mask::Masker;
use cutover::report::actions::ActionsLog;
use cutover::report::comment::{Links, comment};
use cutover::report::html::html;
use cutover::report::json::JsonLines;
use cutover::report::outputs::{outputs, render_outputs};
use cutover::report::summary::summary;
use cutover::report::terminal::Terminal;
use cutover::report::{Ending, Report, Sink, Sinks, checks};

/// Words that are nothing else.
const HARMLESS: &str = "harmless words";

/// Texts by which somebody could try to be more than text: titles, branch names, names of tests, lines of logs.
fn corpus() -> Vec<String> {
    let mut all: Vec<String> = include_str!("hostile.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(|line| serde_json::from_str::<String>(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    all.push("long ".repeat(40_000));
    all.push("`".repeat(3_000) + "x");
    all.push("x".to_owned() + &"[".repeat(3_000));
    all.push("x".to_owned() + &"\u{301}".repeat(3_000));
    all
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A run in which every text that is not ours is `it`.
fn events(it: &str) -> Vec<Event> {
    let text = || it.to_owned();
    let some = || Some(it.to_owned());
    let lines = || vec![text(), "between".to_owned(), text()];
    let took = Duration::from_secs(2);
    let case = |flaky, file: &str| TestCase {
        name: text(),
        flaky,
        message: text(),
        detail: text(),
        place: Some(Place { file: file.to_owned(), line: 7 }),
    };
    let tests =
        TestResults { passed: 3, failed: 2, skipped: 0, flaky: 1, tests: vec![case(false, "a.rs"), case(false, it), case(true, it)] };
    let ended =
        |gate: &str, outcome| EventKind::GateFinished { gate: name(gate), outcome, duration: took, attempts: 1, last_lines: lines() };
    let target = |target: &str, platform| TargetSummary {
        name: name(target),
        platform,
        thing: text(),
        url: Some("https://shop.example".to_owned()),
        before: some(),
        after: some(),
        carried: false,
        cost: some(),
        monthly: None,
    };
    let checked = |verdict| EventKind::Checked { target: name("api"), check: text(), phase: Phase::Verify, verdict, detail: text() };
    let kinds = vec![
        EventKind::RunStarted { product: name("shop"), environment: Some(name("production")), commit: "c".repeat(40), trigger: text() },
        EventKind::Notice { level: Level::Note, code: "a::note", text: text() },
        EventKind::Notice { level: Level::Warning, code: "a::warning", text: text() },
        EventKind::Notice { level: Level::Error, code: "an::error", text: text() },
        EventKind::GateStarted { gate: name("unit"), attempt: 1 },
        EventKind::GateLine { gate: name("unit"), stream: Stream::Stdout, since: took, line: text() },
        EventKind::GateLine { gate: name("unit"), stream: Stream::Stderr, since: took, line: format!("\t {it}") },
        EventKind::GateAttemptFailed { gate: name("unit"), attempt: 1, outcome: GateOutcome::CouldNotStart { reason: text() } },
        EventKind::GateTests { gate: name("unit"), tests },
        ended("unit", GateOutcome::Failed { code: 1 }),
        ended("e2e", GateOutcome::OutputMissing { path: text() }),
        ended("ui", GateOutcome::ServiceFailed { service: text(), reason: text() }),
        ended("late", GateOutcome::NotStarted { because: text() }),
        EventKind::BuildStarted { image: name("server"), builder: text() },
        EventKind::BuildLine { image: name("server"), line: text() },
        EventKind::BuildFinished { image: name("server"), result: Err(text()), size: Some(5), duration: took },
        EventKind::ReleaseStarted {
            release: ReleaseId::from_text("r-1"),
            environment: name("production"),
            targets: vec![target("api", Platform::Fly), target("web", Platform::Vercel)],
        },
        EventKind::PhaseStarted { phase: Phase::Verify },
        EventKind::TargetStep { target: name("api"), phase: Phase::Verify, step: text() },
        checked(Verdict::Fail),
        checked(Verdict::Pass),
        checked(Verdict::Suspect),
        EventKind::Migrated {
            target: name("api"),
            command: text(),
            breaking: false,
            snapshots: vec![SnapshotTaken { id: text(), of: text() }],
            succeeded: false,
            ended: text(),
        },
        EventKind::TargetFinished { target: name("api"), phase: Phase::Verify, duration: took, failure: some() },
        EventKind::PhaseFinished { phase: Phase::Verify, duration: took, failure: some() },
        EventKind::TargetSettled {
            target: name("api"),
            before: some(),
            after: some(),
            serves: Side::Unknown,
            url: Some("https://shop.example".to_owned()),
            proven_from_outside: false,
            served_ms: None,
            seen_ms: None,
        },
        EventKind::ReleaseFinished {
            release: ReleaseId::from_text("r-1"),
            outcome: Outcome::Stuck,
            serving: Serving::Unknown,
            skew_ms: Some(5),
            skew_calls_ms: None,
            failure: some(),
            hints: vec![text(), text()],
        },
        EventKind::RunFinished {
            outcome: Outcome::Stuck,
            exit_code: 4,
            serving: Serving::Unknown,
            failure: some(),
            hints: vec![text()],
            requests: BTreeMap::new(),
        },
    ];
    let at = "2026-03-04T05:06:07Z".parse().unwrap();
    kinds.into_iter().enumerate().map(|(index, kind)| Event { at, elapsed: Duration::from_millis(index as u64 * 100), kind }).collect()
}

fn links() -> Links {
    Links {
        run: Some("https://github.com/alma/shop/actions/runs/1".to_owned()),
        commit: Some("https://github.com/alma/shop/commit/".to_owned()),
    }
}

/// Memory that a sink writes to.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn told(sink: impl FnOnce(Box<dyn Write + Send>) -> Box<dyn Sink>, it: &str) -> String {
    let paper = Paper::default();
    let mut sinks = Sinks::new(Masker::new(), vec![sink(Box::new(paper.clone()))]);
    for event in &events(it) {
        sinks.on(event);
    }
    sinks.end();
    let bytes = paper.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// Reads Markdown as GitHub does and returns everything in it that is not words, with what is wrong about the words.
fn structure(markdown: &str) -> (Vec<String>, Vec<String>) {
    let mut options = Options::default();
    let extension = &mut options.extension;
    (extension.table, extension.autolink, extension.tasklist, extension.strikethrough) = (true, true, true, true);
    (extension.footnotes, extension.alerts, extension.math_dollars, extension.math_code) = (true, true, true, true);
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options);
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let mut words = String::new();
    for node in root.descendants() {
        let data = node.data.borrow();
        match &data.value {
            NodeValue::Text(text) => words.push_str(text),
            NodeValue::Escaped | NodeValue::SoftBreak => {}
            // A dollar sign, in the one way that GitHub promises to leave alone.
            NodeValue::HtmlInline(tag) if matches!(tag.as_str(), "<span>" | "</span>") => {}
            NodeValue::HtmlInline(tag) => found.push(format!("inline {tag}")),
            NodeValue::HtmlBlock(block) => found.push(format!("html {}", block.literal)),
            NodeValue::Code(_) => words.push('\u{fffc}'),
            NodeValue::CodeBlock(block) => {
                found.push(format!("code block {}", block.info));
                faults.extend(
                    block.literal.lines().filter(|line| line.starts_with("<!-- cutover:")).map(|line| format!("a mark of ours: {line}")),
                );
                faults.extend(block.literal.chars().filter(|it| unseen(*it)).map(|it| format!("{it:?} in a block")));
            }
            NodeValue::Link(link) => {
                let ours = ["https://github.com/alma/shop/", "https://shop.example/"].iter().any(|ours| link.url.starts_with(ours));
                if !ours {
                    faults.push(format!("a link to {}", link.url));
                }
                found.push("link".to_owned());
            }
            other => found.push(format!("{other:?}").split(['(', '{', ' ']).next().unwrap_or_default().to_owned()),
        }
        if !matches!(data.value, NodeValue::Text(_) | NodeValue::Escaped | NodeValue::Code(_)) {
            faults.extend(magic(&std::mem::take(&mut words)));
        }
    }
    faults.extend(magic(&words));
    (found, faults)
}

/// Returns what GitHub would find in words after Markdown has been read: mentions, references, emojis.
fn magic(words: &str) -> Vec<String> {
    let characters: Vec<char> = words.chars().collect();
    let follows = |index: usize, wanted: fn(char) -> bool| characters.get(index + 1).is_some_and(|next| wanted(*next));
    let mut faults = Vec::new();
    for (index, character) in characters.iter().enumerate() {
        let before: String = characters[index.saturating_sub(2)..index].iter().collect::<String>().to_lowercase();
        let bad = match character {
            '@' => follows(index, |next| next.is_ascii_alphanumeric()),
            '#' => follows(index, |next| next.is_ascii_digit()),
            '-' => before == "gh" && follows(index, |next| next.is_ascii_digit()),
            ':' => {
                let rest: String =
                    characters[index + 1..].iter().take_while(|it| it.is_ascii_alphanumeric() || "_+-".contains(**it)).collect();
                !rest.is_empty() && characters.get(index + 1 + rest.chars().count()) == Some(&':')
            }
            _ => false,
        };
        if bad || (unseen(*character) && *character != '\u{200b}') {
            faults.push(format!("{character:?} in {:?}", characters[index.saturating_sub(20)..].iter().take(60).collect::<String>()));
        }
    }
    faults
}

/// Characters that a reader does not see and a program may obey.
fn unseen(character: char) -> bool {
    (character.is_control() && !matches!(character, '\n' | '\t'))
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// What is shown of a text in an assertion.
fn brief(text: &str) -> String {
    format!("{:?}", text.chars().take(120).collect::<String>())
}

type Render = fn(&Report) -> String;

#[test]
fn markdown_gets_no_structure_from_foreign_text() {
    let renderings: [(&str, Render); 3] = [
        ("comment", |report| comment(report, &links())),
        ("summary", |report| summary(report, &links())),
        ("check run", |report| checks::output(report, &Ending::of(report), &links(), &Masker::new()).summary),
    ];
    for (what, render) in renderings {
        let (expected, faults) = structure(&render(&Report::of(&events(HARMLESS))));
        assert_eq!(faults, Vec::<String>::new());
        assert!(expected.iter().any(|node| node == "TableCell") && expected.len() > 100, "{expected:?}");
        for it in corpus() {
            let markdown = render(&Report::of(&events(&it)));
            let (mut found, faults) = structure(&markdown);
            assert_eq!(faults, Vec::<String>::new(), "{what} of {}", brief(&it));
            // A path that no file can have leads nowhere.
            let mut expected = expected.clone();
            for nodes in [&mut found, &mut expected].into_iter().filter(|_| it.len() > 1_000) {
                nodes.retain(|node| node != "link");
            }
            if found != expected {
                let first = found.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
                panic!("{what} of {}: {:?} instead of {:?}", brief(&it), found.get(first..first + 4), expected.get(first..first + 4));
            }
            assert!(!markdown.lines().any(|line| line.starts_with("<!-- cutover:")), "{what} of {}", brief(&it));
        }
    }
}

/// Returns the commands that the runner obeys in a log: `::name …::data` at the beginning of a line after any white space, `##[name]` anywhere.
fn commands(log: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in log.split(['\n', '\r']) {
        if let Some(rest) = line.trim_start().strip_prefix("::") {
            let head = rest.split("::").next().unwrap_or_default();
            let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
            let keys: Vec<&str> = properties.split(',').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
            found.push(format!("{} {}", name.to_lowercase(), keys.join(",")));
        }
        found.extend(line.match_indices("##[").map(|_| "##[".to_owned()));
    }
    found
}

#[test]
fn the_log_of_actions_gets_no_command_from_foreign_text() {
    let log = |it: &str| told(|out| Box::new(ActionsLog::new(out, false)), it);
    let expected = commands(&log(HARMLESS));
    assert!(expected.contains(&"error file,line,title".to_owned()) && expected.contains(&"group ".to_owned()), "{expected:?}");
    let of_kind = |kind: &str| expected.iter().filter(|command| command.starts_with(kind)).count();
    assert!(of_kind("error") <= 10 && of_kind("warning") <= 10, "{expected:?}");
    for it in corpus() {
        let log = log(&it);
        // A path that no file can have is at no line.
        let pointing = |command: &String| it.len() > 1_000 && command.contains("file");
        let without: Vec<String> = expected.iter().filter(|command| !pointing(command)).cloned().collect();
        let found: Vec<String> = commands(&log).into_iter().filter(|command| !pointing(command)).collect();
        assert_eq!(found, without, "{}", brief(&it));
        for line in log.lines().filter(|line| line.starts_with("::")) {
            assert!(line.len() < 60_000, "{}", brief(&it));
            assert!(!line.chars().any(unseen), "{}: {line:.200}", brief(&it));
        }
    }
}

#[test]
fn a_terminal_gets_no_control_from_foreign_text() {
    for it in corpus() {
        let story = told(|out| Box::new(Terminal::plain(out, false)), &it);
        let bad: Vec<char> = story.chars().filter(|character| unseen(*character)).collect();
        assert_eq!(bad, Vec::<char>::new(), "{}", brief(&it));
    }
}

#[test]
fn json_stays_one_value_a_line() {
    for it in corpus() {
        let lines = told(|out| Box::new(JsonLines::new(out)), &it);
        assert_eq!(lines.lines().count(), events(&it).len(), "{}", brief(&it));
        for line in lines.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{}: {line:.200}", brief(&it));
        }
    }
}

#[test]
fn outputs_are_read_back_as_they_were_and_define_nothing_else() {
    for it in corpus() {
        let mut report = Report::of(&events(HARMLESS));
        report.targets[0].url = Some(it.clone());
        let wanted = outputs(&report);
        let text = render_outputs(&wanted, &Chance::seeded(1));
        // As the runner reads the file: a name, a delimiter, lines until that delimiter stands alone.
        let mut read = Vec::new();
        let mut rest = text.as_str();
        while let Some((head, after)) = rest.split_once('\n') {
            let (name, delimiter) = head.split_once("<<").unwrap_or_else(|| panic!("{}: {head:.200}", brief(&it)));
            let (value, after) = after.split_once(&format!("\n{delimiter}\n")).unwrap();
            read.push((name.to_owned(), value.to_owned()));
            rest = after;
        }
        assert_eq!(read, wanted, "{}", brief(&it));
    }
}

/// Returns every tag and declaration of a page, without the line breaks between lines of one text.
fn tags(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let end = rest.find('>').map_or(rest.len(), |end| end + 1);
        found.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    // How long a bar is does not depend on any text; a link's address is our own here.
    found.retain(|tag| tag != "<br>");
    found
}

#[test]
fn a_page_gets_no_element_from_foreign_text() {
    let expected = tags(&html(&Report::of(&events(HARMLESS))));
    for it in corpus() {
        let page = html(&Report::of(&events(&it)));
        assert_eq!(tags(&page), expected, "{}", brief(&it));
        assert!(!page.chars().any(|character| unseen(character) && character != '\u{ad}'), "{}", brief(&it));
        let mut addressed = Report::of(&events(HARMLESS));
        addressed.targets[0].url = Some(it.clone());
        for tag in tags(&html(&addressed)).iter().filter(|tag| tag.contains("href")) {
            assert!(tag.starts_with("<a href=\"http"), "{}: {tag}", brief(&it));
        }
        let (_, faults) = structure(&comment(&addressed, &links()));
        let strange = |fault: &&String| !fault.starts_with("a link to http");
        assert_eq!(faults.iter().filter(strange).collect::<Vec<_>>(), Vec::<&String>::new(), "{}", brief(&it));
    }
}

#[test]
fn remarks_are_plain_text_within_their_lengths() {
    for it in corpus() {
        let report = Report::of(&events(&it));
        let output = checks::output(&report, &Ending::of(&report), &links(), &Masker::new());
        assert!(output.summary.len() <= 65_535, "{}", brief(&it));
        for remark in &output.annotations {
            for text in [&remark.path, &remark.title, &remark.message].into_iter().chain(&remark.raw_details) {
                assert!(!text.chars().any(unseen), "{}: {text:.200}", brief(&it));
            }
        }
    }
}

#[test]
fn the_corpus_is_not_asleep() {
    // Written raw, as a report would be that forgot to escape, nearly all of it is seen by one of the judges.
    let raw = |it: &str| {
        let (found, faults) = structure(&format!("| a |\n|---|\n| {it} |\n\n{it}\n\nx {it}"));
        let (plain, _) = structure(&format!("| a |\n|---|\n| {HARMLESS} |\n\n{HARMLESS}\n\nx {HARMLESS}"));
        let page = tags(&format!("<p>{it}</p>")) != ["<p>", "</p>"];
        // Words that are not the same afterwards were read as something else.
        let read = it.contains(['&', '\\', '|', '%', '$', '"', '\'', '`']);
        found != plain || !faults.is_empty() || page || read || !commands(it).is_empty() || it.chars().any(unseen)
    };
    let asleep: Vec<String> = corpus().into_iter().filter(|it| !raw(it)).map(|it| brief(&it)).collect();
    assert!(asleep.len() * 4 <= corpus().len(), "{asleep:#?}");
    assert!(corpus().len() >= 100, "{}", corpus().len());
}
