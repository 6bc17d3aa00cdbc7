//! The failure matrix: everything is broken at every point, and the world ends on one side.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should say so and stop")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::drill::case::played;
use cutover::drill::explore::Stage;
use cutover::drill::fixture::{FIXTURES, Fixture};
use cutover::drill::judge::judge;
use cutover::drill::schedule::{Beginning, Keeping, Schedule};

fn stage_of(fixture: &str, beginning: Beginning, keeping: Keeping) -> Stage {
    let blueprint = Arc::new(Fixture::called(fixture).unwrap().blueprint().unwrap());
    Stage::set(blueprint, beginning, keeping, 1).unwrap()
}

#[test]
fn replay() {
    let Ok(line) = std::env::var("SCHEDULE") else { return };
    let schedule: Schedule = line.parse().unwrap();
    assert_eq!(schedule.to_string(), line);
    let stage = stage_of(&schedule.product, schedule.beginning, schedule.keeping);
    let case = played(&stage.blueprint, &schedule).unwrap();
    let from: u64 = std::env::var("FROM").ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    for met in &case.met {
        if met.at.as_millis() as u64 >= from {
            println!("{:>10.3} {} {}", met.at.as_secs_f64(), met.sender, met.boundary);
        }
    }
    for e in &case.tape {
        if e.fault.is_some() {
            println!("{} {} {:?} {:?}", e.at_ms, e.boundary, e.fault, e.status);
        }
    }
    if std::env::var("EVENTS").is_ok() {
        for (n, e) in &case.events {
            println!("{n} {:?} {:?}", e.elapsed, e.kind);
        }
    }
    for record in &case.ledger {
        println!("{record:?}");
    }
    for change in &case.changes {
        println!("{change:?}");
    }
    for ended in case.ended.iter().chain(&case.recoveries) {
        println!(
            "{} {:?} {:?} at {:?} writes {} records {} {:?}",
            ended.runner,
            ended.errand,
            ended.word,
            ended.at,
            ended.writes,
            ended.records,
            stage.reference.stands_in(&case, &ended.truth)
        );
    }
    println!("struck {:?} happened {:?} died {:?}", case.struck, case.happened, case.died);
    for finding in judge(&stage.blueprint, &stage.reference, &case) {
        println!("{finding}");
    }
}

#[test]
fn try_it() {
    let only = std::env::var("MATRIX_ONLY").unwrap_or_default();
    for fixture in FIXTURES {
        let blueprint = Arc::new(fixture.blueprint().unwrap());
        for beginning in [Beginning::Earlier, Beginning::First] {
            for keeping in [Keeping::File, Keeping::Ref] {
                let name = format!("{}-{beginning:?}-{keeping:?}", fixture.name);
                if !only.is_empty() && only != name {
                    continue;
                }
                let began = std::time::Instant::now();
                let stage = match Stage::set(blueprint.clone(), beginning, keeping, 1) {
                    Ok(stage) => stage,
                    Err(error) => {
                        println!("{name}: {error}");
                        continue;
                    }
                };
                println!("{name}: {} boundaries {:?}", stage.boundaries.len(), began.elapsed());
                if std::env::var("MATRIX_LIST").is_ok() {
                    println!("{:#?} {:#?}", stage.boundaries, stage.reference);
                }
                if only.is_empty() {
                    continue;
                }
                let what = std::env::var("WHAT").unwrap_or_default();
                let schedules = match what.as_str() {
                    "company" => stage.with_company(),
                    "late" => stage.late_deaths(),
                    _ => stage.singles(),
                };
                let began = std::time::Instant::now();
                let summaries = stage.play_all(&schedules).unwrap();
                println!("{} cases in {:?}, fired {}", summaries.len(), began.elapsed(), summaries.iter().filter(|s| s.fired).count());
                let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for summary in summaries.iter().filter(|s| s.fired) {
                    for finding in &summary.findings {
                        by.entry(format!("{:?}", finding.invariant))
                            .or_default()
                            .push(format!("{}\n      {}", summary.schedule, finding.what));
                    }
                }
                for (invariant, list) in by {
                    println!("== {invariant}: {}", list.len());
                    for one in list.iter() {
                        println!("   {one}");
                    }
                }
            }
        }
    }
}
