//! Answers that are not the platform's own: true ones that were broken or altered on the way.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use serde_json::Value;

/// The members whose values are words of closed lists, the most telling first, and a word that is in none of them. Source of the lists: the
/// OpenAPI documents.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("fly", &["state", "status", "host_status"], "hibernating"),
    ("vercel", &["jobStatus", "readyState", "status", "state", "readySubstate"], "pondering"),
    ("cloudflare", &["status"], "pondering"),
    ("github", &["conclusion", "status", "state", "type"], "pondering"),
    ("registry", &["mediaType"], "pondering"),
];

/// Returns `response` with the length it announces and half of its body, after which the connection breaks.
pub(in crate::embedded) async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = collected(body).await;
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = [Ok(half), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(broken)))
}

/// Returns `response` with one word of a closed list replaced by one that nobody knows, and whether there was such a word.
pub(in crate::embedded) async fn strange(platform: &str, response: Response) -> (Response, bool) {
    let (mut parts, body) = response.into_parts();
    let bytes = collected(body).await;
    let Some(changed) = with_strange_word(platform, &bytes) else { return (Response::from_parts(parts, Body::from(bytes)), false) };
    parts.headers.remove(CONTENT_LENGTH);
    (Response::from_parts(parts, Body::from(changed)), true)
}

fn with_strange_word(platform: &str, body: &[u8]) -> Option<Vec<u8>> {
    let (_, members, word) = WORDS.iter().find(|(known, ..)| *known == platform)?;
    let mut document: Value = serde_json::from_slice(body).ok()?;
    for member in *members {
        let replaced = replace_first(&mut document, member, word);
        if replaced {
            return serde_json::to_vec(&document).ok();
        }
    }
    None
}

/// Replaces the first text, outer ones first, that stands under `member`; in capitals where it is written so.
fn replace_first(value: &mut Value, member: &str, word: &str) -> bool {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut(member)
                && !text.is_empty()
            {
                let shouted = text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                *text = if shouted { word.to_ascii_uppercase() } else { word.to_owned() };
                return true;
            }
            map.values_mut().any(|inner| replace_first(inner, member, word))
        }
        Value::Array(items) => items.iter_mut().any(|inner| replace_first(inner, member, word)),
        _ => false,
    }
}

async fn collected(body: Body) -> Bytes {
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}
