//! A check: a request that judges a prepared or serving revision, asked several times, since one probe proves nothing.

use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use http::header::{CONNECTION, HeaderName, LOCATION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use indexmap::IndexMap;
use secrecy::ExposeSecret;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::Context;
use crate::event::Verdict;
use crate::http::{Answer, Body, Call, Platform, Repeat, Via};
use crate::manifest::{Check, CheckRequest, Equals, Expect, ExpectedStatus, Signature};
use crate::platform::RevisionDigest;

/// Where and what a check asks.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    /// The address before the path.
    pub(super) base: String,
    /// Headers that open a protection.
    pub(super) headers: Vec<(String, String)>,
    /// By which edge.
    pub(super) via: Via,
    /// The revision that is judged.
    pub(super) revision: &'a RevisionDigest,
}

/// What was seen instead of what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// In words.
    pub(super) text: String,
    /// Whether the server itself failed (5xx): that is no stale edge, and waiting does not mend it.
    pub(super) server_failed: bool,
}

impl From<String> for Seen {
    fn from(text: String) -> Self {
        Self { text, server_failed: false }
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The verdict.
    pub(super) verdict: Verdict,
    /// What was seen last when it did not pass, else how often it was asked and how long the slowest took.
    pub(super) detail: String,
}

/// Returns the check that a JSON document at `path` shows the revision as `/revision`.
pub(super) fn revision_at(path: &str) -> Check {
    Check {
        name: format!("GET {path}"),
        request: CheckRequest::Get { path: path.to_owned(), headers: IndexMap::new() },
        expect: Expect {
            status: ExpectedStatus::Class(2),
            json: Some("/revision".to_owned()),
            equals: Some(Equals::Revision),
            contains: None,
            headers: IndexMap::new(),
            location: None,
        },
        passes: Check::DEFAULT_PASSES,
        of: Check::DEFAULT_OF,
        timeout: Check::DEFAULT_TIMEOUT,
    }
}

impl Check {
    /// Asks until enough askings passed or too many failed.
    pub(super) async fn judge(&self, context: &Context, asked: &Asked<'_>) -> Judgement {
        let (mut passed, mut failed, mut last) = (0, 0, String::new());
        let mut slowest = Duration::ZERO;
        while passed < self.passes && failed <= self.of.saturating_sub(self.passes) {
            if failed > 0 {
                if context.cancelled() {
                    break;
                }
                tokio::time::sleep(context.timing.pause).await;
            }
            let began = tokio::time::Instant::now();
            match self.ask(context, asked).await {
                Ok(()) => passed += 1,
                Err(seen) => {
                    failed += 1;
                    last = seen.text;
                }
            }
            slowest = slowest.max(began.elapsed());
        }
        match (passed >= self.passes, failed) {
            (true, 0) => Judgement { verdict: Verdict::Pass, detail: format!("{passed} of {passed}, slowest {} ms", slowest.as_millis()) },
            (true, _) => Judgement { verdict: Verdict::Flaky, detail: format!("{passed} of {} passed; once: {last}", passed + failed) },
            (false, _) => Judgement { verdict: Verdict::Fail, detail: format!("{failed} of {} failed; last: {last}", passed + failed) },
        }
    }

    /// Asks once; `Err` tells what was seen instead.
    pub(super) async fn ask(&self, context: &Context, asked: &Asked<'_>) -> Result<(), Seen> {
        let call = self.call(context, asked)?;
        let key = call.headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::to_owned);
        let answer = context.transport.send(call).await.map_err(|error| error.cause.to_string())?;
        let judged = self.status_expected(&answer, key.as_deref()).and_then(|()| self.headers_expected(&answer));
        let judged = judged.and_then(|()| self.body_expected(&answer, asked.revision));
        judged.map_err(|text| Seen { text, server_failed: answer.status.is_server_error() })
    }

    fn call(&self, context: &Context, asked: &Asked<'_>) -> Result<Call, String> {
        let base = url::Url::parse(&asked.base).map_err(|error| format!("the address {} is no URL: {error}", asked.base))?;
        let url = base.join(self.request.path()).map_err(|error| format!("the path {} is not usable: {error}", self.request.path()))?;
        let method = if matches!(self.request, CheckRequest::Post { .. }) { Method::POST } else { Method::GET };
        let mut call = Call::new(Platform::Public, "check", method, url).deadline(self.timeout);
        // Asked again by `judge`, which counts; the transport must not hide a failure by repeating it.
        call.repeat = Repeat::Never;
        call.via = asked.via;
        let named = self.request.headers().iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let opening = asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in named.chain(opening) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name} is no header name"))?;
            call = call.credential(name, value);
        }
        match &self.request {
            CheckRequest::Get { .. } => {}
            CheckRequest::Post { body, signature, .. } => {
                if let Some(Signature { secret_name, header }) = signature {
                    let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| format!("{header} is no header name"))?;
                    call = call.credential(header, &signed(context, secret_name, body)?);
                }
                call.body = Body::Bytes(body.clone().into());
            }
            CheckRequest::WebSocket { .. } => {
                let nonce: Vec<u8> = (0..2).flat_map(|_| context.transport.chance().next().to_be_bytes()).collect();
                let key = base64::engine::general_purpose::STANDARD.encode(nonce);
                let upgrade = call.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
                call = upgrade.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, &key);
            }
        }
        Ok(call)
    }

    fn status_expected(&self, answer: &Answer, key: Option<&str>) -> Result<(), String> {
        if !self.expect.status.allows(answer.status.as_u16()) {
            return Err(format!("status {} instead of {}: {}", answer.status.as_u16(), self.expect.status, answer.excerpt()));
        }
        match key {
            Some(key) if answer.header("sec-websocket-accept") != Some(accept_of(key).as_str()) => {
                Err("the upgrade was answered without the right Sec-WebSocket-Accept".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn headers_expected(&self, answer: &Answer) -> Result<(), String> {
        if let Some(location) = &self.expect.location {
            let seen = answer.header(LOCATION.as_str()).unwrap_or("no address");
            if !seen.starts_with(location.as_str()) {
                return Err(format!("redirects to {} instead of {location}…", seen.split('?').next().unwrap_or(seen)));
            }
        }
        for (name, wanted) in &self.expect.headers {
            let seen = answer.header(name).ok_or_else(|| format!("has no header {name}"))?;
            if !seen.contains(wanted.as_str()) {
                return Err(format!("the header {name} is {seen:?}, without {wanted:?}"));
            }
        }
        Ok(())
    }

    fn body_expected(&self, answer: &Answer, revision: &RevisionDigest) -> Result<(), String> {
        let Expect { json, equals, contains, .. } = &self.expect;
        let body = String::from_utf8_lossy(&answer.body);
        let value = match json {
            None => serde_json::Value::String(body.trim().to_owned()),
            Some(pointer) => {
                let whole: serde_json::Value = answer.json().map_err(|_| format!("the body is no JSON: {}", answer.excerpt()))?;
                whole.pointer(pointer).cloned().ok_or_else(|| format!("the JSON has nothing at {pointer}: {}", answer.excerpt()))?
            }
        };
        let place = json.as_deref().unwrap_or("the body");
        match equals {
            Some(Equals::Value(wanted)) if value != *wanted => return Err(format!("{place} is {value}, not {wanted}")),
            Some(Equals::Revision) if value.as_str() != Some(revision.as_str()) => {
                return Err(format!("{place} is {value}, not the revision {}", revision.short()));
            }
            _ => {}
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match contains {
            Some(wanted) if !text.contains(wanted.as_str()) => Err(format!("{place} does not contain {wanted:?}: {}", answer.excerpt())),
            _ => Ok(()),
        }
    }
}

/// Returns the value of a signature header over `body`: <https://docs.stripe.com/webhooks#verify-manually>.
fn signed(context: &Context, variable: &str, body: &str) -> Result<String, String> {
    let secret =
        context.secrets.get(variable).ok_or_else(|| format!("the environment variable {variable} is not set, so it cannot be signed"))?;
    let at = context.transport.clock().now().as_second();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).map_err(|error| error.to_string())?;
    mac.update(format!("{at}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={at},v1={hex}"))
}

/// Returns what a server must answer to a websocket key (RFC 6455, section 4.2.2).
fn accept_of(key: &str) -> String {
    let hash = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}
