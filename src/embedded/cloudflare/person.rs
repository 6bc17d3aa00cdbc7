//! What people do in the dashboard or with the vendor's client, beside us; each act is written on the tape as a person's.

use std::io;
use std::sync::Arc;

use super::front::Front;
use super::seed::Tree;
use super::state::{Deployment, Stage};
use super::switch::Fate;
use super::{Cloudflare, PLATFORM};
use crate::embedded::tape::Hand;

impl Cloudflare {
    /// A person deploys `tree` to the production of `project`; returns the deployment's id, or `None` where there is no such project. It goes
    /// through its stages as any other. Errors: the store's disk.
    pub fn person_deploys(&self, project: &str, tree: &Tree) -> io::Result<Option<String>> {
        self.ground().before_change(PLATFORM);
        self.ground().tape.note(Hand::Person, PLATFORM, "person_deploys", project, "");
        let id = self.identity();
        let now = self.now();
        {
            let mut state = self.state();
            let Some(found) = state.named(project).cloned() else { return Ok(None) };
            let site = self.site_of(&mut state, &found, tree)?;
            let deployment = Deployment {
                id: id.clone(),
                account: found.account,
                project: found.name,
                production: true,
                branch: found.production_branch,
                message: "by hand".to_owned(),
                commit: String::new(),
                dirty: true,
                trigger: "ad_hoc",
                builds: false,
                stage: Stage::Queued,
                fate: Fate::default(),
                site: Arc::new(site),
                created: state.stamp(now),
                ended: None,
                backend: Arc::new(Front::new(self, &id)),
            };
            state.deployments.insert(id.clone(), deployment);
        }
        self.begin(&id);
        Ok(Some(id))
    }
}
