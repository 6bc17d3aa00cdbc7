//! Users and teams: what the vendor's client asks for before it deploys.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::state::Team;

/// `GET /v2/user`; closed to project tokens.
pub(super) async fn user(caller: Caller) -> Result<Json<Value>, Refusal> {
    caller.whole_account()?;
    Ok(Json(json!({ "user": {
        "id": caller.user,
        "email": format!("{}@example.com", caller.user),
        "name": null,
        "username": caller.user,
        "avatar": null,
        "defaultTeamId": null,
        "limited": true,
    } })))
}

/// `GET /v2/teams/{teamId}` (published) and `GET /teams/{teamId}` (vendor's client).
pub(super) async fn team(State(vercel): State<Vercel>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    caller.whole_account()?;
    let state = vercel.state();
    let team = state.team(&id).filter(|team| caller.reaches(&team.id)).ok_or_else(|| Refusal::not_found("The team could not be found"))?;
    Ok(Json(rendered(team, &caller.user)))
}

/// `GET /v1/teams`, `GET /v2/teams`: the teams that the token reaches (vendor's client, to resolve `--scope`).
pub(super) async fn teams(State(vercel): State<Vercel>, caller: Caller) -> Result<Json<Value>, Refusal> {
    caller.whole_account()?;
    let state = vercel.state();
    let found: Vec<_> = state.teams.values().filter(|team| caller.reaches(&team.id)).map(|team| rendered(team, &caller.user)).collect();
    Ok(Json(json!({ "pagination": { "count": found.len(), "next": null, "prev": null }, "teams": found })))
}

fn rendered(team: &Team, user: &str) -> Value {
    json!({
        "id": team.id,
        "slug": team.slug,
        "name": team.slug,
        "avatar": null,
        "description": null,
        "stagingPrefix": team.slug,
        "creatorId": user,
        "createdAt": team.created,
        "updatedAt": team.created,
        "membership": {
            "uid": user,
            "teamId": team.id,
            "role": "OWNER",
            "confirmed": true,
            "created": team.created,
            "createdAt": team.created,
        },
    })
}
