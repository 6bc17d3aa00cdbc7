//! Vercel as a target, against the embedded Vercel called in process: deploy, promote, go back, and what can go wrong on the way.

mod files;
mod preflight;
mod projects;
mod resuming;
mod rules;
mod same_bytes;
mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cutover::clock::Clock;
use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::vercel::{ProjectSeed, Tree, Vercel};
use cutover::embedded::{World, in_process};
use cutover::event::{Event, EventKind, Events, Phase};
use cutover::http::Transport;
use cutover::id::{Chance, Name, ReleaseId};
use cutover::platform::vercel::{VercelEndpoints, VercelSettings, VercelSource, VercelTarget};
use cutover::platform::{Artifact, Health, Observed, Revision, Scope, Target};
use cutover::shutdown::Shutdown;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::wire::InProcess;

const TEAM: &str = "team_flowhub";
const TOKEN: &str = "secretOfTheTest";
const PROJECT: &str = "prj_front";
const SHA: &str = "1f2e3d4c5b6a79880f1e2d3c4b5a697887766554";

/// A world with one project, `front`, and the target that releases to it.
struct Scene {
    world: World,
    vercel: Vercel,
    target: VercelTarget,
    events: Events,
    told: UnboundedReceiver<Event>,
    /// What served at first; empty for a project that never served.
    earlier: String,
}

struct Wanted {
    seed: ProjectSeed,
    settings: VercelSettings,
    token: &'static str,
    serves: bool,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn wanted() -> Wanted {
    let mut seed = ProjectSeed::new("front", PROJECT, TEAM);
    seed.domains = vec!["www.example.com".into(), "example.com".into()];
    let settings = VercelSettings::new(name("web"), "front", Some(TEAM.into()), VercelSource::Directory);
    Wanted { seed, settings, token: TOKEN, serves: true }
}

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

impl Wanted {
    fn scene(self) -> Scene {
        let clock = Clock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
        let world = World::in_process(clock, Chance::seeded(7));
        // How far edges lag is the served proof's matter.
        world.ground().traffic.lags(&[std::time::Duration::ZERO]);
        let vercel = Vercel::new(world.ground());
        vercel.add_to(&world);
        vercel.seed_team(TEAM, "flowhub");
        vercel.seed_token(TOKEN, "usr_alma", &[TEAM], None);
        vercel.seed_token("tokenOfAStranger", "usr_stranger", &[], None);
        vercel.seed_project(self.seed);
        let first = || vercel.seed_earlier_deployment("front", &tree(&[("index.html", "old")]), BTreeMap::new()).unwrap();
        let earlier = if self.serves { first() } else { String::new() };
        let transport = Transport::new(Arc::new(InProcess::new(world.clone())), clock, Arc::new(Chance::seeded(11)));
        let endpoints = VercelEndpoints::from_lookup(|_| None).unwrap();
        let target = VercelTarget::new(self.settings, endpoints, SecretString::from(self.token), transport);
        let (events, told) = Events::channel(clock);
        Scene { world, vercel, target, events, told, earlier }
    }
}

impl Scene {
    fn scope_of(&self, release: &str, phase: Phase) -> Scope {
        Scope {
            product: name("flowhub"),
            environment: name("production"),
            release: ReleaseId::from_text(release),
            commit: SHA.to_owned(),
            phase,
            events: self.events.clone(),
            shutdown: Shutdown::default(),
            changes: cutover::platform::Changes::default(),
            turn: cutover::platform::Turn::default(),
            expected: None,
        }
    }

    fn scope(&self, phase: Phase) -> Scope {
        self.scope_of("r-20260102-030405-aaaaaa", phase)
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

    /// Strikes the first request at `boundary` after it has had, or not had, its effect.
    fn strike(&self, boundary: &str, effect: Effect, answer: Answer) {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap());
    }

    fn count(&self, operation: &str) -> usize {
        self.world.ground().tape.entries().iter().filter(|entry| entry.operation == operation).count()
    }

    async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let request = http::Request::builder().uri(format!("https://{host}{path}")).header("host", host);
        let answer = in_process::call(&self.world, request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// Returns what was told so far, one line each.
    fn told(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(event) = self.told.try_recv() {
            match event.kind {
                EventKind::TargetStep { step, .. } => lines.push(step),
                EventKind::Notice { code, text, .. } => lines.push(format!("{code}: {text}")),
                _ => {}
            }
        }
        lines
    }
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn site(files: &[(&str, &str)]) -> (TempDir, Artifact) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    let whole: String = files.iter().map(|(path, content)| format!("{path}\0{content}\0")).collect();
    let digest = cutover::platform::RevisionDigest::of(whole.as_bytes()).to_string();
    let artifact = Artifact::Directory { path: folder.path().to_owned(), digest };
    (folder, artifact)
}

fn deployment(revision: &Revision) -> &str {
    revision.hints["deploymentId"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_site_is_prepared_out_of_sight_promoted_and_taken_back() {
    let mut scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "new"), ("404.html", "nothing here"), ("a folder/ünï.txt", "text")]);
    let before = scene.observe().await;
    assert_eq!(before.settings["autoAssignCustomDomains"], true);
    let foreseen = scene.target.digest_of(&artifact, &before).await.unwrap();

    let after = scene.prepared(&artifact).await;
    assert_eq!(after.digest, foreseen);
    assert_eq!(scene.get("example.com", "/").await, (200, "old".to_owned()), "nobody sees it yet");
    let (address, headers) = scene.target.prepared_url(&after).unwrap();
    assert!(headers.is_empty());
    let host = address.trim_start_matches("https://").trim_end_matches('/').to_owned();
    assert_eq!(scene.get(&host, "/").await, (200, "new".to_owned()));
    assert_eq!(scene.get(&host, "/a%20folder/%C3%BCn%C3%AF.txt").await, (200, "text".to_owned()));
    assert_eq!(scene.get(&host, "/nowhere").await, (404, "nothing here".to_owned()));
    let shown = format!("{{\"revision\":\"{foreseen}\"}}");
    assert_eq!(scene.get(&host, "/.well-known/cutover.json").await, (200, shown.clone()));
    assert_eq!(scene.target.probe(&scene.scope(Phase::Verify), &after).await.unwrap(), Health::Healthy);

    let observed = scene.serves(&after).await;
    assert!(observed.single().unwrap().same_content(&after));
    assert_eq!(observed.single().unwrap().release.as_deref(), Some("r-20260102-030405-aaaaaa"));
    for host in ["front.vercel.app", "www.example.com", "example.com"] {
        assert_eq!(scene.get(host, "/").await, (200, "new".to_owned()), "{host}");
    }
    assert_eq!(scene.get("example.com", "/.well-known/cutover.json").await, (200, shown));

    let back = scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
    assert!(back.single().unwrap().same_content(before.single().unwrap()));
    assert_eq!(scene.get("example.com", "/").await, (200, "old".to_owned()));
    assert_eq!(scene.vercel.auto_assigns("front"), Some(false), "a rollback turns it off");
    scene.target.restore(&scene.scope(Phase::RollBack), &before.settings).await.unwrap();
    assert_eq!(scene.vercel.auto_assigns("front"), Some(true));
    assert_eq!((scene.count("promote"), scene.count("roll_back")), (1, 1));
    assert!(scene.told().iter().any(|line| line == "5 files"), "the mark and the configuration are added");
}

#[tokio::test(start_paused = true)]
async fn what_serves_already_is_left_alone() {
    let scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    scene.serves(&after).await;
    scene.world.ground().tape.clear();
    scene.serves(&after).await;
    assert_eq!(scene.world.ground().tape.counts()["vercel"].1, 0, "no write");
}

#[tokio::test(start_paused = true)]
async fn only_missing_contents_are_uploaded_and_equal_ones_once() {
    let scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "one"), ("copy.html", "one"), ("two.html", "two")]);
    scene.prepared(&artifact).await;
    assert_eq!(scene.count("upload_file"), 4, "two contents, the configuration, the mark");
    scene.world.ground().tape.clear();
    let (_other, artifact) = site(&[("index.html", "one"), ("copy.html", "one"), ("two.html", "changed")]);
    let scope = scene.scope_of("r-20260102-040506-bbbbbb", Phase::Prepare);
    scene.target.prepare(&scope, &artifact, &Observed::default(), &[]).await.unwrap();
    assert_eq!(scene.count("upload_file"), 2, "the changed content and the mark");
}

#[tokio::test(start_paused = true)]
async fn preparing_again_finds_its_own_work() {
    let scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let once = scene.prepared(&artifact).await;
    let again = scene.prepared(&artifact).await;
    assert_eq!(once, again);
    assert_eq!(scene.vercel.deployments("front").len(), 2);
    let (_other, placeholder) = site(&[("index.html", "another revision of the same release")]);
    assert_ne!(deployment(&scene.prepared(&placeholder).await), deployment(&once));
}

#[tokio::test(start_paused = true)]
async fn an_equal_site_has_the_digest_of_what_serves() {
    let scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    let observed = scene.serves(&after).await;
    let (_again, same) = site(&[("index.html", "new")]);
    assert_eq!(scene.target.digest_of(&same, &observed).await.unwrap(), observed.single().unwrap().digest);
    let (_other, other) = site(&[("index.html", "newer")]);
    assert_ne!(scene.target.digest_of(&other, &observed).await.unwrap(), observed.single().unwrap().digest);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_failed_leaves_nothing_and_one_that_finished_keeps_what_served() {
    let mut scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let before = scene.observe().await;
    let staged = scene.prepared(&artifact).await;
    let seen = scene.observe().await;
    assert_eq!(seen.leftovers, vec![staged.clone()]);
    scene.target.prune(&scene.scope(Phase::RollBack), &seen.leftovers).await.unwrap();
    assert_eq!(scene.vercel.deployments("front").len(), 1);

    let served = scene.prepared(&artifact).await;
    let observed = scene.serves(&served).await;
    assert!(observed.leftovers.is_empty());
    scene.told();
    scene.target.prune(&scene.scope(Phase::Finish), &[before.single().unwrap().clone(), served.clone()]).await.unwrap();
    assert_eq!(scene.vercel.deployments("front").len(), 2);
    let told = scene.told();
    assert!(told.iter().any(|line| line.ends_with("stays: it serves")), "{told:?}");

    scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
    let of_another = scene.scope_of("r-20260102-040506-bbbbbb", Phase::RollBack);
    scene.target.prune(&of_another, std::slice::from_ref(&served)).await.unwrap();
    assert_eq!(scene.vercel.deployments("front").len(), 2, "another release's is kept: it can be rolled back to");
    scene.target.prune(&scene.scope(Phase::RollBack), &[served]).await.unwrap();
    assert_eq!(scene.vercel.deployments("front").len(), 1, "the failed release removes its own even where it served for a moment");
}

#[tokio::test(start_paused = true)]
async fn a_first_release_is_served_and_cannot_be_unserved() {
    let mut wanted = wanted();
    wanted.serves = false;
    let scene = wanted.scene();
    assert!(scene.observe().await.serving.is_empty());
    let (_folder, artifact) = site(&[("index.html", "first")]);
    let after = scene.prepared(&artifact).await;
    let observed = scene.serves(&after).await;
    assert!(observed.single().unwrap().same_content(&after));
    assert_eq!(scene.get("example.com", "/").await, (200, "first".to_owned()));
    assert!(!scene.target.capabilities().unserve);
    assert!(scene.target.unserve(&scene.scope(Phase::RollBack), &after).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn many_files_travel_as_one_archive_and_an_equal_site_uploads_nothing() {
    let mut wanted = wanted();
    wanted.settings.archive_above = 3;
    wanted.seed.root_directory = Some("ui/v1".into());
    let scene = wanted.scene();
    let files = [("index.html", "new"), ("a.txt", "a"), ("deep/b.txt", "b"), ("deep/c.txt", "c")];
    let (_folder, artifact) = site(&files);
    let after = scene.prepared(&artifact).await;
    assert_eq!(scene.count("upload_file"), 1);
    scene.serves(&after).await;
    assert_eq!(scene.get("example.com", "/deep/c.txt").await, (200, "c".to_owned()));
    let (_again, same) = site(&files);
    let scope = scene.scope_of("r-20260102-040506-bbbbbb", Phase::Prepare);
    scene.target.prepare(&scope, &same, &Observed::default(), &[]).await.unwrap();
    assert_eq!(scene.count("upload_file"), 1);
}

#[tokio::test(start_paused = true)]
async fn vercel_builds_a_commit() {
    let mut wanted = wanted();
    wanted.seed.repository = Some(("flowhub/front".into(), "main".into()));
    wanted.settings.source = VercelSource::Git { branch: None };
    let scene = wanted.scene();
    scene.vercel.seed_commit("front", "main", SHA, &tree(&[("index.html", "built by Vercel")])).unwrap();
    let artifact = Artifact::Commit { sha: SHA.into(), branch: "main".into() };
    let after = scene.prepared(&artifact).await;
    assert_eq!(scene.get("example.com", "/").await.1, "old");
    let observed = scene.serves(&after).await;
    assert_eq!(scene.target.digest_of(&artifact, &observed).await.unwrap(), observed.single().unwrap().digest);
    assert_eq!(scene.get("example.com", "/").await.1, "built by Vercel");
}

fn hooked() -> Wanted {
    let mut wanted = wanted();
    wanted.seed.repository = Some(("flowhub/front".into(), "main".into()));
    let url = SecretString::from(format!("https://api.vercel.com/v1/integrations/deploy/{PROJECT}/hookSecret"));
    wanted.settings.source = VercelSource::Hook { url };
    wanted
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_called_once_and_its_deployment_found() {
    for shows_hook_id in [true, false] {
        let scene = hooked().scene();
        scene.vercel.switch(|switches| switches.shows_hook_id = shows_hook_id);
        scene.vercel.seed_hook("front", "hookSecret", "cutover", "main");
        scene.vercel.seed_commit("front", "main", SHA, &tree(&[("index.html", "hooked")])).unwrap();
        let artifact = Artifact::Commit { sha: SHA.into(), branch: "main".into() };
        let before = scene.observe().await;
        let after = scene.prepared(&artifact).await;
        assert_eq!(scene.get("example.com", "/").await.1, "old", "the project's setting was turned off first");
        scene.prepared(&artifact).await;
        assert_eq!(scene.count("trigger_deploy_hook"), 1, "found again by hook and commit");
        let observed = scene.serves(&after).await;
        assert_eq!(scene.get("example.com", "/").await.1, "hooked");
        assert!(observed.single().unwrap().same_content(&after));
        scene.target.restore(&scene.scope(Phase::Finish), &before.settings).await.unwrap();
        assert_eq!(scene.vercel.auto_assigns("front"), Some(true));
    }
}
