//! A worker on Cloudflare that serves static assets and nothing else, as a target.
//!
//! A worker has versions, which never change, and a deployment, which says which of them users get. A release uploads its files and makes a version
//! without traffic; it is asked at its own preview address, or, where those are switched off, in the deployment with 0 % of the users by a
//! header that chooses it. Serving is a new deployment with this version alone; going back is one with the version before, for which nothing is
//! uploaded and nothing is kept. A version cannot be removed by itself: it stays and serves nobody.
//!
//! What is said by the vendor's documentation of direct uploads, by the API description (SDK 5.2) or by the vendor's client is marked so where it
//! is used; `[?]` marks what is confirmed nowhere, for which the code is defensive.
//!
//! | file | concept |
//! |---|---|
//! | `api`, `wire` | which calls, what is said |
//! | `site`, `bundle` | what is uploaded, and the body of a bucket |
//! | `stamp`, `hints`, `content` | what marks a version as ours, how it is found again, its identity |
//! | `hostnames` | how a hostname leads here |
//! | [`preview`] | a pull request's copy of a worker |
//! | `observing`, `preflight`, `preparing`, `uploading`, `serving`, `pruning` | the verbs |

mod api;
mod bundle;
mod content;
mod hints;
mod hostnames;
mod observing;
mod preflight;
mod preparing;
pub mod preview;
mod pruning;
mod serving;
mod site;
mod stamp;
mod uploading;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use self::hints::Hints;
use super::client::{CloudflareClient, opening};
use super::endpoints::CloudflareEndpoints;
use super::pages::files::FilesError;
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::errand::paused;
use crate::platform::{
    Artifact, AskedFrom, Back, Capabilities, Errand, Health, Leading, Observed, PlainGet, PlatformError, PlatformErrorKind, Preparation,
    Problem, Reach, Revision, RevisionDigest, Scope, Settings, Target,
};
use crate::shutdown::Level;

/// How far a read may lag behind what was changed [?]: nothing is documented.
const READ_LAG: Duration = Duration::from_secs(5);

/// What a worker is released with.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The target's name in the manifest.
    pub target: Name,
    /// The worker's name.
    pub worker: String,
    /// The account's id, 32 hex digits.
    pub account: String,
    /// The public address, where it is another than the worker's own.
    pub url: Option<String>,
    /// Patterns of names with a dot that are published all the same, in the syntax of `.gitignore`.
    pub dotfiles: Vec<String>,
    /// What a path gets that no file has, in the vendor's words; `none` where the manifest does not say.
    pub not_found: String,
    /// The service token (id and secret) that leads past Cloudflare Access, where previews are behind it.
    pub access: Option<(String, SecretString)>,
    /// How long a move of the traffic may take.
    pub move_deadline: Duration,
}

impl WorkerSettings {
    /// How long a move of the traffic may take unless anybody says otherwise [?]; it is seconds.
    pub const MOVE_DEADLINE: Duration = Duration::from_secs(120);
    /// By which word a journal names this product among its platform's.
    pub const PRODUCT: &str = "worker";

    /// Returns settings with every default.
    pub fn new(target: Name, worker: impl Into<String>, account: impl Into<String>) -> Self {
        Self {
            target,
            worker: worker.into(),
            account: account.into(),
            url: None,
            dotfiles: Vec::new(),
            not_found: "none".to_owned(),
            access: None,
            move_deadline: Self::MOVE_DEADLINE,
        }
    }

    /// Returns the settings of a worker that a journal names: enough to serve and prune what is recorded, not to prepare anything new.
    pub fn recorded(target: Name, worker: &str, account: String, reach: &Reach) -> Self {
        Self { url: reach.url.clone(), ..Self::new(target, worker, account) }
    }
}

/// A worker on Cloudflare that serves static assets.
#[derive(Debug)]
pub struct WorkerTarget {
    settings: WorkerSettings,
    client: CloudflareClient,
    memory: Mutex<Memory>,
}

/// What one process remembers; everything in it can be read again.
#[derive(Debug, Default)]
struct Memory {
    /// The hostname under which the worker answers users.
    host: Option<String>,
    /// When a move was last asked for.
    asked: Option<Instant>,
}

impl WorkerTarget {
    /// Returns the worker as a target; nothing is asked yet.
    pub fn new(settings: WorkerSettings, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let client = CloudflareClient::new(endpoints, token, settings.account.clone(), transport);
        Self { settings, client, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the headers that lead past Cloudflare Access.
    fn opening(&self) -> Vec<(String, String)> {
        opening(self.settings.access.as_ref())
    }

    fn error(&self, operation: &'static str, kind: PlatformErrorKind) -> PlatformError {
        PlatformError::new(Platform::Cloudflare, operation, format!("worker {}", self.settings.worker), kind)
    }

    fn unusable(&self, error: &FilesError) -> PlatformError {
        self.error("read_files", PlatformErrorKind::Impossible(error.to_string()))
    }

    /// Begins nothing new once the run is told to end.
    fn may_go_on(&self, errand: &impl Errand) -> Result<(), PlatformError> {
        let ends = errand.shutdown().level() >= Level::Drain;
        if ends { Err(self.error("prepare", PlatformErrorKind::Cancelled)) } else { Ok(()) }
    }

    /// Waits; ends with `Cancelled` when the scope is told to end.
    async fn pause(&self, errand: &impl Errand, pause: Duration) -> Result<(), PlatformError> {
        let over = paused(self.client.transport.chance(), errand.shutdown(), pause).await;
        if over { Ok(()) } else { Err(self.error("wait", PlatformErrorKind::Cancelled)) }
    }
}

impl Target for WorkerTarget {
    fn name(&self) -> &Name {
        &self.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn thing(&self) -> &str {
        &self.settings.worker
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            prepare: Preparation::Fully,
            asked_from: AskedFrom::Public,
            back: Back::Instantly,
            gap: None,
            unserve: false,
            side_effects: Vec::new(),
        }
    }

    fn public_url(&self) -> Option<String> {
        self.settings.url.clone().or_else(|| self.memory().host.as_ref().map(|host| format!("https://{host}/")))
    }

    async fn preflight(&self, _: &Scope) -> Result<Vec<Problem>, PlatformError> {
        self.problems().await
    }

    async fn observe(&self, _: &Scope) -> Result<Observed, PlatformError> {
        self.observed().await
    }

    async fn digest_of(&self, artifact: &Artifact, _: &Observed) -> Result<RevisionDigest, PlatformError> {
        self.would_be(artifact)
    }

    async fn prepare(&self, scope: &Scope, artifact: &Artifact, before: &Observed, _: &[PlainGet]) -> Result<Revision, PlatformError> {
        self.prepare_revision(scope, artifact, before).await
    }

    async fn probe(&self, _: &Scope, revision: &Revision) -> Result<Health, PlatformError> {
        self.probe_revision(revision).await
    }

    fn prepared_url(&self, revision: &Revision) -> Option<(String, Vec<(String, String)>)> {
        let hints = Hints::of(revision)?;
        let mut headers = self.opening();
        if let Some(preview) = hints.preview {
            return Some((format!("{}/", preview.trim_end_matches('/')), headers));
        }
        // A structured header: the worker's name, and the version's id as a quoted text (vendor's documentation of version overrides).
        headers.push(("cloudflare-workers-version-overrides".to_owned(), format!("{}=\"{}\"", self.settings.worker, hints.version)));
        Some((self.public_url()?, headers))
    }

    async fn serve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        self.serve_revision(scope, revision).await
    }

    async fn unserve(&self, _: &Scope, _: &Revision) -> Result<Observed, PlatformError> {
        let text = "a worker cannot go back to serving nothing".to_owned();
        Err(self.error("unserve", PlatformErrorKind::Impossible(text)))
    }

    async fn prune(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        self.prune_revisions(scope, revisions).await
    }

    /// A release disturbs no setting of a worker.
    async fn restore(&self, _: &Scope, _: &Settings) -> Result<(), PlatformError> {
        Ok(())
    }

    fn reach(&self) -> Reach {
        Reach {
            account: Some(self.settings.account.clone()),
            url: self.settings.url.clone(),
            product: Some(WorkerSettings::PRODUCT.to_owned()),
            ..Reach::default()
        }
    }

    async fn leading(&self, host: &str) -> Result<Option<Leading>, PlatformError> {
        self.leads(host).await.map(Some)
    }

    async fn release_holds(&self, _: &Scope) {}
}
