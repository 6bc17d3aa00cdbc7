//! What is there before the first request: tokens, projects, what serves now.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Cloudflare;
use super::front::Front;
use super::life::production_hosts;
use super::rules::{Headers, Redirects};
use super::site::Site;
use super::state::{Deployment, Project, Stage, State};
use super::store::extension;
use super::switch::Fate;

/// Contents by path, without a leading slash.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// A project to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectSeed {
    /// The account, 32 hex digits by the vendor's convention.
    pub account: String,
    /// The name, also of `{name}.pages.dev`.
    pub name: String,
    /// The branch whose deployments are production.
    pub production_branch: String,
    /// Custom hostnames that are active.
    pub domains: Vec<String>,
    /// Custom hostnames that are not: they lead nowhere.
    pub pending: Vec<String>,
    /// `owner/name` of the connected repository, and whether its pushes go to production.
    pub repository: Option<(String, bool)>,
    /// The name on pages.dev, where somebody else had its own.
    pub subdomain: Option<String>,
}

impl ProjectSeed {
    /// Returns a project without extras.
    pub fn new(account: &str, name: &str) -> Self {
        Self {
            account: account.to_owned(),
            name: name.to_owned(),
            production_branch: "main".to_owned(),
            domains: Vec::new(),
            pending: Vec::new(),
            repository: None,
            subdomain: None,
        }
    }
}

impl Cloudflare {
    /// Adds a token, or accounts that it reaches.
    pub fn seed_token(&self, token: &str, accounts: &[&str]) {
        let accounts = accounts.iter().map(|account| (*account).to_owned());
        self.state().tokens.entry(token.to_owned()).or_default().extend(accounts);
    }

    /// Adds a project. Its public hostnames are known and answered by nobody until something serves.
    pub fn seed_project(&self, seed: ProjectSeed) {
        let (created, id) = (self.now(), self.identity());
        let with = |names: Vec<String>, status: &str| names.into_iter().map(|name| (name, status.to_owned())).collect::<Vec<_>>();
        let domains = [with(seed.domains, "active"), with(seed.pending, "pending")].concat();
        let source = seed.repository.map(|(repository, on)| {
            let (owner, name) = repository.split_once('/').unwrap_or((&repository, ""));
            (owner.to_owned(), name.to_owned(), on)
        });
        let project = Project {
            id,
            account: seed.account.clone(),
            subdomain: format!("{}.pages.dev", seed.subdomain.as_ref().unwrap_or(&seed.name)),
            name: seed.name.clone(),
            production_branch: seed.production_branch,
            domains,
            source,
            heads: BTreeMap::new(),
            hooks: BTreeMap::new(),
            canonical: None,
            fates: (VecDeque::new(), VecDeque::new()),
            created,
        };
        for host in production_hosts(&project) {
            self.ground().traffic.set(&host, Vec::new());
        }
        self.state().projects.insert((seed.account, seed.name), project);
    }

    /// Adds a deployment of plain files that is the production of `project` (by name) now; returns its id. `_headers` and `_redirects` count as
    /// such. Errors: the store's disk; a project that does not exist is an error of the caller, reported as `NotFound`.
    pub fn seed_earlier_deployment(&self, project: &str, tree: &Tree) -> io::Result<String> {
        let id = self.identity();
        let now = self.now();
        let mut state = self.state();
        let found = state.named(project).cloned().ok_or(io::ErrorKind::NotFound)?;
        let site = self.site_of(&mut state, &found, tree)?;
        // Earlier is before everything that this world will do.
        let created = state.stamp(now - 3_600_000);
        state.last_stamp = created;
        let deployment = Deployment {
            id: id.clone(),
            account: found.account,
            project: found.name,
            production: true,
            branch: found.production_branch,
            message: "earlier".to_owned(),
            commit: "e".repeat(40),
            dirty: false,
            trigger: "ad_hoc",
            builds: false,
            stage: Stage::Queued,
            fate: Fate::default(),
            site: Arc::new(site),
            created,
            ended: None,
            backend: Arc::new(Front::new(self, &id)),
        };
        state.deployments.insert(id.clone(), deployment);
        drop(state);
        self.finish(&id);
        Ok(id)
    }

    /// Adds a commit at the head of `branch` of the connected repository of `project`, with what a build of it makes; a branch that is the first of
    /// its project becomes the production branch. Errors: the store's disk; no such project.
    pub fn seed_commit(&self, project: &str, branch: &str, sha: &str, tree: &Tree) -> io::Result<()> {
        let mut state = self.state();
        let found = state.named(project).cloned().ok_or(io::ErrorKind::NotFound)?;
        let site = Arc::new(self.site_of(&mut state, &found, tree)?);
        let project = state.project_mut(&found.account, &found.name).ok_or(io::ErrorKind::NotFound)?;
        if project.heads.is_empty() {
            branch.clone_into(&mut project.production_branch);
            project.hooks.values_mut().for_each(|hooked| branch.clone_into(hooked));
        }
        project.heads.insert(branch.to_owned(), (sha.to_owned(), site));
        Ok(())
    }

    /// Adds a deploy hook for `branch`; returns the path of its address below the API's, or `None` where there is no such project.
    pub fn seed_hook(&self, project: &str, id: &str, branch: &str) -> Option<String> {
        let mut state = self.state();
        let found = state.named(project)?.clone();
        state.project_mut(&found.account, &found.name)?.hooks.insert(id.to_owned(), branch.to_owned());
        Some(format!("/pages/webhooks/deploy_hooks/{id}"))
    }

    /// Stores a tree's contents for a project and returns it as a site.
    pub(super) fn site_of(&self, state: &mut State, project: &Project, tree: &Tree) -> io::Result<Site> {
        let owner = state.owner(&project.account, &project.name);
        self.stored(state, &owner, "text/html", tree)
    }

    /// Stores a tree's contents for `owner` and returns it as a site whose pages are of the type `page`.
    pub(super) fn stored(&self, state: &mut State, owner: &str, page: &str, tree: &Tree) -> io::Result<Site> {
        let mut site = Site::default();
        for (path, content) in tree {
            let text = || String::from_utf8_lossy(content);
            match path.as_str() {
                "_headers" => site.headers = Headers::parse(&text()),
                "_redirects" => site.redirects = Redirects::parse(&text()),
                _ => {
                    let encoded = STANDARD.encode(content) + extension(path);
                    let key = blake3::hash(encoded.as_bytes()).to_hex()[..32].to_owned();
                    self.store().put(&key, content)?;
                    let kind = if extension(path) == "html" { page } else { "application/octet-stream" };
                    state.contents.insert((owner.to_owned(), key.clone()), kind.to_owned());
                    site.types.insert(key.clone(), kind.to_owned());
                    site.manifest.insert(format!("/{path}"), key);
                }
            }
        }
        Ok(site)
    }
}
