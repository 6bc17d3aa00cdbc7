//! What serves, what is under way, what was left, and the setting that a release disturbs.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::api::ListQuery;
use super::stamp;
use super::wire::{Deployment, Production, Progress, Project};
use super::{VercelSource, VercelTarget};
use crate::id::ReleaseId;
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Revision, Scope, Unfinished, Weighted};

/// For how long what a project is called, where its root is and what this release has not made yet is known from the last look at it.
const KNOWN: Duration = Duration::from_secs(60);

/// How far the vendor's rollback reaches (vercel.md 6.1). Which plan a team has is nothing that a project's token may ask.
const WAY_BACK: &str = "Vercel's rollback; on the Hobby plan it reaches one release back, and what lies further back is promoted again";

/// What was seen when the project was last observed.
#[derive(Debug)]
pub(super) struct Looked {
    at: Instant,
    project: Project,
    /// The release that had made nothing there.
    made_nothing: Option<ReleaseId>,
}

impl Looked {
    fn recent(&self) -> bool {
        self.at.elapsed() < KNOWN
    }
}

/// The setting that promotion turns on and rollback turns off (vercel.md 6.3).
pub(super) const AUTO_ASSIGN: &str = "autoAssignCustomDomains";

impl VercelTarget {
    pub(super) async fn observed(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        let project = self.project().await?;
        let stamped = self.stamped(scope, &project).await?;
        let mut observed = self.seen(&project).await?;
        if let Some(request) = project.running_request() {
            let made = stamped.iter().find(|deployment| deployment.id() == request.to_deployment_id);
            observed.unfinished.push(Unfinished {
                id: request.to_deployment_id.clone(),
                what: request.in_words(),
                release: made.and_then(|deployment| deployment.meta(stamp::RELEASE)).map(str::to_owned),
            });
        }
        let left = stamped.iter().filter(|deployment| self.is_left_over(deployment, &project));
        observed.leftovers = left.map(|deployment| self.revision(deployment, &project)).collect();
        let made_nothing = stamped.iter().all(|deployment| deployment.meta(stamp::RELEASE) != Some(scope.release.as_str()));
        self.memory().looked = Some(Looked { at: Instant::now(), project, made_nothing: made_nothing.then(|| scope.release.clone()) });
        Ok(observed)
    }

    /// Returns what a project's own word says: what serves, and the setting that a release disturbs.
    pub(super) async fn seen(&self, project: &Project) -> Result<Observed, PlatformError> {
        let mut observed = Observed { serving: self.serving(project).await?, ..Observed::default() };
        // Left out where nobody ever changed it; it begins as true.
        let assigns = project.auto_assign_custom_domains.unwrap_or(true);
        observed.settings.insert(AUTO_ASSIGN.to_owned(), assigns.into());
        if !assigns {
            let text = "automatic domains are off: a person or a rollback has pinned what serves";
            observed.facts.insert("pinned".to_owned(), text.to_owned());
        }
        observed.facts.insert("project".to_owned(), project.id.clone());
        observed.facts.insert("way back".to_owned(), WAY_BACK.to_owned());
        if let Some(host) = self.memory().host.clone() {
            observed.facts.insert("domain".to_owned(), host);
        }
        Ok(observed)
    }

    /// Returns the project for what no release changes: its id, its name, its root directory. Read just now unless that was done a moment ago.
    pub(super) async fn known_project(&self) -> Result<Project, PlatformError> {
        let known = self.memory().looked.as_ref().filter(|looked| looked.recent()).map(|looked| looked.project.clone());
        match known {
            Some(project) => Ok(project),
            None => self.project().await,
        }
    }

    /// Returns whether the last look has shown that this release has made nothing there; whoever makes anything says so by [`Self::has_made`].
    pub(super) fn has_made_nothing(&self, scope: &Scope) -> bool {
        self.memory().looked.as_ref().is_some_and(|looked| looked.recent() && looked.made_nothing.as_ref() == Some(&scope.release))
    }

    /// Returns whether a deployment was in production when the project was last observed.
    pub(super) fn was_production(&self, id: &str) -> bool {
        self.memory().looked.as_ref().is_some_and(|looked| looked.project.serves(id))
    }

    /// Notes that something is about to be made.
    pub(super) fn has_made(&self) {
        if let Some(looked) = &mut self.memory().looked {
            looked.made_nothing = None;
        }
    }

    /// Returns the newest production deployments that carry this product's and environment's stamp.
    async fn stamped(&self, scope: &Scope, project: &Project) -> Result<Vec<Deployment>, PlatformError> {
        let meta = [(stamp::PRODUCT, scope.product.as_str()), (stamp::ENVIRONMENT, scope.environment.as_str())];
        self.client.deployments(&project.id, &ListQuery { production: true, meta: &meta, since_ms: None }).await
    }

    /// Returns whether a deployment of ours serves nobody and never did. A failed build of Vercel's is kept, since its log explains it.
    pub(super) fn is_left_over(&self, deployment: &Deployment, project: &Project) -> bool {
        let kept = deployment.progress() == Progress::Failed && !matches!(self.settings.source, VercelSource::Directory);
        let served = deployment.has_served().unwrap_or(!deployment.is_no_candidate());
        !kept && !served && !project.serves(deployment.id())
    }

    pub(super) fn revision(&self, deployment: &Deployment, project: &Project) -> Revision {
        self.revision_of(deployment.id(), deployment.url.as_deref(), &project.id, deployment.all_meta())
    }

    /// Returns what users get. After a job that failed, hostnames may lead to two deployments; then each is weighted by its hostnames.
    async fn serving(&self, project: &Project) -> Result<Vec<Weighted>, PlatformError> {
        let Some(production) = project.production() else { return Ok(Vec::new()) };
        let whole = self.revision_in_production(project, production).await?;
        let failed = project.last_alias_request.as_ref().is_some_and(|request| request.job_status == "failed");
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        if failed {
            for (_, id) in self.hosts(project).await? {
                *counts.entry(id).or_default() += 1;
            }
        }
        if counts.keys().all(|id| *id == production.id) {
            return Ok(vec![Weighted { revision: whole, percent: 100.0 }]);
        }
        let all: usize = counts.values().sum();
        let mut serving = Vec::new();
        for (id, count) in counts {
            let revision = if id == production.id {
                whole.clone()
            } else {
                let deployment = self.client.deployment(&id).await?.unwrap_or_default();
                self.revision_of(&id, deployment.url.as_deref(), &project.id, deployment.all_meta())
            };
            serving.push(Weighted { revision, percent: count as f64 * 100.0 / all as f64 });
        }
        Ok(serving)
    }

    pub(super) async fn revision_in_production(&self, project: &Project, production: &Production) -> Result<Revision, PlatformError> {
        if let Some(meta) = &production.meta {
            return Ok(self.revision_of(&production.id, production.url.as_deref(), &project.id, meta));
        }
        let deployment = self.client.deployment(&production.id).await?.unwrap_or_default();
        let url = production.url.as_deref().or(deployment.url.as_deref());
        Ok(self.revision_of(&production.id, url, &project.id, deployment.all_meta()))
    }

    /// Returns the verified production hostnames and the deployment that each leads to; what a token may not ask is left out.
    pub(super) async fn hosts(&self, project: &Project) -> Result<Vec<(String, String)>, PlatformError> {
        let unseen = |error: &PlatformError| matches!(error.kind, PlatformErrorKind::Forbidden(_) | PlatformErrorKind::NotFound(_));
        let domains = match self.production_domains(project).await {
            Ok(domains) => domains,
            Err(error) if unseen(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut hosts = Vec::new();
        for domain in domains.into_iter().filter(|domain| domain.verified != Some(false)) {
            match self.client.leads_to(&domain.name).await {
                Ok(Some(id)) => hosts.push((domain.name, id)),
                Ok(None) => {}
                Err(error) if unseen(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(hosts)
    }
}
