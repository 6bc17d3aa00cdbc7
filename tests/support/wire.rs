//! The transport's wire into an embedded world, without sockets.

use bytes::Bytes;
use cutover::embedded::World;
use cutover::embedded::in_process;
use cutover::http::{Answer, Body, Call, Wire, WireError};
use futures_util::future::BoxFuture;

/// Carries calls to a world in process; for every platform, and for public addresses.
#[derive(Clone)]
pub struct InProcess(pub World);

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
                    let (from, to) = (*offset as usize, (*offset + *length) as usize);
                    whole.get(from..to).map(Bytes::copy_from_slice).ok_or_else(|| WireError::Unbuildable("the file is shorter".into()))?
                }
            };
            let mut request = http::Request::builder().method(call.method.clone()).uri(call.url.as_str());
            for (name, value) in &call.headers {
                request = request.header(name, value);
            }
            // What hyper would add on a socket.
            request = request.header(http::header::HOST, call.url.authority());
            if !body.is_empty() || call.method == http::Method::POST {
                request = request.header(http::header::CONTENT_LENGTH, body.len());
            }
            let request = request.body(body).map_err(|error| WireError::Unbuildable(error.to_string()))?;
            let response = in_process::call(&self.0, request).await.map_err(|_| WireError::Lost("connection closed".into()))?;
            let (parts, body) = response.into_parts();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        })
    }
}
