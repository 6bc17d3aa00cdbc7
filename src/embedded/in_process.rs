//! Calls without sockets: the world answers by the address's authority.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{Request, Response};
use http_body_util::BodyExt;

use super::edge::public_host;
use super::endpoint::Lost;
use super::world::World;

/// Answers `request` as the platform at its authority would, or as an edge would when the authority is a public host name.
///
/// Public host names are answered by the edges in turn. A truncated answer comes with its true status and the part of the body that arrived.
/// The work goes on when this future is dropped, as a platform's work does when its client dies. Errors: the answer was lost, before or after
/// the effect.
pub async fn call(world: &World, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
    let request = request.map(Body::from);
    let named = request.uri().authority().map(ToString::to_string);
    let authority = named.or_else(|| request.headers().get(HOST)?.to_str().ok().map(str::to_owned)).unwrap_or_default();
    let response = if let Some(endpoint) = world.endpoint(&authority) {
        endpoint.answer(request).await?
    } else {
        let host = public_host(&request);
        world.ground().traffic.ask_any(&host, request).await
    };
    let (parts, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    // A frame that fails ends the body: that is a connection that broke.
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Response::from_parts(parts, bytes.freeze()))
}
