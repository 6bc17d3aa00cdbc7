//! Secrets of a Fly app: missing ones stop a release before a gate runs, held ones are set once and late, what changed bars the way back
//! unless the manifest says otherwise, and no value is ever shown.

use std::time::Duration;

use cutover::embedded::fault::{Answer, Effect, Rule, Times};
use cutover::embedded::vercel::Fate;
use cutover::event::{EventKind, Outcome};
use cutover::release::Recovered;
use cutover::release::journal::{Entry, Record};
use cutover::release::store::file::FileStore;

use crate::support::bench::{APP, Bench, Kind, Runner, Users};
use crate::support::binary::{Sandbox, code, output, told};
use crate::support::product::Product;

/// A value that opens nothing; no output may hold it.
const VALUE: &str = "hunter2-hunter2-hunter2";

/// A bench whose app has a secret, for which the run has another value.
async fn bench(kind: Kind, compatible: bool) -> Bench {
    let mut bench = Bench::of(kind).await;
    bench.fly.person_sets_secret(APP, "API_KEY", "the value before");
    bench.secrets = vec![("API_KEY", Some(VALUE), compatible)];
    bench
}

fn sets(bench: &Bench) -> usize {
    bench.world.ground().tape.entries().iter().filter(|entry| entry.operation == "set_secrets").count()
}

fn journal_text(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_is_recorded_then_set_once_and_machines_wait_for_it() {
    for kind in [Kind::Bluegreen, Kind::Rolling] {
        let bench = bench(kind, true).await;
        let ending = bench.release("r-1").await;
        assert_eq!(ending.outcome, Outcome::Finished, "{kind:?}: {:?}", ending.failure);
        assert_eq!(bench.fly.secrets(APP)["API_KEY"], VALUE);
        assert_eq!(sets(&bench), 1, "{kind:?}");
        let records = bench.records();
        let at = |entry: &str| records.iter().position(|record| *record == entry).unwrap_or_else(|| panic!("{entry}: {records:?}"));
        assert!(at("secrets") < at("secrets_set") && at("secrets_set") < at("cutting"), "{records:?}");
        // Machines that run already must see it; those that are changed in place get it as late as that.
        assert_eq!(at("secrets_set") < at("prepared"), kind == Kind::Bluegreen, "{kind:?}: {records:?}");
        let entries = bench.world.ground().tape.entries();
        let set = entries.iter().find(|entry| entry.operation == "set_secrets").unwrap();
        let version = set.response.json().unwrap()["version"].as_u64().unwrap();
        let made: Vec<_> =
            entries.iter().filter(|entry| ["create_machine", "update_machine"].contains(&entry.operation.as_str())).collect();
        assert!(!made.is_empty());
        for entry in made {
            assert!(entry.sequence > set.sequence, "{kind:?}: {} came before the secrets", entry.boundary);
            assert_eq!(entry.request.json().unwrap()["min_secrets_version"], version, "{}", entry.boundary);
        }
        let change = recorded(&bench);
        assert_eq!((change.0.as_str(), change.1.starts_with("hmac:")), ("API_KEY", true));
        assert!(!journal_text(&bench).contains(VALUE), "the journal holds no value");
        assert!(entries.iter().all(|entry| !serde_json::to_string(entry).unwrap().contains(VALUE)), "the tape holds no value");
    }
}

/// The name and the digest that were recorded before the secret was set.
fn recorded(bench: &Bench) -> (String, String) {
    let records = FileStore::read(&bench.path()).unwrap();
    let of = |record: &Record| match &record.entry {
        Entry::Secrets { changes } => changes.values().flatten().next().map(|change| (change.name.clone(), change.digest.clone())),
        _ => None,
    };
    records.iter().find_map(of).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_not_sent_and_what_somebody_changed_is_sent_again() {
    let bench = bench(Kind::Bluegreen, true).await;
    assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished);
    assert_eq!(sets(&bench), 1);
    bench.fly.person_sets_secret(APP, "UNRELATED", "of no interest");
    let again = released_again(&bench, "r-2", &"3".repeat(64)).await;
    assert_eq!((again, sets(&bench)), (Outcome::Finished, 1), "nothing is sent when nothing differs");
    bench.fly.person_sets_secret(APP, "API_KEY", "a person's value");
    let after = released_again(&bench, "r-3", &"4".repeat(64)).await;
    assert_eq!((after, sets(&bench)), (Outcome::Finished, 2));
    assert_eq!(bench.fly.secrets(APP)["API_KEY"], VALUE);
}

/// Releases another image of the app.
async fn released_again(bench: &Bench, id: &str, hex: &str) -> Outcome {
    use cutover::platform::Artifact;
    use cutover::release::plan::Shipment;
    use cutover::release::{Plan, Release};
    let digest = format!("sha256:{hex}");
    bench.registry.stand_in(APP, id, &digest);
    let runner = Runner::new(bench, id, bench.wire());
    let mut moves = runner.moves(bench);
    moves.retain(|each| cutover::platform::Target::name(&each.target).as_str() == "api");
    for each in &mut moves {
        let reference = format!("registry.fly.io/{APP}:{id}@{digest}");
        each.shipment = Shipment::New(Artifact::Image { reference, digest: digest.clone(), stand_in: true });
    }
    let plan = Plan::make(&runner.context, moves).await.unwrap();
    Release::new(runner.context.clone(), &mut bench.journal(), plan).run().await.outcome
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_and_sets_nothing_twice_that_matters() {
    let faults = [
        (Effect::Once, Answer::Lost),
        (Effect::None, Answer::Lost),
        (Effect::Once, Rule::status(500, None)),
        (Effect::None, Rule::status(503, None)),
    ];
    for kind in [Kind::Bluegreen, Kind::Rolling] {
        for (effect, answer) in faults.clone() {
            let bench = bench(kind, true).await;
            bench.strike("fly.set_secrets[api]#1", effect, answer, Times::Once);
            let ending = bench.release("r-1").await;
            assert_eq!(ending.outcome, Outcome::Finished, "{kind:?} {effect:?}: {:?}", ending.failure);
            assert_eq!((bench.fly.secrets(APP)["API_KEY"].as_str(), sets(&bench)), (VALUE, 2), "{kind:?} {effect:?}");
            let entries = bench.world.ground().tape.entries();
            let answers = entries.iter().filter(|entry| entry.operation == "set_secrets");
            let version = answers.filter_map(|entry| entry.response.json()?["version"].as_u64()).max().unwrap();
            let made = entries.iter().filter(|entry| ["create_machine", "update_machine"].contains(&entry.operation.as_str()));
            assert!(made.clone().count() > 0 && made.clone().all(|entry| entry.request.json().unwrap()["min_secrets_version"] == version));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_called_compatible_lets_the_release_go_back_and_it_says_that_the_secret_stays() {
    for kind in [Kind::Bluegreen, Kind::Rolling] {
        let bench = bench(kind, true).await;
        bench.vercel.next("front", Fate::FAILS_IN_PRODUCTION);
        let runner = Runner::new(&bench, "r-1", bench.wire());
        let ending = bench.run(&runner).await;
        assert_eq!(ending.outcome, Outcome::RolledBack, "{kind:?}: {:?}", ending.failure);
        bench.settled_on(Users::Before, "with a compatible secret");
        let heard = format!("{:?}{ending:?}", runner.heard.lock().unwrap());
        assert!(heard.contains("API_KEY") && !heard.contains(VALUE), "whoever reports gets no value: {heard}");
        assert_eq!(bench.fly.secrets(APP)["API_KEY"], VALUE, "nobody can put back what nobody can read");
        let told = notices(&runner, "release::secrets-stay");
        assert_eq!(told, ["api: API_KEY stay as this release has set them: a secret cannot be read, so nobody can put back what it was."]);
    }
}

fn notices(runner: &Runner, wanted: &str) -> Vec<String> {
    let heard = runner.heard.lock().unwrap();
    let texts = heard.iter().filter_map(|kind| match kind {
        EventKind::Notice { code, text, .. } if *code == wanted => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_called_compatible_is_a_point_of_no_return() {
    for kind in [Kind::Bluegreen, Kind::Rolling] {
        let bench = bench(kind, false).await;
        bench.vercel.next("front", Fate::FAILS_IN_PRODUCTION);
        let ending = bench.release("r-1").await;
        assert_eq!(ending.outcome, Outcome::Stuck, "{kind:?}: {:?}", ending.failure);
        let open = bench.journal().state().open.clone().unwrap();
        assert!(open.stuck);
        assert_eq!(
            open.cause.unwrap(),
            "roll-back of api: this release has changed the secret API_KEY, and the manifest does not call that compatible with what served \
             before; nothing was taken back, and what serves stays as it is"
        );
        let hints = ending.failure.unwrap().hints;
        assert!(
            hints
                .iter()
                .any(|hint| hint.contains("fly secrets set --stage -a api API_KEY=…") && hint.contains("cutover recover production")),
            "{hints:?}"
        );
        assert!(hints.iter().any(|hint| hint.ends_with("cutover recover production --keep-secrets")), "{hints:?}");
        assert_eq!(bench.users()[APP], Users::After, "{kind:?}: what serves stays as it is");
        assert!(matches!(bench.recover().await, Recovered::Stuck(..)), "a recovery does not undo a person's business");
        // The person puts the value of before back: then there is nothing in the way any more.
        bench.fly.person_sets_secret(APP, "API_KEY", "the value before");
        assert!(matches!(bench.recover().await, Recovered::RolledBack(_)));
        bench.settled_on(Users::Before, "after the value was put back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_no_other_one_bars_nothing() {
    let mut bench = bench(Kind::Bluegreen, false).await;
    bench.secrets = vec![("API_KEY", Some("the value before"), false)];
    bench.vercel.next("front", Fate::FAILS_IN_PRODUCTION);
    let ending = bench.release("r-1").await;
    assert_eq!((ending.outcome, sets(&bench)), (Outcome::RolledBack, 1), "{:?}", ending.failure);
    bench.settled_on(Users::Before, "with an equal value");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_not_there_before_bars_nothing() {
    let mut bench = bench(Kind::Rolling, false).await;
    bench.secrets = vec![("NEW_KEY", Some(VALUE), false)];
    bench.vercel.next("front", Fate::FAILS_IN_PRODUCTION);
    assert_eq!(bench.release("r-1").await.outcome, Outcome::RolledBack);
    bench.settled_on(Users::Before, "with an added secret");
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_dies_about_a_secret_is_recovered_by_what_fly_lists() {
    // The record is written, and the runner dies before the call had its effect, or after.
    for (effect, compatible, stuck) in [(Effect::None, false, false), (Effect::Once, true, false), (Effect::Once, false, true)] {
        for kind in [Kind::Bluegreen, Kind::Rolling] {
            let bench = bench(kind, compatible).await;
            // Nothing is answered any more: the runner hangs, and is dropped.
            bench.strike("fly.set_secrets[api]#1", effect, Answer::Slow(Duration::from_secs(3_600)), Times::Forever);
            let runner = Runner::new(&bench, "r-1", bench.wire());
            let over = tokio::time::timeout(Duration::from_secs(20), bench.run(&runner)).await;
            assert!(over.is_err(), "the runner should have hung");
            drop(runner);
            assert_eq!(bench.records().last(), Some(&"secrets"), "{kind:?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
            let recovered = bench.recover().await;
            let told = format!("{kind:?} {effect:?} compatible {compatible}: {recovered:?}");
            if stuck {
                assert!(matches!(recovered, Recovered::Stuck(..)), "{told}");
                assert_eq!(bench.users()[APP], Users::Before, "{told}");
            } else {
                assert!(matches!(recovered, Recovered::RolledBack(_)), "{told}");
                bench.settled_on(Users::Before, &told);
            }
        }
    }
}

#[test]
fn a_missing_secret_is_told_before_any_gate_ran_and_a_held_value_is_shown_nowhere() {
    let product = Product::new();
    // What the manifest names exists in every sandbox: this one comes to the manifest later.
    let mut sandbox = Sandbox::of(product);
    sandbox.product.replace(
        "cutover.yml",
        "    image: server\n",
        "    image: server\n    secrets: [{ name: API_KEY, compatible: true }]\n",
    );
    let missing = sandbox.run(&["release", "production"]);
    let text = told(&missing);
    assert_eq!(code(&missing), 5, "{text}");
    assert!(text.contains("small-api has no secret API_KEY, and this run has no value for it."), "{text}");
    assert!(text.contains("fly secrets set --stage -a small-api API_KEY=…"), "{text}");
    assert!(!text.contains("gate unit"), "no gate ran: {text}");
    let mut plan = sandbox.command(&["plan", "production"]);
    plan.env("API_KEY", VALUE);
    let plan = output(plan);
    assert!(
        told(&plan).contains("secrets    API_KEY: set from this environment where they differ; what has changed does not come back"),
        "{}",
        told(&plan)
    );
    assert!(told(&plan).contains("cost       $"), "{}", told(&plan));
    assert!(!told(&plan).contains(VALUE));
    let tape = sandbox.tape();
    assert!(tape.iter().all(|entry| entry["operation"] != "set_secrets"), "nothing is set by a plan");
}

/// Releases the image of before once more, with what the run has for the secret now; returns how that ended, and what was told.
async fn released_unchanged(bench: &Bench, id: &str) -> (Outcome, Vec<String>) {
    use cutover::release::{Plan, Release};
    let runner = Runner::new(bench, id, bench.wire());
    let mut moves = runner.moves(bench);
    moves.retain(|each| cutover::platform::Target::name(&each.target).as_str() == "api");
    let plan = Plan::make(&runner.context, moves).await.unwrap();
    let outcome = Release::new(runner.context.clone(), &mut bench.journal(), plan).run().await.outcome;
    (outcome, notices(&runner, "release::secrets-not-set"))
}

#[tokio::test(start_paused = true)]
async fn another_value_is_another_revision_so_that_no_target_stays_without_it() {
    for kind in [Kind::Bluegreen, Kind::Rolling] {
        let mut bench = bench(kind, true).await;
        assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished, "{kind:?}");
        // The same image with the same value: nothing is to be done, and nothing is said.
        assert_eq!(released_unchanged(&bench, "r-2").await, (Outcome::Carried, vec![]), "{kind:?}");
        assert_eq!(sets(&bench), 1, "{kind:?}");
        // Another value: the same image is released again, and its machines wait for it.
        bench.secrets = vec![("API_KEY", Some("the value after"), true)];
        assert_eq!(released_unchanged(&bench, "r-3").await, (Outcome::Finished, vec![]), "{kind:?}");
        assert_eq!((bench.fly.secrets(APP)["API_KEY"].as_str(), sets(&bench)), ("the value after", 2), "{kind:?}");
        assert_eq!(released_unchanged(&bench, "r-4").await, (Outcome::Carried, vec![]), "{kind:?}");
        // A run that has no value changes nothing: what it was released with stays part of what serves.
        bench.secrets = vec![("API_KEY", None, true)];
        assert_eq!(released_unchanged(&bench, "r-5").await, (Outcome::Carried, vec![]), "{kind:?}");
        assert_eq!(sets(&bench), 2, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stays_says_that_it_does_not_get_the_value_that_somebody_has_changed() {
    let bench = bench(Kind::Bluegreen, true).await;
    assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished);
    bench.fly.person_sets_secret(APP, "API_KEY", "a person's value");
    let (outcome, told) = released_unchanged(&bench, "r-2").await;
    assert_eq!((outcome, bench.fly.secrets(APP)["API_KEY"].as_str()), (Outcome::Carried, "a person's value"));
    assert_eq!(
        told,
        [
            "api stays as it serves, so API_KEY is not set from this run's environment, and may have another value there: set it by hand (fly \
          secrets set -a api …), or release something new."
        ]
    );
}
