//! One case: a schedule played to its end, and what was seen.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::arena::Arena;
use super::blueprint::Blueprint;
use super::director::{Director, Met, Order};
use super::keeper::{Acknowledged, Ledger};
use super::life::{Being, Life};
use super::line::Line;
use super::runner::{Errand, Runner, Word, github};
use super::sabotage::{Cue, Sabotage, Sabotaged};
use super::schedule::{Act, Keeping, Schedule};
use super::truth::Truth;
use crate::clock::Shift;
use crate::embedded::fault::Effect;
use crate::embedded::tape;
use crate::embedded::traffic::{Change, Life as BackendLife};
use crate::event::Event;
use crate::github::ref_store::RefStore;
use crate::http::Transport;
use crate::id::{Chance, Name};
use crate::release::journal::Record;
use crate::release::store::Store;
use crate::release::store::file::FileStore;

/// How long one runner may work, in the world's time: what takes longer counts as a hang.
pub const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);
/// How long the world is left alone before it is looked at: longer than any platform takes for what it has accepted.
const REST: Duration = Duration::from_secs(5);

/// The clocks of a machine on which nothing is off.
static UNSHIFTED: Shift = Shift { wall_ms: AtomicI64::new(0), boot_ms: AtomicI64::new(0) };

/// A schedule and what came of it.
#[derive(Debug)]
pub struct Case {
    /// What was to go wrong.
    pub schedule: Schedule,
    /// How often each of its faults struck.
    pub struck: Vec<u64>,
    /// Which of its incidents happened.
    pub happened: Vec<bool>,
    /// Every runner that ended by itself, in the order of their ends.
    pub ended: Vec<Ended>,
    /// Every runner that died.
    pub died: Vec<u64>,
    /// Runners that were still at work when their time was over.
    pub hung: Vec<u64>,
    /// Whether the case was cut short because its requests would not end.
    pub ran_away: bool,
    /// How often something was sent in a dead runner's name.
    pub ghosts: u64,
    /// The recoveries after it, in order.
    pub recoveries: Vec<Ended>,
    /// What was true before.
    pub before: Truth,
    /// What is true at rest, after the recoveries.
    pub rest: Truth,
    /// The journal at rest.
    pub records: Vec<Record>,
    /// What writers knew to be in the journal.
    pub ledger: Vec<Acknowledged>,
    /// Every request, in order, public ones and the journal's included.
    pub met: Vec<Met>,
    /// The platforms' own record of requests.
    pub tape: Vec<tape::Entry>,
    /// Every change of what public host names lead to.
    pub changes: Vec<Change>,
    /// When what answers began and ceased to.
    pub lives: Vec<BackendLife>,
    /// How far each edge lags behind.
    pub lags: Vec<Duration>,
    /// Everything that any runner told.
    pub events: Vec<(u64, Event)>,
    /// What a person did meanwhile: on which target, and at which time.
    pub touched: Vec<(Name, Duration)>,
    /// From the first fault or incident to a consistent world, where anything went wrong.
    pub until_consistent: Option<Duration>,
}

/// A runner that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which.
    pub runner: u64,
    /// What it was there for.
    pub errand: Errand,
    /// What it said.
    pub word: Word,
    /// What was true then.
    pub truth: Truth,
    /// When, since the world began.
    pub at: Duration,
    /// How many requests that change something reached the platforms while it worked.
    pub writes: u64,
    /// How many records were written meanwhile.
    pub records: u64,
}

enum Finish {
    Ended(Box<Ended>),
    Died(u64),
    Hung(u64),
}

struct Play {
    arena: Arc<Arena>,
    director: Arc<Director>,
    ledger: Ledger,
    schedule: Schedule,
    told: Vec<(u64, UnboundedReceiver<Event>)>,
    next: u64,
}

/// Plays a schedule. Must run on a current-thread runtime with paused time. Errors: no temporary folder, or a disk that is full.
pub async fn play(blueprint: &Arc<Blueprint>, schedule: &Schedule) -> std::io::Result<Case> {
    play_sabotaged(blueprint, schedule, &Arc::default()).await
}

async fn play_sabotaged(blueprint: &Arc<Blueprint>, schedule: &Schedule, sabotage: &Arc<Sabotage>) -> std::io::Result<Case> {
    let arena = Arc::new(Arena::raise(blueprint.clone(), schedule).await?);
    let ground = arena.platforms.world.ground().clone();
    let (sender, mut orders) = unbounded_channel();
    let director = Arc::new(Director::new(ground.clone(), sender, &schedule.incidents));
    let platforms = &arena.platforms;
    ground.witness.call(Arc::new(Sabotaged { director: director.clone(), platforms: platforms.clone(), sabotage: sabotage.clone() }));
    let rules: Vec<u64> = schedule.rules.iter().map(|rule| ground.faults.set(rule.clone())).collect();
    let schedule = schedule.clone();
    let mut play =
        Play { arena: arena.clone(), director: director.clone(), ledger: Ledger::default(), schedule, told: Vec::new(), next: 1 };

    let (mut finishes, mut touched) = (Vec::new(), Vec::new());
    let mut running: FuturesUnordered<LocalBoxFuture<'_, Finish>> = FuturesUnordered::new();
    running.push(play.begin(Errand::Release));
    loop {
        tokio::select! {
            biased;
            Some(order) = orders.recv() => match order {
                Order::Release => running.push(play.begin(Errand::Release)),
                Order::Recover => running.push(play.begin(Errand::Recover)),
                Order::Forsake(runner) => arena.platforms.job_is_over(runner),
                Order::Crash(target) => arena.platforms.crash(&arena.blueprint, target.as_deref()),
                Order::Person(target) => touched.extend(arena.platforms.person(&arena.blueprint, target.as_deref())),
            },
            next = running.next() => match next {
                Some(finish) => finishes.push(finish),
                None => break,
            },
        }
    }
    drop(running);
    // From here on nothing goes wrong any more, and what is mended is mended.
    director.curtain();
    let struck = rules.iter().map(|rule| ground.faults.fired(*rule)).collect();
    ground.faults.clear();
    sabotage.comes(platforms, &Cue::Curtain).await;
    let mut recoveries = Vec::new();
    recoveries.extend(play.recover(&mut finishes).await);
    let late = latest(&play.schedule);
    if !late.is_zero() {
        tokio::time::sleep(late + REST).await;
        recoveries.extend(play.recover(&mut finishes).await);
    }
    tokio::time::sleep(REST).await;
    sabotage.comes(platforms, &Cue::LastRecovery).await;
    recoveries.extend(play.recover(&mut finishes).await);
    // What a release kept for a rollback has an end of its own: it comes, and then nothing is left either.
    if let Some(left) = play.kept_for().await? {
        tokio::time::sleep(left + REST).await;
        recoveries.extend(play.recover(&mut finishes).await);
        recoveries.extend(play.recover(&mut finishes).await);
    }
    tokio::time::sleep(REST).await;
    sabotage.comes(platforms, &Cue::Rest).await;
    let case = play.over(finishes, recoveries, struck).await.map(|case| Case { touched, ..case });
    ground.witness.dismiss();
    arena.platforms.world.end().await;
    case
}

impl Play {
    /// Begins a runner; it works when what is returned is polled.
    fn begin(&mut self, errand: Errand) -> LocalBoxFuture<'static, Finish> {
        let number = self.next;
        self.next += 1;
        // A clock is a copy wherever it goes, so what shifts it must outlive them all; a few bytes a runner.
        let shift: &'static Shift = Box::leak(Box::new(Shift { wall_ms: AtomicI64::new(0), boot_ms: AtomicI64::new(0) }));
        let life = Life::new(number, shift);
        let (arena, director) = (self.arena.clone(), self.director.clone());
        let (runner, told) = Runner::new(&arena, &director, &self.ledger, self.schedule.keeping, life.clone(), self.schedule.seed);
        self.told.push((number, told));
        let ledger = self.ledger.clone();
        Box::pin(async move {
            let tape = &arena.platforms.world.ground().tape;
            let (from, records) = (tape.length(), ledger.all().len());
            let led = tokio::time::timeout(LIMIT, life.lead(runner.run(errand))).await;
            arena.platforms.job_is_over(number);
            let word = match led {
                Ok(Some(word)) => word,
                Ok(None) => return Finish::Died(number),
                Err(_) => {
                    life.become_(Being::Dead);
                    return Finish::Hung(number);
                }
            };
            let crossed = tape.crossed();
            let writes = crossed.iter().skip(usize::try_from(from).unwrap_or(0)).filter(|crossed| crossed.write).count() as u64;
            Finish::Ended(Box::new(Ended {
                runner: number,
                errand,
                word,
                truth: arena.platforms.truth(&arena.blueprint),
                at: arena.clock.elapsed(),
                writes,
                records: (ledger.all().len() - records) as u64,
            }))
        })
    }

    async fn recover(&mut self, finishes: &mut Vec<Finish>) -> Option<Ended> {
        match self.begin(Errand::Recover).await {
            Finish::Ended(ended) => Some(*ended),
            other => {
                finishes.push(other);
                None
            }
        }
    }

    /// Returns for how long what the newest record says is kept still stays, if anything is.
    async fn kept_for(&self) -> std::io::Result<Option<Duration>> {
        if !self.arena.blueprint.keeps() {
            return Ok(None);
        }
        let now = self.arena.clock.now();
        let records = self.records().await?;
        let until = records.last().and_then(|record| record.state.kept.values().map(|kept| kept.until).max());
        Ok(until.map(|until| Duration::try_from(until.duration_since(now)).unwrap_or_default()))
    }

    /// Reads the journal when everything is over.
    async fn records(&self) -> std::io::Result<Vec<Record>> {
        match self.schedule.keeping {
            Keeping::File => FileStore::read(&self.arena.journal()).map_err(std::io::Error::other),
            Keeping::Ref => {
                let (blueprint, world) = (&self.arena.blueprint, self.arena.platforms.world.clone());
                let line = Line::new(world, self.director.clone(), Life::new(0, &UNSHIFTED));
                let transport = Transport::new(Arc::new(line), self.arena.clock, Arc::new(Chance::seeded(0)));
                let mut store = RefStore::new(&github(transport), &blueprint.product, &blueprint.environment);
                store.records(usize::MAX).await.map_err(std::io::Error::other)
            }
        }
    }

    async fn over(&mut self, finishes: Vec<Finish>, recoveries: Vec<Ended>, struck: Vec<u64>) -> std::io::Result<Case> {
        let (platforms, blueprint) = (&self.arena.platforms, &self.arena.blueprint);
        let (mut ended, mut died, mut hung) = (Vec::new(), Vec::new(), Vec::new());
        for finish in finishes {
            match finish {
                Finish::Ended(one) => ended.push(*one),
                Finish::Died(number) => died.push(number),
                Finish::Hung(number) => hung.push(number),
            }
        }
        let mut events = Vec::new();
        for (number, told) in &mut self.told {
            while let Ok(event) = told.try_recv() {
                events.push((*number, event));
            }
        }
        let ground = platforms.world.ground();
        let lives = self.director.lives();
        Ok(Case {
            schedule: self.schedule.clone(),
            struck,
            happened: self.director.happened(),
            died,
            hung,
            ran_away: self.director.ran_away(),
            ghosts: lives.iter().map(Life::ghosts).sum(),
            before: self.arena.before.clone(),
            rest: platforms.truth(blueprint),
            records: self.records().await?,
            ledger: self.ledger.all(),
            met: self.director.met(),
            tape: ground.tape.entries(),
            changes: ground.traffic.changes(),
            lives: ground.traffic.all_lives(),
            lags: ground.traffic.all_lags(),
            events,
            touched: Vec::new(),
            until_consistent: recoveries.first().filter(|_| !self.schedule.is_calm()).map(|first| first.at),
            ended,
            recoveries,
        })
    }
}

impl Case {
    /// Returns whether everything that was to go wrong did, and made a difference.
    pub fn fired(&self) -> bool {
        let in_vain = self.tape.iter().any(|entry| entry.fault.as_ref().is_some_and(|fault| fault.contains("in vain")));
        !in_vain && self.struck.iter().all(|struck| *struck > 0) && self.happened.iter().all(|happened| *happened)
    }

    /// Returns whether a machine died in it.
    pub fn crashed(&self) -> bool {
        self.schedule.incidents.iter().any(|incident| incident.act == Act::Crash)
    }

    /// Returns by how much the latest effect of the schedule is late.
    pub fn latest(&self) -> Duration {
        latest(&self.schedule)
    }

    /// Returns whether the journal says that the release stays.
    pub fn committed(&self) -> bool {
        self.records.iter().any(|record| record.entry.as_str() == "committed")
    }

    /// Returns a digest of everything that was asked and answered: the same schedule gives the same.
    pub fn tape_digest(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for entry in &self.tape {
            hash.update(serde_json::to_vec(entry).unwrap_or_default());
        }
        for met in &self.met {
            hash.update(format!("{} {} {:?}\n", met.boundary, met.sender, met.at));
        }
        tape::hex(hash.finalize().as_slice())
    }
}

fn latest(schedule: &Schedule) -> Duration {
    let late = schedule.rules.iter().map(|rule| if let Effect::Late(by) = rule.effect { by } else { Duration::ZERO });
    late.max().unwrap_or_default()
}

/// Plays a schedule on a runtime of its own, with a time of its own; blocks.
pub fn played(blueprint: &Arc<Blueprint>, schedule: &Schedule) -> std::io::Result<Case> {
    played_sabotaged(blueprint, schedule, &Arc::default())
}

/// As [`played`], in a world that does on purpose what must never be.
pub fn played_sabotaged(blueprint: &Arc<Blueprint>, schedule: &Schedule, sabotage: &Arc<Sabotage>) -> std::io::Result<Case> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(play_sabotaged(blueprint, schedule, sabotage))
}
