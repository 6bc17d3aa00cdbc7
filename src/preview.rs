//! Previews of pull requests: a working copy of the whole product for each, its targets wired to each other, and nothing left behind.
//!
//! What a preview is on one platform says [`crate::platform::Preview`]. Here is what belongs to all of them: whose word counts for what ([`agree`]:
//! names and credentials are the base branch's, the rest is the head's), how a commit is shown on every target ([`show`]), and how whatever no open
//! pull request owns is found and removed ([`sweep`]).
//!
//! Removing goes by desired state, not by events: conflicted pull requests fire no event when they are closed, and an old branch carries old code. So
//! the sweep runs on a schedule and asks the platforms what is there.

mod agree;
mod any;
mod show;
mod sweep;

pub use agree::{Agreed, AgreedTarget, BaseManifest, Disagreement, agree};
pub use any::{AnyGround, AnyPreview};
pub use show::{Copy, NotShown, ShowFailure, Showing, show};
pub use sweep::{Found, PullRequests, Removal, Retired, SweepError, SweepLimits, Swept, plan_sweep, sweep};
