//! The embedded Fly: Machines API, the REST and GraphQL parts a deploy needs, and the proxy that routes `{app}.fly.dev`.
//!
//! Sources: the Machines API's OpenAPI document of 2026-05-07, fly.io's documentation, and what flyctl and fly-go send and read. Where a
//! behaviour has no such source it is a member of [`Switches`], with its reason. Besides those, these are guesses without a switch, because no
//! client should depend on them:
//!
//! - the order of `GET machines` (by id) and of `GET versions` (newest first);
//! - the texts of errors, except for those quoted with a source;
//! - which of 400 and 422 a given invalid field gets;
//! - `min_secrets_version` beyond the newest one is refused with 412;
//! - a volume that a machine has cannot be destroyed, and extending it asks for a restart;
//! - a machine in `failed` or `launch_failed` had a `start` or `launch` event with the status `failed`;
//! - a program that a signal has killed exits with 128 and the signal's number, which is its `guest_signal`;
//! - a wait for a version that has been replaced ends with 400 unless it waits for what every replaced instance is: stopped.
//!
//! | file | concept |
//! |---|---|
//! | `state`, `machine`, `config` | plain data, and what may happen to it |
//! | `lifecycle`, `health` | transitions and checks that take time |
//! | `routing` | who answers for `{app}.fly.dev` |
//! | `exit` | how programs end, and the event that tells of it |
//! | `volume`, `storage` | volumes and snapshots, and what an app does with them |
//! | `host`, `shortage`, `limits` | hosts that are gone, room that is not there, requests that are too many |
//! | `idle` | the proxy starts and stops machines |
//! | `person` | what happens without a request: deaths, people |
//! | `responder`, `container` | what runs inside a machine |
//! | `access` | tokens and what they may touch |
//! | `routes/`, `graphql`, `wire` | the API's surface |
//! | `seed`, `fleet` | how a rehearsal fills the world |

mod access;
mod config;
pub mod container;
mod exit;
mod fleet;
mod graphql;
mod health;
mod host;
mod idle;
mod jobs;
mod lifecycle;
mod limits;
pub mod macaroon;
mod machine;
mod operations;
mod person;
mod problem;
mod responder;
mod routes;
mod routing;
mod seed;
mod shortage;
mod state;
mod storage;
mod switches;
mod volume;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::Notify;

use self::container::ContainerEngine;
use self::responder::BehaviourRule;
use self::routing::MachineBackend;
use self::state::{Now, State};

pub use self::exit::End;
pub use self::fleet::{Fleet, Group, Mount, Seeded};
pub use self::jobs::JobView;
pub use self::limits::documented_limits;
pub use self::machine::MachineState;
pub use self::person::{Death, Edit, Pick};
pub use self::responder::{Behaviour, Job, StartFailure, Which};
pub use self::seed::Earlier;
pub use self::shortage::Shortage;
pub use self::state::Scope;
pub use self::storage::VolumeView;
pub use self::switches::{AppName, ExitShape, Grace, NewSecrets, Pace, Scripted, SnapshotFate, Switches, UnknownImage};
pub use self::volume::Origin;

use super::ground::{Ground, lock};
use super::past::Copy;
use super::registry::Registry;
use super::world::World;

/// The platform's name on the tape and the switchboard.
pub const PLATFORM: &str = "fly";

/// Authority of the Machines API.
pub const MACHINES_AUTHORITY: &str = "api.machines.dev";

/// Authority of GraphQL, releases, builds and logs.
pub const API_AUTHORITY: &str = "api.fly.io";

/// What is appended to an app's name to make its public host name.
pub const PUBLIC_SUFFIX: &str = ".fly.dev";

/// The embedded Fly of one world; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct Fly {
    inner: Arc<Inner>,
}

struct Inner {
    ground: Ground,
    registry: Registry,
    switches: Mutex<Switches>,
    state: Mutex<State>,
    /// Told of every change of any machine. Who waits is woken in the order of coming, so that the same run gives the same tape; tokio's watch
    /// channel wakes by chance.
    changes: Notify,
    /// Held while routes are worked out and set, so that an older view never overwrites a newer one.
    routing: Mutex<BTreeMap<String, Arc<MachineBackend>>>,
    engine: Mutex<Option<Arc<ContainerEngine>>>,
}

/// A machine as a test or a report sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineView {
    /// The machine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its process group.
    pub group: Option<String>,
    /// Its state.
    pub state: MachineState,
    /// The status of its host.
    pub host_status: &'static str,
    /// The volume that it mounts.
    pub volume: Option<String>,
    /// The version of the app's secrets that it runs with.
    pub secrets_version: u64,
    /// Whether somebody holds its lease.
    pub leased: bool,
    /// Whether the proxy leaves it out.
    pub cordoned: bool,
    /// Whether the proxy may send it traffic.
    pub routable: bool,
    /// Whether it offers a service; what offers none works as soon as it runs.
    pub offers: bool,
    /// Whether it sleeps until a request wakes it.
    pub asleep: bool,
    /// Whether it starts when the host of another one dies.
    pub standby: bool,
    /// Its image reference.
    pub image: String,
    /// Its `CUTOVER_REVISION`.
    pub revision: Option<String>,
    /// What it serves, by content.
    pub content: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Fly {
    /// Adds Fly to `world`, with `registry` as `registry.fly.io`.
    pub fn add_to(world: &World, registry: &Registry, switches: Switches) -> Self {
        let inner = Arc::new(Inner {
            ground: world.ground().clone(),
            registry: registry.clone(),
            switches: Mutex::new(switches),
            state: Mutex::default(),
            changes: Notify::new(),
            routing: Mutex::default(),
            engine: Mutex::default(),
        });
        world.add(PLATFORM, routes::machines_api(&inner), MACHINES_AUTHORITY, operations::MACHINES);
        world.add(PLATFORM, routes::platform_api(&inner), API_AUTHORITY, operations::name_platform_request);
        world.copies(PLATFORM, MACHINES_AUTHORITY, copier(&inner, routes::machines_api));
        world.copies(PLATFORM, API_AUTHORITY, copier(&inner, routes::platform_api));
        let ending = Arc::clone(&inner);
        world.at_end(move || async move { ending.remove_containers().await }.boxed());
        Self { inner }
    }

    /// Changes switches while the world runs.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut lock(&self.inner.switches));
    }

    /// Runs machines as containers of `engine` from now on.
    pub fn use_containers(&self, engine: ContainerEngine) {
        *lock(&self.inner.engine) = Some(Arc::new(engine));
    }

    /// Decides how machines of `app` behave from their next start on; the newest matching decision counts. Containers behave as they do.
    pub fn behave(&self, app: &str, which: Which, behaviour: Behaviour) {
        let mut state = lock(&self.inner.state);
        let from = state.counter + 1;
        if let Some(app) = state.apps.get_mut(app) {
            let known = app.machines.values().map(responder::identity).collect();
            app.behaviours.push(BehaviourRule { which, behaviour, from, known });
        }
    }

    /// Takes back every [`Fly::behave`] of `app`.
    pub fn behave_well(&self, app: &str) {
        if let Some(app) = lock(&self.inner.state).apps.get_mut(app) {
            app.behaviours.clear();
        }
    }

    /// Returns the machines of `app` that are not destroyed, in order of creation.
    pub fn machines(&self, app: &str) -> Vec<MachineView> {
        let now = self.inner.now().elapsed;
        let state = lock(&self.inner.state);
        let mut machines: Vec<_> = state.apps.get(app).into_iter().flat_map(state::App::living).collect();
        machines.sort_by_key(|machine| machine.ordinal);
        machines
            .iter()
            .map(|machine| MachineView {
                id: machine.id.clone(),
                name: machine.name.clone(),
                region: machine.region.clone(),
                group: config::metadata(&machine.config, "fly_process_group").map(str::to_owned),
                host_status: machine.host_status,
                volume: storage::volume_ids(&machine.config).first().map(|id| (*id).to_owned()),
                secrets_version: machine.secrets,
                leased: machine.held(now).is_some(),
                state: machine.state,
                cordoned: machine.cordoned,
                routable: machine.routable(),
                offers: !config::list(&machine.config, "services").is_empty(),
                asleep: machine.asleep(),
                standby: !config::list(&machine.config, "standbys").is_empty(),
                image: config::text(&machine.config, "image").unwrap_or_default().to_owned(),
                revision: config::env(&machine.config, "CUTOVER_REVISION").map(str::to_owned),
                content: machine.content(),
                metadata: config::all_metadata(&machine.config),
            })
            .collect()
    }

    /// Returns the names of an organisation's apps, each with its private network.
    pub fn apps(&self, org: &str) -> Vec<(String, String)> {
        let state = lock(&self.inner.state);
        let own = state.apps.values().filter(|app| app.org == org);
        own.map(|app| (app.name.clone(), app.network.clone())).collect()
    }

    /// Returns the variables of each machine of `app` that is not destroyed, in order of creation.
    pub fn variables(&self, app: &str) -> Vec<BTreeMap<String, String>> {
        let state = lock(&self.inner.state);
        let mut machines: Vec<_> = state.apps.get(app).into_iter().flat_map(state::App::living).collect();
        machines.sort_by_key(|machine| machine.ordinal);
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let of = |machine: &&machine::Machine| {
            let env = machine.config.get("env").and_then(serde_json::Value::as_object);
            env.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
        };
        machines.iter().map(of).collect()
    }

    /// Returns the app's secrets by name, with their values.
    pub fn secrets(&self, app: &str) -> BTreeMap<String, String> {
        let state = lock(&self.inner.state);
        let secrets = state.apps.get(app).into_iter().flat_map(|app| &app.secrets);
        secrets.map(|(name, secret)| (name.clone(), secret.value.clone())).collect()
    }
}

/// Copies the platform's state, behind the router that `routes` makes.
fn copier(inner: &Arc<Inner>, routes: fn(&Arc<Inner>) -> axum::Router) -> impl Fn() -> Option<Copy> + Send + Sync + 'static {
    let fly = Arc::downgrade(inner);
    move || {
        let copy = fly.upgrade()?.copy();
        // A copy of the copy for each request: what one request does there, the next must not see.
        Some(Arc::new(move || routes(&Arc::new(copy.copy()))))
    }
}

impl Inner {
    /// Returns the same state in surroundings of its own.
    fn copy(&self) -> Self {
        Self {
            ground: self.ground.aside(),
            registry: self.registry.clone(),
            switches: Mutex::new(self.switches()),
            state: Mutex::new(lock(&self.state).clone()),
            changes: Notify::new(),
            routing: Mutex::default(),
            engine: Mutex::default(),
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.ground.clock.elapsed(), wall: self.ground.clock.now() }
    }

    fn switches(&self) -> Switches {
        lock(&self.switches).clone()
    }

    /// Returns what a simulated program of `app` answers at `path`, where that is not its usual 200.
    fn scripted(&self, app: &str, path: &str) -> Option<Scripted> {
        lock(&self.switches).scripted.get(&(app.to_owned(), path.to_owned())).cloned()
    }

    /// Returns `digits` random lower-case hex digits.
    fn hex(&self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[(self.ground.chance.next() % 16) as usize])).collect()
    }

    /// Returns an identity in the form of a ULID: 26 characters that sort by time.
    fn ulid(&self) -> String {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mut ms = u64::try_from(self.ground.clock.now_ms()).unwrap_or(0);
        let mut text = [b'0'; 26];
        for place in text[..10].iter_mut().rev() {
            *place = LETTERS[(ms % 32) as usize];
            ms /= 32;
        }
        for place in &mut text[10..] {
            *place = LETTERS[(self.ground.chance.next() % 32) as usize];
        }
        text.iter().map(|byte| char::from(*byte)).collect()
    }
}
