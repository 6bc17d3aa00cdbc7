//! Custom hostnames of a project: attached, then active once their record leads there (vendor's documentation; how long it takes is a guess).

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloudflare;
use super::caller::Caller;
use super::refusal::{Refusal, granted};
use super::state::{Project, State as World};
use super::wire::moment;

#[derive(Deserialize)]
pub(super) struct Wanted {
    name: String,
}

/// `POST …/domains`.
pub(super) async fn add(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, project)): Path<(String, String)>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let name = wanted.name.to_lowercase();
    if name.contains('*') || !name.contains('.') {
        // The number is a guess.
        return Err(Refusal::bad_request(8_000_017, "The domain is not valid: it must be a whole hostname without a wildcard"));
    }
    {
        let mut state = cloudflare.state();
        let taken = state.projects.values().any(|one| one.domains.iter().any(|(known, _)| *known == name));
        let found = state.project_mut(&caller.account, &project).ok_or_else(Refusal::no_project)?;
        if taken {
            // The number is a guess.
            return Err(Refusal::new(StatusCode::CONFLICT, 8_000_018, "You have already added this custom domain."));
        }
        found.domains.push((name.clone(), "initializing".to_owned()));
    }
    cloudflare.ground().traffic.set(&name, Vec::new());
    cloudflare.begin_domain(&caller.account, &project, &name);
    one(&cloudflare.state(), &caller, &project, &name)
}

/// `GET …/domains/{name}`.
pub(super) async fn get(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, project, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    one(&cloudflare.state(), &caller, &project, &name)
}

/// `PATCH …/domains/{name}`: looks at the record again.
pub(super) async fn look(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, project, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    one(&cloudflare.state(), &caller, &project, &name).map(drop)?;
    cloudflare.look_at_domains();
    one(&cloudflare.state(), &caller, &project, &name)
}

/// `DELETE …/domains/{name}`.
pub(super) async fn remove(
    State(cloudflare): State<Cloudflare>,
    caller: Caller,
    Path((_, project, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = cloudflare.state();
    let found = state.project_mut(&caller.account, &project).ok_or_else(Refusal::no_project)?;
    let before = found.domains.len();
    found.domains.retain(|(known, _)| *known != name);
    if found.domains.len() == before {
        return Err(no_domain());
    }
    cloudflare.ground().traffic.remove(&name);
    Ok(granted(&Value::Null))
}

fn one(state: &World, caller: &Caller, project: &str, name: &str) -> Result<Json<Value>, Refusal> {
    let project = state.project(&caller.account, project).ok_or_else(Refusal::no_project)?;
    let (name, status) = project.domains.iter().find(|(known, _)| known == name).ok_or_else(no_domain)?;
    Ok(granted(&shown(state, project, name, status)))
}

/// Returns a custom hostname as answers show it.
pub(super) fn shown(state: &World, project: &Project, name: &str, status: &str) -> Value {
    let mut verified = json!({ "status": if status == "initializing" { "pending" } else { status } });
    if status == "pending" {
        verified["error_message"] = json!("CNAME record not set");
    }
    json!({
        "id": name,
        "name": name,
        "domain_id": format!("{}-{name}", project.id),
        "status": status,
        "certificate_authority": "google",
        "created_on": moment(project.created),
        "zone_tag": state.zone_of(name).map(|zone| zone.id.clone()).unwrap_or_default(),
        "validation_data": { "method": "http", "status": status },
        "verification_data": verified,
    })
}

fn no_domain() -> Refusal {
    // The number is a guess.
    Refusal::new(StatusCode::NOT_FOUND, 8_000_021, "The domain you have specified does not exist.")
}

/// Returns whether a hostname's record leads to a project; where nobody here keeps its DNS, it is believed.
fn leads(state: &World, project: &Project, host: &str) -> bool {
    let Some(zone) = state.zone_of(host) else { return true };
    let mut records = zone.records.iter().filter(|record| record.name == host);
    records.any(|record| record.kind == "CNAME" && record.content == project.subdomain)
}

impl Cloudflare {
    /// Begins to attach a hostname, which goes on in a task of its own.
    fn begin_domain(&self, account: &str, project: &str, name: &str) {
        let (cloudflare, of, name) = (self.clone(), (account.to_owned(), project.to_owned()), name.to_owned());
        let time = self.state().switches.domain_time;
        self.ground().spawn(async move {
            tokio::time::sleep(time / 2).await;
            cloudflare.set_domain(&of, &name, "initializing", "pending");
            tokio::time::sleep(time.saturating_sub(time / 2)).await;
            cloudflare.look_at_domains();
        });
    }

    fn set_domain(&self, of: &(String, String), name: &str, from: &str, to: &str) {
        let mut state = self.state();
        let found = state.projects.get_mut(of).and_then(|project| project.domains.iter_mut().find(|(known, _)| known == name));
        if let Some((_, status)) = found.filter(|(_, status)| status == from) {
            to.clone_into(status);
        }
    }

    /// Looks at the records of every hostname: one whose record leads to its project becomes active, one whose record has left is active no more.
    pub(super) fn look_at_domains(&self) {
        let mut state = self.state();
        let now = |project: &Project, (name, status): &(String, String)| match (status.as_str(), leads(&state, project, name)) {
            ("pending" | "deactivated", true) => Some("active"),
            ("active", false) => Some("deactivated"),
            _ => None,
        };
        let mut changes = Vec::new();
        for (of, project) in &state.projects {
            changes.extend(project.domains.iter().filter_map(|domain| Some((of.clone(), domain.0.clone(), now(project, domain)?))));
        }
        for (of, name, status) in changes {
            let Some(project) = state.projects.get_mut(&of) else { continue };
            if let Some(domain) = project.domains.iter_mut().find(|(known, _)| *known == name) {
                status.clone_into(&mut domain.1);
            }
            let canonical = project.canonical.clone();
            let serving = canonical.and_then(|id| state.deployments.get(&id)).map(|one| (one.id.clone(), one.backend.clone()));
            match serving.filter(|_| status == "active") {
                Some((id, backend)) => self.ground().traffic.set_showing(&name, vec![backend], vec![id]),
                None => self.ground().traffic.set(&name, Vec::new()),
            }
        }
    }
}
