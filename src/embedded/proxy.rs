//! Passes a public request on to a real socket on this machine, upgrades included.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::traffic::plain;

/// The longest that a connection to a container may take: it is on this machine.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Passes `request` to 127.0.0.1 at `port`; 502 when nobody answers there.
pub(super) async fn pass(port: u16, request: Request) -> Response {
    match exchange(port, request).await {
        Ok(response) => response,
        Err(why) => plain(StatusCode::BAD_GATEWAY, format!("the container on port {port} did not answer: {why}\n")),
    }
}

async fn exchange(port: u16, mut request: Request) -> Result<Response, String> {
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(("127.0.0.1", port)));
    let stream = connecting.await.map_err(|_| "no connection in time".to_owned())?.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection.with_upgrades());
    // A server wants the path alone; the host stays in its header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|error| error.to_string())?;
    let inward = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
    let mut response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(inward) = inward
    {
        let outward = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(inward), Ok(outward)) = (inward.await, outward.await) {
                // Either side ends it when it likes.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(inward), &mut TokioIo::new(outward)).await;
            }
        });
    }
    Ok(response.map(Body::new))
}
