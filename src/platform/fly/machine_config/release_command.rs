//! The machine that runs the release command: once, on the new image, with nothing routed to it, gone when it ends (fly.md 17).

use serde_json::{Map, Value, json};

use super::{MachineConfig, files, guest, list, put, stop_config};
use crate::platform::fly::toml::{FlyConfig, Vm, split_words};

/// The process group of the machine that runs the release command; no other machine is ever in it.
pub const RELEASE_COMMAND_GROUP: &str = "fly_app_release_command";

/// Its size where nobody says another.
const DEFAULT_SIZE: &str = "shared-cpu-2x";

/// Returns the config of the machine that runs the release command of `config` on `image`; `None` where there is no release command.
///
/// Its size is `release_command_vm`, else `largest`, the size of that machine of the default group which has the most memory, else
/// shared-cpu-2x. It gets no mounts, services or checks. The image's entrypoint still runs.
pub fn release_command(config: &FlyConfig, image: &str, largest: Option<&Map<String, Value>>) -> Option<MachineConfig> {
    let command = config.deploy.release_command.as_deref()?;
    // A command that cannot be split is a fault of the file.
    let words = split_words(command).unwrap_or_default();
    let mut init = Map::new();
    put(&mut init, "cmd", list(words.into_iter().map(Value::from).collect()));
    put(&mut init, "entrypoint", config.experimental.entrypoint.clone().filter(|words| !words.is_empty()).map(Value::from));
    put(&mut init, "swap_size_mb", config.swap_size_mb.map(Value::from));

    let mut env = super::env(config, RELEASE_COMMAND_GROUP);
    env["RELEASE_COMMAND"] = "1".into();

    let mut machine = MachineConfig::new();
    machine.insert("image".to_owned(), image.into());
    machine.insert("init".to_owned(), Value::Object(init));
    machine.insert("env".to_owned(), env);
    machine.insert("metadata".to_owned(), super::metadata(RELEASE_COMMAND_GROUP, None));
    machine.insert("guest".to_owned(), size(config, largest));
    machine.insert("restart".to_owned(), json!({"policy": "no"}));
    machine.insert("auto_destroy".to_owned(), true.into());
    machine.insert("dns".to_owned(), json!({"skip_registration": true}));
    put(&mut machine, "stop_config", stop_config(config));
    put(&mut machine, "files", files(config));
    Some(machine)
}

fn size(config: &FlyConfig, largest: Option<&Map<String, Value>>) -> Value {
    let dedication = config.host_dedication_id.as_deref().filter(|id| !id.trim().is_empty());
    if let Some(vm) = &config.deploy.release_command_vm {
        return guest::of(vm, vm.host_dedication_id.as_deref().filter(|id| !id.is_empty()).or(dedication));
    }
    let Some(largest) = largest else {
        return guest::of(&Vm { size: Some(DEFAULT_SIZE.to_owned()), ..Vm::default() }, dedication);
    };
    let mut size = largest.clone();
    put(&mut size, "host_dedication_id", dedication.map(Value::from));
    Value::Object(size)
}
