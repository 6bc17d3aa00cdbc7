//! A pull request's copy of a project on Pages: the newest deployment of a branch of its own.
//!
//! The branch is `pr-<number>`, and the platform lets a hostname with its name lead to its newest deployment (cloudflare.md 4.1), so every push
//! shows at the same address. A branch of that name which somebody else deploys has deployments without our mark, and is left alone.

mod branch;
mod ground;
mod mark;
mod preflight;
mod showing;
mod standing;

use secrecy::SecretString;

pub use self::ground::PagesGround;
use super::{PagesSettings, PagesTarget};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::cloudflare::endpoints::CloudflareEndpoints;
use crate::platform::{Artifact, PlatformError, Preview, PreviewOf, PreviewScope, Problem, Shown};

/// Why a preview is made of files alone.
const ONLY_DIRECTORIES: &str = "A preview on Pages shows a directory: what Cloudflare builds from the repository it previews by itself.";
/// What to do about a production branch that is called like a preview's.
const BRANCH_HINT: &str = "set another production branch";
/// What to do about deployments of others on the preview's branch.
const TAKEN_HINT: &str = "delete those deployments, or release from another project";

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

    fn address_text(&self) -> String {
        format!("https://{}.{}", self.branch, self.subdomain)
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
        self.address_text()
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

    /// The place is the target's own project.
    async fn make(&self, _: &PreviewScope) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        self.show_artifact(scope, artifact).await
    }
}
