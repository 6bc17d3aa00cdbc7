//! The command line: what can be typed, and one thin file per command.

mod arguments;
mod ask;
mod build;
mod check;
mod conduct;
mod dispatch;
mod drill;
mod earlier;
mod gates;
mod history;
mod hold;
mod inspect;
mod journal;
mod older;
mod plan;
mod preflight;
mod preview;
mod previewing;
mod rebuild;
mod recover;
mod rehearse;
mod relay;
mod report;
mod reporting;
mod run;
mod sandbox;
mod stage;
mod status;
mod sweep;
mod targets;
mod turn;
mod world;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use arguments::{Cli, Command, Format};

use self::arguments::Document;
use crate::exit;

/// Why a command could not begin: an error for standard error, with what to try, and an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    code: u8,
    /// What failed, in whole sentences.
    text: String,
    /// What to try.
    hints: Vec<String>,
}

impl Failure {
    /// Returns a failure of usage or of the manifest.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: exit::USAGE, text: text.into(), hints: Vec::new() }
    }

    /// Returns a failure that stops a run before anything is touched.
    pub(crate) fn preflight(text: impl Into<String>) -> Self {
        Self { code: exit::PREFLIGHT_FAILED, text: text.into(), hints: Vec::new() }
    }

    /// Adds what to try.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<conduct::Conclusion> for Failure {
    fn from(conclusion: conduct::Conclusion) -> Self {
        let code = conclusion.exit_code();
        Self { code, text: conclusion.failure.unwrap_or_default(), hints: conclusion.hints }
    }
}

/// What a command ends with: an exit code, or a failure that is still to be told.
pub(crate) type Ended = Result<u8, Failure>;

/// Parses the command line, does what it says, and returns the process's exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging();
    let code = match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            let mut stderr = anstream::stderr();
            // There is nowhere left to say that standard error is gone.
            let _ = writeln!(stderr, "error: {}", failure.text);
            for hint in &failure.hints {
                let _ = writeln!(stderr, "  try: {hint}");
            }
            failure.code
        }
    };
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Ended {
    let drills = matches!(&cli.command, Command::Rehearse(arguments) if arguments.drills);
    if cli.format == Format::Markdown && !drills {
        return Err(Failure::usage("only `cutover rehearse DIR --drills` writes Markdown").hint("use --format text or --format json"));
    }
    // What needs no runtime does not wait for one.
    match &cli.command {
        Command::Check => return check::run(&cli.manifest, cli.format),
        Command::Inspect(arguments) => return inspect::run(arguments, cli.format),
        // Drills bring a runtime for every case, with a time of its own.
        Command::Rehearse(arguments) if arguments.drills => return drill::run(arguments, cli.format, cli.quiet),
        Command::Schema { of } => return schema(*of),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "cutover", &mut std::io::stdout());
            return Ok(exit::DONE);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure {
        code: exit::STUCK,
        text: format!("the runtime cannot start: {error}"),
        hints: Vec::new(),
    })?;
    let ended = runtime.block_on(command(cli));
    // What still runs in the background (a keep-alive, an embedded edge) has nothing more to say.
    runtime.shutdown_background();
    ended
}

async fn command(cli: Cli) -> Ended {
    let base = run::Base { manifest: cli.manifest, journal: cli.journal, format: cli.format, quiet: cli.quiet };
    match cli.command {
        Command::Check | Command::Inspect(_) | Command::Schema { .. } | Command::Completions { .. } => Ok(exit::DONE),
        Command::Plan { environment } => plan::run(base, environment).await,
        Command::Run { environment, dry_run, output, forward } => run::run(base, environment, dry_run, output, forward).await,
        Command::Gates { gates, environment, output } => run::gates(base, gates, environment, output).await,
        Command::Build { environment, out, skip_gates, output } => run::build(base, environment, out, skip_gates, output).await,
        Command::Release { environment, only, artifacts, skip_gates, output, forward } => {
            run::release(base, environment, only, artifacts, skip_gates, output, forward).await
        }
        Command::Report(reported) => report::run(base, reported).await,
        Command::Relay { product, from, required } => relay::run(base, product, from, required).await,
        Command::Dispatch { output } => dispatch::run(base, output).await,
        Command::Preview { artifacts, skip_gates, output } => preview::run(base, artifacts, skip_gates, output).await,
        Command::Sweep(arguments) => sweep::run(base, arguments).await,
        Command::Rollback { environment, to, reason, over_migration, changed, output } => {
            run::rollback(base, environment, to, (reason, over_migration), changed, output).await
        }
        Command::Promote { from, to, release, reason, changed, output } => {
            run::promote(base, [from, to], release, reason, changed, output).await
        }
        Command::Recover { environment, product, over_migration, keep_secrets, output } => {
            recover::run(base, environment, product, (over_migration, keep_secrets), output).await
        }
        Command::Status { environment } => status::run(base, environment).await,
        Command::History { environment, product, raw, last } => history::run(base, environment, product, raw, last).await,
        Command::Hold { environment, product, reason, off: _ } => hold::run(base, environment, product, reason).await,
        Command::Rehearse(arguments) => rehearse::run(base, arguments).await,
        Command::Sandbox(arguments) => sandbox::run(base, arguments).await,
    }
}

fn schema(of: Document) -> Ended {
    let text = match of {
        Document::Manifest => crate::manifest::schema::text(),
        Document::Receipt => pretty(&crate::report::Receipt::schema()),
    };
    put(&text)
}

/// Writes a result to standard output.
pub(crate) fn put(text: &str) -> Ended {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { stdout.write_all(b"\n") });
    match written {
        Ok(()) => Ok(exit::DONE),
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(exit::DONE),
        Err(error) => Err(Failure { code: exit::USAGE, text: format!("standard output cannot be written: {error}"), hints: Vec::new() }),
    }
}

/// Writes a text for people to standard output: without secrets, escape sequences and, in a workflow, commands to the runner.
pub(crate) fn show(means: &stage::Means, text: &str) -> Ended {
    let masked = means.masker.text(text);
    let mut out = String::new();
    for line in masked.lines() {
        let line = crate::report::plain(line);
        out.push_str(&if means.trigger.run.is_some() { crate::report::actions::harmless(&line) } else { line });
        out.push('\n');
    }
    put(&out)
}

/// Returns a JSON value as text for a person who looks at it.
pub(crate) fn pretty(value: &impl serde::Serialize) -> String {
    // The values written here have string keys and no failing serializers.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Returns where a path's manifest is: the file itself, or `cutover.yml` in a directory.
pub(crate) fn manifest_in(directory: &Path) -> std::path::PathBuf {
    if directory.is_dir() { directory.join(crate::manifest::FILE_NAME) } else { directory.to_owned() }
}

/// Sends traces for debugging to standard error, where `CUTOVER_LOG` or the runner's debug switch asks for them.
fn logging() {
    let debug = std::env::var("RUNNER_DEBUG").is_ok_and(|value| value == "1");
    let filter = std::env::var(crate::settings::variable::CUTOVER_LOG).ok().or_else(|| debug.then(|| "cutover=debug".to_owned()));
    if let Some(filter) = filter {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
