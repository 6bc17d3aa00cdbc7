//! What Vercel says: the fields that a release needs, decoded leniently.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The setting that promotion and rollback change by themselves.
pub const AUTO_ASSIGN: &str = "autoAssignCustomDomains";

/// A project.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Project {
    /// `prj_…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The repository that it is connected to.
    pub link: Option<Link>,
    /// What serves, by target name.
    pub targets: BTreeMap<String, Option<Live>>,
    /// Whether production deployments take the domains by themselves.
    pub auto_assign_custom_domains: Option<bool>,
    /// The configuration of rolling releases; not null when they are on.
    pub rolling_release: Option<Value>,
    /// The last promotion or rollback.
    pub last_alias_request: Option<AliasRequest>,
    /// The directory of the repository that the project lives in.
    pub root_directory: Option<String>,
}

/// The repository of a project.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Link {
    /// `github`, `gitlab`, ...
    pub r#type: String,
    /// GitHub's id of the repository.
    pub repo_id: Option<u64>,
    /// The branch whose pushes Vercel deploys to production.
    pub production_branch: Option<String>,
}

/// What serves a target.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The deployment's id.
    pub id: String,
    /// Its hostnames.
    pub alias: Vec<String>,
}

/// A promotion or rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AliasRequest {
    /// The deployment that is to serve.
    pub to_deployment_id: String,
    /// `pending`, `in-progress`, `succeeded`, `failed`, `skipped`.
    pub job_status: String,
    /// When it was asked for, in milliseconds since 1970.
    pub requested_at: i64,
    /// `promote` or `rollback`.
    pub r#type: String,
}

impl AliasRequest {
    /// Returns whether the job is still at work.
    pub fn is_open(&self) -> bool {
        matches!(self.job_status.as_str(), "pending" | "in-progress")
    }
}

impl Project {
    /// Returns the id of the deployment that serves production.
    pub fn production(&self) -> Option<&str> {
        self.targets.get("production")?.as_ref().map(|live| live.id.as_str()).filter(|id| !id.is_empty())
    }
}

/// A deployment, from a list or by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    /// `dpl_…`; lists call it `uid`.
    #[serde(alias = "uid")]
    pub id: String,
    /// Its own hostname, without a scheme.
    pub url: String,
    /// `QUEUED`, `INITIALIZING`, `BUILDING`, `READY`, `ERROR`, `CANCELED`, ...
    pub ready_state: Option<String>,
    /// The same in lists.
    pub state: Option<String>,
    /// `STAGED`, `ROLLING`, `PROMOTED`; only when ready, and not always.
    pub ready_substate: Option<String>,
    /// `production` or null.
    pub target: Option<String>,
    /// Metadata.
    pub meta: BTreeMap<String, Value>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// Its code.
    pub error_code: Option<String>,
    /// Why its state is what it is.
    pub ready_state_reason: Option<String>,
    /// What made it: `cli`, `git`, `git-deploy-hook`, ...
    pub source: Option<String>,
    /// When it was created, in milliseconds since 1970; items of lists carry it as `created` as well.
    pub created_at: i64,
}

impl Deployment {
    /// Returns its state; `UNKNOWN` when Vercel does not say.
    pub fn state(&self) -> &str {
        self.ready_state.as_deref().or(self.state.as_deref()).unwrap_or("UNKNOWN")
    }

    /// Returns whether it has had production traffic, as far as Vercel says.
    pub fn had_traffic(&self) -> bool {
        matches!(self.ready_substate.as_deref(), Some("PROMOTED" | "ROLLING"))
    }

    /// Returns why it is not ready, in one line.
    pub fn reason(&self) -> String {
        let said = self.error_message.as_deref().or(self.ready_state_reason.as_deref()).or(self.error_code.as_deref());
        format!("the deployment {} is {}: {}", self.id, self.state(), said.unwrap_or("Vercel gives no reason"))
    }
}

/// A page of deployments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Deployments {
    /// The deployments, newest first.
    pub deployments: Vec<Deployment>,
}

/// A domain of a project.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Domain {
    /// The hostname.
    pub name: String,
    /// Whether its ownership is proven; one that is not serves nothing.
    pub verified: bool,
    /// The branch that it belongs to; such a domain is not a production domain.
    #[serde(rename = "gitBranch")]
    pub git_branch: Option<String>,
    /// Where it redirects to.
    pub redirect: Option<String>,
}

/// The domains of a project.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Domains {
    /// The domains.
    pub domains: Vec<Domain>,
}

/// The failed hostnames of a job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobAliases {
    /// The hostnames.
    pub aliases: Vec<JobAlias>,
}

/// A hostname of a job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobAlias {
    /// The hostname.
    pub alias: String,
    /// `completed`, `in-progress`, `pending`, `failed`.
    pub status: String,
}

/// A refusal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// What was wrong; some endpoints call it `err`.
    #[serde(alias = "err")]
    pub error: RefusalDetail,
}

/// What was wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RefusalDetail {
    /// A stable code: `missing_files`, `forbidden`, ...
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Digests (SHA-1) of files that Vercel does not have.
    pub missing: Vec<String>,
}

/// The answer of a deploy hook.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HookAnswer {
    /// The job.
    pub job: HookJob,
}

/// A hook's job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HookJob {
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}
