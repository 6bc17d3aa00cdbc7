//! One machine: its data, and what may happen to it in which state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::config;
use super::problem::Problem;
use super::responder::Behaviour;
use crate::embedded::tape::hex;

/// A machine's state. Source: fly.io/docs/machines/machine-states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineState {
    /// Being placed.
    Creating,
    /// Made, never started.
    Created,
    /// Booting.
    Starting,
    /// Running.
    Started,
    /// On the way to `stopped`.
    Stopping,
    /// Exited.
    Stopped,
    /// Written to disk.
    Suspended,
    /// Between two versions.
    Replacing,
    /// On the way to `destroyed`.
    Destroying,
    /// Gone.
    Destroyed,
    /// It cannot start.
    Failed,
    /// Its first launch failed; it will be destroyed.
    LaunchFailed,
}

impl MachineState {
    /// Returns the state's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Replacing => "replacing",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
            Self::Failed => "failed",
            Self::LaunchFailed => "launch_failed",
        }
    }

    /// Returns whether the machine stays like this until someone acts.
    pub fn rests(self) -> bool {
        matches!(self, Self::Created | Self::Started | Self::Stopped | Self::Suspended | Self::Failed | Self::Destroyed)
    }

    /// Returns whether a process runs, or is about to, and must end before the machine can be replaced or removed.
    pub(super) fn runs(self) -> bool {
        matches!(self, Self::Starting | Self::Started | Self::Stopping)
    }
}

/// Returns a value whose members are in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let ordered: BTreeMap<&String, Value> = members.iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// A held lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub nonce: String,
    /// When it lapses, in the world's time.
    pub until: Duration,
    pub expires_at: Timestamp,
    pub owner: String,
    pub description: String,
}

/// The last result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckResult {
    pub passing: bool,
    pub output: String,
    pub updated_at: Timestamp,
}

/// A machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub id: String,
    pub name: String,
    pub state: MachineState,
    pub region: String,
    /// The id of the current version.
    pub instance_id: String,
    /// Place in the order of creation within the world.
    pub ordinal: u64,
    pub private_ip: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Creation in the world's time.
    pub born: Duration,
    /// End in the world's time.
    pub died: Option<Duration>,
    /// Shared, since it is copied far more often than it is changed.
    pub config: Arc<Value>,
    /// The digest its image resolved to.
    pub digest: String,
    pub cordoned: bool,
    pub host_status: &'static str,
    /// Newest first.
    pub events: Vec<Value>,
    pub checks: BTreeMap<String, CheckResult>,
    pub lease: Option<Lease>,
    /// `(instance_id, config)` of every version, oldest first.
    pub versions: Vec<(String, Arc<Value>)>,
    /// Counts commanded transitions: what was planned under an older count does not happen any more.
    pub epoch: u64,
    pub behaviour: Behaviour,
    pub restarts: u32,
    pub started_at: Option<Duration>,
    /// When public traffic first reached this start of it.
    pub routed_at: Option<Duration>,
    /// When it was last asked anything from outside.
    pub asked_at: Option<Duration>,
    /// Whether the proxy has started it for a request, and it has not taken its place among the routed ones yet.
    pub woken: bool,
    /// Whether its registry had its image.
    pub pulled: bool,
    /// Whether it has ever been `started`.
    pub ran: bool,
    /// The version of the app's secrets that it runs with: that of its creation or last update.
    pub secrets: u64,
    /// Ports inside → ports of the real container on loopback, where there is one.
    pub container: Option<BTreeMap<u16, u16>>,
}

impl Machine {
    /// Adds an event in front. Source of the shape: the OpenAPI document's `MachineEvent`, and the events flyctl reads.
    pub(super) fn event(&mut self, id: &str, now: Timestamp, kind: &str, status: &str, source: &str, request: Option<Value>) {
        let mut event = json!({ "id": id, "type": kind, "status": status, "source": source, "timestamp": now.as_millisecond() });
        if let Some(request) = request {
            event["request"] = request;
        }
        self.events.insert(0, event);
        self.updated_at = now;
    }

    /// Returns the lease that is held at `now`.
    pub(super) fn held(&self, now: Duration) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > now)
    }

    /// Refuses a mutation by someone who does not hold the lease. Source of the text: community.fly.io/t/15555.
    pub(super) fn guard(&self, nonce: Option<&str>, now: Duration, stale_is_refused: bool) -> Result<(), Problem> {
        match (self.held(now), nonce) {
            (Some(lease), Some(nonce)) if lease.nonce == nonce => Ok(()),
            (Some(lease), _) => Err(self.leased(lease)),
            (None, Some(_)) if stale_is_refused => Err(Problem::conflict(format!("machine ID {}: lease not found", self.id))),
            (None, _) => Ok(()),
        }
    }

    /// Returns the refusal while `lease` is held.
    pub(super) fn leased(&self, lease: &Lease) -> Problem {
        Problem::conflict(format!("machine ID {} lease currently held by {}, expires at {}", self.id, lease.owner, lease.expires_at))
    }

    /// Refuses a start in a state in which the machine cannot be started.
    pub(super) fn may_start(&self) -> Result<(), Problem> {
        match self.state {
            MachineState::Created
            | MachineState::Stopped
            | MachineState::Suspended
            | MachineState::Failed
            | MachineState::Started
            | MachineState::Starting => Ok(()),
            other => {
                Err(Problem::new(412, format!("failed_precondition: unable to start machine from current state: '{}'", other.as_str())))
            }
        }
    }

    /// Refuses an update while another one is under way, or after the end.
    pub(super) fn may_update(&self) -> Result<(), Problem> {
        match self.state {
            MachineState::Replacing | MachineState::Creating => Err(Problem::new(409, "aborted: concurrent update in progress".to_owned())),
            MachineState::Destroying | MachineState::Destroyed | MachineState::LaunchFailed => Err(Problem::no_machine(&self.id)),
            _ => Ok(()),
        }
    }

    /// Refuses to destroy a running machine without force.
    pub(super) fn may_destroy(&self, force: bool) -> Result<(), Problem> {
        if force || !(self.state.runs() || self.state == MachineState::Replacing) {
            return Ok(());
        }
        let text = format!("failed_precondition: unable to destroy machine, not currently stopped or suspended: '{}'", self.state.as_str());
        Err(Problem::new(412, text))
    }

    /// Returns whether its program can be reached at all.
    pub(super) fn answers(&self) -> bool {
        self.state == MachineState::Started && self.host_status == "ok"
    }

    /// Returns whether the proxy may send it public traffic: started, registered, offering a service, and every check that routes passes.
    ///
    /// Source: fly.io/docs/reference/fly-proxy and the documentation of service checks. A check without a result does not pass.
    pub(super) fn routable(&self) -> bool {
        self.answers()
            && !self.cordoned
            && !config::list(&self.config, "services").is_empty()
            && config::checks(&self.config)
                .iter()
                .filter(|check| check.routes)
                .all(|check| self.checks.get(&check.name).is_some_and(|result| result.passing))
    }

    /// Returns what it serves, by content: its image's digest and what its configuration says, without metadata, without variables and checks
    /// that a deployer adds to tell its own work, and without ids.
    pub(super) fn content(&self) -> String {
        let mut config = Value::clone(&self.config);
        if let Some(members) = config.as_object_mut() {
            for key in ["image", "metadata", "standbys"] {
                members.remove(key);
            }
            for mount in members.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
                mount.as_object_mut().and_then(|mount| mount.remove("volume"));
            }
            for (key, marked) in [("env", "CUTOVER_"), ("env", "FLY_STANDBY_FOR"), ("checks", "cutover-")] {
                if let Some(inner) = members.get_mut(key).and_then(Value::as_object_mut) {
                    inner.retain(|name, _| !name.starts_with(marked));
                }
                if members.get(key).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                    members.remove(key);
                }
            }
        }
        let digest = hex(Sha256::digest(sorted(&config).to_string().as_bytes()).as_slice());
        let image = self.digest.trim_start_matches("sha256:");
        format!("image {} settings {}", image.get(..12).unwrap_or(image), &digest[..12])
    }

    /// Returns whether this is a one-shot machine, such as a release command's: nothing restarts it and its end destroys it.
    pub(super) fn one_shot(&self) -> bool {
        config::auto_destroy(&self.config) && config::restart(&self.config).0 == "no"
    }
}
