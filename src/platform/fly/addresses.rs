//! Which public addresses an app needs. Pure.

use serde::Serialize;

use super::toml::{FlyConfig, Port, Service};

/// What kind of address the services of an app need in its first release (fly.md 15.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IpKind {
    /// A shared IPv4 address and an IPv6 one, both free: everything is HTTP on port 80, or HTTP over TLS on port 443.
    Shared,
    /// An IPv4 address of its own, which costs money: UDP, or any other port.
    Dedicated,
    /// None: no service.
    None,
}

impl IpKind {
    /// Returns the kind that a file's services need.
    pub fn of(config: &FlyConfig) -> Self {
        if config.http_service.is_none() && config.services.is_empty() {
            return Self::None;
        }
        if config.services.iter().all(needs_only_shared) { Self::Shared } else { Self::Dedicated }
    }

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
            Self::None => "none",
        }
    }
}

/// Returns whether a service needs nothing but the shared address: TCP, port 80 with `http`, port 443 with `http` and `tls`.
fn needs_only_shared(service: &Service) -> bool {
    service.protocol != "udp" && service.ports.iter().all(is_web)
}

fn is_web(port: &Port) -> bool {
    let handlers: Vec<&str> = port.handlers.iter().map(String::as_str).collect();
    match port.port {
        Some(80) => handlers == ["http"],
        Some(443) => handlers == ["http", "tls"] || handlers == ["tls", "http"],
        _ => false,
    }
}
