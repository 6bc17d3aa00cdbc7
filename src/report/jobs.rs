//! Receipts say what was done, jobs say whether: GitHub's word on the jobs of a run, beside the receipts that they left or did not leave.

use super::Report;
use super::ending::{Ending, Tone};
use super::model::{JobsReport, NoticeReport};
use super::words::count;
use crate::event::{Level, Outcome, Serving};
use crate::github::Conclusions;

impl Report {
    /// Takes in how the jobs ended. A receipt that tells of success does not outdo a job that failed: then the run counts as failed, and nobody
    /// knows what serves, unless it is `vouched`: the job that released did what it was to do. One that tells of a failure stays, with what the
    /// jobs say beside it.
    pub fn judge(&mut self, jobs: &Conclusions, vouched: bool) {
        let trouble = jobs.trouble();
        self.jobs = Some(JobsReport { passed: jobs.passed.len(), trouble: trouble.clone() });
        if trouble.is_empty() {
            return;
        }
        match self.outcome {
            None | Some(Outcome::Finished | Outcome::Carried | Outcome::Superseded) if jobs.only_cancelled() => {
                self.outcome = Some(Outcome::Cancelled);
                self.failure.get_or_insert_with(|| sentence(&trouble));
                self.forget_what_serves(vouched);
            }
            None | Some(Outcome::Finished | Outcome::Carried | Outcome::Superseded) => {
                self.outcome = None;
                self.failure = Some(sentence(&trouble));
                self.forget_what_serves(vouched);
            }
            Some(_) => {
                let text = format!("GitHub says: {}.", sentence(&trouble));
                self.notices.push(NoticeReport { level: Level::Warning, code: "jobs::trouble".to_owned(), text });
            }
        }
    }

    /// Whoever released may have ended after it had begun; without a release nothing was touched.
    fn forget_what_serves(&mut self, vouched: bool) {
        if self.environment.is_some() && !vouched {
            self.serving = Serving::Unknown;
        }
    }
}

fn sentence(trouble: &[String]) -> String {
    trouble.join("; ")
}

/// Returns the words for a run of which the jobs alone tell; `None` where a receipt told how it ended.
pub(super) fn ending(report: &Report) -> Option<Ending> {
    let jobs = report.jobs.as_ref().filter(|_| report.outcome.is_none())?;
    if jobs.trouble.is_empty() {
        return Some(Ending {
            tone: Tone::Good,
            headline: format!("{} passed, and left no receipt that tells more.", count(jobs.passed, "job")),
            failed: None,
            live: "Not known from here.".to_owned(),
            next: Vec::new(),
            undo: None,
        });
    }
    let (live, mut next) = match (report.serving, &report.environment) {
        (Serving::Before, _) => ("What served before this run.", Vec::new()),
        (Serving::After, _) => ("The new release; the job that released it did what it was to do.", Vec::new()),
        (_, Some(environment)) => (
            "Not known from here: a job that ended like this may have been in mid-release.",
            vec![format!("cutover status {environment}"), format!("cutover recover {environment}")],
        ),
        (_, None) => ("Not known from here.", Vec::new()),
    };
    next.push("look at the log of the job on the run's page".to_owned());
    Some(Ending {
        tone: Tone::Bad,
        headline: match jobs.trouble.as_slice() {
            [one] => format!("The run did not succeed: {one}."),
            several => format!("The run did not succeed: {}, and {} more.", several[0], several.len() - 1),
        },
        failed: report.failure.clone(),
        live: live.to_owned(),
        next,
        undo: None,
    })
}
