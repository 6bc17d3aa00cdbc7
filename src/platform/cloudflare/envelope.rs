//! The envelope of every answer: `{"success", "errors", "messages", "result"}`, and what its codes mean (cloudflare.md 2).

use serde_json::Value;

use crate::http::{Answer, Platform};
use crate::platform::{PlatformError, PlatformErrorKind};

/// The codes on which something is decided (cloudflare.md 2).
pub(super) mod code {
    /// Authentication failed; with the status 429 it means too many requests.
    pub(in crate::platform::cloudflare) const AUTHENTICATION: u64 = 10_000;
    /// Too many requests.
    pub(in crate::platform::cloudflare) const THROTTLED: u64 = 971;
    /// No such route, or an identifier that is none: mostly a wrong account.
    pub(in crate::platform::cloudflare) const NO_ROUTE: [u64; 2] = [7_000, 7_003];
    /// A key, a token or its header is malformed or unknown.
    pub(in crate::platform::cloudflare) const BAD_CREDENTIAL: [u64; 3] = [6_003, 9_103, 9_109];
    /// Pages: an unknown error; it may have happened all the same.
    pub(in crate::platform::cloudflare) const UNKNOWN: u64 = 8_000_000;
    /// Pages: no such project.
    pub(in crate::platform::cloudflare) const NO_PROJECT: u64 = 8_000_007;
    /// DNS: a record stands there already, the same or another (cloudflare.md 2).
    pub(in crate::platform::cloudflare) const RECORD_EXISTS: [u64; 4] = [81_053, 81_054, 81_057, 81_058];
    /// Pages: the upload token is refused or has expired.
    pub(in crate::platform::cloudflare) const STALE_TICKET: u64 = 8_000_013;
}

/// A refused call: the error, and the code by which callers decide.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The first code of the answer, where it has one.
    pub(super) code: Option<u64>,
    pub(super) error: PlatformError,
}

impl Refusal {
    /// Returns the error alone, for callers that decide nothing by the code.
    pub(super) fn plain(self) -> PlatformError {
        self.error
    }
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        Self { code: None, error }
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(super) struct Envelope {
    /// What was asked for; `null` where the answer has none.
    pub(super) result: Value,
    /// How many pages there are, where the answer says.
    pub(super) pages: Option<u64>,
    /// How many items all pages have together, where the answer says.
    pub(super) count: Option<u64>,
}

/// Takes an answer apart. Success is what the envelope says, and the status does not contradict.
pub(super) fn open(operation: &'static str, thing: &str, answer: &Answer) -> Result<Envelope, Refusal> {
    if answer.status.is_success() && answer.body.is_empty() {
        return Ok(Envelope { result: Value::Null, pages: None, count: None });
    }
    let Ok(mut body) = answer.json::<Value>() else { return Err(no_json(operation, thing, answer)) };
    if answer.status.is_success() && body["success"] == true {
        let pages = body["result_info"]["total_pages"].as_u64();
        let count = body["result_info"]["total_count"].as_u64();
        return Ok(Envelope { result: body["result"].take(), pages, count });
    }
    let (code, message) = first_error(&body).unwrap_or_else(|| (None, answer.excerpt()));
    let text = code.map_or_else(|| message.clone(), |code| format!("{code}: {message}"));
    let mut error = PlatformError::from_answer(Platform::Cloudflare, operation, thing, answer, &text);
    if let Some(code) = code {
        mean(&mut error, code, answer, text);
    }
    Err(Refusal { code, error })
}

/// Gives an error the meaning of its code, where that says more than the status.
fn mean(error: &mut PlatformError, code: u64, answer: &Answer, text: String) {
    let throttled = answer.status == http::StatusCode::TOO_MANY_REQUESTS;
    // Whatever its code is, this status means to wait.
    if throttled {
        return;
    }
    if code == code::THROTTLED {
        error.kind = PlatformErrorKind::RateLimited(answer.retry_after(jiff::Timestamp::now()));
    } else if code == code::UNKNOWN {
        error.kind = PlatformErrorKind::Unavailable(text);
    } else if code == code::NO_PROJECT {
        error.kind = PlatformErrorKind::NotFound(text);
    } else if code::NO_ROUTE.contains(&code) {
        error.kind = PlatformErrorKind::NotFound(text);
        error.hints.push("check the account's id (32 hex digits): `account:` in the manifest, or CLOUDFLARE_ACCOUNT_ID".to_owned());
    } else if code == code::AUTHENTICATION || code::BAD_CREDENTIAL.contains(&code) {
        error.kind = PlatformErrorKind::Unauthorized(text);
        error.hints.push(super::client::TOKEN_HINT.to_owned());
    }
}

/// Returns the first error of a body, in whichever of its three shapes (cloudflare.md 2).
fn first_error(body: &Value) -> Option<(Option<u64>, String)> {
    let first = body["errors"].as_array().and_then(|errors| errors.first()).unwrap_or(body);
    let text = |name: &str| first[name].as_str().map(str::to_owned);
    let message = text("message").or_else(|| text("error")).or_else(|| first.as_str().map(str::to_owned));
    let code = first["code"].as_u64();
    if code.is_none() && message.is_none() { None } else { Some((code, message.unwrap_or_default())) }
}

/// Returns what an answer means that is no JSON: a gateway's page, or a firewall's challenge.
fn no_json(operation: &'static str, thing: &str, answer: &Answer) -> Refusal {
    let mut error = PlatformError::from_answer(Platform::Cloudflare, operation, thing, answer, &answer.excerpt());
    if answer.header("cf-mitigated") == Some("challenge") {
        error.kind = PlatformErrorKind::Forbidden("a firewall in front of the API asks for a browser".to_owned());
    } else if answer.status.is_success() {
        error.kind = PlatformErrorKind::Unexpected(answer.excerpt());
    }
    Refusal { code: None, error }
}
