//! Users that ask whatever happens: open-loop clients in the world's own time, at every edge at once.
//!
//! A new request is sent when its time has come, however the ones before it fare. Four kinds: short requests; requests that take half a minute;
//! websockets; and connections that are kept and used again and again, on which an edge stays with the backend it began with. What a backend had
//! begun when it was told to end it may finish within its grace (see [`Traffic::ends`]); a request that is cut off before its end is lost. A
//! websocket that is closed because its backend was told to end with grace is not: its client opens the next one at once, and that must succeed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ground::{Ground, lock};
use super::traffic::{Backend, Chosen, End, Traffic};
use crate::clock::Clock;

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One request and its answer, at once.
    Short,
    /// A request whose answer takes long.
    Long,
    /// A websocket.
    Websocket,
    /// Requests on one connection.
    KeptAlive,
}

/// How much is asked of each host at each edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Between two short requests.
    pub short_every: Duration,
    /// Between the beginnings of two long requests.
    pub long_every: Duration,
    /// How long a long request takes.
    pub long_takes: Duration,
    /// Between two requests on a kept connection.
    pub kept_every: Duration,
    /// The path of all of them.
    pub path: String,
    /// How many websockets are kept open; none where the hosts answer none, as static sites do.
    pub websockets: usize,
}

impl Default for Load {
    /// A short request every 20 ms, a long one (30 s) every 500 ms, one on the kept connection every 100 ms, and two websockets.
    fn default() -> Self {
        let ms = Duration::from_millis;
        let (path, websockets) = ("/".to_owned(), 2);
        Self { short_every: ms(20), long_every: ms(500), long_takes: Duration::from_secs(30), kept_every: ms(100), path, websockets }
    }
}

/// What became of the requests of one kind at one edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fared {
    /// How many were sent; for websockets, how many were opened.
    pub sent: u64,
    /// How many were lost.
    pub lost: u64,
    /// When the first was lost, since the world began, and why.
    pub first: Option<(Duration, String)>,
}

/// What became of all requests, by host, edge and kind.
pub type Report = BTreeMap<(String, usize, Kind), Fared>;

/// Clients at work; they end with the world at the latest.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ground: Ground,
    load: Load,
    report: Mutex<Report>,
    stop: CancellationToken,
    under_way: TaskTracker,
}

/// One client: at which edge it asks for which host.
#[derive(Debug, Clone)]
struct Client {
    shared: Arc<Shared>,
    host: String,
    edge: usize,
}

impl Clients {
    /// Begins to ask for every one of `hosts` at every edge of the world.
    pub fn start(ground: &Ground, hosts: &[&str], load: Load) -> Self {
        let (report, stop, under_way) = (Mutex::default(), CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared { ground: ground.clone(), load, report, stop, under_way });
        for host in hosts {
            for edge in 0..ground.traffic.edges() {
                let client = Client { shared: shared.clone(), host: (*host).to_owned(), edge };
                let load = &shared.load;
                client.every(load.short_every, Client::short);
                client.every(load.long_every, Client::long);
                client.go(client.clone().kept());
                for _ in 0..load.websockets {
                    client.go(client.clone().websocket());
                }
            }
        }
        Self { shared }
    }

    /// Sends nothing more, lets what is under way end, and returns what became of everything.
    ///
    /// Takes as long as a long request, in the world's time.
    pub async fn stop(self) -> Report {
        self.shared.stop.cancel();
        self.shared.under_way.close();
        self.shared.under_way.wait().await;
        std::mem::take(&mut *lock(&self.shared.report))
    }
}

/// Returns how many requests were lost, by kind.
pub fn lost(report: &Report) -> BTreeMap<Kind, u64> {
    let mut lost = BTreeMap::new();
    for ((_, _, kind), fared) in report {
        *lost.entry(*kind).or_default() += fared.lost;
    }
    lost
}

impl Client {
    fn go(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.shared.ground.spawn(self.shared.under_way.track_future(work));
    }

    /// Begins a request of its own every `interval` until everything stops.
    fn every<F>(&self, interval: Duration, ask: impl Fn(Self) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let client = self.clone();
        self.go(async move {
            while client.pause(interval).await {
                client.go(ask(client.clone()));
            }
        });
    }

    /// Waits; returns whether to go on.
    async fn pause(&self, interval: Duration) -> bool {
        self.shared.stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some()
    }

    fn clock(&self) -> Clock {
        self.shared.ground.clock
    }

    fn traffic(&self) -> &Traffic {
        &self.shared.ground.traffic
    }

    fn sent(&self, kind: Kind) {
        lock(&self.shared.report).entry((self.host.clone(), self.edge, kind)).or_default().sent += 1;
    }

    fn lost(&self, kind: Kind, why: String) {
        let now = self.clock().elapsed();
        let mut report = lock(&self.shared.report);
        let fared = report.entry((self.host.clone(), self.edge, kind)).or_default();
        fared.lost += 1;
        fared.first.get_or_insert((now, why));
    }

    fn request(&self, kind: Kind) -> Request<Body> {
        let mut request = Request::builder().uri(&self.shared.load.path).header(header::HOST, &self.host);
        if kind == Kind::Websocket {
            request = request
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, "AAAAAAAAAAAAAAAAAAAAAA==");
        }
        // A path that is not one is the test's mistake, and is asked as the root.
        request.body(Body::empty()).unwrap_or_default()
    }

    /// Sends a request to whom the edge chooses; returns the backend that answered well.
    async fn ask(&self, kind: Kind) -> Option<Arc<dyn Backend>> {
        let chosen = self.traffic().chosen(self.edge, &self.host);
        self.ask_this(kind, chosen).await
    }

    async fn ask_this(&self, kind: Kind, chosen: Chosen) -> Option<Arc<dyn Backend>> {
        self.sent(kind);
        let answer = self.traffic().ask_this(self.edge, &self.host, chosen.clone(), self.request(kind)).await;
        let status = answer.status();
        // A deployment that is not ready answers 404: that is as lost as a 502.
        let well = if kind == Kind::Websocket { status == StatusCode::SWITCHING_PROTOCOLS } else { status.as_u16() < 400 };
        let backend = if let Chosen::Backend(backend) = chosen { Some(backend) } else { None };
        if !well {
            let backend = backend.as_ref().map_or_else(|| "nobody".to_owned(), |backend| backend.name());
            self.lost(kind, format!("{status} by {backend}"));
        }
        backend.filter(|_| well)
    }

    async fn short(self) {
        self.ask(Kind::Short).await;
    }

    async fn long(self) {
        let begun = self.clock().elapsed();
        let Some(backend) = self.ask(Kind::Long).await else { return };
        tokio::time::sleep(self.shared.load.long_takes).await;
        if let Some(end) = self.traffic().cut(&backend.name(), begun, self.clock().elapsed()) {
            self.lost(Kind::Long, format!("{}, begun at {begun:?}", told(&end)));
        }
    }

    async fn websocket(self) {
        loop {
            let begun = self.clock().elapsed();
            let opened = self.ask(Kind::Websocket).await;
            loop {
                if !self.pause(self.shared.load.kept_every).await {
                    return;
                }
                // A client that was not let in tries again after a while.
                let Some(backend) = &opened else { break };
                let Some(end) = self.traffic().ended(&backend.name(), begun) else { continue };
                if end.cut == end.told {
                    self.lost(Kind::Websocket, told(&end));
                }
                break;
            }
        }
    }

    async fn kept(self) {
        let mut connection: Option<(Arc<dyn Backend>, Duration)> = None;
        loop {
            let now = self.clock().elapsed();
            if let Some((backend, since)) = &connection
                && let Some(end) = self.traffic().ended(&backend.name(), *since)
            {
                // In use again and again: only one that is told to end can say so before it does.
                if end.cut == end.told {
                    self.lost(Kind::KeptAlive, told(&end));
                }
                connection = None;
            }
            let answered = match &connection {
                Some((backend, _)) => self.ask_this(Kind::KeptAlive, Chosen::Backend(backend.clone())).await,
                None => self.ask(Kind::KeptAlive).await,
            };
            let since = connection.map_or(now, |(_, since)| since);
            connection = answered.map(|backend| (backend, since));
            if !self.pause(self.shared.load.kept_every).await {
                return;
            }
        }
    }
}

fn told(end: &End) -> String {
    format!("{} was told to end at {:?} and cut it off at {:?}", end.backend, end.told, end.cut)
}
