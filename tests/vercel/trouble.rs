//! What goes wrong: lost answers, failed builds and jobs, other people's jobs, cancellation, tokens.

use std::time::Duration;

use cutover::embedded::fault::{Answer, Effect, Rule};
use cutover::embedded::vercel::{BuildFate, Fate, JobFate, Plan, rate_limited};
use cutover::event::Phase;
use cutover::platform::{Artifact, PlatformErrorKind, Target};
use cutover::shutdown::Level;

use super::{PROJECT, SHA, hooked, site, tree, wanted};

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_creation_makes_one_deployment() {
    for effect in [Effect::Once, Effect::None] {
        let scene = wanted().scene();
        // The first creation asks for the missing contents; the second one is the one that counts.
        scene.strike("vercel.create_deployment#2", effect, Answer::Lost);
        let (_folder, artifact) = site(&[("index.html", "new")]);
        let after = scene.prepared(&artifact).await;
        assert_eq!(scene.vercel.deployments("front").len(), 2, "{effect:?}");
        scene.serves(&after).await;
        assert_eq!(scene.get("example.com", "/").await.1, "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_found_in_lists_that_lag() {
    let scene = wanted().scene();
    scene.vercel.switch(|switches| switches.list_lag = Duration::from_secs(3));
    scene.strike("vercel.create_deployment#2", Effect::Once, Answer::Html);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    scene.prepared(&artifact).await;
    assert_eq!(scene.vercel.deployments("front").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_promotion_is_looked_up() {
    for (effect, answer, promotions) in [
        (Effect::Once, Answer::Lost, 1),
        (Effect::None, Answer::Lost, 2),
        (Effect::None, Rule::status(503, None), 2),
        (Effect::Late(Duration::from_secs(2)), Answer::Lost, 1),
    ] {
        let scene = wanted().scene();
        let (_folder, artifact) = site(&[("index.html", "new")]);
        let after = scene.prepared(&artifact).await;
        scene.strike("vercel.promote", effect, answer.clone());
        scene.serves(&after).await;
        assert_eq!(scene.get("example.com", "/").await.1, "new");
        assert_eq!(scene.count("promote"), promotions, "{effect:?} {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_rollback_is_looked_up() {
    let scene = wanted().scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    scene.serves(&after).await;
    scene.strike("vercel.roll_back", Effect::Once, Answer::Lost);
    scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
    assert_eq!(scene.get("example.com", "/").await.1, "old");
    assert_eq!(scene.count("roll_back"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_build_is_told_with_its_reason_and_its_log() {
    let mut scene = wanted().scene();
    scene.vercel.next("front", Fate::FAILS_TO_BUILD);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let before = scene.observe().await;
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::Unhealthy(text) if text.contains("BUILD_FAILED")), "{error}");
    let told = scene.told();
    let log = told.iter().find(|line| line.starts_with("vercel::build-log")).unwrap();
    assert!(log.contains("Error: Command \"npm run build\" exited with 1"), "{log}");
    let left = scene.observe().await.leftovers;
    scene.target.prune(&scene.scope(Phase::RollBack), &left).await.unwrap();
    assert_eq!(scene.vercel.deployments("front").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_skipped_build_is_a_failure_and_a_hanging_one_ends_with_its_deadline() {
    for (build, says) in [(BuildFate::Ignored, "CANCELED"), (BuildFate::Hangs, "did not happen within")] {
        let mut wanted = wanted();
        wanted.settings.ready_deadline = Duration::from_secs(90);
        let scene = wanted.scene();
        scene.vercel.next("front", Fate { build, ..Fate::default() });
        let (_folder, artifact) = site(&[("index.html", "new")]);
        let before = scene.observe().await;
        let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_wait_for_a_build_and_what_was_made_is_found() {
    let scene = wanted().scene();
    scene.vercel.next("front", Fate { build: BuildFate::Hangs, ..Fate::default() });
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let before = scene.observe().await;
    let scope = scene.scope(Phase::Prepare);
    let raised = scope.shutdown.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        raised.raise(Level::Drain);
    });
    let error = scene.target.prepare(&scope, &artifact, &before, &[]).await.unwrap_err();
    assert!(error.cancelled(), "{error}");
    let left = scene.observe().await.leftovers;
    assert_eq!(left.len(), 1);
    scene.target.prune(&scene.scope(Phase::RollBack), &left).await.unwrap();
    assert_eq!(scene.vercel.deployments("front").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_promotion_is_told_and_taken_back() {
    let scene = wanted().scene();
    let before = scene.observe().await;
    scene.vercel.next_job("front", JobFate::Fails);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    let error = scene.target.serve(&scene.scope(Phase::CutOver), &after).await.unwrap_err();
    assert!(
        error.to_string().contains("failed: front.vercel.app, www.example.com, example.com did not move; no hostname leads there"),
        "{error}"
    );
    scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
    assert_eq!(scene.count("roll_back"), 0, "no hostname had moved");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_was_accepted_and_moves_nothing_is_no_promotion() {
    let scene = wanted().scene();
    scene.vercel.next_job("front", JobFate::Skipped);
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    let error = scene.target.serve(&scene.scope(Phase::CutOver), &after).await.unwrap_err();
    assert!(error.to_string().contains("was skipped, and production is another deployment"), "{error}");
    assert_eq!(scene.vercel.production("front").unwrap(), scene.earlier);
}

#[tokio::test(start_paused = true)]
async fn what_a_small_plan_does_not_roll_back_to_is_promoted_again_and_told() {
    let mut scene = wanted().scene();
    scene.vercel.switch(|switches| switches.plan = Plan::Hobby);
    let oldest = scene.observe().await;
    assert!(oldest.facts["way back"].contains("on the Hobby plan it reaches one release back"), "the plan says so: {:?}", oldest.facts);
    for (release, text) in [("r-20260102-030405-aaaaaa", "one"), ("r-20260102-040506-bbbbbb", "two")] {
        let (_folder, artifact) = site(&[("index.html", text)]);
        let scope = scene.scope_of(release, Phase::Prepare);
        let after = scene.target.prepare(&scope, &artifact, &scene.observe().await, &[]).await.unwrap();
        scene.target.serve(&scene.scope_of(release, Phase::CutOver), &after).await.unwrap();
    }
    scene.told();
    let back = scene.scope_of("r-20260102-050607-cccccc", Phase::CutOver);
    scene.target.serve(&back, oldest.single().unwrap()).await.unwrap();
    assert_eq!(scene.get("example.com", "/").await.1, "old");
    let told = scene.told();
    assert!(
        told.iter().any(|line| line.contains("asking for the promotion") && line.contains("previous production deployment")),
        "{told:?}"
    );
    assert_eq!((scene.count("roll_back"), scene.count("promote")), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn split_hostnames_are_seen_and_brought_together() {
    let scene = wanted().scene();
    let before = scene.observe().await;
    scene.vercel.next_job("front", JobFate::Splits(1));
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    let error = scene.target.serve(&scene.scope(Phase::CutOver), &after).await.unwrap_err();
    assert!(error.to_string().contains("failed: www.example.com, example.com did not move; production may be split"), "{error}");
    assert_eq!(scene.get("front.vercel.app", "/").await.1, "new");
    let mixed = scene.observe().await;
    assert_eq!(mixed.serving.len(), 2);
    assert!(mixed.single().is_none());
    let back = scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
    assert!(back.single().unwrap().same_content(before.single().unwrap()));
    assert_eq!(scene.get("front.vercel.app", "/").await.1, "old");
}

#[tokio::test(start_paused = true)]
async fn a_job_under_way_is_waited_out_whoever_began_it() {
    let scene = wanted().scene();
    let before = scene.observe().await;
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    scene.vercel.next_job("front", JobFate::Late(Duration::from_secs(30)));
    let scope = scene.scope(Phase::CutOver);
    // A runner that dies while its promotion is under way.
    let died = tokio::time::timeout(Duration::from_secs(5), scene.target.serve(&scope, &after)).await;
    assert!(died.is_err());
    let seen = scene.observe().await;
    assert_eq!(seen.unfinished.len(), 1);
    assert_eq!(seen.unfinished[0].release.as_deref(), Some("r-20260102-030405-aaaaaa"));
    scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.get("example.com", "/").await.1, "old", "the late promotion did not win");
    assert_eq!(scene.vercel.production("front").unwrap(), scene.earlier);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_never_ends_ends_the_wait() {
    let mut wanted = wanted();
    wanted.settings.job_deadline = Duration::from_secs(20);
    let scene = wanted.scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    scene.vercel.next_job("front", JobFate::Late(Duration::from_secs(3600)));
    let error = scene.target.serve(&scene.scope(Phase::CutOver), &after).await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::TimedOut { what, .. } if what.starts_with("the end of the promotion")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn guesses_about_the_platform_do_not_matter() {
    for guess in 0..8 {
        let scene = wanted().scene();
        scene.vercel.switch(|switches| match guess {
            0 => switches.shows_substate = false,
            1 => switches.shows_alias_request = false,
            2 => switches.list_v6_gone = true,
            3 => switches.alias_in_array = false,
            4 => switches.deduplicates = true,
            5 => switches.refuses_promoting_live = false,
            6 => switches.staged_shows_alias_assigned = false,
            _ => {
                switches.shows_substate = false;
                switches.shows_alias_request = false;
                switches.refuses_rollback_to_staged = false;
            }
        });
        let before = scene.observe().await;
        let (_folder, artifact) = site(&[("index.html", "new")]);
        let after = scene.prepared(&artifact).await;
        let observed = scene.serves(&after).await;
        assert!(observed.single().unwrap().same_content(&after), "guess {guess}");
        scene.serves(&after).await;
        scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
        assert_eq!(scene.get("example.com", "/").await.1, "old", "guess {guess}");
        scene.target.prune(&scene.scope(Phase::Finish), &[before.single().unwrap().clone()]).await.unwrap();
        scene.target.prune(&scene.scope(Phase::RollBack), &[after]).await.unwrap();
        assert_eq!(scene.vercel.deployments("front").len(), 1, "guess {guess}");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_and_teams_say_what_is_needed() {
    let mut unknown = wanted();
    unknown.token = "nobodyKnowsThisOne";
    let error = unknown.scene().refused().await;
    assert!(matches!(error.kind, PlatformErrorKind::Unauthorized(_)), "{error}");
    assert!(error.hints[0].contains("VERCEL_TOKEN"), "{:?}", error.hints);

    let mut stranger = wanted();
    stranger.token = "tokenOfAStranger";
    let error = stranger.scene().refused().await;
    assert!(matches!(error.kind, PlatformErrorKind::Forbidden(_)), "{error}");
    assert!(error.hints[0].contains("the team team_flowhub") && error.hints[0].contains("VERCEL_ORG_ID"), "{:?}", error.hints);

    let mut nameless = wanted();
    nameless.settings.team = None;
    let error = nameless.scene().refused().await;
    assert!(error.hints.iter().any(|hint| hint.contains("VERCEL_ORG_ID")), "{error} {:?}", error.hints);

    let mut empty = wanted();
    empty.token = "";
    let scene = empty.scene();
    let error = scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Unauthorized(_)), "{error}");
    assert_eq!(scene.count("get_project"), 0);

    let mut missing = wanted();
    missing.settings.project = "elsewhere".into();
    let error = missing.scene().refused().await;
    assert!(matches!(error.kind, PlatformErrorKind::NotFound(_)), "{error}");
}

impl super::Scene {
    async fn refused(&self) -> cutover::platform::PlatformError {
        self.target.preflight(&self.scope(Phase::Preflight)).await.unwrap_err()
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_quota_is_named_at_once() {
    let scene = wanted().scene();
    scene.strike("vercel.upload_file", Effect::None, rate_limited("api-upload-free", 5_000, 80_000, 1_767_400_000));
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let before = scene.observe().await;
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::RateLimited(Some(wait)) if wait == Duration::from_secs(80_000)), "{error}");
    assert!(error.hints[0].contains("quota of uploaded files"), "{:?}", error.hints);
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_branch_has_moved_or_that_builds_nothing_says_so() {
    let scene = hooked().scene();
    scene.vercel.seed_hook("front", "hookSecret", "cutover", "main");
    scene.vercel.seed_commit("front", "main", &"9".repeat(40), &tree(&[("index.html", "newer")])).unwrap();
    let artifact = Artifact::Commit { sha: SHA.into(), branch: "main".into() };
    let before = scene.observe().await;
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::Conflict(text) if text.contains("moved on")), "{error}");

    let scene = hooked().scene();
    scene.vercel.seed_hook("front", "hookSecret", "cutover", "main");
    let error = scene.target.prepare(&scene.scope(Phase::Prepare), &artifact, &before, &[]).await.unwrap_err();
    assert!(matches!(&error.kind, PlatformErrorKind::TimedOut { limit, .. } if *limit == Duration::from_secs(60)), "{error}");
    assert!(!format!("{error:?}").contains("hookSecret"), "the address is a secret");
}

#[tokio::test(start_paused = true)]
async fn every_call_names_the_team() {
    let scene = wanted().scene();
    let (_folder, artifact) = site(&[("index.html", "new")]);
    let after = scene.prepared(&artifact).await;
    scene.serves(&after).await;
    for entry in scene.world.ground().tape.entries().iter().filter(|entry| entry.platform == "vercel") {
        assert!(entry.path.contains("teamId=team_flowhub"), "{}", entry.path);
    }
    assert!(scene.count("create_deployment") == 2 && scene.vercel.production(PROJECT).is_some());
}

/// Every request of ours is in the vendor's published document, field by field, but for what is pinned.
#[tokio::test(start_paused = true)]
async fn every_request_is_published() {
    let Some(document) = crate::support::openapi::Document::find("vercel-openapi.json", "") else { return };
    let mut faults = Vec::new();
    for (job, by_hook) in [(JobFate::Succeeds, false), (JobFate::Splits(1), false), (JobFate::Succeeds, true)] {
        let scene = if by_hook { hooked().scene() } else { wanted().scene() };
        scene.vercel.seed_hook("front", "hookSecret", "cutover", "main");
        scene.vercel.seed_commit("front", "main", SHA, &tree(&[("index.html", "hooked")])).unwrap();
        let before = scene.observe().await;
        scene.target.preflight(&scene.scope(Phase::Preflight)).await.unwrap();
        let (_folder, files) = site(&[("index.html", "new")]);
        let artifact = if by_hook { Artifact::Commit { sha: SHA.into(), branch: "main".into() } } else { files };
        scene.vercel.next_job("front", job);
        let after = scene.prepared(&artifact).await;
        // Once more, which looks for what is there.
        scene.prepared(&artifact).await;
        let served = scene.target.serve(&scene.scope(Phase::CutOver), &after).await;
        assert_eq!(served.is_ok(), job == JobFate::Succeeds);
        scene.target.serve(&scene.scope(Phase::RollBack), before.single().unwrap()).await.unwrap();
        scene.target.restore(&scene.scope(Phase::RollBack), &before.settings).await.unwrap();
        scene.target.prune(&scene.scope(Phase::RollBack), &[after]).await.unwrap();
        for entry in scene.world.ground().tape.entries().iter().filter(|entry| entry.platform == "vercel") {
            let faults_of = document.judge(&entry.method, &entry.path, entry.request.json(), entry.status.unwrap(), None);
            faults.extend(faults_of);
        }
    }
    faults.sort();
    faults.dedup();
    assert_eq!(faults, PINNED);
}

/// What the document does not have: the filter that the vendor's client uses for `ls --meta`, which it names as a pattern only.
const PINNED: [&str; 4] = [
    "GET /v6/deployments?meta-cutoverEnvironment: unknown parameter",
    "GET /v6/deployments?meta-cutoverProduct: unknown parameter",
    "GET /v6/deployments?meta-cutoverRelease: unknown parameter",
    "GET /v6/deployments?meta-cutoverRevision: unknown parameter",
];
