//! `cutover report`: what the jobs of a run did, told on the pull request by a job of its own, whatever happened to the others.
//!
//! What was done stands in the receipts that the jobs left; whether it was done, GitHub says. A job that died, was cancelled, never got a runner or
//! was left out reaches the reader so, and this job can be the one required check: it fails wherever another one did not do what it was to do.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::arguments::{Output, Reported};
use super::conduct::Conclusion;
use super::reporting::{self, Listening, Telling};
use super::run::{Base, Settled, ready, settle};
use super::stage::Means;
use super::{Ended, Failure, journal};
use crate::event::{Event, Events, Level, Serving};
use crate::exit;
use crate::github::census::own_job;
use crate::github::{Conclusions, Job};
use crate::id::Name;
use crate::report::comment::Links;
use crate::report::github::MOMENT_LIMIT;
use crate::report::model::NoticeReport;
use crate::report::{Receipt, Report};
use crate::trigger::Permission;

/// How often the jobs are listed while one is not over that this job may have waited for: the list lags behind.
const LOOKS: usize = 4;
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// The name that the reporting job is shown by in the workflow that README shows; by it the job knows itself where nothing else tells.
const FIXED_NAME: &str = "cutover";

/// Reports a run's jobs, or that they run; the exit code is the run's.
pub(super) async fn run(base: Base, asked: Reported) -> Ended {
    let (means, events, telling, product) = settled(&base, asked.product.clone()).await?;
    let listening = Listening::begin(telling, &means.masker, events);
    let (mut means, code, told) = if asked.pending {
        let code = pending(&means, &product, asked.environment.as_ref()).await;
        (means, code, Ok(None))
    } else {
        let told = whole(&means, &product, &asked).await;
        let code = told.as_ref().map_or(exit::USAGE, |(report, _)| code(report));
        (means, code, told.map(Some))
    };
    // The last sender goes, so that the listeners hear the end.
    drop(std::mem::replace(&mut means.events, Events::channel(means.clock).0));
    listening.end().await;
    if let Some((report, links)) = told? {
        reporting::tell_troubles(&reporting::write_files(&means, &report, &links, &Output::default()));
    }
    Ok(code)
}

/// Returns the means and the product: by its name, so that a manifest that cannot be read is no reason to say nothing, else by the manifest.
async fn settled(base: &Base, product: Option<Name>) -> Result<(Means, UnboundedReceiver<Event>, Telling, Name), Failure> {
    if let Some(product) = product {
        let Settled { means, events, telling } = settle(base, journal::root(base), None).await?;
        return Ok((means, events, telling, product));
    }
    let ready =
        ready(base).await.map_err(|failure| failure.hint("or name the product, so that this job needs no manifest: --product NAME"))?;
    Ok((ready.stage.means, ready.events, ready.telling, ready.stage.manifest.product))
}

/// Returns the environment that the report is about: gates alone release nothing, whatever variables they were given.
fn environment(means: &Means, report: Option<&Report>, named: Option<&Name>) -> Option<Name> {
    match means.trigger.permission() {
        Permission::GatesOnly { .. } | Permission::Nothing { .. } => None,
        Permission::Release { .. } | Permission::AsAsked => named.cloned().or_else(|| report?.environment.clone()),
    }
}

/// Says that the jobs run. What GitHub does not take is told and fails nothing: the jobs run all the same.
async fn pending(means: &Means, product: &Name, named: Option<&Name>) -> u8 {
    let environment = environment(means, None, named);
    if let Some(mut reporter) = reporting::github_of(means, product, environment.as_ref(), None) {
        let report = Report {
            product: Some(product.clone()),
            environment,
            commit: means.trigger.reported_commit().to_owned(),
            trigger: means.trigger.to_string(),
            started: Some(means.clock.now()),
            ..Report::default()
        };
        reporter.pending(&report).await;
    }
    exit::DONE
}

/// Puts the receipts and the jobs' conclusions together, and reports them.
async fn whole(means: &Means, product: &Name, asked: &Reported) -> Result<(Report, Links), Failure> {
    let (mut report, read, missing) = merged(product, &asked.receipts);
    let jobs = jobs(means, &asked.required).await;
    if jobs.is_none() && read.is_empty() {
        let text = if missing.is_empty() {
            "there is nothing to report".to_owned()
        } else {
            format!("no receipt could be read: {}", missing.join("; "))
        };
        return Err(Failure::usage(text).hint("cutover report --from gates.json --from release.json"));
    }
    for text in &missing {
        report.notices.push(NoticeReport { level: Level::Warning, code: "report::no-receipt".to_owned(), text: format!("{text}.") });
    }
    report.environment = environment(means, Some(&report), asked.environment.as_ref());
    report.product = Some(product.clone());
    if report.commit.is_empty() {
        means.trigger.tested_commit().clone_into(&mut report.commit);
        report.trigger = means.trigger.to_string();
    }
    match jobs {
        Some(Ok(jobs)) => {
            let passed = |stem: &String| jobs.passed.iter().any(|job| job.is_called(stem));
            let vouched = report.release.is_some() && read.iter().any(|(stem, releases)| *releases && passed(stem));
            report.judge(&jobs, vouched);
        }
        Some(Err(why)) => report.judge(&Conclusions { missing: vec![why], ..Conclusions::default() }, false),
        None => unread(&mut report, &missing),
    }
    let Some(mut reporter) = reporting::github_of(means, product, report.environment.as_ref(), None) else {
        return Ok((report, Links::default()));
    };
    reporter.finish(&report, MOMENT_LIMIT).await;
    Ok((report, reporter.links()))
}

/// Outside a workflow receipts are all there is: one that cannot be read is a job that died.
fn unread(report: &mut Report, missing: &[String]) {
    if !missing.is_empty() {
        report.judge(
            &Conclusions { missing: vec![format!("a job left no receipt: {}", missing.join("; "))], ..Conclusions::default() },
            false,
        );
    }
}

/// Returns the report that the receipts make together, which of them could be read (by the name of the file, and whether it tells of a
/// release), and why the others could not. One of another product is none of this run's.
fn merged(product: &Name, paths: &[PathBuf]) -> (Report, Vec<(String, bool)>, Vec<String>) {
    let (mut reports, mut read, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        match Receipt::read(path) {
            Ok(receipt) if receipt.product.as_ref().is_some_and(|of| of != product) => {
                missing.push(format!("{} is a receipt of another product", path.display()));
            }
            Ok(receipt) => {
                let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                read.push((stem, receipt.release.is_some()));
                reports.push(receipt.into_report());
            }
            Err(error) => missing.push(error.to_string()),
        }
    }
    (if reports.is_empty() { Report::default() } else { Report::merged(reports) }, read, missing)
}

/// Returns what GitHub says of the other jobs of this run, or why it cannot be asked; `None` outside a workflow.
async fn jobs(means: &Means, required: &[String]) -> Option<Result<Conclusions, String>> {
    let run = means.trigger.run.as_ref()?;
    let Some(github) = journal::github(means).await else {
        return Some(Err("GitHub cannot be asked how the jobs ended: GITHUB_TOKEN is not set".to_owned()));
    };
    let own = match means.owner().job {
        Some(job) => own_job(&github, &job).await,
        None => None,
    };
    let mut look = 0;
    loop {
        look += 1;
        let listed = match github.newest_jobs(run.id, run.attempt).await {
            Ok(listed) => listed,
            Err(error) => return Some(Err(format!("GitHub does not say how the jobs ended (it needs `actions: read`): {error}"))),
        };
        let is_own = |job: &Job| match own {
            Some(id) => job.id == id,
            None => !job.completed() && (job.is_called(FIXED_NAME) || run.job.as_deref().is_some_and(|key| job.is_called(key))),
        };
        let others: Vec<Job> = listed.into_iter().filter(|job| !is_own(job)).collect();
        if look >= LOOKS || others.iter().all(Job::completed) {
            return Some(Ok(Conclusions::of(others, required)));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Returns the exit code: that of the run's outcome; without one, whether every job did what it was to do.
fn code(report: &Report) -> u8 {
    let trouble = report.jobs.as_ref().is_some_and(|jobs| !jobs.trouble.is_empty());
    let own = match report.outcome {
        Some(outcome) => Conclusion { outcome, serving: Serving::Unknown, failure: None, hints: Vec::new() }.exit_code(),
        None if report.jobs.is_some() => exit::DONE,
        None => exit::STUCK,
    };
    if own == exit::DONE && trouble { exit::GATE_FAILED } else { own }
}
