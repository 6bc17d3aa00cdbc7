//! A pull request's copy of a project on Vercel: a deployment without a target, which one hostname of ours leads to.
//!
//! Every push makes a deployment and moves the hostname to it once it is ready; what showed before is deleted after that. The hostname is on
//! `vercel.app` and of our own choosing, so that it is known before anything exists: `<product>-<target>-pr-<number>`, unless the manifest says
//! another beginning. Names there belong to whoever has them first, on the whole platform; one that leads to a deployment without our mark is somebody
//! else's.
//!
//! What is built elsewhere got its variables there, so nothing is set here.

mod ground;
mod hostname;
mod mark;
mod preflight;
mod showing;
mod standing;

use secrecy::SecretString;

pub use self::ground::VercelGround;
use super::endpoints::VercelEndpoints;
use super::{VercelSettings, VercelTarget};
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::platform::{Artifact, PlatformError, Preview, PreviewOf, PreviewScope, Problem, Shown};

/// Why a preview is made of files alone.
const ONLY_DIRECTORIES: &str = "A preview on Vercel shows a directory: what Vercel builds from the repository it previews by itself.";
/// What to do about a project that never served.
const FIRST_HINT: &str = "release it to production once; previews begin after that";

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
}

/// Returns why a project that never served gets no preview.
fn first(project: &str) -> String {
    format!("The project {project} has no production deployment, and Vercel makes a project's first deployment its production.")
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

    fn opening(&self) -> Vec<(String, String)> {
        self.site.bypass()
    }

    async fn preflight(&self, scope: &PreviewScope) -> Result<Vec<Problem>, PlatformError> {
        self.problems(scope).await
    }

    async fn shown(&self, scope: &PreviewScope) -> Result<Option<Shown>, PlatformError> {
        self.shown_now(scope).await
    }

    /// The place is the target's own project.
    async fn make(&self, _: &PreviewScope) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        self.show_artifact(scope, artifact).await
    }
}
