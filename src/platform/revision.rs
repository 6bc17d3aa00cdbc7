//! One version of one target, and what a target serves.
//!
//! Revisions are equal by content, never by the platform's id: going back makes a new deployment on some platforms and a new instance on
//! others. Everything here is written into the journal, which every reader of the repository can read: it never holds the value of an
//! environment variable or the content of a file.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The identity of a revision's content: `sha256:` over the artifact's digest and the normalised settings per slot, our own marks left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RevisionDigest(String);

impl RevisionDigest {
    /// Returns the digest of `content`, which must be canonical: equal content, equal bytes.
    pub fn of(content: &[u8]) -> Self {
        let hash = Sha256::digest(content);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}"))
    }

    /// Returns a digest that was shown by a platform or a public address.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve characters after the algorithm, for people.
    pub fn short(&self) -> &str {
        let hex = self.0.split_once(':').map_or(self.0.as_str(), |(_, hex)| hex);
        hex.get(..12).unwrap_or(hex)
    }
}

impl fmt::Display for RevisionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One version of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Its identity by content.
    pub digest: RevisionDigest,
    /// The artifact's digest: of an image's manifest or a directory's file manifest; `None` when the platform does not say.
    pub artifact: Option<String>,
    /// What people call it: an image's tag and short digest, a deployment's address. One line.
    pub label: String,
    /// The release that made it, read from its stamp; `None` when it is not ours.
    pub release: Option<String>,
    /// What the platform needs to find it again: ids of machines or deployments, instance versions. Understood by its own target only.
    pub hints: serde_json::Value,
}

impl Revision {
    /// Returns whether both have the same content.
    pub fn same_content(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// In which respects what serves differs from what a release left, in words that end a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Content: it is another revision.
    pub changed: Vec<String>,
    /// Scale: counts and places, which are adopted.
    pub adopted: Vec<String>,
}

impl Differences {
    /// Compares two revisions by what every revision has: the artifact and the whole content.
    pub fn of(recorded: &Revision, found: &Revision) -> Self {
        let text = if recorded.same_content(found) {
            return Self::default();
        } else if recorded.artifact != found.artifact || recorded.artifact.is_none() {
            format!("{} serves, not {}", found.label, recorded.label)
        } else {
            format!("{} serves the same artifact as {} with other settings", found.label, recorded.label)
        };
        Self { changed: vec![text], adopted: Vec::new() }
    }
}

/// What goes into a revision's digest, slot by slot.
///
/// A slot is what the platform scales or places by: a process group and a region on Fly, nothing on Vercel. The values are digests or
/// plain settings, never secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The artifact's digest.
    pub artifact: String,
    /// Normalised settings by slot name.
    pub slots: BTreeMap<String, String>,
}

impl Content {
    /// Returns the revision digest of this content.
    pub fn digest(&self) -> RevisionDigest {
        // A struct of strings and an ordered map always serializes, and always to the same bytes.
        RevisionDigest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Settings of a platform that a release disturbs and must restore, by name; for example `autoAssignCustomDomains`.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// How a target is reached and told apart without any manifest: what recovery needs beside a credential. Nothing here is a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The account in whose name the platform is asked (Vercel's team); `None` where the credential decides.
    #[serde(default)]
    pub account: Option<String>,
    /// The public address, where the manifest names one.
    #[serde(default)]
    pub url: Option<String>,
    /// Whether the platform builds what it serves (from git or a hook), so that failed builds of it are kept.
    #[serde(default)]
    pub builds: bool,
    /// How long what was taken out of routing stays alive, in milliseconds, where anybody says.
    #[serde(default)]
    pub drain_ms: Option<u64>,
    /// Whether what works without being asked by users moves before what they reach.
    #[serde(default)]
    pub workers_first: bool,
    /// How long what served before stays alive after a release, in milliseconds, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
    /// Which of its platform's products it is, where the platform has several and it is not the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The hostnames whose cache is purged after every change of what serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purged: Vec<String>,
}

/// What a target serves, as far as the platform says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Who gets what; empty when nothing serves.
    pub serving: Vec<Weighted>,
    /// Jobs of ours or of others that are under way there.
    pub unfinished: Vec<Unfinished>,
    /// Settings that a release would disturb, as they are now.
    pub settings: Settings,
    /// Things of ours that serve nobody (left by a dead runner), as hints for `prune`.
    pub leftovers: Vec<Revision>,
    /// Facts that are reported but are no drift: counts, sizes, states.
    pub facts: BTreeMap<String, String>,
}

impl Observed {
    /// Returns the one revision that serves all users, if it is one.
    pub fn single(&self) -> Option<&Revision> {
        match self.serving.as_slice() {
            [only] => Some(&only.revision),
            _ => None,
        }
    }
}

/// A revision and its share of the users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    /// The revision.
    pub revision: Revision,
    /// Its share in percent.
    pub percent: f64,
}

/// Work that a platform has not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The platform's id of it.
    pub id: String,
    /// What it is, in words.
    pub what: String,
    /// The release that began it, if its stamp says so.
    pub release: Option<String>,
}
