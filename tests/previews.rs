//! Previews of pull requests as a whole: all targets of one, what base and head agree on, and what a sweep removes and leaves.

mod agreeing;
mod lives;
pub(crate) mod town;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover::embedded::fault::{Effect, Rule, Times};
use cutover::event::{Event, EventKind, Level, Outcome, Serving};
use cutover::preview::{PullRequests, Retired, SweepLimits, sweep};
use cutover::report::{Ending, Report};
use cutover::shutdown::Shutdown;
use jiff::Timestamp;

use self::town::{FULL_NAME, ORGANIZATION, Town, Wanted, name};

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

const ALL: SweepLimits = SweepLimits { most: 1000, only: None, dry_run: false };

#[tokio::test(start_paused = true)]
async fn all_targets_of_a_pull_request_show_its_newest_commit_at_addresses_that_stay() {
    let town = Town::new();
    town.open(7);
    town.show(7, ONE).await.unwrap();
    let machines = town.fly.machines("shop-pr-7");
    assert_eq!(machines.len(), 1, "one machine is enough for a reviewer");
    assert!(machines[0].routable && machines[0].image.contains("shop-pr-7@sha256:"));
    assert_eq!(town.get("https://shop-pr-7.fly.dev", "/health").await.0, 200);
    assert_eq!(town.get("https://shop-web-pr-7.vercel.app", "/").await, (200, format!("web of {ONE}")));
    assert_eq!(town.get("https://pr-7.site.pages.dev", "/").await, (200, format!("docs of {ONE}")));
    town.show(7, TWO).await.unwrap();
    let again = town.fly.machines("shop-pr-7");
    assert_eq!((again.len(), &again[0].id), (1, &machines[0].id), "the same machine, changed in place");
    assert_ne!(again[0].image, machines[0].image);
    assert_eq!(again[0].metadata["cutover_commit"], TWO);
    assert_eq!(town.get("https://shop-web-pr-7.vercel.app", "/").await, (200, format!("web of {TWO}")));
    assert_eq!(town.get("https://pr-7.site.pages.dev", "/").await, (200, format!("docs of {TWO}")));
    // Production never heard of it.
    assert!(town.fly.machines("shop").is_empty());
    assert_eq!(town.get("https://front.vercel.app", "/").await, (200, "old".to_owned()));
    assert_eq!(town.get("https://site.pages.dev", "/").await, (200, "old".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_app_of_a_preview_is_small_sleeps_and_lives_in_a_network_of_its_own() {
    let town = Town::new();
    let wanted = Wanted {
        secrets: vec![("SESSION_SECRET", Some("of-the-previews"))],
        variables: vec![("ALLOWED_ORIGINS", "https://shop-web-pr-7.vercel.app")],
        ..Wanted::default()
    };
    town.show_with(7, ONE, &wanted).await.unwrap();
    let apps: BTreeMap<String, String> = town.fly.apps(ORGANIZATION).into_iter().collect();
    assert_eq!(apps["shop-pr-7"], town.preview(7).mark());
    let machine = town.machine("shop-pr-7").await;
    let guest = &machine["config"]["guest"];
    assert_eq!((guest["cpu_kind"].as_str(), guest["cpus"].as_u64(), guest["memory_mb"].as_u64()), (Some("shared"), Some(1), Some(256)));
    let service = &machine["config"]["services"][0];
    assert_eq!((service["autostop"].as_str(), service["autostart"].as_bool()), (Some("stop"), Some(true)));
    assert_eq!(service["min_machines_running"].as_u64().unwrap_or(0), 0);
    assert_eq!(machine["config"]["env"]["ALLOWED_ORIGINS"], "https://shop-web-pr-7.vercel.app");
    assert_eq!(town.fly.secrets("shop-pr-7"), BTreeMap::from([("SESSION_SECRET".to_owned(), "of-the-previews".to_owned())]));
}

#[tokio::test(start_paused = true)]
async fn a_database_is_filled_once_in_the_life_of_a_preview() {
    let town = Town::new();
    let wanted = Wanted { seed: Some("bin/seed --all"), ..Wanted::default() };
    for commit in [ONE, TWO] {
        town.show_with(7, commit, &wanted).await.unwrap();
    }
    let made: Vec<serde_json::Value> = town.bodies("create_machine");
    let seeds: Vec<&serde_json::Value> =
        made.iter().filter(|body| body["config"]["init"]["cmd"] == serde_json::json!(["bin/seed", "--all"])).collect();
    assert_eq!(seeds.len(), 1, "{made:#?}");
    assert_eq!(town.fly.machines("shop-pr-7").len(), 1, "what filled it is gone");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_sees_production_is_refused_before_anything_is_made() {
    let town = Town::new();
    let both = "fm2_both";
    town.fly.seed_token(both, &cutover::embedded::fly::Scope::Org("acme".into()), "previews");
    let failure = town.show_with(7, ONE, &Wanted { token: Some(both), ..Wanted::default() }).await.unwrap_err();
    assert!(failure.untouched && failure.text.contains("can see shop in acme"), "{failure:?}");
    assert!(failure.hints.iter().any(|hint| hint.contains("fly tokens create org -o acme-previews")), "{failure:?}");
    assert_eq!(town.standing(), <[BTreeSet<u64>; 3]>::default());
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_told_before_anything_is_made() {
    let town = Town::new();
    let wanted = Wanted { secrets: vec![("SESSION_SECRET", None)], ..Wanted::default() };
    let failure = town.show_with(7, ONE, &wanted).await.unwrap_err();
    assert!(failure.untouched && failure.text.contains("has no secret SESSION_SECRET"), "{failure:?}");
    assert_eq!(town.standing(), <[BTreeSet<u64>; 3]>::default());
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_app_of_the_same_name_is_neither_shown_on_nor_removed() {
    let town = Town::new();
    town.open(9000);
    let failure = town.show(9000, ONE).await.unwrap_err();
    assert!(failure.untouched && failure.text.contains("no preview made it"), "{failure:?}");
    town.close(9000);
    town.sweep(ALL).await.unwrap();
    assert!(town.fly.apps(ORGANIZATION).iter().any(|(app, _)| app == "shop-pr-9000"));
}

#[tokio::test(start_paused = true)]
async fn one_half_that_fails_leaves_the_other_to_look_at() {
    let town = Town::new();
    town.world
        .ground()
        .faults
        .set(Rule::at("vercel.create_deployment[front]", Effect::None, Rule::status(500, None)).unwrap().times(Times::Forever));
    let failure = town.show(7, ONE).await.unwrap_err();
    assert!(!failure.untouched && failure.text.starts_with("web: "), "{failure:?}");
    assert_eq!(town.get("https://shop-pr-7.fly.dev", "/health").await.0, 200);
    assert_eq!(town.get("https://pr-7.site.pages.dev", "/").await, (200, format!("docs of {ONE}")));
    town.world.ground().faults.clear();
    town.show(7, ONE).await.unwrap();
    assert_eq!(town.get("https://shop-web-pr-7.vercel.app", "/").await, (200, format!("web of {ONE}")));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_removes_what_no_open_pull_request_owns_and_retires_its_deployments() {
    let town = Town::new();
    for number in [7, 70, 71] {
        town.open(number);
        town.show(number, ONE).await.unwrap();
        town.deploy(number).await;
    }
    town.close(7);
    town.close(71);
    let looked = town.sweep(SweepLimits { dry_run: true, ..ALL }).await.unwrap();
    assert_eq!((looked.removed.len(), looked.kept), (6, 3));
    assert_eq!(town.standing()[0], BTreeSet::from([7, 70, 71]), "a dry run removes nothing");
    assert_eq!(town.active(), BTreeSet::from([7, 70, 71]));
    let swept = town.sweep(ALL).await.unwrap();
    assert_eq!((swept.removed.len(), swept.kept, swept.left, swept.failed), (6, 3, 0, vec![]));
    assert_eq!(swept.retired, [7, 71]);
    for standing in town.standing() {
        assert_eq!(standing, BTreeSet::from([70]));
    }
    assert_eq!(town.active(), BTreeSet::from([70]));
    assert_eq!(town.get("https://shop-web-pr-70.vercel.app", "/").await, (200, format!("web of {ONE}")));
    let again = town.sweep(ALL).await.unwrap();
    assert_eq!((again.removed.len(), again.retired.len(), again.failed.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_has_limits_and_the_next_one_goes_on() {
    let town = Town::new();
    for number in 1..=3 {
        town.open(number);
        town.show(number, ONE).await.unwrap();
        town.close(number);
    }
    let few = SweepLimits { most: 4, ..ALL };
    let swept = town.sweep(few).await.unwrap();
    assert_eq!((swept.removed.len(), swept.left), (4, 5));
    let swept = town.sweep(few).await.unwrap();
    assert_eq!((swept.removed.len(), swept.left), (4, 1));
    assert_eq!(town.sweep(SweepLimits { only: Some(2), ..ALL }).await.unwrap().removed.len(), 0, "only what is left of another");
    assert_eq!(town.sweep(few).await.unwrap().removed.len(), 1);
    assert_eq!(town.standing(), <[BTreeSet<u64>; 3]>::default());
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_asked_keeps_what_is_theirs() {
    let town = Town::new();
    town.open(7);
    town.show(7, ONE).await.unwrap();
    town.close(7);
    let faults = &town.world.ground().faults;
    faults.set(Rule::at(&format!("github.list_pulls[{FULL_NAME}]"), Effect::None, Rule::status(403, None)).unwrap().times(Times::Forever));
    let error = town.sweep(ALL).await.unwrap_err();
    assert!(error.to_string().contains("nothing was removed"), "{error}");
    faults.clear();
    faults.set(Rule::at(&format!("github.get_pull[{FULL_NAME}]"), Effect::None, Rule::status(403, None)).unwrap().times(Times::Forever));
    let swept = town.sweep(ALL).await.unwrap();
    assert!(swept.removed.is_empty() && swept.failed.len() == 1, "{swept:?}");
    faults.clear();
    faults.set(Rule::at("fly.list_apps", Effect::None, Rule::status(403, None)).unwrap().times(Times::Forever));
    let swept = town.sweep(ALL).await.unwrap();
    assert_eq!(swept.removed.len(), 2, "the sites go, and the app is told: {swept:?}");
    assert_eq!(swept.failed.len(), 1);
    faults.clear();
    town.sweep(ALL).await.unwrap();
    assert_eq!(town.standing(), <[BTreeSet<u64>; 3]>::default());
}

/// Says that nothing is open, and of each pull request that it is.
struct OldList;

impl PullRequests for OldList {
    async fn shown(&self) -> Result<BTreeSet<u64>, String> {
        Ok(BTreeSet::new())
    }
    async fn open(&self) -> Result<BTreeSet<u64>, String> {
        Ok(BTreeSet::new())
    }
    async fn is_open(&self, _: u64) -> Result<bool, String> {
        Ok(true)
    }
    async fn retire(&self, pull_request: u64) -> Result<Retired, String> {
        Err(format!("{pull_request} is open"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_that_opens_again_after_the_list_was_read_keeps_its_preview() {
    let town = Town::new();
    town.open(7);
    town.show(7, ONE).await.unwrap();
    let swept = sweep(&town.grounds(), &town.of, &OldList, ALL, (&town.events, &Shutdown::default())).await.unwrap();
    assert_eq!((swept.removed, swept.kept, swept.failed), (vec![], 3, vec![]));
    assert_eq!(town.standing()[0], BTreeSet::from([7]));
}

#[test]
fn a_pull_request_without_a_preview_is_told_why_and_not_that_it_has_one() {
    let why = "No preview: main has no cutover.yml yet.";
    let told = |kind| Event { at: Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO, kind };
    let (product, environment) = (name("shop"), Some(name("preview")));
    let events = [
        told(EventKind::RunStarted { product, environment, commit: ONE.into(), trigger: "pull request #7".into() }),
        told(EventKind::Notice { level: Level::Note, code: "preview::none", text: why.into() }),
        told(EventKind::RunFinished {
            outcome: Outcome::Carried,
            exit_code: 0,
            serving: Serving::Before,
            failure: None,
            hints: Vec::new(),
            requests: BTreeMap::new(),
        }),
    ];
    let ending = Ending::of(&Report::of(&events));
    assert_eq!((ending.headline.as_str(), ending.undo), (why, None));
}
