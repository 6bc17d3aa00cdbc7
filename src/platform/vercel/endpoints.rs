//! Where Vercel's API is.

use url::Url;

/// The base address of Vercel's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VercelEndpoints {
    /// Scheme, host and port; a path is ignored.
    pub api: Url,
}

impl VercelEndpoints {
    /// The environment variable that overrides the base address. The vendor's client has no such variable and takes the same value by `--api`
    /// (vercel.md 1).
    pub const API_VARIABLE: &str = "VERCEL_API_URL";
    /// The base address in the real world.
    pub const API: &str = "https://api.vercel.com";

    /// Returns the addresses that the environment names, with the real one where it is silent. Fails when the value is no address.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, url::ParseError> {
        let api = get(Self::API_VARIABLE).filter(|value| !value.trim().is_empty());
        Ok(Self { api: Url::parse(api.as_deref().map_or(Self::API, str::trim))? })
    }
}
