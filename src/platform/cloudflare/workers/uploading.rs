//! Uploading what Cloudflare does not have: each content once, in the buckets that it says, streamed from the disk.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::WorkerTarget;
use super::bundle::{bundle, served_as};
use super::site::manifest;
use super::wire::Claims;
use crate::platform::cloudflare::pages::files::{AT_ONCE, Asset, Site};
use crate::platform::{Errand, PlatformError, PlatformErrorKind};

/// How many contents are sent at once where each is a request of its own; the vendor's client sends 50.
const SINGLE_AT_ONCE: u32 = 16;

impl WorkerTarget {
    /// Stores every content that is not stored; returns the token that completes the upload (it lasts an hour by the vendor's documentation).
    /// Called again it sends what is still missing.
    pub(super) async fn store(&self, errand: &impl Errand, site: &Site) -> Result<String, PlatformError> {
        let session = self.client.open_upload(&self.settings.worker, &manifest(site)).await?;
        let no_token = || self.error("open_upload", PlatformErrorKind::Unexpected("the answer has no token".to_owned()));
        let jwt = session.jwt.filter(|jwt| !jwt.is_empty()).ok_or_else(no_token)?;
        let buckets: Vec<Vec<String>> = session.buckets.unwrap_or_default().into_iter().filter(|bucket| !bucket.is_empty()).collect();
        if buckets.is_empty() {
            return Ok(jwt);
        }
        let known: BTreeMap<&str, &Asset> = site.assets.iter().map(|asset| (asset.key.as_str(), asset)).collect();
        let count: usize = buckets.iter().map(Vec::len).sum();
        errand.step(&self.settings.target, format!("uploads {count} contents"));
        let mut wanted: Vec<Vec<Asset>> = Vec::new();
        for bucket in buckets {
            let assets = bucket.iter().map(|key| {
                known.get(key.as_str()).map(|asset| (*asset).clone()).ok_or_else(|| {
                    let text = format!("the content {key} is missing, which is no content of ours");
                    self.error("open_upload", PlatformErrorKind::Unexpected(text))
                })
            });
            wanted.push(assets.collect::<Result<_, _>>()?);
        }
        let claims = Claims::of(&jwt);
        let tokens: Vec<Option<String>> = if claims.single {
            let at_once = claims.at_once.map_or(SINGLE_AT_ONCE, |at_once| at_once.clamp(1, SINGLE_AT_ONCE));
            let sent = wanted.into_iter().flatten().map(|asset| self.one(errand, asset, &jwt));
            stream::iter(sent).buffer_unordered(at_once as usize).try_collect().await?
        } else {
            let sent = wanted.into_iter().map(|assets| self.bucket(errand, assets, &jwt));
            stream::iter(sent).buffer_unordered(AT_ONCE).try_collect().await?
        };
        // Whichever bucket was the last one has it.
        tokens.into_iter().flatten().next_back().ok_or_else(|| {
            let text = "every bucket is stored, and no answer completes the upload".to_owned();
            self.error("upload_bucket", PlatformErrorKind::Unexpected(text))
        })
    }

    async fn one(&self, errand: &impl Errand, asset: Asset, jwt: &str) -> Result<Option<String>, PlatformError> {
        self.may_go_on(errand)?;
        let uploaded = self.client.upload_one(jwt, &asset, &served_as(asset.content_type)).await?;
        Ok(uploaded.jwt.filter(|jwt| !jwt.is_empty()))
    }

    async fn bucket(&self, errand: &impl Errand, assets: Vec<Asset>, jwt: &str) -> Result<Option<String>, PlatformError> {
        self.may_go_on(errand)?;
        let word = self.client.transport.chance().word(32);
        let body = bundle(assets, word).await.map_err(|error| self.unusable(&error))?;
        let uploaded = self.client.upload_bucket(jwt, body.path.to_path_buf(), body.length, &body.content_type).await?;
        Ok(uploaded.jwt.filter(|jwt| !jwt.is_empty()))
    }
}
