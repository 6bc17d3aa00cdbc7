//! The client of one repository; the only place that knows octocrab.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use url::Url;

use super::GitHubError;
use super::error::RequestId;
use super::service::{Operation, Service, Unsendable};
use crate::clock::Clock;
use crate::http::{Repeat, SendError, Transport};

/// The most pages of a listing that are followed, at 100 elements each.
pub(super) const MAX_PAGES: usize = 20;

/// A repository on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its owner.
    pub owner: String,
    /// Its name.
    pub name: String,
}

impl Repository {
    /// Returns the repository that `owner/name` means; `None` for text in another form or with characters that a path cannot hold as they are.
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        let plain = |part: &str| {
            let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            plain && !matches!(part, "" | "." | "..")
        };
        (plain(owner) && plain(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// GitHub's REST API for one repository; cheap to clone. Clones share the one queue of writes, which go one after the other.
#[derive(Clone)]
pub struct GitHub {
    octocrab: Octocrab,
    repository: Repository,
    clock: Clock,
    writes: Arc<Mutex<()>>,
    queue: &'static str,
    token_kind: TokenKind,
}

/// What kind of token we have, by its documented prefix; it decides who the author of our comments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Of an app's installation: in Actions that is `github-actions[bot]`.
    Installation,
    /// Of a person.
    Person,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("repository", &self.repository).finish_non_exhaustive()
    }
}

/// A successful answer.
pub(super) struct Page {
    operation: &'static str,
    headers: HeaderMap,
    body: bytes::Bytes,
    pub(super) status: StatusCode,
}

impl GitHub {
    /// Returns a client of `repository` at `base` (`GITHUB_API_URL`: `https://api.github.com`, or with `/api/v3` on an own server).
    ///
    /// Must be called within a tokio runtime: octocrab starts a task for its queue.
    pub fn new(transport: Transport, base: Url, token: SecretString, repository: Repository) -> Self {
        use secrecy::ExposeSecret;
        // ghp_: classic, github_pat_: fine-grained, gho_/ghu_: on behalf of a person
        // (<https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>).
        let person = ["ghp_", "github_pat_", "gho_", "ghu_"].iter().any(|prefix| token.expose_secret().starts_with(prefix));
        let clock = transport.clock();
        let service = Service::new(transport, base, token);
        // The token is ours to add: octocrab would leave it out for a server of one's own.
        let Ok(octocrab) = OctocrabBuilder::new_empty().with_service(service).with_auth(AuthState::None).build();
        let token_kind = if person { TokenKind::Person } else { TokenKind::Installation };
        Self { octocrab, repository, clock, writes: Arc::default(), queue: "github.write", token_kind }
    }

    /// Returns a client of the same repository whose writes have a queue and a pace of their own: a record of the journal waits for no report.
    #[must_use]
    pub(super) fn beside(&self, queue: &'static str) -> Self {
        Self { writes: Arc::default(), queue, ..self.clone() }
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the clock of the transport.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn token_kind(&self) -> TokenKind {
        self.token_kind
    }

    /// Reads `route`, which is relative to the repository; repeated as the transport sees fit.
    pub(super) async fn get<T: DeserializeOwned>(&self, operation: &'static str, route: &str) -> Result<T, GitHubError> {
        let page = self.send(operation, Method::GET, &self.route(route), None::<&()>, Repeat::Safe).await?;
        page.decode()
    }

    /// Reads a route that is not below the repository.
    pub(super) async fn get_global<T: DeserializeOwned>(&self, operation: &'static str, route: &str) -> Result<T, GitHubError> {
        self.send(operation, Method::GET, route, None::<&()>, Repeat::Safe).await?.decode()
    }

    /// Reads all pages of a listing by its `Link` headers, up to 20; `elements` takes the elements out of one page.
    pub(super) async fn get_all<P: DeserializeOwned, T>(
        &self,
        operation: &'static str,
        route: &str,
        elements: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, GitHubError> {
        self.pages(operation, route, elements).await.map(|(all, _)| all)
    }

    /// Reads the pages of a listing; returns whether these were all.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        operation: &'static str,
        route: &str,
        elements: impl Fn(P) -> Vec<T>,
    ) -> Result<(Vec<T>, bool), GitHubError> {
        let mut next = Some(self.route(route));
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(route) = next.take() else { break };
            let page = self.send(operation, Method::GET, &route, None::<&()>, Repeat::Safe).await?;
            next = page.next();
            all.extend(elements(page.decode()?));
        }
        Ok((all, next.is_none()))
    }

    /// Reads all pages of a listing as [`Self::get_all`] does, and refuses one that has more than are followed.
    pub(super) async fn get_every<P: DeserializeOwned, T>(
        &self,
        operation: &'static str,
        route: &str,
        elements: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, GitHubError> {
        let (all, whole) = self.pages(operation, route, elements).await?;
        if whole {
            return Ok(all);
        }
        let reason = format!("there are more than {} of them", all.len());
        Err(GitHubError::Impossible { operation, reason })
    }

    /// Sends a change, after every change that was asked for before it. It is never repeated when it may have had its effect.
    pub(super) async fn change<B: Serialize + ?Sized>(
        &self,
        operation: &'static str,
        method: Method,
        route: &str,
        body: Option<&B>,
    ) -> Result<Page, GitHubError> {
        let _turn = self.writes.lock().await;
        self.send(operation, method, &self.route(route), body, Repeat::Never).await
    }

    /// Sends a change that has no further effect when it is sent again; after a lost answer, 429 and 5xx it is.
    pub(super) async fn change_again<B: Serialize + ?Sized>(
        &self,
        operation: &'static str,
        method: Method,
        route: &str,
        body: &B,
    ) -> Result<Page, GitHubError> {
        let _turn = self.writes.lock().await;
        self.send(operation, method, &self.route(route), Some(body), Repeat::Safe).await
    }

    fn route(&self, route: &str) -> String {
        format!("/repos/{}/{}{route}", self.repository.owner, self.repository.name)
    }

    async fn send<B: Serialize + ?Sized>(
        &self,
        operation: &'static str,
        method: Method,
        uri: &str,
        body: Option<&B>,
        repeat: Repeat,
    ) -> Result<Page, GitHubError> {
        let builder =
            http::request::Builder::new().method(method).uri(uri).extension(Operation { name: operation, repeat, queue: self.queue });
        let request = self.octocrab.build_request(builder, body).map_err(|error| failure(operation, &error))?;
        let response = self.octocrab.execute(request).await.map_err(|error| failure(operation, &error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| failure(operation, &error))?.to_bytes();
        if parts.status.is_success() {
            Ok(Page { operation, headers: parts.headers, body, status: parts.status })
        } else {
            Err(GitHubError::from_answer(operation, parts.status, &parts.headers, &body))
        }
    }
}

impl Page {
    /// Decodes the answer; a failure says that the call itself has succeeded.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, GitHubError> {
        serde_json::from_slice(&self.body).map_err(|error| GitHubError::Unreadable {
            operation: self.operation,
            reason: error.to_string(),
            request_id: RequestId::of(&self.headers),
        })
    }

    /// Returns the conflict that a successful answer means.
    pub(super) fn conflict(&self, message: &str) -> GitHubError {
        let (message, request_id) = (message.to_owned(), RequestId::of(&self.headers));
        GitHubError::Conflict { operation: self.operation, message, request_id }
    }

    /// Returns the address of the next page (<https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api>).
    fn next(&self) -> Option<String> {
        let links = self.headers.get(http::header::LINK)?.to_str().ok()?;
        links.split(',').find_map(|link| {
            let (address, attributes) = link.split_once(';')?;
            let next = attributes.split(';').any(|attribute| attribute.trim() == "rel=\"next\"");
            next.then(|| address.trim().trim_start_matches('<').trim_end_matches('>').to_owned())
        })
    }
}

/// Returns the transport's own error from below octocrab's, whose text says little more than "Service".
fn failure(operation: &'static str, error: &octocrab::Error) -> GitHubError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(lost) = error.downcast_ref::<SendError>() {
            return GitHubError::NoAnswer(Box::new(lost.clone()));
        }
        if let Some(unsendable) = error.downcast_ref::<Unsendable>() {
            return GitHubError::Impossible { operation, reason: unsendable.to_string() };
        }
        cause = error.source();
    }
    GitHubError::Impossible { operation, reason: error.to_string() }
}
