//! What Fly would be sent for a `fly.toml`, before anything is sent. Pure.
//!
//! Every machine config comes from [`render`](super::machine_config::render), from which a release's machines come as well; what a release adds
//! to them are its own marks (`cutover_*` in the metadata, `CUTOVER_*` in the environment, checks named `cutover-*`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::addresses::IpKind;
use super::bill::holdings;
use super::cost::MonthlyCost;
use super::live::Live;
use super::machine_config::{MachineConfig, release_command, render};
use super::toml::{Finding, FlyConfig, Strategy};
use super::updates::{Update, updates};
use super::{released_by, why_not_bluegreen};

/// How long a release command may take unless the file says otherwise, in seconds; flyctl's value.
const RELEASE_COMMAND_SECONDS: f64 = 300.0;

/// What Fly would see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The app; null where the file names none.
    pub app: Option<String>,
    /// The group to which sections without `processes` belong.
    pub default_group: String,
    /// The config of a new machine of each group.
    pub groups: BTreeMap<String, MachineConfig>,
    /// The machine that runs the release command.
    pub release_command: Option<ReleaseCommand>,
    /// The strategy that the file asks for: `rolling` where it names none, as Fly's own client reads it.
    pub strategy: Strategy,
    /// The strategy by which a release moves the app unless the manifest names another: what the file names, else bluegreen where that is
    /// possible, since it has no gap and goes back at once.
    #[serde(skip)]
    pub released_by: Strategy,
    /// Why the file cannot be released by bluegreen; `None` where it can.
    #[serde(skip)]
    pub why_not_bluegreen: Option<String>,
    /// The public address of a first release; null where no service speaks HTTP to the outside.
    pub url: Option<String>,
    /// The public addresses that a first release needs.
    pub ip_kind: IpKind,
    /// What is odd about the file, or about it and what runs.
    pub warnings: Vec<Warning>,
    /// What the app costs: its machines as they run, or those of a first release.
    pub cost: MonthlyCost,
    /// What each running machine would be sent; only where it is known what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Vec<Update>>,
}

/// The machine that runs the release command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseCommand {
    /// Its config.
    pub config: MachineConfig,
    /// Always true: it is created first and started then, so that no exit is missed (fly.md 17).
    pub skip_launch: bool,
    /// Where it runs; null is Fly's choice.
    pub region: Option<String>,
    /// How long it may take; null is without limit.
    pub timeout_seconds: Option<serde_json::Number>,
}

/// Something odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Where in the file, for example `http_service.checks[0].interval`; `live.machines.ID` for a machine.
    pub path: String,
    /// What is odd, as a sentence without its full stop.
    pub message: String,
}

impl From<&Finding> for Warning {
    fn from(finding: &Finding) -> Self {
        let hint = finding.suggestion.as_ref().map(|known| format!(" (did you mean `{known}`?)")).unwrap_or_default();
        Self { path: finding.path.clone(), message: format!("{}{hint}", finding.message) }
    }
}

/// Returns what Fly would be sent for `config` with `image`, and, where `live` says what runs, for each machine that does.
///
/// Without an `image` the one of `[build]` is meant; where there is none either, configs have no `image`: it is yet to be built.
pub fn inspect(config: &FlyConfig, image: Option<&str>, live: Option<&Live>) -> Inspection {
    let image = image.or(config.build.image.as_deref()).unwrap_or_default();
    let without = |mut machine: MachineConfig| {
        if image.is_empty() {
            machine.shift_remove("image");
        }
        machine
    };
    let groups = config.groups().into_iter().map(|group| (group.to_owned(), without(render(config, group, image, None))));
    let updates = live.map(|live| updates(config, image, live));
    let mut warnings: Vec<Warning> = config.warnings.iter().map(Warning::from).collect();
    if let Some(live) = live {
        warnings.extend(odd(config, live, updates.as_deref().unwrap_or_default()));
    }
    Inspection {
        app: config.app.clone(),
        default_group: config.default_group().to_owned(),
        groups: groups.collect(),
        release_command: command(config, image, live).map(|command| ReleaseCommand { config: without(command.config), ..command }),
        strategy: config.deploy.strategy.unwrap_or(Strategy::Rolling),
        released_by: released_by(config),
        why_not_bluegreen: why_not_bluegreen(config),
        url: config.app.as_deref().and_then(|app| config.public_url(app)),
        ip_kind: IpKind::of(config),
        warnings,
        cost: holdings(config, live).monthly(),
        updates: updates.map(|updates| updates.into_iter().map(|update| Update { config: without(update.config), ..update }).collect()),
    }
}

fn command(config: &FlyConfig, image: &str, live: Option<&Live>) -> Option<ReleaseCommand> {
    let largest = live.and_then(|live| live.largest(config));
    let machine = release_command(config, image, largest.as_ref())?;
    let seconds = match config.deploy.release_command_timeout {
        None => Some(RELEASE_COMMAND_SECONDS),
        Some(limit) => limit.map(|limit| limit.as_secs_f64()),
    };
    let whole = |seconds: f64| if seconds.fract() == 0.0 { Some((seconds as u64).into()) } else { serde_json::Number::from_f64(seconds) };
    let region = config.primary_region.clone().filter(|region| !region.is_empty());
    Some(ReleaseCommand { config: machine, skip_launch: true, region, timeout_seconds: seconds.and_then(whole) })
}

/// What is odd about the file and what runs together.
fn odd(config: &FlyConfig, live: &Live, updates: &[Update]) -> Vec<Warning> {
    let at = |id: &str, message: String| Warning { path: format!("live.machines.{id}"), message };
    let problems = updates.iter().filter_map(|update| Some(at(&update.id, update.problem.as_ref()?.to_string())));
    let orphans = live.orphans(config).into_iter().map(|(group, machine)| {
        at(&machine.id, format!("is of process group `{group}`, which fly.toml has no longer: it is sent nothing"))
    });
    problems.chain(orphans).collect()
}
