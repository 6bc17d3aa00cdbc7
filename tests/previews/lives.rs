//! The lives of 300 pull requests at random: opened, pushed to, closed with and without anybody being told, under sweeps that are cut off.

use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;

use cutover::id::Chance;
use cutover::preview::SweepLimits;

use super::town::{ORGANIZATION, Town};

const PULL_REQUESTS: u64 = 300;
const MOST: usize = 7;

fn things(town: &Town) -> usize {
    town.standing().iter().map(BTreeSet::len).sum()
}

/// Everything that is somebody else's, in words.
fn others(town: &Town) -> Vec<String> {
    let apps = town.fly.apps(ORGANIZATION).into_iter().filter(|(_, network)| town.of.pull_request(network).is_none());
    let mut all: Vec<String> = apps.map(|(app, _)| format!("app {app}")).collect();
    all.extend(town.fly.apps("acme").into_iter().map(|(app, _)| format!("app {app}")));
    all.extend(town.vercel.deployments("front").into_iter().filter(|seen| seen.production).map(|seen| seen.id));
    all.extend(town.cloudflare.deployments("site").into_iter().filter(|seen| seen.production).map(|seen| seen.id));
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn three_hundred_pull_requests_leave_nothing_and_touch_nothing_of_anyone_elses() {
    let seed = std::env::var("PREVIEWS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    let chance = Chance::seeded(seed);
    let town = Town::new();
    let neighbours = others(&town);
    let (mut next, mut open, mut killed, mut limited) = (1, BTreeSet::new(), 0, 0);
    while next <= PULL_REQUESTS || !open.is_empty() {
        // Between two events minutes pass: GitHub lets nobody write more than 500 things an hour.
        tokio::time::sleep(Duration::from_secs(60)).await;
        match chance.below(10) {
            0..=4 if next <= PULL_REQUESTS => {
                town.open(next);
                open.insert(next);
                // Some are opened with a conflict: no run begins, and nothing is shown.
                if chance.below(5) > 0 {
                    town.show(next, &format!("{next:040x}")).await.unwrap();
                    town.deploy(next).await;
                }
                next += 1;
            }
            5 | 6 if !open.is_empty() => {
                let number = pick(&chance, &open);
                town.show(number, &format!("{:040x}", number + 1000)).await.unwrap();
                town.deploy(number).await;
            }
            7 | 8 | 0..=4 if !open.is_empty() => {
                let number = pick(&chance, &open);
                open.remove(&number);
                town.close(number);
                // Two of three are told, and swept alone; the others' events are lost.
                if chance.below(3) > 0 {
                    town.sweep(SweepLimits { most: MOST, only: Some(number), dry_run: false }).await.unwrap();
                }
            }
            _ => {
                let before = things(&town);
                let sweep = town.sweep(SweepLimits { most: MOST, only: None, dry_run: false });
                // Some die on their way, wherever that is.
                let polls = if chance.below(2) == 0 { chance.below(60) } else { u64::MAX };
                match killed_after(polls, sweep).await {
                    Some(swept) => {
                        let swept = swept.unwrap();
                        assert_eq!(swept.failed, Vec::<String>::new(), "seed {seed}");
                        limited += usize::from(swept.left > 0);
                    }
                    None => killed += 1,
                }
                assert!(before - things(&town) <= MOST, "seed {seed}: one sweep removed {}", before - things(&town));
            }
        }
        let standing = town.standing();
        let apps = &standing[0];
        assert!(open.iter().filter(|number| town.active().contains(number)).all(|number| apps.contains(number)), "seed {seed}");
        assert_eq!(others(&town), neighbours, "seed {seed}");
    }
    let mut sweeps = 0;
    while things(&town) > 0 || !town.active().is_empty() {
        sweeps += 1;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(sweeps < 500, "seed {seed}: {:?} {:?}", town.standing(), town.active());
        town.sweep(SweepLimits { most: MOST, only: None, dry_run: false }).await.unwrap();
    }
    assert_eq!(others(&town), neighbours, "seed {seed}");
    assert!(killed > 3 && limited > 0, "seed {seed}: {killed} sweeps were killed, {limited} had to leave something");
}

/// Polls a future so many times, and then never again.
async fn killed_after<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (std::pin::pin!(future), polls);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

fn pick(chance: &Chance, open: &BTreeSet<u64>) -> u64 {
    let index = usize::try_from(chance.below(open.len() as u64)).unwrap();
    *open.iter().nth(index).unwrap()
}
