//! A worker with static assets as a target, against the embedded Cloudflare called in process: upload, version, deployment, and what can go wrong.

use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::cloudflare::{Cloudflare, Tree, WorkerFate, WorkerSeed};
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::{World, in_process};
use cutover::event::{Event, Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::cloudflare::CloudflareEndpoints;
use cutover::platform::cloudflare::workers::{WorkerSettings, WorkerTarget};
use cutover::platform::{Artifact, Health, Observed, PlatformErrorKind, Revision, Scope, Target};
use cutover::shutdown::Shutdown;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::binary::{code, cutover, output, told};
use crate::support::wire::InProcess;

const ACCOUNT: &str = "00112233445566778899aabbccddeeff";
const TOKEN: &str = "secretOfTheTest";
const HOST: &str = "site.embedded.workers.dev";

/// A world with one worker, `site`, and the target that releases to it.
struct Scene {
    world: World,
    clock: Clock,
    cloudflare: Cloudflare,
    target: WorkerTarget,
    events: Events,
    _told: UnboundedReceiver<Event>,
    /// What served at first.
    earlier: String,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn target(world: &World, clock: Clock, settings: WorkerSettings) -> WorkerTarget {
    let transport = Transport::new(Arc::new(InProcess::new(world.clone())), clock, Arc::new(Chance::seeded(11)));
    let endpoints = CloudflareEndpoints::from_lookup(|_| None).unwrap();
    WorkerTarget::new(settings, endpoints, SecretString::from(TOKEN), transport)
}

fn settings() -> WorkerSettings {
    WorkerSettings::new(name("web"), "site", ACCOUNT)
}

fn scene_with(settings: WorkerSettings) -> Scene {
    let clock = Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
    let world = World::in_process(clock, Chance::seeded(7));
    world.ground().traffic.lags(&[std::time::Duration::ZERO]);
    let cloudflare = Cloudflare::new(world.ground());
    cloudflare.add_to(&world);
    cloudflare.seed_token(TOKEN, &[ACCOUNT]);
    cloudflare.seed_worker(WorkerSeed::new(ACCOUNT, "site"));
    let earlier = cloudflare.seed_earlier_version("site", &Tree::from([("index.html".to_owned(), b"old".to_vec())])).unwrap();
    let target = target(&world, clock, settings);
    let (events, told) = Events::channel(clock);
    Scene { world, clock, cloudflare, target, events, _told: told, earlier }
}

fn scene() -> Scene {
    scene_with(settings())
}

fn site(files: &[(&str, &str)]) -> (TempDir, Artifact) {
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let artifact = Artifact::Directory { path: folder.path().to_owned(), digest: format!("sha256:{:064x}", files.len()) };
    (folder, artifact)
}

impl Scene {
    fn scope(&self, phase: Phase) -> Scope {
        Scope {
            product: name("tinybug"),
            environment: name("production"),
            release: ReleaseId::from_text("r-20260102-030405-aaaaaa"),
            commit: "1f2e3d4c5b6a79880f1e2d3c4b5a697887766554".to_owned(),
            phase,
            events: self.events.clone(),
            shutdown: Shutdown::default(),
            changes: cutover::platform::Changes::default(),
            turn: cutover::platform::Turn::default(),
            expected: None,
        }
    }

    async fn observe(&self) -> Observed {
        self.target.observe(&self.scope(Phase::Observe)).await.unwrap()
    }

    async fn prepared(&self, artifact: &Artifact) -> Revision {
        let before = self.observe().await;
        self.target.prepare(&self.scope(Phase::Prepare), artifact, &before, &[]).await.unwrap()
    }

    async fn serves(&self, revision: &Revision) -> Observed {
        self.target.serve(&self.scope(Phase::CutOver), revision).await.unwrap()
    }

    async fn back(&self, revision: &Revision) -> Observed {
        self.target.serve(&self.scope(Phase::RollBack), revision).await.unwrap()
    }

    fn strike(&self, boundary: &str, effect: Effect, answer: Answer) {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap());
    }

    fn count(&self, operation: &str) -> usize {
        self.world.ground().tape.entries().iter().filter(|entry| entry.operation == operation).count()
    }

    /// The share of the users that each version has, oldest first.
    fn shares(&self) -> Vec<Option<f64>> {
        self.cloudflare.versions("site").iter().map(|version| version.share).collect()
    }

    async fn ask(&self, host: &str, path: &str, headers: &[(String, String)]) -> http::Response<bytes::Bytes> {
        let mut request = http::Request::builder().uri(format!("https://{host}{path}")).header("host", host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap()
    }

    async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let answer = self.ask(host, path, &[]).await;
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// What is answered where the prepared revision is asked.
    async fn prepared_page(&self, revision: &Revision) -> String {
        let (url, headers) = self.target.prepared_url(revision).unwrap();
        let host = url::Url::parse(&url).unwrap().host_str().unwrap().to_owned();
        String::from_utf8_lossy(self.ask(&host, "/", &headers).await.body()).into_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_is_made_without_traffic_then_serves_and_the_one_before_comes_back() {
    let scene = scene();
    assert!(scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap().is_empty());
    let before = scene.observe().await;
    assert_eq!(scene.target.public_url().as_deref(), Some("https://site.embedded.workers.dev/"));
    let (_folder, artifact) = site(&[("index.html", "new"), ("copy.html", "new"), ("style.css", "a{}")]);
    let revision = scene.prepared(&artifact).await;
    assert_eq!(scene.shares(), [Some(100.0), None]);
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
    assert_eq!(scene.prepared_page(&revision).await, "new");
    assert_eq!(scene.target.probe(&scene.scope(Phase::Verify), &revision).await.unwrap(), Health::Healthy);
    let observed = scene.serves(&revision).await;
    assert!(observed.single().unwrap().same_content(&revision));
    assert_eq!(scene.shares(), [None, Some(100.0)]);
    assert_eq!(scene.get(HOST, "/").await, (200, "new".to_owned()));
    assert_eq!(scene.get(HOST, "/.well-known/cutover.json").await.1, format!(r#"{{"revision":"{}"}}"#, revision.digest));
    let made = &scene.cloudflare.versions("site")[1];
    assert_eq!(made.paths, ["/.well-known/cutover.json", "/copy.html", "/index.html", "/style.css"]);
    assert!(made.message.starts_with("cutover r-20260102-030405-aaaaaa ") && made.message.len() <= 100 && made.tag.len() <= 25);
    let observed = scene.back(before.single().unwrap()).await;
    assert_eq!(observed.single().unwrap().digest, before.single().unwrap().digest);
    assert_eq!(scene.cloudflare.versions("site")[0].id, scene.earlier);
    assert_eq!(scene.shares(), [Some(100.0), None]);
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
    scene.target.prune(&scene.scope(Phase::RollBack), std::slice::from_ref(&revision)).await.unwrap();
    assert_eq!(scene.count("deploy_version"), 2, "a version without traffic is left alone");
}

#[tokio::test(start_paused = true)]
async fn without_preview_addresses_the_version_joins_with_none_of_the_users_and_a_header_chooses_it() {
    let scene = scene();
    scene.cloudflare.switch(|switches| switches.worker_previews = false);
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    assert_eq!(scene.shares(), [Some(100.0), Some(0.0)]);
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
    assert_eq!(scene.prepared_page(&revision).await, "new");
    assert!(scene.observe().await.single().unwrap().same_content(before.single().unwrap()), "nobody gets it");
    // A failed release leaves nothing in the deployment.
    scene.back(before.single().unwrap()).await;
    scene.target.prune(&scene.scope(Phase::RollBack), std::slice::from_ref(&revision)).await.unwrap();
    assert_eq!(scene.shares(), [Some(100.0), None]);
    // Another try finds its version, and it serves.
    let again = scene.prepared(&artifact).await;
    assert_eq!(scene.count("create_version"), 1);
    scene.serves(&again).await;
    assert_eq!(scene.shares(), [None, Some(100.0)]);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_site_uploads_nothing_and_a_changed_one_what_has_changed() {
    let scene = scene();
    let (_folder, artifact) = site(&[("index.html", "new"), ("a.html", "a")]);
    let revision = scene.prepared(&artifact).await;
    assert_eq!(scene.count("upload_bucket"), 1);
    assert_eq!(scene.prepared(&artifact).await, revision, "prepare finds its own work");
    assert_eq!((scene.count("upload_bucket"), scene.count("create_version")), (1, 1));
    let stored = scene.cloudflare.contents();
    let (_other, changed) = site(&[("index.html", "newer"), ("a.html", "a"), ("b.html", "a")]);
    scene.prepared(&changed).await;
    // The page, and the mark with the revision: equal contents are stored once.
    assert_eq!(scene.cloudflare.contents(), stored + 2);
}

#[tokio::test(start_paused = true)]
async fn files_are_sent_one_by_one_where_the_token_asks_for_it() {
    let scene = scene();
    scene.cloudflare.switch(|switches| switches.worker_single_uploads = true);
    let (_folder, artifact) = site(&[("index.html", "new"), ("style.css", "a{}"), ("copy.css", "a{}")]);
    scene.strike("cloudflare.upload_asset", Effect::Once, Answer::Lost);
    let revision = scene.prepared(&artifact).await;
    // Two contents and the mark; equal ones travel once, and the lost answer is asked for again.
    assert_eq!((scene.count("upload_bucket"), scene.count("upload_asset")), (0, 4));
    scene.serves(&revision).await;
    assert_eq!(scene.get(HOST, "/copy.css").await, (200, "a{}".to_owned()));
    assert_eq!(scene.ask(HOST, "/style.css", &[]).await.headers()["content-type"], "text/css; charset=utf-8");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_any_write_is_adopted_and_never_doubled() {
    for previews in [true, false] {
        for operation in ["open_upload[site]", "upload_bucket", "create_version[site]", "deploy_version[site]"] {
            for effect in [Effect::Once, Effect::None] {
                let scene = scene();
                scene.cloudflare.switch(|switches| switches.worker_previews = previews);
                let before = scene.observe().await;
                let (_folder, artifact) = site(&[("index.html", "new")]);
                scene.strike(&format!("cloudflare.{operation}"), effect, Answer::Lost);
                let revision = scene.prepared(&artifact).await;
                scene.strike("cloudflare.deploy_version[site]", effect, Answer::Lost);
                scene.serves(&revision).await;
                assert_eq!(scene.shares(), [None, Some(100.0)], "{operation} {effect:?}");
                scene.strike("cloudflare.deploy_version[site]", effect, Answer::Lost);
                scene.back(before.single().unwrap()).await;
                assert_eq!(scene.shares(), [Some(100.0), None], "{operation} {effect:?}");
                assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_over_serves_by_what_the_journal_has() {
    let scene = scene();
    let (folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    drop(folder);
    let reach = scene.target.reach();
    assert_eq!(reach.product.as_deref(), Some("worker"));
    let recorded = WorkerSettings::recorded(name("web"), scene.target.thing(), reach.account.clone().unwrap(), &reach);
    let other = target(&scene.world, scene.clock, recorded);
    other.serve(&scene.scope(Phase::CutOver), &revision).await.unwrap();
    assert_eq!(scene.get(HOST, "/").await, (200, "new".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_strangers_deployment_in_between_is_left_alone() {
    let scene = scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    scene.cloudflare.seed_earlier_version("site", &Tree::from([("index.html".to_owned(), b"hotfix".to_vec())])).unwrap();
    let scope = Scope { expected: Some(vec![before.single().unwrap().clone()]), ..scene.scope(Phase::CutOver) };
    let error = scene.target.serve(&scope, &revision).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Foreign(_)), "{error}");
    assert_eq!(scene.get(HOST, "/").await, (200, "hotfix".to_owned()));
    // Nor does a version without an address of its own join what this release has not seen.
    scene.cloudflare.switch(|switches| switches.worker_previews = false);
    let (_other, another) = site(&[("index.html", "newer"), ("more.html", "more")]);
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &another, &before, &[]).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Foreign(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_there_and_one_that_answers_badly_are_told() {
    let scene = scene();
    let error = target(&scene.world, scene.clock, WorkerSettings::new(name("web"), "nobody", ACCOUNT));
    let error = error.preflight(&scene.scope(Phase::Preflight)).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::NotFound(_)), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("wrangler deploy --name nobody")), "{:?}", error.hints);
    scene.cloudflare.next_version("site", WorkerFate::AnswersBadly);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    let (url, headers) = scene.target.prepared_url(&revision).unwrap();
    let host = url::Url::parse(&url).unwrap().host_str().unwrap().to_owned();
    assert_eq!(scene.ask(&host, "/", &headers).await.status(), 500);
}

#[tokio::test(start_paused = true)]
async fn ignored_files_stay_at_home_rules_travel_beside_the_files_and_paths_without_a_file_get_what_is_set() {
    let files = [
        ("index.html", "home"),
        ("about.html", "about"),
        ("404.html", "lost"),
        ("drafts/x.html", "draft"),
        (".assetsignore", "drafts\n"),
        (".env", "SECRET=1"),
        ("_headers", "/about\n  X-Page: about\n"),
        ("_redirects", "/old /about 301\n"),
    ];
    for (not_found, status, body) in [("none", 404, ""), ("404-page", 404, "lost"), ("single-page-application", 200, "home")] {
        let scene = scene_with(WorkerSettings { not_found: not_found.to_owned(), ..settings() });
        let (_folder, artifact) = site(&files);
        let revision = scene.prepared(&artifact).await;
        scene.serves(&revision).await;
        let paths = &scene.cloudflare.versions("site")[1].paths;
        assert_eq!(paths, &["/.well-known/cutover.json", "/404.html", "/about.html", "/index.html"]);
        assert_eq!(scene.get(HOST, "/nothing/here").await, (status, body.to_owned()), "{not_found}");
        let about = scene.ask(HOST, "/about", &[]).await;
        assert_eq!((about.headers()["x-page"].to_str().unwrap(), about.body().as_ref()), ("about", &b"about"[..]));
        assert_eq!(about.headers()["content-type"], "text/html; charset=utf-8");
        let old = scene.ask(HOST, "/old", &[]).await;
        assert_eq!((old.status().as_u16(), old.headers()["location"].to_str().unwrap()), (301, "/about"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_with_code_is_refused() {
    let scene = scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new"), ("_worker.js", "export default {}")]);
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Impossible(_)), "{error}");
    assert_eq!(scene.count("open_upload"), 0);
}

#[test]
fn a_worker_is_rehearsed_whole_and_a_hostname_that_leads_elsewhere_stops_it_before_anything() {
    let product = tempfile::tempdir().unwrap();
    let manifest = "version: 1\nproduct: shop\ntargets:\n  site:\n    worker: shop\n    dir: public\n    url: https://www.shop.example/\n    \
                    dns: [www.shop.example, shop.example]\n    verify: [{ get: /, contains: hello }]\nenvironments:\n  \
                    production: { branch: main, watch: 1s }\n";
    std::fs::write(product.path().join("cutover.yml"), manifest).unwrap();
    std::fs::create_dir(product.path().join("public")).unwrap();
    std::fs::write(product.path().join("public/index.html"), "hello").unwrap();
    for (failure, expected, words) in [
        (None, 0, "production serves the new release on 1 target"),
        (Some("site:watch"), 3, "Purging the cache of www.shop.example, shop.example"),
        (Some("site:preflight"), 5, "www.shop.example must be `AAAA 100::, proxied`; it is `CNAME elsewhere.example.net, proxied`"),
    ] {
        let mut command = cutover(&["rehearse", product.path().to_str().unwrap(), "--no-engine"]);
        command.args(failure.iter().flat_map(|failure| ["--fail", failure]));
        let done = output(command);
        assert_eq!(code(&done), expected, "{}", told(&done));
        assert!(told(&done).contains(words), "{}", told(&done));
    }
}
