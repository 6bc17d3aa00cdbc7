//! What a machine's config says once everything that is ours, Fly's or a matter of scale is left out.
//!
//! Two configs with the same content are the same revision, whoever made the machines. Left out: the image (it is the artifact), all
//! metadata but the mark of the secrets' values, `CUTOVER_*` variables and the checks that we add, ids of volumes and standbys, and the size, unless `fly.toml` declares it
//! ([`super::stamp::SIZED`] on the machine says so): a size given by `fly scale` is adopted, not drift.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::machine_config::MachineConfig;
use super::stamp;
use super::toml::parse_duration;
use super::wire::{Machine, object};

/// Returns the digest of a config's content: 64 hexadecimal characters. Values of variables go into it and cannot be read from it.
pub(super) fn config_digest(config: &MachineConfig) -> String {
    let value = canonical("", &Value::Object(content(config)));
    let bytes = serde_json::to_vec(&value).unwrap_or_default();
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the digest of a machine's config; empty when nothing is known of it.
pub(super) fn machine_digest(machine: &Machine) -> String {
    machine.config().map(config_digest).unwrap_or_default()
}

fn content(config: &MachineConfig) -> MachineConfig {
    let mut config = config.clone();
    let metadata = object(config.get("metadata"));
    let sized = metadata.contains_key(stamp::SIZED);
    for key in ["image", "metadata", "standbys"] {
        config.remove(key);
    }
    if let Some(secrets) = metadata.get(stamp::SECRETS) {
        config.insert(stamp::SECRETS.to_owned(), secrets.clone());
    }
    if !sized {
        config.remove("guest");
    }
    if let Some(env) = config.get_mut("env").and_then(Value::as_object_mut) {
        env.retain(|name, _| !name.starts_with(stamp::VARIABLES) && name != "FLY_STANDBY_FOR");
    }
    if let Some(checks) = config.get_mut("checks").and_then(Value::as_object_mut) {
        checks.retain(|name, _| !name.starts_with(stamp::CHECKS));
    }
    for mount in config.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        mount.retain(|key, _| !["volume", "encrypted", "size_gb"].contains(&key.as_str()));
    }
    config
}

/// Returns the value with ordered keys, without nulls and empty values, and with one form for what Fly writes in several.
fn canonical(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, Value> =
                map.iter().map(|(key, value)| (key, canonical(key, value))).filter(|(key, value)| !is_absent(key, value)).collect();
            Value::Object(ordered.into_iter().map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(|value| canonical(key, value)).collect(),
        Value::Bool(flag) if key == "autostop" => if *flag { "stop" } else { "off" }.into(),
        Value::String(text) if ["interval", "timeout", "grace_period"].contains(&key) => {
            parse_duration(text).map_or_else(|| value.clone(), |duration| (duration.as_nanos() as u64).into())
        }
        other => other.clone(),
    }
}

/// Returns whether a member says no more than its absence: what Fly adds to a config that it gives back. flyctl too leaves a machine alone
/// whose config is equal but for these (fly.md 16).
fn is_absent(key: &str, value: &Value) -> bool {
    match value {
        Value::Bool(false) => ["tty", "auto_destroy", "force_https", "https"].contains(&key),
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
