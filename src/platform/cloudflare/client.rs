//! How a request to Cloudflare leaves: address, credential, rate.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::endpoints::CloudflareEndpoints;
use super::envelope::{self, Envelope, Refusal};
use crate::http::{Call, Guard, Pace, Platform, Transport};
use crate::platform::{PlatformError, PlatformErrorKind};

/// What to do about a token that is not accepted.
pub(super) const TOKEN_HINT: &str =
    "set CLOUDFLARE_API_TOKEN to a token with Account › Cloudflare Pages › Edit: https://dash.cloudflare.com/profile/api-tokens";

/// The published rate is 1,200 calls in five minutes per person, whichever tokens and dashboards they come from, and what is above it locks all
/// of them out for five minutes (cloudflare.md 2). Half may go at once, and the other half is spread.
const PACE: (u32, Duration) = (600, Duration::from_millis(500));

/// Asks Cloudflare's API in the name of one account.
#[derive(Debug, Clone)]
pub(super) struct CloudflareClient {
    endpoints: CloudflareEndpoints,
    token: SecretString,
    account: String,
    pub(super) transport: Transport,
}

impl CloudflareClient {
    pub(super) fn new(endpoints: CloudflareEndpoints, token: SecretString, account: String, transport: Transport) -> Self {
        Self { endpoints, token, account, transport }
    }

    /// Returns the same, whose changes leave only where `guard` admits them.
    pub(super) fn guarded(&self, guard: Arc<dyn Guard>) -> Self {
        Self { transport: self.transport.guarded(guard), ..self.clone() }
    }

    /// Returns what is wrong with the token by its look; nothing of it is shown (cloudflare.md 1).
    pub(super) fn token_problem(&self) -> Option<&'static str> {
        let token = self.token.expose_secret().trim();
        if token.is_empty() {
            return Some("no token");
        }
        let sendable = token.chars().all(|one| one.is_ascii_graphic());
        (!sendable).then_some("the token holds a character that no header can: perhaps it was copied with an ellipsis")
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Returns a call below the account, with the API token; path segments and query values are encoded here.
    pub(super) fn in_account(&self, operation: &'static str, method: Method, path: &[&str], query: &[(&str, &str)]) -> Call {
        let whole: Vec<&str> = ["accounts", &self.account].into_iter().chain(path.iter().copied()).collect();
        self.call(operation, method, &whole, query, self.token.expose_secret().trim())
    }

    /// Returns a call directly below the base, with the API token.
    pub(super) fn with_token(&self, operation: &'static str, method: Method, path: &[&str], query: &[(&str, &str)]) -> Call {
        self.call(operation, method, path, query, self.token.expose_secret().trim())
    }

    /// Returns a call directly below the base, with a credential of its own.
    pub(super) fn call(&self, operation: &'static str, method: Method, path: &[&str], query: &[(&str, &str)], bearer: &str) -> Call {
        let mut url = self.address(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let pace = Pace { key: "cloudflare".to_owned(), interval: PACE.1, burst: PACE.0 };
        Call::new(Platform::Cloudflare, operation, method, url)
            .credential(AUTHORIZATION, &format!("Bearer {bearer}"))
            .header(ACCEPT, "application/json")
            .pace(pace)
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.endpoints.api.clone();
        url.set_query(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Sends a call and takes its answer apart.
    pub(super) async fn ask(&self, call: Call, thing: &str) -> Result<Envelope, Refusal> {
        let operation = call.operation;
        let answer = self.transport.send(call).await.map_err(|error| PlatformError::from_send(&error, thing))?;
        envelope::open(operation, thing, &answer)
    }

    /// Sends a call and decodes its result.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call, thing: &str) -> Result<T, Refusal> {
        let operation = call.operation;
        let envelope = self.ask(call, thing).await?;
        // What is no result of that shape is an unexpected answer, since a success may still have happened.
        serde_json::from_value(envelope.result).map_err(|error| {
            PlatformError::new(Platform::Cloudflare, operation, thing, PlatformErrorKind::Unexpected(error.to_string())).into()
        })
    }
}

/// Returns the headers by which a service token (id and secret) leads past Cloudflare Access (cloudflare.md 4.1); none without a token.
pub(super) fn opening(access: Option<&(String, SecretString)>) -> Vec<(String, String)> {
    let Some((id, secret)) = access else { return Vec::new() };
    let secret = secret.expose_secret().to_owned();
    vec![("cf-access-client-id".to_owned(), id.clone()), ("cf-access-client-secret".to_owned(), secret)]
}
