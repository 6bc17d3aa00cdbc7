//! What an app's file and its machines amount to, for [`cost`](super::cost) to price. Pure.

use serde_json::Value;

use super::addresses::IpKind;
use super::cost::{Holdings, MonthlyCost};
use super::fleet::Fleet;
use super::hints::runs;
use super::live::Live;
use super::machine_config::{MachineConfig, render};
use super::slots::first_slots;
use super::toml::FlyConfig;

/// Returns what is paid for: what runs, or what a first release makes.
pub fn holdings(config: &FlyConfig, live: Option<&Live>) -> Holdings {
    let mut holdings = Holdings::default();
    let region = config.primary_region.as_deref().unwrap_or_default();
    match live {
        Some(live) => {
            for (group, machine) in live.managed(config) {
                let rendered = render(config, &group, "", Some(machine.config().unwrap_or(&MachineConfig::new())));
                holdings.add(rendered.get("guest"), &machine.region, runs(&machine));
            }
            holdings.volume_gb = live.volumes.iter().filter(|volume| volume.stays()).filter_map(|volume| volume.size_gb).sum();
        }
        None => {
            for slot in first_slots(config, region, true) {
                let rendered = render(config, &slot.group, "", None);
                holdings.add(rendered.get("guest"), &slot.region, slot.launch);
                let volumes = config.mounts_of(&slot.group);
                holdings.volume_gb += volumes.iter().map(|volume| volume.initial_size_gb.unwrap_or(1)).sum::<u32>();
            }
        }
    }
    holdings.dedicated_ipv4 = u32::from(IpKind::of(config) == IpKind::Dedicated);
    holdings
}

/// Returns what the registered machines will cost a month with the sizes that `config` says, and what they cost now; where
/// none runs, what those of a first release will, and nothing. Volumes that are there are counted where their mounts say how large they are.
pub(super) fn monthly(config: &FlyConfig, fleet: &Fleet) -> (MonthlyCost, Option<MonthlyCost>) {
    let live = Live { machines: fleet.registered().cloned().collect(), volumes: Vec::new() };
    if live.machines.is_empty() {
        return (holdings(config, None).monthly(), None);
    }
    let (mut now, mut then) = (Holdings::default(), holdings(config, Some(&live)));
    now.dedicated_ipv4 = then.dedicated_ipv4;
    for (_, machine) in live.managed(config) {
        now.add(machine.config().and_then(|config| config.get("guest")), &machine.region, runs(&machine));
        let mounts = machine.config().and_then(|config| config.get("mounts")).and_then(Value::as_array);
        let sizes = mounts.into_iter().flatten().filter_map(|mount| mount.get("size_gb")?.as_u64());
        let size = u32::try_from(sizes.sum::<u64>()).unwrap_or(0);
        now.volume_gb += size;
        then.volume_gb += size;
    }
    (then.monthly(), Some(now.monthly()))
}
