//! Thin handlers of the embedded Fly, one file per area of the API.

pub(super) mod account;
mod actions;
mod addresses;
mod apps;
mod lease;
mod machines;
mod metadata;
mod releases;
pub(super) mod secrets;
mod snapshots;
mod versions;
mod volumes;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use http::{HeaderMap, HeaderValue};

use super::access::Caller;
use super::lifecycle::Then;
use super::machine::Machine;
use super::problem::Problem;
use super::{Inner, graphql};
use crate::embedded::ground::lock;

type Fly = State<Arc<Inner>>;

/// The answer of handlers that give JSON.
type Answer = Result<axum::Json<serde_json::Value>, Problem>;

/// The header that proves that the caller holds the lease.
const NONCE: &str = "fly-machine-lease-nonce";

/// Returns the Machines API under `/v1`.
pub(super) fn machines_api(fly: &Arc<Inner>) -> Router {
    const MACHINE: &str = "/v1/apps/{app}/machines/{machine}";
    let at = |tail: &str| format!("{MACHINE}{tail}");
    let router = Router::new()
        .route("/v1/apps", get(apps::list).post(apps::create))
        .route("/v1/apps/{app}", get(apps::show).delete(apps::remove))
        .route("/v1/apps/{app}/machines", get(machines::list).post(versions::create))
        .route(MACHINE, get(machines::show).post(versions::update).delete(actions::destroy))
        .route(&at("/start"), post(actions::start))
        .route(&at("/stop"), post(actions::stop))
        .route(&at("/restart"), post(actions::restart))
        .route(&at("/suspend"), post(actions::suspend))
        .route(&at("/signal"), post(actions::signal))
        .route(&at("/cordon"), post(actions::cordon))
        .route(&at("/uncordon"), post(actions::uncordon))
        .route(&at("/exec"), post(machines::exec))
        .route(&at("/ps"), get(machines::processes))
        .route(&at("/events"), get(machines::events))
        .route(&at("/versions"), get(machines::versions))
        .route(&at("/wait"), get(wait::wait))
        .route(&at("/lease"), get(lease::show).post(lease::acquire).delete(lease::release))
        .route(&at("/metadata"), get(metadata::list).patch(metadata::patch).put(metadata::patch))
        .route(&at("/metadata/{key}"), get(metadata::show).post(metadata::set).delete(metadata::unset))
        .route("/v1/apps/{app}/secrets", get(secrets::list).post(secrets::set_several))
        .route("/v1/apps/{app}/secrets/{name}", get(secrets::show).post(secrets::set).delete(secrets::unset))
        .route("/v1/apps/{app}/volumes", get(volumes::list).post(volumes::create))
        .route("/v1/apps/{app}/volumes/{volume}", get(volumes::show).put(volumes::change).delete(volumes::remove))
        .route("/v1/apps/{app}/volumes/{volume}/extend", put(volumes::extend))
        .route("/v1/apps/{app}/volumes/{volume}/snapshots", get(snapshots::list).post(snapshots::create))
        .route("/v1/apps/{app}/ip_assignments", get(addresses::list).post(addresses::assign))
        .route("/v1/apps/{app}/ip_assignments/{ip}", axum::routing::delete(addresses::release))
        .route("/v1/tokens/current", get(account::tokens))
        .route("/v1/platform/regions", get(account::regions));
    finish(router, fly)
}

/// Returns api.fly.io: GraphQL, and REST under `/api/v1`.
pub(super) fn platform_api(fly: &Arc<Inner>) -> Router {
    let router = Router::new()
        .route("/graphql", post(graphql::answer))
        .route("/api/v1/organizations/{slug}", get(account::organization))
        .route("/api/v1/builds", post(releases::begin_build))
        .route("/api/v1/builds/finish", post(releases::finish_build))
        .route("/api/v1/releases", post(releases::create))
        .route("/api/v1/releases/{id}", axum::routing::patch(releases::patch))
        .route("/api/v1/apps/{app}/releases", get(releases::list))
        .route("/api/v1/apps/{app}/releases/current", get(releases::current))
        .route("/api/v1/apps/{app}/logs", get(releases::logs));
    finish(router, fly)
}

fn finish(router: Router<Arc<Inner>>, fly: &Arc<Inner>) -> Router {
    router
        .fallback(|| async { Problem::new(404, "404 page not found") })
        .layer(middleware::from_fn_with_state(Arc::clone(fly), request_id))
        .with_state(Arc::clone(fly))
}

/// Every answer identifies its request, in the form `ULID-region`.
async fn request_id(State(fly): Fly, request: Request, next: Next) -> Response {
    let id = format!("{}-iad", fly.ulid());
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("fly-request-id", id);
    }
    response
}

fn nonce(headers: &HeaderMap) -> Option<&str> {
    headers.get(NONCE).and_then(|value| value.to_str().ok()).filter(|nonce| !nonce.is_empty())
}

impl Inner {
    /// Looks at a machine on behalf of `caller`: it must be visible, and readable by now (see the read lag and the memory of destroyed ones).
    fn look<R>(&self, caller: &Caller, app: &str, id: &str, look: impl FnOnce(&Machine) -> R) -> Result<R, Problem> {
        let (now, switches) = (self.now().elapsed, self.switches());
        let mut state = lock(&self.state);
        let machine = caller.app(&mut state, app)?.machines.get(id).ok_or_else(|| Problem::no_machine(id))?;
        let forgotten = machine.died.is_some_and(|died| now > died + switches.destroyed_readable);
        if forgotten || now < machine.born + switches.read_lag {
            return Err(Problem::no_machine(id));
        }
        Ok(look(machine))
    }

    /// Checks that `caller` may command a machine: as [`Inner::may_change`], and its host can be reached.
    fn may_command(&self, caller: &Caller, app: &str, id: &str, headers: &HeaderMap) -> Result<(), Problem> {
        self.may_change(caller, app, id, headers)?;
        let host = lock(&self.state).machine(app, id).map_or("ok", |machine| machine.host_status);
        self.reachable(host)
    }

    /// Checks that `caller` may change a machine that still exists, and holds its lease where there is one.
    fn may_change(&self, caller: &Caller, app: &str, id: &str, headers: &HeaderMap) -> Result<(), Problem> {
        let (now, stale_is_refused) = (self.now().elapsed, self.switches().stale_nonce_is_refused);
        let mut state = lock(&self.state);
        let machine = caller.app(&mut state, app)?.machines.get(id).filter(|machine| machine.died.is_none());
        machine.ok_or_else(|| Problem::no_machine(id))?.guard(nonce(headers), now, stale_is_refused)
    }
}

/// What a machine made or updated with `skip_launch` does.
fn resting(fly: &Inner) -> Then {
    let stopped = fly.switches().skip_launch_rests_stopped;
    Then::Stay(if stopped { super::MachineState::Stopped } else { super::MachineState::Created })
}
