//! What stands in a preview's way: other people's names, settings of projects, what fails, and being told to end.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover::embedded::cloudflare::{self, WorkerSeed};
use cutover::embedded::vercel::{self, BuildFate};
use cutover::platform::{Artifact, PlatformErrorKind, Problem};
use cutover::shutdown::Level;

use super::{ACCOUNT, KINDS, Kind, ONE, Scene, Site, TWO, Wanted, files, of, page, shop};

async fn problems(scene: &Scene, site: &Site) -> Vec<Problem> {
    site.preflight(&scene.scope(&of(shop(), 7), ONE)).await.unwrap()
}

fn fatal(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().filter(|problem| problem.fatal).map(|problem| problem.code).collect()
}

fn told(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().filter(|problem| !problem.fatal).map(|problem| problem.code).collect()
}

/// Gives what a preview would be called to somebody else.
async fn taken(scene: &Scene, kind: Kind) -> &'static str {
    let code = match kind {
        Kind::Vercel => {
            let id = scene.vercel.person_previews("front", &files("person"), BTreeMap::new()).unwrap().unwrap();
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert!(scene.vercel.person_assigns(&kind.host(7), &id));
            "vercel::alias-in-use"
        }
        Kind::Pages => {
            scene.cloudflare.person_previews("site", "PR/7", "by hand", &files("person")).unwrap();
            "cloudflare::branch-in-use"
        }
        Kind::Worker => {
            scene.cloudflare.seed_worker(WorkerSeed::new(ACCOUNT, "help-pr-7"));
            scene.cloudflare.seed_earlier_version("help-pr-7", &files("person")).unwrap();
            "cloudflare::worker-in-use"
        }
    };
    tokio::time::sleep(Duration::from_secs(30)).await;
    code
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_is_refused_and_left_alone() {
    for kind in KINDS {
        let scene = Scene::new();
        let code = taken(&scene, kind).await;
        let standing = scene.standing(kind);
        let site = scene.site(kind, of(shop(), 7));
        let found = problems(&scene, &site).await;
        assert_eq!(fatal(&found), [code], "{kind:?}: {found:?}");
        assert!(found.iter().all(|problem| problem.hint.is_some()));
        assert_eq!(site.shown(&scene.scope(&of(shop(), 7), ONE)).await, None);
        let error = scene.shows(kind, &of(shop(), 7), ONE, "one").await.unwrap_err();
        assert!(matches!(error.kind, PlatformErrorKind::Foreign(_)), "{kind:?}: {error}");
        assert_eq!(scene.get(&kind.host(7), "/").await, (200, "person".to_owned()), "{kind:?}");
        for leftover in scene.ground(kind).leftovers(&shop()).await.unwrap() {
            scene.ground(kind).remove(&shop(), &leftover).await.unwrap();
        }
        assert_eq!(scene.standing(kind), standing, "{kind:?}");
        assert_eq!(scene.get(&kind.host(7), "/").await, (200, "person".to_owned()), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hostname_of_another_team_is_refused() {
    let scene = Scene::new();
    scene.vercel.seed_team("team_other", "other");
    scene.vercel.seed_project(vercel::ProjectSeed::new("theirs", "prj_theirs", "team_other"));
    let id = scene.vercel.seed_earlier_deployment("theirs", &files("theirs"), BTreeMap::new()).unwrap();
    assert!(scene.vercel.person_assigns(&Kind::Vercel.host(7), &id));
    let site = scene.site(Kind::Vercel, of(shop(), 7));
    assert_eq!(fatal(&problems(&scene, &site).await), ["vercel::alias-in-use"]);
    let error = scene.shows(Kind::Vercel, &of(shop(), 7), ONE, "one").await.unwrap_err();
    assert!(matches!(error.kind, PlatformErrorKind::Foreign(_)), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("alias: NAME")), "{:?}", error.hints);
    assert_eq!(scene.get(&Kind::Vercel.host(7), "/").await, (200, "theirs".to_owned()));
    let named = Wanted { subdomain: Some("market".to_owned()), ..Wanted::default() };
    let site = scene.site_with(Kind::Vercel, of(shop(), 7), &named);
    assert_eq!(site.address(), "https://market-pr-7.vercel.app");
    assert_eq!(fatal(&problems(&scene, &site).await), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_projects_are_set_to_is_told_before_anything_is_made() {
    let mut protection = None;
    let scene = Scene::with(
        |seed| {
            seed.repository = Some(("acme/shop".to_owned(), "main".to_owned()));
            seed.protection = Some("preview".to_owned());
            seed.bypass = Some("opensesame".to_owned());
            protection = seed.bypass.clone();
        },
        |seed| seed.repository = Some(("acme/shop".to_owned(), false)),
    );
    let site = scene.site(Kind::Vercel, of(shop(), 7));
    assert_eq!(told(&problems(&scene, &site).await), ["vercel::protected", "vercel::previewed-twice"]);
    let opened = scene.site_with(Kind::Vercel, of(shop(), 7), &Wanted { bypass: Some("opensesame"), ..Wanted::default() });
    assert_eq!(told(&problems(&scene, &opened).await), ["vercel::previewed-twice"]);
    assert_eq!(opened.opening(), [("x-vercel-protection-bypass".to_owned(), protection.unwrap())]);
    let site = scene.site(Kind::Pages, of(shop(), 7));
    assert_eq!(told(&problems(&scene, &site).await), ["cloudflare::previewed-twice"]);
    for (kind, code) in [(Kind::Vercel, "vercel::preview-of-commit"), (Kind::Pages, "cloudflare::preview-of-commit")] {
        let site = scene.site_with(kind, of(shop(), 7), &Wanted { commits: true, ..Wanted::default() });
        assert_eq!(fatal(&problems(&scene, &site).await), [code]);
        let commit = Artifact::Commit { sha: ONE.to_owned(), branch: "topic".to_owned() };
        let error = site.show(&scene.scope(&of(shop(), 7), ONE), &commit).await.unwrap_err();
        assert!(matches!(error.kind, PlatformErrorKind::Impossible(_)), "{error}");
    }
    assert!(scene.asked().iter().all(|(_, write)| !write));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_would_be_another_is_told_with_the_right_name() {
    let scene = Scene::with(|_| {}, |seed| seed.subdomain = Some("site-4f2".to_owned()));
    scene.cloudflare.name_account(ACCOUNT, "acme");
    for (kind, right, address) in
        [(Kind::Pages, "site-4f2", "https://pr-7.site-4f2.pages.dev"), (Kind::Worker, "acme", "https://help-pr-7.acme.workers.dev")]
    {
        let found = problems(&scene, &scene.site(kind, of(shop(), 7))).await;
        assert_eq!(fatal(&found), ["cloudflare::subdomain"], "{kind:?}");
        assert!(found[0].hint.as_ref().unwrap().contains(&format!("subdomain: {right} ")), "{found:?}");
        let named = Wanted { subdomain: Some(right.to_owned()), ..Wanted::default() };
        let site = scene.site_with(kind, of(shop(), 7), &named);
        assert_eq!(site.address(), address);
        assert_eq!(fatal(&problems(&scene, &site).await), [] as [&str; 0]);
        let (_folder, artifact) = page("one");
        site.show(&scene.scope(&of(shop(), 7), ONE), &artifact).await.unwrap();
        assert_eq!(scene.get(address.trim_start_matches("https://"), "/").await, (200, "one".to_owned()));
    }
    let error = scene.shows(Kind::Pages, &of(shop(), 8), ONE, "one").await.unwrap_err();
    assert!(error.to_string().contains("pr-8.site-4f2.pages.dev"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn production_is_never_a_preview() {
    let scene = Scene::with(|_| {}, |seed| seed.production_branch = "pr-7".to_owned());
    let site = scene.site(Kind::Pages, of(shop(), 7));
    assert_eq!(fatal(&problems(&scene, &site).await), ["cloudflare::preview-is-production"]);
    scene.shows(Kind::Pages, &of(shop(), 7), ONE, "one").await.unwrap_err();
    assert_eq!(scene.production(Kind::Pages).await, (200, "old".to_owned()));

    // A project that never served would make the first preview its production.
    let scene = Scene::new();
    assert!(scene.vercel.person_deletes(&scene.vercel.production("front").unwrap()));
    let site = scene.site(Kind::Vercel, of(shop(), 7));
    assert_eq!(fatal(&problems(&scene, &site).await), ["vercel::no-production"]);
    scene.shows(Kind::Vercel, &of(shop(), 7), ONE, "one").await.unwrap_err();
    assert_eq!((scene.vercel.production("front"), scene.count("create_deployment")), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn what_fails_leaves_what_showed_before() {
    for kind in [Kind::Vercel, Kind::Pages] {
        let mut scene = Scene::new();
        let preview = of(shop(), 7);
        scene.shows(kind, &preview, ONE, "one").await.unwrap();
        let fate = vercel::Fate { build: BuildFate::Fails, ..vercel::Fate::default() };
        match kind {
            Kind::Vercel => scene.vercel.next("front", fate),
            _ => scene.cloudflare.next("site", false, cloudflare::Fate::FAILS),
        }
        let error = scene.shows(kind, &preview, TWO, "two").await.unwrap_err();
        assert!(matches!(error.kind, PlatformErrorKind::Unhealthy(_)), "{kind:?}: {error}");
        assert_eq!(scene.get(&kind.host(7), "/").await, (200, "one".to_owned()), "{kind:?}");
        assert_eq!(scene.site(kind, preview.clone()).shown(&scene.scope(&preview, TWO)).await.unwrap().commit.as_deref(), Some(ONE));
        // What failed is ours, and goes with the next push.
        let failed = scene.standing(kind).len();
        scene.shows(kind, &preview, TWO, "two").await.unwrap();
        assert_eq!(scene.get(&kind.host(7), "/").await, (200, "two".to_owned()), "{kind:?}");
        assert_eq!(scene.standing(kind).len(), failed - 1, "{kind:?}");
        assert!(!scene.notices().iter().any(|code| code.contains("preview-left")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_told_to_end_begins_nothing() {
    for kind in KINDS {
        let scene = Scene::new();
        let before = scene.standing(kind);
        let scope = scene.scope(&of(shop(), 7), ONE);
        scope.shutdown.raise(Level::Drain);
        let (_folder, artifact) = page("one");
        let error = scene.site(kind, of(shop(), 7)).show(&scope, &artifact).await.unwrap_err();
        assert!(error.cancelled(), "{kind:?}: {error}");
        assert_eq!(scene.standing(kind), before, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_push_does_not_run_over_a_newer_one() {
    let scene = Scene::new();
    let preview = of(shop(), 7);
    // The older one's build is slower than the newer one's.
    scene.vercel.switch(|switches| switches.build_time = Duration::from_secs(40));
    let (older, newer) = tokio::join!(scene.shows(Kind::Vercel, &preview, ONE, "one"), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        scene.vercel.switch(|switches| switches.build_time = Duration::from_secs(1));
        scene.shows(Kind::Vercel, &preview, TWO, "two").await
    });
    newer.unwrap();
    older.unwrap_err();
    assert_eq!(scene.get(&Kind::Vercel.host(7), "/").await, (200, "two".to_owned()));
    assert_eq!(scene.standing(Kind::Vercel).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn workers_are_found_where_the_list_shows_no_tags() {
    let scene = Scene::new();
    scene.cloudflare.switch(|switches| switches.worker_list_shows_tags = false);
    scene.shows(Kind::Worker, &of(shop(), 7), ONE, "one").await.unwrap();
    let found = scene.ground(Kind::Worker).leftovers(&shop()).await.unwrap();
    assert_eq!(found.iter().map(|leftover| leftover.thing.as_str()).collect::<Vec<_>>(), ["worker help-pr-7"]);
    assert_eq!(scene.count("get_script_settings"), 3, "of workers that could be previews only: {:?}", scene.asked());
}
