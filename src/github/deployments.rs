//! GitHub Deployments: what people see of a release (<https://docs.github.com/rest/deployments/deployments>). Nothing reads them back to
//! decide anything; the journal is the truth.

use http::Method;
use serde::{Deserialize, Deserializer, Serialize};

use super::lookup;
use super::statuses::{StatusOutcome, shorten};
use super::{GitHub, GitHubError};
use crate::id::ReleaseId;

/// How many earlier deployments of an environment are looked at when one takes over.
const MAX_EARLIER: usize = 5;

/// How our own deployments are found again: the payload that we send, and that GitHub returns as it was sent or as a text of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The version of this form.
    pub cutover: u32,
    /// The product.
    pub product: String,
    /// The release.
    pub release: ReleaseId,
    /// The workflow run.
    pub run_id: u64,
    /// Its attempt.
    pub attempt: u32,
    /// The pull request that it previews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
}

/// A deployment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRequest {
    /// The branch. With a branch, not a commit, the box on a pull request finds the deployment; `None` uses the commit.
    pub branch: Option<String>,
    /// The commit that is really released.
    pub sha: String,
    /// The environment.
    pub environment: String,
    /// One line; cut to 140 characters.
    pub description: String,
    /// Whether the environment will go away again.
    pub transient: bool,
    /// Whether it is what users get.
    pub production: bool,
    /// By what it is found again.
    pub mark: Mark,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: u64,
    /// The commit that its ref meant when it was made.
    #[serde(default)]
    pub sha: String,
    /// Its environment.
    #[serde(default)]
    pub environment: String,
    /// Our mark; `None` when it is not ours.
    #[serde(default, rename = "payload", deserialize_with = "mark")]
    pub mark: Option<Mark>,
}

/// The states that a deployment can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// It moves.
    InProgress,
    /// It serves.
    Success,
    /// It failed, and what served before serves.
    Failure,
    /// It needs a person, or was ended.
    Error,
    /// It serves no more; shown as "Destroyed" where transient.
    Inactive,
}

/// A status of a deployment; the newest decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// The state.
    pub state: DeploymentState,
    /// One line; cut to 140 characters.
    pub description: String,
    /// The run's page.
    pub log_url: Option<String>,
    /// Where "View deployment" leads.
    pub environment_url: Option<String>,
}

#[derive(Serialize)]
struct DeploymentBody<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    task: &'static str,
    // Merging the base into the branch is nobody's wish here, and our own unfinished checks would answer 409.
    auto_merge: bool,
    required_contexts: [&'static str; 0],
    payload: &'a Mark,
    environment: &'a str,
    description: String,
    transient_environment: bool,
    production_environment: bool,
}

#[derive(Serialize)]
struct StatusBody<'a> {
    state: DeploymentState,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_url: Option<&'a str>,
    // GitHub would skip production and transient environments anyway; `retire_earlier` does it for all alike.
    auto_inactive: bool,
}

#[derive(Deserialize)]
struct StatusAnswer {
    #[serde(default)]
    state: String,
    #[serde(default)]
    log_url: Option<String>,
}

impl GitHub {
    /// Makes a deployment, or finds the one that this release made already: after a lost answer it is looked up by its mark before it is sent
    /// again. A branch that has moved on meanwhile is replaced by the commit.
    ///
    /// Needs `deployments: write`. Creates the environment where there is none.
    pub async fn create_deployment(&self, request: &DeploymentRequest) -> Result<Deployment, GitHubError> {
        let Some(branch) = request.branch.as_deref() else {
            return self.create_at(request, &request.sha).await;
        };
        match self.create_at(request, branch).await {
            Ok(deployment) if deployment.sha == request.sha || deployment.sha.is_empty() => Ok(deployment),
            Ok(moved) => {
                self.remove_deployment(moved.id).await?;
                self.create_at(request, &request.sha).await
            }
            // The branch is gone: merged and deleted.
            Err(GitHubError::Refused { status: 422, .. }) => self.create_at(request, &request.sha).await,
            Err(error) => Err(error),
        }
    }

    async fn create_at(&self, request: &DeploymentRequest, reference: &str) -> Result<Deployment, GitHubError> {
        let body = DeploymentBody {
            reference,
            task: "deploy",
            auto_merge: false,
            required_contexts: [],
            payload: &request.mark,
            environment: &request.environment,
            description: shorten(&request.description),
            transient_environment: request.transient,
            production_environment: request.production,
        };
        match self.change("create_deployment", Method::POST, "/deployments", Some(&body)).await {
            Ok(page) if page.status == http::StatusCode::ACCEPTED => Err(page.conflict("GitHub merged the base branch instead")),
            Ok(page) => match page.decode::<Deployment>() {
                Ok(deployment) => Ok(deployment),
                Err(unreadable) => lookup::found(async || self.own_deployment(request).await).await?.ok_or(unreadable),
            },
            Err(error) if error.may_have_happened() => match lookup::found(async || self.own_deployment(request).await).await? {
                Some(found) => Ok(found),
                None => self.change("create_deployment", Method::POST, "/deployments", Some(&body)).await?.decode(),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the deployment that carries this request's mark.
    async fn own_deployment(&self, request: &DeploymentRequest) -> Result<Option<Deployment>, GitHubError> {
        let deployments = self.deployments(&request.environment).await?;
        Ok(deployments.into_iter().find(|deployment| deployment.mark.as_ref() == Some(&request.mark)))
    }

    /// Returns the newest deployments of an environment, at most 100.
    pub async fn deployments(&self, environment: &str) -> Result<Vec<Deployment>, GitHubError> {
        let environment: String = url::form_urlencoded::byte_serialize(environment.as_bytes()).collect();
        self.get("list_deployments", &format!("/deployments?environment={environment}&per_page=100")).await
    }

    /// Returns the deployment that GitHub itself made of `sha` for a job of `run` that has an `environment:`: it carries no mark of ours, and its
    /// newest status leads to a job of that run. One call, and one more for each of the newest five that are nobody's we know.
    ///
    /// Source: <https://docs.github.com/actions/how-tos/deploy/configure-and-manage-deployments/control-deployments>; that the status leads
    /// to the job is seen, not documented.
    pub async fn deployment_of_job(&self, environment: &str, sha: &str, run: u64) -> Result<Option<u64>, GitHubError> {
        let encoded: String = url::form_urlencoded::byte_serialize(environment.as_bytes()).collect();
        let route = format!("/deployments?environment={encoded}&sha={sha}&per_page=30");
        let deployments: Vec<Deployment> = self.get("list_deployments", &route).await?;
        for deployment in deployments.iter().filter(|deployment| deployment.mark.is_none()).take(MAX_EARLIER) {
            let statuses: Vec<StatusAnswer> =
                self.get("list_deployment_statuses", &format!("/deployments/{}/statuses?per_page=1", deployment.id)).await?;
            let page = statuses.first().and_then(|status| status.log_url.as_deref()).unwrap_or_default();
            if page.contains(&format!("/actions/runs/{run}/job/")) {
                return Ok(Some(deployment.id));
            }
        }
        Ok(None)
    }

    /// Gives a deployment a status, unless it was retired: then a newer release's word is the newest, and it stays. GitHub has no
    /// compare-and-set for it, so the newest is read right before; what is left is a retirement that lands between that read and this write.
    pub async fn settle_deployment(&self, deployment: u64, status: &DeploymentStatus) -> Result<StatusOutcome, GitHubError> {
        if self.newest_state(deployment).await?.as_deref() == Some("inactive") {
            return Ok(StatusOutcome::Outdated);
        }
        self.set_deployment_status(deployment, status).await.map(|()| StatusOutcome::Set)
    }

    /// Returns the newest state of a deployment, which decides; `None` while it has none.
    pub(super) async fn newest_state(&self, deployment: u64) -> Result<Option<String>, GitHubError> {
        let statuses: Vec<StatusAnswer> =
            self.get("list_deployment_statuses", &format!("/deployments/{deployment}/statuses?per_page=1")).await?;
        Ok(statuses.into_iter().next().map(|status| status.state))
    }

    /// Gives a deployment a status. Sent twice it has no further effect, since the newest decides.
    pub async fn set_deployment_status(&self, deployment: u64, status: &DeploymentStatus) -> Result<(), GitHubError> {
        let body = StatusBody {
            state: status.state,
            description: shorten(&status.description),
            log_url: status.log_url.as_deref(),
            environment_url: status.environment_url.as_deref(),
            auto_inactive: false,
        };
        let route = format!("/deployments/{deployment}/statuses");
        match self.change("set_deployment_status", Method::POST, &route, Some(&body)).await {
            Err(error) if error.may_have_happened() => {
                self.change("set_deployment_status", Method::POST, &route, Some(&body)).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Marks what the product deployed to the same environment before `current` as inactive: GitHub itself never does so for production.
    pub async fn retire_earlier(&self, current: &Deployment, environment: &str, product: &str) -> Result<(), GitHubError> {
        let ours = |deployment: &Deployment| deployment.mark.as_ref().is_some_and(|mark| mark.product == product);
        let earlier = self.deployments(environment).await?;
        for deployment in earlier.iter().filter(|it| it.id < current.id && ours(it)).take(MAX_EARLIER) {
            // A failed one stays as it is: it never served.
            let state = self.newest_state(deployment.id).await?;
            if state.is_some_and(|state| matches!(state.as_str(), "success" | "in_progress" | "queued" | "pending")) {
                let description = format!("replaced by deployment {}", current.id);
                let status = DeploymentStatus { state: DeploymentState::Inactive, description, log_url: None, environment_url: None };
                self.set_deployment_status(deployment.id, &status).await?;
            }
        }
        Ok(())
    }

    /// Removes a deployment, which GitHub allows for inactive ones only.
    async fn remove_deployment(&self, id: u64) -> Result<(), GitHubError> {
        let description = "the branch moved on while it was made".to_owned();
        let status = DeploymentStatus { state: DeploymentState::Inactive, description, log_url: None, environment_url: None };
        self.set_deployment_status(id, &status).await?;
        match self.change("delete_deployment", Method::DELETE, &format!("/deployments/{id}"), None::<&()>).await {
            Ok(_) | Err(GitHubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Reads a payload that is an object, a text of one, or somebody else's.
fn mark<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mark>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(match value {
        serde_json::Value::String(text) => serde_json::from_str(&text).ok(),
        other => serde_json::from_value(other).ok(),
    })
}
