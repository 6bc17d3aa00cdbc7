//! Serve: convergence to one revision, whatever is there, and whichever way that is.
//!
//! What the revision needs is started, changed and proven first; then it is registered; only then is everything else of the app taken out
//! of routing. At no moment is nobody registered, and each step is safe to repeat, after a death at any point and with any revision.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::content::config_digest;
use super::fleet::Fleet;
use super::health::{Word, autostarts, judge};
use super::hints::{Hints, MachineHint};
use super::in_number;
use super::machine_config::MachineConfig;
use super::observing::observed;
use super::rendering::{Image, Rendering, Slot, intent};
use super::stamp;
use super::watching::Awaited;
use super::wire::{Machine, UpdateMachine};
use super::{CONCURRENCY, FlyTarget, LOOKUP_WINDOW, POLL};
use crate::event::Phase;
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Revision, Scope};

/// How long a registration may take to be seen when read again.
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);

/// How long an update that is under way is waited for.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// States in which an update is refused.
const REPLACING: [&str; 3] = ["replacing", "updating", "creating"];

/// What stands between what is and one revision serving. Pure.
#[derive(Debug, Default)]
struct Moves {
    /// Machines that must run and do not.
    start: Vec<Machine>,
    /// Machines whose health must be seen first.
    prove: Vec<Awaited>,
    /// Machines that become the revision in place, with what they become.
    change: Vec<(MachineHint, Machine)>,
    /// Machines to register.
    uncordon: Vec<String>,
    /// Machines to take out of routing.
    cordon: Vec<Machine>,
    /// Machines of the revision that are gone.
    gone: Vec<String>,
    /// Machines that users get and that somebody else has made or changed: they stay as they are.
    foreign: Vec<String>,
}

/// What may be found where a revision is to serve.
struct Wanted {
    /// The revision.
    hints: Hints,
    /// What else this release knows; `None` where nothing that is found is anybody's act.
    known: Option<Vec<Hints>>,
    /// The release whose own machines may be in any state between two revisions.
    release: String,
    back: bool,
}

impl Wanted {
    fn of(scope: &Scope, revision: &Revision, app: &str) -> Result<Self, PlatformError> {
        let known = scope.expected.as_ref().map(|expected| expected.iter().filter_map(|revision| Hints::of(revision, app).ok()).collect());
        let (release, back) = (scope.release.to_string(), scope.phase == Phase::RollBack);
        Ok(Self { hints: Hints::of(revision, app)?, known, release, back })
    }

    /// Returns whether somebody else has made or changed a machine. One that was cloned from what this release knows is no stranger.
    fn is_foreign(&self, machine: &Machine) -> bool {
        let Some(known) = &self.known else { return false };
        let same = known.iter().chain([&self.hints]).flat_map(|hints| &hints.machines).any(|hint| hint.same_content(machine));
        !same && machine.metadata(stamp::RELEASE) != self.release
    }
}

impl Moves {
    fn plan(fleet: &Fleet, wanted: &Wanted) -> Self {
        let foreign = fleet.registered().filter(|machine| wanted.is_foreign(machine)).map(|machine| machine.id.clone()).collect();
        let mut moves = Self { foreign, ..Self::default() };
        let (hints, going_back) = (&wanted.hints, wanted.back);
        for hint in hints.machines.iter().filter(|hint| !moves.foreign.contains(&hint.id)).cloned().collect::<Vec<_>>() {
            let Some(machine) = fleet.find(&hint.id) else {
                moves.gone.push(hint.id);
                continue;
            };
            if machine.cordoned {
                moves.uncordon.push(hint.id.clone());
            }
            if !hint.matches(machine) {
                moves.change.push((hint.clone(), machine.clone()));
            } else if hint.launched {
                moves.wake(machine, going_back);
            }
        }
        // A machine that somebody cloned from the revision meanwhile belongs to it.
        let kept = |machine: &Machine| hints.machines.iter().any(|hint| hint.id == machine.id || hint.same_content(machine));
        let stays = |machine: &Machine| kept(machine) || moves.foreign.contains(&machine.id);
        moves.cordon = fleet.registered().filter(|machine| !stays(machine)).cloned().collect();
        moves
    }

    /// Plans to start a machine that must run, and to see its health first. On the way back a machine that ran all the time is as good as
    /// it was before, and is not made to prove it: going back must not hang on what did not hold the old release up either.
    fn wake(&mut self, machine: &Machine, going_back: bool) {
        let asleep = ["stopped", "suspended", "created"].contains(&machine.state.as_str());
        let by_request = !machine.cordoned && machine.config().is_some_and(autostarts);
        if asleep && by_request {
            return;
        }
        let after = if asleep || going_back { machine.newest_event() } else { 0 };
        if asleep {
            self.start.push(machine.clone());
        }
        if asleep || (!going_back && machine.cordoned && judge(machine, after) != Word::Healthy) {
            self.prove.push(Awaited { id: machine.id.clone(), after, version: String::new() });
        }
    }

    fn nothing(&self) -> bool {
        self.start.is_empty() && self.prove.is_empty() && self.change.is_empty() && self.uncordon.is_empty() && self.cordon.is_empty()
    }

    /// Machines that others may be about to change as well: those that serve now.
    fn to_lease(&self) -> Vec<(String, String)> {
        let machines = self.cordon.iter().chain(self.change.iter().map(|(_, machine)| machine));
        machines.filter(|machine| machine.host_is_well()).map(|machine| (machine.id.clone(), machine.instance_id.clone())).collect()
    }
}

impl FlyTarget {
    pub(super) async fn serve_revision(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        let wanted = Wanted::of(scope, revision, &self.settings.app)?;
        let fleet = self.fleet_to_serve(scope).await?;
        let moves = Moves::plan(&fleet, &wanted);
        self.unless_foreign(&wanted, &moves)?;
        self.refuse_if_all_gone(&moves, &wanted.hints, revision)?;
        let changes = !moves.nothing();
        if changes {
            self.unless_cancelled(scope, "serve")?;
            if let Err(error) = Box::pin(self.serve_under_leases(scope, revision, &wanted, moves)).await {
                self.drop_leases().await;
                return Err(error);
            }
        }
        // What waits for this target need not wait for leases to be given back as well.
        let give_back = async {
            if changes {
                self.drop_leases().await;
            }
        };
        let (observed, ()) = futures_util::future::join(self.confirm(scope, &wanted), give_back).await;
        let (observed, foreign) = observed?;
        self.memory().went_forward = !wanted.back;
        if foreign.is_empty() { Ok(observed) } else { Err(self.foreign(&foreign)) }
    }

    /// Refuses to go forward over somebody's act; the way back goes round it.
    fn unless_foreign(&self, wanted: &Wanted, moves: &Moves) -> Result<(), PlatformError> {
        if wanted.back || moves.foreign.is_empty() { Ok(()) } else { Err(self.foreign(&moves.foreign)) }
    }

    fn foreign(&self, machines: &[String]) -> PlatformError {
        let text = format!("{} ({}) is neither as this release found it nor as it made it", in_number(machines.len()), machines.join(", "));
        self.error("serve", PlatformErrorKind::Foreign(text)).hint("look at it with `fly machine status`, then release again")
    }

    /// Returns the machines, as they were observed a moment ago if they were: right before cutting over everything is looked at anyway, and a
    /// list more would hold up the next one, since lists may be read once a second. Leases show what has changed in between.
    async fn fleet_to_serve(&self, scope: &Scope) -> Result<Fleet, PlatformError> {
        let looked = self.memory().looked.take();
        match looked {
            Some((at, fleet)) if scope.phase == Phase::CutOver && at.elapsed() < POLL => Ok(fleet),
            _ => self.fleet().await,
        }
    }

    async fn serve_under_leases(&self, scope: &Scope, revision: &Revision, wanted: &Wanted, mut moves: Moves) -> Result<(), PlatformError> {
        if self.take_leases(scope, &moves.to_lease()).await? {
            // Somebody changed a machine between the list and the lease.
            moves = Moves::plan(&self.fleet().await?, wanted);
            self.unless_foreign(wanted, &moves)?;
        }
        let work = async {
            if scope.turn.wait(&scope.shutdown).await {
                moves = Moves::plan(&self.fleet().await?, wanted);
                self.unless_foreign(wanted, &moves)?;
            }
            self.unless_cancelled(scope, "serve")?;
            self.converge(scope, revision, &wanted.hints, &moves).await
        };
        self.under_leases(work).await
    }

    async fn converge(&self, scope: &Scope, revision: &Revision, hints: &Hints, moves: &Moves) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        self.each(&moves.start, async |machine| self.start(machine).await).await?;
        self.await_healthy(scope, &moves.prove).await?;
        // What needs no change serves first, so that changing the others leaves somebody registered.
        let (changing, ready): (Vec<&String>, Vec<&String>) =
            moves.uncordon.iter().partition(|id| moves.change.iter().any(|(hint, _)| hint.id == **id));
        self.uncordon_all(scope, &ready).await?;
        self.change_all(scope, revision, hints, moves).await?;
        self.uncordon_all(scope, &changing).await?;
        if moves.cordon.is_empty() {
            return Ok(());
        }
        scope.step(&self.settings.target, format!("taking {} of before out of routing", in_number(moves.cordon.len())));
        self.each(&moves.cordon, async |machine| {
            let nonce = self.nonce(&machine.id);
            let cordoned = scope.changes.during(self.client.cordon_machine(app, &machine.id, nonce.as_deref())).await;
            self.memory().cordoned.insert(machine.id.clone(), Instant::now());
            // A machine on a dead host serves nobody; it is cordoned as well as can be.
            if machine.host_is_well() { cordoned } else { Ok(()) }
        })
        .await
    }

    async fn uncordon_all(&self, scope: &Scope, ids: &[&String]) -> Result<(), PlatformError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.unless_cancelled(scope, "uncordon_machine")?;
        scope.step(&self.settings.target, format!("registering {}", in_number(ids.len())));
        self.each(ids, async |id| {
            // From here on users may know it, whatever the answer says.
            self.memory().unseen.remove(*id);
            self.memory().cordoned.remove(*id);
            let nonce = self.nonce(id);
            scope.changes.during(self.client.uncordon_machine(&self.settings.app, id, nonce.as_deref())).await
        })
        .await
    }

    /// Starts a machine. Whether a lost answer started it is seen by waiting for it.
    async fn start(&self, machine: &Machine) -> Result<(), PlatformError> {
        match self.client.start_machine(&self.settings.app, &machine.id, self.nonce(&machine.id).as_deref()).await {
            Err(error) if error.ambiguous() => Ok(()),
            result => result,
        }
    }

    /// Changes machines in place, one after the other, each well before the next. Forward the first failure ends it; on the way back the
    /// others are taken back all the same, and the first failure is told at the end.
    async fn change_all(&self, scope: &Scope, revision: &Revision, hints: &Hints, moves: &Moves) -> Result<(), PlatformError> {
        let mut first_failure = None;
        for (index, (hint, machine)) in moves.change.iter().enumerate() {
            self.unless_cancelled(scope, "update_machine")?;
            scope.step(&self.settings.target, format!("machine {} of {}: {}", index + 1, moves.change.len(), hint.id));
            let Err(error) = self.change(scope, revision, hints, hint, machine).await else { continue };
            if scope.phase != Phase::RollBack || error.cancelled() {
                return Err(error);
            }
            first_failure.get_or_insert(error);
        }
        first_failure.map_or(Ok(()), Err)
    }

    async fn change(
        &self,
        scope: &Scope,
        revision: &Revision,
        hints: &Hints,
        hint: &MachineHint,
        machine: &Machine,
    ) -> Result<(), PlatformError> {
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
        let config = self.config_of(scope, revision, hints, hint, machine).await?;
        let body = UpdateMachine {
            config,
            skip_launch: !hint.launched,
            skip_service_registration: machine.cordoned,
            current_version: machine.instance_id.clone(),
            min_secrets_version: self.secrets_version(),
        };
        let version = scope.changes.during(self.update(hint, &body)).await?;
        if hint.launched {
            let awaited = Awaited { id: hint.id.clone(), after: machine.newest_event(), version };
            Box::pin(self.await_healthy(scope, &[awaited])).await?;
        }
        Ok(())
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

    /// Returns the config that a machine gets: its own earlier one, read from Fly, or what was rendered for it, made again.
    async fn config_of(
        &self,
        scope: &Scope,
        revision: &Revision,
        hints: &Hints,
        hint: &MachineHint,
        machine: &Machine,
    ) -> Result<MachineConfig, PlatformError> {
        let impossible = |why: String| self.error("update_machine", PlatformErrorKind::Impossible(why));
        let config = if hint.instance_id.is_empty() {
            let image = Image { reference: hint.image.clone(), digest: hint.image_digest.clone().unwrap_or_default() };
            let slot = Slot { group: hint.group.clone(), region: hint.region.clone(), old: Some(machine.clone()), launch: hint.launched };
            let record = self.memory().record.clone();
            let release = revision.release.as_deref().unwrap_or(scope.release.as_str());
            let ordinal = hints.machines.iter().position(|other| other.id == hint.id).unwrap_or_default();
            Rendering {
                settings: &self.settings,
                scope,
                release,
                revision: revision.digest.as_str(),
                image: &image,
                gets: &hints.gets,
                record: record.as_ref(),
            }
            .config(&slot, intent(release, ordinal))
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
            return Ok(config);
        }
        Err(impossible(format!("machine {} would not become what was prepared: its settings have changed meanwhile", hint.id)))
    }

    /// Updates a machine and returns its new version. The expected version fences, so a lost answer may be repeated once it was looked for.
    async fn update(&self, hint: &MachineHint, body: &UpdateMachine) -> Result<String, PlatformError> {
        let app = &self.settings.app;
        let mut lost = false;
        for _ in 0..3 {
            let error = match self.client.update_machine(app, &hint.id, body, self.nonce(&hint.id).as_deref()).await {
                Ok(machine) => return Ok(machine.instance_id),
                Err(error) => error,
            };
            let fenced = lost && matches!(error.kind, PlatformErrorKind::Conflict(_));
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

    /// Reads again until exactly this revision is registered, beside what is somebody else's.
    async fn confirm(&self, scope: &Scope, wanted: &Wanted) -> Result<(Observed, Vec<String>), PlatformError> {
        let until = Instant::now() + CONFIRM_LIMIT;
        loop {
            let fleet = self.fleet().await?;
            let moves = Moves::plan(&fleet, wanted);
            let left = moves.cordon.iter().filter(|machine| machine.host_is_well()).count();
            if moves.uncordon.is_empty() && left == 0 && moves.change.is_empty() {
                return Ok((observed(scope, &fleet), moves.foreign));
            }
            if Instant::now() >= until {
                return Err(self.timed_out("confirm", "the new registration being seen", CONFIRM_LIMIT));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Goes back to nothing: every machine of the revision is taken out of routing.
    pub(super) async fn unserve_revision(&self, scope: &Scope, revision: &Revision) -> Result<Observed, PlatformError> {
        let hints = Hints::of(revision, &self.settings.app)?;
        let until = Instant::now() + CONFIRM_LIMIT;
        loop {
            let fleet = self.fleet().await?;
            let ours = |machine: &&Machine| hints.machines.iter().any(|hint| hint.id == machine.id);
            let registered: Vec<Machine> = fleet.registered().filter(ours).cloned().collect();
            if registered.is_empty() {
                self.memory().went_forward = false;
                return Ok(observed(scope, &fleet));
            }
            if Instant::now() >= until {
                return Err(self.timed_out("unserve", "the machines leaving routing", CONFIRM_LIMIT));
            }
            self.each(&registered, async |machine| {
                scope.changes.during(self.client.cordon_machine(&self.settings.app, &machine.id, None)).await?;
                self.memory().cordoned.entry(machine.id.clone()).or_insert_with(Instant::now);
                Ok(())
            })
            .await?;
            tokio::time::sleep(POLL).await;
        }
    }

    fn refuse_if_all_gone(&self, moves: &Moves, hints: &Hints, revision: &Revision) -> Result<(), PlatformError> {
        if moves.gone.len() < hints.machines.len() {
            return Ok(());
        }
        let why = format!("no machine of {} is left: {}", revision.label, moves.gone.join(", "));
        Err(self
            .error("serve", PlatformErrorKind::NotFound(why))
            .hint(format!("deploy its image again: `fly deploy -a {} --image {}`", self.settings.app, hints.image)))
    }

    /// Does the same to each, at most [`CONCURRENCY`] at once; the first failure ends it.
    pub(super) async fn each<T>(&self, things: &[T], work: impl AsyncFn(&T) -> Result<(), PlatformError>) -> Result<(), PlatformError> {
        let work = &work;
        let futures = things.iter().map(|thing| async move { work(thing).await });
        futures_util::stream::iter(futures).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await.map(drop)
    }
}
