//! The few GraphQL operations that a deploy needs, matched by the fields they ask for.
//!
//! Answers carry every field that a known client selects, not only those selected: this is not a GraphQL server. Source of the operations and of
//! the texts of errors: flyctl's queries and its users' reports.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::Inner;
use super::access::Caller;
use super::problem::Problem;
use super::routes::secrets;
use super::state::{Address, App, Release};
use super::wire::{self, GraphqlBody};
use crate::embedded::fault::half;
use crate::embedded::ground::{lock, partial};

/// Fields by which an operation is known, in the order in which they are looked for: the more special first.
const FIELDS: [(&str, &str); 14] = [
    ("canPerformBluegreenDeployment", "can_perform_bluegreen"),
    ("appNameAvailable", "app_name_available"),
    ("currentReleaseUnprocessed", "current_release"),
    ("releasesUnprocessed", "releases"),
    ("createApp(", "create_app"),
    ("deleteApp(", "delete_app"),
    ("allocateIpAddress(", "allocate_address"),
    ("setSecrets(", "set_secrets"),
    ("unsetSecrets(", "unset_secrets"),
    ("createRelease(", "create_release"),
    ("updateRelease(", "update_release"),
    ("image(", "resolve_image"),
    ("organization(", "organization"),
    ("app(", "app"),
];

/// Those that change something.
const WRITES: [&str; 7] =
    ["create_app", "delete_app", "allocate_address", "set_secrets", "unset_secrets", "create_release", "update_release"];

/// Returns the name of every operation that is known.
pub(super) fn operations() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(_, name)| *name)
}

/// Returns the operation that `query` asks for.
pub(super) fn operation(query: &str) -> &'static str {
    // Fields may have an alias and spaces before their arguments; the names above are unambiguous without spaces.
    let compact: String = query.split_whitespace().collect::<Vec<_>>().join(" ").replace(" (", "(");
    FIELDS.iter().find(|(field, _)| compact.contains(field)).map_or("unknown", |(_, name)| name)
}

/// Answers one operation. Errors arrive with status 200, but for a missing or bad token.
pub(super) async fn answer(State(fly): State<Arc<Inner>>, caller: Caller, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: GraphqlBody = wire::read(&body)?;
    let name = operation(&body.query);
    let allowed = if WRITES.contains(&name) { caller.writes() } else { Ok(()) };
    match allowed.and_then(|()| fly.graphql(&caller, name, &body.variables)) {
        Ok(data) => Ok(Json(json!({ "data": data }))),
        Err(problem) => Ok(Json(json!({
            "errors": [{ "message": problem.text(), "path": [name], "extensions": { "code": "UNPROCESSABLE" } }],
            "data": {},
        }))),
    }
}

/// "Could not find App" is how a missing and a forbidden app look alike here.
fn find<'a>(caller: &Caller, apps: &'a mut super::State, name: &str) -> Result<&'a mut App, Problem> {
    caller.app(apps, name).map_err(|_| Problem::new(200, "Could not find App"))
}

fn release(release: &Release) -> Value {
    json!({
        "id": release.id,
        "version": release.version,
        "description": "Deploy image",
        "reason": "deploy",
        "status": release.status,
        "imageRef": release.image,
        "stable": release.status == "complete",
        "configDefinition": release.definition,
        "user": { "id": "user", "email": "user", "name": "user" },
        "evaluationId": release.id,
        "createdAt": release.created_at.to_string(),
    })
}

fn address(address: &Address) -> Value {
    json!({
        "id": address.id,
        "address": address.ip,
        "type": address.kind,
        "region": address.region,
        "createdAt": address.created_at.to_string(),
    })
}

fn app(app: &App) -> Value {
    let organization = json!({ "id": app.org, "slug": app.org, "name": app.org, "rawSlug": app.org, "paidPlan": true });
    json!({
        "id": app.name,
        "internalNumericId": app.number,
        "name": app.name,
        "hostname": format!("{}{}", app.name, super::PUBLIC_SUFFIX),
        "deployed": app.deployed,
        "status": app.status(),
        "platformVersion": "machines",
        "organization": organization,
        "currentRelease": app.releases.last().map(release),
        "currentReleaseUnprocessed": app.releases.last().map(release),
        "ipAddresses": { "nodes": app.addresses.iter().map(address).collect::<Vec<_>>() },
        "sharedIpAddress": app.addresses.iter().find(|address| address.shared).map(|address| address.ip.clone()),
    })
}

impl Inner {
    fn graphql(&self, caller: &Caller, name: &str, variables: &Value) -> Result<Value, Problem> {
        let input = variables.get("input").unwrap_or(variables);
        let text = |key: &str| variables.get(key).or_else(|| input.get(key)).and_then(Value::as_str).unwrap_or_default();
        let app_name = ["appName", "name", "appId"].iter().map(|key| text(key)).find(|name| !name.is_empty()).unwrap_or_default();
        match name {
            "app_name_available" => Ok(json!({ "appNameAvailable": !lock(&self.state).apps.contains_key(text("name")) })),
            "organization" => {
                caller.org(text("slug"))?;
                let slug = text("slug");
                Ok(json!({ "organization": {
                    "id": slug, "internalNumericId": "1", "slug": slug, "rawSlug": slug, "name": slug, "type": "SHARED", "billable": true,
                } }))
            }
            "create_app" => {
                caller.org(text("organizationId"))?;
                if lock(&self.state).apps.contains_key(text("name")) {
                    return Err(Problem::new(200, "Validation failed: Name has already been taken"));
                }
                self.new_app(text("name"), text("organizationId"), text("network"));
                Ok(json!({ "createApp": { "app": app(find(caller, &mut lock(&self.state), text("name"))?) } }))
            }
            "create_release" | "update_release" => self.graphql_release(caller, name, app_name, input),
            "set_secrets" | "unset_secrets" => self.graphql_secrets(caller, name, app_name, input),
            "allocate_address" => {
                let new = self.new_address(text("type"), text("region"))?;
                let mut state = lock(&self.state);
                let owner = find(caller, &mut state, app_name)?;
                let answer = address(&new);
                owner.addresses.push(new);
                Ok(json!({ "allocateIpAddress": { "ipAddress": answer, "app": app(owner) } }))
            }
            "delete_app" => {
                find(caller, &mut lock(&self.state), app_name)?;
                lock(&self.state).apps.remove(app_name);
                self.forget_routes(app_name);
                Ok(json!({ "deleteApp": { "organization": { "id": caller.token.owner } } }))
            }
            _ => self.graphql_read(caller, name, app_name, variables),
        }
    }

    fn graphql_read(&self, caller: &Caller, name: &str, app_name: &str, variables: &Value) -> Result<Value, Problem> {
        let switches = self.switches();
        let mut state = lock(&self.state);
        let found = find(caller, &mut state, app_name)?;
        match name {
            "can_perform_bluegreen" => Ok(json!({ "canPerformBluegreenDeployment": switches.bluegreen_allowed })),
            "current_release" | "app" => Ok(json!({ "app": app(found) })),
            "releases" => {
                let limit = variables.get("limit").and_then(Value::as_u64).unwrap_or(25);
                let releases = found.releases.iter().rev().take(usize::try_from(limit).unwrap_or(25));
                Ok(json!({ "app": { "releases": { "nodes": releases.map(release).collect::<Vec<_>>() } } }))
            }
            "resolve_image" => {
                let image = variables.get("imageRef").and_then(Value::as_str).unwrap_or_default();
                let (_, repository, tag) = wire::image_parts(image);
                let reference = image.split_once('@').map_or(tag, |(_, digest)| digest);
                // A null image means "not found".
                let resolved = self.has_image(image).then(|| {
                    let digest = self.registry.find(repository, reference);
                    json!({ "id": image, "digest": digest, "ref": image, "compressedSize": "0", "compressedSizeFull": "0", "manifest": {} })
                });
                Ok(json!({ "app": { "image": resolved } }))
            }
            _ => Err(Problem::new(200, "the embedded Fly does not know this operation")),
        }
    }

    fn graphql_release(&self, caller: &Caller, name: &str, app_name: &str, input: &Value) -> Result<Value, Problem> {
        let text = |key: &str| input.get(key).and_then(Value::as_str).unwrap_or_default();
        if name == "update_release" {
            let metadata = input.get("metadata").cloned().unwrap_or_default();
            let changed = self.patch_release(caller, text("releaseId"), text("status"), metadata)?;
            return Ok(json!({ "updateRelease": { "release": release(&changed) } }));
        }
        find(caller, &mut lock(&self.state), app_name)?;
        let definition = input.get("definition").cloned().unwrap_or_default();
        let made = self.new_release(caller, app_name, text("image"), text("strategy"), definition)?;
        Ok(json!({ "createRelease": { "release": release(&made) } }))
    }

    fn graphql_secrets(&self, caller: &Caller, name: &str, app_name: &str, input: &Value) -> Result<Value, Problem> {
        let now = self.now();
        let mut state = lock(&self.state);
        let owner = find(caller, &mut state, app_name)?;
        let of = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let set = super::config::list(input, "secrets").iter().map(|pair| (of(pair, "key"), Some(of(pair, "value"))));
        let unset = super::config::list(input, "keys").iter().map(|key| (key.as_str().unwrap_or_default().to_owned(), None));
        let changes: Vec<_> = set.chain(unset).collect();
        let count = if partial() { half(changes.len()) } else { changes.len() };
        for (key, value) in changes.into_iter().take(count) {
            secrets::write(owner, &key, value.as_deref(), now)?;
        }
        owner.secrets_changed(now.elapsed);
        let member = if name == "set_secrets" { "setSecrets" } else { "unsetSecrets" };
        // Null for an app that was never deployed.
        Ok(json!({ member: { "release": owner.releases.last().map(release) } }))
    }
}
