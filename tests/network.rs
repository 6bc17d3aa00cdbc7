//! The wire over real sockets against a server that misbehaves below HTTP: what arrives how often, what is believed, what is bounded.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cutover::clock::Clock;
use cutover::http::{Answer, Call, Network, Platform, Repeat, RetryPolicy, SendError, Transport, WireError};
use cutover::id::Chance;
use http::Method;
use http::header::AUTHORIZATION;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// A certificate for localhost that nobody has signed but itself, and its key: both are of no use anywhere else.
const CERTIFICATE: &str = concat!(
    "MIIBnDCCAUGgAwIBAgIUUZQyd76Ut1yRkNK9RILNbK1+T8MwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA4NTcwOVoYDzIx",
    "MjYxMDI4MDg1NzA5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ8FbxcOSz9Tp558YW15M+QxpQHU+CqrAr+Yp6N",
    "VsezwvhWbnjkgSrAkFlJRuqpLlT9TXf5maiqRrlDFp3UDhGPo28wbTAdBgNVHQ4EFgQUypq4hH+SmaT3cKlac44eKGW2RXowHwYDVR0jBBgwFoAUypq4hH+S",
    "maT3cKlac44eKGW2RXowDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhAOo+7Przg1kkKxAH",
    "thnd70duuN+PdvvFgv01fzpRnZhNAiEAnkY0mD29uEintPewGKQqLI75b4GdrP/SaHzdxcQq1bE=",
);
const KEY: &str = concat!(
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0FBfNp71Gu6t3KZ8GiVaSh3qs1WIEGvq4JQyHGw6wByhRANCAAQ8FbxcOSz9Tp558YW15M+Q",
    "xpQHU+CqrAr+Yp6NVsezwvhWbnjkgSrAkFlJRuqpLlT9TXf5maiqRrlDFp3UDhGP",
);

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Answers well and keeps the connection.
    Answer,
    /// Answers well, then closes in silence.
    AnswerAndClose,
    /// Resets the connection without having read the request.
    ResetUnread,
    /// Reads the request, then resets the connection.
    ResetRead,
    /// Reads the request, then closes the connection in order.
    CloseRead,
    /// Announces more than it sends, then closes.
    Partial,
    /// Sends a byte of the body now and then, for ever.
    Drip,
    /// Sends the head one byte at a time, for ever.
    DripHead,
    /// Sends 100 MB with status 500, announced or in chunks.
    Huge { announced: bool },
    /// Sends interim answers for ever.
    Interim,
    /// Sends no HTTP.
    Garbage,
    /// Sends header lines for ever.
    EndlessHead,
}

/// A server whose deeds are used up in order, the last one again and again.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    deeds: Arc<Mutex<Vec<Deed>>>,
    connections: Arc<AtomicUsize>,
    /// Requests of which at least the beginning arrived, as far as they were read.
    arrivals: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    async fn doing(deeds: &[Deed]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            deeds: Arc::new(Mutex::new(deeds.iter().rev().copied().collect())),
            connections: Arc::default(),
            arrivals: Arc::default(),
            sent: Arc::default(),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let server = serving.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    fn next(&self) -> Deed {
        let mut deeds = self.deeds.lock().unwrap();
        if deeds.len() > 1 { deeds.pop().unwrap() } else { deeds[0] }
    }

    async fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        while self.one(&mut stream).await.is_ok_and(|goes_on| goes_on) {}
    }

    /// Serves one request; returns whether the connection lives on.
    async fn one(&self, stream: &mut TcpStream) -> std::io::Result<bool> {
        if stream.peek(&mut [0]).await? == 0 {
            return Ok(false);
        }
        let deed = self.next();
        if deed == Deed::ResetUnread {
            self.arrivals.lock().unwrap().push(String::new());
            // What is unread when a socket is closed makes the kernel send a reset.
            stream.set_zero_linger()?;
            return Ok(false);
        }
        let request = head(stream).await?;
        self.arrivals.lock().unwrap().push(request);
        match deed {
            Deed::Answer | Deed::AnswerAndClose => stream.write_all(GOOD).await?,
            Deed::ResetRead => stream.set_zero_linger()?,
            Deed::CloseRead | Deed::ResetUnread => {}
            Deed::Partial => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it").await?,
            Deed::Garbage => stream.write_all(b"\x15\x03\x01\x00\x02\x02\x46 no HTTP\r\n\r\n").await?,
            Deed::Drip => self.drip(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x").await?,
            Deed::DripHead => self.drip(stream, b"HTTP/1.1 200 OK\r\nx-slow: ", b"x").await?,
            Deed::Interim => self.flood(stream, b"", &b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(200), usize::MAX).await?,
            Deed::EndlessHead => self.flood(stream, b"HTTP/1.1 200 OK\r\n", &b"x-more: and more\r\n".repeat(500), usize::MAX).await?,
            Deed::Huge { announced: true } => {
                let head = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 100000000\r\n\r\n";
                self.flood(stream, head, &b"x".repeat(50_000), 2_000).await?;
            }
            Deed::Huge { announced: false } => {
                let head = b"HTTP/1.1 500 Internal Server Error\r\ntransfer-encoding: chunked\r\n\r\n";
                let chunk = [b"c350\r\n".as_slice(), &b"x".repeat(50_000), b"\r\n"].concat();
                self.flood(stream, head, &chunk, 2_000).await?;
            }
        }
        Ok(deed == Deed::Answer)
    }

    async fn drip(&self, stream: &mut TcpStream, head: &[u8], drop: &[u8]) -> std::io::Result<()> {
        stream.write_all(head).await?;
        // The rate of a server that is slow on purpose is an input of the test, not a wait for something.
        let mut beat = tokio::time::interval(Duration::from_millis(5));
        loop {
            beat.tick().await;
            stream.write_all(drop).await?;
        }
    }

    async fn flood(&self, stream: &mut TcpStream, head: &[u8], piece: &[u8], times: usize) -> std::io::Result<()> {
        stream.write_all(head).await?;
        for _ in 0..times {
            stream.write_all(piece).await?;
            self.sent.fetch_add(piece.len(), Ordering::SeqCst);
        }
        Ok(())
    }

    fn call(&self, method: Method) -> Call {
        let url = format!("http://{}/thing", self.address).parse().unwrap();
        Call::new(Platform::Fly, "thing", method, url).credential(AUTHORIZATION, "Bearer secret").deadline(Duration::from_secs(5))
    }

    fn arrived(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    fn connected(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request's head; ours have no body.
async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn transport() -> Transport {
    let policy = RetryPolicy { base: Duration::from_millis(2), limit: Duration::from_secs(10), ..RetryPolicy::default() };
    let network = Network::new(Vec::new()).unwrap();
    Transport::with_policy(Arc::new(network), Clock::system(), Arc::new(Chance::seeded(3)), policy)
}

async fn post(transport: &Transport, server: &Server) -> Result<Answer, SendError> {
    transport.send(server.call(Method::POST)).await
}

#[track_caller]
fn is_lost(outcome: Result<Answer, SendError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error.cause, WireError::Lost(_)) && error.ambiguous, "{error:?}");
    let text = error.to_string();
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_change_arrives_once_whenever_its_connection_breaks() {
    for deed in [Deed::ResetUnread, Deed::ResetRead, Deed::CloseRead, Deed::Partial, Deed::Garbage] {
        for reused in [false, true] {
            let told = format!("{deed:?}, on a {} connection", if reused { "reused" } else { "new" });
            let first: &[Deed] = if reused { &[Deed::Answer] } else { &[] };
            let server = Server::doing(&[first, &[deed, Deed::Answer]].concat()).await;
            let transport = transport();
            if reused {
                assert_eq!(post(&transport, &server).await.unwrap().body, "ok");
            }
            is_lost(post(&transport, &server).await);
            assert_eq!(server.arrived(), 1 + usize::from(reused), "{told}");
            assert_eq!(server.connected(), 1, "{told}");
            // What may be repeated is repeated by us, and its attempts are counted.
            server.deeds.lock().unwrap().insert(1, deed);
            let answer = transport.send(server.call(Method::GET)).await.unwrap();
            assert_eq!((answer.body.as_ref(), server.arrived()), (b"ok".as_slice(), 3 + usize::from(reused)), "{told}");
            assert_eq!(transport.requests()[&Platform::Fly].reads, 2, "{told}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_carries_nothing_twice() {
    let server = Server::doing(&[Deed::AnswerAndClose, Deed::Answer]).await;
    let transport = transport();
    assert_eq!(post(&transport, &server).await.unwrap().body, "ok");
    // Whether the client has seen the end of the connection by now is a race that both may win; neither may make a second arrival.
    match post(&transport, &server).await {
        Ok(answer) => assert_eq!((answer.body.as_ref(), server.arrived(), server.connected()), (b"ok".as_slice(), 2, 2)),
        lost => {
            is_lost(lost);
            assert_eq!((server.arrived(), server.connected()), (1, 1));
        }
    }
}

#[tokio::test]
async fn nobody_there_means_not_sent() {
    let server = Server::doing(&[Deed::Answer]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut call = server.call(Method::POST);
    call.url = format!("http://{free}/").parse().unwrap();
    let error = transport().send(call).await.unwrap_err();
    assert!(matches!(error.cause, WireError::NotSent(_)) && !error.ambiguous, "{error:?}");
}

#[tokio::test]
async fn what_drips_ends_with_the_deadline() {
    for deed in [Deed::Drip, Deed::DripHead, Deed::Interim] {
        let server = Server::doing(&[deed]).await;
        let began = std::time::Instant::now();
        is_lost(transport().send(server.call(Method::POST).deadline(Duration::from_millis(300))).await);
        assert!(began.elapsed() < Duration::from_secs(3), "{deed:?}: {:?}", began.elapsed());
        assert_eq!(server.arrived(), 1);
    }
}

#[tokio::test]
async fn a_head_without_end_is_given_up_before_it_fills_the_memory() {
    let server = Server::doing(&[Deed::EndlessHead]).await;
    is_lost(post(&transport(), &server).await);
    assert!(server.sent.load(Ordering::SeqCst) < 16_000_000, "{:?}", server.sent);
}

#[tokio::test]
async fn an_answer_of_100_mb_is_not_read_to_its_end() {
    for announced in [true, false] {
        let server = Server::doing(&[Deed::Huge { announced }]).await;
        let call = Call { repeat: Repeat::Safe, ..server.call(Method::GET) };
        let error = transport().send(call).await.unwrap_err();
        assert!(matches!(error.cause, WireError::TooLarge), "{error:?}");
        assert_eq!((error.attempts, server.arrived()), (1, 1), "a second time would be as large");
        let most = if announced { 16_000_000 } else { 48_000_000 };
        assert!(server.sent.load(Ordering::SeqCst) < most, "announced {announced}: {:?}", server.sent);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_credentials_stay() {
    let elsewhere = Server::doing(&[Deed::Answer]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let goal = elsewhere.address;
    tokio::spawn(async move {
        for code in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await.unwrap();
            let answer = format!("HTTP/1.1 {code}\r\nlocation: http://{goal}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for code in [301, 302, 307, 308] {
        let mut call = elsewhere.call(Method::GET);
        call.url = format!("http://{address}/").parse().unwrap();
        assert_eq!(transport().send(call).await.unwrap().status, code);
    }
    assert_eq!(elsewhere.connected(), 0);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_nothing() {
    let decoded = |text: &str| STANDARD.decode(text).unwrap();
    let key = PrivatePkcs8KeyDer::from(decoded(KEY));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![CertificateDer::from(decoded(CERTIFICATE))], key.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        match acceptor.accept(stream).await {
            // With TLS 1.3 the server may be done before the client has judged: what counts is what it gets.
            Ok(mut stream) => stream.read_to_end(&mut heard).await.map(|_| ()).err(),
            Err(error) => Some(error),
        }
        .map(|error| (error.to_string(), heard))
    });
    let mut call = Server::doing(&[Deed::Answer]).await.call(Method::POST);
    call.url = format!("https://localhost:{}/", address.port()).parse().unwrap();
    let error = Transport::with_policy(
        Arc::new(Network::new(Vec::new()).unwrap()),
        Clock::system(),
        Arc::new(Chance::seeded(3)),
        RetryPolicy { attempts: 1, ..RetryPolicy::default() },
    )
    .send(call)
    .await
    .unwrap_err();
    assert!(matches!(&error.cause, WireError::NotSent(why) if why.contains("certificate")) && !error.ambiguous, "{error:?}");
    let (refusal, heard) = server.await.unwrap().expect("the client breaks it off");
    assert!(heard.is_empty() && refusal.contains("alert"), "{refusal}: {heard:?}");
}
