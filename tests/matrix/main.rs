//! The failure matrix: everything is broken at every point, and the world ends on one side.
//!
//! How many cases are played is in `MATRIX_CASES` (for each of the 60 stages; 170 unless it says otherwise), `MATRIX_ONLY` names the products that are
//! played, with commas between, unless all are, and `MATRIX_SECONDS` shortens what is left
//! when so many seconds are over, and says so; a failing case prints the one line that holds all of it, and `cutover rehearse DIR --drills --schedule 'LINE'` or `SCHEDULE='LINE' cargo test --test matrix` plays it again.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should say so and stop")]

mod controls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover::drill::blueprint::Blueprint;
use cutover::drill::case::played;
use cutover::drill::explore::campaign::explore;
use cutover::drill::explore::tally::Tally;
use cutover::drill::explore::{Stage, in_parallel};
use cutover::drill::fixture::{FIXTURES, Fixture};
use cutover::drill::judge::judge;
use cutover::drill::schedule::{Beginning, Keeping, Schedule};

/// Returns a product, made once in a process, in a folder that is the same for every process: its path is in the journals.
fn blueprint(fixture: &'static str) -> Arc<Blueprint> {
    static MADE: Mutex<BTreeMap<&str, Arc<Blueprint>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix");
    let make = || Arc::new(Fixture::called(fixture).unwrap().blueprint(&folder).unwrap());
    made.entry(fixture).or_insert_with(make).clone()
}

fn stage_of(fixture: &str, beginning: Beginning, keeping: Keeping) -> Stage {
    let known = FIXTURES.iter().find(|known| known.name == fixture).unwrap();
    Stage::set(blueprint(known.name), beginning, keeping, 1).unwrap()
}

/// How long cases may be played.
struct Time {
    began: Instant,
    limit: Duration,
}

impl Time {
    /// Returns how many cases the next stage gets: as many as were asked for, or what the time allows for, at the pace so far.
    #[expect(clippy::print_stderr, reason = "a run that is shorter than it was asked to be says so")]
    fn share(&self, done: usize, stages: usize, played: usize, share: usize) -> usize {
        let left = self.limit.saturating_sub(self.began.elapsed()).as_secs_f64();
        let pace = played as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let possible = (left * pace / (stages - done) as f64) as usize;
        if done == 0 || possible >= share {
            return share;
        }
        let possible = possible.max(LEAST);
        eprintln!("SHORTENED: {possible} cases instead of {share} on stage {} of {stages}: the time is up", done + 1);
        possible
    }
}

/// How many cases a stage gets whatever the time.
const LEAST: usize = 100;

/// Returns the products that are played: those named in `MATRIX_ONLY`, with commas between; else all.
fn products() -> Vec<&'static Fixture> {
    let Ok(only) = std::env::var("MATRIX_ONLY") else { return FIXTURES.iter().collect() };
    only.split(',').map(|name| FIXTURES.iter().find(|fixture| fixture.name == name).unwrap()).collect()
}

fn stages() -> impl Iterator<Item = Stage> {
    products().into_iter().flat_map(|fixture| {
        [Beginning::Earlier, Beginning::First]
            .into_iter()
            .flat_map(|beginning| [Keeping::File, Keeping::Ref].map(|keeping| stage_of(fixture.name, beginning, keeping)))
    })
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures of a run are its result")]
fn whatever_is_broken_at_whichever_point_every_invariant_holds() {
    if let Ok(line) = std::env::var("SCHEDULE") {
        return replay(&line);
    }
    let number = |variable: &str, usual: usize| std::env::var(variable).map_or(usual, |number| number.parse().unwrap());
    let share = number("MATRIX_CASES", 170);
    let time = Time { began: Instant::now(), limit: Duration::from_secs(number("MATRIX_SECONDS", 1_000_000) as u64) };
    let stages: Vec<Stage> = stages().collect();
    let (mut tally, mut again, mut exhausted) = (Tally::default(), Vec::new(), 0);
    for (done, stage) in stages.iter().enumerate() {
        let share = time.share(done, stages.len(), tally.counted + tally.missed, share);
        let explored = explore(stage, share, 1, &mut |summary| {
            if tally.counted % 100 == 0 {
                again.push((summary.schedule.to_string(), summary.digest.clone()));
            }
            tally.add(summary);
        });
        exhausted += usize::from(explored.unwrap().exhausted);
    }
    eprintln!(
        "{} faulted releases, {} distinct (journal state x operation x fault x ending); {} in which not everything came to pass; \
         on {exhausted} of {} stages every kind of request on every way back was broken",
        tally.counted,
        tally.cells.len(),
        tally.missed,
        stages.len()
    );
    for (ending, count) in &tally.endings {
        eprintln!("{count:>6} {ending}");
    }
    let failed: Vec<String> = tally
        .failed
        .iter()
        .map(|summary| {
            let what: Vec<String> = summary.findings.iter().map(ToString::to_string).collect();
            format!("{}\n      {}", summary.schedule, what.join("\n      "))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} cases do not hold:\n{}", failed.len(), tally.counted, failed.join("\n"));
    assert!(tally.counted > share * stages.len() / 3, "only {} cases counted", tally.counted);
    the_same_in_another_process(&again);
    if share >= 170 && products().len() == FIXTURES.len() {
        let never = operations().into_iter().filter(|operation| !tally.struck.contains(operation));
        let unexplained: Vec<_> = never.filter(|operation| !UNASKED.contains(&operation.as_str())).collect();
        assert!(unexplained.is_empty(), "operations that were never broken: {unexplained:?}");
    }
}

/// What no product of the matrix asks for: its apps have their addresses, and its sites are uploaded as they are, while what builds failed with,
/// variables and hooks belong to builds of the platforms' own. Its sites have no hostname of their own, and no worker's token asks for files one by
/// one. Nobody adds a machine meanwhile, which would
/// be marked; `tests/fly_strategies.rs` does. No release makes or removes a preview; `tests/previews.rs` and `tests/site_previews.rs` do.
const UNASKED: [&str; 16] = [
    "cloudflare.add_domain",
    "cloudflare.get_log",
    "cloudflare.list_domains",
    "cloudflare.trigger_deploy_hook",
    "cloudflare.upload_asset",
    "fly.assign_address",
    "fly.create_app",
    "fly.delete_app",
    "fly.list_apps",
    "fly.set_metadata",
    "vercel.assign_alias",
    "vercel.delete_alias",
    "vercel.get_domain_config",
    "vercel.list_events",
    "vercel.list_variables",
    "vercel.trigger_deploy_hook",
];

/// What longer runs have found and what was mended since; a short run need not meet it again.
const FOUND: [&str; 7] = [
    "on trio journal=file seed=1; public.check[api.fly.dev]#1: effect=none answer=401 times=forever; vercel.delete_deployment[trio-front]#1: effect=none answer=done",
    "on groups first journal=ref seed=1; fly.create_machine[api]#4: effect=twice answer=true; journal.append[finishing]#1: effect=none answer=lost",
    "on groups first journal=file seed=1; fly.start_machine[api]#1: effect=none answer=500",
    "on groups first journal=file seed=1; fly.start_machine[api]#1: effect=none answer=lost",
    "on groups first journal=ref seed=1; fly.create_machine[api]#4: effect=none answer=done",
    "on pair journal=ref seed=1; at github.get_ref[drill/product]#2 before: person",
    "on built first journal=file seed=1; at journal.append[cutting]#1 after: cancel",
];

#[test]
fn what_was_found_once_holds() {
    for line in FOUND {
        let schedule: Schedule = line.parse().unwrap();
        let summary = stage_of(&schedule.product, schedule.beginning, schedule.keeping).play(&schedule).unwrap();
        assert!(summary.fired, "{line}: not everything came to pass");
        assert!(summary.findings.is_empty(), "{line}: {:?}", summary.findings);
    }
}

/// Plays cases once more in a new process: to the last request, the same must come of them.
fn the_same_in_another_process(cases: &[(String, String)]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<&str> = cases.iter().map(|(line, _)| line.as_str()).collect();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    let mut other = std::process::Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "digests_of_cases", "--nocapture"]).env("MATRIX_AGAIN", file.path());
    let output = other.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let digests: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("digest ")).collect();
    assert_eq!(digests.len(), cases.len());
    let other: Vec<&str> = cases.iter().zip(&digests).filter(|((_, was), is)| was != *is).map(|((line, _), _)| line.as_str()).collect();
    assert!(other.is_empty(), "{} of {} cases are not the same twice:\n{}", other.len(), cases.len(), other.join("\n"));
}

/// What [`the_same_in_another_process`] starts; without its file there is nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the process that asked for it reads it")]
fn digests_of_cases() {
    let Ok(file) = std::env::var("MATRIX_AGAIN") else { return };
    let lines = std::fs::read_to_string(file).unwrap();
    let schedules: Vec<Schedule> = lines.lines().map(|line| line.parse().unwrap()).collect();
    let blueprints: BTreeMap<&str, Arc<Blueprint>> = FIXTURES.iter().map(|fixture| (fixture.name, blueprint(fixture.name))).collect();
    let digests = in_parallel(&schedules, |schedule| Ok(played(&blueprints[schedule.product.as_str()], schedule)?.tape_digest()));
    for digest in digests.unwrap() {
        println!("\ndigest {digest}");
    }
}

/// Returns every operation of the platforms' protocols that a release of the matrix's products can need, read from the code that sends them.
fn operations() -> BTreeSet<String> {
    let mut operations = BTreeSet::new();
    for (platform, api) in
        [("fly", "fly/api"), ("vercel", "vercel/api"), ("cloudflare", "cloudflare/pages/api"), ("cloudflare", "cloudflare/workers")]
    {
        let folder = format!("{}/src/platform/{api}", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            if !file.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(file).unwrap();
            let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let called = text.split("\", Method::").filter_map(|before| before.rsplit('"').next()).filter(|name| word(name));
            operations.extend(called.map(|name| format!("{platform}.{name}")));
        }
    }
    operations
}

/// Plays one case and tells what it was judged by.
#[expect(clippy::print_stderr, reason = "a replayed case is read by a person")]
fn replay(line: &str) {
    let schedule: Schedule = line.parse().unwrap();
    assert_eq!(schedule.to_string(), line);
    let stage = stage_of(&schedule.product, schedule.beginning, schedule.keeping);
    let case = played(&stage.blueprint, &schedule).unwrap();
    for met in &case.met {
        eprintln!("{:>10.3} {} {}", met.at.as_secs_f64(), met.sender, met.boundary);
    }
    if let Some(file) = std::env::var_os("TAPE") {
        let lines: Vec<String> = case.tape.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        std::fs::write(file, lines.join("\n")).unwrap();
    }
    for (runner, event) in &case.events {
        eprintln!("{runner} {:?} {:?}", event.elapsed, event.kind);
    }
    for record in &case.ledger {
        eprintln!("{record:?}");
    }
    for change in &case.changes {
        eprintln!("{change:?}");
    }
    for ended in case.ended.iter().chain(&case.recoveries) {
        eprintln!(
            "{} {:?} {:?} at {:?}, {} writes, {} records",
            ended.runner, ended.errand, ended.word, ended.at, ended.writes, ended.records
        );
    }
    let findings: Vec<String> = judge(&stage.blueprint, &stage.reference, &case).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}
