//! Sizes: presets and what `[[vm]]` changes about them.

use serde_json::{Map, Value};

use crate::platform::fly::toml::{FlyConfig, Vm};

/// CPU kind, CPUs and memory in MB of a preset; GPU presets, which Fly no longer sells, have the size of their hosts.
pub fn preset(name: &str) -> Option<(&'static str, u32, u32)> {
    if let Some(cpus) = name.strip_prefix("shared-cpu-").and_then(|rest| rest.strip_suffix('x')) {
        let cpus: u32 = cpus.parse().ok()?;
        return [1, 2, 4, 6, 8].contains(&cpus).then_some(("shared", cpus, cpus * 256));
    }
    if let Some(cpus) = name.strip_prefix("performance-").and_then(|rest| rest.strip_suffix('x')) {
        let cpus: u32 = cpus.parse().ok()?;
        let sold = cpus == 1 || (cpus.is_multiple_of(2) && (2..=16).contains(&cpus));
        return sold.then_some(("performance", cpus, cpus * 2048));
    }
    ["a10", "l40s", "a100-40gb", "a100-80gb"].contains(&name).then_some(("performance", 8, 16384))
}

/// Returns the dedicated host of a group's machines: the one of its `[[vm]]`, else the file's.
pub fn dedication_of<'a>(config: &'a FlyConfig, group: &str) -> Option<&'a str> {
    let own = config.vm_of(group).and_then(|vm| vm.host_dedication_id.as_deref()).filter(|id| !id.is_empty());
    own.or(config.host_dedication_id.as_deref()).filter(|id| !id.trim().is_empty())
}

/// Returns the size of a group's machines. Where `fly.toml` says none, a machine keeps what it has, and a new one gets Fly's smallest.
pub(super) fn guest(config: &FlyConfig, group: &str, existing: Option<&Value>, has_machine: bool) -> Option<Value> {
    let dedication = dedication_of(config, group);
    match (config.vm_of(group), existing.and_then(Value::as_object)) {
        (Some(vm), _) => Some(of(vm, dedication)),
        (None, Some(existing)) => {
            let mut guest = existing.clone();
            if let Some(id) = dedication {
                guest.insert("host_dedication_id".to_owned(), id.into());
            }
            Some(Value::Object(guest))
        }
        (None, None) if has_machine && dedication.is_none() => None,
        (None, None) => Some(of(&Vm::default(), dedication)),
    }
}

/// Returns a size: the preset (`shared-cpu-1x`, or `performance-8x` with a GPU), then `memory`, then every explicit field.
pub(super) fn of(vm: &Vm, dedication: Option<&str>) -> Value {
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let count = |number: Option<u32>| number.filter(|number| *number > 0);
    let gpu_kind = said(&vm.gpu_kind);
    let default = if gpu_kind.is_some() { "performance-8x" } else { "shared-cpu-1x" };
    let (kind, cpus, memory) = vm.size.as_deref().and_then(preset).or_else(|| preset(default)).unwrap_or(("shared", 1, 256));
    let mut guest = Map::new();
    let mut insert = |key: &str, value: Value| guest.insert(key.to_owned(), value);
    insert("cpu_kind", said(&vm.cpu_kind).unwrap_or_else(|| kind.to_owned()).into());
    insert("cpus", count(vm.cpus).unwrap_or(cpus).into());
    insert("memory_mb", count(vm.memory_mb).or(vm.memory).unwrap_or(memory).into());
    if let Some(most) = count(vm.max_memory_mb) {
        insert("max_memory_mb", most.into());
    }
    if let Some(gpus) = count(vm.gpus).or(gpu_kind.as_ref().map(|_| 1)) {
        insert("gpus", gpus.into());
    }
    if let Some(kind) = gpu_kind {
        insert("gpu_kind", kind.into());
    }
    if let Some(persist) = said(&vm.persist_rootfs) {
        insert("persist_rootfs", persist.into());
    }
    if !vm.kernel_args.is_empty() {
        insert("kernel_args", vm.kernel_args.clone().into());
    }
    if let Some(id) = dedication {
        insert("host_dedication_id", id.into());
    }
    Value::Object(guest)
}
