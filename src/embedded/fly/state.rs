//! The plain state of the embedded Fly: apps and what they own, tokens, releases.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::machine::Machine;
use super::responder::BehaviourRule;
use super::shortage::Short;
use super::volume::Volume;

/// What a token may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything in the organisation with this slug.
    Org(String),
    /// One app by name, as `fly tokens create deploy` makes it.
    App(String),
    /// Everything in the organisation with this slug, to be read and not changed, as `fly tokens create readonly` makes it.
    Reader(String),
}

/// A token that the embedded Fly knows.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub text: String,
    pub scope: Scope,
    pub owner: String,
}

/// A secret; its value leaves only towards machines.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    pub value: String,
    pub digest: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A release record, as `POST /api/v1/releases` makes it.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub id: String,
    pub version: u64,
    pub status: String,
    pub strategy: String,
    pub image: String,
    pub definition: Value,
    pub metadata: Value,
    pub created_at: Timestamp,
}

/// A public or private address.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub id: String,
    pub kind: String,
    pub ip: String,
    pub region: String,
    pub shared: bool,
    pub created_at: Timestamp,
}

/// A line of an app's log.
#[derive(Debug, Clone)]
pub(super) struct LogLine {
    pub at: Timestamp,
    pub machine: String,
    pub region: String,
    pub level: &'static str,
    pub message: String,
}

/// An app.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub id: String,
    pub number: u64,
    pub name: String,
    pub org: String,
    pub network: String,
    /// Creation in the world's time.
    pub born: Duration,
    pub deployed: bool,
    pub machines: BTreeMap<String, Machine>,
    pub volumes: BTreeMap<String, Volume>,
    pub secrets: BTreeMap<String, Secret>,
    /// When each version of the secrets was written, in the world's time, oldest first: their number is the current version.
    /// `None` for what was there before the world began.
    pub secrets_written: Vec<Option<Duration>>,
    pub addresses: Vec<Address>,
    /// Oldest first.
    pub releases: Vec<Release>,
    pub logs: Vec<LogLine>,
    pub behaviours: Vec<BehaviourRule>,
}

impl App {
    /// Returns the machines that are not gone.
    pub(super) fn living(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| machine.died.is_none())
    }

    /// Returns `pending`, `deployed` or `suspended`. Source: fly-go's `App.Deployed`, which takes the last two for deployed.
    pub(super) fn status(&self) -> &'static str {
        if !self.deployed {
            "pending"
        } else if self.living().next().is_none() {
            "suspended"
        } else {
            "deployed"
        }
    }

    /// Returns the version of the secrets that the API has.
    pub(super) fn secrets_version(&self) -> u64 {
        u64::try_from(self.secrets_written.len()).unwrap_or(u64::MAX)
    }

    /// Returns the version of the secrets that hosts give to machines at `now`, when each takes `lag` to reach them.
    pub(super) fn secrets_published(&self, now: Duration, lag: Duration) -> u64 {
        u64::try_from(self.secrets_written.iter().take_while(|written| written.is_none_or(|at| at + lag <= now)).count())
            .unwrap_or(u64::MAX)
    }

    /// Returns when hosts have `version` of the secrets.
    pub(super) fn secrets_arrive(&self, version: u64, lag: Duration) -> Duration {
        let place = usize::try_from(version).unwrap_or(usize::MAX).checked_sub(1);
        place.and_then(|place| *self.secrets_written.get(place)?).map_or(Duration::ZERO, |at| at + lag)
    }

    /// Notes that the secrets have another version since `at`.
    pub(super) fn secrets_changed(&mut self, at: Duration) {
        self.secrets_written.push(Some(at));
    }

    /// Returns whether a machine called `name` exists.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.living().any(|machine| machine.name == name)
    }
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub apps: BTreeMap<String, App>,
    pub tokens: Vec<Token>,
    /// Where there is no room now.
    pub shortages: Vec<Short>,
    /// Counts machines, apps and builds: a source of numbers that are never used twice.
    pub counter: u64,
    /// Counts builds.
    pub builds: u64,
}

impl State {
    /// Returns the next number.
    pub(super) fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn machine(&self, app: &str, id: &str) -> Option<&Machine> {
        self.apps.get(app)?.machines.get(id)
    }

    pub(super) fn machine_mut(&mut self, app: &str, id: &str) -> Option<&mut Machine> {
        self.apps.get_mut(app)?.machines.get_mut(id)
    }
}

/// A moment in both of the world's times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub elapsed: Duration,
    pub wall: Timestamp,
}
