//! In which respects what an app serves differs from what a release left, process group by process group. Pure.
//!
//! How many machines there are, and where, is a matter of scale: adopted and told. What they run is not.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::label;
use super::hints::Hints;
use crate::platform::{Differences, Revision};

/// What the machines of one process group run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Group {
    /// Images by digest, or as they are named where no digest is known; with what people call them.
    images: BTreeMap<String, String>,
    /// Digests of the machines' settings.
    settings: BTreeSet<String>,
    /// How many machines are where.
    places: BTreeMap<String, usize>,
}

/// Compares two revisions of the same app.
pub(super) fn differences(recorded: &Revision, found: &Revision, app: &str) -> Differences {
    let (Ok(before), Ok(now)) = (Hints::of(recorded, app), Hints::of(found, app)) else { return Differences::of(recorded, found) };
    let (before, now) = (groups(&before), groups(&now));
    let mut differences = Differences::default();
    for (name, group) in &now {
        let Some(left) = before.get(name) else {
            differences.changed.push(format!("the process group {name} is new"));
            continue;
        };
        let others: Vec<&str> =
            group.images.iter().filter(|(digest, _)| !left.images.contains_key(*digest)).map(|(_, label)| label.as_str()).collect();
        if !others.is_empty() {
            let wanted: Vec<&str> = left.images.values().map(String::as_str).collect();
            differences.changed.push(format!("the image of {name} is {}, not {}", others.join(" and "), wanted.join(" or ")));
        }
        if !group.settings.is_subset(&left.settings) {
            differences.changed.push(format!("the settings of {name} are not those of the release"));
        }
        if group.places != left.places {
            differences.adopted.push(format!("{name} runs on {}, and was left on {}", places(group), places(left)));
        }
    }
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    differences.adopted.extend(gone.map(|name| format!("no machine of {name} is left")));
    differences
}

fn groups(hints: &Hints) -> BTreeMap<&str, Group> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for machine in &hints.machines {
        let group = groups.entry(&machine.group).or_default();
        group.images.insert(machine.image_digest.clone().unwrap_or_else(|| machine.image.clone()), label(&machine.image));
        group.settings.insert(machine.config_digest.clone());
        *group.places.entry(machine.region.clone()).or_default() += 1;
    }
    groups
}

fn places(group: &Group) -> String {
    group.places.iter().map(|(region, count)| format!("{count} in {region}")).collect::<Vec<_>>().join(", ")
}
