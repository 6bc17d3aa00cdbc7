//! The failure matrix: everything is broken at every point, and the world ends on one side.
//!
//! How many cases are played is in `MATRIX_CASES` (for each of the stages; 60 unless it says otherwise); a failing case prints the one line that
//! holds all of it, and `cutover rehearse DIR --drills --schedule 'LINE'` or `SCHEDULE='LINE' cargo test --test matrix` plays it again.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should say so and stop")]

use std::collections::BTreeSet;
use std::sync::Arc;

use cutover::drill::case::played;
use cutover::drill::explore::Stage;
use cutover::drill::explore::plan::choose;
use cutover::drill::explore::tally::Tally;
use cutover::drill::fixture::{FIXTURES, Fixture};
use cutover::drill::judge::{Invariant, judge};
use cutover::drill::schedule::{Act, Beginning, Keeping, Schedule, When};

fn stage_of(fixture: &str, beginning: Beginning, keeping: Keeping) -> Stage {
    let blueprint = Arc::new(Fixture::called(fixture).unwrap().blueprint().unwrap());
    Stage::set(blueprint, beginning, keeping, 1).unwrap()
}

fn stages() -> impl Iterator<Item = Stage> {
    FIXTURES.iter().flat_map(|fixture| {
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
    let share = std::env::var("MATRIX_CASES").map_or(60, |cases| cases.parse().unwrap());
    let (mut tally, mut asked, mut again, mut alike) = (Tally::default(), BTreeSet::new(), 0, 0);
    for stage in stages() {
        let operation = |boundary: &String| boundary.split(['[', '#']).next().unwrap_or_default().to_owned();
        asked.extend(stage.boundaries.iter().map(operation));
        let summaries = stage.play_all(&choose(&stage, share, 1)).unwrap();
        // What was seen once must be seen again: the same end and the same findings; whether to the last request is counted and told.
        for summary in summaries.iter().step_by(25) {
            let twice = stage.play(&summary.schedule).unwrap();
            let told = format!("{} is not the same twice", summary.schedule);
            assert_eq!((twice.ending, twice.stays, &twice.findings), (summary.ending, summary.stays, &summary.findings), "{told}");
            again += 1;
            alike += usize::from(twice.digest == summary.digest);
        }
        for summary in summaries {
            tally.add(summary);
        }
    }
    eprintln!(
        "{} faulted releases, {} distinct (journal state x operation x fault x ending); {} in which not everything came to pass; {again} played twice, {alike} alike to the last request",
        tally.counted,
        tally.cells.len(),
        tally.missed
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
    assert!(tally.counted > share * 8, "only {} cases counted", tally.counted);
    if share >= 60 {
        let never: Vec<_> = asked.difference(&tally.struck).collect();
        assert!(never.is_empty(), "operations that were never broken: {never:?}");
    }
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

/// The judge is no judge that nothing can displease: of a case in which all holds, one thing is changed, and it must be found.
#[test]
fn each_invariant_turns_red_when_it_is_broken_on_purpose() {
    let stage = stage_of("pair", Beginning::Earlier, Keeping::File);
    let schedule = stage.calm.clone().at("vercel.promote[pair-web]#1", When::Before, Act::Die);
    let broken = |change: &dyn Fn(&mut cutover::drill::case::Case)| -> BTreeSet<Invariant> {
        let mut case = played(&stage.blueprint, &schedule).unwrap();
        change(&mut case);
        judge(&stage.blueprint, &stage.reference, &case).into_iter().map(|finding| finding.invariant).collect()
    };
    assert_eq!(broken(&|_| {}), BTreeSet::new(), "unchanged, all holds");
    let torn = broken(&|case| {
        let web = case.rest.targets.iter_mut().find(|(name, _)| name.as_str() == "web").unwrap().1;
        web.serves = stage.reference.after.iter().find(|(name, _)| name.as_str() == "web").unwrap().1.clone();
    });
    assert!(torn.contains(&Invariant::OneSide), "{torn:?}");
    let setting = broken(&|case| {
        let web = case.rest.targets.iter_mut().find(|(name, _)| name.as_str() == "web").unwrap().1;
        web.settings.insert("autoAssignCustomDomains".to_owned(), "changed".to_owned());
    });
    assert!(setting.contains(&Invariant::SettingsBack), "{setting:?}");
    let foreign = broken(&|case| {
        case.rest.foreign.values_mut().for_each(|said| said.push_str(", changed"));
    });
    assert!(foreign.contains(&Invariant::ForeignHands), "{foreign:?}");
    let left = broken(&|case| {
        for seen in case.rest.targets.values_mut() {
            let thing = cutover::drill::truth::Thing { content: "a twin".to_owned(), stamp: Some("r-1".to_owned()), serves: false };
            seen.things.insert("twin".to_owned(), thing);
        }
    });
    assert!(left.contains(&Invariant::NothingLeft), "{left:?}");
    let unannounced = broken(&|case| case.ledger.retain(|record| record.entry != "cutting"));
    assert!(unannounced.contains(&Invariant::IntentFirst), "{unannounced:?}");
}
