//! A run from its ask to its conclusion: preflight, gates, builds, release. The only file that knows their order.

use std::path::{Path, PathBuf};

use super::arguments::Forward;
use super::ask::Ask;
use super::build::{self, Artifacts};
use super::stage::{Means, Stage};
use super::{gates, hold, journal, preflight, recover, targets};
use crate::event::{EventKind, Level, Outcome, Serving};
use crate::exit;
use crate::id::{Name, ReleaseId};
use crate::platform::{AnyTarget, Target};
use crate::release::journal::Journal;
use crate::release::lock::{self, Patience};
use crate::release::plan::Shipment;
use crate::release::{Context, DriftPolicy, Failure, Move, Plan, Release};

/// What a command adds to an ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Release only these targets; all when empty.
    pub(crate) only: Vec<Name>,
    /// Ship what an earlier `build --out` made.
    pub(crate) artifacts: Option<PathBuf>,
    /// Do not run gates.
    pub(crate) skip_gates: bool,
    /// Run only these gates and what they need; all when empty.
    pub(crate) gates: Vec<Name>,
    /// What it may do that it refuses by default.
    pub(crate) forward: Forward,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Conclusion {
    /// The outcome.
    pub(crate) outcome: Outcome,
    /// What serves now; [`Serving::Before`] where nothing was touched.
    pub(crate) serving: Serving,
    /// Why it did not finish, unless the release's own ending has said so.
    pub(crate) failure: Option<String>,
    /// What to try or type next.
    pub(crate) hints: Vec<String>,
}

impl Conclusion {
    /// Returns the conclusion of a run that touched nothing.
    pub(crate) fn untouched(outcome: Outcome) -> Self {
        Self { outcome, serving: Serving::Before, failure: None, hints: Vec::new() }
    }

    /// Returns the conclusion of a run that stopped before anything was touched.
    pub(crate) fn refused(failure: impl Into<String>, hints: Vec<String>) -> Self {
        Self { outcome: Outcome::PreflightFailed, serving: Serving::Before, failure: Some(failure.into()), hints }
    }

    /// Returns the process's exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Finished | Outcome::Carried | Outcome::Superseded => exit::DONE,
            Outcome::GatesFailed => exit::GATE_FAILED,
            Outcome::RolledBack => exit::ROLLED_BACK,
            Outcome::Stuck => exit::STUCK,
            Outcome::PreflightFailed | Outcome::Held => exit::PREFLIGHT_FAILED,
            Outcome::Cancelled => exit::CANCELLED,
        }
    }
}

/// Why a run stops short of a release's own ending.
pub(super) type Stop = Conclusion;

/// Does what was asked, and tells its beginning and its end.
pub(crate) async fn conduct(stage: &Stage, ask: &Ask, options: &Options) -> Conclusion {
    let environment = match ask {
        Ask::Nothing { .. } => None,
        Ask::GatesOnly { environment, .. } => environment.clone(),
        Ask::Release { environment, .. } | Ask::Rollback { environment, .. } => Some(environment.clone()),
    };
    stage.events.emit(EventKind::RunStarted {
        product: stage.manifest.product.clone(),
        environment,
        commit: stage.trigger.tested_commit().to_owned(),
        trigger: stage.trigger.to_string(),
    });
    for caveat in caveats(stage) {
        stage.events.notice(Level::Warning, "git::caveat", caveat);
    }
    let conclusion = match ask {
        Ask::Nothing { because } => {
            stage.events.notice(Level::Note, "run::nothing", format!("Nothing to do: {because}."));
            Conclusion::untouched(Outcome::Carried)
        }
        Ask::GatesOnly { because, environment } => {
            stage.events.notice(Level::Note, "run::gates-only", format!("Gates only: {because}."));
            match gates::run(stage, environment.as_ref(), &options.gates).await {
                Ok(()) => Conclusion::untouched(Outcome::Finished),
                Err(outcome) => Conclusion::untouched(outcome),
            }
        }
        Ask::Release { environment, dry_run } => release(stage, environment, options, *dry_run).await.unwrap_or_else(|stop| stop),
        Ask::Rollback { environment, to } => rollback(stage, environment, to.as_deref()).await.unwrap_or_else(|stop| stop),
    };
    let conclusion = cancelled_if_asked(stage, conclusion);
    tell_end(stage, &conclusion);
    conclusion
}

/// Turns a refusal that the signal itself caused (a builder that was asked and ended, for example) into what it is.
fn cancelled_if_asked(stage: &Stage, conclusion: Conclusion) -> Conclusion {
    let asked = stage.shutdown.level() >= crate::shutdown::Level::Drain;
    match conclusion.outcome {
        Outcome::PreflightFailed if asked => Conclusion { failure: None, hints: Vec::new(), ..Conclusion::untouched(Outcome::Cancelled) },
        _ => conclusion,
    }
}

/// Tells how the run ended; the last event of every run.
pub(crate) fn tell_end(means: &Means, conclusion: &Conclusion) {
    let requests = means.transport.requests().into_iter().map(|(platform, count)| (platform, count.reads + count.writes)).collect();
    means.events.emit(EventKind::RunFinished {
        outcome: conclusion.outcome,
        exit_code: conclusion.exit_code(),
        serving: conclusion.serving,
        failure: conclusion.failure.clone(),
        hints: conclusion.hints.clone(),
        requests,
    });
}

fn caveats(stage: &Stage) -> Vec<String> {
    let sentence = |caveat: &str| format!("{caveat}.");
    match &stage.trigger.source {
        crate::trigger::Source::Person(checkout) if !stage.rehearsal => checkout.caveats().into_iter().map(sentence).collect(),
        _ => Vec::new(),
    }
}

/// Preflight, gates, builds, release.
async fn release(stage: &Stage, environment: &Name, options: &Options, dry_run: bool) -> Result<Conclusion, Stop> {
    let context = Context { drift: drift_policy(options.forward), ..stage.context(environment, stage.trigger.to_string()) };
    let mut journal = journal::open(stage, environment).await?;
    not_held(environment, &journal)?;
    if dry_run {
        tell_unfinished(stage, &journal);
    } else {
        // An abandoned release is brought to its end at once; one that is at work is waited for when there is something to release.
        match recover::first(stage, &context, &mut journal, Patience::NONE).await {
            Err(stop) if stop.outcome == Outcome::Held => tell_unfinished(stage, &journal),
            other => drop(other?),
        }
    }
    // Only what is released is asked for credentials.
    let all = targets::through(stage, &recover::guarded(stage, &journal), environment, &options.only).map_err(unusable)?;
    preflight::run(stage, &context, &all, &journal, options.forward.older).await?;
    if !options.skip_gates && options.artifacts.is_none() {
        gates::run(stage, Some(environment), &[]).await.map_err(Conclusion::untouched)?;
    }
    let artifacts = match &options.artifacts {
        Some(folder) => build::read(stage, environment, folder),
        None => build::build(stage, environment, &options.only).await,
    };
    let artifacts = artifacts.map_err(failed_build)?;
    if dry_run {
        let plan = Plan::make(&context, moves(stage, environment, all, &artifacts, true).await?).await.map_err(refused)?;
        let text = format!("Dry run: {} of {} targets would move; nothing was changed.", plan.moving().count(), plan.targets.len());
        stage.events.notice(Level::Note, "run::dry", text);
        return Ok(Conclusion::untouched(Outcome::Carried));
    }
    drop(all);
    let read = journal.sequence();
    in_turn(stage, &context, &mut journal, async |journal| {
        // Gates and builds take their time: a person may have decided otherwise meanwhile, or a newer commit may serve by now.
        not_held(environment, journal)?;
        if journal.sequence() != read && !options.forward.older {
            not_superseded(stage, &context, journal).await?;
        }
        let all = targets::through(stage, &recover::guarded(stage, journal), environment, &options.only).map_err(unusable)?;
        moves(stage, environment, all, &artifacts, false).await
    })
    .await
}

/// How often a turn may be lost to a run that took it at the same moment.
const LOST_TURNS: usize = 5;

/// Waits for the environment's turn and releases what `make` says; where another run took the turn at the same moment, waits once more.
async fn in_turn(
    stage: &Stage,
    context: &Context,
    journal: &mut Journal,
    make: impl AsyncFn(&Journal) -> Result<Vec<Move>, Stop>,
) -> Result<Conclusion, Stop> {
    for lost in 0..LOST_TURNS {
        journal.refresh().await.map_err(|error| journal::refusal(&error, Some(&context.environment)))?;
        recover::first(stage, context, journal, Patience::default()).await?;
        let mut context = context.clone();
        if lost > 0 {
            context.release = ReleaseId::new(stage.clock.now(), stage.transport.chance());
        }
        let plan = Plan::make(&context, make(journal).await?).await.map_err(refused)?;
        let ending = Release::new(context, journal, plan).run().await;
        if !ending.lost_its_turn() {
            return Ok(ended(&ending));
        }
        stage.events.notice(Level::Note, "lock::lost", "Another run began at the same moment; waiting for it.");
    }
    let text = format!("other runs took the turn {LOST_TURNS} times; nothing was touched");
    Err(Conclusion { outcome: Outcome::Held, ..Conclusion::refused(text, vec!["run it again".to_owned()]) })
}

/// Ends the run in peace where a newer commit was released while it waited.
async fn not_superseded(stage: &Stage, context: &Context, journal: &Journal) -> Result<(), Stop> {
    let Some(text) = preflight::older_than_serving(stage, context, journal).await else { return Ok(()) };
    stage.events.notice(Level::Note, "run::superseded", format!("Superseded while it waited: {text}."));
    Err(Conclusion::untouched(Outcome::Superseded))
}

/// Refuses where a person wants no release to begin.
fn not_held(environment: &Name, journal: &Journal) -> Result<(), Stop> {
    let Some(hold) = &journal.state().hold else { return Ok(()) };
    let text = format!("{environment} is held: {} (by {}, since {}); nothing was touched", hold.reason, hold.by.id, hold::when(hold));
    let hints = vec![format!("cutover hold {environment} --off")];
    Err(Conclusion { outcome: Outcome::Held, ..Conclusion::refused(text, hints) })
}

fn tell_unfinished(stage: &Stage, journal: &Journal) {
    if let Some(open) = &journal.state().open {
        let text = format!(
            "The release {} by {} is {}; nothing else begins before its end.",
            open.begun.release,
            lock::named(&open.owner),
            open.stage.in_words()
        );
        stage.events.notice(Level::Note, "release::unfinished-found", text);
    }
}

/// A release of what an earlier release shipped.
async fn rollback(stage: &Stage, environment: &Name, to: Option<&str>) -> Result<Conclusion, Stop> {
    let mut journal = journal::open(stage, environment).await?;
    if let Some(hold) = &journal.state().hold {
        // A hold is there so that nothing new begins; going back is what it may be there for.
        let text =
            format!("{environment} is held: {} (by {}, since {}); going back all the same.", hold.reason, hold.by.id, hold::when(hold));
        stage.events.notice(Level::Warning, "hold::going-back", text);
    }
    // A person asks for this very change of what serves, whoever made that.
    let context = Context { drift: DriftPolicy::Override, ..stage.context(environment, format!("rollback ({})", stage.trigger)) };
    recover::first(stage, &context, &mut journal, Patience::default()).await?;
    let all = targets::through(stage, &recover::guarded(stage, &journal), environment, &[]).map_err(unusable)?;
    preflight::run(stage, &context, &all, &journal, true).await?;
    let state = journal.state();
    let earlier = match to {
        Some(release) => state.closed.iter().find(|closed| closed.release.as_str() == release && closed.finished),
        None => state.previous(),
    };
    let Some(earlier) = earlier.cloned() else {
        let known: Vec<_> = state.closed.iter().filter(|closed| closed.finished).map(|closed| closed.release.as_str()).collect();
        let text = match to {
            Some(release) => format!("the journal of {environment} has no finished release {release}"),
            None => format!("the journal of {environment} has no finished release before the one that serves"),
        };
        let hint =
            if known.is_empty() { "it knows no finished release at all".to_owned() } else { format!("it knows {}", known.join(", ")) };
        return Err(Conclusion::refused(text, vec![hint]));
    };
    let mut context = context;
    context.commit.clone_from(&earlier.commit);
    let text =
        format!("Going back to {} of {}, commit {}.", earlier.release, earlier.at.strftime("%Y-%m-%d %H:%M UTC"), short(&earlier.commit));
    stage.events.notice(Level::Note, "rollback::to", text);
    let mut moves = Vec::new();
    for target in all {
        match earlier.targets.get(target.name()) {
            Some(shipped) => moves.push(move_of(stage, environment, target, Shipment::Earlier(Box::new(shipped.clone())))),
            None => {
                let text = format!("{} was no part of {}; it stays as it is.", target.name(), earlier.release);
                stage.events.notice(Level::Warning, "rollback::not-part", text);
            }
        }
    }
    let plan = Plan::make(&context, moves).await.map_err(refused)?;
    Ok(ended(&Release::new(context, &mut journal, plan).run().await))
}

/// Gates and builds, with everything that a release needs written into a folder; no platform is asked.
pub(crate) async fn build_only(stage: &Stage, environment: &Name, out: &Path, skip_gates: bool) -> Conclusion {
    stage.events.emit(EventKind::RunStarted {
        product: stage.manifest.product.clone(),
        environment: None,
        commit: stage.trigger.tested_commit().to_owned(),
        trigger: stage.trigger.to_string(),
    });
    let work = async {
        if !skip_gates {
            gates::run(stage, Some(environment), &[]).await.map_err(Conclusion::untouched)?;
        }
        let artifacts = build::build(stage, environment, &[]).await.map_err(failed_build)?;
        build::write(stage, environment, &artifacts, out).map_err(failed_build)?;
        Ok(Conclusion::untouched(Outcome::Finished))
    };
    let conclusion: Conclusion = work.await.unwrap_or_else(|stop: Stop| stop);
    tell_end(stage, &conclusion);
    conclusion
}

async fn moves(stage: &Stage, environment: &Name, chosen: Vec<AnyTarget>, artifacts: &Artifacts, dry_run: bool) -> Result<Vec<Move>, Stop> {
    let mut moves = Vec::new();
    for target in chosen {
        let artifact = build::artifact_of(stage, environment, &target, artifacts, dry_run).await.map_err(failed_build)?;
        moves.push(move_of(stage, environment, target, Shipment::New(artifact)));
    }
    Ok(moves)
}

fn move_of(stage: &Stage, environment: &Name, target: AnyTarget, shipment: Shipment) -> Move {
    let view = stage.manifest.in_environment(environment);
    let named = view.as_ref().and_then(|view| view.targets.get(target.name()));
    let (after, checks) = named.map(|target| (target.after.clone(), target.verify.clone())).unwrap_or_default();
    Move { target, shipment, after, checks }
}

/// Returns what is done about what somebody else changed.
const fn drift_policy(forward: Forward) -> DriftPolicy {
    match (forward.adopt, forward.overriding) {
        (true, _) => DriftPolicy::Adopt,
        (false, true) => DriftPolicy::Override,
        (false, false) => DriftPolicy::Refuse,
    }
}

fn ended(ending: &crate::release::Ending) -> Conclusion {
    // The release has told its failure and its hints in its own last event.
    Conclusion { outcome: ending.outcome, serving: ending.serving, failure: None, hints: Vec::new() }
}

pub(super) fn refused(failure: Failure) -> Stop {
    let outcome = if failure.cancelled { Outcome::Cancelled } else { Outcome::PreflightFailed };
    Conclusion { outcome, ..Conclusion::refused(failure.to_string(), failure.hints) }
}

fn unusable(fault: targets::Unusable) -> Stop {
    Conclusion::refused(fault.to_string(), fault.hints)
}

fn failed_build(error: build::BuildFailure) -> Stop {
    Conclusion { outcome: error.outcome, ..Conclusion::refused(error.text, error.hints) }
}

/// Returns a commit in the length that people use.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
