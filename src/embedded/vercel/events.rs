//! A deployment's log: an array, or lines that go on until the deployment has ended.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::state::{Deployment, LogLine};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    follow: Option<String>,
    format: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    limit: Option<i64>,
    direction: Option<String>,
}

/// `GET /v3/deployments/{idOrUrl}/events` (published) and `GET /v3/now/deployments/{id}/events` (vendor's client).
pub(super) async fn events(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let (id, lines) = {
        let state = vercel.state();
        let deployment = caller.deployment(&state, &id)?;
        (deployment.id.clone(), chosen(deployment, &wanted))
    };
    if wanted.format.as_deref() != Some("lines") {
        return Ok(Json(lines).into_response());
    }
    let body = if wanted.follow.as_deref() == Some("1") {
        Body::from_stream(follow(vercel, id, wanted))
    } else {
        Body::from(lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/stream+json"));
    Ok(response)
}

fn follow(vercel: Vercel, id: String, wanted: Wanted) -> impl stream::Stream<Item = Result<String, std::io::Error>> {
    stream::unfold((vercel, id, wanted, 0), |(vercel, id, wanted, told)| async move {
        loop {
            // Registered before looking, so that no growth in between is missed.
            let mut grown = Box::pin(vercel.shared.grown.notified());
            grown.as_mut().enable();
            let (fresh, ended) = {
                let state = vercel.state();
                let deployment = state.deployments.get(&id)?;
                let lines = chosen(deployment, &wanted);
                let fresh: String = lines.iter().skip(told).map(|line| format!("{line}\n")).collect();
                (Some((fresh, lines.len())).filter(|(_, count)| *count > told), settled(deployment))
            };
            if let Some((text, told)) = fresh {
                drop(grown);
                return Some((Ok(text), (vercel, id, wanted, told)));
            }
            if ended {
                return None;
            }
            grown.await;
        }
    })
}

/// Returns whether nothing more will be written: it has ended, and its domains are assigned where they would be by themselves.
fn settled(deployment: &Deployment) -> bool {
    let waits = deployment.ready == super::state::BuildState::Ready && deployment.production && deployment.auto_assign;
    deployment.ready.ended() && (!waits || deployment.alias_assigned.is_some())
}

fn chosen(deployment: &Deployment, wanted: &Wanted) -> Vec<Value> {
    let after = |line: &&LogLine| wanted.since.is_none_or(|since| line.at >= since) && wanted.until.is_none_or(|until| line.at <= until);
    // The published document does not know the line that says that the domains are assigned; the stream carries it all the same.
    let published = |line: &&LogLine| wanted.format.is_some() || line.kind != "alias-assigned";
    let mut lines: Vec<Value> =
        deployment.log.iter().filter(after).filter(published).enumerate().map(|(index, line)| rendered(deployment, index, line)).collect();
    if wanted.direction.as_deref() == Some("backward") {
        lines.reverse();
    }
    if let Some(limit) = wanted.limit.and_then(|limit| usize::try_from(limit).ok()) {
        lines.truncate(limit);
    }
    lines
}

/// Returns the flat one of the two shapes that the vendor's client reads.
fn rendered(deployment: &Deployment, index: usize, line: &LogLine) -> Value {
    let mut info = json!({ "type": "build", "name": "bld_embedded", "entrypoint": "." });
    if let Some(state) = line.state {
        info["readyState"] = state.as_str().into();
    }
    json!({
        "type": line.kind,
        "created": line.at,
        "date": line.at,
        "deploymentId": deployment.id,
        "id": format!("{}{index:06}", line.at),
        "serial": format!("{}{index:06}", line.at),
        "text": line.text,
        "info": info,
    })
}
