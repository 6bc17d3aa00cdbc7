//! One gate from its first attempt to its outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::{GateContext, GateResult};
use super::service::{RunningService, ServiceError};
use super::tail::Tail;
use super::test_report::{self, Awaited, Trouble};
use super::{Engine, EngineError, PlannedGate, outputs};
use crate::event::{EventKind, GateOutcome, Stream, TestResults};
use crate::id::Name;
use crate::process::{self, Bounds, Ended, Line, Pipe};
use crate::shutdown::Level;

/// Runs a gate, with its retries, to its outcome; emits everything but the end, which is the dispatcher's to tell.
pub(super) async fn run(gate: PlannedGate, engine: Engine, context: Arc<GateContext>) -> GateResult {
    let began = Instant::now();
    let mut attempt = 1;
    let mut earlier = Vec::new();
    loop {
        context.events.emit(EventKind::GateStarted { gate: gate.name.clone(), attempt });
        let awaited = gate.report.clone().map(|pattern| awaited(&gate, pattern));
        let awaited = match awaited {
            Some(awaited) => awaited.await.ok(),
            None => None,
        };
        let (outcome, tail) = once(&gate, &engine, &context).await;
        let last = attempt > gate.retries || !worth_retrying(&outcome) || context.shutdown.level() >= Level::Drain;
        if last {
            let outcome = if attempt > 1 && outcome.passed() { GateOutcome::Flaky } else { outcome };
            if let Some(awaited) = awaited {
                let earlier = if outcome.passed() { std::mem::take(&mut earlier) } else { Vec::new() };
                tell_tests(&gate.name, awaited, earlier, &outcome, &context).await;
            }
            let last_lines = if outcome.passed() { Vec::new() } else { tail.into_lines() };
            return GateResult { name: gate.name, outcome, duration: began.elapsed(), attempts: attempt, last_lines };
        }
        if let Some(awaited) = awaited {
            earlier.extend(read(awaited).await.0);
        }
        context.events.emit(EventKind::GateAttemptFailed { gate: gate.name.clone(), attempt, outcome });
        attempt += 1;
    }
}

/// Notes the report files that are there before an attempt, on a thread where a slow disk holds nothing up.
fn awaited(gate: &PlannedGate, pattern: String) -> tokio::task::JoinHandle<Awaited> {
    let (root, directory) = (gate.root.clone(), gate.command.directory().to_owned());
    tokio::task::spawn_blocking(move || Awaited::begin(&root, &directory, &pattern))
}

async fn read(awaited: Awaited) -> (Option<TestResults>, Vec<Trouble>) {
    // A fault of ours in reading a report is no fault of the gate.
    tokio::task::spawn_blocking(move || awaited.read()).await.unwrap_or_default()
}

/// Tells what the reports of a gate's last attempt say, and what kept them from saying more.
async fn tell_tests(gate: &Name, awaited: Awaited, earlier: Vec<TestResults>, outcome: &GateOutcome, context: &GateContext) {
    if matches!(outcome, GateOutcome::CouldNotStart { .. } | GateOutcome::ServiceFailed { .. } | GateOutcome::Cancelled) {
        return;
    }
    let (results, troubles) = read(awaited).await;
    for Trouble { level, code, what } in troubles {
        context.events.notice(level, code, format!("The gate {gate} {what}."));
    }
    if let Some(results) = results {
        let tests = test_report::with_earlier(results, earlier);
        context.events.emit(EventKind::GateTests { gate: gate.clone(), tests });
    }
}

/// Returns whether another attempt may end differently: a command that is not there is not there the second time either.
fn worth_retrying(outcome: &GateOutcome) -> bool {
    match outcome {
        GateOutcome::Failed { .. }
        | GateOutcome::Signalled { .. }
        | GateOutcome::TimedOut { .. }
        | GateOutcome::OutputMissing { .. }
        | GateOutcome::OutputUnreadable { .. }
        | GateOutcome::ServiceFailed { .. } => true,
        GateOutcome::Passed
        | GateOutcome::Flaky
        | GateOutcome::Leaky
        | GateOutcome::CouldNotStart { .. }
        | GateOutcome::Cancelled
        | GateOutcome::NotStarted { .. } => false,
    }
}

async fn once(gate: &PlannedGate, engine: &Engine, context: &GateContext) -> (GateOutcome, Tail) {
    let mut services = Vec::new();
    let ready = start_services(gate, engine, context, &mut services).await;
    let result = match ready {
        Ok(()) => with_services(gate, context, &services).await,
        Err(outcome) => (outcome, Tail::default()),
    };
    for service in services.into_iter().rev() {
        service.stop(engine).await;
    }
    result
}

async fn start_services(
    gate: &PlannedGate,
    engine: &Engine,
    context: &GateContext,
    running: &mut Vec<RunningService>,
) -> Result<(), GateOutcome> {
    for planned in &gate.services {
        match RunningService::start(engine, planned, &gate.name, &context.chance, &context.shutdown).await {
            Ok(service) => running.push(service),
            Err(ServiceError::Cancelled | ServiceError::Engine(EngineError::Cancelled)) => return Err(GateOutcome::Cancelled),
            Err(error) => return Err(GateOutcome::ServiceFailed { service: planned.name.to_string(), reason: error.to_string() }),
        }
    }
    Ok(())
}

async fn with_services(gate: &PlannedGate, context: &GateContext, services: &[RunningService]) -> (GateOutcome, Tail) {
    let addresses = services.iter().map(|service| (&service.variable.0, &service.variable.1));
    let command = gate.command.clone().environment(addresses);
    let bounds = Bounds { grace: context.grace, ..Bounds::timeout(gate.timeout) };
    let mut tail = Tail::default();
    let on_line = |line: Line| {
        tail.push(&line.text);
        context.events.emit(event(&gate.name, line));
    };
    let ended = process::run(&command, &bounds, &context.shutdown, &context.masker, on_line).await;
    let outcome = match ended {
        Ok(ended) => judged(gate, ended),
        Err(error) => GateOutcome::CouldNotStart { reason: error.to_string() },
    };
    (outcome, tail)
}

fn event(gate: &Name, line: Line) -> EventKind {
    let stream = match line.pipe {
        Pipe::Stdout => Stream::Stdout,
        Pipe::Stderr => Stream::Stderr,
    };
    EventKind::GateLine { gate: gate.clone(), stream, since: line.since, line: line.text }
}

fn judged(gate: &PlannedGate, ended: Ended) -> GateOutcome {
    match ended {
        Ended::Exited { code: 0, leaky } => match outputs::first_missing(&gate.root, &gate.outputs) {
            Some(path) => GateOutcome::OutputMissing { path: path.to_owned() },
            None if leaky => GateOutcome::Leaky,
            None => GateOutcome::Passed,
        },
        Ended::Exited { code, .. } => GateOutcome::Failed { code },
        Ended::Signalled { signal } => GateOutcome::Signalled { signal },
        Ended::TimedOut => GateOutcome::TimedOut { limit_ms: milliseconds(gate.timeout) },
        Ended::Cancelled => GateOutcome::Cancelled,
        Ended::Unreadable { reason } => GateOutcome::OutputUnreadable { reason },
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
