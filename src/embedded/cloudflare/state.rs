//! What the embedded Cloudflare remembers: accounts, projects, deployments, contents. Plain data; time is handed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::purge::Purge;
use super::site::Site;
use super::switch::{Fate, Switches};
use super::workers::state::{Upload, Worker};
use super::zones::Zone;
use crate::embedded::traffic::Backend;

/// Everything one embedded Cloudflare remembers.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) switches: Switches,
    /// The accounts that each token reaches.
    pub(super) tokens: BTreeMap<String, BTreeSet<String>>,
    /// Upload tokens.
    pub(super) tickets: BTreeMap<String, Ticket>,
    /// Projects by account and name.
    pub(super) projects: BTreeMap<(String, String), Project>,
    pub(super) deployments: BTreeMap<String, Deployment>,
    /// Content types by owner (a project, or the account where contents are shared) and key.
    pub(super) contents: BTreeMap<(String, String), String>,
    /// Keys and extensions that were seen to belong together.
    pub(super) checked: BTreeSet<(String, String)>,
    /// The time last given out by [`State::stamp`].
    pub(super) last_stamp: i64,
    /// Zones by id.
    pub(super) zones: BTreeMap<String, Zone>,
    /// Every purge that was granted.
    pub(super) purges: Vec<Purge>,
    /// What each account may still purge.
    pub(super) allowances: BTreeMap<String, Allowance>,
    /// The names of accounts on workers.dev, where they are not the usual one.
    pub(super) subdomains: BTreeMap<String, String>,
    /// Workers by account and name.
    pub(super) workers: BTreeMap<(String, String), Worker>,
    /// Uploads of workers' files, by token: those under way and those that are complete.
    pub(super) uploads: BTreeMap<String, Upload>,
}

/// How much of something an account may still do, and since when that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) left: u32,
    /// In milliseconds since 1970.
    pub(super) since: i64,
}

/// An upload token.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) account: String,
    pub(super) project: String,
    /// When it ends, in milliseconds since 1970.
    pub(super) ends: i64,
}

/// A project.
#[derive(Debug, Clone)]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) name: String,
    pub(super) subdomain: String,
    pub(super) production_branch: String,
    /// Custom hostnames, each with its status.
    pub(super) domains: Vec<(String, String)>,
    /// Owner and name of the connected repository, and whether pushes go to production.
    pub(super) source: Option<(String, String, bool)>,
    /// The newest commit of each branch of that repository, with what a build of it makes.
    pub(super) heads: BTreeMap<String, (String, Arc<Site>)>,
    /// Deploy hooks: the branch of each.
    pub(super) hooks: BTreeMap<String, String>,
    /// What production is.
    pub(super) canonical: Option<String>,
    /// What is to become of the next previews, and of the next production deployments.
    pub(super) fates: (VecDeque<Fate>, VecDeque<Fate>),
    pub(super) created: i64,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Building,
    Active,
    Success,
    Failure,
}

impl Stage {
    /// Returns name and status of the latest stage.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Queued => ("queued", "active"),
            Self::Building => ("build", "active"),
            Self::Active => ("deploy", "active"),
            Self::Success => ("deploy", "success"),
            Self::Failure => ("deploy", "failure"),
        }
    }
}

/// A deployment.
#[derive(Clone)]
pub(super) struct Deployment {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) project: String,
    pub(super) production: bool,
    pub(super) branch: String,
    pub(super) message: String,
    pub(super) commit: String,
    pub(super) dirty: bool,
    /// What started it.
    pub(super) trigger: &'static str,
    /// Whether it is built from the repository.
    pub(super) builds: bool,
    pub(super) stage: Stage,
    pub(super) fate: Fate,
    pub(super) site: Arc<Site>,
    pub(super) created: i64,
    pub(super) ended: Option<i64>,
    pub(super) backend: Arc<dyn Backend>,
}

impl Deployment {
    /// Returns the first eight characters of its id, of which its own hostname is made.
    pub(super) fn short(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    /// Returns the branch as hostnames have it: lower case, other characters as hyphens, none at the ends, at most 28 (a report of the vendor's
    /// engineer).
    pub(super) fn alias(&self) -> String {
        let plain = |one: char| if one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-' { one } else { '-' };
        let text: String = self.branch.to_lowercase().chars().map(plain).collect();
        let text = text.trim_matches('-');
        if text.is_empty() { format!("branch-{}", self.short()) } else { text.chars().take(28).collect() }
    }
}

impl State {
    /// Returns `now`, or just after the last time given out, so that creation times order what was created.
    pub(super) fn stamp(&mut self, now: i64) -> i64 {
        self.last_stamp = now.max(self.last_stamp + 1);
        self.last_stamp
    }

    pub(super) fn project(&self, account: &str, name: &str) -> Option<&Project> {
        self.projects.get(&(account.to_owned(), name.to_owned()))
    }

    pub(super) fn project_mut(&mut self, account: &str, name: &str) -> Option<&mut Project> {
        self.projects.get_mut(&(account.to_owned(), name.to_owned()))
    }

    /// Returns the first project of that name in any account.
    pub(super) fn named(&self, name: &str) -> Option<&Project> {
        self.projects.values().find(|project| project.name == name)
    }

    /// Returns the deployments of a project, newest first.
    pub(super) fn deployments_of(&self, account: &str, project: &str) -> Vec<&Deployment> {
        let of = |one: &&Deployment| one.account == account && one.project == project;
        let mut found: Vec<_> = self.deployments.values().filter(of).collect();
        found.sort_by_key(|one| std::cmp::Reverse(one.created));
        found
    }

    /// Returns whose contents a project's are.
    pub(super) fn owner(&self, account: &str, project: &str) -> String {
        if self.switches.shares_contents { account.to_owned() } else { format!("{account}/{project}") }
    }
}
