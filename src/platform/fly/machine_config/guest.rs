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

/// Returns the size of a group's machines; `None` when `fly.toml` says none, and the machine keeps what it has.
pub(super) fn guest(config: &FlyConfig, group: &str, has_machine: bool) -> Option<Value> {
    let vm = config.vm_of(group);
    let dedication = vm.and_then(|vm| vm.host_dedication_id.clone()).or_else(|| config.host_dedication_id.clone());
    if vm.is_none() && (dedication.is_none() || has_machine) {
        return None;
    }
    Some(of(vm.unwrap_or(&Vm::default()), dedication))
}

/// Returns a size: the preset (`shared-cpu-1x`, or `performance-8x` with a GPU), then `memory`, then every explicit field.
pub(super) fn of(vm: &Vm, dedication: Option<String>) -> Value {
    let default = if vm.gpu_kind.is_some() { "performance-8x" } else { "shared-cpu-1x" };
    let (kind, cpus, memory) = vm.size.as_deref().and_then(preset).or_else(|| preset(default)).unwrap_or(("shared", 1, 256));
    let mut guest = Map::new();
    let mut insert = |key: &str, value: Value| guest.insert(key.to_owned(), value);
    insert("cpu_kind", vm.cpu_kind.clone().unwrap_or_else(|| kind.to_owned()).into());
    insert("cpus", vm.cpus.unwrap_or(cpus).into());
    insert("memory_mb", vm.memory_mb.or(vm.memory).unwrap_or(memory).into());
    if let Some(most) = vm.max_memory_mb {
        insert("max_memory_mb", most.into());
    }
    if let Some(gpus) = vm.gpus.or(vm.gpu_kind.as_ref().map(|_| 1)) {
        insert("gpus", gpus.into());
    }
    if let Some(kind) = &vm.gpu_kind {
        insert("gpu_kind", kind.clone().into());
    }
    if let Some(persist) = &vm.persist_rootfs {
        insert("persist_rootfs", persist.clone().into());
    }
    if !vm.kernel_args.is_empty() {
        insert("kernel_args", vm.kernel_args.clone().into());
    }
    if let Some(id) = dedication {
        insert("host_dedication_id", id.into());
    }
    Value::Object(guest)
}
