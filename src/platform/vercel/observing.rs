//! What a project serves, and what stands in a release's way; and the removal of what releases made.

use serde_json::Value;

use super::wire::{AUTO_ASSIGN, Deployment, Project};
use super::{Observed, PlatformError, PlatformErrorKind, Problem, Revision, Scope, Settings, VercelSource, VercelTarget, stamp};
use crate::platform::{Unfinished, Weighted};

/// How many deployments are looked through for what earlier releases left.
const LOOKED_THROUGH: &str = "40";

impl VercelTarget {
    pub(super) async fn look(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        let project = self.client.project().await?;
        let mut observed = Observed::default();
        if let Some(id) = project.production() {
            let deployment = self.client.deployment(id).await?;
            observed.serving.push(Weighted { revision: self.revision(&deployment, &project), percent: 100.0 });
        }
        if let Some(job) = project.last_alias_request.as_ref().filter(|job| job.is_open()) {
            let what = format!("a {} of {} is {}", job.r#type, job.to_deployment_id, job.job_status);
            observed.unfinished.push(Unfinished { id: job.to_deployment_id.clone(), what, release: None });
        }
        // Vercel leaves the setting out where nobody ever changed it; it begins as true.
        let assigns = project.auto_assign_custom_domains.unwrap_or(true);
        observed.settings = Settings::from([(AUTO_ASSIGN.to_owned(), Value::Bool(assigns))]);
        observed.leftovers = self.leftovers(scope, &project).await?;
        if !assigns {
            observed.facts.insert(
                "pinned".to_owned(),
                "automatic assignment of domains is off: a person or a rollback pinned what serves".to_owned(),
            );
        }
        Ok(observed)
    }

    /// Returns deployments that releases of this environment made and that never served.
    async fn leftovers(&self, scope: &Scope, project: &Project) -> Result<Vec<Revision>, PlatformError> {
        let query = [("projectId", project.id.as_str()), ("limit", LOOKED_THROUGH)];
        let listed = self.client.deployments(&query).await?;
        let serves = project.production();
        let left = listed.iter().filter(|each| Self::is_ours(each, scope) && Some(each.id.as_str()) != serves && each.state() != "DELETED");
        // What had traffic is kept as a place to roll back to, unless it is of the very release that goes back.
        let release = scope.release.as_str();
        let removable = left.filter(|each| !each.had_traffic() || each.meta.get(stamp::RELEASE).and_then(Value::as_str) == Some(release));
        Ok(removable.map(|deployment| self.revision(deployment, project)).collect())
    }

    pub(super) async fn look_ahead(&self, scope: &Scope) -> Result<Vec<Problem>, PlatformError> {
        let project = self.client.project().await?;
        let mut problems = Vec::new();
        let mut problem = |fatal: bool, code: &'static str, text: String, hint: Option<&str>| {
            problems.push(Problem { target: self.settings.target.clone(), fatal, code, text, hint: hint.map(str::to_owned) });
        };
        if project.rolling_release.as_ref().is_some_and(|config| !config.is_null()) {
            let text = "the project has rolling releases on, so a promotion does not move all users at once".to_owned();
            problem(
                true,
                "vercel::rolling-release",
                text,
                Some("turn rolling releases off in the project's settings; nothing was touched"),
            );
        }
        let assigns = project.auto_assign_custom_domains.unwrap_or(true);
        let connected = project.link.as_ref().filter(|link| !link.r#type.is_empty());
        if let (Some(link), true, VercelSource::Directory) = (connected, assigns, &self.settings.source) {
            // Vercel may build the same push and give it the domains while a release is under way: two owners of one production.
            let branch = link.production_branch.as_deref().unwrap_or("its production branch");
            let text = format!("the project is connected to git and gives every push to {branch} the production domains by itself");
            let hint =
                "set `{\"git\":{\"deploymentEnabled\":false}}` in its vercel.json, or turn off \"Auto-assign Custom Production Domains\"";
            problem(false, "vercel::git-integration", text, Some(hint));
        }
        if let (None, VercelSource::Git { .. } | VercelSource::Hook { .. }) = (connected, &self.settings.source) {
            let text = "the project is connected to no repository, so Vercel has nothing to build".to_owned();
            problem(true, "vercel::not-connected", text, Some("connect it in the project's Git settings, or deploy a directory (`dir:`)"));
        }
        let domains = self.client.domains(&project.id).await?.domains;
        let production = || domains.iter().filter(|domain| domain.git_branch.is_none() && domain.redirect.is_none());
        for domain in production().filter(|domain| !domain.verified) {
            let text = format!("the domain {} is not verified, so no promotion will move it", domain.name);
            problem(false, "vercel::unverified-domain", text, Some("add the TXT record that the project's Domains page shows"));
        }
        *self.hosts() = production().filter(|domain| domain.verified).map(|domain| domain.name.clone()).collect();
        let _ = scope;
        Ok(problems)
    }

    /// Deletes exactly these deployments, each read again and matched just before; what serves is never deleted.
    pub(super) async fn remove(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        if revisions.is_empty() {
            return Ok(());
        }
        let project = self.client.project().await?;
        for revision in revisions {
            let hints = self.hints(revision)?;
            if project.production() == Some(hints.deployment.as_str()) {
                continue;
            }
            let deployment = match self.client.deployment(&hints.deployment).await {
                Ok(deployment) => deployment,
                Err(error) if matches!(error.kind, PlatformErrorKind::NotFound(_)) => continue,
                Err(error) => return Err(error),
            };
            if self.may_delete(scope, &deployment) {
                scope.step(&self.settings.target, format!("deleting {}", deployment.url));
                self.client.delete(&deployment.id).await?;
            }
        }
        Ok(())
    }

    /// Returns whether a deployment is ours to delete: of this product and environment, and never in front of users unless this very release
    /// put it there. What served before stays, because Vercel's rollback needs it. A hook's deployment carries no stamp: one that never served
    /// and came from our own hook is ours.
    fn may_delete(&self, scope: &Scope, deployment: &Deployment) -> bool {
        use secrecy::ExposeSecret;
        let of_this_release = deployment.meta.get(stamp::RELEASE).and_then(Value::as_str) == Some(scope.release.as_str());
        if Self::is_ours(deployment, scope) {
            return of_this_release || !deployment.had_traffic();
        }
        match (&self.settings.source, deployment.meta.get("deployHookId").and_then(Value::as_str)) {
            (VercelSource::Hook { url }, Some(hook)) => url.expose_secret().ends_with(&format!("/{hook}")) && !deployment.had_traffic(),
            _ => false,
        }
    }
}
