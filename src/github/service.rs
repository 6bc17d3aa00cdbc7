//! The tower service under octocrab: sends every request through our own transport.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use octocrab::OctoBody;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::http::{Body, Call, Pace, Platform, Repeat, Transport};

/// The version of the REST API that our wire structs were read from.
const API_VERSION: &str = "2022-11-28";
/// How long one attempt of a call may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// GitHub allows 80 content-creating requests a minute; this many may go at once, then one every [`WRITE_INTERVAL`].
const WRITE_BURST: u32 = 20;
/// The pause between two writes that GitHub recommends, once the burst is used up.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// What our client says about a request and octocrab carries along as an extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// Its stable name.
    pub(super) name: &'static str,
    /// Whether it may be repeated.
    pub(super) repeat: Repeat,
    /// By which name its pace is kept when it changes something.
    pub(super) queue: &'static str,
}

/// Sends requests through the transport, with our headers and the token.
#[derive(Debug, Clone)]
pub(super) struct Service {
    transport: Transport,
    base: Url,
    token: SecretString,
}

/// Why a request could not be sent at all.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the address {0:?} is not below the API's own")]
    Foreign(String),
    #[error("the body could not be read")]
    Body,
}

impl Service {
    pub(super) fn new(transport: Transport, base: Url, token: SecretString) -> Self {
        Self { transport, base, token }
    }

    /// Returns the address of a route. A page's `next` link is absolute and must stay on our server: the token goes nowhere else.
    fn address(&self, uri: &http::Uri) -> Result<Url, Unsendable> {
        let foreign = || Unsendable::Foreign(uri.to_string());
        if uri.authority().is_some() {
            let url = Url::parse(&uri.to_string()).map_err(|_| foreign())?;
            let ours = url.origin() == self.base.origin() && url.path().starts_with(self.base.path().trim_end_matches('/'));
            return if ours { Ok(url) } else { Err(foreign()) };
        }
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{uri}")).map_err(|_| foreign())
    }
}

impl tower::Service<Request<OctoBody>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OctoBody>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let operation = parts.extensions.get::<Operation>().copied();
            let operation = operation.unwrap_or(Operation { name: "github", repeat: Repeat::Never, queue: "github.write" });
            let mut call = Call::new(Platform::GitHub, operation.name, parts.method, service.address(&parts.uri)?).deadline(DEADLINE);
            call.repeat = operation.repeat;
            // octocrab's own `content-length: 0` on a GET is left out; the wire knows the length.
            call.headers = parts.headers;
            call.headers.remove(CONTENT_LENGTH);
            call.headers.remove(ACCEPT);
            call.headers.remove("x-github-api-version");
            call = call
                .header(ACCEPT, "application/vnd.github+json")
                .header(HeaderName::from_static("x-github-api-version"), API_VERSION)
                .header(http::header::USER_AGENT, crate::http::Network::USER_AGENT)
                .credential(AUTHORIZATION, &format!("Bearer {}", service.token.expose_secret()));
            if !call.changes_nothing() {
                call = call.pace(Pace { key: operation.queue.to_owned(), interval: WRITE_INTERVAL, burst: WRITE_BURST });
            }
            let bytes = body.collect().await.map_err(|_| Unsendable::Body)?.to_bytes();
            if bytes.is_empty() {
                call.headers.remove(CONTENT_TYPE);
            } else {
                call.body = Body::Bytes(bytes);
            }
            let answer = service.transport.send(call).await?;
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
