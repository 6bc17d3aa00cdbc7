//! The branch of a preview: whose it is, and what is newest of it.

use super::PagesPreview;
use super::mark;
use crate::platform::PlatformError;
use crate::platform::cloudflare::pages::wire::Deployment;

/// How long a branch's hostname is at most (cloudflare.md 4.1).
const LONGEST: usize = 28;

/// Whose the branch is.
#[derive(Debug)]
pub(super) enum Whose {
    /// This preview's: its deployments, newest first; none where nobody deployed it yet.
    Ours(Vec<Deployment>),
    /// Somebody else's, in words.
    Others(String),
}

impl PagesPreview {
    /// Returns whose the branch is: somebody else's as soon as one deployment at its hostname is not of this preview.
    pub(super) async fn whose(&self) -> Result<Whose, PlatformError> {
        let listed = self.site.client.all_deployments(&self.site.settings.project, "preview").await?;
        let mut ours = Vec::new();
        for deployment in listed {
            let Some(branch) = deployment.branch().filter(|branch| hostname(branch) == self.branch) else { continue };
            if mark::pull_request(&deployment, &self.preview.of) != Some(self.preview.pull_request) {
                let what = deployment.url.as_deref().unwrap_or(&deployment.id);
                return Ok(Whose::Others(format!("{what} of the branch {branch} is not of this preview")));
            }
            ours.push(deployment);
        }
        Ok(Whose::Ours(ours))
    }
}

/// Returns the hostname that a branch gets: the rule is a report of the vendor's engineer (cloudflare.md 4.1).
fn hostname(branch: &str) -> String {
    let plain = |one: char| if one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-' { one } else { '-' };
    let text: String = branch.to_lowercase().chars().map(plain).collect();
    text.trim_matches('-').chars().take(LONGEST).collect()
}
