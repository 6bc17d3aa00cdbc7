//! A pull request's copy of a worker: a worker of its own, which answers below the account's name on workers.dev.
//!
//! A version cannot be removed by any call, a worker can: so every pull request gets one, `<worker>-pr-<number>`, marked by its tags (API description:
//! "Tags associated with the Worker"), which are uploaded together with its files. A worker of that name without our tag is somebody else's.

mod ground;
mod mark;
mod preflight;
mod showing;

use secrecy::SecretString;

pub use self::ground::WorkersGround;
use super::{WorkerSettings, WorkerTarget};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::cloudflare::endpoints::CloudflareEndpoints;
use crate::platform::{Artifact, PlatformError, Preview, PreviewOf, PreviewScope, Problem, Shown};

/// What to do about a worker of others with the preview's name.
const TAKEN_HINT: &str = "remove that worker, or call the target's worker otherwise";

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
    /// The released worker's name.
    base: String,
    /// The account's name.
    subdomain: String,
}

impl WorkerPreview {
    /// Returns the preview; nothing is asked yet.
    pub fn new(settings: WorkerPreviewSettings, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let WorkerPreviewSettings { mut site, preview, subdomain } = settings;
        let base = std::mem::take(&mut site.worker);
        site.worker = preview.label(&base, LABEL);
        site.url = None;
        let subdomain = subdomain.trim_end_matches(DEV).to_owned();
        Self { site: WorkerTarget::new(site, endpoints, token, transport), preview, base, subdomain }
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
        self.problems().await
    }

    async fn shown(&self, _: &PreviewScope) -> Result<Option<Shown>, PlatformError> {
        self.shown_now().await
    }

    /// A worker is made together with its first files.
    async fn make(&self, _: &PreviewScope) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        self.show_artifact(scope, artifact).await
    }
}
