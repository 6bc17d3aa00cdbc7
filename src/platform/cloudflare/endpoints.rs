//! Where Cloudflare's API is.

use url::Url;

/// The base address of Cloudflare's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudflareEndpoints {
    /// Scheme, host, port and path, `/client/v4` included.
    pub api: Url,
}

impl CloudflareEndpoints {
    /// The environment variable that overrides the base address, path and all; the vendor's client has the same (cloudflare.md 1).
    pub const API_VARIABLE: &str = "CLOUDFLARE_API_BASE_URL";
    /// The base address in the real world.
    pub const API: &str = "https://api.cloudflare.com/client/v4";

    /// Returns the addresses that the environment names, with the real one where it is silent. Fails when the value is no address.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, url::ParseError> {
        let api = get(Self::API_VARIABLE).filter(|value| !value.trim().is_empty());
        Ok(Self { api: Url::parse(api.as_deref().map_or(Self::API, str::trim))? })
    }
}
