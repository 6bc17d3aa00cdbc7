//! One platform behind its authority: an axum router wrapped in what names, records and strikes every request.
//!
//! Sockets and in-process calls go through the same code.

mod body;
mod strike;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower::ServiceExt;

use self::body::{Meter, answered, take};
use super::fault::Limit;
use super::ground::Ground;
use super::operation::{Asked, Named, Naming};
use super::past::{Copy, may_lag};
use super::tape::Entry;
use super::witness::{Moment, Sender};

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
    /// Wraps `router`, whose requests `naming` names; `authority` is what its past is kept under.
    pub fn new(platform: &str, authority: &str, router: Router, naming: impl Naming, ground: Ground) -> Self {
        let (platform, authority) = (platform.into(), authority.into());
        let watch = Watch { platform, authority, naming: Arc::new(naming), ground: ground.clone() };
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
    platform: Arc<str>,
    authority: Arc<str>,
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
        raw: recorded.bytes(),
        read: std::cell::OnceCell::new(),
    });
    let sequence = ground.tape.begin(entry(&watch.platform, &named, &parts), recorded);
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
        ground.tape.amend(sequence, |entry| entry.fault = Some(format!("effect={} answer={}", fault.0, fault.1)));
    }
    let work = Work {
        ground: ground.clone(),
        platform: Arc::clone(&watch.platform),
        authority: Arc::clone(&watch.authority),
        write: named.write,
        lags: may_lag(&watch.platform, &named.operation),
        sequence,
        meter,
        request: Request::from_parts(parts, body),
        next,
    };
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
    platform: Arc<str>,
    authority: Arc<str>,
    write: bool,
    lags: bool,
    sequence: u64,
    meter: Meter,
    request: Request,
    next: Next,
}

impl Work {
    /// Runs the handler and records its answer.
    async fn run(self) -> Response {
        if self.write {
            self.ground.before_change(&self.platform);
        }
        let response = match self.earlier() {
            Some(copy) => strike::asked(&copy, self.request).await,
            None => self.next.run(self.request).await,
        };
        let (response, recorded) = answered(response).await;
        let status = response.status().as_u16();
        self.ground.tape.answered(self.sequence, status, recorded, self.meter.recorded());
        response
    }

    /// Returns the platform as a read that lags sees it.
    fn earlier(&self) -> Option<Copy> {
        if self.lags { self.ground.past.lagging(&self.platform, &self.authority) } else { None }
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

fn entry(platform: &str, named: &Named, parts: &Parts) -> Entry {
    let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or_else(|| text(&parts.headers, &HOST));
    Entry {
        method: parts.method.to_string(),
        authority: host.unwrap_or_default(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        scheme: text(&parts.headers, &AUTHORIZATION).and_then(|value| value.split_once(' ').map(|(scheme, _)| scheme.to_owned())),
        content_type: text(&parts.headers, &CONTENT_TYPE),
        write: named.write,
        ..Entry::of(platform, &named.operation, named.target.as_deref())
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
