//! The journal as a git ref: what every store promises, and what faults, races and damage make of it.

use std::sync::Arc;
use std::time::Duration;

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::fault::{Answer, Effect, Rule, Times};
use cutover::embedded::github::{CommitSeed, GitHub as Embedded, Level, RepositorySeed, Token};
use cutover::github::ref_store::{RefStore, journals};
use cutover::github::{GitHub, Repository};
use cutover::http::Transport;
use cutover::id::Chance;
use cutover::release::journal::{Entry, Journal, Owner, Record};
use cutover::release::store::file::FileStore;
use cutover::release::store::{Newest, Store, StoreError};

use crate::support::openapi::Document;
use crate::support::records::{self, name, owner};
use crate::support::wire::InProcess;

const REPOSITORY: &str = "alma/shop";
const REF: &str = "refs/cutover/shop/production";

/// A repository with one commit on `main`, in a world under a paused clock.
struct Bench {
    world: World,
    embedded: Embedded,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let world = World::in_process(Clock::starting_at("2026-11-21T05:00:00Z".parse().unwrap()), Chance::seeded(7));
        let embedded = Embedded::new(world.ground());
        embedded.add_to(&world);
        embedded.seed_repository(&RepositorySeed::new(REPOSITORY));
        embedded.seed_commit(REPOSITORY, "main", CommitSeed { message: "first".into(), ..CommitSeed::default() }).unwrap();
        embedded.seed_token("job", Token::of_job(&[("contents", Level::Write), ("actions", Level::Read)]));
        embedded.seed_token("reader", Token::of_job(&[("contents", Level::Read)]));
        Self { world, embedded, folder: tempfile::tempdir().unwrap() }
    }

    fn client(&self, token: &str, repository: &str) -> GitHub {
        let ground = self.world.ground();
        let transport = Transport::new(Arc::new(InProcess::new(self.world.clone())), ground.clock, Arc::new(Chance::seeded(3)));
        let base = url::Url::parse("https://api.github.com").unwrap();
        GitHub::new(transport, base, token.into(), Repository::parse(repository).unwrap())
    }

    fn store(&self) -> RefStore {
        RefStore::new(&self.client("job", REPOSITORY), &name("shop"), &name("production"))
    }

    /// A store of either kind.
    fn any(&self, kind: Kind) -> Box<dyn Store> {
        match kind {
            Kind::Ref => Box::new(self.store()),
            Kind::File => {
                let path = FileStore::path(self.folder.path(), &name("shop"), &name("production"));
                Box::new(FileStore::open(&path, &owner("a")).unwrap())
            }
        }
    }

    fn fault(&self, boundary: &str, effect: Effect, answer: Answer, times: Times) -> u64 {
        self.world.ground().faults.set(Rule::at(boundary, effect, answer).unwrap().times(times))
    }

    fn clear(&self) {
        self.world.ground().faults.clear();
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.world.ground().tape.entries().into_iter().map(|entry| entry.operation).collect();
        self.world.ground().tape.clear();
        calls
    }

    /// Reads the whole journal with a store of its own, after every effect that was still on its way has landed.
    async fn all(&self) -> Vec<Record> {
        self.clear();
        tokio::time::sleep(Duration::from_secs(300)).await;
        self.store().records(1000).await.unwrap()
    }

    /// Judges the tape by the vendor's document, where it is at hand.
    fn judge(&self) {
        let Some(document) = Document::find("github-openapi.json", "") else { return };
        let mut faults = Vec::new();
        for entry in self.world.ground().tape.entries() {
            // Documented by the vendor, and not in the part of its document that is kept here.
            if matches!(entry.operation.as_str(), "list_commits" | "get_blob") {
                continue;
            }
            let path = ["/git/ref/", "/git/refs/", "/git/matching-refs/"].iter().find_map(|place| {
                let (before, after) = entry.path.split_once(place)?;
                let (tail, query) = after.split_once('?').map_or((after, String::new()), |(tail, query)| (tail, format!("?{query}")));
                Some(format!("{before}{place}{}{query}", tail.replace('/', "%2F")))
            });
            let path = path.unwrap_or(entry.path.clone());
            faults.extend(document.judge(&entry.method, &path, entry.request.json(), entry.status.unwrap(), entry.response.json()));
        }
        assert_eq!(faults, Vec::<String>::new());
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    File,
    Ref,
}

fn nonces(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.nonce.as_str()).collect()
}

// What every store promises.

async fn an_empty_journal_has_nothing(bench: &Bench, kind: Kind) {
    let mut store = bench.any(kind);
    assert_eq!(store.head().await.unwrap(), None);
    assert_eq!(store.records(10).await.unwrap(), []);
    assert_eq!(store.ours(), [None]);
    assert_eq!(store.watcher().newest(&store.ours()).await.unwrap(), Newest::Ours);
}

async fn what_was_appended_is_read_back_by_another_store(bench: &Bench, kind: Kind) {
    let written = records::release("a");
    let mut store = bench.any(kind);
    assert_eq!(store.head().await.unwrap(), None);
    for record in &written {
        store.append(record).await.unwrap();
        assert_eq!(store.watcher().newest(&store.ours()).await.unwrap(), Newest::Ours);
    }
    drop(store);
    let mut store = bench.any(kind);
    assert_eq!(store.head().await.unwrap().as_ref(), written.last());
    assert_eq!(store.records(100).await.unwrap(), written);
    assert_eq!(store.records(2).await.unwrap(), written[written.len() - 2..]);
    assert_eq!(store.records(0).await.unwrap(), []);
}

async fn the_same_record_never_lands_twice(bench: &Bench, kind: Kind) {
    let written = records::release("a");
    let mut store = bench.any(kind);
    store.head().await.unwrap();
    for record in &written[..3] {
        store.append(record).await.unwrap();
        store.append(record).await.unwrap();
    }
    drop(store);
    // Nor from another store that has read it.
    let mut store = bench.any(kind);
    store.head().await.unwrap();
    store.append(&written[2]).await.unwrap();
    store.append(&written[3]).await.unwrap();
    // And under others that have followed.
    for record in &written[..4] {
        store.append(record).await.unwrap();
    }
    assert_eq!(store.records(100).await.unwrap(), written[..4]);
}

async fn a_record_that_does_not_follow_is_overtaken(bench: &Bench, kind: Kind) {
    let written = records::release("a");
    let mut store = bench.any(kind);
    store.head().await.unwrap();
    store.append(&written[0]).await.unwrap();
    store.append(&written[1]).await.unwrap();
    let other = records::next(Some(&written[0]), records::entry_of(&written[1]), "b");
    match store.append(&other).await.unwrap_err() {
        StoreError::Overtaken { head: Some(head), .. } => assert_eq!(*head, written[1]),
        error => panic!("{error}"),
    }
    store.append(&written[2]).await.unwrap();
    assert_eq!(store.records(100).await.unwrap(), written[..3]);
}

#[tokio::test(start_paused = true)]
async fn both_stores_keep_what_every_store_promises() {
    for kind in [Kind::File, Kind::Ref] {
        an_empty_journal_has_nothing(&Bench::new(), kind).await;
        what_was_appended_is_read_back_by_another_store(&Bench::new(), kind).await;
        the_same_record_never_lands_twice(&Bench::new(), kind).await;
        a_record_that_does_not_follow_is_overtaken(&Bench::new(), kind).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_costs_two_calls_and_a_look_one() {
    let bench = Bench::new();
    let written = records::release("a");
    let mut store = bench.store();
    store.head().await.unwrap();
    assert_eq!(bench.calls(), ["get_ref", "list_matching_refs"]);
    store.append(&written[0]).await.unwrap();
    assert_eq!(bench.calls(), ["create_tree", "create_git_commit", "create_ref", "get_ref"], "the first one makes what all of them share");
    for record in &written[1..3] {
        store.append(record).await.unwrap();
        assert_eq!(bench.calls(), ["create_git_commit", "update_ref"]);
    }
    let watcher = store.watcher();
    assert_eq!(watcher.newest(&store.ours()).await.unwrap(), Newest::Ours);
    assert_eq!(bench.calls(), ["get_ref"]);

    // Another machine: two calls to read the head, two for what comes next, one to see that nothing has changed.
    let mut other = bench.store();
    other.head().await.unwrap();
    assert_eq!(bench.calls(), ["get_ref", "get_git_commit"]);
    other.head().await.unwrap();
    assert_eq!(bench.calls(), ["get_ref"]);
    other.append(&written[3]).await.unwrap();
    assert_eq!(bench.calls(), ["create_git_commit", "update_ref"]);
    assert_eq!(watcher.newest(&store.ours()).await.unwrap(), Newest::Other(Some(Box::new(written[3].clone()))));
    assert_eq!(other.records(100).await.unwrap(), written[..4]);
}

#[tokio::test(start_paused = true)]
async fn every_message_is_as_the_vendor_publishes() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.head().await.unwrap();
    let written = records::release("a");
    for record in &written {
        store.append(record).await.unwrap();
    }
    // Refused as a sibling, and found.
    let sibling = records::next(Some(&written[0]), records::entry_of(&written[1]), "b");
    store.append(&sibling).await.unwrap_err();
    let mut fresh = bench.store();
    fresh.head().await.unwrap();
    fresh.records(100).await.unwrap();
    assert_eq!(journals(&bench.client("job", REPOSITORY)).await.unwrap(), [(name("shop"), name("production"))]);
    bench.judge();
}

/// Each way in which one request goes wrong.
fn ways() -> Vec<(Effect, Answer)> {
    let late = Effect::Late(Duration::from_secs(20));
    let status = |code| Rule::status(code, None);
    vec![
        (Effect::Once, Answer::Lost),
        (Effect::None, Answer::Lost),
        (late, Answer::Lost),
        (Effect::Once, Answer::Truncated),
        (Effect::Once, Answer::Html),
        (Effect::None, Answer::Html),
        (Effect::Once, status(500)),
        (Effect::None, status(500)),
        (late, status(503)),
        (Effect::None, status(422)),
        (Effect::Once, status(422)),
        (Effect::None, status(409)),
        (Effect::None, Rule::status(429, Some(3))),
        (Effect::None, Rule::status(403, Some(10))),
        (Effect::Once, Answer::Slow(Duration::from_secs(5))),
        (Effect::Once, Answer::Slow(Duration::from_secs(45))),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_once_the_record_is_there_once() {
    let written = records::release("a");
    for operation in ["create_tree", "create_git_commit", "create_ref", "update_ref", "get_ref", "get_git_commit"] {
        for (effect, answer) in ways() {
            for lag in [0, 3] {
                let case = format!("{operation} {effect:?} {answer:?} lag {lag}");
                let bench = Bench::new();
                bench.embedded.switch(|switches| switches.ref_lag = Duration::from_secs(lag));
                let rule = bench.fault(&format!("github.{operation}"), effect, answer.clone(), Times::Once);
                let mut store = bench.store();
                if store.head().await.is_err() {
                    store.head().await.unwrap();
                }
                for record in &written[..3] {
                    let mut tries = 0;
                    while let Err(error) = store.append(record).await {
                        tries += 1;
                        assert!(matches!(error, StoreError::Unknown { .. } | StoreError::Refused { .. }) && tries < 3, "{case}: {error}");
                    }
                }
                if !matches!(operation, "get_ref" | "get_git_commit") {
                    assert_eq!(bench.world.ground().faults.fired(rule), 1, "{case}: the fault never happened");
                }
                assert_eq!(bench.all().await, written[..3], "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_in_bounded_time_and_the_same_record_settles_it() {
    let written = records::release("a");
    for (operation, doubt) in [("create_git_commit", false), ("update_ref", true), ("*", false)] {
        for answer in [Answer::Lost, Rule::status(503, None), Answer::Slow(Duration::from_secs(3600))] {
            let bench = Bench::new();
            let mut store = bench.store();
            store.head().await.unwrap();
            store.append(&written[0]).await.unwrap();
            bench.fault(&format!("github.{operation}"), Effect::None, answer.clone(), Times::Forever);
            let began = tokio::time::Instant::now();
            let error = store.append(&written[1]).await.unwrap_err();
            assert!(began.elapsed() <= Duration::from_secs(61), "{operation} {answer:?}: {:?}", began.elapsed());
            assert_eq!(matches!(error, StoreError::Unknown { .. }), doubt, "{operation} {answer:?}: {error}");
            assert_eq!(store.ours().len(), 1 + usize::from(doubt), "what is in doubt may be the newest one");
            bench.clear();
            store.append(&written[1]).await.unwrap();
            assert_eq!(bench.all().await, written[..2], "{operation} {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_never_called_refused() {
    let written = records::release("a");
    let late = Effect::Late(Duration::from_secs(40));
    // The time is over while the ref is being moved; or the ref moves late, and every further request is refused.
    let hours = Answer::Slow(Duration::from_secs(3600));
    let cases = [
        vec![("create_git_commit", Effect::None, hours.clone(), Times::Exactly(2)), ("update_ref", late, hours, Times::Forever)],
        vec![("update_ref", late, Answer::Lost, Times::Once), ("update_ref", Effect::None, Rule::status(403, None), Times::Forever)],
        vec![("update_ref", late, Answer::Lost, Times::Once), ("update_ref", Effect::None, Rule::status(422, None), Times::Forever)],
    ];
    for case in cases {
        let bench = Bench::new();
        let mut store = bench.store();
        store.head().await.unwrap();
        store.append(&written[0]).await.unwrap();
        for (operation, effect, answer, times) in case.clone() {
            bench.fault(&format!("github.{operation}"), effect, answer, times);
        }
        let result = store.append(&written[1]).await;
        assert!(matches!(result, Ok(()) | Err(StoreError::Unknown { .. })), "{case:?}: {result:?}");
        bench.clear();
        store.append(&written[1]).await.unwrap();
        assert_eq!(bench.all().await, written[..2], "{case:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_in_doubt_is_found_under_later_ones_of_others() {
    let bench = Bench::new();
    let written = records::release("a");
    let mut store = bench.store();
    store.head().await.unwrap();
    store.append(&written[0]).await.unwrap();
    bench.fault("github.update_ref", Effect::Once, Answer::Lost, Times::Once);
    bench.fault("github.get_ref", Effect::None, Answer::Lost, Times::Forever);
    bench.fault("github.update_ref", Effect::None, Answer::Lost, Times::Forever);
    assert!(matches!(store.append(&written[1]).await.unwrap_err(), StoreError::Unknown { .. }));
    bench.clear();

    // A person writes a hold on it, and lifts it, and so on.
    let mut person = bench.store();
    let mut head = person.head().await.unwrap().unwrap();
    assert_eq!(head, written[1], "it had landed");
    for turn in 0..6 {
        let entry = if turn % 2 == 0 { Entry::Hold { reason: "a look".into() } } else { Entry::Unhold };
        head = records::next(Some(&head), entry, "person");
        person.append(&head).await.unwrap();
    }
    store.append(&written[1]).await.unwrap();
    // What follows it comes too late for its place, learns of the newest record, and takes the place after that.
    match store.append(&written[2]).await.unwrap_err() {
        StoreError::Overtaken { head: Some(newest), .. } => assert_eq!(*newest, head),
        error => panic!("{error}"),
    }
    let next = records::next(Some(&head), records::entry_of(&written[2]), "a");
    store.append(&next).await.unwrap();
    let all = bench.all().await;
    assert_eq!(all.len(), 9);
    assert_eq!(all.iter().filter(|record| record.nonce == written[1].nonce).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_over_a_hold_that_came_in_between() {
    let bench = Bench::new();
    let clock = bench.world.ground().clock;
    let chance = Chance::seeded(9);
    let mut journal = Journal::open(Box::new(bench.store()), owner("a"), clock).await.unwrap();
    journal.append(records::begun(), &chance).await.unwrap();
    let mut person = Journal::open(Box::new(bench.store()), owner("person"), clock).await.unwrap();
    person.append(Entry::Hold { reason: "a look".into() }, &chance).await.unwrap();
    journal.append(records::prepared(), &chance).await.unwrap();
    assert!(journal.state().hold.is_some());
    journal.ownership().assure().await.unwrap();
    let entries: Vec<_> = bench.all().await.iter().map(|record| record.entry.as_str()).collect();
    assert_eq!(entries, ["begun", "hold", "prepared"]);
}

#[tokio::test(start_paused = true)]
async fn of_several_writers_exactly_one_wins_each_place() {
    for lag in [0, 2] {
        let bench = Bench::new();
        bench.embedded.switch(|switches| switches.ref_lag = Duration::from_secs(lag));
        let mut places: Vec<Record> = Vec::new();
        for place in 0..6 {
            tokio::time::sleep(Duration::from_secs(lag)).await;
            let before = places.last().cloned();
            let entry = if place % 2 == 0 { Entry::Hold { reason: "mine".into() } } else { Entry::Unhold };
            let writers = (0..4).map(|writer| {
                let (record, mut store) = (records::next(before.as_ref(), entry.clone(), &format!("w{writer}")), bench.store());
                async move {
                    store.head().await.unwrap();
                    (store.append(&record).await, record)
                }
            });
            let ended = futures_util::future::join_all(writers).await;
            let won: Vec<_> = ended.iter().filter(|(result, _)| result.is_ok()).map(|(_, record)| record.clone()).collect();
            assert_eq!(won.len(), 1, "place {place}");
            for (result, _) in ended.iter().filter(|(result, _)| result.is_err()) {
                match result {
                    Err(StoreError::Overtaken { head: Some(head), .. }) => assert_eq!(**head, won[0]),
                    other => panic!("{other:?}"),
                }
            }
            places.push(won[0].clone());
        }
        assert_eq!(bench.all().await, places);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lagging_read_is_not_taken_for_a_takeover() {
    let bench = Bench::new();
    let written = records::release("a");
    let mut store = bench.store();
    store.head().await.unwrap();
    bench.embedded.switch(|switches| switches.ref_lag = Duration::from_secs(8));
    for record in &written[..2] {
        store.append(record).await.unwrap();
        assert_eq!(store.watcher().newest(&store.ours()).await.unwrap(), Newest::Ours);
        assert_eq!(store.head().await.unwrap().as_ref(), Some(record));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_writes_nothing_and_says_so() {
    let written = records::release("a");
    let bench = Bench::new();
    let mut reader = RefStore::new(&bench.client("reader", REPOSITORY), &name("shop"), &name("production"));
    assert_eq!(reader.head().await.unwrap(), None);
    let refused = reader.append(&written[0]).await.unwrap_err();
    let refused = refused.to_string();
    let (text, id) = refused.rsplit_once(" (request ").unwrap();
    assert_eq!(id.len(), "01234567890123456789)".len(), "{refused}");
    insta::assert_snapshot!(text, @"the journal refs/cutover/shop/production of alma/shop cannot be written: GitHub refused create_tree: Resource not accessible by integration (it needs contents=write)");

    // The token ends in the middle: what was sent before has landed, and nothing after it.
    let mut store = bench.store();
    store.head().await.unwrap();
    store.append(&written[0]).await.unwrap();
    for operation in ["create_git_commit", "update_ref"] {
        bench.fault(&format!("github.{operation}"), Effect::None, Rule::status(401, None), Times::Forever);
        let error = store.append(&written[1]).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { what: "written", .. }), "{operation}");
        assert!(error.to_string().contains(&format!("for {operation}")), "{error}");
        assert_eq!(store.ours().len(), 1);
        bench.clear();
    }
    // It ends after a change of which nobody knows: neither is known, and that is said at once.
    bench.fault("github.update_ref", Effect::Once, Answer::Lost, Times::Once);
    bench.fault("github.get_ref", Effect::None, Rule::status(401, None), Times::Forever);
    let began = tokio::time::Instant::now();
    assert!(matches!(store.append(&written[1]).await.unwrap_err(), StoreError::Unknown { .. }));
    assert!(began.elapsed() < Duration::from_secs(5));
    bench.clear();
    store.append(&written[1]).await.unwrap();
    assert_eq!(bench.all().await, written[..2]);

    // A repository that cannot be seen is no empty journal.
    let mut blind = RefStore::new(&bench.client("job", "alma/elsewhere"), &name("shop"), &name("production"));
    assert!(matches!(blind.head().await.unwrap_err(), StoreError::Refused { what: "read", .. }));
    // An empty repository has an empty journal, and takes no record.
    bench.embedded.seed_repository(&RepositorySeed::new("alma/empty"));
    let mut empty = RefStore::new(&bench.client("job", "alma/empty"), &name("shop"), &name("production"));
    assert_eq!(empty.head().await.unwrap(), None);
    assert!(matches!(empty.append(&written[0]).await.unwrap_err(), StoreError::Refused { what: "written", .. }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_only_branches_is_named_and_a_branch_works() {
    let written = records::release("a");
    let bench = Bench::new();
    bench.embedded.switch(|switches| switches.takes_other_namespaces = false);
    let mut store = bench.store();
    store.head().await.unwrap();
    let refused = store.append(&written[0]).await.unwrap_err().to_string();
    let (before, rest) = refused.split_once(" (request ").unwrap();
    let refused = format!("{before}{}", rest.split_once(')').unwrap().1);
    insta::assert_snapshot!(refused, @"the journal refs/cutover/shop/production of alma/shop cannot be written: create_ref: refused with 422: Reference name must be of the form refs/<namespace>/<name>. Where a server or a rule allows only branches, the journal can be kept in one: refs/heads/cutover/shop/production");
    let branch = RefStore::branch(&name("shop"), &name("production"));
    let mut store = RefStore::at(&bench.client("job", REPOSITORY), branch.clone());
    store.head().await.unwrap();
    for record in &written {
        store.append(record).await.unwrap();
    }
    assert_eq!(store.records(100).await.unwrap(), written);
    assert!(bench.embedded.head(REPOSITORY, &branch).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_long_record_is_a_file_of_its_commit() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.head().await.unwrap();
    let reason = "a long reason, ".repeat(5000);
    let long = records::next(None, Entry::Hold { reason }, "a");
    let short = records::next(Some(&long), Entry::Unhold, "a");
    store.append(&long).await.unwrap();
    assert_eq!(bench.calls().len(), 2 + 4);
    store.append(&short).await.unwrap();
    assert_eq!(bench.calls(), ["create_tree", "create_git_commit", "update_ref"], "the tree of short records is not there yet");
    let mut other = bench.store();
    other.head().await.unwrap();
    bench.calls();
    let third = records::next(Some(&short), Entry::Hold { reason: "b".into() }, "a");
    other.append(&third).await.unwrap();
    assert_eq!(bench.calls(), ["create_git_commit", "update_ref"]);
    let all = bench.all().await;
    assert_eq!(nonces(&all), [&long.nonce, &short.nonce, &third.nonce]);
    assert_eq!(all[0], long);
    // A lost answer of a long one is settled as any other.
    let again = records::next(Some(&third), Entry::Hold { reason: "another long one, ".repeat(5000) }, "a");
    bench.fault("github.update_ref", Effect::Once, Answer::Lost, Times::Once);
    other.append(&again).await.unwrap();
    other.append(&third).await.unwrap();
    assert_eq!(bench.all().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_record_stops_everything() {
    let written = records::release("a");
    let unknown = r#"{"format":2,"sequence":2,"anything":true}"#;
    let stranger = serde_json::to_string(&records::next(Some(&written[2]), Entry::Committed, "b")).unwrap();
    let cases = [
        (format!("production: something new (2)\n\n{unknown}"), "format 2"),
        ("Merge branch 'main'".to_owned(), "ends with no record"),
        (format!("production: forged (4)\n\n{stranger}"), "record 1 is followed by record 4"),
    ];
    for (message, said) in cases {
        let bench = Bench::new();
        let client = bench.client("job", REPOSITORY);
        let mut store = bench.store();
        store.head().await.unwrap();
        store.append(&written[0]).await.unwrap();
        let first = client.get_commit(&bench.embedded.head(REPOSITORY, REF).unwrap()).await.unwrap();
        let forged = records::commit_on(&first, &message);
        let forged = client.create_commit(&forged).await.unwrap();
        client.update_ref(REF, &forged.sha).await.unwrap();
        let error = bench.store().records(100).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(matches!(error, StoreError::UnknownFormat { .. } | StoreError::Damaged { .. }), "{error}");
        // Nor does a writer that knows the record below write over it.
        let error = store.append(&written[1]).await.unwrap_err();
        assert!(!matches!(error, StoreError::Unknown { .. } | StoreError::Refused { .. }), "{error}");
        assert_eq!(bench.embedded.head(REPOSITORY, REF).unwrap(), forged.sha);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ref_that_somebody_removed_is_noticed() {
    let written = records::release("a");
    let bench = Bench::new();
    let mut store = bench.store();
    store.head().await.unwrap();
    store.append(&written[0]).await.unwrap();
    bench.embedded.remove_ref(REPOSITORY, REF);
    assert_eq!(store.watcher().newest(&store.ours()).await.unwrap(), Newest::Other(None));
    assert!(matches!(store.append(&written[1]).await.unwrap_err(), StoreError::Overtaken { head: None, .. }));
}

#[tokio::test(start_paused = true)]
async fn the_log_of_the_ref_is_readable_by_itself() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.head().await.unwrap();
    let written = records::release("123/1/release");
    for record in &written[..2] {
        store.append(record).await.unwrap();
    }
    let client = bench.client("job", REPOSITORY);
    let commit = client.get_commit(&bench.embedded.head(REPOSITORY, REF).unwrap()).await.unwrap();
    let (words, json) = commit.message.rsplit_once('\n').unwrap();
    assert_eq!(serde_json::from_str::<Record>(json).unwrap(), written[1]);
    insta::assert_snapshot!(words, @r"
    production: prepared r-20261121-050000-abcdef (2)

    By 123/1/release.
    Commit: cccccccccccccccccccccccccccccccccccccccc
    Target: api on fly (shop-api) from v1 to v2
    ");
    let first = client.get_commit(&commit.parents[0]).await.unwrap();
    insta::assert_snapshot!(first.message.rsplit_once('\n').unwrap().0, @r#"
    production: begun r-20261121-050000-abcdef (1)

    By 123/1/release.
    Why: push to main by alma: Größe, "quoted" {not: the record}
    Commit: cccccccccccccccccccccccccccccccccccccccc
    Target: api on fly (shop-api) from v1
    "#);
}

#[tokio::test(start_paused = true)]
async fn journals_are_listed_by_product_and_environment() {
    let bench = Bench::new();
    let client = bench.client("job", REPOSITORY);
    assert_eq!(journals(&client).await.unwrap(), []);
    for (product, environment) in [("shop", "production"), ("shop", "staging"), ("blog", "production")] {
        let mut store = RefStore::new(&client, &name(product), &name(environment));
        store.head().await.unwrap();
        store.append(&records::release("a")[0]).await.unwrap();
    }
    let found = journals(&client).await.unwrap();
    let found: Vec<_> = found.iter().map(|(product, environment)| format!("{product}/{environment}")).collect();
    assert_eq!(found, ["blog/production", "shop/production", "shop/staging"]);
}

#[tokio::test(start_paused = true)]
async fn a_look_finds_out_who_took_over() {
    let bench = Bench::new();
    let clock = bench.world.ground().clock;
    let chance = Chance::seeded(9);
    let mut journal = Journal::open(Box::new(bench.store()), owner("a"), clock).await.unwrap();
    journal.append(records::begun(), &chance).await.unwrap();
    let taker = Owner { url: "https://github.com/alma/shop/actions/runs/2".into(), ..owner("b") };
    let mut other = Journal::open(Box::new(bench.store()), taker, clock).await.unwrap();
    other.append(Entry::TakenOver { because: "its job has completed".into() }, &chance).await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    let error = journal.ownership().assure().await.unwrap_err();
    assert_eq!(error.to_string(), "b has taken this release over; nothing more is changed from here");
    assert!(matches!(journal.append(records::prepared(), &chance).await.unwrap_err(), StoreError::Overtaken { .. }));
}
