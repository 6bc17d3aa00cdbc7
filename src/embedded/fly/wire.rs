//! The bodies of the embedded Fly: what is read, leniently as the server reads it, and what is written, in the OpenAPI document's shapes.

use axum::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::config;
use super::machine::{Lease, Machine};
use super::problem::Problem;
use super::state::{Address, App, Release, Secret};
use super::switches::{AppName, Pace};
use super::volume::Volume;

/// Body of a machine's create and update.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MachineBody {
    pub config: Value,
    pub region: Option<String>,
    pub name: Option<String>,
    pub skip_launch: bool,
    pub skip_service_registration: bool,
    pub min_secrets_version: Option<u64>,
    pub lease_ttl: Option<u64>,
    pub current_version: Option<String>,
}

/// Body of a stop.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StopBody {
    pub signal: Option<String>,
    pub timeout: Option<Value>,
}

/// Body of a lease request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeaseBody {
    pub ttl: Option<u64>,
    pub description: Option<String>,
}

/// Body of a metadata write.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MetadataBody {
    pub metadata: Map<String, Value>,
    pub machine_version: Option<String>,
}

/// A body of one value.
#[derive(Debug, Deserialize)]
pub(super) struct ValueBody {
    pub value: String,
}

/// Body of a write of several secrets.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SecretsBody {
    pub values: Map<String, Value>,
}

/// Body of an app's creation. The prose documentation calls the first field `app_name`; the OpenAPI document and flyctl say `name`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AppBody {
    pub name: String,
    pub app_name: String,
    pub org_slug: String,
    pub network: String,
}

impl AppBody {
    /// Returns the name, by the field that counts; empty where that is not sent.
    pub(super) fn named(&self, by: AppName) -> &str {
        match by {
            AppName::Either if self.name.is_empty() => &self.app_name,
            AppName::Either | AppName::Name => &self.name,
            AppName::AppName => &self.app_name,
        }
    }
}

/// Body of a volume's creation and change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VolumeBody {
    pub name: String,
    pub region: String,
    pub size_gb: Option<u64>,
    pub encrypted: Option<bool>,
    pub fstype: Option<String>,
    pub snapshot_id: Option<String>,
    pub source_volume_id: Option<String>,
    pub snapshot_retention: Option<u64>,
    pub auto_backup_enabled: Option<bool>,
}

/// Body of an address's allocation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AddressBody {
    pub r#type: String,
    pub region: String,
}

/// Body of `POST /api/v1/releases`. `strategy` is upper case there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReleaseBody {
    pub app_name: String,
    pub definition: Value,
    pub image: String,
    pub strategy: String,
}

/// Body of `PATCH /api/v1/releases/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReleasePatch {
    pub status: String,
    pub metadata: Value,
}

/// Body of `POST /api/v1/builds` and of its end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BuildBody {
    pub app_name: String,
    pub build_id: u64,
    pub status: String,
}

/// Body of GraphQL.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GraphqlBody {
    pub query: String,
    pub variables: Value,
}

/// Reads a body that must be there.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(400, format!("invalid request body: {error}")))
}

/// Reads a body that may be empty.
pub(super) fn read_if_any<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { read(body) }
}

/// An app object. `machine_count` counts what is not destroyed.
pub(super) fn app(app: &App) -> Value {
    json!({
        "id": app.id,
        "internal_numeric_id": app.number,
        "name": app.name,
        "machine_count": app.living().count(),
        "volume_count": app.volumes.values().filter(|volume| volume.lives()).count(),
        "network": app.network,
        "status": app.status(),
        "organization": { "name": app.org, "slug": app.org, "internal_numeric_id": 1 },
    })
}

/// A machine object. Members that the OpenAPI document lacks but the API gives: `cordoned` and `version`.
pub(super) fn machine(machine: &Machine) -> Value {
    let mut object = json!({
        "id": machine.id,
        "name": machine.name,
        "state": machine.state.as_str(),
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.instance_id,
        "private_ip": machine.private_ip,
        "created_at": machine.created_at.to_string(),
        "updated_at": machine.updated_at.to_string(),
        "image_ref": image_ref(config::text(&machine.config, "image").unwrap_or_default(), &machine.digest),
        "events": machine.events,
        "checks": machine.checks.iter().map(|(name, result)| json!({
            "name": name,
            "status": if result.passing { "passing" } else { "critical" },
            "output": result.output,
            "updated_at": result.updated_at.to_string(),
        })).collect::<Vec<_>>(),
        "host_status": machine.host_status,
        "cordoned": machine.cordoned,
    });
    // When the host is not ok the configuration is partial and under another name. Source: flyctl and fly-go.
    object[if machine.host_status == "ok" { "config" } else { "incomplete_config" }] = Value::clone(&machine.config);
    object
}

/// The parts of an image reference.
fn image_ref(image: &str, digest: &str) -> Value {
    let (registry, repository, tag) = image_parts(image);
    json!({ "registry": registry, "repository": repository, "tag": tag, "digest": digest, "labels": {} })
}

/// Splits `registry/repository:tag@digest`; the registry is `docker.io` where none is named.
pub(super) fn image_parts(image: &str) -> (&str, &str, &str) {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (registry, rest) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", name),
    };
    let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, ""));
    (registry, repository, tag)
}

/// A lease inside the wrapper that really arrives; the OpenAPI document shows the inner object alone.
pub(super) fn lease(machine: &Machine, lease: &Lease, with_nonce: bool) -> Value {
    let mut data = json!({
        "expires_at": lease.expires_at.as_second(),
        "owner": lease.owner,
        "description": lease.description,
        "version": machine.instance_id,
    });
    if with_nonce {
        data["nonce"] = json!(lease.nonce);
    }
    json!({ "status": "success", "data": data })
}

/// A secret without its value.
pub(super) fn secret(name: &str, secret: &Secret) -> Value {
    json!({
        "name": name,
        "digest": secret.digest,
        "created_at": secret.created_at.to_string(),
        "updated_at": secret.updated_at.to_string(),
    })
}

/// A volume as it is `now`.
pub(super) fn volume(volume: &Volume, now: Duration, pace: &Pace) -> Value {
    let mut object = json!({
        "id": volume.id,
        "name": volume.name,
        "state": volume.state(now, pace),
        "size_gb": volume.size_gb,
        "region": volume.region,
        "zone": volume.zone,
        "encrypted": volume.encrypted,
        "fstype": volume.fstype,
        "host_status": volume.host_status,
        "snapshot_retention": volume.snapshot_retention,
        "auto_backup_enabled": volume.auto_backup_enabled,
        "created_at": volume.created_at.to_string(),
    });
    if let Some(machine) = &volume.attached {
        object["attached_machine_id"] = json!(machine);
    }
    object
}

/// An address.
pub(super) fn address(address: &Address) -> Value {
    json!({
        "ip": address.ip,
        "region": address.region,
        "shared": address.shared,
        "created_at": address.created_at.to_string(),
    })
}

/// A release of the REST API on api.fly.io.
pub(super) fn release(release: &Release, owner: &str) -> Value {
    json!({
        "id": release.id,
        "version": release.version,
        "status": release.status,
        "strategy": release.strategy,
        "stable": release.status == "complete",
        "in_progress": matches!(release.status.as_str(), "pending" | "running"),
        "image_ref": release.image,
        "metadata": release.metadata,
        "user": { "id": "user", "name": owner, "email": owner },
        "created_at": release.created_at.to_string(),
    })
}
