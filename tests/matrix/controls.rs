//! The controls of the judge: each invariant is broken on purpose, in the embedded world itself wherever the world can break it, and must be found.
//!
//! A judge that nothing can displease is no judge. What an invariant forbids is made to happen once, and unharmed the same schedule holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cutover::drill::blueprint::{FLY_TOKEN, VERCEL_TOKEN};
use cutover::drill::case::{Case, LIMIT, played, played_sabotaged};
use cutover::drill::explore::Stage;
use cutover::drill::judge::{Finding, Invariant, judge};
use cutover::drill::life::{Being, Life};
use cutover::drill::sabotage::{Cue, Sabotage};
use cutover::drill::schedule::{Act, Beginning, Keeping, Schedule, When};
use cutover::drill::truth::{Platforms, STRANGER};
use cutover::embedded::client::{Clients, Kind, Load, lost};
use cutover::embedded::fly::{Death, Pick};
use cutover::embedded::in_process;
use cutover::embedded::vercel::Tree;
use cutover::embedded::witness::{Moment, Sender};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Request;
use serde_json::{Value, json};

use super::stage_of;

const APP: &str = "api";
const SITE: &str = "pair-web";

/// Every invariant. A new one does not compile until it stands in [`place`], and then fails until it stands here and has a control.
const ALL: [Invariant; 15] = [
    Invariant::OneSide,
    Invariant::NeverNothing,
    Invariant::ForeignHands,
    Invariant::NothingLeft,
    Invariant::SettingsBack,
    Invariant::IntentFirst,
    Invariant::Once,
    Invariant::Fencing,
    Invariant::Truthful,
    Invariant::Live,
    Invariant::Bounded,
    Invariant::Secrets,
    Invariant::NotAlwaysBack,
    Invariant::NoGhosts,
    Invariant::Migrations,
];

const fn place(invariant: Invariant) -> usize {
    match invariant {
        Invariant::OneSide => 0,
        Invariant::NeverNothing => 1,
        Invariant::ForeignHands => 2,
        Invariant::NothingLeft => 3,
        Invariant::SettingsBack => 4,
        Invariant::IntentFirst => 5,
        Invariant::Once => 6,
        Invariant::Fencing => 7,
        Invariant::Truthful => 8,
        Invariant::Live => 9,
        Invariant::Bounded => 10,
        Invariant::Secrets => 11,
        Invariant::NotAlwaysBack => 12,
        Invariant::NoGhosts => 13,
        Invariant::Migrations => 14,
    }
}

/// How an invariant is broken.
enum Broken {
    /// The world does what must never be, while this schedule is played.
    World(Schedule, Sabotage),
    /// The schedule alone breaks it: what it asks for is beyond what anybody promises.
    Schedule(Schedule),
    /// What was seen of this schedule is altered: no world can show it.
    Seen(Schedule, fn(&mut Case)),
}

struct Control {
    invariant: Invariant,
    what: &'static str,
    broken: Broken,
    /// What the finding must say.
    says: &'static str,
}

/// The stages that controls are played on.
struct Stages {
    file: Stage,
    kept: Stage,
    migrating: Stage,
}

impl Stages {
    fn set() -> Self {
        let [file, kept] = [Keeping::File, Keeping::Ref].map(|keeping| stage_of("pair", Beginning::Earlier, keeping));
        Self { file, kept, migrating: stage_of("migrating", Beginning::Earlier, Keeping::File) }
    }

    fn of(&self, schedule: &Schedule) -> &Stage {
        match schedule.keeping {
            _ if schedule.product == self.migrating.calm.product => &self.migrating,
            Keeping::File => &self.file,
            Keeping::Ref => &self.kept,
        }
    }

    fn calm(&self) -> Schedule {
        self.file.calm.clone()
    }

    /// The release dies before its site is promoted, and goes back.
    fn back(&self) -> Schedule {
        self.calm().at(&format!("vercel.promote[{SITE}]#1"), When::Before, Act::Die)
    }
}

/// Returns the last request of this operation in the fault-free release.
fn last(stage: &Stage, operation: &str) -> String {
    let of = |boundary: &&String| boundary.starts_with(&format!("{operation}["));
    stage.boundaries.iter().rev().find(of).unwrap_or_else(|| panic!("no {operation} in {:?}", stage.boundaries)).clone()
}

/// Does something at once.
fn at_once(deed: impl Fn(&Platforms) + Send + Sync + 'static) -> impl Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    move |platforms| {
        deed(&platforms);
        futures_util::future::ready(()).boxed()
    }
}

/// Sends a request to Fly that no release ever sent, in this runner's name; it must be taken.
async fn rogue(platforms: &Platforms, sender: u64, method: &str, path: &str, body: Option<Value>) {
    let request = Request::builder().method(method).uri(format!("https://api.machines.dev{path}"));
    let request = request.header("authorization", format!("Bearer {FLY_TOKEN}")).header("content-type", "application/json");
    let bytes = body.map_or_else(Bytes::new, |body| body.to_string().into());
    let mut request = request.header("content-length", bytes.len()).body(bytes).unwrap();
    request.extensions_mut().insert(Sender(sender));
    let answer = in_process::call(&platforms.world, request).await.unwrap();
    assert!(answer.status().is_success(), "{method} {path}: {answer:?}");
}

/// Cordons a machine and gives it back again, in this runner's name.
fn moves_traffic(sender: u64) -> impl Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    move |platforms| {
        async move {
            let id = platforms.fly.machines(APP).into_iter().find(|machine| machine.routable).unwrap().id;
            rogue(&platforms, sender, "POST", &format!("/v1/apps/{APP}/machines/{id}/uncordon"), None).await;
        }
        .boxed()
    }
}

/// A machine of the newest release that nobody is sent to.
fn leaves_a_twin(platforms: &Platforms) {
    let twin = platforms.fly.person_clones(APP, &Pick::NewestServing).unwrap();
    platforms.fly.person_cordons(APP, &Pick::Id(twin)).unwrap();
}

fn goes_back_by_itself(platforms: &Platforms) {
    platforms.vercel.person_rolls_back(SITE, None).unwrap();
}

fn world(schedule: Schedule, cue: Cue, deed: impl Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Broken {
    Broken::World(schedule, Sabotage::default().and(cue, deed))
}

fn controls(stages: &Stages) -> Vec<Control> {
    let mut controls = Vec::new();
    let mut add = |invariant, what, says, broken| controls.push(Control { invariant, what, broken, says });
    let (calm, back) = (stages.calm(), stages.back());
    let meets = |boundary: String, moment| Cue::Meets(boundary, moment);
    let late = last(&stages.file, "fly.destroy_machine");

    add(Invariant::OneSide, "a committed site goes back by itself", "all should be After", {
        world(calm.clone(), Cue::LastRecovery, at_once(goes_back_by_itself))
    });
    add(Invariant::OneSide, "a platform forgets the machines of what served before", "all should be Before", {
        world(back.clone(), Cue::Rest, at_once(|platforms| drop(platforms.fly.person_destroys(APP, &Pick::Serving))))
    });

    add(Invariant::NeverNothing, "a machine ends the moment it is cordoned, and the last edge still leads to it", "which was gone at", {
        let cordon = "fly.cordon_machine[api]#1".to_owned();
        let gone = at_once(|platforms: &Platforms| {
            let cordoned = platforms.fly.machines(APP).into_iter().find(|machine| !machine.routable && machine.state.as_str() == "started");
            platforms.fly.machine_dies(APP, &Pick::Id(cordoned.unwrap().id), Death::AgainAndAgain, 137).unwrap();
        });
        world(calm.clone(), meets(cordon, Moment::After), gone)
    });
    add(Invariant::NeverNothing, "every serving machine is destroyed for a while", "served nothing from", {
        let destroys = |platforms: &Platforms| while platforms.fly.person_destroys(APP, &Pick::Serving).is_some() {};
        world(calm.clone(), meets("fly.list_machines[api]#1".to_owned(), Moment::After), at_once(destroys))
    });
    add(Invariant::NeverNothing, "a site serves what nobody has released", "web served", {
        let tree: Tree = [("index.html".to_owned(), b"strange".to_vec())].into();
        let strange = at_once(move |platforms: &Platforms| drop(platforms.vercel.person_deploys(SITE, &tree).unwrap().unwrap()));
        world(calm.clone(), Cue::LastRecovery, strange)
    });

    add(Invariant::ForeignHands, "somebody else's machine is destroyed", "of somebody-elses was", {
        let destroys = at_once(|platforms: &Platforms| drop(platforms.fly.person_destroys(STRANGER, &Pick::Nth(0)).unwrap()));
        world(calm.clone(), meets(late.clone(), Moment::Before), destroys)
    });
    add(Invariant::ForeignHands, "somebody else's project is set otherwise", "project somebody-elses was", {
        let edits = |platforms: &Platforms| {
            assert!(platforms.vercel.person_edits(STRANGER, "autoAssignCustomDomains", &Value::from(true)));
        };
        world(calm.clone(), meets(late.clone(), Moment::Before), at_once(edits))
    });

    add(Invariant::NothingLeft, "a twin of a machine stays", "api", world(calm.clone(), Cue::Rest, at_once(leaves_a_twin)));

    add(Invariant::SettingsBack, "the platform turns automatic assignment off", "web", {
        let pins = |platforms: &Platforms| assert!(platforms.vercel.person_pins(SITE));
        world(back.clone(), Cue::Rest, at_once(pins))
    });
    add(Invariant::SettingsBack, "a secret of the app is another", "api", {
        let sets = |platforms: &Platforms| assert!(platforms.fly.person_sets_secret(APP, "API_KEY", "another"));
        world(calm.clone(), meets(late.clone(), Moment::Before), at_once(sets))
    });

    add(Invariant::IntentFirst, "traffic is moved before anything is announced", "came after", {
        world(calm.clone(), meets("fly.create_machine[api]#1".to_owned(), Moment::Before), moves_traffic(1))
    });
    add(Invariant::IntentFirst, "the announcement is not known to be in the journal", "came after", {
        Broken::Seen(calm.clone(), |case| case.ledger.retain(|record| record.entry != "cutting"))
    });

    add(Invariant::Once, "a machine is made twice for one intent", "2 machines were made for", {
        world(calm.clone(), meets("fly.create_machine[api]#1".to_owned(), Moment::After), made_again())
    });
    add(Invariant::Once, "a deployment is made twice by one release", "2 deployments were made", {
        Broken::Seen(calm.clone(), |case| {
            let made = case.tape.iter().find(|entry| entry.operation == "create_deployment" && entry.status == Some(200)).unwrap().clone();
            case.tape.push(made);
        })
    });
    add(Invariant::Once, "a record stands in the journal twice", "stands 2 times in the journal", {
        Broken::Seen(calm.clone(), |case| case.records.push(case.records[0].clone()))
    });

    let forsaken = stages.kept.calm.clone().at(&format!("vercel.promote[{SITE}]#1"), When::Before, Act::Forsake(Duration::from_secs(400)));
    add(Invariant::Fencing, "a runner changes traffic long after it was taken over", "runner 1 sent", {
        world(forsaken, Cue::Rest, moves_traffic(1))
    });

    add(Invariant::Truthful, "a machine goes while the runner says that all serve", "true was", {
        let at = last(&stages.file, "fly.destroy_machine");
        let destroys = at_once(|platforms: &Platforms| drop(platforms.fly.person_destroys(APP, &Pick::NewestServing).unwrap()));
        world(calm.clone(), meets(at, Moment::After), destroys)
    });
    add(Invariant::Truthful, "a runner says Before when it released", "true was", {
        Broken::Seen(calm.clone(), |case| case.ended[0].word.serving = cutover::event::Serving::Before)
    });

    add(Invariant::Live, "every request is refused although all faults are over", "a recovery failed", {
        let refuses = |platforms: &Platforms| {
            platforms.world.ground().faults.set("vercel.*: effect=none answer=401 times=forever".parse().unwrap());
        };
        world(back.clone(), Cue::Curtain, at_once(refuses))
    });
    add(Invariant::Live, "there is always something more to do", "the last recovery made", {
        world(calm.clone(), Cue::LastRecovery, at_once(leaves_a_twin))
    });

    add(Invariant::Bounded, "a runner stands still for longer than anything may take", "never ended", {
        let still = Act::Freeze(LIMIT + Duration::from_secs(60));
        Broken::Schedule(calm.clone().at("fly.create_machine[api]#1", When::Before, still))
    });
    add(Invariant::Bounded, "requests do not end", "requests", Broken::Seen(calm.clone(), |case| case.ran_away = true));

    add(Invariant::Secrets, "a token stands in an address", "is in fly.list_machines", {
        let tells = |platforms: Platforms| {
            let path = format!("/v1/apps/{APP}/machines?token={VERCEL_TOKEN}");
            async move { rogue(&platforms, 1, "GET", &path, None).await }.boxed()
        };
        world(calm.clone(), meets(late.clone(), Moment::Before), tells)
    });
    add(Invariant::Secrets, "a token stands in a body, in base64", "is in fly.create_machine", {
        let tells = |platforms: Platforms| {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(format!("user:{FLY_TOKEN}"));
            let body = json!({ "config": { "image": "none", "env": { "AUTH": text } }, "skip_launch": true });
            async move {
                let request = Request::post(format!("https://api.machines.dev/v1/apps/{APP}/machines")).body(body.to_string().into());
                drop(in_process::call(&platforms.world, request.unwrap()).await);
            }
            .boxed()
        };
        world(calm.clone(), meets(late.clone(), Moment::Before), tells)
    });
    add(Invariant::Secrets, "a runner's last word holds a token", "last word", {
        Broken::Seen(calm.clone(), |case| case.ended[0].word.failure = Some(format!("refused {FLY_TOKEN}")))
    });
    add(Invariant::Secrets, "an event holds a secret", "an event", {
        Broken::Seen(calm.clone(), |case| {
            let text = format!("sent {VERCEL_TOKEN}");
            let kind = cutover::event::EventKind::Notice { level: cutover::event::Level::Note, code: "a", text };
            case.events[0].1.kind = kind;
        })
    });

    add(Invariant::NotAlwaysBack, "a platform refuses for ever what nobody has broken", "one passing fault ended it", {
        let refuses = |platforms: &Platforms| {
            platforms.world.ground().faults.set("vercel.promote: effect=none answer=422 times=forever".parse().unwrap());
        };
        world(calm.clone(), meets("fly.create_machine[api]#1".to_owned(), Moment::Before), at_once(refuses))
    });

    add(Invariant::NoGhosts, "something is sent in a dead runner's name", "requests of dead runners", {
        Broken::Seen(back, |case| case.ghosts = 1)
    });

    let migrating = stages.migrating.calm.clone();
    add(Invariant::Migrations, "a release's command is run again", "ran 2 times", {
        let at = last(&stages.migrating, "fly.destroy_machine");
        world(migrating.clone(), meets(at, Moment::Before), runs_again())
    });
    add(Invariant::Migrations, "the snapshot before a migration was not complete", "no snapshot was complete", {
        Broken::Seen(migrating.clone(), |case| case.rest.targets.values_mut().for_each(|seen| seen.snapshots.clear()))
    });
    add(Invariant::Migrations, "the new release serves and was never migrated for", "its migration ended at None", {
        Broken::Seen(migrating, |case| case.rest.targets.values_mut().for_each(|seen| seen.jobs.clear()))
    });
    controls
}

/// Runs the newest release command once more, in a machine of the same marks.
fn runs_again() -> impl Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    |platforms| {
        async move {
            let tape = platforms.world.ground().tape.entries();
            let bodies = tape.iter().rev().filter(|entry| entry.operation == "create_machine").filter_map(|entry| entry.request.json());
            let intent =
                |body: &&Value| body["config"]["metadata"]["cutover_intent"].as_str().is_some_and(|intent| intent.ends_with("/migration"));
            let mut body = bodies.into_iter().find(intent).unwrap().clone();
            body["skip_launch"] = Value::from(false);
            rogue(&platforms, 1, "POST", &format!("/v1/apps/{APP}/machines"), Some(body)).await;
        }
        .boxed()
    }
}

/// Makes the newest machine once more, under no name: the same mark of the same intent.
fn made_again() -> impl Fn(Platforms) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    |platforms| {
        async move {
            let tape = platforms.world.ground().tape.entries();
            let made = tape.iter().rev().find(|entry| entry.operation == "create_machine").unwrap();
            let mut body = made.request.json().unwrap().clone();
            body.as_object_mut().unwrap().remove("name");
            rogue(&platforms, 1, "POST", &format!("/v1/apps/{APP}/machines"), Some(body)).await;
        }
        .boxed()
    }
}

/// Plays a control and returns what the judge finds.
fn found(stages: &Stages, broken: Broken) -> Vec<Finding> {
    let (schedule, case) = match broken {
        Broken::World(schedule, sabotage) => {
            let sabotage = Arc::new(sabotage);
            let case = played_sabotaged(&stages.of(&schedule).blueprint, &schedule, &sabotage).unwrap();
            assert!(sabotage.done(), "{schedule}: {sabotage:?} never came");
            (schedule, case)
        }
        Broken::Schedule(schedule) => {
            let case = played(&stages.of(&schedule).blueprint, &schedule).unwrap();
            (schedule, case)
        }
        Broken::Seen(schedule, alter) => {
            let mut case = played(&stages.of(&schedule).blueprint, &schedule).unwrap();
            alter(&mut case);
            (schedule, case)
        }
    };
    let stage = stages.of(&schedule);
    judge(&stage.blueprint, &stage.reference, &case)
}

#[test]
#[expect(clippy::print_stderr, reason = "what was broken and what was found is the result")]
fn each_invariant_turns_red_when_it_is_broken_on_purpose() {
    let stages = Stages::set();
    assert!(ALL.iter().enumerate().all(|(index, invariant)| place(*invariant) == index));
    let mut blind = Vec::new();
    let mut seen = BTreeSet::new();
    for Control { invariant, what, broken, says } in controls(&stages) {
        let findings = found(&stages, broken);
        let hit = findings.iter().any(|finding| finding.invariant == invariant && finding.what.contains(says));
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        eprintln!("{invariant:?}, {what}: {}", if hit { "found" } else { "NOT FOUND" });
        if hit {
            seen.insert(invariant);
        } else {
            blind.push(format!("{invariant:?}, {what}, should say {says:?}; found\n      {}", told.join("\n      ")));
        }
    }
    assert!(blind.is_empty(), "the judge is blind:\n{}", blind.join("\n"));
    assert_eq!(seen, BTreeSet::from(ALL), "an invariant has no control");
}

/// Unharmed, the schedules of the controls hold: what turns them red is the harm.
#[test]
fn where_nothing_is_broken_on_purpose_every_control_is_green() {
    let stages = Stages::set();
    let schedules: BTreeSet<String> = controls(&stages)
        .iter()
        .filter_map(|control| match &control.broken {
            Broken::World(schedule, _) | Broken::Seen(schedule, _) => Some(schedule.to_string()),
            Broken::Schedule(_) => None,
        })
        .collect();
    assert!(schedules.len() >= 3, "{schedules:?}");
    for schedule in schedules {
        let schedule: Schedule = schedule.parse().unwrap();
        let stage = stages.of(&schedule);
        let case = played(&stage.blueprint, &schedule).unwrap();
        let findings = judge(&stage.blueprint, &stage.reference, &case);
        assert!(findings.is_empty(), "{schedule}: {findings:?}");
    }
}

/// The world's hand counts what is sent in a dead runner's name, and nothing that a living one sends.
#[tokio::test(start_paused = true)]
async fn what_a_dead_runner_sends_is_counted() {
    let shift: &'static cutover::clock::Shift = Box::leak(Box::default());
    let life = Life::new(1, shift);
    assert_eq!(life.lead(async { life.sends().await }).await, Some(()));
    assert_eq!(life.ghosts(), 0);
    let stray = life.clone();
    let died = life.lead(async {
        life.become_(Being::Dead);
        std::future::pending::<()>().await;
    });
    assert_eq!(died.await, None);
    assert_eq!(stray.sends().now_or_never(), None, "it never arrives");
    assert_eq!(life.ghosts(), 1);
}

/// Plays a schedule under open-loop clients at three edges with unequal lag, and returns what they lost, by kind.
fn losses(stage: &Stage, schedule: &Schedule, harm: Option<fn(&Platforms)>) -> BTreeMap<Kind, u64> {
    let at_work: Arc<Mutex<Vec<Clients>>> = Arc::default();
    let lost_by: Arc<Mutex<BTreeMap<Kind, u64>>> = Arc::default();
    let (starts, stops, told) = (at_work.clone(), at_work, lost_by.clone());
    let first = stage.boundaries.iter().find(|boundary| boundary.starts_with("fly.")).unwrap().clone();
    let mut sabotage = Sabotage::default()
        .and(
            Cue::Meets(first, Moment::Before),
            at_once(move |platforms| {
                let ground = platforms.world.ground();
                // A request that takes longer than the app's kill timeout (1 s) is cut off by the app's own wish.
                let load = Load { long_takes: Duration::from_millis(900), ..Load::default() };
                let sites = Load { websockets: 0, ..load.clone() };
                let started = [Clients::start(ground, &["api.fly.dev"], load), Clients::start(ground, &["pair-web.vercel.app"], sites)];
                starts.lock().unwrap().extend(started);
            }),
        )
        .and(Cue::Rest, move |_| {
            let (clients, told) = (std::mem::take(&mut *stops.lock().unwrap()), told.clone());
            async move {
                for client in clients {
                    let report = client.stop().await;
                    assert!(report.values().all(|fared| fared.sent > 0), "{report:?}");
                    for (kind, count) in lost(&report) {
                        *told.lock().unwrap().entry(kind).or_default() += count;
                    }
                }
            }
            .boxed()
        });
    if let Some(harm) = harm {
        sabotage = sabotage.and(Cue::Meets("fly.cordon_machine[api]#1".to_owned(), Moment::After), at_once(harm));
    }
    let sabotage = Arc::new(sabotage);
    played_sabotaged(&stage.blueprint, schedule, &sabotage).unwrap();
    assert!(sabotage.done(), "{sabotage:?}");
    let lost_by = lost_by.lock().unwrap();
    assert!(!lost_by.is_empty());
    lost_by.clone()
}

/// No loss is judged by the clients themselves: through a release, and through one whose runner dies and that goes back, they lose nothing; and
/// they notice when a machine ends while edges lead to it.
#[test]
fn clients_lose_nothing_unless_a_machine_ends_while_it_is_led_to() {
    let stages = Stages::set();
    let nothing = BTreeMap::from([(Kind::Short, 0), (Kind::Long, 0), (Kind::Websocket, 0), (Kind::KeptAlive, 0)]);
    assert_eq!(losses(&stages.file, &stages.calm(), None), nothing, "a release");
    assert_eq!(losses(&stages.file, &stages.back(), None), nothing, "a release that goes back");
    let found = losses(
        &stages.file,
        &stages.calm(),
        Some(|platforms| drop(platforms.fly.machine_dies(APP, &Pick::Serving, Death::AgainAndAgain, 137))),
    );
    assert!(found[&Kind::Short] > 0 && found[&Kind::Long] > 0, "{found:?}");
}
