//! A revision's identity by content.

use std::collections::BTreeMap;

use serde_json::Value;

use super::building::of_commit;
use super::files;
use super::hints::Hints;
use super::wire::Deployment;
use super::{PagesSettings, PagesTarget};
use crate::platform::revision::Content;
use crate::platform::{Artifact, PlatformError, PlatformErrorKind, Revision, RevisionDigest};

impl PagesTarget {
    /// Returns the digest that `artifact` would have: its own and what else decides what users get.
    ///
    /// That is whether names with a dot are published, and for a site with a worker the project's settings of production, which a deployment
    /// takes with it when it is made (cloudflare.md 7.1). Our marks are left out. What Cloudflare builds is known by its commit.
    pub(super) async fn would_be(&self, artifact: &Artifact) -> Result<RevisionDigest, PlatformError> {
        self.would_be_in(artifact, true).await
    }

    /// Returns the digest that `artifact` would have with the project's settings of production, or of previews.
    pub(super) async fn would_be_in(&self, artifact: &Artifact, production: bool) -> Result<RevisionDigest, PlatformError> {
        let (path, digest) = match artifact {
            Artifact::Directory { path, digest } => (path, digest),
            Artifact::Commit { sha, .. } => return Ok(of_commit(sha)),
            Artifact::Image { .. } => {
                let text = "Pages serves no image: ship a directory (`dir`), or let Cloudflare build the commit (`git`)".to_owned();
                return Err(self.error("digest", PlatformErrorKind::Impossible(text)));
            }
        };
        let worker = files::has_worker(path);
        let form = if worker { "worker" } else { "static" };
        let mut slots = BTreeMap::from([("form".to_owned(), form.to_owned())]);
        if !self.settings.dotfiles.is_empty() {
            slots.insert("dotfiles".to_owned(), self.settings.dotfiles.join("\n"));
        }
        if worker {
            let project = self.project().await?;
            let configs = project.deployment_configs.unwrap_or_default();
            let config = if production { configs.production } else { configs.preview };
            slots.insert("settings".to_owned(), RevisionDigest::of(sorted(&config.unwrap_or_default()).as_bytes()).to_string());
        }
        Ok(Content { artifact: digest.clone(), slots }.digest())
    }

    /// Returns the revision that a deployment is, by what it says about itself.
    pub(super) fn revision_of(&self, deployment: &Deployment) -> Revision {
        let id = &deployment.id;
        let stamp = deployment.stamp();
        // What Cloudflare has built is known by its commit, whoever asked for it.
        let built = || deployment.commit().filter(|_| self.builds_elsewhere()).map(of_commit);
        // Not ours: a deployment never changes, so its id stands for its content.
        let of_id = || RevisionDigest::of(format!("cloudflare pages deployment {id}").as_bytes());
        let kept = self.memory().moved_to.clone().filter(|moved| moved.id == *id).map(|moved| moved.digest);
        let host = deployment.url.as_deref().map(|url| url.trim_start_matches("https://").trim_end_matches('/').to_owned());
        let hints = Hints {
            deployment_id: id.clone(),
            url: deployment.url.clone(),
            production: deployment.is_production(),
            record: stamp.as_ref().map(|stamp| stamp.record.clone()).filter(|_| !deployment.is_production()),
        };
        Revision {
            digest: stamp.as_ref().map(super::stamp::Stamp::revision).or(kept).or_else(built).unwrap_or_else(of_id),
            artifact: stamp.as_ref().and_then(|stamp| stamp.artifact.clone()).or_else(|| deployment.commit().map(str::to_owned)),
            label: host.unwrap_or_else(|| id.clone()),
            release: stamp.map(|stamp| stamp.release),
            hints: hints.to_value(),
        }
    }
}

impl PagesSettings {
    /// Returns the hostname in the public address that the manifest names.
    pub(super) fn public_host(&self) -> Option<String> {
        url::Url::parse(self.url.as_deref()?).ok()?.host_str().map(str::to_owned)
    }
}

/// Returns one text for a value, whatever the order of its members.
pub(super) fn sorted(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}
