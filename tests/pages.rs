//! Cloudflare Pages as a target, against the embedded Cloudflare called in process: upload, stage, serve, go back, and what can go wrong.

mod building;
mod files;
mod messages;
mod site;
mod vendor;

use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::cloudflare::{Cloudflare, Fate, ProjectSeed, Tree};
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::{World, in_process};
use cutover::event::{Event, Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::cloudflare::CloudflareEndpoints;
use cutover::platform::cloudflare::pages::{PagesSettings, PagesTarget};
use cutover::platform::{Artifact, Health, Observed, PlatformErrorKind, Revision, Scope, Target};
use cutover::shutdown::Shutdown;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::wire::InProcess;

const ACCOUNT: &str = "00112233445566778899aabbccddeeff";
const TOKEN: &str = "secretOfTheTest";
const HOST: &str = "site.pages.dev";
const RELEASE: &str = "r-20260102-030405-aaaaaa";

/// A world with one project, `site`, and the target that releases to it.
struct Scene {
    world: World,
    clock: Clock,
    cloudflare: Cloudflare,
    target: PagesTarget,
    events: Events,
    _told: UnboundedReceiver<Event>,
    /// What served at first.
    earlier: String,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn target(world: &World, clock: Clock, token: &'static str) -> PagesTarget {
    made(world, clock, PagesSettings::new(name("web"), "site", ACCOUNT), token)
}

fn target_with(world: &World, clock: Clock, settings: PagesSettings) -> PagesTarget {
    made(world, clock, settings, TOKEN)
}

fn made(world: &World, clock: Clock, settings: PagesSettings, token: &'static str) -> PagesTarget {
    let transport = Transport::new(Arc::new(InProcess::new(world.clone())), clock, Arc::new(Chance::seeded(11)));
    let endpoints = CloudflareEndpoints::from_lookup(|_| None).unwrap();
    PagesTarget::new(settings, endpoints, SecretString::from(token), transport)
}

fn scene_of(seed: ProjectSeed) -> Scene {
    let clock = Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
    let world = World::in_process(clock, Chance::seeded(7));
    // How far edges lag is the served proof's matter.
    world.ground().traffic.lags(&[std::time::Duration::ZERO]);
    let cloudflare = Cloudflare::new(world.ground());
    cloudflare.add_to(&world);
    cloudflare.seed_token(TOKEN, &[ACCOUNT]);
    cloudflare.seed_project(seed);
    let earlier = cloudflare.seed_earlier_deployment("site", &Tree::from([("index.html".to_owned(), b"old".to_vec())])).unwrap();
    let target = target(&world, clock, TOKEN);
    let (events, told) = Events::channel(clock);
    Scene { world, clock, cloudflare, target, events, _told: told, earlier }
}

fn scene() -> Scene {
    scene_of(ProjectSeed::new(ACCOUNT, "site"))
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
            release: ReleaseId::from_text(RELEASE),
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

    async fn ask(&self, host: &str, path: &str) -> http::Response<bytes::Bytes> {
        let request = http::Request::builder().uri(format!("https://{host}{path}")).header("host", host);
        in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap()
    }

    async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let answer = self.ask(host, path).await;
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_is_staged_served_and_taken_back() {
    let scene = scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new"), ("copy.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
    let (url, _) = scene.target.prepared_url(&revision).unwrap();
    let staged = url::Url::parse(&url).unwrap().host_str().unwrap().to_owned();
    assert_eq!(scene.get(&staged, "/").await, (200, "new".to_owned()));
    assert_eq!(scene.target.probe(&scene.scope(Phase::Verify), &revision).await.unwrap(), Health::Healthy);
    let uploads = scene.count("upload_assets");
    let observed = scene.serves(&revision).await;
    assert!(observed.single().unwrap().same_content(&revision));
    assert_eq!(scene.count("upload_assets"), uploads, "serving uploads nothing");
    assert_eq!(scene.get(HOST, "/").await, (200, "new".to_owned()));
    let mark = scene.get(HOST, "/.well-known/cutover.json").await;
    assert_eq!(mark.1, format!(r#"{{"revision":"{}"}}"#, revision.digest));
    // Production has no record: only the staging deployment keeps one.
    let made = scene.cloudflare.deployments("site");
    let records = |one: &cutover::embedded::cloudflare::Seen| one.manifest.keys().filter(|path| path.contains("cutover-")).count();
    assert_eq!(made.iter().map(|one| (one.production, records(one))).collect::<Vec<_>>(), [(true, 0), (false, 1), (true, 0)]);
    let observed = scene.back(before.single().unwrap()).await;
    assert_eq!(observed.single().unwrap().digest, before.single().unwrap().digest);
    assert_eq!(scene.cloudflare.production("site").unwrap(), scene.earlier);
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_site_uploads_nothing() {
    let scene = scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    let uploads = scene.count("upload_assets");
    assert_eq!(uploads, 1);
    let again = scene.prepared(&artifact).await;
    assert_eq!(again, revision, "prepare finds its own work");
    assert_eq!(scene.count("upload_assets"), uploads);
    assert_eq!(scene.count("create_deployment"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_is_lost_is_adopted_and_never_doubled() {
    let scene = scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    scene.strike("cloudflare.create_deployment[site]", Effect::Once, Answer::Lost);
    let revision = scene.prepared(&artifact).await;
    scene.strike("cloudflare.create_deployment[site]", Effect::Once, Answer::Lost);
    scene.serves(&revision).await;
    let made = scene.cloudflare.deployments("site");
    assert_eq!(made.iter().map(|one| one.production).collect::<Vec<_>>(), [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_did_not_happen_is_repeated() {
    let scene = scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    scene.strike("cloudflare.create_deployment[site]", Effect::None, Answer::Lost);
    scene.prepared(&artifact).await;
    assert_eq!(scene.cloudflare.deployments("site").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_upload_token_that_has_ended_is_renewed() {
    let scene = scene();
    scene.cloudflare.switch(|switches| switches.token_life = std::time::Duration::ZERO);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let before = scene.observe().await;
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unauthorized(_)), "{error}");
    scene.cloudflare.switch(|switches| switches.token_life = std::time::Duration::from_secs(40));
    scene.prepared(&artifact).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_over_posts_from_the_record_of_the_staging_deployment() {
    let scene = scene();
    let (folder, artifact) = site(&[("index.html", "new"), ("_headers", "/*\n  X-Side: new\n")]);
    let revision = scene.prepared(&artifact).await;
    drop(folder);
    let other = target(&scene.world, scene.clock, TOKEN);
    other.serve(&scene.scope(Phase::CutOver), &revision).await.unwrap();
    let answer = scene.ask(HOST, "/").await;
    assert_eq!((answer.body().as_ref(), answer.headers()["x-side"].to_str().unwrap()), (&b"new"[..], "new"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_rollback_posts_the_same_once_more() {
    let scene = scene();
    let (_folder, first) = site(&[("index.html", "one")]);
    let one = scene.prepared(&first).await;
    let served = scene.serves(&one).await;
    let (_other, second) = site(&[("index.html", "two"), ("more.html", "two")]);
    let two = scene.prepared(&second).await;
    scene.serves(&two).await;
    scene.cloudflare.switch(|switches| switches.refuses_rollback = true);
    let observed = scene.back(served.single().unwrap()).await;
    assert!(observed.single().unwrap().same_content(&one));
    assert_eq!(scene.get(HOST, "/").await, (200, "one".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_fails_is_told_with_its_log() {
    let scene = scene();
    scene.cloudflare.next("site", false, Fate::FAILS);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let before = scene.observe().await;
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unhealthy(_)), "{error}");
    assert!(error.hints.iter().any(|hint| hint == "Failed to publish your assets"), "{:?}", error.hints);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_production_is_left_alone() {
    let scene = scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    scene.cloudflare.seed_earlier_deployment("site", &Tree::from([("index.html".to_owned(), b"hotfix".to_vec())])).unwrap();
    let scope = Scope { expected: Some(vec![before.single().unwrap().clone()]), ..scene.scope(Phase::CutOver) };
    let error = scene.target.serve(&scope, &revision).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Foreign(_)), "{error}");
    assert_eq!(scene.get(HOST, "/").await, (200, "hotfix".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_release_leaves_nothing_and_production_is_never_removed() {
    let scene = scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let revision = scene.prepared(&artifact).await;
    scene.serves(&revision).await;
    scene.target.prune(&scene.scope(Phase::Finish), std::slice::from_ref(before.single().unwrap())).await.unwrap();
    assert_eq!(scene.cloudflare.deployments("site").len(), 3, "what can be rolled back to stays");
    scene.back(before.single().unwrap()).await;
    scene.target.prune(&scene.scope(Phase::RollBack), std::slice::from_ref(&revision)).await.unwrap();
    let left: Vec<String> = scene.cloudflare.deployments("site").into_iter().map(|one| one.id).collect();
    assert_eq!(left, std::slice::from_ref(&scene.earlier));
}

#[tokio::test(start_paused = true)]
async fn preflight_finds_pushes_that_go_live_and_a_token_that_is_not_accepted() {
    let scene = scene_of(ProjectSeed { repository: Some(("acme/site".to_owned(), true)), ..ProjectSeed::new(ACCOUNT, "site") });
    let problems = scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
    assert_eq!(problems.iter().map(|one| (one.code, one.fatal)).collect::<Vec<_>>(), [("cloudflare::git-goes-live", true)]);
    let stranger = target(&scene.world, scene.clock, "tokenOfNobody");
    let error = stranger.preflight(&scene.scope(Phase::Preflight)).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unauthorized(_)), "{error}");
    assert!(error.hints[0].contains("CLOUDFLARE_API_TOKEN"), "{:?}", error.hints);
}

#[tokio::test(start_paused = true)]
async fn public_addresses_serve_the_files_by_the_vendors_rules() {
    let scene = scene();
    let (_folder, artifact) = site(&[
        ("index.html", "home"),
        ("about.html", "about"),
        ("docs/index.html", "docs"),
        ("404.html", "lost"),
        ("_headers", "/about\n  X-Page: about\n/docs/*\n  X-Splat: :splat\n"),
        ("_redirects", "/old /about 301\n/blog/:slug /docs/:slug 302\n/app/* /about 200\n"),
    ]);
    let revision = scene.prepared(&artifact).await;
    scene.serves(&revision).await;
    assert_eq!(scene.get(HOST, "/about").await, (200, "about".to_owned()));
    assert_eq!(scene.get(HOST, "/docs/").await, (200, "docs".to_owned()));
    assert_eq!(scene.get(HOST, "/nothing/here").await, (404, "lost".to_owned()));
    assert_eq!(scene.get(HOST, "/app/x/y").await, (200, "about".to_owned()));
    for (path, status, to) in [
        ("/about.html?a=b", 308, "/about?a=b"),
        ("/docs", 308, "/docs/"),
        ("/index.html", 308, "/"),
        ("/old", 301, "/about"),
        ("/blog/first", 302, "/docs/first"),
    ] {
        let answer = scene.ask(HOST, path).await;
        assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (status, to), "{path}");
    }
    assert_eq!(scene.ask(HOST, "/about").await.headers()["x-page"], "about");
    assert_eq!(scene.ask(HOST, "/about").await.headers()["content-type"], "text/html; charset=utf-8");
}
