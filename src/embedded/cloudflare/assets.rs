//! Contents: upload tokens, what is missing, buckets (the vendor's client, measured).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloudflare;
use super::caller::{Caller, Uploader};
use super::refusal::{Refusal, granted};
use super::state::Ticket;
use super::store::is_key;

/// The largest file, in bytes (vendor's documentation).
const LARGEST_FILE: usize = 25 * 1024 * 1024;

/// `GET …/upload-token`: a token of three parts, of which the second says when it ends and how many files a site may have.
pub(super) async fn token(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, project)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let now = cloudflare.now();
    let word = cloudflare.ground().chance.word(24);
    let mut state = cloudflare.state();
    state.project(&caller.account, &project).ok_or_else(Refusal::no_project)?;
    let ends = now + i64::try_from(state.switches.token_life.as_millis()).unwrap_or(i64::MAX / 2);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iat": now / 1000, "exp": ends / 1000, "max_file_count_allowed": state.switches.most_files });
    let jwt = format!("{}.{}.{word}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    state.tickets.insert(jwt.clone(), Ticket { account: caller.account, project, ends });
    Ok(granted(&json!({ "jwt": jwt })))
}

#[derive(Deserialize)]
pub(super) struct Hashes {
    hashes: Vec<String>,
}

fn hashes(body: &Bytes) -> Result<Vec<String>, Refusal> {
    let read: Result<Hashes, _> = serde_json::from_slice(body);
    Ok(read.map_err(|error| Refusal::bad_request(8_000_012, format!("The body is not valid: {error}")))?.hashes)
}

/// `POST /pages/assets/check-missing`.
pub(super) async fn missing(State(cloudflare): State<Cloudflare>, Uploader(ticket): Uploader, body: Bytes) -> Result<Json<Value>, Refusal> {
    let state = cloudflare.state();
    let owner = state.owner(&ticket.account, &ticket.project);
    let missing: Vec<String> =
        hashes(&body)?.into_iter().filter(|key| !state.contents.contains_key(&(owner.clone(), key.clone()))).collect();
    Ok(granted(&json!(missing)))
}

#[derive(Deserialize)]
struct Item {
    key: String,
    value: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    base64: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    content_type: String,
}

/// `POST /pages/assets/upload`: stores a bucket, all of it or nothing.
pub(super) async fn upload(State(cloudflare): State<Cloudflare>, Uploader(ticket): Uploader, body: Bytes) -> Result<Json<Value>, Refusal> {
    let bad = |text: String| Refusal::bad_request(8_000_014, text);
    let items: Vec<Item> = serde_json::from_slice(&body).map_err(|error| bad(format!("The body is not valid: {error}")))?;
    let mut contents = Vec::with_capacity(items.len());
    let mut bytes = 0;
    for item in items {
        if !is_key(&item.key) {
            return Err(bad(format!("{} is no key", item.key)));
        }
        let content =
            if item.base64 { STANDARD.decode(&item.value).map_err(|error| bad(error.to_string()))? } else { item.value.into_bytes() };
        if content.len() > LARGEST_FILE {
            return Err(bad(format!("{} is larger than 25 MiB", item.key)));
        }
        bytes += content.len() as u64;
        contents.push((item.key, content, item.metadata.content_type));
    }
    if bytes > cloudflare.state().switches.largest_bucket {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, 8_000_014, "The bucket is too large"));
    }
    for (key, content, _) in &contents {
        cloudflare.store().put(key, content).map_err(|error| Refusal::broken(&error))?;
    }
    let mut state = cloudflare.state();
    let owner = state.owner(&ticket.account, &ticket.project);
    state.contents.extend(contents.into_iter().map(|(key, _, kind)| ((owner.clone(), key), kind)));
    Ok(granted(&Value::Null))
}

/// `POST /pages/assets/upsert-hashes`: nothing is ever dropped here, so nothing has to be marked.
pub(super) async fn refresh(Uploader(_): Uploader, body: Bytes) -> Result<Json<Value>, Refusal> {
    hashes(&body)?;
    Ok(granted(&Value::Null))
}
