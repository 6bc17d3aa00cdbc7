//! What stands between what an app is and one revision serving. Pure.
//!
//! Machines with services and machines without are moved apart: the proxy decides who gets requests, while a worker takes jobs as soon as it
//! runs. A worker is registered once it works, and no longer once it has ended what it did: who is registered is who works.

use super::fleet::Fleet;
use super::health::{Word, autostarts, judge, life_began};
use super::hints::{Hints, MachineHint, runs};
use super::rendering::intent;
use super::slots::{has_services, standbys};
use super::stamp;
use super::watching::Awaited;
use super::wire::Machine;
use crate::event::Phase;
use crate::platform::{PlatformError, Revision, Scope};

/// What may be found where a revision is to serve.
pub(super) struct Wanted {
    /// The revision.
    pub(super) hints: Hints,
    /// The release that made it, if one of ours did.
    pub(super) made_by: Option<String>,
    /// What else this release knows; `None` where nothing that is found is anybody's act.
    known: Option<Vec<Hints>>,
    /// The release whose own machines may be in any state between two revisions.
    release: String,
    pub(super) back: bool,
}

impl Wanted {
    pub(super) fn of(scope: &Scope, revision: &Revision, app: &str) -> Result<Self, PlatformError> {
        let known = scope.expected.as_ref().map(|expected| expected.iter().filter_map(|revision| Hints::of(revision, app).ok()).collect());
        let (release, back) = (scope.release.to_string(), scope.phase == Phase::RollBack);
        Ok(Self { hints: Hints::of(revision, app)?, made_by: revision.release.clone(), known, release, back })
    }

    /// Returns whether somebody else has made or changed a machine. One that was cloned from what this release knows is no stranger.
    fn is_foreign(&self, machine: &Machine) -> bool {
        let Some(known) = &self.known else { return false };
        // What is known of a machine whose host does not answer is less than its whole config: it is told by its version.
        let same = known.iter().chain([&self.hints]).flat_map(|hints| &hints.machines).any(|hint| hint.matches(machine));
        !same && machine.metadata(stamp::RELEASE) != self.release
    }

    /// Returns whether a person has added a machine since this release began, by cloning one that it knows.
    fn is_added(&self, machine: &Machine) -> bool {
        let known = |known: &Vec<Hints>| known.iter().flat_map(|hints| &hints.machines).any(|hint| hint.id == machine.id);
        !self.back && machine.metadata(stamp::RELEASE) != self.release && self.known.as_ref().is_some_and(|all| !known(all))
    }

    /// Returns what a machine is that a person had added, and that this release took out of routing: on the way back it serves again.
    fn left_with(&self, machine: &Machine) -> Option<MachineHint> {
        let left = self.back && machine.cordoned && machine.metadata(stamp::LEAVING) == self.release;
        let like = self.hints.machines.iter().find(|hint| left && hint.same_content(machine))?;
        Some(MachineHint { id: machine.id.clone(), instance_id: machine.instance_id.clone(), ..like.clone() })
    }

    /// Returns the machine that took the place of one which could not be changed where it was.
    fn stand_in<'a>(&self, fleet: &'a Fleet, ordinal: usize, hint: &MachineHint) -> Option<&'a Machine> {
        let release = self.made_by.as_deref().filter(|_| !hint.replaces.is_empty())?;
        let meant = intent(release, ordinal);
        fleet
            .machines
            .iter()
            .find(|machine| machine.id != hint.id && machine.metadata(stamp::INTENT) == meant && hint.same_content(machine))
    }
}

/// What is done to machines of one kind.
#[derive(Debug, Default)]
pub(super) struct Wave {
    /// Machines that must run and do not.
    pub(super) start: Vec<Machine>,
    /// Machines whose health must be seen first.
    pub(super) prove: Vec<Awaited>,
    /// Machines that become the revision in place, with what they become.
    pub(super) change: Vec<(MachineHint, Machine)>,
    /// Machines to register.
    pub(super) uncordon: Vec<String>,
    /// Machines to take out of routing, or out of work.
    pub(super) cordon: Vec<Machine>,
    /// Those among them that a person has added meanwhile.
    pub(super) added: Vec<String>,
}

impl Wave {
    pub(super) fn nothing(&self) -> bool {
        self.start.is_empty() && self.prove.is_empty() && self.change.is_empty() && self.uncordon.is_empty() && self.cordon.is_empty()
    }
}

/// What stands between what is and one revision serving.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// What users reach.
    pub(super) services: Wave,
    /// What works without being reached.
    pub(super) workers: Wave,
    /// Machines of the revision that are gone.
    pub(super) gone: Vec<String>,
    /// Machines that users get and that somebody else has made or changed: they stay as they are.
    pub(super) foreign: Vec<String>,
}

impl Moves {
    pub(super) fn plan(fleet: &Fleet, wanted: &Wanted) -> Self {
        let foreign = fleet.registered().filter(|machine| wanted.is_foreign(machine)).map(|machine| machine.id.clone()).collect();
        let mut moves = Self { foreign, ..Self::default() };
        let mut placed = Vec::new();
        // Whoever goes back leaves every machine what it was, also where more than one revision served.
        let beside = wanted.hints.beside.iter().filter(|_| wanted.back);
        for (ordinal, hint) in wanted.hints.machines.iter().chain(beside).enumerate() {
            if moves.foreign.contains(&hint.id) {
                continue;
            }
            let own = fleet.find(&hint.id);
            let stand_in = || wanted.stand_in(fleet, ordinal, hint);
            let Some(machine) = own.filter(|machine| hint.matches(machine)).or_else(stand_in).or(own) else {
                moves.gone.push(hint.id.clone());
                continue;
            };
            placed.push(machine.id.as_str());
            moves.place(hint, machine, wanted.back);
        }
        for (machine, hint) in fleet.machines.iter().filter_map(|machine| Some((machine, wanted.left_with(machine)?))) {
            moves.place(&hint, machine, true);
        }
        // A machine that somebody cloned from the revision meanwhile belongs to it; one of two that were made for the same place does not.
        let meant = |machine: &Machine| {
            let made = wanted.made_by.as_deref().is_some_and(|release| machine.metadata(stamp::INTENT).starts_with(&format!("{release}/")));
            made && wanted.hints.machines.iter().any(|hint| !hint.replaces.is_empty())
        };
        let cloned = |machine: &Machine| !meant(machine) && wanted.hints.machines.iter().any(|hint| hint.same_content(machine));
        let stays = |machine: &Machine| placed.contains(&machine.id.as_str()) || moves.foreign.contains(&machine.id) || cloned(machine);
        // A worker of this release that was started and is not registered yet works all the same.
        let unregistered = |machine: &&Machine| {
            machine.cordoned && works_unasked(machine) && runs(machine) && wanted.back && machine.metadata(stamp::RELEASE) == wanted.release
        };
        let leaving = fleet
            .registered()
            .filter(|machine| !stays(machine))
            .chain(fleet.machines.iter().filter(unregistered).filter(|machine| !placed.contains(&machine.id.as_str())));
        let leaving: Vec<Machine> = leaving.cloned().collect();
        for machine in leaving {
            let wave = moves.wave(&machine);
            wave.added.extend((machine.host_is_well() && wanted.is_added(&machine)).then(|| machine.id.clone()));
            wave.cordon.push(machine);
        }
        moves
    }

    fn wave(&mut self, machine: &Machine) -> &mut Wave {
        if works_unasked(machine) { &mut self.workers } else { &mut self.services }
    }

    fn place(&mut self, hint: &MachineHint, machine: &Machine, going_back: bool) {
        let wave = self.wave(machine);
        if machine.cordoned {
            wave.uncordon.push(machine.id.clone());
        }
        if !hint.matches(machine) {
            wave.change.push((hint.clone(), machine.clone()));
        } else if hint.launched && machine.host_is_well() {
            wave.wake(machine, going_back);
        }
    }

    pub(super) fn nothing(&self) -> bool {
        self.services.nothing() && self.workers.nothing()
    }

    /// Returns the waves in the order in which they move; the way back is the same the other way.
    pub(super) fn waves(&self, workers_first: bool, back: bool) -> [(&Wave, bool); 2] {
        let (services, workers) = ((&self.services, false), (&self.workers, true));
        if workers_first == back { [services, workers] } else { [workers, services] }
    }

    /// Machines that others may be about to change as well: those that serve now.
    pub(super) fn to_lease(&self) -> Vec<(String, String)> {
        let waves = [&self.services, &self.workers].into_iter();
        let machines = waves.flat_map(|wave| wave.cordon.iter().chain(wave.change.iter().map(|(_, machine)| machine)));
        machines.filter(|machine| machine.host_is_well()).map(|machine| (machine.id.clone(), machine.instance_id.clone())).collect()
    }
}

impl Wave {
    /// Plans to start a machine that must run, and to see its health first. On the way back a machine that ran all the time is as good as
    /// it was before, and is not made to prove it: going back must not hang on what did not hold the old release up either.
    fn wake(&mut self, machine: &Machine, going_back: bool) {
        let asleep = ["stopped", "suspended", "created"].contains(&machine.state.as_str());
        let by_request = !machine.cordoned && machine.config().is_some_and(autostarts);
        if asleep && by_request {
            return;
        }
        if asleep {
            self.start.push(machine.clone());
            self.prove.push(Awaited { id: machine.id.clone(), after: machine.newest_event(), version: String::new() });
        } else if !going_back && machine.cordoned && judge(machine, 0) != Word::Healthy {
            self.prove.push(Awaited { id: machine.id.clone(), after: 0, version: String::new() });
        } else if !going_back && works_unasked(machine) && runs(machine) && judge(machine, life_began(machine)) != Word::Healthy {
            self.prove.push(Awaited { id: machine.id.clone(), after: life_began(machine), version: String::new() });
        }
    }
}

/// Returns whether a machine works as soon as it runs, without being asked by anybody: it offers no service.
pub(super) fn works_unasked(machine: &Machine) -> bool {
    machine.config().is_some_and(|config| !has_services(config))
}

/// Returns whether a machine waits for another one's host to die.
pub(super) fn is_standby(machine: &Machine) -> bool {
    !standbys(machine.config()).is_empty()
}
