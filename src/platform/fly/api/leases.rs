//! Leases: who may change a machine.

use http::Method;
use serde::Deserialize;

use super::machines::{about, gone_is_none};
use crate::platform::PlatformError;
use crate::platform::fly::client::FlyClient;
use crate::platform::fly::wire::Lease;

/// The wrapper that arrives although the OpenAPI document shows the inner object only (fly.md 5).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wrapped {
    data: Option<Lease>,
    nonce: String,
    expires_at: i64,
    owner: String,
    version: String,
}

impl Wrapped {
    fn lease(self) -> Lease {
        let bare = Lease { nonce: self.nonce, expires_at: self.expires_at, owner: self.owner, version: self.version };
        self.data.unwrap_or(bare)
    }
}

/// Who holds a lease, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::platform::fly) struct Holder {
    pub(in crate::platform::fly) owner: String,
    pub(in crate::platform::fly) expires_at: i64,
}

impl FlyClient {
    /// Takes a machine's lease for `ttl` seconds, or renews it with its nonce. A held lease is a conflict.
    ///
    /// Taking is not repeated after a lost answer: the lease would be ours without a nonce, and ends by itself.
    pub(in crate::platform::fly) async fn take_lease(
        &self,
        app: &str,
        id: &str,
        ttl: u32,
        nonce: Option<&str>,
    ) -> Result<Lease, PlatformError> {
        let mut call = self.machine("acquire_lease", Method::POST, app, id, &["lease"], nonce);
        call = call.json(&serde_json::json!({"ttl": ttl, "description": "cutover moves this machine to another release"}));
        if nonce.is_some() {
            call = call.repeatable();
        }
        self.read::<Wrapped>(call, &about(app, id)).await.map(Wrapped::lease)
    }

    /// Gives a lease back; gone already is done.
    pub(in crate::platform::fly) async fn drop_lease(&self, app: &str, id: &str, nonce: &str) -> Result<(), PlatformError> {
        let call = self.machine("release_lease", Method::DELETE, app, id, &["lease"], Some(nonce)).repeatable();
        gone_is_none(self.ask(call, &about(app, id)).await).map(drop)
    }

    /// Reads who holds a machine's lease; `None` when nobody does.
    pub(in crate::platform::fly) async fn lease_holder(&self, app: &str, id: &str) -> Result<Option<Holder>, PlatformError> {
        let call = self.machine("get_lease", Method::GET, app, id, &["lease"], None);
        let lease = gone_is_none(self.read::<Wrapped>(call, &about(app, id)).await)?;
        Ok(lease.map(Wrapped::lease).map(|lease| Holder { owner: lease.owner, expires_at: lease.expires_at }))
    }
}
