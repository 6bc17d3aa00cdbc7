//! The product's wire over an embedded world called in process: no sockets, one clock.

use bytes::Bytes;
use cutover::embedded::in_process;
use cutover::embedded::world::World;
use cutover::http::{Answer, Body, Call, Via, Wire, WireError};
use futures_util::future::BoxFuture;
use http::header::HOST;

/// Carries calls into a world.
#[derive(Clone)]
pub(crate) struct InProcess(pub(crate) World);

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl Wire for InProcess {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(async move {
            let body = match &call.body {
                Body::Empty => Bytes::new(),
                Body::Bytes(bytes) => bytes.clone(),
                Body::File { path, offset, length } => {
                    let whole = std::fs::read(path).map_err(|error| WireError::Unbuildable(error.to_string()))?;
                    Bytes::copy_from_slice(&whole[*offset as usize..(*offset + *length) as usize])
                }
            };
            let length = body.len();
            let mut request = http::Request::builder().method(call.method.clone()).uri(call.url.as_str()).body(body).unwrap();
            *request.headers_mut() = call.headers.clone();
            request.headers_mut().entry(http::header::USER_AGENT).or_insert(http::HeaderValue::from_static("cutover/test"));
            // As every HTTP client does for a body whose length it knows.
            if length > 0 {
                request.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
            }
            if matches!(call.via, Via::Public { .. }) {
                request.headers_mut().insert(HOST, call.url.host_str().unwrap().parse().unwrap());
            }
            match in_process::call(&self.0, request).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    Ok(Answer { status: parts.status, headers: parts.headers, body })
                }
                Err(_) => Err(WireError::Lost("lost in the embedded world".to_owned())),
            }
        })
    }
}
