//! One request as its caller means it, and the answer to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Pace;

/// Who is called; the unit in which requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Fly.io: Machines API, REST and GraphQL.
    Fly,
    /// Vercel's REST API.
    Vercel,
    /// Cloudflare's API.
    Cloudflare,
    /// Render's API.
    Render,
    /// Amazon's APIs.
    Aws,
    /// GitHub's API.
    GitHub,
    /// A container registry.
    Registry,
    /// A public address of a target, asked as a user would.
    Public,
}

impl Platform {
    /// Returns the name for people and machines alike: lower case, as in the receipt.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fly => "fly",
            Self::Vercel => "vercel",
            Self::Cloudflare => "cloudflare",
            Self::Render => "render",
            Self::Aws => "aws",
            Self::GitHub => "github",
            Self::Registry => "registry",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a call may be sent again after an answer that leaves its effect open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Sending it again has no further effect: after a lost answer, 408, 429 and 5xx it is repeated.
    Safe,
    /// It creates or moves something: repeated only when it surely had no effect (not sent, 429). The caller looks up the rest.
    Never,
}

/// By which way a call leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Via {
    /// To the address that the URL names.
    #[default]
    Direct,
    /// As a user's request to a public address. In a rehearsal it goes through the embedded edge of this number (modulo how many there
    /// are); in the real world name resolution decides.
    Public {
        /// Which edge to ask.
        edge: usize,
    },
}

/// What is sent after the headers.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file, streamed from disk.
    File {
        /// The file.
        path: PathBuf,
        /// Where the range begins, in bytes.
        offset: u64,
        /// How long the range is, in bytes; also sent as `content-length`.
        length: u64,
    },
}

/// One request, with what the transport must know to treat it rightly.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who is called.
    pub platform: Platform,
    /// The operation's stable name, for example `create_machine`.
    pub operation: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Headers; credentials are marked sensitive.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// Whether it may be repeated.
    pub repeat: Repeat,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// The rate it must keep to, if the platform has one.
    pub pace: Option<Pace>,
    /// By which way it leaves.
    pub via: Via,
    /// Whether the path itself is a secret (deploy hooks).
    pub secret_url: bool,
    /// Whether it changes what users get.
    pub moves_traffic: bool,
}

impl Call {
    /// How long one attempt may take unless the caller says otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// Returns a call without headers and body that is [`Repeat::Safe`] for GET and HEAD and [`Repeat::Never`] otherwise.
    pub fn new(platform: Platform, operation: &'static str, method: Method, url: Url) -> Self {
        let repeat = if method == Method::GET || method == Method::HEAD { Repeat::Safe } else { Repeat::Never };
        Self {
            platform,
            operation,
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::Empty,
            repeat,
            deadline: Self::DEADLINE,
            pace: None,
            via: Via::Direct,
            secret_url: false,
            moves_traffic: false,
        }
    }

    /// Says that the call may be repeated although its method is not GET.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeat = Repeat::Safe;
        self
    }

    /// Says that the call changes what users get: whoever guards the transport looks more closely before it is sent.
    #[must_use]
    pub fn moving_traffic(mut self) -> Self {
        self.moves_traffic = true;
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the rate to keep to.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Adds a header; a value that no header can hold is dropped.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    /// Adds a credential: sent, and never shown.
    #[must_use]
    pub fn credential(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        // Our wire structs have string keys and no failing serializers, so this cannot fail; an empty body would be refused by the platform.
        self.body = Body::Bytes(serde_json::to_vec(value).unwrap_or_default().into());
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }

    /// Returns whether the method promises to change nothing.
    pub fn changes_nothing(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// Returns whether it changes what belongs to a release: what only its owner may send.
    pub fn is_fenced(&self) -> bool {
        let beside = matches!(self.platform, Platform::GitHub | Platform::Registry | Platform::Public);
        !self.changes_nothing() && !beside
    }

    /// Returns the address as it may be shown: no user info, no query values, no path when the path is the secret.
    pub fn safe_url(&self) -> String {
        if self.secret_url {
            return format!("{}://{}/…", self.url.scheme(), self.url.host_str().unwrap_or("?"));
        }
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let keys: Vec<_> = self.url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        let query = if keys.is_empty() { String::new() } else { format!("?{}", keys.join("&")) };
        format!("{}://{}{port}{}{query}", self.url.scheme(), self.url.host_str().unwrap_or("?"), self.url.path())
    }
}

/// The answer to a call, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// Returns the value of a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Decodes the body as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Returns the beginning of the body as text for a message, at most 300 characters on one line.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= 300 { line } else { line.chars().take(300).chain("…".chars()).collect() }
    }

    /// Returns the id by which the platform's support finds this request, if the answer names one.
    pub fn request_id(&self) -> Option<&str> {
        ["fly-request-id", "x-vercel-id", "x-github-request-id", "cf-ray", "x-amzn-requestid", "x-request-id"]
            .into_iter()
            .find_map(|name| self.header(name))
    }

    /// Returns how long the platform asks to wait, from `Retry-After` in seconds or as an HTTP date.
    pub fn retry_after(&self, now: jiff::Timestamp) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
    }
}
