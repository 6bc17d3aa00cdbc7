//! The wire of one simulated runner: its calls reach the embedded world in process, under its number, as long as it lives.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::BodyExt;

use super::director::Director;
use super::life::Life;
use crate::embedded::fault::{Answer as Told, Effect};
use crate::embedded::in_process;
use crate::embedded::witness::{Moment, Sender, Witness};
use crate::embedded::world::World;
use crate::http::{Answer, Body, Call, Via, Wire, WireError};

/// The name under which public addresses are asked, on the switchboard and in schedules.
pub const PUBLIC: &str = "public";

/// A runner's way out.
#[derive(Clone)]
pub struct Line {
    world: World,
    director: Arc<Director>,
    life: Life,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("life", &self.life).finish_non_exhaustive()
    }
}

impl Line {
    /// Returns the wire of a runner.
    pub fn new(world: World, director: Arc<Director>, life: Life) -> Self {
        Self { world, director, life }
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, WireError> {
        let request = self.request(call)?;
        if let Via::Public { edge } = call.via {
            return self.ask_edge(edge, call, request).await;
        }
        match in_process::call(&self.world, request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
                if call.method != http::Method::HEAD && announced.is_some_and(|length| length != body.len()) {
                    return Err(WireError::Lost("the connection broke in the middle of the answer".to_owned()));
                }
                Ok(Answer { status: parts.status, headers: parts.headers, body })
            }
            Err(_) => Err(WireError::Lost("the connection was closed".to_owned())),
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Bytes>, WireError> {
        let unreadable = |error: std::io::Error| WireError::Unbuildable(error.to_string());
        let body = match &call.body {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => bytes.clone(),
            Body::File { path, offset, length } => {
                let whole = std::fs::read(path).map_err(unreadable)?;
                let range = usize::try_from(*offset).unwrap_or(0)..usize::try_from(*offset + *length).unwrap_or(0);
                Bytes::copy_from_slice(whole.get(range).unwrap_or_default())
            }
        };
        let length = body.len();
        let built = Request::builder().method(call.method.clone()).uri(call.url.as_str()).body(body);
        let mut request = built.map_err(|error| WireError::Unbuildable(error.to_string()))?;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static("cutover/drill"));
        // As every HTTP client does for a body whose length it knows.
        if length > 0 {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if let Some(host) = call.url.host_str().and_then(|host| HeaderValue::from_str(host).ok()) {
            request.headers_mut().insert(HOST, host);
        }
        request.extensions_mut().insert(Sender(self.life.number()));
        Ok(request)
    }

    /// Asks a public address by one edge. Edges are no platform: their requests are named and struck here.
    async fn ask_edge(&self, edge: usize, call: &Call, request: Request<Bytes>) -> Result<Answer, WireError> {
        let (host, traffic) = (call.url.host_str().unwrap_or_default().to_owned(), &self.world.ground().traffic);
        let boundary = self.director.named(PUBLIC, call.operation, Some(&host));
        let sender = Some(Sender(self.life.number()));
        let lost = || Err(WireError::Lost("the connection was closed".to_owned()));
        if !self.director.meets(&boundary, Moment::Before, sender).await {
            return lost();
        }
        let fault = self.world.ground().faults.strike(PUBLIC, call.operation, Some(&host));
        let truth = match &fault {
            Some((Effect::None | Effect::Late(_), _)) => None,
            _ => {
                let response = traffic.ask(edge % traffic.edges().max(1), &host, request.map(axum::body::Body::from)).await;
                let (parts, body) = response.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                Some(Answer { status: parts.status, headers: parts.headers, body })
            }
        };
        if !self.director.meets(&boundary, Moment::After, sender).await {
            return lost();
        }
        let said = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Answer { status, headers: http::HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
        };
        match (fault.map(|(_, told)| told), truth) {
            (None | Some(Told::True), Some(answer)) => Ok(answer),
            (Some(Told::Slow(by)), Some(answer)) => {
                tokio::time::sleep(by).await;
                Ok(answer)
            }
            (Some(Told::Status { code, body, .. }), _) => Ok(said(code, &body)),
            (Some(Told::Html), _) => Ok(said(502, "<!doctype html><h1>502 Bad Gateway</h1>")),
            _ => lost(),
        }
    }
}

impl Wire for Line {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            self.life.sends().await;
            let outcome = self.exchange(call).await;
            // The answer of a dead runner's request arrives nowhere; that of one that stands still is read when it goes on.
            self.life.awake().await;
            outcome
        })
    }
}
