//! What the records of a hostname are, compared with what they must be. Pure.

use super::wire::Record;
use crate::platform::Leading;

/// How a hostname stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every record leads to the target, as it must.
    Right,
    /// Every record leads to the target, and these pass through the proxy where they must not, or the other way round.
    Proxying(Vec<Record>),
    /// There is no record.
    Missing,
    /// One name that leads elsewhere.
    Elsewhere(Record),
    /// Addresses that lead elsewhere: nobody but a person may remove them.
    InTheWay(Vec<Record>),
}

/// Compares.
pub(super) fn standing(found: &[Record], wanted: &Leading) -> Standing {
    let leads = |record: &&Record| wanted.records.iter().any(|(kind, content)| record.is(*kind, content));
    let (right, wrong): (Vec<&Record>, Vec<&Record>) = found.iter().partition(leads);
    match (right.as_slice(), wrong.as_slice()) {
        ([], []) => Standing::Missing,
        (_, []) => {
            let misled: Vec<Record> = right.into_iter().filter(|record| record.is_proxied() != wanted.proxied).cloned().collect();
            if misled.is_empty() { Standing::Right } else { Standing::Proxying(misled) }
        }
        ([], [only]) if only.kind == "CNAME" => Standing::Elsewhere((*only).clone()),
        _ => Standing::InTheWay(wrong.into_iter().cloned().collect()),
    }
}

/// Returns records in words.
pub(super) fn in_words(records: &[Record]) -> String {
    records.iter().map(Record::in_words).collect::<Vec<_>>().join("; ")
}
