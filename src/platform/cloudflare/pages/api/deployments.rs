//! Deployments: create, read, list, roll back, delete, log.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;

use crate::http::{Body, Call, Platform};
use crate::platform::cloudflare::client::CloudflareClient;
use crate::platform::cloudflare::envelope::Refusal;
use crate::platform::cloudflare::pages::wire::Deployment;
use crate::platform::{PlatformError, PlatformErrorKind};

/// How long the create call may take: it carries up to 20,000 paths.
const CREATE_DEADLINE: Duration = Duration::from_secs(120);
/// How many deployments a page has at most; more is refused (cloudflare.md 7.4).
const PAGE: usize = 25;

/// How many pages a list has at most.
const MOST_PAGES: u64 = 400;
/// How often a list is read whose pages do not fit together.
const LISTINGS: usize = 3;

/// A page of deployments.
struct Page {
    deployments: Vec<Deployment>,
    /// Whether there is none after it.
    last: bool,
    /// How many there are on all pages, where the answer says.
    count: Option<u64>,
}

/// A `multipart/form-data` body. Parts of text carry no file name and no type, files carry both, as the vendor's client sends them
/// (cloudflare.md 3.9).
#[derive(Debug)]
pub(in crate::platform::cloudflare) struct Form {
    boundary: String,
    body: BytesMut,
}

impl Form {
    /// Returns an empty form. `word` must not be foreseeable, so that no content can hold the boundary.
    pub(in crate::platform::cloudflare) fn new(word: &str) -> Self {
        Self { boundary: format!("cutover-{word}"), body: BytesMut::new() }
    }

    /// Adds a text.
    pub(in crate::platform::cloudflare) fn text(&mut self, name: &str, value: &str) {
        let head = format!("--{}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n", self.boundary);
        self.part(&head, value.as_bytes());
    }

    /// Adds a file, named as its field.
    pub(in crate::platform::cloudflare) fn file(&mut self, name: &str, content: &[u8]) {
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"");
        let head = format!("--{}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n", self.boundary);
        self.part(&head, content);
    }

    fn part(&mut self, head: &str, content: &[u8]) {
        self.body.reserve(head.len() + content.len() + 2);
        self.body.put_slice(head.as_bytes());
        self.body.put_slice(content);
        self.body.put_slice(b"\r\n");
    }

    /// Returns the content type and the body.
    pub(in crate::platform::cloudflare) fn finish(mut self) -> (String, Bytes) {
        self.body.put_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.body.freeze())
    }
}

impl CloudflareClient {
    /// Creates a deployment. Never repeated by the transport: after a lost answer it must be looked up. `moves` says that users get it at once.
    pub(in crate::platform::cloudflare) async fn create_deployment(
        &self,
        project: &str,
        form: Form,
        moves: bool,
    ) -> Result<Deployment, PlatformError> {
        let (kind, body) = form.finish();
        let mut call = self
            .in_account("create_deployment", Method::POST, &["pages", "projects", project, "deployments"], &[])
            .header(CONTENT_TYPE, &kind)
            .deadline(CREATE_DEADLINE);
        call.body = Body::Bytes(body);
        let call = if moves { call.moving_traffic() } else { call };
        self.read(call, &format!("project {project}")).await.map_err(Refusal::plain)
    }

    /// Asks a deploy hook for a build of its branch (cloudflare.md 6). Never repeated by the transport; users get the build as soon as it ends.
    pub(in crate::platform::cloudflare) async fn trigger_deploy_hook(&self, url: &Url) -> Result<(), PlatformError> {
        // The address is the secret: no token goes with it.
        let call = Call::new(Platform::Cloudflare, "trigger_deploy_hook", Method::POST, url.clone()).moving_traffic();
        self.ask(call, "the deploy hook").await.map(drop).map_err(Refusal::plain)
    }

    /// Returns a deployment; `None` when it is gone.
    pub(in crate::platform::cloudflare) async fn deployment(&self, project: &str, id: &str) -> Result<Option<Deployment>, PlatformError> {
        let call = self.in_account("get_deployment", Method::GET, &["pages", "projects", project, "deployments", id], &[]);
        match self.read(call, &format!("deployment {id}")).await.map_err(Refusal::plain) {
            Ok(deployment) => Ok(Some(deployment)),
            Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the newest deployments of an environment (`production` or `preview`), newest first, of at most `pages` pages of 25.
    pub(in crate::platform::cloudflare) async fn deployments(
        &self,
        project: &str,
        environment: &str,
        pages: u64,
    ) -> Result<Vec<Deployment>, PlatformError> {
        let mut all = Vec::new();
        for page in 1..=pages {
            let listed = self.page(project, environment, page).await?;
            all.extend(listed.deployments);
            if listed.last {
                break;
            }
        }
        Ok(all)
    }

    /// Returns all deployments of an environment, newest first. What is made or removed between two pages shifts the rest, so all of it is read again
    /// where the platform's count is another one. Errors: it is another one every time, or there are more than [`MOST_PAGES`] pages.
    pub(in crate::platform::cloudflare) async fn all_deployments(
        &self,
        project: &str,
        environment: &str,
    ) -> Result<Vec<Deployment>, PlatformError> {
        for _ in 0..LISTINGS {
            let (mut all, mut seen): (Vec<Deployment>, BTreeSet<String>) = Default::default();
            let mut page = 1;
            let (count, ended) = loop {
                let listed = self.page(project, environment, page).await?;
                all.extend(listed.deployments.into_iter().filter(|one| seen.insert(one.id.clone())));
                if listed.last || page == MOST_PAGES {
                    break (listed.count, listed.last);
                }
                page += 1;
            };
            if ended && count.is_none_or(|count| count == all.len() as u64) {
                return Ok(all);
            }
        }
        let kind = PlatformErrorKind::Unexpected("the list of deployments was another one on every page".to_owned());
        Err(PlatformError::new(Platform::Cloudflare, "list_deployments", format!("deployments of {project}"), kind))
    }

    async fn page(&self, project: &str, environment: &str, page: u64) -> Result<Page, PlatformError> {
        let thing = format!("deployments of {project}");
        let (number, size) = (page.to_string(), PAGE.to_string());
        // Both or neither: a page alone was refused (cloudflare.md 7.4).
        let query = [("env", environment), ("page", number.as_str()), ("per_page", size.as_str())];
        let call = self.in_account("list_deployments", Method::GET, &["pages", "projects", project, "deployments"], &query);
        let envelope = self.ask(call, &thing).await.map_err(Refusal::plain)?;
        let listed: Option<Vec<Deployment>> = serde_json::from_value(envelope.result).map_err(|error| {
            let kind = PlatformErrorKind::Unexpected(error.to_string());
            PlatformError::new(Platform::Cloudflare, "list_deployments", &thing, kind)
        })?;
        let deployments = listed.unwrap_or_default();
        // A short page is the last one only where nothing says how many there are.
        let last = envelope.pages.map_or(deployments.len() < PAGE, |pages| page >= pages) || deployments.is_empty();
        Ok(Page { deployments, last, count: envelope.count })
    }

    /// Asks for an earlier production deployment to serve again (cloudflare.md 5). Never repeated by the transport: a repetition that
    /// comes late could run over what was asked for since.
    pub(in crate::platform::cloudflare) async fn roll_back(&self, project: &str, id: &str) -> Result<(), PlatformError> {
        let call = self
            .in_account("roll_back", Method::POST, &["pages", "projects", project, "deployments", id, "rollback"], &[])
            .moving_traffic();
        self.ask(call, &format!("deployment {id}")).await.map(drop).map_err(Refusal::plain)
    }

    /// Deletes a deployment, branch alias and all; done when it is gone already (cloudflare.md 7.5).
    pub(in crate::platform::cloudflare) async fn delete_deployment(&self, project: &str, id: &str) -> Result<(), PlatformError> {
        let path = ["pages", "projects", project, "deployments", id];
        let call = self.in_account("delete_deployment", Method::DELETE, &path, &[("force", "true")]).repeatable();
        match self.ask(call, &format!("deployment {id}")).await.map_err(Refusal::plain) {
            Ok(_) | Err(PlatformError { kind: PlatformErrorKind::NotFound(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the last `count` lines of a deployment's log, oldest first (cloudflare.md 4).
    pub(in crate::platform::cloudflare) async fn last_log_lines(
        &self,
        project: &str,
        id: &str,
        count: usize,
    ) -> Result<Vec<String>, PlatformError> {
        let path = ["pages", "projects", project, "deployments", id, "history", "logs"];
        let call = self.in_account("get_log", Method::GET, &path, &[("size", "10000000")]);
        let log: Value = self.read(call, &format!("log of {id}")).await.map_err(Refusal::plain)?;
        let line = |entry: &Value| entry["line"].as_str().map(|line| line.trim_end().trim_start_matches("Error:").trim().to_owned());
        let lines: Vec<String> = log["data"].as_array().into_iter().flatten().filter_map(line).filter(|line| !line.is_empty()).collect();
        let skip = lines.len().saturating_sub(count);
        Ok(lines.into_iter().skip(skip).collect())
    }
}
