//! Who asks, and what they may touch.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::Inner;
use super::problem::Problem;
use super::state::{App, Scope, State, Token};
use crate::embedded::ground::lock;

/// The token of a request, known to be good.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub token: Token,
}

impl FromRequestParts<Arc<Inner>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, fly: &Arc<Inner>) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(header) = header else {
            return Err(Problem::new(401, "Authorization header is required"));
        };
        if let Some(org) = fly.switches().open_to_anyone {
            return fly.anyone(parts.uri.path(), header, org);
        }
        let state = lock(&fly.state);
        let caller = tokens(header)
            .find_map(|text| state.tokens.iter().find(|token| token.text == text))
            .map(|token| Self { token: token.clone() })
            .ok_or_else(|| Problem::new(401, "unauthorized: token validation error"))?;
        // What GraphQL is asked for stands in the body.
        if !parts.method.is_safe() && parts.uri.path() != "/graphql" {
            caller.writes()?;
        }
        Ok(caller)
    }
}

impl Inner {
    /// Lets anyone with any token in, and makes the app that the path names exist.
    fn anyone(&self, path: &str, header: &str, org: String) -> Result<Caller, Problem> {
        let text = tokens(header).next().ok_or_else(|| Problem::new(401, "unauthorized: token validation error"))?.to_owned();
        let mut parts = path.split('/').skip_while(|part| *part != "apps").skip(1);
        if let Some(app) = parts.next().filter(|app| !app.is_empty()) {
            let known = lock(&self.state).apps.contains_key(app);
            if !known {
                self.new_app(app, &org, "");
            }
        }
        Ok(Caller { token: Token { text, owner: org.clone(), scope: Scope::Org(org) } })
    }
}

/// Returns the tokens of an Authorization header: schemes `FlyV1` and `Bearer` in any case, possibly repeated, then tokens joined by commas.
///
/// Source: what flyctl accepts and sends; Fly's documentation uses plain `Bearer` for everything.
pub(super) fn tokens(header: &str) -> impl Iterator<Item = &str> {
    let mut rest = header.trim();
    while let Some((scheme, more)) = rest.split_once(' ') {
        if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("flyv1") {
            break;
        }
        rest = more.trim_start();
    }
    rest.split(',').map(str::trim).filter(|token| !token.is_empty())
}

impl Caller {
    /// Returns the app `name`, if it exists and this caller may see it.
    ///
    /// Source: flyctl's launch, which reads 404 as "the name is free" and 403 as "it exists in an organisation the token cannot see".
    pub(super) fn app<'a>(&self, state: &'a mut State, name: &str) -> Result<&'a mut App, Problem> {
        let app = state.apps.get_mut(name).ok_or_else(|| Problem::new(404, format!("Could not find App \"{name}\"")))?;
        if self.sees(app) { Ok(app) } else { Err(Problem::new(403, "unauthorized: the token has no access to this app")) }
    }

    /// Returns whether this caller may touch `app`.
    pub(super) fn sees(&self, app: &App) -> bool {
        match &self.token.scope {
            Scope::Org(slug) | Scope::Reader(slug) => *slug == app.org,
            Scope::App(name) => *name == app.name,
        }
    }

    /// Refuses a change by a token that may only read. Source: a guess; the library of Fly's tokens calls it unauthorized for that action.
    pub(super) fn writes(&self) -> Result<(), Problem> {
        if matches!(self.token.scope, Scope::Reader(_)) {
            return Err(Problem::new(403, "unauthorized for action: the token may only read"));
        }
        Ok(())
    }

    /// Refuses what only an organisation's token may do, such as listing and creating apps.
    pub(super) fn org(&self, slug: &str) -> Result<(), Problem> {
        if matches!(&self.token.scope, Scope::Org(own) | Scope::Reader(own) if own == slug) {
            return Ok(());
        }
        Err(Problem::new(403, format!("unauthorized: the token has no access to organization {slug}")))
    }
}
