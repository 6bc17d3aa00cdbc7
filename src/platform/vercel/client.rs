//! How a request to Vercel leaves: address, credential, scope; and what its refusal means.

use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::endpoints::VercelEndpoints;
use super::scope::TeamScope;
use super::wire::ErrorBody;
use crate::http::{Answer, Call, Platform, Transport};
use crate::platform::{PlatformError, PlatformErrorKind};

/// What to do about a token that is not accepted.
pub(super) const TOKEN_HINT: &str = "set VERCEL_TOKEN to a token that is valid: https://vercel.com/account/settings/tokens";

/// Asks Vercel's API.
#[derive(Debug, Clone)]
pub(super) struct VercelClient {
    endpoints: VercelEndpoints,
    token: SecretString,
    // A project's own word on whose it is corrects what was left out, for all later calls.
    scope: Arc<Mutex<TeamScope>>,
    pub(super) transport: Transport,
}

impl VercelClient {
    pub(super) fn new(endpoints: VercelEndpoints, token: SecretString, team: Option<&str>, transport: Transport) -> Self {
        Self { endpoints, token, scope: Arc::new(Mutex::new(TeamScope::parse(team))), transport }
    }

    pub(super) fn has_token(&self) -> bool {
        !self.token.expose_secret().trim().is_empty()
    }

    pub(super) fn scope(&self) -> TeamScope {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the scope from the project's owner where nobody named a team.
    pub(super) fn learn_scope(&self, account: &str) {
        let mut scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        if *scope == TeamScope::Personal && account.starts_with("team_") {
            *scope = TeamScope::Id(account.to_owned());
        }
    }

    /// Returns a call with credential and scope; path segments and query values are encoded here.
    pub(super) fn call(&self, operation: &'static str, method: Method, path: &[&str], query: &[(&str, &str)]) -> Call {
        let mut url = self.address(path);
        if let Some((name, value)) = self.scope().query() {
            url.query_pairs_mut().append_pair(name, value);
        }
        for (name, value) in query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let bearer = format!("Bearer {}", self.token.expose_secret().trim());
        Call::new(Platform::Vercel, operation, method, url).credential(AUTHORIZATION, &bearer).header(ACCEPT, "application/json")
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.endpoints.api.clone();
        url.set_query(None);
        url.set_path("/");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url
    }

    /// Returns the address of a deploy hook at this client's API: a hook is copied from the dashboard with the real host name.
    pub(super) fn hook_address(&self, hook: &Url) -> Url {
        let real = hook.host_str() == Some("api.vercel.com");
        if !real {
            return hook.clone();
        }
        let mut url = self.endpoints.api.clone();
        url.set_path(hook.path());
        url.set_query(hook.query());
        url
    }

    /// Sends a call and returns the answer whatever its status.
    pub(super) async fn send(&self, call: Call, thing: &str) -> Result<Answer, PlatformError> {
        self.transport.send(call).await.map_err(|error| PlatformError::from_send(&error, thing))
    }

    /// Sends a call and fails unless its status is a success.
    pub(super) async fn ask(&self, call: Call, thing: &str) -> Result<Answer, PlatformError> {
        let operation = call.operation;
        let answer = self.send(call, thing).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refusal(operation, thing, &answer)) }
    }

    /// Sends a call and decodes its success.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call, thing: &str) -> Result<T, PlatformError> {
        let operation = call.operation;
        let answer = self.ask(call, thing).await?;
        decode(operation, thing, &answer)
    }

    /// Returns what a refused call means.
    pub(super) fn refusal(&self, operation: &'static str, thing: &str, answer: &Answer) -> PlatformError {
        let body = ErrorBody::of(answer);
        let message = if body.message.is_empty() { answer.excerpt() } else { body.message.clone() };
        let text = if body.code.is_empty() { message } else { format!("{}: {message}", body.code) };
        let mut error = PlatformError::from_answer(Platform::Vercel, operation, thing, answer, &text);
        let hint = match &mut error.kind {
            PlatformErrorKind::RateLimited(wait) => {
                // The header is often missing; the body names the moment in seconds since 1970 (vercel.md 8).
                let reset = body.reset.map(|at| u64::try_from(at - self.transport.clock().now().as_second()).unwrap_or(0));
                *wait = wait.or(reset.map(std::time::Duration::from_secs));
                quota_hint(&body.code)
            }
            // A token that nobody knows is 401 or 403 (vercel.md 8); the marks of the body say which 403 it is.
            PlatformErrorKind::Forbidden(text) if body.invalid_token => {
                error.kind = PlatformErrorKind::Unauthorized(std::mem::take(text));
                Some(TOKEN_HINT.to_owned())
            }
            PlatformErrorKind::Unauthorized(_) => Some(TOKEN_HINT.to_owned()),
            PlatformErrorKind::Forbidden(_) if body.saml => Some(format!(
                "the team {} requires single sign-on: make a token after signing in to that team, and set VERCEL_TOKEN to it",
                body.team.as_deref().unwrap_or("that owns the project")
            )),
            PlatformErrorKind::Forbidden(_) => Some(self.scope_hint()),
            _ if answer.status == http::StatusCode::PAYMENT_REQUIRED => Some("the team's plan does not include this".to_owned()),
            _ => None,
        };
        error.hints.extend(hint);
        error
    }

    /// Returns what to do about a project that cannot be seen.
    pub(super) fn scope_hint(&self) -> String {
        format!(
            "it was asked for in {}: set VERCEL_ORG_ID to the team's id (team_…, in .vercel/project.json after `vercel link`), or `team:` in the \
             manifest, and use a token that reaches that team",
            self.scope()
        )
    }
}

fn quota_hint(code: &str) -> Option<String> {
    let text = match code {
        code if code.starts_with("api-upload") => {
            "the day's quota of uploaded files is used up (5,000 on Hobby, 40,000 on Pro); sites above 500 files are sent as one archive"
        }
        code if code.starts_with("api-deployments") => "the day's quota of deployments is used up (100 on Hobby, 6,000 on Pro)",
        "builds_rate_limited" => "the plan's limit of builds is reached; Vercel lifts it after a while or with another plan",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Decodes a body; what is no JSON of that shape is an unexpected answer, since a success may still have happened.
pub(super) fn decode<T: DeserializeOwned>(operation: &'static str, thing: &str, answer: &Answer) -> Result<T, PlatformError> {
    answer.json().map_err(|error| {
        let kind = PlatformErrorKind::Unexpected(format!("{error}: {}", answer.excerpt()));
        let mut unexpected = PlatformError::new(Platform::Vercel, operation, thing, kind);
        unexpected.request_id = answer.request_id().map(str::to_owned);
        unexpected
    })
}
