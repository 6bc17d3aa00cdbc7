//! What is said of zones and records; decoded leniently.

use serde::Deserialize;

use crate::platform::RecordKind;

/// A zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) name: String,
}

/// A record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) content: String,
    pub(super) proxied: Option<bool>,
    /// In seconds; 1 is the vendor's choice.
    pub(super) ttl: Option<u32>,
}

impl Record {
    /// Returns the kind, where the record leads to a host at all.
    pub(super) fn leads(&self) -> Option<RecordKind> {
        RecordKind::parse(&self.kind)
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.proxied == Some(true)
    }

    /// Returns whether it is this record: names are compared without case and without the last dot.
    pub(super) fn is(&self, kind: RecordKind, content: &str) -> bool {
        let plain = |text: &str| text.trim_end_matches('.').to_lowercase();
        self.leads() == Some(kind) && plain(&self.content) == plain(content)
    }

    /// Returns the record in words.
    pub(super) fn in_words(&self) -> String {
        let proxied = if self.is_proxied() { "proxied" } else { "not proxied" };
        format!("{} {}, {proxied}", self.kind, self.content)
    }

    /// Returns the record in words, with all that is needed to make it again.
    pub(super) fn whole(&self) -> String {
        let ttl = self.ttl.map(|ttl| format!(", ttl {ttl}")).unwrap_or_default();
        format!("{}{ttl} (record {})", self.in_words(), self.id)
    }
}
