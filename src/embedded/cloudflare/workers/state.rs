//! Workers, versions, deployments, uploads. Plain data; time is handed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::embedded::cloudflare::refusal::Refusal;
use crate::embedded::cloudflare::site::Site;
use crate::embedded::cloudflare::state::State;
use crate::embedded::traffic::Backend;

/// What is to become of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerFate {
    /// It answers as its files say.
    #[default]
    Fine,
    /// It answers 500 at every address.
    AnswersBadly,
    /// It answers 500 to users, and as its files say at its own address.
    AnswersUsersBadly,
}

/// A worker.
#[derive(Clone)]
pub(in crate::embedded::cloudflare) struct Worker {
    pub(super) account: String,
    pub(super) name: String,
    /// The account's name on workers.dev.
    pub(super) subdomain: String,
    /// Whether it answers on workers.dev.
    pub(super) enabled: bool,
    /// Whether its versions have addresses of their own; `None` where nobody has said so, and the switch decides.
    pub(super) previews_enabled: Option<bool>,
    /// Its tags.
    pub(super) tags: Vec<String>,
    /// Custom hostnames.
    pub(super) domains: Vec<String>,
    /// Oldest first.
    pub(super) versions: Vec<Version>,
    /// Oldest first; the last is in force.
    pub(super) deployments: Vec<Deployment>,
    /// What is to become of the next versions.
    pub(super) fates: VecDeque<WorkerFate>,
}

/// A version.
#[derive(Clone)]
pub(in crate::embedded::cloudflare) struct Version {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) message: String,
    pub(super) tag: String,
    pub(super) created: i64,
    pub(super) site: Arc<Site>,
    /// `none`, `404-page` or `single-page-application`.
    pub(super) not_found: String,
    pub(super) fate: WorkerFate,
    /// What answers at the worker's own hostnames.
    pub(super) users: Arc<dyn Backend>,
    /// What answers at the version's own.
    pub(super) preview: Arc<dyn Backend>,
}

/// A deployment: which share of the users gets which version.
#[derive(Debug, Clone)]
pub(in crate::embedded::cloudflare) struct Deployment {
    pub(super) id: String,
    pub(super) shares: Vec<(String, f64)>,
    pub(super) message: String,
    pub(super) created: i64,
}

/// An upload of files.
#[derive(Debug, Clone)]
pub(in crate::embedded::cloudflare) struct Upload {
    pub(super) account: String,
    pub(super) worker: String,
    /// Hashes by path.
    pub(super) manifest: BTreeMap<String, String>,
    /// What is not stored yet; nothing once the token completes the upload.
    pub(super) missing: BTreeSet<String>,
    /// When its token ends, in milliseconds since 1970.
    pub(super) ends: i64,
}

impl Worker {
    /// Returns a worker without a version.
    pub(super) fn new(account: &str, name: &str, subdomain: String) -> Self {
        Self {
            account: account.to_owned(),
            name: name.to_owned(),
            subdomain,
            enabled: false,
            previews_enabled: None,
            tags: Vec::new(),
            domains: Vec::new(),
            versions: Vec::new(),
            deployments: Vec::new(),
            fates: VecDeque::new(),
        }
    }

    pub(super) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    pub(super) fn in_force(&self) -> Option<&Deployment> {
        self.deployments.last()
    }

    /// Returns its hostname on workers.dev, below the account's name there.
    pub(super) fn own_host(&self) -> String {
        format!("{}.{}.workers.dev", self.name, self.subdomain)
    }
}

impl State {
    pub(in crate::embedded::cloudflare) fn worker(&self, account: &str, name: &str) -> Result<&Worker, Refusal> {
        self.workers.get(&(account.to_owned(), name.to_owned())).ok_or_else(Refusal::no_worker)
    }

    /// Returns an account's name on workers.dev.
    pub(in crate::embedded::cloudflare) fn subdomain_of(&self, account: &str) -> String {
        self.subdomains.get(account).cloned().unwrap_or_else(|| super::addresses::SUBDOMAIN.to_owned())
    }

    /// Returns whether the versions of a worker have addresses of their own.
    pub(super) fn has_previews(&self, worker: &Worker) -> bool {
        worker.previews_enabled.unwrap_or(self.switches.worker_previews)
    }

    pub(super) fn worker_mut(&mut self, account: &str, name: &str) -> Result<&mut Worker, Refusal> {
        self.workers.get_mut(&(account.to_owned(), name.to_owned())).ok_or_else(Refusal::no_worker)
    }
}

/// Returns whose contents a worker's are [?]: whether they are shared in an account is not documented; here they are the worker's own.
pub(super) fn owner(account: &str, worker: &str) -> String {
    format!("{account}/worker/{worker}")
}
