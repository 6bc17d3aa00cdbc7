//! The world: surroundings, platforms by authority, listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::edge::{self, host_of};
use super::endpoint::Endpoint;
use super::ground::{Ground, lock};
use super::listener::{Handler, listen};
use super::operation::Naming;
use super::past::Copy;
use crate::clock::Clock;
use crate::id::Chance;

/// Where the platforms of a world listen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The loopback address of each platform's authority, such as `api.machines.dev`.
    pub platforms: BTreeMap<String, SocketAddr>,
    /// The loopback address of each edge.
    pub edges: Vec<SocketAddr>,
}

impl Addresses {
    /// Returns `http://127.0.0.1:PORT` for the platform's authority.
    pub fn base(&self, authority: &str) -> Option<String> {
        self.platforms.get(authority).map(|address| format!("http://{address}"))
    }

    /// Returns the address at which a browser on this machine can open the public `host`, by the first edge.
    pub fn browse(&self, host: &str) -> Option<String> {
        self.edges.first().map(|address| format!("http://{host}{}:{}/", edge::BROWSER_SUFFIX, address.port()))
    }
}

type Ending = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

struct Inner {
    ground: Ground,
    endpoints: Mutex<BTreeMap<String, Endpoint>>,
    endings: Mutex<Vec<Ending>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ground.end();
    }
}

/// One embedded world; cheap to clone. It ends, listeners and all, when the last clone is dropped or [`World::end`] is called.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

impl World {
    /// Returns a world without platforms and without sockets, for calls in process.
    pub fn in_process(clock: Clock, chance: Chance) -> Self {
        let inner = Inner { ground: Ground::new(clock, chance), endpoints: Mutex::default(), endings: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the surroundings: clock, chance, tape, faults, traffic.
    pub fn ground(&self) -> &Ground {
        &self.inner.ground
    }

    /// Adds the platform `name` at `authority` (a host name such as `api.vercel.com`): `router` answers, `naming` names its requests.
    ///
    /// A platform with several authorities is added once for each. An authority that was added before is replaced.
    pub fn add(&self, name: &str, router: Router, authority: &str, naming: impl Naming) {
        let endpoint = Endpoint::new(name, authority, router, naming, self.inner.ground.clone());
        lock(&self.inner.endpoints).insert(authority.to_owned(), endpoint);
    }

    /// Says how the platform `name` at `authority` is copied, for reads that lag and answers that are not true; `None` once it is gone.
    pub fn copies(&self, name: &str, authority: &str, copier: impl Fn() -> Option<Copy> + Send + Sync + 'static) {
        self.inner.ground.past.register(name, authority, Arc::new(copier));
    }

    /// Registers what must happen before the world is gone, such as removing containers; run by [`World::end`], in order.
    pub fn at_end(&self, work: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        lock(&self.inner.endings).push(Box::new(work));
    }

    /// Binds a loopback listener for every platform added so far and for every edge, and returns where they listen.
    ///
    /// `ports` chooses ports by authority, and by `edge-0`, `edge-1`, ... for the edges; what it leaves out gets a free one. Requests to a
    /// loopback address are also understood by [`super::in_process::call`]. Errors: a port that is taken.
    pub async fn listen(&self, ports: &BTreeMap<String, u16>) -> std::io::Result<Addresses> {
        let mut addresses = Addresses::default();
        let port = |name: &str| ports.get(name).copied().unwrap_or(0);
        let endpoints = lock(&self.inner.endpoints).clone();
        for (authority, endpoint) in endpoints {
            let chosen = port(&authority);
            let heard = endpoint.clone();
            let handler: Handler = Arc::new(move |request| {
                let endpoint = heard.clone();
                async move { endpoint.answer(request).await }.boxed()
            });
            let address = listen(&self.inner.ground, chosen, handler).await?;
            lock(&self.inner.endpoints).insert(address.to_string(), endpoint);
            addresses.platforms.insert(authority, address);
        }
        for number in 0..self.inner.ground.traffic.edges() {
            addresses.edges.push(edge::open(&self.inner.ground, number, port(&format!("edge-{number}"))).await?);
        }
        Ok(addresses)
    }

    /// Runs what [`World::at_end`] registered, then ends every listener and task; idempotent.
    pub async fn end(&self) {
        let endings = std::mem::take(&mut *lock(&self.inner.endings));
        for ending in endings {
            ending().await;
        }
        self.inner.ground.end();
    }

    /// Returns the platform at `authority`: by its whole text first, then without the port.
    pub(super) fn endpoint(&self, authority: &str) -> Option<Endpoint> {
        let endpoints = lock(&self.inner.endpoints);
        endpoints.get(authority).or_else(|| endpoints.get(host_of(authority))).cloned()
    }
}
