//! `keep_previous`: what served before stays for a while, serves again at once, and is never forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cutover::embedded::fly::Switches;
use cutover::event::Outcome;
use cutover::http::{Answer, Call, Wire, WireError};
use cutover::release::Recovered;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::support::fly_app::{FlyApp, OLD, digest};
use crate::support::wire::InProcess;

const KEEP: Duration = Duration::from_secs(30 * 60);

async fn app() -> FlyApp {
    let mut app = FlyApp::new(&[("iad", 1), ("fra", 1)], Switches::default()).await;
    app.settings.keep_previous = Some(KEEP);
    app
}

#[tokio::test(start_paused = true)]
async fn the_machines_of_before_stay_out_of_routing_until_their_time_is_over() {
    let app = app().await;
    let ending = app.release(1).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert_eq!((app.of(OLD), app.of(&digest(1))), ((2, 0), (2, 2)));
    assert!(app.machines().iter().all(|machine| format!("{:?}", machine.state) == "Started"));
    let kept = app.kept().unwrap();
    assert!(!kept.ending && kept.since.as_str() == "r-1" && kept.revision.release.is_none());
    let told = app.notices("release::kept");
    assert!(told[0].contains("stays alive, out of routing, until") && told[0].contains("the overlap costs about $0.0"), "{told:?}");

    // Nothing but its time ends it: not a recovery before, and not a look at what closed releases left.
    tokio::time::sleep(KEEP / 2).await;
    let (recovered, ended) = app.tidy(app.wire()).await;
    assert!(matches!(recovered, Recovered::Nothing) && ended.is_empty());
    assert_eq!(app.of(OLD), (2, 0));

    tokio::time::sleep(KEEP / 2).await;
    let (_, ended) = app.tidy(app.wire()).await;
    assert!(ended.len() == 1 && ended[0].error.is_none(), "{ended:?}");
    assert_eq!((app.of(OLD), app.of(&digest(1))), ((0, 0), (2, 2)));
    assert!(app.kept().is_none());
    let before = app.world.ground().tape.length();
    assert!(app.tidy(app.wire()).await.1.is_empty());
    assert_eq!(app.world.ground().tape.entries().iter().filter(|entry| entry.sequence >= before && entry.write).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn at_most_one_generation_is_kept() {
    let app = app().await;
    for number in 1..=3 {
        let ending = app.release(number).await;
        assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    }
    assert_eq!((app.of(OLD), app.of(&digest(1))), ((0, 0), (0, 0)));
    assert_eq!((app.of(&digest(2)), app.of(&digest(3))), ((2, 0), (2, 2)));
    assert_eq!(app.kept().unwrap().since.as_str(), "r-3");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_serves_the_kept_machines_and_keeps_the_others() {
    let app = app().await;
    app.release(1).await;
    app.release(2).await;
    let made = app.asked()["create_machine"];
    let before = app.machines();
    let ending = app.go_back("r-back", app.wire()).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert_eq!(app.asked()["create_machine"], made, "no machine was made");
    assert_eq!((app.of(&digest(1)), app.of(&digest(2))), ((2, 2), (2, 0)));
    let ids = |machines: &[cutover::embedded::fly::MachineView]| {
        let mut ids: Vec<String> = machines.iter().map(|machine| machine.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&app.machines()), ids(&before));
    assert_eq!(app.kept().unwrap().revision.release.as_deref(), Some("r-2"));
    tokio::time::sleep(KEEP).await;
    app.tidy(app.wire()).await;
    assert_eq!((app.of(&digest(1)), app.of(&digest(2))), ((2, 2), (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn to_machines_that_flyctl_made_as_well() {
    let app = app().await;
    app.release(1).await;
    let made = app.asked()["create_machine"];
    let ending = app.go_back("r-back", app.wire()).await;
    assert_eq!(ending.outcome, Outcome::Finished, "{:?}", ending.failure);
    assert_eq!(app.asked()["create_machine"], made, "no machine was made");
    assert_eq!((app.of(OLD), app.of(&digest(1))), ((2, 2), (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_release_without_it_ends_what_an_earlier_one_kept() {
    let mut app = app().await;
    app.release(1).await;
    app.settings.keep_previous = None;
    app.release(2).await;
    assert_eq!(app.machines().len(), 2);
    assert_eq!(app.of(&digest(2)), (2, 2));
    assert!(app.kept().is_none());
}

/// A wire that dies with its runner at the nth call that changes something.
#[derive(Debug)]
struct Mortal {
    inner: InProcess,
    left: AtomicUsize,
    effect: bool,
    died: Arc<Notify>,
}

impl Wire for Mortal {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            if self.left.load(Ordering::SeqCst) == 0 {
                return std::future::pending().await;
            }
            if !call.changes_nothing() && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                let sent = if self.effect { Some(self.inner.send(call).await) } else { None };
                drop(sent);
                self.died.notify_one();
                return std::future::pending().await;
            }
            self.inner.send(call).await
        })
    }
}

/// What dies in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    Release,
    Rollback,
    Ending,
}

#[tokio::test(start_paused = true)]
async fn a_death_anywhere_leaves_nothing_for_ever() {
    for errand in [Errand::Release, Errand::Rollback, Errand::Ending] {
        for effect in [true, false] {
            for dies_at in 1.. {
                let told = format!("{errand:?} at {dies_at}, effect {effect}");
                let app = app().await;
                app.release(1).await;
                if errand == Errand::Ending {
                    tokio::time::sleep(KEEP).await;
                }
                let died = Arc::new(Notify::new());
                let left = AtomicUsize::new(dies_at);
                let wire = Arc::new(Mortal { inner: InProcess::new(app.world.clone()), left, effect, died: died.clone() });
                let ended = tokio::select! {
                    biased;
                    () = died.notified() => false,
                    () = async {
                        match errand {
                            Errand::Release => drop(app.release_over(2, wire).await),
                            Errand::Rollback => drop(app.go_back("r-back", wire).await),
                            Errand::Ending => drop(app.tidy(wire).await),
                        }
                    } => true,
                };
                if ended {
                    assert!(dies_at > 2, "{told}: it changes more than that");
                    break;
                }
                // Whoever comes next brings it to one of its sides, and after its time nothing is left of the other.
                tokio::time::sleep(Duration::from_secs(3)).await;
                app.tidy(app.wire()).await;
                let committed = app.state().closed.last().is_some_and(|closed| closed.finished && closed.release.as_str() != "r-1");
                let serves = match (errand, committed) {
                    (Errand::Release, true) => digest(2),
                    (Errand::Rollback, true) => OLD.to_owned(),
                    _ => digest(1),
                };
                assert_eq!(app.of(&serves), (2, 2), "{told}: {:?}", app.machines());
                if errand != Errand::Ending {
                    assert!(app.kept().is_some(), "{told}");
                    // At most the one kept generation is there beside it; a rollback that did not happen can be asked for again.
                    assert_eq!(app.machines().len(), 4, "{told}: {:?}", app.machines());
                }
                tokio::time::sleep(KEEP + Duration::from_secs(1)).await;
                app.tidy(app.wire()).await;
                assert!(app.kept().is_none() && app.state().open.is_none(), "{told}");
                assert_eq!((app.machines().len(), app.of(&serves)), (2, (2, 2)), "{told}: {:?}", app.machines());
            }
        }
    }
}
