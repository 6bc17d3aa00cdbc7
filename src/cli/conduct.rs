//! A run from its ask to its conclusion: preflight, gates, builds, release. The only file that knows their order.

use std::path::{Path, PathBuf};

use super::arguments::Forward;
use super::ask::Ask;
use super::build::{self, Artifacts};
use super::earlier::{self, Shipments, Source};
use super::stage::{Means, Stage};
use super::{gates, hold, journal, older, preflight, recover, targets, turn};
use crate::event::{EventKind, Level, Outcome, Serving};
use crate::exit;
use crate::id::Name;
use crate::platform::{AnyTarget, Target};
use crate::release::journal::{Closed, Journal, State};
use crate::release::lock::{self, Patience};
use crate::release::plan::Shipment;
use crate::release::{Context, DriftPolicy, Failure, Move, Plan};

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
    /// Why, in a person's words.
    pub(crate) reason: Option<String>,
    /// Whether a rollback may go to code that is not known to work with the database as it is.
    pub(crate) over_migration: bool,
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
            Outcome::PreviewFailed => exit::PREVIEW_FAILED,
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
        Ask::GatesOnly { environment, .. } => environment.as_ref(),
        released => released.released(),
    };
    stage.events.emit(EventKind::RunStarted {
        product: stage.manifest.product.clone(),
        environment: environment.cloned(),
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
        Ask::Rollback { environment, to, dry_run } => {
            let (of, way) = (environment, Way::Back { to: to.as_deref() });
            earlier_release(stage, of, &way, options, *dry_run).await.unwrap_or_else(|stop| stop)
        }
        Ask::Again { environment, release, dry_run } => {
            let way = Way::Again { release };
            earlier_release(stage, environment, &way, options, *dry_run).await.unwrap_or_else(|stop| stop)
        }
        Ask::Promote { from, to, release, dry_run } => {
            let way = Way::From { environment: from, release: release.as_deref() };
            earlier_release(stage, to, &way, options, *dry_run).await.unwrap_or_else(|stop| stop)
        }
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
    let mut context = stage.context(environment, asked(stage));
    context.drift = options.forward.changed.policy();
    let mut opened = journal::open(stage, environment, true).await?;
    not_held(environment, &opened.journal)?;
    if dry_run {
        tell_unfinished(stage, &opened.journal);
    } else {
        // An abandoned release is brought to its end at once; one that is at work is waited for when there is something to release.
        match recover::first(stage, &context, &mut opened, Patience::NONE).await {
            Err(stop) if stop.outcome == Outcome::Held => tell_unfinished(stage, &opened.journal),
            other => drop(other?),
        }
    }
    if !options.skip_gates && options.artifacts.is_none() {
        preflight::gates_have_their_variables(stage, environment)?;
    }
    // Only what is released is asked for credentials.
    let all = targets::through(stage, &recover::guarded(stage, &opened.journal), environment, &options.only).map_err(unusable)?;
    preflight::run(stage, &context, &all, &opened.journal, options.forward.older).await?;
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
    let read = opened.journal.sequence();
    turn::release(stage, &context, &mut opened, async |journal, context| {
        // Gates and builds take their time: a person may have decided otherwise meanwhile, or a newer commit may serve by now.
        not_held(environment, journal)?;
        if journal.sequence() != read && !options.forward.older {
            not_superseded(stage, context, journal).await?;
        }
        let all = targets::through(stage, &recover::guarded(stage, journal), environment, &options.only).map_err(unusable)?;
        let moves = moves(stage, environment, all, &artifacts, false).await?;
        let moving: Vec<&AnyTarget> = moves.iter().map(|each| &each.target).collect();
        build::tell_images(stage, environment, &artifacts, &moving, journal.state()).await;
        Ok(moves)
    })
    .await
}

/// Ends the run in peace where a newer commit was released while it waited.
async fn not_superseded(stage: &Stage, context: &Context, journal: &Journal) -> Result<(), Stop> {
    let Some(text) = older::than_serving(stage, context, journal).await else { return Ok(()) };
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

/// From where a release takes what an earlier one shipped.
enum Way<'a> {
    /// From the same environment: a way back.
    Back { to: Option<&'a str> },
    /// From the same environment, forward: what that release shipped is released once more.
    Again { release: &'a str },
    /// From another environment: a promotion.
    From { environment: &'a Name, release: Option<&'a str> },
}

impl Way<'_> {
    /// Returns the other environment that it takes from, if it does.
    const fn from(&self) -> Option<&Name> {
        match self {
            Self::Back { .. } | Self::Again { .. } => None,
            Self::From { environment, .. } => Some(environment),
        }
    }
}

/// A release of what an earlier release shipped.
///
/// Which one that is, is decided in its turn: while it waited, or made files again, somebody else may have released, and the one before what
/// serves is another one then. What was made ready is used again as long as the choice stays.
async fn earlier_release(stage: &Stage, environment: &Name, way: &Way<'_>, options: &Options, dry_run: bool) -> Result<Conclusion, Stop> {
    let mut opened = journal::open(stage, environment, false).await?;
    match way {
        Way::From { .. } | Way::Again { .. } => not_held(environment, &opened.journal)?,
        Way::Back { .. } => tell_hold(stage, environment, &opened.journal),
    }
    let mut context = stage.context(environment, String::new());
    context.drift = match (way, options.forward.changed.policy()) {
        // A person asks for this very change of what serves, whoever made that.
        (Way::Back { .. }, DriftPolicy::Refuse) => DriftPolicy::Override,
        (_, policy) => policy,
    };
    if dry_run {
        return would_release(stage, environment, way, options, &opened.journal).await;
    }
    let mut ready: Option<(Closed, Shipments)> = None;
    turn::release(stage, &context, &mut opened, async |journal, context| {
        if !matches!(way, Way::Back { .. }) {
            not_held(environment, journal)?;
        }
        let earlier = allowed(stage, environment, way, options, journal).await?;
        context.commit.clone_from(&earlier.commit);
        context.reason = reason(stage, way, &earlier, options);
        let all = targets::through(stage, &recover::guarded(stage, journal), environment, &[]).map_err(unusable)?;
        if ready.as_ref().is_none_or(|(known, _)| known.release != earlier.release) {
            if ready.is_some() {
                let text = format!("Somebody else has released {environment} meanwhile, so another release is the one that is meant now.");
                stage.events.notice(Level::Warning, "earlier::another", text);
            }
            let text = format!("{}, of {}, commit {}.", context.reason, earlier.at.strftime("%Y-%m-%d %H:%M UTC"), short(&earlier.commit));
            stage.events.notice(Level::Note, "earlier::release", text);
            preflight::run(stage, context, &all, journal, true).await?;
            let source = Source { closed: &earlier, from: way.from() };
            let shipments = earlier::shipments(stage, context, &source, &all).await?;
            ready = Some((earlier, shipments));
        }
        let moves = all.into_iter().filter_map(|target| {
            let shipment = ready.as_ref()?.1.by_target.get(target.name())?.clone();
            Some(move_of(stage, environment, target, shipment))
        });
        Ok(moves.collect())
    })
    .await
}

/// Tells what would be released, and that nothing was.
async fn would_release(stage: &Stage, environment: &Name, way: &Way<'_>, options: &Options, journal: &Journal) -> Result<Conclusion, Stop> {
    let earlier = allowed(stage, environment, way, options, journal).await?;
    let why = reason(stage, way, &earlier, options);
    let text = format!("Dry run: {why}, commit {}; nothing was changed.", short(&earlier.commit));
    stage.events.notice(Level::Note, "run::dry", text);
    Ok(Conclusion::untouched(Outcome::Carried))
}

/// Returns the release that is meant, where nothing stands against releasing it now.
async fn allowed(stage: &Stage, environment: &Name, way: &Way<'_>, options: &Options, journal: &Journal) -> Result<Closed, Stop> {
    older::dispatched_again(stage, journal).await?;
    let earlier = meant(stage, environment, way, journal).await?;
    if let (Way::Again { .. }, Some(serving)) = (way, journal.state().serving())
        && serving.release != earlier.release
        && !options.forward.older
    {
        let text = format!("{} is older than {}, which serves {environment}; nothing was touched", earlier.release, serving.release);
        return Err(Conclusion::refused(text, vec!["to release it all the same: the input `older`; or the action rollback".to_owned()]));
    }
    if !matches!(way, Way::From { .. }) {
        over_migrations(stage, environment, journal, &earlier, options.over_migration)?;
    }
    Ok(earlier)
}

/// Returns what is recorded as the reason of a release of a commit.
fn asked(stage: &Stage) -> String {
    crate::report::plain(&stage.masker.text(&stage.trigger.asked()))
}

/// Refuses to go back to code that is not known to work with the database as migrations have left it since.
fn over_migrations(stage: &Stage, environment: &Name, journal: &Journal, earlier: &Closed, anyway: bool) -> Result<(), Stop> {
    let Some(why) = journal.state().barred(earlier) else { return Ok(()) };
    if anyway {
        stage.events.notice(Level::Warning, "rollback::over-migration", format!("{why}; going back all the same, as it was asked for."));
        return Ok(());
    }
    let text = format!("{} is not known to work with the database as it is: {why}; nothing was touched", earlier.release);
    let hint = format!("where it does work: cutover rollback {environment} --to {} --over-migration", earlier.release);
    Err(Conclusion::refused(text, vec![hint]))
}

/// Returns the release whose artifacts are meant, by the newest word of the journal that has it.
async fn meant(stage: &Stage, environment: &Name, way: &Way<'_>, journal: &Journal) -> Result<Closed, Stop> {
    match way {
        Way::Back { to } => chosen(environment, journal, *to, State::previous),
        Way::Again { release } => chosen(environment, journal, Some(release), State::previous),
        Way::From { environment, release } => {
            let other = journal::beside(stage, &stage.manifest.product, environment).await?;
            chosen(environment, &other, *release, State::serving)
        }
    }
}

/// Returns the finished release that is meant: by its id, or the usual one.
fn chosen(environment: &Name, journal: &Journal, id: Option<&str>, usual: fn(&State) -> Option<&Closed>) -> Result<Closed, Stop> {
    let state = journal.state();
    let finished = || state.closed.iter().filter(|closed| closed.finished);
    let found = match id {
        Some(id) => finished().find(|closed| closed.release.as_str() == id),
        None => usual(state),
    };
    if let Some(found) = found {
        return Ok(found.clone());
    }
    let text = match id {
        Some(id) => format!("the journal of {environment} has no finished release {id}; nothing was touched"),
        None => format!("the journal of {environment} has no finished release to take; nothing was touched"),
    };
    let known: Vec<_> = finished().map(|closed| closed.release.as_str()).collect();
    let hint = if known.is_empty() { "it knows no finished release at all".to_owned() } else { format!("it knows {}", known.join(", ")) };
    Err(Conclusion::refused(text, vec![hint]))
}

/// Returns what is recorded as the reason: what is done, who asked, and why in their words.
fn reason(stage: &Stage, way: &Way<'_>, earlier: &Closed, options: &Options) -> String {
    let what = match way {
        Way::Back { .. } => format!("rollback to {}", earlier.release),
        Way::Again { .. } => format!("release of what {} shipped", earlier.release),
        Way::From { environment, .. } => format!("promotion of {} from {environment}", earlier.release),
    };
    let actor = stage.trigger.run.as_ref().and_then(|run| run.actor.clone());
    let who = actor.unwrap_or_else(|| stage.owner().id);
    let why = options.reason.as_ref().map(|why| format!(": {}", crate::report::plain(&stage.masker.text(why)))).unwrap_or_default();
    format!("{what} by {who}{why}")
}

/// A hold is there so that nothing new begins; going back is what it may be there for.
fn tell_hold(stage: &Stage, environment: &Name, journal: &Journal) {
    if let Some(hold) = &journal.state().hold {
        let text =
            format!("{environment} is held: {} (by {}, since {}); going back all the same.", hold.reason, hold.by.id, hold::when(hold));
        stage.events.notice(Level::Warning, "hold::going-back", text);
    }
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
            preflight::gates_have_their_variables(stage, environment)?;
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
        let artifact =
            build::artifact_of(stage, environment, (target.name(), target.thing()), artifacts, dry_run).await.map_err(failed_build)?;
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

pub(super) fn ended(ending: &crate::release::Ending) -> Conclusion {
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
