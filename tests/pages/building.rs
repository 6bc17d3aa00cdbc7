//! Projects that Cloudflare builds from their repository.

use cutover::embedded::cloudflare::{Fate, ProjectSeed, Tree};
use cutover::embedded::fault::{Answer, Effect};
use cutover::event::Phase;
use cutover::platform::cloudflare::pages::{PagesSettings, PagesSource};
use cutover::platform::{Artifact, AskedFrom, PlatformErrorKind, Preparation, Scope, Target};
use secrecy::SecretString;

use super::{ACCOUNT, HOST, Scene, name, scene_of, target_with};

const SHA: &str = "1f2e3d4c5b6a79880f1e2d3c4b5a697887766554";
const NEWER: &str = "2222222222222222222222222222222222222222";
const API: &str = "https://api.cloudflare.com/client/v4";

fn page(text: &str) -> Tree {
    Tree::from([("index.html".to_owned(), text.as_bytes().to_vec())])
}

fn commit() -> Artifact {
    Artifact::Commit { sha: SHA.to_owned(), branch: "main".to_owned() }
}

/// A project whose pushes build nothing, and its target: by the API, or by the hook with this id.
fn connected(hook: Option<&str>) -> Scene {
    let mut scene = scene_of(ProjectSeed { repository: Some(("acme/site".to_owned(), false)), ..ProjectSeed::new(ACCOUNT, "site") });
    scene.cloudflare.seed_commit("site", "main", SHA, &page("built")).unwrap();
    let source = match hook {
        None => PagesSource::Git,
        Some(id) => {
            let path = scene.cloudflare.seed_hook("site", id, "main").unwrap();
            PagesSource::Hook { url: SecretString::from(format!("{API}{path}")) }
        }
    };
    scene.target = target_with(&scene.world, scene.clock, PagesSettings { source, ..PagesSettings::new(name("web"), "site", ACCOUNT) });
    scene
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_built_when_it_serves_and_not_before() {
    for hook in [None, Some("00000000-0000-4000-8000-000000000001")] {
        let scene = connected(hook);
        let capabilities = scene.target.capabilities();
        assert_eq!((capabilities.prepare, capabilities.asked_from), (Preparation::NotAtAll, AskedFrom::Nowhere));
        assert!(scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap().is_empty());
        let before = scene.observe().await;
        let revision = scene.prepared(&commit()).await;
        assert_eq!(scene.cloudflare.deployments("site").len(), 1, "nothing is built before its time");
        let observed = scene.serves(&revision).await;
        assert!(observed.single().unwrap().same_content(&revision));
        assert_eq!(scene.get(HOST, "/").await, (200, "built".to_owned()));
        // The same commit once more is what serves: nothing is built.
        let again = scene.prepared(&commit()).await;
        scene.serves(&again).await;
        assert_eq!(scene.cloudflare.deployments("site").len(), 2);
        scene.back(before.single().unwrap()).await;
        assert_eq!(scene.cloudflare.production("site").unwrap(), scene.earlier);
        // It was built once: it comes back without a build.
        let third = scene.prepared(&commit()).await;
        scene.serves(&third).await;
        assert_eq!(scene.cloudflare.deployments("site").len(), 2);
        assert_eq!(scene.get(HOST, "/").await, (200, "built".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_whose_answer_is_lost_is_adopted_and_never_doubled() {
    for (hook, operation) in [(None, "create_deployment[site]"), (Some("00000000-0000-4000-8000-000000000001"), "trigger_deploy_hook")] {
        let scene = connected(hook);
        let revision = scene.prepared(&commit()).await;
        scene.strike(&format!("cloudflare.{operation}"), Effect::Once, Answer::Lost);
        scene.serves(&revision).await;
        assert_eq!(scene.cloudflare.deployments("site").len(), 2);
        assert_eq!(scene.get(HOST, "/").await, (200, "built".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_of_a_newer_commit_is_refused_and_taken_back() {
    let scene = connected(None);
    let before = scene.observe().await;
    let revision = scene.prepared(&commit()).await;
    scene.cloudflare.seed_commit("site", "main", NEWER, &page("newer")).unwrap();
    let error = scene.target.serve(&scene.scope(Phase::CutOver), &revision).await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::Conflict(text) if text.contains(NEWER)), "{error}");
    let scope = Scope { expected: Some(vec![before.single().unwrap().clone(), revision]), ..scene.scope(Phase::RollBack) };
    scene.target.serve(&scope, before.single().unwrap()).await.unwrap();
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_moves_nothing_and_shows_its_log() {
    let scene = connected(None);
    let revision = scene.prepared(&commit()).await;
    scene.cloudflare.next("site", true, Fate::FAILS);
    let error = scene.target.serve(&scene.scope(Phase::CutOver), &revision).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unhealthy(_)), "{error}");
    assert!(!error.hints.is_empty());
    assert_eq!(scene.get(HOST, "/").await, (200, "old".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_built_is_said_before_anything_is_touched() {
    let mut scene = scene_of(ProjectSeed::new(ACCOUNT, "site"));
    let settings = PagesSettings { source: PagesSource::Git, ..PagesSettings::new(name("web"), "site", ACCOUNT) };
    scene.target = target_with(&scene.world, scene.clock, settings);
    let problems = scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
    assert_eq!(problems.iter().map(|one| (one.code, one.fatal)).collect::<Vec<_>>(), [("cloudflare::cannot-build", true)]);

    let scene = connected(None);
    let before = scene.observe().await;
    let other = Artifact::Commit { sha: SHA.to_owned(), branch: "develop".to_owned() };
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &other, &before, &[]).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Impossible(_)), "{error}");
}
