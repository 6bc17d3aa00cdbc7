//! What can be wrong between sections.

use super::document::{FlyConfig, Strategy};
use super::finding::Findings;
use super::reader::Reader;
use super::tree::Node;
use super::words::split_words;

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
    let sources = [config.build.image.is_some(), config.build.dockerfile.is_some()];
    if sources.iter().filter(|set| **set).count() > 1 {
        top.warn("fly-toml::build", "build", "has more than one source of the image");
    }
    if !config.machine_checks.is_empty() {
        top.warn("fly-toml::machine-checks", "machine_checks", "are not run");
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
                Some(super::tree::Value::Table(_)) => {
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
    if let Some(service) = &config.http_service {
        known("http_service", &service.processes);
    }
    for service in &config.services {
        known("services", &service.processes);
        if !config.processes.is_empty() && service.processes.is_empty() {
            top.fault("fly-toml::missing", "services", "every service must name its `processes` when there is a [processes] section");
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
            top.fault("fly-toml::check", "checks", message);
        }
    }
}
