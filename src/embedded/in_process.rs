//! Calls without sockets: the world answers by the address's authority. [`InProcess`] is the product's wire over it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::BodyExt;

use super::edge::public_host;
use super::endpoint::Lost;
use super::world::World;
use crate::http::{Answer, Call, MAX_ANSWER_BYTES, Network, Via, Wire, WireError};

/// An answer as far as it arrived.
struct Arrived {
    response: Response<Bytes>,
    /// Whether the connection broke before its end.
    broken: bool,
}

/// Answers `request` as the platform at its authority would, or as an edge would when the authority is a public host name.
///
/// Public host names are answered by the edges in turn. A truncated answer comes with its true status and the part of the body that arrived.
/// The work goes on when this future is dropped, as a platform's work does when its client dies. Errors: the answer was lost, before or after
/// the effect.
pub async fn call(world: &World, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
    exchange(world, request.map(Body::from), Via::Direct).await.map(|arrived| arrived.response)
}

async fn exchange(world: &World, request: Request<Body>, via: Via) -> Result<Arrived, Lost> {
    let host = public_host(&request);
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let authority = authority.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or_default();
    let traffic = &world.ground().traffic;
    let response = match (via, world.endpoint(authority)) {
        (Via::Public { edge }, _) => traffic.ask(edge % traffic.edges().max(1), &host, request).await,
        (Via::Direct, Some(endpoint)) => endpoint.answer(request).await?,
        (Via::Direct, None) => traffic.ask_any(&host, request).await,
    };
    let (parts, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    let mut broken = false;
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            // Trailers.
            Ok(Err(_)) => {}
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    Ok(Arrived { response: Response::from_parts(parts, bytes.freeze()), broken })
}

/// Carries the product's calls into a world, in process; cheap to clone.
///
/// A call by [`Via::Public`] is answered as the edge of that number (modulo how many there are) sees the table, one to a platform as its router
/// answers; an answer that breaks off is lost, as it is over a socket. An upgrade is answered with 101 and nothing behind it. Files are read
/// as one piece and without a task of their own: another thread would not keep to the simulation's clock.
#[derive(Clone)]
pub struct InProcess(World);

impl InProcess {
    /// Returns a wire into `world`.
    pub const fn new(world: World) -> Self {
        Self(world)
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, WireError> {
        let unbuildable = |why: String| WireError::Unbuildable(why);
        let body = body(call)?;
        let length = body.len();
        let request = Request::builder().method(call.method.clone()).uri(call.url.as_str()).body(Body::from(body));
        let mut request = request.map_err(|error| unbuildable(error.to_string()))?;
        let headers = request.headers_mut();
        headers.clone_from(&call.headers);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(Network::USER_AGENT));
        // As every HTTP client does for a body whose length it knows.
        if length > 0 {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if matches!(call.via, Via::Public { .. }) {
            let host = call.url.host_str().unwrap_or_default();
            headers.insert(HOST, HeaderValue::from_str(host).map_err(|error| unbuildable(error.to_string()))?);
        }
        let arrived = exchange(&self.0, request, call.via).await.map_err(|lost| WireError::Lost(lost.to_string()))?;
        if arrived.broken {
            return Err(WireError::Lost("the connection broke within the answer".to_owned()));
        }
        let (parts, body) = arrived.response.into_parts();
        if body.len() > MAX_ANSWER_BYTES {
            return Err(WireError::TooLarge);
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

fn body(call: &Call) -> Result<Bytes, WireError> {
    match &call.body {
        crate::http::Body::Empty => Ok(Bytes::new()),
        crate::http::Body::Bytes(bytes) => Ok(bytes.clone()),
        crate::http::Body::File { path, offset, length } => {
            let read = || {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(*offset))?;
                let mut bytes = vec![0; usize::try_from(*length).map_err(|_| std::io::ErrorKind::InvalidInput)?];
                file.read_exact(&mut bytes).map(|()| bytes)
            };
            read().map(Bytes::from).map_err(|error: std::io::Error| WireError::Unbuildable(format!("{}: {error}", path.display())))
        }
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl Wire for InProcess {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(self.attempt(call))
    }
}
