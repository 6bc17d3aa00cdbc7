//! Fly's own shapes, decoded leniently: unknown fields are ignored, missing ones accepted, null is absent.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::machine_config::MachineConfig;

/// A machine as the Machines API gives it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Its id.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its state, for example `started`.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// Where it is.
    #[serde(deserialize_with = "or_default")]
    pub region: String,
    /// Its version; changes with every update.
    #[serde(deserialize_with = "or_default")]
    pub instance_id: String,
    /// Its config; absent when its host is not well.
    #[serde(deserialize_with = "or_default")]
    pub config: Option<MachineConfig>,
    /// What is known of the config when its host is not well.
    #[serde(deserialize_with = "or_default")]
    pub incomplete_config: Option<MachineConfig>,
    /// The image that it runs.
    #[serde(deserialize_with = "or_default")]
    pub image_ref: ImageRef,
    /// What happened to it, newest first.
    #[serde(deserialize_with = "or_default")]
    pub events: Vec<MachineEvent>,
    /// What Fly's checks say.
    #[serde(deserialize_with = "or_default")]
    pub checks: Vec<CheckStatus>,
    /// `ok`, `unknown` or `unreachable`; empty where not said.
    #[serde(deserialize_with = "or_default")]
    pub host_status: String,
    /// Whether the proxy routes nothing to it.
    #[serde(deserialize_with = "or_default")]
    pub cordoned: bool,
}

/// An image as a machine runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ImageRef {
    /// The registry's host.
    #[serde(deserialize_with = "or_default")]
    pub registry: String,
    /// The repository.
    #[serde(deserialize_with = "or_default")]
    pub repository: String,
    /// The tag.
    #[serde(deserialize_with = "or_default")]
    pub tag: String,
    /// The digest, `sha256:…`.
    #[serde(deserialize_with = "or_default")]
    pub digest: String,
}

/// Something that happened to a machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MachineEvent {
    /// `launch`, `start`, `exit`, `update`, others.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// When, in milliseconds since 1970.
    #[serde(deserialize_with = "or_default")]
    pub timestamp: i64,
    /// Details.
    #[serde(deserialize_with = "or_default")]
    pub request: Option<Value>,
}

/// How a machine's process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExitEvent {
    /// Its exit code.
    #[serde(deserialize_with = "or_default")]
    pub exit_code: i64,
    /// The signal that ended it in the guest; 0 or -1 for none.
    #[serde(deserialize_with = "or_default")]
    pub guest_signal: i64,
    /// Whether it ran out of memory.
    #[serde(deserialize_with = "or_default")]
    pub oom_killed: bool,
    /// Whether somebody asked it to end.
    #[serde(deserialize_with = "or_default")]
    pub requested_stop: bool,
}

/// What one of Fly's checks says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CheckStatus {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// `passing`, `warning` or `critical`.
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// What it saw.
    #[serde(deserialize_with = "or_default")]
    pub output: String,
}

impl Machine {
    /// Returns the config, or what is known of it.
    pub fn config(&self) -> Option<&MachineConfig> {
        self.config.as_ref().or(self.incomplete_config.as_ref())
    }

    /// Returns a metadata value; empty when there is none.
    pub fn metadata(&self, key: &str) -> &str {
        let metadata = self.config().and_then(|config| config.get("metadata")).and_then(Value::as_object);
        metadata.and_then(|metadata| metadata.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns its process group; empty when neither key says one.
    pub fn group(&self) -> &str {
        let group = self.metadata("fly_process_group");
        if group.is_empty() { self.metadata("process_group") } else { group }
    }

    /// Returns whether its host answers.
    pub fn host_is_well(&self) -> bool {
        self.host_status.is_empty() || self.host_status == "ok"
    }

    /// Returns the image's digest: the one that the config asks for, else the platform's word. They may differ for an image of several
    /// architectures, where the platform may name the one that it runs.
    pub fn image_digest(&self) -> Option<String> {
        let asked = self.image().split_once('@').map(|(_, digest)| digest.to_owned());
        asked.or_else(|| Some(self.image_ref.digest.clone()).filter(|digest| !digest.is_empty()))
    }

    /// Returns the image reference in the config; empty when unknown.
    pub fn image(&self) -> &str {
        self.config().and_then(|config| config.get("image")).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the image reference with its digest, so that going back is exact.
    pub fn pinned_image(&self) -> String {
        let image = self.image();
        match self.image_digest() {
            Some(digest) if !image.contains('@') && !image.is_empty() => format!("{image}@{digest}"),
            _ => image.to_owned(),
        }
    }

    /// Returns when its newest event happened, in milliseconds since 1970.
    pub fn newest_event(&self) -> i64 {
        self.events.iter().map(|event| event.timestamp).max().unwrap_or(0)
    }
}

impl MachineEvent {
    /// Returns how the process ended, if this says so; the form under `MonitorEvent` is preferred (fly.md 4).
    pub fn exit(&self) -> Option<ExitEvent> {
        let request = self.request.as_ref()?;
        let nested = request.get("MonitorEvent").and_then(|event| event.get("exit_event"));
        let exit = nested.or_else(|| request.get("exit_event")).filter(|value| value.is_object())?;
        serde_json::from_value(exit.clone()).ok()
    }
}

/// Creates a machine.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct CreateMachine {
    pub(super) config: MachineConfig,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) region: String,
    pub(super) skip_launch: bool,
    pub(super) skip_service_registration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_secrets_version: Option<u64>,
}

/// Creates a volume.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct CreateVolume {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) size_gb: u32,
    pub(super) encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snapshot_retention: Option<u32>,
}

/// Replaces a machine's config.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct UpdateMachine {
    pub(super) config: MachineConfig,
    pub(super) skip_launch: bool,
    /// Set for a machine that is not registered: whether an update would register it is nowhere said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) skip_service_registration: bool,
    /// The version that we think it has: Fly refuses when it has another.
    pub(super) current_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_secrets_version: Option<u64>,
}

/// A past config of a machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct MachineVersion {
    #[serde(deserialize_with = "or_default")]
    pub(super) version: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) user_config: Option<MachineConfig>,
}

/// A lease, inside the wrapper that really arrives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lease {
    #[serde(deserialize_with = "or_default")]
    pub(super) nonce: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) expires_at: i64,
    #[serde(deserialize_with = "or_default")]
    pub(super) owner: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) version: String,
}

/// An app.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct App {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    /// The private network that it was made in; it never changes.
    #[serde(deserialize_with = "or_default")]
    pub(super) network: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) organization: Organization,
}

/// The apps of an organisation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Apps {
    /// How many there are.
    pub(super) total_apps: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    pub(super) apps: Vec<App>,
}

/// An organisation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Organization {
    #[serde(deserialize_with = "or_default")]
    pub(super) slug: String,
}

/// The secrets of an app, as a list of them and a write answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SecretList {
    #[serde(deserialize_with = "or_default")]
    pub(super) secrets: Vec<Secret>,
    /// Of a write: what machines must have at least to see it.
    pub(super) version: Option<u64>,
    /// The same under its older name (fly.md 8).
    #[serde(rename = "Version")]
    pub(super) older_version: Option<u64>,
}

/// A secret, without its value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Secret {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    /// Fly's own digest of the value; how it is made is nowhere said.
    #[serde(deserialize_with = "or_default")]
    pub(super) digest: String,
}

/// An app's addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Addresses {
    #[serde(deserialize_with = "or_default")]
    pub(super) ips: Vec<Address>,
}

/// One address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    #[serde(deserialize_with = "or_default")]
    pub(super) ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) shared: bool,
}

/// The answer to a release record.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReleaseAnswer {
    #[serde(deserialize_with = "or_default")]
    pub(super) release: ReleaseRecord,
}

/// A release as `fly releases` shows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReleaseRecord {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) version: i64,
}

/// Log lines.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Logs {
    #[serde(deserialize_with = "or_default")]
    pub(super) data: Vec<LogEntry>,
    #[serde(deserialize_with = "or_default")]
    pub(super) meta: LogsMeta,
}

/// Where the next page of log lines begins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogsMeta {
    #[serde(deserialize_with = "or_default")]
    pub(super) next_token: String,
}

/// A log line in its envelope.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogEntry {
    #[serde(deserialize_with = "or_default")]
    pub(super) attributes: LogLine,
}

/// A log line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogLine {
    #[serde(deserialize_with = "or_default")]
    pub(super) message: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) instance: String,
}

/// What a token is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CurrentTokens {
    #[serde(deserialize_with = "or_default")]
    pub(super) tokens: Vec<TokenInfo>,
}

/// What one token is, by its own word.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenInfo {
    #[serde(deserialize_with = "or_default")]
    pub(super) org_slug: String,
    /// The apps that it is for; none for one of an organisation or a user.
    #[serde(deserialize_with = "or_default")]
    pub(super) apps: Vec<String>,
    /// The only machine that it may be used from.
    #[serde(deserialize_with = "or_default")]
    pub(super) restricted_to_machine: String,
}

/// Decodes null as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Returns the object inside a value, empty when it is none.
pub(super) fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}
