//! What the embedded Vercel remembers: accounts, projects, deployments, aliases. Plain data; time is handed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::site::{PlainSettings, Site};
use super::store::Files;
use super::switch::{Fate, JobFate, Switches};
use crate::embedded::traffic::Backend;

/// Everything one embedded Vercel remembers.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) switches: Switches,
    pub(super) teams: BTreeMap<String, Team>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) deployments: BTreeMap<String, Deployment>,
    pub(super) aliases: BTreeMap<String, Alias>,
    /// The time last given out by [`State::stamp`].
    pub(super) last_stamp: i64,
}

/// A team.
#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) id: String,
    pub(super) slug: String,
    pub(super) created: i64,
}

/// Who calls with a token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) user: String,
    /// The teams that it reaches.
    pub(super) teams: BTreeSet<String>,
    /// The only project that it reaches, for a project token.
    pub(super) project: Option<String>,
}

/// A hostname in production.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) verified: bool,
    pub(super) created: i64,
}

/// A project's connection to a repository.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) org: String,
    pub(super) repo: String,
    pub(super) repo_id: u64,
    pub(super) production_branch: String,
    pub(super) hooks: Vec<Hook>,
}

/// A deploy hook.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) branch: String,
    pub(super) created: i64,
}

/// One commit of the connected repository, as the vendor's builders would find it.
#[derive(Debug, Clone)]
pub(super) struct GitTree {
    pub(super) branch: String,
    pub(super) sha: String,
    pub(super) files: Files,
}

/// An environment variable of a project.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) kind: String,
    pub(super) target: Vec<String>,
    pub(super) branch: Option<String>,
    pub(super) comment: Option<String>,
    pub(super) created: i64,
    pub(super) updated: i64,
}

/// The last promotion or rollback that was asked for.
#[derive(Debug, Clone)]
pub(super) struct AliasRequest {
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) kind: Verb,
    pub(super) status: JobStatus,
    pub(super) requested: i64,
    /// What became of each hostname.
    pub(super) hosts: Vec<(String, JobStatus)>,
}

/// Which way a job moves traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Promote,
    Rollback,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobStatus {
    Pending,
    InProgress,
    Succeeded,
    Failed,
    Skipped,
}

impl JobStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in-progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Returns the name that the lists of hostnames use.
    pub(super) fn of_host(self) -> &'static str {
        if self == Self::Succeeded { "completed" } else { self.as_str() }
    }

    pub(super) fn running(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress)
    }
}

/// A project.
#[derive(Debug, Clone)]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) name: String,
    /// The team's id, or the user's for a personal account.
    pub(super) scope: String,
    pub(super) domains: Vec<Domain>,
    pub(super) link: Option<Link>,
    pub(super) trees: Vec<GitTree>,
    pub(super) auto_assign: bool,
    pub(super) root_directory: Option<String>,
    /// What else a PATCH has set, as it was sent.
    pub(super) settings: BTreeMap<String, Value>,
    pub(super) rolling: Option<Value>,
    pub(super) protection: Option<String>,
    pub(super) bypass: BTreeMap<String, i64>,
    pub(super) variables: Vec<Variable>,
    pub(super) production: Option<String>,
    /// What was in production just before.
    pub(super) previous: Option<String>,
    pub(super) request: Option<AliasRequest>,
    pub(super) fates: VecDeque<Fate>,
    pub(super) job_fates: VecDeque<JobFate>,
    pub(super) created: i64,
}

impl Project {
    /// Returns whether a promotion or rollback is under way.
    pub(super) fn busy(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.status.running())
    }

    /// Returns the tree that the vendor's builders would take for `branch`, or for exactly `sha`.
    pub(super) fn tree(&self, branch: &str, sha: Option<&str>) -> Option<&GitTree> {
        self.trees.iter().rev().find(|tree| sha.map_or(tree.branch == branch, |sha| tree.sha == sha))
    }
}

/// The states of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuildState {
    Queued,
    Building,
    Ready,
    Error,
    Canceled,
}

impl BuildState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Building => "BUILDING",
            Self::Ready => "READY",
            Self::Error => "ERROR",
            Self::Canceled => "CANCELED",
        }
    }

    pub(super) fn ended(self) -> bool {
        matches!(self, Self::Ready | Self::Error | Self::Canceled)
    }
}

/// A line of a deployment's log.
#[derive(Debug, Clone)]
pub(super) struct LogLine {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) at: i64,
    pub(super) state: Option<BuildState>,
}

/// A deployment.
#[derive(Clone)]
pub(super) struct Deployment {
    pub(super) id: String,
    /// The hostname, without a scheme.
    pub(super) url: String,
    pub(super) project: String,
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) creator: String,
    pub(super) production: bool,
    pub(super) auto_assign: bool,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) git_source: Option<Value>,
    pub(super) source: String,
    pub(super) regions: Vec<String>,
    pub(super) files: Arc<Files>,
    pub(super) prebuilt: bool,
    pub(super) root: String,
    pub(super) plain: PlainSettings,
    pub(super) fate: Fate,
    pub(super) ready: BuildState,
    pub(super) promoted: bool,
    pub(super) created: i64,
    pub(super) building_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) alias_assigned: Option<i64>,
    pub(super) error: Option<(String, String)>,
    pub(super) log: Vec<LogLine>,
    pub(super) site: Option<Arc<Site>>,
    pub(super) backend: Arc<dyn Backend>,
}

/// A hostname and what it leads to.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) id: String,
    pub(super) host: String,
    pub(super) deployment: String,
    pub(super) project: String,
    pub(super) created: i64,
}

impl State {
    /// Returns `now`, or just after the last time given out, so that creation times order what was created.
    pub(super) fn stamp(&mut self, now: i64) -> i64 {
        self.last_stamp = now.max(self.last_stamp + 1);
        self.last_stamp
    }

    /// Returns the project called `text`, by id or name.
    pub(super) fn project(&self, text: &str) -> Option<&Project> {
        self.projects.get(text).or_else(|| self.projects.values().find(|project| project.name == text))
    }

    /// Returns the project called `text`, by id or name.
    pub(super) fn project_mut(&mut self, text: &str) -> Option<&mut Project> {
        let id = self.project(text)?.id.clone();
        self.projects.get_mut(&id)
    }

    /// Returns the deployment called `text`: by id, by its own hostname, or by an alias.
    pub(super) fn deployment(&self, text: &str) -> Option<&Deployment> {
        let by_alias = || self.deployments.get(&self.aliases.get(text)?.deployment);
        self.deployments.get(text).or_else(|| self.deployments.values().find(|one| one.url == text)).or_else(by_alias)
    }

    /// Returns a team by its id or slug.
    pub(super) fn team(&self, text: &str) -> Option<&Team> {
        self.teams.get(text).or_else(|| self.teams.values().find(|team| team.slug == text))
    }

    /// Returns the hostnames that lead to the deployment `id` now.
    pub(super) fn hosts_of(&self, id: &str) -> Vec<String> {
        self.aliases.values().filter(|alias| alias.deployment == id).map(|alias| alias.host.clone()).collect()
    }

    /// Returns whether `id` may be rolled back to.
    pub(super) fn rollback_candidate(&self, id: &str) -> bool {
        let Some(deployment) = self.deployments.get(id) else { return false };
        let Some(project) = self.projects.get(&deployment.project) else { return false };
        let in_reach = self.switches.plan != super::switch::Plan::Hobby || project.previous.as_deref() == Some(id);
        deployment.ready == BuildState::Ready && deployment.promoted && project.production.as_deref() != Some(id) && in_reach
    }

    /// Returns whether every production hostname of `project` leads to the deployment `id`.
    pub(super) fn serves_everywhere(&self, project: &Project, id: &str) -> bool {
        project.domains.iter().all(|domain| self.aliases.get(&domain.name).is_some_and(|alias| alias.deployment == id))
    }

    /// Writes down that `id` is the production of `project` now.
    pub(super) fn promoted(&mut self, project: &str, id: &str, now: i64) {
        if let Some(project) = self.projects.get_mut(project)
            && project.production.as_deref() != Some(id)
        {
            project.previous = project.production.replace(id.to_owned());
        }
        if let Some(deployment) = self.deployments.get_mut(id) {
            deployment.promoted = true;
            deployment.alias_assigned = Some(now);
            deployment.write(now, "alias-assigned", "", None);
        }
    }
}
