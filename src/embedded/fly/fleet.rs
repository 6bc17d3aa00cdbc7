//! How a rehearsal fills an app with the machines of an earlier release: groups × regions × counts, standbys, volumes, machines that rest.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::machine::{CheckResult, Machine, MachineState};
use super::state::Release;
use super::{Earlier, Fly, Inner, config, responder, storage, wire};
use crate::embedded::ground::lock;

/// A whole app as an earlier release has left it.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    /// The app's name.
    pub app: &'a str,
    /// The image reference.
    pub image: &'a str,
    /// Its process groups.
    pub groups: &'a [Group<'a>],
}

/// The machines of one process group.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The group's name.
    pub name: &'a str,
    /// The configuration of its machines, without image, mounts and the metadata of the release.
    pub config: Value,
    /// How many machines it has in which region.
    pub places: &'a [(&'a str, usize)],
    /// The volume that each machine has, made for it.
    pub mount: Option<Mount<'a>>,
    /// How many of its machines, the last ones, are stopped.
    pub stopped: usize,
    /// How many standbys its first machine has, stopped, in the same region.
    pub standbys: usize,
}

impl<'a> Group<'a> {
    /// Returns a group without volumes, standbys or machines that rest.
    pub fn of(name: &'a str, config: Value, places: &'a [(&'a str, usize)]) -> Self {
        Self { name, config, places, mount: None, stopped: 0, standbys: 0 }
    }
}

/// A volume that every machine of a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The volumes' name.
    pub name: &'a str,
    /// Where it is mounted.
    pub path: &'a str,
    /// Its size.
    pub size_gb: u64,
}

/// A machine that was seeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// The machine's id.
    pub id: String,
    /// Its process group.
    pub group: String,
    /// Its region.
    pub region: String,
    /// The volume that it has.
    pub volume: Option<String>,
    /// The machine in whose place it starts.
    pub standby_for: Option<String>,
}

impl Fly {
    /// Makes the app of a database in `org`: one machine with a volume of 1 GB, of which there is a snapshot of nine hours ago.
    pub fn seed_database(&self, app: &str, org: &str, region: &str) {
        self.seed_app(app, org, &[]);
        let config = json!({ "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 } });
        let (mount, places) = (Mount { name: "pg_data", path: "/data", size_gb: 1 }, [(region, 1)]);
        let group = Group { mount: Some(mount), ..Group::of("app", config, &places) };
        let seeded = self.seed_fleet(&Fleet { app, image: "docker.io/flyio/postgres-flex:17", groups: &[group] });
        for volume in seeded.iter().filter_map(|machine| machine.volume.as_deref()) {
            self.seed_snapshot(app, volume, Duration::from_hours(9));
        }
    }

    /// Makes an earlier release of a whole app: one complete release record, and machines as flyctl would have left them, started ones registered
    /// and healthy; returns them in order of creation.
    ///
    /// Simulated machines only. An unknown app gives no machines.
    pub fn seed_fleet(&self, fleet: &Fleet<'_>) -> Vec<Seeded> {
        let inner = &self.inner;
        let earlier =
            |group: &Group<'_>| Earlier { app: fleet.app, config: group.config.clone(), regions: &[], image: fleet.image, group: "" };
        let Some(first) = fleet.groups.first() else { return Vec::new() };
        let Some(release) = inner.seed_release(&earlier(first)) else { return Vec::new() };
        let mut seeded = Vec::new();
        for group in fleet.groups {
            let all: usize = group.places.iter().map(|(_, count)| count).sum();
            let places = group.places.iter().flat_map(|(region, count)| std::iter::repeat_n(*region, *count));
            let mut leader: Option<String> = None;
            for (number, region) in places.enumerate() {
                let volume = group.mount.map(|mount| (mount, self.seed_volume(fleet.app, mount.name, region, mount.size_gb)));
                let runs = number + group.stopped < all;
                let config = config_of(fleet, group, &release, volume.as_ref(), None);
                let id = inner.seed_machine(fleet, region, &config, runs);
                leader.get_or_insert_with(|| id.clone());
                let volume = volume.map(|(_, volume)| volume);
                seeded.push(Seeded { id, group: group.name.to_owned(), region: region.to_owned(), volume, standby_for: None });
            }
            let (Some(leader), Some((region, _))) = (leader, group.places.first()) else { continue };
            for _ in 0..group.standbys {
                let config = config_of(fleet, group, &release, None, Some(&leader));
                let id = inner.seed_machine(fleet, region, &config, false);
                let (group, region) = (group.name.to_owned(), (*region).to_owned());
                seeded.push(Seeded { id, group, region, volume: None, standby_for: Some(leader.clone()) });
            }
        }
        inner.settle(fleet.app);
        seeded
    }
}

/// Returns the configuration of one machine, as flyctl writes it.
fn config_of(fleet: &Fleet<'_>, group: &Group<'_>, release: &Release, volume: Option<&(Mount<'_>, String)>, leader: Option<&str>) -> Value {
    let earlier = Earlier { app: fleet.app, config: group.config.clone(), regions: &[], image: fleet.image, group: group.name };
    let mut config = super::seed::earlier_config(&earlier, release);
    if !config["env"].is_object() {
        config["env"] = json!({});
    }
    config["env"]["FLY_PROCESS_GROUP"] = json!(group.name);
    if let Some((mount, id)) = volume {
        config["mounts"] = json!([{
            "volume": id, "path": mount.path, "name": mount.name, "size_gb": mount.size_gb, "encrypted": true,
        }]);
    }
    if let Some(leader) = leader {
        config["standbys"] = json!([leader]);
        config["env"]["FLY_STANDBY_FOR"] = json!(leader);
    }
    config
}

impl Inner {
    /// Adds a machine that serves, or rests as `stopped`, without the time that either takes.
    fn seed_machine(self: &Arc<Self>, fleet: &Fleet<'_>, region: &str, config: &Value, runs: bool) -> String {
        let switches = self.switches();
        let config = config::given_back(config, switches.autostop_as_text);
        let (_, repository, tag) = wire::image_parts(fleet.image);
        let named = fleet.image.split_once('@').map(|(_, digest)| digest.to_owned());
        let digest = self.registry.find(repository, named.as_deref().unwrap_or(tag)).or(named).unwrap_or_default();
        let mut machine = self.bare_machine(None, region.to_owned(), config, digest);
        if runs {
            self.already_runs(&mut machine);
        } else {
            machine.state = MachineState::Stopped;
        }
        let (id, epoch) = (machine.id.clone(), machine.epoch);
        if let Some(app) = lock(&self.state).apps.get_mut(fleet.app) {
            machine.behaviour = responder::behaviour(&app.behaviours, &machine, switches.pace.job);
            machine.secrets = app.secrets_version();
            storage::attach(app, &machine.config, &id);
            app.machines.insert(id.clone(), machine);
        }
        if runs {
            self.examine(fleet.app, &id, epoch);
            self.watch_idle(fleet.app, &id, epoch);
        }
        id
    }

    /// Makes a machine that was not there a moment ago one that has been up and healthy.
    pub(super) fn already_runs(&self, machine: &mut Machine) {
        let now = self.now();
        machine.state = MachineState::Started;
        machine.started_at = Some(now.elapsed);
        machine.ran = true;
        machine.event(&self.ulid(), now.wall, "start", "started", "flyd", None);
        let healthy = CheckResult { passing: true, output: "200 OK".to_owned(), updated_at: now.wall };
        machine.checks = config::checks(&machine.config).into_iter().map(|check| (check.name, healthy.clone())).collect();
    }

    /// Returns a copy of a machine's configuration that can stand beside it: a mounted volume becomes a new and empty one of the same kind.
    ///
    /// Source: flyctl's `machine clone` and `scale count`, which make a volume for each machine that they add.
    pub(super) fn beside(&self, app: &str, machine: &Machine, region: &str) -> Value {
        let Some(first) = storage::volume_ids(&machine.config).first().map(|id| (*id).to_owned()) else {
            return Value::clone(&machine.config);
        };
        let kind = lock(&self.state).apps.get(app).and_then(|app| app.volumes.get(&first)).cloned();
        let Some(kind) = kind else { return Value::clone(&machine.config) };
        let body = wire::VolumeBody { name: kind.name, region: region.to_owned(), size_gb: Some(kind.size_gb), ..Default::default() };
        let volume = self.bare_volume(&body, super::Origin::Empty);
        let config = storage::remounted(&machine.config, &volume.id);
        if let Some(app) = lock(&self.state).apps.get_mut(app) {
            app.volumes.insert(volume.id.clone(), volume);
        }
        config
    }
}
