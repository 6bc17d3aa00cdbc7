//! By which DNS records a hostname leads to a target: what a platform says of its own side, whoever keeps the records.

use std::fmt;

/// The kind of a record that leads to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
}

impl RecordKind {
    /// Returns the kind as zones write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        }
    }

    /// Returns the kind that a zone writes so; `None` for kinds that lead to no host.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a platform answers for a hostname.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// It does, or it is not this platform's word to say so.
    Yes,
    /// It will: the platform's own word for where it is.
    UnderWay(String),
    /// It does not know the hostname.
    No,
}

/// How a hostname leads to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leading {
    /// The records that lead there: every record of the hostname must be one of them, and the first is the one to make.
    pub records: Vec<(RecordKind, String)>,
    /// Whether the record must pass through the DNS provider's own proxy, or must not.
    pub proxied: bool,
    /// Whether the platform answers for the hostname.
    pub attached: Attached,
    /// How it is attached by hand, in the words of a hint.
    pub attach_hint: String,
}

impl Leading {
    /// Returns the record to make, in words.
    pub fn wanted(&self) -> String {
        let proxied = if self.proxied { "proxied" } else { "not proxied" };
        self.records.first().map_or_else(|| "no record".to_owned(), |(kind, content)| format!("{kind} {content}, {proxied}"))
    }
}
