//! A pull request's copy of a project on Vercel: a deployment without a target, which one hostname of ours leads to.
//!
//! Every push makes a deployment and moves the hostname to it once it is ready; what showed before is deleted after that. The hostname is on
//! `vercel.app` and of our own choosing, so that it is known before anything exists: `<product>-<target>-pr-<number>`, unless the manifest says
//! another beginning. Names there belong to whoever has them first, on the whole platform; one that leads to a deployment without our mark is somebody
//! else's.
//!
//! What is built elsewhere got its variables there, so nothing is set here.

use super::endpoints::VercelEndpoints;
use super::{VercelSettings, VercelTarget};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::{
    Artifact, Leftover, PlatformError, PlatformErrorKind, Preview, PreviewGround, PreviewOf, PreviewScope, PreviewsOf, Problem, Shown,
};
use crate::shutdown::Shutdown;
use secrecy::SecretString;

/// What all hostnames of previews end with.
const APP: &str = "vercel.app";
/// The longest label of a hostname.
const LABEL: usize = 63;

/// What a preview is shown with.
#[derive(Debug, Clone)]
pub struct VercelPreviewSettings {
    /// The project, as it is released; its public address, variables and deadlines of jobs mean nothing here.
    pub site: VercelSettings,
    /// Which preview.
    pub preview: PreviewOf,
    /// What its hostname begins with, before `-pr-<number>.vercel.app`; else the product's and the target's name.
    pub alias: Option<String>,
}

/// A pull request's copy of a project on Vercel.
#[derive(Debug)]
pub struct VercelPreview {
    site: VercelTarget,
    preview: PreviewOf,
    host: String,
}

impl VercelPreview {
    /// Returns the preview; nothing is asked yet.
    pub fn new(settings: VercelPreviewSettings, endpoints: VercelEndpoints, token: SecretString, transport: Transport) -> Self {
        let VercelPreviewSettings { site, preview, alias } = settings;
        let base = alias.unwrap_or_else(|| format!("{}-{}", preview.of.product, site.target));
        let host = format!("{}.{APP}", preview.label(&base, LABEL));
        Self { site: VercelTarget::new(site, endpoints, token, transport), preview, host }
    }

    fn unfinished(&self) -> PlatformError {
        self.site.error("preview", PlatformErrorKind::Impossible("previews on Vercel are not finished".to_owned()))
    }
}

impl Preview for VercelPreview {
    fn name(&self) -> &Name {
        &self.site.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Vercel
    }

    fn thing(&self) -> &str {
        &self.host
    }

    fn address(&self) -> String {
        format!("https://{}", self.host)
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
pub struct VercelGround {
    site: VercelTarget,
}

impl VercelGround {
    /// Returns the ground; nothing is asked yet. `team` is a team's id or slug, as for the project's target.
    pub fn new(
        project: impl Into<String>,
        team: Option<String>,
        endpoints: VercelEndpoints,
        token: SecretString,
        transport: Transport,
    ) -> Self {
        let target = Name::parse("ground").unwrap_or_else(|| unreachable!("a plain word is a name"));
        let settings = VercelSettings::new(target, project, team, super::VercelSource::Directory);
        Self { site: VercelTarget::new(settings, endpoints, token, transport) }
    }
}

impl PreviewGround for VercelGround {
    fn platform(&self) -> Platform {
        Platform::Vercel
    }

    fn place(&self) -> String {
        format!("project {}", self.site.settings.project)
    }

    async fn leftovers(&self, _: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        Err(self.site.error("preview", PlatformErrorKind::Impossible("previews on Vercel are not finished".to_owned())))
    }

    async fn remove(&self, _: &PreviewsOf, _: &Leftover, _: &Shutdown) -> Result<(), PlatformError> {
        Err(self.site.error("preview", PlatformErrorKind::Impossible("previews on Vercel are not finished".to_owned())))
    }
}
