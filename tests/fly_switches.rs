//! Where sources about Fly disagree: a release comes to its end, and a failing one back, whichever is true.

use std::time::Duration;

use cutover::embedded::fly::{AppName, Behaviour, ExitShape, Grace, NewSecrets, SnapshotFate, Switches, UnknownImage, Which};
use cutover::event::Outcome;
use cutover::platform::fly::toml::Strategy;

use crate::support::fly_app::{FlyApp, OLD, digest};

/// Every belief that rests on one of several sources, with each of its values that is not the usual one.
fn worlds() -> Vec<(&'static str, Switches)> {
    let usual = Switches::default;
    let second = Duration::from_secs(1);
    vec![
        ("usual", usual()),
        ("names may be taken twice", Switches { names_are_unique: false, ..usual() }),
        ("exit events plain", Switches { exit_shape: ExitShape::Plain, ..usual() }),
        ("exit events of the monitor", Switches { exit_shape: ExitShape::Monitor, ..usual() }),
        ("grace delays checks", Switches { grace: Grace::DelaysChecks, ..usual() }),
        ("unknown images fail at launch", Switches { unknown_image: UnknownImage::LaunchFails, ..usual() }),
        ("unknown images are believed", Switches { unknown_image: UnknownImage::Believed, ..usual() }),
        ("stale nonces are refused", Switches { stale_nonce_is_refused: true, ..usual() }),
        ("updates register", Switches { update_registers: true, ..usual() }),
        ("what was not launched is created", Switches { skip_launch_rests_stopped: false, ..usual() }),
        ("app tokens read logs", Switches { app_tokens_read_logs: true, ..usual() }),
        ("autostop as a boolean", Switches { autostop_as_text: false, ..usual() }),
        ("records of any image", Switches { release_needs_image: false, ..usual() }),
        ("dead hosts obey", Switches { dead_hosts_refuse: None, ..usual() }),
        ("apps are named by name", Switches { app_name: AppName::Name, ..usual() }),
        ("apps are named by app_name", Switches { app_name: AppName::AppName, ..usual() }),
        ("a taken name has no code", Switches { name_taken_has_code: false, ..usual() }),
        ("a wait for stopped needs the version", Switches { stopped_needs_version: true, ..usual() }),
        ("a wait on what is destroyed is 404", Switches { waits_on_destroyed_are_404: true, ..usual() }),
        ("what is destroyed cannot be read", Switches { destroyed_readable: Duration::ZERO, ..usual() }),
        ("both", Switches { waits_on_destroyed_are_404: true, destroyed_readable: Duration::ZERO, ..usual() }),
        ("lists lag", Switches { list_lag: second, ..usual() }),
        ("reads lag", Switches { read_lag: second, ..usual() }),
        ("both lag", Switches { list_lag: second, read_lag: second, ..usual() }),
        ("secrets lag and are waited for", Switches { secrets_lag: second, ..usual() }),
        ("secrets lag and are refused", Switches { secrets_lag: second, new_secrets: NewSecrets::Refused, ..usual() }),
        ("logs lag", Switches { log_lag: 20 * second, ..usual() }),
        ("the proxy wakes nobody", Switches { proxy_wakes: false, ..usual() }),
        ("snapshots are stuck", Switches { snapshots: SnapshotFate::Stuck, ..usual() }),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_release_ends_well_and_a_failing_one_goes_back_whichever_is_true() {
    for strategy in [Strategy::Bluegreen, Strategy::Rolling] {
        for (told, switches) in worlds() {
            let told = format!("{strategy:?}, {told}");
            let mut app = FlyApp::new(&[("iad", 1), ("fra", 1)], switches).await;
            app.settings.strategy = Some(strategy);
            app.settings.wait_deadline = Some(Duration::from_secs(60));
            app.fly.keep_limits();

            // A release whose machines end at once goes back, in whichever shape their exit is told.
            app.fly.behave("api", Which::Image(digest(2)), Behaviour::CrashesAtStart(3));
            let ending = app.release(2).await;
            assert_eq!(ending.outcome, Outcome::RolledBack, "{told}: {:?}", ending.failure);
            assert_eq!((app.of(OLD), app.machines().len()), ((2, 2), 2), "{told}: {:?}", app.machines());
            let why = ending.failure.unwrap().text;
            assert!(why.contains("exited with code 3"), "{told}: {why}");

            // Another process does not know what this one has just asked.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let ending = app.release(1).await;
            assert_eq!(ending.outcome, Outcome::Finished, "{told}: {:?}", ending.failure);
            assert_eq!((app.of(&digest(1)), app.machines().len()), ((2, 2), 2), "{told}: {:?}", app.machines());
            assert!(app.fly.refused_by_limits().is_empty(), "{told}: {:?}", app.fly.refused_by_limits());
            assert!(app.machines().iter().all(|machine| !machine.leased), "{told}: {:?}", app.machines());
        }
    }
}
