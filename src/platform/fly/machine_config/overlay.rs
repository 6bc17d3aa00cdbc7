//! `machine_config`: a machine config to begin with, inline or in a file, on which everything else of `fly.toml` is written.

use serde_json::{Map, Value};

use super::MachineConfig;
use crate::platform::fly::toml::{Experimental, MachineConfigSource, image_container};

/// Lays the file's `machine_config`, if it has one, over `machine`: objects are merged, everything else is replaced, and a null takes a key
/// away. One container then gets the image. A file that nobody has read yet is nothing.
pub(super) fn begin_with(machine: &mut MachineConfig, experimental: &Experimental, image: &str) {
    if let Some(MachineConfigSource::Inline(config)) = &experimental.machine_config {
        merge(machine, config);
        // The file's own containers were judged when it was read.
        if let Ok(Some(at)) = image_container(config, experimental.container.as_deref())
            && let Some(container) = machine.get_mut("containers").and_then(|list| list.get_mut(at)).and_then(Value::as_object_mut)
        {
            container.insert("image".to_owned(), image.into());
        }
    }
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, Value::Null) => drop(into.shift_remove(key)),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}
