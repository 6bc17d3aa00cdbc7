//! The trait that every platform implements, and the value that a release holds for each of its targets.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cloudflare::pages::PagesTarget;
use super::cloudflare::workers::WorkerTarget;
pub use super::error::Problem;
use super::fly::FlyTarget;
use super::vercel::VercelTarget;
use super::{
    Changes, Differences, KnownSecret, Leading, Migration, MigrationEnd, MigrationResult, NamedSecret, Observed, PlatformError,
    PlatformErrorKind, Reach, Revision, SecretChange, Settings, Snapshot, Turn,
};
use crate::event::{EventKind, Events, Phase};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};
use crate::shutdown::Shutdown;

/// What a call into a target belongs to, and by what it is ended.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The product.
    pub product: Name,
    /// The environment.
    pub environment: Name,
    /// The release; stamped on all that is made.
    pub release: ReleaseId,
    /// The git commit.
    pub commit: String,
    /// The phase, for events.
    pub phase: Phase,
    /// Where steps are told.
    pub events: Events,
    /// Ends waits: at `Drain` no *new* change forward is begun and waits end with `Cancelled`. The way back is given a fresh one.
    pub shutdown: Shutdown,
    /// Where calls that change users' traffic are noted.
    pub changes: Changes,
    /// When such calls may begin.
    pub turn: Turn,
    /// What a target that is told to serve something may serve until then: anything else is somebody's act, and stays. `None` asks nothing.
    pub expected: Option<Vec<Revision>>,
}

impl Scope {
    /// Tells what a target does now.
    pub fn step(&self, target: &Name, step: impl Into<String>) {
        self.events.emit(EventKind::TargetStep { target: target.clone(), phase: self.phase, step: step.into() });
    }
}

/// What a release ships to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Artifact {
    /// An image in the registry from which the platform pulls, by digest.
    Image {
        /// `registry/repository@sha256:…`.
        reference: String,
        /// `sha256:…` as the registry confirmed it.
        digest: String,
        /// Whether it stands for an image that nobody built (rehearsal without an engine).
        stand_in: bool,
    },
    /// A directory of files on this machine.
    Directory {
        /// Where it is.
        path: PathBuf,
        /// `sha256:…` of its file manifest.
        digest: String,
    },
    /// A commit that the platform builds itself (Vercel's git-source deployments and deploy hooks).
    Commit {
        /// The full commit id.
        sha: String,
        /// The branch it is on.
        branch: String,
    },
}

impl Artifact {
    /// Returns the identity of what is shipped.
    pub fn digest(&self) -> &str {
        match self {
            Self::Image { digest, .. } | Self::Directory { digest, .. } => digest,
            Self::Commit { sha, .. } => sha,
        }
    }
}

/// A plain GET of the manifest that a platform's own checks can ask of a prepared revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainGet {
    /// The path, beginning with `/`.
    pub path: String,
}

/// How far a revision can be prepared out of users' sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preparation {
    /// It runs, and nobody gets it.
    Fully,
    /// One machine of it runs for a moment, and nobody gets it; the rest runs only when it serves.
    Tried,
    /// It is uploaded, and runs only when it serves.
    UploadedOnly,
    /// Nothing can be done before it serves.
    NotAtAll,
}

/// From where a prepared revision can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskedFrom {
    /// It has an address of its own.
    Public,
    /// Only the platform's own checks reach it.
    PlatformChecks,
    /// Nothing reaches it.
    Nowhere,
}

/// How what served before comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    /// It is still there and is switched to.
    Instantly,
    /// It is made again.
    ByRedeploy,
    /// It does not.
    NotAtAll,
}

/// What a target can do; data, so that the plan can print it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capabilities {
    /// How far it can be prepared.
    pub prepare: Preparation,
    /// From where the prepared revision can be asked.
    pub asked_from: AskedFrom,
    /// How it comes back.
    pub back: Back,
    /// Why requests may fail while it cuts over; `None` when none may.
    pub gap: Option<String>,
    /// Whether it can go back to serving nothing.
    pub unserve: bool,
    /// The settings that change as a side effect and are restored.
    pub side_effects: Vec<String>,
}

/// The platform's own word on a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Every check that the platform makes passes.
    Healthy,
    /// No word yet: zero check results is not healthy.
    Unknown(String),
    /// It crashed, or its checks say so; with reasons.
    Unhealthy(String),
}

/// One thing on a platform. Every verb is idempotent, bounded in time and ended by the scope's shutdown.
#[expect(async_fn_in_trait, reason = "used through the concrete enum below, whose futures' auto traits the compiler sees")]
pub trait Target {
    /// Returns its name in the manifest.
    fn name(&self) -> &Name;
    /// Returns its platform.
    fn platform(&self) -> Platform;
    /// Returns what it is called there: the app, the project.
    fn thing(&self) -> &str;
    /// Returns what it can do, with its present settings.
    fn capabilities(&self) -> Capabilities;
    /// Returns its public address, if it has one.
    fn public_url(&self) -> Option<String>;

    /// Reads what a release needs to be allowed: credentials and their scope, secrets by name, the platform's settings that stand in the way.
    /// Changes nothing. An unusable credential or a missing app is an `Err`; everything else is a list, so that all is told at once.
    async fn preflight(&self, scope: &Scope) -> Result<Vec<Problem>, PlatformError>;

    /// Returns what serves users now, our unfinished jobs, and the settings that a release would disturb.
    async fn observe(&self, scope: &Scope) -> Result<Observed, PlatformError>;

    /// Returns the digest that `artifact` would have as a revision with today's settings; changes nothing. `before` is what serves.
    async fn digest_of(&self, artifact: &Artifact, before: &Observed) -> Result<super::RevisionDigest, PlatformError>;

    /// Makes the revision exist without any user seeing it, stamped with the release's id; called again it finds its own work. What the
    /// platform's own checks shall ask besides its own is in `gets`.
    async fn prepare(&self, scope: &Scope, artifact: &Artifact, before: &Observed, gets: &[PlainGet]) -> Result<Revision, PlatformError>;

    /// Returns the platform's own word on the revision's health, at once.
    async fn probe(&self, scope: &Scope, revision: &Revision) -> Result<Health, PlatformError>;

    /// Returns the address at which a prepared revision can be asked before it serves, with headers that open its protection.
    fn prepared_url(&self, revision: &Revision) -> Option<(String, Vec<(String, String)>)>;

    /// Waits out or cancels unfinished jobs of ours, then gives all users this revision; returns what is observed afterwards.
    async fn serve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError>;

    /// Goes back to serving nothing, where the platform can.
    async fn unserve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError>;

    /// Removes exactly these revisions, each read again and matched against product, environment and release just before. Gone already is done.
    async fn prune(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError>;

    /// Lets a revision that users do not get any more stay for a while, ready to serve again: what it does beside serving ends, and can begin
    /// again. Returns what it costs a month meanwhile, in US dollars, where that is known. Idempotent.
    async fn keep(&self, _scope: &Scope, _revision: &Revision) -> Result<Option<f64>, PlatformError> {
        Ok(None)
    }

    /// Puts back settings as `observe` saved them.
    async fn restore(&self, scope: &Scope, settings: &Settings) -> Result<(), PlatformError>;

    /// Returns in which respects a revision that serves differs from the one that a release left here; pure.
    fn differences(&self, recorded: &Revision, found: &Revision) -> Differences {
        Differences::of(recorded, found)
    }

    /// Returns how the target is reached without the manifest.
    fn reach(&self) -> Reach;

    /// Returns what a revision was made of, as far as it can be shipped once more after the platform has removed it.
    fn artifact_of(&self, _revision: &Revision) -> Option<Artifact> {
        None
    }

    /// Returns what must run once on a new artifact before what needs its schema is prepared; `None` where nothing must.
    fn migration(&self) -> Option<Migration> {
        None
    }

    /// Takes a snapshot of everything that the migration may change, as far as the manifest names it, and waits until each is complete.
    async fn snapshot(&self, _scope: &Scope) -> Result<Vec<Snapshot>, PlatformError> {
        Ok(Vec::new())
    }

    /// Runs the migration on the new artifact and waits for its end; called again for the same release it finds the one that runs, and never
    /// begins a second. What it ended with is an answer, not an error.
    async fn migrate(&self, _scope: &Scope, _artifact: &Artifact, _before: &Observed) -> Result<MigrationResult, PlatformError> {
        let none = PlatformErrorKind::Impossible("this platform runs no migration".to_owned());
        Err(PlatformError::new(self.platform(), "migrate", self.thing(), none))
    }

    /// Finds the migration that a release began here, waits for its end and makes sure that it will not begin any more; begins none itself.
    async fn settle_migration(&self, _scope: &Scope, _migration: &Migration) -> Result<MigrationEnd, PlatformError> {
        Ok(MigrationEnd::NeverRan)
    }

    /// Returns the secrets that the manifest names for it; pure, and no value is in it.
    fn secrets(&self) -> Vec<NamedSecret> {
        Vec::new()
    }

    /// Returns the secrets that a release must set: those of which this run has a value that is not surely there already, by what an earlier
    /// release left (`known`) and what the platform lists now. Changes nothing.
    async fn secret_changes(&self, _known: &[KnownSecret]) -> Result<Vec<SecretChange>, PlatformError> {
        Ok(Vec::new())
    }

    /// Sets these secrets, all in one call; set already is done. Machines made or changed afterwards by this value wait until they see them.
    async fn set_secrets(&self, _scope: &Scope, _changes: &[SecretChange]) -> Result<Vec<KnownSecret>, PlatformError> {
        Ok(Vec::new())
    }

    /// Returns the names of those secrets whose value on the platform is another than before they were to be set.
    async fn landed_secrets(&self, _changes: &[SecretChange]) -> Result<Vec<String>, PlatformError> {
        Ok(Vec::new())
    }

    /// Returns by which DNS records a hostname leads here, and whether the platform answers for it; `None` where the platform does not say.
    async fn leading(&self, _host: &str) -> Result<Option<Leading>, PlatformError> {
        Ok(None)
    }

    /// Returns whether [`Target::attach`] can do anything here.
    fn attaches(&self) -> bool {
        false
    }

    /// Makes the platform answer for a hostname; attached already is done. Its record may be made only afterwards.
    async fn attach(&self, _scope: &Scope, host: &str) -> Result<(), PlatformError> {
        let none = PlatformErrorKind::Impossible(format!("{host} is attached by a person on this platform"));
        Err(PlatformError::new(self.platform(), "attach", self.thing(), none))
    }

    /// Ends what belongs to one release on this target whatever phase it was in (leases, keep-alives); never fails the release.
    async fn release_holds(&self, scope: &Scope);
}

/// A target of any platform.
#[derive(Debug)]
pub enum AnyTarget {
    /// An app on Fly.io.
    Fly(Box<FlyTarget>),
    /// A project on Vercel.
    Vercel(Box<VercelTarget>),
    /// A project on Cloudflare Pages.
    Pages(Box<PagesTarget>),
    /// A worker on Cloudflare that serves static assets.
    Worker(Box<WorkerTarget>),
}

/// Calls the same method on whichever target it is.
macro_rules! each {
    ($self:expr, $target:ident => $body:expr) => {
        match $self {
            AnyTarget::Fly($target) => $body,
            AnyTarget::Vercel($target) => $body,
            AnyTarget::Pages($target) => $body,
            AnyTarget::Worker($target) => $body,
        }
    };
}

impl Target for AnyTarget {
    fn name(&self) -> &Name {
        each!(self, target => target.name())
    }
    fn platform(&self) -> Platform {
        each!(self, target => target.platform())
    }
    fn thing(&self) -> &str {
        each!(self, target => target.thing())
    }
    fn capabilities(&self) -> Capabilities {
        each!(self, target => target.capabilities())
    }
    fn public_url(&self) -> Option<String> {
        each!(self, target => target.public_url())
    }
    async fn preflight(&self, scope: &Scope) -> Result<Vec<Problem>, PlatformError> {
        each!(self, target => target.preflight(scope).await)
    }
    async fn observe(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        each!(self, target => target.observe(scope).await)
    }
    async fn digest_of(&self, artifact: &Artifact, before: &Observed) -> Result<super::RevisionDigest, PlatformError> {
        each!(self, target => target.digest_of(artifact, before).await)
    }
    async fn prepare(&self, scope: &Scope, artifact: &Artifact, before: &Observed, gets: &[PlainGet]) -> Result<Revision, PlatformError> {
        each!(self, target => target.prepare(scope, artifact, before, gets).await)
    }
    async fn probe(&self, scope: &Scope, revision: &Revision) -> Result<Health, PlatformError> {
        each!(self, target => target.probe(scope, revision).await)
    }
    fn prepared_url(&self, revision: &Revision) -> Option<(String, Vec<(String, String)>)> {
        each!(self, target => target.prepared_url(revision))
    }
    async fn serve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        each!(self, target => target.serve(scope, revision).await)
    }
    async fn unserve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        each!(self, target => target.unserve(scope, revision).await)
    }
    async fn prune(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        each!(self, target => target.prune(scope, revisions).await)
    }
    async fn keep(&self, scope: &Scope, revision: &Revision) -> Result<Option<f64>, PlatformError> {
        each!(self, target => target.keep(scope, revision).await)
    }
    async fn restore(&self, scope: &Scope, settings: &Settings) -> Result<(), PlatformError> {
        each!(self, target => target.restore(scope, settings).await)
    }
    fn differences(&self, recorded: &Revision, found: &Revision) -> Differences {
        each!(self, target => target.differences(recorded, found))
    }
    fn reach(&self) -> Reach {
        each!(self, target => target.reach())
    }
    fn artifact_of(&self, revision: &Revision) -> Option<Artifact> {
        each!(self, target => target.artifact_of(revision))
    }
    fn migration(&self) -> Option<Migration> {
        each!(self, target => target.migration())
    }
    async fn snapshot(&self, scope: &Scope) -> Result<Vec<Snapshot>, PlatformError> {
        each!(self, target => target.snapshot(scope).await)
    }
    async fn migrate(&self, scope: &Scope, artifact: &Artifact, before: &Observed) -> Result<MigrationResult, PlatformError> {
        each!(self, target => target.migrate(scope, artifact, before).await)
    }
    async fn settle_migration(&self, scope: &Scope, migration: &Migration) -> Result<MigrationEnd, PlatformError> {
        each!(self, target => target.settle_migration(scope, migration).await)
    }
    fn secrets(&self) -> Vec<NamedSecret> {
        each!(self, target => target.secrets())
    }
    async fn secret_changes(&self, known: &[KnownSecret]) -> Result<Vec<SecretChange>, PlatformError> {
        each!(self, target => target.secret_changes(known).await)
    }
    async fn set_secrets(&self, scope: &Scope, changes: &[SecretChange]) -> Result<Vec<KnownSecret>, PlatformError> {
        each!(self, target => target.set_secrets(scope, changes).await)
    }
    async fn landed_secrets(&self, changes: &[SecretChange]) -> Result<Vec<String>, PlatformError> {
        each!(self, target => target.landed_secrets(changes).await)
    }
    async fn leading(&self, host: &str) -> Result<Option<Leading>, PlatformError> {
        each!(self, target => target.leading(host).await)
    }
    fn attaches(&self) -> bool {
        each!(self, target => target.attaches())
    }
    async fn attach(&self, scope: &Scope, host: &str) -> Result<(), PlatformError> {
        each!(self, target => target.attach(scope, host).await)
    }
    async fn release_holds(&self, scope: &Scope) {
        each!(self, target => target.release_holds(scope).await);
    }
}
