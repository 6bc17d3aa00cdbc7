//! Thin calls to Vercel's REST API: typed requests, typed answers, refusals as errors that a caller acts on.

use std::path::Path;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::wire::{AUTO_ASSIGN, Deployment, Deployments, Domains, HookAnswer, JobAliases, Project, Refusal};
use crate::http::{Answer, Body, Call, Platform, Transport};
use crate::platform::{PlatformError, PlatformErrorKind};

/// How long one upload of a file may take.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(300);
/// How long the creation of a deployment may take; its list of files may be long.
const CREATE_DEADLINE: Duration = Duration::from_secs(120);

/// Calls Vercel for one project.
#[derive(Debug)]
pub(super) struct VercelClient {
    api: Url,
    token: SecretString,
    team: Option<(&'static str, String)>,
    transport: Transport,
    project: String,
}

/// What became of the creation of a deployment.
#[derive(Debug)]
pub(super) enum Created {
    /// It exists.
    Deployment(Box<Deployment>),
    /// These contents, by SHA-1, must be uploaded first.
    Missing(Vec<String>),
}

/// What became of a request to move production.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The job was accepted.
    Accepted,
    /// It waits behind an active rolling release: traffic has not moved.
    Queued,
    /// It is live already, or another job is at work.
    Conflict,
}

impl VercelClient {
    pub(super) fn new(api: Url, token: SecretString, team: Option<String>, transport: Transport, project: String) -> Self {
        // A personal account has no team; its id begins with anything but `team_`, and must not be sent.
        let team = team.filter(|team| !team.starts_with("usr_") && !team.is_empty());
        let team = team.map(|team| (if team.starts_with("team_") { "teamId" } else { "slug" }, team));
        Self { api, token, team, transport, project }
    }

    pub(super) const fn transport(&self) -> &Transport {
        &self.transport
    }

    fn call(&self, method: Method, operation: &'static str, path: &str, query: &[(&str, &str)]) -> Call {
        let mut url = self.api.clone();
        url.set_path(&format!("{}{path}", self.api.path().trim_end_matches('/')));
        {
            let mut pairs = url.query_pairs_mut();
            if let Some((name, team)) = &self.team {
                pairs.append_pair(name, team);
            }
            pairs.extend_pairs(query);
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        Call::new(Platform::Vercel, operation, method, url)
            .header(ACCEPT, "application/json")
            .credential(AUTHORIZATION, &format!("Bearer {}", self.token.expose_secret()))
    }

    async fn send(&self, call: Call) -> Result<Answer, PlatformError> {
        self.transport.send(call).await.map_err(|error| PlatformError::from_send(&error, format!("project {}", self.project)))
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, PlatformError> {
        let operation = call.operation;
        let answer = self.send(call).await?;
        self.decode(operation, &answer)
    }

    fn decode<T: DeserializeOwned>(&self, operation: &'static str, answer: &Answer) -> Result<T, PlatformError> {
        if !answer.status.is_success() {
            return Err(self.refused(operation, answer));
        }
        answer.json().map_err(|error| {
            let kind = PlatformErrorKind::Unexpected(format!("{} that is not understood ({error}): {}", answer.status, answer.excerpt()));
            PlatformError::new(Platform::Vercel, operation, format!("project {}", self.project), kind)
        })
    }

    fn refused(&self, operation: &'static str, answer: &Answer) -> PlatformError {
        let refusal: Refusal = answer.json().unwrap_or_default();
        let said =
            if refusal.error.code.is_empty() { answer.excerpt() } else { format!("{}: {}", refusal.error.code, refusal.error.message) };
        let error = PlatformError::from_answer(Platform::Vercel, operation, format!("project {}", self.project), answer, &said);
        match answer.status.as_u16() {
            401 => error.hint("set VERCEL_TOKEN to a token of an account that may deploy this project (https://vercel.com/account/settings/tokens)"),
            403 => error.hint("the token must reach the project's team; name it with VERCEL_ORG_ID or `vercel: { team: … }`, or make a token for that team"),
            404 => error.hint("check the project's name, and that VERCEL_ORG_ID names the team it belongs to"),
            402 => error.hint("the account's plan or payment does not allow this"),
            _ => error,
        }
    }

    pub(super) async fn project(&self) -> Result<Project, PlatformError> {
        self.ask(self.call(Method::GET, "get_project", &format!("/v9/projects/{}", self.project), &[("rollbackInfo", "true")])).await
    }

    pub(super) async fn domains(&self, project: &str) -> Result<Domains, PlatformError> {
        self.ask(self.call(Method::GET, "get_domains", &format!("/v9/projects/{project}/domains"), &[])).await
    }

    pub(super) async fn set_auto_assign(&self, project: &str, value: bool) -> Result<(), PlatformError> {
        let call = self.call(Method::PATCH, "update_project", &format!("/v9/projects/{project}"), &[]).json(&json!({ AUTO_ASSIGN: value }));
        // Setting a value twice is setting it once.
        self.ask::<Value>(call.repeatable()).await.map(drop)
    }

    pub(super) async fn deployment(&self, id: &str) -> Result<Deployment, PlatformError> {
        self.ask(self.call(Method::GET, "get_deployment", &format!("/v13/deployments/{id}"), &[])).await
    }

    /// Lists deployments, newest first; asks the newer path where the older one is gone.
    pub(super) async fn deployments(&self, query: &[(&str, &str)]) -> Result<Vec<Deployment>, PlatformError> {
        let answer = self.send(self.call(Method::GET, "list_deployments", "/v6/deployments", query)).await?;
        let answer = match answer.status.as_u16() {
            404 | 410 => self.send(self.call(Method::GET, "list_deployments", "/v7/deployments", query)).await?,
            _ => answer,
        };
        self.decode::<Deployments>("list_deployments", &answer).map(|page| page.deployments)
    }

    pub(super) async fn create(&self, query: &[(&str, &str)], body: &Value) -> Result<Created, PlatformError> {
        let call = self.call(Method::POST, "create_deployment", "/v13/deployments", query).json(body).deadline(CREATE_DEADLINE);
        let answer = self.send(call).await?;
        if answer.status.as_u16() == 400 {
            let refusal: Refusal = answer.json().unwrap_or_default();
            if refusal.error.code == "missing_files" {
                return Ok(Created::Missing(refusal.error.missing));
            }
        }
        self.decode("create_deployment", &answer).map(|deployment| Created::Deployment(Box::new(deployment)))
    }

    /// Stores a content; storing it twice is storing it once.
    pub(super) async fn upload(&self, sha1: &str, body: Body) -> Result<(), PlatformError> {
        let mut call = self.call(Method::POST, "upload_file", "/v2/files", &[]).repeatable().deadline(UPLOAD_DEADLINE);
        call = call.header(CONTENT_TYPE, "application/octet-stream").header(HeaderName::from_static("x-vercel-digest"), sha1);
        call.body = body;
        let answer = self.send(call).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.refused("upload_file", &answer)) }
    }

    pub(super) async fn promote(&self, project: &str, deployment: &str) -> Result<Moved, PlatformError> {
        self.moved("promote", &format!("/v10/projects/{project}/promote/{deployment}")).await
    }

    pub(super) async fn roll_back(&self, project: &str, deployment: &str) -> Result<Moved, PlatformError> {
        self.moved("rollback", &format!("/v9/projects/{project}/rollback/{deployment}")).await
    }

    async fn moved(&self, operation: &'static str, path: &str) -> Result<Moved, PlatformError> {
        let answer = self.send(self.call(Method::POST, operation, path, &[]).json(&json!({}))).await?;
        match answer.status.as_u16() {
            202 => Ok(Moved::Queued),
            200..=299 => Ok(Moved::Accepted),
            409 => Ok(Moved::Conflict),
            _ => Err(self.refused(operation, &answer)),
        }
    }

    /// Returns the hostnames of the last job that did not move; best effort, so an error is an empty list.
    pub(super) async fn failed_aliases(&self, project: &str, verb: &str) -> Vec<String> {
        let operation = if verb == "rollback" { "list_rollback_aliases" } else { "list_promote_aliases" };
        let verb = if verb == "rollback" { "rollback" } else { "promote" };
        let path = format!("/v1/projects/{project}/{verb}/aliases");
        let page: Result<JobAliases, _> =
            self.ask(self.call(Method::GET, operation, &path, &[("failedOnly", "true"), ("limit", "20")])).await;
        page.map(|page| page.aliases.into_iter().map(|alias| alias.alias).collect()).unwrap_or_default()
    }

    /// Returns which deployment a hostname leads to; best effort.
    pub(super) async fn leads_to(&self, host: &str) -> Option<String> {
        let answer: Value = self.ask(self.call(Method::GET, "get_alias", &format!("/v4/aliases/{host}"), &[])).await.ok()?;
        // The published document says an array, the vendor's clients read one object.
        let one = answer.as_array().and_then(|all| all.first()).unwrap_or(&answer);
        one["deploymentId"].as_str().map(str::to_owned)
    }

    /// Returns the last lines of a deployment's build log; never a reason to fail.
    pub(super) async fn last_lines(&self, deployment: &str, count: usize) -> Vec<String> {
        let query = [("direction", "backward"), ("follow", "0"), ("limit", "20"), ("builds", "1")];
        let events: Result<Value, _> =
            self.ask(self.call(Method::GET, "get_events", &format!("/v3/deployments/{deployment}/events"), &query)).await;
        let events = events.ok().and_then(|events| events.as_array().cloned()).unwrap_or_default();
        let text =
            |event: &Value| event["text"].as_str().or_else(|| event["payload"]["text"].as_str()).map(|text| text.trim_end().to_owned());
        let lines: Vec<String> = events.iter().filter_map(text).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    pub(super) async fn delete(&self, deployment: &str) -> Result<(), PlatformError> {
        let call = self.call(Method::DELETE, "delete_deployment", &format!("/v13/deployments/{deployment}"), &[]).repeatable();
        let answer = self.send(call).await?;
        match answer.status.as_u16() {
            200..=299 | 404 | 410 => Ok(()),
            _ => Err(self.refused("delete_deployment", &answer)),
        }
    }

    /// Pulls a deploy hook's trigger. Its address is the secret, so no token goes with it.
    pub(super) async fn trigger(&self, hook: &Url) -> Result<HookAnswer, PlatformError> {
        let mut call = Call::new(Platform::Vercel, "trigger_hook", Method::POST, hook.clone());
        call.secret_url = true;
        self.ask(call).await
    }
}

/// Returns the body of an upload from a file on disk.
pub(super) fn file_body(path: &Path, offset: u64, length: u64) -> Body {
    Body::File { path: path.to_owned(), offset, length }
}
