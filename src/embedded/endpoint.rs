//! One platform behind its authority: an axum router wrapped in what names, records and strikes every request.
//!
//! Sockets and in-process calls go through the same code.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::fault::{Answer, Effect, Limit};
use super::ground::{Ground, lock};
use super::operation::{Asked, Named, Naming};
use super::tape::{Entry, Recorded, hex};
use super::witness::{Moment, Sender};

/// The most of a request body that is read ahead in order to record it: larger ones, and ones that are not JSON, pass through and are hashed.
const LARGEST_READ_AHEAD: u64 = 8 * 1024 * 1024;

/// The caller gets no answer: what it asked for may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed without an answer")]
pub struct Lost;

/// A platform's router with its tape and faults; cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    ground: Ground,
    router: Router,
}

impl Endpoint {
    /// Wraps `router`, whose requests `naming` names.
    pub fn new(platform: &str, router: Router, naming: impl Naming, ground: Ground) -> Self {
        let watch = Watch { platform: platform.to_owned(), naming: Arc::new(naming), ground: ground.clone() };
        let router = router.layer(middleware::from_fn_with_state(Arc::new(watch), watched));
        Self { ground, router }
    }

    /// Answers `request` in a task of its own, so that what was asked for happens even if the caller goes away.
    pub async fn answer(&self, request: Request) -> Result<Response, Lost> {
        let router = self.router.clone();
        let task = self.ground.spawn(async move { router.oneshot(request).await });
        match task.await {
            Ok(Some(Ok(response))) if response.extensions().get::<Lost>().is_none() => Ok(response),
            _ => Err(Lost),
        }
    }
}

struct Watch {
    platform: String,
    naming: Arc<dyn Naming>,
    ground: Ground,
}

async fn watched(State(watch): State<Arc<Watch>>, request: Request, next: Next) -> Response {
    let ground = &watch.ground;
    let (parts, body) = request.into_parts();
    let meter = Meter::default();
    let (body, recorded) = take(&parts, body, &meter).await;
    let template = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let named = watch.naming.name(&Asked {
        method: &parts.method,
        template: &template,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        body: recorded.json(),
    });
    let sequence = ground.tape.begin(entry(&watch.platform, &named, &parts, recorded));
    let witness = ground.witness.get().map(|witness| (witness, ground.tape.boundary(sequence), Sender::of(&parts.extensions)));
    if let Some((witness, boundary, sender)) = &witness
        && !witness.meets(boundary, Moment::Before, *sender).await
    {
        ground.tape.amend(sequence, |entry| entry.fault = Some("its sender was gone before it arrived".to_owned()));
        return lost();
    }
    if let Some(limit) = ground.faults.refused(&watch.platform, &named.operation, parts.uri.path(), &ground.clock) {
        let response = too_many(&limit);
        ground.tape.amend(sequence, |entry| {
            entry.status = Some(response.status().as_u16());
            entry.fault = Some("rate limit".to_owned());
        });
        return response;
    }
    let delay = ground.faults.delay(&watch.platform, &ground.chance);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let fault = ground.faults.strike(&watch.platform, &named.operation, named.target.as_deref());
    if let Some(fault) = &fault {
        ground.tape.amend(sequence, |entry| entry.fault = Some(format!("effect {:?}, answer {:?}", fault.0, fault.1)));
    }
    let work = Work { ground: ground.clone(), sequence, meter, request: Request::from_parts(parts, body), next };
    let response = match fault {
        None => work.run().await,
        Some((effect, answer)) => work.struck(effect, answer).await,
    };
    match &witness {
        Some((witness, boundary, sender)) if !witness.meets(boundary, Moment::After, *sender).await => lost(),
        _ => response,
    }
}

/// A request that has been named and recorded, on its way to the handler.
struct Work {
    ground: Ground,
    sequence: u64,
    meter: Meter,
    request: Request,
    next: Next,
}

impl Work {
    /// Runs the handler and records its answer.
    async fn run(self) -> Response {
        let response = self.next.run(self.request).await;
        let (response, recorded) = answered(response).await;
        let status = response.status().as_u16();
        let sent = self.meter.recorded();
        self.ground.tape.amend(self.sequence, |entry| {
            entry.status = Some(status);
            entry.response = recorded;
            if let Some(sent) = sent {
                entry.request = sent;
            }
        });
        response
    }

    async fn struck(self, effect: Effect, answer: Answer) -> Response {
        let truth = match effect {
            Effect::None => None,
            Effect::Once => Some(self.run().await),
            Effect::Late(after) => {
                let ground = self.ground.clone();
                ground.spawn_after(after, async move {
                    self.run().await;
                });
                None
            }
        };
        match answer {
            Answer::True => truth.unwrap_or_else(|| status(StatusCode::SERVICE_UNAVAILABLE, "", &[])),
            Answer::Slow(by) => {
                tokio::time::sleep(by).await;
                truth.unwrap_or_else(|| status(StatusCode::SERVICE_UNAVAILABLE, "", &[]))
            }
            Answer::Lost => lost(),
            Answer::Html => status(StatusCode::BAD_GATEWAY, "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>", &[]),
            Answer::Status { code, body, headers } => {
                status(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body, &headers)
            }
            Answer::Truncated => match truth {
                Some(response) => truncated(response).await,
                None => lost(),
            },
        }
    }
}

fn lost() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Lost);
    response
}

fn status(code: StatusCode, body: &str, headers: &[(String, String)]) -> Response {
    let kind = if serde_json::from_str::<serde_json::Value>(body).is_ok() { "application/json" } else { "text/html" };
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn too_many(limit: &Limit) -> Response {
    let headers: Vec<_> = limit.retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())).into_iter().collect();
    status(StatusCode::TOO_MANY_REQUESTS, &limit.body, &headers)
}

/// Returns `response` with the length it announces and half of its body, after which the connection breaks.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = [Ok(half), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(broken)))
}

fn entry(platform: &str, named: &Named, parts: &Parts, request: Recorded) -> Entry {
    let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or_else(|| text(&parts.headers, &HOST));
    Entry {
        sequence: 0,
        at_ms: 0,
        platform: platform.to_owned(),
        operation: named.operation.clone(),
        boundary: String::new(),
        method: parts.method.to_string(),
        authority: host.unwrap_or_default(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        target: named.target.clone(),
        scheme: text(&parts.headers, &AUTHORIZATION).and_then(|value| value.split_once(' ').map(|(scheme, _)| scheme.to_owned())),
        content_type: text(&parts.headers, &CONTENT_TYPE),
        request,
        status: None,
        response: Recorded::Nothing,
        fault: None,
        write: named.write,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Reads a JSON body ahead; lets any other one pass through `meter`.
async fn take(parts: &Parts, body: Body, meter: &Meter) -> (Body, Recorded) {
    use hyper::body::Body as _;
    let length = body.size_hint().exact();
    if length == Some(0) {
        return (Body::empty(), Recorded::Nothing);
    }
    let json = text(&parts.headers, &CONTENT_TYPE).is_none_or(|kind| kind.contains("json"));
    if json && length.is_some_and(|length| length <= LARGEST_READ_AHEAD) {
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let recorded = Recorded::of(&bytes);
        return (Body::from(bytes), recorded);
    }
    (Body::new(Metered { body, meter: meter.clone() }), Recorded::Unread)
}

/// Returns the answer and what the tape keeps of it; only JSON is read.
async fn answered(response: Response) -> (Response, Recorded) {
    use hyper::body::Body as _;
    let (parts, body) = response.into_parts();
    let json = text(&parts.headers, &CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
    if !json || body.size_hint().exact().is_none_or(|length| length > LARGEST_READ_AHEAD) {
        let recorded = if body.size_hint().exact() == Some(0) { Recorded::Nothing } else { Recorded::Unread };
        return (Response::from_parts(parts, body), recorded);
    }
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let recorded = Recorded::of(&bytes);
    (Response::from_parts(parts, Body::from(bytes)), recorded)
}

/// Length and hash of a body that passes through.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<Option<(u64, Sha256)>>>);

impl Meter {
    fn add(&self, bytes: &Bytes) {
        let mut state = lock(&self.0);
        let (length, hash) = state.get_or_insert_with(|| (0, Sha256::new()));
        *length += bytes.len() as u64;
        hash.update(bytes);
    }

    fn recorded(&self) -> Option<Recorded> {
        let (length, hash) = lock(&self.0).take()?;
        Some(Recorded::Bytes { length, sha256: hex(hash.finalize().as_slice()) })
    }
}

struct Metered {
    body: Body,
    meter: Meter,
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            self.meter.add(bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
