//! Drift: what a target serves is not what the last finished release left there, so somebody else changed it.
//!
//! Pure: the journal's folded state on one side, what was observed on the other. Compared are content (release stamp, artifact, normalised
//! settings per process group) and pins; counts, sizes, ids and machine states are adopted and told as facts. A person's act is never run
//! over unasked: drift stops a release before its first record, and again right before traffic would move.

use super::journal::{Shipped, State};
use super::plan::Planned;
use crate::platform::Target;

/// Returns what the newest finished release that had this target left on it; `None` when this journal knows of none.
pub(super) fn left<'s>(state: &'s State, planned: &Planned) -> Option<&'s Shipped> {
    let target = &planned.target;
    let same = |shipped: &&Shipped| shipped.platform == target.platform() && shipped.thing == target.thing();
    state.closed.iter().rev().filter(|closed| closed.finished).find_map(|closed| closed.targets.get(target.name()).filter(same))
}
