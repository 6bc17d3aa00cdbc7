//! What GitHub knows of pull requests that are previewed: which are open, what people see of their previews, and the files of the base branch.
//!
//! Pages: <https://docs.github.com/rest/pulls/pulls>, <https://docs.github.com/rest/deployments/deployments>,
//! <https://docs.github.com/rest/deployments/environments>, <https://docs.github.com/rest/repos/contents>.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use http::Method;
use serde::Deserialize;

use super::deployments::{Deployment, DeploymentState, DeploymentStatus};
use super::{GitHub, GitHubError, Pull};
use crate::id::Name;
use crate::preview::{PullRequests, Retired};

/// How many of the newest deployments are looked at for previews of closed pull requests that have nothing left on any platform.
const NEWEST: usize = 30;
/// How many deployments of one preview are retired; each push makes one, and retires the ones before.
const MOST_OF_ONE: usize = 20;

/// A file's content as the API gives it.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ContentAnswer {
    encoding: String,
    content: String,
}

#[derive(Deserialize)]
struct RepositoryAnswer {
    id: u64,
}

impl GitHub {
    /// Returns the repository's number, which stays when it is renamed.
    pub async fn repository_id(&self) -> Result<u64, GitHubError> {
        self.get("get_repository", "").await.map(|answer: RepositoryAnswer| answer.id)
    }

    /// Returns a text file at a ref; `None` where it is not there. Needs `contents: read`.
    pub async fn text_file(&self, path: &str, reference: &str) -> Result<Option<String>, GitHubError> {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let path: Vec<String> =
            path.split('/').filter(|part| !matches!(*part, "" | ".")).map(|part| encode(part).replace('+', "%20")).collect();
        let route = format!("/contents/{}?ref={}", path.join("/"), encode(reference));
        let answer: ContentAnswer = match self.get("get_content", &route).await {
            Ok(answer) => answer,
            Err(GitHubError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bare: String = answer.content.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(bare).ok().filter(|_| answer.encoding == "base64");
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Some).ok_or_else(|| GitHubError::Impossible {
            operation: "get_content",
            reason: "the answer is no text in base64; a file of more than 1 MB has none".to_owned(),
        })
    }

    /// Returns the numbers of all open pull requests; an `Err` where there are more than are listed. Needs `pull-requests: read`.
    pub async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError> {
        let route = "/pulls?state=open&sort=created&direction=asc&per_page=100";
        let pulls: Vec<Pull> = self.get_every("list_pulls", route, |page: Vec<Pull>| page).await?;
        Ok(pulls.into_iter().map(|pull| pull.number).collect())
    }

    /// Removes an environment, which needs a right that Actions' own token never has (`administration: write`). Gone already is done.
    pub async fn delete_environment(&self, name: &str) -> Result<(), GitHubError> {
        let name = url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
        match self.change("delete_environment", Method::DELETE, &format!("/environments/{name}"), None::<&()>).await {
            Ok(_) | Err(GitHubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the newest deployments of all environments, as many as asked for, at most 100.
    async fn newest_deployments(&self, most: usize) -> Result<Vec<Deployment>, GitHubError> {
        self.get("list_deployments", &format!("/deployments?per_page={most}")).await
    }
}

/// Returns the name of GitHub's environment for the preview of a pull request: what people see, apart from the one that holds the secrets.
pub fn environment_of(environment: &Name, pull_request: u64) -> String {
    format!("{environment}-pr-{pull_request}")
}

/// GitHub's word on the pull requests whose previews a product has.
#[derive(Debug)]
pub struct PreviewedPulls {
    github: GitHub,
    product: Name,
    environment: Name,
    /// Whether the token may not remove environments: then it is asked once.
    may_not: AtomicBool,
}

impl PreviewedPulls {
    /// Returns what GitHub says about pull requests that `environment` of `product` previews.
    pub const fn new(github: GitHub, product: Name, environment: Name) -> Self {
        Self { github, product, environment, may_not: AtomicBool::new(false) }
    }

    fn is_ours(&self, deployment: &Deployment) -> bool {
        deployment.mark.as_ref().is_some_and(|mark| mark.product == self.product.as_str() && mark.pull_request.is_some())
    }

    async fn retired(&self, pull_request: u64) -> Result<Retired, GitHubError> {
        let environment = environment_of(&self.environment, pull_request);
        let deployments = self.github.deployments(&environment).await?;
        let mut retired = Retired::default();
        for deployment in deployments.iter().filter(|deployment| self.is_ours(deployment)).take(MOST_OF_ONE) {
            let state = self.github.newest_state(deployment.id).await?;
            if state.as_deref() == Some("inactive") {
                continue;
            }
            let description = format!("pull request #{pull_request} is closed");
            let status = DeploymentStatus { state: DeploymentState::Inactive, description, log_url: None, environment_url: None };
            self.github.set_deployment_status(deployment.id, &status).await?;
            retired.changed = true;
        }
        if !deployments.is_empty() && !self.may_not.load(Ordering::Relaxed) {
            match self.github.delete_environment(&environment).await {
                Ok(()) => {}
                Err(error) if error.is_about_the_token() => {
                    self.may_not.store(true, Ordering::Relaxed);
                    retired.untidy.push(format!(
                        "Environments such as {environment} stay in the repository's settings: the token may not remove them (only one with `administration: write` may)."
                    ));
                }
                Err(error) => retired.untidy.push(format!("The environment {environment} stays: {error}")),
            }
        }
        Ok(retired)
    }
}

impl PullRequests for PreviewedPulls {
    async fn shown(&self) -> Result<BTreeSet<u64>, String> {
        let newest = match self.github.newest_deployments(NEWEST).await {
            Ok(newest) => newest,
            // Without the permission no deployment was ever made by this token.
            Err(error) if error.is_about_the_token() => return Ok(BTreeSet::new()),
            Err(error) => return Err(error.to_string()),
        };
        let (mut looked, mut shown) = (BTreeSet::new(), BTreeSet::new());
        for deployment in newest.iter().filter(|deployment| self.is_ours(deployment)) {
            let Some(pull_request) = deployment.mark.as_ref().and_then(|mark| mark.pull_request) else { continue };
            // The newest of a pull request's tells of all before it: each retires them.
            if looked.insert(pull_request) {
                let state = self.github.newest_state(deployment.id).await.map_err(|error| error.to_string())?;
                shown.extend((state.as_deref() != Some("inactive")).then_some(pull_request));
            }
        }
        Ok(shown)
    }

    async fn open(&self) -> Result<BTreeSet<u64>, String> {
        self.github.open_pulls().await.map_err(|error| error.to_string())
    }

    async fn is_open(&self, pull_request: u64) -> Result<bool, String> {
        let pull = self.github.pull(pull_request).await.map_err(|error| error.to_string())?;
        // Any word but the one that is known to mean its end keeps the preview.
        Ok(pull.state != "closed")
    }

    async fn retire(&self, pull_request: u64) -> Result<Retired, String> {
        match self.retired(pull_request).await {
            Ok(retired) => Ok(retired),
            Err(error) if error.is_about_the_token() => {
                let untidy = vec![format!("Deployments of pull request #{pull_request} stay as they are: {error}")];
                Ok(Retired { changed: false, untidy })
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
