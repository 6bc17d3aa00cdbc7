//! What cutover writes on GitHub, against a GitHub in memory that loses answers, refuses and lags on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::clock::Clock;
use cutover::event::{EventKind, Events, Outcome, Serving, Side};
use cutover::github::{
    CommitState, CommitStatus, GitHub, GitHubError, Pull, Repository, Section, Stamp, StatusOutcome, StickyOutcome, choose_for_push,
};
use cutover::http::{Answer, Body, Call, Platform, Transport, Wire, WireError};
use cutover::id::{Chance, Name, ReleaseId};
use cutover::mask::Masker;
use cutover::report::github::{Deployments, MOMENT_LIMIT};
use cutover::report::{GitHubReporter, Report, RunContext};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::openapi::Document;

const HEAD: &str = "ffffffffffffffffffffffffffffffffffffffff";
const BOT: &str = "github-actions[bot]";

/// A way to fail, once, for the next call of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The effect happens, its answer does not arrive.
    LostAfter,
    /// Neither.
    LostBefore,
    /// This status, and no effect.
    Status(u16),
    /// No answer ever.
    Silent,
}

#[derive(Debug, Default)]
struct State {
    comments: Vec<Value>,
    statuses: Vec<Value>,
    checks: Vec<Value>,
    deployments: Vec<Value>,
    deployment_statuses: Vec<(u64, Value)>,
    pulls: Vec<Value>,
    /// How many look-ups of a commit's pull requests are answered with nothing.
    lag: usize,
    locked: bool,
    /// What a branch points to.
    branch: String,
    faults: VecDeque<(&'static str, Fault)>,
    calls: Vec<String>,
    /// Every request with the status of its answer, for the vendor's document.
    sent: Vec<(String, String, Option<Value>, u16)>,
    next: u64,
}

/// A GitHub in memory.
#[derive(Debug, Clone, Default)]
struct Hub(Arc<Mutex<State>>);

impl Hub {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn fault(&self, operation: &'static str, fault: Fault) {
        self.state().faults.push_back((operation, fault));
    }

    fn comment(&self, author: &str, body: &str) -> u64 {
        self.state().comment(author, body)
    }

    fn bodies(&self) -> Vec<String> {
        self.state().comments.iter().map(|comment| comment["body"].as_str().unwrap().to_owned()).collect()
    }

    fn client(&self) -> GitHub {
        let clock = Clock::starting_at("2026-03-04T05:06:07Z".parse().unwrap());
        let transport = Transport::new(Arc::new(self.clone()), clock, Arc::new(Chance::seeded(7)));
        let base = url::Url::parse("https://github.example/api/v3").unwrap();
        GitHub::new(transport, base, "ghs_0123456789".into(), Repository::parse("acme/autoswe").unwrap())
    }
}

impl State {
    fn comment(&mut self, author: &str, body: &str) -> u64 {
        self.next += 1;
        let user = json!({"login": author, "type": "Bot"});
        self.comments.push(json!({"id": self.next, "body": body.replace('\n', "\r\n"), "user": user, "html_url": null}));
        self.next
    }

    fn answer(&mut self, call: &Call) -> (u16, Value) {
        let path = call.url.path().strip_prefix("/api/v3/repos/acme/autoswe").expect("below the base and the repository");
        let body: Value = match &call.body {
            Body::Bytes(bytes) => serde_json::from_slice(bytes).unwrap(),
            _ => Value::Null,
        };
        let (status, answer) = self.answer_to(call.method.as_str(), path, &body);
        let query = call.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let route = format!("/repos/acme/autoswe{path}{query}");
        self.sent.push((call.method.to_string(), route, (!body.is_null()).then_some(body), status));
        (status, answer)
    }

    fn answer_to(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["issues", _, "comments"]) => (200, json!(self.comments)),
            ("POST" | "PATCH", ["issues", ..]) if self.locked => {
                (403, json!({"message": "Unable to create comment because issue is locked."}))
            }
            ("POST", ["issues", _, "comments"]) => {
                let text = body["body"].as_str().unwrap();
                if text.chars().count() > 65_536 {
                    return (422, json!({"message": "Body is too long (maximum is 65536 characters)"}));
                }
                let id = self.comment(BOT, text);
                (201, self.comments.iter().find(|it| it["id"] == id).unwrap().clone())
            }
            ("PATCH", ["issues", "comments", id]) => {
                let id: u64 = id.parse().unwrap();
                match self.comments.iter_mut().find(|it| it["id"] == id) {
                    Some(comment) => {
                        comment["body"] = body["body"].clone();
                        (200, comment.clone())
                    }
                    None => (404, json!({"message": "Not Found"})),
                }
            }
            ("DELETE", ["issues", "comments", id]) => {
                let id: u64 = id.parse().unwrap();
                self.comments.retain(|it| it["id"] != id);
                (204, Value::Null)
            }
            ("GET", ["pulls", number]) => (200, json!({"number": number.parse::<u64>().unwrap(), "locked": self.locked})),
            ("GET", ["commits", _, "pulls"]) => {
                if self.lag > 0 {
                    self.lag -= 1;
                    return (200, json!([]));
                }
                (200, json!(self.pulls))
            }
            ("POST", ["statuses", sha]) => {
                assert!(body["description"].as_str().unwrap().chars().count() <= 140);
                let mut status = body.clone();
                status["sha"] = json!(sha);
                self.statuses.push(status);
                (201, json!({"id": 1}))
            }
            ("GET", ["commits", sha, "statuses"]) => {
                (200, json!(self.statuses.iter().rev().filter(|status| status["sha"] == *sha).collect::<Vec<_>>()))
            }
            ("GET", ["commits", _, "check-runs"]) => (200, json!({"total_count": self.checks.len(), "check_runs": self.checks})),
            ("POST", ["check-runs"]) => {
                let mut check = body.clone();
                check["id"] = json!(1_000 + self.checks.len());
                self.checks.push(check.clone());
                (201, check)
            }
            ("PATCH", ["check-runs", id]) => {
                let id: u64 = id.parse().unwrap();
                let check = self.checks.iter_mut().find(|check| check["id"] == id).unwrap();
                check["conclusion"] = body["conclusion"].clone();
                (200, check.clone())
            }
            ("POST", ["deployments"]) => {
                assert_eq!((&body["auto_merge"], &body["required_contexts"]), (&json!(false), &json!([])));
                self.next += 1;
                let reference = body["ref"].as_str().unwrap();
                let sha = if reference.len() == 40 { reference.to_owned() } else { self.branch.clone() };
                // The payload comes back as a text, as GitHub does for some.
                let deployment = json!({
                    "id": self.next, "sha": sha, "ref": reference, "environment": body["environment"], "payload": body["payload"].to_string(),
                });
                self.deployments.insert(0, deployment.clone());
                (201, deployment)
            }
            ("GET", ["deployments"]) => (200, json!(self.deployments)),
            ("DELETE", ["deployments", id]) => {
                let id: u64 = id.parse().unwrap();
                self.deployments.retain(|it| it["id"] != id);
                (204, Value::Null)
            }
            ("POST", ["deployments", id, "statuses"]) => {
                self.deployment_statuses.push((id.parse().unwrap(), body.clone()));
                (201, json!({"id": 1}))
            }
            ("GET", ["deployments", id, "statuses"]) => {
                let id: u64 = id.parse().unwrap();
                let newest = self.deployment_statuses.iter().rev().find(|(of, _)| *of == id);
                (200, json!(newest.map(|(_, status)| status).into_iter().collect::<Vec<_>>()))
            }
            ("GET", ["actions", "runs", _, "attempts", _, "jobs"]) => (
                200,
                json!({"total_count": 1, "jobs": [{"id": 5, "name": "gates (1)", "status": "completed", "conclusion": "failure", "steps": null}]}),
            ),
            other => panic!("no such route: {other:?}"),
        }
    }
}

impl Wire for Hub {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            assert_eq!(call.platform, Platform::GitHub);
            assert_eq!(call.headers["authorization"], "Bearer ghs_0123456789");
            assert_eq!(call.headers.get_all("x-github-api-version").iter().count(), 1);
            assert_eq!(call.headers.get_all("user-agent").iter().count(), 1);
            let fault = {
                let mut state = self.state();
                state.calls.push(format!("{} {}", call.method, call.operation));
                let index = state.faults.iter().position(|(operation, _)| *operation == call.operation);
                index.and_then(|index| state.faults.remove(index)).map(|(_, fault)| fault)
            };
            let answer = |(status, body): (u16, Value)| {
                let body = if body.is_null() { bytes::Bytes::new() } else { body.to_string().into() };
                Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body }
            };
            match fault {
                None => Ok(answer(self.state().answer(call))),
                Some(Fault::LostAfter) => {
                    self.state().answer(call);
                    Err(WireError::Lost("reset".to_owned()))
                }
                Some(Fault::LostBefore) => Err(WireError::Lost("reset".to_owned())),
                Some(Fault::Silent) => std::future::pending().await,
                Some(Fault::Status(status)) => {
                    let mut refused = answer((status, json!({"message": "Resource not accessible by integration"})));
                    refused.headers.insert("x-accepted-github-permissions", "statuses=write".parse().unwrap());
                    Ok(refused)
                }
            }
        })
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn section(scope: &str, run_id: u64, body: &str) -> Section {
    Section { scope: name(scope), stamp: Stamp { run_id, attempt: 1 }, body: body.to_owned() }
}

async fn put(hub: &Hub, section: &Section) -> Result<StickyOutcome, GitHubError> {
    hub.client().put_section(12, &name("autoswe"), section).await
}

#[tokio::test(start_paused = true)]
async fn one_comment_is_made_and_then_edited_in_place() {
    let hub = Hub::default();
    assert_eq!(put(&hub, &section("production", 1, "first")).await.unwrap(), StickyOutcome::Created(1));
    insta::assert_snapshot!(hub.bodies()[0].replace("\r\n", "\n"), @"
    <!-- cutover:v1 product=autoswe -->
    <!-- cutover:section scope=production run=1 attempt=1 -->
    first
    <!-- cutover:end -->
    ");
    assert_eq!(put(&hub, &section("production", 1, "first")).await.unwrap(), StickyOutcome::Unchanged(1));
    assert_eq!(put(&hub, &section("production", 2, "second")).await.unwrap(), StickyOutcome::Updated(1));
    assert_eq!(put(&hub, &section("staging", 1, "other")).await.unwrap(), StickyOutcome::Updated(1));
    insta::assert_snapshot!(hub.bodies().join("\n=====\n"), @"
    <!-- cutover:v1 product=autoswe -->
    <!-- cutover:section scope=staging run=1 attempt=1 -->
    other
    <!-- cutover:end -->
    ---

    <!-- cutover:section scope=production run=2 attempt=1 -->
    second
    <!-- cutover:end -->
    ");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_run_does_not_overwrite_a_later_one() {
    let hub = Hub::default();
    put(&hub, &section("production", 9, "new")).await.unwrap();
    let outcome = put(&hub, &section("production", 8, "old")).await.unwrap();
    assert_eq!(outcome, StickyOutcome::Outdated(Stamp { run_id: 9, attempt: 1 }));
    assert!(hub.bodies()[0].contains("new") && !hub.bodies()[0].contains("old"));
}

#[tokio::test(start_paused = true)]
async fn twins_become_one_with_the_newest_of_each_section() {
    let hub = Hub::default();
    put(&hub, &section("production", 3, "production of run 3")).await.unwrap();
    let first = hub.bodies()[0].clone();
    hub.comment(BOT, &first.replace("run=3", "run=5").replace("of run 3", "of run 5").replace("\r\n", "\n"));
    hub.comment(BOT, &first.replace("production", "staging").replace("\r\n", "\n"));
    assert_eq!(put(&hub, &section("preview", 4, "preview of run 4")).await.unwrap(), StickyOutcome::Updated(1));
    let bodies = hub.bodies();
    assert_eq!(bodies.len(), 1);
    for kept in ["preview of run 4", "production of run 5", "staging of run 3"] {
        assert!(bodies[0].contains(kept), "{kept}: {}", bodies[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_comment_of_a_stranger_with_our_first_line_is_not_ours() {
    let hub = Hub::default();
    hub.comment("stranger", "<!-- cutover:v1 product=autoswe -->\nAll is well.");
    hub.comment(BOT, "About <!-- cutover:v1 product=autoswe -->");
    assert_eq!(put(&hub, &section("production", 1, "x")).await.unwrap(), StickyOutcome::Created(3));
    assert!(hub.bodies()[0].contains("All is well."));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_comment() {
    for fault in [Fault::LostAfter, Fault::LostBefore, Fault::Status(502)] {
        let hub = Hub::default();
        hub.fault("create_comment", fault);
        put(&hub, &section("production", 1, "x")).await.unwrap();
        assert_eq!(hub.bodies().len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_comment_that_was_removed_meanwhile_is_made_again() {
    let hub = Hub::default();
    put(&hub, &section("production", 1, "x")).await.unwrap();
    hub.fault("update_comment", Fault::Status(404));
    assert!(matches!(put(&hub, &section("production", 2, "y")).await.unwrap(), StickyOutcome::Updated(1) | StickyOutcome::Created(2)));
    assert_eq!(hub.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_document_keeps_its_limit_by_dropping_other_scopes() {
    let hub = Hub::default();
    put(&hub, &section("staging", 1, &"s".repeat(50_000))).await.unwrap();
    put(&hub, &section("production", 1, &"p".repeat(50_000))).await.unwrap();
    let body = hub.bodies().remove(0);
    assert!(body.chars().count() <= 60_000);
    assert!(body.contains("ppp") && !body.contains("sss"));
}

#[tokio::test(start_paused = true)]
async fn a_locked_conversation_is_told_apart_from_a_missing_permission() {
    let hub = Hub::default();
    hub.state().locked = true;
    assert_eq!(put(&hub, &section("production", 1, "x")).await.unwrap(), StickyOutcome::Locked);
    let hub = Hub::default();
    hub.fault("create_comment", Fault::Status(403));
    let error = put(&hub, &section("production", 1, "x")).await.unwrap_err();
    insta::assert_snapshot!(error, @"GitHub refused create_comment: Resource not accessible by integration (it needs statuses=write)");
}

fn pull(number: u64, state: &str, merged: bool, merge: &str, base: &str, head: &str) -> Value {
    json!({
        "number": number, "state": state, "merged_at": merged.then_some("2026-01-01T00:00:00Z"), "merge_commit_sha": merge,
        "base": {"ref": base, "sha": "b"}, "head": {"ref": head, "sha": "h"}, "user": null,
    })
}

#[test]
fn the_pull_request_of_a_push_is_the_one_whose_merge_made_it() {
    let pulls = |values: Vec<Value>| values.into_iter().map(|value| serde_json::from_value::<Pull>(value).unwrap()).collect::<Vec<_>>();
    let number = |values| choose_for_push(pulls(values), HEAD, "main").map(|pull| pull.number);
    assert_eq!(number(vec![pull(1, "closed", true, HEAD, "main", "a"), pull(2, "closed", true, "x", "main", "b")]), Some(1));
    assert_eq!(number(vec![pull(1, "closed", true, "x", "main", "a"), pull(2, "closed", true, "y", "main", "b")]), Some(2));
    assert_eq!(number(vec![pull(1, "closed", true, HEAD, "develop", "a"), pull(2, "closed", false, "y", "main", "b")]), None);
    assert_eq!(number(vec![pull(3, "open", false, "y", "develop", "main")]), Some(3));
    assert_eq!(number(vec![]), None);
}

struct Bench {
    hub: Hub,
    reporter: GitHubReporter,
    events: UnboundedReceiver<cutover::event::Event>,
}

fn bench(pull_request: Option<u64>) -> Bench {
    let hub = Hub::default();
    HEAD.clone_into(&mut hub.state().branch);
    let client = hub.client();
    let (events, receiver) = Events::channel(client.clock());
    let context = RunContext {
        product: name("autoswe"),
        environment: Some(name("production")),
        commit: HEAD.to_owned(),
        branch: Some("main".to_owned()),
        pull_request,
        preview: None,
        stamp: Stamp { run_id: 812, attempt: 1 },
        run_url: "https://github.example/acme/autoswe/actions/runs/812/attempts/1".to_owned(),
        server_url: "https://github.example".to_owned(),
        deployments: Deployments::Made,
    };
    Bench { hub, reporter: GitHubReporter::new(client, context, Masker::new(), events), events: receiver }
}

impl Bench {
    async fn run(&mut self, outcome: Outcome) {
        let release = ReleaseId::from_text("r-20260304-050617-abcdef");
        self.reporter.begin().await;
        self.reporter.release_started(&release).await;
        self.reporter.finish(&report(outcome, &release), MOMENT_LIMIT).await;
    }

    fn notices(&mut self) -> Vec<String> {
        let mut notices = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let EventKind::Notice { code, text, .. } = event.kind {
                notices.push(format!("{code}: {text}"));
            }
        }
        notices
    }

    fn states(&self) -> (Vec<String>, Vec<String>) {
        let state = self.hub.state();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let statuses = state.statuses.iter().map(|status| text(&status["state"])).collect();
        (statuses, state.deployment_statuses.iter().map(|(id, status)| format!("{id} {}", text(&status["state"]))).collect())
    }
}

fn report(outcome: Outcome, release: &ReleaseId) -> Report {
    let side = if outcome == Outcome::Finished { Side::After } else { Side::Before };
    let target = |target: &str, platform: &str, url: &str| {
        json!({
            "name": target, "platform": platform, "before": "v1", "after": "v2", "serves": side, "url": url, "proven_from_outside": true,
        })
    };
    let mut report = Report { product: Some(name("autoswe")), environment: Some(name("production")), ..Report::default() };
    HEAD.clone_into(&mut report.commit);
    report.release = Some(release.clone());
    report.targets = [target("api", "fly", "https://api.example"), target("web", "vercel", "https://web.example")]
        .into_iter()
        .map(|target| serde_json::from_value(target).unwrap())
        .collect();
    report.outcome = Some(outcome);
    report.serving = if side == Side::After { Serving::After } else { Serving::Before };
    report
}

#[tokio::test(start_paused = true)]
async fn a_release_is_told_by_status_deployment_and_comment() {
    let mut bench = bench(Some(12));
    bench.run(Outcome::Finished).await;
    assert_eq!(bench.notices(), Vec::<String>::new());
    let (statuses, deployments) = bench.states();
    assert_eq!(statuses, ["pending", "pending", "success"]);
    assert_eq!(deployments, ["1 in_progress", "1 success"]);
    let state = bench.hub.state();
    assert_eq!(state.statuses[2]["sha"], HEAD);
    assert_eq!(state.deployments[0]["ref"], "main");
    assert_eq!(state.deployment_statuses[1].1["environment_url"], "https://web.example", "the front end's");
    assert!(state.comments[0]["body"].as_str().unwrap().contains("cutover rollback production"));
}

#[tokio::test(start_paused = true)]
async fn what_served_before_is_retired_only_when_the_new_release_serves() {
    for (outcome, state) in [(Outcome::Finished, "inactive"), (Outcome::RolledBack, "success")] {
        let mut bench = bench(Some(12));
        let mark = json!({"cutover": 1, "product": "autoswe", "release": "r-1", "run_id": 1, "attempt": 1});
        {
            let mut hub = bench.hub.state();
            hub.next = 40;
            hub.deployments.push(json!({"id": 39, "sha": "x", "environment": "production", "payload": mark}));
            hub.deployments.push(json!({"id": 38, "sha": "x", "environment": "production", "payload": "somebody else's"}));
            hub.deployment_statuses.push((38, json!({"state": "success"})));
            hub.deployment_statuses.push((39, json!({"state": "success"})));
        }
        bench.run(outcome).await;
        let hub = bench.hub.state();
        let newest = |id| hub.deployment_statuses.iter().rev().find(|(of, _)| *of == id).unwrap().1["state"].clone();
        assert_eq!(newest(39), state);
        assert_eq!(newest(38), "success", "not ours");
    }
}

impl Hub {
    /// A status of the release's context, as the run with this address has set it.
    fn status_of_run(&self, run: &str, state: &str) {
        let url = format!("https://github.example/acme/autoswe/actions/runs/{run}");
        let status = json!({"sha": HEAD, "state": state, "target_url": url, "description": "", "context": "CUTOVER/autoswe/production"});
        self.state().statuses.push(status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_word_of_an_older_run_overwrites_no_newer_one() {
    for (newer, stays) in [("813/attempts/1", true), ("812/attempts/2", true), ("811/attempts/9", false), ("812", false)] {
        let mut bench = bench(Some(12));
        let release = ReleaseId::from_text("r-20260304-050617-abcdef");
        bench.reporter.begin().await;
        bench.reporter.release_started(&release).await;
        // Cancelled, and slow to end: meanwhile another run has said its last word.
        bench.hub.status_of_run(newer, "success");
        bench.reporter.finish(&report(Outcome::RolledBack, &release), MOMENT_LIMIT).await;
        let (statuses, _) = bench.states();
        let last = if stays { "success" } else { "failure" };
        assert_eq!(statuses.last().map(String::as_str), Some(last), "{newer}: {statuses:?}");
        let told = bench.notices().iter().any(|notice| notice.starts_with("github::outdated: A later run has set the status"));
        assert_eq!(told, stays, "{newer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_a_newer_release_has_retired_stays_retired() {
    for (newest, last) in [("inactive", "inactive"), ("in_progress", "success")] {
        let mut bench = bench(Some(12));
        let release = ReleaseId::from_text("r-20260304-050617-abcdef");
        bench.reporter.release_started(&release).await;
        let id = bench.hub.state().deployments[0]["id"].as_u64().unwrap();
        bench.hub.state().deployment_statuses.push((id, json!({"state": newest})));
        bench.reporter.finish(&report(Outcome::Finished, &release), MOMENT_LIMIT).await;
        let (_, deployments) = bench.states();
        assert_eq!(deployments.last(), Some(&format!("{id} {last}")), "{deployments:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_whose_answer_was_lost_is_sent_again_only_where_it_is_not_there() {
    for (fault, sent) in [(Fault::LostAfter, 1), (Fault::LostBefore, 1), (Fault::Status(502), 1)] {
        let hub = Hub::default();
        hub.fault("set_status", fault);
        let status =
            CommitStatus { state: CommitState::Success, target_url: None, description: "fine".to_owned(), context: "c".to_owned() };
        assert_eq!(hub.client().set_status(HEAD, &status).await.unwrap(), StatusOutcome::Set, "{fault:?}");
        assert_eq!(hub.state().statuses.len(), sent, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_deployment() {
    for fault in [Fault::LostAfter, Fault::LostBefore] {
        let mut bench = bench(Some(12));
        bench.hub.fault("create_deployment", fault);
        bench.run(Outcome::Finished).await;
        assert_eq!(bench.hub.state().deployments.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_moved_on_is_replaced_by_the_commit() {
    let mut bench = bench(Some(12));
    bench.hub.state().branch = "e".repeat(40);
    bench.run(Outcome::Finished).await;
    let state = bench.hub.state();
    assert_eq!(state.deployments.len(), 1);
    assert_eq!((&state.deployments[0]["sha"], &state.deployments[0]["ref"]), (&json!(HEAD), &json!(HEAD)));
}

#[tokio::test(start_paused = true)]
async fn a_read_only_token_is_told_once_per_area_and_fails_nothing() {
    let mut bench = bench(Some(12));
    for operation in ["set_status", "create_deployment", "create_comment"] {
        bench.hub.fault(operation, Fault::Status(403));
    }
    bench.run(Outcome::RolledBack).await;
    insta::assert_snapshot!(bench.notices().join("\n"), @"
    github::read-only: The token may not write the commit status (the job needs `statuses: write`; a pull request from a fork never has it). The report is in the summary and the log.
    github::read-only: The token may not write the deployment (the job needs `deployments: write`; a pull request from a fork never has it). The report is in the summary and the log.
    github::read-only: The token may not write the comment on the pull request (the job needs `pull-requests: write`; a pull request from a fork never has it). The report is in the summary and the log.
    ");
    let state = bench.hub.state();
    assert!(state.statuses.is_empty() && state.deployments.is_empty() && state.comments.is_empty());
    assert_eq!(state.calls.iter().filter(|call| call.ends_with("set_status")).count(), 1, "it is not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_push_is_reported_on_the_pull_request_that_it_came_from_although_github_lags() {
    let mut bench = bench(None);
    {
        let mut state = bench.hub.state();
        state.lag = 3;
        state.pulls = vec![pull(12, "closed", true, HEAD, "main", "feature")];
    }
    bench.run(Outcome::Finished).await;
    assert_eq!(bench.hub.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_push_from_no_pull_request_has_no_comment_and_no_complaint() {
    let mut bench = bench(None);
    bench.run(Outcome::Finished).await;
    assert!(bench.hub.bodies().is_empty());
    assert!(bench.notices().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_github_holds_the_run_up_for_a_bounded_time() {
    let mut bench = bench(Some(12));
    for _ in 0..9 {
        bench.hub.fault("set_deployment_status", Fault::Silent);
        bench.hub.fault("set_status", Fault::Silent);
    }
    let began = tokio::time::Instant::now();
    bench.reporter.finish(&report(Outcome::Cancelled, &ReleaseId::from_text("r-1")), Duration::from_secs(6)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(6));
    insta::assert_snapshot!(bench.notices().join("\n"), @"github::slow: GitHub did not answer within 6s, so the report there may be incomplete (finish); it is in the summary and the log.");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_read_although_its_answer_has_other_fields() {
    let jobs = Hub::default().client().jobs(812, 1).await.unwrap();
    assert!(jobs[0].completed());
    assert_eq!(jobs[0].conclusion.as_deref(), Some("failure"));
}

#[tokio::test(start_paused = true)]
async fn writes_go_one_after_the_other() {
    // Two clones of one client share the queue: with the first write unanswered, the second does not leave.
    let hub = Hub::default();
    let (client, twin) = {
        let client = hub.client();
        (client.clone(), client)
    };
    hub.fault("delete_comment", Fault::Silent);
    let first = tokio::spawn(async move { client.delete_comment(1).await });
    tokio::task::yield_now().await;
    let second = tokio::spawn(async move { twin.create_comment(12, "x").await });
    tokio::time::timeout(Duration::from_secs(5), async {
        while hub.state().calls.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.state().calls, [format!("{} delete_comment", Method::DELETE)]);
    assert!(first.await.unwrap().is_err(), "its own deadline ends it");
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_request_is_as_githubs_document_says_with_no_field_that_it_does_not_know() {
    let Some(document) = Document::find("github-openapi.json", "") else { return };
    let mut bench = bench(None);
    {
        let mut state = bench.hub.state();
        state.branch = "e".repeat(40);
        state.pulls = vec![pull(12, "closed", true, HEAD, "main", "feature")];
    }
    bench.run(Outcome::Finished).await;
    bench.run(Outcome::RolledBack).await;
    let hub = bench.hub.clone();
    let client = hub.client();
    client.jobs(812, 1).await.unwrap();
    client.pull(12).await.unwrap();
    client.delete_comment(1).await.unwrap();
    let state = hub.state();
    let faults: Vec<String> = state
        .sent
        .iter()
        .flat_map(|(method, route, request, status)| document.judge(method, route, request.as_ref(), *status, None))
        .collect();
    assert!(state.sent.len() > 15, "{}", state.sent.len());
    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_deployment_that_github_made_for_the_job_is_not_doubled() {
    let hub = Hub::default();
    let job = |id: u64, run: u64, payload: Value| {
        let mut state = hub.state();
        state.deployments.push(json!({"id": id, "sha": HEAD, "ref": HEAD, "environment": "production", "payload": payload}));
        let page = format!("https://github.com/acme/autoswe/actions/runs/{run}/job/5");
        state.deployment_statuses.push((id, json!({"state": "in_progress", "log_url": page})));
    };
    job(1, 811, json!({}));
    assert_eq!(hub.client().deployment_of_job("production", HEAD, 812).await.unwrap(), None, "another run's");
    job(2, 812, json!(""));
    assert_eq!(hub.client().deployment_of_job("production", HEAD, 812).await.unwrap(), Some(2));
}
