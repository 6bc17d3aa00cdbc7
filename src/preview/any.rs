//! A preview, and a ground of previews, on any platform.

use crate::http::Platform;
use crate::id::Name;
use crate::platform::fly::{FlyGround, FlyPreview};
use crate::platform::{Artifact, Leftover, PlatformError, Preview, PreviewGround, PreviewScope, PreviewsOf, Problem, Shown};
use crate::shutdown::Shutdown;

/// A preview on any platform.
#[derive(Debug)]
pub enum AnyPreview {
    /// An app on Fly.io.
    Fly(Box<FlyPreview>),
}

/// A ground of previews on any platform.
#[derive(Debug)]
pub enum AnyGround {
    /// An organisation on Fly.io.
    Fly(Box<FlyGround>),
}

/// Calls the same method on whichever preview it is.
macro_rules! each {
    ($self:expr, $preview:ident => $body:expr) => {
        match $self {
            AnyPreview::Fly($preview) => $body,
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
