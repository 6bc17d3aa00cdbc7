//! Answering a registry's challenge.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::{Registry, RegistryError};
use crate::http::{Answer, Call, Platform};
use crate::mask::Secret;

/// A user and a secret. Fly: any user, and the token without its `FlyV1 ` prefix; ECR: `AWS`; GHCR: any user.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password or token.
    pub secret: Secret,
}

impl Login {
    /// Returns the login for `registry.fly.io`; the `FlyV1 ` prefix that flyctl prints before a token is not part of the password there.
    pub fn fly(token: &Secret) -> Self {
        let bare = token.expose().trim();
        let bare = bare.strip_prefix("FlyV1 ").unwrap_or(bare).trim();
        Self { user: "x".to_owned(), secret: Secret::new(bare) }
    }

    fn basic(&self) -> Secret {
        Secret::new(format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.secret.expose()))))
    }
}

/// What a registry asks for in `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// The answer of a token server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
}

impl Registry {
    /// Returns the `Authorization` for what `refusal` asks for; `None` when it asks for nothing that we have.
    pub(super) async fn authorize(&self, repository: &str, refusal: &Answer) -> Result<Option<Secret>, RegistryError> {
        match refusal.header("www-authenticate").and_then(challenge) {
            Some(Challenge::Basic) => Ok(self.login.as_ref().map(Login::basic)),
            Some(Challenge::Bearer { realm, service }) => self.token(repository, &realm, service.as_deref()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Fetches a token for pulling from and pushing to one repository.
    async fn token(&self, repository: &str, realm: &str, service: Option<&str>) -> Result<Secret, RegistryError> {
        let realm_refused = || RegistryError::BadRealm { registry: self.host(), realm: realm.to_owned() };
        let mut url = Url::parse(realm).map_err(|_| realm_refused())?;
        let local = url.host_str().is_some_and(super::is_local);
        // The password goes to the realm: never in the clear over a network.
        if url.scheme() != "https" && !local {
            return Err(realm_refused());
        }
        url.query_pairs_mut().append_pair("scope", &format!("repository:{repository}:pull,push"));
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let call = Call::new(Platform::Registry, "token", Method::GET, url);
        let answer = self.transport.send(with(call, self.login.as_ref().map(Login::basic).as_ref())).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused("token", repository, &answer));
        }
        let token: Token = answer.json().unwrap_or_default();
        // Both names are in use: `token` in Docker's description, `access_token` for OAuth's sake.
        [token.token, token.access_token]
            .into_iter()
            .find(|text| !text.is_empty())
            .map(|text| Secret::new(format!("Bearer {text}")))
            .ok_or_else(|| RegistryError::Unexpected {
                registry: self.host(),
                operation: "token",
                status: answer.status.as_u16(),
                message: "the answer holds no token".to_owned(),
            })
    }
}

/// Adds an authorization to a call.
pub(super) fn with(call: Call, authorization: Option<&Secret>) -> Call {
    match authorization {
        Some(value) => call.credential(header::AUTHORIZATION, value.expose()),
        None => call,
    }
}

/// Reads a challenge; schemes and keys are case-insensitive, values may be quoted and may hold commas then (RFC 9110, section 11).
fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(Challenge::Bearer { realm: realm?, service })
}
