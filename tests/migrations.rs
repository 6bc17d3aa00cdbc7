//! Migrations: the release command runs once, after a snapshot, in a machine of its own; whoever finds a dead runner's waits for it; and a
//! breaking one leaves no way back.
//!
//! How often a command ran is the embedded Fly's own count, never the release's word.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use cutover::embedded::fault::{Answer as Told, Effect, Rule, Times};
use cutover::embedded::fly::{Behaviour, End, Job, Scope as TokenScope, SnapshotFate, Which};
use cutover::event::{EventKind, Outcome, Phase, Serving};
use cutover::http::Wire;
use cutover::platform::fly::FlyDatabase;
use cutover::platform::{MigrationEnd, Target};
use cutover::release::journal::{Entry, Stage};
use cutover::release::store::file::FileStore;
use cutover::release::{Ending, Plan, Recovered};
use tokio::sync::Notify;

use crate::release::Mortal;
use crate::support::bench::*;
use crate::support::wire::InProcess;

const GROUP: &str = "fly_app_release_command";
const DATABASE: &str = "api-db";

/// A product whose app has a release command; what serves is an earlier release.
async fn migrating() -> Bench {
    let mut bench = Bench::new().await;
    bench.toml = format!("{TOML}\n[deploy]\nrelease_command = 'migrate up'\nrelease_command_timeout = '60s'\n");
    bench
}

/// As [`migrating`], with a database in an app of its own; returns its volume as well.
async fn with_database() -> (Bench, String) {
    let mut bench = migrating().await;
    bench.fly.seed_token("fm2_org", &TokenScope::Org("acme".into()), "deployer");
    bench.fly.seed_app(DATABASE, "acme", &[]);
    let volume = bench.fly.seed_volume(DATABASE, "data", "iad", 1);
    bench.database = Some(FlyDatabase { app: DATABASE.into(), volumes: vec![volume.clone()], rpo: Some(Duration::from_hours(24)) });
    (bench, volume)
}

impl Bench {
    fn command(&self, says: &[&str], takes: Duration, end: End) {
        let says = says.iter().map(|line| (*line).to_owned()).collect();
        self.fly.behave(APP, Which::Group(GROUP.into()), Behaviour::Does(Job { says, takes, end }));
    }

    /// How often the release command of this release was begun, and how many of its machines are still there.
    fn ran(&self, release: &str) -> (usize, usize) {
        let jobs = self.fly.jobs(APP);
        let own = jobs.iter().filter(|job| job.release.as_deref() == Some(release));
        own.fold((0, 0), |(starts, living), job| (starts + job.starts, living + usize::from(job.lives)))
    }

    fn snapshots(&self) -> usize {
        self.fly.volumes(DATABASE).iter().map(|volume| volume.snapshots).sum()
    }

    fn order(&self, operations: &[&str]) -> Vec<String> {
        let entries = self.world.ground().tape.entries();
        let wanted = entries.iter().filter(|entry| operations.contains(&entry.operation.as_str()));
        wanted.map(|entry| entry.operation.clone()).collect()
    }
}

fn said(ending: &Ending) -> String {
    let failure = ending.failure.as_ref().unwrap();
    format!("{failure}\n{}", failure.hints.join("\n"))
}

#[tokio::test(start_paused = true)]
async fn it_runs_once_on_the_new_image_before_what_needs_its_schema_and_after_everything_else_is_prepared() {
    let bench = migrating().await;
    let runner = Runner::new(&bench, "r-1", bench.wire());
    let ending = bench.run(&runner).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Finished, Serving::After), "{:?}", ending.failure);
    bench.settled_on(Users::After, "migrated");
    assert_eq!(bench.ran("r-1"), (1, 0));
    assert_eq!(
        bench.records(),
        ["begun", "prepared", "migrating", "migrated", "prepared", "cutting", "committed", "finishing", "finished"]
    );
    let phases =
        [Phase::Prepare, Phase::Migrate, Phase::Prepare, Phase::Verify, Phase::CutOver, Phase::Watch, Phase::Commit, Phase::Finish];
    assert_eq!(runner.phases(), phases);
    // Two sites exist before the command's machine, and the app's two machines after its start.
    let mut order = bench.order(&["create_deployment", "create_machine", "start_machine"]);
    order.dedup();
    let expected = ["create_deployment", "create_machine", "start_machine", "create_machine"];
    assert_eq!(order, expected);
    let machine = bench.fly.jobs(APP).remove(0);
    assert_eq!((machine.group.as_deref(), machine.release.as_deref()), (Some(GROUP), Some("r-1")));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_takes_the_release_back_and_shows_its_lines_where_the_token_may_read_them() {
    for readable in [true, false] {
        let bench = migrating().await;
        bench.fly.switch(|switches| switches.app_tokens_read_logs = readable);
        bench.command(&["adding column streak", "relation users does not exist"], Duration::from_secs(2), End::Exits(3));
        let ending = bench.release("r-1").await;
        assert_eq!((ending.outcome, ending.serving), (Outcome::RolledBack, Serving::Before), "{:?}", ending.failure);
        bench.settled_on(Users::Before, "failed");
        assert_eq!(bench.ran("r-1"), (1, 0));
        let text = said(&ending);
        assert!(text.contains("the migration `migrate up` ended with exit code 3"), "{text}");
        assert_eq!(text.contains("relation users does not exist"), readable, "{text}");
        assert_eq!(text.contains("its lines cannot be read"), !readable, "{text}");
        assert!(!bench.records().contains(&"cutting") && !bench.records().contains(&"migrated"), "{:?}", bench.records());
        // No machine of the new code ever met the old schema.
        assert_eq!(bench.order(&["create_machine"]).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_no_success_whatever_the_code_beside_it() {
    for (end, words) in [(End::Signal(11), "exit code 139"), (End::OutOfMemory, "exit code 137")] {
        let bench = migrating().await;
        bench.command(&[], Duration::from_secs(1), end);
        let ending = bench.release("r-1").await;
        assert_eq!(ending.outcome, Outcome::RolledBack);
        assert!(said(&ending).contains(words), "{}", said(&ending));
        bench.settled_on(Users::Before, words);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_takes_too_long_is_ended() {
    let bench = migrating().await;
    bench.command(&[], Duration::from_secs(600), End::Exits(0));
    let began = tokio::time::Instant::now();
    let ending = bench.release("r-1").await;
    assert_eq!(ending.outcome, Outcome::RolledBack);
    assert!(said(&ending).contains("ran longer than it may, and was ended"), "{}", said(&ending));
    assert!(began.elapsed() > Duration::from_secs(60) && began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert_eq!(bench.ran("r-1"), (1, 0));
    bench.settled_on(Users::Before, "timed out");
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_limit_keeps_the_lock_for_as_long_as_it_runs() {
    let mut bench = migrating().await;
    bench.toml = bench.toml.replace("'60s'", "'none'");
    bench.command(&[], Duration::from_hours(2), End::Exits(0));
    let ending = bench.release("r-1").await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert!(bench.records().contains(&"renewed"), "{:?}", bench.records());
    bench.settled_on(Users::After, "a long one");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_never_make_it_run_twice() {
    let faults = [
        ("lost after the effect", Effect::Once, Told::Lost),
        ("lost before the effect", Effect::None, Told::Lost),
        ("500 after the effect", Effect::Once, Rule::status(500, None)),
        ("late", Effect::Late(Duration::from_secs(3)), Told::Lost),
        ("twice", Effect::Twice, Told::Lost),
    ];
    for boundary in ["fly.create_machine[api]#1", "fly.start_machine", "fly.wait_machine", "fly.get_machine"] {
        for (what, effect, answer) in faults.clone() {
            let bench = migrating().await;
            bench.command(&[], Duration::from_secs(5), End::Exits(0));
            let rule = bench.strike(boundary, effect, answer, Times::Once);
            let ending = bench.release("r-1").await;
            let told = format!("{boundary} {what}: {:?} {:?}", ending.failure, bench.fly.jobs(APP));
            assert_eq!(bench.world.ground().faults.fired(rule), 1, "{told}");
            assert_eq!(ending.outcome, Outcome::Finished, "{told}");
            assert_eq!(bench.ran("r-1").0, 1, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_death_of_the_runner_at_any_write_runs_it_once_at_most_and_is_recovered_from() {
    let (fault_free, _) = with_database().await;
    assert_eq!(fault_free.release("r-1").await.outcome, Outcome::Finished);
    let entries = fault_free.world.ground().tape.entries();
    let writes = entries.iter().filter(|entry| entry.method != "GET" && entry.method != "HEAD").count();
    let mut ran = [0, 0];
    for effect in [false, true] {
        for nth in 0..writes {
            let (bench, _) = with_database().await;
            bench.command(&[], Duration::from_secs(20), End::Exits(0));
            let died = Arc::new(Notify::new());
            let wire: Arc<dyn Wire> = Arc::new(Mortal {
                inner: InProcess::new(bench.world.clone()),
                left: AtomicUsize::new(nth + 1),
                effect,
                died: died.clone(),
                after_death: AtomicUsize::new(0),
            });
            let runner = Runner::new(&bench, "r-1", wire);
            tokio::select! {
                biased;
                () = died.notified() => {}
                ending = bench.run(&runner) => panic!("write {nth} never came: {:?}", ending.outcome),
            }
            drop(runner);
            tokio::time::sleep(Duration::from_secs(60)).await;
            let told = format!("death at write {nth}, effect {effect}, {:?}", bench.records());
            let committed = bench.records().contains(&"committed");
            match (bench.recover().await, committed) {
                (Recovered::Finished(_), true) | (Recovered::RolledBack(_), false) => {}
                (other, _) => panic!("{told}: {other:?}"),
            }
            bench.settled_on(if committed { Users::After } else { Users::Before }, &told);
            let (starts, living) = bench.ran("r-1");
            assert!(starts <= 1 && living == 0, "{told}: {:?}", bench.fly.jobs(APP));
            ran[starts] += 1;
            assert!(matches!(bench.recover().await, Recovered::Nothing), "{told}");
        }
    }
    assert!(ran[0] > 0 && ran[1] > 0, "{ran:?}");
}

/// A runner that dies when `when` says so; what it began goes on without it.
async fn dies(bench: &Bench, when: impl Fn(&EventKind) -> bool + Send + 'static) {
    let died = Arc::new(Notify::new());
    let told = died.clone();
    let runner = Runner::hearing(bench, "r-1", bench.wire(), move |kind| {
        if when(kind) {
            told.notify_one();
        }
        false
    });
    tokio::select! {
        biased;
        () = died.notified() => {}
        ending = bench.run(&runner) => panic!("it was to die: {:?}", ending.failure),
    }
}

fn runs_now(kind: &EventKind) -> bool {
    matches!(kind, EventKind::TargetStep { phase: Phase::Migrate, step, .. } if step.contains("runs `migrate up`"))
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_runner_died_is_waited_for_before_the_next_release_begins_its_own() {
    let bench = migrating().await;
    bench.command(&[], Duration::from_secs(90), End::Exits(0));
    dies(&bench, |kind| matches!(kind, EventKind::TargetStep { phase: Phase::Migrate, step, .. } if step.starts_with("waiting"))).await;
    assert_eq!(bench.journal().state().open.as_ref().unwrap().stage, Stage::Migrating);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.ran("r-1"), (1, 1), "it still runs");
    let began = tokio::time::Instant::now();
    assert!(matches!(bench.recover().await, Recovered::RolledBack(_)));
    assert!(began.elapsed() > Duration::from_secs(60), "it was waited for");
    assert_eq!(bench.ran("r-1"), (1, 0));
    bench.settled_on(Users::Before, "recovered");
    bench.command(&[], Duration::from_secs(1), End::Exits(0));
    assert_eq!(bench.release("r-2").await.outcome, Outcome::Finished);
    assert_eq!((bench.ran("r-1"), bench.ran("r-2")), ((1, 0), (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_only_made_never_runs() {
    let bench = migrating().await;
    dies(&bench, runs_now).await;
    // Its start may be on its way; whichever comes first decides, and one start is the most.
    assert!(matches!(bench.recover().await, Recovered::RolledBack(_)));
    let (starts, living) = bench.ran("r-1");
    assert!(starts <= 1 && living == 0);
    bench.settled_on(Users::Before, "only made");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_release_waits_for_the_command_that_it_began() {
    let bench = migrating().await;
    bench.command(&[], Duration::from_secs(30), End::Exits(0));
    let waiting =
        |kind: &EventKind| matches!(kind, EventKind::TargetStep { phase: Phase::Migrate, step, .. } if step.starts_with("waiting"));
    let runner = Runner::hearing(&bench, "r-1", bench.wire(), waiting);
    let ending = bench.run(&runner).await;
    assert_eq!((ending.outcome, ending.serving), (Outcome::Cancelled, Serving::Before), "{:?}", ending.failure);
    assert_eq!(bench.ran("r-1"), (1, 0));
    bench.settled_on(Users::Before, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_complete_before_the_command_begins_and_stands_in_journal_and_report() {
    let (bench, volume) = with_database().await;
    bench.fly.switch(|switches| {
        switches.pace.snapshot_listed = Duration::from_secs(7);
        switches.pace.snapshot_make = Duration::from_secs(40);
    });
    let runner = Runner::new(&bench, "r-1", bench.wire());
    let began = tokio::time::Instant::now();
    let ending = bench.run(&runner).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert!(began.elapsed() > Duration::from_secs(40));
    assert_eq!((bench.snapshots(), bench.ran("r-1")), (1, (1, 0)));
    let records = FileStore::read(&bench.path()).unwrap();
    let written =
        records.iter().find_map(|record| if let Entry::Migrating { migrations } = &record.entry { Some(migrations) } else { None });
    let snapshot = written.unwrap()[&name("api")].snapshots[0].clone();
    assert!(snapshot.id.starts_with("vs_") && snapshot.of == format!("volume {volume} of app {DATABASE}"), "{snapshot:?}");
    let heard = runner.heard.lock().unwrap();
    let told = heard
        .iter()
        .find_map(|kind| if let EventKind::Migrated { snapshots, succeeded: true, .. } = kind { Some(snapshots) } else { None });
    assert_eq!(told.unwrap()[0].id, snapshot.id);
    let closed = bench.journal().state().closed.last().unwrap().migrations[&name("api")].clone();
    assert_eq!((closed.snapshots, closed.ended), (vec![snapshot], Some(MigrationEnd::Exited { code: 0 })));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_had_stops_the_release_before_the_command() {
    for fate in [SnapshotFate::Failed, SnapshotFate::Stuck] {
        let (bench, _) = with_database().await;
        bench.fly.switch(|switches| switches.snapshots = fate);
        let ending = bench.release("r-1").await;
        assert_eq!(ending.outcome, Outcome::RolledBack, "{fate:?}");
        assert_eq!(bench.ran("r-1"), (0, 0), "{fate:?}");
        assert!(!bench.records().contains(&"migrating"), "{:?}", bench.records());
        bench.settled_on(Users::Before, "no snapshot");
    }
    let (bench, _) = with_database().await;
    let rule = bench.strike("fly.create_snapshot", Effect::Once, Told::Lost, Times::Once);
    let ending = bench.release("r-1").await;
    assert_eq!((ending.outcome, bench.world.ground().faults.fired(rule)), (Outcome::Finished, 1), "{:?}", ending.failure);
    assert_eq!(bench.snapshots(), 1, "it was found, not asked for once more");
}

#[tokio::test(start_paused = true)]
async fn a_newest_snapshot_that_is_too_old_is_told_and_a_database_that_cannot_be_seen_stops_the_release() {
    let preflight = async |bench: &Bench| {
        let runner = Runner::new(bench, "r-1", bench.wire());
        let scope = runner.context.scope(Phase::Preflight, &runner.context.shutdown);
        let problems = runner.targets(bench)[0].preflight(&scope).await.unwrap();
        problems.into_iter().map(|problem| (problem.code, problem.fatal, problem.text)).collect::<Vec<_>>()
    };
    let (bench, volume) = with_database().await;
    let found = preflight(&bench).await;
    assert!(matches!(found.as_slice(), [("fly::rpo", false, text)] if text.contains("has no snapshot")), "{found:?}");
    bench.fly.seed_snapshot(DATABASE, &volume, Duration::from_hours(30)).unwrap();
    let found = preflight(&bench).await;
    assert!(matches!(found.as_slice(), [("fly::rpo", false, text)] if text.contains("is 30 h old")), "{found:?}");
    bench.fly.seed_snapshot(DATABASE, &volume, Duration::from_hours(3)).unwrap();
    assert_eq!(preflight(&bench).await, []);
    let (mut bench, _) = with_database().await;
    bench.database = Some(FlyDatabase { app: "nowhere-db".into(), ..FlyDatabase::default() });
    let found = preflight(&bench).await;
    assert!(matches!(found.as_slice(), [("fly::database", true, _)]), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_breaking_migration_leaves_no_way_back_until_a_person_opens_it() {
    let (mut bench, _) = with_database().await;
    bench.breaking = true;
    bench.fly.behave(APP, Which::FromNowOn, Behaviour::NeverHealthy);
    let ending = bench.release("r-1").await;
    assert_eq!(ending.outcome, Outcome::Stuck, "{:?}", ending.failure);
    assert!(bench.users().values().all(|users| *users == Users::Before), "nothing was cut over");
    assert!(ending.commands.iter().any(|command| command.contains("cutover recover production --over-migration")), "{:?}", ending.commands);
    assert!(ending.commands.iter().any(|command| command.contains("snapshot vs_")), "{:?}", ending.commands);
    let open = bench.journal().state().open.clone().unwrap();
    assert!(open.stuck && open.cause.unwrap().contains("breaking"));
    // A recovery alone changes nothing about it.
    assert!(matches!(bench.recover().await, Recovered::Stuck(..)));
    let chance = cutover::id::Chance::seeded(9);
    bench.journal().append(Entry::BackAllowed { reason: "restored".into() }, &chance).await.unwrap();
    assert!(matches!(bench.recover().await, Recovered::RolledBack(_)));
    bench.settled_on(Users::Before, "opened");
}

#[tokio::test(start_paused = true)]
async fn a_breaking_migration_that_succeeds_or_surely_failed_ends_as_any_other() {
    let mut bench = migrating().await;
    bench.breaking = true;
    assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished);
    bench.settled_on(Users::After, "breaking, and well");
    let mut bench = migrating().await;
    bench.breaking = true;
    bench.command(&[], Duration::from_secs(1), End::Exits(1));
    assert_eq!(bench.release("r-1").await.outcome, Outcome::RolledBack);
    bench.settled_on(Users::Before, "breaking, and failed");
}

#[tokio::test(start_paused = true)]
async fn a_breaking_migration_of_a_dead_runner_is_judged_by_how_it_ended() {
    for (end, stuck) in [(End::Exits(0), true), (End::Exits(1), false)] {
        let mut bench = migrating().await;
        bench.breaking = true;
        bench.command(&[], Duration::from_secs(30), end);
        dies(&bench, |kind| matches!(kind, EventKind::TargetStep { phase: Phase::Migrate, step, .. } if step.starts_with("waiting"))).await;
        match (bench.recover().await, stuck) {
            (Recovered::Stuck(..), true) | (Recovered::RolledBack(_), false) => {}
            (other, _) => panic!("{end:?}: {other:?}"),
        }
        assert_eq!(bench.ran("r-1"), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_runs_no_command_and_is_barred_where_the_old_code_is_not_known_to_work() {
    let bench = migrating().await;
    assert_eq!(bench.release("r-1").await.outcome, Outcome::Finished);
    let state = bench.journal().state().clone();
    // The code before a compatible migration is what it was made to work with.
    assert_eq!(state.closed.len(), 2);
    assert_eq!(state.barred(&state.closed[0]), None);
    // The code before that is not.
    let mut older = state.clone();
    let mut earlier = state.closed[1].clone();
    earlier.release = cutover::id::ReleaseId::from_text("r-0");
    earlier.migrations.clear();
    older.closed.insert(1, earlier);
    assert!(older.barred(&older.closed[0]).unwrap().contains("with no older one"));
    assert_eq!(older.barred(&older.closed[1]), None);
    // A breaking one bars even the next, and so does one of a release that went back.
    let mut breaking = state;
    breaking.closed[1].migrations.values_mut().for_each(|migrated| migrated.migration.breaking = true);
    breaking.closed[1].finished = false;
    assert!(breaking.barred(&breaking.closed[0]).unwrap().contains("calls breaking"));
}

#[tokio::test(start_paused = true)]
async fn a_command_of_somebody_else_stops_the_release() {
    let bench = migrating().await;
    bench.command(&[], Duration::from_secs(50), End::Exits(0));
    dies(&bench, |kind| matches!(kind, EventKind::TargetStep { phase: Phase::Migrate, step, .. } if step.starts_with("waiting"))).await;
    // The journal of another machine knows nothing of it.
    std::fs::remove_file(bench.path()).unwrap();
    let ending = bench.release("r-2").await;
    assert_eq!(ending.outcome, Outcome::RolledBack);
    assert!(said(&ending).contains("runs a release command of somebody else"), "{}", said(&ending));
    assert_eq!(bench.ran("r-2"), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_plan_says_what_runs_and_whether_there_is_a_way_back() {
    let (mut bench, _) = with_database().await;
    bench.breaking = true;
    let runner = Runner::new(&bench, "r-1", bench.wire());
    let plan = Plan::make(&runner.context, runner.moves(&bench)).await.unwrap();
    let rows = plan.rows();
    let migration = rows.iter().find_map(|row| row.migration.clone()).unwrap();
    assert_eq!((migration.command.as_str(), migration.breaking, migration.limit_ms), ("migrate up", true, Some(60_000)));
    assert_eq!(migration.database.as_deref(), Some("app api-db"));
    assert_eq!(rows.iter().filter(|row| row.migration.is_some()).count(), 1);
}
