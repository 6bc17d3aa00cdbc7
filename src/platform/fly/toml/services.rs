//! Services and the checks on them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::FlyConfig;
use super::finding::Findings;
use super::reader::{Bare, Reader};
use super::tree::{Node, Value};

/// `[http_service]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpService {
    /// What the two ports have in common with every service.
    pub service: Service,
    /// Whether plain HTTP is redirected.
    pub force_https: bool,
    /// Passed on as written.
    pub http_options: Option<serde_json::Value>,
    /// Passed on as written.
    pub tls_options: Option<serde_json::Value>,
    /// The groups.
    pub processes: Vec<String>,
}

impl HttpService {
    /// Returns the service that Fly is sent: TCP with port 80 for HTTP and port 443 for HTTP over TLS.
    pub fn as_service(&self) -> Service {
        let port = |port: u16, handlers: &[&str]| Port {
            port: Some(port),
            handlers: handlers.iter().map(|&name| name.to_owned()).collect(),
            http_options: self.http_options.clone(),
            ..Port::default()
        };
        let plain = Port { force_https: self.force_https, ..port(80, &["http"]) };
        let secure = Port { tls_options: self.tls_options.clone(), ..port(443, &["http", "tls"]) };
        Service { protocol: "tcp".to_owned(), ports: vec![plain, secure], processes: self.processes.clone(), ..self.service.clone() }
    }
}

/// `[[services]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    /// `tcp` or `udp`; empty where the file does not say it, which is TCP.
    pub protocol: String,
    /// The port in the machine.
    pub internal_port: Option<u16>,
    /// `off`, `stop` or `suspend`.
    pub autostop: Option<String>,
    /// Whether requests start machines.
    pub autostart: Option<bool>,
    /// How many machines autostop leaves running in the primary region.
    pub min_machines_running: Option<u32>,
    /// Public ports.
    pub ports: Vec<Port>,
    /// How much a machine takes.
    pub concurrency: Option<Concurrency>,
    /// Checks: TCP first, then HTTP.
    pub checks: Vec<Check>,
    /// Machine checks; no part of a release yet.
    pub machine_checks: Vec<MachineCheck>,
    /// The groups.
    pub processes: Vec<String>,
}

/// A public port or a range of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Port {
    /// One port.
    pub port: Option<u16>,
    /// The first of a range.
    pub start_port: Option<u16>,
    /// The last of a range.
    pub end_port: Option<u16>,
    /// What the proxy does there.
    pub handlers: Vec<String>,
    /// Whether plain HTTP is redirected.
    pub force_https: bool,
    /// Passed on as written.
    pub http_options: Option<serde_json::Value>,
    /// Passed on as written.
    pub tls_options: Option<serde_json::Value>,
    /// Passed on as written.
    pub proxy_proto_options: Option<serde_json::Value>,
}

/// How much a machine takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concurrency {
    /// `connections` or `requests`.
    pub kind: Option<String>,
    /// Above it, others are preferred.
    pub soft_limit: Option<u32>,
    /// Above it, it gets no more.
    pub hard_limit: Option<u32>,
}

/// What kind of check it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CheckKind {
    /// Opens a connection.
    #[default]
    Tcp,
    /// Asks for a path.
    Http,
}

/// A check that Fly makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// TCP or HTTP.
    pub kind: CheckKind,
    /// The port; only top-level checks have one of their own.
    pub port: Option<u16>,
    /// How often.
    pub interval: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
    /// How long a new machine is given.
    pub grace_period: Option<Duration>,
    /// The method, as written.
    pub method: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// `http` or `https`.
    pub protocol: Option<String>,
    /// Whether certificates are ignored.
    pub tls_skip_verify: Option<bool>,
    /// The name expected in the certificate.
    pub tls_server_name: Option<String>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// What its failing does (top-level only): `informational` or `readiness`.
    pub effect: Option<String>,
    /// The groups (top-level only).
    pub processes: Vec<String>,
}

/// A machine that judges another; parsed so that nothing is lost, not run yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineCheck {
    /// Its image; the released one when empty.
    pub image: Option<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
}

/// Reads services and checks into `config`.
pub(super) fn read(root: &Node, findings: &Findings, config: &mut FlyConfig) {
    let top = Reader::new(root, String::new(), findings);
    config.http_service = top.table("http_service").map(http_service);
    config.services = declared(&top).into_iter().map(service).collect();
    config.machine_checks = machine_checks(&top);
    let list = top.get("checks").is_some_and(|entry| matches!(entry.node.value, Value::List(_)));
    if list {
        for table in top.tables("checks") {
            let name = table.text("name");
            match name {
                Some(name) => {
                    config.checks.insert(name, top_level_check(table));
                }
                None => table.fault("fly-toml::missing", "name", "is needed: checks have names"),
            }
        }
    } else if let Some(table) = top.table("checks") {
        for entry in table.all() {
            let reader = Reader::new(&entry.node, table.path_of(&entry.key), findings);
            config.checks.insert(entry.key.clone(), top_level_check(reader));
        }
    }
}

/// Returns the service tables that say anything: flyctl drops the others.
pub(super) fn declared<'a>(top: &Reader<'a>) -> Vec<Reader<'a>> {
    top.tables("services").into_iter().filter(|table| !table.is_empty()).collect()
}

fn http_service(table: Reader<'_>) -> HttpService {
    let mut service = common(&table);
    service.checks =
        table.tables("checks").into_iter().map(|check| service_check(check, CheckKind::Http, Bare::MillisecondsWarned)).collect();
    let http = HttpService {
        service,
        force_https: table.flag("force_https").unwrap_or(false),
        http_options: http_options(&table),
        tls_options: tls_options(&table),
        processes: table.texts("processes").unwrap_or_default(),
    };
    table.finish();
    http
}

fn service(table: Reader<'_>) -> Service {
    let mut service = common(&table);
    let tcp = table.tables("tcp_checks").into_iter().map(|check| service_check(check, CheckKind::Tcp, Bare::Milliseconds));
    let http = table.tables("http_checks").into_iter().map(|check| service_check(check, CheckKind::Http, Bare::Milliseconds));
    service.checks = tcp.chain(http).collect();
    service.protocol = table.text("protocol").unwrap_or_default();
    service.ports = table.tables("ports").into_iter().map(port).collect();
    service.processes = table.texts("processes").unwrap_or_default();
    if !["", "tcp", "udp"].contains(&service.protocol.as_str()) {
        table.fault("fly-toml::protocol", "protocol", "must be tcp or udp");
    }
    if service.ports.is_empty() {
        table.warn("fly-toml::no-ports", "ports", "the service has no ports, so nobody outside reaches it");
    }
    table.finish();
    service
}

fn common(table: &Reader<'_>) -> Service {
    let internal_port = table.port("internal_port");
    if table.get("internal_port").is_none() {
        table.fault("fly-toml::missing", "internal_port", "is needed: the port on which the app listens");
    }
    Service {
        internal_port,
        autostop: autostop(table),
        autostart: table.flag("auto_start_machines"),
        min_machines_running: table.count("min_machines_running"),
        concurrency: concurrency(table),
        machine_checks: machine_checks(table),
        ..Service::default()
    }
}

fn autostop(table: &Reader<'_>) -> Option<String> {
    let entry = table.get("auto_stop_machines")?;
    match &entry.node.value {
        Value::Flag(flag) => Some(if *flag { "stop" } else { "off" }.to_owned()),
        Value::Text(text) if ["off", "stop", "suspend"].contains(&text.as_str()) => Some(text.clone()),
        _ => {
            table.fault("fly-toml::autostop", "auto_stop_machines", "must be \"off\", \"stop\" or \"suspend\"");
            None
        }
    }
}

fn concurrency(table: &Reader<'_>) -> Option<Concurrency> {
    let entry = table.get("concurrency")?;
    if let Value::Text(text) = &entry.node.value {
        // The oldest form: "soft,hard".
        let limits = text.split_once(',').and_then(|(soft, hard)| Some((soft.trim().parse().ok()?, hard.trim().parse().ok()?)));
        if limits.is_none() {
            table.fault("fly-toml::concurrency", "concurrency", "must be a table, or \"soft,hard\"");
        }
        let (soft, hard) = limits?;
        return Some(Concurrency { kind: Some("requests".to_owned()), soft_limit: Some(soft), hard_limit: Some(hard) });
    }
    let limits = table.table("concurrency")?;
    let concurrency =
        Concurrency { kind: limits.text("type"), soft_limit: limits.count("soft_limit"), hard_limit: limits.count("hard_limit") };
    limits.finish();
    Some(concurrency)
}

fn port(table: Reader<'_>) -> Port {
    let port = Port {
        port: table.port("port"),
        start_port: table.port("start_port"),
        end_port: table.port("end_port"),
        handlers: table.texts("handlers").unwrap_or_default(),
        force_https: table.flag("force_https").unwrap_or(false),
        http_options: http_options(&table),
        tls_options: tls_options(&table),
        proxy_proto_options: proxy_proto_options(&table),
    };
    table.finish();
    port
}

fn http_options(table: &Reader<'_>) -> Option<serde_json::Value> {
    table.shaped("http_options", &|options| {
        options.known(&["compress", "h2_backend", "idle_timeout", "headers_read_timeout"]);
        options.nested("response", &|response| response.known(&["headers", "pristine"]));
        options.nested("replay_cache", &|cache| cache.known(&["path_prefix", "ttl_seconds", "type", "name", "allow_bypass"]));
    })
}

fn tls_options(table: &Reader<'_>) -> Option<serde_json::Value> {
    table.shaped("tls_options", &|options| options.known(&["alpn", "versions", "default_self_signed"]))
}

fn proxy_proto_options(table: &Reader<'_>) -> Option<serde_json::Value> {
    table.shaped("proxy_proto_options", &|options| options.known(&["version"]))
}

fn service_check(table: Reader<'_>, kind: CheckKind, bare: Bare) -> Check {
    // Old files carry a key that Fly dropped long ago.
    let _ = table.get("restart_limit");
    let check = check(&table, kind, bare);
    // Fly moves such values into its limits by itself, without a word (fly.md 12).
    let limits = [("interval", check.interval), ("timeout", check.timeout)];
    for (key, _) in limits.iter().filter(|(_, given)| given.is_some_and(|given| given < Duration::from_secs(1))) {
        table.warn("fly-toml::check", key, "is shorter than 1s; Fly makes it 1s");
    }
    for (key, _) in limits.iter().filter(|(_, given)| given.is_some_and(|given| given > Duration::from_secs(60))) {
        table.warn("fly-toml::check", key, "is longer than 1m; Fly makes it 1m");
    }
    table.finish();
    check
}

fn top_level_check(table: Reader<'_>) -> Check {
    let kind = match table.text("type").as_deref() {
        Some("tcp") => CheckKind::Tcp,
        Some("http") => CheckKind::Http,
        _ => {
            table.fault("fly-toml::check", "type", "must be http or tcp");
            CheckKind::Tcp
        }
    };
    let mut check = check(&table, kind, Bare::Milliseconds);
    check.port = table.port("port");
    check.effect = table.text("kind");
    check.processes = table.texts("processes").unwrap_or_default();
    check.method = check.method.map(|method| method.to_ascii_uppercase());
    if check.interval.is_some_and(|interval| interval < Duration::from_secs(2)) {
        table.fault("fly-toml::check", "interval", "must be at least 2s");
    }
    if check.timeout.is_some_and(|timeout| timeout > Duration::from_secs(60)) {
        table.fault("fly-toml::check", "timeout", "must be at most 60s");
    }
    let _ = (table.get("name"), table.get("restart_limit"));
    table.finish();
    check
}

fn check(table: &Reader<'_>, kind: CheckKind, bare: Bare) -> Check {
    let duration = |key| table.duration(key, bare);
    let mut check = Check {
        kind,
        interval: duration("interval"),
        timeout: duration("timeout"),
        grace_period: duration("grace_period"),
        ..Check::default()
    };
    if kind == CheckKind::Http || table.path.starts_with("checks") {
        check.method = table.text("method");
        check.path = table.text("path");
        check.protocol = table.text("protocol");
        check.tls_skip_verify = table.flag("tls_skip_verify");
        check.tls_server_name = table.text("tls_server_name");
        check.headers = headers(table);
    }
    check
}

fn headers(table: &Reader<'_>) -> BTreeMap<String, String> {
    let list = table.get("headers").is_some_and(|entry| matches!(entry.node.value, Value::List(_)));
    if list {
        let pairs = table.tables("headers").into_iter().filter_map(|header| {
            let pair = Some((header.text("name")?, header.loose_text("value")?));
            header.finish();
            pair
        });
        return pairs.collect();
    }
    table.text_map("headers").unwrap_or_default().into_iter().collect()
}

fn machine_checks(table: &Reader<'_>) -> Vec<MachineCheck> {
    let read = |check: Reader<'_>| {
        let _ = (check.get("kill_signal"), check.get("kill_timeout"));
        let machine = MachineCheck {
            image: check.text("image"),
            command: check.text_or_texts("command").unwrap_or_default(),
            entrypoint: check.text_or_texts("entrypoint").unwrap_or_default(),
        };
        check.finish();
        machine
    };
    table.tables("machine_checks").into_iter().map(read).collect()
}
