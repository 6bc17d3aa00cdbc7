//! Where there is no room: how each lack of capacity is answered, and for how long.

use std::collections::BTreeMap;

use serde_json::Value;

use super::machine::{Machine, MachineState};
use super::problem::Problem;
use super::state::State;
use super::{Fly, Inner, config};
use crate::embedded::ground::lock;
use crate::embedded::tape::Hand;

/// A lack of capacity, by what it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// A machine without a volume cannot be made: 409 "could not reserve resource for machine", with `status: insufficient_capacity`. Source of the
    /// text: users' reports; of the code: the OpenAPI document. That both come together is a guess.
    Create,
    /// A machine cannot be made beside its volume: 412 "insufficient resources to create new machine with existing volume".
    BesideVolume,
    /// A machine cannot be updated or started where it is: 409 "could not reserve resource for machine", without a code.
    InPlace,
    /// A machine's host takes no updates: 409 "deploys to this host are temporarily disabled". Source of the text: flyctl, which replaces such
    /// a machine; the status is a guess.
    HostClosed,
    /// A volume cannot be placed: 412 with `status: volume_placement_capacity`. Source of the code: fly-go; the status is a guess.
    Volume,
}

/// A shortage as it stands.
#[derive(Debug, Clone)]
pub(super) struct Short {
    app: String,
    kind: Shortage,
    /// Everywhere when `None`.
    region: Option<String>,
    /// How many refusals are left.
    left: u64,
}

/// What reports quote for memory that is not there.
const RESERVE: &str = "aborted: could not reserve resource for machine: insufficient memory available to fulfill request";

impl Shortage {
    fn problem(self) -> Problem {
        match self {
            Self::Create => Problem::new(409, RESERVE).code("insufficient_capacity"),
            Self::BesideVolume => Problem::new(412, "insufficient resources to create new machine with existing volume"),
            Self::InPlace => Problem::new(409, RESERVE),
            Self::HostClosed => Problem::new(409, "deploys to this host are temporarily disabled"),
            Self::Volume => Problem::new(412, "insufficient capacity to place the volume").code("volume_placement_capacity"),
        }
    }
}

impl Fly {
    /// Lets requests of `app` fail for want of capacity: the next `times` that `kind` is about, in `region` or, with `None`, anywhere.
    ///
    /// `u64::MAX` is for ever. Shortages add up, the one named first is used up first.
    pub fn runs_short(&self, app: &str, kind: Shortage, region: Option<&str>, times: u64) {
        self.inner.mark(Hand::Nobody, "runs_short", app, &format!("{kind:?}"));
        let short = Short { app: app.to_owned(), kind, region: region.map(str::to_owned), left: times };
        lock(&self.inner.state).shortages.push(short);
    }

    /// Ends every shortage of `app`.
    pub fn has_room(&self, app: &str) {
        self.inner.mark(Hand::Nobody, "has_room", app, "");
        lock(&self.inner.state).shortages.retain(|short| short.app != app);
    }
}

impl State {
    /// Refuses what there is no room for now, and counts the refusal.
    pub(super) fn room_for(&mut self, app: &str, kinds: &[Shortage], region: &str) -> Result<(), Problem> {
        let strikes = |short: &&mut Short| {
            short.app == app && kinds.contains(&short.kind) && short.left > 0 && short.region.as_deref().is_none_or(|named| named == region)
        };
        let Some(short) = self.shortages.iter_mut().find(strikes) else { return Ok(()) };
        if short.left < u64::MAX {
            short.left -= 1;
        }
        Err(short.kind.problem())
    }

    /// Refuses one more running machine in a region that is full.
    pub(super) fn room_to_run(&self, region: &str, rooms: &BTreeMap<String, usize>) -> Result<(), Problem> {
        let Some(most) = rooms.get(region) else { return Ok(()) };
        let holds = |machine: &&Machine| machine.region == region && holds_memory(machine.state);
        let held = self.apps.values().flat_map(super::state::App::living).filter(holds).count();
        if held < *most { Ok(()) } else { Err(Shortage::Create.problem()) }
    }
}

/// Returns whether a machine in this state keeps its share of its host. A stopped one does not. Source: fly.io/docs/machines/flyctl/fly-machine-stop.
fn holds_memory(state: MachineState) -> bool {
    use MachineState::{Created, Destroyed, Failed, LaunchFailed, Stopped, Suspended};
    !matches!(state, Created | Destroyed | Failed | LaunchFailed | Stopped | Suspended)
}

impl Inner {
    /// Refuses a new machine that there is no room for.
    pub(super) fn room_for_new(&self, app: &str, config: &Value, region: &str, runs: bool) -> Result<(), Problem> {
        let rooms = self.switches().room;
        let kind = if config::list(config, "mounts").is_empty() { Shortage::Create } else { Shortage::BesideVolume };
        let mut state = lock(&self.state);
        state.room_for(app, &[kind], region)?;
        if runs { state.room_to_run(region, &rooms) } else { Ok(()) }
    }

    /// Refuses to update or start a machine where there is no room for it any more.
    pub(super) fn room_in_place(&self, app: &str, machine: &Machine, starts: bool) -> Result<(), Problem> {
        let rooms = self.switches().room;
        let mut state = lock(&self.state);
        let kinds: &[Shortage] = if starts { &[Shortage::InPlace] } else { &[Shortage::InPlace, Shortage::HostClosed] };
        state.room_for(app, kinds, &machine.region)?;
        if starts && !holds_memory(machine.state) { state.room_to_run(&machine.region, &rooms) } else { Ok(()) }
    }
}
