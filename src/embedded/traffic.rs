//! The data plane: which backends answer under which public host name, as each edge sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};

use super::ground::lock;
use crate::clock::Clock;

/// The longest lag an edge may have. Vendors speak of seconds; what is longer is an outage, not a lag.
pub const LONGEST_LAG: Duration = Duration::from_secs(20);

/// The lags of the three edges at first.
pub const USUAL_LAGS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(40), Duration::from_millis(120)];

/// Something that answers public requests: a machine, a deployment.
pub trait Backend: Send + Sync {
    /// Returns the name under which the table and the counts list it.
    fn name(&self) -> String;

    /// Returns whether it can still answer. An edge that believes in a dead backend answers 502.
    fn alive(&self) -> bool;

    /// Answers `request`; the request carries hyper's upgrade handle when it came over a socket.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

/// A change of the table: from `at` on, `host` is answered by `backends`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Time since the world began.
    pub at: Duration,
    /// The public host name.
    pub host: String,
    /// Names of the backends, in order.
    pub backends: Vec<String>,
    /// What each of them served then, by content.
    pub contents: Vec<String>,
    /// Whether the host was forgotten, by every edge at once.
    pub gone: bool,
}

/// A backend that was told to end, or ended by itself: what becomes of the requests that it had begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The backend's name.
    pub backend: String,
    /// When it was told, since the world began.
    pub told: Duration,
    /// When what it had not finished by then was cut off; equal to `told` where it got no time.
    pub cut: Duration,
}

/// A backend that begins or ceases to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Time since the world began.
    pub at: Duration,
    /// The backend's name.
    pub backend: String,
    /// Whether it answers from now on.
    pub alive: bool,
}

/// What a public host name was asked, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that edges received for it.
    pub asked: u64,
    /// Requests that ended with a status of 500 or more: nobody to ask, or nobody there.
    pub lost: u64,
    /// Requests that each backend answered.
    pub by_backend: BTreeMap<String, u64>,
}

type Pool = Vec<Arc<dyn Backend>>;

/// Whom an edge asks.
#[derive(Clone)]
pub(super) enum Chosen {
    /// It does not know the host.
    Unknown,
    /// Nobody serves the host.
    Nobody,
    /// This one, whether it still lives or not.
    Backend(Arc<dyn Backend>),
}

#[derive(Default)]
struct Table {
    hosts: BTreeMap<String, Vec<(Duration, Pool)>>,
    changes: Vec<Change>,
    lives: Vec<Life>,
    ends: Vec<End>,
    tallies: BTreeMap<String, Tally>,
    lags: Vec<Duration>,
    turn: u64,
}

/// The table of public host names of one world; cheap to clone, and the same for every clone.
#[derive(Clone)]
pub struct Traffic {
    clock: Clock,
    table: Arc<Mutex<Table>>,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").field("changes", &lock(&self.table).changes).finish_non_exhaustive()
    }
}

impl Traffic {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, table: Arc::new(Mutex::new(Table { lags: USUAL_LAGS.to_vec(), ..Table::default() })) }
    }

    /// Says who answers for `host` from now on; edges learn of it one by one. Saying the same again changes nothing.
    ///
    /// An empty list keeps the host known: it is answered with 503.
    pub fn set(&self, host: &str, backends: Vec<Arc<dyn Backend>>) {
        let names = backends.iter().map(|backend| backend.name()).collect();
        self.set_showing(host, backends, names);
    }

    /// Says who answers for `host` as [`Traffic::set`] does, and what each of them serves by content: equal content, equal text, whatever ids
    /// the platform has given to it.
    pub fn set_showing(&self, host: &str, backends: Vec<Arc<dyn Backend>>, contents: Vec<String>) {
        let names: Vec<String> = backends.iter().map(|backend| backend.name()).collect();
        let now = self.clock.elapsed();
        let mut table = lock(&self.table);
        if table.answers(host, &backends) {
            return;
        }
        let history = table.hosts.entry(host.to_owned()).or_default();
        // What no edge can look back to is dropped, but for the state that was current then.
        let horizon = now.saturating_sub(LONGEST_LAG);
        let keep = history.iter().rposition(|(at, _)| *at <= horizon).unwrap_or(0);
        history.drain(..keep);
        history.push((now, backends));
        table.changes.push(Change { at: now, host: host.to_owned(), backends: names, contents, gone: false });
    }

    /// Returns whether exactly these answer for `host` now.
    pub(super) fn is_set(&self, host: &str, backends: &[Arc<dyn Backend>]) -> bool {
        lock(&self.table).answers(host, backends)
    }

    /// Returns the names of the backends that answer for `host` now.
    pub fn answering(&self, host: &str) -> Vec<String> {
        let table = lock(&self.table);
        let newest = table.hosts.get(host).and_then(|history| history.last());
        newest.map(|(_, backends)| backends.iter().map(|backend| backend.name()).collect()).unwrap_or_default()
    }

    /// Forgets `host` at once on every edge.
    pub fn remove(&self, host: &str) {
        let at = self.clock.elapsed();
        let mut table = lock(&self.table);
        if table.hosts.remove(host).is_some() {
            table.changes.push(Change { at, host: host.to_owned(), backends: Vec::new(), contents: Vec::new(), gone: true });
        }
    }

    /// Notes whether `backend` answers from now on; saying the same again changes nothing.
    pub fn lives(&self, backend: &str, alive: bool) {
        let at = self.clock.elapsed();
        let mut table = lock(&self.table);
        let last = table.lives.iter().rev().find(|life| life.backend == backend).map(|life| life.alive);
        if last != Some(alive) && (alive || last.is_some()) {
            table.lives.push(Life { at, backend: backend.to_owned(), alive });
        }
    }

    /// Notes that `backend` ends: what it has begun it may finish within `grace`.
    pub fn ends(&self, backend: &str, grace: Duration) {
        let told = self.clock.elapsed();
        lock(&self.table).ends.push(End { backend: backend.to_owned(), told, cut: told.saturating_add(grace) });
    }

    /// Returns how a request that `backend` began at `begun` and would finish at `until` was cut off, if it was.
    ///
    /// A program that is told to end finishes what it has begun, and is killed when its time is over: that is what the kill timeout is for.
    pub fn cut(&self, backend: &str, begun: Duration, until: Duration) -> Option<End> {
        let of = |end: &&End| end.backend == backend && end.told >= begun && end.cut < until;
        lock(&self.table).ends.iter().find(of).cloned()
    }

    /// Returns the newest end of `backend` since `begun`.
    pub(super) fn ended(&self, backend: &str, begun: Duration) -> Option<End> {
        lock(&self.table).ends.iter().rev().find(|end| end.backend == backend && end.told >= begun).cloned()
    }

    /// Returns every beginning and ceasing of a backend so far, in order.
    pub fn all_lives(&self) -> Vec<Life> {
        lock(&self.table).lives.clone()
    }

    /// Returns how far each edge lags behind.
    pub fn all_lags(&self) -> Vec<Duration> {
        lock(&self.table).lags.clone()
    }

    /// Sets how far each edge lags behind; there are as many edges as lags. Lags over [`LONGEST_LAG`] are cut to it.
    pub fn lags(&self, lags: &[Duration]) {
        lock(&self.table).lags = lags.iter().map(|lag| (*lag).min(LONGEST_LAG)).collect();
    }

    /// Returns the number of edges.
    pub fn edges(&self) -> usize {
        lock(&self.table).lags.len()
    }

    /// Returns whether `host` is in the table.
    pub fn knows(&self, host: &str) -> bool {
        lock(&self.table).hosts.contains_key(host)
    }

    /// Returns every public host name, in order.
    pub fn hosts(&self) -> Vec<String> {
        lock(&self.table).hosts.keys().cloned().collect()
    }

    /// Returns every change so far, in order.
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.table).changes.clone()
    }

    /// Returns the names of the backends that `edge` believes in for `host` now.
    pub fn seen(&self, edge: usize, host: &str) -> Vec<String> {
        self.pool(edge, host).unwrap_or_default().iter().map(|backend| backend.name()).collect()
    }

    /// Returns how many requests for `host` were lost.
    pub fn lost(&self, host: &str) -> u64 {
        self.tally(host).lost
    }

    /// Returns the counts of `host`.
    pub fn tally(&self, host: &str) -> Tally {
        lock(&self.table).tallies.get(host).cloned().unwrap_or_default()
    }

    /// Answers `request` for `host` as `edge` would; round robin among the backends the edge believes in.
    pub async fn ask(&self, edge: usize, host: &str, request: Request<Body>) -> Response<Body> {
        let chosen = self.chosen(edge, host);
        self.ask_this(edge, host, chosen, request).await
    }

    /// Returns whom `edge` asks next for `host`.
    pub(super) fn chosen(&self, edge: usize, host: &str) -> Chosen {
        match self.pool(edge, host) {
            None => Chosen::Unknown,
            Some(pool) => self.choose(host, &pool).map_or(Chosen::Nobody, Chosen::Backend),
        }
    }

    /// Answers `request` for `host` as `edge` would that has chosen already.
    pub(super) async fn ask_this(&self, edge: usize, host: &str, chosen: Chosen, request: Request<Body>) -> Response<Body> {
        let response = match chosen {
            Chosen::Unknown => {
                plain(StatusCode::NOT_FOUND, format!("embedded edge {edge}: no app, deployment or alias is called {host}\n"))
            }
            Chosen::Nobody => plain(StatusCode::SERVICE_UNAVAILABLE, format!("embedded edge {edge}: nothing serves {host} now\n")),
            Chosen::Backend(backend) if !backend.alive() => plain(
                StatusCode::BAD_GATEWAY,
                format!("embedded edge {edge}: {} is routed to for {host} but does not answer any more\n", backend.name()),
            ),
            Chosen::Backend(backend) => {
                let response = backend.answer(request).await;
                *lock(&self.table).tallies.entry(host.to_owned()).or_default().by_backend.entry(backend.name()).or_default() += 1;
                response
            }
        };
        if response.status().is_server_error() {
            lock(&self.table).tallies.entry(host.to_owned()).or_default().lost += 1;
        }
        response
    }

    /// Answers `request` by the edges in turn: what a public address gives a caller that may come out anywhere.
    pub async fn ask_any(&self, host: &str, request: Request<Body>) -> Response<Body> {
        let edge = {
            let mut table = lock(&self.table);
            table.turn += 1;
            usize::try_from(table.turn).unwrap_or(0) % table.lags.len().max(1)
        };
        self.ask(edge, host, request).await
    }

    /// Forgets every route, so that the backends' platforms can be dropped.
    pub(super) fn clear(&self) {
        lock(&self.table).hosts.clear();
    }

    fn pool(&self, edge: usize, host: &str) -> Option<Pool> {
        let table = lock(&self.table);
        let lag = table.lags.get(edge).copied().unwrap_or_default();
        let history = table.hosts.get(host)?;
        let now = self.clock.elapsed();
        // The first entry counts from ever: an edge that looks back to before the host existed would answer 404, which no vendor promises
        // or denies; saying "nothing serves it yet" keeps the unknown host a mistake of the caller.
        let view = history.iter().rev().find(|(at, _)| *at + lag <= now);
        Some(view.map(|(_, pool)| pool.clone()).unwrap_or_default())
    }

    fn choose(&self, host: &str, pool: &Pool) -> Option<Arc<dyn Backend>> {
        let mut table = lock(&self.table);
        let tally = table.tallies.entry(host.to_owned()).or_default();
        tally.asked += 1;
        let turn = usize::try_from(tally.asked).unwrap_or(0);
        (!pool.is_empty()).then(|| Arc::clone(&pool[turn % pool.len()]))
    }
}

impl Table {
    fn answers(&self, host: &str, backends: &[Arc<dyn Backend>]) -> bool {
        self.hosts.get(host).and_then(|history| history.last()).is_some_and(|(_, pool)| same(pool, backends))
    }
}

fn same(a: &[Arc<dyn Backend>], b: &[Arc<dyn Backend>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// Returns a plain-text answer.
pub(super) fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
