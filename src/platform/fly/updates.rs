//! What a release in place would send to each machine that runs: the whole config, and whether the machine must be replaced. Pure.
//!
//! Source: the reference's sections 14 and 15, after flyctl at commit ad0172f.

use serde::Serialize;
use serde_json::Value;

use super::live::{Live, Volume};
use super::machine_config::{MachineConfig, dedication_of, render};
use super::toml::FlyConfig;
use super::wire::Machine;

/// States in which a machine runs or should: its update launches it. In every other it stays down (fly.md 14).
const LAUNCHED: [&str; 3] = ["started", "starting", "failed"];

/// What one machine would be sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Update {
    /// The machine.
    pub id: String,
    /// Its process group; the config's metadata says it too.
    #[serde(skip)]
    pub group: String,
    /// Whether it is destroyed and made anew instead of updated in place.
    pub replace: bool,
    /// Where it is, and stays.
    pub region: String,
    /// Whether it stays down.
    pub skip_launch: bool,
    /// Its whole new config, without the marks of a release.
    pub config: MachineConfig,
    /// Why it cannot be done.
    #[serde(skip)]
    pub problem: Option<UpdateError>,
}

/// Why a machine cannot become what `fly.toml` says without a person's help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// It needs a volume, and none is free.
    #[error("needs a free volume named `{name}` in {region}, and there is none")]
    NoVolume {
        /// The volume's name.
        name: String,
        /// The machine's region.
        region: String,
    },
    /// Its volume is on a host that does not answer.
    #[error("is on a host that does not answer, and so is its volume {volume}: a person must decide what becomes of its data")]
    VolumeOnDeadHost {
        /// The volume.
        volume: String,
    },
    /// It should move to another dedicated host, and its volume cannot.
    #[error("cannot move to the dedicated host `{dedication}`: it has a volume; fork the volume first")]
    VolumeOnOtherHost {
        /// The dedicated host.
        dedication: String,
    },
}

/// Returns what each managed machine of the file's groups would be sent, ordered by id. No free volume is given out twice.
pub fn updates(config: &FlyConfig, image: &str, live: &Live) -> Vec<Update> {
    let mut free: Vec<&Volume> = live.volumes.iter().filter(|volume| volume.is_free()).collect();
    live.managed(config).iter().map(|(group, machine)| update(config, group, image, machine, &mut free)).collect()
}

fn update(config: &FlyConfig, group: &str, image: &str, machine: &Machine, free: &mut Vec<&Volume>) -> Update {
    let nothing = MachineConfig::new();
    let old = machine.config().unwrap_or(&nothing);
    let mut new = render(config, group, image, Some(old));
    let mut replace = !machine.host_is_well();
    let mut problem = None;

    let (had, gets) = (mount(old).cloned(), mount(&new).cloned());
    match (&had, &gets) {
        (None, None) => {}
        (Some(_), None) => replace = true,
        (had, Some(gets)) => {
            // The renderer leaves a mount without a volume where the volume cannot stay.
            if text(gets, "volume").is_empty() && had.as_ref().is_none_or(|had| text(had, "name") != text(gets, "name")) {
                replace = true;
                problem = attach(&mut new, machine, free).err();
            } else if !machine.host_is_well() {
                problem = Some(UpdateError::VolumeOnDeadHost { volume: text(gets, "volume").to_owned() });
            }
        }
    }
    let present = old.get("guest").map(|guest| text(guest, "host_dedication_id")).unwrap_or_default();
    if let Some(dedication) = dedication_of(config, group).filter(|dedication| *dedication != present) {
        replace = true;
        if had.is_some() && gets.is_some() {
            problem = problem.or(Some(UpdateError::VolumeOnOtherHost { dedication: dedication.to_owned() }));
        }
    }
    Update {
        id: machine.id.clone(),
        group: group.to_owned(),
        replace,
        region: machine.region.clone(),
        skip_launch: !LAUNCHED.contains(&machine.state.as_str()),
        config: new,
        problem,
    }
}

/// Gives the machine's mount a free volume of its name in its region.
fn attach(new: &mut MachineConfig, machine: &Machine, free: &mut Vec<&Volume>) -> Result<(), UpdateError> {
    let name = mount(new).map(|mount| text(mount, "name").to_owned()).unwrap_or_default();
    let found = free.iter().position(|volume| volume.name == name && volume.region == machine.region);
    let Some(at) = found else { return Err(UpdateError::NoVolume { name, region: machine.region.clone() }) };
    let volume = free.remove(at).id.clone();
    if let Some(mount) = new.get_mut("mounts").and_then(|mounts| mounts.get_mut(0)).and_then(Value::as_object_mut) {
        mount.insert("volume".to_owned(), volume.into());
    }
    Ok(())
}

fn mount(config: &MachineConfig) -> Option<&Value> {
    config.get("mounts").and_then(Value::as_array).and_then(|mounts| mounts.first())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
