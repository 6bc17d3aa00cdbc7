//! What marks a deployment as a preview's: its metadata, of which a release's marks are no part.

use std::collections::BTreeMap;

use super::VercelPreview;
use crate::platform::vercel::creating::Making;
use crate::platform::vercel::stamp;
use crate::platform::vercel::wire::Deployment;
use crate::platform::{PreviewScope, PreviewsOf, RevisionDigest};

/// The preview's mark.
pub(super) const PREVIEW: &str = "cutoverPreview";
/// How the marks of all previews of its product and repository begin, by which they are asked for.
pub(super) const PREVIEWS: &str = "cutoverPreviews";
/// The hostname that leads to it, or did.
pub(super) const HOST: &str = "cutoverHost";

impl VercelPreview {
    /// Returns what is made to show a revision.
    pub(super) fn making(&self, scope: &PreviewScope, revision: &RevisionDigest, artifact: &str) -> Making {
        let mut meta = BTreeMap::from([
            (PREVIEW, self.preview.mark()),
            (PREVIEWS, self.preview.of.prefix()),
            (HOST, self.host.clone()),
            (stamp::REVISION, revision.to_string()),
            (stamp::ARTIFACT, artifact.to_owned()),
        ]);
        let commit = crate::platform::Errand::commit(scope);
        meta.extend(commit.map(|commit| (stamp::COMMIT, commit.to_owned())));
        Making { production: false, meta, found_by: &[PREVIEW, stamp::REVISION] }
    }
}

/// Returns the pull request whose preview a deployment of the project is; `None` for one of production, of others, of another project.
pub(super) fn pull_request(deployment: &Deployment, project: &str, previews: &PreviewsOf) -> Option<u64> {
    let elsewhere = deployment.project_id.as_deref().is_some_and(|of| of != project);
    let production = deployment.target.as_deref() == Some("production");
    let marked = deployment.meta(PREVIEW).filter(|_| !elsewhere && !production)?;
    previews.pull_request(marked)
}
