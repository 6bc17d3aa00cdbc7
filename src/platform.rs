//! What a platform can be asked to do with one target.
//!
//! There is no "deploy" and no "rollback" here. A target can be told to *serve this revision*, and that call is idempotent: cutting over,
//! going back and recovering are the same call with another revision. What differs per platform is data ([`Capabilities`]), printed by
//! `cutover plan` before anything runs.

pub mod cloudflare;
mod errand;
mod error;
pub mod fly;
mod hostname;
mod migration;
mod preview;
mod revision;
mod secret;
mod target;
mod turn;
pub mod vercel;

pub(crate) use errand::Errand;
pub use error::{PlatformError, PlatformErrorKind};
pub use hostname::{Attached, Leading, RecordKind};
pub use migration::{Migration, MigrationEnd, MigrationResult, Snapshot};
pub use preview::{Leftover, Preview, PreviewGround, PreviewOf, PreviewScope, PreviewsOf, Shown};
pub use revision::{Content, Differences, Observed, Reach, Revision, RevisionDigest, Settings, Unfinished, Weighted};
pub use secret::{KnownSecret, NamedSecret, SecretChange};
pub use target::{AnyTarget, Artifact, AskedFrom, Back, Capabilities, Health, PlainGet, Preparation, Problem, Scope, Target};
pub use turn::{Changes, Turn};
