//! Environment variables of a project. They reach no deployment here: nothing is built and no function runs.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::state::{Project, Variable};
use crate::embedded::fault::half;
use crate::embedded::ground::partial;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EnvQuery {
    decrypt: Option<String>,
    git_branch: Option<String>,
    upsert: Option<String>,
}

/// `GET /v10/projects/{idOrName}/env`; a sensitive value is never shown.
pub(super) async fn list(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<EnvQuery>,
) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let project = caller.project(&state, &id)?;
    let on_branch = |variable: &&Variable| query.git_branch.is_none() || variable.branch.is_none() || variable.branch == query.git_branch;
    let decrypted = query.decrypt.as_deref() == Some("true");
    let envs: Vec<_> = project.variables.iter().filter(on_branch).map(|variable| rendered(variable, decrypted)).collect();
    Ok(Json(json!({ "envs": envs })))
}

/// `GET /v1/projects/{idOrName}/env/{id}`.
pub(super) async fn get(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((project, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let state = vercel.state();
    let found = caller.project(&state, &project)?.variables.iter().find(|variable| variable.id == id);
    found.map(|variable| Json(rendered(variable, true))).ok_or_else(missing)
}

/// `POST /v10/projects/{idOrName}/env`: one object or several; 201 even when some failed (published).
pub(super) async fn create(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<EnvQuery>,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = vercel.now();
    let several = body.as_array().cloned();
    let wanted = several.clone().unwrap_or_else(|| vec![body]);
    let mut state = vercel.state();
    let id = caller.project(&state, &id)?.id.clone();
    let Some(project) = state.projects.get_mut(&id) else { return Err(Refusal::not_found("Project not found.")) };
    let (mut created, mut failed) = (Vec::new(), Vec::new());
    let count = if partial() { half(wanted.len()) } else { wanted.len() };
    for one in wanted.iter().take(count) {
        let fresh = parsed(one, vercel.ground().chance.word(16), now)?;
        match upsert(project, fresh, query.upsert.as_deref() == Some("true")) {
            Ok(variable) => created.push(rendered(&variable, false)),
            Err(key) => failed.push(json!({ "error": {
                "code": "ENV_CONFLICT",
                "message": format!("A variable with the name `{key}` already exists for the target and branch"),
                "key": key,
            } })),
        }
    }
    let created = if several.is_some() { Value::from(created) } else { created.pop().unwrap_or_else(|| json!([])) };
    Ok((StatusCode::CREATED, Json(json!({ "created": created, "failed": failed }))))
}

/// `PATCH /v9/projects/{idOrName}/env/{id}`.
pub(super) async fn patch(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((project, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let now = vercel.now();
    let mut state = vercel.state();
    let project = caller.project(&state, &project)?.id.clone();
    let variables = state.projects.get_mut(&project).map(|project| &mut project.variables);
    let variable = variables.and_then(|variables| variables.iter_mut().find(|variable| variable.id == id)).ok_or_else(missing)?;
    if let Some(value) = body["value"].as_str() {
        value.clone_into(&mut variable.value);
    }
    if let Some(kind) = body["type"].as_str() {
        kind.clone_into(&mut variable.kind);
    }
    if let Some(target) = targets(&body) {
        variable.target = target;
    }
    variable.updated = now;
    Ok(Json(rendered(variable, false)))
}

/// `DELETE /v9/projects/{idOrName}/env/{id}`.
pub(super) async fn delete(
    State(vercel): State<Vercel>,
    caller: Caller,
    Path((project, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let mut state = vercel.state();
    let project = caller.project(&state, &project)?.id.clone();
    let variables = state.projects.get_mut(&project).map(|project| &mut project.variables).ok_or_else(missing)?;
    let at = variables.iter().position(|variable| variable.id == id).ok_or_else(missing)?;
    Ok(Json(rendered(&variables.remove(at), false)))
}

fn missing() -> Refusal {
    Refusal::not_found("Environment Variable was not found.")
}

fn upsert(project: &mut Project, fresh: Variable, replace: bool) -> Result<Variable, String> {
    let same = |known: &&mut Variable| {
        known.key == fresh.key && known.branch == fresh.branch && known.target.iter().any(|target| fresh.target.contains(target))
    };
    match project.variables.iter_mut().find(same) {
        Some(_) if !replace => Err(fresh.key),
        Some(known) => {
            let (id, created) = (known.id.clone(), known.created);
            *known = Variable { id, created, ..fresh };
            Ok(known.clone())
        }
        None => {
            project.variables.push(fresh.clone());
            Ok(fresh)
        }
    }
}

fn parsed(body: &Value, id: String, now: i64) -> Result<Variable, Refusal> {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let need = |name: &str| text(name).ok_or_else(|| Refusal::bad_request(format!("Invalid request: missing required property `{name}`.")));
    let key = need("key")?;
    let good = key.len() <= 256 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !good {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "env_key_invalid_characters",
            format!("The variable `{key}` has an invalid name."),
        ));
    }
    let value = need("value")?;
    if value.len() > 65_536 {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "env_value_too_long", format!("The value of `{key}` is too long.")));
    }
    let target = targets(body).ok_or_else(|| Refusal::bad_request("Invalid request: missing required property `target`."))?;
    let kind = need("type")?;
    Ok(Variable { id, key, value, kind, target, branch: text("gitBranch"), comment: text("comment"), created: now, updated: now })
}

fn targets(body: &Value) -> Option<Vec<String>> {
    Some(body["target"].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn rendered(variable: &Variable, decrypted: bool) -> Value {
    let readable = variable.kind == "plain" || decrypted && variable.kind != "sensitive";
    let mut body = json!({
        "id": variable.id,
        "key": variable.key,
        "value": if readable { variable.value.as_str() } else { "" },
        "type": variable.kind,
        "target": variable.target,
        "decrypted": readable,
        "configurationId": null,
        "createdAt": variable.created,
        "updatedAt": variable.updated,
    });
    if let Some(branch) = &variable.branch {
        body["gitBranch"] = branch.as_str().into();
    }
    if let Some(comment) = &variable.comment {
        body["comment"] = comment.as_str().into();
    }
    body
}
