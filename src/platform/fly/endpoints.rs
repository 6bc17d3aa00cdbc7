//! Where Fly's APIs are.

use url::Url;

/// Overrides the Machines API's base: scheme, host and port; a path in it is ignored, as by flyctl.
pub const FLAPS_VARIABLE: &str = "FLY_FLAPS_BASE_URL";
/// Overrides the base of GraphQL and of the logs.
pub const API_VARIABLE: &str = "FLY_API_BASE_URL";
/// Overrides the base of the REST calls on api.fly.io.
pub const UIEX_VARIABLE: &str = "FLY_UIEX_BASE_URL";
/// Overrides the image registry's host.
pub const REGISTRY_VARIABLE: &str = "FLY_REGISTRY_HOST";
/// The variables that hold a token, in the order of preference.
pub const TOKEN_VARIABLES: [&str; 2] = ["FLY_ACCESS_TOKEN", "FLY_API_TOKEN"];

/// The bases of Fly's APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlyEndpoints {
    /// The Machines API; every path of it is under `/v1`.
    pub flaps: Url,
    /// GraphQL, with its path; the logs are on the same host.
    pub graphql: Url,
    /// The REST calls on api.fly.io, under `/api/v1`.
    pub uiex: Url,
    /// The image registry's host.
    pub registry: String,
}

/// An override that is no address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{variable} is not an address: {source}")]
pub struct EndpointError {
    /// The variable.
    pub variable: &'static str,
    /// Why.
    pub source: url::ParseError,
}

impl FlyEndpoints {
    /// The registry of the real world.
    pub const REGISTRY: &'static str = "registry.fly.io";

    /// Returns the real world's endpoints, each replaced by its variable where `lookup` knows one that is not empty.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        let base = |variable: &'static str, default: &str| {
            let text = lookup(variable).filter(|text| !text.trim().is_empty()).unwrap_or_else(|| default.to_owned());
            Url::parse(text.trim()).map_err(|source| EndpointError { variable, source })
        };
        let mut graphql = base(API_VARIABLE, "https://api.fly.io")?;
        graphql.set_path(&format!("{}/graphql", graphql.path().trim_end_matches('/')));
        Ok(Self {
            flaps: base(FLAPS_VARIABLE, "https://api.machines.dev")?,
            graphql,
            uiex: base(UIEX_VARIABLE, "https://api.fly.io")?,
            registry: lookup(REGISTRY_VARIABLE).filter(|host| !host.trim().is_empty()).unwrap_or_else(|| Self::REGISTRY.to_owned()),
        })
    }
}
