//! `cutover rehearse`: a whole run on embedded platforms, from the event to the report, with failures on demand.
//!
//! It is the same code as `cutover run` over the same kind of sockets; only the addresses, the tokens and the event are the rehearsal's own.
//! No credential of the caller's environment is read, and no address outside this machine is asked.

mod previewed;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::arguments::{Rehearse, RehearsedEvent};
use super::ask::{self, Ask};
use super::conduct::{self, Options};
use super::reporting::Telling;
use super::run::{Base, Ready, manifest};
use super::stage::{self, Builds, Means, Stage};
use super::world::{Beginning, Embedded, GITHUB_TOKEN, PREVIEW_FLY_TOKEN, PREVIEW_ORGANISATION, PULL_REQUEST, REPOSITORY};
use super::{Ended, Failure, manifest_in, targets};
use crate::clock::Clock;
use crate::embedded::cloudflare;
use crate::embedded::fly::{Behaviour, Which};
use crate::embedded::vercel::Fate;
use crate::event::{Events, Level, Phase};
use crate::id::{Chance, Name};
use crate::manifest::{Loaded, Manifest, TargetPlatform};
use crate::platform::fly::FlySettings;
use crate::platform::fly::machine_config::RELEASE_COMMAND_GROUP;
use crate::platform::fly::toml::Strategy;
use crate::settings::{Settings, variable};
use crate::shutdown::Shutdown;
use crate::trigger::{Checkout, NO_COMMIT, Trigger};

/// The run id of every rehearsal.
const RUN_ID: u64 = 1;

/// Rehearses the product in a folder.
pub(super) async fn run(base: Base, arguments: Rehearse) -> Ended {
    let loaded = manifest(&manifest_in(&arguments.directory))?;
    let environment = chosen_environment(&loaded.manifest, arguments.environment.as_ref())?;
    let view = loaded.manifest.in_environment(&environment).unwrap_or_else(|| loaded.manifest.clone());
    check_failures(&view, &arguments.fail)?;
    let branch = loaded.manifest.environments[&environment].branches.first().cloned().unwrap_or_else(|| "main".to_owned());
    let beginning = Beginning { earlier: !arguments.first, engine: !arguments.no_engine, open: false, port: None };
    let embedded = Embedded::begin(Some((&loaded.root, &loaded.manifest)), beginning).await?;
    let state = tempfile::tempdir().map_err(|error| Failure::preflight(format!("a temporary folder cannot be made: {error}")))?;
    let sha = commit(&loaded.root).await;
    embedded.seed_commit(&loaded.manifest, &branch, &sha);
    embedded.seed_github(Some(&loaded.root), &branch, &sha, PULL_REQUEST, arguments.event == RehearsedEvent::PullRequest);
    for (target, phase) in &arguments.fail {
        break_target(&embedded, &loaded.root, &view, target, *phase, arguments.first)?;
    }
    let run = || ready(&base, &loaded, &embedded, &environment, &branch, &sha, arguments.event, state.path());
    let ready = run()?;
    let pull_request = arguments.event == RehearsedEvent::PullRequest;
    if pull_request && loaded.manifest.preview_environment().is_some() {
        tell_circumstances(&ready.stage.events.clone(), embedded.containers, &arguments);
        let quiet = base.quiet || base.format != super::Format::Text;
        let ended = previewed::run(&embedded, (ready, run()?), &arguments.output, quiet).await;
        return end(&embedded, &arguments, ended).await;
    }
    let ask = ask::ask(&ready.stage.trigger, &loaded.manifest, None, false).map_err(|misfit| Failure::usage(misfit.to_string()))?;
    let (stage_events, containers) = (ready.stage.events.clone(), embedded.containers);
    tell_circumstances(&stage_events, containers, &arguments);
    drop(stage_events);
    let named = match &ask {
        Ask::Release { environment, .. } => Some(environment.clone()),
        _ => None,
    };
    let ended = ready.run(named.as_ref(), &arguments.output, async |stage| conduct::conduct(stage, &ask, &Options::default()).await).await;
    if !base.quiet && base.format == super::Format::Text {
        tell_github(&embedded, &sha);
    }
    end(&embedded, &arguments, ended).await
}

async fn end(embedded: &Embedded, arguments: &Rehearse, ended: Ended) -> Ended {
    if let Some(path) = &arguments.tape {
        embedded.write_tape(path).map_err(|error| Failure::usage(format!("the tape {} cannot be written: {error}", path.display())))?;
    }
    embedded.world.end().await;
    ended
}

/// Returns the environment that is rehearsed: the one named, else production, else the first with a branch.
pub(super) fn chosen_environment(manifest: &Manifest, named: Option<&Name>) -> Result<Name, Failure> {
    if let Some(name) = named {
        return ask::known(manifest, name).cloned().map_err(|misfit| Failure::usage(misfit.to_string()));
    }
    let released = || manifest.environments.iter().filter(|(_, environment)| !environment.branches.is_empty());
    let production = released().find(|(name, _)| name.as_str() == "production");
    let chosen = production.or_else(|| released().next()).map(|(name, _)| name.clone());
    chosen.ok_or_else(|| Failure::usage("the manifest has no environment with a branch, so no push releases anything"))
}

fn check_failures(view: &Manifest, failures: &[(Name, Phase)]) -> Result<(), Failure> {
    let migrates = |name: &Name| matches!(view.targets.get(name).map(|target| &target.platform), Some(TargetPlatform::Fly(_)));
    let has_names = |name: &Name| view.targets.get(name).is_some_and(|target| target.dns.is_some());
    match failures.iter().find(|(target, _)| !view.targets.contains_key(target)) {
        None => match failures.iter().find(|(target, phase)| *phase == Phase::Migrate && !migrates(target)) {
            Some((target, _)) => Err(Failure::usage(format!("--fail: {target} runs no migration"))),
            None => match failures.iter().find(|(target, phase)| *phase == Phase::Preflight && !has_names(target)) {
                Some((target, _)) => {
                    Err(Failure::usage(format!("--fail: {target} has no hostname under `dns` whose record could be wrong")))
                }
                None => Ok(()),
            },
        },
        Some((unknown, _)) => {
            let known: Vec<_> = view.targets.keys().map(Name::as_str).collect();
            Err(Failure::usage(format!("--fail: there is no target {unknown}")).hint(format!("the targets are {}", known.join(", "))))
        }
    }
}

/// Makes a target fail in a phase, by the embedded platform's own switches.
fn break_target(embedded: &Embedded, root: &Path, view: &Manifest, name: &Name, phase: Phase, first: bool) -> Result<(), Failure> {
    let Some(target) = view.targets.get(name) else { return Ok(()) };
    if phase == Phase::Preflight {
        // The first hostname leads to somebody else.
        if let Some(host) = target.dns.iter().flat_map(|dns| &dns.hosts).next() {
            embedded.cloudflare.point(host, "CNAME", "elsewhere.example.net", true);
        }
        return Ok(());
    }
    match &target.platform {
        TargetPlatform::Fly(fly) => {
            let config = targets::fly_config(root, name, fly).map_err(|fault| Failure::usage(fault.to_string()))?;
            let app = fly.app.clone().or(config.app.clone()).unwrap_or_default();
            let config_migrates = config.deploy.release_command.is_some();
            // As the target itself decides: by the manifest, by fly.toml, or by what is possible.
            let strategy = fly.strategy.map(targets::strategy);
            let rolling = FlySettings { strategy, ..FlySettings::new(name.clone(), &app, config) }.strategy() != Strategy::Bluegreen;
            match phase {
                // Machines that are replaced in place are never cordoned: there the new one crashes instead.
                Phase::CutOver if rolling => embedded.fly.behave(&app, Which::FromNowOn, Behaviour::CrashesAtStart(1)),
                Phase::Prepare => embedded.fly.behave(&app, Which::FromNowOn, Behaviour::CrashesAtStart(1)),
                Phase::Migrate if config_migrates => {
                    let group = Which::Group(RELEASE_COMMAND_GROUP.to_owned());
                    embedded.fly.behave(&app, group, Behaviour::RunsOnce(std::time::Duration::from_millis(500), 1));
                }
                Phase::Migrate => {
                    return Err(Failure::usage(format!("--fail: {name} runs no migration: its fly.toml has no release_command")));
                }
                Phase::Verify => embedded.fly.behave(&app, Which::FromNowOn, Behaviour::NeverHealthy),
                Phase::CutOver => embedded.refuse_registration(&app),
                _ => embedded.fly.behave(&app, Which::FromNowOn, Behaviour::FailsOnceRouted(std::time::Duration::ZERO)),
            }
        }
        TargetPlatform::Vercel(vercel) => {
            let fate = match phase {
                Phase::Prepare => Fate::FAILS_TO_BUILD,
                Phase::Verify => Fate::FAILS_CHECKS,
                Phase::CutOver => Fate::FAILS_TO_PROMOTE,
                _ => Fate::FAILS_IN_PRODUCTION,
            };
            embedded.break_next_deployment(&vercel.project, fate, first);
        }
        TargetPlatform::Pages(pages) => {
            let (production, fate) = match phase {
                Phase::Prepare => (false, cloudflare::Fate::FAILS),
                Phase::Verify => (false, cloudflare::Fate::ANSWERS_BADLY),
                Phase::CutOver => (true, cloudflare::Fate::FAILS),
                _ => (true, cloudflare::Fate::ANSWERS_BADLY),
            };
            embedded.break_next_pages(&pages.project, production, fate, first);
        }
        TargetPlatform::Worker(worker) => match phase {
            Phase::Prepare => embedded.refuse_worker("create_version", &worker.name),
            Phase::Verify => embedded.cloudflare.next_version(&worker.name, cloudflare::WorkerFate::AnswersBadly),
            Phase::CutOver => embedded.refuse_worker("deploy_version", &worker.name),
            _ => embedded.cloudflare.next_version(&worker.name, cloudflare::WorkerFate::AnswersUsersBadly),
        },
        TargetPlatform::Render(_) => {}
    }
    Ok(())
}

/// Returns the commit of the folder, or one that stands for it where git knows none.
pub(super) async fn commit(root: &Path) -> String {
    let sha = Checkout::read(root).await.sha().map(str::to_owned);
    sha.unwrap_or_else(|| NO_COMMIT.replace('0', "c"))
}

#[expect(clippy::too_many_arguments, reason = "one call site, each is another fact of the same run")]
fn ready(
    base: &Base,
    loaded: &Loaded,
    embedded: &Embedded,
    environment: &Name,
    branch: &str,
    sha: &str,
    event: RehearsedEvent,
    state: &Path,
) -> Result<Ready, Failure> {
    let variables = variables(embedded, branch, sha, event);
    let settings = Settings::from_environment(variables).map_err(|error| Failure::usage(error.to_string()))?;
    let payload = payload(environment, branch, sha, event);
    let trigger = Trigger::from_actions(&settings.environment, &payload).map_err(|error| Failure::usage(error.to_string()))?;
    let clock = Clock::system();
    let transport = stage::network(&settings, clock).map_err(|error| Failure::usage(error.to_string()))?;
    let shutdown = Shutdown::default();
    shutdown.listen().map_err(|error| Failure::preflight(format!("signals cannot be heard: {error}")))?;
    let (masker, _) = stage::masker(&settings, Some(&loaded.manifest));
    let (events, receiver) = Events::channel(clock);
    let means = Means {
        settings,
        trigger,
        transport,
        events,
        shutdown,
        masker,
        clock,
        chance: Arc::new(Chance::from_system()),
        root: loaded.root.clone(),
        state_dir: state.to_owned(),
        rehearsal: true,
    };
    let builds = if embedded.containers { Builds::RealOrStandIn } else { Builds::StandIn };
    let stage = Stage { means, manifest: loaded.manifest.clone(), builds, previewing: None };
    Ok(Ready { stage, events: receiver, telling: Telling { format: base.format, quiet: base.quiet, actions: false } })
}

/// Returns the environment of the run: what a runner sets, what points clients at the world, and what gates need of this machine.
fn variables(embedded: &Embedded, branch: &str, sha: &str, event: RehearsedEvent) -> BTreeMap<String, String> {
    // Gates run this machine's tools; nothing that could open or point at anything outside is taken over.
    let tools = [
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "TERM",
        "TMPDIR",
        "SHELL",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "NODE_EXTRA_CA_CERTS",
        "DOCKER_HOST",
    ];
    let mut variables: BTreeMap<String, String> =
        tools.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    variables.extend(embedded.variables.clone());
    let repository = format!("{}/{}", REPOSITORY.0, REPOSITORY.1);
    let (name, reference, head, base) = match event {
        RehearsedEvent::Push => ("push", format!("refs/heads/{branch}"), String::new(), String::new()),
        RehearsedEvent::PullRequest => ("pull_request", format!("refs/pull/{PULL_REQUEST}/merge"), "topic".to_owned(), branch.to_owned()),
        RehearsedEvent::WorkflowDispatch => ("workflow_dispatch", format!("refs/heads/{branch}"), String::new(), String::new()),
    };
    let runner = [
        ("CI", "true".to_owned()),
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_EVENT_NAME", name.to_owned()),
        ("GITHUB_REF", reference),
        ("GITHUB_HEAD_REF", head),
        ("GITHUB_BASE_REF", base),
        ("GITHUB_SHA", sha.to_owned()),
        ("GITHUB_REPOSITORY", repository),
        ("GITHUB_RUN_ID", RUN_ID.to_string()),
        ("GITHUB_RUN_ATTEMPT", "1".to_owned()),
        ("GITHUB_JOB", "release".to_owned()),
        ("GITHUB_ACTOR", "rehearsal".to_owned()),
        ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
        ("GITHUB_TOKEN", GITHUB_TOKEN.to_owned()),
    ];
    variables.extend(runner.map(|(name, value)| (name.to_owned(), value)));
    if event == RehearsedEvent::PullRequest {
        // The job of a preview has the credentials of its own environment.
        variables.insert(variable::FLY_API_TOKEN.to_owned(), PREVIEW_FLY_TOKEN.to_owned());
        variables.insert("FLY_ORG".to_owned(), PREVIEW_ORGANISATION.to_owned());
        variables.extend(embedded.preview_secrets.clone());
    }
    variables
}

/// Returns the event's payload, in the fields that a runner's has.
fn payload(environment: &Name, branch: &str, sha: &str, event: RehearsedEvent) -> Value {
    let repository = json!({ "id": 1, "full_name": format!("{}/{}", REPOSITORY.0, REPOSITORY.1), "default_branch": branch });
    let side = |reference: &str, sha: &str| json!({ "ref": reference, "sha": sha, "repo": repository });
    match event {
        RehearsedEvent::Push => json!({
            "ref": format!("refs/heads/{branch}"), "before": NO_COMMIT, "after": sha, "created": false, "deleted": false, "forced": false,
            "head_commit": { "id": sha, "message": "A rehearsed push" }, "repository": repository,
        }),
        RehearsedEvent::PullRequest => json!({
            "action": "synchronize", "number": PULL_REQUEST, "repository": repository,
            "pull_request": {
                "number": PULL_REQUEST, "state": "open", "title": "A rehearsed change", "merge_commit_sha": sha,
                "head": side("topic", sha), "base": side(branch, NO_COMMIT),
            },
        }),
        RehearsedEvent::WorkflowDispatch => json!({
            "ref": format!("refs/heads/{branch}"), "workflow": ".github/workflows/cutover.yml", "repository": repository,
            "inputs": { "environment": environment.as_str(), "action": "release", "release": "", "dry_run": "false" },
        }),
    }
}

fn tell_circumstances(events: &Events, containers: bool, arguments: &Rehearse) {
    let machines =
        if containers { "machines are real containers" } else { "machines are simulated, and a stand-in takes the image's place" };
    events.notice(
        Level::Note,
        "rehearsal::world",
        format!("A rehearsal: every platform is embedded, nothing outside this machine is asked; {machines}."),
    );
    for (target, phase) in &arguments.fail {
        events.notice(Level::Note, "rehearsal::asked-for", format!("A failure was asked for: {target} will fail in {phase}."));
    }
}

/// Says what the embedded GitHub was left with.
fn tell_github(embedded: &Embedded, sha: &str) {
    let mut out = anstream::stderr();
    let seen = embedded.github_seen(PULL_REQUEST, sha);
    // Nowhere is left to say that standard error is gone.
    let _ = writeln!(out, "\nOn the embedded GitHub: {seen}.");
}
