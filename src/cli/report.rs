//! `cutover report`: what other jobs did, told on the pull request by a job of its own.

use std::path::PathBuf;

use super::arguments::Output;
use super::conduct::Conclusion;
use super::reporting;
use super::run::{Base, ready};
use super::{Ended, Failure};
use crate::event::Serving;
use crate::exit;
use crate::report::{Receipt, Report};

/// Merges the receipts of a run's jobs and reports them as one; the exit code is the run's, so that this job can be the required check.
pub(super) async fn run(base: Base, receipts: &[PathBuf]) -> Ended {
    if receipts.is_empty() {
        return Err(Failure::usage("there is nothing to report").hint("cutover report --from gates.json --from release.json"));
    }
    let ready = ready(&base).await?;
    let mut reports = Vec::new();
    let mut missing = Vec::new();
    for path in receipts {
        match Receipt::read(path) {
            Ok(receipt) => reports.push(receipt.into_report()),
            // A job that died left no receipt; that is news, not a reason to say nothing.
            Err(error) => missing.push(error.to_string()),
        }
    }
    if reports.is_empty() {
        return Err(Failure::usage(format!("no receipt could be read: {}", missing.join("; "))));
    }
    let mut report = Report::merged(reports);
    if !missing.is_empty() {
        report.failure.get_or_insert_with(|| format!("a job left no receipt: {}", missing.join("; ")));
    }
    let stage = ready.stage;
    let environment = report.environment.clone();
    let Some(mut reporter) = reporting::github(&stage, environment.as_ref()) else {
        reporting::tell_troubles(&reporting::write_files(&stage, &report, &crate::report::comment::Links::default(), &Output::default()));
        return Ok(code(&report, &missing));
    };
    reporter.finish(&report, crate::report::github::MOMENT_LIMIT).await;
    let links = reporter.links();
    reporting::tell_troubles(&reporting::write_files(&stage, &report, &links, &Output::default()));
    Ok(code(&report, &missing))
}

fn code(report: &Report, missing: &[String]) -> u8 {
    let own = report
        .outcome
        .map_or(exit::STUCK, |outcome| Conclusion { outcome, serving: Serving::Unknown, failure: None, hints: Vec::new() }.exit_code());
    if own == exit::DONE && !missing.is_empty() { exit::GATE_FAILED } else { own }
}
