//! Whether an app can be released as it stands by the strategy that it names: what is refused before anything is touched, and what is told.

use std::collections::BTreeMap;

use super::FlyTarget;
use super::fleet::Fleet;
use super::toml::Strategy;
use super::wire::Machine;
use crate::platform::{PlatformError, Problem};

impl FlyTarget {
    pub(super) async fn strategy_problems(&self, fleet: &Fleet) -> Vec<Problem> {
        let (app, config) = (&self.settings.app, &self.settings.config);
        let mut problems = Vec::new();
        let mut fatal = |code, text: String, hint: &str| problems.push(self.problem(true, code, text, Some(hint.to_owned())));
        let first = fleet.registered().next().is_none();
        if first && config.primary_region.is_none() {
            fatal("fly::region", format!("{app} has no machines, and fly.toml has no primary_region."), "add primary_region to fly.toml");
        }
        match self.strategy() {
            Strategy::Bluegreen => {
                if !config.mounts.is_empty() {
                    let text = "bluegreen cannot be used with a volume: it belongs to one machine.".to_owned();
                    fatal("fly::bluegreen-volume", text, "use strategy rolling");
                }
                if !config.groups().iter().any(|group| config.has_checks(group)) {
                    let text =
                        "bluegreen needs at least one check in fly.toml: nothing else tells that the new machines are well.".to_owned();
                    fatal("fly::bluegreen-checks", text, "add a check to the service, or use strategy rolling");
                }
                let groups = config.groups();
                let claims = |machine: &&Machine| groups.contains(&machine.group());
                if let Some(machine) = fleet.unmanaged.iter().find(claims) {
                    let text = format!(
                        "machine {} claims process group {} and no release made it: it would go on serving beside the new machines.",
                        machine.id,
                        machine.group()
                    );
                    fatal(
                        "fly::bluegreen-unmanaged",
                        text,
                        &format!("`fly machine destroy {} -a {app}`, or use strategy rolling", machine.id),
                    );
                }
                if self.client.can_bluegreen(app).await == Some(false) {
                    let text =
                        format!("the organisation of {app} has no room for a second set of machines (canPerformBluegreenDeployment).");
                    fatal("fly::bluegreen-limit", text, "ask Fly for a higher limit, or use strategy rolling");
                }
            }
            Strategy::Canary => {
                if let Some(mount) = config.mounts.first() {
                    let text = format!("canary cannot be used with a volume: a machine more would need another volume {}.", mount.source);
                    fatal("fly::canary-volume", text, "use strategy rolling");
                }
            }
            Strategy::Rolling | Strategy::Immediate => {}
        }
        problems
    }

    /// Returns what stands in the way of single machines, and what becomes of groups that come and go.
    pub(super) async fn machine_problems(&self, fleet: &Fleet) -> Result<Vec<Problem>, PlatformError> {
        let (app, config) = (&self.settings.app, &self.settings.config);
        let machines: Vec<&Machine> = fleet.registered().collect();
        let mut problems = Vec::new();
        if machines.is_empty() {
            return Ok(problems);
        }
        for update in self.updates_of(&machines, "").await? {
            if let Some(problem) = &update.problem {
                let text = format!("machine {} {problem}.", update.id);
                problems.push(self.problem(true, "fly::volume", text, Some(self.help_with(problem))));
            } else if update.replace && fleet.find(&update.id).is_some_and(|machine| self.loses_volume(fleet, machine)) {
                let text =
                    format!("machine {} has a volume that fly.toml mounts no longer: the volume is kept, and nobody has it.", update.id);
                problems.push(self.problem(false, "fly::volume-left", text, Some(format!("see it with `fly volumes list -a {app}`"))));
            }
        }
        let groups = config.groups();
        let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
        for machine in &machines {
            if !groups.contains(&fleet.group(machine)) {
                *gone.entry(fleet.group(machine)).or_default() += 1;
            }
        }
        for (group, count) in gone {
            let text = format!("fly.toml has no process group {group} any more: {} of it will be removed.", super::in_number(count));
            problems.push(self.problem(false, "fly::group-gone", text, None));
        }
        for group in groups.iter().filter(|group| machines.iter().all(|machine| fleet.group(machine) != **group)) {
            let text = format!("process group {group} has no machine yet: the release makes its first.");
            problems.push(self.problem(false, "fly::group-new", text, None));
        }
        Ok(problems)
    }

    fn loses_volume(&self, fleet: &Fleet, machine: &Machine) -> bool {
        let mounted = machine.config().is_some_and(super::slots::has_mounts);
        mounted && self.settings.config.mounts_of(fleet.group(machine)).is_empty()
    }
}
