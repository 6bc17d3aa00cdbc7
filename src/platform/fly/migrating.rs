//! Migrate: the release command, in a machine of its own on the new image, once.
//!
//! The machine is made without being launched, and then started: a creation whose answer was lost can be repeated, since what is only
//! made runs nothing, and a machine that destroys itself when its process ends cannot run twice. By the release's stamp it is found again,
//! by the same process or by another one (fly.md 17).

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::fleet::Fleet;
use super::machine_config::{MachineConfig, RELEASE_COMMAND_GROUP, release_command};
use super::stamp::{self, Marks};
use super::wire::{CreateMachine, ExitEvent, Machine, object};
use super::{FlyTarget, LOOKUP_WINDOW, POLL, READ_LAG};
use crate::platform::{Artifact, Migration, MigrationEnd, MigrationResult, Observed, PlatformError, PlatformErrorKind, Scope};

/// How long a release command may run unless fly.toml says otherwise; Fly's own default.
pub(super) const RELEASE_COMMAND_LIMIT: Duration = Duration::from_mins(5);
/// How often a creation or a start whose answer was lost is tried.
const TRIES: u32 = 3;
/// How much longer than its limit a machine of a dead runner is waited for before it is ended.
const START_MARGIN: Duration = Duration::from_secs(60);
/// How many lines of a failed command are told.
const LINES: usize = 100;
/// How long the last lines of a failed command are waited for; they appear after its end.
const STRAGGLERS: Duration = Duration::from_secs(5);
/// What Fly's init writes last.
const LAST_LINE: &str = "Main child exited";
/// States of a machine that has not been launched, or has ended.
const RESTING: [&str; 4] = ["created", "stopped", "failed", "suspended"];

impl FlyTarget {
    /// Returns the release command of fly.toml as a migration.
    pub(super) fn release_command(&self) -> Option<Migration> {
        let deploy = &self.settings.config.deploy;
        let command = deploy.release_command.clone()?;
        let limit = deploy.release_command_timeout.unwrap_or(Some(RELEASE_COMMAND_LIMIT));
        Some(Migration {
            command,
            breaking: self.settings.breaking,
            limit_ms: limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            database: self.settings.database.as_ref().map(|database| format!("app {}", database.app)),
        })
    }

    /// Runs the release command of `scope`'s release on the image, or finds the machine that does; returns how it ended.
    pub(super) async fn run_release_command(
        &self,
        scope: &Scope,
        artifact: &Artifact,
        before: &Observed,
    ) -> Result<MigrationResult, PlatformError> {
        let nothing = || self.error("migrate", PlatformErrorKind::Impossible("fly.toml has no release_command".to_owned()));
        let migration = self.release_command().ok_or_else(nothing)?;
        let limit = migration.limit_ms.map(Duration::from_millis);
        let fleet = self.fleet().await?;
        self.nobody_else_migrates(scope, &fleet)?;
        let found = match own(&fleet, scope) {
            Some(machine) => machine.clone(),
            None => self.create_command_machine(scope, artifact, before, &fleet).await?,
        };
        scope.step(&self.settings.target, format!("machine {} runs `{}`", found.id, migration.command));
        self.start_once(scope, &found).await?;
        let until = limit.map(|limit| Instant::now() + limit);
        scope.step(&self.settings.target, format!("waiting for the end of machine {}", found.id));
        let work = self.await_end(&found.id, until);
        let end = self.or_cancelled(scope, "migrate", work).await?;
        self.memory().migrated = Some((scope.release.as_str().to_owned(), end.clone()));
        Ok(self.with_lines(scope, &found.id, end).await)
    }

    /// Waits for the end of a release command that `scope`'s release may have begun; what was only made is removed and never runs.
    pub(super) async fn settle_release_command(&self, scope: &Scope, migration: &Migration) -> Result<MigrationEnd, PlatformError> {
        let remembered = self.memory().migrated.clone();
        if let Some((_, end)) = remembered.filter(|(release, _)| release == scope.release.as_str()) {
            return Ok(end);
        }
        let Some(mut machine) = self.command_machine(scope).await? else { return Ok(MigrationEnd::NeverRan) };
        let until = Instant::now() + self.wait_deadline();
        while machine.state == "creating" && Instant::now() < until {
            tokio::time::sleep(POLL).await;
            let Some(now) = self.client.get_machine(&self.settings.app, &machine.id).await? else { break };
            machine = now;
        }
        if let Some(end) = ended(&machine) {
            return Ok(end);
        }
        if RESTING.contains(&machine.state.as_str()) && !has_started(&machine) {
            self.client.destroy_machine(&self.settings.app, &machine.id).await?;
            // Its start may have come just before its end did.
            let machine = self.client.get_machine(&self.settings.app, &machine.id).await?;
            return match machine.filter(has_started) {
                Some(machine) => Ok(ended(&machine).unwrap_or_else(|| unknown(&machine.id))),
                None => Ok(MigrationEnd::NeverRan),
            };
        }
        scope.step(&self.settings.target, format!("machine {} still runs `{}`; waiting for its end", machine.id, migration.command));
        let until = migration.limit_ms.map(|limit| Instant::now() + Duration::from_millis(limit) + START_MARGIN);
        let end = self.or_ended_now(scope, self.await_end(&machine.id, until)).await?;
        self.memory().migrated = Some((scope.release.as_str().to_owned(), end.clone()));
        Ok(end)
    }

    /// Two migrations at once are nobody's wish: one of somebody else that runs now stops this one.
    fn nobody_else_migrates(&self, scope: &Scope, fleet: &Fleet) -> Result<(), PlatformError> {
        let mut others = fleet.temporary.iter().filter(|machine| machine.group() == RELEASE_COMMAND_GROUP && !is_own(machine, scope));
        let Some(other) = others.find(|machine| !RESTING.contains(&machine.state.as_str())) else { return Ok(()) };
        let why = format!("machine {} runs a release command of somebody else", other.id);
        Err(self.error("migrate", PlatformErrorKind::Conflict(why)).hint("wait for its end, then release again"))
    }

    async fn create_command_machine(
        &self,
        scope: &Scope,
        artifact: &Artifact,
        before: &Observed,
        fleet: &Fleet,
    ) -> Result<Machine, PlatformError> {
        let body = self.command_body(scope, artifact, before, fleet).await?;
        let mut tries = 0;
        loop {
            self.unless_cancelled(scope, "create_machine")?;
            tries += 1;
            match self.client.create_machine(&self.settings.app, &body).await {
                Ok(machine) if !machine.id.is_empty() => return Ok(machine),
                Ok(_) if tries >= TRIES => {
                    return Err(self.error("create_machine", PlatformErrorKind::Unexpected("the new machine has no id".to_owned())));
                }
                Err(error) if !error.ambiguous() || tries >= TRIES => return Err(error),
                Ok(_) | Err(_) => {}
            }
            scope.step(&self.settings.target, "the answer to a creation was lost; looking for the machine");
            if let Some(machine) = self.command_machine(scope).await? {
                return Ok(machine);
            }
        }
    }

    async fn command_body(
        &self,
        scope: &Scope,
        artifact: &Artifact,
        before: &Observed,
        fleet: &Fleet,
    ) -> Result<CreateMachine, PlatformError> {
        let config = &self.settings.config;
        let image = self.image(artifact)?;
        let nothing = || self.error("migrate", PlatformErrorKind::Impossible("fly.toml has no release_command".to_owned()));
        let mut machine: MachineConfig =
            release_command(config, &image.reference, largest(fleet, config.default_group()).as_ref()).ok_or_else(nothing)?;
        let record = self.begin_record(scope, &image).await;
        let revision = self.would_be(artifact, before).await?;
        Marks {
            product: &scope.product,
            environment: &scope.environment,
            release: scope.release.as_str(),
            revision: revision.as_str(),
            intent: intent(scope),
            sized: false,
            gets: &[],
            record: record.as_ref(),
        }
        .put(&mut machine);
        let anywhere = || fleet.registered().next().map(|machine| machine.region.clone()).unwrap_or_default();
        let region = config.primary_region.clone().filter(|region| !region.is_empty()).unwrap_or_else(anywhere);
        Ok(CreateMachine {
            config: machine,
            region,
            skip_launch: true,
            skip_service_registration: true,
            min_secrets_version: self.secrets_version(),
        })
    }

    /// Finds the machine of the release, among those that are gone as well; lists lag, so one look is not enough.
    async fn command_machine(&self, scope: &Scope) -> Result<Option<Machine>, PlatformError> {
        let until = Instant::now() + LOOKUP_WINDOW;
        loop {
            let all = self.client.list_machines_and_deleted(&self.settings.app).await?;
            // Of several, which only lost answers make, the one that was started counts.
            let mut ours: Vec<Machine> = all.into_iter().filter(|machine| is_own(machine, scope)).collect();
            ours.sort_by_key(|machine| !has_started(machine));
            if let Some(machine) = ours.into_iter().next() {
                return Ok(Some(machine));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts the machine, unless it was started. A start whose answer was lost is looked for: the same machine runs once at most, since it
    /// destroys itself.
    async fn start_once(&self, scope: &Scope, machine: &Machine) -> Result<(), PlatformError> {
        let app = &self.settings.app;
        if has_started(machine) {
            return Ok(());
        }
        self.await_made(machine).await?;
        for tries in 1.. {
            self.unless_cancelled(scope, "start_machine")?;
            let error = match self.client.start_machine(app, &machine.id, None).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let until = Instant::now() + LOOKUP_WINDOW;
            loop {
                match self.client.get_machine(app, &machine.id).await? {
                    // A refused start of one that has run is the echo of a start whose answer was lost.
                    Some(seen) if has_started(&seen) || !RESTING.contains(&seen.state.as_str()) => return Ok(()),
                    None => return Ok(()),
                    Some(_) => {}
                }
                if !error.ambiguous() {
                    return Err(error);
                }
                if Instant::now() >= until {
                    break;
                }
                tokio::time::sleep(POLL).await;
            }
            if tries >= TRIES {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits until a machine that was just created rests: what is being placed cannot be started.
    async fn await_made(&self, machine: &Machine) -> Result<(), PlatformError> {
        let limit = self.wait_deadline();
        let until = Instant::now() + limit;
        let mut seen = Some(machine.clone());
        loop {
            match &seen {
                Some(machine) if machine.state == "failed" => {
                    return Err(self.unhealthy(format!("machine {} could not be made", machine.id)));
                }
                Some(machine) if RESTING.contains(&machine.state.as_str()) || has_started(machine) => return Ok(()),
                Some(machine) if ["destroyed", "destroying", "launch_failed"].contains(&machine.state.as_str()) => {
                    return Err(self.unhealthy(format!("machine {} could not be launched", machine.id)));
                }
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out("await_created", format!("machine {} being made", machine.id), limit));
            }
            let once = left.min(Duration::from_secs(10));
            if self.client.wait_once(&self.settings.app, &machine.id, &["stopped"], Some(&machine.instance_id), once).await?
                != super::api::Waited::Reached
            {
                tokio::time::sleep(POLL).await;
            }
            seen = self.client.get_machine(&self.settings.app, &machine.id).await?;
        }
    }

    /// Waits for the end of a machine's process, at most until then; a machine that is still there then is ended.
    async fn await_end(&self, id: &str, until: Option<Instant>) -> Result<MigrationEnd, PlatformError> {
        let app = &self.settings.app;
        let mut missing: Option<Instant> = None;
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let once = left.unwrap_or(Duration::from_secs(20)).min(Duration::from_secs(20));
            let waited = self.client.wait_once(app, id, &["destroyed"], None, once).await?;
            match self.client.get_machine(app, id).await? {
                Some(machine) => {
                    if let Some(end) = ended(&machine) {
                        return Ok(end);
                    }
                    missing = None;
                    if ["destroyed", "launch_failed", "failed"].contains(&machine.state.as_str()) {
                        return Ok(if has_started(&machine) { unknown(id) } else { MigrationEnd::NeverRan });
                    }
                }
                // Just after its creation a machine may not be found yet (fly.md 6); one that stays away is gone.
                None if missing.get_or_insert_with(Instant::now).elapsed() > READ_LAG => return Ok(unknown(id)),
                None => {}
            }
            if left.is_some_and(|left| left.is_zero()) {
                return self.end_by_force(id).await;
            }
            if waited != super::api::Waited::NotYet {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn end_by_force(&self, id: &str) -> Result<MigrationEnd, PlatformError> {
        self.client.destroy_machine(&self.settings.app, id).await?;
        self.client.wait_once(&self.settings.app, id, &["destroyed"], None, Duration::from_secs(30)).await?;
        // Its process may have ended by itself at the last moment.
        let machine = self.client.get_machine(&self.settings.app, id).await?;
        let by_itself = machine.as_ref().and_then(exit_of).filter(|exit| !exit.requested_stop);
        Ok(by_itself.map_or(MigrationEnd::TimedOut, |exit| MigrationEnd::Exited { code: code_of(&exit) }))
    }

    /// Adds the command's last lines to what is told of its end. That they cannot be read hides nothing: the exit code decides.
    async fn with_lines(&self, scope: &Scope, id: &str, end: MigrationEnd) -> MigrationResult {
        let app = &self.settings.app;
        let until = Instant::now() + if end.succeeded() { Duration::ZERO } else { STRAGGLERS };
        let lines = loop {
            match self.client.lines_of(app, id).await {
                Ok(lines) if lines.iter().any(|line| line.starts_with(LAST_LINE)) || Instant::now() >= until => break Ok(lines),
                Err(error) => break Err(error),
                Ok(_) => tokio::time::sleep(POLL).await,
            }
        };
        let mut hints = Vec::new();
        match lines {
            Ok(lines) if lines.is_empty() => hints.push(format!("its log: `fly logs -a {app} --machine {id}`")),
            Ok(mut lines) => {
                let lines = lines.split_off(lines.len().saturating_sub(LINES));
                for line in &lines {
                    scope.step(&self.settings.target, format!("| {line}"));
                }
                hints.push(format!("its last lines:\n{}", lines.join("\n")));
            }
            Err(error) => {
                let why = format!("its lines cannot be read: {error}; type `fly logs -a {app} --machine {id}`");
                scope.step(&self.settings.target, why.clone());
                hints.push(why);
            }
        }
        MigrationResult { end, hints }
    }

    /// Does `work` unless a second signal ends everything: the way back is not ended by the first.
    async fn or_ended_now<T>(&self, scope: &Scope, work: impl Future<Output = Result<T, PlatformError>>) -> Result<T, PlatformError> {
        tokio::select! {
            biased;
            result = work => result,
            () = scope.shutdown.at_least(crate::shutdown::Level::Now) => Err(self.error("migrate", PlatformErrorKind::Cancelled)),
        }
    }
}

/// Returns the key by which a release finds its machine again.
fn intent(scope: &Scope) -> String {
    format!("{}/migration", scope.release)
}

fn is_own(machine: &Machine, scope: &Scope) -> bool {
    stamp::is_ours(machine, &scope.product, &scope.environment) && machine.metadata(stamp::INTENT) == intent(scope)
}

fn own<'a>(fleet: &'a Fleet, scope: &Scope) -> Option<&'a Machine> {
    fleet.temporary.iter().find(|machine| is_own(machine, scope))
}

/// Returns whether a machine's process was ever begun: made without a launch, it has no such event before.
fn has_started(machine: &Machine) -> bool {
    machine.events.iter().any(|event| ["start", "exit"].contains(&event.kind.as_str()))
}

/// Returns how a machine's process ended, if it has.
fn exit_of(machine: &Machine) -> Option<ExitEvent> {
    let began = machine.events.iter().filter(|event| event.kind == "start").map(|event| event.timestamp).max().unwrap_or(0);
    machine.events.iter().filter(|event| event.timestamp >= began).find_map(super::wire::MachineEvent::exit)
}

fn ended(machine: &Machine) -> Option<MigrationEnd> {
    let exit = exit_of(machine)?;
    Some(match code_of(&exit) {
        0 if exit.requested_stop => MigrationEnd::Unknown { why: format!("machine {} was stopped by somebody", machine.id) },
        code => MigrationEnd::Exited { code },
    })
}

/// Returns the exit code; a process that a signal ended has none, and a zero beside one is no success.
fn code_of(exit: &ExitEvent) -> i64 {
    match exit {
        ExitEvent { exit_code: 0, oom_killed: true, .. } => 137,
        ExitEvent { exit_code: 0, guest_signal: signal @ 1.., .. } => 128 + signal,
        ExitEvent { exit_code, .. } => *exit_code,
    }
}

fn unknown(id: &str) -> MigrationEnd {
    MigrationEnd::Unknown { why: format!("machine {id} is gone, and its exit code with it") }
}

/// Returns the size of the machine of the default group that has the most memory, whose size the command gets (fly.md 17).
fn largest(fleet: &Fleet, group: &str) -> Option<Map<String, Value>> {
    let machines = fleet.registered().filter(|machine| fleet.group(machine) == group);
    let guests = machines.map(|machine| object(machine.config().and_then(|config| config.get("guest"))));
    let memory = |guest: &Map<String, Value>| guest.get("memory_mb").and_then(Value::as_u64);
    guests.filter(|guest| memory(guest).is_some()).max_by_key(memory)
}
