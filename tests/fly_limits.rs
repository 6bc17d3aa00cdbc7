//! Fly's documented limits: what a release asks, how often, and that nothing of it is ever too much.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cutover::embedded::fly::Switches;
use cutover::event::Outcome;

use crate::support::fly_app::{FlyApp, digest};

/// What the protocol asks of whoever gives every machine a successor with nobody noticing: to make it, to register it, to hold the old one's
/// lease, to take it out of routing, to let it end, to see that it has, and to remove it. One call each; no call does two of them for one
/// machine, or one of them for two.
const OF_EACH_MACHINE: [&str; 7] =
    ["create_machine", "uncordon_machine", "acquire_lease", "release_lease", "cordon_machine", "stop_machine", "destroy_machine"];
/// What it asks of whoever does so once: to know what is there, to see that what is new is well, and to see what serves then.
const LISTS: usize = 3;

struct Measured {
    asked: BTreeMap<String, usize>,
    took: Duration,
}

async fn measured(places: &[(&str, usize)]) -> Measured {
    let app = FlyApp::new(places, Switches::default()).await;
    app.fly.keep_limits();
    let machines: usize = places.iter().map(|(_, count)| count).sum();
    let before = app.clock.elapsed();
    let ending = app.release(1).await;
    let took = app.clock.elapsed().saturating_sub(before);
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert_eq!((app.of(&digest(1)), app.machines().len()), ((machines, machines), machines));
    assert_eq!(app.fly.refused_by_limits(), BTreeMap::new(), "no request was too much");
    Measured { asked: app.asked(), took }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::print_stdout, reason = "benches/fly shows it")]
async fn requests_per_release() {
    let six = [("iad", 10), ("fra", 10), ("syd", 10), ("nrt", 10), ("gru", 10), ("lhr", 10)];
    let fleets: [(usize, &[(&str, usize)]); 3] = [(1, &[("iad", 1)]), (10, &[("iad", 5), ("fra", 5)]), (60, &six)];
    let mut table = String::new();
    for (machines, places) in fleets {
        let Measured { asked, took } = measured(places).await;
        let total: usize = asked.values().sum();
        let least = OF_EACH_MACHINE.len() * machines + LISTS;
        let _ = writeln!(
            table,
            "{machines} machines: {total} requests in {:.1} s; the least that the protocol allows is {least}",
            took.as_secs_f64()
        );
        for (operation, count) in &asked {
            let least = if OF_EACH_MACHINE.contains(&operation.as_str()) {
                machines
            } else if operation == "list_machines" {
                LISTS
            } else {
                0
            };
            let _ = writeln!(table, "    {operation:<24}{count:>5}{least:>5}");
        }
        for operation in OF_EACH_MACHINE.iter().filter(|operation| **operation != "acquire_lease") {
            assert_eq!(asked[*operation], machines, "{operation} for {machines}: {asked:?}");
        }
        // Leases are renewed while they are held, which is as long as the calls under them take.
        assert!(asked["acquire_lease"] <= 3 * machines, "{asked:?}");
        // One look before a machine ends, one wait for its end and one for its being gone; one wait for the new ones altogether.
        assert!(asked["get_machine"] <= machines, "{asked:?}");
        assert!(asked["wait_machine"] <= 2 * machines + 2, "{asked:?}");
        // Whatever the number of machines, they are looked at in one list: once a second while they begin.
        assert!(asked["list_machines"] <= 14, "{asked:?}");
    }
    println!("{table}");
}

#[tokio::test(start_paused = true)]
async fn the_way_back_and_the_end_of_what_was_kept_meet_no_limit_either() {
    let mut app = FlyApp::new(&[("iad", 10), ("fra", 10)], Switches::default()).await;
    app.settings.keep_previous = Some(Duration::from_secs(600));
    app.fly.keep_limits();
    app.release(1).await;
    // Another process does not know what this one has just asked.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ending = app.go_back("r-back", app.wire()).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    tokio::time::sleep(Duration::from_secs(600)).await;
    app.tidy(app.wire()).await;
    assert_eq!(app.machines().len(), 20);
    assert_eq!(app.fly.refused_by_limits(), BTreeMap::new());
}
