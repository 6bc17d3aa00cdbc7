//! The platform's own checks: each runs by itself, at its interval, for as long as the machine is started.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use tokio::net::TcpStream;

use super::Inner;
use super::config::{self, CheckSpec, HttpCheck};
use super::machine::{CheckResult, Machine, MachineState};
use super::responder;
use super::state::Now;
use super::switches::Grace;
use crate::embedded::ground::lock;
use crate::embedded::proxy;

/// Time between two runs of a check whose failures are still forgiven, if its interval is longer: a program that needs three seconds to listen
/// is found after four, not after fifteen. Guess.
const WITHIN_GRACE: Duration = Duration::from_secs(1);

impl Inner {
    /// Starts the checks of a machine that has just been started under `epoch`. Until its first result a check is not listed at all.
    pub(super) fn examine(self: &Arc<Self>, app: &str, id: &str, epoch: u64) {
        let specs = lock(&self.state).machine(app, id).map(|machine| config::checks(&machine.config)).unwrap_or_default();
        let switches = self.switches();
        for spec in specs {
            let (me, app, id) = (Arc::clone(self), app.to_owned(), id.to_owned());
            let first = match switches.grace {
                Grace::HidesFailures => switches.pace.first_check,
                Grace::DelaysChecks => switches.pace.first_check.max(spec.grace),
            };
            self.ground.spawn_after(first, async move { me.check(&app, &id, epoch, &spec).await });
        }
    }

    async fn check(self: &Arc<Self>, app: &str, id: &str, epoch: u64, spec: &CheckSpec) {
        let begun = self.now().elapsed;
        loop {
            let Some((started, seen)) = self.under(app, id, epoch, |machine, now| (machine.started_at, self.seen(app, machine, spec, now)))
            else {
                return;
            };
            let (passing, output) = match seen {
                Seen::Judged(passing, output) => (passing, output),
                Seen::Outside(port) => {
                    let asked = tokio::time::timeout(spec.timeout, ask_container(port, spec));
                    asked.await.unwrap_or_else(|_| (false, format!("no answer within {} s", spec.timeout.as_secs())))
                }
            };
            let forgiven = !passing && self.now().elapsed < started.unwrap_or(begun) + spec.grace;
            let noted = self.note(app, id, epoch, spec, (!forgiven).then_some((passing, output)));
            if noted.is_none() {
                return;
            }
            tokio::time::sleep(if forgiven { spec.interval.min(WITHIN_GRACE) } else { spec.interval }).await;
        }
    }

    /// Writes down a result that counts; routes are worked out anew only where it differs from the last one.
    fn note(self: &Arc<Self>, app: &str, id: &str, epoch: u64, spec: &CheckSpec, result: Option<(bool, String)>) -> Option<()> {
        let same = self.under(app, id, epoch, |machine, now| {
            let Some((passing, output)) = &result else { return true };
            let last = machine.checks.get_mut(&spec.name).filter(|last| (last.passing, &last.output) == (*passing, output));
            last.map(|last| last.updated_at = now.wall).is_some()
        })?;
        // What fails only once it has been routed to changes without a new result.
        if same {
            return Some(());
        }
        let (passing, output) = result?;
        self.change_at(app, id, epoch, |machine, now| {
            machine.checks.insert(spec.name.clone(), CheckResult { passing, output, updated_at: now.wall });
        })
    }

    /// Looks at the machine while it is started and was not commanded anything since `epoch`.
    fn under<R>(&self, app: &str, id: &str, epoch: u64, look: impl FnOnce(&mut Machine, Now) -> R) -> Option<R> {
        let now = self.now();
        let mut state = lock(&self.state);
        let machine = state.machine_mut(app, id).filter(|machine| machine.epoch == epoch && machine.state == MachineState::Started);
        machine.map(|machine| look(machine, now))
    }

    /// Runs a check once as far as nobody outside has to be asked.
    fn seen(&self, app: &str, machine: &Machine, spec: &CheckSpec, now: Now) -> Seen {
        if let Some(ports) = &machine.container
            && responder::is_left_alone(machine, now.elapsed)
        {
            return match ports.get(&spec.port) {
                Some(outside) => Seen::Outside(*outside),
                None => Seen::Judged(false, format!("port {} is not published", spec.port)),
            };
        }
        if !responder::listens(machine, spec.port) {
            return Seen::Judged(false, format!("connect: connection refused on port {}", spec.port));
        }
        let Some(http) = &spec.http else { return Seen::Judged(true, "Success".to_owned()) };
        let scripted = self.scripted(app, path_only(&http.path));
        let response = responder::respond(app, machine, now.elapsed, scripted.as_ref(), request(http));
        let (passing, output) = judged(response.status());
        Seen::Judged(passing, output)
    }
}

/// What a check found, or whom it has to ask.
enum Seen {
    /// Whether it passes, and what it says.
    Judged(bool, String),
    /// The container that listens on this port of loopback.
    Outside(u16),
}

async fn ask_container(port: u16, spec: &CheckSpec) -> (bool, String) {
    match &spec.http {
        Some(http) => judged(proxy::pass(port, request(http)).await.status()),
        None => match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(_) => (true, "Success".to_owned()),
            Err(error) => (false, error.to_string()),
        },
    }
}

fn request(http: &HttpCheck) -> Request<Body> {
    let mut builder = Request::builder().method(http.method.as_str()).uri(&http.path).header("host", "127.0.0.1");
    for (name, value) in &http.headers {
        builder = builder.header(name, value);
    }
    // A path or header that is not one fails the check like a server that refuses it.
    builder.body(Body::empty()).unwrap_or_default()
}

/// An HTTP check wants a 2xx and does not follow redirects. Source: fly.io/docs/reference/health-checks.
fn judged(status: http::StatusCode) -> (bool, String) {
    (status.is_success(), status.to_string())
}

/// Returns a path without its query.
fn path_only(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}
