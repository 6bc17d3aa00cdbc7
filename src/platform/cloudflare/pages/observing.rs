//! What serves, what is under way, and what was left.

use super::PagesTarget;
use super::wire::{Deployment, Progress, Project};
use crate::platform::{Observed, PlatformError, Scope, Unfinished, Weighted};

/// How many pages of previews are looked through for what a release left: a hundred deployments.
const PAGES: u64 = 4;

impl PagesTarget {
    pub(super) async fn observed(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        let project = self.project().await?;
        let production = self.client.deployments(&self.settings.project, "production", 1).await?;
        let previews = self.client.deployments(&self.settings.project, "preview", PAGES).await?;
        let mut observed = Observed::default();
        if let Some(canonical) = self.canonical(&project).await? {
            observed.serving.push(Weighted { revision: self.revision_of(&canonical), percent: 100.0 });
        }
        for deployment in &production {
            if let Progress::UnderWay(at) = deployment.progress()
                && !project.serves(&deployment.id)
            {
                observed.unfinished.push(Unfinished {
                    id: deployment.id.clone(),
                    what: format!("a production deployment, {at}"),
                    release: deployment.stamp().map(|stamp| stamp.release),
                });
            }
        }
        // The staging deployment of what serves stays, and so does that of what we served last where somebody else serves now: from it the same
        // can be posted once more.
        let serves = observed.single().map(|revision| revision.digest.clone());
        let ours = |one: &Deployment| one.stamp().filter(|stamp| stamp.is_ours(scope)).map(|stamp| stamp.revision());
        let last = production.iter().find_map(ours);
        let stays = |digest| Some(&digest) == serves.as_ref() || Some(&digest) == last.as_ref();
        let left = previews.iter().filter(|one| ours(one).is_some_and(|digest| !stays(digest)));
        observed.leftovers = left.map(|one| self.revision_of(one)).collect();
        observed.facts.insert("project".to_owned(), project.name.clone());
        observed.facts.insert("production branch".to_owned(), project.branch().to_owned());
        if let Some(host) = project.host() {
            observed.facts.insert("domain".to_owned(), host);
        }
        Ok(observed)
    }

    /// Returns the deployment that is production, with its mark; read by itself where the project shows only its id.
    pub(super) async fn canonical(&self, project: &Project) -> Result<Option<Deployment>, PlatformError> {
        let Some(shown) = project.canonical_deployment.clone().filter(|canonical| !canonical.id.is_empty()) else { return Ok(None) };
        let whole =
            if shown.trigger.is_some() { shown } else { self.client.deployment(&self.settings.project, &shown.id).await?.unwrap_or(shown) };
        // What is production is of production, whether it says so or not.
        Ok(Some(Deployment { environment: Some("production".to_owned()), ..whole }))
    }
}
