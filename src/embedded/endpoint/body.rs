//! Bodies on their way through: what is read ahead, what is hashed in passing, what the tape keeps.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::text;
use crate::embedded::ground::lock;
use crate::embedded::tape::{Raw, Recorded, hex};

/// The most of a request body that is read ahead in order to record it: larger ones, and ones that are not JSON, pass through and are hashed.
const LARGEST_READ_AHEAD: u64 = 8 * 1024 * 1024;

/// Reads a JSON body ahead; lets any other one pass through `meter`.
pub(super) async fn take(parts: &Parts, body: Body, meter: &Meter) -> (Body, Raw) {
    use hyper::body::Body as _;
    let length = body.size_hint().exact();
    if length == Some(0) {
        return (Body::empty(), Raw::Is(Recorded::Nothing));
    }
    let json = text(&parts.headers, &CONTENT_TYPE).is_none_or(|kind| kind.contains("json"));
    if json && length.is_some_and(|length| length <= LARGEST_READ_AHEAD) {
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return (Body::from(bytes.clone()), Raw::Unread(bytes));
    }
    (Body::new(Metered { body, meter: meter.clone() }), Raw::Is(Recorded::Unread))
}

/// Returns the answer and what the tape keeps of it; only JSON is read.
pub(super) async fn answered(response: Response) -> (Response, Raw) {
    use hyper::body::Body as _;
    let (parts, body) = response.into_parts();
    let json = text(&parts.headers, &CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
    if !json || body.size_hint().exact().is_none_or(|length| length > LARGEST_READ_AHEAD) {
        let recorded = if body.size_hint().exact() == Some(0) { Recorded::Nothing } else { Recorded::Unread };
        return (Response::from_parts(parts, body), Raw::Is(recorded));
    }
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (Response::from_parts(parts, Body::from(bytes.clone())), Raw::Unread(bytes))
}

/// Length and hash of a body that passes through.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Option<(u64, Sha256)>>>);

impl Meter {
    fn add(&self, bytes: &Bytes) {
        let mut state = lock(&self.0);
        let (length, hash) = state.get_or_insert_with(|| (0, Sha256::new()));
        *length += bytes.len() as u64;
        hash.update(bytes);
    }

    pub(super) fn recorded(&self) -> Option<Raw> {
        let (length, hash) = lock(&self.0).take()?;
        Some(Raw::Is(Recorded::Bytes { length, sha256: hex(hash.finalize().as_slice()) }))
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
