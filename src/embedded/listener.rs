//! A loopback HTTP/1.1 listener whose handler may also not answer at all.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::endpoint::Lost;
use super::ground::Ground;

/// Answers one request; an error closes the connection without an answer.
pub(super) type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, Lost>> + Send + Sync>;

/// Listens on 127.0.0.1 at `port` (0: any free one) until the world ends; returns the address.
pub(super) async fn listen(ground: &Ground, port: u16, handler: Handler) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    let inner = ground.clone();
    ground.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    inner.spawn(connection(stream, handler.clone()));
                }
                // Out of file descriptors, most likely: the next connection to close makes room.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    Ok(address)
}

async fn connection(stream: TcpStream, handler: Handler) {
    // A lost answer must not wait in a buffer behind an earlier one.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| handler(request.map(Body::new)));
    // How a connection ends is the client's business, and a lost answer ends it with an error by design.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
