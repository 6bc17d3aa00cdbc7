//! The bodies that Vercel's API and we exchange, as far as a release needs them.
//!
//! Answers are decoded leniently: unknown members are ignored, missing ones and nulls are `None` or empty. Sources: the published OpenAPI
//! document; what stands only in the vendor's client is marked so.

mod variables;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub(super) use self::variables::{Of, Variable, Variables};
use crate::http::Answer;

/// Takes null as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A project, `GET /v9/projects/{idOrName}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Project {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    /// The team's id, or the user's.
    #[serde(deserialize_with = "or_default")]
    pub(super) account_id: String,
    pub(super) root_directory: Option<String>,
    pub(super) auto_assign_custom_domains: Option<bool>,
    pub(super) rolling_release: Option<Value>,
    /// Not published; the vendor's client asks for it with `rollbackInfo=true`.
    pub(super) last_alias_request: Option<AliasRequest>,
    pub(super) link: Option<Link>,
    pub(super) targets: Option<Targets>,
    pub(super) command_for_ignoring_build_step: Option<String>,
    pub(super) git_provider_options: Option<GitProviderOptions>,
    pub(super) sso_protection: Option<Value>,
    pub(super) password_protection: Option<Value>,
    #[serde(deserialize_with = "or_default")]
    pub(super) paused: bool,
    /// Not published with a project; a change of one may set it (vercel.md 7).
    #[serde(deserialize_with = "or_default")]
    pub(super) preview_deployments_disabled: bool,
}

impl Project {
    /// Returns the deployment that the project counts as its production.
    pub(super) fn production(&self) -> Option<&Production> {
        self.targets.as_ref().and_then(|targets| targets.production.as_ref()).filter(|production| !production.id.is_empty())
    }

    /// Returns whether `id` is the project's production.
    pub(super) fn serves(&self, id: &str) -> bool {
        self.production().is_some_and(|production| production.id == id)
    }

    /// Returns the last promotion or rollback while it is under way.
    pub(super) fn running_request(&self) -> Option<&AliasRequest> {
        self.last_alias_request.as_ref().filter(|request| request.running())
    }

    /// Returns the project's root directory without slashes at its ends; `None` for the repository's root.
    pub(super) fn root(&self) -> Option<&str> {
        let root = self.root_directory.as_deref()?.trim_start_matches("./").trim_matches('/');
        (!root.is_empty() && root != ".").then_some(root)
    }
}

/// What a project's environments point to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Targets {
    pub(super) production: Option<Production>,
}

/// The deployment in `targets.production`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Production {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    pub(super) url: Option<String>,
    pub(super) meta: Option<BTreeMap<String, Value>>,
}

/// A project's connection to a repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Link {
    pub(super) r#type: Option<String>,
    pub(super) org: Option<String>,
    pub(super) repo: Option<String>,
    /// A number at GitHub.
    pub(super) repo_id: Option<Value>,
    pub(super) project_id: Option<Value>,
    pub(super) uuid: Option<String>,
    pub(super) workspace_uuid: Option<String>,
    pub(super) production_branch: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) deploy_hooks: Vec<DeployHook>,
}

/// A deploy hook as the link lists it; its address is a secret and is not read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeployHook {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    pub(super) r#ref: Option<String>,
}

/// Whether the git integration makes deployments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct GitProviderOptions {
    /// `enabled` or `disabled`.
    pub(super) create_deployments: Option<String>,
}

/// The last promotion or rollback of a project (vendor's client).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AliasRequest {
    #[serde(deserialize_with = "or_default")]
    pub(super) to_deployment_id: String,
    /// `pending`, `in-progress`, `succeeded`, `failed` or `skipped`.
    #[serde(deserialize_with = "or_default")]
    pub(super) job_status: String,
    pub(super) requested_at: Option<f64>,
    /// `promote` or `rollback`.
    #[serde(deserialize_with = "or_default")]
    pub(super) r#type: String,
}

impl AliasRequest {
    /// Returns whether the job has not ended.
    pub(super) fn running(&self) -> bool {
        matches!(self.job_status.as_str(), "pending" | "in-progress")
    }

    /// Returns what it is, in words.
    pub(super) fn in_words(&self) -> String {
        let what = if self.r#type == "rollback" { "rollback" } else { "promotion" };
        format!("a {what} to {} is {}", self.to_deployment_id, self.job_status)
    }

    /// Returns whether both are the same job.
    pub(super) fn same_job(&self, other: &Self) -> bool {
        self.to_deployment_id == other.to_deployment_id && self.requested_at == other.requested_at && self.r#type == other.r#type
    }
}

/// A deployment, by id or in a list; lists say `uid` and `state` where the others say `id` and `readyState`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Deployment {
    id: Option<String>,
    uid: Option<String>,
    pub(super) url: Option<String>,
    pub(super) project_id: Option<String>,
    ready_state: Option<String>,
    state: Option<String>,
    status: Option<String>,
    pub(super) ready_substate: Option<String>,
    pub(super) target: Option<String>,
    pub(super) source: Option<String>,
    #[serde(deserialize_with = "or_default")]
    meta: BTreeMap<String, Value>,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    pub(super) ready_state_reason: Option<String>,
    /// Shown in lists.
    is_rollback_candidate: Option<bool>,
    pub(super) alias_error: Option<AliasError>,
    checks: Option<Value>,
    pub(super) inspector_url: Option<String>,
    pub(super) created_at: Option<f64>,
}

/// Why hostnames could not be assigned.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AliasError {
    #[serde(deserialize_with = "or_default")]
    pub(super) code: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) message: String,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It can serve.
    Ready,
    /// It will never serve.
    Failed,
    /// It is on its way, or in a state that nobody has documented.
    UnderWay,
}

impl Deployment {
    /// Returns the id, `dpl_…`.
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().or(self.uid.as_deref()).unwrap_or_default()
    }

    /// Returns the state as the platform calls it.
    pub(super) fn state(&self) -> &str {
        self.ready_state.as_deref().or(self.state.as_deref()).or(self.status.as_deref()).unwrap_or("unknown")
    }

    /// Returns how far it is. Terminal: READY, ERROR, CANCELED, DELETED, BLOCKED, anything ending in `_ERROR`, and failed checks (vercel.md 5).
    pub(super) fn progress(&self) -> Progress {
        match self.state() {
            _ if self.checks_failed() => Progress::Failed,
            "READY" => Progress::Ready,
            "ERROR" | "CANCELED" | "DELETED" | "BLOCKED" => Progress::Failed,
            other if other.ends_with("_ERROR") => Progress::Failed,
            _ => Progress::UnderWay,
        }
    }

    fn checks_failed(&self) -> bool {
        let state = self.checks.as_ref().and_then(|checks| checks.get("deployment-alias")?.get("state")?.as_str());
        state == Some("failed")
    }

    /// Returns one member of the metadata.
    pub(super) fn meta(&self, key: &str) -> Option<&str> {
        self.meta.get(key).and_then(Value::as_str)
    }

    /// Returns the metadata as it came.
    pub(super) fn all_meta(&self) -> &BTreeMap<String, Value> {
        &self.meta
    }

    /// Returns whether it has ever had production traffic, or `None` where the platform does not say.
    ///
    /// `aliasAssigned` does not tell: the vendor's client waits for it on deployments that never served.
    pub(super) fn has_served(&self) -> Option<bool> {
        match self.ready_substate.as_deref() {
            Some("STAGED") => Some(false),
            Some("PROMOTED" | "ROLLING") => Some(true),
            _ if self.progress() != Progress::Ready => Some(false),
            _ => self.is_rollback_candidate.filter(|candidate| *candidate),
        }
    }

    /// Returns whether a list says that it cannot be rolled back to.
    pub(super) fn is_no_candidate(&self) -> bool {
        self.is_rollback_candidate == Some(false)
    }

    /// Returns why it failed, in the platform's words.
    pub(super) fn reason(&self) -> String {
        if self.checks_failed() {
            return "its checks failed".to_owned();
        }
        let said = [
            self.error_message.as_deref(),
            self.ready_state_reason.as_deref(),
            self.alias_error.as_ref().map(|error| error.message.as_str()),
        ];
        let said = said.into_iter().flatten().find(|text| !text.is_empty());
        let code =
            self.error_code.as_deref().or(self.alias_error.as_ref().map(|error| error.code.as_str())).filter(|code| !code.is_empty());
        match (code, said) {
            (Some(code), Some(said)) => format!("{} ({code}: {said})", self.state()),
            (Some(text), None) | (None, Some(text)) => format!("{} ({text})", self.state()),
            (None, None) => self.state().to_owned(),
        }
    }
}

/// A page of deployments, newest first.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployments {
    #[serde(deserialize_with = "or_default")]
    pub(super) deployments: Vec<Deployment>,
    #[serde(deserialize_with = "or_default")]
    pub(super) pagination: Pagination,
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pagination {
    /// The time, in milliseconds since 1970, until which the next page's items were made; none after the last page.
    pub(super) next: Option<f64>,
}

/// A hostname and the deployment that it leads to, `GET /v4/aliases/{idOrAlias}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Alias {
    #[serde(deserialize_with = "or_default")]
    pub(super) uid: String,
    pub(super) deployment_id: Option<String>,
    pub(super) project_id: Option<String>,
}

/// One file of a create call, by its digest (vercel.md 2.4).
#[derive(Debug, Clone, Serialize)]
pub(super) struct FileEntry<'a> {
    pub(super) file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    pub(super) mode: u32,
}

/// The create call, `POST /v13/deployments`. `version` and `autoAssignCustomDomains` are the vendor's client's, not published.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateDeployment<'a> {
    pub(super) name: &'a str,
    pub(super) project: &'a str,
    pub(super) version: u8,
    /// Left out for a preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auto_assign_custom_domains: Option<bool>,
    pub(super) meta: &'a BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Vec<FileEntry<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) git_source: Option<&'a GitSource>,
}

/// The commit that the platform builds; which members there are depends on `type` (vercel.md 3).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GitSource {
    pub(super) r#type: String,
    pub(super) r#ref: String,
    pub(super) sha: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repo_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) org: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) project_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repo_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workspace_uuid: Option<String>,
}

/// The body of a refusal: `{"error": {...}}`, at some endpoints `err` (vercel.md 8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub(super) code: String,
    pub(super) message: String,
    /// The contents that `missing_files` asks for.
    pub(super) missing: Vec<String>,
    /// When a limit resets, in seconds since 1970.
    pub(super) reset: Option<i64>,
    pub(super) saml: bool,
    pub(super) team: Option<String>,
    pub(super) invalid_token: bool,
}

impl ErrorBody {
    /// Reads the refusal's body; empty where it is none of the documented shapes, for example a proxy's HTML.
    pub(super) fn of(answer: &Answer) -> Self {
        let Ok(body) = answer.json::<Value>() else { return Self::default() };
        let Some(error) = body.get("error").or_else(|| body.get("err")) else { return Self::default() };
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |key: &str| error.get(key).and_then(Value::as_bool).unwrap_or_default();
        let missing = error.get("missing").and_then(Value::as_array).into_iter().flatten();
        // An exhausted quota is named in `errorName` at times, beside the plain code.
        let code = [text("errorName"), text("code")].into_iter().find(|code| !code.is_empty()).unwrap_or_default();
        Self {
            code,
            message: error.as_str().map_or_else(|| text("message"), str::to_owned),
            missing: missing.filter_map(Value::as_str).map(str::to_owned).collect(),
            reset: error.get("limit").and_then(|limit| limit.get("reset")).and_then(Value::as_i64),
            saml: flag("saml"),
            team: error.get("teamId").and_then(Value::as_str).map(str::to_owned),
            invalid_token: flag("invalidToken") || flag("missingToken"),
        }
    }
}

/// A page of hostnames and what a job did to each (vendor's client).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct MovedHosts {
    #[serde(deserialize_with = "or_default")]
    pub(super) aliases: Vec<MovedHost>,
}

/// What a job did to one hostname.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct MovedHost {
    #[serde(deserialize_with = "or_default")]
    pub(super) alias: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) status: String,
}

/// A page of a project's hostnames.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Domains {
    #[serde(deserialize_with = "or_default")]
    pub(super) domains: Vec<Domain>,
}

/// A hostname of a project.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Domain {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    pub(super) redirect: Option<String>,
    pub(super) git_branch: Option<String>,
    pub(super) custom_environment_id: Option<String>,
    pub(super) verified: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    pub(super) verification: Vec<Verification>,
}

impl Domain {
    /// Returns whether production answers under it by itself.
    pub(super) fn is_production(&self) -> bool {
        self.redirect.is_none() && self.git_branch.is_none() && self.custom_environment_id.is_none()
    }
}

/// The DNS record that proves a hostname.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Verification {
    #[serde(deserialize_with = "or_default")]
    pub(super) r#type: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) domain: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) value: String,
}

/// The answer to a deploy hook.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Hooked {
    pub(super) job: HookJob,
}

/// A hook's job; it names no deployment (vercel.md 3).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HookJob {
    pub(super) created_at: Option<f64>,
}
