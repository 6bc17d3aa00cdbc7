//! What can be wrong between sections.

use std::time::Duration;

use super::containers::image_container;
use super::document::{FlyConfig, MachineConfigSource, Strategy};
use super::finding::Findings;
use super::reader::Reader;
use super::services;
use super::tree::{Node, Value};
use super::words::split_words;

/// The longest that Fly lets a machine take to end (fly.md 14).
const LONGEST_KILL_TIMEOUT: Duration = Duration::from_secs(300);

/// Adds the faults that no section can see alone.
pub(super) fn check(config: &FlyConfig, root: &Node, findings: &Findings) {
    let top = Reader::new(root, String::new(), findings);
    commands(config, &top);
    selections(config, &top);
    for group in config.groups() {
        if config.mounts_of(group).len() > 1 {
            top.fault("fly-toml::mounts", "mounts", format!("process group `{group}` has more than one volume; a machine can have one"));
        }
        check_ports(config, &top, group);
    }
    // Bluegreen with a volume is judged when a release is planned: the manifest may ask for another strategy.
    if !config.mounts.is_empty() && config.deploy.strategy == Some(Strategy::Canary) {
        top.fault("fly-toml::strategy", "deploy", "strategy canary cannot be used with a volume: a volume belongs to one machine");
    }
    let build = &config.build;
    let dockerfile = build.dockerfile.is_some() || build.target.is_some();
    let sources = [build.image.is_some(), dockerfile, build.builder.is_some(), build.builtin.is_some()];
    if sources.iter().filter(|set| **set).count() > 1 {
        top.warn("fly-toml::build", "build", "has more than one source of the image");
    }
    machine_checks(config, &top);
    containers(config, &top);
    environment(config, &top);
    if config.kill_timeout.is_some_and(|timeout| timeout > LONGEST_KILL_TIMEOUT) {
        top.warn("fly-toml::kill-timeout", "kill_timeout", "is longer than Fly waits: 5 minutes at most");
    }
}

fn machine_checks(config: &FlyConfig, top: &Reader<'_>) {
    let warn = |table: &Reader<'_>| table.warn("fly-toml::machine-checks", "machine_checks", "are not run");
    if !config.machine_checks.is_empty() {
        warn(top);
    }
    let http =
        config.http_service.iter().filter(|service| !service.service.machine_checks.is_empty()).filter_map(|_| top.table("http_service"));
    let services = services::declared(top).into_iter().zip(&config.services).filter(|(_, service)| !service.machine_checks.is_empty());
    http.chain(services.map(|(table, _)| table)).for_each(|table| warn(&table));
}

/// Judges the containers of a `machine_config` that stands in the file; one that stands beside it is judged when it is read.
fn containers(config: &FlyConfig, top: &Reader<'_>) {
    let experimental = &config.experimental;
    if let Some(MachineConfigSource::Inline(machine)) = &experimental.machine_config
        && let Err(error) = image_container(machine, experimental.container.as_deref())
    {
        let section = if top.get("machine_config").is_some() { "machine_config" } else { "experimental" };
        top.fault("fly-toml::machine-config", section, error.to_string());
    }
}

/// Names of variables that Fly keeps for itself (fly.md 22.15).
fn environment(config: &FlyConfig, top: &Reader<'_>) {
    let tables = top.tables("env");
    for name in config.env.keys().filter(|name| name.starts_with("FLY_")) {
        if let Some(table) = tables.iter().find(|table| table.all().iter().any(|entry| entry.key == *name)) {
            table.warn("fly-toml::env", name, "begins with FLY_, which Fly keeps for its own variables");
        }
    }
}

fn commands(config: &FlyConfig, top: &Reader<'_>) {
    let lines = [
        ("deploy", "release_command", config.deploy.release_command.as_deref()),
        ("deploy", "seed_command", config.deploy.seed_command.as_deref()),
    ];
    for (section, key, line) in lines {
        if let (Some(Err(error)), Some(table)) = (line.map(split_words), top.table(section)) {
            table.fault("fly-toml::command", key, error.to_string());
        }
    }
    if let Some(Err(error)) = config.console_command.as_deref().map(split_words) {
        top.fault("fly-toml::command", "console_command", error.to_string());
    }
    for (name, line) in &config.processes {
        if let Err(error) = split_words(line) {
            match top.get("processes").map(|entry| &entry.node.value) {
                Some(Value::Table(_)) => {
                    if let Some(table) = top.table("processes") {
                        table.fault("fly-toml::command", name, error.to_string());
                    }
                }
                _ => top.fault("fly-toml::command", "processes", format!("{name}: {error}")),
            }
        }
    }
}

fn selections(config: &FlyConfig, top: &Reader<'_>) {
    let groups = config.groups();
    let known = |section: &'static str, processes: &[String]| {
        for name in processes.iter().filter(|name| !groups.contains(&name.as_str())) {
            top.fault("fly-toml::unknown-group", section, format!("names process group `{name}`, which is not in [processes]"));
        }
    };
    let http = config.http_service.iter().filter_map(|service| Some((top.table("http_service")?, &service.processes)));
    let services = services::declared(top).into_iter().zip(config.services.iter().map(|service| &service.processes));
    for (table, processes) in http.chain(services) {
        if !config.processes.is_empty() && processes.is_empty() {
            table.fault("fly-toml::missing", "processes", "is needed: every service names its groups when there is a [processes] section");
        }
        for name in processes.iter().filter(|name| !groups.contains(&name.as_str())) {
            table.fault("fly-toml::unknown-group", "processes", format!("names process group `{name}`, which is not in [processes]"));
        }
    }
    config.checks.values().for_each(|check| known("checks", &check.processes));
    config.mounts.iter().for_each(|mount| known("mounts", &mount.processes));
    config.metrics.iter().for_each(|metrics| known("metrics", &metrics.processes));
    config.restart.iter().for_each(|restart| known("restart", &restart.processes));
    config.vm.iter().for_each(|vm| known("vm", &vm.processes));
}

fn check_ports(config: &FlyConfig, top: &Reader<'_>, group: &str) {
    let http = config.http_service.as_ref().is_some_and(|service| config.applies(&service.processes, group));
    for (name, check) in config.checks_of(group) {
        if check.port.is_none() && !http {
            let message = format!("check `{name}` needs a port: process group `{group}` has no http_service to take it from");
            match top.get("checks").map(|entry| &entry.node.value) {
                Some(Value::Table(_)) => top.table("checks").into_iter().for_each(|table| table.fault("fly-toml::check", name, &*message)),
                _ => top.fault("fly-toml::check", "checks", message),
            }
        }
    }
}
