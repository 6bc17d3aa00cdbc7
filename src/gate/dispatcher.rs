//! The dispatcher: owns which gates wait, run and have ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use super::{Board, Engine, GatePlan, PlannedGate, attempt};
use crate::event::{EventKind, Events, GateOutcome};
use crate::id::{Chance, Name};
use crate::mask::Masker;
use crate::process::Bounds;
use crate::shutdown::{Level, Shutdown};

/// What the gates of a run share.
#[derive(Debug, Clone)]
pub struct GateContext {
    /// Where everything is told.
    pub events: Events,
    /// By what they are ended.
    pub shutdown: Shutdown,
    /// By what their output passes.
    pub masker: Masker,
    /// Names containers.
    pub chance: Arc<Chance>,
    /// Where others see how gates ended.
    pub board: Board,
    /// How long a gate may take to end after it was asked to.
    pub grace: Duration,
}

impl GateContext {
    /// Returns a context with a board of its own and the default grace.
    pub fn new(events: Events, shutdown: Shutdown, masker: Masker, chance: Arc<Chance>) -> Self {
        Self { events, shutdown, masker, chance, board: Board::default(), grace: Bounds::default().grace }
    }
}

/// What became of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateResult {
    /// The gate.
    pub name: Name,
    /// How it ended.
    pub outcome: GateOutcome,
    /// Of all attempts together.
    pub duration: Duration,
    /// How many there were; zero when it never started.
    pub attempts: u32,
    /// The last lines of the last attempt, secrets masked; empty when it passed.
    pub last_lines: Vec<String>,
}

/// What became of all gates, in the plan's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatesReport {
    /// One for each gate of the plan.
    pub gates: Vec<GateResult>,
}

impl GatesReport {
    /// Returns whether every gate passed.
    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.outcome.passed())
    }

    /// Returns whether a cancellation ended or kept back any of them.
    pub fn cancelled(&self) -> bool {
        self.gates.iter().any(|gate| gate.outcome == GateOutcome::Cancelled || gate.outcome == not_started_by_cancellation())
    }
}

/// Runs the gates of `plan` to their outcomes; returns when nothing of them runs any more.
///
/// Never fails: whatever happens to a gate is its outcome. Dropping the future kills the gates' leaders but leaves containers of services
/// behind: raise the shutdown and wait instead.
pub async fn run_gates(plan: GatePlan, context: GateContext) -> GatesReport {
    let order: Vec<Name> = plan.gates.iter().map(|gate| gate.name.clone()).collect();
    let mut dispatcher = Dispatcher::new(plan, context);
    dispatcher.start_ready();
    loop {
        let draining = dispatcher.draining;
        tokio::select! {
            biased;
            () = dispatcher.context.shutdown.at_least(Level::Drain), if !draining => dispatcher.drain(),
            ended = dispatcher.running.join_next_with_id() => match ended {
                Some(ended) => dispatcher.ended(ended),
                None => break,
            },
        }
        dispatcher.start_ready();
    }
    dispatcher.give_up_the_rest();
    dispatcher.context.board.close();
    let mut results = dispatcher.results;
    GatesReport { gates: order.iter().filter_map(|name| results.remove(name)).collect() }
}

struct Dispatcher {
    context: Arc<GateContext>,
    engine: Engine,
    parallel: usize,
    waiting: Vec<PlannedGate>,
    running: JoinSet<GateResult>,
    names: HashMap<Id, Name>,
    results: BTreeMap<Name, GateResult>,
    draining: bool,
}

impl Dispatcher {
    fn new(plan: GatePlan, context: GateContext) -> Self {
        Self {
            engine: Engine::new(plan.engine, plan.environment, context.masker.clone()),
            draining: false,
            context: Arc::new(context),
            parallel: plan.parallel.max(1),
            waiting: plan.gates,
            running: JoinSet::new(),
            names: HashMap::new(),
            results: BTreeMap::new(),
        }
    }

    /// Starts waiting gates whose needs have passed, in order, while there is room; settles those whose needs have not.
    fn start_ready(&mut self) {
        let mut at = 0;
        while at < self.waiting.len() {
            match self.readiness(&self.waiting[at]) {
                Readiness::Never(because) => {
                    let gate = self.waiting.remove(at);
                    self.settle(not_started(gate.name, because));
                    // What depends on it may stand before it.
                    at = 0;
                }
                Readiness::Now if self.running.len() < self.parallel && !self.draining => {
                    let gate = self.waiting.remove(at);
                    let name = gate.name.clone();
                    let task = self.running.spawn(attempt::run(gate, self.engine.clone(), Arc::clone(&self.context)));
                    self.names.insert(task.id(), name);
                }
                Readiness::Now | Readiness::NotYet => at += 1,
            }
        }
    }

    fn readiness(&self, gate: &PlannedGate) -> Readiness {
        let mut all = true;
        for need in &gate.needs {
            match self.results.get(need).map(|result| &result.outcome) {
                Some(outcome) if outcome.passed() => {}
                Some(outcome) => return Readiness::Never(cause(need, outcome)),
                None => all = false,
            }
        }
        if all { Readiness::Now } else { Readiness::NotYet }
    }

    fn ended(&mut self, ended: Result<(Id, GateResult), JoinError>) {
        let result = match ended {
            Ok((id, result)) => {
                self.names.remove(&id);
                result
            }
            Err(error) => match self.names.remove(&error.id()) {
                // A fault of ours: it must look like a failure, not like a gate that never was.
                Some(name) => GateResult {
                    name,
                    outcome: GateOutcome::OutputUnreadable { reason: format!("cutover's own task failed: {error}") },
                    duration: Duration::ZERO,
                    attempts: 1,
                    last_lines: Vec::new(),
                },
                None => return,
            },
        };
        self.settle(result);
    }

    fn settle(&mut self, result: GateResult) {
        self.context.events.emit(EventKind::GateFinished {
            gate: result.name.clone(),
            outcome: result.outcome.clone(),
            duration: result.duration,
            attempts: result.attempts,
            last_lines: result.last_lines.clone(),
        });
        self.context.board.post(&result.name, &result.outcome);
        self.results.insert(result.name.clone(), result);
    }

    /// Begins nothing more; what runs sees the shutdown by itself.
    fn drain(&mut self) {
        self.draining = true;
        for gate in std::mem::take(&mut self.waiting) {
            let outcome = not_started_by_cancellation();
            self.settle(GateResult { outcome, ..not_started(gate.name, String::new()) });
        }
    }

    /// Settles gates that can never become ready: a plan with a cycle or an unknown name, which validation should have refused.
    fn give_up_the_rest(&mut self) {
        for gate in std::mem::take(&mut self.waiting) {
            let because = "what it needs is not among the gates of this run".to_owned();
            self.settle(not_started(gate.name, because));
        }
    }
}

enum Readiness {
    Now,
    NotYet,
    Never(String),
}

/// Returns why a gate is not started whose need ended so; names the gate that failed, not the chain between.
fn cause(need: &Name, outcome: &GateOutcome) -> String {
    match outcome {
        GateOutcome::NotStarted { because } => because.clone(),
        outcome => format!("{need} {outcome}"),
    }
}

fn not_started(name: Name, because: String) -> GateResult {
    GateResult { name, outcome: GateOutcome::NotStarted { because }, duration: Duration::ZERO, attempts: 0, last_lines: Vec::new() }
}

fn not_started_by_cancellation() -> GateOutcome {
    GateOutcome::NotStarted { because: "the run was cancelled".to_owned() }
}
