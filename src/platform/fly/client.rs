//! How a request to Fly leaves: address, credential, pace; and what its refusal means.

use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName};
use serde::de::DeserializeOwned;
use url::Url;

use super::endpoints::FlyEndpoints;
use super::token::FlyToken;
use crate::http::{Answer, Call, Pace, Platform, Transport};
use crate::platform::{PlatformError, PlatformErrorKind};

/// The header that carries a lease's nonce.
const NONCE: HeaderName = HeaderName::from_static("fly-machine-lease-nonce");

/// Asks Fly's APIs.
#[derive(Debug, Clone)]
pub(super) struct FlyClient {
    pub(super) endpoints: FlyEndpoints,
    token: FlyToken,
    transport: Transport,
}

impl FlyClient {
    pub(super) fn new(endpoints: FlyEndpoints, token: FlyToken, transport: Transport) -> Self {
        Self { endpoints, token, transport }
    }

    /// Returns what time it is by the clock that calls are waited for with.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.transport.clock().now()
    }

    /// Returns what the token says of itself.
    pub(super) fn token_said(&self) -> Option<super::macaroon::Said> {
        self.token.said()
    }

    /// Returns what only a holder of the token has: the key of digests.
    pub(super) fn token_key(&self) -> String {
        self.token.rest_header()
    }

    /// Returns a call of the Machines API.
    pub(super) fn flaps(&self, operation: &'static str, method: Method, path: &[&str]) -> Call {
        let url = address(&self.endpoints.flaps, &["v1"], path);
        Call::new(Platform::Fly, operation, method, url).credential(AUTHORIZATION, &self.token.machines_header())
    }

    /// Returns a call about one machine, at the documented pace of one a second per action and machine, three at once.
    pub(super) fn machine(&self, operation: &'static str, method: Method, app: &str, id: &str, tail: &[&str], nonce: Option<&str>) -> Call {
        let path: Vec<&str> = ["apps", app, "machines", id].into_iter().chain(tail.iter().copied()).collect();
        let call = paced(self.flaps(operation, method, &path), id);
        match nonce {
            Some(nonce) => call.credential(NONCE, nonce),
            None => call,
        }
    }

    /// Returns a call of the REST on api.fly.io.
    pub(super) fn uiex(&self, operation: &'static str, method: Method, path: &[&str]) -> Call {
        let url = address(&self.endpoints.uiex, &["api", "v1"], path);
        Call::new(Platform::Fly, operation, method, url).credential(AUTHORIZATION, &self.token.rest_header())
    }

    /// Returns a call of the logs, which are on GraphQL's host and take the Machines API's credential.
    pub(super) fn logs(&self, operation: &'static str, path: &[&str]) -> Call {
        let url = address(&self.endpoints.graphql, &["api", "v1"], path);
        Call::new(Platform::Fly, operation, Method::GET, url).credential(AUTHORIZATION, &self.token.machines_header())
    }

    /// Returns a GraphQL query.
    pub(super) fn graphql(&self, operation: &'static str, query: &str, variables: &serde_json::Value) -> Call {
        Call::new(Platform::Fly, operation, Method::POST, self.endpoints.graphql.clone())
            .credential(AUTHORIZATION, &self.token.graphql_header())
            .json(&serde_json::json!({"query": query, "variables": variables}))
            .repeatable()
    }

    /// Sends a call and returns the answer whatever its status.
    pub(super) async fn send(&self, call: Call, thing: &str) -> Result<Answer, PlatformError> {
        self.transport.send(call).await.map_err(|error| PlatformError::from_send(&error, thing))
    }

    /// Sends a call whose success has no body of interest.
    pub(super) async fn ask(&self, call: Call, thing: &str) -> Result<Answer, PlatformError> {
        let operation = call.operation;
        let answer = self.send(call, thing).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(operation, thing, &answer)) }
    }

    /// Sends a call and decodes its success.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call, thing: &str) -> Result<T, PlatformError> {
        let operation = call.operation;
        let answer = self.ask(call, thing).await?;
        decode(operation, thing, &answer)
    }
}

/// Puts a call at the documented pace of one a second per action and thing, three at once.
pub(super) fn paced(call: Call, thing: &str) -> Call {
    let key = format!("fly.{}/{thing}", call.operation);
    call.pace(Pace { key, interval: Duration::from_secs(1), burst: 3 })
}

/// Decodes a body; what is no JSON of that shape is an unexpected answer, since a success may still have happened.
pub(super) fn decode<T: DeserializeOwned>(operation: &'static str, thing: &str, answer: &Answer) -> Result<T, PlatformError> {
    answer.json().map_err(|error| {
        let kind = PlatformErrorKind::Unexpected(format!("{error}: {}", answer.excerpt()));
        let mut unexpected = PlatformError::new(Platform::Fly, operation, thing, kind);
        unexpected.request_id = answer.request_id().map(str::to_owned);
        unexpected
    })
}

/// Returns what a refused call means. Three different things are a 409 and two a 412, with nothing but their text to tell them apart
/// (fly.md 20), so this one place reads it.
pub(super) fn refusal(operation: &'static str, thing: &str, answer: &Answer) -> PlatformError {
    let (text, code) = error_body(answer);
    let mut error = PlatformError::from_answer(Platform::Fly, operation, thing, answer, &text);
    let lower = text.to_ascii_lowercase();
    let capacity = [
        "could not reserve resource",
        "insufficient resources",
        "insufficient memory",
        "no capacity",
        "deploys to this host are temporarily disabled",
    ];
    if code == "insufficient_capacity" || code == "volume_placement_capacity" || capacity.iter().any(|words| lower.contains(words)) {
        error.kind = PlatformErrorKind::Capacity(text);
        error.hints.push("try again later, or another region or size".to_owned());
    }
    match &error.kind {
        PlatformErrorKind::Unauthorized(_) => error.hints.push(TOKEN_HINT.to_owned()),
        PlatformErrorKind::Forbidden(_) => {
            error
                .hints
                .push("the token belongs to another app or organisation; `fly tokens create deploy` makes one for this app".to_owned());
        }
        _ => {}
    }
    error
}

/// What to do about a token that is not accepted.
pub(super) const TOKEN_HINT: &str = "set FLY_API_TOKEN to a deploy or organisation token: `fly tokens create deploy -a APP`";

/// Returns the text and the code of an error body; `message` wins over `error`, and a body that is not JSON is shown raw.
fn error_body(answer: &Answer) -> (String, String) {
    let Ok(serde_json::Value::Object(body)) = answer.json() else { return (answer.excerpt(), String::new()) };
    let text = |key: &str| body.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let message = [text("message"), text("error")].into_iter().find(|text| !text.is_empty());
    (message.unwrap_or_else(|| answer.excerpt()), text("status"))
}

/// Returns scheme, host and port of `base` with this path; each segment is encoded.
fn address(base: &Url, prefix: &[&str], path: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_path("/");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(prefix).extend(path);
    }
    url
}
