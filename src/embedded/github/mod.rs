//! The embedded GitHub: the REST and GraphQL calls that a release makes, and a real git object store behind refs.
//!
//! Sources: the published OpenAPI document, the vendor's documentation, reports in issues. What experience disagrees on is a field of
//! [`Switches`]. What it does not do: rendering Markdown, webhooks, running workflows, patches in differences, rate limits by points.
//!
//! | file | concept |
//! |---|---|
//! | `state` | tokens, repositories, what hangs on them |
//! | `object`, `repository` | git objects, refs, graph, differences |
//! | [`switch`] | guesses and lags |
//! | [`seed`] | what is there before the first request |
//! | `caller`, `gate`, `open` | who calls, what they may, limits, and a sandbox where everything exists |
//! | `routes` | paths, methods, operations |
//! | `comments`, `checks`, `statuses`, `deployments`, `environments`, `pulls`, `commits`, `git`, `contents`, `actions`, `graphql`, `account` | handlers |
//! | `shape`, `page` | bodies that many answers share |

mod account;
mod actions;
mod caller;
mod checks;
mod comments;
mod commits;
mod contents;
mod deployments;
mod environments;
mod gate;
mod git;
mod graphql;
mod object;
mod open;
mod page;
mod pulls;
mod refusal;
mod repository;
mod routes;
pub mod seed;
mod shape;
mod state;
mod statuses;
pub mod switch;

use std::sync::{Arc, Mutex, MutexGuard};

pub use caller::{Kind, Level, Token};
pub use seed::{CommitSeed, JobSeed, PullSeed, RepositorySeed, RunSeed};
pub use state::Dispatch;
pub use switch::Switches;

use self::gate::Usage;
use self::state::State;
use super::ground::{Ground, lock};
use super::world::World;

/// The name under which tape and faults know this platform.
pub const PLATFORM: &str = "github";

/// The host name of the vendor's API.
pub const AUTHORITY: &str = "api.github.com";

/// One embedded GitHub; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct GitHub {
    shared: Arc<Shared>,
}

struct Shared {
    ground: Ground,
    state: Mutex<State>,
    usage: Mutex<Usage>,
}

/// A comment as people see it, for reports and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenComment {
    /// Its id.
    pub id: i64,
    /// The account that wrote it.
    pub author: String,
    /// Its Markdown.
    pub body: String,
    /// Whether it is folded away.
    pub minimized: bool,
}

/// A deployment as people see it, for reports and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDeployment {
    /// Its id.
    pub id: i64,
    /// The commit.
    pub sha: String,
    /// The ref as it was asked for.
    pub git_ref: String,
    /// The environment.
    pub environment: String,
    /// Its states, oldest first.
    pub states: Vec<String>,
    /// The address of the newest status.
    pub environment_url: String,
}

impl GitHub {
    /// Returns an embedded GitHub without repositories, standing on `ground`.
    pub fn new(ground: &Ground) -> Self {
        Self { shared: Arc::new(Shared { ground: ground.clone(), state: Mutex::default(), usage: Mutex::default() }) }
    }

    /// Makes `world` answer for [`AUTHORITY`].
    pub fn add_to(&self, world: &World) {
        world.add(PLATFORM, routes::router(self.clone()), AUTHORITY, routes::name);
        let shared = Arc::downgrade(&self.shared);
        world.copies(PLATFORM, AUTHORITY, move || {
            let copy = Self { shared: shared.upgrade()? }.copy();
            // A copy of the copy for each request: what one request does there, the next must not see.
            Some(Arc::new(move || routes::router(copy.copy())))
        });
    }

    /// Returns the same state in surroundings of its own.
    fn copy(&self) -> Self {
        let (state, usage) = (Mutex::new(self.state().clone()), Mutex::new(self.usage().clone()));
        Self { shared: Arc::new(Shared { ground: self.ground().aside(), state, usage }) }
    }

    /// Changes the switches.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.state().switches);
    }

    /// Returns the comments of a pull request or issue, oldest first.
    pub fn comments(&self, repository: &str, number: i64) -> Vec<SeenComment> {
        let state = self.state();
        let comments = state.repositories.get(repository).into_iter().flat_map(|repository| repository.comments.values());
        let comments = comments.filter(|comment| comment.issue == number);
        comments
            .map(|comment| SeenComment {
                id: comment.id,
                author: comment.author.clone(),
                body: comment.body.clone(),
                minimized: comment.minimized.is_some(),
            })
            .collect()
    }

    /// Returns the deployments of a repository, oldest first.
    pub fn deployments(&self, repository: &str) -> Vec<SeenDeployment> {
        let state = self.state();
        let deployments = state.repositories.get(repository).into_iter().flat_map(|repository| repository.deployments.values());
        deployments
            .map(|deployment| SeenDeployment {
                id: deployment.id,
                sha: deployment.sha.clone(),
                git_ref: deployment.git_ref.clone(),
                environment: deployment.environment.clone(),
                states: deployment.statuses.iter().map(|status| status.state.clone()).collect(),
                environment_url: deployment.statuses.last().map(|status| status.environment_url.clone()).unwrap_or_default(),
            })
            .collect()
    }

    /// Returns the newest state and description of each context of a commit: `(context, state, description)`.
    pub fn statuses(&self, repository: &str, sha: &str) -> Vec<(String, String, String)> {
        let state = self.state();
        let statuses = state.repositories.get(repository).map(|repository| statuses::newest(repository, sha)).unwrap_or_default();
        statuses
            .into_iter()
            .map(|status| (status.context.clone(), status.state.clone(), status.description.clone().unwrap_or_default()))
            .collect()
    }

    /// Returns name, status and conclusion of each check run of a commit, oldest first.
    pub fn check_runs(&self, repository: &str, sha: &str) -> Vec<(String, String, Option<String>)> {
        let state = self.state();
        let runs = state.repositories.get(repository).into_iter().flat_map(|repository| repository.check_runs.values());
        runs.filter(|run| run.sha == sha).map(|run| (run.name.clone(), run.status.clone(), run.conclusion.clone())).collect()
    }

    /// Returns what the ref (`refs/heads/main`) points at.
    pub fn head(&self, repository: &str, name: &str) -> Option<String> {
        Some(self.state().repositories.get(repository)?.git.head(name)?.to_owned())
    }

    /// Removes a ref (`refs/heads/main`), as a person with a clone does.
    pub fn remove_ref(&self, repository: &str, name: &str) {
        let now = self.now();
        if let Some(repository) = self.state().repositories.get_mut(repository) {
            repository.git.set(name, None, now);
        }
    }

    /// Returns the workflows that were asked for by hand, in order.
    pub fn dispatches(&self, repository: &str) -> Vec<Dispatch> {
        self.state().repositories.get(repository).map(|repository| repository.dispatches.clone()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        lock(&self.shared.usage)
    }

    fn ground(&self) -> &Ground {
        &self.shared.ground
    }

    fn now(&self) -> i64 {
        self.shared.ground.clock.now_ms()
    }
}
