//! A revision's identity by content.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::files::{self, Form};
use super::hints::Hints;
use super::stamp;
use super::wire::Of;
use super::{VercelSource, VercelTarget};
use crate::platform::revision::Content;
use crate::platform::{Artifact, PlatformError, PlatformErrorKind, Revision, RevisionDigest};

impl VercelTarget {
    /// Returns the digest that `artifact` would have: its own and what else decides what users get.
    ///
    /// That is the form (plain files, or a built tree), the rules of a plain site's `vercel.json`, and for what has functions or is built by Vercel the names of the project's production
    /// variables with the time of their last change, since a change reaches later deployments only. Plain files get no variables. Our marks
    /// are left out.
    ///
    /// Errors: the site's `vercel.json` asks for what cannot be had.
    pub(super) async fn would_be(&self, artifact: &Artifact) -> Result<RevisionDigest, PlatformError> {
        self.would_be_in(artifact, Of::Production).await
    }

    /// Returns the digest that `artifact` would have with the variables of production, or of previews.
    pub(super) async fn would_be_in(&self, artifact: &Artifact, of: Of) -> Result<RevisionDigest, PlatformError> {
        let mut slots = BTreeMap::new();
        match artifact {
            Artifact::Directory { path, .. } => {
                let form = if Form::of(path) == Form::Prebuilt { "prebuilt" } else { "static" };
                slots.insert("form".to_owned(), form.to_owned());
                let rules = files::rules(path, self.settings.rules.as_deref()).map_err(|error| self.unusable(&error))?;
                slots.extend(rules.map(|rules| ("rules".to_owned(), RevisionDigest::of(rules.as_bytes()).to_string())));
                if files::has_functions(path) {
                    slots.insert("variables".to_owned(), self.variables(of).await?);
                }
            }
            Artifact::Commit { sha, .. } => {
                // A hook's deployments carry no stamp of ours: their commit is all that can be read back.
                if matches!(self.settings.source, VercelSource::Hook { .. }) {
                    return Ok(of_hooked(sha));
                }
                slots.insert("form".to_owned(), "git".to_owned());
                slots.insert("variables".to_owned(), self.variables(of).await?);
            }
            Artifact::Image { .. } => {
                let text = "Vercel serves no image: ship a directory (`dir`), or let Vercel build the commit (`git`)".to_owned();
                return Err(self.error("digest", PlatformErrorKind::Impossible(text)));
            }
        }
        Ok(Content { artifact: artifact.digest().to_owned(), slots }.digest())
    }

    /// Returns one text for all variables; a token that may not list them gets a constant.
    async fn variables(&self, of: Of) -> Result<String, PlatformError> {
        let variables = match self.client.variables(&self.settings.project, of).await {
            Ok(variables) => variables,
            Err(PlatformError { kind: PlatformErrorKind::Forbidden(_) | PlatformErrorKind::NotFound(_), .. }) => {
                return Ok("unreadable".to_owned());
            }
            Err(error) => return Err(error),
        };
        let mut known: Vec<Value> =
            variables.iter().map(|variable| json!([variable.key, variable.git_branch, variable.updated_at])).collect();
        known.sort_by_key(Value::to_string);
        Ok(RevisionDigest::of(Value::from(known).to_string().as_bytes()).to_string())
    }

    /// Returns the revision that a deployment is, by what it says about itself.
    pub(super) fn revision_of(&self, id: &str, url: Option<&str>, project: &str, meta: &BTreeMap<String, Value>) -> Revision {
        let hooked = matches!(self.settings.source, VercelSource::Hook { .. }) && meta.contains_key(stamp::HOOK);
        let digest = match (stamp::text(meta, stamp::REVISION), stamp::text(meta, stamp::COMMIT)) {
            (Some(digest), _) => RevisionDigest::from_text(digest),
            (None, Some(sha)) if hooked => of_hooked(sha),
            // Not ours: a deployment never changes, so its id stands for its content.
            _ => RevisionDigest::of(format!("vercel deployment {id}").as_bytes()),
        };
        let hints = Hints { deployment_id: id.to_owned(), url: url.map(str::to_owned), project_id: project.to_owned() };
        Revision {
            digest,
            artifact: stamp::text(meta, stamp::ARTIFACT).or(stamp::text(meta, stamp::COMMIT)).map(str::to_owned),
            label: url.unwrap_or(id).to_owned(),
            release: stamp::text(meta, stamp::RELEASE).map(str::to_owned),
            hints: hints.to_value(),
        }
    }
}

/// Returns the digest of a hook's deployment.
pub(super) fn of_hooked(sha: &str) -> RevisionDigest {
    Content { artifact: sha.to_owned(), slots: BTreeMap::from([("form".to_owned(), "hook".to_owned())]) }.digest()
}
