//! The commands that run something: they settle what is asked, let it run, and write down how it ended.

use std::path::PathBuf;

use tokio::sync::mpsc::UnboundedReceiver;

use super::arguments::{Changed, Forward, Output};
use super::ask::{self, Ask};
use super::conduct::{self, Conclusion, Options};
use super::preview;
use super::reporting::{self, Listening, Telling};
use super::stage::{self, Builds, Means, Stage};
use super::{Ended, Failure, Format};
use crate::clock::Clock;
use crate::event::{Event, Events, Level};
use crate::id::{Chance, Name};
use crate::manifest::{Loaded, Manifest, diagnostics, load};
use crate::settings::{Keeper, Settings};
use crate::shutdown::Shutdown;
use crate::trigger::{Checkout, HeardRun, Source, Trigger, is_actions, read_event};

/// What every command is given.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// The manifest.
    pub(super) manifest: PathBuf,
    /// Where journals are kept, where that was said.
    pub(super) journal: Option<Keeper>,
    /// In what form results are written.
    pub(super) format: Format,
    /// Only what failed and how it ended.
    pub(super) quiet: bool,
}

/// A stage with its listener, ready to run.
pub(super) struct Ready {
    /// What the run works with.
    pub(super) stage: Stage,
    /// Its events.
    pub(super) events: UnboundedReceiver<Event>,
    /// How it is told.
    pub(super) telling: Telling,
}

/// The means of a command without a manifest, with their listener.
pub(super) struct Settled {
    /// What the command works with.
    pub(super) means: Means,
    /// Its events.
    pub(super) events: UnboundedReceiver<Event>,
    /// How it is told.
    pub(super) telling: Telling,
}

/// Loads a manifest, or tells every fault of it.
pub(super) fn manifest(path: &std::path::Path) -> Result<Loaded, Failure> {
    load(path).map_err(|faults| {
        let shown = diagnostics::text(&faults.source, &faults.faults, &faults.warnings);
        let count = faults.faults.len();
        let faults = if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") };
        Failure::usage(format!("the manifest has {faults}; nothing was run\n\n{}", shown.trim_end()))
    })
}

/// Settles everything that a run on the real platforms works with.
pub(super) async fn ready(base: &Base) -> Result<Ready, Failure> {
    let loaded = manifest(&base.manifest)?;
    let settled = settle(base, loaded.root.clone(), Some(&loaded.manifest)).await?;
    let Settled { means, events, telling } = settled;
    Ok(Ready { stage: Stage { means, manifest: loaded.manifest, builds: Builds::Real, previewing: None }, events, telling })
}

/// Returns what the environment says.
fn settings() -> Result<Settings, Failure> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    Settings::from_environment(variables).map_err(|error| Failure::usage(error.to_string()))
}

/// Returns what the runner of a workflow says has started this run; `None` outside Actions.
pub(super) fn event() -> Result<Option<Trigger>, Failure> {
    let settings = settings()?;
    if !is_actions(&settings.environment) {
        return Ok(None);
    }
    let read = read_event(&settings.environment).and_then(|event| Trigger::from_actions(&settings.environment, &event));
    read.map(Some).map_err(|error| Failure::usage(error.to_string()))
}

/// Settles the means of a command: what it is told by the environment, where it stands, and who listens. `manifest` names more secrets to mask.
pub(super) async fn settle(base: &Base, root: PathBuf, manifest: Option<&Manifest>) -> Result<Settled, Failure> {
    let trigger = match event()? {
        Some(trigger) => trigger,
        None => Trigger::person(Checkout::read(&root).await),
    };
    settle_for(base, root, manifest, trigger)
}

/// Settles the means of the one command that hears of forks' runs, and the run that it heard of.
pub(super) fn settle_to_report(base: &Base, root: PathBuf) -> Result<(Settled, HeardRun), Failure> {
    let settings = settings()?;
    if !is_actions(&settings.environment) {
        return Err(Failure::usage("another workflow's run is reported by a job of a workflow only"));
    }
    let read = read_event(&settings.environment).and_then(|event| Trigger::to_report(&settings.environment, &event));
    let (trigger, heard) = read.map_err(|error| Failure::usage(error.to_string()))?;
    Ok((settle_for(base, root, None, trigger)?, heard))
}

fn settle_for(base: &Base, root: PathBuf, manifest: Option<&Manifest>, trigger: Trigger) -> Result<Settled, Failure> {
    let mut settings = settings()?;
    settings.journal = base.journal.or(settings.journal);
    let actions = trigger.run.is_some();
    // From here on a process of the same user cannot read our credentials; where the kernel refuses, the jobs are the boundary all the same.
    let _ = crate::process::forbid_reading_our_memory();
    let clock = Clock::system();
    let transport = stage::network(&settings, clock).map_err(|error| Failure::usage(error.to_string()))?;
    let shutdown = Shutdown::default();
    shutdown.listen().map_err(|error| Failure::preflight(format!("signals cannot be heard: {error}")))?;
    let (masker, too_short) = stage::masker(&settings, manifest);
    let (events, receiver) = Events::channel(clock);
    for name in too_short {
        events.notice(
            Level::Warning,
            "mask::too-short",
            format!("The value of {name} is too short to be masked; it may appear in the log."),
        );
    }
    let state_dir = stage::state_dir(&root, &settings);
    let chance = std::sync::Arc::new(Chance::from_system());
    let means = Means { settings, trigger, transport, events, shutdown, masker, clock, chance, root, state_dir, rehearsal: false };
    Ok(Settled { means, events: receiver, telling: Telling { format: base.format, quiet: base.quiet, actions } })
}

impl Ready {
    /// Runs `work` with everyone listening, then writes the files; returns the exit code.
    pub(super) async fn run<F>(self, environment: Option<&Name>, output: &Output, work: F) -> Ended
    where
        F: AsyncFnOnce(&Stage) -> Conclusion,
    {
        let Self { mut stage, events, telling } = self;
        let listening = Listening::begin(telling, &stage.masker, events);
        let reporter = reporting::github(&stage, environment);
        let told = reporting::on_github(reporter, listening.tally());
        let (conclusion, links) = tokio::join!(work(&stage), told);
        // The last sender goes with the stage's own, so that the listeners hear the end.
        drop(std::mem::replace(&mut stage.means.events, Events::channel(stage.means.clock).0));
        let report = listening.end().await;
        reporting::tell_troubles(&reporting::write_files(&stage, &report, &links, output));
        Ok(conclusion.exit_code())
    }
}

/// `cutover run`.
pub(super) async fn run(base: Base, environment: Option<Name>, dry_run: bool, output: Output, forward: Forward) -> Ended {
    let ready = ready(&base).await?;
    if environment.is_none() && !dry_run && previews(&ready.stage) {
        return preview::conducted(ready, None, false, &output).await;
    }
    let ask = ask::ask(&ready.stage.trigger, &ready.stage.manifest, environment.as_ref(), dry_run).map_err(misfit)?;
    let mut options = Options { forward, ..Options::default() };
    if let Source::Dispatch(dispatch) = &ready.stage.trigger.source {
        options.forward.older |= dispatch.older;
        options.reason.clone_from(&dispatch.reason);
    }
    conducted(ready, ask, options, &output).await
}

/// Returns whether a run previews a pull request: only where it was given a credential by which it could.
fn previews(stage: &Stage) -> bool {
    let ours =
        matches!(&stage.trigger.source, Source::PullRequest(pull_request) if !pull_request.is_fork && pull_request.action != "closed");
    ours && stage.manifest.preview_environment().is_some() && stage.settings.has_deploy_credential()
}

/// `cutover gates`.
pub(super) async fn gates(base: Base, gates: Vec<Name>, environment: Option<Name>, output: Output) -> Ended {
    let ready = ready(&base).await?;
    if let Some(unknown) = gates.iter().find(|name| !ready.stage.manifest.gates.contains_key(*name)) {
        let known: Vec<_> = ready.stage.manifest.gates.keys().map(Name::as_str).collect();
        return Err(Failure::usage(format!("the manifest has no gate {unknown}")).hint(format!("it has {}", known.join(", "))));
    }
    if let Some(name) = &environment {
        ask::known(&ready.stage.manifest, name).map_err(misfit)?;
    }
    let environment =
        environment.or_else(|| ready.stage.trigger.branch().and_then(|branch| ready.stage.manifest.environment_of_branch(branch)).cloned());
    let ask = Ask::GatesOnly { because: "cutover gates was asked for".to_owned(), environment };
    conducted(ready, ask, Options { gates, ..Options::default() }, &output).await
}

/// `cutover release`.
pub(super) async fn release(
    base: Base,
    environment: Name,
    only: Vec<Name>,
    artifacts: Option<PathBuf>,
    skip_gates: bool,
    output: Output,
    forward: Forward,
) -> Ended {
    let ready = ready(&base).await?;
    if ready.stage.manifest.environments.get(&environment).is_some_and(|it| it.pull_request.is_some() && it.branches.is_empty()) {
        return Err(Failure::usage(format!("{environment} previews pull requests and is never released")).hint("cutover preview"));
    }
    let ask = match ready.stage.trigger.source {
        // A person names the environment and answers for it; a workflow's run must stand on a branch that may release it.
        Source::Person(_) => {
            ask::known(&ready.stage.manifest, &environment).map_err(misfit)?;
            Ask::Release { environment, dry_run: false }
        }
        _ => ask::ask(&ready.stage.trigger, &ready.stage.manifest, Some(&environment), false).map_err(misfit)?,
    };
    conducted(ready, ask, Options { only, artifacts, skip_gates, forward, ..Options::default() }, &output).await
}

/// `cutover rollback`.
pub(super) async fn rollback(
    base: Base,
    environment: Name,
    to: Option<String>,
    (reason, over_migration): (Option<String>, bool),
    changed: Changed,
    output: Output,
) -> Ended {
    let ready = ready(&base).await?;
    ask::known(&ready.stage.manifest, &environment).map_err(misfit)?;
    ask::allowed(&ready.stage.trigger).map_err(misfit)?;
    let options = Options { reason, over_migration, forward: Forward { older: true, changed }, ..Options::default() };
    conducted(ready, Ask::Rollback { environment, to, dry_run: false }, options, &output).await
}

/// `cutover promote`.
pub(super) async fn promote(
    base: Base,
    [from, to]: [Name; 2],
    release: Option<String>,
    reason: Option<String>,
    changed: Changed,
    output: Output,
) -> Ended {
    let ready = ready(&base).await?;
    for name in [&from, &to] {
        ask::known(&ready.stage.manifest, name).map_err(misfit)?;
    }
    ask::allowed(&ready.stage.trigger).map_err(misfit)?;
    if from == to {
        return Err(Failure::usage(format!("{from} is both ends of the promotion")).hint("cutover promote --from ENV --to ENV"));
    }
    let options = Options { reason, forward: Forward { older: true, changed }, ..Options::default() };
    conducted(ready, Ask::Promote { from, to, release, dry_run: false }, options, &output).await
}

/// `cutover build`.
pub(super) async fn build(base: Base, environment: Option<Name>, out: PathBuf, skip_gates: bool, output: Output) -> Ended {
    let ready = ready(&base).await?;
    let own = ready.stage.trigger.branch().and_then(|branch| ready.stage.manifest.environment_of_branch(branch)).cloned();
    let Some(environment) = environment.or(own) else {
        return Err(Failure::usage("which environment is built for? The branch belongs to none").hint("cutover build ENV --out DIR"));
    };
    ask::known(&ready.stage.manifest, &environment).map_err(misfit)?;
    if ready.stage.manifest.preview_environment() == Some(&environment) {
        return preview::built(ready, &out, skip_gates, &output).await;
    }
    let name = environment.clone();
    ready.run(None, &output, async |stage| conduct::build_only(stage, &name, &out, skip_gates).await).await
}

/// Runs an ask to its end.
pub(super) async fn conducted(ready: Ready, ask: Ask, options: Options, output: &Output) -> Ended {
    let environment = ask.released().cloned();
    ready.run(environment.as_ref(), output, async |stage| conduct::conduct(stage, &ask, &options).await).await
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
pub(super) fn misfit(misfit: ask::Misfit) -> Failure {
    match misfit {
        ask::Misfit::ByDispatch { .. } => Failure::usage(misfit.to_string()).hint("cutover dispatch"),
        ask::Misfit::WrongBranch { .. } | ask::Misfit::NotAllowed { .. } => Failure::preflight(format!("{misfit}; nothing was touched")),
        ask::Misfit::UnknownEnvironment { .. } | ask::Misfit::NotNamed { .. } => Failure::usage(misfit.to_string()),
    }
}
