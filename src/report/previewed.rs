//! The words of a preview's end, and of a sweep's.

use super::Report;
use super::ending::{Ending, Tone};
use super::model::TargetReport;
use super::words::{count, list};
use crate::event::{Outcome, Side};

/// The code of the notice with which a sweep says what it did.
pub const SWEPT: &str = "sweep::done";

/// The code of the notice that a pull request has no preview, and why.
pub const NONE: &str = "preview::none";

/// Returns the end of a run that showed a preview or swept; `None` of any other.
pub(super) fn ending(report: &Report) -> Option<Ending> {
    if let Some(swept) = report.notices.iter().find(|notice| notice.code == SWEPT) {
        return Some(of_sweep(report, &swept.text));
    }
    if let Some(none) = report.notices.iter().find(|notice| notice.code == NONE) {
        let live = "What served before this run.".to_owned();
        return Some(Ending { tone: Tone::Good, headline: none.text.clone(), failed: None, live, next: Vec::new(), undo: None });
    }
    let number = report.preview?;
    let shown: Vec<&TargetReport> = report.targets.iter().filter(|target| target.serves == Side::After).collect();
    let headline = match report.outcome? {
        Outcome::Finished => format!("The preview of #{number} shows this commit on {}.", count(shown.len(), "target")),
        Outcome::PreviewFailed => format!("The preview of #{number} does not show this commit as it should. Production was not touched."),
        Outcome::Cancelled => format!("The preview of #{number} was cancelled."),
        // Whatever ends it before anything is shown has its own words.
        _ => return None,
    };
    let tone = if report.outcome == Some(Outcome::Finished) { Tone::Good } else { Tone::Bad };
    let next = if !report.hints.is_empty() {
        report.hints.clone()
    } else if tone == Tone::Good {
        Vec::new()
    } else {
        vec!["push again, or run the failed job again: the preview is shown in place".to_owned()]
    };
    let undo = (tone == Tone::Good)
        .then(|| "close the pull request: everything of its preview is removed, and nothing else was changed".to_owned());
    Some(Ending { tone, headline, failed: report.failure.clone(), live: live(report), next, undo })
}

fn live(report: &Report) -> String {
    let named = |wanted: &dyn Fn(&TargetReport) -> bool| {
        let names: Vec<&str> = report.targets.iter().filter(|target| wanted(target)).map(|target| target.name.as_str()).collect();
        (!names.is_empty()).then(|| list(names))
    };
    let shown = named(&|target| target.serves == Side::After).map(|names| format!("this commit on {names}"));
    let before =
        named(&|target| target.serves == Side::Before && target.before.is_some()).map(|names| format!("an earlier commit on {names}"));
    let nothing = named(&|target| target.serves == Side::Before && target.before.is_none()).map(|names| format!("nothing on {names}"));
    let unknown =
        named(&|target| matches!(target.serves, Side::Unknown | Side::Neither)).map(|names| format!("on {names} nobody knows what"));
    let parts: Vec<String> = [shown, before, nothing, unknown].into_iter().flatten().collect();
    if parts.is_empty() { "Nothing is previewed.".to_owned() } else { format!("The preview shows {}.", parts.join("; ")) }
}

fn of_sweep(report: &Report, text: &str) -> Ending {
    let tone = if report.outcome == Some(Outcome::Finished) || report.outcome == Some(Outcome::Carried) { Tone::Good } else { Tone::Bad };
    let next = if tone == Tone::Good { Vec::new() } else { vec!["cutover sweep".to_owned()] };
    let next = if report.hints.is_empty() { next } else { report.hints.clone() };
    let live = "What served before this run.".to_owned();
    Ending { tone, headline: text.to_owned(), failed: report.failure.clone(), live, next, undo: None }
}
