//! Who calls, and what the token allows.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use super::GitHub;
use super::refusal::Refusal;
use super::state::{Repository, State};

/// How far a permission reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Of an app's installation: the token of an Actions job.
    #[default]
    Installation,
    /// Of a person.
    Person,
}

/// A token to begin with.
#[derive(Debug, Clone, Default)]
pub struct Token {
    /// Whose it is.
    pub kind: Kind,
    /// The account: `github-actions[bot]` for a job's token.
    pub login: String,
    /// Permissions by their name in a workflow, with `_` for `-`: `contents`, `deployments`, `pull_requests`, `issues`, `checks`, `statuses`,
    /// `actions`, `administration`.
    pub permissions: BTreeMap<String, Level>,
    /// The repositories (`owner/name`) that it reaches; empty for all.
    pub repositories: Vec<String>,
}

impl Token {
    /// Returns the token of an Actions job with these permissions.
    pub fn of_job(permissions: &[(&str, Level)]) -> Self {
        let permissions = permissions.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
        Self { kind: Kind::Installation, login: "github-actions[bot]".to_owned(), permissions, repositories: Vec::new() }
    }

    /// Returns the token of a person who may do everything.
    pub fn of_person(login: &str) -> Self {
        const ALL: [&str; 8] = ["contents", "deployments", "pull_requests", "issues", "checks", "statuses", "actions", "administration"];
        let permissions = ALL.map(|name| (name.to_owned(), Level::Write)).into();
        Self { kind: Kind::Person, login: login.to_owned(), permissions, repositories: Vec::new() }
    }
}

/// A caller whose token is known.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) token: Token,
    /// The address under which it reached this platform: `https://api.github.com`.
    pub(super) base: String,
}

impl FromRequestParts<GitHub> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _github: &GitHub) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "Requires authentication"))
    }
}

/// What a call needs: any one of these.
pub(super) type Need = &'static [(&'static str, Level)];

/// Reading a repository's metadata, which every token may.
pub(super) const METADATA: Need = &[];

impl Caller {
    /// Returns the repository, where this caller may do what it asks for: 404 for what it may not even see, 403 for what it may not do.
    pub(super) fn repository<'a>(&self, state: &'a mut State, place: &(String, String), need: Need) -> Result<&'a mut Repository, Refusal> {
        let name = format!("{}/{}", place.0, place.1);
        let found = state.repositories.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(_, repository)| repository);
        let reaches = |repository: &Repository| {
            !repository.private || self.token.repositories.is_empty() || self.token.repositories.contains(&repository.full_name())
        };
        let repository = found.filter(|repository| reaches(repository)).ok_or_else(Refusal::not_found)?;
        let has = |(name, level): &(&str, Level)| self.token.permissions.get(*name).is_some_and(|held| held >= level);
        let public_read = !repository.private && need.iter().all(|(_, level)| *level == Level::Read);
        if need.is_empty() || public_read || need.iter().any(has) {
            return Ok(repository);
        }
        // A person's token is told that it lacks a scope by 404 or another 403; the Actions token is what matters here.
        let accepted: Vec<String> = need.iter().map(|(name, level)| format!("{name}={}", level.as_str())).collect();
        Err(Refusal::new(StatusCode::FORBIDDEN, "Resource not accessible by integration")
            .header("x-accepted-github-permissions", &accepted.join("; ")))
    }

    /// Returns the account that what this token makes belongs to.
    pub(super) fn login(&self) -> &str {
        &self.token.login
    }
}
