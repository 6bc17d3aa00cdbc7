//! What a deployment was made of, kept where every machine finds it.
//!
//! A preview cannot become production, so serving means to post the same manifest once more (cloudflare.md 5), and no call gives a manifest back.
//! A process that takes over from a dead one therefore needs it from somewhere: the staging deployment carries it as one more file, under a
//! name that nobody can guess and that its mark names. Production never has that file. What a worker is made of is no file of the
//! site and may hold secrets; it is not kept, and such a revision can be posted by the process that prepared it only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use super::PagesTarget;
use super::files::{Asset, MARK, Site, Worker, key_of, mark};
use super::hints::Hints;
use crate::http::{Call, Platform, Via};
use crate::platform::{PlatformError, PlatformErrorKind, Revision};

/// How long a name of a record is: 124 bits of chance.
const NAME: usize = 24;
/// How long contents that were asked for count as stored (cloudflare.md 5: how long unused ones are kept is not documented).
const FRESH: Duration = Duration::from_secs(10 * 60);

/// What a deployment is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Keys by path.
    pub(super) manifest: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redirects: Option<String>,
}

/// A record, with what only the process that prepared it has.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) record: Record,
    /// The site as it was read; `None` for a record that was fetched.
    pub(super) site: Option<Arc<Site>>,
    /// When its contents were last seen to be stored.
    pub(super) stored: Option<Instant>,
}

impl Parts {
    pub(super) fn of(site: Site) -> Self {
        let record = Record { manifest: site.manifest(), headers: site.headers.clone(), redirects: site.redirects.clone() };
        Self { record, site: Some(Arc::new(site)), stored: None }
    }

    /// Returns whether its contents may have been dropped since they were last seen.
    pub(super) fn is_stale(&self) -> bool {
        self.stored.is_none_or(|stored| stored.elapsed() > FRESH)
    }

    /// Returns the file that the staging deployment carries besides, under this name; `None` where it could not be posted from it.
    pub(super) fn kept_as(&self, name: &str) -> Option<Asset> {
        let without_worker = self.site.as_ref().is_some_and(|site| site.worker == Worker::None);
        let text = serde_json::to_vec(&self.record).ok().filter(|_| without_worker)?;
        Some(Asset::ours(path_of(name), text))
    }
}

fn path_of(name: &str) -> String {
    format!("/.well-known/cutover-{name}.json")
}

impl PagesTarget {
    /// Returns a new name for a record.
    pub(super) fn record_name(&self) -> String {
        self.client.transport.chance().word(NAME)
    }

    /// Returns what a revision is made of: from memory, else from its staging deployment. `None` where neither has it.
    pub(super) async fn parts(&self, revision: &Revision, staged: Option<&Hints>) -> Result<Option<Parts>, PlatformError> {
        if let Some(parts) = self.memory().parts.get(revision.digest.as_str()) {
            return Ok(Some(parts.clone()));
        }
        let Some(hints) = staged else { return Ok(None) };
        let (Some(address), Some(name)) = (&hints.url, &hints.record) else { return Ok(None) };
        let Some(url) = Url::parse(address).ok().and_then(|base| base.join(&path_of(name)).ok()) else { return Ok(None) };
        let mut call = Call::new(Platform::Public, "get_record", Method::GET, url);
        call.via = Via::Public { edge: 0 };
        for (name, value) in self.opening() {
            if let Ok(name) = http::HeaderName::try_from(name) {
                call = call.credential(name, &value);
            }
        }
        let thing = format!("record of {}", revision.label);
        let answer = self.client.transport.send(call).await.map_err(|error| PlatformError::from_send(&error, &thing))?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let Ok(record) = answer.json::<Record>() else { return Ok(None) };
        // A site may answer any path with a page; the mark's key says whose record this is.
        let own = record.manifest.get(MARK) == Some(&key_of(&mark(&revision.digest), MARK));
        Ok(own.then_some(Parts { record, site: None, stored: None }))
    }

    /// Keeps what a revision is made of for as long as this process lives.
    pub(super) fn remember(&self, revision: &crate::platform::RevisionDigest, parts: Parts) {
        self.memory().parts.insert(revision.to_string(), parts);
    }

    /// Returns the error for a revision that nobody can post any more.
    pub(super) fn unpostable(&self, revision: &Revision) -> PlatformError {
        let text = format!("what {} is made of is not known here any more, and Pages gives no manifest back", revision.label);
        self.error("serve", PlatformErrorKind::Impossible(text)).hint("release its commit again")
    }
}
