//! The director of one case: meets every request and lets happen what the schedule says.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;

use super::life::{Being, Life};
use super::schedule::{Act, Incident, When};
use crate::embedded::ground::Ground;
use crate::embedded::tape::boundary_base;
use crate::embedded::witness::{Moment, Sender, Witness};

/// After how many requests a case counts as one that never ends: a hundred times what a release needs.
pub const RUNAWAY: usize = 30_000;

/// What the director asks of whoever plays the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Another runner begins a release.
    Release,
    /// Another runner begins a recovery.
    Recover,
    /// GitHub takes this runner's job for over.
    Forsake(u64),
    /// A machine of the new revision dies; the request that it happened at was about this target.
    Crash(Option<String>),
    /// A person brings back what served at the beginning.
    Person(Option<String>),
}

/// One request as it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Its name.
    pub boundary: String,
    /// Who sent it.
    pub sender: u64,
    /// Since the world began.
    pub at: Duration,
}

/// Meets every request of a case.
#[derive(Debug)]
pub struct Director {
    ground: Ground,
    orders: UnboundedSender<Order>,
    stage: Mutex<Stage>,
}

#[derive(Debug, Default)]
struct Stage {
    incidents: Vec<(Incident, bool)>,
    lives: BTreeMap<u64, Life>,
    named: BTreeMap<String, u64>,
    met: Vec<Met>,
    curtain: bool,
}

impl Director {
    /// Returns a director who lets `incidents` happen, each once.
    pub fn new(ground: Ground, orders: UnboundedSender<Order>, incidents: &[Incident]) -> Self {
        let incidents = incidents.iter().map(|incident| (incident.clone(), false)).collect();
        Self { ground, orders, stage: Mutex::new(Stage { incidents, ..Stage::default() }) }
    }

    /// Makes a runner known.
    pub fn knows(&self, life: &Life) {
        self.lock().lives.insert(life.number(), life.clone());
    }

    /// Returns every runner so far.
    pub fn lives(&self) -> Vec<Life> {
        self.lock().lives.values().cloned().collect()
    }

    /// Names a request that goes to no embedded platform, as those of a platform are named.
    pub fn named(&self, platform: &str, operation: &str, target: Option<&str>) -> String {
        let base = boundary_base(platform, operation, target);
        let mut stage = self.lock();
        let nth = stage.named.entry(base.clone()).and_modify(|nth| *nth += 1).or_insert(1);
        format!("{base}#{nth}")
    }

    /// Returns every request so far, in order.
    pub fn met(&self) -> Vec<Met> {
        self.lock().met.clone()
    }

    /// Returns which incidents have happened, in the schedule's order.
    pub fn happened(&self) -> Vec<bool> {
        self.lock().incidents.iter().map(|(_, done)| *done).collect()
    }

    /// Returns whether the case was ended because it never would have.
    pub fn ran_away(&self) -> bool {
        self.lock().met.len() > RUNAWAY
    }

    /// Ends the incidents: what has not happened by now does not happen any more.
    pub fn curtain(&self) {
        self.lock().curtain = true;
    }

    fn due(&self, boundary: &str, moment: Moment) -> Vec<Incident> {
        let mut stage = self.lock();
        if stage.curtain {
            return Vec::new();
        }
        let due = |incident: &Incident| {
            let then = if incident.when == When::After { Moment::After } else { Moment::Before };
            then == moment && incident.boundary == boundary
        };
        let found = stage.incidents.iter_mut().filter(|(incident, done)| !*done && due(incident));
        found
            .map(|(incident, done)| {
                *done = true;
                incident.clone()
            })
            .collect()
    }

    fn note(&self, boundary: &str, sender: Option<Sender>) {
        let at = self.ground.clock.elapsed();
        let mut stage = self.lock();
        stage.met.push(Met { boundary: boundary.to_owned(), sender: sender.map_or(0, |sender| sender.0), at });
        if stage.met.len() > RUNAWAY {
            for life in stage.lives.values() {
                life.become_(Being::Dead);
            }
        }
    }

    /// Lets one incident happen; returns whether the request goes on.
    fn act(&self, incident: &Incident, sender: Option<Sender>) -> bool {
        let life = sender.and_then(|sender| self.lock().lives.get(&sender.0).cloned());
        let target = || Some(incident.boundary.split_once('[')?.1.split_once(']')?.0.to_owned());
        // Nobody listens any more once the case is over.
        let order = |order: Order| drop(self.orders.send(order));
        match (incident.act, life) {
            (Act::Die, Some(life)) => {
                life.become_(Being::Dead);
                return incident.when == When::During;
            }
            (Act::Freeze(time) | Act::Forsake(time), Some(life)) => {
                if let Act::Forsake(_) = incident.act {
                    order(Order::Forsake(life.number()));
                    order(Order::Recover);
                }
                life.become_(Being::Frozen);
                self.ground.spawn_after(time, async move { life.become_(Being::Alive) });
            }
            (Act::Clock(ms), Some(life)) => {
                life.shift().wall_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
            }
            (Act::Cancel, Some(life)) => life.shutdown().raise(life.shutdown().level().next()),
            (Act::Release, _) => order(Order::Release),
            (Act::Recover, _) => order(Order::Recover),
            (Act::Crash, _) => order(Order::Crash(target())),
            (Act::Person, _) => order(Order::Person(target())),
            (Act::Die | Act::Freeze(_) | Act::Forsake(_) | Act::Clock(_) | Act::Cancel, None) => {}
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Director {
    fn meets<'a>(&'a self, boundary: &'a str, moment: Moment, sender: Option<Sender>) -> BoxFuture<'a, bool> {
        if moment == Moment::Before {
            self.note(boundary, sender);
        }
        let goes_on = self.due(boundary, moment).iter().map(|incident| self.act(incident, sender)).filter(|goes_on| !goes_on).count() == 0;
        Box::pin(async move { goes_on })
    }
}
