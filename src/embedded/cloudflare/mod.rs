//! The embedded Cloudflare: Pages' API and its edge, as far as a direct upload, a deployment, a rollback and their clean-up need them.
//!
//! Sources: the published OpenAPI document, the vendor's client (its source and runs of it), the vendor's documentation, user reports.
//! What rests on a report or a guess is a field of [`Switches`], or says so where it is written. What a build makes of a commit is seeded. What it
//! does not do: run workers or functions (a site with one answers 501). Zones and their records are kept, and decide which custom hostnames are
//! active; the edge caches nothing, so a purge is only noted. Workers serve static assets and nothing else.
//!
//! | file | concept |
//! |---|---|
//! | `state` | projects, deployments, contents, upload tokens |
//! | [`switch`] | guesses, speeds, fates |
//! | [`seed`] | what is there before the first request |
//! | `person` | what people do beside us |
//! | `life` | what happens by itself: a deployment goes through its stages, hostnames move |
//! | `routes` | paths, methods, operations |
//! | `caller` | who calls |
//! | `assets`, `projects`, `deployments` | handlers |
//! | `domains`, `zones`, `records`, `purge`, `names` | custom hostnames, DNS, cache; handlers, and what tests see |
//! | `workers` | workers that serve static assets |
//! | `form` | multipart bodies |
//! | `wire` | projects and deployments as answers show them |
//! | `store` | contents on disk |
//! | `site`, `rules`, `front` | what the public addresses answer |

mod assets;
mod caller;
mod deployments;
mod domains;
mod form;
mod front;
mod life;
mod names;
mod person;
mod projects;
mod purge;
mod records;
mod refusal;
mod routes;
mod rules;
pub mod seed;
mod site;
mod state;
mod store;
pub mod switch;
mod wire;
mod workers;
mod zones;

use std::sync::{Arc, Mutex, MutexGuard};

pub use purge::Purge;
pub use records::Record;
pub use refusal::rate_limited;
pub use seed::{ProjectSeed, Tree};
pub use switch::{Ending, Fate, Switches};
pub use workers::{SeenVersion, SeenWorker, WorkerFate, WorkerSeed};

use self::state::State;
use self::store::Store;
use super::ground::{Ground, lock};
use super::world::World;

/// The name under which tape and faults know this platform.
pub const PLATFORM: &str = "cloudflare";

/// The host name of the vendor's API.
pub const AUTHORITY: &str = "api.cloudflare.com";

/// The path below which the API is.
pub const BASE_PATH: &str = "/client/v4";

/// One embedded Cloudflare; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct Cloudflare {
    shared: Arc<Shared>,
}

struct Shared {
    ground: Ground,
    store: Store,
    state: Mutex<State>,
}

/// A deployment as the world sees it, for reports and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The id.
    pub id: String,
    /// Its own hostname.
    pub host: String,
    /// Whether it was made in production.
    pub production: bool,
    /// The branch.
    pub branch: String,
    /// The commit message.
    pub message: String,
    /// Name and status of its latest stage.
    pub stage: (&'static str, &'static str),
    /// Keys by path.
    pub manifest: std::collections::BTreeMap<String, String>,
    /// What users get of it, as a short text: equal files and rules, equal text.
    pub content: String,
}

impl Cloudflare {
    /// Returns an embedded Cloudflare without accounts, standing on `ground`.
    pub fn new(ground: &Ground) -> Self {
        let shared = Shared { ground: ground.clone(), store: Store::default(), state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Makes `world` answer for [`AUTHORITY`].
    pub fn add_to(&self, world: &World) {
        world.add(PLATFORM, routes::router(self.clone()), AUTHORITY, routes::OPERATIONS);
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

    /// Sets what becomes of the next deployment of `project` that is created, in production or as a preview; several are used up in order.
    pub fn next(&self, project: &str, production: bool, fate: Fate) {
        let mut state = self.state();
        if let Some(project) = state.projects.values_mut().find(|one| one.name == project) {
            let fates = if production { &mut project.fates.1 } else { &mut project.fates.0 };
            fates.push_back(fate);
        }
    }

    /// Returns the id of the deployment that is the production of `project`.
    pub fn production(&self, project: &str) -> Option<String> {
        self.state().named(project)?.canonical.clone()
    }

    /// Returns the deployment that a public hostname leads to.
    pub fn leads_to(&self, host: &str) -> Option<String> {
        self.ground().traffic.answering(host).pop()
    }

    /// Returns the deployments of `project`, oldest first.
    pub fn deployments(&self, project: &str) -> Vec<Seen> {
        let state = self.state();
        let Some(project) = state.named(project) else { return Vec::new() };
        let newest_first = state.deployments_of(&project.account, &project.name);
        let seen = |one: &&state::Deployment| Seen {
            id: one.id.clone(),
            host: format!("{}.{}", one.short(), project.subdomain),
            production: one.production,
            branch: one.branch.clone(),
            message: one.message.clone(),
            stage: one.stage.words(),
            manifest: one.site.manifest.clone(),
            content: one.site.content(),
        };
        newest_first.iter().rev().map(seen).collect()
    }

    /// Returns how many different contents are stored.
    pub fn contents(&self) -> usize {
        self.state().contents.len()
    }

    /// Ends every upload token at once.
    pub fn end_upload_tokens(&self) {
        for ticket in self.state().tickets.values_mut() {
            ticket.ends = i64::MIN;
        }
    }

    /// Returns the same state in surroundings of its own. Contents are shared: what is stored under a key is always the same.
    fn copy(&self) -> Self {
        let shared = Shared { ground: self.ground().aside(), store: self.store().clone(), state: Mutex::new(self.state().clone()) };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    fn ground(&self) -> &Ground {
        &self.shared.ground
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn now(&self) -> i64 {
        self.shared.ground.clock.now_ms()
    }

    /// Returns an identity in the form of a UUID.
    fn identity(&self) -> String {
        let digits: String = (0..2).map(|_| format!("{:016x}", self.shared.ground.chance.next())).collect();
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}
