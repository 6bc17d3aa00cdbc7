//! What is there before the first request: accounts, projects, commits, what serves now.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::Vercel;
use super::site::PlainSettings;
use super::state::{BuildState, Deployment, Domain, GitTree, Hook, Link, Project, Team, Token};
use super::store::Files;
use super::switch::Fate;

/// Contents by path, without a leading slash.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// A project to begin with.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSeed {
    /// The name, also of `{name}.vercel.app`.
    pub name: String,
    /// The id; `prj_...` by the vendor's convention.
    pub id: String,
    /// The id of the team (`team_...`), or of a user.
    pub scope: String,
    /// Further production hostnames.
    pub domains: Vec<String>,
    /// Hostnames that are not verified: no promotion moves them.
    pub unverified: Vec<String>,
    /// `owner/name` and the production branch of the connected repository.
    pub repository: Option<(String, String)>,
    /// Whether production deployments take the domains by themselves; the vendor begins with true.
    pub auto_assign: bool,
    /// The directory of the repository that the project lives in.
    pub root_directory: Option<String>,
    /// The `ssoProtection.deploymentType`, for Deployment Protection.
    pub protection: Option<String>,
    /// The secret that leads past the protection.
    pub bypass: Option<String>,
    /// The rolling release configuration; promotions are queued (202) and do not move traffic.
    pub rolling_release: Option<Value>,
}

impl ProjectSeed {
    /// Returns a project without extras.
    pub fn new(name: &str, id: &str, scope: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: id.to_owned(),
            scope: scope.to_owned(),
            domains: Vec::new(),
            unverified: Vec::new(),
            repository: None,
            auto_assign: true,
            root_directory: None,
            protection: None,
            bypass: None,
            rolling_release: None,
        }
    }
}

impl Vercel {
    /// Adds a team.
    pub fn seed_team(&self, id: &str, slug: &str) {
        let created = self.now();
        self.state().teams.insert(id.to_owned(), Team { id: id.to_owned(), slug: slug.to_owned(), created });
    }

    /// Adds a token of `user` that reaches `teams`, and only `project` (id) where one is given.
    pub fn seed_token(&self, token: &str, user: &str, teams: &[&str], project: Option<&str>) {
        let teams = teams.iter().map(|team| (*team).to_owned()).collect();
        let token_of = Token { user: user.to_owned(), teams, project: project.map(str::to_owned) };
        self.state().tokens.insert(token.to_owned(), token_of);
    }

    /// Adds a project; `{name}.vercel.app` is its first production hostname. Its public hostnames answer 404 until something serves.
    pub fn seed_project(&self, seed: ProjectSeed) {
        let created = self.now();
        let own = format!("{}.vercel.app", seed.name);
        let verified = std::iter::once(own).chain(seed.domains).map(|name| Domain { name, verified: true, created });
        let unverified = seed.unverified.into_iter().map(|name| Domain { name, verified: false, created });
        let link = seed.repository.map(|(repository, production_branch)| {
            let (org, repo) = repository.split_once('/').unwrap_or((&repository, ""));
            let repo_id = 100_000_000 + repository.bytes().fold(0, |sum: u64, byte| (sum * 31 + u64::from(byte)) % 900_000_000);
            Link { org: org.to_owned(), repo: repo.to_owned(), repo_id, production_branch, hooks: Vec::new() }
        });
        let project = Project {
            id: seed.id.clone(),
            name: seed.name,
            scope: seed.scope,
            domains: verified.chain(unverified).collect(),
            link,
            trees: Vec::new(),
            auto_assign: seed.auto_assign,
            root_directory: seed.root_directory,
            settings: BTreeMap::new(),
            rolling: seed.rolling_release,
            protection: seed.protection,
            bypass: seed.bypass.map(|secret| (secret, created)).into_iter().collect(),
            variables: Vec::new(),
            production: None,
            previous: None,
            request: None,
            fates: VecDeque::new(),
            job_fates: VecDeque::new(),
            created,
        };
        self.state().projects.insert(seed.id, project);
    }

    /// Adds a deployment to `project` (id or name) that serves production now, READY and PROMOTED; returns its id.
    ///
    /// `tree` is a Build Output tree where it holds `.vercel/output/config.json`, static files otherwise. Errors: the store's disk; a project
    /// that does not exist is an error of the caller, reported as `NotFound`.
    pub fn seed_earlier_deployment(&self, project: &str, tree: &Tree, meta: BTreeMap<String, String>) -> io::Result<String> {
        let files = self.store_tree(tree)?;
        let now = self.now();
        let id = self.identity("dpl_");
        {
            let mut state = self.state();
            // Earlier is before everything that this world will do.
            let created = state.stamp(now - 3_600_000);
            state.last_stamp = created;
            let found = state.project(project).ok_or(io::ErrorKind::NotFound)?;
            let slug = state.teams.get(&found.scope).map_or_else(|| found.scope.clone(), |team| team.slug.clone());
            let url = format!("{}-{}-{slug}.vercel.app", found.name, self.ground().chance.word(9));
            let prebuilt = files.keys().any(|path| path.ends_with(".vercel/output/config.json"));
            let deployment = Deployment {
                id: id.clone(),
                url: url.clone(),
                project: found.id.clone(),
                name: found.name.clone(),
                scope: found.scope.clone(),
                creator: "usr_earlier".to_owned(),
                production: true,
                auto_assign: false,
                meta,
                git_source: None,
                source: "cli".to_owned(),
                regions: vec!["iad1".to_owned()],
                files: Arc::new(files),
                prebuilt,
                root: found.root_directory.clone().unwrap_or_default(),
                plain: PlainSettings::default(),
                fate: Fate::default(),
                ready: BuildState::Building,
                promoted: false,
                created,
                building_at: Some(created),
                ended_at: None,
                alias_assigned: None,
                error: None,
                log: Vec::new(),
                site: None,
                backend: self.face(&id, &url),
            };
            state.deployments.insert(id.clone(), deployment);
        }
        self.end_build(&id);
        self.assign(&id);
        Ok(id)
    }

    /// Adds a commit at the head of `branch` of the project's connected repository: what a git-source deployment or a hook builds.
    pub fn seed_commit(&self, project: &str, branch: &str, sha: &str, tree: &Tree) -> io::Result<()> {
        let files = self.store_tree(tree)?;
        let mut state = self.state();
        let project = state.project_mut(project).ok_or(io::ErrorKind::NotFound)?;
        project.trees.push(GitTree { branch: branch.to_owned(), sha: sha.to_owned(), files });
        Ok(())
    }

    /// Adds a deploy hook for `branch` to a connected project; returns the path of its address, or `None` when the project is not connected.
    pub fn seed_hook(&self, project: &str, id: &str, name: &str, branch: &str) -> Option<String> {
        let created = self.now();
        let mut state = self.state();
        let project = state.project_mut(project)?;
        let hook = Hook { id: id.to_owned(), name: name.to_owned(), branch: branch.to_owned(), created };
        project.link.as_mut()?.hooks.push(hook);
        Some(format!("/v1/integrations/deploy/{}/{id}", project.id))
    }

    pub(super) fn store_tree(&self, tree: &Tree) -> io::Result<Files> {
        tree.iter().map(|(path, content)| Ok((path.trim_start_matches('/').to_owned(), self.store().put(content)?))).collect()
    }
}
