//! Waiting until machines are well, at most so long, and not a moment after one of them has crashed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::api::Waited;
use super::fleet::Fleet;
use super::health::{Word, autostarts, has_checks, judge, life_began, rests};
use super::hints::{Hints, runs};
use super::in_number;
use super::moves::works_unasked;
use super::wire::Machine;
use super::{FlyTarget, POLL, READ_LAG};
use crate::http::Platform;
use crate::platform::{Health, PlatformError, PlatformErrorKind, Revision, Scope};
use crate::shutdown::Level;

/// A machine that is waited for.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    pub(super) id: String,
    /// Exits up to this event time belong to an earlier life.
    pub(super) after: i64,
    /// The version that shall start; empty for any.
    pub(super) version: String,
}

impl Awaited {
    /// Returns the event time up to which exits belong to an earlier life: what ended again and again may have done so once more between the
    /// look at it and its update.
    fn since(&self, machine: &Machine) -> i64 {
        let updated = !self.version.is_empty() && self.version == machine.instance_id;
        if updated { self.after.max(life_began(machine)) } else { self.after }
    }
}

impl FlyTarget {
    /// Waits until every machine is started and every check passes; fails at once when one crashes, with its exit and its last lines.
    pub(super) async fn await_healthy(&self, scope: &Scope, awaited: &[Awaited]) -> Result<(), PlatformError> {
        if awaited.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + self.wait_deadline();
        let work = async {
            self.await_started(awaited, until).await?;
            self.await_checks(scope, awaited, until).await
        };
        self.or_cancelled(scope, "await_healthy", work).await
    }

    /// Does `work` unless the run is cancelled meanwhile.
    pub(super) async fn or_cancelled<T>(
        &self,
        scope: &Scope,
        operation: &'static str,
        work: impl Future<Output = Result<T, PlatformError>>,
    ) -> Result<T, PlatformError> {
        tokio::select! {
            biased;
            result = work => result,
            () = scope.shutdown.at_least(Level::Drain) => Err(self.error(operation, PlatformErrorKind::Cancelled)),
        }
    }

    /// Refuses to begin something new once the run is cancelled.
    pub(super) fn unless_cancelled(&self, scope: &Scope, operation: &'static str) -> Result<(), PlatformError> {
        if scope.shutdown.level() >= Level::Drain { Err(self.error(operation, PlatformErrorKind::Cancelled)) } else { Ok(()) }
    }

    async fn await_started(&self, awaited: &[Awaited], until: Instant) -> Result<(), PlatformError> {
        // One stands for all: the others are seen in the lists that follow, which cost one request however many they are.
        match awaited.last() {
            Some(last) => self.await_one_started(last, until).await,
            None => Ok(()),
        }
    }

    async fn await_one_started(&self, awaited: &Awaited, until: Instant) -> Result<(), PlatformError> {
        let (app, id) = (&self.settings.app, &awaited.id);
        let version = Some(awaited.version.as_str()).filter(|version| !version.is_empty());
        let born = Instant::now();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A minute at most per call; shorter ones see a crash that left the machine in no awaited state.
            let once = left.min(Duration::from_secs(10));
            let waited = self.client.wait_once(app, id, &["started"], version, once).await?;
            if waited == Waited::Reached {
                return Ok(());
            }
            // Just after its creation a machine may not be found yet (fly.md 6).
            let machine = self.client.get_machine(app, id).await?;
            match machine {
                Some(machine) => self.fail_on_crash(&machine, awaited.since(&machine)).await?,
                None if born.elapsed() > READ_LAG => return Err(self.unhealthy(format!("machine {id} is gone"))),
                None => {}
            }
            if left.is_zero() {
                return Err(self.timed_out("await_started", format!("machine {id} starting"), self.wait_deadline()));
            }
            if waited != Waited::NotYet {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn await_checks(&self, scope: &Scope, awaited: &[Awaited], until: Instant) -> Result<(), PlatformError> {
        let mut well_since: Option<Instant> = None;
        let mut told = usize::MAX;
        loop {
            let fleet = self.fleet().await?;
            let words = self.words(&fleet, awaited).await?;
            let well = words.iter().filter(|word| **word == Word::Healthy).count();
            if well != told {
                scope.step(&self.settings.target, format!("{well} of {} healthy", in_number(awaited.len())));
                told = well;
            }
            if well == words.len() {
                let since = *well_since.get_or_insert_with(Instant::now);
                let margin = self.smoke_margin_of(&fleet, awaited);
                if since.elapsed() >= margin {
                    return Ok(());
                }
            } else {
                well_since = None;
            }
            if Instant::now() >= until {
                return Err(self.never_healthy(&words));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn words(&self, fleet: &Fleet, awaited: &[Awaited]) -> Result<Vec<Word>, PlatformError> {
        let mut words = Vec::with_capacity(awaited.len());
        for one in awaited {
            let Some(machine) = fleet.find(&one.id) else {
                // Lists lag behind creations; what is really gone is seen by its state or by the deadline.
                words.push(Word::Unknown(format!("machine {} is not listed", one.id)));
                continue;
            };
            let since = one.since(machine);
            self.fail_on_crash(machine, since).await?;
            words.push(judge(machine, since));
        }
        Ok(words)
    }

    /// Returns how long machines without any check must stay up before they count as well; zero when Fly checks them.
    fn smoke_margin_of(&self, fleet: &Fleet, awaited: &[Awaited]) -> Duration {
        let unchecked = awaited.iter().filter_map(|one| fleet.find(&one.id)?.config()).any(|config| !has_checks(config));
        if unchecked { self.smoke_margin() } else { Duration::ZERO }
    }

    async fn fail_on_crash(&self, machine: &Machine, after: i64) -> Result<(), PlatformError> {
        let Word::Crashed(why) = judge(machine, after) else { return Ok(()) };
        let mut error = self.unhealthy(why);
        let lines = self.client.last_lines(&self.settings.app, &machine.id, 20).await;
        if lines.is_empty() {
            error.hints.push(format!("its log: `fly logs -a {} --machine {}`", self.settings.app, machine.id));
        } else {
            error.hints.push(format!("its last lines:\n{}", lines.join("\n")));
        }
        Err(error)
    }

    fn never_healthy(&self, words: &[Word]) -> PlatformError {
        let limit = self.wait_deadline();
        let failing: Vec<_> =
            words.iter().filter_map(|word| if let Word::Failing(why, gets) = word { Some((why, gets)) } else { None }).collect();
        let unknown = words.iter().find_map(|word| if let Word::Unknown(why) = word { Some(why.clone()) } else { None });
        match (failing.iter().find(|(_, gets)| gets.is_empty()).or(failing.first()), &unknown) {
            (Some((why, gets)), None) if !gets.is_empty() => {
                let ordinals: BTreeSet<usize> = failing.iter().flat_map(|(_, gets)| gets.iter().copied()).collect();
                let why = format!("{why}; waited {limit:?}");
                self.error("await_healthy", PlatformErrorKind::CheckFailing { ordinals: ordinals.into_iter().collect(), why })
            }
            (Some((why, _)), _) => self.unhealthy(format!("{why}; waited {limit:?}")),
            (None, _) => self.timed_out("await_checks", format!("health ({})", unknown.unwrap_or_default()), limit),
        }
    }

    pub(super) fn unhealthy(&self, why: impl Into<String>) -> PlatformError {
        self.error("await_healthy", PlatformErrorKind::Unhealthy(why.into()))
    }

    pub(super) fn timed_out(&self, operation: &'static str, what: impl Into<String>, limit: Duration) -> PlatformError {
        self.error(operation, PlatformErrorKind::TimedOut { what: what.into(), limit })
    }

    /// Returns an error about the app that no single answer caused.
    pub(super) fn error(&self, operation: &'static str, kind: PlatformErrorKind) -> PlatformError {
        PlatformError::new(Platform::Fly, operation, format!("app {}", self.settings.app), kind)
    }
}

impl FlyTarget {
    /// Returns the word on a whole revision, at once. What is only rendered has none.
    pub(super) async fn probe_revision(&self, revision: &Revision) -> Result<Health, PlatformError> {
        let hints = Hints::of(revision, &self.settings.app)?;
        if hints.machines.iter().any(|hint| hint.instance_id.is_empty()) {
            return Ok(Health::Unknown("its machines become it only when it serves".to_owned()));
        }
        let fleet = self.fleet().await?;
        let mut health = Health::Healthy;
        for hint in hints.machines.iter().filter(|hint| hint.launched) {
            let Some(machine) = fleet.find(&hint.id) else { return Ok(Health::Unhealthy(format!("machine {} is gone", hint.id))) };
            // A worker that is not registered yet starts when it serves.
            if machine.cordoned && works_unasked(machine) && !runs(machine) {
                continue;
            }
            // A machine that sleeps until a request comes is as well as it was.
            if machine.state == "stopped" && !machine.cordoned && machine.config().is_some_and(autostarts) {
                continue;
            }
            // One that was kept and told to stop is started again before it serves.
            if machine.cordoned && rests(machine) {
                continue;
            }
            match judge(machine, life_began(machine)) {
                Word::Healthy => {}
                Word::Crashed(why) | Word::Failing(why, _) => return Ok(Health::Unhealthy(why)),
                Word::Unknown(why) => health = Health::Unknown(why),
            }
        }
        Ok(health)
    }
}
