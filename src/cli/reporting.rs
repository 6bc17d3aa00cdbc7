//! Who hears a run: the terminal or the Actions log while it goes, GitHub at its named moments, files at its end.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::mpsc::UnboundedReceiver;

use super::arguments::{Format, Output};
use super::stage::{Means, Stage};
use crate::event::{Event, Level, Outcome};
use crate::github::{GitHub, Repository, Stamp};
use crate::id::{Chance, Name};
use crate::mask::Masker;
use crate::report::actions::ActionsLog;
use crate::report::comment::{Links, comment};
use crate::report::github::{Deployments, MOMENT_LIMIT};
use crate::report::json::JsonLines;
use crate::report::terminal::Terminal;
use crate::report::{GitHubReporter, Receipt, Report, RunContext, Sink, Sinks, Tally, html, outputs, summary};
use crate::trigger::Source;

/// How long GitHub gets when the run was cancelled: the runner ends everything ten seconds after the first signal.
const CANCELLED_LIMIT: Duration = Duration::from_secs(3);

/// Where a run is told while it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    /// Text or JSON lines.
    pub(crate) format: Format,
    /// Only what failed and how it ended.
    pub(crate) quiet: bool,
    /// Whether the reader is the log of GitHub Actions.
    pub(crate) actions: bool,
}

/// The sinks of a run, listening.
#[derive(Debug)]
pub(crate) struct Listening {
    tally: Tally,
    work: tokio::task::JoinHandle<Report>,
}

impl Listening {
    /// Begins to listen to `events`.
    pub(crate) fn begin(telling: Telling, masker: &Masker, events: UnboundedReceiver<Event>) -> Self {
        let sink: Box<dyn Sink> = match telling {
            Telling { format: Format::Json, .. } => Box::new(JsonLines::new(std::io::stdout())),
            Telling { actions: true, quiet, .. } => Box::new(ActionsLog::new(Box::new(std::io::stdout()), quiet)),
            Telling { quiet, .. } => Box::new(Terminal::stderr(quiet)),
        };
        let sinks = Sinks::new(masker.clone(), vec![sink]);
        let tally = sinks.tally();
        Self { tally, work: tokio::spawn(sinks.run(events)) }
    }

    /// Returns a reader of the report as it grows.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Waits until every event was heard; every sender must be gone, or on its way.
    pub(crate) async fn end(self) -> Report {
        let tally = self.tally.clone();
        self.work.await.unwrap_or_else(|_| tally.report())
    }
}

/// Reports on GitHub beside the run, and never in its way: at its beginning, when a release begins, at its end.
pub(crate) async fn on_github(reporter: Option<GitHubReporter>, tally: Tally) -> Links {
    let Some(mut reporter) = reporter else { return Links::default() };
    let links = reporter.links();
    reporter.begin().await;
    if let Some(release) = tally.release_begun().await.release {
        reporter.release_started(&release).await;
    }
    let report = tally.finished().await;
    let limit = if report.outcome == Some(Outcome::Cancelled) { CANCELLED_LIMIT } else { MOMENT_LIMIT };
    reporter.finish(&report, limit).await;
    links
}

/// Returns the reporter on GitHub, where the run is part of a workflow and has a token.
pub(crate) fn github(stage: &Stage, environment: Option<&Name>) -> Option<GitHubReporter> {
    let preview = stage.previewing.as_ref().map(|previewing| previewing.of.pull_request);
    github_of(stage, &stage.manifest.product, environment, preview)
}

/// Returns the reporter on GitHub for a product whose manifest need not be there.
pub(crate) fn github_of(stage: &Means, product: &Name, environment: Option<&Name>, preview: Option<u64>) -> Option<GitHubReporter> {
    let run = stage.trigger.run.as_ref()?;
    let Some(token) = stage.settings.github_token.clone() else {
        let text =
            "GITHUB_TOKEN is not set, so nothing is reported on the pull request; pass `GITHUB_TOKEN: ${{ github.token }}` to the step.";
        stage.events.notice(Level::Note, "github::no-token", text);
        return None;
    };
    debug_assert!(!token.expose_secret().is_empty(), "settings treat an empty token as none");
    let repository = Repository::parse(&run.repository)?;
    let github = GitHub::new(stage.transport.clone(), stage.settings.github_api.clone(), token, repository);
    let variable = |name: &str| stage.settings.environment.get(name).cloned().filter(|value| !value.is_empty());
    let (pull_request, branch) = match &stage.trigger.source {
        Source::PullRequest(pull_request) => (Some(pull_request.number), Some(pull_request.head_ref.clone())),
        _ => (None, stage.trigger.branch().map(str::to_owned)),
    };
    let context = RunContext {
        product: product.clone(),
        environment: environment.cloned(),
        commit: stage.trigger.reported_commit().to_owned(),
        branch,
        pull_request,
        preview,
        stamp: Stamp { run_id: run.id, attempt: run.attempt },
        run_url: run.url.clone(),
        server_url: variable("GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned()),
        deployments: if variable("CUTOVER_JOB_ENVIRONMENT").is_some() { Deployments::ByTheJob } else { Deployments::Made },
    };
    Some(GitHubReporter::new(github, context, stage.masker.clone(), stage.events.clone()))
}

/// Writes what is left when the run has ended: receipt, page, summary, outputs. What cannot be written is told, and fails nothing.
pub(crate) fn write_files(means: &Means, report: &Report, links: &Links, output: &Output) -> Vec<String> {
    let mut troubles = Vec::new();
    let masked = |text: String| means.masker.text(&text).into_owned();
    if let Some(path) = &output.receipt {
        let written = Receipt::of(report).and_then(|receipt| receipt.write(path));
        troubles.extend(written.err().map(|error| format!("the receipt could not be written: {error}")));
    }
    if let Some(path) = &output.html {
        let written = std::fs::write(path, masked(html::html(report)));
        troubles.extend(written.err().map(|error| format!("the page {} could not be written: {error}", path.display())));
    }
    let markdown = [
        (&output.comment, "comment", comment as fn(&Report, &Links) -> String),
        (&output.summary, "summary", summary::summary as fn(&Report, &Links) -> String),
    ];
    for (path, what, render) in markdown {
        let Some(path) = path else { continue };
        let written = std::fs::write(path, masked(render(report, links)));
        troubles.extend(written.err().map(|error| format!("the {what} {} could not be written: {error}", path.display())));
    }
    let file = |name: &str| means.settings.environment.get(name).filter(|path| !path.is_empty()).map(Path::new);
    if let Some(path) = file("GITHUB_STEP_SUMMARY") {
        let written = outputs::append(path, &masked(summary::summary(report, links)));
        troubles.extend(written.err().map(|error| format!("the job summary could not be written: {error}")));
    }
    if let Some(path) = file("GITHUB_OUTPUT") {
        let text = outputs::render_outputs(&outputs::outputs(report), &Chance::from_system());
        troubles.extend(outputs::append(path, &text).err().map(|error| format!("the outputs could not be written: {error}")));
    }
    troubles
}

/// Says on standard error what could not be written at the end.
pub(crate) fn tell_troubles(troubles: &[String]) {
    let mut stderr = anstream::stderr();
    for trouble in troubles {
        // There is nowhere left to say that standard error is gone.
        let _ = writeln!(stderr, "warning: {trouble}");
    }
}
