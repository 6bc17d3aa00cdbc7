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
        self.person_makes("person_deploys", project, None, "by hand", tree)
    }

    /// A person deploys `tree` to a branch of `project`, with a commit's message, as any other client may; otherwise as
    /// [`Cloudflare::person_deploys`].
    pub fn person_previews(&self, project: &str, branch: &str, message: &str, tree: &Tree) -> io::Result<Option<String>> {
        self.person_makes("person_previews", project, Some(branch), message, tree)
    }

    fn person_makes(&self, what: &str, project: &str, branch: Option<&str>, message: &str, tree: &Tree) -> io::Result<Option<String>> {
        self.ground().before_change(PLATFORM);
        self.ground().tape.note(Hand::Person, PLATFORM, what, project, branch.unwrap_or_default());
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
                production: branch.is_none_or(|branch| branch == found.production_branch),
                branch: branch.map_or(found.production_branch, str::to_owned),
                message: message.to_owned(),
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

    /// A person makes a version of `tree` and gives it to every user of `worker` (`wrangler deploy`); returns its id. Errors: the store's disk; no
    /// such worker.
    pub fn person_deploys_version(&self, worker: &str, tree: &Tree) -> io::Result<String> {
        self.ground().before_change(PLATFORM);
        self.ground().tape.note(Hand::Person, PLATFORM, "person_deploys_version", worker, "");
        self.seed_earlier_version(worker, tree)
    }
}
