//! What happens to machines without a request of ours: they die, their hosts fail, people act in the dashboard or with flyctl.
//!
//! Each act happens at once, is written on the tape as a person's or as nobody's, and returns what it was done to; `None` means that there was
//! nothing to do it to, or that Fly refused it, because somebody else held the lease. Simulated machines only: a real container's life is its own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit::End;
use super::lifecycle::{Then, Version};
use super::machine::{Lease, Machine, MachineState};
use super::responder::{self, Behaviour};
use super::routes::secrets;
use super::{Fly, Inner, PLATFORM, config, storage, wire};
use crate::embedded::ground::lock;
use crate::embedded::tape::Hand;

/// Which machine of an app is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// The one with this id.
    Id(String),
    /// The nth in order of creation, from 0, of those that are not destroyed.
    Nth(usize),
    /// The newest.
    Newest,
    /// The first in order of creation that takes public traffic.
    Serving,
    /// The newest that takes public traffic.
    NewestServing,
}

/// How a machine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its program exits once; the restart policy brings it back.
    Once,
    /// Its program exits at every start from now on, until the restart policy gives up.
    AgainAndAgain,
}

/// What a person changes about an app's machines at once, as `fly deploy` and `fly machine update` do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The image reference.
    Image(String),
    /// A variable.
    Variable(String, String),
    /// CPUs and memory in MB (`fly scale vm`).
    Size(u64, u64),
}

impl Fly {
    /// Lets the program of a machine die, whatever it did before; returns the machine's id.
    pub fn machine_dies(&self, app: &str, which: &Pick, death: Death, code: i64) -> Option<String> {
        let machine = self.inner.picked(app, which).filter(|machine| machine.state == MachineState::Started)?;
        self.inner.mark(Hand::Nobody, "machine_dies", app, &machine.id);
        if death == Death::AgainAndAgain {
            self.inner.change(app, &machine.id, |machine, _| machine.behaviour = Behaviour::CrashesAtStart(code));
        }
        self.inner.exited(app, &machine.id, machine.epoch, End::Exits(code));
        Some(machine.id)
    }

    /// Lets the program of a machine end in a way of its choice, as [`Fly::machine_dies`] does; [`End::Never`] changes nothing.
    pub fn machine_ends(&self, app: &str, which: &Pick, end: End) -> Option<String> {
        let machine = self.inner.picked(app, which).filter(|machine| machine.state == MachineState::Started && end != End::Never)?;
        self.inner.mark(Hand::Nobody, "machine_ends", app, &machine.id);
        self.inner.exited(app, &machine.id, machine.epoch, end);
        Some(machine.id)
    }

    /// Makes the host of a machine unreachable: nothing routes to it, it answers nobody, and its configuration is only partly known.
    ///
    /// Source of the form: flyctl and fly-go (`host_status`, `incomplete_config`). The machine comes back with [`Fly::host_returns`].
    pub fn host_fails(&self, app: &str, which: &Pick) -> Option<String> {
        let machine = self.inner.picked(app, which)?;
        self.inner.mark(Hand::Nobody, "host_fails", app, &machine.id);
        self.host(app, &machine.id, "unreachable");
        Some(machine.id)
    }

    /// Makes the host of a machine reachable again.
    pub fn host_returns(&self, app: &str, which: &Pick) -> Option<String> {
        let machine = self.inner.picked(app, which)?;
        self.inner.mark(Hand::Nobody, "host_returns", app, &machine.id);
        self.host(app, &machine.id, "ok");
        Some(machine.id)
    }

    /// A person destroys a machine, running or not (`fly machine destroy --force`).
    pub fn person_destroys(&self, app: &str, which: &Pick) -> Option<String> {
        let id = self.inner.unleased(app, which, "person_destroys")?;
        self.inner.destroy(app, &id);
        Some(id)
    }

    /// A person stops a machine.
    pub fn person_stops(&self, app: &str, which: &Pick) -> Option<String> {
        let id = self.inner.unleased(app, which, "person_stops")?;
        self.inner.stop(app, &id, None, None, Then::Stay(MachineState::Stopped));
        Some(id)
    }

    /// A person takes a machine out of the proxy's sight.
    pub fn person_cordons(&self, app: &str, which: &Pick) -> Option<String> {
        let id = self.inner.unleased(app, which, "person_cordons")?;
        self.inner.change(app, &id, |machine, _| machine.cordoned = true);
        Some(id)
    }

    /// A person gives a machine back to the proxy.
    pub fn person_uncordons(&self, app: &str, which: &Pick) -> Option<String> {
        let id = self.inner.unleased(app, which, "person_uncordons")?;
        self.inner.change(app, &id, |machine, _| machine.cordoned = false);
        Some(id)
    }

    /// A person leases a machine, as a `fly deploy` under way does; returns the machine's id.
    pub fn person_leases(&self, app: &str, which: &Pick, ttl: Duration) -> Option<String> {
        let id = self.inner.unleased(app, which, "person_leases")?;
        let (nonce, now) = (self.inner.hex(16), self.inner.now());
        let expires_at = now.wall.saturating_add(ttl).unwrap_or(now.wall);
        let lease = Lease { nonce, until: now.elapsed + ttl, expires_at, owner: "person".to_owned(), description: "fly deploy".to_owned() };
        self.inner.change(app, &id, |machine, _| machine.lease = Some(lease));
        Some(id)
    }

    /// A person clones a machine (`fly machine clone`): the same configuration, metadata included, started at once; returns the clone's id.
    ///
    /// A clone of a machine with a volume gets a new and empty one.
    pub fn person_clones(&self, app: &str, which: &Pick) -> Option<String> {
        let machine = self.inner.picked(app, which)?;
        self.inner.mark(Hand::Person, "person_clones", app, &machine.id);
        self.inner.clone_of(app, &machine, &machine.region)
    }

    /// A person sets how many machines a process group has in all regions together (`fly scale count`); see [`Fly::person_scales_in`].
    pub fn person_scales(&self, app: &str, group: &str, count: usize) -> Vec<String> {
        self.inner.mark(Hand::Person, "person_scales", app, &format!("{group}={count}"));
        self.inner.scale(app, group, None, count)
    }

    /// A person sets how many machines a process group has in a region (`fly scale count --region`): the oldest is cloned, or the newest are
    /// destroyed; a region that had none gets clones of the group's oldest.
    ///
    /// Returns the ids of what was made or destroyed; a leased machine and a standby are left alone, volumes of what was destroyed stay.
    pub fn person_scales_in(&self, app: &str, group: &str, region: &str, count: usize) -> Vec<String> {
        self.inner.mark(Hand::Person, "person_scales", app, &format!("{group}={count} in {region}"));
        self.inner.scale(app, group, Some(region), count)
    }

    /// A person updates one machine in place (`fly machine update`); returns its id.
    pub fn person_updates(&self, app: &str, which: &Pick, edit: &Edit) -> Option<String> {
        let id = self.inner.unleased(app, which, "person_updates")?;
        self.inner.edit(app, &id, edit);
        Some(id)
    }

    /// A person deploys by hand (`fly deploy --strategy immediate`): every machine of every group gets another version at once; returns their ids.
    pub fn person_deploys(&self, app: &str, edit: &Edit) -> Vec<String> {
        self.inner.mark(Hand::Person, "person_deploys", app, &format!("{edit:?}"));
        let now = self.inner.now().elapsed;
        let ids: Vec<String> = {
            let state = lock(&self.inner.state);
            let living = state.apps.get(app).into_iter().flat_map(super::state::App::living);
            living.filter(|machine| machine.held(now).is_none()).map(|machine| machine.id.clone()).collect()
        };
        for id in &ids {
            self.inner.edit(app, id, edit);
        }
        ids
    }

    /// A person sets a secret (`fly secrets set --stage`): no machine is touched; returns whether the app exists and takes the name.
    pub fn person_sets_secret(&self, app: &str, name: &str, value: &str) -> bool {
        self.inner.mark(Hand::Person, "person_sets_secret", app, name);
        let now = self.inner.now();
        let mut state = lock(&self.inner.state);
        let Some(app) = state.apps.get_mut(app) else { return false };
        let set = secrets::write(app, name, Some(value), now).is_ok();
        if set {
            app.secrets_changed(now.elapsed);
        }
        set
    }
}

impl Inner {
    /// Writes an act on the tape, and keeps what was before it.
    pub(super) fn mark(&self, hand: Hand, what: &str, app: &str, which: &str) {
        self.ground.before_change(PLATFORM);
        self.ground.tape.note(hand, PLATFORM, what, app, which);
    }

    fn picked(&self, app: &str, which: &Pick) -> Option<Machine> {
        let state = lock(&self.state);
        let mut machines: Vec<&Machine> = state.apps.get(app)?.living().collect();
        machines.sort_by_key(|machine| machine.ordinal);
        let mut serving = machines.iter().filter(|machine| machine.routable());
        let found = match which {
            Pick::Id(id) => machines.iter().find(|machine| machine.id == *id),
            Pick::Nth(nth) => machines.get(*nth),
            Pick::Newest => machines.last(),
            Pick::Serving => serving.next(),
            Pick::NewestServing => serving.next_back(),
        };
        found.map(|machine| Machine::clone(machine))
    }

    /// Returns the id of a machine that a person may change: nobody holds its lease. Marks the act.
    fn unleased(&self, app: &str, which: &Pick, what: &str) -> Option<String> {
        let machine = self.picked(app, which)?;
        if machine.held(self.now().elapsed).is_some() {
            self.mark(Hand::Person, &format!("{what}_refused"), app, &machine.id);
            return None;
        }
        self.mark(Hand::Person, what, app, &machine.id);
        Some(machine.id)
    }

    /// Returns the machines of a process group in order of creation.
    fn group(&self, app: &str, group: &str) -> Vec<Machine> {
        let state = lock(&self.state);
        let living = state.apps.get(app).into_iter().flat_map(super::state::App::living);
        let mut members: Vec<_> =
            living.filter(|machine| config::metadata(&machine.config, "fly_process_group") == Some(group)).cloned().collect();
        members.sort_by_key(|machine| machine.ordinal);
        members
    }

    fn scale(self: &Arc<Self>, app: &str, group: &str, region: Option<&str>, count: usize) -> Vec<String> {
        let mut all = self.group(app, group);
        all.retain(|machine| config::list(&machine.config, "standbys").is_empty());
        let members: Vec<_> = all.iter().filter(|machine| region.is_none_or(|region| region == machine.region)).collect();
        let Some(first) = members.first().copied().or(all.first()) else { return Vec::new() };
        let place = region.unwrap_or(&first.region);
        let made = (members.len()..count).filter_map(|_| self.clone_of(app, first, place)).collect::<Vec<_>>();
        let now = self.now().elapsed;
        let surplus = members.iter().skip(count).filter(|machine| machine.held(now).is_none());
        let surplus: Vec<_> = surplus.map(|machine| machine.id.clone()).collect();
        for id in &surplus {
            self.destroy(app, id);
        }
        made.into_iter().chain(surplus).collect()
    }

    fn clone_of(self: &Arc<Self>, app: &str, machine: &Machine, region: &str) -> Option<String> {
        let config = self.beside(app, machine, region);
        let made = self.bare_machine(None, region.to_owned(), config, machine.digest.clone());
        let (id, epoch) = (made.id.clone(), made.epoch);
        {
            let job = self.switches().pace.job;
            let mut state = lock(&self.state);
            let app = state.apps.get_mut(app)?;
            let behaviour = responder::behaviour(&app.behaviours, &made, job);
            let secrets = app.secrets_version();
            storage::attach(app, &made.config, &id);
            app.machines.insert(id.clone(), Machine { behaviour, secrets, ..made });
        }
        self.settle(app);
        self.place(app, &id, epoch, Then::Launch, Duration::ZERO);
        Some(id)
    }

    fn edit(self: &Arc<Self>, app: &str, id: &str, edit: &Edit) {
        let Some(machine) = lock(&self.state).machine(app, id).cloned() else { return };
        let mut config = Value::clone(&machine.config);
        let mut digest = machine.digest;
        match edit {
            Edit::Image(image) => {
                config["image"] = json!(image);
                let (_, repository, tag) = wire::image_parts(image);
                let named = image.split_once('@').map(|(_, digest)| digest.to_owned());
                digest = self.registry.find(repository, named.as_deref().unwrap_or(tag)).or(named).unwrap_or_default();
            }
            Edit::Variable(name, value) => config["env"][name] = json!(value),
            Edit::Size(cpus, memory_mb) => {
                config["guest"]["cpus"] = json!(cpus);
                config["guest"]["memory_mb"] = json!(memory_mb);
            }
        }
        let then = if machine.state.runs() { Then::Launch } else { Then::Stay(machine.state) };
        let secrets = lock(&self.state).apps.get(app).map_or(0, super::state::App::secrets_version);
        let (instance_id, config, hold) = (self.ulid(), Arc::new(config), Duration::ZERO);
        let version = Version { instance_id, config, digest, pulled: true, secrets, hold, cordoned: None };
        self.replace(app, id, version, then);
    }
}
