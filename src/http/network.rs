//! The wire over real sockets.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};

use super::{Answer, Body, Call, MAX_ANSWER_BYTES, Via, Wire, WireError};

/// Carries calls with reqwest: rustls, roots of the platform, proxies from the environment, no redirects, no retries.
#[derive(Debug, Clone)]
pub struct Network {
    client: reqwest::Client,
    local: reqwest::Client,
    edges: Vec<SocketAddr>,
}

impl Network {
    /// How long connecting may take.
    pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
    /// What every request calls itself.
    pub const USER_AGENT: &'static str = concat!("cutover/", env!("CARGO_PKG_VERSION"));

    /// Returns a wire to the real world; with `edges`, requests to public addresses go to these instead, with the public name as `Host`.
    pub fn new(edges: Vec<SocketAddr>) -> Result<Self, WireError> {
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| WireError::Unbuildable(chain(&error)));
        let plain = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                // What may be repeated is ours to say: reqwest's own policy repeats what an HTTP/2 server has refused.
                .retry(reqwest::retry::never())
                .connect_timeout(Self::CONNECT_DEADLINE)
                .pool_idle_timeout(Duration::from_secs(20))
        };
        // A proxy must not stand between us and an address on this machine.
        Ok(Self { client: build(plain())?, local: build(plain().no_proxy())?, edges })
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, WireError> {
        let mut url = call.url.clone();
        let mut headers = call.headers.clone();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(Self::USER_AGENT));
        if let (Via::Public { edge }, false) = (call.via, self.edges.is_empty()) {
            let authority = url.host_str().unwrap_or_default().to_owned();
            let address = self.edges[edge % self.edges.len()];
            url = url::Url::parse(&format!("http://{address}{}", &url[url::Position::BeforePath..]))
                .map_err(|error| WireError::Unbuildable(error.to_string()))?;
            headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|error| WireError::Unbuildable(error.to_string()))?);
        }
        let local = matches!(url.host(), Some(url::Host::Ipv4(ip)) if ip.is_loopback()) || url.host_str() == Some("localhost");
        let client = if local { &self.local } else { &self.client };
        let mut request = client.request(call.method.clone(), url).headers(headers);
        request = match &call.body {
            Body::Empty if call.method == http::Method::POST || call.method == http::Method::PUT => request.header(CONTENT_LENGTH, 0),
            Body::Empty => request,
            Body::Bytes(bytes) => request.body(bytes.clone()),
            Body::File { path, offset, length } => {
                let unreadable = |error: io::Error| WireError::Unbuildable(format!("{}: {error}", path.display()));
                let (place, at, wanted) = (path.clone(), *offset, *length);
                let (file, first) = aside(move || piece(opened(&place, at)?, wanted)).await.map_err(unreadable)?;
                let left = length - first.len() as u64;
                let body = if left == 0 { first.into() } else { reqwest::Body::wrap_stream(pieces(file, first, left)) };
                request.header(CONTENT_LENGTH, *length).body(body)
            }
        };
        let response = request.send().await.map_err(|error| classify(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Answer { status, headers, body: Bytes::new() });
        }
        if response.content_length().is_some_and(|length| length > MAX_ANSWER_BYTES as u64) && call.method != http::Method::HEAD {
            return Err(WireError::TooLarge);
        }
        let mut body = BytesMut::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| WireError::Lost(chain(&error)))?;
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(WireError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }
}

impl Wire for Network {
    fn send<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, WireError>> {
        Box::pin(self.attempt(call))
    }
}

/// How much of a file is in memory for each request that is under way: as much as an allocator gives back without asking the system for pages.
const PIECE: u64 = 112 * 1024;

/// Returns what is left of a file behind its first piece, in pieces.
fn pieces(file: File, first: Bytes, left: u64) -> impl Stream<Item = io::Result<Bytes>> {
    let rest = futures_util::stream::try_unfold((file, left), |(file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let (file, next) = aside(move || piece(file, left)).await?;
        let left = left - next.len() as u64;
        Ok(Some((next, (file, left))))
    });
    futures_util::stream::once(async { Ok(first) }).chain(rest)
}

/// Reads the next piece. Errors: the file is shorter than it was.
fn piece(file: File, left: u64) -> io::Result<(File, Bytes)> {
    let wanted = left.min(PIECE);
    let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    let mut range = file.take(wanted);
    if range.read_to_end(&mut piece)? as u64 != wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((range.into_inner(), Bytes::from(piece)))
}

fn opened(path: &Path, offset: u64) -> io::Result<File> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}

/// Runs what may wait for the disk on a thread of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn classify(error: &reqwest::Error) -> WireError {
    if error.is_connect() {
        WireError::NotSent(chain(error))
    } else if error.is_builder() {
        WireError::Unbuildable(chain(error))
    } else {
        WireError::Lost(chain(error))
    }
}

/// Returns the causes of an error without reqwest's own words, which repeat the address with its query.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if causes.is_empty() { "the connection failed".to_owned() } else { causes.join(": ") }
}
