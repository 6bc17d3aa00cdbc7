//! How a hostname leads to an app: by its name on fly.dev or by its own addresses, past every other proxy as long as the certificate is not issued
//! (cloudflare.md 8; fly.md 15.6).

use std::net::IpAddr;

use super::FlyTarget;
use crate::platform::{Attached, Leading, PlatformError, RecordKind};

impl FlyTarget {
    pub(super) async fn leads(&self, host: &str) -> Result<Leading, PlatformError> {
        let app = &self.settings.app;
        let mut records = vec![(RecordKind::Cname, format!("{app}.fly.dev"))];
        for address in self.client.addresses(app).await? {
            match address.ip.parse() {
                Ok(IpAddr::V4(_)) => records.push((RecordKind::A, address.ip)),
                Ok(IpAddr::V6(_)) => records.push((RecordKind::Aaaa, address.ip)),
                // Private names and what is not known yet lead no user anywhere.
                Err(_) => {}
            }
        }
        // Whether the app has a certificate for the hostname shows when it is asked by HTTPS.
        Ok(Leading { records, proxied: false, attached: Attached::Yes, attach_hint: format!("fly certs add {host} -a {app}") })
    }
}
