//! A project on Vercel, by its REST API and without Node.
//!
//! A release makes a production deployment without its domains (`autoAssignCustomDomains: false`), asks it at its own address, and promotes it;
//! what served before comes back by Vercel's rollback call. Both are jobs at Vercel: they are confirmed by the project's live target, never by
//! a 201. Promotion turns the project's automatic assignment of domains on and rollback turns it off; the setting is saved by `observe` and put
//! back by `restore`. Source of every protocol fact: Vercel's OpenAPI document and the behaviour of its command line, where not said otherwise.

mod client;
mod deploying;
mod files;
mod observing;
mod serving;
mod upload;
pub mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use self::client::VercelClient;
use self::wire::{Deployment, Project};
use super::{
    Artifact, AskedFrom, Back, Capabilities, Content, Health, Observed, PlainGet, PlatformError, PlatformErrorKind, Preparation, Problem,
    Revision, RevisionDigest, Scope, Settings, Target,
};
use crate::http::{Platform, Transport};
use crate::id::Name;

/// Where Vercel's API is.
#[derive(Debug, Clone)]
pub struct VercelEndpoints {
    /// The base: `https://api.vercel.com`, or what `VERCEL_API_URL` says.
    pub api: Url,
}

/// How a deployment comes to be.
#[derive(Debug, Clone)]
pub enum VercelSource {
    /// The files of a directory are uploaded.
    Directory,
    /// Vercel builds the commit from the repository that the project is connected to.
    Git {
        /// The branch; the release's own when `None`.
        branch: Option<String>,
    },
    /// A deploy hook starts a build of its branch.
    Hook {
        /// The hook's address, which is a secret.
        url: SecretString,
    },
}

/// What a project is released with.
#[derive(Debug, Clone)]
pub struct VercelSettings {
    /// The target's name in the manifest.
    pub target: Name,
    /// The project's name or id (`prj_…`).
    pub project: String,
    /// The team's id (`team_…`) or slug; a user's id or `None` means the token's own account.
    pub team: Option<String>,
    /// How a deployment comes to be.
    pub source: VercelSource,
    /// The public address, where it is not the project's first production domain.
    pub url: Option<String>,
    /// The secret that opens a protected deployment to checks.
    pub bypass: Option<SecretString>,
    /// How long a build may take.
    pub build_deadline: Duration,
    /// How long a promotion or rollback may take, earlier unfinished ones included.
    pub job_deadline: Duration,
}

impl VercelSettings {
    /// How long a build may take unless set; Vercel itself ends builds after 45 minutes.
    pub const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);
    /// How long a promotion may take unless set: the vendor's command line gives up after three minutes.
    pub const JOB_DEADLINE: Duration = Duration::from_secs(180);

    /// Returns settings with every default.
    pub fn new(target: Name, project: impl Into<String>, team: Option<String>, source: VercelSource) -> Self {
        Self {
            target,
            project: project.into(),
            team,
            source,
            url: None,
            bypass: None,
            build_deadline: Self::BUILD_DEADLINE,
            job_deadline: Self::JOB_DEADLINE,
        }
    }
}

/// A project on Vercel.
#[derive(Debug)]
pub struct VercelTarget {
    settings: VercelSettings,
    client: VercelClient,
    /// The project's production hostnames, once read.
    hosts: Mutex<Vec<String>>,
}

/// What a revision on Vercel is found again by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hints {
    deployment: String,
    url: String,
    project: String,
}

/// The names under which a deployment's metadata says whose it is.
mod stamp {
    pub(super) const PRODUCT: &str = "cutoverProduct";
    pub(super) const ENVIRONMENT: &str = "cutoverEnvironment";
    pub(super) const RELEASE: &str = "cutoverRelease";
    pub(super) const REVISION: &str = "cutoverRevision";
}

impl VercelTarget {
    /// Returns the project as a target.
    pub fn new(settings: VercelSettings, endpoints: VercelEndpoints, token: SecretString, transport: Transport) -> Self {
        let client = VercelClient::new(endpoints.api, token, settings.team.clone(), transport, settings.project.clone());
        Self { settings, client, hosts: Mutex::default() }
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<String>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, operation: &'static str, kind: PlatformErrorKind) -> PlatformError {
        PlatformError::new(Platform::Vercel, operation, format!("project {}", self.settings.project), kind)
    }

    fn hints(&self, revision: &Revision) -> Result<Hints, PlatformError> {
        serde_json::from_value(revision.hints.clone())
            .map_err(|error| self.error("read_revision", PlatformErrorKind::Unexpected(format!("the record names no deployment: {error}"))))
    }

    /// Returns a deployment as a revision: by the digest of its stamp, or, where it is not ours, by its own id, which never changes.
    fn revision(&self, deployment: &Deployment, project: &Project) -> Revision {
        let stamped = deployment.meta.get(stamp::REVISION).and_then(|value| value.as_str());
        let digest = stamped
            .map_or_else(|| RevisionDigest::of(format!("vercel deployment {}", deployment.id).as_bytes()), RevisionDigest::from_text);
        let hints = Hints { deployment: deployment.id.clone(), url: deployment.url.clone(), project: project.id.clone() };
        Revision {
            digest,
            artifact: None,
            label: deployment.url.clone(),
            release: deployment.meta.get(stamp::RELEASE).and_then(|value| value.as_str()).map(str::to_owned),
            hints: serde_json::to_value(hints).unwrap_or_default(),
        }
    }

    fn is_ours(deployment: &Deployment, scope: &Scope) -> bool {
        let says = |name: &str, value: &str| deployment.meta.get(name).and_then(|seen| seen.as_str()) == Some(value);
        says(stamp::PRODUCT, scope.product.as_str()) && says(stamp::ENVIRONMENT, scope.environment.as_str())
    }
}

impl Target for VercelTarget {
    fn name(&self) -> &Name {
        &self.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Vercel
    }

    fn thing(&self) -> &str {
        &self.settings.project
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            prepare: Preparation::Fully,
            asked_from: AskedFrom::Public,
            back: Back::Instantly,
            gap: None,
            unserve: false,
            side_effects: vec![wire::AUTO_ASSIGN.to_owned()],
        }
    }

    fn public_url(&self) -> Option<String> {
        if self.settings.url.is_some() {
            return self.settings.url.clone();
        }
        let hosts = self.hosts();
        let own = hosts.iter().find(|host| !host.ends_with(".vercel.app")).or_else(|| hosts.first());
        match own {
            Some(host) => Some(format!("https://{host}/")),
            // Before the project is read: the host name that Vercel gives every project of that name first.
            None if !self.settings.project.starts_with("prj_") => Some(format!("https://{}.vercel.app/", self.settings.project)),
            None => None,
        }
    }

    async fn preflight(&self, scope: &Scope) -> Result<Vec<Problem>, PlatformError> {
        self.look_ahead(scope).await
    }

    async fn observe(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        self.look(scope).await
    }

    async fn digest_of(&self, artifact: &Artifact, _before: &Observed) -> Result<RevisionDigest, PlatformError> {
        Ok(content(artifact).digest())
    }

    async fn prepare(&self, scope: &Scope, artifact: &Artifact, before: &Observed, _gets: &[PlainGet]) -> Result<Revision, PlatformError> {
        self.deploy(scope, artifact, before).await
    }

    async fn probe(&self, _scope: &Scope, revision: &Revision) -> Result<Health, PlatformError> {
        let deployment = self.client.deployment(&self.hints(revision)?.deployment).await?;
        Ok(match deployment.state() {
            "READY" => Health::Healthy,
            "ERROR" | "CANCELED" | "DELETED" | "BLOCKED" => Health::Unhealthy(deployment.reason()),
            other => Health::Unknown(format!("the deployment is {other}")),
        })
    }

    fn prepared_url(&self, revision: &Revision) -> Option<(String, Vec<(String, String)>)> {
        let hints = self.hints(revision).ok()?;
        let bypass = self.settings.bypass.iter().map(|secret| ("x-vercel-protection-bypass".to_owned(), secret.expose_secret().to_owned()));
        Some((format!("https://{}/", hints.url), bypass.collect()))
    }

    async fn serve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        self.point_production_at(scope, &self.hints(revision)?).await?;
        self.look(scope).await
    }

    async fn unserve(&self, _scope: &Scope, _revision: &Revision) -> Result<Observed, PlatformError> {
        Err(self.error("unserve", PlatformErrorKind::Impossible("a project cannot go back to serving nothing".to_owned())))
    }

    async fn prune(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        self.remove(scope, revisions).await
    }

    async fn restore(&self, scope: &Scope, settings: &Settings) -> Result<(), PlatformError> {
        let Some(saved) = settings.get(wire::AUTO_ASSIGN).and_then(serde_json::Value::as_bool) else { return Ok(()) };
        let project = self.client.project().await?;
        if project.auto_assign_custom_domains == Some(saved) {
            return Ok(());
        }
        scope.step(&self.settings.target, format!("putting {} back to {saved}", wire::AUTO_ASSIGN));
        self.client.set_auto_assign(&project.id, saved).await
    }

    async fn release_holds(&self, _scope: &Scope) {}
}

/// Returns what goes into a revision's digest. The file that shows the digest, and the metadata that stamps it, are our own marks and left out.
fn content(artifact: &Artifact) -> Content {
    let kind = match artifact {
        Artifact::Directory { .. } => "files",
        Artifact::Commit { .. } => "commit",
        Artifact::Image { .. } => "image",
    };
    Content { artifact: artifact.digest().to_owned(), slots: [("kind".to_owned(), kind.to_owned())].into() }
}
