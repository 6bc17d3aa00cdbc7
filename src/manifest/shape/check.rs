//! A request that judges a prepared or serving release.

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A request that judges a prepared or serving release, and what it must be answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What it is called in reports; `GET /health` where the manifest does not say.
    pub name: String,
    /// What is asked.
    pub request: CheckRequest,
    /// What must be answered.
    pub expect: Expect,
    /// How many askings must be answered well; default [`Check::DEFAULT_PASSES`].
    pub passes: u32,
    /// Out of how many askings; default [`Check::DEFAULT_OF`]. Never less than `passes`.
    pub of: u32,
    /// How long one asking may take, a cold start included; default [`Check::DEFAULT_TIMEOUT`].
    pub timeout: Duration,
}

impl Check {
    /// How many askings must be answered well where the manifest does not say.
    pub const DEFAULT_PASSES: u32 = 2;
    /// How many askings there are where the manifest does not say.
    pub const DEFAULT_OF: u32 = 3;
    /// How long one asking may take where the manifest does not say.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Returns the path, when a platform's own check can ask the same: a GET without headers that expects nothing but a 2xx status.
    pub fn plain_get(&self) -> Option<&str> {
        match &self.request {
            CheckRequest::Get { path, headers } if headers.is_empty() && self.expect.is_success_only() => Some(path),
            _ => None,
        }
    }

    /// Returns whether its answer shows the revision that serves.
    pub fn proves_revision(&self) -> bool {
        self.expect.equals == Some(Equals::Revision)
    }
}

/// What a check asks. Paths begin with `/` and are put behind the target's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckRequest {
    /// A GET. Redirects are not followed.
    Get {
        /// Path and query.
        path: String,
        /// Headers to send.
        headers: IndexMap<String, String>,
    },
    /// A POST. Redirects are not followed.
    Post {
        /// Path and query.
        path: String,
        /// The body, as sent.
        body: String,
        /// Headers to send. `content-type: application/json` is among them where the manifest wrote the body as a map and names none.
        headers: IndexMap<String, String>,
        /// How the body is signed.
        signature: Option<Signature>,
    },
    /// A websocket upgrade; the connection is closed once it is answered.
    WebSocket {
        /// Path and query.
        path: String,
        /// Headers to send beside the upgrade's own.
        headers: IndexMap<String, String>,
    },
}

impl CheckRequest {
    /// Returns path and query.
    pub fn path(&self) -> &str {
        match self {
            Self::Get { path, .. } | Self::Post { path, .. } | Self::WebSocket { path, .. } => path,
        }
    }

    /// Returns the headers to send.
    pub fn headers(&self) -> &IndexMap<String, String> {
        match self {
            Self::Get { headers, .. } | Self::Post { headers, .. } | Self::WebSocket { headers, .. } => headers,
        }
    }
}

impl fmt::Display for CheckRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { path, .. } => write!(f, "GET {path}"),
            Self::Post { path, .. } => write!(f, "POST {path}"),
            Self::WebSocket { path, .. } => write!(f, "WEBSOCKET {path}"),
        }
    }
}

/// How a POST's body is signed: HMAC-SHA-256 of `<unix seconds>.<body>`, sent as `t=<unix seconds>,v1=<hex>`, which is the scheme of Stripe's
/// webhooks (<https://docs.stripe.com/webhooks#verify-manually>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The environment variable that holds the signing secret.
    pub secret_name: String,
    /// The header that carries the signature; `Stripe-Signature` where the manifest does not say.
    pub header: String,
}

/// What a check must be answered with; everything that is said must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// The status. Where the manifest does not say: 101 for a websocket, any 3xx with `location`, else any 2xx.
    pub status: ExpectedStatus,
    /// A JSON pointer (RFC 6901) into the body that must exist, and that `equals` and `contains` look at; the whole body when `None`.
    pub json: Option<String>,
    /// What it must be equal to; a body is trimmed first.
    pub equals: Option<Equals>,
    /// What it must contain.
    pub contains: Option<String>,
    /// Headers that must be there and contain this text; names in any case.
    pub headers: IndexMap<String, String>,
    /// How the `location` header must begin.
    pub location: Option<String>,
}

impl Expect {
    fn is_success_only(&self) -> bool {
        let Self { status, json, equals, contains, headers, location } = self;
        let silent = json.is_none() && equals.is_none() && contains.is_none() && headers.is_empty() && location.is_none();
        silent && matches!(status, ExpectedStatus::Class(2))
    }
}

/// The status that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectedStatus {
    /// This one.
    Exactly(u16),
    /// Any of a hundred: `2` stands for 200 to 299.
    Class(u8),
}

impl ExpectedStatus {
    /// Returns whether `status` is expected.
    pub fn allows(self, status: u16) -> bool {
        match self {
            Self::Exactly(exact) => status == exact,
            Self::Class(class) => status / 100 == u16::from(class),
        }
    }
}

impl fmt::Display for ExpectedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// What an answer must be equal to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equals {
    /// The digest of the revision that is asked, in any of its written lengths.
    Revision,
    /// This value; a number or a boolean only where the manifest writes it bare.
    Value(serde_json::Value),
}
