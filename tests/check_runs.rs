//! Check runs, against the embedded GitHub: one for each attempt, found again, concluded however the run ends, with every remark.

use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::github::{CommitSeed, GitHub, Level, RepositorySeed, Token};
use cutover::event::{Event, EventKind, Events, GateOutcome, Outcome, Place, Serving, TestCase, TestResults};
use cutover::github::{
    Annotation, AnnotationLevel, CheckConclusion, CheckId, CheckOutcome, CheckOutput, CheckRun, GitHub as Client, GitHubError, Repository,
    Stamp,
};
use cutover::http::Transport;
use cutover::id::{Chance, Name};
use cutover::mask::Masker;
use cutover::report::github::{Deployments, MOMENT_LIMIT};
use cutover::report::{GitHubReporter, Report, RunContext};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::wire::InProcess;

const REPOSITORY: &str = "alma/shop";
const PAGE: &str = "https://github.com/alma/shop/actions/runs/9";

struct Scene {
    world: World,
    github: GitHub,
    sha: String,
}

fn scene() -> Scene {
    let world = World::in_process(Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap()), Chance::seeded(7));
    let github = GitHub::new(world.ground());
    github.add_to(&world);
    github.seed_repository(&RepositorySeed::new(REPOSITORY));
    github.seed_token("job", Token::of_job(&[("contents", Level::Read), ("checks", Level::Write)]));
    github.seed_token("reader", Token::of_job(&[("contents", Level::Read)]));
    github.seed_token("ghp_person", Token::of_person("alma"));
    let sha = github.seed_commit(REPOSITORY, "main", CommitSeed::default()).unwrap();
    Scene { world, github, sha }
}

impl Scene {
    fn client(&self, token: &str) -> Client {
        let clock = self.world.ground().clock;
        let transport = Transport::new(Arc::new(InProcess::new(self.world.clone())), clock, Arc::new(Chance::seeded(3)));
        Client::new(transport, url::Url::parse("https://api.github.com").unwrap(), token.into(), Repository::parse(REPOSITORY).unwrap())
    }

    fn fault(&self, at: &str, effect: Effect) {
        self.world.ground().faults.set(Rule::at(at, effect, Answer::Lost).unwrap());
    }

    /// Returns name, status and conclusion of every check of the commit.
    fn seen(&self) -> Vec<String> {
        let all = self.github.check_runs(REPOSITORY, &self.sha);
        all.into_iter().map(|(name, status, conclusion)| format!("{name}: {status} {}", conclusion.unwrap_or_default())).collect()
    }

    async fn get(&self, path: &str) -> Value {
        let request = http::Request::builder()
            .uri(format!("https://api.github.com/repos/{REPOSITORY}{path}"))
            .header("host", "api.github.com")
            .header("user-agent", "test")
            .header("authorization", "Bearer job");
        let answer = cutover::embedded::in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        serde_json::from_slice(answer.body()).unwrap()
    }

    fn sent(&self, operation: &str) -> usize {
        self.world.ground().tape.entries().iter().filter(|entry| operation.ends_with(entry.operation.as_str())).count()
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn id(run_id: u64, attempt: u32) -> CheckId {
    CheckId { product: name("shop"), scope: name("production"), stamp: Stamp { run_id, attempt } }
}

fn output(remarks: u32) -> CheckOutput {
    let remark = |line| Annotation {
        path: "src/a.rs".to_owned(),
        start_line: line,
        end_line: line,
        annotation_level: AnnotationLevel::Failure,
        title: format!("test {line}"),
        message: "left is not right".to_owned(),
        raw_details: None,
    };
    CheckOutput { title: "2 gates failed".to_owned(), summary: "s".to_owned(), annotations: (1..=remarks).map(remark).collect() }
}

fn made(outcome: CheckOutcome) -> CheckRun {
    match outcome {
        CheckOutcome::Made(run) => run,
        CheckOutcome::Outdated(stamp) => panic!("outdated by {stamp:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_is_begun_once_and_concluded_with_every_remark() {
    let scene = scene();
    let client = scene.client("job");
    let run = made(client.begin_check(&scene.sha, &id(9, 1), PAGE, &output(0)).await.unwrap());
    let again = made(client.begin_check(&scene.sha, &id(9, 1), PAGE, &output(0)).await.unwrap());
    assert_eq!(run.id, again.id, "another job of the same attempt finds it");
    assert_eq!(scene.seen(), ["cutover / shop / production: in_progress "]);
    let ended = made(client.conclude_check(&scene.sha, &id(9, 1), Some(&run), PAGE, CheckConclusion::Failure, &output(120)).await.unwrap());
    assert_eq!((ended.id, ended.annotations, ended.completed), (run.id, 120, true));
    assert_eq!(scene.seen(), ["cutover / shop / production: completed failure"]);
    assert_eq!(scene.get(&format!("/check-runs/{}", run.id)).await["output"]["annotations_count"], 120);
    assert_eq!(scene.sent("github.update_check_run"), 3, "fifty a request");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_nobody_began_is_made_with_its_verdict() {
    let scene = scene();
    let client = scene.client("job");
    let concluded = client.conclude_check(&scene.sha, &id(9, 1), None, PAGE, CheckConclusion::Success, &output(51)).await.unwrap();
    assert_eq!(made(concluded).annotations, 51);
    assert_eq!((scene.sent("github.create_check_run"), scene.sent("github.update_check_run")), (1, 1));
    // The job that reports for all has the last word in the same attempt.
    client.conclude_check(&scene.sha, &id(9, 1), None, PAGE, CheckConclusion::Failure, &output(51)).await.unwrap();
    assert_eq!(scene.seen(), ["cutover / shop / production: completed failure"]);
    let listed = scene.get(&format!("/commits/{}/check-runs?filter=all", scene.sha)).await;
    assert_eq!(listed["check_runs"][0]["output"]["annotations_count"], 51, "none twice");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_check_and_no_remark_twice() {
    for effect in [Effect::Once, Effect::None] {
        let scene = scene();
        let client = scene.client("job");
        scene.fault("github.create_check_run#1", effect);
        let run = made(client.begin_check(&scene.sha, &id(9, 1), PAGE, &output(0)).await.unwrap());
        assert_eq!(scene.seen().len(), 1, "{effect:?}");
        // Without an effect the second request is the first once more.
        for at in if effect == Effect::None { [1, 3] } else { [1, 2] } {
            scene.fault(&format!("github.update_check_run#{at}"), effect);
        }
        client.conclude_check(&scene.sha, &id(9, 1), Some(&run), PAGE, CheckConclusion::Failure, &output(70)).await.unwrap();
        assert_eq!(scene.seen(), ["cutover / shop / production: completed failure"], "{effect:?}");
        assert_eq!(scene.get(&format!("/check-runs/{}", run.id)).await["output"]["annotations_count"], 70, "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_attempt_concludes_what_the_one_before_left_and_leaves_other_runs_alone() {
    let scene = scene();
    let client = scene.client("job");
    for left in [id(8, 1), id(9, 1), CheckId { scope: name("staging"), ..id(9, 1) }] {
        client.begin_check(&scene.sha, &left, PAGE, &output(0)).await.unwrap();
    }
    client.begin_check(&scene.sha, &id(9, 2), PAGE, &output(0)).await.unwrap();
    let mut seen = scene.seen();
    seen.sort();
    assert_eq!(
        seen,
        [
            "cutover / shop / production: completed cancelled",
            "cutover / shop / production: in_progress ",
            // Run 8 may be at work: only GitHub's own rule that attempts follow one another says that one is over.
            "cutover / shop / production: in_progress ",
            "cutover / shop / staging: in_progress ",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_earlier_run_puts_no_check_over_a_newer_ones() {
    let scene = scene();
    let client = scene.client("job");
    client.begin_check(&scene.sha, &id(9, 1), PAGE, &output(0)).await.unwrap();
    let late = client.conclude_check(&scene.sha, &id(8, 3), None, PAGE, CheckConclusion::Success, &output(0)).await.unwrap();
    assert_eq!(late, CheckOutcome::Outdated(Stamp { run_id: 9, attempt: 1 }));
    assert_eq!(scene.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_github_refuses_is_taken_out_before_it_is_sent() {
    let scene = scene();
    let client = scene.client("job");
    let mut hostile = output(1);
    hostile.title = format!("🚀\0{}", "t".repeat(400));
    hostile.summary = format!("𝕏\0{}", "é".repeat(60_000));
    hostile.annotations[0].title = "🚀".repeat(300);
    hostile.annotations[0].message = "\0".to_owned();
    hostile.annotations[0].raw_details = Some("é".repeat(80_000));
    hostile.annotations[0].end_line = 0;
    hostile.annotations[0].start_line = 0;
    let run = made(client.conclude_check(&scene.sha, &id(9, 1), None, PAGE, CheckConclusion::Failure, &hostile).await.unwrap());
    let shown = scene.get(&format!("/check-runs/{}", run.id)).await;
    let all = format!("{shown}{}", scene.get(&format!("/check-runs/{}/annotations", run.id)).await);
    assert!(all.chars().all(|character| character <= '\u{ffff}') && !all.contains("\\u0000"), "{all:.400}");
    assert!(shown["output"]["summary"].as_str().unwrap().len() <= 65_535);
    assert_eq!(shown["output"]["title"].as_str().unwrap().chars().count(), 255);
}

#[tokio::test(start_paused = true)]
async fn a_person_and_a_reader_make_no_checks() {
    let scene = scene();
    for token in ["ghp_person", "reader"] {
        let refused = scene.client(token).begin_check(&scene.sha, &id(9, 1), PAGE, &output(0)).await.unwrap_err();
        assert!(matches!(refused, GitHubError::Forbidden { .. }), "{token}: {refused}");
    }
}

fn reporter(scene: &Scene, token: &str, attempt: u32) -> (GitHubReporter, UnboundedReceiver<Event>) {
    let client = scene.client(token);
    let (events, receiver) = Events::channel(client.clock());
    let context = RunContext {
        product: name("shop"),
        environment: None,
        commit: scene.sha.clone(),
        branch: None,
        pull_request: None,
        preview: None,
        stamp: Stamp { run_id: 9, attempt },
        run_url: PAGE.to_owned(),
        server_url: "https://github.com".to_owned(),
        deployments: Deployments::Made,
    };
    (GitHubReporter::new(client, context, Masker::new(), events), receiver)
}

fn failed_tests() -> Report {
    let place = Some(Place { file: "src/a.rs".to_owned(), line: 12 });
    let case =
        |name: &str, flaky, place| TestCase { name: name.to_owned(), flaky, message: "boom".to_owned(), detail: String::new(), place };
    let tests = TestResults {
        passed: 7,
        failed: 2,
        flaky: 1,
        skipped: 0,
        tests: vec![case("a", false, place.clone()), case("nowhere", false, None), case("b", true, place)],
    };
    let gate = name("unit");
    let kinds = [
        EventKind::GateStarted { gate: gate.clone(), attempt: 1 },
        EventKind::GateTests { gate: gate.clone(), tests },
        EventKind::GateFinished {
            gate,
            outcome: GateOutcome::Failed { code: 1 },
            duration: std::time::Duration::from_secs(3),
            attempts: 1,
            last_lines: Vec::new(),
        },
        EventKind::RunFinished {
            outcome: Outcome::GatesFailed,
            exit_code: 1,
            serving: Serving::Before,
            failure: None,
            hints: Vec::new(),
            requests: std::collections::BTreeMap::default(),
        },
    ];
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at, elapsed: std::time::Duration::from_secs(4), kind }).collect();
    Report::of(&events)
}

#[tokio::test(start_paused = true)]
async fn a_run_is_a_check_from_its_beginning_to_every_end() {
    let ends = [
        (Outcome::Finished, "success"),
        (Outcome::Carried, "success"),
        (Outcome::Superseded, "neutral"),
        (Outcome::GatesFailed, "failure"),
        (Outcome::RolledBack, "failure"),
        (Outcome::Stuck, "failure"),
        (Outcome::PreviewFailed, "failure"),
        (Outcome::PreflightFailed, "failure"),
        (Outcome::Held, "action_required"),
        (Outcome::Cancelled, "cancelled"),
    ];
    for (outcome, conclusion) in ends {
        let scene = scene();
        let (mut reporter, _events) = reporter(&scene, "job", 1);
        reporter.begin().await;
        assert_eq!(scene.seen(), ["cutover / shop / gates: in_progress "]);
        let report = Report { outcome: Some(outcome), ..failed_tests() };
        reporter.finish(&report, MOMENT_LIMIT).await;
        assert_eq!(scene.seen(), [format!("cutover / shop / gates: completed {conclusion}")]);
        let listed = scene.get(&format!("/commits/{}/check-runs", scene.sha)).await;
        let remarks = scene.get(&format!("/check-runs/{}/annotations", listed["check_runs"][0]["id"])).await;
        let told: Vec<String> = remarks
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {}:{} {} {}", one["annotation_level"], one["path"], one["start_line"], one["title"], one["message"]))
            .collect();
        assert_eq!(told, [r#""failure" "src/a.rs":12 "unit: a" "boom""#, r#""warning" "src/a.rs":12 "unit: b" "boom""#]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_permission_it_is_told_once_and_left_to_the_summary() {
    let scene = scene();
    let (mut reporter, mut events) = reporter(&scene, "reader", 1);
    reporter.begin().await;
    reporter.finish(&failed_tests(), MOMENT_LIMIT).await;
    assert_eq!(scene.seen(), Vec::<String>::new());
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let EventKind::Notice { text, .. } = event.kind {
            told.push(text);
        }
    }
    let about: Vec<&String> = told.iter().filter(|text| text.contains("check run")).collect();
    assert_eq!(about.len(), 1, "{told:?}");
    assert!(about[0].contains("`checks: write`"), "{about:?}");
    assert_eq!(json!(scene.sent("github.create_check_run")), json!(1), "it is not asked again");
}
