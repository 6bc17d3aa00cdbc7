//! What a check run on GitHub shows: the same words as the comment, and remarks at the lines where tests failed.

use super::Report;
use super::actions::MAX_PATH;
use super::comment::Links;
use super::ending::Ending;
use super::plain::{lines, plain};
use super::sections::compose;
use crate::event::{Outcome, TestCase};
use crate::github::{Annotation, AnnotationLevel, CheckConclusion, CheckOutput, MAX_OUTPUT_BYTES};
use crate::id::Name;
use crate::mask::Masker;

/// The most remarks: four requests' worth, since they go one after the other while the run waits.
pub const MAX_ANNOTATIONS: usize = 200;
/// The most lines of a failed gate that its summary shows.
const MOST_LINES: usize = 60;

/// Returns how the check of a run is concluded.
pub fn conclusion(report: &Report) -> CheckConclusion {
    match report.outcome {
        Some(Outcome::Finished | Outcome::Carried) => CheckConclusion::Success,
        Some(Outcome::Superseded) | None => CheckConclusion::Neutral,
        Some(Outcome::Held) => CheckConclusion::ActionRequired,
        Some(Outcome::Cancelled) => CheckConclusion::Cancelled,
        Some(Outcome::RolledBack | Outcome::GatesFailed | Outcome::Stuck | Outcome::PreflightFailed | Outcome::PreviewFailed) => {
            CheckConclusion::Failure
        }
    }
}

/// Returns what the check of a run shows, masked: a summary within GitHub's bytes, and at most [`MAX_ANNOTATIONS`] remarks, failed tests first.
pub fn output(report: &Report, ending: &Ending, links: &Links, masker: &Masker) -> CheckOutput {
    // A picture is drawn in comments and summaries, and shown as its source here.
    let summary = compose(report, links, false, MOST_LINES, MAX_OUTPUT_BYTES, str::len);
    let tests = || {
        report.gates.iter().flat_map(|gate| gate.tests.iter().flat_map(move |tests| tests.tests.iter().map(move |test| (&gate.name, test))))
    };
    let failed = tests().filter(|(_, test)| !test.flaky);
    let ordered = failed.chain(tests().filter(|(_, test)| test.flaky));
    CheckOutput {
        title: masker.text(&plain(&ending.headline)).into_owned(),
        summary: masker.text(&summary).into_owned(),
        annotations: ordered.filter_map(|(gate, test)| remark(gate, test, masker)).take(MAX_ANNOTATIONS).collect(),
    }
}

/// Returns the remark for a test whose place is known. GitHub shows its texts as they are, not as Markdown.
fn remark(gate: &Name, test: &TestCase, masker: &Masker) -> Option<Annotation> {
    let place = test.place.as_ref().filter(|place| place.file.len() <= MAX_PATH)?;
    let text = |text: &str| masker.text(&lines(text).map(plain).collect::<Vec<_>>().join("\n")).into_owned();
    let (message, details) = (text(&test.message), text(&test.detail));
    Some(Annotation {
        path: text(&place.file),
        start_line: place.line,
        end_line: place.line,
        annotation_level: if test.flaky { AnnotationLevel::Warning } else { AnnotationLevel::Failure },
        title: format!("{gate}: {}", text(&test.name)),
        message: match (message.is_empty(), test.flaky) {
            (false, _) => message,
            (true, true) => "passed, but not at once".to_owned(),
            (true, false) => "failed".to_owned(),
        },
        raw_details: Some(details).filter(|details| !details.is_empty()),
    })
}
