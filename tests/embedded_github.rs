//! The embedded GitHub: comments, statuses, checks, deployments, pull requests, jobs, and the git database as a journal's store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cutover::clock::Clock;
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::github::{CommitSeed, GitHub, JobSeed, Level, PullSeed, RepositorySeed, RunSeed, Token};
use cutover::embedded::{World, in_process};
use cutover::github::{CommitState, CommitStatus, GitHub as Client, Repository, Section, Stamp, StickyOutcome};
use cutover::http::Transport;
use cutover::id::{Chance, Name};
use http::{Request, Response};
use serde_json::{Value, json};

use crate::support::openapi::Document;
use crate::support::wire::InProcess;

const REPOSITORY: &str = "alma/shop";
const ALL: [(&str, Level); 7] = [
    ("contents", Level::Write),
    ("deployments", Level::Write),
    ("pull_requests", Level::Write),
    ("issues", Level::Write),
    ("checks", Level::Write),
    ("statuses", Level::Write),
    ("actions", Level::Write),
];

/// A repository with two commits on `main`, an open pull request 1 from `topic`, and tokens.
struct Scene {
    world: World,
    github: GitHub,
    first: String,
    main: String,
    topic: String,
}

fn commit(message: &str, files: &[(&str, Option<&str>)]) -> CommitSeed {
    let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.map(|content| content.as_bytes().to_vec())));
    CommitSeed { message: message.to_owned(), files: files.collect(), ..CommitSeed::default() }
}

fn scene() -> Scene {
    let world = World::in_process(Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap()), Chance::seeded(7));
    let github = GitHub::new(world.ground());
    github.add_to(&world);
    github.seed_repository(&RepositorySeed::new(REPOSITORY));
    github.seed_token("job", Token::of_job(&ALL));
    github.seed_token("reader", Token::of_job(&[("contents", Level::Read)]));
    github.seed_token("person", Token::of_person("alma"));
    let first =
        github.seed_commit(REPOSITORY, "main", commit("first", &[("a.txt", Some("one\ntwo\n")), ("dir/b.txt", Some("b\n"))])).unwrap();
    let main = github.seed_commit(REPOSITORY, "main", commit("second", &[("c.txt", Some("c\n"))])).unwrap();
    let mut seed = commit("topic", &[("a.txt", Some("one\nTWO\nthree\n")), ("dir/b.txt", None), ("moved/b.txt", Some("b\n"))]);
    seed.parents = Some(vec![main.clone()]);
    let topic = github.seed_commit(REPOSITORY, "topic", seed).unwrap();
    let pull = PullSeed { title: "Topic".into(), author: "berta".into(), head_branch: "topic".into(), ..PullSeed::default() };
    assert_eq!(github.seed_pull(REPOSITORY, pull), Some(1));
    Scene { world, github, first, main, topic }
}

impl Scene {
    async fn send(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Response<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://api.github.com{path}"))
            .header("host", "api.github.com")
            .header("user-agent", "test")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()));
        in_process::call(&self.world, request.unwrap()).await.unwrap()
    }

    async fn call_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let path = if path.starts_with("//") { path[1..].to_owned() } else { format!("/repos/{REPOSITORY}{path}") };
        let answer = self.send(token, method, &path, body).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call_as("job", method, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Judges the whole tape by the vendor's document, where it is at hand.
    fn judge(&self) {
        let Some(document) = Document::find("github-openapi.json", "") else { return };
        let mut faults = Vec::new();
        for entry in self.world.ground().tape.entries() {
            // These places take slashes, which a template of segments cannot show.
            let path = ["/git/ref/", "/git/refs/", "/git/matching-refs/", "/compare/", "/contents/"].iter().find_map(|place| {
                let (before, after) = entry.path.split_once(place)?;
                let (tail, query) = after.split_once('?').map_or((after, String::new()), |(tail, query)| (tail, format!("?{query}")));
                Some(format!("{before}{place}{}{query}", tail.replace('/', "%2F")))
            });
            let path = path.unwrap_or(entry.path.clone());
            faults.extend(document.judge(&entry.method, &path, entry.request.json(), entry.status.unwrap(), entry.response.json()));
        }
        faults.sort();
        faults.dedup();
        assert_eq!(faults, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_permissions_and_private_repositories_are_judged() {
    let scene = scene();
    let status = async |token: &str, method: &str, path: &str, body| scene.call_as(token, method, path, body).await.0;
    assert_eq!(status("nobody", "GET", "", None).await, 401);
    assert_eq!(status("reader", "GET", "", None).await, 200);
    assert_eq!(status("reader", "GET", "/deployments", None).await, 200, "reading a public repository is open");
    let answer = scene.send("reader", "POST", &format!("/repos/{REPOSITORY}/issues/1/comments"), Some(json!({ "body": "x" }))).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.headers()["x-accepted-github-permissions"], "issues=write; pull_requests=write");
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["message"], "Resource not accessible by integration");

    scene.github.seed_repository(&RepositorySeed { private: true, ..RepositorySeed::new("alma/secret") });
    let mut elsewhere = Token::of_job(&ALL);
    elsewhere.repositories = vec![REPOSITORY.into()];
    scene.github.seed_token("elsewhere", elsewhere);
    assert_eq!(scene.call_as("elsewhere", "GET", "//repos/alma/secret", None).await.0, 404);
    assert_eq!(scene.call_as("job", "GET", "//repos/alma/secret", None).await.0, 200);
    assert_eq!(scene.call_as("reader", "GET", "//repos/alma/secret/deployments", None).await.0, 403);
    assert_eq!(scene.call_as("person", "GET", "//user", None).await.1["login"], "alma");
    assert_eq!(scene.call_as("job", "GET", "//user", None).await.0, 403);

    let bare = Request::builder().uri("https://api.github.com/user").header("authorization", "Bearer job").body(Bytes::new()).unwrap();
    assert_eq!(in_process::call(&scene.world, bare).await.unwrap().status(), 403, "a user agent is needed");
}

#[tokio::test(start_paused = true)]
async fn comments_are_made_changed_and_refused() {
    let scene = scene();
    let path = "/issues/1/comments";
    let (status, made) = scene.call("POST", path, Some(json!({ "body": "<!-- x -->\r\nhello" }))).await;
    assert_eq!((status, &made["body"], &made["user"]["login"]), (201, &"<!-- x -->\nhello".into(), &"github-actions[bot]".into()));
    assert_eq!((&made["user"]["type"], &made["user"]["id"]), (&"Bot".into(), &41_898_282.into()));
    let own = format!("/issues/comments/{}", made["id"]);
    assert_eq!(scene.call("PATCH", &own, Some(json!({ "body": "again" }))).await.1["body"], "again");
    assert_eq!(scene.call("POST", path, Some(json!({ "body": "x".repeat(65_536) }))).await.0, 201);
    assert_eq!(scene.call("POST", path, Some(json!({ "body": "x".repeat(65_537) }))).await.0, 422);
    assert_eq!(scene.call("PATCH", &own, Some(json!({ "body": " " }))).await.0, 422);
    scene.github.lock_conversation(REPOSITORY, 1, true);
    assert_eq!(scene.call("POST", path, Some(json!({ "body": "x" }))).await.0, 403);
    assert_eq!(scene.call("POST", "/issues/9/comments", Some(json!({ "body": "x" }))).await.0, 404);

    let query = "mutation($id:ID!){minimizeComment(input:{subjectId:$id, classifier:OUTDATED}){minimizedComment{isMinimized}}}";
    let (_, folded) = scene.call("POST", "//graphql", Some(json!({ "query": query, "variables": { "id": made["node_id"] } }))).await;
    assert_eq!(folded["data"]["minimizeComment"]["minimizedComment"]["isMinimized"], true);
    assert!(scene.github.comments(REPOSITORY, 1)[0].minimized);
    let (_, me) = scene.call("POST", "//graphql", Some(json!({ "query": "{viewer{login}}" }))).await;
    assert_eq!(me["data"]["viewer"]["login"], "github-actions[bot]");
    assert_eq!(scene.call("DELETE", &own, None).await.0, 204);
    assert_eq!(scene.call("GET", &own, None).await.0, 404);
    assert_eq!(scene.call("PATCH", &own, Some(json!({ "body": "late" }))).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn listings_page_by_their_links() {
    let scene = scene();
    for number in 0..5 {
        scene.call("POST", "/issues/1/comments", Some(json!({ "body": number.to_string() }))).await;
    }
    let (mut next, mut found) = (Some(format!("/repos/{REPOSITORY}/issues/1/comments?per_page=2")), Vec::new());
    while let Some(path) = next {
        let answer = scene.send("job", "GET", &path, None).await;
        let page: Vec<Value> = serde_json::from_slice(answer.body()).unwrap();
        found.extend(page.into_iter().map(|comment| comment["body"].as_str().unwrap().to_owned()));
        let links = answer.headers().get("link").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let link =
            links.split(", ").find_map(|link| link.strip_suffix(">; rel=\"next\"").map(|link| link.trim_start_matches('<').to_owned()));
        next = link.map(|link| link.strip_prefix("https://api.github.com").unwrap().to_owned());
    }
    assert_eq!(found, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn deployments_follow_the_vendors_rules() {
    let scene = scene();
    let new = |reference: &str, environment: &str| json!({ "ref": reference, "environment": environment, "auto_merge": false, "required_contexts": [], "payload": { "cutover": 1 } });
    let (status, one) = scene.call("POST", "/deployments", Some(new("topic", "preview-1"))).await;
    assert_eq!((status, &one["sha"], &one["production_environment"]), (201, &scene.topic.as_str().into(), &false.into()));
    assert_eq!(scene.call("POST", "/deployments", Some(new("nowhere", "preview-1"))).await.0, 422);
    let tell = async |deployment: &Value, state: &str| {
        let body = json!({ "state": state, "environment_url": "https://example.com", "log_url": "https://example.com/log" });
        scene.call("POST", &format!("/deployments/{}/statuses", deployment["id"]), Some(body)).await
    };
    assert_eq!(tell(&one, "success").await.1["target_url"], "https://example.com/log");
    let (_, two) = scene.call("POST", "/deployments", Some(new("topic", "preview-1"))).await;
    tell(&two, "success").await;
    let newest = scene.get(&format!("/deployments/{}/statuses?per_page=1", one["id"])).await;
    assert_eq!(newest[0]["state"], "inactive", "an earlier one of the same environment is inactive by itself");
    let mut productions = Vec::new();
    for _ in 0..2 {
        let (_, made) = scene.call("POST", "/deployments", Some(new("main", "production"))).await;
        tell(&made, "success").await;
        productions.push(made);
    }
    let newest = scene.get(&format!("/deployments/{}/statuses?per_page=1", productions[0]["id"])).await;
    assert_eq!(newest[0]["state"], "success", "a production one never is");
    assert_eq!(scene.get("/deployments?environment=production").await[0]["id"], productions[1]["id"], "newest first");
    assert_eq!(scene.call("DELETE", &format!("/deployments/{}", productions[0]["id"]), None).await.0, 422, "it is active");
    tell(&productions[0], "inactive").await;
    assert_eq!(scene.call("DELETE", &format!("/deployments/{}", productions[0]["id"]), None).await.0, 204);
    let body = |value: Value| Some(value);
    let path = format!("/deployments/{}/statuses", two["id"]);
    assert_eq!(scene.call("POST", &path, body(json!({ "state": "fine" }))).await.0, 422);
    assert_eq!(scene.call("POST", &path, body(json!({ "state": "success", "description": "x".repeat(141) }))).await.0, 422);
    assert_eq!(scene.call("POST", &path, body(json!({ "state": "success", "environment_url": "ftp://x" }))).await.0, 422);
    assert_eq!(scene.get("/environments").await["total_count"], 2, "a deployment makes its environment");
    assert_eq!(scene.call("DELETE", "/environments/preview-1", None).await.0, 403, "no job's token may");
    assert_eq!(scene.call_as("person", "DELETE", "/environments/preview-1", None).await.0, 204);
}

#[tokio::test(start_paused = true)]
async fn a_careless_deployment_is_merged_or_refused() {
    let scene = scene();
    scene.call("POST", &format!("/statuses/{}", scene.topic), Some(json!({ "state": "pending", "context": "ci" }))).await;
    assert_eq!(scene.call("POST", "/deployments", Some(json!({ "ref": "topic" }))).await.0, 409, "a context is not green");
    let later = scene.github.seed_commit(REPOSITORY, "main", commit("later", &[("d.txt", Some("d\n"))])).unwrap();
    let (status, answer) = scene.call("POST", "/deployments", Some(json!({ "ref": "topic", "required_contexts": [] }))).await;
    assert_eq!((status, &answer["message"]), (202, &"Auto-merged main into topic on deployment.".into()));
    let merged = scene.github.head(REPOSITORY, "refs/heads/topic").unwrap();
    assert_eq!(scene.get(&format!("/git/commits/{merged}")).await["parents"][1]["sha"], later.as_str());
    scene.github.seed_commit(REPOSITORY, "main", commit("clash", &[("a.txt", Some("other\n"))])).unwrap();
    assert_eq!(scene.call("POST", "/deployments", Some(json!({ "ref": "topic", "required_contexts": [] }))).await.0, 409);
}

#[tokio::test(start_paused = true)]
async fn statuses_and_check_runs_have_their_limits() {
    let scene = scene();
    let path = format!("/statuses/{}", scene.topic);
    for state in ["pending", "success"] {
        let body = json!({ "state": state, "context": "cutover", "description": "d", "target_url": "https://example.com" });
        assert_eq!(scene.call("POST", &path, Some(body)).await.0, 201);
    }
    assert_eq!(scene.call("POST", &path, Some(json!({ "state": "success", "description": "x".repeat(141) }))).await.0, 422);
    assert_eq!(scene.call("POST", "/statuses/0000000000000000000000000000000000000000", Some(json!({ "state": "success" }))).await.0, 422);
    let combined = scene.get("/commits/topic/status").await;
    assert_eq!((&combined["state"], &combined["total_count"]), (&"success".into(), &1.into()));
    assert_eq!(scene.get("/commits/topic/statuses").await.as_array().unwrap().len(), 2);

    let note = |line: u64| json!({ "path": "a.txt", "start_line": line, "end_line": line, "annotation_level": "warning", "message": "m" });
    let run = json!({ "name": "cutover / unit", "head_sha": scene.topic, "status": "in_progress", "external_id": "r1" });
    let (status, made) = scene.call("POST", "/check-runs", Some(run.clone())).await;
    assert_eq!(status, 201);
    assert_eq!(scene.call_as("person", "POST", "/check-runs", Some(run)).await.0, 403, "apps only");
    let own = format!("/check-runs/{}", made["id"]);
    let output = |notes: Vec<Value>| json!({ "output": { "title": "t", "summary": "s", "annotations": notes } });
    for _ in 0..2 {
        assert_eq!(scene.call("PATCH", &own, Some(output((1..=50).map(note).collect()))).await.0, 200);
    }
    assert_eq!(scene.get(&own).await["output"]["annotations_count"], 100, "further ones are added");
    assert_eq!(scene.call("PATCH", &own, Some(output((1..=51).map(note).collect()))).await.0, 422);
    assert_eq!(scene.call("PATCH", &own, Some(json!({ "output": { "title": "t" } }))).await.0, 422);
    assert_eq!(
        scene.call("PATCH", &own, Some(json!({ "output": { "title": "t", "summary": "é".repeat(32_768) } }))).await.0,
        422,
        "bytes count"
    );
    assert_eq!(scene.call("PATCH", &own, Some(json!({ "status": "completed" }))).await.0, 422);
    let (_, done) = scene.call("PATCH", &own, Some(json!({ "conclusion": "success" }))).await;
    assert_eq!(done["status"], "completed");
    let listed = scene.get("/commits/topic/check-runs?check_name=cutover%20%2F%20unit").await;
    assert_eq!((&listed["total_count"], &listed["check_runs"][0]["conclusion"]), (&1.into(), &"success".into()));
    assert_eq!(scene.get(&format!("{own}/annotations?per_page=100")).await.as_array().unwrap().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn pull_requests_commits_and_contents_are_found() {
    let scene = scene();
    let pull = scene.get("/pulls/1").await;
    assert_eq!((&pull["state"], &pull["head"]["sha"], &pull["commits"]), (&"open".into(), &scene.topic.as_str().into(), &1.into()));
    let files = scene.get("/pulls/1/files").await;
    let names: Vec<_> =
        files.as_array().unwrap().iter().map(|file| (file["filename"].as_str().unwrap(), file["status"].as_str().unwrap())).collect();
    assert_eq!(names, [("a.txt", "modified"), ("moved/b.txt", "renamed")]);
    assert_eq!(
        (&files[0]["additions"], &files[0]["deletions"], &files[1]["previous_filename"]),
        (&2.into(), &1.into(), &"dir/b.txt".into())
    );
    let compared = scene.get("/compare/main...topic").await;
    assert_eq!((&compared["status"], &compared["ahead_by"]), (&"ahead".into(), &1.into()));
    assert_eq!(scene.get(&format!("/compare/{}...main", scene.first)).await["files"][0]["filename"], "c.txt");
    assert_eq!(scene.get("/commits/main").await["sha"], scene.main.as_str());
    let content = scene.get("/contents/dir/b.txt?ref=main").await;
    assert_eq!(content["content"], "Ygo=\n");
    assert_eq!(scene.call("GET", "/contents/none.txt", None).await.0, 404);
    assert_eq!(scene.get(&format!("/commits/{}/pulls", scene.topic)).await[0]["number"], 1);
    assert_eq!(scene.get(&format!("/commits/{}/pulls", scene.main)).await, json!([]));

    scene.github.switch(|switches| switches.pulls_lag = Duration::from_secs(5));
    let squashed = scene.github.seed_commit(REPOSITORY, "main", commit("Topic (#2)", &[("e.txt", Some("e\n"))])).unwrap();
    let merged = PullSeed {
        title: "Merged".into(),
        author: "berta".into(),
        head_branch: "topic".into(),
        merge_commit: Some(squashed.clone()),
        ..PullSeed::default()
    };
    assert_eq!(scene.github.seed_pull(REPOSITORY, merged), Some(2));
    let path = format!("/commits/{squashed}/pulls");
    assert_eq!(scene.get(&path).await, json!([]), "just after the push nothing is known");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let found = scene.get(&path).await;
    assert_eq!((&found[0]["number"], &found[0]["merge_commit_sha"]), (&2.into(), &squashed.as_str().into()));
    assert_eq!(scene.get("/pulls").await.as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn objects_have_the_names_that_git_gives_them() {
    let scene = scene();
    let entry = |path: &str, content: &str| json!({ "path": path, "mode": "100644", "type": "blob", "content": content });
    let (_, tree) = scene.call("POST", "/git/trees", Some(json!({ "tree": [entry("a.txt", "hello\n"), entry("a/b", "x")] }))).await;
    // From `git write-tree` and `git commit-tree` over the same content.
    assert_eq!(tree["sha"], "f54efa2516b690b89ba85e9cd79076ffa8eea611");
    let who = json!({ "name": "alma", "email": "alma@example.com", "date": "2026-01-02T03:04:05Z" });
    let (_, first) =
        scene.call("POST", "/git/commits", Some(json!({ "message": "first", "tree": tree["sha"], "parents": [], "author": who }))).await;
    assert_eq!(first["sha"], "77ca4ece6da7b4ceda39922a4d3e6cc6e377aabb");
    let next = json!({ "message": "{\"sequence\":1}", "tree": tree["sha"], "parents": [first["sha"]], "author": who });
    assert_eq!(scene.call("POST", "/git/commits", Some(next)).await.1["sha"], "3b1b940ef95880d21c6430b10de1e6e1e4fcfca9");
    let listed = scene.get("/git/trees/f54efa2516b690b89ba85e9cd79076ffa8eea611").await;
    assert_eq!(listed["tree"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ref_moves_forward_only_and_may_be_read_late() {
    let scene = scene();
    let tree = scene.get(&format!("/git/commits/{}", scene.main)).await["tree"]["sha"].clone();
    let append = async |message: &str, parents: Value| {
        scene.call("POST", "/git/commits", Some(json!({ "message": message, "tree": tree, "parents": parents }))).await.1["sha"].clone()
    };
    let one = append("1", json!([])).await;
    let make = json!({ "ref": "refs/cutover/shop/production", "sha": one });
    assert_eq!(scene.call("POST", "/git/refs", Some(make.clone())).await.0, 201);
    let (status, again) = scene.call("POST", "/git/refs", Some(make)).await;
    assert_eq!((status, &again["message"]), (422, &"Reference already exists".into()));
    let (two, other) = (append("2", json!([one])).await, append("other", json!([one])).await);
    let path = "/git/refs/cutover/shop/production";
    scene.github.switch(|switches| switches.ref_lag = Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.call("PATCH", path, Some(json!({ "sha": two, "force": false }))).await.0, 200);
    assert_eq!(scene.get("/git/ref/cutover/shop/production").await["object"]["sha"], one, "read late");
    let (status, refused) = scene.call("PATCH", path, Some(json!({ "sha": other, "force": false }))).await;
    assert_eq!((status, &refused["message"]), (422, &"Update is not a fast forward".into()), "the truth decides");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.get("/git/ref/cutover/shop/production").await["object"]["sha"], two);
    assert_eq!(scene.get("/git/matching-refs/cutover").await.as_array().unwrap().len(), 1);
    assert_eq!(scene.call_as("reader", "PATCH", path, Some(json!({ "sha": other, "force": true }))).await.0, 403);
    assert_eq!(scene.call("PATCH", path, Some(json!({ "sha": other, "force": true }))).await.0, 200);
    assert_eq!(scene.call("POST", "/git/refs", Some(json!({ "ref": "cutover", "sha": one }))).await.0, 422);
    assert_eq!(scene.call("DELETE", path, None).await.0, 204);
    assert_eq!(scene.call("DELETE", path, None).await.0, 422);
    scene.github.seed_repository(&RepositorySeed::new("alma/empty"));
    assert_eq!(scene.call("GET", "//repos/alma/empty/git/ref/heads/main", None).await.0, 409);
}

#[tokio::test(start_paused = true)]
async fn runs_and_jobs_end_and_workflows_are_started() {
    let scene = scene();
    let run = RunSeed {
        id: 7001,
        workflow: "release.yml".into(),
        event: "push".into(),
        branch: "main".into(),
        sha: scene.main.clone(),
        attempt: 2,
    };
    scene.github.seed_run(REPOSITORY, run);
    scene.github.seed_job(REPOSITORY, JobSeed { id: 9001, run: 7001, attempt: 2, name: "release".into(), runner: Some("runner-1".into()) });
    let jobs = scene.get("/actions/runs/7001/attempts/2/jobs?per_page=100").await;
    assert_eq!((&jobs["total_count"], &jobs["jobs"][0]["runner_name"]), (&1.into(), &"runner-1".into()));
    assert_eq!(scene.call("GET", "/actions/runs/7001/attempts/3/jobs", None).await.0, 404);
    assert_eq!(scene.get("/actions/jobs/9001").await["status"], "in_progress");
    scene.github.end_job(REPOSITORY, 9001, "failure");
    assert_eq!(scene.get("/actions/jobs/9001").await["conclusion"], "failure");
    assert_eq!(scene.get("/actions/runs/7001").await["status"], "completed");
    assert_eq!(scene.call("POST", "/actions/runs/7001/cancel", None).await.0, 409);

    scene.github.seed_workflow(REPOSITORY, "release.yml");
    let path = "/actions/workflows/release.yml/dispatches";
    assert_eq!(scene.call("POST", path, Some(json!({ "ref": "main", "inputs": { "environment": "production" } }))).await.0, 204);
    assert_eq!(scene.call("POST", path, Some(json!({ "ref": "main", "return_run_details": true }))).await.0, 200);
    assert_eq!(scene.call("POST", path, Some(json!({ "ref": "nowhere" }))).await.0, 422);
    assert_eq!(scene.github.dispatches(REPOSITORY)[0].inputs["environment"], "production");
}

#[tokio::test(start_paused = true)]
async fn in_a_sandbox_everything_exists() {
    let scene = scene();
    scene.github.switch(|switches| switches.open_to_anyone = true);
    let sha = "c".repeat(40);
    let call = async |method: &str, path: &str, body: Value| {
        scene.call_as("anything", method, &format!("//repos/new/repo{path}"), Some(body)).await.0
    };
    assert_eq!(call("POST", &format!("/statuses/{sha}"), json!({ "state": "success" })).await, 201);
    assert_eq!(call("POST", "/check-runs", json!({ "name": "n", "head_sha": "d".repeat(40) })).await, 201);
    assert_eq!(call("POST", "/issues/12/comments", json!({ "body": "x" })).await, 201);
    let deployment = json!({ "ref": "e".repeat(40), "auto_merge": false, "required_contexts": [] });
    assert_eq!(call("POST", "/deployments", deployment).await, 201);
}

#[tokio::test(start_paused = true)]
async fn rate_limits_are_told_and_kept() {
    let scene = scene();
    scene.github.switch(|switches| {
        switches.requests_per_hour = 3;
        switches.content_per_minute = Some(1);
    });
    let comment = || Some(json!({ "body": "x" }));
    assert_eq!(scene.call("POST", "/issues/1/comments", comment()).await.0, 201);
    let answer = scene.send("job", "POST", &format!("/repos/{REPOSITORY}/issues/1/comments"), comment()).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (403, &"60".parse().unwrap()));
    assert_eq!(answer.headers()["x-ratelimit-remaining"], "1");
    assert_eq!(scene.call("GET", "", None).await.0, 200);
    let spent = scene.send("job", "GET", &format!("/repos/{REPOSITORY}"), None).await;
    assert_eq!((spent.status().as_u16(), &spent.headers()["x-ratelimit-remaining"]), (403, &"0".parse().unwrap()));
    assert_eq!(scene.call("GET", "//rate_limit", None).await.1["resources"]["core"]["remaining"], 0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(scene.call("POST", "/issues/1/comments", comment()).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_valid_with_unknown_fields_refused() {
    let scene = scene();
    scene.github.seed_run(
        REPOSITORY,
        RunSeed {
            id: 7001,
            workflow: "release.yml".into(),
            event: "push".into(),
            branch: "main".into(),
            sha: scene.main.clone(),
            attempt: 1,
        },
    );
    scene.github.seed_job(REPOSITORY, JobSeed { id: 9001, run: 7001, attempt: 1, name: "release".into(), runner: None });
    scene.github.seed_workflow(REPOSITORY, "release.yml");
    let body = json!({ "ref": "main", "environment": "production", "auto_merge": false, "required_contexts": [], "payload": { "a": 1 }, "description": "d" });
    let (_, deployment) = scene.call("POST", "/deployments", Some(body)).await;
    let statuses = format!("/deployments/{}/statuses", deployment["id"]);
    let (_, status) = scene.call("POST", &statuses, Some(json!({ "state": "success", "environment_url": "https://example.com" }))).await;
    let (_, comment) = scene.call("POST", "/issues/1/comments", Some(json!({ "body": "x" }))).await;
    scene.call("PATCH", &format!("/issues/comments/{}", comment["id"]), Some(json!({ "body": "y" }))).await;
    let note = json!({ "path": "a.txt", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m" });
    let run = json!({ "name": "n", "head_sha": scene.topic, "conclusion": "success", "output": { "title": "t", "summary": "s", "annotations": [note] } });
    let (_, run) = scene.call("POST", "/check-runs", Some(run)).await;
    scene.call("PATCH", &format!("/check-runs/{}", run["id"]), Some(json!({ "details_url": "https://example.com" }))).await;
    scene.call("POST", &format!("/statuses/{}", scene.topic), Some(json!({ "state": "success", "context": "c" }))).await;
    let (_, tree) = scene
        .call("POST", "/git/trees", Some(json!({ "tree": [{ "path": "r", "mode": "100644", "type": "blob", "content": "{}" }] })))
        .await;
    let (_, record) = scene.call("POST", "/git/commits", Some(json!({ "message": "m", "tree": tree["sha"], "parents": [] }))).await;
    scene.call("POST", "/git/refs", Some(json!({ "ref": "refs/cutover/x", "sha": record["sha"] }))).await;
    scene.call("PATCH", "/git/refs/cutover/x", Some(json!({ "sha": record["sha"], "force": false }))).await;
    scene.call("PATCH", "/git/refs/cutover/x", Some(json!({ "sha": scene.main, "force": false }))).await;
    scene.call("POST", "/actions/workflows/release.yml/dispatches", Some(json!({ "ref": "main", "return_run_details": true }))).await;
    let paths = [
        "",
        "/pulls",
        "/pulls/1",
        "/pulls/1/files",
        "/pulls/1/commits",
        "/issues/1/comments",
        "/commits/topic",
        "/commits/topic/status",
        "/commits/topic/statuses",
        "/commits/topic/check-runs",
        "/compare/main...topic",
        "/contents/a.txt",
        "/contents/dir",
        "/deployments",
        "/environments",
        "/environments/production",
        "/git/ref/heads/main",
        "/git/matching-refs/heads",
        "/actions/runs",
        "/actions/runs?branch=main&event=push&status=queued&head_sha=x&per_page=5",
        "/actions/runs/7001",
        "/actions/runs/7001/attempts/1",
        "/actions/runs/7001/attempts/1/jobs",
        "/actions/runs/7001/jobs",
        "/actions/jobs/9001",
        "//rate_limit",
    ];
    for path in paths {
        scene.get(path).await;
    }
    let made = [
        format!("/commits/{}/pulls", scene.topic),
        format!("/git/trees/{}", tree["sha"].as_str().unwrap()),
        format!("/git/commits/{}", record["sha"].as_str().unwrap()),
        format!("/deployments/{}", deployment["id"]),
        format!("{statuses}?per_page=1"),
        format!("{statuses}/{}", status["id"]),
        format!("/check-runs/{}", run["id"]),
        format!("/check-runs/{}/annotations", run["id"]),
        format!("/issues/comments/{}", comment["id"]),
    ];
    for path in made {
        scene.get(&path).await;
    }
    assert_eq!(scene.call("GET", "/pulls/99", None).await.0, 404);
    assert_eq!(scene.call("POST", "/issues/1/comments", Some(json!({ "body": "" }))).await.0, 422);
    scene.judge();
}

#[tokio::test(start_paused = true)]
async fn the_products_own_client_is_understood_and_sends_what_the_vendor_publishes() {
    let scene = scene();
    let ground = scene.world.ground();
    let transport = Transport::new(Arc::new(InProcess::new(scene.world.clone())), ground.clock, Arc::new(Chance::seeded(3)));
    let base = url::Url::parse("https://api.github.com").unwrap();
    let client = Client::new(transport, base, "job".into(), Repository::parse(REPOSITORY).unwrap());
    let product = Name::parse("shop").unwrap();
    let section = |run_id, body: &str| Section {
        scope: Name::parse("production").unwrap(),
        stamp: Stamp { run_id, attempt: 1 },
        body: body.to_owned(),
    };
    // The answer to the first comment is lost after its effect: it must be found again, not made twice.
    ground.faults.set(Rule::at("github.create_comment[alma/shop]#1", Effect::Once, Answer::Lost).unwrap());
    assert!(matches!(
        client.put_section(1, &product, &section(1, "one")).await.unwrap(),
        StickyOutcome::Created(_) | StickyOutcome::Unchanged(_)
    ));
    assert!(matches!(client.put_section(1, &product, &section(2, "two")).await.unwrap(), StickyOutcome::Updated(_)));
    let comments = scene.github.comments(REPOSITORY, 1);
    assert!(comments.len() == 1 && comments[0].body.contains("two"), "{comments:?}");
    let status = CommitStatus { state: CommitState::Success, target_url: None, description: "d".repeat(200), context: "cutover".into() };
    client.set_status(&scene.topic, &status).await.unwrap();
    assert_eq!(scene.github.statuses(REPOSITORY, &scene.topic)[0].1, "success");
    assert_eq!(client.pull(1).await.unwrap().number, 1);
    assert_eq!(client.pull_of_push(&scene.topic, "topic").await.unwrap().map(|pull| pull.number), Some(1));
    scene.judge();
}
