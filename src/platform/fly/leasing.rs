//! Leases: held while machines are changed, renewed meanwhile, given back on every path.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::{CONCURRENCY, FlyTarget};
use crate::platform::{PlatformError, PlatformErrorKind, Scope};

/// How long a lease lasts, in seconds: a runner that dies blocks others no longer (flyctl's value).
const LEASE_SECONDS: u32 = 13;
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(4);
/// How long somebody else's lease is waited for.
const LEASE_WAIT: Duration = Duration::from_secs(60);

impl FlyTarget {
    /// Takes the leases of these machines; returns whether one of them has another version than the copy in hand, `(id, version)`.
    pub(super) async fn take_leases(&self, scope: &Scope, machines: &[(String, String)]) -> Result<bool, PlatformError> {
        let taken = machines.iter().map(|(id, version)| async move {
            let leased = self.take_one(scope, id).await?;
            Ok::<bool, PlatformError>(!leased.is_empty() && leased != *version)
        });
        let moved: Vec<bool> = futures_util::stream::iter(taken).buffer_unordered(CONCURRENCY).try_collect().await?;
        Ok(moved.contains(&true))
    }

    /// Takes one lease and returns the version that the machine has; waits while somebody else holds it, and says who.
    async fn take_one(&self, scope: &Scope, id: &str) -> Result<String, PlatformError> {
        if self.nonce(id).is_some() {
            return Ok(String::new());
        }
        let app = &self.settings.app;
        let until = Instant::now() + LEASE_WAIT;
        let mut told = None;
        loop {
            let refused = match self.client.take_lease(app, id, LEASE_SECONDS, None).await {
                Ok(lease) => {
                    self.memory().leases.insert(id.to_owned(), lease.nonce);
                    return Ok(lease.version);
                }
                // A lost answer may have left a lease of ours without its nonce; it ends by itself.
                Err(error) if error.ambiguous() || matches!(error.kind, PlatformErrorKind::Conflict(_)) => error,
                Err(error) => return Err(error),
            };
            let holder = self.client.lease_holder(app, id).await.ok().flatten();
            if Instant::now() >= until {
                let who = holder.map(|holder| format!(" by {}", holder.owner)).unwrap_or_default();
                return Err(
                    refused.hint(format!("machine {id} is held{who}; wait until that is done, or see `fly machine leases view {id}`"))
                );
            }
            if told != holder {
                if let Some(holder) = &holder {
                    let until = jiff::Timestamp::from_second(holder.expires_at).map(|at| format!(" until {at}")).unwrap_or_default();
                    scope.step(&self.settings.target, format!("waiting for machine {id}, which {} holds{until}", holder.owner));
                }
                told = holder;
            }
            let pause = async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Ok(())
            };
            self.or_cancelled(scope, "acquire_lease", pause).await?;
        }
    }

    /// Does `work` while the leases in hand are renewed; a lease that is lost ends the work with a conflict.
    pub(super) async fn under_leases<T>(&self, work: impl Future<Output = Result<T, PlatformError>>) -> Result<T, PlatformError> {
        let renew = async {
            loop {
                tokio::time::sleep(RENEWAL).await;
                let held: Vec<(String, String)> = self.memory().leases.iter().map(|(id, nonce)| (id.clone(), nonce.clone())).collect();
                let renewals = held.iter().map(|(id, nonce)| self.renew(id, nonce));
                let renewed: Result<Vec<()>, PlatformError> =
                    futures_util::stream::iter(renewals).buffer_unordered(CONCURRENCY).try_collect().await;
                if let Err(error) = renewed {
                    return error;
                }
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            error = renew => Err(error),
        }
    }

    async fn renew(&self, id: &str, nonce: &str) -> Result<(), PlatformError> {
        match self.client.take_lease(&self.settings.app, id, LEASE_SECONDS, Some(nonce)).await {
            Ok(lease) if lease.nonce == nonce || lease.nonce.is_empty() => Ok(()),
            Ok(_) => {
                self.memory().leases.remove(id);
                Err(self
                    .error("acquire_lease", PlatformErrorKind::Conflict(format!("the lease of machine {id} was lost to somebody else"))))
            }
            // No word is no loss: the next renewal tells.
            Err(error)
                if error.ambiguous() || matches!(error.kind, PlatformErrorKind::Unreachable(_) | PlatformErrorKind::RateLimited(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Does something to a machine, and once more when it is refused because of what somebody else does to it: a lease that could not be given back
    /// ends by itself, and so does an update that is under way.
    pub(super) async fn once_free<T>(&self, work: impl AsyncFn() -> Result<T, PlatformError>) -> Result<T, PlatformError> {
        let until = Instant::now() + Duration::from_secs(u64::from(LEASE_SECONDS)) + super::READ_LAG;
        loop {
            match work().await {
                Err(error) if matches!(error.kind, PlatformErrorKind::Conflict(_)) && Instant::now() < until => {
                    tokio::time::sleep(super::POLL).await;
                }
                result => return result,
            }
        }
    }

    /// Gives back every lease in hand; what cannot be given back ends by itself within seconds.
    pub(super) async fn drop_leases(&self) {
        let held = std::mem::take(&mut self.memory().leases);
        let drops = held.iter().map(|(id, nonce)| self.client.drop_lease(&self.settings.app, id, nonce));
        let results: Vec<Result<(), PlatformError>> = futures_util::stream::iter(drops).buffer_unordered(CONCURRENCY).collect().await;
        for error in results.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "lease not given back");
        }
    }

    /// Returns the nonce of a machine's lease, if we hold it.
    pub(super) fn nonce(&self, id: &str) -> Option<String> {
        self.memory().leases.get(id).cloned()
    }
}
