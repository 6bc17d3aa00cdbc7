//! A working copy of a target for one pull request: made, shown a commit, and removed.
//!
//! A preview is no release. Nobody depends on it, so it has no journal, no lock and no way back: pushing again shows the newer commit in place,
//! and what it is of stands in the platforms' own stamps ([`PreviewOf::mark`]). By that mark alone things are found again and removed; a thing of
//! the right name without it is somebody else's, and is neither shown on nor removed.
//!
//! Two traits: a [`Preview`] is one target's copy for one pull request; a [`PreviewGround`] is the place where all copies of a kind stand, which can
//! be asked for every one that is there, whatever a manifest says today.

use super::{Artifact, PlatformError, Problem, RevisionDigest};
use crate::event::{EventKind, Events, Phase};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};
use crate::shutdown::Shutdown;

/// Whose previews: those of one product in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewsOf {
    /// The product.
    pub product: Name,
    /// GitHub's number of the repository, which stays when it is renamed. Two repositories may call their products alike.
    pub repository: u64,
}

/// Which preview: of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewOf {
    /// Whose.
    pub of: PreviewsOf,
    /// The pull request.
    pub pull_request: u64,
}

impl PreviewsOf {
    /// Returns how every mark of theirs begins.
    pub fn prefix(&self) -> String {
        format!("cutover-{}-{}-pr-", self.product, self.repository)
    }

    /// Returns the pull request whose preview bears `mark`; `None` where it is not one of these.
    pub fn pull_request(&self, mark: &str) -> Option<u64> {
        let number = mark.strip_prefix(self.prefix().as_str())?;
        let plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| number.parse().ok()).flatten()
    }
}

impl PreviewOf {
    /// Returns the mark that everything of this preview bears: `cutover-<product>-<repository>-pr-<number>`, in a-z, 0-9, `-` and `_`.
    pub fn mark(&self) -> String {
        format!("{}{}", self.of.prefix(), self.pull_request)
    }

    /// Returns a label of a hostname for this preview of the thing called `base`: `<base>-pr-<number>`, in a-z, 0-9 and `-`, at most `longest`
    /// characters. The same for every push; of a long `base` the beginning and a digest of the whole are kept.
    pub fn label(&self, base: &str, longest: usize) -> String {
        let plain: String = base.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let end = format!("-pr-{}", self.pull_request);
        let room = longest.saturating_sub(end.len());
        if plain.len() <= room {
            return format!("{plain}{end}");
        }
        let digest = crate::image::Digest::of(base.as_bytes());
        let word: String = digest.hex().chars().take(6).collect();
        let kept = plain.get(..room.saturating_sub(word.len() + 1)).unwrap_or_default();
        format!("{kept}-{word}{end}")
    }
}

/// What a call on a preview belongs to, and by what it is ended.
#[derive(Debug, Clone)]
pub struct PreviewScope {
    /// Which preview.
    pub preview: PreviewOf,
    /// The environment of the manifest that previews pull requests.
    pub environment: Name,
    /// The head commit that is shown.
    pub commit: String,
    /// The id of this showing: what it makes is found by it when a call is repeated.
    pub release: ReleaseId,
    /// The phase, for events.
    pub phase: Phase,
    /// Where steps are told.
    pub events: Events,
    /// Ends waits: from `Drain` on no new change is begun and waits end with `Cancelled`.
    pub shutdown: Shutdown,
}

impl PreviewScope {
    /// Tells what a target does now.
    pub fn step(&self, target: &Name, step: impl Into<String>) {
        self.events.emit(EventKind::TargetStep { target: target.clone(), phase: self.phase, step: step.into() });
    }
}

/// What a preview shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The commit that it was made of, where its stamps say so.
    pub commit: Option<String>,
    /// The digest of what is shown, which checks may ask for (`equals: revision`); `None` where the platform keeps none.
    pub revision: Option<RevisionDigest>,
}

/// A target's copy for one pull request. Every verb is idempotent, bounded in time and ended by the scope's shutdown.
#[expect(async_fn_in_trait, reason = "used through a concrete enum, whose futures' auto traits the compiler sees")]
pub trait Preview {
    /// Returns its name in the manifest.
    fn name(&self) -> &Name;
    /// Returns its platform.
    fn platform(&self) -> Platform;
    /// Returns what the copy is called there: the app, the project and its branch.
    fn thing(&self) -> &str;
    /// Returns its public address, `https://host` without a path: the same for every push, and known before anything exists and without a
    /// credential, because other targets are built with it.
    fn address(&self) -> String;
    /// Returns whether anybody answers at that address: an app of workers alone has none who would.
    fn answers(&self) -> bool {
        true
    }
    /// Returns the headers that open its protection, where it has any and this run has what opens it.
    fn opening(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Reads what must be right before anything is made: the credential and what it can see, the place where the copy will stand, that the address will
    /// be its own. Changes nothing. An unusable credential is an `Err`; everything else is a list.
    async fn preflight(&self, scope: &PreviewScope) -> Result<Vec<Problem>, PlatformError>;

    /// Returns what it shows now; `None` where it is not there, or shows nothing.
    async fn shown(&self, scope: &PreviewScope) -> Result<Option<Shown>, PlatformError>;

    /// Makes the place exist that the copy stands in, marked as ours: an app, a script. There already is done. Nothing where the place is
    /// the target's own project.
    async fn make(&self, scope: &PreviewScope) -> Result<(), PlatformError>;

    /// Shows an artifact at the address, and waits until the platform says that it does.
    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError>;
}

/// One thing of ours on a platform that belongs to a preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The platform.
    pub platform: Platform,
    /// The pull request whose preview it is.
    pub pull_request: u64,
    /// What it is called for people: "app shop-pr-7", "4 deployments of pr-7 in project shop".
    pub thing: String,
    /// How the ground finds it again; the oldest first where it is several.
    pub ids: Vec<String>,
}

/// A place where previews stand: an organisation, a project.
#[expect(async_fn_in_trait, reason = "used through a concrete enum, whose futures' auto traits the compiler sees")]
pub trait PreviewGround {
    /// Returns its platform.
    fn platform(&self) -> Platform;
    /// Returns what it is, for people: "organisation shop-previews", "project shop". Grounds of equal names on one platform are the same.
    fn place(&self) -> String;
    /// Returns everything of these previews that stands there, whatever their pull requests are. The listing is complete or an `Err`: an answer cut
    /// short would leave things for ever.
    async fn leftovers(&self, previews: &PreviewsOf) -> Result<Vec<Leftover>, PlatformError>;
    /// Removes one thing, reading its marks again just before; gone already, or somebody else's by now, is done. Ended by `shutdown`.
    async fn remove(&self, previews: &PreviewsOf, leftover: &Leftover, shutdown: &Shutdown) -> Result<(), PlatformError>;
}
