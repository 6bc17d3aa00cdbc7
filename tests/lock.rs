//! The lock and what bounds a runner that lost it: turns, taking over, stale runners, a journal that is away.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use cutover::event::{EventKind, Outcome, Phase, Serving};
use cutover::release::journal::{Entry, Journal, Owner, OwnerJob, Stage};
use cutover::release::lock::{Abandoned, Census, NoTurn, Nobody, Patience, Standing, Turn, turn};
use cutover::release::ownership::Terms;
use cutover::release::{Ending, Plan, Recovered, Release, recover};
use cutover::shutdown::Level;
use futures_util::future::BoxFuture;

use crate::support::bench::*;
use crate::support::shelf::{Shelf, Trouble};

/// Says what it is told to say.
#[derive(Debug)]
struct Told {
    standing: Standing,
    newer: Option<String>,
}

impl Told {
    fn of(standing: Standing) -> Self {
        Self { standing, newer: None }
    }
}

impl Census for Told {
    fn standing<'a>(&'a self, _owner: &'a Owner) -> BoxFuture<'a, Standing> {
        Box::pin(async { self.standing.clone() })
    }

    fn newer(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { self.newer.clone() })
    }
}

fn over() -> Told {
    Told::of(Standing::Over { because: "GitHub says that its job completed".to_owned() })
}

fn job(run: u64) -> Owner {
    let job = OwnerJob { repository: "acme/shop".into(), run, attempt: 1, name: "release".into(), runner: None, id: None };
    Owner {
        id: format!("{run}/1/release"),
        url: format!("https://github.com/acme/shop/actions/runs/{run}"),
        job: Some(job),
        process: None,
        actor: None,
    }
}

/// A runner with a journal on a shelf, its changes guarded by its ownership.
struct Shelved {
    runner: Runner,
    journal: Journal,
}

impl Shelved {
    async fn new(bench: &Bench, shelf: &Shelf, run: u64) -> Self {
        Self::with(Runner::new(bench, &format!("r-{run}"), bench.wire()), bench, shelf, run).await
    }

    async fn with(mut runner: Runner, bench: &Bench, shelf: &Shelf, run: u64) -> Self {
        let journal = Journal::open(shelf.store(), job(run), bench.clock).await.unwrap();
        runner.context.transport = runner.context.transport.guarded(Arc::new(journal.ownership().clone()));
        Self { runner, journal }
    }

    async fn release(&mut self, bench: &Bench) -> Ending {
        let plan = Plan::make(&self.runner.context, self.runner.moves(bench)).await.unwrap();
        Release::new(self.runner.context.clone(), &mut self.journal, plan).run().await
    }

    async fn turn(&mut self, census: &dyn Census, limit: Duration) -> Result<Turn, NoTurn> {
        let patience = Patience { limit, ..Patience::default() };
        turn(&self.runner.context, &mut self.journal, census, patience).await
    }

    async fn recover(&mut self, bench: &Bench, abandoned: &Abandoned) -> Result<Recovered, cutover::release::Failure> {
        let targets = self.runner.targets(bench);
        let by_name: BTreeMap<_, _> = targets.iter().map(|target| (cutover::platform::Target::name(target).clone(), target)).collect();
        recover(&self.runner.context, &mut self.journal, &by_name, abandoned).await
    }

    fn said(&self, code: &str) -> Vec<String> {
        let heard = self.runner.heard.lock().unwrap();
        let notices = heard.iter().filter_map(|kind| match kind {
            EventKind::Notice { code: seen, text, .. } if *seen == code => Some(text.clone()),
            _ => None,
        });
        notices.collect()
    }
}

/// Recovers by a runner of its own, once the owner counts as gone.
async fn mended(bench: &Bench, shelf: &Shelf, run: u64) -> Recovered {
    let mut other = Shelved::new(bench, shelf, run).await;
    match other.turn(&over(), Duration::ZERO).await.unwrap() {
        Turn::Free => Recovered::Nothing,
        Turn::Abandoned(abandoned) => other.recover(bench, &abandoned).await.unwrap(),
    }
}

/// A runner's work that can be stopped from being done for a while: a frozen machine.
struct Freezable<F> {
    work: Pin<Box<F>>,
    ice: Arc<Ice>,
}

#[derive(Default)]
struct Ice {
    frozen: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Ice {
    fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<F::Output> {
        *self.ice.waker.lock().unwrap() = Some(context.waker().clone());
        if self.ice.frozen.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.work.as_mut().poll(context)
    }
}

/// Leaves a release open at the moment when traffic may be changing; its runner is gone.
async fn abandoned_in_cut_over(bench: &Bench, shelf: &Shelf) {
    let mut dead = Shelved::new(bench, shelf, 1).await;
    let waiting = bench.world.ground().clone();
    let cutting = async {
        while !waiting.tape.entries().iter().any(|entry| entry.operation == "promote") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        () = cutting => {}
        ending = dead.release(bench) => panic!("{ending:?}"),
    }
    assert_eq!(dead.journal.state().open.as_ref().unwrap().stage, Stage::Cutting);
}

#[tokio::test(start_paused = true)]
async fn a_free_environment_is_anybodys_turn() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    let mut one = Shelved::new(&bench, &shelf, 1).await;
    assert_eq!(one.turn(&Nobody, Duration::ZERO).await.unwrap(), Turn::Free);
    assert_eq!(one.release(&bench).await.outcome, Outcome::Finished);
    let mut two = Shelved::new(&bench, &shelf, 2).await;
    assert_eq!(two.turn(&Nobody, Duration::ZERO).await.unwrap(), Turn::Free);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_says_so_writes_nothing_and_waits_no_longer_than_it_may() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    abandoned_in_cut_over(&bench, &shelf).await;
    let records = shelf.records();
    let (mut waiter, began) = (Shelved::new(&bench, &shelf, 2).await, tokio::time::Instant::now());
    let error = waiter.turn(&Told::of(Standing::AtWork), Duration::from_secs(600)).await.unwrap_err();
    assert!(matches!(error, NoTurn::TimedOut { .. }), "{error}");
    assert!(error.to_string().starts_with("1/1/release (https://github.com/acme/shop/actions/runs/1) has been releasing production"));
    assert!((600..620).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(shelf.records(), records);
    tokio::task::yield_now().await;
    let said = waiter.said("lock::waiting");
    assert!((10..=11).contains(&said.len()), "once a minute: {said:#?}");
    assert!(said[0].starts_with("Waiting for the release r-1 of production by 1/1/release"), "{}", said[0]);
}

#[tokio::test(start_paused = true)]
async fn silence_is_nobodys_end_until_the_deadline_has_passed() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    abandoned_in_cut_over(&bench, &shelf).await;
    let until = shelf.records().last().unwrap().until;
    let mut waiter = Shelved::new(&bench, &shelf, 2).await;
    let silent = Told::of(Standing::Unknown { reason: "GitHub did not answer".into() });
    let Turn::Abandoned(abandoned) = waiter.turn(&silent, Duration::from_secs(3 * 3600)).await.unwrap() else { panic!("it is not free") };
    assert!(bench.clock.now() > until, "{} is before {until}", bench.clock.now());
    assert!(abandoned.because.contains("its deadline") && abandoned.because.contains("GitHub did not answer"), "{abandoned:?}");
    assert!(abandoned.quarantine > Terms::default().term, "its runner may be alive");
}

#[tokio::test(start_paused = true)]
async fn a_newer_commit_supersedes_who_waits_and_a_signal_ends_the_wait() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    abandoned_in_cut_over(&bench, &shelf).await;
    let records = shelf.records();
    let mut waiter = Shelved::new(&bench, &shelf, 2).await;
    let newer = Told { newer: Some("run 3".into()), ..Told::of(Standing::AtWork) };
    assert!(matches!(waiter.turn(&newer, Duration::from_secs(600)).await.unwrap_err(), NoTurn::Superseded(run) if run == "run 3"));
    waiter.runner.context.shutdown.raise(Level::Drain);
    let error = waiter.turn(&Told::of(Standing::AtWork), Duration::from_secs(600)).await.unwrap_err();
    assert!(matches!(error, NoTurn::Cancelled), "{error}");
    assert_eq!(shelf.records(), records);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_over_one_wins() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    abandoned_in_cut_over(&bench, &shelf).await;
    let (mut one, mut two) = (Shelved::new(&bench, &shelf, 2).await, Shelved::new(&bench, &shelf, 3).await);
    let Turn::Abandoned(abandoned) = one.turn(&over(), Duration::ZERO).await.unwrap() else { panic!("it is not free") };
    assert!(matches!(two.turn(&over(), Duration::ZERO).await.unwrap(), Turn::Abandoned(_)));
    let (first, second) = tokio::join!(one.recover(&bench, &abandoned), two.recover(&bench, &abandoned));
    assert!(matches!(first, Ok(Recovered::RolledBack(_))), "{first:?}");
    let lost = second.unwrap_err();
    assert!(lost.overtaken && lost.text.contains("by 2/1/release"), "{lost}");
    assert_eq!(shelf.names().iter().filter(|name| **name == "taken_over").count(), 1);
    assert_eq!(bench.users().values().filter(|side| **side == Users::Before).count(), 3, "{:?}", bench.users());
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_wakes_after_it_was_taken_over_changes_nothing_more() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    let ice = Arc::new(Ice::default());
    let mut stale = Shelved::new(&bench, &shelf, 1).await;
    let run = async {
        let ending = stale.release(&bench).await;
        (ending, stale)
    };
    let work = Freezable { work: Box::pin(run), ice: ice.clone() };
    let others = async {
        while shelf.names().last() != Some(&"cutting") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ice.freeze();
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(matches!(mended(&bench, &shelf, 2).await, Recovered::RolledBack(_)));
        let writes = bench.writes().len();
        ice.thaw();
        writes
    };
    let ((ending, stale), writes) = tokio::join!(work, others);
    assert_eq!(ending.outcome, Outcome::Stuck, "{:?}", ending.failure);
    let heard = stale.said("release::untouched");
    assert!(heard.len() == 1 && heard[0].contains("2/1/release"), "{heard:?}");
    assert_eq!(ending.serving, Serving::Before, "what it says is what is");
    let late: Vec<String> = bench.writes().split_off(writes);
    assert!(late.iter().all(|write| write.contains("lease")), "a stale runner's changes: {late:?}");
    assert!(bench.users().values().all(|side| *side == Users::Before), "{:?}", bench.users());
}

#[tokio::test(start_paused = true)]
async fn whenever_a_stale_runner_wakes_the_end_is_one_side() {
    for kind in KINDS {
        for seconds in [1, 3, 8, 14, 31, 70, 200, 400, 1000] {
            let (bench, shelf) = (Bench::of(kind).await, Shelf::default());
            let ice = Arc::new(Ice::default());
            let mut stale = Shelved::new(&bench, &shelf, 1).await;
            let run = async {
                let ending = stale.release(&bench).await;
                (ending, stale)
            };
            let work = Freezable { work: Box::pin(run), ice: ice.clone() };
            let others = async {
                while shelf.names().last() != Some(&"cutting") {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                ice.freeze();
                let thaw = async {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    ice.thaw();
                };
                tokio::join!(mended(&bench, &shelf, 2), thaw)
            };
            let ((ending, _stale), (recovered, ())) = tokio::join!(work, others);
            let told = format!("{kind:?}, thawed after {seconds} s: {recovered:?}, {:?}", ending.failure);
            assert!(matches!(recovered, Recovered::RolledBack(_)), "{told}");
            assert_ne!(ending.outcome, Outcome::Finished, "{told}");
            assert!(!shelf.names().contains(&"committed"), "{told}");
            // What the stale runner had under way when it woke, and its own look, are over.
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(bench.users().values().all(|side| *side == Users::Before), "{told}: {:?}", bench.users());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_is_found() {
    for lands in [true, false] {
        let (bench, shelf) = (Bench::new().await, Shelf::default());
        shelf.trouble_from("committed", if lands { Trouble::LandsOnce } else { Trouble::Away });
        let mut one = Shelved::new(&bench, &shelf, 1).await;
        let mends = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            shelf.trouble(Trouble::None);
        };
        let (ending, ()) = tokio::join!(one.release(&bench), mends);
        assert_eq!((ending.outcome, ending.serving), (Outcome::Finished, Serving::After), "lands {lands}: {:?}", ending.failure);
        assert_eq!(shelf.names(), ["begun", "prepared", "cutting", "committed", "finishing", "finished"], "lands {lands}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_which_nobody_can_tell_is_left_alone_and_recovered_by_its_truth() {
    for lands in [true, false] {
        let (bench, shelf) = (Bench::new().await, Shelf::default());
        shelf.trouble_from("committed", if lands { Trouble::LandsOnce } else { Trouble::Away });
        let mut one = Shelved::new(&bench, &shelf, 1).await;
        let ending = one.release(&bench).await;
        assert_eq!((ending.outcome, ending.serving), (Outcome::Stuck, Serving::After), "lands {lands}: {:?}", ending.failure);
        assert!(bench.users().values().all(|side| *side == Users::After), "nothing was changed back");
        assert!(ending.commands.contains(&"cutover recover production".to_owned()), "{:?}", ending.commands);
        shelf.trouble(Trouble::None);
        let recovered = mended(&bench, &shelf, 2).await;
        let side = if lands { Users::After } else { Users::Before };
        assert!(matches!(recovered, Recovered::Finished(_)) == lands, "{recovered:?}");
        assert!(bench.users().values().all(|seen| *seen == side), "lands {lands}: {:?}", bench.users());
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_journal_what_was_never_committed_goes_back_without_a_record() {
    for phase in [Phase::Verify, Phase::CutOver, Phase::Watch] {
        let (bench, shelf) = (Bench::new().await, Shelf::default());
        let broken = shelf.clone();
        let runner = Runner::hearing(&bench, "r-1", bench.wire(), move |kind| {
            if matches!(kind, EventKind::PhaseStarted { phase: seen } if *seen == phase) {
                broken.trouble(Trouble::Away);
            }
            matches!(kind, EventKind::TargetFinished { phase: seen, .. } if *seen == phase && phase != Phase::Verify)
        });
        let mut one = Shelved::with(runner, &bench, &shelf, 1).await;
        let ending = one.release(&bench).await;
        let told = format!("{phase:?}: {:?} {:?}", ending.failure, shelf.names());
        assert!(matches!(ending.outcome, Outcome::RolledBack | Outcome::Cancelled), "{told}: {}", ending.outcome.as_str());
        assert_eq!(ending.serving, Serving::Before, "{told}");
        assert!(bench.users().values().all(|side| *side == Users::Before), "{told}: {:?}", bench.users());
        shelf.trouble(Trouble::None);
        assert!(matches!(mended(&bench, &shelf, 2).await, Recovered::RolledBack(_)), "{told}");
        assert!(shelf.records().last().unwrap().state.open.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_in_the_middle_stops_nothing_that_has_begun() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    let holding = shelf.clone();
    let mut one = Shelved::new(&bench, &shelf, 1).await;
    let clock = bench.clock;
    let person = async move {
        while holding.names().last() != Some(&"cutting") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut journal = Journal::open(holding.store(), Owner::process("a person"), clock).await.unwrap();
        let hold = Entry::Hold { reason: "the database is being moved".into() };
        journal.append(hold, &cutover::id::Chance::seeded(9)).await.unwrap();
    };
    let (ending, ()) = tokio::join!(one.release(&bench), person);
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    let hold = shelf.records().last().unwrap().state.hold.clone().unwrap();
    assert_eq!((hold.reason.as_str(), hold.by.id.as_str()), ("the database is being moved", "a person"));
}

#[tokio::test(start_paused = true)]
async fn a_long_watch_pushes_the_deadline_back_and_looks_often_enough_to_go_back_at_any_moment() {
    let (bench, shelf) = (Bench::new().await, Shelf::default());
    let mut runner = Runner::new(&bench, "r-1", bench.wire());
    runner.context.timing.watch = Duration::from_secs(3 * 3600);
    let mut one = Shelved::with(runner, &bench, &shelf, 1).await;
    let ending = one.release(&bench).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    let renewals = shelf.names().iter().filter(|name| **name == "renewed").count();
    assert!((2..=5).contains(&renewals), "{renewals} in three hours: {:?}", shelf.names());
    assert!(shelf.looks() > 120 && shelf.looks() < 300, "{} looks in three hours", shelf.looks());
}
