//! One reader per part of the manifest: from the tree to the resolved values.

pub(super) mod check;
pub(super) mod environment;
pub(super) mod gate;
pub(super) mod image;
pub(super) mod target;

use std::ops::Range;

use super::fault::{Code, Fault};
use super::reader::{Fields, Reader, listed};
use super::tree::{Key, Node};

/// Returns the one of `keys` that is written; reports when none is, and when more than one is.
fn exactly_one<'n>(reader: &mut Reader, fields: &Fields<'n>, what: &str, keys: &[&'static str]) -> Option<(&'static str, &'n Node)> {
    let written: Vec<(&'static str, &Key, &Node)> =
        keys.iter().filter_map(|key| fields.entry(key).map(|(own, node)| (*key, own, node))).collect();
    match written.as_slice() {
        [] => {
            reader.fault(Fault::new(Code::MissingKey, &fields.at, format!("{what} needs one of {}", listed(keys.iter().copied()))));
            None
        }
        [(key, _, node)] => Some((key, node)),
        [first, second, ..] => {
            exclude(reader, what, (first.0, &first.1.span), (second.0, &second.1.span));
            None
        }
    }
}

/// Reports that two keys exclude each other.
fn exclude(reader: &mut Reader, what: &str, first: (&str, &Range<usize>), second: (&str, &Range<usize>)) {
    let (first, second) = if first.1.start <= second.1.start { (first, second) } else { (second, first) };
    let fault = Fault::new(Code::Conflict, second.1, format!("{what} cannot have both `{}` and `{}`", first.0, second.0));
    reader.fault(fault.related(first.1, "excluded by this").suggest("keep one of them"));
}
