//! Bluegreen under users who ask whatever happens, at edges that learn late and tell nobody how late.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover::embedded::client::{Clients, Kind, Load, Report, lost};
use cutover::embedded::fly::Switches;
use cutover::event::Outcome;

use crate::support::fly_app::FlyApp;

const HOST: &str = "api.fly.dev";
/// flyctl's own waits in this strategy: 0.3 s before it looks, 10 s before it cordons, 10 s before it stops, and the first of its retries' pauses.
const FLYCTL: f64 = 20.5;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A release under 200 short requests a second, long ones, websockets and kept connections: what became of them, and how long it took.
async fn released(lags: [f64; 3], margin: f64) -> (Report, Duration) {
    let mut app = FlyApp::new(&[("iad", 1), ("fra", 1)], Switches::default()).await;
    app.settings.drain_margin = Some(seconds(margin));
    let traffic = &app.world.ground().traffic;
    traffic.lags(&lags.map(seconds));
    tokio::time::sleep(Duration::from_secs(25)).await;
    let load = Load { short_every: Duration::from_millis(15), ..Load::default() };
    let clients = Clients::start(app.world.ground(), &[HOST], load);
    // Long requests are under way everywhere when it begins.
    tokio::time::sleep(Duration::from_secs(31)).await;
    let began = app.clock.elapsed();
    let ending = app.release(1).await;
    let took = app.clock.elapsed().saturating_sub(began);
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    // Until the last edge has learnt it.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let report = clients.stop().await;
    assert_eq!(report.len(), 12, "four kinds at three edges");
    assert!(report.values().all(|fared| fared.sent > 0), "{report:?}");
    (report, took)
}

fn nobody() -> BTreeMap<Kind, u64> {
    BTreeMap::from([(Kind::Short, 0), (Kind::Long, 0), (Kind::Websocket, 0), (Kind::KeptAlive, 0)])
}

#[tokio::test(start_paused = true)]
#[expect(clippy::print_stdout, reason = "benches/fly shows it")]
async fn nobody_loses_a_request_while_the_lag_is_within_the_margin() {
    for (lags, margin) in [([0.0, 0.0, 0.0], 10.0), ([0.0, 5.0, 9.9], 10.0), ([0.0, 10.0, 19.9], 20.0)] {
        let (report, took) = released(lags, margin).await;
        assert_eq!(lost(&report), nobody(), "{lags:?}: {report:?}");
        let lag = lags[2];
        let less = took.as_secs_f64() - lag;
        println!(
            "bluegreen, edges that lag by {lags:?} s, margin {margin} s: {:.1} s, less the lag {less:.1} s; flyctl's fixed waits alone {FLYCTL} s",
            took.as_secs_f64()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_lags_by_more_than_the_margin_is_what_the_margin_is_for() {
    let (report, _) = released([0.0, 5.0, 20.0], 10.0).await;
    let at = |edge: usize| report.iter().filter(|((_, of, _), _)| *of == edge).map(|(_, fared)| fared.lost).sum::<u64>();
    assert_eq!((at(0), at(1)), (0, 0), "{report:?}");
    assert!(at(2) > 0, "{report:?}");
}
