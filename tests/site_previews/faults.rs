//! Every request of a push and of a removal goes wrong once, in every way.

use std::collections::BTreeMap;

use cutover::embedded::fault::{Answer, Effect, Rule};

use super::{Kind, ONE, Scene, TWO, of, shop, strangers};

/// What happens to a request.
fn ways(write: bool) -> Vec<(Effect, Answer)> {
    let mut ways = vec![
        (Effect::Once, Answer::Lost),
        (Effect::None, Answer::Lost),
        (Effect::None, Rule::status(429, Some(2))),
        (Effect::None, Rule::status(503, None)),
    ];
    if write {
        ways.extend([(Effect::Once, Rule::status(502, None)), (Effect::Once, Answer::Html), (Effect::Twice, Answer::True)]);
    } else {
        ways.push((Effect::Once, Answer::Stale));
    }
    ways
}

/// Returns every operation that stood on the tape from `since` on, with its number since then and whether it may change something.
fn boundaries(scene: &Scene, since: usize) -> Vec<(String, usize, bool)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (operation, write) in scene.asked().split_off(since) {
        let count = counts.entry(operation.clone()).or_default();
        *count += 1;
        found.push((operation, *count, write));
    }
    found
}

async fn begun(kind: Kind) -> (Scene, Vec<String>) {
    let scene = Scene::new();
    let others = strangers(&scene, kind).await;
    scene.shows(kind, &of(shop(), 7), ONE, "one").await.unwrap();
    (scene, others)
}

async fn removed(scene: &Scene, kind: Kind) {
    let ground = scene.ground(kind);
    for leftover in ground.leftovers(&shop()).await.unwrap() {
        ground.remove(&shop(), &leftover).await.unwrap();
    }
}

async fn pushes_survive(kind: Kind) {
    let (scene, _) = begun(kind).await;
    let since = scene.asked().len();
    scene.shows(kind, &of(shop(), 7), TWO, "two").await.unwrap();
    let boundaries = boundaries(&scene, since);
    assert!(boundaries.len() > 5, "{boundaries:?}");
    for (operation, nth, write) in boundaries {
        for (effect, answer) in ways(write) {
            let what = format!("{}.{operation}#{nth}", kind.platform());
            let (scene, others) = begun(kind).await;
            scene.strike(&what, effect, answer.clone());
            let shown = scene.shows(kind, &of(shop(), 7), TWO, "two").await;
            let shown = shown.unwrap_or_else(|error| panic!("{what} {effect:?} {answer:?}: {error}"));
            assert_eq!(shown.commit.as_deref(), Some(TWO));
            assert_eq!(scene.get(&kind.host(7), "/").await, (200, "two".to_owned()), "{what} {effect:?} {answer:?}");
            scene.world.ground().faults.clear();
            // What a strange list hid from a push, the next push or the end finds.
            removed(&scene, kind).await;
            assert_eq!(scene.standing(kind), others, "{what} {effect:?} {answer:?}");
            assert_ne!(scene.get(&kind.host(7), "/").await.0, 200);
            assert_eq!(scene.production(kind).await, (200, "old".to_owned()));
        }
    }
}

async fn removals_survive(kind: Kind) {
    let (scene, _) = begun(kind).await;
    let since = scene.asked().len();
    removed(&scene, kind).await;
    for (operation, nth, write) in boundaries(&scene, since) {
        for (effect, answer) in ways(write) {
            let what = format!("{}.{operation}#{nth}", kind.platform());
            let (scene, others) = begun(kind).await;
            scene.strike(&what, effect, answer.clone());
            removed(&scene, kind).await;
            scene.world.ground().faults.clear();
            // A list of before may not have shown it yet.
            removed(&scene, kind).await;
            assert_eq!(scene.standing(kind), others, "{what} {effect:?} {answer:?}");
            assert_ne!(scene.get(&kind.host(7), "/").await.0, 200, "{what} {effect:?} {answer:?}");
            assert_eq!(scene.production(kind).await, (200, "old".to_owned()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_on_vercel_survives_every_fault() {
    pushes_survive(Kind::Vercel).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_on_pages_survives_every_fault() {
    pushes_survive(Kind::Pages).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_of_a_worker_survives_every_fault() {
    pushes_survive(Kind::Worker).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_on_vercel_survives_every_fault() {
    removals_survive(Kind::Vercel).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_on_pages_survives_every_fault() {
    removals_survive(Kind::Pages).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_of_a_worker_survives_every_fault() {
    removals_survive(Kind::Worker).await;
}

#[tokio::test(start_paused = true)]
async fn reads_that_lag_show_and_leave_nothing_else() {
    for kind in super::KINDS {
        let (scene, others) = begun(kind).await;
        scene.world.ground().past.lag(kind.platform(), std::time::Duration::from_secs(3));
        scene.shows(kind, &of(shop(), 7), TWO, "two").await.unwrap();
        assert_eq!(scene.get(&kind.host(7), "/").await, (200, "two".to_owned()), "{kind:?}");
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        removed(&scene, kind).await;
        assert_eq!(scene.standing(kind), others, "{kind:?}");
    }
}
