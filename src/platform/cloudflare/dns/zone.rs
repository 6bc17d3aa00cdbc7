//! Which zone a hostname is in: labels are taken away from the left until a zone is found (cloudflare.md 8).

use std::sync::PoisonError;

use super::Hostnames;
use super::wire::Zone;
use crate::http::Platform;
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;
use crate::platform::{PlatformError, PlatformErrorKind};

/// What a token needs for hostnames.
pub(super) const TOKEN_HINT: &str = "CLOUDFLARE_API_TOKEN needs Zone › Zone › Read and Zone › DNS › Read for the zone (DNS › Edit with `manage`, \
                                     Cache Purge › Purge for purging)";

impl Hostnames {
    pub(super) fn client(&self) -> Result<&CloudflareClient, PlatformError> {
        self.client.as_ref().ok_or_else(|| {
            let kind = PlatformErrorKind::Unauthorized("CLOUDFLARE_API_TOKEN is not set, or empty".to_owned());
            PlatformError::new(Platform::Cloudflare, "find_zone", "the DNS", kind).hint(TOKEN_HINT)
        })
    }

    /// Returns the zone of a hostname.
    pub(super) async fn zone(&self, host: &str) -> Result<Zone, PlatformError> {
        let known = self.zones.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        if let Some(zone) = known {
            return Ok(zone);
        }
        let client = self.client()?;
        let mut name = host;
        loop {
            if let Some(zone) = client.zone(name).await.map_err(hinted)? {
                self.zones.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), zone.clone());
                return Ok(zone);
            }
            // A zone has two labels at least.
            match name.split_once('.') {
                Some((_, rest)) if rest.contains('.') => name = rest,
                _ => break,
            }
        }
        let text = format!("no zone of {host} is visible to the token");
        Err(PlatformError::new(Platform::Cloudflare, "find_zone", host, PlatformErrorKind::NotFound(text)).hint(TOKEN_HINT))
    }
}

/// Returns a refusal as its error, with what the token needs where that is the cause.
pub(super) fn hinted(refusal: Refusal) -> PlatformError {
    let mut error = refusal.plain();
    if matches!(error.kind, PlatformErrorKind::Unauthorized(_) | PlatformErrorKind::Forbidden(_)) {
        error.hints = vec![TOKEN_HINT.to_owned()];
    }
    error
}
