//! What can be typed.

mod inspect;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(super) use self::inspect::Inspect;
use crate::event::Phase;
use crate::id::Name;
use crate::release::DriftPolicy;
use crate::settings::Keeper;

/// Commands in the order of how often they are needed; clap cannot group subcommands, so the list is ours.
const COMMANDS: &str = "\
Every day:
  check        Check cutover.yml and the files it names; nothing is asked, nothing is changed
  plan         Show what a release would run and change, per target; nothing is changed
  run          Run gates, build, release and report, as the event that started this asks
  rehearse     Do all of that on built-in platforms: no account, no network, failures on demand
  inspect      Show what Fly would be sent for a fly.toml, and what it costs; nothing is asked

The parts of a run, for separate jobs:
  gates        Run the gates
  build        Build images and pack directories into --out DIR
  release      Release an environment, from this machine or from --artifacts DIR
  report       Report the jobs' results on the pull request
  relay        Report a fork's run, which may report nothing itself
  promote      Release to one environment what another one serves
  preview      Show a pull request's commit in a working copy of every target
  sweep        Remove what no open pull request owns

When something is wrong:
  status       Show what an environment serves, and whether a release is unfinished
  rollback     Release what served before
  recover      Bring unfinished releases to their end, forward or back
  hold         Let no release begin, or let them begin again
  dispatch     Do what a workflow_dispatch asks for, any of these, by its inputs
  history      Show what was released, by whom and why

More:
  sandbox      Run the built-in platforms alone, for any client
  schema       Print a JSON Schema: of cutover.yml, or of the receipt
  completions  Print completions for a shell";

/// Runs a repository's gates, builds its image once, and moves every platform the product lives on to the new release together,
/// or back together.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, before_help = COMMANDS, subcommand_required = true, arg_required_else_help = true)]
#[command(help_template = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}\nOptions:\n{options}")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The manifest.
    #[arg(long, global = true, value_name = "FILE", default_value = "cutover.yml")]
    pub manifest: PathBuf,
    /// What is written: text for people, or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Where journals are kept: github (a ref of the repository) or file (on this machine); by default github where this is part of a
    /// workflow, or where the repository is there.
    #[arg(long, global = true, value_name = "WHERE")]
    pub journal: Option<Keeper>,
    /// Say only what failed and how it ended.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// In what form results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON value on standard output, or one JSON value per event.
    Json,
    /// For a page: Markdown. Only drills write it.
    Markdown,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check cutover.yml and the files it names; nothing is asked, nothing is changed.
    Check,
    /// Show what a release would run and change, per target; nothing is changed.
    Plan {
        /// The environment; by default the one that the event or the branch chooses.
        environment: Option<Name>,
    },
    /// Show what Fly would be sent for a fly.toml, and what it costs a month; nothing is asked, nothing is changed.
    Inspect(Inspect),
    /// Run gates, build, release and report, as the event that started this asks.
    Run {
        /// The environment; by default the one that the event or the branch chooses.
        #[arg(long, value_name = "ENV")]
        environment: Option<Name>,
        /// Stop before anything is changed: gates, builds and the plan.
        #[arg(long)]
        dry_run: bool,
        /// Where results go.
        #[command(flatten)]
        output: Output,
        /// What it may do that it refuses by default.
        #[command(flatten)]
        forward: Forward,
    },
    /// Run the gates; all of them, or those named and what they need.
    Gates {
        /// Gates to run, with what they need.
        gates: Vec<Name>,
        /// Whose variables the gates get.
        #[arg(long, value_name = "ENV")]
        environment: Option<Name>,
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Build images and pack directories, with their digests, into a folder.
    Build {
        /// The environment whose targets are built for.
        environment: Option<Name>,
        /// The folder, created if it is not there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Do not run the gates first: they have run, in this checkout.
        #[arg(long)]
        skip_gates: bool,
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Release an environment.
    Release {
        /// The environment.
        environment: Name,
        /// Release only this target; may be given several times.
        #[arg(long, value_name = "TARGET")]
        only: Vec<Name>,
        /// Ship what `cutover build --out DIR` made, instead of building.
        #[arg(long, value_name = "DIR")]
        artifacts: Option<PathBuf>,
        /// Do not run the gates first.
        #[arg(long)]
        skip_gates: bool,
        /// Where results go.
        #[command(flatten)]
        output: Output,
        /// What it may do that it refuses by default.
        #[command(flatten)]
        forward: Forward,
    },
    /// Show a pull request's commit in its preview: a working copy of every target, wired to each other.
    Preview {
        /// Ship what `cutover build --out DIR` made, instead of building.
        #[arg(long, value_name = "DIR")]
        artifacts: Option<PathBuf>,
        /// Do not run the gates first.
        #[arg(long)]
        skip_gates: bool,
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Remove what previews have left on every platform and no open pull request owns.
    Sweep(Sweep),
    /// Report the jobs' results on the pull request: what the receipts say was done, and whether GitHub says that the jobs did it.
    Report(Reported),
    /// Report a fork's run, which may report nothing itself; in a workflow_run of the default branch's own workflow.
    Relay {
        /// The product.
        #[arg(long, value_name = "NAME")]
        product: Name,
        /// The folder with what the fork's run left.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// A job that must have passed; skipped is not enough. May be given several times.
        #[arg(long, value_name = "JOB")]
        required: Vec<String>,
    },
    /// Do what a workflow_dispatch asks for, by the inputs of its event.
    Dispatch {
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Release what served before, or what an earlier release shipped.
    Rollback {
        /// The environment.
        environment: Name,
        /// The release to go back to; by default the one before the one that serves.
        #[arg(long, value_name = "RELEASE")]
        to: Option<String>,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Go back although a migration has run since that is not known to work with that release.
        #[arg(long)]
        over_migration: bool,
        /// What becomes of somebody else's changes.
        #[command(flatten)]
        changed: Changed,
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Release to one environment what another one serves.
    Promote {
        /// The environment that serves it.
        #[arg(long, value_name = "ENV")]
        from: Name,
        /// The environment that shall serve it.
        #[arg(long, value_name = "ENV")]
        to: Name,
        /// An earlier release of the first environment, instead of the one that serves.
        #[arg(long, value_name = "RELEASE")]
        release: Option<String>,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// What becomes of somebody else's changes.
        #[command(flatten)]
        changed: Changed,
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Bring unfinished releases to their end, forward or back; the manifest is not read.
    Recover {
        /// The environment; by default every one that has a journal.
        environment: Option<Name>,
        /// The product; by default every one that has a journal.
        #[arg(long, value_name = "NAME")]
        product: Option<Name>,
        /// Go back although a breaking migration may have run: the old code can work with the database again.
        #[arg(long, requires = "environment")]
        over_migration: bool,
        /// Go back although the release has changed secrets: what served before works with them as they are now.
        #[arg(long, requires = "environment")]
        keep_secrets: bool,
        /// Where results go.
        #[command(flatten)]
        output: Output,
    },
    /// Show what an environment serves, and whether a release is unfinished.
    Status {
        /// The environment.
        environment: Name,
    },
    /// Show the releases of an environment, as its journal tells them.
    History {
        /// The environment.
        environment: Name,
        /// The product; by default the manifest's.
        #[arg(long, value_name = "NAME")]
        product: Option<Name>,
        /// Print the journal's records as they are, one JSON value a line.
        #[arg(long)]
        raw: bool,
        /// How many records are read, from the newest back.
        #[arg(long, value_name = "RECORDS", default_value_t = 100)]
        last: usize,
    },
    /// Let no release of an environment begin, until it is taken back.
    Hold {
        /// The environment.
        environment: Name,
        /// The product; by default the manifest's.
        #[arg(long, value_name = "NAME")]
        product: Option<Name>,
        /// Why, for whoever is refused.
        #[arg(long, value_name = "TEXT", required_unless_present = "off", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: Option<String>,
        /// Take the hold back.
        #[arg(long, conflicts_with = "reason")]
        off: bool,
    },
    /// Do a whole run on built-in platforms: no account, no network, failures on demand.
    Rehearse(Rehearse),
    /// Run the built-in platforms alone, and print the variables that point any client at them.
    Sandbox(Sandbox),
    /// Print a JSON Schema.
    Schema {
        /// Of what.
        #[arg(value_enum, default_value_t = Document::Manifest)]
        of: Document,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// What is reported, for `report`.
#[derive(Debug, Clone, Default, Args)]
pub struct Reported {
    /// Receipts of the jobs to report.
    #[arg(long = "from", value_name = "FILE")]
    pub receipts: Vec<PathBuf>,
    /// Only say that the jobs run.
    #[arg(long, conflicts_with_all = ["receipts", "required"])]
    pub pending: bool,
    /// A job that must have passed; skipped is not enough. May be given several times.
    #[arg(long, value_name = "JOB")]
    pub required: Vec<String>,
    /// The product, so that no manifest is read; by default the manifest's.
    #[arg(long, value_name = "NAME")]
    pub product: Option<Name>,
    /// The environment that the run releases, where it releases one; by default the receipts'.
    #[arg(long, value_name = "ENV")]
    pub environment: Option<Name>,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// cutover.yml
    Manifest,
    /// What --receipt writes.
    Receipt,
}

/// Where results go, for every command that releases.
#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// Write the receipt, a JSON document, to this file.
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Write the report as one HTML page to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write what stands on the pull request, in Markdown, to this file.
    #[arg(long, value_name = "FILE")]
    pub comment: Option<PathBuf>,
    /// Write the summary of the job, in Markdown, to this file.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
}

/// What a release forward may do that it refuses by default.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Forward {
    /// Release a commit that is older than what serves.
    #[arg(long)]
    pub older: bool,
    /// What becomes of somebody else's changes.
    #[command(flatten)]
    pub changed: Changed,
}

/// What becomes of what somebody else changed since the last release; by default it stops a release.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Changed {
    /// Accept what somebody else changed since the last release, as the state to go back to.
    #[arg(long)]
    pub adopt: bool,
    /// Release over what somebody else changed since the last release.
    #[arg(long = "override", conflicts_with = "adopt")]
    pub overriding: bool,
}

impl Changed {
    /// Returns the policy that the flags mean.
    pub fn policy(self) -> DriftPolicy {
        match self {
            Self { adopt: true, .. } => DriftPolicy::Adopt,
            Self { overriding: true, .. } => DriftPolicy::Override,
            Self { .. } => DriftPolicy::Refuse,
        }
    }
}

/// The arguments of `sweep`.
#[derive(Debug, Clone, Args)]
pub struct Sweep {
    /// Remove nothing; show what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// How many things one sweep removes at most; the next one goes on.
    #[arg(long, value_name = "N", default_value_t = super::sweep::MOST)]
    pub most: usize,
    /// Look at the preview of this pull request alone.
    #[arg(long, value_name = "NUMBER")]
    pub pull_request: Option<u64>,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// The arguments of `rehearse`.
#[derive(Debug, Clone, Args)]
pub struct Rehearse {
    /// The folder of the product, with its cutover.yml.
    pub directory: PathBuf,
    /// The event that starts the run.
    #[arg(long, value_enum, default_value_t = RehearsedEvent::Push)]
    pub event: RehearsedEvent,
    /// The environment; by default the one of the first branch, production if there is one.
    #[arg(long, value_name = "ENV")]
    pub environment: Option<Name>,
    /// Begin with nothing serving; otherwise an earlier release serves.
    #[arg(long)]
    pub first: bool,
    /// Make a target fail in a phase: preflight (a hostname of its `dns` leads elsewhere), prepare, verify, cut-over or watch. May be given several
    /// times.
    #[arg(long, value_name = "TARGET:PHASE", value_parser = failure)]
    pub fail: Vec<(Name, Phase)>,
    /// Never use a Docker engine: stand-in images and simulated machines.
    #[arg(long)]
    pub no_engine: bool,
    /// Write every request and answer of the built-in platforms to this file, one JSON value a line.
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// Break the release at every point, many hundred times in virtual time, and print what was broken, when, how it ended and how long it took.
    #[arg(long, conflicts_with_all = ["fail", "tape", "event"])]
    pub drills: bool,
    /// How drills are chosen.
    #[command(flatten)]
    pub drilled: Drilled,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
}

/// How drills are chosen.
#[derive(Debug, Clone, Default, Args)]
pub struct Drilled {
    /// Play this one case again: the line that a failing one prints.
    #[arg(long, value_name = "LINE", requires = "drills")]
    pub schedule: Option<String>,
    /// How many cases to play at most.
    #[arg(long, value_name = "N", requires = "drills", default_value_t = 400)]
    pub cases: usize,
    /// The seed of what is chosen by chance.
    #[arg(long, value_name = "N", requires = "drills", default_value_t = 1)]
    pub seed: u64,
}

/// The events that can be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RehearsedEvent {
    /// A push to the environment's branch.
    Push,
    /// A pull request from a branch of the same repository.
    PullRequest,
    /// A person starting the workflow.
    WorkflowDispatch,
}

/// The arguments of `sandbox`.
#[derive(Debug, Clone, Args)]
pub struct Sandbox {
    /// A product whose apps and projects exist from the beginning; without it any app or project exists once it is asked for.
    pub directory: Option<PathBuf>,
    /// The first port; the platforms and edges take it and the ones after it. Without it, free ports are taken.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Run machines as real containers, if a Docker engine is there.
    #[arg(long)]
    pub engine: bool,
    /// Write every request and answer to this file at the end, one JSON value a line.
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// Begin with an earlier release serving on every target of the directory.
    #[arg(long, requires = "directory")]
    pub earlier: bool,
    /// Begin with pull request #7 open, from the branch `topic` into `main`; otherwise it is merged.
    #[arg(long)]
    pub pull_request: bool,
}

fn failure(text: &str) -> Result<(Name, Phase), String> {
    let (target, phase) = text.split_once(':').ok_or("write TARGET:PHASE, for example api:verify")?;
    let target = Name::parse(target).ok_or_else(|| format!("{target:?} is no target's name"))?;
    let phase = match phase {
        "preflight" => Phase::Preflight,
        "prepare" => Phase::Prepare,
        "migrate" => Phase::Migrate,
        "verify" => Phase::Verify,
        "cut-over" => Phase::CutOver,
        "watch" => Phase::Watch,
        _ => return Err(format!("{phase:?} is none of preflight, prepare, migrate, verify, cut-over, watch")),
    };
    Ok((target, phase))
}
