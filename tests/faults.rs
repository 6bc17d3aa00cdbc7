//! The embedded world misbehaves in every way that the fault model names: effects, answers, lag, people, deaths.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cutover::clock::Clock;
use cutover::embedded::client::{Clients, Kind, Load, lost};
use cutover::embedded::fault::{Answer, Effect, Rule, RuleError, Times, has_parts, operations_with_parts};
use cutover::embedded::fly::{Death, Earlier, Edit, Fly, MachineState, Pick, Scope, Switches};
use cutover::embedded::github::{CommitSeed, GitHub, Level, RepositorySeed, Token};
use cutover::embedded::registry::Registry;
use cutover::embedded::tape::Hand;
use cutover::embedded::vercel::{ProjectSeed, Tree, Vercel};
use cutover::embedded::{Lost, World, in_process};
use cutover::http::{Call, Platform, Via, Wire, WireError};
use cutover::id::Chance;
use http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::wire::InProcess;

const OLD: &str = "registry.fly.io/api:old";
const NEW: &str = "registry.fly.io/api:new";
const MACHINES: &str = "https://api.machines.dev/v1/apps/api/machines";
const VERCEL: &str = "https://api.vercel.com";
const TEAM: &str = "team_shop";

struct Scene {
    world: World,
    fly: Fly,
    vercel: Vercel,
    /// Of the project: what serves, and what served just before.
    serves: String,
    before: String,
}

fn config(image: &str) -> Value {
    json!({
        "image": image,
        "metadata": { "fly_process_group": "app" },
        "services": [{
            "protocol": "tcp",
            "internal_port": 8080,
            "ports": [{ "port": 443, "handlers": ["http", "tls"] }],
            "checks": [{ "type": "http", "path": "/health", "interval": "5s", "timeout": "2s", "grace_period": "1s" }],
        }],
    })
}

fn page(text: &str) -> Tree {
    [("index.html".to_owned(), text.as_bytes().to_vec())].into()
}

async fn scene() -> Scene {
    let world = World::in_process(Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap()), Chance::seeded(7));
    let registry = Registry::add_to(&world).unwrap();
    let fly = Fly::add_to(&world, &registry, Switches::default());
    fly.seed_token("fm2_org", &Scope::Org("acme".into()), "deployer");
    fly.seed_app("api", "acme", &[]);
    registry.stand_in("api", "old", &format!("sha256:{}", "1".repeat(64)));
    registry.stand_in("api", "new", &format!("sha256:{}", "2".repeat(64)));
    fly.seed_earlier_release(&Earlier { app: "api", config: config(OLD), regions: &["iad", "fra"], image: OLD, group: "app" }).await;
    let vercel = Vercel::new(world.ground());
    vercel.add_to(&world);
    vercel.seed_team(TEAM, "shop");
    vercel.seed_token("vercelToken", "usr_one", &[TEAM], None);
    let mut seed = ProjectSeed::new("front", "prj_front", TEAM);
    seed.domains = vec!["www.example.com".into(), "example.com".into()];
    vercel.seed_project(seed);
    let before = vercel.seed_earlier_deployment("front", &page("older"), BTreeMap::new()).unwrap();
    let serves = vercel.seed_earlier_deployment("front", &page("old"), BTreeMap::new()).unwrap();
    sleep(Duration::from_secs(1)).await;
    Scene { world, fly, vercel, serves, before }
}

impl Scene {
    async fn ask(&self, method: &str, url: &str, body: Option<Value>) -> Result<(u16, Value), Lost> {
        let vercel = url.starts_with(VERCEL);
        let token = if vercel { "Bearer vercelToken" } else { "Bearer fm2_org" };
        let url = if vercel { format!("{url}{}teamId={TEAM}", if url.contains('?') { '&' } else { '?' }) } else { url.to_owned() };
        let request = Request::builder().method(method).uri(url).header("authorization", token).header("content-type", "application/json");
        let request = request.body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default()).unwrap();
        let answer = in_process::call(&self.world, request).await?;
        Ok((answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null)))
    }

    async fn fly(&self, method: &str, tail: &str, body: Option<Value>) -> (u16, Value) {
        self.ask(method, &format!("{MACHINES}{tail}"), body).await.unwrap()
    }

    fn rule(&self, text: &str) -> u64 {
        self.world.ground().faults.set(text.parse().unwrap())
    }

    fn fault(&self, operation: &str) -> Option<String> {
        let crossed = self.world.ground().tape.crossed();
        crossed.into_iter().rev().find(|crossed| crossed.operation == operation).unwrap().fault
    }

    fn count(&self) -> usize {
        self.fly.machines("api").len()
    }

    async fn create(&self) -> (u16, Value) {
        self.fly("POST", "", Some(json!({ "config": config(NEW), "region": "iad" }))).await
    }

    /// Who the production hostnames lead to.
    fn led(&self) -> [String; 3] {
        ["front.vercel.app", "www.example.com", "example.com"].map(|host| self.vercel.leads_to(host).unwrap())
    }
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![(0_u64..100_000).prop_map(Duration::from_millis), (0_u64..5_000).prop_map(Duration::from_secs)]
}

fn answer() -> impl Strategy<Value = Answer> {
    let header = ("[a-z-]{1,12}", "[ -~]{0,20}");
    prop_oneof![
        Just(Answer::True),
        Just(Answer::Lost),
        Just(Answer::Html),
        Just(Answer::Truncated),
        Just(Answer::Unknown),
        Just(Answer::Stale),
        Just(Answer::DoneWhenNot),
        duration().prop_map(Answer::Slow),
        (100_u16..600, proptest::option::of(0_u64..4000)).prop_map(|(code, wait)| Rule::status(code, wait)),
        (100_u16..600, "[ -~é]{0,40}", proptest::collection::vec(header, 0..3)).prop_map(|(code, body, headers)| Answer::Status {
            code,
            body,
            headers
        }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let effect =
        prop_oneof![Just(Effect::None), Just(Effect::Once), Just(Effect::Twice), Just(Effect::Partial), duration().prop_map(Effect::Late)];
    let times = prop_oneof![Just(Times::Once), Just(Times::Forever), (1_u64..100).prop_map(Times::Exactly)];
    let place = ("(fly|vercel|github|\\*)", "(\\*|[a-z_]{1,12}(\\|[a-z_]{1,12})?)", proptest::option::of("[a-zA-Z0-9/._-]{1,12}"));
    (place, proptest::option::of(1_u64..9), times, effect, answer()).prop_map(
        |((platform, operation, target), ordinal, times, effect, answer)| Rule {
            platform,
            operation,
            target,
            ordinal,
            times,
            effect,
            answer,
        },
    )
}

proptest! {
    #[test]
    fn a_rule_is_printed_and_read_back_equal(rule in rule()) {
        prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
    }
}

#[test]
fn a_rule_reads_as_a_person_would_write_it() {
    let rule: Rule = "fly.create_machine[api]#2: effect=late(20s) answer=lost times=3".parse().unwrap();
    assert_eq!((rule.ordinal, rule.times, rule.effect), (Some(2), Times::Exactly(3), Effect::Late(Duration::from_secs(20))));
    assert_eq!(rule.to_string(), "fly.create_machine[api]#2: effect=late(20s) answer=lost times=3");
    let short: Rule = "vercel.*: effect=none answer=429(retry-after=7) times=forever".parse().unwrap();
    assert_eq!(short, Rule::at("vercel.*", Effect::None, Rule::status(429, Some(7))).unwrap().times(Times::Forever));
    assert_eq!("fly.x".parse::<Rule>(), Err(RuleError::Boundary));
    assert_eq!("fly.x: effect=once effect=none".parse::<Rule>(), Err(RuleError::Field("effect".into())));
    assert!(matches!("fly.x: answer=perhaps".parse::<Rule>(), Err(RuleError::Value { field: "answer", .. })));
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_mean_several_operations_or_every_platform() {
    let scene = scene().await;
    let several = scene.rule("fly.cordon_machine|list_machines: effect=none answer=503 times=forever");
    assert_eq!(scene.fly("GET", "", None).await.0, 503);
    assert_eq!(scene.create().await.0, 200);
    let all = scene.rule("*.*: effect=none answer=401 times=forever");
    assert_eq!(scene.create().await.0, 401);
    assert_eq!(scene.ask("GET", &format!("{VERCEL}/v9/projects/front"), None).await.unwrap().0, 401);
    let faults = &scene.world.ground().faults;
    assert_eq!((faults.fired(several), faults.fired(all)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn twice_makes_twins() {
    let scene = scene().await;
    scene.rule("fly.create_machine: effect=twice");
    let (status, made) = scene.create().await;
    assert_eq!((status, scene.count()), (200, 4));
    assert!(scene.fly.machines("api").iter().any(|machine| made["id"] == machine.id), "the caller is told of the first");
    scene.create().await;
    assert_eq!(scene.count(), 5, "only one request is struck");
}

#[tokio::test(start_paused = true)]
async fn what_has_parts_happens_in_part() {
    let scene = scene().await;
    scene.rule("fly.*: effect=partial times=forever");
    let id = scene.create().await.1["id"].as_str().unwrap().to_owned();
    sleep(Duration::from_secs(5)).await;
    let state = |id: &str| scene.fly.machines("api").into_iter().find(|machine| machine.id == id).map(|machine| machine.state);
    assert_eq!(state(&id), Some(MachineState::Created), "made and never launched");
    let serving = scene.fly.machines("api")[0].id.clone();
    scene.fly("POST", &format!("/{serving}"), Some(json!({ "config": config(NEW) }))).await;
    sleep(Duration::from_secs(5)).await;
    let updated = scene.fly.machines("api").into_iter().find(|machine| machine.id == serving).unwrap();
    assert_eq!((updated.state, updated.image.as_str()), (MachineState::Stopped, NEW), "updated and left stopped");
    let other = scene.fly.machines("api")[1].id.clone();
    scene.fly("DELETE", &format!("/{other}?force=true"), None).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(state(&other), Some(MachineState::Stopped), "stopped and not removed");

    scene.rule("vercel.*: effect=partial times=forever");
    let staged = scene.before.clone();
    let url = format!("{VERCEL}/v9/projects/front/rollback/{staged}");
    assert_eq!(scene.ask("POST", &url, None).await.unwrap().0, 201);
    sleep(Duration::from_secs(5)).await;
    let moved = scene.led().iter().filter(|id| **id == staged).count();
    assert_eq!((moved, scene.vercel.production("front")), (1, Some(scene.serves.clone())), "one of three hostnames moved");
    let change = json!({ "nodeVersion": "24.x", "autoAssignCustomDomains": false });
    scene.ask("PATCH", &format!("{VERCEL}/v9/projects/front"), Some(change)).await.unwrap();
    assert_eq!(scene.vercel.auto_assigns("front"), Some(true), "the first half of the settings");
    assert!(operations_with_parts().iter().all(|(platform, operation)| has_parts(platform, operation)));
    assert!(!has_parts("fly", "cordon_machine"));
}

#[tokio::test(start_paused = true)]
async fn done_is_told_although_nothing_happens() {
    let scene = scene().await;
    scene.rule("fly.create_machine: effect=none answer=done");
    let (status, made) = scene.create().await;
    assert_eq!((status, made["state"].as_str()), (200, Some("creating")));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.count(), 2);
    assert_eq!(scene.fly("GET", &format!("/{}", made["id"].as_str().unwrap()), None).await.0, 404);
    let serving = scene.fly.machines("api")[0].id.clone();
    scene.rule("fly.cordon_machine: effect=late(3s) answer=done");
    assert_eq!(scene.fly("POST", &format!("/{serving}/cordon"), None).await.0, 200);
    assert!(!scene.fly.machines("api")[0].cordoned, "told too early");
    sleep(Duration::from_secs(4)).await;
    assert!(scene.fly.machines("api")[0].cordoned);

    scene.rule("vercel.roll_back: effect=none answer=done");
    let url = format!("{VERCEL}/v9/projects/front/rollback/{}", scene.before);
    assert_eq!(scene.ask("POST", &url, None).await.unwrap().0, 201);
    sleep(Duration::from_secs(5)).await;
    assert!(scene.led().iter().all(|id| *id == scene.serves));
    let listed = scene.ask("GET", &format!("{VERCEL}/v9/projects/front?rollbackInfo=true"), None).await.unwrap().1;
    assert_eq!(listed["lastAliasRequest"], Value::Null, "no job was ever made");
}

#[tokio::test(start_paused = true)]
async fn a_word_that_nobody_knows_stands_in_a_true_answer() {
    let scene = scene().await;
    scene.rule("fly.get_machine: answer=unknown");
    let id = scene.fly.machines("api")[0].id.clone();
    let (status, machine) = scene.fly("GET", &format!("/{id}"), None).await;
    assert_eq!((status, machine["state"].as_str(), machine["id"].as_str()), (200, Some("hibernating"), Some(id.as_str())));
    scene.rule("vercel.get_deployment: answer=unknown");
    let one = scene.ask("GET", &format!("{VERCEL}/v13/deployments/{}", scene.serves), None).await.unwrap().1;
    assert_eq!(one["readyState"], "PONDERING");
    scene.rule("fly.cordon_machine: answer=unknown");
    scene.fly("POST", &format!("/{id}/cordon"), None).await;
    assert_eq!(scene.fault("cordon_machine").unwrap(), "effect=once answer=unknown in vain", "its answer has no such word");
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_from_before_the_change_that_matters() {
    let scene = scene().await;
    let rule = scene.rule("fly.list_machines: answer=stale times=forever");
    let (_, now) = scene.fly("GET", "", None).await;
    assert_eq!(now.as_array().unwrap().len(), 2);
    assert!(scene.fault("list_machines").unwrap().ends_with("in vain"), "nothing has changed yet");
    scene.create().await;
    sleep(Duration::from_secs(9)).await;
    let id = scene.fly.machines("api")[0].id.clone();
    let (_, lease) = scene.fly("POST", &format!("/{id}/lease"), None).await;
    assert!(lease["data"]["nonce"].is_string());
    let (_, listed) = scene.fly("GET", "", None).await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "the lease changes nothing in the list, the creation does");
    scene.world.ground().faults.unset(rule);
    assert_eq!(scene.fly("GET", "", None).await.1.as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn reads_lag_as_long_as_declared_and_no_longer() {
    let scene = scene().await;
    scene.world.ground().past.lag("fly", Duration::from_secs(3));
    let id = scene.create().await.1["id"].as_str().unwrap().to_owned();
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(scene.fly("GET", "", None).await.1.as_array().unwrap().len(), 2);
    assert_eq!(scene.fly("GET", &format!("/{id}"), None).await.0, 404, "not yet");
    let waited = scene.fly("GET", &format!("/{id}/wait?state=started&timeout=5"), None).await;
    assert_eq!(waited.0, 200, "a wait is answered from where the machine is");
    sleep(Duration::from_millis(600)).await;
    assert_eq!(scene.fly("GET", "", None).await.1.as_array().unwrap().len(), 3);
    assert_eq!(scene.fly("GET", &format!("/{id}"), None).await.1["state"], "started");
    // A person's act is a change like any other.
    scene.fly.person_destroys("api", &Pick::Id(id.clone())).unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.fly("GET", "", None).await.1.as_array().unwrap().len(), 3);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.fly("GET", "", None).await.1.as_array().unwrap().len(), 2);

    scene.world.ground().past.lag("vercel", Duration::from_secs(2));
    let url = format!("{VERCEL}/v9/projects/front?rollbackInfo=true");
    scene.vercel.person_rolls_back("front", None).unwrap();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(scene.ask("GET", &url, None).await.unwrap().1["lastAliasRequest"], Value::Null);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.ask("GET", &url, None).await.unwrap().1["lastAliasRequest"]["jobStatus"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn machines_die_by_themselves_and_hosts_fail() {
    let scene = scene().await;
    let traffic = &scene.world.ground().traffic;
    let serving = |edge| traffic.seen(edge, "api.fly.dev");
    let dead = scene.fly.machine_dies("api", &Pick::Serving, Death::Once, 137).unwrap();
    assert_eq!(serving(0).len(), 1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(serving(0).len(), 2, "the restart policy has brought it back");
    scene.fly.machine_dies("api", &Pick::Id(dead.clone()), Death::AgainAndAgain, 1).unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.fly.machines("api")[0].state, MachineState::Stopped, "it was given up");
    let lost = scene.fly.host_fails("api", &Pick::Serving).unwrap();
    assert_ne!(lost, dead);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(serving(0), Vec::<String>::new());
    let (_, machine) = scene.fly("GET", &format!("/{lost}"), None).await;
    assert_eq!((machine["host_status"].as_str(), machine.get("config")), (Some("unreachable"), None));
    scene.fly.host_returns("api", &Pick::Id(lost)).unwrap();
    assert_eq!(serving(0).len(), 1);
    let hands: Vec<_> = scene.world.ground().tape.entries().iter().map(|entry| entry.hand).collect();
    assert_eq!(hands.iter().filter(|hand| **hand == Hand::Nobody).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_person_acts_on_fly_and_the_tape_says_so() {
    let scene = scene().await;
    let fly = &scene.fly;
    assert_eq!(fly.person_scales("api", "app", 4).len(), 2);
    sleep(Duration::from_secs(5)).await;
    assert!(fly.machines("api").iter().all(|machine| machine.routable && machine.image == OLD));
    assert_eq!(fly.person_scales("api", "app", 3).len(), 1);
    let clone = fly.person_clones("api", &Pick::Nth(0)).unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.count(), 4);
    fly.person_cordons("api", &Pick::Id(clone.clone())).unwrap();
    fly.person_updates("api", &Pick::Nth(0), &Edit::Image(NEW.into())).unwrap();
    fly.person_updates("api", &Pick::Nth(1), &Edit::Variable("DEBUG".into(), "1".into())).unwrap();
    assert!(fly.person_sets_secret("api", "KEY", "value"));
    sleep(Duration::from_secs(5)).await;
    let machines = fly.machines("api");
    assert_eq!((machines[0].image.as_str(), machines[0].routable), (NEW, true));
    assert_eq!(fly.secrets("api")["KEY"], "value");
    assert!(machines.iter().any(|machine| machine.id == clone && machine.cordoned));
    // A lease holds people off as it holds off everybody.
    scene.fly("POST", &format!("/{clone}/lease?ttl=20"), None).await;
    assert_eq!(fly.person_destroys("api", &Pick::Id(clone.clone())), None);
    sleep(Duration::from_secs(21)).await;
    assert_eq!(fly.person_destroys("api", &Pick::Id(clone.clone())), Some(clone));
    let tape = &scene.world.ground().tape;
    let persons = tape.entries().into_iter().filter(|entry| entry.hand == Hand::Person);
    let acts: Vec<_> = persons.map(|entry| entry.boundary).collect();
    assert_eq!(acts.first().unwrap(), "fly.person_scales[api]#1");
    assert!(acts.contains(&"fly.person_destroys_refused[api]#1".to_owned()), "{acts:?}");
    assert!(tape.crossed().iter().all(|crossed| !crossed.operation.starts_with("person_")), "a schedule of faults has requests alone");
}

#[tokio::test(start_paused = true)]
async fn a_person_acts_on_vercel() {
    let scene = scene().await;
    let vercel = &scene.vercel;
    assert_eq!(vercel.person_rolls_back("front", None).unwrap(), scene.before);
    assert!(!vercel.person_promotes("front", &scene.serves), "a job is under way");
    sleep(Duration::from_secs(2)).await;
    assert!(scene.led().iter().all(|id| *id == scene.before));
    assert_eq!(vercel.auto_assigns("front"), Some(false));
    assert!(vercel.person_promotes("front", &scene.serves));
    sleep(Duration::from_secs(2)).await;
    assert!(scene.led().iter().all(|id| *id == scene.serves));
    let new = vercel.person_deploys("front", &page("by hand")).unwrap().unwrap();
    sleep(Duration::from_secs(2)).await;
    assert!(scene.led().iter().all(|id| *id == new), "the domains follow by themselves");
    assert!(vercel.person_pins("front"));
    assert!(vercel.person_edits("front", "nodeVersion", &json!("24.x")));
    assert!(!vercel.person_edits("front", "nothing", &json!(1)));
    assert!(vercel.person_assigns("example.com", &scene.before));
    assert_eq!(scene.led()[2], scene.before);
    assert!(vercel.person_deletes(&scene.before));
    assert_eq!(vercel.leads_to("example.com"), None);
}

#[tokio::test(start_paused = true)]
async fn the_wire_asks_the_edge_that_is_named() {
    let scene = scene().await;
    let wire = InProcess::new(scene.world.clone());
    scene.world.ground().traffic.lags(&[Duration::ZERO, Duration::from_secs(10)]);
    sleep(Duration::from_secs(10)).await;
    scene.fly.person_destroys("api", &Pick::Nth(0)).unwrap();
    scene.fly.person_destroys("api", &Pick::Nth(1)).unwrap();
    sleep(Duration::from_secs(1)).await;
    let call = |edge| {
        let url = "https://api.fly.dev/health".parse().unwrap();
        Call { via: Via::Public { edge }, ..Call::new(Platform::Public, "check", Method::GET, url) }
    };
    let status = async |edge| wire.send(&call(edge)).await.unwrap().status.as_u16();
    assert_eq!([status(0).await, status(1).await, status(2).await], [503, 502, 503]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_lost() {
    let scene = scene().await;
    scene.rule("fly.list_machines: answer=truncated");
    let mut call = Call::new(Platform::Fly, "list_machines", Method::GET, MACHINES.parse().unwrap());
    call = call.credential(http::header::AUTHORIZATION, "Bearer fm2_org");
    let wire = InProcess::new(scene.world.clone());
    assert!(matches!(wire.send(&call).await, Err(WireError::Lost(_))));
    assert_eq!(wire.send(&call).await.unwrap().status, 200);
}

/// Who was alive of those that an edge believed in, view by view, the dead ones first.
fn views(scene: &Scene, edge: usize) -> Vec<Vec<bool>> {
    let history = scene.world.ground().traffic.history("api.fly.dev").into_iter().filter(|view| view.edge == edge);
    let sorted = |mut alive: Vec<bool>| {
        alive.sort_unstable();
        alive
    };
    history.map(|view| sorted(view.shown.iter().map(|shown| shown.alive).collect())).collect()
}

#[tokio::test(start_paused = true)]
async fn history_tells_what_each_edge_would_have_answered() {
    let scene = scene().await;
    let traffic = scene.world.ground().traffic.clone();
    traffic.lags(&[Duration::ZERO, Duration::from_secs(2)]);
    sleep(Duration::from_secs(3)).await;
    let began = scene.world.ground().clock.elapsed();
    let first = scene.fly.person_stops("api", &Pick::Nth(0)).unwrap();
    sleep(Duration::from_secs(5)).await;
    // The near edge knows at once; the far one believes in the dead machine for two seconds.
    assert_eq!(views(&scene, 0), [vec![true, true], vec![true]]);
    assert_eq!(views(&scene, 1), [vec![true, true], vec![false, true], vec![true]]);
    let history = traffic.history("api.fly.dev");
    let broken: Vec<_> = history.iter().filter(|view| view.from >= began && !view.is_whole()).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!((broken[0].edge, broken[0].lasted(Duration::MAX)), (1, Duration::from_secs(2)));
    assert!(!broken[0].is_nothing() && broken[0].shown.iter().any(|shown| shown.backend == first && !shown.alive));
    // What was asked agrees with what was worked out.
    let contents: Vec<&str> = history.iter().flat_map(|view| &view.shown).map(|shown| shown.content.as_str()).collect();
    assert!(history.iter().all(|view| !view.serves_other_than(&contents[..1])), "both machines serve the same");
    scene.fly.person_updates("api", &Pick::Serving, &Edit::Image(NEW.into())).unwrap();
    sleep(Duration::from_secs(5)).await;
    let history = traffic.history("api.fly.dev");
    assert!(history.iter().any(|view| view.serves_other_than(&contents[..1])), "another image is another content");
    assert!(history.iter().any(|view| view.from > began && view.is_nothing()), "the only machine was replaced in place");
    for edge in 0..2 {
        let of: Vec<_> = history.iter().filter(|view| view.edge == edge).collect();
        assert!(of.windows(2).all(|pair| pair[0].until == Some(pair[1].from)), "without gaps: {of:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_lose_what_is_cut_off_and_nothing_else() {
    let nothing = BTreeMap::from([(Kind::Short, 0), (Kind::Long, 0), (Kind::Websocket, 0), (Kind::KeptAlive, 0)]);
    // A machine that leaves the proxy's sight long before it stops costs nobody anything.
    let scene = scene().await;
    let clients = Clients::start(scene.world.ground(), &["api.fly.dev"], Load::default());
    sleep(Duration::from_secs(5)).await;
    let id = scene.fly.person_cordons("api", &Pick::Nth(0)).unwrap();
    sleep(Duration::from_secs(31)).await;
    scene.fly.person_stops("api", &Pick::Id(id)).unwrap();
    sleep(Duration::from_secs(2)).await;
    let report = clients.stop().await;
    assert_eq!(lost(&report), nothing, "{report:?}");
    assert_eq!(report.len(), 12, "four kinds at three edges");
    assert!(report.values().all(|fared| fared.sent > 0));

    // Stopped two seconds after it was cordoned: short requests do not notice, half a minute is more than its kill timeout of 5 s allows.
    let scene = self::scene().await;
    let clients = Clients::start(scene.world.ground(), &["api.fly.dev"], Load::default());
    sleep(Duration::from_secs(5)).await;
    let id = scene.fly.person_cordons("api", &Pick::Nth(0)).unwrap();
    sleep(Duration::from_secs(2)).await;
    scene.fly.person_stops("api", &Pick::Id(id)).unwrap();
    let report = clients.stop().await;
    let found = lost(&report);
    assert!(found[&Kind::Long] > 0, "{report:?}");
    assert_eq!((found[&Kind::Short], found[&Kind::Websocket], found[&Kind::KeptAlive]), (0, 0, 0), "{report:?}");

    // Killed while it serves: everybody notices, and the edge that learns last loses the most.
    let scene = self::scene().await;
    scene.world.ground().traffic.lags(&[Duration::ZERO, Duration::from_millis(500), Duration::from_secs(3)]);
    sleep(Duration::from_secs(3)).await;
    let clients = Clients::start(scene.world.ground(), &["api.fly.dev"], Load::default());
    sleep(Duration::from_secs(5)).await;
    scene.fly.machine_dies("api", &Pick::Nth(0), Death::AgainAndAgain, 137).unwrap();
    sleep(Duration::from_secs(5)).await;
    let report = clients.stop().await;
    assert!(lost(&report).values().all(|lost| *lost > 0), "{report:?}");
    let short = |edge| report[&("api.fly.dev".to_owned(), edge, Kind::Short)].lost;
    assert!(short(0) < short(1) && short(1) < short(2), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn github_lags_and_says_done_too() {
    let world = World::in_process(Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap()), Chance::seeded(7));
    let github = GitHub::new(world.ground());
    github.add_to(&world);
    github.seed_repository(&RepositorySeed::new("acme/shop"));
    let first = github.seed_commit("acme/shop", "main", CommitSeed { message: "first".into(), ..CommitSeed::default() }).unwrap();
    github.seed_token("job", Token::of_job(&[("contents", Level::Write), ("deployments", Level::Write)]));
    let ask = async |method: &str, path: &str, body: Value| {
        let request = Request::builder().method(method).uri(format!("https://api.github.com/repos/acme/shop{path}"));
        let request = request.header("authorization", "Bearer job").header("user-agent", "test").header("content-type", "application/json");
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = in_process::call(&world, request.body(body).unwrap()).await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(answer.body()).unwrap_or_default())
    };
    let set = |text: &str| world.ground().faults.set(text.parse().unwrap());
    // An append that is confirmed and never lands.
    set("github.create_ref: effect=none answer=done");
    let made = json!({ "ref": "refs/cutover/shop/production", "sha": first });
    assert_eq!(ask("POST", "/git/refs", made.clone()).await.0, 201);
    assert_eq!(ask("GET", "/git/ref/cutover/shop/production", Value::Null).await.0, 404);
    let stale = set("github.get_ref: answer=stale times=forever");
    assert_eq!(ask("POST", "/git/refs", made).await.0, 201);
    assert_eq!(ask("GET", "/git/ref/cutover/shop/production", Value::Null).await.0, 404, "as before the ref was made");
    world.ground().faults.unset(stale);
    assert_eq!(ask("GET", "/git/ref/cutover/shop/production", Value::Null).await.1["object"]["sha"], first);
    world.ground().past.lag("github", Duration::from_secs(2));
    let deploy = json!({ "ref": "main", "environment": "production", "required_contexts": [] });
    let (status, made) = ask("POST", "/deployments", deploy).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(ask("GET", "/deployments", Value::Null).await.1, json!([]));
    sleep(Duration::from_millis(2_100)).await;
    assert_eq!(ask("GET", "/deployments", Value::Null).await.1[0]["id"], made["id"]);
}
