//! Changing machines in place: each under its lease and against its expected version, so many at once as the strategy says, each well before
//! the next ones; and what takes the place of one whose host has no room for its new version.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::content::config_digest;
use super::health::{Word, autostarts, judge, life_began};
use super::hints::{Hints, MachineHint, runs};
use super::machine_config::MachineConfig;
use super::moves::{Wanted, Wave};
use super::rendering::{Image, Rendering, intent};
use super::slots::{Slot, has_mounts};
use super::stamp;
use super::toml::Strategy;
use super::watching::Awaited;
use super::wire::{CreateMachine, Machine, UpdateMachine};
use super::{CONCURRENCY, FlyTarget, LOOKUP_WINDOW, POLL};
use crate::event::Phase;
use crate::platform::{PlatformError, PlatformErrorKind, Revision, Scope};

/// How long an update that is under way is waited for.
const SETTLE_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);
/// States in which an update is refused.
const REPLACING: [&str; 3] = ["replacing", "updating", "creating"];
/// The share of a group that may be changed at once unless anybody says otherwise; flyctl's value (fly.md 14).
const MAX_UNAVAILABLE: f64 = 0.33;

/// What became of one machine that was changed.
#[derive(Debug, Default)]
struct Changed {
    /// What must be well.
    awaited: Option<Awaited>,
    /// Whether another machine takes its place.
    stand_in: bool,
}

impl FlyTarget {
    /// Changes machines in place, process group by process group. Forward the first failure ends it, once what is under way has ended; on the
    /// way back the others are taken back all the same, and the first failure is told at the end. Returns whether a machine was made that
    /// takes the place of another one.
    pub(super) async fn change_all(&self, scope: &Scope, revision: &Revision, wanted: &Wanted, wave: &Wave) -> Result<bool, PlatformError> {
        let (mut first_failure, mut stand_ins, mut done) = (None, false, 0);
        for batch in self.batches(scope, wanted, wave) {
            self.unless_cancelled(scope, "update_machine")?;
            let names: Vec<&str> = batch.iter().map(|(hint, _)| hint.id.as_str()).collect();
            scope.step(&self.settings.target, format!("machine {} of {}: {}", done + 1, wave.change.len(), names.join(", ")));
            done += batch.len();
            match Box::pin(self.change_batch(scope, revision, &wanted.hints, &batch)).await {
                Ok(made) => stand_ins |= made,
                Err(error) if scope.phase != Phase::RollBack || error.cancelled() => return Err(error),
                Err(error) => drop(first_failure.get_or_insert(error)),
            }
        }
        first_failure.map_or(Ok(stand_ins), Err)
    }

    /// Returns what is changed together, in order: what sleeps; of what runs one, then as many as may be away. What has a volume goes alone.
    /// On the way back what is not well has nothing to lose, and goes first.
    fn batches<'w>(&self, scope: &Scope, wanted: &Wanted, wave: &'w Wave) -> Vec<Vec<&'w (MachineHint, Machine)>> {
        let back = scope.phase == Phase::RollBack;
        let mut groups: Vec<&str> = wave.change.iter().map(|(hint, _)| hint.group.as_str()).collect();
        groups.dedup();
        let mut batches = Vec::new();
        for group in groups {
            let of_group: Vec<_> = wave.change.iter().filter(|(hint, _)| hint.group == group).collect();
            let (alone, others): (Vec<_>, Vec<_>) = of_group.into_iter().partition(|(_, machine)| machine.config().is_some_and(has_mounts));
            batches.extend(alone.into_iter().map(|one| vec![one]));
            if wanted.hints.strategy == Some(Strategy::Immediate) && !back {
                batches.push(others);
                continue;
            }
            let unwell = |machine: &Machine| matches!(judge(machine, life_began(machine)), Word::Crashed(_) | Word::Failing(..));
            let free = |(hint, machine): &&(MachineHint, Machine)| !launches(hint, machine, back) || (back && unwell(machine));
            let (free, warm): (Vec<_>, Vec<_>) = others.into_iter().partition(free);
            batches.extend(free.chunks(CONCURRENCY).map(<[_]>::to_vec));
            let at_once = at_once(self.settings.config.deploy.max_unavailable, warm.len());
            let mut warm = warm.into_iter();
            batches.extend(warm.next().map(|first| vec![first]));
            let rest: Vec<_> = warm.collect();
            batches.extend(rest.chunks(at_once).map(<[_]>::to_vec));
        }
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    async fn change_batch(
        &self,
        scope: &Scope,
        revision: &Revision,
        hints: &Hints,
        batch: &[&(MachineHint, Machine)],
    ) -> Result<bool, PlatformError> {
        let mut results = Vec::new();
        for chunk in batch.chunks(CONCURRENCY) {
            let changes = chunk.iter().map(|(hint, machine)| self.change(scope, revision, hints, hint, machine));
            results.extend(join_all(changes).await);
        }
        // What has begun is waited for in any case: the failure of one is no reason to leave another between two versions.
        let (mut awaited, mut failure, mut stand_in) = (Vec::new(), None, false);
        for result in results {
            match result {
                Ok(changed) => {
                    awaited.extend(changed.awaited);
                    stand_in |= changed.stand_in;
                }
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        if failure.is_none() || scope.phase == Phase::RollBack {
            Box::pin(self.await_healthy(scope, &awaited)).await?;
        }
        failure.map_or(Ok(stand_in), Err)
    }

    async fn change(
        &self,
        scope: &Scope,
        revision: &Revision,
        hints: &Hints,
        hint: &MachineHint,
        machine: &Machine,
    ) -> Result<Changed, PlatformError> {
        let expected = !hint.replaces.is_empty() && hint.replaces == machine.instance_id;
        if !expected && !stamp::is_ours(machine, &scope.product, &scope.environment) {
            let why = format!("machine {} was changed by somebody else since this release began", hint.id);
            return Err(self
                .error("update_machine", PlatformErrorKind::Conflict(why))
                .hint("look at it with `fly machine status`, then release again"));
        }
        if REPLACING.contains(&machine.state.as_str()) {
            self.await_settled(hint).await?;
        }
        let (config, intent) = self.config_of(scope, revision, hints, hint, machine).await?;
        let launch = launches(hint, machine, scope.phase == Phase::RollBack);
        let body = UpdateMachine {
            config,
            skip_launch: !launch,
            skip_service_registration: machine.cordoned,
            current_version: machine.instance_id.clone(),
            min_secrets_version: self.secrets_version(),
        };
        let awaited = |id: &str, after, version| launch.then(|| Awaited { id: id.to_owned(), after, version });
        match scope.changes.during(self.update(hint, &body)).await {
            Ok(version) => Ok(Changed { awaited: awaited(&hint.id, machine.newest_event(), version), stand_in: false }),
            // Its host has no room for it, or takes no updates: without a volume it can be anywhere (fly.md 16, rolling 5).
            Err(error)
                if matches!(error.kind, PlatformErrorKind::Capacity(_)) && scope.phase != Phase::RollBack && !has_mounts(&body.config) =>
            {
                scope.step(&self.settings.target, format!("{}: another machine takes the place of {}", error.kind, hint.id));
                let body = CreateMachine {
                    config: body.config,
                    region: machine.region.clone(),
                    skip_launch: !launch,
                    skip_service_registration: true,
                    min_secrets_version: self.secrets_version(),
                };
                let made = self.create_one(scope, &body, &intent).await?;
                self.memory().unseen.insert(made.id.clone());
                Ok(Changed { awaited: awaited(&made.id, 0, made.instance_id), stand_in: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Waits while a machine is being replaced: Fly refuses an update meanwhile ("concurrent update in progress", fly.md 6).
    async fn await_settled(&self, hint: &MachineHint) -> Result<(), PlatformError> {
        let until = Instant::now() + SETTLE_LIMIT;
        loop {
            let machine = self.client.get_machine(&self.settings.app, &hint.id).await?;
            if machine.is_none_or(|machine| !REPLACING.contains(&machine.state.as_str())) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(self.timed_out("await_settled", format!("the end of an earlier update of machine {}", hint.id), SETTLE_LIMIT));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the config that a machine gets, and what it is meant to be: its own earlier one, read from Fly, or what was rendered for it, made
    /// again.
    async fn config_of(
        &self,
        scope: &Scope,
        revision: &Revision,
        hints: &Hints,
        hint: &MachineHint,
        machine: &Machine,
    ) -> Result<(MachineConfig, String), PlatformError> {
        let impossible = |why: String| self.error("update_machine", PlatformErrorKind::Impossible(why));
        let release = revision.release.as_deref().unwrap_or(scope.release.as_str());
        let ordinal = hints.machines.iter().position(|other| other.id == hint.id).unwrap_or_default();
        let meant = intent(release, ordinal);
        let config = if hint.instance_id.is_empty() {
            let image = Image { reference: hint.image.clone(), digest: hint.image_digest.clone().unwrap_or_default() };
            let slot = Slot::in_place(&hint.group, machine, hint.launched);
            let record = self.memory().record.clone();
            Rendering {
                settings: &self.settings,
                scope,
                release,
                revision: revision.digest.as_str(),
                image: &image,
                gets: &hints.gets,
                record: record.as_ref(),
            }
            .config(&slot, meant.clone())
        } else {
            let versions = self.client.machine_versions(&self.settings.app, &hint.id).await?;
            let earlier = versions.into_iter().find(|version| version.version == hint.instance_id).and_then(|version| version.user_config);
            let mut config = earlier.ok_or_else(|| {
                impossible(format!("Fly no longer has version {} of machine {}", hint.instance_id, hint.id))
                    .hint(format!("deploy the image by hand: `fly deploy -a {} --image {}`", self.settings.app, hint.image))
            })?;
            config.insert("image".to_owned(), hint.image.clone().into());
            config
        };
        if config_digest(&config) == hint.config_digest {
            return Ok((config, meant));
        }
        Err(impossible(format!("machine {} would not become what was prepared: its settings have changed meanwhile", hint.id)))
    }

    /// Updates a machine and returns its new version. The expected version fences, so a lost answer may be repeated once it was looked for.
    async fn update(&self, hint: &MachineHint, body: &UpdateMachine) -> Result<String, PlatformError> {
        let app = &self.settings.app;
        let (mut lost, mut waited) = (false, false);
        for _ in 0..3 {
            let error = match self.client.update_machine(app, &hint.id, body, self.nonce(&hint.id).as_deref()).await {
                Ok(machine) => return Ok(machine.instance_id),
                Err(error) => error,
            };
            let conflict = matches!(error.kind, PlatformErrorKind::Conflict(_));
            if conflict && !lost && !waited && self.is_being_replaced(hint).await? {
                // An update of somebody else's is under way; if it changes the machine, the expected version refuses ours.
                waited = true;
                self.await_settled(hint).await?;
                continue;
            }
            let fenced = lost && conflict;
            if !error.ambiguous() && !fenced {
                return Err(error);
            }
            lost = true;
            let until = Instant::now() + LOOKUP_WINDOW;
            while Instant::now() < until {
                let machine = self.client.get_machine(app, &hint.id).await?;
                if let Some(machine) = machine.filter(|machine| machine.instance_id != body.current_version && hint.same_content(machine)) {
                    return Ok(machine.instance_id);
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Err(self.error("update_machine", PlatformErrorKind::NoAnswer(format!("nobody can say whether machine {} was updated", hint.id))))
    }

    async fn is_being_replaced(&self, hint: &MachineHint) -> Result<bool, PlatformError> {
        let machine = self.client.get_machine(&self.settings.app, &hint.id).await?;
        Ok(machine.is_some_and(|machine| REPLACING.contains(&machine.state.as_str())))
    }
}

/// Returns how many machines of so many may be changed at once: a share below 1, rounded up, or a number (fly.md 14).
fn at_once(max_unavailable: Option<f64>, machines: usize) -> usize {
    let most = max_unavailable.unwrap_or(MAX_UNAVAILABLE);
    let number = if most < 1.0 { (most * machines as f64).ceil() } else { most.floor() };
    // Between 1 and the number of machines: no digit is lost.
    (number as usize).clamp(1, machines.max(1)).min(CONCURRENCY)
}

/// Returns whether an update launches the machine: one that runs goes on running, one that a request has woken or that has fallen asleep since
/// it was looked at stays so, and on the way back what ran runs again.
fn launches(hint: &MachineHint, machine: &Machine, back: bool) -> bool {
    let asleep = ["stopped", "suspended"].contains(&machine.state.as_str()) && machine.config().is_some_and(autostarts);
    let sleeps = !back && !machine.cordoned && asleep;
    // One that is just being replaced says nothing about what it did before.
    let running = runs(machine) && !REPLACING.contains(&machine.state.as_str());
    running || (hint.launched && !sleeps)
}
