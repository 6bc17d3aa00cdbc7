//! The failure matrix: everything is broken at every point, and the world ends on one side.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::drill::explore::Stage;
use cutover::drill::fixture::FIXTURES;
use cutover::drill::schedule::{Beginning, Keeping};

#[test]
fn try_it() {
    for fixture in FIXTURES {
        let blueprint = Arc::new(fixture.blueprint().unwrap());
        for beginning in [Beginning::Earlier, Beginning::First] {
            let began = std::time::Instant::now();
            let stage = match Stage::set(blueprint.clone(), beginning, Keeping::File, 1) {
                Ok(stage) => stage,
                Err(error) => {
                    println!("{} {beginning:?}: {error}", fixture.name);
                    continue;
                }
            };
            println!("{} {beginning:?}: {} boundaries {:?}", fixture.name, stage.boundaries.len(), began.elapsed());
            if std::env::var("MATRIX_LIST").is_ok() {
                println!("{:#?} {:#?}", stage.boundaries, stage.reference);
            }
            if let Ok(only) = std::env::var("MATRIX_ONLY") {
                if only != format!("{}-{beginning:?}", fixture.name) {
                    continue;
                }
                let schedules = stage.singles(&stage.boundaries);
                let began = std::time::Instant::now();
                let summaries = stage.play_all(&schedules).unwrap();
                println!("{} cases in {:?}, fired {}", summaries.len(), began.elapsed(), summaries.iter().filter(|s| s.fired).count());
                let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for summary in &summaries {
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
