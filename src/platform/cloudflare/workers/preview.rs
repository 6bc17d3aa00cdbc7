//! A pull request's copy of a worker: a worker of its own, which answers below the account's name on workers.dev.
//!
//! A version cannot be removed by any call, a worker can: so every pull request gets one, `<worker>-pr-<number>`, marked by its tags (API description:
//! "Tags associated with the Worker"), which are uploaded together with its files. A worker of that name without our tag is somebody else's.

use secrecy::SecretString;

use super::{WorkerSettings, WorkerTarget};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::cloudflare::endpoints::CloudflareEndpoints;
use crate::platform::{
    Artifact, Leftover, PlatformError, PlatformErrorKind, Preview, PreviewGround, PreviewOf, PreviewScope, PreviewsOf, Problem, Shown,
};
use crate::shutdown::Shutdown;

/// What the hostnames of all accounts end with.
const DEV: &str = ".workers.dev";
/// The longest label of a hostname.
const LABEL: usize = 63;

/// What a preview is shown with.
#[derive(Debug, Clone)]
pub struct WorkerPreviewSettings {
    /// The worker, as it is released; its public address means nothing here.
    pub site: WorkerSettings,
    /// Which preview.
    pub preview: PreviewOf,
    /// The account's name on `workers.dev`, with or without that ending: without a credential nothing tells it.
    pub subdomain: String,
}

/// A pull request's copy of a worker.
#[derive(Debug)]
pub struct WorkerPreview {
    /// The worker of its own.
    site: WorkerTarget,
    preview: PreviewOf,
    /// The account's name.
    subdomain: String,
}

impl WorkerPreview {
    /// Returns the preview; nothing is asked yet.
    pub fn new(settings: WorkerPreviewSettings, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let WorkerPreviewSettings { mut site, preview, subdomain } = settings;
        site.worker = preview.label(&site.worker, LABEL);
        site.url = None;
        let subdomain = subdomain.trim_end_matches(DEV).to_owned();
        Self { site: WorkerTarget::new(site, endpoints, token, transport), preview, subdomain }
    }

    fn unfinished(&self) -> PlatformError {
        self.site.error("preview", PlatformErrorKind::Impossible("previews of workers are not finished".to_owned()))
    }
}

impl Preview for WorkerPreview {
    fn name(&self) -> &Name {
        &self.site.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn thing(&self) -> &str {
        &self.site.settings.worker
    }

    fn address(&self) -> String {
        format!("https://{}.{}{DEV}", self.site.settings.worker, self.subdomain)
    }

    fn opening(&self) -> Vec<(String, String)> {
        self.site.opening()
    }

    async fn preflight(&self, _: &PreviewScope) -> Result<Vec<Problem>, PlatformError> {
        Err(self.unfinished())
    }

    async fn shown(&self, _: &PreviewScope) -> Result<Option<Shown>, PlatformError> {
        Err(self.unfinished())
    }

    async fn make(&self, _: &PreviewScope) -> Result<(), PlatformError> {
        Err(self.unfinished())
    }

    async fn show(&self, _: &PreviewScope, _: &Artifact) -> Result<Shown, PlatformError> {
        let _ = &self.preview;
        Err(self.unfinished())
    }
}

/// An account in which workers of previews stand.
#[derive(Debug)]
pub struct WorkersGround {
    account: WorkerTarget,
}

impl WorkersGround {
    /// Returns the ground; nothing is asked yet.
    pub fn new(account: impl Into<String>, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let target = Name::parse("ground").unwrap_or_else(|| unreachable!("a plain word is a name"));
        Self { account: WorkerTarget::new(WorkerSettings::new(target, String::new(), account), endpoints, token, transport) }
    }
}

impl PreviewGround for WorkersGround {
    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn place(&self) -> String {
        format!("workers of the account {}", self.account.settings.account)
    }

    async fn leftovers(&self, _: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        Err(self.account.error("preview", PlatformErrorKind::Impossible("previews of workers are not finished".to_owned())))
    }

    async fn remove(&self, _: &PreviewsOf, _: &Leftover, _: &Shutdown) -> Result<(), PlatformError> {
        Err(self.account.error("preview", PlatformErrorKind::Impossible("previews of workers are not finished".to_owned())))
    }
}
