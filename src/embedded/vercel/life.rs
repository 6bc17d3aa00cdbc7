//! What happens by itself: builds go through their states, domains are assigned, promotions and rollbacks move hostnames one by one.

use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest, Sha1};

use super::Vercel;
use super::front::Front;
use super::site::{Site, Unbuildable};
use super::state::{Alias, AliasRequest, BuildState, Deployment, JobStatus, LogLine, Project, State, Verb};
use super::switch::{Answers, BuildFate, JobFate};
use crate::embedded::fault::half;
use crate::embedded::ground::partial;
use crate::embedded::tape::hex;
use crate::embedded::traffic::Backend;

impl Vercel {
    /// Begins the build of the deployment `id`, which goes on in a task of its own.
    pub(super) fn begin_build(&self, id: &str) {
        let (vercel, id) = (self.clone(), id.to_owned());
        self.ground().spawn(async move { vercel.build(&id).await });
    }

    async fn build(&self, id: &str) {
        let switches = self.state().switches.clone();
        tokio::time::sleep(switches.queue_time).await;
        let begun = self.change(id, |deployment, now| {
            deployment.ready = BuildState::Building;
            deployment.building_at = Some(now);
            deployment.write(now, "deployment-state", "", Some(BuildState::Building));
            let prebuilt = if deployment.prebuilt { "Using prebuilt build artifacts..." } else { "Serving the files as they are..." };
            deployment.write(now, "stdout", prebuilt, None);
        });
        let Some(fate) = begun else { return };
        tokio::time::sleep(switches.build_time).await;
        if fate.build == BuildFate::Hangs {
            return;
        }
        self.end_build(id);
        let assigns =
            self.state().deployments.get(id).is_some_and(|one| one.ready == BuildState::Ready && one.production && one.auto_assign);
        if assigns {
            tokio::time::sleep(switches.alias_time).await;
            self.assign(id);
        }
    }

    /// Ends the build of `id`: READY when it can be served and is fated to.
    pub(super) fn end_build(&self, id: &str) {
        let found = self.state().deployments.get(id).cloned();
        let Some(deployment) = found.filter(|deployment| !deployment.ready.ended()) else { return };
        let built = match deployment.fate.build {
            BuildFate::Fails => Err(Unbuildable { code: "BUILD_FAILED", message: "Command \"npm run build\" exited with 1".into() }),
            _ => self.site(&deployment),
        };
        let shows_assigned = self.state().switches.staged_shows_alias_assigned;
        let ignored = deployment.fate.build == BuildFate::Ignored;
        self.change(id, |deployment, now| {
            deployment.ended_at = Some(now);
            match built {
                _ if ignored => {
                    deployment.ready = BuildState::Canceled;
                    deployment.write(now, "stdout", "The deployment was canceled by the ignored build step.", None);
                }
                Ok(site) => {
                    deployment.ready = BuildState::Ready;
                    deployment.site = Some(Arc::new(site));
                    deployment.write(now, "stdout", "Deployment completed", None);
                }
                Err(fault) => {
                    deployment.ready = BuildState::Error;
                    deployment.write(now, "stderr", &format!("Error: {}", fault.message), None);
                    deployment.error = Some((fault.code.to_owned(), fault.message));
                }
            }
            let ready = deployment.ready;
            deployment.write(now, "deployment-state", "", Some(ready));
            // Nothing more comes of a deployment that nobody else assigns.
            if ready == BuildState::Ready && !(deployment.production && deployment.auto_assign) {
                deployment.alias_assigned = (shows_assigned || !deployment.production).then_some(now);
            }
        });
    }

    /// Gives the deployment its public face, before it has anything to show: its own hostname exists from its creation on.
    pub(super) fn face(&self, id: &str, url: &str) -> Arc<dyn Backend> {
        let front: Arc<dyn Backend> = Arc::new(Front::new(self, id, url));
        self.ground().traffic.set(url, vec![Arc::clone(&front)]);
        self.ground().traffic.lives(id, true);
        front
    }

    fn site(&self, deployment: &Deployment) -> Result<Site, Unbuildable> {
        if deployment.prebuilt {
            Site::prebuilt(&deployment.files, &deployment.root, |sha| self.store().read(sha).ok())
        } else {
            Site::plain(&deployment.files, &deployment.root, &deployment.plain)
        }
    }

    /// Changes the deployment `id`, unless it is gone or has ended; returns its fate.
    fn change(&self, id: &str, change: impl FnOnce(&mut Deployment, i64)) -> Option<super::Fate> {
        let now = self.now();
        let fate = {
            let mut state = self.state();
            let deployment = state.deployments.get_mut(id).filter(|deployment| !deployment.ready.ended())?;
            change(deployment, now);
            deployment.fate
        };
        self.shared.grown.notify_waiters();
        Some(fate)
    }

    /// Makes the deployment `id` its project's production at once, on every verified domain.
    pub(super) fn assign(&self, id: &str) {
        let now = self.now();
        let mut state = self.state();
        let Some(deployment) = state.deployments.get(id).cloned() else { return };
        let Some(hosts) = state.projects.get(&deployment.project).map(production_hosts) else { return };
        for host in &hosts {
            self.point(&mut state, host, id);
        }
        state.promoted(&deployment.project, id, now);
        drop(state);
        self.shared.grown.notify_waiters();
    }

    /// Makes `host` lead to the deployment `id`; edges learn of it one by one.
    pub(super) fn point(&self, state: &mut State, host: &str, id: &str) {
        let Some(deployment) = state.deployments.get(id) else { return };
        let backend = Arc::clone(&deployment.backend);
        let fresh = Alias {
            id: self.ground().chance.word(24),
            host: host.to_owned(),
            deployment: id.to_owned(),
            project: deployment.project.clone(),
            created: self.now(),
        };
        state.aliases.entry(host.to_owned()).and_modify(|alias| id.clone_into(&mut alias.deployment)).or_insert(fresh);
        let content = deployment.content();
        self.ground().traffic.set_showing(host, vec![backend], vec![content]);
    }

    /// Begins a promotion or rollback of `project` to `to`, which goes on in a task of its own.
    pub(super) fn begin_job(&self, state: &mut State, project: &str, to: &str, kind: Verb) {
        let requested = self.now();
        let own = state.deployments.get(to).map(|deployment| deployment.fate.promotion).filter(|_| kind == Verb::Promote);
        let Some(project) = state.projects.get_mut(project) else { return };
        let split = || JobFate::Splits(half(production_hosts(project).len()));
        let in_part = partial().then(split);
        let fate = in_part.or_else(|| project.job_fates.pop_front()).or(own).unwrap_or_default();
        let hosts = production_hosts(project).into_iter().map(|host| (host, JobStatus::Pending)).collect();
        let from = project.production.clone();
        project.request = Some(AliasRequest { from, to: to.to_owned(), kind, status: JobStatus::Pending, requested, hosts });
        let (vercel, id) = (self.clone(), project.id.clone());
        self.ground().spawn(async move { vercel.job(&id, fate).await });
    }

    async fn job(&self, project: &str, fate: JobFate) {
        let whole = self.state().switches.job_time;
        tokio::time::sleep(whole / 4).await;
        let Some((to, hosts)) = self.amend(project, |request| {
            request.status = JobStatus::InProgress;
            request.hosts.iter_mut().for_each(|(_, status)| *status = JobStatus::InProgress);
            (request.to.clone(), request.hosts.iter().map(|(host, _)| host.clone()).collect::<Vec<_>>())
        }) else {
            return;
        };
        if let JobFate::Late(by) = fate {
            tokio::time::sleep(by).await;
        }
        let moves = match fate {
            JobFate::Succeeds | JobFate::Late(_) => hosts.len(),
            JobFate::Splits(count) => count.min(hosts.len()),
            JobFate::Fails | JobFate::Skipped => 0,
        };
        let step = (whole * 3 / 4) / u32::try_from(hosts.len() + 1).unwrap_or(u32::MAX);
        for (index, host) in hosts.iter().enumerate() {
            tokio::time::sleep(step).await;
            if index < moves {
                self.point(&mut self.state(), host, &to);
            }
            let status = if index < moves { JobStatus::Succeeded } else { JobStatus::Failed };
            self.amend(project, |request| request.hosts[index].1 = status);
        }
        tokio::time::sleep(step).await;
        self.end_job(project, &to, fate);
    }

    fn end_job(&self, project: &str, to: &str, fate: JobFate) {
        let now = self.now();
        let mut state = self.state();
        let switches = state.switches.clone();
        let Some(kind) = state.projects.get(project).and_then(|project| project.request.as_ref()).map(|request| request.kind) else {
            return;
        };
        let status = match fate {
            JobFate::Succeeds | JobFate::Late(_) => JobStatus::Succeeded,
            JobFate::Fails | JobFate::Splits(_) => JobStatus::Failed,
            JobFate::Skipped => JobStatus::Skipped,
        };
        if status == JobStatus::Succeeded {
            state.promoted(project, to, now);
        }
        let Some(project) = state.projects.get_mut(project) else { return };
        if status == JobStatus::Succeeded {
            match kind {
                Verb::Promote => project.auto_assign |= switches.promote_turns_auto_assign_on,
                Verb::Rollback => project.auto_assign &= !switches.rollback_turns_auto_assign_off,
            }
        }
        if let Some(request) = project.request.as_mut() {
            request.status = status;
        }
    }

    fn amend<T>(&self, project: &str, change: impl FnOnce(&mut AliasRequest) -> T) -> Option<T> {
        self.state().projects.get_mut(project)?.request.as_mut().map(change)
    }

    /// Removes the deployment `id` and every hostname that leads to it.
    pub(super) fn remove(&self, state: &mut State, id: &str) {
        let Some(deployment) = state.deployments.remove(id) else { return };
        self.ground().traffic.remove(&deployment.url);
        self.ground().traffic.lives(id, false);
        self.ground().traffic.ends(id, Duration::ZERO);
        for host in state.hosts_of(id) {
            state.aliases.remove(&host);
            self.ground().traffic.remove(&host);
        }
        if let Some(project) = state.projects.get_mut(&deployment.project)
            && project.production.as_deref() == Some(id)
        {
            project.production = None;
        }
        self.shared.grown.notify_waiters();
    }
}

/// Returns the hostnames that a promotion moves.
pub(super) fn production_hosts(project: &Project) -> Vec<String> {
    project.domains.iter().filter(|domain| domain.verified).map(|domain| domain.name.clone()).collect()
}

impl Deployment {
    /// Returns what it serves, by content: its files but for the mark under `.well-known`, and whether it answers well in production.
    pub(super) fn content(&self) -> String {
        let files = self.files.iter().filter(|(path, _)| !path.contains(".well-known/"));
        let text: String = files.map(|(path, stored)| format!("{path} {}\n", stored.sha)).collect();
        let well = if self.fate.answers == Answers::Well { "" } else { "failing " };
        format!("{well}files {}", &hex(Sha1::digest(text.as_bytes()).as_slice())[..16])
    }

    /// Adds a line to the log.
    pub(super) fn write(&mut self, at: i64, kind: &'static str, text: &str, state: Option<BuildState>) {
        self.log.push(LogLine { kind, text: text.to_owned(), at, state });
    }
}
