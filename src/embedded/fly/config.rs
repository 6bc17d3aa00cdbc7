//! Reads a machine's configuration: the JSON is kept as sent, and what the platform itself acts on is taken from it here.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::problem::Problem;

/// The longest `stop_config.timeout`. Source: fly.io/docs/reference/configuration (`kill_timeout`, at most 300 s).
const LONGEST_KILL_TIMEOUT: Duration = Duration::from_secs(300);

/// The kill timeout without a `stop_config`. Source: the same page (5 s).
const USUAL_KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Types of what the server itself decodes, so that a wrong type is refused as it is there; everything else is carried along.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shape {
    image: Option<String>,
    env: Option<std::collections::BTreeMap<String, String>>,
    metadata: Option<std::collections::BTreeMap<String, String>>,
    services: Option<Vec<ServiceShape>>,
    checks: Option<std::collections::BTreeMap<String, CheckShape>>,
    mounts: Option<Vec<Map<String, Value>>>,
    auto_destroy: Option<bool>,
    restart: Option<Map<String, Value>>,
    guest: Option<Map<String, Value>>,
    init: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceShape {
    protocol: Option<String>,
    internal_port: Option<u16>,
    ports: Option<Vec<Map<String, Value>>>,
    checks: Option<Vec<CheckShape>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CheckShape {
    r#type: Option<String>,
    port: Option<u16>,
    path: Option<String>,
    method: Option<String>,
}

/// One check of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckSpec {
    /// The name under which the machine lists it.
    pub name: String,
    /// The port inside the machine.
    pub port: u16,
    /// Path of an HTTP check; `None` for a TCP check.
    pub http: Option<HttpCheck>,
    /// Time between two runs.
    pub interval: Duration,
    /// The longest a run may take.
    pub timeout: Duration,
    /// Time after the start within which failures are forgiven.
    pub grace: Duration,
    /// Whether its failure takes the machine out of routing.
    pub routes: bool,
}

/// What an HTTP check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpCheck {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

/// Refuses what the server refuses, and returns the configuration in the form in which the server gives it back.
pub(super) fn accept(config: &Value, autostop_as_text: bool) -> Result<Value, Problem> {
    if !config.is_object() {
        return Err(Problem::new(400, "invalid request body: config is required"));
    }
    if let Err(error) = Shape::deserialize(config) {
        return Err(Problem::new(400, format!("json: cannot unmarshal config: {error}")));
    }
    let has_image = text(config, "image").is_some_and(|image| !image.is_empty());
    if !has_image && config.get("containers").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(Problem::new(422, "invalid config.image, cannot be empty"));
    }
    if list(config, "mounts").len() > 1 {
        return Err(Problem::new(422, "invalid config.mounts, a machine can have only one volume"));
    }
    if kill_timeout(config) > LONGEST_KILL_TIMEOUT {
        return Err(Problem::new(422, "invalid config.stop_config.timeout, must be at most 5m0s"));
    }
    guest(config)?;
    for service in list(config, "services") {
        if !matches!(text(service, "protocol"), None | Some("" | "tcp" | "udp")) {
            return Err(Problem::new(422, "invalid config.services.protocol, must be tcp or udp"));
        }
    }
    for check in checks_raw(config) {
        if !matches!(text(check, "type"), Some("tcp" | "http")) {
            return Err(Problem::new(422, "invalid check type, must be tcp or http"));
        }
    }
    Ok(given_back(config, autostop_as_text))
}

/// Memory per CPU and its steps. Source: fly.io/docs/machines/guides-examples/machine-sizing (shared 256–2048 MB, performance 2048–8192 MB).
fn guest(config: &Value) -> Result<(), Problem> {
    let Some(guest) = config.get("guest").filter(|guest| !guest.is_null()) else { return Ok(()) };
    let kind = text(guest, "cpu_kind").unwrap_or("shared");
    let (low, high) = if kind == "performance" { (2048, 8192) } else { (256, 2048) };
    let cpus = guest.get("cpus").and_then(Value::as_u64).unwrap_or(1).max(1);
    let Some(memory) = guest.get("memory_mb").and_then(Value::as_u64) else { return Ok(()) };
    if memory % 256 != 0 {
        return Err(Problem::new(422, format!("invalid config.guest.memory_mb, {memory} is not a multiple of 256")));
    }
    if memory < low * cpus || memory > high * cpus {
        return Err(Problem::new(422, format!("invalid config.guest.memory_mb, {memory} MB does not fit {cpus} {kind} CPUs")));
    }
    Ok(())
}

/// Nulls are gone, integer durations are Go's text, `autostop` is the document's text: what a Go server that decodes and encodes makes of it.
pub(super) fn given_back(value: &Value, autostop_as_text: bool) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    ("autostop", Value::Bool(on)) if autostop_as_text => Value::from(if *on { "stop" } else { "off" }),
                    ("interval" | "timeout" | "grace_period", Value::Number(_)) => Value::from(go_duration(duration(value))),
                    _ => given_back(value, autostop_as_text),
                };
                (key.clone(), value)
            });
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| given_back(item, autostop_as_text)).collect()),
        other => other.clone(),
    }
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns one entry of `config.env`.
pub(super) fn env<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    config.get("env")?.get(key)?.as_str()
}

/// Returns all metadata that is text.
pub(super) fn all_metadata(config: &Value) -> std::collections::BTreeMap<String, String> {
    let members = config.get("metadata").and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Returns one entry of `config.metadata`.
pub(super) fn metadata<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    config.get("metadata")?.get(key)?.as_str()
}

pub(super) fn kill_timeout(config: &Value) -> Duration {
    config
        .get("stop_config")
        .and_then(|stop| stop.get("timeout"))
        .map_or(USUAL_KILL_TIMEOUT, |timeout| duration(timeout).unwrap_or_default())
}

/// Returns the restart policy and its number of tries. Source: fly.io/docs/machines/guides-examples/machine-restart-policy: without one,
/// on-failure with ten tries.
pub(super) fn restart(config: &Value) -> (&str, u32) {
    let restart = config.get("restart");
    let policy = restart.and_then(|restart| text(restart, "policy")).filter(|policy| !policy.is_empty()).unwrap_or("on-failure");
    let tries = restart.and_then(|restart| restart.get("max_retries")).and_then(Value::as_u64).unwrap_or(10);
    (policy, u32::try_from(tries).unwrap_or(u32::MAX))
}

pub(super) fn auto_destroy(config: &Value) -> bool {
    config.get("auto_destroy").and_then(Value::as_bool).unwrap_or(false)
}

/// Returns every port that the machine's services and checks name, each once, the first service's first.
pub(super) fn ports(config: &Value) -> Vec<u16> {
    let services = list(config, "services").iter().filter_map(|service| port(service, "internal_port"));
    let mut ports = Vec::new();
    for port in services.chain(checks(config).iter().map(|check| check.port)) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

fn port(value: &Value, key: &str) -> Option<u16> {
    value.get(key)?.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn checks_raw(config: &Value) -> impl Iterator<Item = &Value> {
    let top = config.get("checks").and_then(Value::as_object).into_iter().flat_map(Map::values);
    top.chain(list(config, "services").iter().flat_map(|service| list(service, "checks")))
}

/// Returns the machine's checks. Service checks are called `servicecheck-NN-TYPE-PORT`. Source: flyctl's output and its filter on that prefix.
pub(super) fn checks(config: &Value) -> Vec<CheckSpec> {
    let mut specs = Vec::new();
    for (name, check) in config.get("checks").and_then(Value::as_object).into_iter().flatten() {
        let routes = text(check, "kind") == Some("readiness");
        specs.extend(check_spec(name.clone(), check, None, routes));
    }
    let mut number = 0;
    for service in list(config, "services") {
        for check in list(service, "checks") {
            let fallback = port(service, "internal_port");
            let kind = text(check, "type").unwrap_or("tcp");
            let name = format!("servicecheck-{number:02}-{kind}-{}", port(check, "port").or(fallback).unwrap_or(0));
            specs.extend(check_spec(name, check, fallback, true));
            number += 1;
        }
    }
    specs
}

fn check_spec(name: String, check: &Value, fallback: Option<u16>, routes: bool) -> Option<CheckSpec> {
    let of = |key: &str| check.get(key).and_then(duration);
    let http = (text(check, "type") == Some("http")).then(|| HttpCheck {
        method: text(check, "method").unwrap_or("GET").to_ascii_uppercase(),
        path: text(check, "path").unwrap_or("/").to_owned(),
        headers: list(check, "headers").iter().filter_map(header).collect(),
    });
    // Source for the limits of service checks: flyctl warns that the server raises to 1 s and lowers to 1 min; the defaults are the documented ones.
    let interval = of("interval").unwrap_or(Duration::from_secs(15)).clamp(Duration::from_secs(1), Duration::from_secs(60));
    let timeout = of("timeout").unwrap_or(Duration::from_secs(10)).clamp(Duration::from_secs(1), Duration::from_secs(60));
    let port = port(check, "port").or(fallback)?;
    Some(CheckSpec { name, port, http, interval, timeout, grace: of("grace_period").unwrap_or_default(), routes })
}

fn header(header: &Value) -> Option<(String, String)> {
    Some((text(header, "name")?.to_owned(), list(header, "values").first()?.as_str()?.to_owned()))
}

/// Reads a duration: Go's text ("1m30s", "500ms"), or an integer of nanoseconds.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    if let Some(nanoseconds) = value.as_u64() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let mut rest = value.as_str()?;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(total).ok()
}

fn go_duration(duration: Option<Duration>) -> String {
    let duration = duration.unwrap_or_default();
    if duration.subsec_nanos() == 0 { format!("{}s", duration.as_secs()) } else { format!("{}ms", duration.as_millis()) }
}
