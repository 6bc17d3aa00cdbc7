//! A check: a request that judges a prepared or serving revision, asked several times, since one probe proves nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{HeaderName, LOCATION};
use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::Context;
use crate::event::Verdict;
use crate::http::{Answer, Body, Call, Platform, Repeat, Via};
use crate::platform::{PlainGet, RevisionDigest};

/// What is asked and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What people call it; the request itself when it has no name.
    pub name: Option<String>,
    /// What is asked.
    pub request: Request,
    /// What is expected.
    pub expect: Expect,
    /// How many askings must pass.
    pub passes: u32,
    /// How many askings there are at most.
    pub attempts: u32,
    /// How long one asking may take.
    #[serde(with = "seconds")]
    pub timeout: Duration,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A GET.
    Get {
        /// Path and query, beginning with `/`.
        path: String,
        /// Further headers.
        headers: BTreeMap<String, String>,
    },
    /// A POST.
    Post {
        /// Path and query, beginning with `/`.
        path: String,
        /// The body.
        body: String,
        /// Further headers.
        headers: BTreeMap<String, String>,
        /// The environment variable that holds the secret of a `Stripe-Signature` header, if the request is signed.
        stripe_secret: Option<String>,
    },
    /// The upgrade of a connection to a websocket.
    WebSocket {
        /// Path and query, beginning with `/`.
        path: String,
    },
}

/// What an answer must be like; everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// The status; `None` means 200 to 299, and 101 for a websocket.
    pub status: Option<u16>,
    /// A place in a JSON body (RFC 6901) and what must stand there.
    pub json: Option<(String, Equals)>,
    /// Text that the body must contain.
    pub contains: Option<String>,
    /// Headers and the text that each must contain.
    pub headers: BTreeMap<String, String>,
    /// Text that the address of a redirect must begin with.
    pub location: Option<String>,
}

/// What a value must equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equals {
    /// The digest of the revision that is judged.
    Revision,
    /// This value.
    Value(serde_json::Value),
    /// Anything that is there.
    Present,
}

/// Where and what a check asks.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The address before the path.
    pub base: String,
    /// Headers that open a protection.
    pub headers: Vec<(String, String)>,
    /// By which edge.
    pub via: Via,
    /// The revision that is judged.
    pub revision: &'a RevisionDigest,
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen last when it did not pass, else how often it was asked and how long the slowest took.
    pub detail: String,
}

impl Check {
    /// How many askings must pass unless the manifest says otherwise.
    pub const PASSES: u32 = 2;
    /// How many askings there are at most unless the manifest says otherwise.
    pub const ATTEMPTS: u32 = 5;
    /// How long one asking may take unless the manifest says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Returns a check of this request with the default number of askings.
    pub const fn new(request: Request, expect: Expect) -> Self {
        Self { name: None, request, expect, passes: Self::PASSES, attempts: Self::ATTEMPTS, timeout: Self::TIMEOUT }
    }

    /// Returns the check that a JSON document at `path` shows the revision as `/revision`.
    pub fn revision_at(path: &str) -> Self {
        let json = Some(("/revision".to_owned(), Equals::Revision));
        Self::new(Request::Get { path: path.to_owned(), headers: BTreeMap::new() }, Expect { json, ..Expect::default() })
    }

    /// Returns whether a platform's own checks can ask it: a GET that expects no more than success.
    pub fn is_plain_get(&self) -> bool {
        matches!(&self.request, Request::Get { headers, .. } if headers.is_empty()) && self.expect == Expect::default()
    }

    /// Returns it as a plain GET, if it is one.
    pub fn plain_get(&self) -> Option<PlainGet> {
        match &self.request {
            Request::Get { path, .. } if self.is_plain_get() => Some(PlainGet { path: path.clone() }),
            _ => None,
        }
    }

    /// Returns whether passing it proves which revision answered.
    pub fn shows_revision(&self) -> bool {
        matches!(&self.expect.json, Some((_, Equals::Revision)))
    }

    /// Asks until enough askings passed or too many failed.
    pub async fn judge(&self, context: &Context, asked: &Asked<'_>) -> Judgement {
        let (mut passed, mut failed, mut last) = (0, 0, String::new());
        let mut slowest = Duration::ZERO;
        let attempts = self.attempts.max(self.passes).max(1);
        while passed < self.passes.max(1) && failed <= attempts - self.passes.max(1) {
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
                    last = seen;
                }
            }
            slowest = slowest.max(began.elapsed());
        }
        match (passed >= self.passes.max(1), failed) {
            (true, 0) => Judgement { verdict: Verdict::Pass, detail: format!("{passed} of {passed}, slowest {} ms", slowest.as_millis()) },
            (true, _) => Judgement { verdict: Verdict::Flaky, detail: format!("{passed} of {} passed; once: {last}", passed + failed) },
            (false, _) => Judgement { verdict: Verdict::Fail, detail: format!("{failed} of {} failed; last: {last}", passed + failed) },
        }
    }

    /// Asks once; `Err` tells what was seen instead.
    pub async fn ask(&self, context: &Context, asked: &Asked<'_>) -> Result<(), String> {
        let call = self.call(context, asked)?;
        let key = call.headers.get("sec-websocket-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        let answer = context.transport.send(call).await.map_err(|error| error.cause.to_string())?;
        self.expected(&answer, asked.revision, key.as_deref())
    }

    fn call(&self, context: &Context, asked: &Asked<'_>) -> Result<Call, String> {
        let (method, path, headers) = match &self.request {
            Request::Get { path, headers } => (Method::GET, path, headers.clone()),
            Request::Post { path, headers, .. } => (Method::POST, path, headers.clone()),
            Request::WebSocket { path } => (Method::GET, path, BTreeMap::new()),
        };
        let base = url::Url::parse(&asked.base).map_err(|error| format!("the address {} is no URL: {error}", asked.base))?;
        let url = base.join(path).map_err(|error| format!("the path {path} is not usable: {error}"))?;
        let mut call = Call::new(Platform::Public, "check", method, url).deadline(self.timeout);
        // Asked again by `judge`, which counts; the transport must not hide a failure by repeating it.
        call.repeat = Repeat::Never;
        call.via = asked.via;
        for (name, value) in headers.iter().chain(asked.headers.iter().map(|(name, value)| (name, value))) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name} is no header name"))?;
            call = call.credential(name, value);
        }
        match &self.request {
            Request::Get { .. } => {}
            Request::Post { body, stripe_secret, .. } => {
                if let Some(variable) = stripe_secret {
                    call = call.credential(HeaderName::from_static("stripe-signature"), &stripe_signature(context, variable, body)?);
                }
                call.headers.entry(http::header::CONTENT_TYPE).or_insert(http::HeaderValue::from_static("application/json"));
                call.body = Body::Bytes(body.clone().into());
            }
            Request::WebSocket { .. } => {
                let nonce: Vec<u8> = (0..2).flat_map(|_| context.transport.chance().next().to_be_bytes()).collect();
                let key = base64::engine::general_purpose::STANDARD.encode(nonce);
                call = call
                    .header(http::header::CONNECTION, "Upgrade")
                    .header(http::header::UPGRADE, "websocket")
                    .header(http::header::SEC_WEBSOCKET_VERSION, "13")
                    .header(http::header::SEC_WEBSOCKET_KEY, &key);
            }
        }
        Ok(call)
    }

    fn expected(&self, answer: &Answer, revision: &RevisionDigest, key: Option<&str>) -> Result<(), String> {
        let websocket = matches!(self.request, Request::WebSocket { .. });
        let right = match self.expect.status {
            Some(status) => answer.status.as_u16() == status,
            None if websocket => answer.status == StatusCode::SWITCHING_PROTOCOLS,
            None => answer.status.is_success(),
        };
        if !right {
            let wanted = self.expect.status.map_or_else(|| if websocket { "101".to_owned() } else { "2xx".to_owned() }, |s| s.to_string());
            return Err(format!("status {} instead of {wanted}: {}", answer.status.as_u16(), answer.excerpt()));
        }
        if let (true, Some(key)) = (websocket, key) {
            let accept = accept_of(key);
            if answer.header("sec-websocket-accept") != Some(accept.as_str()) {
                return Err("the upgrade was answered without the right Sec-WebSocket-Accept".to_owned());
            }
        }
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
        if let Some(wanted) =
            self.expect.contains.as_ref().filter(|wanted| !String::from_utf8_lossy(&answer.body).contains(wanted.as_str()))
        {
            return Err(format!("the body does not contain {wanted:?}: {}", answer.excerpt()));
        }
        self.expect.json.as_ref().map_or(Ok(()), |(pointer, equals)| at_pointer(answer, pointer, equals, revision))
    }
}

fn at_pointer(answer: &Answer, pointer: &str, equals: &Equals, revision: &RevisionDigest) -> Result<(), String> {
    let body: serde_json::Value = answer.json().map_err(|_| format!("the body is no JSON: {}", answer.excerpt()))?;
    let seen = body.pointer(pointer).ok_or_else(|| format!("the JSON has nothing at {pointer}: {}", answer.excerpt()))?;
    let right = match equals {
        Equals::Present => true,
        Equals::Value(value) => seen == value,
        Equals::Revision => seen.as_str() == Some(revision.as_str()),
    };
    if right {
        return Ok(());
    }
    let wanted = match equals {
        Equals::Value(value) => value.to_string(),
        Equals::Revision | Equals::Present => format!("the revision {}", revision.short()),
    };
    Err(format!("{pointer} is {seen}, not {wanted}"))
}

/// Returns a `Stripe-Signature` header over `body`: <https://docs.stripe.com/webhooks#verify-manually>.
fn stripe_signature(context: &Context, variable: &str, body: &str) -> Result<String, String> {
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

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.request) {
            (Some(name), _) => f.write_str(name),
            (None, Request::Get { path, .. }) => write!(f, "GET {path}"),
            (None, Request::Post { path, .. }) => write!(f, "POST {path}"),
            (None, Request::WebSocket { path }) => write!(f, "websocket {path}"),
        }
    }
}

/// Durations as seconds with fractions.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
