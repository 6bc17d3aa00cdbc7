//! A preview on Fly: an app of its own for each pull request, in an organisation apart from production's.
//!
//! The app's private network is named after the preview's mark. That network is given when the app is made and never changes, so it is the one stamp that
//! an app cannot be without, even when the run that made it died a moment later; and it keeps previews from reaching each other's machines. Its
//! machines are made and changed by what releases use ([`FlyTarget`]), one of each process group, the smallest there is, asleep while nobody asks.

mod ground;
mod shrinking;

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

pub use self::ground::FlyGround;
use super::client::FlyClient;
use super::fleet::Fleet;
use super::toml::{FlyConfig, Strategy};
use super::wire::App;
use super::{FlyEndpoints, FlySettings, FlyTarget, POLL, stamp};
use crate::event::{Level, Phase};
use crate::http::{Platform, Transport};
use crate::id::{Name, ReleaseId};
use crate::platform::{
    Artifact, Changes, PlatformError, PlatformErrorKind, Preview, PreviewOf, PreviewScope, Problem, Scope, Shown, Target, Turn,
};
use crate::shutdown;

/// How long an app just made may be unknown to those who ask for it; flyctl waits as long (fly.md 3).
const APP_LIMIT: Duration = Duration::from_secs(60);
/// The secret by whose presence a preview's database is known to be filled.
const SEEDED: &str = "CUTOVER_SEEDED";
/// Metadata: the commit that a machine shows.
const COMMIT: &str = "cutover_commit";

/// What a preview on Fly is made with.
#[derive(Debug, Clone)]
pub struct FlyPreviewSettings {
    /// Which preview.
    pub preview: PreviewOf,
    /// The target's name in the manifest.
    pub target: Name,
    /// The app that production releases, by the base branch's manifest: the preview's name begins with it.
    pub base_app: String,
    /// The organisation that previews are made in.
    pub organization: String,
    /// The head's `fly.toml`, files loaded, variables filled in.
    pub config: FlyConfig,
    /// The secrets that the preview must have, by name.
    pub secrets: Vec<String>,
    /// The values that this run has for them.
    pub secret_values: BTreeMap<String, SecretString>,
    /// What is run once on a new preview's image; `fly.toml`'s `seed_command` where the manifest names none.
    pub seed: Option<String>,
    /// How much memory each machine has, in MB.
    pub memory_mb: u32,
    /// Apps of other environments: a token that can see one of them is refused.
    pub production: Vec<String>,
    /// How long machines may take to be well, where it is not the usual time.
    pub wait_deadline: Option<Duration>,
    /// How long a machine without checks must stay up, where it is not the usual time.
    pub smoke_margin: Option<Duration>,
}

/// The longest name of an app: it is a label of a hostname.
const LONGEST_NAME: usize = 63;

impl FlyPreviewSettings {
    /// Returns the app's name; the same for every push.
    pub fn app(&self) -> String {
        Self::app_of(&self.preview, &self.base_app)
    }

    /// Returns the name of the app that previews `base_app`.
    pub fn app_of(preview: &PreviewOf, base_app: &str) -> String {
        preview.label(base_app, LONGEST_NAME)
    }

    /// Returns the address of the app that previews `base_app`.
    pub fn address_of(preview: &PreviewOf, base_app: &str) -> String {
        format!("https://{}.fly.dev", Self::app_of(preview, base_app))
    }
}

/// A preview on Fly.
#[derive(Debug)]
pub struct FlyPreview {
    settings: FlyPreviewSettings,
    app: String,
    client: FlyClient,
    target: FlyTarget,
    /// The same app, whose release command is what fills the database.
    seeding: Option<FlyTarget>,
}

impl FlyPreview {
    /// Returns the preview. Fails when the token string holds no token.
    pub fn new(
        settings: FlyPreviewSettings,
        endpoints: FlyEndpoints,
        token: &SecretString,
        transport: Transport,
    ) -> Result<Self, PlatformError> {
        let app = settings.app();
        let config = shrinking::shrunk(&settings.config, &app, settings.memory_mb);
        let seed = settings.seed.clone().or_else(|| settings.config.deploy.seed_command.clone());
        let of = |config: FlyConfig| FlySettings {
            strategy: Some(Strategy::Rolling),
            secrets: settings.secrets.clone(),
            secret_values: settings.secret_values.clone(),
            wait_deadline: settings.wait_deadline,
            smoke_margin: settings.smoke_margin,
            drain_margin: Some(Duration::ZERO),
            high_availability: false,
            ..FlySettings::new(settings.target.clone(), app.clone(), config)
        };
        let seeding = seed.map(|command| {
            let mut config = config.clone();
            config.deploy.release_command = Some(command);
            FlyTarget::new(of(config), endpoints.clone(), token, transport.clone())
        });
        let target = FlyTarget::new(of(config), endpoints, token, transport)?;
        Ok(Self { client: target.client.clone(), app, target, seeding: seeding.transpose()?, settings })
    }

    fn error(&self, operation: &'static str, kind: PlatformErrorKind) -> PlatformError {
        PlatformError::new(Platform::Fly, operation, format!("app {}", self.app), kind)
    }

    /// Reads the app; `None` where the name is free. An app without this preview's network, or that the token cannot see, is somebody else's.
    async fn own_app(&self) -> Result<Option<App>, PlatformError> {
        let foreign = |why: String| {
            let hint = format!("give the previews another name: `overrides` with `fly: {{ app: NAME }}` for {}", self.settings.target);
            Err(self.error("get_app", PlatformErrorKind::Foreign(why)).hint(hint))
        };
        match self.client.get_app(&self.app).await {
            Ok(app) if app.network == self.settings.preview.mark() => Ok(Some(app)),
            Ok(app) => foreign(format!("the app exists in {} and no preview made it", app.organization.slug)),
            Err(error) if matches!(error.kind, PlatformErrorKind::NotFound(_)) => Ok(None),
            Err(error) if matches!(error.kind, PlatformErrorKind::Forbidden(_)) => {
                foreign("the app exists where this token cannot see it".to_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until an app just made is known, since those who ask for it get 404 or 401 for a moment (fly.md 3).
    async fn await_app(&self, scope: &PreviewScope) -> Result<(), PlatformError> {
        let until = Instant::now() + APP_LIMIT;
        loop {
            match self.own_app().await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) if matches!(error.kind, PlatformErrorKind::Unauthorized(_)) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= until {
                let what = "the new app being known".to_owned();
                return Err(self.error("get_app", PlatformErrorKind::TimedOut { what, limit: APP_LIMIT }));
            }
            if scope.shutdown.level() >= shutdown::Level::Drain {
                return Err(self.error("get_app", PlatformErrorKind::Cancelled));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sets every secret that this run has a value for: a preview has no journal that would know which of them differ.
    async fn set_secrets(&self, scope: &Scope) -> Result<(), PlatformError> {
        let changes = self.target.secret_changes(&[]).await?;
        self.target.set_secrets(scope, &changes).await.map(drop)
    }

    /// Runs the release command of `fly.toml`, then, once in the life of the preview, what fills its database.
    async fn migrate(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<(), PlatformError> {
        if self.target.migration().is_some() {
            self.run(&self.target, &scope_of(scope, &scope.release, Phase::Migrate), artifact, "release_command").await?;
        }
        let Some(seeding) = &self.seeding else { return Ok(()) };
        if self.client.secrets(&self.app).await?.contains_key(SEEDED) {
            return Ok(());
        }
        let release = ReleaseId::from_text(format!("{}-seed", scope.release));
        self.run(seeding, &scope_of(scope, &release, Phase::Migrate), artifact, "seed").await?;
        let done = SecretString::from(scope.commit.clone());
        self.client.set_secrets(&self.app, &BTreeMap::from([(SEEDED, &done)])).await.map(drop)
    }

    async fn run(&self, target: &FlyTarget, scope: &Scope, artifact: &Artifact, what: &str) -> Result<(), PlatformError> {
        let before = target.observe(scope).await?;
        let result = target.migrate(scope, artifact, &before).await;
        target.release_holds(scope).await;
        let result = result?;
        if result.end.succeeded() {
            return Ok(());
        }
        let command = target.migration().map(|migration| migration.command).unwrap_or_default();
        let mut error = self.error("migrate", PlatformErrorKind::Unhealthy(format!("its {what} `{command}` {}", result.end)));
        error.hints = result.hints;
        Err(error)
    }

    /// Removes machines of earlier showings that broke off, and marks those that stay with the commit.
    async fn tidy(&self, scope: &PreviewScope) -> Result<(), PlatformError> {
        let fleet: Fleet = self.target.fleet().await?;
        for machine in &fleet.machines {
            // One that was equal already was not changed, and bears the mark of the showing before.
            if !machine.cordoned {
                self.client.set_metadata(&self.app, &machine.id, COMMIT, &scope.commit).await?;
            } else if machine.metadata(stamp::RELEASE) != scope.release.as_str() {
                scope.step(&self.settings.target, format!("removing machine {}, which shows nothing any more", machine.id));
                self.client.destroy_machine(&self.app, &machine.id).await?;
            }
        }
        Ok(())
    }
}

/// Returns what calls into the app's target belong to.
fn scope_of(scope: &PreviewScope, release: &ReleaseId, phase: Phase) -> Scope {
    Scope {
        product: scope.preview.of.product.clone(),
        environment: scope.environment.clone(),
        release: release.clone(),
        commit: scope.commit.clone(),
        phase,
        events: scope.events.clone(),
        shutdown: scope.shutdown.clone(),
        changes: Changes::default(),
        turn: Turn::default(),
        expected: None,
    }
}

impl Preview for FlyPreview {
    fn name(&self) -> &Name {
        &self.settings.target
    }

    fn platform(&self) -> Platform {
        Platform::Fly
    }

    fn thing(&self) -> &str {
        &self.app
    }

    fn address(&self) -> String {
        FlyPreviewSettings::address_of(&self.settings.preview, &self.settings.base_app)
    }

    fn answers(&self) -> bool {
        self.settings.config.public_url(&self.app).is_some()
    }

    async fn preflight(&self, _: &PreviewScope) -> Result<Vec<Problem>, PlatformError> {
        let FlyPreviewSettings { organization, production, config, .. } = &self.settings;
        let mut problems = Vec::new();
        for other in production {
            match self.client.get_app(other).await {
                Ok(app) => {
                    let text = format!(
                        "the token of the previews can see {other} in {}, which other environments release.",
                        app.organization.slug
                    );
                    let hint = format!(
                        "make previews in an organisation of their own, with a token for it alone: fly tokens create org -o {organization}"
                    );
                    problems.push(self.target.problem(true, "fly::preview-token", text, Some(hint)));
                }
                Err(error) if matches!(error.kind, PlatformErrorKind::NotFound(_) | PlatformErrorKind::Forbidden(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Such a token may be good for nothing else either; what to change is told by this alone.
        if !problems.is_empty() {
            return Ok(problems);
        }
        self.client.list_apps(organization).await.map_err(|error| {
            error.hint(format!(
                "apps of previews are made in {organization}; only a token of the organisation may: fly tokens create org -o {organization}"
            ))
        })?;
        let listed = match self.own_app().await? {
            Some(_) => self.client.secrets(&self.app).await?,
            None => BTreeMap::new(),
        };
        for secret in self.target.required_secrets() {
            if !listed.contains_key(&secret) && !self.settings.secret_values.contains_key(&secret) {
                let text = format!("the preview has no secret {secret}, and this run has no value for it.");
                let hint = format!("set {secret} in the GitHub environment of the previews, and name it at the step");
                problems.push(self.target.problem(true, "secret::missing", text, Some(hint)));
            }
        }
        if config.primary_region.as_deref().is_none_or(str::is_empty) {
            let text = "fly.toml names no primary_region, in which the preview's machines would be made.".to_owned();
            problems.push(self.target.problem(true, "fly::no-region", text, None));
        }
        Ok(problems)
    }

    async fn shown(&self, _: &PreviewScope) -> Result<Option<Shown>, PlatformError> {
        if self.own_app().await?.is_none() {
            return Ok(None);
        }
        let fleet = self.target.fleet().await?;
        let commit = fleet.registered().map(|machine| machine.metadata(COMMIT)).find(|commit| !commit.is_empty());
        Ok(fleet.registered().next().map(|_| Shown { commit: commit.map(str::to_owned), revision: None }))
    }

    async fn make(&self, scope: &PreviewScope) -> Result<(), PlatformError> {
        if self.own_app().await?.is_some() {
            return Ok(());
        }
        if scope.shutdown.level() >= shutdown::Level::Drain {
            return Err(self.error("create_app", PlatformErrorKind::Cancelled));
        }
        scope.step(&self.settings.target, format!("making the app {} in {}", self.app, self.settings.organization));
        let made = self.client.create_app(&self.app, &self.settings.organization, &self.settings.preview.mark()).await;
        match made {
            Ok(()) => self.await_app(scope).await,
            // The answer was lost, or an earlier call had made it: whose it is says its network.
            Err(error) => match self.own_app().await {
                Ok(Some(_)) => Ok(()),
                Ok(None) if error.ambiguous() => {
                    self.client.create_app(&self.app, &self.settings.organization, &self.settings.preview.mark()).await?;
                    self.await_app(scope).await
                }
                Err(foreign) if matches!(foreign.kind, PlatformErrorKind::Foreign(_)) => Err(foreign),
                _ => Err(error),
            },
        }
    }

    async fn show(&self, scope: &PreviewScope, artifact: &Artifact) -> Result<Shown, PlatformError> {
        let prepare = scope_of(scope, &scope.release, Phase::Prepare);
        let before = self.target.observe(&prepare).await?;
        self.set_secrets(&prepare).await?;
        self.migrate(scope, artifact).await?;
        let shown = async {
            let revision = self.target.prepare(&prepare, artifact, &before, &[]).await?;
            let serve = scope_of(scope, &scope.release, Phase::CutOver);
            self.target.serve(&serve, &revision).await?;
            Ok(revision)
        };
        let shown: Result<_, PlatformError> = shown.await;
        self.target.release_holds(&prepare).await;
        let revision = shown?;
        if let Err(error) = self.tidy(scope).await {
            // What is shown is shown; the next push, or the sweep, removes what is left.
            scope.events.notice(Level::Note, "fly::preview-left", format!("{}: {error}", self.settings.target));
        }
        Ok(Shown { commit: Some(scope.commit.clone()), revision: Some(revision.digest) })
    }
}
