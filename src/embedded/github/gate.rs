//! What every request passes: a user agent, a known token, the rate limits; and the headers that every answer carries.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::caller::{Caller, Kind};
use super::refusal::Refusal;
use super::{AUTHORITY, GitHub};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// What a token has used.
#[derive(Debug, Clone, Default)]
pub(super) struct Used {
    since: i64,
    count: u64,
    contents: Vec<i64>,
}

/// What each token has used.
pub(super) type Usage = BTreeMap<String, Used>;

/// A token's standing in the current hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) limit: u64,
    pub(super) used: u64,
    /// Epoch second at which the hour ends.
    pub(super) reset: i64,
}

/// Judges a request before its handler, and marks the answer.
pub(super) async fn gate(State(github): State<GitHub>, mut request: Request, next: Next) -> Response {
    if !request.headers().contains_key(USER_AGENT) {
        let message = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    let Some(text) = token(request.headers()) else {
        return numbered(Refusal::new(StatusCode::UNAUTHORIZED, "Requires authentication").into_response(), &github);
    };
    github.make_room(&text, request.uri());
    let Some(known) = github.state().tokens.get(&text).cloned() else {
        return numbered(Refusal::new(StatusCode::UNAUTHORIZED, "Bad credentials").into_response(), &github);
    };
    let free = request.uri().path() == "/rate_limit";
    let standing = github.spend(&text, known.kind, u64::from(!free));
    let response = if standing.used > standing.limit && !free {
        Refusal::new(StatusCode::FORBIDDEN, format!("API rate limit exceeded for installation ID {}.", known.login)).into_response()
    } else if creates_content(request.method(), request.uri().path()) && !github.may_create(&text) {
        let message = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry your request again later.";
        Refusal::new(StatusCode::FORBIDDEN, message).header("retry-after", "60").into_response()
    } else {
        let base = base(request.headers());
        request.extensions_mut().insert(Caller { token: known, base });
        request.extensions_mut().insert(standing);
        next.run(request).await
    };
    marked(response, standing, &github)
}

fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then(|| token.trim().to_owned())
}

/// Returns the address under which the caller reached this platform, so that addresses in answers lead back here.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or(AUTHORITY);
    if host.starts_with("127.0.0.1:") || host.starts_with("localhost:") { format!("http://{host}") } else { format!("https://{AUTHORITY}") }
}

/// Returns whether the request makes something that people see: what the secondary limit counts (vendor's documentation, in words only).
fn creates_content(method: &Method, path: &str) -> bool {
    method == Method::POST && ["/comments", "/deployments", "/statuses"].iter().any(|tail| path.ends_with(tail))
}

/// Gives an answer its id, which every answer has (seen).
fn numbered(mut response: Response, github: &GitHub) -> Response {
    if let Ok(id) = HeaderValue::from_str(&github.ground().chance.word(20)) {
        response.headers_mut().insert(HeaderName::from_static("x-github-request-id"), id);
    }
    response
}

fn marked(response: Response, standing: Standing, github: &GitHub) -> Response {
    let mut response = numbered(response, github);
    let headers = [
        ("x-ratelimit-limit", standing.limit.to_string()),
        ("x-ratelimit-remaining", standing.limit.saturating_sub(standing.used).to_string()),
        ("x-ratelimit-used", standing.used.min(standing.limit).to_string()),
        ("x-ratelimit-reset", standing.reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
        ("x-github-media-type", "github.v3; format=json".to_owned()),
        ("x-github-api-version-selected", "2022-11-28".to_owned()),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

impl GitHub {
    /// Counts `cost` requests of `token` in its current hour; returns its standing.
    fn spend(&self, token: &str, kind: Kind, cost: u64) -> Standing {
        let now = self.now();
        let limit = if kind == Kind::Person { 5000 } else { self.state().switches.requests_per_hour };
        let mut usage = self.usage();
        let used = usage.entry(token.to_owned()).or_default();
        if now - used.since >= HOUR_MS || used.since == 0 {
            *used = Used { since: now, count: 0, contents: std::mem::take(&mut used.contents) };
        }
        used.count += cost;
        Standing { limit, used: used.count, reset: (used.since + HOUR_MS) / 1000 }
    }

    /// Counts one creation of content by `token`; returns whether it is within the secondary limit.
    fn may_create(&self, token: &str) -> bool {
        let Some(limit) = self.state().switches.content_per_minute else { return true };
        let now = self.now();
        let mut usage = self.usage();
        let used = usage.entry(token.to_owned()).or_default();
        used.contents.retain(|at| now - at < MINUTE_MS);
        if used.contents.len() >= limit as usize {
            return false;
        }
        used.contents.push(now);
        true
    }
}
