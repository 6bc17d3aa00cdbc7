//! Drift: what a target serves is not what the last finished release left there, so somebody else changed it.
//!
//! Pure: the journal's folded state on one side, what was observed on the other. Compared are content (artifact and normalised settings per
//! process group, with the release's stamp to say whose it is) and pins; counts, places, sizes, ids and machine states are adopted and told
//! as facts. A person's act is never run over unasked: drift stops a release before its first record, and what changes between the plan and
//! the moment before traffic would move ends it. What a rolled-back release leaves is what the finished one before it left, so it is none.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::future::join_all;

use super::journal::{Shipped, State};
use super::plan::{Plan, Planned};
use super::{Failure, Release};
use crate::event::{Level, Phase};
use crate::id::Name;
use crate::platform::{AnyTarget, Observed, Revision, Settings, Target};

/// What to do when somebody else changed what serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriftPolicy {
    /// The release is refused before it begins.
    #[default]
    Refuse,
    /// What serves is accepted: it becomes a state of the journal's, to which this release and later ones may go back.
    Adopt,
    /// The release goes over it. Should it fail, it goes back to what serves, which stays drift.
    Override,
}

/// One target that somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The target.
    pub target: Name,
    /// What the last finished release left, in short.
    pub recorded: String,
    /// What serves, in short.
    pub found: String,
    /// In which respects they differ, and who probably did it: a whole sentence.
    pub what: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target, self.what)
    }
}

/// Compares what every moving target of a plan serves with what the journal's releases left; empty when nobody else changed anything.
///
/// A target that stays as it is runs over nobody's act, and one that this journal does not know is adopted: both are no drift.
pub fn drift(state: &State, plan: &Plan) -> Vec<Drift> {
    plan.moving().filter_map(|planned| of(state, &planned.target, &planned.before)).collect()
}

/// Compares what one target serves with what the newest finished release that had it left there.
pub fn of(state: &State, target: &AnyTarget, found: &Observed) -> Option<Drift> {
    let left = left(state, target)?;
    let mut what = content(state, target, left, found);
    what.extend(pins(&left.settings, &found.settings));
    if what.is_empty() {
        return None;
    }
    let (recorded, found) = (left.revision.label.clone(), labels(found));
    Some(Drift { target: target.name().clone(), recorded, found, what: what.join("; ") })
}

/// Returns what is different in scale from what the journal left; adopted and reported, never drift.
pub fn scale(state: &State, target: &AnyTarget, found: &Observed) -> Vec<String> {
    match (left(state, target), found.single()) {
        (Some(left), Some(serving)) => target.differences(&left.revision, serving).adopted,
        _ => Vec::new(),
    }
}

/// Returns what the newest finished release that had this target left on it; `None` when this journal knows of none.
pub(super) fn left<'s>(state: &'s State, target: &AnyTarget) -> Option<&'s Shipped> {
    let same = |shipped: &&Shipped| shipped.platform == target.platform() && shipped.thing == target.thing();
    state.closed.iter().rev().filter(|closed| closed.finished).find_map(|closed| closed.targets.get(target.name()).filter(same))
}

fn content(state: &State, target: &AnyTarget, left: &Shipped, found: &Observed) -> Vec<String> {
    if found.serving.is_empty() {
        return vec![format!("nothing serves, not {}", left.revision.label)];
    }
    let changed = |revision: &Revision| target.differences(&left.revision, revision).changed;
    let others: Vec<(&Revision, Vec<String>)> =
        found.serving.iter().map(|weighted| &weighted.revision).map(|it| (it, changed(it))).filter(|(_, it)| !it.is_empty()).collect();
    let part = if others.len() < found.serving.len() { "for some users " } else { "" };
    others.iter().map(|(revision, what)| format!("{part}{} ({})", what.join(", "), author(state, target, left, revision))).collect()
}

/// Returns who probably did it.
fn author(state: &State, target: &AnyTarget, left: &Shipped, found: &Revision) -> String {
    let shipped = |closed: &&super::journal::Closed| {
        let earlier = closed.targets.get(target.name());
        closed.finished && earlier.is_some_and(|earlier| earlier.revision.same_content(found))
    };
    if let Some(earlier) = state.closed.iter().rev().find(shipped) {
        return format!("it is what {} left: somebody went back to it by hand", earlier.release);
    }
    match &found.release {
        None => "no release made it: somebody deployed it another way".to_owned(),
        Some(release) if left.revision.release.as_ref() == Some(release) => {
            format!("{release} made it, and somebody has changed it since")
        }
        Some(release) => match state.closed.iter().find(|closed| closed.release.as_str() == release && !closed.finished) {
            Some(_) => format!("{release} made it and was rolled back: an effect that came late, or somebody's hand"),
            None => format!("{release} made it, of which this journal does not know that it serves"),
        },
    }
}

/// Returns the settings that were on when the last release ended and are off: whoever turns them off pins what serves.
///
/// Vercel turns `autoAssignCustomDomains` off with every rollback in its dashboard, and a release turns it on again at its end.
fn pins(recorded: &Settings, found: &Settings) -> Vec<String> {
    let was_on = |name: &&String| recorded.get(*name).and_then(serde_json::Value::as_bool) == Some(true);
    let off = found.iter().filter(|(_, value)| value.as_bool() == Some(false)).map(|(name, _)| name);
    off.filter(was_on).map(|name| format!("{name} is off and was on: somebody has pinned what serves")).collect()
}

fn labels(observed: &Observed) -> String {
    let labels: Vec<&str> = observed.serving.iter().map(|weighted| weighted.revision.label.as_str()).collect();
    if labels.is_empty() { "nothing".to_owned() } else { labels.join(" and ") }
}

/// Returns what a refusal over drift advises.
pub fn hints() -> Vec<String> {
    vec![
        "add --adopt to accept what serves as the state to go back to".to_owned(),
        "add --override to release over it; a failure goes back to what serves now".to_owned(),
    ]
}

impl Release<'_> {
    /// Stops at drift, unless the run may go over it; tells what is adopted. Returns whether what serves is to be recorded as adopted.
    pub(super) fn look_for_drift(&self) -> Result<bool, Failure> {
        let (state, events) = (self.journal.state(), &self.context.events);
        for planned in self.plan.moving() {
            self.tell_adopted(state, planned);
        }
        let found = drift(state, &self.plan);
        let policy = self.context.drift;
        if policy == DriftPolicy::Refuse && !found.is_empty() {
            let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let only = if let [one] = found.as_slice() { Some(&one.target) } else { None };
            let text = format!("somebody else changed what serves since the last release: {text}");
            return Err(Failure { hints: hints(), ..Failure::said(Phase::Preflight, only, text) });
        }
        for each in &found {
            let (code, so) = match policy {
                DriftPolicy::Adopt => ("drift::adopted", "It is adopted: a failure goes back to it, and so may a later rollback."),
                DriftPolicy::Override | DriftPolicy::Refuse => {
                    ("drift::overridden", "The release goes over it; a failure goes back to it.")
                }
            };
            events.notice(Level::Warning, code, format!("{each}. {so}"));
        }
        Ok(policy == DriftPolicy::Adopt && !found.is_empty())
    }

    fn tell_adopted(&self, state: &State, planned: &Planned) {
        let (name, events) = (planned.target.name(), &self.context.events);
        if left(state, &planned.target).is_none() && !planned.before.serving.is_empty() {
            let text = format!(
                "{name} serves {}, which no release recorded here made: it is adopted, and is what a failure of this one goes back to.",
                labels(&planned.before)
            );
            events.notice(Level::Note, "release::adopted", text);
        }
        for fact in scale(state, &planned.target, &planned.before) {
            events.notice(Level::Note, "drift::scale", format!("{name}: {fact}. That is adopted."));
        }
    }

    /// Observes every moving target once more, right before traffic would change, and compares it with what the release found at its
    /// beginning. A difference is somebody's act: the release ends, and what is prepared is taken back without touching what serves.
    pub(super) async fn look_again(&self) -> Result<(), Failure> {
        let scope = self.context.scope(Phase::CutOver, &self.context.shutdown);
        let looks = self.plan.moving().map(async |planned| (planned, planned.target.observe(&scope).await));
        for (planned, now) in join_all(looks).await {
            let name = planned.target.name();
            let now = now.map_err(|error| Failure::on(Phase::CutOver, name, &error))?;
            let changed = since_planned(planned, &now);
            if !changed.is_empty() {
                let text = format!(
                    "somebody else changed what {} serves while this release was prepared, and no traffic has moved: {}",
                    planned.target.thing(),
                    changed.join("; ")
                );
                return Err(Failure::said(Phase::CutOver, Some(name), text));
            }
        }
        Ok(())
    }
}

/// Returns in which respects what serves now differs from what served when the release began.
fn since_planned(planned: &Planned, now: &Observed) -> Vec<String> {
    let content = |observed: &Observed| -> BTreeSet<String> {
        observed.serving.iter().map(|weighted| weighted.revision.digest.to_string()).collect()
    };
    if content(&planned.before) == content(now) {
        // Preparing by a vendor's own build may need a setting off: there it is our own hand.
        return if planned.target.reach().builds { Vec::new() } else { pins(&planned.before.settings, &now.settings) };
    }
    match planned.before.single() {
        Some(before) if !now.serving.is_empty() => {
            now.serving.iter().flat_map(|weighted| planned.target.differences(before, &weighted.revision).changed).collect()
        }
        _ => vec![format!("{} serves, not {}", labels(now), labels(&planned.before))],
    }
}
