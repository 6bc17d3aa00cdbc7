//! What a machine's state, events and checks say about it. Pure.

use serde_json::Value;

use super::machine_config::MachineConfig;
use super::stamp;
use super::wire::{ExitEvent, Machine};

/// The word on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// It runs, and every check passes; without checks, it runs.
    Healthy,
    /// Nobody can say yet.
    Unknown(String),
    /// A check does not pass; it may yet. With the numbers of the manifest's GETs that fail, where nothing else does.
    Failing(String, Vec<usize>),
    /// It ended by itself: waiting longer tells nothing new.
    Crashed(String),
}

/// Judges a machine; exits up to the event time `after` (milliseconds since 1970) belong to an earlier life and are ignored.
pub(super) fn judge(machine: &Machine, after: i64) -> Word {
    let mut exits = machine.events.iter().filter(|event| event.timestamp > after).filter_map(super::wire::MachineEvent::exit);
    if let Some(exit) = exits.find(crashed) {
        return Word::Crashed(format!("machine {} {}", machine.id, describe(&exit)));
    }
    match machine.state.as_str() {
        "started" => {}
        "failed" | "launch_failed" => return Word::Crashed(format!("machine {} could not be launched", machine.id)),
        "stopped" => {
            let last = machine.events.iter().filter(|event| event.timestamp > after).find_map(super::wire::MachineEvent::exit);
            return match last {
                Some(exit) if exit.requested_stop => Word::Crashed(format!("machine {} was stopped by somebody", machine.id)),
                Some(_) => Word::Crashed(format!("machine {} stopped by itself: its process ended with exit code 0", machine.id)),
                None => Word::Unknown(format!("machine {} is stopped", machine.id)),
            };
        }
        "destroyed" | "destroying" => return Word::Crashed(format!("machine {} was destroyed", machine.id)),
        state => return Word::Unknown(format!("machine {} is {state}", machine.id)),
    }
    checks(machine)
}

fn checks(machine: &Machine) -> Word {
    // Fakes that Fly adds for old clients say nothing (fly.md 4).
    let told: Vec<_> = machine.checks.iter().filter(|check| !check.name.starts_with("bg_deployments_compat")).collect();
    let failing: Vec<_> = told.iter().filter(|check| check.status != "passing").collect();
    if let Some(first) = failing.first() {
        let ours: Option<Vec<usize>> = failing.iter().map(|check| stamp::ordinal_of(&check.name)).collect();
        let check = failing.iter().find(|check| stamp::ordinal_of(&check.name).is_none()).unwrap_or(first);
        let output: String = check.output.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
        let output = if output.is_empty() { String::new() } else { format!(": {output}") };
        let why = format!("machine {}: check {} is {}{output}", machine.id, check.name, check.status);
        return Word::Failing(why, ours.unwrap_or_default());
    }
    let Some(config) = machine.config() else { return Word::Unknown(format!("machine {} has no config to read", machine.id)) };
    if !has_checks(config) {
        return Word::Healthy;
    }
    // Zero entries is "not known yet", never healthy; and our own checks are known by name.
    let unheard = own_checks(config).into_iter().find(|name| told.iter().all(|check| check.name != *name));
    match unheard {
        _ if told.is_empty() => Word::Unknown(format!("machine {} has no check results yet", machine.id)),
        Some(name) => Word::Unknown(format!("machine {} has no result of check {name} yet", machine.id)),
        None => Word::Healthy,
    }
}

/// Returns whether Fly checks a machine with this config at all.
pub(super) fn has_checks(config: &MachineConfig) -> bool {
    let filled = |value: Option<&Value>| match value {
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    let services = config.get("services").and_then(Value::as_array).into_iter().flatten();
    filled(config.get("checks")) || services.into_iter().any(|service| filled(service.get("checks")))
}

/// Returns whether a request starts a machine with this config, so that being stopped is no fault.
pub(super) fn autostarts(config: &MachineConfig) -> bool {
    let services = config.get("services").and_then(Value::as_array).into_iter().flatten();
    services.into_iter().any(|service| service.get("autostart").and_then(Value::as_bool) == Some(true))
}

/// Returns whether a machine sleeps because somebody told it to, and ended well.
pub(super) fn rests(machine: &Machine) -> bool {
    let last = machine.events.iter().find_map(super::wire::MachineEvent::exit);
    machine.state == "suspended" || (machine.state == "stopped" && last.is_some_and(|exit| exit.requested_stop))
}

/// Returns the event time at which a machine's present version began its life.
pub(super) fn life_began(machine: &Machine) -> i64 {
    let begins = machine.events.iter().filter(|event| ["launch", "update"].contains(&event.kind.as_str()));
    begins.map(|event| event.timestamp).max().unwrap_or(0)
}

fn own_checks(config: &MachineConfig) -> Vec<&str> {
    let checks = config.get("checks").and_then(Value::as_object).into_iter().flatten();
    checks.map(|(name, _)| name.as_str()).filter(|name| name.starts_with(stamp::CHECKS)).collect()
}

fn crashed(exit: &ExitEvent) -> bool {
    !exit.requested_stop && (exit.exit_code != 0 || exit.oom_killed || exit.guest_signal > 0)
}

fn describe(exit: &ExitEvent) -> String {
    if exit.oom_killed {
        return format!("ran out of memory and was killed (exit code {})", exit.exit_code);
    }
    let signal = if exit.guest_signal > 0 { format!(" by signal {}", exit.guest_signal) } else { String::new() };
    format!("exited with code {}{signal}", exit.exit_code)
}
