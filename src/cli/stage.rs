//! What a run works with: the manifest, where it stands, the settings, and the shared means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::previewing::Previewing;
use crate::clock::Clock;
use crate::event::Events;
use crate::http::{Network, Transport};
use crate::id::{Chance, Name, ReleaseId};
use crate::manifest::{Check, CheckRequest, Manifest};
use crate::mask::{Masker, Secret};
use crate::process::Identity;
use crate::release::journal::{Owner, OwnerJob};
use crate::release::{Context, DriftPolicy, Timing};
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::trigger::Trigger;

/// How artifacts come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builds {
    /// Built for real; a missing builder is a failure.
    Real,
    /// Built where an engine is, else a stand-in (rehearsals only).
    RealOrStandIn,
    /// Always a stand-in (rehearsals only).
    StandIn,
}

/// The shared means of every command that asks or changes something: all that a run works with, beside a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    /// Everything from outside the manifest.
    pub(crate) settings: Settings,
    /// What started the run.
    pub(crate) trigger: Trigger,
    /// The one way out.
    pub(crate) transport: Transport,
    /// Where things are told.
    pub(crate) events: Events,
    /// What ends the run.
    pub(crate) shutdown: Shutdown,
    /// What takes secrets out of texts.
    pub(crate) masker: Masker,
    /// What time it is.
    pub(crate) clock: Clock,
    /// Where names of containers and jitter come from.
    pub(crate) chance: Arc<Chance>,
    /// Where the run stands: the manifest's folder, or the current one.
    pub(crate) root: PathBuf,
    /// Where journals are kept that are kept on this machine.
    pub(crate) state_dir: PathBuf,
    /// Whether this is a rehearsal on embedded platforms.
    pub(crate) rehearsal: bool,
}

/// What a run of a product works with: its manifest, and the shared means.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// The shared means; whatever they have can be asked of the stage.
    pub(crate) means: Means,
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// How artifacts come to be.
    pub(crate) builds: Builds,
    /// What is previewed, where the run is for a pull request's preview. The manifest is the agreed one then.
    pub(crate) previewing: Option<Arc<Previewing>>,
}

impl std::ops::Deref for Stage {
    type Target = Means;

    fn deref(&self) -> &Means {
        &self.means
    }
}

impl Means {
    /// Returns who writes into the journal.
    pub(crate) fn owner(&self) -> Owner {
        match &self.trigger.run {
            Some(run) => {
                let name = run.job.clone().unwrap_or_else(|| "-".to_owned());
                Owner {
                    id: format!("{}/{}/{name}", run.id, run.attempt),
                    url: run.url.clone(),
                    job: Some(OwnerJob {
                        repository: run.repository.clone(),
                        run: run.id,
                        attempt: run.attempt,
                        name,
                        runner: self.settings.environment.get(crate::settings::variable::RUNNER_NAME).cloned(),
                        id: None,
                    }),
                    process: None,
                    actor: run.actor.clone(),
                }
            }
            None => {
                let user = self.settings.environment.get("USER").map_or("someone", String::as_str);
                let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Owner { process: Identity::own(), ..Owner::process(format!("{user}@{host}/{}", std::process::id())) }
            }
        }
    }

    /// Returns whether the platforms are embedded: in a rehearsal, and where public addresses are asked at edges on this machine, which means a
    /// sandbox.
    pub(crate) fn on_embedded(&self) -> bool {
        self.rehearsal || !self.settings.edges.is_empty()
    }

    /// Returns the context of bringing an environment's unfinished release to its end: nothing in it is from a manifest.
    pub(crate) fn recovery(&self, product: &Name, environment: &Name) -> Context {
        self.context(product, environment, format!("recovery ({})", self.trigger.asked()), &Timing::default())
    }

    fn context(&self, product: &Name, environment: &Name, reason: String, timing: &Timing) -> Context {
        let edges = if self.settings.edges.is_empty() { timing.edges } else { self.settings.edges.len() };
        // On real platforms nobody may say that a runner is dead which is not.
        let quarantine = self.settings.quarantine.filter(|_| self.on_embedded());
        let timing = Timing { quarantine, edges, ..timing.clone() };
        Context {
            product: product.clone(),
            environment: environment.clone(),
            release: ReleaseId::new(self.clock.now(), self.transport.chance()),
            commit: self.trigger.tested_commit().to_owned(),
            reason,
            transport: self.transport.clone(),
            events: self.events.clone(),
            shutdown: self.shutdown.clone(),
            timing: if self.on_embedded() { rehearsed(&timing) } else { timing },
            secrets: BTreeMap::new(),
            drift: DriftPolicy::default(),
            changes: crate::platform::Changes::default(),
            hostnames: crate::settings::hostnames::hostnames(&self.settings, &self.transport),
        }
    }
}

impl Stage {
    /// Returns the context of a release of `environment`, which the manifest has.
    pub(crate) fn context(&self, environment: &Name, reason: String) -> Context {
        let settings = &self.manifest.environments[environment];
        let timing = Timing { watch: settings.watch, max_skew: settings.max_skew, ..Timing::default() };
        let context = self.means.context(&self.manifest.product, environment, reason, &timing);
        let hostnames = match self.manifest.in_environment(environment) {
            Some(view) => crate::settings::hostnames::of_manifest(context.hostnames.clone(), &view),
            None => context.hostnames.clone(),
        };
        Context { secrets: self.check_secrets(environment), hostnames, ..context }
    }

    /// Returns the secrets that the checks of an environment sign with, by variable; those that are not set are left out.
    fn check_secrets(&self, environment: &Name) -> BTreeMap<String, SecretString> {
        signing_secrets(&self.manifest, environment)
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.settings.secret(&name)?)))
            .collect()
    }
}

/// Returns the variables that hold the secrets with which checks of an environment sign.
pub(crate) fn signing_secrets(manifest: &Manifest, environment: &Name) -> Vec<String> {
    let view = manifest.in_environment(environment);
    let checks = view.iter().flat_map(|view| view.targets.values()).flat_map(|target| target.verify.iter());
    checks.filter_map(secret_of).map(str::to_owned).collect()
}

fn secret_of(check: &Check) -> Option<&str> {
    match &check.request {
        CheckRequest::Post { signature: Some(signature), .. } => Some(&signature.secret_name),
        _ => None,
    }
}

/// On embedded platforms nothing is far away, and a person waits: the same waits, with shorter limits.
fn rehearsed(timing: &Timing) -> Timing {
    Timing {
        watch: timing.watch.min(Duration::from_secs(2)),
        verify_limit: Duration::from_secs(30),
        proof_limit: Duration::from_secs(10),
        failing_limit: Duration::from_secs(1),
        pause: Duration::from_millis(50),
        back_limit: Duration::from_secs(30),
        late: Duration::from_secs(2),
        doubt_limit: Duration::from_secs(20),
        ..timing.clone()
    }
}

/// Returns the masker of a run: every credential, and every secret that a manifest names.
pub(crate) fn masker(settings: &Settings, manifest: Option<&Manifest>) -> (Masker, Vec<String>) {
    use secrecy::ExposeSecret;
    let masker = Masker::new();
    let mut known: Vec<(String, Secret)> =
        settings.credentials().iter().map(|secret| ("a credential".to_owned(), Secret::new(secret.expose_secret()))).collect();
    let targets = || manifest.iter().flat_map(|manifest| manifest.targets.values());
    let named = targets().flat_map(|target| target.secrets.iter().map(String::as_str).chain(target.verify.iter().filter_map(secret_of)));
    let images = manifest.iter().flat_map(|manifest| manifest.images.values());
    let images = images.flat_map(|image| image.secrets.iter().map(String::as_str));
    let hooks = targets().filter_map(hook_secret);
    for name in named.chain(images).chain(hooks) {
        if let Some(value) = settings.secret(name) {
            known.push((name.to_owned(), Secret::new(value.expose_secret())));
        }
    }
    let too_short = masker.learn_all(known.iter().map(|(name, secret)| (name.as_str(), secret)));
    (masker, too_short)
}

fn hook_secret(target: &crate::manifest::Target) -> Option<&str> {
    use crate::manifest::{PagesSource, PagesTarget, TargetPlatform, VercelSource, VercelTarget};
    match &target.platform {
        TargetPlatform::Vercel(VercelTarget { source: VercelSource::Hook { secret_name }, .. })
        | TargetPlatform::Pages(PagesTarget { source: PagesSource::Hook { secret_name }, .. }) => Some(secret_name),
        _ => None,
    }
}

/// Returns the transport over real sockets, to the embedded edges where the settings name some.
pub(crate) fn network(settings: &Settings, clock: Clock) -> Result<Transport, crate::http::WireError> {
    let wire = Network::new(settings.edges.clone())?;
    Ok(Transport::new(Arc::new(wire), clock, Arc::new(Chance::from_system())))
}

/// Returns where journals are kept on this machine: chosen, else in git's own folder, which outlives `git clean`, else beside the manifest.
pub(crate) fn state_dir(root: &Path, settings: &Settings) -> PathBuf {
    if let Some(chosen) = &settings.state_dir {
        return chosen.clone();
    }
    let git = root.ancestors().map(|above| above.join(".git")).find(|git| git.is_dir());
    git.map_or_else(|| root.join(".cutover"), |git| git.join("cutover"))
}
