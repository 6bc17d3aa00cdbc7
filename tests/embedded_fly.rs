//! The embedded Fly and the world it stands in: transitions, leases, waits, lag, faults, routes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cutover::clock::Clock;
use cutover::embedded::fault::{Answer, Effect, Rule, Times};
use cutover::embedded::fly::{Behaviour, Earlier, Fly, MachineState, Scope, Switches, UnknownImage, Which, documented_limits};
use cutover::embedded::registry::Registry;
use cutover::embedded::tape::Recorded;
use cutover::embedded::{Lost, World, in_process};
use cutover::id::Chance;
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const TOKEN: &str = "fm2_org";
const IMAGE: &str = "registry.fly.io/autoswe:new";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const OLD: &str = "registry.fly.io/autoswe:old";

struct Stage {
    world: World,
    fly: Fly,
    registry: Registry,
}

fn stage(switches: Switches) -> Stage {
    let world = World::in_process(Clock::starting_at(Timestamp::UNIX_EPOCH), Chance::seeded(7));
    let registry = Registry::add_to(&world).expect("a temporary directory");
    let fly = Fly::add_to(&world, &registry, switches);
    fly.seed_token(&format!("FlyV1 {TOKEN}"), &Scope::Org("acme".into()), "ci@example.com");
    fly.seed_app("autoswe", "acme", &[("DATABASE_URL", "postgres://x")]);
    registry.stand_in("autoswe", "new", DIGEST);
    registry.stand_in("autoswe", "old", "sha256:2222222222222222222222222222222222222222222222222222222222222222");
    Stage { world, fly, registry }
}

/// A configuration with one HTTP service on 8080 and one check on it.
fn config(image: &str) -> Value {
    json!({
        "image": image,
        "init": {},
        "env": { "CUTOVER_REVISION": image },
        "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 },
        "services": [{
            "protocol": "tcp",
            "internal_port": 8080,
            "autostop": false,
            "ports": [{ "port": 443, "handlers": ["http", "tls"] }],
            "checks": [{ "type": "http", "path": "/health", "interval": "5s", "timeout": "2s", "grace_period": "1s" }],
            "force_instance_key": null,
        }],
    })
}

impl Stage {
    async fn send(&self, token: &str, nonce: &str, method: &str, path: &str, body: Option<Value>) -> Result<(StatusCode, Value), Lost> {
        let host = if path.starts_with("/v1") { "api.machines.dev" } else { "api.fly.io" };
        let mut request = Request::builder().method(method).uri(format!("https://{host}{path}"));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !nonce.is_empty() {
            request = request.header("fly-machine-lease-nonce", nonce);
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.header("content-type", "application/json").body(bytes).expect("a request");
        let response = in_process::call(&self.world, request).await?;
        let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        Ok((response.status(), value))
    }

    async fn fly(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (status, value) = self.send(TOKEN, "", method, path, body).await.expect("an answer");
        (status.as_u16(), value)
    }

    async fn with_nonce(&self, nonce: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (status, value) = self.send(TOKEN, nonce, method, path, body).await.expect("an answer");
        (status.as_u16(), value)
    }

    async fn create(&self, more: Value) -> String {
        let mut body = json!({ "config": config(IMAGE), "region": "iad" });
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let (status, machine) = self.fly("POST", "/v1/apps/autoswe/machines", Some(body)).await;
        assert_eq!(status, 200, "{machine}");
        machine["id"].as_str().expect("an id").to_owned()
    }

    async fn started(&self, id: &str) -> (u16, Value) {
        self.fly("GET", &format!("{}/wait?state=started&timeout=10", at(id)), None).await
    }

    async fn public(&self, host: &str) -> (u16, Value) {
        let request = Request::get(format!("https://{host}/health")).body(Bytes::new()).expect("a request");
        let response = in_process::call(&self.world, request).await.expect("an answer");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }

    async fn earlier(&self, count: usize) -> Vec<String> {
        let regions = vec!["iad"; count];
        let earlier = Earlier { app: "autoswe", config: config(OLD), regions: &regions, image: OLD, group: "app" };
        self.fly.seed_earlier_release(&earlier).await
    }
}

fn at(id: &str) -> String {
    format!("/v1/apps/autoswe/machines/{id}")
}

#[tokio::test(start_paused = true)]
async fn a_machine_boots_is_checked_and_is_routed_only_while_registered() {
    let stage = stage(Switches::default());
    let id = stage.create(json!({ "skip_service_registration": true })).await;
    let begun = Instant::now();
    assert_eq!(stage.started(&id).await.0, 200);
    assert_eq!(begun.elapsed(), Duration::from_millis(150));

    let (_, machine) = stage.fly("GET", &at(&id), None).await;
    assert_eq!(machine["checks"], json!([]), "no check has run yet, and none is listed");
    assert_eq!(machine["cordoned"], true);
    assert_eq!(machine["image_ref"]["digest"], DIGEST);
    sleep(Duration::from_millis(300)).await;
    let (_, machine) = stage.fly("GET", &at(&id), None).await;
    assert_eq!(machine["checks"][0]["name"], "servicecheck-00-http-8080");
    assert_eq!(machine["checks"][0]["status"], "passing");
    assert_eq!(stage.public("autoswe.fly.dev").await.0, 503, "healthy, but not registered");

    assert_eq!(stage.fly("POST", &format!("{}/uncordon", at(&id)), None).await.0, 200);
    sleep(Duration::from_millis(200)).await;
    let (status, body) = stage.public("autoswe.fly.dev").await;
    assert_eq!((status, &body["machine"], &body["revision"]), (200, &json!(id), &json!(IMAGE)));

    stage.fly("POST", &format!("{}/cordon", at(&id)), None).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.public("autoswe.fly.dev").await.0, 503);
    assert_eq!(stage.public("nobody.fly.dev").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn leases_fence_until_they_lapse() {
    let stage = stage(Switches::default());
    let id = stage.earlier(1).await.remove(0);
    let lease = format!("{}/lease", at(&id));
    assert_eq!(stage.fly("GET", &lease, None).await.0, 404);
    let (status, held) = stage.fly("POST", &format!("{lease}?ttl=13"), None).await;
    assert_eq!((status, &held["status"]), (201, &json!("success")));
    let nonce = held["data"]["nonce"].as_str().expect("a nonce");

    let (status, refusal) = stage.fly("POST", &lease, Some(json!({ "ttl": 5 }))).await;
    assert_eq!(status, 409);
    let text = refusal["message"].as_str().expect("a message");
    assert!(text.contains("lease currently held by ci@example.com, expires at 1970-01-01T00:00:13Z"), "{text}");
    for action in ["stop", "cordon", "start"] {
        assert_eq!(stage.fly("POST", &format!("{}/{action}", at(&id)), None).await.0, 409, "{action} without the nonce");
    }
    assert_eq!(stage.fly("DELETE", &format!("{}?force=true", at(&id)), None).await.0, 409);
    assert_eq!(stage.with_nonce(nonce, "POST", &format!("{}/cordon", at(&id)), None).await.0, 200);

    sleep(Duration::from_secs(10)).await;
    let (status, again) = stage.with_nonce(nonce, "POST", &format!("{lease}?ttl=13"), None).await;
    assert_eq!((status, &again["data"]["nonce"]), (201, &json!(nonce)), "a refresh keeps the nonce");
    sleep(Duration::from_secs(12)).await;
    assert_eq!(stage.fly("POST", &format!("{}/uncordon", at(&id)), None).await.0, 409, "refreshed");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.fly("POST", &format!("{}/uncordon", at(&id)), None).await.0, 200, "lapsed");
    assert_eq!(stage.with_nonce(nonce, "POST", &format!("{}/uncordon", at(&id)), None).await.0, 200);
    stage.fly.switch(|switches| switches.stale_nonce_is_refused = true);
    assert_eq!(stage.with_nonce(nonce, "POST", &format!("{}/uncordon", at(&id)), None).await.0, 409);
}

#[tokio::test(start_paused = true)]
async fn an_update_replaces_in_place_and_keeps_the_versions_before() {
    let stage = stage(Switches::default());
    let id = stage.earlier(1).await.remove(0);
    let (_, before) = stage.fly("GET", &at(&id), None).await;
    let old = before["instance_id"].as_str().expect("an instance");
    let stale = json!({ "config": config(IMAGE), "current_version": "01OTHER" });
    assert_eq!(stage.fly("POST", &at(&id), Some(stale)).await.0, 409);
    let (status, replacing) = stage.fly("POST", &at(&id), Some(json!({ "config": config(IMAGE), "current_version": old }))).await;
    assert_eq!((status, &replacing["state"]), (200, &json!("replacing")));
    let (status, busy) = stage.fly("POST", &at(&id), Some(json!({ "config": config(OLD) }))).await;
    assert_eq!(status, 409);
    assert!(busy["error"].as_str().expect("a text").contains("concurrent update in progress"));
    assert_eq!(stage.started(&id).await.0, 200);
    let (_, after) = stage.fly("GET", &at(&id), None).await;
    assert_ne!(after["instance_id"], old);
    let kinds: Vec<&str> = after["events"].as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["start", "exit", "update", "start", "launch"], "newest first");
    assert_eq!(after["events"][1]["request"]["MonitorEvent"]["exit_event"]["requested_stop"], true);
    assert_eq!(after["events"][1]["request"]["exit_event"]["requested_stop"], true);

    let (_, versions) = stage.fly("GET", &format!("{}/versions", at(&id)), None).await;
    let earlier = versions.as_array().and_then(|all| all.iter().find(|version| version["version"] == old)).expect("the version before");
    assert_eq!(earlier["user_config"]["image"], OLD);
    let (status, waited) = stage.fly("GET", &format!("{}/wait?state=stopped&timeout=5&version={old}", at(&id)), None).await;
    assert_eq!((status, &waited["state"]), (200, &json!("replaced")));
}

#[tokio::test(start_paused = true)]
async fn waits_are_bounded_and_end_when_the_state_is_out_of_reach() {
    let stage = stage(Switches::default());
    let id = stage.create(json!({ "skip_launch": true })).await;
    let wait = |query: &str| format!("{}/wait?{query}", at(&id));
    for query in ["timeout=0", "timeout=61", "timeout=soon", "state=purple"] {
        assert_eq!(stage.fly("GET", &wait(query), None).await.0, 400, "{query}");
    }
    assert_eq!(stage.fly("GET", &wait("state=stopped&timeout=5"), None).await.0, 200);
    let begun = Instant::now();
    assert_eq!(stage.fly("GET", &wait("state=started&timeout=7"), None).await.0, 408);
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
    assert_eq!(stage.fly("GET", "/v1/apps/autoswe/machines/none/wait", None).await.0, 404);
    assert_eq!(stage.fly("DELETE", &at(&id), None).await.0, 200);
    assert_eq!(stage.fly("GET", &wait("state=destroyed&timeout=5"), None).await.0, 200);
    assert_eq!(stage.fly("GET", &wait("state=started&timeout=5"), None).await.0, 400);
    assert_eq!(stage.fly("DELETE", &at(&id), None).await.0, 404);
    assert_eq!(stage.fly("GET", &at(&id), None).await.1["state"], "destroyed", "it can still be read");
    sleep(Duration::from_secs(601)).await;
    assert_eq!(stage.fly("GET", &at(&id), None).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn stopping_honours_the_kill_timeout() {
    let stage = stage(Switches::default());
    stage.fly.behave("autoswe", Which::FromNowOn, Behaviour::IgnoresSignal);
    let id = stage.create(json!({})).await;
    stage.started(&id).await;
    assert_eq!(stage.fly("DELETE", &at(&id), None).await.0, 412, "running, and not forced");
    let begun = Instant::now();
    stage.fly("POST", &format!("{}/stop", at(&id)), Some(json!({ "signal": "SIGTERM", "timeout": "8s" }))).await;
    stage.fly("GET", &format!("{}/wait?state=stopped&timeout=20", at(&id)), None).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(8));
    let (_, events) = stage.fly("GET", &format!("{}/events?limit=1", at(&id)), None).await;
    assert_eq!(events[0]["request"]["exit_event"]["exit_code"], 137);
    assert_eq!(stage.fly("POST", &format!("{}/stop", at(&id)), None).await.0, 200, "stopping a stopped machine succeeds");
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_restarted_by_its_policy_and_then_given_up() {
    let stage = stage(Switches::default());
    stage.fly.behave("autoswe", Which::Image(DIGEST.into()), Behaviour::CrashesAtStart(3));
    let mut body = config(IMAGE);
    body["restart"] = json!({ "policy": "on-failure", "max_retries": 2 });
    let id = stage.create(json!({ "config": body })).await;
    assert_eq!(stage.fly("GET", &format!("{}/wait?state=stopped&timeout=30", at(&id)), None).await.0, 200);
    let (_, machine) = stage.fly("GET", &at(&id), None).await;
    let exits: Vec<_> = machine["events"].as_array().expect("events").iter().filter(|event| event["type"] == "exit").collect();
    let restarting: Vec<_> = exits.iter().map(|event| event["request"]["exit_event"]["restarting"].clone()).collect();
    assert_eq!(restarting, [json!(false), json!(true), json!(true)]);
    assert_eq!(exits[1]["request"]["restart_count"], 2);
    assert_eq!(exits[0]["request"]["exit_event"]["exit_code"], 3);
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_program_show_in_checks_and_in_public() {
    let stage = stage(Switches::default());
    for (behaviour, says) in [(Behaviour::NeverHealthy, "503"), (Behaviour::WrongPort(9999), "connection refused")] {
        stage.fly.behave("autoswe", Which::FromNowOn, behaviour);
        let id = stage.create(json!({})).await;
        stage.started(&id).await;
        sleep(Duration::from_millis(500)).await;
        let (_, machine) = stage.fly("GET", &at(&id), None).await;
        assert_eq!(machine["checks"], json!([]), "within its grace period a failure is not reported");
        sleep(Duration::from_secs(2)).await;
        let (_, machine) = stage.fly("GET", &at(&id), None).await;
        assert_eq!(machine["checks"][0]["status"], "critical");
        assert!(machine["checks"][0]["output"].as_str().expect("an output").contains(says), "{machine}");
        assert_eq!(stage.public("autoswe.fly.dev").await.0, 503);
    }
    stage.fly.behave("autoswe", Which::FromNowOn, Behaviour::FailsOnceRouted(Duration::from_secs(2)));
    let id = stage.create(json!({})).await;
    stage.started(&id).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.public("autoswe.fly.dev").await.0, 200);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.public("autoswe.fly.dev").await.0, 500);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.public("autoswe.fly.dev").await.0, 503, "its check has failed meanwhile, so nothing is routed to it");
}

#[tokio::test(start_paused = true)]
async fn a_rule_from_now_on_spares_what_is_put_back() {
    let stage = stage(Switches::default());
    let id = stage.earlier(1).await.remove(0);
    stage.fly.behave("autoswe", Which::FromNowOn, Behaviour::CrashesAtStart(1));
    let mut once = config(IMAGE);
    once["restart"] = json!({ "policy": "no" });
    stage.fly("POST", &at(&id), Some(json!({ "config": once }))).await;
    assert_eq!(stage.fly("GET", &format!("{}/wait?state=stopped&timeout=5", at(&id)), None).await.0, 200);
    stage.fly("POST", &at(&id), Some(json!({ "config": config(OLD) }))).await;
    assert_eq!(stage.started(&id).await.0, 200);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.public("autoswe.fly.dev").await.1["revision"], OLD);
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_machine_runs_ends_and_can_still_be_read() {
    let stage = stage(Switches::default());
    let mut job = config(IMAGE);
    job["services"] = json!([]);
    job["auto_destroy"] = json!(true);
    job["restart"] = json!({ "policy": "no" });
    job["metadata"] = json!({ "fly_process_group": "fly_app_release_command" });
    stage.fly.behave("autoswe", Which::Group("fly_app_release_command".into()), Behaviour::RunsOnce(Duration::from_secs(3), 9));
    let id = stage.create(json!({ "config": job, "skip_launch": true })).await;
    stage.fly("GET", &format!("{}/wait?state=stopped&timeout=5", at(&id)), None).await;
    assert_eq!(stage.fly("POST", &format!("{}/start", at(&id)), None).await.1["previous_state"], "stopped");
    assert_eq!(stage.fly("GET", &format!("{}/wait?state=destroyed&timeout=10", at(&id)), None).await.0, 200);
    let (_, machine) = stage.fly("GET", &at(&id), None).await;
    let exit = machine["events"].as_array().and_then(|all| all.iter().find(|event| event["type"] == "exit")).expect("an exit");
    assert_eq!(exit["request"]["MonitorEvent"]["exit_event"]["exit_code"], 9);
    let (_, logs) = stage.fly("GET", &format!("/api/v1/apps/autoswe/logs?instance={id}"), None).await;
    assert_eq!(logs["data"][0]["attributes"]["message"], "Main child exited normally with code: 9");
}

#[tokio::test(start_paused = true)]
async fn reads_may_lag_behind_writes() {
    let stage = stage(Switches { list_lag: Duration::from_secs(1), read_lag: Duration::from_millis(300), ..Switches::default() });
    let id = stage.create(json!({ "config": config(IMAGE) })).await;
    assert_eq!(stage.fly("GET", &at(&id), None).await.0, 404);
    sleep(Duration::from_millis(400)).await;
    assert_eq!(stage.fly("GET", &at(&id), None).await.0, 200);
    assert_eq!(stage.fly("GET", "/v1/apps/autoswe/machines", None).await.1, json!([]));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.fly("GET", "/v1/apps/autoswe/machines?state=started", None).await.1[0]["id"], id);
    assert_eq!(stage.fly("GET", "/v1/apps/autoswe/machines?metadata.colour=green", None).await.1, json!([]));
    stage.fly("POST", &format!("{}/metadata/colour", at(&id)), Some(json!({ "value": "green" }))).await;
    assert_eq!(stage.fly("GET", "/v1/apps/autoswe/machines?metadata.colour=green", None).await.1[0]["id"], id);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_come_before_or_after_the_effect() {
    let stage = stage(Switches::default());
    let faults = &stage.world.ground().faults;
    let body = json!({ "config": config(IMAGE), "region": "iad" });
    let create = || stage.send(TOKEN, "", "POST", "/v1/apps/autoswe/machines", Some(body.clone()));
    let rule = |effect, answer| Rule::at("fly.create_machine[autoswe]", effect, answer).expect("a boundary");

    faults.set(rule(Effect::None, Answer::Lost));
    assert_eq!(create().await, Err(Lost));
    assert_eq!(stage.fly.machines("autoswe").len(), 0);
    faults.set(rule(Effect::Once, Answer::Lost));
    assert_eq!(create().await, Err(Lost));
    assert_eq!(stage.fly.machines("autoswe").len(), 1);
    faults.set(rule(Effect::Late(Duration::from_secs(90)), Rule::status(504, None)));
    assert_eq!(create().await.expect("an answer").0, 504);
    assert_eq!(stage.fly.machines("autoswe").len(), 1);
    sleep(Duration::from_secs(91)).await;
    assert_eq!(stage.fly.machines("autoswe").len(), 2, "the effect came after all");

    faults.set(rule(Effect::None, Rule::status(429, Some(3))).times(Times::Exactly(2)));
    assert_eq!((create().await.expect("an answer").0.as_u16(), create().await.expect("an answer").0.as_u16()), (429, 429));
    assert_eq!(create().await.expect("an answer").0, 200);
    faults.set(Rule::at("fly.get_app[autoswe]#2", Effect::Once, Answer::Html).expect("a boundary"));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(stage.fly("GET", "/v1/apps/autoswe", None).await.0);
    }
    assert_eq!(seen, [200, 502, 200]);

    let entries = stage.world.ground().tape.entries();
    let struck: Vec<_> = entries.iter().filter(|entry| entry.fault.is_some()).map(|entry| entry.boundary.as_str()).collect();
    assert_eq!(struck[..2], ["fly.create_machine[autoswe]#1", "fly.create_machine[autoswe]#2"]);
    assert_eq!((entries[0].scheme.as_deref(), entries[0].write), (Some("Bearer"), true));
    assert!(!serde_json::to_string(&entries).expect("JSON").contains(TOKEN), "the tape keeps no credentials");
    assert_eq!(stage.world.ground().tape.counts(), BTreeMap::from([("fly".to_owned(), (3, 6))]));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_undo_what_it_asked_for() {
    let stage = stage(Switches::default());
    let rule = Rule::at("fly.create_machine", Effect::Once, Answer::Slow(Duration::from_secs(60))).expect("a boundary");
    stage.world.ground().faults.set(rule);
    let body = json!({ "config": config(IMAGE) });
    let asked = stage.send(TOKEN, "", "POST", "/v1/apps/autoswe/machines", Some(body));
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
    assert_eq!(stage.fly.machines("autoswe").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept_per_action_and_machine() {
    let stage = stage(Switches::default());
    let ids = stage.earlier(2).await;
    for limit in documented_limits() {
        stage.world.ground().faults.limit(limit);
    }
    let mut refused = 0;
    for _ in 0..4 {
        refused += u16::from(stage.fly("POST", &format!("{}/cordon", at(&ids[0])), None).await.0 == 429);
    }
    assert_eq!(refused, 1);
    assert_eq!(stage.fly("POST", &format!("{}/cordon", at(&ids[1])), None).await.0, 200, "another machine has its own limit");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.fly("POST", &format!("{}/cordon", at(&ids[0])), None).await.0, 200);
    let mut reads = Vec::new();
    for _ in 0..11 {
        reads.push(stage.fly("GET", &at(&ids[0]), None).await.0);
    }
    assert_eq!((reads.iter().filter(|status| **status == 200).count(), reads[10]), (10, 429));
}

#[tokio::test(start_paused = true)]
async fn edges_learn_of_a_change_one_by_one_and_lose_what_died_meanwhile() {
    let stage = stage(Switches::default());
    let traffic = &stage.world.ground().traffic;
    traffic.lags(&[Duration::ZERO, Duration::from_secs(2)]);
    let ids = stage.earlier(2).await;
    sleep(Duration::from_secs(3)).await;
    stage.fly("POST", &format!("{}/cordon", at(&ids[0])), None).await;
    let mut believed = ids.clone();
    believed.sort();
    assert_eq!(traffic.seen(0, "autoswe.fly.dev"), [ids[1].clone()]);
    assert_eq!(traffic.seen(1, "autoswe.fly.dev"), believed);
    let ask = |edge| traffic.ask(edge, "autoswe.fly.dev", Request::new(axum::body::Body::empty()));
    for _ in 0..4 {
        assert_eq!(ask(1).await.status(), 200, "a cordoned machine still answers whoever reaches it");
    }
    stage.fly("DELETE", &format!("{}?force=true", at(&ids[0])), None).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(1).await.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert_eq!(traffic.lost("autoswe.fly.dev"), 2);
    sleep(Duration::from_secs(2)).await;
    for _ in 0..4 {
        assert_eq!(ask(1).await.status(), 200);
    }
    assert_eq!(traffic.lost("autoswe.fly.dev"), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_open_what_they_are_for_and_nothing_else() {
    let stage = stage(Switches::default());
    stage.fly.seed_app("other", "acme", &[]);
    stage.fly.seed_app("foreign", "rivals", &[]);
    stage.fly.seed_token("fm2_app", &Scope::App("autoswe".into()), "deploy");
    let status = async |token: &str, path: &str| stage.send(token, "", "GET", path, None).await.expect("an answer").0.as_u16();
    assert_eq!(status("", "/v1/apps/autoswe").await, 401);
    assert_eq!(status("fm2_wrong", "/v1/apps/autoswe").await, 401);
    assert_eq!(status("fm2_app", "/v1/apps/autoswe").await, 200);
    assert_eq!(status("fm2_app", "/v1/apps/other").await, 403);
    assert_eq!(status("fm2_app", "/v1/apps?org_slug=acme").await, 403);
    assert_eq!(status("fm2_app", "/api/v1/apps/autoswe/logs").await, 401);
    assert_eq!(status(TOKEN, "/v1/apps/foreign").await, 403);
    assert_eq!(status(TOKEN, "/v1/apps/free-name").await, 404);
    let (_, who) = stage.send("fm2_app", "", "GET", "/v1/tokens/current", None).await.expect("an answer");
    assert_eq!(who["tokens"][0]["apps"], json!(["autoswe"]));
    let taken = json!({ "name": "foreign", "org_slug": "acme", "network": "" });
    let (refused, why) = stage.fly("POST", "/v1/apps?wait=true", Some(taken)).await;
    assert_eq!((refused, &why["status"]), (422, &json!("name_taken")));
}

#[tokio::test(start_paused = true)]
async fn creates_are_refused_where_the_real_ones_are() {
    let stage = stage(Switches::default());
    let create = async |body: Value| stage.fly("POST", "/v1/apps/autoswe/machines", Some(body)).await.0;
    assert_eq!(create(json!({ "region": "iad" })).await, 400);
    assert_eq!(create(json!({ "config": { "image": "" } })).await, 422);
    assert_eq!(create(json!({ "config": { "image": IMAGE, "env": { "PORT": 8080 } } })).await, 400);
    assert_eq!(create(json!({ "config": config(IMAGE), "region": "moon" })).await, 422);
    assert_eq!(create(json!({ "config": config("registry.fly.io/autoswe:missing") })).await, 404);
    assert_eq!(create(json!({ "config": config(IMAGE), "min_secrets_version": 2 })).await, 412);
    assert_eq!(create(json!({ "config": config(IMAGE), "min_secrets_version": 1, "name": "one" })).await, 200);
    assert_eq!(create(json!({ "config": config(IMAGE), "name": "one" })).await, 409);
    stage.fly.switch(|switches| {
        switches.names_are_unique = false;
        switches.unknown_image = UnknownImage::LaunchFails;
    });
    assert_eq!(create(json!({ "config": config(IMAGE), "name": "one" })).await, 200);
    assert_eq!(create(json!({ "config": config("registry.fly.io/autoswe:missing"), "name": "bad" })).await, 200);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.fly.machines("autoswe").iter().map(|machine| machine.state).collect::<Vec<_>>(), [MachineState::Started; 2]);
}

#[tokio::test(start_paused = true)]
async fn secrets_releases_and_graphql_carry_a_deploy() {
    let stage = stage(Switches::default());
    let (_, set) = stage.fly("POST", "/v1/apps/autoswe/secrets", Some(json!({ "values": { "KEY": "1", "DATABASE_URL": null } }))).await;
    assert_eq!((&set["version"], set["secrets"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    assert_eq!(stage.fly.secrets("autoswe"), BTreeMap::from([("KEY".to_owned(), "1".to_owned())]));
    let (_, listed) = stage.fly("GET", "/v1/apps/autoswe/secrets?show_secrets=true", None).await;
    assert_eq!(listed["secrets"][0].get("value"), None);

    let release = |image: &str| json!({ "app_name": "autoswe", "build_id": 0, "definition": {}, "image": image, "strategy": "BLUEGREEN" });
    assert_eq!(stage.fly("POST", "/api/v1/releases", Some(release("registry.fly.io/autoswe:missing"))).await.0, 404);
    let (status, made) = stage.fly("POST", "/api/v1/releases", Some(release(IMAGE))).await;
    assert_eq!((status, &made["release"]["version"]), (201, &json!(1)));
    assert_eq!(stage.fly("GET", "/api/v1/apps/autoswe/releases/current", None).await.0, 404);
    let id = made["release"]["id"].as_str().expect("an id");
    stage.fly("PATCH", &format!("/api/v1/releases/{id}"), Some(json!({ "status": "complete", "metadata": null }))).await;
    assert_eq!(stage.fly("GET", "/api/v1/apps/autoswe/releases/current", None).await.1["release"]["image_ref"], IMAGE);

    let ask = async |query: &str| {
        let body = json!({ "query": query, "variables": { "appName": "autoswe", "name": "autoswe", "imageRef": IMAGE } });
        stage.fly("POST", "/graphql", Some(body)).await.1
    };
    let image = ask("query ($appName: String!, $imageRef: String!) { app(name: $appName) { image(ref: $imageRef) { id ref } } }").await;
    assert_eq!(image["data"]["app"]["image"]["digest"], DIGEST);
    assert_eq!(
        ask("query ($appName: String!) { canPerformBluegreenDeployment(name: $appName) }").await["data"]["canPerformBluegreenDeployment"],
        true
    );
    let counts = stage.world.ground().tape.counts();
    assert_eq!(counts["fly"], (5, 4), "queries count as reads");
}

#[tokio::test(start_paused = true)]
async fn the_registry_takes_and_gives_an_image() {
    let stage = stage(Switches::default());
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut request = Request::builder().method(method).uri(format!("http://registry.fly.io{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        in_process::call(&stage.world, request.body(Bytes::copy_from_slice(body)).expect("a request")).await.expect("an answer")
    };
    // x:fm2_org
    let auth = ("authorization", "Basic eDpmbTJfb3Jn");
    let refused = ask("GET", "/v2/", &[], b"").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().expect("text").starts_with("Basic"));
    assert_eq!(ask("GET", "/v2/", &[auth], b"").await.status(), 200);

    stage.fly.seed_token("fm2_app", &Scope::App("autoswe".into()), "deploy");
    // x:fm2_app
    let narrow = ("authorization", "Basic eDpmbTJfYXBw");
    assert_eq!(ask("POST", "/v2/other/blobs/uploads/", &[narrow], b"").await.status(), 403);
    assert_eq!(ask("POST", "/v2/other/blobs/uploads/", &[auth], b"").await.status(), 404, "there is no such app");
    stage.fly.seed_app("other", "acme", &[]);
    let blob = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"; // {}
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": 2 },
        "layers": [],
    })
    .to_string();
    let kind = ("content-type", "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(ask("PUT", "/v2/autoswe/manifests/v1", &[auth, kind], manifest.as_bytes()).await.status(), 400, "its blob is missing");
    let begun = ask("POST", "/v2/autoswe/blobs/uploads/", &[auth], b"").await;
    assert_eq!(begun.status(), 202);
    let place = begun.headers()["location"].to_str().expect("text").to_owned();
    assert_eq!(ask("PATCH", &place, &[auth, ("content-range", "5-6")], b"{}").await.status(), 416);
    let stream = ("content-type", "application/octet-stream");
    assert_eq!(ask("PATCH", &place, &[auth, stream, ("content-range", "0-0")], b"{").await.status(), 202);
    assert_eq!(ask("PUT", &format!("{place}&digest={blob}"), &[auth], b"}").await.status(), 201);
    assert_eq!(ask("HEAD", &format!("/v2/autoswe/blobs/{blob}"), &[auth], b"").await.headers()["content-length"], "2");
    assert_eq!(ask("POST", &format!("/v2/other/blobs/uploads/?mount={blob}&from=autoswe"), &[auth], b"").await.status(), 201);
    let put = ask("PUT", "/v2/autoswe/manifests/v1", &[auth, kind], manifest.as_bytes()).await;
    let digest = put.headers()["docker-content-digest"].to_str().expect("text").to_owned();
    assert_eq!(ask("GET", "/v2/autoswe/manifests/v1", &[auth], b"").await.status(), 404, "no Accept");
    let got = ask("GET", &format!("/v2/autoswe/manifests/{digest}"), &[auth, ("accept", kind.1)], b"").await;
    assert_eq!((got.status().as_u16(), got.body().as_ref()), (200, manifest.as_bytes()));
    assert_eq!(stage.registry.find("autoswe", "v1"), Some(digest));
    let appended: Vec<_> = stage.world.ground().tape.entries().into_iter().filter(|entry| entry.operation == "append_upload").collect();
    assert_eq!(appended[0].request, Recorded::Json(json!({})));
    // SHA-256 of an opening brace.
    let brace = "021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96".to_owned();
    assert_eq!(appended[1].request, Recorded::Bytes { length: 1, sha256: brace });
}

#[tokio::test]
async fn sockets_and_edges_speak_for_the_same_world() {
    let stage = stage(Switches::default());
    stage.earlier(1).await;
    let addresses = stage.world.listen(&BTreeMap::new()).await.expect("loopback listeners");
    let base = addresses.base("api.machines.dev").expect("an address");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let app = client.get(format!("{base}/v1/apps/autoswe")).bearer_auth(TOKEN).send().await.expect("an answer");
    assert_eq!(app.headers()["fly-request-id"].len(), 30);
    assert_eq!(app.json::<Value>().await.expect("JSON")["machine_count"], 1);

    let rule = Rule::at("fly.get_app", Effect::Once, Answer::Lost).expect("a boundary").times(Times::Forever);
    let faults = &stage.world.ground().faults;
    let rule = faults.set(rule);
    client.get(format!("{base}/v1/apps/autoswe")).bearer_auth(TOKEN).send().await.expect_err("the connection closes");
    assert!(faults.fired(rule) >= 1);

    let edge = addresses.edges[0];
    let browser = format!("autoswe.fly.dev.localhost:{}", edge.port());
    let shown = client.get(format!("http://{edge}/")).header("host", browser).send().await.expect("an answer");
    assert_eq!(shown.json::<Value>().await.expect("JSON")["revision"], OLD);
    let unknown = client.get(format!("http://{edge}/")).header("host", "nobody.fly.dev").send().await.expect("an answer");
    assert_eq!(unknown.status(), 404);
    let upgraded = client
        .get(format!("http://{edge}/socket"))
        .header("host", "autoswe.fly.dev")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .send()
        .await
        .expect("an answer");
    assert_eq!(upgraded.status(), 101);
    // The example of RFC 6455, section 1.3.
    assert_eq!(upgraded.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    stage.world.end().await;
    client.get(format!("{base}/v1/apps/autoswe")).bearer_auth(TOKEN).send().await.expect_err("the world has ended");
}
