//! Hostnames that have Cloudflare as their DNS: each is verified before a release, set right where the manifest allows it, and its cache purged
//! after every change of what serves.
//!
//! A hostname belongs to a target on whatever platform; the platform says by which record it leads there ([`Leading`]), this module keeps the
//! record. Verifying belongs to preflight and changes nothing. Records are made, and a CNAME that leads elsewhere is changed, after everything
//! was verified and before the first change of traffic; the record of before stands in the journal with what the target served before, so that a
//! person can go back. Purging never fails a release.
//!
//! | file | concept |
//! |---|---|
//! | `api`, `wire` | which calls, what is said |
//! | `zone` | which zone a hostname is in |
//! | `standing` | what its records are, compared with what they must be |
//! | `looking`, `setting`, `purging` | verified, set right, purged |

mod api;
mod looking;
mod purging;
mod setting;
mod standing;
mod wire;
mod zone;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;

use self::wire::Zone;
use super::client::CloudflareClient;
use super::endpoints::CloudflareEndpoints;
use crate::http::{Guard, Transport};
use crate::id::Name;

/// The code of the notices about purging.
const NOT_PURGED: &str = "dns::not-purged";

/// The hostnames of one target, and what may be done about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetHostnames {
    /// The hostnames.
    pub hosts: Vec<String>,
    /// Whether missing records are made, and CNAME records that lead elsewhere changed.
    pub manage: bool,
    /// Whether the cache of the hostnames is purged.
    pub purge: bool,
}

/// The hostnames of a release's targets, and the way to Cloudflare; cheap to clone. The default one has no hostname and asks nobody.
#[derive(Debug, Clone, Default)]
pub struct Hostnames {
    client: Option<CloudflareClient>,
    of: Arc<BTreeMap<Name, TargetHostnames>>,
    /// Zones by hostname, as far as they were looked up; a zone's id never changes.
    zones: Arc<Mutex<BTreeMap<String, Zone>>>,
}

impl Hostnames {
    /// Returns a way to Cloudflare with no hostname yet: enough to purge what a journal names.
    pub fn new(endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        Self { client: Some(CloudflareClient::new(endpoints, token, String::new(), transport)), ..Self::default() }
    }

    /// Returns the same with the hostnames of these targets.
    #[must_use]
    pub fn with(self, of: BTreeMap<Name, TargetHostnames>) -> Self {
        Self { of: Arc::new(of), ..self }
    }

    /// Returns the same, whose changes leave only where `guard` admits them.
    #[must_use]
    pub fn guarded(&self, guard: Arc<dyn Guard>) -> Self {
        let client = self.client.as_ref().map(|client| client.guarded(guard));
        Self { client, ..self.clone() }
    }

    /// Returns the hostnames of a target.
    pub fn of(&self, target: &Name) -> Option<&TargetHostnames> {
        self.of.get(target)
    }

    /// Returns the hostnames of a target whose cache is purged.
    pub fn purged(&self, target: &Name) -> Vec<String> {
        self.of(target).filter(|of| of.purge).map(|of| of.hosts.clone()).unwrap_or_default()
    }
}
