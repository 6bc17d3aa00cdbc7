//! Who calls: the account in the path and the API token, or an upload token.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::refusal::Refusal;
use super::state::{State, Ticket};
use super::{Cloudflare, ProjectSeed};

/// Where the account stands in a path: after `/client/v4/accounts/`.
const ACCOUNTS: &str = "accounts";

/// A caller with an API token, in the account that the path names.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The account; empty for paths that name none.
    pub(super) account: String,
    /// Every account that the token reaches.
    pub(super) reaches: BTreeSet<String>,
}

impl FromRequestParts<Cloudflare> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, cloudflare: &Cloudflare) -> Result<Self, Refusal> {
        let token = bearer(&parts.headers).ok_or_else(Refusal::unauthorized)?.to_owned();
        let segments: Vec<&str> = parts.uri.path().split('/').collect();
        let after =
            |word: &str| segments.iter().position(|part| *part == word).and_then(|at| segments.get(at + 1)).map(|part| (*part).to_owned());
        let account = after(ACCOUNTS).unwrap_or_default();
        if cloudflare.state().switches.open_to_anyone {
            cloudflare.make_room(&token, &account, after("projects").as_deref());
        }
        let state = cloudflare.state();
        let reaches = state.tokens.get(&token).ok_or_else(Refusal::unauthorized)?;
        if account.is_empty() || reaches.contains(&account) {
            Ok(Self { account, reaches: reaches.clone() })
        } else {
            Err(Refusal::unauthorized())
        }
    }
}

impl Cloudflare {
    /// In an open world: makes the token, the account and the project that a request names exist.
    fn make_room(&self, token: &str, account: &str, project: Option<&str>) {
        if account.is_empty() {
            self.seed_token(token, &[]);
            return;
        }
        self.seed_token(token, &[account]);
        if let Some(project) = project.filter(|project| !project.is_empty())
            && self.state().project(account, project).is_none()
        {
            self.seed_project(ProjectSeed::new(account, project));
        }
    }
}

/// A caller with an upload token that has not ended.
#[derive(Debug, Clone)]
pub(super) struct Uploader(pub(super) Ticket);

impl FromRequestParts<Cloudflare> for Uploader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, cloudflare: &Cloudflare) -> Result<Self, Refusal> {
        let now = cloudflare.now();
        let state = cloudflare.state();
        ticket(&state, &parts.headers).filter(|ticket| ticket.ends > now).cloned().map(Self).ok_or_else(Refusal::stale_token)
    }
}

fn ticket<'a>(state: &'a State, headers: &HeaderMap) -> Option<&'a Ticket> {
    state.tickets.get(bearer(headers)?)
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").filter(|token| !token.is_empty())
}
