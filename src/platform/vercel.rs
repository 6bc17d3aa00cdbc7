//! A project on Vercel, by its REST API and without Node.
//!
//! A release makes a *production* deployment whose domains are not assigned (a preview could not be promoted: the vendor would build it
//! anew), asks it at its own address, then has it promoted. The way back is the rollback call: what served before is still there. Both only
//! *request* a job; it is done when the project's own word on its production says so, never when the request was accepted. Promotion turns
//! `autoAssignCustomDomains` on and rollback turns it off, which decides whether later pushes go live; a release saves it and puts it back.
//!
//! | file | concept |
//! |---|---|
//! | [`endpoints`], `scope`, `client`, `wire`, `api` | where, in whose name, how a call leaves, what is said, which calls |
//! | [`files`] | what is uploaded |
//! | `stamp`, `hints`, `content` | what marks a deployment as ours, how it is found again, its identity by content |
//! | `hostnames` | by which DNS records a hostname leads here |
//! | [`preview`] | a pull request's copy of a project |
//! | `observing`, `preflight`, `preparing`, `creating`, `hooking`, `following`, `serving`, `job`, `restoring`, `pruning` | the verbs |
//!
//! Deployments that had production traffic are never removed when a release finishes: they are what the vendor can roll back to. Source of
//! every protocol fact: the Vercel reference by its sections, the published OpenAPI document, the vendor's client.

mod api;
mod client;
mod content;
mod creating;
pub mod endpoints;
pub mod files;
mod following;
mod hints;
mod hooking;
mod hostnames;
mod job;
mod observing;
mod preflight;
mod preparing;
pub mod preview;
mod pruning;
mod restoring;
mod scope;
mod serving;
mod stamp;
mod wire;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use self::client::VercelClient;
pub use self::endpoints::VercelEndpoints;
use self::hints::Hints;
use self::wire::{Domain, Project};
use super::errand::paused;
use super::{
    Artifact, AskedFrom, Back, Capabilities, Errand, Health, Leading, Observed, PlainGet, PlatformError, PlatformErrorKind, Preparation,
    Problem, Reach, Revision, RevisionDigest, Scope, Settings, Target,
};
use crate::http::{Platform, Transport};
use crate::id::Name;

/// How far a read may lag behind what was changed (guess: nothing is documented; the vendor's client asks again for as long).
const READ_LAG: Duration = Duration::from_secs(5);

/// What a target deploys.
#[derive(Debug, Clone)]
pub enum VercelSource {
    /// The files of a directory.
    Directory,
    /// A commit that Vercel builds from the connected repository.
    Git {
        /// The branch; the artifact's when `None`.
        branch: Option<String>,
    },
    /// A commit that Vercel builds because a deploy hook was called.
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
    /// The team's id (`team_…`) or slug; an account's id, or nothing, means the token's own account.
    pub team: Option<String>,
    /// What is deployed.
    pub source: VercelSource,
    /// The public address, where it is another than the project's first production domain.
    pub url: Option<String>,
    /// What opens Deployment Protection: the project's "Protection Bypass for Automation".
    pub bypass: Option<SecretString>,
    /// The `vercel.json` above a shipped plain site, for one that has none of its own.
    pub rules: Option<PathBuf>,
    /// Environment variables that production deployments must have, by name.
    pub variables: Vec<String>,
    /// Whether `vercel.json` says `git.deploymentEnabled: false`, so that a push deploys nothing by itself. The API does not show this.
    pub git_deployments_disabled: bool,
    /// How long a deployment may take to be ready.
    pub ready_deadline: Duration,
    /// How long a promotion or rollback may take.
    pub job_deadline: Duration,
    /// How long after a hook's call its deployment may take to appear.
    pub hook_deadline: Duration,
    /// Above how many files one archive is sent.
    pub archive_above: usize,
    /// How long a deployment that had production traffic stays after production has left it; else [`VercelSettings::DRAIN_MARGIN`].
    pub drain_margin: Option<Duration>,
}

impl VercelSettings {
    /// How long a deployment may take unless anybody says otherwise: the longest build of every plan (vercel.md 8), and a margin for its queue.
    pub const READY_DEADLINE: Duration = Duration::from_secs(50 * 60);
    /// How long a promotion may take unless anybody says otherwise; the vendor's client's limit.
    pub const JOB_DEADLINE: Duration = Duration::from_secs(180);
    /// How long a hook's deployment may take to appear; no hit after it means that no build was made (vercel.md 3).
    pub const HOOK_DEADLINE: Duration = Duration::from_secs(60);
    /// Above how many files one archive is sent: single uploads have daily quotas (vercel.md 2.5).
    pub const ARCHIVE_ABOVE: usize = 500;
    /// How long a deployment stays after production has left it unless anybody says otherwise: an edge that has not learnt yet leads there, and
    /// no API shows how far edges lag. The same as for machines.
    pub const DRAIN_MARGIN: Duration = Duration::from_secs(10);

    /// Returns the settings of a project that a journal names: enough to serve, restore and prune what is recorded, not to prepare anything
    /// new.
    pub fn recorded(target: Name, project: &str, reach: &Reach) -> Self {
        let source = if reach.builds { VercelSource::Git { branch: None } } else { VercelSource::Directory };
        let drain_margin = reach.drain_ms.map(Duration::from_millis);
        Self { url: reach.url.clone(), drain_margin, ..Self::new(target, project, reach.account.clone(), source) }
    }

    /// Returns settings with every default.
    pub fn new(target: Name, project: impl Into<String>, team: Option<String>, source: VercelSource) -> Self {
        Self {
            target,
            project: project.into(),
            team,
            source,
            url: None,
            bypass: None,
            rules: None,
            variables: Vec::new(),
            git_deployments_disabled: false,
            ready_deadline: Self::READY_DEADLINE,
            job_deadline: Self::JOB_DEADLINE,
            hook_deadline: Self::HOOK_DEADLINE,
            archive_above: Self::ARCHIVE_ABOVE,
            drain_margin: None,
        }
    }
}

/// A project on Vercel.
#[derive(Debug)]
pub struct VercelTarget {
    settings: VercelSettings,
    client: VercelClient,
    memory: Mutex<Memory>,
}

/// What one process remembers; everything in it can be read again.
#[derive(Debug, Default)]
struct Memory {
    /// The hostname under which production answers, as the project's domains say.
    host: Option<String>,
    /// The project's name, where it was given by id.
    name: Option<String>,
    /// When production was last seen to have moved to what was asked for.
    moved: Option<Instant>,
    /// What production was last seen to have moved to.
    moved_to: Option<String>,
    /// When a move was last asked for.
    asked: Option<Instant>,
    /// What this process's moves have done to the setting that a release disturbs.
    disturbed: restoring::Disturbed,
    /// When a deployment was last made.
    made: Option<Instant>,
    /// What was seen when the project was last observed.
    looked: Option<observing::Looked>,
    /// The deployment that was last seen to be ready, and when.
    ready: Option<(String, Instant)>,
}

impl VercelTarget {
    /// Returns the project as a target; nothing is asked yet.
    pub fn new(settings: VercelSettings, endpoints: VercelEndpoints, token: SecretString, transport: Transport) -> Self {
        let client = VercelClient::new(endpoints, token, settings.team.as_deref(), transport);
        Self { settings, client, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the project as it is now.
    async fn project(&self) -> Result<Project, PlatformError> {
        let project = self.client.project(&self.settings.project).await.map_err(|error| match error.kind {
            PlatformErrorKind::NotFound(_) => error.hint(self.client.scope_hint()),
            _ => error,
        })?;
        if project.id.is_empty() {
            return Err(self.error("get_project", PlatformErrorKind::Unexpected("the project has no id".to_owned())));
        }
        self.client.learn_scope(&project.account_id);
        self.memory().name = Some(project.name.clone()).filter(|name| !name.is_empty());
        Ok(project)
    }

    /// Returns the hostnames of the project under which production answers; verified or not.
    async fn production_domains(&self, project: &Project) -> Result<Vec<Domain>, PlatformError> {
        let domains: Vec<_> = self.client.domains(&project.id).await?.into_iter().filter(Domain::is_production).collect();
        let verified = || domains.iter().filter(|domain| domain.verified != Some(false));
        // A team's own name is what its users type; the vendor's is there always.
        let own = verified().find(|domain| !domain.name.ends_with(".vercel.app")).or_else(|| verified().next());
        if let Some(domain) = own {
            self.memory().host = Some(domain.name.clone());
        }
        Ok(domains)
    }

    fn error(&self, operation: &'static str, kind: PlatformErrorKind) -> PlatformError {
        PlatformError::new(Platform::Vercel, operation, format!("project {}", self.settings.project), kind)
    }

    /// Returns the header that leads past Deployment Protection (vercel.md 9), where there is a secret for it.
    fn bypass(&self) -> Vec<(String, String)> {
        let secret = self.settings.bypass.as_ref();
        secret.map(|secret| ("x-vercel-protection-bypass".to_owned(), secret.expose_secret().to_owned())).into_iter().collect()
    }

    /// Waits; ends with `Cancelled` when the scope is told to end.
    async fn pause(&self, errand: &impl Errand, pause: Duration) -> Result<(), PlatformError> {
        let over = paused(self.client.transport.chance(), errand.shutdown(), pause).await;
        if over { Ok(()) } else { Err(self.error("wait", PlatformErrorKind::Cancelled)) }
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
            side_effects: vec![observing::AUTO_ASSIGN.to_owned()],
        }
    }

    fn public_url(&self) -> Option<String> {
        if let Some(url) = &self.settings.url {
            return Some(url.clone());
        }
        let memory = self.memory();
        let name = memory.name.as_deref().or((!self.settings.project.starts_with("prj_")).then_some(self.settings.project.as_str()));
        let host = memory.host.clone().or_else(|| name.map(|name| format!("{name}.vercel.app")));
        host.map(|host| format!("https://{host}/"))
    }

    async fn preflight(&self, scope: &Scope) -> Result<Vec<Problem>, PlatformError> {
        self.problems(scope).await
    }

    async fn observe(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        self.observed(scope).await
    }

    async fn digest_of(&self, artifact: &Artifact, _: &Observed) -> Result<RevisionDigest, PlatformError> {
        self.would_be(artifact).await
    }

    async fn prepare(&self, scope: &Scope, artifact: &Artifact, before: &Observed, _: &[PlainGet]) -> Result<Revision, PlatformError> {
        self.prepare_revision(scope, artifact, before).await
    }

    async fn probe(&self, _: &Scope, revision: &Revision) -> Result<Health, PlatformError> {
        self.probe_revision(revision).await
    }

    fn prepared_url(&self, revision: &Revision) -> Option<(String, Vec<(String, String)>)> {
        let url = Hints::of(revision)?.url?;
        Some((format!("https://{url}/"), self.bypass()))
    }

    async fn serve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        self.serve_revision(scope, revision).await
    }

    async fn unserve(&self, _: &Scope, _: &Revision) -> Result<Observed, PlatformError> {
        let text = "a project cannot go back to serving nothing; a first release serves a placeholder first".to_owned();
        Err(self.error("unserve", PlatformErrorKind::Impossible(text)))
    }

    async fn prune(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        self.prune_revisions(scope, revisions).await
    }

    async fn restore(&self, scope: &Scope, settings: &Settings) -> Result<(), PlatformError> {
        self.restore_settings(scope, settings).await
    }

    fn reach(&self) -> Reach {
        let builds = !matches!(self.settings.source, VercelSource::Directory);
        let drain_ms = self.settings.drain_margin.and_then(|margin| u64::try_from(margin.as_millis()).ok());
        Reach { account: self.settings.team.clone(), url: self.settings.url.clone(), builds, drain_ms, ..Reach::default() }
    }

    async fn leading(&self, host: &str) -> Result<Option<Leading>, PlatformError> {
        self.leads(host).await.map(Some)
    }

    async fn release_holds(&self, _: &Scope) {}
}
