//! What happens by itself: a deployment goes through its stages, then hostnames lead to it.

use std::sync::Arc;

use super::Cloudflare;
use super::state::{Deployment, Project, Stage, State};
use super::switch::Ending;

impl Cloudflare {
    /// Begins a deployment, which goes on in a task of its own.
    pub(super) fn begin(&self, id: &str) {
        let (cloudflare, id) = (self.clone(), id.to_owned());
        self.ground().spawn(async move { cloudflare.deploy(&id).await });
    }

    async fn deploy(&self, id: &str) {
        let (time, build_time) = {
            let state = self.state();
            (state.switches.deploy_time, state.switches.build_time)
        };
        tokio::time::sleep(time / 4).await;
        let builds = self.state().deployments.get_mut(id).is_some_and(|deployment| {
            deployment.stage = if deployment.builds { Stage::Building } else { Stage::Active };
            deployment.builds
        });
        if builds {
            tokio::time::sleep(build_time).await;
        }
        if let Some(deployment) = self.state().deployments.get_mut(id) {
            deployment.stage = Stage::Active;
        }
        tokio::time::sleep(time.saturating_sub(time / 4)).await;
        self.finish(id);
    }

    /// Ends a deployment as it is fated to; what was removed meanwhile ends nowhere.
    pub(super) fn finish(&self, id: &str) {
        let now = self.now();
        let mut state = self.state();
        let Some(deployment) = state.deployments.get_mut(id) else { return };
        match deployment.fate.ending {
            Ending::Hangs => return,
            Ending::Fails => {
                deployment.stage = Stage::Failure;
                deployment.ended = Some(now);
                return;
            }
            Ending::Succeeds => {
                deployment.stage = Stage::Success;
                deployment.ended = Some(now);
            }
        }
        self.publish(&mut state, id);
    }

    /// Makes the hostnames of a deployment that has succeeded lead to it: its own, and its branch's or production's.
    fn publish(&self, state: &mut State, id: &str) {
        let Some(deployment) = state.deployments.get(id).cloned() else { return };
        let Some(project) = state.project(&deployment.account, &deployment.project).cloned() else { return };
        self.ground().traffic.lives(id, true);
        let own = format!("{}.{}", deployment.short(), project.subdomain);
        self.lead(&own, &deployment);
        if deployment.production {
            self.make_production(state, id);
        } else {
            self.lead(&format!("{}.{}", deployment.alias(), project.subdomain), &deployment);
        }
    }

    /// Makes a deployment the production of its project.
    pub(super) fn make_production(&self, state: &mut State, id: &str) {
        let Some(deployment) = state.deployments.get(id).cloned() else { return };
        let Some(project) = state.project_mut(&deployment.account, &deployment.project) else { return };
        project.canonical = Some(id.to_owned());
        for host in production_hosts(project) {
            self.lead(&host, &deployment);
        }
    }

    fn lead(&self, host: &str, deployment: &Deployment) {
        self.ground().traffic.set_showing(host, vec![Arc::clone(&deployment.backend)], vec![deployment.site.content()]);
    }

    /// Forgets a deployment; its hostnames are nobody's, or the branch's earlier deployment's.
    pub(super) fn remove(&self, state: &mut State, id: &str) {
        let Some(deployment) = state.deployments.remove(id) else { return };
        self.ground().traffic.lives(id, false);
        let Some(project) = state.project(&deployment.account, &deployment.project).cloned() else { return };
        self.ground().traffic.remove(&format!("{}.{}", deployment.short(), project.subdomain));
        if deployment.production {
            return;
        }
        let host = format!("{}.{}", deployment.alias(), project.subdomain);
        let listed = state.deployments_of(&deployment.account, &deployment.project);
        let heir = listed.into_iter().find(|one| !one.production && one.stage == Stage::Success && one.alias() == deployment.alias());
        match heir {
            Some(heir) => self.lead(&host, heir),
            None => self.ground().traffic.remove(&host),
        }
    }
}

/// Returns the hostnames of production: the vendor's, and custom ones that are active.
pub(super) fn production_hosts(project: &Project) -> Vec<String> {
    let active = project.domains.iter().filter(|(_, status)| status == "active").map(|(name, _)| name.clone());
    std::iter::once(project.subdomain.clone()).chain(active).collect()
}
