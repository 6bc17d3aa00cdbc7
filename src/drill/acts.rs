//! What happens in a case without anybody's request: a machine dies, a person changes something by hand.

use std::time::Duration;

use super::blueprint::{Blueprint, Part, Seed};
use super::truth::Platforms;
use crate::embedded::fly::{Death, Edit, Pick};
use crate::embedded::vercel::Tree;
use crate::id::Name;

/// The exit code of a machine that dies.
const KILLED: i64 = 137;

impl Platforms {
    /// Lets the newest machine of the app die again and again that a request was about; of the first app when it was about none.
    pub(super) fn crash(&self, blueprint: &Blueprint, about: Option<&str>) {
        let apps = || blueprint.parts.iter().filter_map(app);
        if let Some(app) = apps().find(|app| Some(*app) == about).or_else(|| apps().next()) {
            self.fly.machine_dies(app, &Pick::Newest, Death::AgainAndAgain, KILLED);
        }
    }

    /// Lets a person change what a target serves; returns which one and when, unless the platform refused it.
    pub(super) fn person(&self, blueprint: &Blueprint, about: Option<&str>) -> Option<(Name, Duration)> {
        let is_it = |part: &&Part| about.is_some_and(|about| part.thing() == about || part.host() == about);
        let part = blueprint.parts.iter().find(is_it).or_else(|| blueprint.parts.first())?;
        let done = match &part.seed {
            Seed::App { app, .. } => {
                let edit = Edit::Variable("BY_HAND".to_owned(), "1".to_owned());
                self.fly.person_updates(app, &Pick::Serving, &edit).is_some()
            }
            Seed::Project { project, .. } => {
                let tree: Tree = [("index.html".to_owned(), b"by hand".to_vec())].into();
                // A person moves the domain as well: what the project does by itself may be off just now.
                let made = self.vercel.person_deploys(project, &tree).ok().flatten();
                made.is_some()
            }
            Seed::Site { project, .. } => {
                let tree: Tree = [("index.html".to_owned(), b"by hand".to_vec())].into();
                self.cloudflare.person_deploys(project, &tree).ok().flatten().is_some()
            }
            Seed::Worker { name, .. } => {
                let tree: Tree = [("index.html".to_owned(), b"by hand".to_vec())].into();
                self.cloudflare.person_deploys_version(name, &tree).is_ok()
            }
        };
        done.then(|| (part.name.clone(), self.world.ground().clock.elapsed()))
    }
}

fn app(part: &Part) -> Option<&str> {
    match &part.seed {
        Seed::App { app, .. } => Some(app),
        Seed::Project { .. } | Seed::Site { .. } | Seed::Worker { .. } => None,
    }
}
