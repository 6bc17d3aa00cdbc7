//! Takes secrets out of every text of an event.

use crate::event::{Event, EventKind, GateOutcome, TargetSummary};
use crate::mask::Masker;

/// Returns the event with every text masked. Names come from the manifest, and codes from this program: they hold no secret.
pub(super) fn masked(event: &Event, masker: &Masker) -> Event {
    let mut event = event.clone();
    let mask = |text: &str| masker.text(text).into_owned();
    let text = |text: &mut String| *text = mask(text);
    let maybe = |text: &mut Option<String>| *text = text.as_deref().map(mask);
    let lines = |lines: &mut Vec<String>| lines.iter_mut().for_each(|line| *line = mask(line));
    match &mut event.kind {
        EventKind::RunStarted { commit, trigger, .. } => {
            text(commit);
            text(trigger);
        }
        EventKind::Notice { text: sentences, .. } => text(sentences),
        EventKind::GateLine { line, .. } | EventKind::BuildLine { line, .. } => text(line),
        EventKind::GateAttemptFailed { outcome, .. } => gate(outcome, &mask),
        EventKind::GateFinished { outcome, last_lines, .. } => {
            gate(outcome, &mask);
            lines(last_lines);
        }
        EventKind::BuildStarted { builder, .. } => text(builder),
        EventKind::BuildFinished { result: Ok(said) | Err(said), .. } => text(said),
        EventKind::ReleaseStarted { targets, .. } => {
            for TargetSummary { thing, url, before, after, cost, .. } in targets {
                text(thing);
                maybe(cost);
                maybe(url);
                maybe(before);
                maybe(after);
            }
        }
        EventKind::PhaseFinished { failure, .. } | EventKind::TargetFinished { failure, .. } => maybe(failure),
        EventKind::TargetStep { step, .. } => text(step),
        EventKind::Migrated { command, snapshots, ended, .. } => {
            text(command);
            text(ended);
            for snapshot in snapshots {
                text(&mut snapshot.id);
                text(&mut snapshot.of);
            }
        }
        EventKind::Checked { check, detail, .. } => {
            text(check);
            text(detail);
        }
        EventKind::Proven { url, .. } => text(url),
        EventKind::TargetSettled { before, after, url, .. } => {
            maybe(before);
            maybe(after);
            maybe(url);
        }
        EventKind::ReleaseFinished { failure, hints, .. } | EventKind::RunFinished { failure, hints, .. } => {
            maybe(failure);
            lines(hints);
        }
        EventKind::GateStarted { .. } | EventKind::PhaseStarted { .. } | EventKind::PreviewStarted { .. } => {}
    }
    event
}

fn gate(outcome: &mut GateOutcome, mask: &impl Fn(&str) -> String) {
    match outcome {
        GateOutcome::CouldNotStart { reason } | GateOutcome::OutputUnreadable { reason } => *reason = mask(reason),
        GateOutcome::ServiceFailed { service, reason } => {
            *service = mask(service);
            *reason = mask(reason);
        }
        GateOutcome::OutputMissing { path } => *path = mask(path),
        GateOutcome::NotStarted { because } => *because = mask(because),
        GateOutcome::Passed
        | GateOutcome::Flaky
        | GateOutcome::Failed { .. }
        | GateOutcome::Signalled { .. }
        | GateOutcome::TimedOut { .. }
        | GateOutcome::Leaky
        | GateOutcome::Cancelled => {}
    }
}
