//! Services and checks as the Machines API takes them.

use serde_json::{Map, Value, json};

use crate::platform::fly::toml::{Check, CheckKind, Concurrency, FlyConfig, HttpService, Port, Service, format_duration};

/// Returns a group's services, the HTTP service first.
pub(super) fn services(config: &FlyConfig, group: &str) -> Vec<Value> {
    config.services_of(group).iter().map(service).collect()
}

/// Returns a group's top-level checks by name.
pub(super) fn checks(config: &FlyConfig, group: &str) -> Option<Value> {
    let fallback = config
        .http_service
        .as_ref()
        .filter(|service: &&HttpService| config.applies(&service.processes, group))
        .and_then(|service| service.service.internal_port);
    let checks: Map<String, Value> = config
        .checks_of(group)
        .into_iter()
        .map(|(name, declared)| {
            let mut value = check(declared);
            if let Some(port) = declared.port.or(fallback) {
                value.insert("port".to_owned(), port.into());
            }
            insert(&mut value, "kind", declared.effect.clone());
            (name.to_owned(), Value::Object(value))
        })
        .collect();
    (!checks.is_empty()).then_some(Value::Object(checks))
}

fn service(service: &Service) -> Value {
    let mut value = Map::new();
    insert(&mut value, "protocol", Some(service.protocol.clone()).filter(|protocol| !protocol.is_empty()));
    insert(&mut value, "internal_port", service.internal_port);
    // What flyctl writes: off is false, stop is true, suspend is its name.
    let autostop = service.autostop.as_deref().map(|mode| match mode {
        "off" => Value::Bool(false),
        "stop" => Value::Bool(true),
        other => other.into(),
    });
    insert(&mut value, "autostop", autostop);
    insert(&mut value, "autostart", service.autostart);
    insert(&mut value, "min_machines_running", service.min_machines_running);
    if !service.ports.is_empty() {
        value.insert("ports".to_owned(), service.ports.iter().map(port).collect());
    }
    insert(&mut value, "concurrency", service.concurrency.as_ref().map(concurrency));
    if !service.checks.is_empty() {
        value.insert("checks".to_owned(), service.checks.iter().map(|declared| Value::Object(check(declared))).collect());
    }
    value.insert("force_instance_key".to_owned(), Value::Null);
    Value::Object(value)
}

fn port(port: &Port) -> Value {
    let mut value = Map::new();
    insert(&mut value, "port", port.port);
    insert(&mut value, "start_port", port.start_port);
    insert(&mut value, "end_port", port.end_port);
    if !port.handlers.is_empty() {
        value.insert("handlers".to_owned(), port.handlers.clone().into());
    }
    if port.force_https {
        value.insert("force_https".to_owned(), true.into());
    }
    insert(&mut value, "http_options", port.http_options.clone());
    insert(&mut value, "tls_options", port.tls_options.clone());
    insert(&mut value, "proxy_proto_options", port.proxy_proto_options.clone());
    Value::Object(value)
}

fn concurrency(limits: &Concurrency) -> Value {
    let mut value = Map::new();
    insert(&mut value, "type", limits.kind.clone().filter(|kind| !kind.is_empty()));
    insert(&mut value, "soft_limit", limits.soft_limit.filter(|limit| *limit > 0));
    insert(&mut value, "hard_limit", limits.hard_limit.filter(|limit| *limit > 0));
    Value::Object(value)
}

fn check(check: &Check) -> Map<String, Value> {
    let mut value = Map::new();
    value.insert("type".to_owned(), if check.kind == CheckKind::Http { "http" } else { "tcp" }.into());
    insert(&mut value, "interval", check.interval.map(format_duration));
    insert(&mut value, "timeout", check.timeout.map(format_duration));
    insert(&mut value, "grace_period", check.grace_period.map(format_duration));
    insert(&mut value, "method", check.method.clone());
    insert(&mut value, "path", check.path.clone());
    insert(&mut value, "protocol", check.protocol.clone());
    insert(&mut value, "tls_skip_verify", check.tls_skip_verify);
    insert(&mut value, "tls_server_name", check.tls_server_name.clone());
    if !check.headers.is_empty() {
        let headers = check.headers.iter().map(|(name, text)| json!({"name": name, "values": [text]})).collect();
        value.insert("headers".to_owned(), headers);
    }
    value
}

fn insert<T: Into<Value>>(map: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}
