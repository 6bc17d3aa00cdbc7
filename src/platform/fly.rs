//! An app on Fly.io, by its Machines API and without flyctl.
//!
//! With `bluegreen` a release makes new machines beside the old ones, cordoned from birth; Fly's own checks and the manifest's plain GETs
//! judge them; then they are registered and the old ones are cordoned, alive until the release is over. With `rolling` each machine
//! becomes the new revision in place, under a lease and against its expected version. Either way back is the same convergence with another
//! revision (see [`serving`]). Source of every protocol fact: the Fly reference, tagged by its sections.

pub mod addresses;
mod api;
pub mod bill;
mod canary;
mod changing;
mod client;
mod content;
pub mod cost;
mod differing;
pub mod endpoints;
mod feasible;
mod fleet;
mod health;
mod hints;
mod hostnames;
pub mod inspect;
mod keeping;
mod leasing;
pub mod live;
pub mod macaroon;
pub mod machine_config;
mod migrating;
mod moves;
mod msgpack;
mod observing;
mod permission;
mod preflight;
mod preparing;
mod preview;
pub mod prices;
mod pruning;
mod rendering;
mod secrets;
mod serving;
mod slots;
mod snapshotting;
mod stamp;
pub mod token;
pub mod toml;
pub mod updates;
mod volumes;
mod watching;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use self::client::{FlyClient, TOKEN_HINT};
pub use self::endpoints::FlyEndpoints;
use self::fleet::Fleet;
pub use self::preview::{FlyGround, FlyPreview, FlyPreviewSettings};
pub use self::snapshotting::FlyDatabase;
use self::token::FlyToken;
use self::toml::{FlyConfig, Strategy};
use self::wire::ReleaseRecord;
use super::{
    Artifact, AskedFrom, Back, Capabilities, Differences, Health, KnownSecret, Leading, Migration, MigrationEnd, MigrationResult,
    NamedSecret, Observed, PlainGet, PlatformError, PlatformErrorKind, Preparation, Problem, Reach, Revision, RevisionDigest, Scope,
    SecretChange, Settings, Snapshot, Target,
};
use crate::event::Phase;
use crate::http::{Platform, Transport};
use crate::id::Name;
use crate::shutdown::Level;

/// How many machines are worked on at once; flyctl lowered its own default to this for Fly's limits (fly.md 20).
const CONCURRENCY: usize = 8;
/// Time between two looks at what no call can wait for; lists may be read once a second.
const POLL: Duration = Duration::from_secs(1);
/// How long a machine just created may be missing in what is read (fly.md 20: a second or so).
const READ_LAG: Duration = Duration::from_secs(3);
/// How long a machine is looked for after a lost answer, before its creation is repeated: longer than [`READ_LAG`].
const LOOKUP_WINDOW: Duration = Duration::from_secs(5);

/// Returns so many machines, as a person says it.
fn in_number(machines: usize) -> String {
    if machines == 1 { "1 machine".to_owned() } else { format!("{machines} machines") }
}

/// What an app is released with.
#[derive(Debug, Clone)]
pub struct FlySettings {
    /// The target's name in the manifest.
    pub target: Name,
    /// The app.
    pub app: String,
    /// Its `fly.toml`, files loaded.
    pub config: FlyConfig,
    /// The strategy, where the manifest wants another than `fly.toml`.
    pub strategy: Option<Strategy>,
    /// The secrets that must exist, by name.
    pub secrets: Vec<String>,
    /// The values that this run has for some of them.
    pub secret_values: BTreeMap<String, SecretString>,
    /// Digests of those values under the token as key, by name: they are part of the revision. Made by [`FlyTarget::new`].
    pub secret_digests: BTreeMap<String, String>,
    /// Those with whose changed value what serves before works as well.
    pub compatible_secrets: BTreeSet<String>,
    /// How long machines may take to be well; `fly.toml`'s `wait_timeout`, else [`FlySettings::WAIT_DEADLINE`].
    pub wait_deadline: Option<Duration>,
    /// How long a machine stays alive after it was cordoned; else [`FlySettings::DRAIN_MARGIN`].
    pub drain_margin: Option<Duration>,
    /// How long a machine without any check must stay up before it counts as well; else [`FlySettings::SMOKE_MARGIN`].
    pub smoke_margin: Option<Duration>,
    /// The public address, where it is another than `https://APP.fly.dev/`.
    pub public_url: Option<String>,
    /// Whether a first release makes two machines of a group with services, and a standby of one without, as flyctl does.
    pub high_availability: bool,
    /// Whether machines without services move before those that users reach; they follow them otherwise. The way back is the same the other way.
    pub workers_first: bool,
    /// How long the machines of before stay alive, out of routing, after a release that made new ones; `None`: they end with it.
    pub keep_previous: Option<Duration>,
    /// Of what a snapshot is taken before the release command.
    pub database: Option<FlyDatabase>,
    /// Whether the code that serves cannot work with what the release command leaves.
    pub breaking: bool,
}

impl FlySettings {
    /// How long machines may take to be well unless anybody says otherwise; flyctl's value.
    pub const WAIT_DEADLINE: Duration = Duration::from_secs(300);
    /// How long a cordoned machine stays alive unless set: no API of Fly shows how far its edges lag, and flyctl waits as long.
    pub const DRAIN_MARGIN: Duration = Duration::from_secs(10);
    /// How long a machine without checks must stay up unless set; flyctl's smoke check.
    pub const SMOKE_MARGIN: Duration = Duration::from_secs(10);

    /// Returns settings with every default.
    pub fn new(target: Name, app: impl Into<String>, config: FlyConfig) -> Self {
        Self {
            target,
            app: app.into(),
            config,
            strategy: None,
            secrets: Vec::new(),
            secret_values: BTreeMap::new(),
            secret_digests: BTreeMap::new(),
            compatible_secrets: BTreeSet::new(),
            wait_deadline: None,
            drain_margin: None,
            smoke_margin: None,
            public_url: None,
            high_availability: true,
            workers_first: false,
            keep_previous: None,
            database: None,
            breaking: false,
        }
    }

    /// Returns the settings of an app that a journal names: enough to serve, restore and prune what is recorded, not to prepare anything new.
    pub fn recorded(target: Name, app: &str, reach: &Reach) -> Self {
        Self {
            drain_margin: reach.drain_ms.map(Duration::from_millis),
            keep_previous: reach.keep_ms.map(Duration::from_millis),
            public_url: reach.url.clone(),
            workers_first: reach.workers_first,
            ..Self::new(target, app, FlyConfig::default())
        }
    }

    /// Returns the strategy: the manifest's, else `fly.toml`'s, else bluegreen where that is possible, and rolling where it is not.
    pub fn strategy(&self) -> Strategy {
        self.strategy.unwrap_or_else(|| released_by(&self.config))
    }

    /// Returns why requests or jobs may have to wait while this app cuts over; `None` where none may.
    pub fn gap(&self) -> Option<String> {
        let config = &self.config;
        let strategy = self.strategy();
        if strategy == Strategy::Bluegreen {
            return None;
        }
        let named = self.strategy.or(config.deploy.strategy).is_some();
        let why = match why_not_bluegreen(config) {
            Some(why) => format!(" (not bluegreen: {why})"),
            None if named => format!(" (strategy {strategy})"),
            None => String::new(),
        };
        if strategy == Strategy::Immediate {
            return Some(format!("all machines restart at once{why}; nobody answers meanwhile"));
        }
        Some(format!("each machine restarts in its turn{why}; with a single machine nobody answers meanwhile"))
    }
}

/// Returns the strategy by which a release moves an app unless the manifest names another.
pub fn released_by(config: &FlyConfig) -> Strategy {
    let fallback = if why_not_bluegreen(config).is_none() { Strategy::Bluegreen } else { Strategy::Rolling };
    config.deploy.strategy.unwrap_or(fallback)
}

/// Returns why new machines cannot stand beside the old ones; `None` where they can. A group without services is no reason: its new machines
/// are made and not started.
pub fn why_not_bluegreen(config: &FlyConfig) -> Option<String> {
    if let Some(mount) = config.mounts.first() {
        return Some(format!("volume {} belongs to one machine", mount.source));
    }
    let checked = config.groups().iter().any(|group| config.has_checks(group));
    (!checked).then(|| "no check in fly.toml tells that new machines are well".to_owned())
}

/// An app on Fly.io.
#[derive(Debug)]
pub struct FlyTarget {
    settings: FlySettings,
    client: FlyClient,
    memory: Mutex<Memory>,
}

/// What one process remembers; everything in it can be done without.
#[derive(Debug, Default)]
struct Memory {
    /// The nonces of the leases in hand, by machine.
    leases: BTreeMap<String, String>,
    /// When machines were cordoned.
    cordoned: BTreeMap<String, Instant>,
    /// Machines made here that were never registered.
    unseen: BTreeSet<String>,
    /// Machines that a person has added meanwhile, and that left with what served before.
    added: BTreeSet<String>,
    /// The release record at Fly.
    record: Option<ReleaseRecord>,
    /// The version of the app's secrets that this release has set, which machines must not be older than.
    secrets_version: Option<u64>,
    /// Whether the last `serve` was forward.
    went_forward: bool,
    /// How the release command of a release ended.
    migrated: Option<(String, MigrationEnd)>,
    /// The machines as they were last observed, and when.
    looked: Option<(Instant, Fleet)>,
}

impl FlyTarget {
    /// Returns the app as a target. Fails when the token string holds no token.
    pub fn new(
        mut settings: FlySettings,
        endpoints: FlyEndpoints,
        token: &SecretString,
        transport: Transport,
    ) -> Result<Self, PlatformError> {
        let Some(token) = FlyToken::parse(token) else {
            let kind = PlatformErrorKind::Unauthorized("no token".to_owned());
            return Err(PlatformError::new(Platform::Fly, "read_token", format!("app {}", settings.app), kind).hint(TOKEN_HINT));
        };
        let client = FlyClient::new(endpoints, token, transport);
        let (key, app) = (client.token_key(), &settings.app);
        let digest = |(name, value): (&String, &SecretString)| (name.clone(), secrets::digest_of(&key, app, name, value));
        settings.secret_digests = settings.secret_values.iter().map(digest).collect();
        Ok(Self { client, settings, memory: Mutex::default() })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strategy(&self) -> Strategy {
        self.settings.strategy()
    }

    fn wait_deadline(&self) -> Duration {
        self.settings.wait_deadline.or(self.settings.config.deploy.wait_timeout).unwrap_or(FlySettings::WAIT_DEADLINE)
    }

    fn drain_margin(&self) -> Duration {
        self.settings.drain_margin.unwrap_or(FlySettings::DRAIN_MARGIN)
    }

    fn smoke_margin(&self) -> Duration {
        self.settings.smoke_margin.unwrap_or(FlySettings::SMOKE_MARGIN)
    }
}

impl Target for FlyTarget {
    fn name(&self) -> &Name {
        &self.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Fly
    }

    fn thing(&self) -> &str {
        &self.settings.app
    }

    fn capabilities(&self) -> Capabilities {
        let gap = self.settings.gap();
        if gap.is_none() {
            return Capabilities {
                prepare: Preparation::Fully,
                asked_from: AskedFrom::PlatformChecks,
                back: Back::Instantly,
                gap: None,
                unserve: true,
                side_effects: Vec::new(),
            };
        }
        // A canary runs before anything serves: what it needs must be there by then.
        let prepare = if self.strategy() == Strategy::Canary { Preparation::Tried } else { Preparation::UploadedOnly };
        Capabilities { prepare, asked_from: AskedFrom::Nowhere, back: Back::ByRedeploy, gap, unserve: true, side_effects: Vec::new() }
    }

    fn public_url(&self) -> Option<String> {
        self.settings.public_url.clone().or_else(|| self.settings.config.public_url(&self.settings.app))
    }

    async fn preflight(&self, _: &Scope) -> Result<Vec<Problem>, PlatformError> {
        self.problems().await
    }

    async fn observe(&self, scope: &Scope) -> Result<Observed, PlatformError> {
        let fleet = self.fleet().await?;
        let mut observed = observing::observed(scope, &fleet);
        // Settings that a journal names hold no fly.toml, and nothing to price.
        if !self.settings.config.definition.is_null() {
            observed.facts.insert("token".to_owned(), self.token_line());
            observed.facts.insert("cost".to_owned(), bill::line(&self.settings.config, &fleet));
        }
        self.memory().looked = Some((Instant::now(), fleet));
        Ok(observed)
    }

    async fn digest_of(&self, artifact: &Artifact, before: &Observed) -> Result<RevisionDigest, PlatformError> {
        self.would_be(artifact, before).await
    }

    async fn prepare(&self, scope: &Scope, artifact: &Artifact, before: &Observed, gets: &[PlainGet]) -> Result<Revision, PlatformError> {
        self.prepare_revision(scope, artifact, before, gets).await
    }

    async fn probe(&self, _: &Scope, revision: &Revision) -> Result<Health, PlatformError> {
        self.probe_revision(revision).await
    }

    fn prepared_url(&self, _: &Revision) -> Option<(String, Vec<(String, String)>)> {
        None
    }

    async fn serve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        self.serve_revision(scope, revision).await
    }

    async fn unserve(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        self.unserve_revision(scope, revision).await
    }

    async fn prune(&self, scope: &Scope, revisions: &[Revision]) -> Result<(), PlatformError> {
        for revision in revisions {
            self.prune_revision(scope, revision).await?;
        }
        if scope.phase == Phase::Finish { self.prune_added(scope).await } else { Ok(()) }
    }

    async fn keep(&self, scope: &Scope, revision: &Revision) -> Result<Option<f64>, PlatformError> {
        self.keep_revision(scope, revision).await
    }

    async fn restore(&self, _: &Scope, _: &Settings) -> Result<(), PlatformError> {
        Ok(())
    }

    fn reach(&self) -> Reach {
        let drain_ms = self.settings.drain_margin.and_then(|margin| u64::try_from(margin.as_millis()).ok());
        let keep_ms = self.settings.keep_previous.and_then(|keep| u64::try_from(keep.as_millis()).ok());
        Reach { url: self.public_url(), drain_ms, keep_ms, workers_first: self.settings.workers_first, ..Reach::default() }
    }

    fn differences(&self, recorded: &Revision, found: &Revision) -> Differences {
        differing::differences(recorded, found, &self.settings.app)
    }

    fn artifact_of(&self, revision: &Revision) -> Option<Artifact> {
        let hints = hints::Hints::of(revision, &self.settings.app).ok()?;
        let (_, digest) = hints.image.split_once('@')?;
        Some(Artifact::Image { reference: hints.image.clone(), digest: digest.to_owned(), stand_in: false })
    }

    fn migration(&self) -> Option<Migration> {
        self.release_command()
    }

    async fn snapshot(&self, scope: &Scope) -> Result<Vec<Snapshot>, PlatformError> {
        self.take_snapshots(scope).await
    }

    async fn migrate(&self, scope: &Scope, artifact: &Artifact, before: &Observed) -> Result<MigrationResult, PlatformError> {
        self.run_release_command(scope, artifact, before).await
    }

    async fn settle_migration(&self, scope: &Scope, migration: &Migration) -> Result<MigrationEnd, PlatformError> {
        self.settle_release_command(scope, migration).await
    }

    fn secrets(&self) -> Vec<NamedSecret> {
        self.named_secrets()
    }

    async fn secret_changes(&self, known: &[KnownSecret]) -> Result<Vec<SecretChange>, PlatformError> {
        self.differing_secrets(known).await
    }

    async fn set_secrets(&self, scope: &Scope, changes: &[SecretChange]) -> Result<Vec<KnownSecret>, PlatformError> {
        self.set_held_secrets(scope, changes).await
    }

    async fn landed_secrets(&self, changes: &[SecretChange]) -> Result<Vec<String>, PlatformError> {
        self.secrets_that_landed(changes).await
    }

    async fn leading(&self, host: &str) -> Result<Option<Leading>, PlatformError> {
        self.leads(host).await.map(Some)
    }

    async fn release_holds(&self, scope: &Scope) {
        self.drop_leases().await;
        let (record, forward) = {
            let mut memory = self.memory();
            (memory.record.take(), memory.went_forward)
        };
        if let Some(record) = record {
            let cancelled = scope.shutdown.level() > Level::None;
            let status = if forward {
                "complete"
            } else if cancelled {
                "interrupted"
            } else {
                "failed"
            };
            if let Err(error) = self.client.update_record(&self.settings.app, &record.id, status).await {
                tracing::debug!(%error, "release record not closed");
            }
        }
    }
}
