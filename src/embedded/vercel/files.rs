//! Uploads: `POST /v2/files`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;

/// Stores a content under the digest that its header names; 200 also when it was there (published). The old header name is what the vendor's
/// client sends.
pub(super) async fn upload(State(vercel): State<Vercel>, _caller: Caller, headers: HeaderMap, body: Body) -> Result<Json<Value>, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let digest = text("x-vercel-digest").or_else(|| text("x-now-digest")).ok_or_else(|| Refusal::bad_request("Missing file SHA header"))?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digest.len() != 40 || !digest.bytes().all(hex) {
        return Err(Refusal::bad_request(format!("Invalid file SHA header: {digest}")));
    }
    let size = text("x-now-size").or_else(|| text("content-length"));
    let size: u64 = size.and_then(|size| size.parse().ok()).ok_or_else(|| Refusal::bad_request("Missing file size"))?;
    let largest = vercel.state().switches.largest_upload;
    if size > largest {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "Request Entity Too Large"));
    }
    let mut upload = vercel.store().begin().map_err(|error| Refusal::broken(&error))?;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            upload.discard();
            return Err(Refusal::bad_request("The upload broke off"));
        };
        upload.write(&piece).map_err(|error| Refusal::broken(&error))?;
    }
    if upload.size() != size {
        let message = format!("Invalid file size: {} bytes arrived, {size} were announced", upload.size());
        upload.discard();
        return Err(Refusal::bad_request(message));
    }
    if upload.sha() != digest {
        let message = format!("File SHA does not match: {} arrived, {digest} was announced", upload.sha());
        upload.discard();
        return Err(Refusal::bad_request(message));
    }
    upload.finish().map_err(|error| Refusal::broken(&error))?;
    Ok(Json(json!({ "urls": [] })))
}
