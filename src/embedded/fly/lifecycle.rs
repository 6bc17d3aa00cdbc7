//! What happens to a machine over time: launch, exit, stop, replacement, end.
//!
//! Every commanded transition raises the machine's epoch; what was planned under an older epoch does not happen any more.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::config;
use super::container::ContainerEngine;
use super::exit::{End, Exit, KILLED};
use super::machine::{Machine, MachineState};
use super::responder::{self, Behaviour, StartFailure};
use super::state::{LogLine, Now};
use crate::embedded::ground::lock;

/// What a replaced or stopped machine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Stay(MachineState),
    Launch,
}

/// How soon a program that cannot run at all has exited.
const CRASH_AFTER: Duration = Duration::from_millis(20);

impl Inner {
    /// Changes a machine, then brings routes and waits up to date; `None` when there is no such machine.
    pub(super) fn change<R>(self: &Arc<Self>, app: &str, id: &str, change: impl FnOnce(&mut Machine, Now) -> R) -> Option<R> {
        let now = self.now();
        let result = lock(&self.state).machine_mut(app, id).map(|machine| change(machine, now));
        self.settle(app);
        result
    }

    /// Changes a machine as [`Inner::change`] does, unless it was commanded to do something else since `epoch`.
    pub(super) fn change_at<R>(
        self: &Arc<Self>,
        app: &str,
        id: &str,
        epoch: u64,
        change: impl FnOnce(&mut Machine, Now) -> R,
    ) -> Option<R> {
        self.change(app, id, |machine, now| (machine.epoch == epoch).then(|| change(machine, now))).flatten()
    }

    /// Routes `app` anew and wakes everyone who waits for a machine.
    pub(super) fn settle(self: &Arc<Self>, app: &str) {
        self.reroute(app);
        self.changes.notify_waiters();
    }

    /// Runs `work` after `after` unless the world ends first.
    fn later<F>(self: &Arc<Self>, after: Duration, work: impl FnOnce(Arc<Self>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let me = Arc::clone(self);
        self.ground.spawn_after(after, async move { work(me).await });
    }

    /// Takes a new machine out of `creating`, after `hold` if it has to wait for something.
    pub(super) fn place(self: &Arc<Self>, app: &str, id: &str, epoch: u64, then: Then, hold: Duration) {
        let (app, id) = (app.to_owned(), id.to_owned());
        self.later(self.switches().pace.create + hold, move |me| async move { me.proceed(&app, &id, epoch, then) });
    }

    fn proceed(self: &Arc<Self>, app: &str, id: &str, epoch: u64, then: Then) {
        match then {
            Then::Launch => self.launch(app, id, epoch),
            Then::Stay(state) => {
                self.change_at(app, id, epoch, |machine, _| machine.state = state);
            }
        }
    }

    /// Returns why a machine cannot start at all, if it cannot.
    fn start_failure(&self, app: &str, id: &str) -> Option<StartFailure> {
        let state = lock(&self.state);
        let machine = state.machine(app, id)?;
        match machine.behaviour {
            Behaviour::FailsToStart(why) => Some(why),
            _ if !machine.pulled => Some(StartFailure::Image),
            _ => None,
        }
    }

    /// Ends a start that cannot succeed: a machine that has never run goes by `launch_failed` and is destroyed, another one stays `failed`.
    ///
    /// Source: fly.io/docs/machines/machine-states.
    fn launch_failed(self: &Arc<Self>, app: &str, id: &str, epoch: u64, why: StartFailure) {
        let event = self.ulid();
        let first = self.change_at(app, id, epoch, |machine, now| {
            machine.state = if machine.ran { MachineState::Failed } else { MachineState::LaunchFailed };
            machine.event(&event, now.wall, if machine.ran { "start" } else { "launch" }, "failed", "flyd", None);
            !machine.ran
        });
        let Some(first) = first else { return };
        self.log(app, id, "error", why.words());
        if first {
            let (app, id) = (app.to_owned(), id.to_owned());
            self.later(self.switches().pace.destroy, move |me| async move { me.vanish(&app, &id, epoch) });
        }
    }

    /// Boots a machine: `starting`, then `started`, unless it is told otherwise meanwhile.
    pub(super) fn launch(self: &Arc<Self>, app: &str, id: &str, epoch: u64) {
        let begun = self.change_at(app, id, epoch, |machine, _| {
            machine.state = MachineState::Starting;
            machine.epoch += 1;
            machine.checks.clear();
            machine.started_at = None;
            machine.routed_at = None;
            machine.epoch
        });
        let Some(epoch) = begun else { return };
        let (app, id) = (app.to_owned(), id.to_owned());
        self.later(self.switches().pace.start, move |me| async move { me.boot(app, id, epoch).await });
    }

    async fn boot(self: Arc<Self>, app: String, id: String, epoch: u64) {
        if let Some(why) = self.start_failure(&app, &id) {
            self.launch_failed(&app, &id, epoch, why);
            return;
        }
        let contained = match self.engine_for(&app, &id) {
            None => None,
            Some(engine) => {
                let Some(order) = self.container_order(&engine, &app, &id, epoch) else { return };
                match engine.run(&order).await {
                    Ok(ports) => Some((order, engine, ports)),
                    Err(error) => {
                        self.log(&app, &id, "error", &error.to_string());
                        self.exited(&app, &id, epoch, End::Exits(1));
                        return;
                    }
                }
            }
        };
        let event = self.ulid();
        let started = self.change_at(&app, &id, epoch, |machine, now| {
            machine.state = MachineState::Started;
            machine.started_at = Some(now.elapsed);
            machine.ran = true;
            machine.container = contained.as_ref().map(|(_, _, ports)| ports.clone());
            machine.event(&event, now.wall, "start", "started", "flyd", None);
            machine.behaviour.clone()
        });
        match (started, contained) {
            // Told to stop while it booted: whoever told it waits for the container under this name.
            (None, Some((order, engine, _))) => engine.remove(&order.name).await,
            (None, None) => {}
            (Some(behaviour), Some((order, engine, _))) => {
                self.examine(&app, &id, epoch);
                let code = match behaviour {
                    // A failure that was asked for happens to a real container too.
                    Behaviour::CrashesAtStart(code) => ended_after(&engine, &order.name, CRASH_AFTER).await.unwrap_or(code),
                    Behaviour::DiesLater(after, code) => ended_after(&engine, &order.name, after).await.unwrap_or(code),
                    // A job that is to fail does so however well its own command ends meanwhile.
                    Behaviour::RunsOnce(after, code) if code != 0 => {
                        ended_after(&engine, &order.name, after).await;
                        code
                    }
                    _ => engine.wait(&order.name).await,
                };
                for line in engine.logs(&order.name).await {
                    self.log(&app, &id, "info", &line);
                }
                engine.remove(&order.name).await;
                self.exited(&app, &id, epoch, End::Exits(code));
            }
            (Some(behaviour), None) => {
                self.examine(&app, &id, epoch);
                self.watch_idle(&app, &id, epoch);
                self.foretell(app, id, epoch, &behaviour);
            }
        }
    }

    /// Plans what a simulated program says, and its end if it has one.
    fn foretell(self: &Arc<Self>, app: String, id: String, epoch: u64, behaviour: &Behaviour) {
        let (after, end) = match behaviour {
            Behaviour::CrashesAtStart(code) => (CRASH_AFTER, End::Exits(*code)),
            Behaviour::DiesLater(after, code) | Behaviour::RunsOnce(after, code) => (*after, End::Exits(*code)),
            Behaviour::Does(job) => {
                for line in &job.says {
                    self.log(&app, &id, "info", line);
                }
                (job.takes, job.end)
            }
            _ => return,
        };
        if end == End::Never {
            return;
        }
        self.later(after, move |me| async move { me.exited(&app, &id, epoch, end) });
    }

    /// A process ended by itself: the restart policy decides.
    pub(super) fn exited(self: &Arc<Self>, app: &str, id: &str, epoch: u64, end: End) {
        let (event, shape, pace) = (self.ulid(), self.switches().exit_shape, self.switches().pace);
        // Before the exit can be seen: who sees it reads the log at once.
        if lock(&self.state).machine(app, id).is_some_and(|machine| machine.epoch == epoch) {
            self.log(app, id, "info", &end.last_words());
        }
        let outcome = self.change_at(app, id, epoch, |machine, now| {
            let (policy, tries) = config::restart(&machine.config);
            let restarting = match policy {
                "always" => true,
                "no" => false,
                _ => end.code() != 0 && machine.restarts < tries,
            };
            machine.restarts += u32::from(restarting);
            let request = Exit { end, requested: false, restarting }.request(machine, now.wall, shape);
            machine.event(&event, now.wall, "exit", "stopped", "flyd", Some(request));
            machine.container = None;
            machine.checks.clear();
            machine.epoch += 1;
            machine.state = if restarting { MachineState::Starting } else { MachineState::Stopped };
            (restarting, config::auto_destroy(&machine.config), machine.epoch)
        });
        let Some((restarting, auto_destroy, epoch)) = outcome else { return };
        self.ground.traffic.ends(id, Duration::ZERO);
        let (app, id) = (app.to_owned(), id.to_owned());
        if restarting {
            self.later(pace.restart, move |me| async move { me.boot(app, id, epoch).await });
        } else if auto_destroy {
            self.change_at(&app, &id, epoch, |machine, _| machine.state = MachineState::Destroying);
            self.later(pace.destroy, move |me| async move { me.vanish(&app, &id, epoch) });
        }
    }

    /// Ends the process of a machine that ran under `epoch`; returns its exit code.
    async fn quit(&self, order: &Quit) -> i64 {
        let engine = lock(&self.engine).clone();
        if let (Some(engine), Some(name)) = (engine, &order.container) {
            // Whoever booted it waits for its end, reads its log and removes it.
            return engine.stop(name, &order.signal, if order.kill { Duration::ZERO } else { order.timeout }).await;
        }
        let exit = self.switches().pace.exit;
        if order.kill {
            return KILLED;
        }
        let deaf = order.deaf || exit > order.timeout;
        tokio::time::sleep(if deaf { order.timeout } else { exit }).await;
        if deaf { KILLED } else { 0 }
    }

    /// Stops a machine; what does not run stays as it is. Source: fly.io/docs/machines/api (stopping a stopped machine succeeds).
    pub(super) fn stop(self: &Arc<Self>, app: &str, id: &str, signal: Option<&str>, timeout: Option<Duration>, then: Then) {
        self.stop_by("user", app, id, signal, timeout, then);
    }

    /// Stops a machine on behalf of `source`. One that is destroyed at its end is so after a stop too. Source: the documentation of
    /// `auto_destroy` ("when it exits").
    pub(super) fn stop_by(
        self: &Arc<Self>,
        source: &str,
        app: &str,
        id: &str,
        signal: Option<&str>,
        timeout: Option<Duration>,
        then: Then,
    ) {
        let event = self.ulid();
        let order = self.change(app, id, |machine, now| {
            if !machine.state.runs() || machine.state == MachineState::Stopping {
                return None;
            }
            let order = Quit::new(machine, signal, timeout, false, self.container_name(id, machine.epoch));
            machine.state = MachineState::Stopping;
            machine.epoch += 1;
            machine.event(&event, now.wall, "stop", "stopping", source, None);
            Some((order, machine.epoch))
        });
        let Some((order, epoch)) = order.flatten() else { return };
        self.ground.traffic.ends(id, order.grace());
        let (me, app, id) = (Arc::clone(self), app.to_owned(), id.to_owned());
        self.ground.spawn(async move {
            let code = me.quit(&order).await;
            me.ended(&app, &id, epoch, code, MachineState::Stopped);
            let ends = |machine: &Machine| config::auto_destroy(&machine.config) && then == Then::Stay(MachineState::Stopped);
            if lock(&me.state).machine(&app, &id).is_some_and(ends) {
                me.destroy(&app, &id);
                return;
            }
            me.proceed(&app, &id, epoch, then);
        });
    }

    /// Records the exit of a process that was told to end.
    fn ended(self: &Arc<Self>, app: &str, id: &str, epoch: u64, code: i64, state: MachineState) {
        let (event, shape) = (self.ulid(), self.switches().exit_shape);
        self.change_at(app, id, epoch, |machine, now| {
            let end = End::Exits(code);
            let request = Exit { end, requested: true, restarting: false }.request(machine, now.wall, shape);
            machine.event(&event, now.wall, "exit", "stopped", "flyd", Some(request));
            machine.state = state;
            machine.container = None;
            machine.checks.clear();
            machine.started_at = None;
            machine.routed_at = None;
        });
    }

    /// Replaces a machine's version: the old process ends by the old configuration, then the new one is launched or not.
    pub(super) fn replace(self: &Arc<Self>, app: &str, id: &str, new: Version, then: Then) {
        let (event, hold) = (self.ulid(), new.hold);
        let order = self.change(app, id, |machine, now| {
            let running = machine.state.runs();
            let order = Quit::new(machine, None, None, false, self.container_name(id, machine.epoch));
            machine.versions.push((new.instance_id.clone(), new.config.clone()));
            machine.instance_id = new.instance_id;
            machine.config = new.config;
            machine.digest = new.digest;
            machine.pulled = new.pulled;
            machine.secrets = new.secrets;
            machine.woken = false;
            machine.cordoned = new.cordoned.unwrap_or(machine.cordoned);
            machine.state = MachineState::Replacing;
            machine.epoch += 1;
            machine.restarts = 0;
            machine.event(&event, now.wall, "update", "replacing", "user", None);
            (running, order, machine.epoch)
        });
        let Some((running, order, epoch)) = order else { return };
        if running {
            self.ground.traffic.ends(id, order.grace());
        }
        let (me, app, id) = (Arc::clone(self), app.to_owned(), id.to_owned());
        self.ground.spawn(async move {
            if running {
                let code = me.quit(&order).await;
                me.ended(&app, &id, epoch, code, MachineState::Replacing);
            }
            tokio::time::sleep(me.switches().pace.replace + hold).await;
            me.redecide(&app, &id);
            me.proceed(&app, &id, epoch, then);
        });
    }

    /// Works out anew how the program in a machine behaves.
    pub(super) fn redecide(self: &Arc<Self>, app: &str, id: &str) {
        let job = self.switches().pace.job;
        if let Some(app) = lock(&self.state).apps.get_mut(app)
            && let Some(machine) = app.machines.get_mut(id)
        {
            machine.behaviour = responder::behaviour(&app.behaviours, machine, job);
        }
    }

    /// Destroys a machine, killing what runs in it.
    pub(super) fn destroy(self: &Arc<Self>, app: &str, id: &str) {
        let event = self.ulid();
        let order = self.change(app, id, |machine, now| {
            if matches!(machine.state, MachineState::Destroying | MachineState::Destroyed) {
                return None;
            }
            let running = machine.state.runs();
            let order = Quit::new(machine, None, None, true, self.container_name(id, machine.epoch));
            machine.state = MachineState::Destroying;
            machine.epoch += 1;
            machine.event(&event, now.wall, "destroy", "destroying", "user", None);
            Some((running, order, machine.epoch))
        });
        let Some((running, order, epoch)) = order.flatten() else { return };
        if running {
            self.ground.traffic.ends(id, Duration::ZERO);
        }
        let (me, app, id) = (Arc::clone(self), app.to_owned(), id.to_owned());
        self.ground.spawn(async move {
            if running {
                let code = me.quit(&order).await;
                me.ended(&app, &id, epoch, code, MachineState::Destroying);
            }
            tokio::time::sleep(me.switches().pace.destroy).await;
            me.vanish(&app, &id, epoch);
        });
    }

    /// Makes a machine `destroyed`; its volumes are free again.
    fn vanish(self: &Arc<Self>, app: &str, id: &str, epoch: u64) {
        let event = self.ulid();
        let gone = self.change_at(app, id, epoch, |machine, now| {
            machine.state = MachineState::Destroyed;
            machine.died = Some(now.elapsed);
            machine.lease = None;
            machine.event(&event, now.wall, "destroy", "destroyed", "flyd", None);
        });
        if gone.is_some()
            && let Some(app) = lock(&self.state).apps.get_mut(app)
        {
            for volume in app.volumes.values_mut().filter(|volume| volume.attached.as_deref() == Some(id)) {
                volume.attached = None;
            }
        }
    }

    /// Adds a line to an app's log.
    pub(super) fn log(&self, app: &str, id: &str, level: &'static str, message: &str) {
        let at = self.now().wall;
        if let Some(app) = lock(&self.state).apps.get_mut(app) {
            let region = app.machines.get(id).map(|machine| machine.region.clone()).unwrap_or_default();
            app.logs.push(LogLine { at, machine: id.to_owned(), region, level, message: message.to_owned() });
        }
    }
}

/// Ends a container after a while; returns its exit code if it ended by itself before.
async fn ended_after(engine: &ContainerEngine, name: &str, after: Duration) -> Option<i64> {
    if let Ok(code) = tokio::time::timeout(after, engine.wait(name)).await {
        return Some(code);
    }
    engine.stop(name, "SIGKILL", Duration::ZERO).await;
    None
}

/// A new version of a machine.
pub(super) struct Version {
    pub instance_id: String,
    pub config: Arc<serde_json::Value>,
    pub digest: String,
    /// Whether its registry has the image.
    pub pulled: bool,
    /// The version of the secrets that it runs with.
    pub secrets: u64,
    /// How long it has to wait before it is launched.
    pub hold: Duration,
    /// Whether to cordon or uncordon it; `None` leaves it as it is.
    pub cordoned: Option<bool>,
}

/// How a process is told to end.
struct Quit {
    signal: String,
    timeout: Duration,
    kill: bool,
    deaf: bool,
    container: Option<String>,
}

impl Quit {
    /// Returns how long the program may go on with what it has begun.
    fn grace(&self) -> Duration {
        if self.kill || self.signal == "SIGKILL" { Duration::ZERO } else { self.timeout }
    }

    fn new(machine: &Machine, signal: Option<&str>, timeout: Option<Duration>, kill: bool, name: String) -> Self {
        let stop = machine.config.get("stop_config");
        let configured = stop.and_then(|stop| config::text(stop, "signal"));
        Self {
            // Source: fly.io/docs/reference/configuration: SIGINT when nothing else is said.
            signal: signal.or(configured).unwrap_or("SIGINT").to_owned(),
            timeout: timeout.unwrap_or_else(|| config::kill_timeout(&machine.config)),
            kill,
            deaf: machine.behaviour == Behaviour::IgnoresSignal,
            container: machine.container.is_some().then_some(name),
        }
    }
}
