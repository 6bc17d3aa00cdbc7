//! The embedded Vercel: its REST API and its edge, as far as a deploy, a promotion, a rollback, a git-source deployment and a deploy hook
//! need them.
//!
//! Sources: the published OpenAPI document, the vendor's client (its source and runs of it), the vendor's documentation, user reports.
//! What rests on a report or a guess is a field of [`Switches`]. What it does not do: run builds or functions (a function answers 501),
//! rolling releases beyond queueing a promotion, checks, custom environments, creating a project by deploying.
//!
//! | file | concept |
//! |---|---|
//! | `state` | accounts, projects, deployments, aliases |
//! | [`switch`] | guesses, speeds, fates |
//! | [`seed`] | what is there before the first request |
//! | `life` | what happens by itself: builds, aliasing, promotion jobs |
//! | `routes` | paths, methods, operations |
//! | `create`, `deployments`, `events`, `files`, `projects`, `promotion`, `variables`, `accounts`, `hooks`, `aliases` | handlers |
//! | `person` | what people do beside us |
//! | `wire` | bodies of answers |
//! | `site`, `pattern`, `media`, `front` | what the public addresses answer |

mod accounts;
mod aliases;
mod caller;
mod create;
mod deployments;
mod events;
mod files;
mod front;
mod hooks;
mod life;
mod media;
mod pattern;
mod person;
mod projects;
mod promotion;
mod refusal;
mod routes;
pub mod seed;
mod site;
mod state;
mod store;
pub mod switch;
mod variables;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

pub use refusal::rate_limited;
pub use seed::{ProjectSeed, Tree};
pub use switch::{Answers, BuildFate, Fate, JobFate, Plan, Switches};

use self::state::State;
use self::store::FileStore;
use super::ground::{Ground, lock};
use super::world::World;

/// The name under which tape and faults know this platform.
pub const PLATFORM: &str = "vercel";

/// The host name of the vendor's API.
pub const AUTHORITY: &str = "api.vercel.com";

/// One embedded Vercel; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct Vercel {
    shared: Arc<Shared>,
}

struct Shared {
    ground: Ground,
    store: FileStore,
    state: Mutex<State>,
    /// Told whenever a deployment's log grows.
    grown: Notify,
}

/// A deployment as the world sees it, for reports and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The id, `dpl_...`.
    pub id: String,
    /// Its own hostname.
    pub url: String,
    /// `QUEUED`, `BUILDING`, `READY`, `ERROR` or `CANCELED`.
    pub state: &'static str,
    /// Whether its target is production.
    pub production: bool,
    /// Whether it has ever had production traffic.
    pub promoted: bool,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
    /// What it serves, by content.
    pub content: String,
}

impl Vercel {
    /// Returns an embedded Vercel without accounts, standing on `ground`.
    pub fn new(ground: &Ground) -> Self {
        let shared = Shared { ground: ground.clone(), store: FileStore::default(), state: Mutex::default(), grown: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Makes `world` answer for [`AUTHORITY`].
    pub fn add_to(&self, world: &World) {
        world.add(PLATFORM, routes::router(self.clone()), AUTHORITY, routes::Names(self.clone()));
        let shared = Arc::downgrade(&self.shared);
        world.copies(PLATFORM, AUTHORITY, move || {
            let copy = Self { shared: shared.upgrade()? }.copy();
            // A copy of the copy for each request: what one request does there, the next must not see.
            Some(Arc::new(move || routes::router(copy.copy())))
        });
    }

    /// Changes the switches.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.state().switches);
    }

    /// Sets what becomes of the next deployment of `project` (id or name) that is created; several are used up in order.
    pub fn next(&self, project: &str, fate: Fate) {
        if let Some(project) = self.state().project_mut(project) {
            project.fates.push_back(fate);
        }
    }

    /// Sets how the next promotion or rollback of `project` goes, whatever the deployment's own fate says; several are used up in order.
    pub fn next_job(&self, project: &str, fate: JobFate) {
        if let Some(project) = self.state().project_mut(project) {
            project.job_fates.push_back(fate);
        }
    }

    /// Returns the id of the deployment that `project` (id or name) counts as its production.
    pub fn production(&self, project: &str) -> Option<String> {
        self.state().project(project)?.production.clone()
    }

    /// Returns the id of the deployment that `host` leads to.
    pub fn leads_to(&self, host: &str) -> Option<String> {
        Some(self.state().aliases.get(host)?.deployment.clone())
    }

    /// Returns whether later pushes of `project` would go to production by themselves.
    pub fn auto_assigns(&self, project: &str) -> Option<bool> {
        Some(self.state().project(project)?.auto_assign)
    }

    /// Returns the deployments of `project` (id or name), oldest first.
    pub fn deployments(&self, project: &str) -> Vec<Seen> {
        let state = self.state();
        let Some(project) = state.project(project) else { return Vec::new() };
        let mut found: Vec<_> = state.deployments.values().filter(|deployment| deployment.project == project.id).collect();
        found.sort_by_key(|deployment| deployment.created);
        found
            .into_iter()
            .map(|deployment| Seen {
                id: deployment.id.clone(),
                url: deployment.url.clone(),
                state: deployment.ready.as_str(),
                production: deployment.production,
                promoted: deployment.promoted,
                meta: deployment.meta.clone(),
                content: deployment.content(),
            })
            .collect()
    }

    /// Returns the same state in surroundings of its own.
    fn copy(&self) -> Self {
        let shared = Shared {
            ground: self.ground().aside(),
            store: self.store().aside(),
            state: Mutex::new(self.state().clone()),
            grown: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn ground(&self) -> &Ground {
        &self.shared.ground
    }

    fn store(&self) -> &FileStore {
        &self.shared.store
    }

    fn now(&self) -> i64 {
        self.shared.ground.clock.now_ms()
    }

    /// Returns an identity such as `dpl_` and 24 characters.
    fn identity(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.shared.ground.chance.word(24))
    }
}
