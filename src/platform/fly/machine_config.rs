//! From `fly.toml` to the exact machine config that Fly is sent.
//!
//! A pure function of the file, the process group, the image and the machine's present config: what `fly.toml` does not say survives
//! (`schedule`, `dns`, unknown metadata, a size given by `fly scale`), what it says is overwritten, what it no longer says is removed.
//! Source: the reference's section 14, after flyctl at commit ad0172f. Marks of our own are put on afterwards, by [`super::stamp`].

mod guest;
mod overlay;
mod release_command;
mod service;

pub use guest::{dedication_of, preset};
pub use release_command::{RELEASE_COMMAND_GROUP, release_command};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::toml::{FileEntry, FileSource, FlyConfig, Mount, format_duration, split_words};

/// A machine config as JSON.
pub type MachineConfig = Map<String, Value>;

/// The platform's own metadata keys that a new release writes anew or drops.
const DROPPED_METADATA: [&str; 9] = [
    "process_group",
    "fly_release_id",
    "fly_release_version",
    "fly_flyctl_version",
    "fly_builder_id",
    "fly_bluegreen_deployment_tag",
    "fly_flyctl_bluegreen_launch_id",
    "fly_canary",
    "fly-managed-postgres",
];

/// Returns the config of a machine of `group` that runs `image`; `existing` is the machine's present config, `None` for a new machine.
pub fn render(config: &FlyConfig, group: &str, image: &str, existing: Option<&MachineConfig>) -> MachineConfig {
    let mut machine = existing.cloned().unwrap_or_default();
    overlay::begin_with(&mut machine, &config.experimental, image);
    machine.insert("image".to_owned(), image.into());
    machine.insert("init".to_owned(), init(config, group, machine.get("init")));
    machine.insert("env".to_owned(), env(config, group));
    machine.insert("metadata".to_owned(), metadata(group, machine.get("metadata")));
    let guest = guest::guest(config, group, machine.get("guest"), existing.is_some());
    put(&mut machine, "guest", guest);
    set(&mut machine, "services", list(service::services(config, group)));
    set(&mut machine, "checks", service::checks(config, group));
    set(&mut machine, "metrics", metrics(config, group));
    set(&mut machine, "statics", list(config.statics.iter().map(statics).collect()));
    set(&mut machine, "restart", restart(config, group));
    set(&mut machine, "stop_config", stop_config(config));
    set(&mut machine, "files", files(config));
    let mounts = mounts(&config.mounts_of(group), existing.and_then(|existing| existing.get("mounts")));
    set(&mut machine, "mounts", mounts);
    if machine.contains_key("services") && machine.shift_remove("standbys").is_some() {
        // A machine with a service is no standby any more; the environment was replaced already.
        tracing::debug!(group, "standby became a serving machine");
    }
    machine
}

/// Sets a key when there is a value, and leaves it as it is otherwise.
fn put(machine: &mut MachineConfig, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        machine.insert(key.to_owned(), value);
    }
}

/// Sets a key when there is a value, and removes it otherwise.
fn set(machine: &mut MachineConfig, key: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            machine.insert(key.to_owned(), value);
        }
        None => {
            machine.shift_remove(key);
        }
    }
}

/// Returns a number, unless it is zero: Fly's own client never sends a zero here.
fn nonzero(number: u32) -> Option<Value> {
    (number != 0).then(|| number.into())
}

fn list(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then_some(Value::Array(values))
}

fn init(config: &FlyConfig, group: &str, existing: Option<&Value>) -> Value {
    let mut init = existing.and_then(Value::as_object).cloned().unwrap_or_default();
    let command = config.processes.get(group).and_then(|line| split_words(line).ok()).filter(|words| !words.is_empty());
    let words = |words: Option<Vec<String>>| words.filter(|words| !words.is_empty()).map(Value::from);
    set(&mut init, "cmd", words(command.or_else(|| config.experimental.cmd.clone())));
    set(&mut init, "entrypoint", words(config.experimental.entrypoint.clone()));
    set(&mut init, "exec", words(config.experimental.exec.clone()));
    set(&mut init, "swap_size_mb", config.swap_size_mb.map(Value::from));
    Value::Object(init)
}

fn env(config: &FlyConfig, group: &str) -> Value {
    let mut env: Map<String, Value> = config.env.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    env.insert("FLY_PROCESS_GROUP".to_owned(), group.into());
    if let Some(region) = config.primary_region.as_ref().filter(|region| !region.is_empty()) {
        env.insert("PRIMARY_REGION".to_owned(), region.clone().into());
    }
    Value::Object(env)
}

fn metadata(group: &str, existing: Option<&Value>) -> Value {
    let mut metadata = existing.and_then(Value::as_object).cloned().unwrap_or_default();
    metadata.retain(|key, _| !DROPPED_METADATA.contains(&key.as_str()));
    metadata.insert("fly_platform_version".to_owned(), "v2".into());
    metadata.insert("fly_process_group".to_owned(), group.into());
    Value::Object(metadata)
}

fn metrics(config: &FlyConfig, group: &str) -> Option<Value> {
    let metrics = config.metrics.iter().find(|metrics| config.applies(&metrics.processes, group))?;
    let mut value = Map::new();
    put(&mut value, "port", metrics.port.map(Value::from));
    put(&mut value, "path", metrics.path.clone().map(Value::from));
    put(&mut value, "https", metrics.https.filter(|https| *https).map(Value::from));
    Some(Value::Object(value))
}

fn statics(files: &super::toml::Static) -> Value {
    json!({
        "guest_path": files.guest_path,
        "url_prefix": files.url_prefix,
        "tigris_bucket": files.tigris_bucket,
        "index_document": files.index_document,
    })
}

fn restart(config: &FlyConfig, group: &str) -> Option<Value> {
    let restart = config.restart.iter().rev().find(|restart| config.applies(&restart.processes, group))?;
    let policy = if restart.policy == "never" { "no" } else { &restart.policy };
    let mut value = Map::new();
    value.insert("policy".to_owned(), policy.into());
    put(&mut value, "max_retries", restart.retries.and_then(nonzero));
    Some(Value::Object(value))
}

fn stop_config(config: &FlyConfig) -> Option<Value> {
    let mut value = Map::new();
    put(&mut value, "signal", config.kill_signal.clone().map(Value::from));
    put(&mut value, "timeout", config.kill_timeout.map(|timeout| format_duration(timeout).into()));
    (!value.is_empty()).then_some(Value::Object(value))
}

fn files(config: &FlyConfig) -> Option<Value> {
    list(config.merged_files().into_iter().map(file).collect())
}

fn file(file: &FileEntry) -> Value {
    let mut value = Map::new();
    value.insert("guest_path".to_owned(), file.guest_path.clone().into());
    match &file.source {
        FileSource::Bytes(bytes) => {
            value.insert("raw_value".to_owned(), base64::engine::general_purpose::STANDARD.encode(bytes).into());
        }
        FileSource::Secret(name) => {
            value.insert("secret_name".to_owned(), name.clone().into());
        }
        FileSource::Local(_) | FileSource::Nothing => {}
    }
    put(&mut value, "mode", file.mode.and_then(nonzero));
    Value::Object(value)
}

/// Returns the mounts. One of the same name and path stays as it is, and so does an old one without a name, whose volume nobody can tell; where
/// only the path moved, the volume stays; one of another name has no volume yet. How a volume grows is always the file's word.
fn mounts(wanted: &[&Mount], existing: Option<&Value>) -> Option<Value> {
    let old = existing.and_then(Value::as_array).and_then(|mounts| mounts.first()).and_then(Value::as_object);
    let text = |key: &str| old.and_then(|old| old.get(key)).and_then(Value::as_str).unwrap_or_default();
    let (named, at) = (text("name"), text("path"));
    let mounts = wanted.iter().map(|mount| {
        let mut value = Map::new();
        match old {
            Some(old) if named.is_empty() || (named == mount.source && at == mount.destination) => value.clone_from(old),
            _ => {
                put(&mut value, "volume", old.filter(|_| named == mount.source).and_then(|old| old.get("volume")).cloned());
                value.insert("path".to_owned(), mount.destination.clone().into());
                put(&mut value, "name", Some(&mount.source).filter(|name| !name.is_empty()).map(|name| name.clone().into()));
            }
        }
        set(&mut value, "extend_threshold_percent", mount.extend_threshold_percent.map(Value::from));
        set(&mut value, "add_size_gb", mount.extend_increment_gb.map(Value::from));
        set(&mut value, "size_gb_limit", mount.extend_limit_gb.map(Value::from));
        Value::Object(value)
    });
    list(mounts.collect())
}
