//! What is said; decoded leniently (API description, SDK 5.2).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::stamp::Stamp;

/// The answer to an opened upload session. Without a bucket everything is stored, and the token completes the upload already (vendor's
/// documentation of direct uploads).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Session {
    pub(super) jwt: Option<String>,
    /// The hashes of each bucket.
    pub(super) buckets: Option<Vec<Vec<String>>>,
}

/// The answer to an uploaded bucket: the last one carries the token that completes the upload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Uploaded {
    pub(super) jwt: Option<String>,
}

/// What an upload's token says of how its files are to be sent (vendor's client): whether one request each, and how many at once.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    #[serde(rename = "wrangler_single_asset_uploads")]
    pub(super) single: bool,
    #[serde(rename = "edge_kv_upload_concurrency")]
    pub(super) at_once: Option<u32>,
}

impl Claims {
    /// Reads a token's claims without verifying it: who issues it has checked us, not the other way round.
    pub(super) fn of(jwt: &str) -> Self {
        let claims = jwt.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
        claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

/// A version. Lists show its annotations too, although the API description does not say so (vendor's client).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Version {
    pub(super) id: String,
    pub(super) number: Option<u64>,
    pub(super) annotations: Option<BTreeMap<String, Value>>,
    pub(super) metadata: Option<VersionMetadata>,
    pub(super) resources: Option<Resources>,
}

/// What is known about a version.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct VersionMetadata {
    /// Whether it has an address of its own; told when it is made (vendor's client).
    pub(super) has_preview: Option<bool>,
}

/// What a version is made of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub(super) bindings: Option<Vec<Value>>,
    pub(super) script: Option<Script>,
}

/// A version's script.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Script {
    /// The events that it handles; none for static assets alone [?].
    pub(super) handlers: Option<Vec<String>>,
}

impl Version {
    /// Returns what its maker wrote on it.
    pub(super) fn message(&self) -> Option<&str> {
        self.annotations.as_ref()?.get("workers/message").and_then(Value::as_str)
    }

    /// Returns the mark that a release of ours has left.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let annotations = self.annotations.as_ref()?;
        let text = |name: &str| annotations.get(name).and_then(Value::as_str);
        Stamp::parse(text("workers/message")?, text("workers/tag").unwrap_or_default())
    }

    /// Returns what people call it.
    pub(super) fn label(&self) -> String {
        let short = self.id.split('-').next().unwrap_or(&self.id);
        self.number.map_or_else(|| format!("version {short}"), |number| format!("version {number} ({short})"))
    }
}

/// A list of versions: below `items`, newest first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Versions {
    pub(super) items: Option<Vec<Version>>,
}

/// A deployment: which users get which version.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployment {
    pub(super) id: String,
    pub(super) versions: Vec<Share>,
}

/// A version's share of the users, in percent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Share {
    pub(super) version_id: String,
    pub(super) percentage: f64,
}

impl Deployment {
    /// Returns the versions that users get.
    pub(super) fn serving(&self) -> impl Iterator<Item = &Share> {
        self.versions.iter().filter(|share| share.percentage > 0.0)
    }

    /// Returns the one version that every user gets, if it is one.
    pub(super) fn single(&self) -> Option<&str> {
        let mut serving = self.serving();
        let first = serving.next()?;
        serving.next().is_none().then_some(first.version_id.as_str())
    }
}

/// A list of deployments: the first is in force (API description).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployments {
    pub(super) deployments: Option<Vec<Deployment>>,
}

/// Whether a worker answers below the account's name on workers.dev, and whether its versions have addresses there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct OnWorkersDev {
    pub(super) enabled: bool,
    pub(super) previews_enabled: bool,
    /// What follows the first eight characters of a version's id in its hostname (vendor's client).
    pub(super) preview_url_suffix: Option<String>,
}

/// The account's name on workers.dev.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountSubdomain {
    pub(super) subdomain: Option<String>,
}

/// A worker as the account's list shows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::platform::cloudflare) struct Listed {
    /// Its name.
    pub(super) id: String,
    /// Its tags; `None` where the list does not show them.
    pub(super) tags: Option<Vec<String>>,
}

/// What is set for a worker whatever its versions are (API description: script-level settings).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScriptSettings {
    pub(super) tags: Option<Vec<String>>,
}

/// A custom hostname of a worker.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CustomDomain {
    pub(super) hostname: String,
    pub(super) service: Option<String>,
}
