//! What runs inside a machine that is not a real container: a small server whose failures can be chosen.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::config;
use super::exit::End;
use super::machine::Machine;
use super::switches::Scripted;
use crate::embedded::websocket;

/// How the program in a machine behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// Answers 200 on every path, on every port that the configuration names.
    #[default]
    Healthy,
    /// Exits at once with this code, whenever it is started.
    CrashesAtStart(i64),
    /// Answers 503 on every path.
    NeverHealthy,
    /// Listens on this port only, whatever the configuration says.
    WrongPort(u16),
    /// Answers 200 until it has received public traffic's route for this long, then 500.
    FailsOnceRouted(Duration),
    /// Exits with this code, this long after it was started.
    DiesLater(Duration, i64),
    /// Runs for this long, then exits with this code: a release command, a migration.
    RunsOnce(Duration, i64),
    /// Runs for a while, says something and ends in some way: a release command with an outcome of its own.
    Does(Job),
    /// Cannot be started: see [`StartFailure`].
    FailsToStart(StartFailure),
    /// Healthy, but deaf to the stop signal: it is killed when the kill timeout is over.
    IgnoresSignal,
}

/// A program that has something to do and then ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The lines that it writes to the log when it starts.
    pub says: Vec<String>,
    /// How long it takes.
    pub takes: Duration,
    /// How it ends.
    pub end: End,
}

/// Why a machine cannot be started. One that has never run is `launch_failed` and then destroyed; another one stays `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailure {
    /// Its image cannot be pulled.
    Image,
    /// The virtual machine does not come up.
    Boot,
}

impl StartFailure {
    /// Returns the line in the log.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Image => "failed to pull the image: manifest unknown",
            Self::Boot => "could not start the machine: the virtual machine exited while it booted",
        }
    }
}

/// Which machines a [`Behaviour`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those whose image has this digest (`sha256:...`).
    Image(String),
    /// Those whose `CUTOVER_REVISION` is this.
    Revision(String),
    /// Those whose process group (metadata `fly_process_group`) is this.
    Group(String),
    /// Those created from now on, and those updated from now on to an image and revision that no machine of the app has had before.
    FromNowOn,
}

/// A behaviour and whom it is for.
#[derive(Debug, Clone)]
pub(super) struct BehaviourRule {
    pub which: Which,
    pub behaviour: Behaviour,
    /// For [`Which::FromNowOn`]: the first machine it is for.
    pub from: u64,
    /// For [`Which::FromNowOn`]: what was known when it was set.
    pub known: BTreeSet<(String, String)>,
}

impl BehaviourRule {
    fn holds(&self, machine: &Machine) -> bool {
        match &self.which {
            Which::Image(digest) => machine.digest == *digest,
            Which::Revision(revision) => config::env(&machine.config, "CUTOVER_REVISION") == Some(revision),
            Which::Group(group) => config::metadata(&machine.config, "fly_process_group") == Some(group),
            // A release command's machine is not what "the next machines fail" means: it has a group of its own to be asked for.
            Which::FromNowOn => !machine.one_shot() && (machine.ordinal >= self.from || !self.known.contains(&identity(machine))),
        }
    }
}

/// Returns what tells two contents of a machine apart.
pub(super) fn identity(machine: &Machine) -> (String, String) {
    (machine.digest.clone(), config::env(&machine.config, "CUTOVER_REVISION").unwrap_or_default().to_owned())
}

/// Returns how `machine` behaves under `rules`: the newest rule that holds, else a one-shot machine ends well, else healthy.
pub(super) fn behaviour(rules: &[BehaviourRule], machine: &Machine, job: Duration) -> Behaviour {
    let usual = if machine.one_shot() { Behaviour::RunsOnce(job, 0) } else { Behaviour::Healthy };
    rules.iter().rev().find(|rule| rule.holds(machine)).map_or(usual, |rule| rule.behaviour.clone())
}

/// Returns whether the program listens on `port`.
pub(super) fn listens(machine: &Machine, port: u16) -> bool {
    match machine.behaviour {
        Behaviour::WrongPort(other) => other == port,
        Behaviour::RunsOnce(..) | Behaviour::Does(_) => false,
        _ => config::ports(&machine.config).contains(&port),
    }
}

/// Returns whether a real container answers for itself `now`: a failure that was asked for is answered in its place.
pub(super) fn is_left_alone(machine: &Machine, now: Duration) -> bool {
    !matches!(machine.behaviour, Behaviour::WrongPort(_)) && status(machine, now) == StatusCode::OK
}

/// Returns the status that the program answers with `now`.
pub(super) fn status(machine: &Machine, now: Duration) -> StatusCode {
    match &machine.behaviour {
        Behaviour::NeverHealthy => StatusCode::SERVICE_UNAVAILABLE,
        Behaviour::FailsOnceRouted(after) if machine.routed_at.is_some_and(|at| now >= at + *after) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    }
}

/// Answers a request that reached the program.
pub(super) fn respond(app: &str, machine: &Machine, now: Duration, scripted: Option<&Scripted>, request: Request) -> Response {
    let mut status = status(machine, now);
    if status == StatusCode::OK
        && let Some(accepted) = websocket::accept(request)
    {
        return accepted;
    }
    let body = json!({
        "status": if status == StatusCode::OK { "ok" } else { "error" },
        "app": app,
        "machine": machine.id,
        "region": machine.region,
        "image": config::text(&machine.config, "image"),
        "revision": config::env(&machine.config, "CUTOVER_REVISION"),
        "secrets_version": machine.secrets,
    });
    let mut response = Response::new(Body::from(body.to_string()));
    if let (StatusCode::OK, Some(scripted)) = (status, scripted) {
        status = StatusCode::from_u16(scripted.status).unwrap_or(status);
        for (name, value) in &scripted.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
