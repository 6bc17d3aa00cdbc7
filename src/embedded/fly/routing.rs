//! The proxy: which machines answer for `{app}.fly.dev`.

use std::sync::{Arc, Weak};

use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use serde_json::Value;

use super::config;
use super::machine::{Machine, MachineState};
use super::responder;
use super::{Inner, PUBLIC_SUFFIX};
use crate::embedded::ground::lock;
use crate::embedded::proxy;
use crate::embedded::traffic::{Backend, plain};

/// A machine as the edges see it.
pub(super) struct MachineBackend {
    /// Weak: the routes must not keep alive what they route to.
    fly: Weak<Inner>,
    app: String,
    id: String,
}

impl MachineBackend {
    /// Looks at the machine; `None` when it or the world is gone.
    fn look<R>(&self, look: impl FnOnce(&Inner, &Machine) -> R) -> Option<R> {
        let fly = self.fly.upgrade()?;
        let state = lock(&fly.state);
        state.machine(&self.app, &self.id).map(|machine| look(&fly, machine))
    }
}

impl Backend for MachineBackend {
    fn name(&self) -> String {
        self.id.clone()
    }

    fn alive(&self) -> bool {
        self.look(|_, machine| machine.answers() || machine.asleep() || machine.woken_up()).unwrap_or(false)
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let asleep = self.look(|_, machine| machine.state != MachineState::Started && (machine.asleep() || machine.woken_up()));
        let (Some(true), Some(fly)) = (asleep, self.fly.upgrade()) else { return self.answer_awake(request) };
        let (app, id) = (self.app.clone(), self.id.clone());
        let woken = Self { fly: self.fly.clone(), app: app.clone(), id: id.clone() };
        async move {
            fly.wake(app, id).await;
            if woken.look(|_, machine| machine.answers()) == Some(true) {
                woken.answer_awake(request).await
            } else {
                plain(StatusCode::BAD_GATEWAY, "the machine could not be started for this request\n".to_owned())
            }
        }
        .boxed()
    }
}

impl MachineBackend {
    /// Answers `request` by what runs in the machine now.
    fn answer_awake(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        if let Some(fly) = self.fly.upgrade() {
            let now = fly.now().elapsed;
            if let Some(machine) = lock(&fly.state).machine_mut(&self.app, &self.id) {
                machine.asked_at = Some(now);
            }
        }
        // A simulated program answers at once; a container is asked without holding up the platform.
        let mut request = Some(request);
        let answered = self.look(|fly, machine| {
            let Some(port) = public_port(&machine.config) else { return Err(refused()) };
            let now = fly.now().elapsed;
            if let Some(ports) = machine.container.as_ref().filter(|_| responder::is_left_alone(machine, now)) {
                return match ports.get(&port) {
                    Some(outside) => Ok(*outside),
                    None => Err(plain(StatusCode::BAD_GATEWAY, format!("the container does not publish port {port}\n"))),
                };
            }
            let Some(request) = request.take().filter(|_| responder::listens(machine, port)) else { return Err(refused()) };
            let scripted = fly.scripted(&self.app, request.uri().path());
            Err(responder::respond(&self.app, machine, now, scripted.as_ref(), request))
        });
        match (answered, request) {
            (Some(Ok(outside)), Some(request)) => async move { proxy::pass(outside, request).await }.boxed(),
            (Some(Err(response)), _) => std::future::ready(response).boxed(),
            _ => std::future::ready(plain(StatusCode::BAD_GATEWAY, "the machine is gone\n".to_owned())).boxed(),
        }
    }
}

/// What fly-proxy says of an app that listens elsewhere; it is 502 to the public.
fn refused() -> Response<Body> {
    plain(StatusCode::BAD_GATEWAY, "instance refused connection. is your app listening on 0.0.0.0?\n".to_owned())
}

/// Returns the port inside the machine that public HTTP goes to: of the first service with an `http` handler, else of the first service.
fn public_port(config: &Value) -> Option<u16> {
    let services = config::list(config, "services");
    let speaks_http = |service: &&Value| {
        config::list(service, "ports").iter().any(|port| config::list(port, "handlers").iter().any(|handler| handler == "http"))
    };
    let service = services.iter().find(speaks_http).or_else(|| services.first())?;
    service.get("internal_port")?.as_u64().and_then(|port| u16::try_from(port).ok())
}

impl Inner {
    /// Works out who serves `app` now and tells the edges.
    pub(super) fn reroute(self: &Arc<Self>, app: &str) {
        let mut backends = lock(&self.routing);
        let (now, wakes) = (self.now(), self.switches().proxy_wakes);
        let mut pool: Vec<Arc<dyn Backend>> = Vec::new();
        let mut asleep: Vec<Arc<dyn Backend>> = Vec::new();
        {
            let mut state = lock(&self.state);
            let Some(app) = state.apps.get_mut(app) else { return };
            for machine in app.machines.values_mut() {
                self.ground.traffic.lives(&machine.id, machine.died.is_none() && machine.answers());
                if machine.died.is_some() {
                    backends.remove(&machine.id);
                    continue;
                }
                let routable = machine.routable();
                if routable {
                    machine.routed_at.get_or_insert(now.elapsed);
                    machine.woken = false;
                } else if !wakes || !(machine.asleep() || machine.woken_up()) {
                    continue;
                }
                let backend = backends.entry(machine.id.clone()).or_insert_with(|| {
                    Arc::new(MachineBackend { fly: Arc::downgrade(self), app: app.name.clone(), id: machine.id.clone() })
                });
                if routable { &mut pool } else { &mut asleep }.push(Arc::clone(backend) as Arc<dyn Backend>);
            }
        }
        // Where nothing runs, a request starts what sleeps.
        if pool.is_empty() {
            pool = asleep;
        }
        let host = format!("{app}{PUBLIC_SUFFIX}");
        if !self.ground.traffic.is_set(&host, &pool) {
            let contents = pool.iter().map(|backend| self.content_of(app, &backend.name())).collect();
            self.ground.traffic.set_showing(&host, pool, contents);
        }
    }

    fn content_of(&self, app: &str, id: &str) -> String {
        lock(&self.state).machine(app, id).map(Machine::content).unwrap_or_default()
    }
}
