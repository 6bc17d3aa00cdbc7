//! A preview, and a ground of previews, on any platform.

use crate::http::Platform;
use crate::id::Name;
use crate::platform::cloudflare::pages::preview::{PagesGround, PagesPreview};
use crate::platform::cloudflare::workers::preview::{WorkerPreview, WorkersGround};
use crate::platform::fly::{FlyGround, FlyPreview};
use crate::platform::vercel::preview::{VercelGround, VercelPreview};
use crate::platform::{Artifact, Leftover, PlatformError, Preview, PreviewGround, PreviewScope, PreviewsOf, Problem, Shown};
use crate::shutdown::Shutdown;

/// A preview on any platform.
#[derive(Debug)]
pub enum AnyPreview {
    /// An app on Fly.io.
    Fly(Box<FlyPreview>),
    /// A deployment of a project on Vercel.
    Vercel(Box<VercelPreview>),
    /// A branch of a project on Cloudflare Pages.
    Pages(Box<PagesPreview>),
    /// A worker on Cloudflare of its own.
    Worker(Box<WorkerPreview>),
}

/// A ground of previews on any platform.
#[derive(Debug)]
pub enum AnyGround {
    /// An organisation on Fly.io.
    Fly(Box<FlyGround>),
    /// A project on Vercel.
    Vercel(Box<VercelGround>),
    /// A project on Cloudflare Pages.
    Pages(Box<PagesGround>),
    /// The workers of an account on Cloudflare.
    Workers(Box<WorkersGround>),
}

/// Calls the same method on whichever preview it is.
macro_rules! each {
    ($self:expr, $preview:ident => $body:expr) => {
        match $self {
            AnyPreview::Fly($preview) => $body,
            AnyPreview::Vercel($preview) => $body,
            AnyPreview::Pages($preview) => $body,
            AnyPreview::Worker($preview) => $body,
        }
    };
}

impl Preview for AnyPreview {
    fn name(&self) -> &Name {
        each!(self, preview => preview.name())
    }
    fn platform(&self) -> Platform {
        each!(self, preview => preview.platform())
    }
    fn thing(&self) -> &str {
        each!(self, preview => preview.thing())
    }
    fn address(&self) -> String {
        each!(self, preview => preview.address())
    }
    fn answers(&self) -> bool {
        each!(self, preview => preview.answers())
    }
    fn opening(&self) -> Vec<(String, String)> {
        each!(self, preview => preview.opening())
    }
    async fn preflight(&self, scope: &PreviewScope) -> Result<Vec<Problem>, PlatformError> {
        each!(self, preview => preview.preflight(scope).await)
    }
    async fn shown(&self, scope: &PreviewScope) -> Result<Option<Shown>, PlatformError> {
        each!(self, preview => preview.shown(scope).await)
    }
    async fn make(&self, scope: &PreviewScope) -> Result<(), PlatformError> {
        each!(self, preview => preview.make(scope).await)
    }
    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        each!(self, preview => preview.show(scope, artifact).await)
    }
}

/// Calls the same method on whichever ground it is.
macro_rules! each_ground {
    ($self:expr, $ground:ident => $body:expr) => {
        match $self {
            AnyGround::Fly($ground) => $body,
            AnyGround::Vercel($ground) => $body,
            AnyGround::Pages($ground) => $body,
            AnyGround::Workers($ground) => $body,
        }
    };
}

impl PreviewGround for AnyGround {
    fn platform(&self) -> Platform {
        each_ground!(self, ground => ground.platform())
    }
    fn place(&self) -> String {
        each_ground!(self, ground => ground.place())
    }
    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError> {
        each_ground!(self, ground => ground.leftovers(previews).await)
    }
    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover, shutdown: &Shutdown) -> Result<(), PlatformError> {
        each_ground!(self, ground => ground.remove(previews, leftover, shutdown).await)
    }
}
