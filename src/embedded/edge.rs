//! The vendors' edges: loopback listeners that route by `Host` over the data plane.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Request;
use futures_util::FutureExt;
use http::header::HOST;

use super::ground::Ground;
use super::listener::{Handler, listen};

/// The suffix that lets a browser on this machine open a public host name: `http://app.fly.dev.localhost:PORT/`.
pub const BROWSER_SUFFIX: &str = ".localhost";

/// Listens as edge number `edge` at `port` (0: any free one); returns the address.
pub(super) async fn open(ground: &Ground, edge: usize, port: u16) -> std::io::Result<SocketAddr> {
    let traffic = ground.traffic.clone();
    let handler: Handler = Arc::new(move |request: Request| {
        let traffic = traffic.clone();
        async move {
            let host = public_host(&request);
            Ok(traffic.ask(edge, &host, request).await)
        }
        .boxed()
    });
    listen(ground, port, handler).await
}

/// Returns the public host name that `request` is for: without its port, without [`BROWSER_SUFFIX`], in lower case.
pub fn public_host<B>(request: &http::Request<B>) -> String {
    let header = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    // A client that takes the edge for an HTTP proxy sends the whole address in the request line; that wins over Host (RFC 9112, 3.2.2).
    let authority = request.uri().authority().map(http::uri::Authority::as_str).or(header).unwrap_or_default();
    let host = host_of(authority).to_ascii_lowercase();
    host.strip_suffix(BROWSER_SUFFIX).map(str::to_owned).unwrap_or(host)
}

/// Returns `authority` without user information and port.
pub(super) fn host_of(authority: &str) -> &str {
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if place.starts_with('[') {
        return place.split_once(']').map_or(place, |(host, _)| &host[1..]);
    }
    place.split_once(':').map_or(place, |(host, _)| host)
}
