//! The proxy starts what a request needs and stops what nobody asks: autostart and autostop.
//!
//! Source: fly.io/docs/launch/autostop-autostart. The proxy here wakes a machine only where none runs; the real one also does when every running
//! one is over its soft limit.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::lifecycle::Then;
use super::machine::{Machine, MachineState};
use super::{Inner, config};
use crate::embedded::ground::lock;

/// The longest that the proxy holds a request for a machine that it has woken. Guess.
const LONGEST_WAKING: Duration = Duration::from_secs(30);

impl Machine {
    /// Returns whether a request could wake it: stopped or suspended, registered, its host there, and a service with `autostart`.
    pub(super) fn asleep(&self) -> bool {
        let wakes = |service: &Value| service.get("autostart").and_then(Value::as_bool) == Some(true);
        matches!(self.state, MachineState::Stopped | MachineState::Suspended)
            && self.host_status == "ok"
            && !self.cordoned
            && config::list(&self.config, "services").iter().any(wakes)
    }

    /// Returns whether a request has woken it, and it is on its way or up.
    pub(super) fn woken_up(&self) -> bool {
        self.woken && self.host_status == "ok" && !self.cordoned && matches!(self.state, MachineState::Starting | MachineState::Started)
    }

    /// Returns what the proxy makes of it when nobody asks, if anything.
    fn falls_to(&self) -> Option<MachineState> {
        let of = |service: &Value| match service.get("autostop") {
            Some(Value::Bool(true)) => Some(MachineState::Stopped),
            Some(Value::String(text)) if text == "stop" => Some(MachineState::Stopped),
            Some(Value::String(text)) if text == "suspend" => Some(MachineState::Suspended),
            _ => None,
        };
        config::list(&self.config, "services").iter().find_map(of)
    }

    /// Returns how many machines the proxy keeps running; only machines of the primary region count.
    fn least_running(&self) -> usize {
        if config::env(&self.config, "PRIMARY_REGION").is_some_and(|primary| primary != self.region) {
            return 0;
        }
        let of = |service: &Value| service.get("min_machines_running").and_then(Value::as_u64);
        let least = config::list(&self.config, "services").iter().filter_map(of).max().unwrap_or(0);
        usize::try_from(least).unwrap_or(usize::MAX)
    }
}

impl Inner {
    /// Starts a sleeping machine for a request and waits until it runs; gives up when it ends elsewhere, or after a while.
    pub(super) async fn wake(self: Arc<Self>, app: String, id: String) {
        let event = self.ulid();
        let begun = self.change(&app, &id, |machine, now| {
            machine.asleep().then(|| {
                machine.woken = true;
                machine.restarts = 0;
                machine.event(&event, now.wall, "start", "starting", "proxy", None);
                machine.epoch
            })
        });
        if let Some(epoch) = begun.flatten() {
            self.redecide(&app, &id);
            self.launch(&app, &id, epoch);
        }
        let up = async {
            loop {
                // Taken before the look: a change in between is seen.
                let changed = self.changes.notified();
                let state = lock(&self.state).machine(&app, &id).map(|machine| machine.state);
                if state != Some(MachineState::Starting) {
                    return;
                }
                changed.await;
            }
        };
        // Whoever asked is answered by what is there then.
        let _ = tokio::time::timeout(LONGEST_WAKING, up).await;
    }

    /// Watches a machine that was started under `epoch`, and lets it fall asleep when nobody has asked it anything for a while.
    pub(super) fn watch_idle(self: &Arc<Self>, app: &str, id: &str, epoch: u64) {
        let Some(idle) = self.switches().proxy_stops_after else { return };
        if lock(&self.state).machine(app, id).is_none_or(|machine| machine.falls_to().is_none()) {
            return;
        }
        let (me, app, id) = (Arc::clone(self), app.to_owned(), id.to_owned());
        self.ground.spawn(async move {
            let mut pause = idle;
            loop {
                tokio::time::sleep(pause).await;
                match me.idle(&app, &id, epoch, idle) {
                    None => return,
                    Some(Ok(state)) => {
                        me.stop_by("proxy", &app, &id, None, None, Then::Stay(state));
                        return;
                    }
                    Some(Err(more)) => pause = more,
                }
            }
        });
    }

    /// Returns what an idle machine falls to, or when to look again; `None` when it was told something else meanwhile.
    fn idle(&self, app: &str, id: &str, epoch: u64, idle: Duration) -> Option<Result<MachineState, Duration>> {
        let now = self.now().elapsed;
        let state = lock(&self.state);
        let machine = state.machine(app, id).filter(|machine| machine.epoch == epoch && machine.state == MachineState::Started)?;
        let since = machine.asked_at.max(machine.started_at).unwrap_or(now);
        let quiet = now.saturating_sub(since);
        if let Some(left) = idle.checked_sub(quiet).filter(|left| !left.is_zero()) {
            return Some(Err(left));
        }
        let awake = |other: &&Machine| other.routable() && other.region == machine.region;
        let running = state.apps.get(app).map_or(0, |app| app.living().filter(awake).count());
        // What nothing routes to is not the proxy's.
        if !machine.routable() || running <= machine.least_running() {
            return Some(Err(idle));
        }
        machine.falls_to().map(Ok)
    }
}
