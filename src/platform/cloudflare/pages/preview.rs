//! A pull request's copy of a project on Pages: the newest deployment of a branch of its own.
//!
//! The branch is `pr-<number>`, and the platform lets a hostname with its name lead to its newest deployment (cloudflare.md 4.1), so every push
//! shows at the same address. A branch of that name which somebody else deploys has deployments without our mark, and is left alone.

use secrecy::SecretString;

use super::{PagesSettings, PagesTarget};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::cloudflare::endpoints::CloudflareEndpoints;
use crate::platform::{
    Artifact, Leftover, PlatformError, PlatformErrorKind, Preview, PreviewGround, PreviewOf, PreviewScope, PreviewsOf, Problem, Shown,
};
use crate::shutdown::Shutdown;

/// What the hostnames of all projects end with.
const DEV: &str = ".pages.dev";

/// What a preview is shown with.
#[derive(Debug, Clone)]
pub struct PagesPreviewSettings {
    /// The project, as it is released; its public address and deadlines of moves mean nothing here.
    pub site: PagesSettings,
    /// Which preview.
    pub preview: PreviewOf,
    /// The project's name on `pages.dev`, with or without that ending; else the project's own, which somebody else may have had before
    /// (cloudflare.md 7.1).
    pub subdomain: Option<String>,
}

/// A pull request's copy of a project on Pages.
#[derive(Debug)]
pub struct PagesPreview {
    site: PagesTarget,
    preview: PreviewOf,
    branch: String,
    /// The project's hostname.
    subdomain: String,
    thing: String,
}

impl PagesPreview {
    /// Returns the preview; nothing is asked yet.
    pub fn new(settings: PagesPreviewSettings, endpoints: CloudflareEndpoints, token: SecretString, transport: Transport) -> Self {
        let PagesPreviewSettings { site, preview, subdomain } = settings;
        let name = subdomain.unwrap_or_else(|| site.project.clone());
        let subdomain = format!("{}{DEV}", name.trim_end_matches(DEV));
        let branch = format!("pr-{}", preview.pull_request);
        let thing = format!("{} ({branch})", site.project);
        Self { site: PagesTarget::new(site, endpoints, token, transport), preview, branch, subdomain, thing }
    }

    fn unfinished(&self) -> PlatformError {
        self.site.error("preview", PlatformErrorKind::Impossible("previews on Pages are not finished".to_owned()))
    }
}

impl Preview for PagesPreview {
    fn name(&self) -> &Name {
        &self.site.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn thing(&self) -> &str {
        &self.thing
    }

    fn address(&self) -> String {
        format!("https://{}.{}", self.branch, self.subdomain)
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

/// A project in which previews stand.
#[derive(Debug)]
pub struct PagesGround {
    site: PagesTarget,
}

impl PagesGround {
    /// Returns the ground; nothing is asked yet.
    pub fn new(
        project: impl Into<String>,
        account: impl Into<String>,
        endpoints: CloudflareEndpoints,
        token: SecretString,
        transport: Transport,
    ) -> Self {
        let target = Name::parse("ground").unwrap_or_else(|| unreachable!("a plain word is a name"));
        Self { site: PagesTarget::new(PagesSettings::new(target, project, account), endpoints, token, transport) }
    }
}

impl PreviewGround for PagesGround {
    fn platform(&self) -> Platform {
        Platform::Cloudflare
    }

    fn place(&self) -> String {
        format!("Pages project {} of the account {}", self.site.settings.project, self.site.settings.account)
    }

    async fn leftovers(&self, _: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        Err(self.site.error("preview", PlatformErrorKind::Impossible("previews on Pages are not finished".to_owned())))
    }

    async fn remove(&self, _: &PreviewsOf, _: &Leftover, _: &Shutdown) -> Result<(), PlatformError> {
        Err(self.site.error("preview", PlatformErrorKind::Impossible("previews on Pages are not finished".to_owned())))
    }
}
