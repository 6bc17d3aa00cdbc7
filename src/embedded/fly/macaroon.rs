//! Tokens that look like Fly's: MessagePack in base64, with the caveats that a client can read. Their signature is nobody's.
//!
//! Source of the form: the public repository superfly/macaroon; which caveats `fly tokens create` writes: superfly/flyctl
//! (`internal/command/tokens/create.go`). Structs are arrays there, and numbers take as few bytes as they need.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Every action: read, write, create, delete, control.
const EVERYTHING: u64 = 0b1_1111;

/// Where Fly's tokens for permissions come from.
const PERMISSIONS: &str = "https://api.fly.io/v1";

/// A restriction in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caveat {
    /// An organisation by number, and the actions that are left, one bit each: read 1, write 2, create 4, delete 8, control 16.
    Organization(u64, u64),
    /// An app by number and the actions that are left, with an organisation's features beside it, as a deploy token has them.
    App(u64, u64),
    /// Actions that are left, whatever is asked for.
    Action(u64),
    /// Only these calls of GraphQL.
    Mutations(Vec<String>),
    /// From when to when it is good, in seconds since 1970.
    Validity(i64, i64),
    /// One that no client knows, with a number as its body.
    Unknown(u64),
}

impl Caveat {
    /// Returns the caveats of `fly tokens create readonly`: those of an organisation's token, and the organisation once more, for reading.
    pub fn reading(organization: u64) -> Vec<Self> {
        vec![Self::Organization(organization, EVERYTHING), Self::Organization(organization, 1)]
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Organization(id, mask) => {
                number(out, 0);
                array(out, 2);
                number(out, *id);
                number(out, *mask);
            }
            Self::App(id, mask) => {
                number(out, 13);
                array(out, 2);
                array(out, 4);
                number(out, 3);
                array(out, 1);
                out.push(0x81);
                number(out, *id);
                number(out, *mask);
                number(out, 5);
                array(out, 1);
                out.push(0x81);
                text(out, "builder");
                number(out, EVERYTHING);
                number(out, 1);
            }
            Self::Action(mask) => {
                number(out, 26);
                number(out, *mask);
            }
            Self::Mutations(names) => {
                number(out, 6);
                array(out, 1);
                array(out, names.len());
                for name in names {
                    text(out, name);
                }
            }
            Self::Validity(from, to) => {
                number(out, 4);
                array(out, 2);
                number(out, from.unsigned_abs());
                number(out, to.unsigned_abs());
            }
            Self::Unknown(kind) => {
                number(out, *kind);
                number(out, 0);
            }
        }
    }
}

/// Returns a token with these caveats, without a scheme before it.
pub fn macaroon(caveats: &[Caveat]) -> String {
    issued(PERMISSIONS, caveats)
}

/// Returns a token that discharges what a third party asks for: it gives no permission.
pub fn discharge() -> String {
    issued("https://api.fly.io/aaa/v1", &[])
}

fn issued(location: &str, caveats: &[Caveat]) -> String {
    let mut out = Vec::new();
    array(&mut out, 4);
    array(&mut out, 3);
    bytes(&mut out, b"key");
    bytes(&mut out, &[7; 16]);
    out.push(0xc2);
    text(&mut out, location);
    array(&mut out, caveats.len() * 2);
    for caveat in caveats {
        caveat.write(&mut out);
    }
    bytes(&mut out, &[9; 32]);
    format!("fm2_{}", BASE64_STANDARD.encode(out))
}

/// The lengths in here are short: a byte holds each.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn array(out: &mut Vec<u8>, length: usize) {
    if length < 16 { out.push(0x90 | short(length)) } else { out.extend([0xdc, 0, short(length)]) }
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.extend([0xc4, short(value.len())]);
    out.extend(value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    if value.len() < 32 {
        out.push(0xa0 | short(value.len()));
    } else {
        out.extend([0xd9, short(value.len())]);
    }
    out.extend(value.as_bytes());
}

fn number(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(short(usize::try_from(value).unwrap_or_default())),
        0x80..=0xffff_ffff => {
            out.push(0xce);
            out.extend(&value.to_be_bytes()[4..]);
        }
        _ => {
            out.push(0xcf);
            out.extend(value.to_be_bytes());
        }
    }
}
