//! What is there before the first request, and what tests see.

use std::io;
use std::sync::Arc;

use super::front::Front;
use super::state::{Deployment, Version, Worker, WorkerFate, owner};
use crate::embedded::cloudflare::{Cloudflare, Tree};

/// A worker to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSeed {
    /// The account.
    pub account: String,
    /// The name.
    pub name: String,
    /// Whether it answers on workers.dev, below `embedded`.
    pub enabled: bool,
    /// Custom hostnames.
    pub domains: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// A worker as the world sees it, for reports and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWorker {
    /// The name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it answers on workers.dev.
    pub enabled: bool,
    /// What its users get, as a short text; `None` where nothing serves.
    pub content: Option<String>,
}

impl WorkerSeed {
    /// Returns a worker without extras.
    pub fn new(account: &str, name: &str) -> Self {
        Self { account: account.to_owned(), name: name.to_owned(), enabled: true, domains: Vec::new(), tags: Vec::new() }
    }
}

/// A version as the world sees it, for reports and tests.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenVersion {
    /// The id.
    pub id: String,
    /// The message of its maker.
    pub message: String,
    /// The tag of its maker.
    pub tag: String,
    /// Its share of the users in percent; `None` where it is not in the deployment.
    pub share: Option<f64>,
    /// Its paths, in order.
    pub paths: Vec<String>,
    /// What users get of it, as a short text: equal files and rules, equal text.
    pub content: String,
}

impl Cloudflare {
    /// Gives an account its name on workers.dev, which workers made from now on answer below.
    pub fn name_account(&self, account: &str, subdomain: &str) {
        self.state().subdomains.insert(account.to_owned(), subdomain.to_owned());
    }

    /// Adds a worker without a version. Its hostnames are known and answered by nobody until something serves.
    pub fn seed_worker(&self, seed: WorkerSeed) {
        let subdomain = self.state().subdomain_of(&seed.account);
        let worker =
            Worker { enabled: seed.enabled, domains: seed.domains, tags: seed.tags, ..Worker::new(&seed.account, &seed.name, subdomain) };
        for host in super::versions::hosts(&worker) {
            self.ground().traffic.set(&host, Vec::new());
        }
        self.state().workers.insert((seed.account, seed.name), worker);
    }

    /// Adds a version of plain files that every user of `worker` (by name) gets now, made by nobody of ours; returns its id. Errors: the store's
    /// disk; a worker that does not exist is an error of the caller, reported as `NotFound`.
    pub fn seed_earlier_version(&self, worker: &str, tree: &Tree) -> io::Result<String> {
        let (id, deployment) = (self.identity(), self.identity());
        let now = self.now();
        let account = {
            let mut state = self.state();
            let found = state.workers.values().find(|one| one.name == worker).cloned().ok_or(io::ErrorKind::NotFound)?;
            let whose = owner(&found.account, worker);
            let site = self.stored(&mut state, &whose, "text/html; charset=utf-8", tree)?;
            let created = state.stamp(now - 3_600_000);
            let front = |preview| Arc::new(Front::new(self, (&found.account, worker), &id, preview));
            let version = Version {
                id: id.clone(),
                number: found.versions.len() as u64 + 1,
                message: "by hand".to_owned(),
                tag: String::new(),
                created,
                site: Arc::new(site),
                not_found: "none".to_owned(),
                fate: WorkerFate::Fine,
                users: front(false),
                preview: front(true),
            };
            if let Some(worker) = state.workers.get_mut(&(found.account.clone(), worker.to_owned())) {
                worker.versions.push(version);
                let shares = vec![(id.clone(), 100.0)];
                worker.deployments.push(Deployment { id: deployment, shares, message: "by hand".to_owned(), created });
            }
            found.account
        };
        self.publish_version(&account, worker, &id);
        self.lead_worker(&account, worker);
        Ok(id)
    }

    /// Sets what becomes of the next version of `worker` that is made; several are used up in order.
    pub fn next_version(&self, worker: &str, fate: WorkerFate) {
        if let Some(worker) = self.state().workers.values_mut().find(|one| one.name == worker) {
            worker.fates.push_back(fate);
        }
    }

    /// Returns every worker, in the order of accounts and names.
    pub fn workers(&self) -> Vec<SeenWorker> {
        let state = self.state();
        let content = |worker: &Worker| {
            let (id, _) = worker.in_force()?.shares.iter().find(|(_, share)| *share > 0.0)?;
            Some(worker.version(id)?.site.content())
        };
        let seen = |worker: &Worker| SeenWorker {
            name: worker.name.clone(),
            tags: worker.tags.clone(),
            enabled: worker.enabled,
            content: content(worker),
        };
        state.workers.values().map(seen).collect()
    }

    /// Returns the versions of `worker`, oldest first.
    pub fn versions(&self, worker: &str) -> Vec<SeenVersion> {
        let state = self.state();
        let Some(worker) = state.workers.values().find(|one| one.name == worker) else { return Vec::new() };
        let share = |id: &str| {
            let shares = &worker.in_force()?.shares;
            shares.iter().find(|(known, _)| known == id).map(|(_, share)| *share)
        };
        let seen = |version: &Version| SeenVersion {
            id: version.id.clone(),
            message: version.message.clone(),
            tag: version.tag.clone(),
            share: share(&version.id),
            paths: version.site.manifest.keys().cloned().collect(),
            content: version.site.content(),
        };
        worker.versions.iter().map(seen).collect()
    }
}
