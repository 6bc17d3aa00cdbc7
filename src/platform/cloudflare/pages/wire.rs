//! What is said: decoded leniently, since every member but an id is optional somewhere (cloudflare.md 4).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::files::MOST_FILES;
use super::stamp::Stamp;

/// How many seconds before its end an upload token is not used any more (cloudflare.md 3.1).
const MARGIN: i64 = 30;
/// How many seconds after its creation a deployment may still end: the longest build is 20 minutes (cloudflare.md 4), and a margin for its queue.
const LONGEST_BUILD: i64 = 30 * 60;

/// A project.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Project {
    pub(super) name: String,
    /// `<name>.pages.dev`, or with a suffix where that was taken.
    pub(super) subdomain: Option<String>,
    /// All hostnames of production.
    pub(super) domains: Option<Vec<String>>,
    pub(super) production_branch: Option<String>,
    /// The connected repository.
    pub(super) source: Option<Source>,
    /// What production is.
    pub(super) canonical_deployment: Option<Deployment>,
    pub(super) deployment_configs: Option<Configs>,
}

impl Project {
    /// Returns the branch whose deployments are production; the vendor's default where the project does not say.
    pub(super) fn branch(&self) -> &str {
        self.production_branch.as_deref().unwrap_or("main")
    }

    /// Returns whether production is the deployment with this id.
    pub(super) fn serves(&self, id: &str) -> bool {
        self.canonical_deployment.as_ref().is_some_and(|canonical| canonical.id == id)
    }

    /// Returns the hostname that users know: a custom one before the vendor's.
    pub(super) fn host(&self) -> Option<String> {
        let own = self.domains.iter().flatten().find(|name| !name.ends_with(".pages.dev"));
        own.cloned().or_else(|| self.subdomain.clone())
    }
}

/// A connected repository.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Source {
    pub(super) config: Option<SourceConfig>,
}

/// What a push does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct SourceConfig {
    pub(super) owner: Option<String>,
    pub(super) repo_name: Option<String>,
    pub(super) production_deployments_enabled: Option<bool>,
    /// The older name of the same switch.
    pub(super) deployments_enabled: Option<bool>,
    /// Of which branches a push makes a preview: `all`, `none` or `custom`.
    pub(super) preview_deployment_setting: Option<String>,
}

/// What functions are run with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Configs {
    pub(super) production: Option<Value>,
    pub(super) preview: Option<Value>,
}

/// A custom hostname.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Domain {
    pub(super) name: String,
    pub(super) status: Option<String>,
}

/// A deployment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Deployment {
    pub(super) id: String,
    pub(super) environment: Option<String>,
    /// `https://<short id>.<subdomain>`, which never changes.
    pub(super) url: Option<String>,
    pub(super) created_on: Option<String>,
    /// The addresses besides its own that lead to it: of a preview its branch's, while it is the newest of it.
    pub(super) aliases: Option<Vec<String>>,
    pub(super) latest_stage: Option<Stage>,
    pub(super) stages: Option<Vec<Stage>>,
    #[serde(rename = "deployment_trigger")]
    pub(super) trigger: Option<Trigger>,
    pub(super) is_skipped: Option<bool>,
    pub(super) skip_reason: Option<String>,
}

/// A stage of a deployment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Stage {
    pub(super) name: Option<String>,
    pub(super) status: Option<String>,
}

/// What started a deployment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Trigger {
    pub(super) metadata: Option<Metadata>,
}

/// What a deployment says of its commit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Metadata {
    pub(super) branch: Option<String>,
    pub(super) commit_hash: Option<String>,
    pub(super) commit_message: Option<String>,
}

/// How far a deployment is (cloudflare.md 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// It answers.
    Ready,
    /// It never will, with the reason.
    Failed(String),
    /// At this stage, with this status.
    UnderWay(String),
}

impl Deployment {
    fn metadata(&self) -> Option<&Metadata> {
        self.trigger.as_ref()?.metadata.as_ref()
    }

    /// Returns its commit's message, which is where marks of ours stand.
    pub(super) fn message(&self) -> Option<&str> {
        self.metadata()?.commit_message.as_deref().map(str::trim)
    }

    /// Returns the mark that a release of ours has left.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        Stamp::parse(self.message()?)
    }

    /// Returns when it was made.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.created_on.as_deref().and_then(|at| at.parse().ok())
    }

    pub(super) fn branch(&self) -> Option<&str> {
        self.metadata()?.branch.as_deref()
    }

    pub(super) fn commit(&self) -> Option<&str> {
        self.metadata()?.commit_hash.as_deref().filter(|commit| !commit.is_empty())
    }

    /// Returns whether Cloudflare made it of a commit. What is uploaded carries our mark, and the commit of its release besides.
    pub(super) fn is_build_of(&self, sha: &str) -> bool {
        self.commit() == Some(sha) && self.stamp().is_none()
    }

    /// Returns whether it is under way, and not for longer than any build may take: what is older has been given up by the platform, too.
    pub(super) fn may_still_end(&self, now: Timestamp) -> bool {
        let fresh = self.created().is_none_or(|created| now.as_second() - created.as_second() < LONGEST_BUILD);
        fresh && matches!(self.progress(), Progress::UnderWay(_))
    }

    pub(super) fn is_production(&self) -> bool {
        self.environment.as_deref() == Some("production")
    }

    /// Returns how far it is. Done is only a `deploy` stage that succeeded: an earlier stage's success is no end.
    pub(super) fn progress(&self) -> Progress {
        let word = |text: &Option<String>| text.clone().unwrap_or_default();
        if self.is_skipped == Some(true) {
            return Progress::Failed(format!("skipped ({})", self.skip_reason.as_deref().unwrap_or("no reason given")));
        }
        let failed = |stage: &&Stage| matches!(stage.status.as_deref(), Some("failure" | "canceled"));
        let broken = self.latest_stage.iter().chain(self.stages.iter().flatten()).find(failed);
        if let Some(stage) = broken {
            return Progress::Failed(format!("the stage {} ended as {}", word(&stage.name), word(&stage.status)));
        }
        let Some(stage) = &self.latest_stage else { return Progress::UnderWay("at no stage".to_owned()) };
        match (stage.name.as_deref(), stage.status.as_deref()) {
            (Some("deploy"), Some("success")) => Progress::Ready,
            (Some("deploy"), Some("skipped")) => Progress::Failed("skipped".to_owned()),
            _ => Progress::UnderWay(format!("{}: {}", word(&stage.name), word(&stage.status))),
        }
    }
}

/// The answer that holds an upload token.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct UploadToken {
    pub(super) jwt: String,
}

/// The claims of an upload token that matter here (cloudflare.md 3.1).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    exp: Option<i64>,
    max_file_count_allowed: Option<u64>,
}

/// An upload token, and what it says of itself.
#[derive(Debug, Clone)]
pub(in crate::platform::cloudflare) struct Ticket {
    jwt: SecretString,
    ends: Option<i64>,
    /// How many files a site may have.
    pub(super) most_files: u64,
}

impl Ticket {
    /// Reads a token's claims without verifying it: who issues it has checked us, not the other way round. `None` when it has not three parts.
    pub(super) fn parse(jwt: &str) -> Option<Self> {
        let [_, claims, _] = jwt.split('.').collect::<Vec<_>>()[..] else { return None };
        let bytes = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).unwrap_or_default();
        let claims: Claims = serde_json::from_slice(&bytes).unwrap_or_default();
        let most_files = claims.max_file_count_allowed.unwrap_or(MOST_FILES);
        Some(Self { jwt: SecretString::from(jwt), ends: claims.exp, most_files })
    }

    pub(in crate::platform::cloudflare) fn bearer(&self) -> &str {
        self.jwt.expose_secret()
    }

    /// Returns whether it ends so soon that a call with it may come too late.
    pub(super) fn ends_soon(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends - now.as_second() < MARGIN)
    }
}
