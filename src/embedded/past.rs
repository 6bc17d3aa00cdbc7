//! What the platforms were like before: copies of their state, for reads that lag and answers that are not true.
//!
//! A platform that can be copied registers how. A copy is taken before every change while somebody may ask for it (a lag is set, or a rule says
//! `stale`), and costs nothing otherwise. A request is answered from a copy by a router of its own over it, and the copy is thrown away: nothing
//! that a copy does is seen by the world.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;

use super::ground::lock;
use crate::clock::Clock;

/// A copy of a platform's state, as a router over it.
pub type Copy = Arc<dyn Fn() -> Router + Send + Sync>;

/// Takes a copy of a platform as it is now; `None` once the platform is gone.
pub type Copier = Arc<dyn Fn() -> Option<Copy> + Send + Sync>;

/// The longest lag, in the order of the vendors' own words ("a second or so"): what is older than this is forgotten.
pub const LONGEST_MEMORY: Duration = Duration::from_secs(60);

/// The most copies that are kept of one authority.
const MOST_COPIES: usize = 64;

/// The reads that may show an earlier state, by platform.
///
/// Sources: flyctl repeats its list and its reads after a create; Fly's own log tells of lists that lagged (fly.io/infra-log). A written ref is not
/// always readable at once (github/branch-deploy#180); lists of deployments and comments behind the same replicas are a guess. Vercel and
/// Cloudflare say nothing: guesses. A wait that the platform itself holds open is answered from where the thing is, so it does not lag.
const LAGGING: &[(&str, &[&str])] = &[
    ("fly", &["list_machines", "get_machine", "list_secrets", "current_release", "list_releases"]),
    ("vercel", &["get_project", "get_deployment", "list_deployments", "list_aliases", "list_promoted_hosts", "list_rolled_back_hosts"]),
    ("cloudflare", &["get_project", "get_deployment", "list_deployments"]),
    (
        "github",
        &[
            "get_ref",
            "list_matching_refs",
            "list_deployments",
            "get_deployment",
            "list_deployment_statuses",
            "list_comments",
            "list_statuses",
            "list_check_runs",
        ],
    ),
];

/// Returns whether the operation is a read that may lag.
pub fn may_lag(platform: &str, operation: &str) -> bool {
    LAGGING.iter().any(|(known, operations)| *known == platform && operations.contains(&operation))
}

struct Keeper {
    platform: String,
    copier: Copier,
    /// Oldest first.
    copies: VecDeque<(Duration, Copy)>,
}

#[derive(Default)]
struct Archive {
    keepers: BTreeMap<String, Keeper>,
    lags: BTreeMap<String, Duration>,
}

/// The past of one world; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct Past {
    clock: Clock,
    archive: Arc<Mutex<Archive>>,
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("lags", &lock(&self.archive).lags).finish_non_exhaustive()
    }
}

impl Past {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, archive: Arc::default() }
    }

    /// Makes reads of `platform` that may lag (see [`may_lag`]) show what was true up to this long ago; zero turns it off.
    ///
    /// A read shows the state before the oldest change of the last `lag`: never older than that, and as old as that allows. Cut to
    /// [`LONGEST_MEMORY`].
    pub fn lag(&self, platform: &str, lag: Duration) {
        lock(&self.archive).lags.insert(platform.to_owned(), lag.min(LONGEST_MEMORY));
    }

    /// Returns how far the reads of `platform` lag.
    pub fn lag_of(&self, platform: &str) -> Duration {
        lock(&self.archive).lags.get(platform).copied().unwrap_or_default()
    }

    /// Says how the platform at `authority` is copied.
    pub(super) fn register(&self, platform: &str, authority: &str, copier: Copier) {
        let keeper = Keeper { platform: platform.to_owned(), copier, copies: VecDeque::new() };
        lock(&self.archive).keepers.insert(authority.to_owned(), keeper);
    }

    /// Copies `platform`, which is about to change.
    pub(super) fn keep(&self, platform: &str) {
        let copiers: Vec<_> = {
            let archive = lock(&self.archive);
            let of = archive.keepers.iter().filter(|(_, keeper)| keeper.platform == platform);
            of.map(|(authority, keeper)| (authority.clone(), Arc::clone(&keeper.copier))).collect()
        };
        let now = self.clock.elapsed();
        for (authority, copier) in copiers {
            // Outside of the lock: a copier takes its platform's own.
            let Some(copy) = copier() else { continue };
            if let Some(keeper) = lock(&self.archive).keepers.get_mut(&authority) {
                keeper.copies.push_back((now, copy));
                while keeper.copies.len() > MOST_COPIES || keeper.copies.front().is_some_and(|(at, _)| *at + LONGEST_MEMORY < now) {
                    keeper.copies.pop_front();
                }
            }
        }
    }

    /// Returns the platform at `authority` as a read that lags sees it; `None` when that is the present.
    pub(super) fn lagging(&self, platform: &str, authority: &str) -> Option<Copy> {
        let archive = lock(&self.archive);
        let lag = archive.lags.get(platform).copied().filter(|lag| !lag.is_zero())?;
        let since = self.clock.elapsed().saturating_sub(lag);
        archive.keepers.get(authority)?.copies.iter().find(|(at, _)| *at >= since).map(|(_, copy)| Arc::clone(copy))
    }

    /// Returns the copies of the platform at `authority`, newest first.
    pub(super) fn earlier(&self, authority: &str) -> Vec<Copy> {
        let archive = lock(&self.archive);
        archive.keepers.get(authority).into_iter().flat_map(|keeper| keeper.copies.iter().rev()).map(|(_, copy)| Arc::clone(copy)).collect()
    }

    /// Returns a copy of the platform at `authority` as it is now, where it can be copied.
    pub(super) fn present(&self, authority: &str) -> Option<Copy> {
        let copier = Arc::clone(&lock(&self.archive).keepers.get(authority)?.copier);
        copier()
    }

    /// Forgets everything, so that the platforms can be dropped.
    pub(super) fn clear(&self) {
        lock(&self.archive).keepers.clear();
    }
}
