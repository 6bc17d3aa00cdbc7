//! Addresses of apps.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::json;

use super::{Answer, Fly};
use crate::embedded::fly::Inner;
use crate::embedded::fly::access::Caller;
use crate::embedded::fly::problem::Problem;
use crate::embedded::fly::state::Address;
use crate::embedded::fly::wire::{self, AddressBody};
use crate::embedded::ground::lock;

pub(super) async fn list(State(fly): Fly, caller: Caller, Path(app): Path<String>) -> Answer {
    let mut state = lock(&fly.state);
    let ips: Vec<_> = caller.app(&mut state, &app)?.addresses.iter().map(wire::address).collect();
    Ok(Json(json!({ "ips": ips })))
}

pub(super) async fn assign(State(fly): Fly, caller: Caller, Path(app): Path<String>, body: Bytes) -> Answer {
    let body: AddressBody = wire::read(&body)?;
    let address = fly.new_address(&body.r#type, &body.region)?;
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    let answer = wire::address(&address);
    app.addresses.push(address);
    Ok(Json(answer))
}

pub(super) async fn release(State(fly): Fly, caller: Caller, Path((app, ip)): Path<(String, String)>) -> Result<StatusCode, Problem> {
    let mut state = lock(&fly.state);
    let app = caller.app(&mut state, &app)?;
    let before = app.addresses.len();
    app.addresses.retain(|address| address.ip != ip);
    if app.addresses.len() == before {
        return Err(Problem::new(404, format!("IP address not found: '{ip}'")));
    }
    Ok(StatusCode::NO_CONTENT)
}

impl Inner {
    /// Returns a new address of `kind`: `v4`, `shared_v4`, `v6` or `private_v6`. The numbers are from documentation ranges (RFC 5737, RFC 3849).
    pub(in crate::embedded::fly) fn new_address(&self, kind: &str, region: &str) -> Result<Address, Problem> {
        let number = lock(&self.state).number();
        let ip = match kind {
            "v4" => format!("192.0.2.{}", number % 254 + 1),
            "shared_v4" => "198.51.100.1".to_owned(),
            "v6" => format!("2001:db8::{number:x}"),
            // Flycast addresses begin with fdaa. Source: fly.io/docs/networking/flycast.
            "private_v6" => format!("fdaa:0:1:0:1::{number:x}"),
            other => return Err(Problem::new(422, format!("invalid type: '{other}'"))),
        };
        let region = if region.is_empty() { "global" } else { region }.to_owned();
        let id = format!("ip_{}", self.hex(12));
        Ok(Address { id, kind: kind.to_owned(), ip, region, shared: kind == "shared_v4", created_at: self.now().wall })
    }
}
