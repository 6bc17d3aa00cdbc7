//! What a Fly token says of itself: a macaroon carries its own restrictions (caveats), readable by whoever holds it. Pure.
//!
//! No call of Fly's says which actions a token is good for (`GET /v1/tokens/current` names organisations, apps and machines alone), so that this is
//! the only way to know it before the first write. A caveat can only take away: what one forbids is forbidden for sure, while what none
//! forbids may still be refused, since only Fly knows the signature and the owner's own rights. So this is an upper bound, and says so.
//!
//! Source of the form and the numbers: the public repository superfly/macaroon (`macaroon.go`, `caveat.go`, `flyio/caveats.go`, `flyio/caveats.md`,
//! `resset/action.go`, `resset/if_present.go`); of what `fly tokens create readonly` and `machine-exec` add: superfly/flyctl
//! (`internal/command/tokens/create.go`). The number of the caveat `Action` is what follows the last one seen there (a report, not seen); it is
//! taken for one only where its body is a bare number, and an unknown caveat takes nothing away.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::msgpack::{self, Value};

/// Where the tokens come from that give permissions; others discharge what a third party asks for.
const PERMISSIONS: &str = "https://api.fly.io/v1";

/// Numbers of the caveats that say something about an app as a whole.
mod caveat {
    pub(super) const ORGANIZATION: u64 = 0;
    pub(super) const APPS: u64 = 3;
    pub(super) const VALIDITY_WINDOW: u64 = 4;
    pub(super) const MUTATIONS: u64 = 6;
    pub(super) const IF_PRESENT: u64 = 13;
    pub(super) const ACTION: u64 = 26;
}

/// Caveats about things within an app or beside it (volumes, features of the organisation, GraphQL mutations, machines and their features,
/// clusters): inside of `IfPresent` they count only where such a thing is asked for.
const OF_OTHER_THINGS: [u64; 6] = [2, 5, 7, 14, 16, caveat::MUTATIONS];

/// What may be done with an app, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actions(u16);

impl Actions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Reading, changing, creating, deleting, and controlling (starting and stopping).
    pub const ALL: Self = Self(0b1_1111);
    /// Changing attributes.
    pub const WRITE: Self = Self(0b10);

    const NAMES: [&str; 5] = ["read", "write", "create", "delete", "control"];

    fn of(mask: &Value) -> Option<Self> {
        mask.number::<u16>().map(|mask| Self(mask & Self::ALL.0))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns what is lacking to everything.
    #[must_use]
    pub fn lacking(self) -> Self {
        Self(Self::ALL.0 & !self.0)
    }

    /// Returns them as words: "read, write and create"; "nothing" for none.
    pub fn words(self) -> String {
        let names: Vec<&str> =
            Self::NAMES.into_iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name).collect();
        match names.split_last() {
            None => "nothing".to_owned(),
            Some((only, [])) => (*only).to_owned(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        }
    }
}

/// What macaroons say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// What they leave of what may be done with an app, at most.
    pub actions: Actions,
    /// When the last of them ends, in seconds since 1970; `None` where one of them says no end.
    pub ends: Option<i64>,
}

/// Returns what macaroons say of themselves, one after the other: each request needs only one of them that allows it. `None` where one of them cannot be
/// read, or none of them gives permissions.
pub fn said<'a>(macaroons: impl IntoIterator<Item = &'a str>) -> Option<Said> {
    let mut together: Option<Said> = None;
    for text in macaroons {
        let Some(one) = permissions(text)? else { continue };
        together = Some(together.map_or(one, |all| Said {
            actions: all.actions.or(one.actions),
            ends: all.ends.zip(one.ends).map(|(first, second)| first.max(second)),
        }));
    }
    together
}

/// Reads one macaroon: `None` where it cannot be read, `Some(None)` where it gives no permission.
#[expect(clippy::option_option, reason = "unreadable and of no interest are two answers, of one caller")]
fn permissions(text: &str) -> Option<Option<Said>> {
    let (_, encoded) = text.split_once('_')?;
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&ALPHABET, lenient).decode(encoded).or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(encoded)).ok()?;
    let value = msgpack::read(&bytes)?;
    let [_nonce, Value::Text(location), caveats, _tail] = value.array()? else { return None };
    if location != PERMISSIONS {
        return Some(None);
    }
    let mut said = Said { actions: Actions::ALL, ends: None };
    for (number, body) in pairs(caveats)? {
        if let Some(left) = left_of_an_app(number, body) {
            said.actions = said.actions.and(left);
        }
        if number == caveat::VALIDITY_WINDOW
            && let Some([_, not_after]) = body.array()
            && let Some(end) = not_after.number::<i64>()
        {
            said.ends = Some(said.ends.map_or(end, |earlier| earlier.min(end)));
        }
    }
    Some(Some(said))
}

/// Returns caveats as number and body: they stand in one array, in turns.
fn pairs(caveats: &Value) -> Option<Vec<(u64, &Value)>> {
    let members = caveats.array()?;
    members.chunks(2).map(|pair| if let [number, body] = pair { Some((number.number()?, body)) } else { None }).collect()
}

/// Returns what a caveat leaves of what may be done with an app; `None` where it does not speak of that, or is not known.
fn left_of_an_app(number: u64, body: &Value) -> Option<Actions> {
    match (number, body) {
        (caveat::ORGANIZATION, Value::Array(fields)) => fields.get(1).and_then(Actions::of),
        // Which app is meant is told by a number that only Fly knows: the best of them counts.
        (caveat::APPS, Value::Array(fields)) => match fields.as_slice() {
            [Value::Map(apps)] => Some(apps.iter().filter_map(|(_, mask)| Actions::of(mask)).fold(Actions::NONE, Actions::or)),
            _ => None,
        },
        // Good for named calls of GraphQL alone: nothing of the Machines API.
        (caveat::MUTATIONS, Value::Array(_)) => Some(Actions::NONE),
        (caveat::ACTION, mask) => Actions::of(mask),
        (caveat::IF_PRESENT, Value::Array(fields)) => match fields.as_slice() {
            [ifs, otherwise] => if_present(ifs, otherwise),
            _ => None,
        },
        _ => None,
    }
}

/// Returns what is left where some caveats count only if their thing is asked for: of those that do, everything must allow it; where none does,
/// there is a set of its own. `None` where one of them is not known, so that nobody can say whether it counts.
fn if_present(ifs: &Value, otherwise: &Value) -> Option<Actions> {
    let mut counted: Option<Actions> = None;
    for (number, body) in pairs(ifs)? {
        if OF_OTHER_THINGS.contains(&number) {
            continue;
        }
        let left = left_of_an_app(number, body)?;
        counted = Some(counted.map_or(left, |all| all.and(left)));
    }
    counted.or_else(|| Actions::of(otherwise))
}
