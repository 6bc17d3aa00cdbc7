//! How an environment previews pull requests.

use indexmap::IndexMap;

use crate::id::Name;

/// How an environment previews pull requests: what is said once for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullRequests {
    /// The Fly organisation in which their apps are made, apart from production's; what `FLY_ORG` says when `None`.
    pub organization: Option<String>,
    /// How much memory each machine of theirs has, in MB; the least there is when `None`.
    pub memory_mb: Option<u32>,
    /// What is run once on a new preview's image before it serves, by target: it fills its database.
    pub seeds: IndexMap<Name, String>,
}

impl PullRequests {
    /// The least memory of a machine, in MB (<https://fly.io/docs/about/pricing/>).
    pub const LEAST_MEMORY_MB: u32 = 256;
    /// The most memory that a shared processor can have, in MB.
    pub const MOST_MEMORY_MB: u32 = 2048;
}
