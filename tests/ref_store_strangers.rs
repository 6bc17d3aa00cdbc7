//! The journal as a git ref, against what was not written here: git itself behind a thin server, and somebody else's stand-in for GitHub.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cutover::clock::Clock;
use cutover::embedded::World;
use cutover::embedded::github::{CommitSeed, GitHub as Embedded, Level, RepositorySeed, Token};
use cutover::github::ref_store::{RefStore, journals};
use cutover::github::{GitHub, GitSignature, NewCommit, Repository};
use cutover::http::{Answer, Call, Network, Transport, Wire, WireError};
use cutover::id::Chance;
use cutover::release::journal::{Entry, Record};
use cutover::release::store::{Store, StoreError};
use futures_util::future::BoxFuture;
use url::Url;

use crate::support::bare::Bare;
use crate::support::records::{self, name};
use crate::support::wire::InProcess;

const REPOSITORY: &str = "alma/shop";
const REF: &str = "refs/cutover/shop/production";

/// A real network that loses the answer of the next call of one operation, after its effect.
#[derive(Debug)]
struct Losing {
    network: Network,
    operation: Mutex<Option<&'static str>>,
    lost: AtomicBool,
}

impl Losing {
    fn new() -> Arc<Self> {
        Arc::new(Self { network: Network::new(Vec::new()).unwrap(), operation: Mutex::default(), lost: AtomicBool::default() })
    }

    fn lose(&self, operation: &'static str) {
        *self.operation.lock().unwrap() = Some(operation);
        self.lost.store(false, Ordering::Relaxed);
    }
}

impl Wire for Losing {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            let answer = self.network.send(call).await?;
            if self.operation.lock().unwrap().take_if(|operation| *operation == call.operation).is_some() {
                self.lost.store(true, Ordering::Relaxed);
                return Err(WireError::Lost("by this test".into()));
            }
            Ok(answer)
        })
    }
}

fn client(wire: Arc<dyn Wire>, base: &Url, token: &str, repository: &str) -> GitHub {
    let transport = Transport::new(wire, Clock::system(), Arc::new(Chance::seeded(3)));
    GitHub::new(transport, base.clone(), token.into(), Repository::parse(repository).unwrap())
}

/// A release with its answers lost, a race for what comes after it, a long record, and all of it read back; returns what is there now.
async fn drive(base: &Url, token: &str) -> Vec<Record> {
    let wire = Losing::new();
    // Each store is another process: it paces its own writes.
    let github = || client(wire.clone(), base, token, REPOSITORY);
    let store = || RefStore::new(&github(), &name("shop"), &name("production"));
    let written = records::release("123/1/release");
    let mut first = store();
    assert_eq!(first.head().await.unwrap(), None);
    for (record, lost) in written.iter().zip(["create_ref", "update_ref", "create_git_commit", "update_ref", "", ""]) {
        wire.lose(lost);
        first.append(record).await.unwrap();
        assert!(lost.is_empty() || wire.lost.load(Ordering::Relaxed), "{lost} was never lost");
    }
    let mut second = store();
    assert_eq!(second.head().await.unwrap().as_ref(), written.last());
    assert_eq!(second.records(100).await.unwrap(), written);

    // A sibling is refused, whoever asks and however often; the one that it follows stays.
    let sibling = records::next(Some(&written[3]), records::entry_of(&written[4]), "b");
    assert!(matches!(first.append(&sibling).await.unwrap_err(), StoreError::Overtaken { .. }));
    let mut head = written[5].clone();
    for place in 0..4 {
        let entry = if place % 2 == 0 { Entry::Hold { reason: "a look".into() } } else { Entry::Unhold };
        let writers = (0..4).map(|writer| {
            let (record, mut store) = (records::next(Some(&head), entry.clone(), &format!("w{writer}")), store());
            async move {
                store.head().await.unwrap();
                (store.append(&record).await, record)
            }
        });
        let ended = futures_util::future::join_all(writers).await;
        let overtaken = ended.iter().filter(|(result, _)| matches!(result, Err(StoreError::Overtaken { .. }))).count();
        let won: Vec<_> = ended.into_iter().filter(|(result, _)| result.is_ok()).collect();
        assert_eq!((won.len(), overtaken), (1, 3), "place {place}");
        head = won[0].1.clone();
    }
    let long = records::next(Some(&head), Entry::Hold { reason: "Größe, \"quoted\" \u{1F600}, ".repeat(3000) }, "person");
    second.head().await.unwrap();
    wire.lose("update_ref");
    second.append(&long).await.unwrap();
    // What landed long ago is found under all that.
    first.append(&written[1]).await.unwrap();

    let all = store().records(100).await.unwrap();
    assert_eq!(all.len(), 11);
    assert_eq!((&all[..6], all.last()), (&written[..], Some(&long)));
    assert_eq!(journals(&github()).await.unwrap(), [(name("shop"), name("production"))]);
    all
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn git_itself_keeps_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let Some(bare) = Bare::new(folder.path()) else {
        eprintln!("SKIPPED: the journal in a real git repository (no git here)");
        return;
    };
    let all = drive(&bare.serve().await, "any").await;

    // git finds nothing to say against it; losers' commits are in no ref.
    let checked = bare.run(&["fsck", "--strict", "--full", "--no-dangling"], "", &[]);
    assert_eq!((checked.status.code(), String::from_utf8_lossy(&checked.stderr).trim()), (Some(0), ""));
    assert_eq!(String::from_utf8_lossy(&checked.stdout).trim(), "");
    insta::assert_snapshot!(bare.git(&["log", "--reverse", "--format=%an %aI %s", REF]), @r"
        cutover 2026-11-21T05:00:01Z production: begun r-20261121-050000-abcdef (1)
        cutover 2026-11-21T05:00:03Z production: prepared r-20261121-050000-abcdef (2)
        cutover 2026-11-21T05:00:04Z production: cutting r-20261121-050000-abcdef (3)
        cutover 2026-11-21T05:00:06Z production: committed r-20261121-050000-abcdef (4)
        cutover 2026-11-21T05:00:07Z production: finishing r-20261121-050000-abcdef (5)
        cutover 2026-11-21T05:00:09Z production: finished r-20261121-050000-abcdef (6)
        cutover 2026-11-21T05:00:10Z production: hold (7)
        cutover 2026-11-21T05:00:12Z production: unhold (8)
        cutover 2026-11-21T05:00:13Z production: hold (9)
        cutover 2026-11-21T05:00:15Z production: unhold (10)
        cutover 2026-11-21T05:00:16Z production: hold (11)
        ");
    insta::assert_snapshot!(bare.git(&["log", "--max-count=1", "--skip=5", "--format=%B", REF]).lines().take(5).collect::<Vec<_>>().join("\n"), @r"
    production: finished r-20261121-050000-abcdef (6)

    By 123/1/release.
    Commit: cccccccccccccccccccccccccccccccccccccccc
    Target: api on fly (shop-api) at v2
    ");
    for sha in bare.git(&["rev-list", REF]).lines() {
        assert_eq!(named_by_us(&bare, sha), sha);
    }
    assert_same_names_elsewhere(&bare, &all).await;
}

/// Returns the name that our own code gives a commit.
fn named_by_us(bare: &Bare, sha: &str) -> String {
    let show = |format: &str| bare.git(&["log", "--max-count=1", &format!("--format={format}"), sha]);
    let content = bare.run(&["cat-file", "commit", sha], "", &[]).stdout;
    let content = String::from_utf8(content).unwrap();
    let who = |date: String| GitSignature { name: "cutover", email: "journal@cutover.invalid", date: date.parse().unwrap() };
    let commit = NewCommit {
        message: content.split_once("\n\n").unwrap().1.to_owned(),
        tree: show("%T"),
        parents: show("%P").split_whitespace().map(str::to_owned).collect(),
        author: who(show("%aI")),
        committer: who(show("%cI")),
    };
    commit.id()
}

/// The same records are the same commits wherever they are kept.
async fn assert_same_names_elsewhere(bare: &Bare, all: &[Record]) {
    let world = World::in_process(Clock::system(), Chance::seeded(7));
    let embedded = Embedded::new(world.ground());
    embedded.add_to(&world);
    embedded.seed_repository(&RepositorySeed::new(REPOSITORY));
    embedded.seed_commit(REPOSITORY, "main", CommitSeed { message: "first".into(), ..CommitSeed::default() }).unwrap();
    embedded.seed_token("job", Token::of_job(&[("contents", Level::Write)]));
    let base = Url::parse("https://api.github.com").unwrap();
    let github = client(Arc::new(InProcess::new(world.clone())), &base, "job", REPOSITORY);
    let mut store = RefStore::new(&github, &name("shop"), &name("production"));
    store.head().await.unwrap();
    for record in all {
        store.append(record).await.unwrap();
    }
    assert_eq!(embedded.head(REPOSITORY, REF).unwrap(), bare.git(&["rev-parse", REF]));
}

/// Needs `CUTOVER_STRANGER_URL`, a GitHub that knows the token `stranger` and the repository `alma/shop` with a commit:
/// `.ci/steps/52-stranger-github` starts one.
#[tokio::test]
#[ignore = "needs somebody else's GitHub: .ci/steps/52-stranger-github starts one"]
async fn emulate_keeps_the_journal() {
    let base = std::env::var("CUTOVER_STRANGER_URL").unwrap();
    drive(&Url::parse(&base).unwrap(), "stranger").await;
}
