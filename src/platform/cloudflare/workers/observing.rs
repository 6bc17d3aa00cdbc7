//! What serves, and by which address users reach it.

use super::WorkerTarget;
use super::wire::{Deployment, Version};
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Weighted};

impl WorkerTarget {
    pub(super) async fn observed(&self) -> Result<Observed, PlatformError> {
        self.find_host().await?;
        let mut observed = Observed::default();
        if let Some(deployment) = self.in_force().await? {
            let listed = self.client.versions(&self.settings.worker).await?;
            for share in deployment.serving() {
                let version = self.version_of(&share.version_id, &listed).await?;
                observed.serving.push(Weighted { revision: self.revision_of(&version, None), percent: share.percentage });
            }
        }
        // A version without traffic cannot be removed, so none is called left.
        observed.facts.insert("worker".to_owned(), self.settings.worker.clone());
        if let Some(host) = self.memory().host.clone() {
            observed.facts.insert("domain".to_owned(), host);
        }
        Ok(observed)
    }

    /// Returns the deployment that is in force: the first of the list (API description).
    pub(super) async fn in_force(&self) -> Result<Option<Deployment>, PlatformError> {
        let deployments = self.client.worker_deployments(&self.settings.worker).await.map_err(|error| match error.kind {
            PlatformErrorKind::NotFound(_) => error.hint(format!(
                "a release needs a worker that is there: make it once by `npx wrangler deploy --name {} --assets DIR`",
                self.settings.worker
            )),
            _ => error,
        })?;
        Ok(deployments.into_iter().next())
    }

    /// Returns a version: from the list, else read by itself; one that nobody knows any more has its id alone.
    pub(super) async fn version_of(&self, id: &str, listed: &[Version]) -> Result<Version, PlatformError> {
        if let Some(version) = listed.iter().find(|version| version.id == id && version.annotations.is_some()) {
            return Ok(version.clone());
        }
        let read = self.client.version(&self.settings.worker, id).await?;
        Ok(read.unwrap_or_else(|| Version { id: id.to_owned(), ..Version::default() }))
    }

    /// Finds the hostname under which users reach the worker: a custom one before the one on workers.dev.
    async fn find_host(&self) -> Result<(), PlatformError> {
        if self.settings.url.is_some() || self.memory().host.is_some() {
            return Ok(());
        }
        let custom = match self.client.worker_domains(&self.settings.worker).await {
            Ok(domains) => domains.into_iter().map(|domain| domain.hostname).next(),
            // Which permission lists them is documented for whole accounts only [?]; without it the worker's own hostname is asked.
            Err(PlatformError { kind: PlatformErrorKind::Forbidden(_), .. }) => None,
            Err(error) => return Err(error),
        };
        let host = match custom {
            Some(host) => Some(host),
            None if self.client.on_workers_dev(&self.settings.worker).await?.enabled => self.workers_dev().await?,
            None => None,
        };
        self.memory().host = host;
        Ok(())
    }

    /// Returns the worker's hostname on workers.dev, whether it answers there or not.
    pub(super) async fn workers_dev(&self) -> Result<Option<String>, PlatformError> {
        let account = self.client.account_subdomain().await?;
        Ok(account.map(|account| format!("{}.{account}.workers.dev", self.settings.worker)))
    }
}
