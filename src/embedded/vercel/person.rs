//! What people do in the dashboard or with the vendor's client, beside us.
//!
//! Each act happens at once, is written on the tape as a person's, and says whether it was done: the vendor refuses a person what it refuses
//! everybody, such as a promotion while another job runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::create::Origin;
use super::projects;
use super::seed::Tree;
use super::site::PlainSettings;
use super::state::{BuildState, Variable, Verb};
use super::{PLATFORM, Vercel};
use crate::embedded::tape::Hand;

impl Vercel {
    /// A person rolls `project` (id or name) back at once ("Instant Rollback"), to the deployment `to`, or to the one just before; returns its id.
    pub fn person_rolls_back(&self, project: &str, to: Option<&str>) -> Option<String> {
        let (id, to) = {
            let state = self.state();
            let project = state.project(project).filter(|project| !project.busy())?;
            let to = to.map(str::to_owned).or_else(|| project.previous.clone())?;
            (project.id.clone(), state.rollback_candidate(&to).then_some(to)?)
        };
        self.mark("person_rolls_back", project, &to);
        self.begin_job(&mut self.state(), &id, &to, Verb::Rollback);
        Some(to)
    }

    /// A person promotes the deployment `to` of `project`; returns whether it was taken.
    pub fn person_promotes(&self, project: &str, to: &str) -> bool {
        let id = {
            let state = self.state();
            let good = |one: &&super::state::Deployment| one.ready == BuildState::Ready && one.production;
            let Some(project) = state.project(project).filter(|project| !project.busy() && project.production.as_deref() != Some(to))
            else {
                return false;
            };
            if state.deployments.get(to).filter(good).is_none_or(|one| one.project != project.id) {
                return false;
            }
            project.id.clone()
        };
        self.mark("person_promotes", project, to);
        self.begin_job(&mut self.state(), &id, to, Verb::Promote);
        true
    }

    /// A person keeps production where it is: production deployments do not take the domains any more. Source: the lasting sign of a rollback
    /// is that `autoAssignCustomDomains` is off (report).
    pub fn person_pins(&self, project: &str) -> bool {
        self.person_edits(project, "autoAssignCustomDomains", &Value::from(false))
    }

    /// A person edits a setting of `project`, by its name in the API; returns whether there is such a project and setting.
    pub fn person_edits(&self, project: &str, setting: &str, value: &Value) -> bool {
        self.mark("person_edits", project, setting);
        self.state().project_mut(project).is_some_and(|project| projects::set(project, setting, value).is_ok())
    }

    /// A person sets an environment variable of `project` for production.
    pub fn person_sets_variable(&self, project: &str, key: &str, value: &str) -> bool {
        self.mark("person_sets_variable", project, key);
        let (now, id) = (self.now(), self.ground().chance.word(16));
        let mut state = self.state();
        let Some(project) = state.project_mut(project) else { return false };
        project.variables.retain(|known| known.key != key);
        let (target, comment) = (vec!["production".to_owned()], None);
        let variable = Variable {
            id,
            key: key.to_owned(),
            value: value.to_owned(),
            kind: "encrypted".to_owned(),
            target,
            branch: None,
            comment,
            created: now,
            updated: now,
        };
        project.variables.push(variable);
        true
    }

    /// A person deploys `tree` to the production of `project` (`vercel --prod`, or a push to the production branch); returns the deployment's id.
    ///
    /// Its domains move by themselves if the project is set so. Errors: the store's disk.
    pub fn person_deploys(&self, project: &str, tree: &Tree) -> io::Result<Option<String>> {
        self.person_makes("person_deploys", project, tree, BTreeMap::new(), true)
    }

    /// A person deploys `tree` as a preview of `project`, with metadata, as any other client may; returns the deployment's id. Errors: the store's
    /// disk.
    pub fn person_previews(&self, project: &str, tree: &Tree, meta: BTreeMap<String, String>) -> io::Result<Option<String>> {
        self.person_makes("person_previews", project, tree, meta, false)
    }

    fn person_makes(
        &self,
        what: &str,
        project: &str,
        tree: &Tree,
        meta: BTreeMap<String, String>,
        production: bool,
    ) -> io::Result<Option<String>> {
        let files = self.store_tree(tree)?;
        self.mark(what, project, "");
        let Some(id) = self.state().project(project).map(|project| project.id.clone()) else { return Ok(None) };
        let origin = Origin {
            prebuilt: files.keys().any(|path| path.ends_with(".vercel/output/config.json")),
            files: Arc::new(files),
            root: String::new(),
            plain: PlainSettings::default(),
            meta,
            git_source: None,
            source: "cli".to_owned(),
            regions: Vec::new(),
            production,
            auto_assign: None,
        };
        Ok(self.add_deployment(&id, "usr_person", origin))
    }

    /// A person moves one hostname to the deployment `to` (`vercel alias set`); returns whether there is such a deployment.
    pub fn person_assigns(&self, host: &str, to: &str) -> bool {
        self.mark("person_assigns", host, to);
        let mut state = self.state();
        let ready = state.deployments.get(to).is_some_and(|one| one.ready == BuildState::Ready);
        if ready {
            self.point(&mut state, host, to);
        }
        ready
    }

    /// A person deletes a deployment, with every hostname that leads to it; returns whether there was one.
    pub fn person_deletes(&self, deployment: &str) -> bool {
        let Some((id, project)) = self.state().deployment(deployment).map(|one| (one.id.clone(), one.name.clone())) else { return false };
        self.mark("person_deletes", &project, &id);
        self.remove(&mut self.state(), &id);
        true
    }

    fn mark(&self, what: &str, project: &str, which: &str) {
        self.ground().before_change(PLATFORM);
        self.ground().tape.note(Hand::Person, PLATFORM, what, project, which);
    }
}
