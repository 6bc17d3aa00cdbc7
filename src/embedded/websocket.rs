//! A websocket server that sends back what it receives: enough for a client to see that upgrades pass.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What RFC 6455, section 1.3, appends to the client's key.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest frame that is echoed, in bytes; a longer one ends the connection.
const LONGEST_FRAME: u64 = 1024 * 1024;

/// Returns whether `headers` ask for an upgrade to a websocket.
pub(super) fn asked(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// Answers 101 to a request for a websocket and echoes its frames; `None` when the request does not ask for one.
///
/// Called in process there is no connection behind it: the 101 is all there is. Source: RFC 6455.
pub(super) fn accept(request: Request) -> Option<Response> {
    if !asked(request.headers()) {
        return None;
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
    let proof = STANDARD.encode(Sha1::digest(format!("{key}{MAGIC}")));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(proof) = HeaderValue::from_str(&proof) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    }
    if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_some() {
        tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                // The client ends the connection when it likes; how is its business.
                let _ = echo(TokioIo::new(upgraded)).await;
            }
        });
    }
    Some(response)
}

/// Sends back every frame, unmasked as RFC 6455, section 5.1, wants it from a server; a close frame is sent back too and ends the echo.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    loop {
        let mut head = [0_u8; 2];
        stream.read_exact(&mut head).await?;
        let length = match head[1] & 0x7F {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        if length > LONGEST_FRAME {
            return Ok(());
        }
        let mut mask = [0_u8; 4];
        if head[1] & 0x80 != 0 {
            stream.read_exact(&mut mask).await?;
        }
        let mut payload = vec![0_u8; usize::try_from(length).unwrap_or(0)];
        stream.read_exact(&mut payload).await?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        let opcode = head[0] & 0x0F;
        // A ping (9) is answered by a pong (10) with the same payload.
        let first = if opcode == 9 { (head[0] & 0xF0) | 0x0A } else { head[0] };
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(short as u8),
            middle @ 126..65_536 => {
                frame.push(126);
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&payload);
        stream.write_all(&frame).await?;
        stream.flush().await?;
        if opcode == 8 {
            return Ok(());
        }
    }
}
