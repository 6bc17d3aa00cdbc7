//! What is true in the embedded world: read from the platforms' own state, by content, and from nothing that the product says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::blueprint::{Blueprint, Part, Seed};
use crate::embedded::cloudflare::{self, Cloudflare};
use crate::embedded::fly::{Fly, JobView, MachineState, MachineView};
use crate::embedded::github::GitHub;
use crate::embedded::vercel::Vercel;
use crate::embedded::world::World;
use crate::id::Name;

/// The world at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// What each target is.
    pub targets: BTreeMap<Name, Seen>,
    /// What belongs to somebody else, in words.
    pub foreign: BTreeMap<String, String>,
}

/// One target at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What users get, by content, in order; empty when nothing serves.
    pub serves: Vec<String>,
    /// What is in its place, in order: every machine that users get, that works without being asked, that sleeps until it is asked or that
    /// stands by, with its process group, its region and its content. Of a project, what it serves.
    pub places: Vec<String>,
    /// Its volumes, each with the machine that has it.
    pub volumes: BTreeMap<String, Option<String>>,
    /// The settings that a release could disturb.
    pub settings: BTreeMap<String, String>,
    /// What is there that could serve, by the platform's id.
    pub things: BTreeMap<String, Thing>,
    /// What ran one command and ended, migrations among it, in order of creation.
    pub jobs: Vec<JobView>,
    /// When the snapshots of its database that were asked for are complete, since the world began.
    pub snapshots: Vec<Duration>,
}

/// A machine or a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// What it serves or would serve.
    pub content: String,
    /// The release that its stamp names.
    pub stamp: Option<String>,
    /// Whether it is in its place: users get it, or it does what it is there for without being asked.
    pub serves: bool,
    /// Whether it is one of those that users or jobs get while they are well.
    pub registered: bool,
}

/// The embedded platforms of a case.
#[derive(Clone)]
pub struct Platforms {
    /// The world.
    pub world: World,
    /// Fly.
    pub fly: Fly,
    /// Vercel.
    pub vercel: Vercel,
    /// Cloudflare.
    pub cloudflare: Cloudflare,
    /// GitHub.
    pub github: GitHub,
}

impl std::fmt::Debug for Platforms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Platforms")
    }
}

impl Platforms {
    /// Looks at everything.
    pub fn truth(&self, blueprint: &Blueprint) -> Truth {
        let mut truth = Truth::default();
        for part in &blueprint.parts {
            let seen = match &part.seed {
                Seed::App { app, database, .. } => self.app(app, database.as_deref(), &mut truth.foreign),
                Seed::Project { project, .. } => self.project(project, &part.host(), &mut truth.foreign),
                Seed::Site { project, .. } => self.site(project, &part.host()),
                Seed::Worker { name, .. } => self.worker(name, &part.host()),
            };
            truth.targets.insert(part.name.clone(), seen);
        }
        self.strangers(&mut truth.foreign);
        truth
    }

    /// Returns what the routes say that users of a target get now.
    pub fn routed(&self, part: &Part) -> Vec<String> {
        let changes = self.world.ground().traffic.changes();
        let newest = changes.iter().rev().find(|change| change.host == part.host());
        let mut contents = newest.map(|change| change.contents.clone()).unwrap_or_default();
        contents.sort();
        contents
    }

    fn app(&self, app: &str, database: Option<&str>, foreign: &mut BTreeMap<String, String>) -> Seen {
        let snapshots = database.map(|database| self.fly.snapshots_made(database)).unwrap_or_default();
        let mut seen = Seen { jobs: self.fly.jobs(app), snapshots, ..Seen::default() };
        for machine in self.fly.machines(app) {
            if machine.metadata.get("fly_platform_version").is_none_or(|version| version != "v2") {
                let said = format!("{} {} {:?}", machine.state.as_str(), machine.content, machine.metadata);
                foreign.insert(format!("machine {} of {app}", machine.id), said);
                continue;
            }
            if machine.routable {
                seen.serves.push(machine.content.clone());
            }
            let serves = in_place(&machine);
            if serves {
                let group = machine.group.as_deref().unwrap_or("no group");
                let waits = if machine.standby { "a standby of " } else { "" };
                seen.places.push(format!("{waits}{group} in {}: {}", machine.region, machine.content));
            }
            let stamp = machine.metadata.get("cutover_release").cloned();
            let registered = !machine.cordoned;
            seen.things.insert(machine.id, Thing { content: machine.content, stamp, serves, registered });
        }
        seen.serves.sort();
        seen.places.sort();
        for volume in self.fly.volumes(app) {
            seen.volumes.insert(volume.id, volume.attached);
        }
        for (name, value) in self.fly.secrets(app) {
            seen.settings.insert(format!("secret {name}"), value);
        }
        seen
    }

    fn project(&self, project: &str, host: &str, foreign: &mut BTreeMap<String, String>) -> Seen {
        let mut seen = Seen::default();
        let (production, leads_to) = (self.vercel.production(project), self.vercel.leads_to(host));
        let mut serving: BTreeSet<String> = [production.clone(), leads_to].into_iter().flatten().collect();
        if production.is_none() && !serving.is_empty() {
            serving.insert("no production".to_owned());
        }
        for deployment in self.vercel.deployments(project) {
            let stamp = deployment.meta.get("cutoverRelease").cloned();
            let serves = serving.remove(&deployment.id);
            if serves {
                seen.serves.push(deployment.content.clone());
            }
            if deployment.meta.contains_key(FOREIGN) {
                foreign
                    .insert(format!("deployment {} of {project}", deployment.id), format!("{} {}", deployment.state, deployment.content));
                continue;
            }
            seen.things.insert(deployment.id, Thing { content: deployment.content, stamp, serves, registered: serves });
        }
        // What leads to a deployment that is not there leads to nothing that anybody could name.
        seen.serves.extend(serving.into_iter().map(|id| format!("nobody knows: {id}")));
        seen.serves.sort();
        seen.places.clone_from(&seen.serves);
        let auto_assign = self.vercel.auto_assigns(project);
        seen.settings.insert("autoAssignCustomDomains".to_owned(), format!("{auto_assign:?}"));
        seen
    }

    fn site(&self, project: &str, host: &str) -> Seen {
        let mut seen = Seen::default();
        let (production, leads_to) = (self.cloudflare.production(project), self.cloudflare.leads_to(host));
        let mut serving: BTreeSet<String> = [production, leads_to].into_iter().flatten().collect();
        let made = self.cloudflare.deployments(project);
        for deployment in &made {
            let serves = serving.remove(&deployment.id);
            if serves {
                seen.serves.push(deployment.content.clone());
            }
            // What was staged has one file more than what production is made of: the record of its files.
            let plain =
                |one: &&cloudflare::Seen| one.manifest.iter().eq(deployment.manifest.iter().filter(|(path, _)| !path.starts_with(RECORDS)));
            let content = made.iter().find(plain).map_or(&deployment.content, |one| &one.content).clone();
            let thing = Thing { content, stamp: stamped(&deployment.message), serves, registered: serves };
            seen.things.insert(deployment.id.clone(), thing);
        }
        seen.serves.extend(serving.into_iter().map(|id| format!("nobody knows: {id}")));
        seen.serves.sort();
        seen.places.clone_from(&seen.serves);
        seen
    }

    /// A version that no deployment has is nothing that could serve, and stays: no call removes one.
    fn worker(&self, worker: &str, host: &str) -> Seen {
        let mut seen = Seen::default();
        let leads_to = self.cloudflare.leads_to(host);
        for version in self.cloudflare.versions(worker) {
            let led = leads_to.as_ref() == Some(&version.id);
            let Some(share) = version.share.or(led.then_some(0.0)) else { continue };
            let serves = share > 0.0 || led;
            if serves {
                let part = if share < 100.0 { format!("{share} % of {}", version.content) } else { version.content.clone() };
                seen.serves.push(part);
            }
            let stamp = version.message.strip_prefix("cutover ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            seen.things.insert(version.id, Thing { content: version.content, stamp, serves, registered: serves });
        }
        seen.serves.sort();
        seen.places.clone_from(&seen.serves);
        seen
    }

    /// What lives beside the product and is nobody's business.
    fn strangers(&self, foreign: &mut BTreeMap<String, String>) {
        for machine in self.fly.machines(STRANGER) {
            foreign.insert(format!("machine {} of {STRANGER}", machine.id), format!("{} {}", machine.state.as_str(), machine.content));
        }
        let project =
            format!("production {:?}, automatic domains {:?}", self.vercel.production(STRANGER), self.vercel.auto_assigns(STRANGER));
        foreign.insert(format!("project {STRANGER}"), project);
        let sites: Vec<String> = self.cloudflare.deployments(STRANGER).into_iter().map(|one| one.content).collect();
        foreign.insert(format!("site {STRANGER}"), format!("production {:?} of {sites:?}", self.cloudflare.production(STRANGER)));
    }
}

/// Returns whether a machine does what it is there for. What offers no service works as soon as it runs, registered or not.
fn in_place(machine: &MachineView) -> bool {
    let waits = machine.standby && !machine.cordoned && machine.state == MachineState::Stopped;
    machine.routable || machine.asleep || (!machine.offers && machine.state == MachineState::Started) || waits
}

/// Returns the release that a commit message is marked with: Pages lets nothing else be written to a deployment.
fn stamped(message: &str) -> Option<String> {
    let (_, mark) = message.split_once("cutover {")?;
    let mark: serde_json::Value = serde_json::from_str(&format!("{{{mark}")).ok()?;
    mark.get("r")?.as_str().map(str::to_owned)
}

/// What the path of a record begins with.
const RECORDS: &str = "/.well-known/cutover-";

/// The name of the app and of the projects that belong to somebody else.
pub const STRANGER: &str = "somebody-elses";

/// The metadata by which a deployment of somebody else is told.
pub const FOREIGN: &str = "madeBy";
