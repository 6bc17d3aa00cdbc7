//! How a hostname leads to a worker: as a custom domain of it, for which Cloudflare keeps the record itself (a proxied AAAA of 100::, seen by
//! users [?]).

use super::WorkerTarget;
use crate::platform::{Attached, Leading, PlatformError, RecordKind};

/// The address that stands for "a worker answers" in a zone.
const NOWHERE: &str = "100::";

impl WorkerTarget {
    pub(super) async fn leads(&self, host: &str) -> Result<Leading, PlatformError> {
        let domains = self.client.worker_domains(&self.settings.worker).await?;
        let known = domains.iter().any(|domain| domain.hostname.eq_ignore_ascii_case(host));
        Ok(Leading {
            records: vec![(RecordKind::Aaaa, NOWHERE.to_owned())],
            proxied: true,
            attached: if known { Attached::Yes } else { Attached::No },
            attach_hint: format!(
                "add {host} in the worker's settings (Domains & Routes, Custom domain): Cloudflare makes the record itself"
            ),
        })
    }
}
