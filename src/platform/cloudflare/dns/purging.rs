//! Purged: what Cloudflare has cached of the release's hostnames, and of nothing else. Never fails a release.

use std::collections::BTreeMap;
use std::time::Duration;

use super::wire::Zone;
use super::zone::hinted;
use super::{Hostnames, NOT_PURGED};
use crate::event::Level;
use crate::platform::{PlatformError, PlatformErrorKind, Scope};
use crate::shutdown;

/// The most hostnames of one request (cloudflare.md 8).
const MOST: usize = 100;
/// How long purging may take, every wait that Cloudflare asks for included: on its smallest plan that is a minute for a used-up allowance
/// (cloudflare.md 8).
const LIMIT: Duration = Duration::from_secs(90);

impl Hostnames {
    /// Purges the cache of these hostnames, zone by zone; what could not be purged is told, with the command to type.
    ///
    /// Ends early when the scope is told to end. Idempotent; without a hostname nothing is asked.
    pub async fn purge(&self, scope: &Scope, hosts: &[String]) {
        if hosts.is_empty() {
            return;
        }
        let work = async {
            match self.by_zone(hosts).await {
                Ok(zones) => {
                    for (_, (zone, hosts)) in zones {
                        self.purge_zone(scope, &zone, &hosts).await;
                    }
                }
                Err(error) => tell(scope, &format!("their zone is not known ({error})"), None, hosts),
            }
        };
        tokio::select! {
            biased;
            () = scope.shutdown.at_least(shutdown::Level::Drain) => {}
            done = tokio::time::timeout(LIMIT, work) => {
                if done.is_err() {
                    tell(scope, &format!("it took longer than {LIMIT:?}"), None, hosts);
                }
            }
        }
    }

    async fn by_zone(&self, hosts: &[String]) -> Result<BTreeMap<String, (Zone, Vec<String>)>, PlatformError> {
        let mut zones: BTreeMap<String, (Zone, Vec<String>)> = BTreeMap::new();
        for host in hosts {
            let zone = self.zone(host).await?;
            let (_, of_zone) = zones.entry(zone.id.clone()).or_insert_with(|| (zone, Vec::new()));
            if !of_zone.contains(host) {
                of_zone.push(host.clone());
            }
        }
        Ok(zones)
    }

    async fn purge_zone(&self, scope: &Scope, zone: &Zone, hosts: &[String]) {
        for some in hosts.chunks(MOST) {
            if let Err(error) = self.purge_some(zone, some).await {
                tell(scope, &error.to_string(), Some(zone), some);
            }
        }
    }

    /// Waits as long as it is asked to; the caller's limit bounds it.
    async fn purge_some(&self, zone: &Zone, hosts: &[String]) -> Result<(), PlatformError> {
        loop {
            // The transport has obeyed shorter waits already.
            match self.client()?.purge(zone, hosts).await.map_err(hinted) {
                Err(PlatformError { kind: PlatformErrorKind::RateLimited(Some(wait)), .. }) if wait < LIMIT => {
                    tokio::time::sleep(wait).await;
                }
                other => return other,
            }
        }
    }
}

fn tell(scope: &Scope, why: &str, zone: Option<&Zone>, hosts: &[String]) {
    let body = serde_json::json!({ "hosts": hosts });
    let zone = zone.map_or("ZONE", |zone| &zone.id);
    let text = format!(
        "The cache of {} was not purged: {why}. Users may get cached answers of before. To purge it: curl -X POST \
         https://api.cloudflare.com/client/v4/zones/{zone}/purge_cache -H \"Authorization: Bearer $CLOUDFLARE_API_TOKEN\" --json '{body}'",
        hosts.join(", ")
    );
    scope.events.notice(Level::Warning, NOT_PURGED, text);
}
