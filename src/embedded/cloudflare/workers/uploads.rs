//! Uploads: a session with every path, buckets of what is missing, and a token that completes it (vendor's documentation of direct uploads).

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::{Upload, owner};
use crate::embedded::cloudflare::Cloudflare;
use crate::embedded::cloudflare::caller::{Caller, bearer};
use crate::embedded::cloudflare::form::Form;
use crate::embedded::cloudflare::refusal::{Refusal, granted};
use crate::embedded::cloudflare::store::is_key;
use crate::embedded::operation::query_value;

/// How long an upload may take, and how long its completion may be used: an hour (vendor's documentation).
const LIFE: i64 = 3_600_000;
/// The largest file, in bytes (vendor's documentation).
const LARGEST_FILE: u64 = 25 * 1024 * 1024;
/// How many contents a bucket has, and how many bytes: the platform decides, by no published rule.
const BUCKET: (usize, u64) = (500, 40 * 1024 * 1024);

#[derive(Deserialize)]
pub(in crate::embedded::cloudflare) struct Wanted {
    manifest: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    hash: String,
    size: u64,
}

/// `POST …/assets-upload-session`. The numbers of its refusals are guesses.
pub(in crate::embedded::cloudflare) async fn open(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, worker)): Path<(String, String)>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let bad = |text: String| Refusal::bad_request(10_021, text);
    let now = cloudflare.now();
    let single = cloudflare.state().switches.worker_single_uploads;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "exp": (now + LIFE) / 1000, "wrangler_single_asset_uploads": single });
    let word = cloudflare.ground().chance.word(24);
    let jwt = format!("{}.{}.{word}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let mut state = cloudflare.state();
    if wanted.manifest.len() as u64 > state.switches.most_files {
        return Err(bad("The manifest has too many files".to_owned()));
    }
    let mut missing: BTreeMap<String, u64> = BTreeMap::new();
    let whose = owner(&caller.account, &worker);
    for (path, entry) in &wanted.manifest {
        if !path.starts_with('/') || !is_key(&entry.hash) || entry.size > LARGEST_FILE {
            return Err(bad(format!("The entry {path} is not valid")));
        }
        if !state.contents.contains_key(&(whose.clone(), entry.hash.clone())) {
            missing.insert(entry.hash.clone(), entry.size);
        }
    }
    let buckets = buckets(&missing);
    let manifest = wanted.manifest.into_iter().map(|(path, entry)| (path, entry.hash)).collect();
    let missing: BTreeSet<String> = missing.into_keys().collect();
    state.uploads.insert(jwt.clone(), Upload { account: caller.account, worker, manifest, missing, ends: now + LIFE });
    Ok(granted(&json!({ "jwt": jwt, "buckets": buckets })))
}

fn buckets(missing: &BTreeMap<String, u64>) -> Vec<Vec<String>> {
    let mut buckets: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for (hash, size) in missing {
        let room = buckets.last().is_some_and(|bucket| bucket.len() < BUCKET.0 && bytes + size <= BUCKET.1);
        if !room {
            buckets.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(bucket) = buckets.last_mut() {
            bucket.push(hash.clone());
        }
    }
    buckets
}

/// `POST /accounts/{account}/workers/assets/upload?base64=true`, with the session's token.
pub(in crate::embedded::cloudflare) async fn upload(
    State(cloudflare): State<Cloudflare>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let bad = |text: &str| Refusal::bad_request(10_021, text);
    if query_value(query.as_deref(), "base64").as_deref() != Some("true") {
        return Err(bad("The query parameter base64 must be true"));
    }
    let form = Form::parse(&headers, &body).ok_or_else(|| bad("The body is no form"))?;
    let mut files = Vec::new();
    for (hash, kind, content) in form.parts() {
        let content = STANDARD.decode(content).map_err(|_| bad("A file is no base64"))?;
        files.push((hash.to_owned(), kind.unwrap_or_default().to_owned(), content));
    }
    cloudflare.take(&headers, files)
}

/// `POST /accounts/{account}/workers/assets/upload/{hash}`: one file as it is (vendor's client).
pub(in crate::embedded::cloudflare) async fn upload_one(
    State(cloudflare): State<Cloudflare>,
    Path((_, hash)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    cloudflare.take(&headers, vec![(hash, kind, body.to_vec())])
}

impl Cloudflare {
    /// Stores files of an upload, each with its hash and its type; the last one's answer completes it.
    fn take(&self, headers: &HeaderMap, files: Vec<(String, String, Vec<u8>)>) -> Result<Response, Refusal> {
        let cloudflare = self;
        let now = cloudflare.now();
        let jwt = bearer(headers).ok_or_else(Refusal::unauthorized)?.to_owned();
        let known = cloudflare.state().uploads.get(&jwt).cloned().filter(|upload| upload.ends > now);
        let upload = known.ok_or_else(Refusal::unauthorized)?;
        let whose = owner(&upload.account, &upload.worker);
        let mut stored = Vec::new();
        for (hash, kind, content) in files {
            if !upload.manifest.values().any(|known| *known == hash) {
                return Err(Refusal::bad_request(10_021, "A file is not in the manifest"));
            }
            cloudflare.store().put(&hash, &content).map_err(|error| Refusal::broken(&error))?;
            stored.push((hash, kind));
        }
        let completion = format!("{}.{}.completion", cloudflare.ground().chance.word(12), cloudflare.ground().chance.word(24));
        let mut state = cloudflare.state();
        for (hash, kind) in stored {
            state.contents.insert((whose.clone(), hash.clone()), kind);
            if let Some(upload) = state.uploads.get_mut(&jwt) {
                upload.missing.remove(&hash);
            }
        }
        let left = state.uploads.get(&jwt).map_or(0, |upload| upload.missing.len());
        if left > 0 {
            return Ok((StatusCode::ACCEPTED, granted(&json!({}))).into_response());
        }
        let done = Upload { missing: BTreeSet::new(), ends: now + LIFE, ..upload };
        state.uploads.insert(completion.clone(), done);
        Ok((StatusCode::CREATED, granted(&json!({ "jwt": completion }))).into_response())
    }
}
