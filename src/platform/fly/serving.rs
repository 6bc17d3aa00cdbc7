//! Serve: convergence to one revision, whatever is there, and whichever way that is.
//!
//! What the revision needs is started, changed and proven first; then it is registered; only then is everything else of the app taken out
//! of routing. At no moment is nobody registered, and each step is safe to repeat, after a death at any point and with any revision.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::fleet::Fleet;
use super::hints::{Hints, runs};
use super::in_number;
use super::moves::{Moves, Wanted, Wave, is_standby, works_unasked};
use super::observing::observed;
use super::stamp;
use super::wire::Machine;
use super::{CONCURRENCY, FlyTarget, LOOKUP_WINDOW, POLL};
use crate::event::Phase;
use crate::platform::{Observed, PlatformError, PlatformErrorKind, Revision, Scope};

/// How long a registration may take to be seen when read again.
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);
/// How often a start whose answer was lost is tried.
const STARTS: u32 = 3;
/// States of a machine that nothing has started.
const ASLEEP: [&str; 3] = ["created", "stopped", "suspended"];

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
        // A lease may take as long to get as others last: those in hand are renewed meanwhile.
        let work = async {
            if self.take_leases(scope, &moves.to_lease()).await? {
                // Somebody changed a machine between the list and the lease.
                moves = Moves::plan(&self.fleet().await?, wanted);
                self.unless_foreign(wanted, &moves)?;
            }
            if scope.turn.wait(&scope.shutdown).await {
                moves = Moves::plan(&self.fleet().await?, wanted);
                self.unless_foreign(wanted, &moves)?;
            }
            self.unless_cancelled(scope, "serve")?;
            if self.converge(scope, revision, wanted, &moves).await? {
                // New machines have taken the places of some: these are registered now, and those are not any more.
                moves = Moves::plan(&self.fleet().await?, wanted);
                self.unless_cancelled(scope, "serve")?;
                self.converge(scope, revision, wanted, &moves).await?;
            }
            Ok(())
        };
        self.under_leases(work).await
    }

    /// Returns whether machines were made that take the places of others: then there is more to do.
    async fn converge(&self, scope: &Scope, revision: &Revision, wanted: &Wanted, moves: &Moves) -> Result<bool, PlatformError> {
        for (wave, unasked) in moves.waves(self.settings.workers_first, wanted.back) {
            let (changing, ready): (Vec<&String>, Vec<&String>) =
                wave.uncordon.iter().partition(|id| wave.change.iter().any(|(hint, _)| hint.id == **id));
            self.each(&wave.start, async |machine| self.start(machine).await).await?;
            self.await_healthy(scope, &wave.prove).await?;
            // What needs no change serves first, so that changing the others leaves somebody registered. A worker that is registered is one that
            // works: what is found so after a death at any point is known by that.
            self.uncordon_all(scope, &ready).await?;
            if self.change_all(scope, revision, wanted, wave).await? {
                return Ok(true);
            }
            self.uncordon_all(scope, &changing).await?;
            self.mark_added(scope, wave).await?;
            if unasked { self.retire(scope, wave).await? } else { self.unregister(scope, wave).await? }
        }
        Ok(false)
    }

    /// Marks what a person has added and what leaves with the others: no record names it, and whoever goes on or back must find it.
    async fn mark_added(&self, scope: &Scope, wave: &Wave) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        self.each(&wave.added, async |id| {
            self.memory().added.insert(id.clone());
            self.client.set_metadata(app, id, stamp::LEAVING, scope.release.as_str()).await
        })
        .await
    }

    async fn unregister(&self, scope: &Scope, wave: &Wave) -> Result<(), PlatformError> {
        // A machine on a dead host serves nobody, and nothing can be said to it.
        let leaving: Vec<&Machine> = wave.cordon.iter().filter(|machine| machine.host_is_well()).collect();
        if leaving.is_empty() {
            return Ok(());
        }
        scope.step(&self.settings.target, format!("taking {} of before out of routing", in_number(leaving.len())));
        self.each(&leaving, async |machine| {
            let nonce = self.nonce(&machine.id);
            let cordoned = scope.changes.during(self.client.cordon_machine(&self.settings.app, &machine.id, nonce.as_deref())).await;
            self.memory().cordoned.insert(machine.id.clone(), Instant::now());
            cordoned
        })
        .await
    }

    /// Lets workers end what they do, by their own signal and within their own time, and keeps them stopped: stopped, then marked as leaving,
    /// so that one that runs is never taken for one that has left.
    async fn retire(&self, scope: &Scope, wave: &Wave) -> Result<(), PlatformError> {
        let leaving: Vec<&Machine> = wave.cordon.iter().filter(|machine| machine.host_is_well()).collect();
        if leaving.is_empty() {
            return Ok(());
        }
        scope.step(&self.settings.target, format!("draining and stopping {} of before", in_number(leaving.len())));
        self.each(&leaving, async |machine| {
            let nonce = self.nonce(&machine.id);
            if runs(machine) && !is_standby(machine) {
                self.client.stop_worker(&self.settings.app, &machine.id, machine.config(), nonce.as_deref()).await?;
                self.await_stopped(machine).await?;
            }
            self.client.cordon_machine(&self.settings.app, &machine.id, nonce.as_deref()).await
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

    /// Starts a machine. After a lost answer it is looked at, and started once more where it still rests: a second start of one that runs changes
    /// nothing.
    async fn start(&self, machine: &Machine) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        for tries in 1.. {
            let error = match self.client.start_machine(app, &machine.id, self.nonce(&machine.id).as_deref()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.ambiguous() && tries == 1 {
                return Err(error);
            }
            let until = Instant::now() + LOOKUP_WINDOW;
            loop {
                let seen = self.client.get_machine(app, &machine.id).await?;
                if seen.is_none_or(|seen| !ASLEEP.contains(&seen.state.as_str())) {
                    return Ok(());
                }
                if !error.ambiguous() {
                    return Err(error);
                }
                if Instant::now() >= until {
                    break;
                }
                tokio::time::sleep(POLL).await;
            }
            if tries >= STARTS {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads again until exactly this revision is registered, beside what is somebody else's.
    async fn confirm(&self, scope: &Scope, wanted: &Wanted) -> Result<(Observed, Vec<String>), PlatformError> {
        let until = Instant::now() + CONFIRM_LIMIT;
        loop {
            let fleet = self.fleet().await?;
            let moves = Moves::plan(&fleet, wanted);
            let left = |wave: &Wave| wave.cordon.iter().any(Machine::host_is_well);
            let done = |wave: &Wave| wave.uncordon.is_empty() && wave.change.is_empty() && !left(wave);
            // What this release has made is all there, what does not run as well: an answer alone is no proof.
            let whole = wanted.back || moves.gone.is_empty();
            if whole && done(&moves.services) && done(&moves.workers) {
                return Ok((observed(scope, &fleet), moves.foreign));
            }
            if Instant::now() >= until && !whole {
                let why = format!("machine {} of this release is gone", moves.gone.join(", "));
                return Err(self.error("confirm", PlatformErrorKind::NotFound(why)).hint("release again"));
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
                if works_unasked(machine) && runs(machine) {
                    self.client.stop_worker(&self.settings.app, &machine.id, machine.config(), None).await?;
                    self.await_stopped(machine).await?;
                }
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
