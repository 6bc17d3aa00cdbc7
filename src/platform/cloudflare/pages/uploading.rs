//! Uploading what Pages does not have: each content once, in buckets, streamed from the disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::PagesTarget;
use super::files::{self, AT_ONCE, Asset, FilesError, pack};
use super::wire::Ticket;
use crate::event::Level;
use crate::platform::cloudflare::envelope::{Refusal, code};
use crate::platform::{Errand, PlatformError, PlatformErrorKind};

/// How often an upload token is renewed within one call: one that is refused as often will be refused always.
const RENEWALS: usize = 3;
/// How often a bucket is sent anew after the transport has given it up: the vendor's storage is slow at times (cloudflare.md 3.6).
const TRIES: u32 = 4;
/// The longest wait that is obeyed: the published lock of five minutes (cloudflare.md 2).
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Uploads under one token, which is renewed when it must be.
struct Uploads<'a> {
    target: &'a PagesTarget,
    ticket: Mutex<Ticket>,
}

impl PagesTarget {
    /// Stores every content of these assets that is not stored; returns how many files a site may have. Called again it sends what is still missing.
    ///
    /// `within` looks at the limit before anything is sent.
    pub(super) async fn store(
        &self,
        errand: &impl Errand,
        assets: &[Asset],
        within: impl FnOnce(u64) -> Result<(), FilesError>,
    ) -> Result<(), PlatformError> {
        let ticket = self.client.upload_token(&self.settings.project).await?;
        within(ticket.most_files).map_err(|error| self.unusable(&error))?;
        let uploads = Uploads { target: self, ticket: Mutex::new(ticket) };
        let mut keys: Vec<&str> = assets.iter().map(|asset| asset.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let missing = uploads.with_ticket(async |ticket| self.client.missing(ticket, &keys).await).await?;
        if !missing.is_empty() {
            self.upload(errand, &uploads, assets, &missing).await?;
        }
        // Only a mark of use: what is stored can be deployed without it.
        if let Err(error) = uploads.with_ticket(async |ticket| self.client.refresh(ticket, &keys).await).await {
            let text = format!(
                "{}: the contents could not be marked as used, so a later release may upload them again: {error}",
                self.settings.target
            );
            errand.events().notice(Level::Note, "cloudflare::not-marked", text);
        }
        Ok(())
    }

    /// Returns those keys whose contents are not stored.
    pub(super) async fn not_stored(&self, keys: &[&str]) -> Result<Vec<String>, PlatformError> {
        let uploads = Uploads { target: self, ticket: Mutex::new(self.client.upload_token(&self.settings.project).await?) };
        uploads.with_ticket(async |ticket| self.client.missing(ticket, keys).await).await
    }

    async fn upload(&self, errand: &impl Errand, uploads: &Uploads<'_>, assets: &[Asset], missing: &[String]) -> Result<(), PlatformError> {
        let known: std::collections::BTreeMap<&str, &Asset> = assets.iter().map(|asset| (asset.key.as_str(), asset)).collect();
        let wanted = missing.iter().map(|key| {
            known.get(key.as_str()).copied().ok_or_else(|| {
                let text = format!("the content {key} is missing, which is no content of ours");
                self.error("check_missing", PlatformErrorKind::Unexpected(text))
            })
        });
        let wanted: Vec<&Asset> = wanted.collect::<Result<_, _>>()?;
        let bytes: u64 = wanted.iter().map(|asset| asset.size).sum();
        errand.step(&self.settings.target, format!("uploads {} contents, {bytes} bytes", wanted.len()));
        let buckets = pack(wanted).into_iter().map(|bucket| bucket.into_iter().cloned().collect::<Vec<_>>());
        let sent = buckets.map(|bucket| uploads.bucket(errand, bucket));
        stream::iter(sent).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }
}

impl Uploads<'_> {
    /// Sends one bucket. Its body stands on the disk meanwhile, so that memory holds no content.
    async fn bucket(&self, errand: &impl Errand, bucket: Vec<Asset>) -> Result<(), PlatformError> {
        let target = self.target;
        target.may_go_on(errand)?;
        let (path, length) = files::spool(bucket).await.map_err(|error| target.unusable(&error))?;
        let mut tries = 0;
        loop {
            let sent = self.with_ticket(async |ticket| target.client.upload(ticket, path.to_path_buf(), length).await).await;
            let Err(error) = sent else { return Ok(()) };
            tries += 1;
            let pause = match error.kind {
                PlatformErrorKind::Unavailable(_) | PlatformErrorKind::NoAnswer(_) => Duration::from_secs(1 << tries),
                PlatformErrorKind::RateLimited(Some(wait)) if wait <= LONGEST_WAIT => wait,
                _ => return Err(error),
            };
            if tries == TRIES {
                return Err(error);
            }
            errand.step(&target.settings.target, format!("a bucket is sent again after {pause:?}: {}", error.kind));
            target.pause(errand, pause).await?;
        }
    }

    /// Makes a call with a token that is good; one that is refused is renewed.
    async fn with_ticket<T>(&self, call: impl AsyncFn(&Ticket) -> Result<T, Refusal>) -> Result<T, PlatformError> {
        let mut renewals = 0;
        loop {
            let ticket = self.good_ticket().await?;
            match call(&ticket).await {
                Err(refusal) if refusal.code == Some(code::STALE_TICKET) && renewals < RENEWALS => {
                    renewals += 1;
                    self.renew(&ticket).await?;
                }
                answered => return answered.map_err(Refusal::plain),
            }
        }
    }

    fn held(&self) -> Ticket {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn good_ticket(&self) -> Result<Ticket, PlatformError> {
        let held = self.held();
        if held.ends_soon(self.target.client.transport.clock().now()) {
            self.renew(&held).await?;
        }
        Ok(self.held())
    }

    /// Gets another token, unless somebody has done so since `stale` was held.
    async fn renew(&self, stale: &Ticket) -> Result<(), PlatformError> {
        if self.held().bearer() != stale.bearer() {
            return Ok(());
        }
        let renewed = self.target.client.upload_token(&self.target.settings.project).await?;
        *self.ticket.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }
}
