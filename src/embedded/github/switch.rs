//! What the embedded GitHub does where experience differs, and how fast it shows what was written.

use std::time::Duration;

/// The switches of one embedded GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// How long a written ref is read as it was before (report: github/branch-deploy#180).
    pub ref_lag: Duration,
    /// How long `commits/{sha}/pulls` is empty after a push (reports).
    pub pulls_lag: Duration,
    /// How many content-creating requests a token may send per minute; `None` for no limit. The vendor documents 80.
    pub content_per_minute: Option<u32>,
    /// How many requests a token of an installation may send per hour. The vendor documents 1000 per repository.
    pub requests_per_hour: u64,
    /// Whether refs outside `refs/heads` and `refs/tags` are taken (vendor's documentation shows other namespaces in lists; that they may be
    /// made is a guess).
    pub takes_other_namespaces: bool,
    /// Any token opens everything, and a repository, a commit or a pull request exists once it is asked for: a sandbox without a product.
    pub open_to_anyone: bool,
    /// Whether a deployment may be deleted while its newest status is `success` and others of its environment exist (documented: no).
    pub deletes_active_deployments: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            ref_lag: Duration::ZERO,
            pulls_lag: Duration::ZERO,
            content_per_minute: None,
            requests_per_hour: 1000,
            takes_other_namespaces: true,
            open_to_anyone: false,
            deletes_active_deployments: false,
        }
    }
}
