//! A project on Cloudflare Pages, by direct upload and without Node.
//!
//! A preview cannot become production there, so a release uploads everything, makes a deployment of a staging branch, asks that one at its own
//! address, and then posts the *same manifest* to the production branch, for which nothing is uploaded any more. The way back is the rollback
//! call, or the earlier manifest posted once more. All of it is done when the project's own word on its production says so.
//!
//! A project that is connected to a repository can also be built by Cloudflare ([`PagesSource`]). Nothing of that can be prepared: a build of the
//! production branch is production as soon as it ends, so it is asked for when the target cuts over.
//!
//! | file | concept |
//! |---|---|
//! | `api`, `wire` | which calls, what is said |
//! | [`files`] | what is uploaded |
//! | `stamp`, `hints`, `content`, `record` | what marks a deployment as ours, how it is found again, its identity, what it was made of |
//! | `building` | a project that Cloudflare builds from its repository |
//! | `hostnames` | how a hostname leads here, and how it is attached |
//! | [`preview`] | a pull request's copy of a project |
//! | `observing`, `preflight`, `preparing`, `uploading`, `creating`, `serving`, `pruning` | the verbs |

pub(super) mod api;
mod building;
mod content;
mod creating;
pub mod files;
mod hints;
mod hostnames;
mod observing;
mod preflight;
mod preparing;
pub mod preview;
mod pruning;
mod record;
mod serving;
mod stamp;
mod uploading;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use self::hints::Hints;
use self::record::Parts;
use self::wire::Project;
use super::client::{CloudflareClient, opening};
use super::endpoints::CloudflareEndpoints;
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::errand::paused;
use crate::platform::{
    Artifact, AskedFrom, Back, Capabilities, Errand, Health, Leading, Observed, PlainGet, PlatformError, PlatformErrorKind, Preparation,
    Problem, Reach, Revision, RevisionDigest, Scope, Settings, Target,
};

/// How far a read may lag behind what was changed (guess: nothing is documented).
const READ_LAG: Duration = Duration::from_secs(5);

/// What a project is made of.
#[derive(Debug, Clone)]
pub enum PagesSource {
    /// A directory that is uploaded.
    Directory,
    /// The commit, which Cloudflare builds from the connected repository when the API asks for it.
    Git,
    /// The same, asked for by a deploy hook.
    Hook {
        /// The hook's address, which is its secret (cloudflare.md 6).
        url: SecretString,
    },
}

/// What a project is released with.
#[derive(Debug, Clone)]
pub struct PagesSettings {
    /// The target's name in the manifest.
    pub target: Name,
    /// The project's name.
    pub project: String,
    /// The account's id, 32 hex digits.
    pub account: String,
    /// What it is made of.
    pub source: PagesSource,
    /// The public address, where it is another than the project's first hostname.
    pub url: Option<String>,
    /// Patterns of names with a dot that are published all the same, in the syntax of `.gitignore`.
    pub dotfiles: Vec<String>,
    /// The service token (id and secret) that leads past Cloudflare Access, where previews are behind it (cloudflare.md 4.1).
    pub access: Option<(String, SecretString)>,
    /// How long a deployment may take to answer.
    pub ready_deadline: Duration,
    /// How long a move of production may take.
    pub move_deadline: Duration,
    /// How long a deployment that was production stays after production has left it; else [`PagesSettings::DRAIN_MARGIN`].
    pub drain_margin: Option<Duration>,
}

impl PagesSettings {
    /// How long a deployment may take unless anybody says otherwise: nothing is built (cloudflare.md 4).
    pub const READY_DEADLINE: Duration = Duration::from_secs(5 * 60);
    /// How long a build of Cloudflare's own may take: the vendor ends it after 20 minutes (cloudflare.md 4), and it may wait in a queue before.
    pub const BUILD_DEADLINE: Duration = Duration::from_secs(25 * 60);
    /// By which word a journal tells a project that Cloudflare builds from one whose files are uploaded: its revisions are known by their commit.
    pub const BUILT: &str = "built";
    /// How long a move of production may take unless anybody says otherwise (guess; it is seconds).
    pub const MOVE_DEADLINE: Duration = Duration::from_secs(180);
    /// How long a deployment stays after production has left it unless anybody says otherwise: an edge that has not learnt yet leads there. The
    /// same as for machines.
    pub const DRAIN_MARGIN: Duration = Duration::from_secs(10);

    /// Returns settings with every default.
    pub fn new(target: Name, project: impl Into<String>, account: impl Into<String>) -> Self {
        Self {
            target,
            project: project.into(),
            account: account.into(),
            source: PagesSource::Directory,
            url: None,
            dotfiles: Vec::new(),
            access: None,
            ready_deadline: Self::READY_DEADLINE,
            move_deadline: Self::MOVE_DEADLINE,
            drain_margin: None,
        }
    }

    /// Returns the settings of a project that a journal names: enough to serve and prune what is recorded, not to prepare anything new.
    pub fn recorded(target: Name, project: &str, account: String, reach: &Reach) -> Self {
        let drain_margin = reach.drain_ms.map(Duration::from_millis);
        // By which call it was built is nobody's question any more: what is recorded is gone back to, and never built anew.
        let source = if reach.product.as_deref() == Some(Self::BUILT) { PagesSource::Git } else { PagesSource::Directory };
        Self { source, url: reach.url.clone(), drain_margin, ..Self::new(target, project, account) }
    }
}

/// A project on Cloudflare Pages.
#[derive(Debug)]
pub struct PagesTarget {
    settings: PagesSettings,
    client: CloudflareClient,
    memory: Mutex<Memory>,
}

/// What one process remembers; everything in it can be read again, but for what a worker is made of.
#[derive(Debug, Default)]
struct Memory {
    /// The hostname under which production answers.
    host: Option<String>,
    /// When production was last seen to have moved to what was asked for.
    moved: Option<Instant>,
    /// What production was last seen to have moved to.
    moved_to: Option<MovedTo>,
    /// When a move was last asked for.
    asked: Option<Instant>,
    /// What prepared revisions are made of, by digest.
    parts: BTreeMap<String, Parts>,
}

/// A deployment that was seen to be production, and which revision it is.
#[derive(Debug, Clone)]
struct MovedTo {
    id: String,
    digest: RevisionDigest,
}

impl PagesTarget {
    /// Returns the project as a target; nothing is asked yet.
    pub fn new(settings: PagesSettings, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let client = CloudflareClient::new(endpoints, token, settings.account.clone(), transport);
        Self { settings, client, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the project as it is now.
    async fn project(&self) -> Result<Project, PlatformError> {
        let project = self.client.project(&self.settings.project).await.map_err(|error| match error.kind {
            PlatformErrorKind::NotFound(_) => error.hint(format!(
                "it was asked for in the account {}; a new one is made by `wrangler pages project create`",
                self.settings.account
            )),
            _ => error,
        })?;
        if let Some(host) = project.host() {
            self.memory().host = Some(host);
        }
        Ok(project)
    }

    /// Returns the headers that lead past Cloudflare Access.
    fn opening(&self) -> Vec<(String, String)> {
        opening(self.settings.access.as_ref())
    }

    fn error(&self, operation: &'static str, kind: PlatformErrorKind) -> PlatformError {
        PlatformError::new(Platform::Cloudflare, operation, format!("project {}", self.settings.project), kind)
    }

    /// Waits; ends with `Cancelled` when the scope is told to end.
    async fn pause(&self, errand: &impl Errand, pause: Duration) -> Result<(), PlatformError> {
        let over = paused(self.client.transport.chance(), errand.shutdown(), pause).await;
        if over { Ok(()) } else { Err(self.error("wait", PlatformErrorKind::Cancelled)) }
    }
}

impl Target for PagesTarget {
    fn name(&self) -> &Name {
        &self.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn thing(&self) -> &str {
        &self.settings.project
    }

    fn capabilities(&self) -> Capabilities {
        let (prepare, asked_from) =
            if self.builds_elsewhere() { (Preparation::NotAtAll, AskedFrom::Nowhere) } else { (Preparation::Fully, AskedFrom::Public) };
        Capabilities { prepare, asked_from, back: Back::Instantly, gap: None, unserve: false, side_effects: Vec::new() }
    }

    fn public_url(&self) -> Option<String> {
        if let Some(url) = &self.settings.url {
            return Some(url.clone());
        }
        let host = self.memory().host.clone().unwrap_or_else(|| format!("{}.pages.dev", self.settings.project));
        Some(format!("https://{host}/"))
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
        Some((format!("{}/", url.trim_end_matches('/')), self.opening()))
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

    /// A release disturbs no setting of a project.
    async fn restore(&self, _: &Scope, _: &Settings) -> Result<(), PlatformError> {
        Ok(())
    }

    fn reach(&self) -> Reach {
        let drain_ms = self.settings.drain_margin.and_then(|margin| u64::try_from(margin.as_millis()).ok());
        let product = self.builds_elsewhere().then(|| PagesSettings::BUILT.to_owned());
        Reach { account: Some(self.settings.account.clone()), url: self.settings.url.clone(), drain_ms, product, ..Reach::default() }
    }

    async fn leading(&self, host: &str) -> Result<Option<Leading>, PlatformError> {
        self.leads(host).await.map(Some)
    }

    fn attaches(&self) -> bool {
        true
    }

    async fn attach(&self, scope: &Scope, host: &str) -> Result<(), PlatformError> {
        self.attach_domain(scope, host).await
    }

    async fn release_holds(&self, _: &Scope) {}
}
