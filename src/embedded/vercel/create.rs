//! The create call, `POST /v13/deployments`: files by digest, a git source, or an earlier deployment once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vercel;
use super::caller::Caller;
use super::refusal::Refusal;
use super::site::PlainSettings;
use super::state::{BuildState, Deployment, Project};
use super::store::{Files, Stored};
use super::switch::{BuildFate, Fate};
use super::wire;
use crate::embedded::ground::partial;

/// The most entries of `files` (report: the vendor's own message, see terraform-provider-vercel#289).
const MOST_FILES: usize = 15_000;

/// Where a tree begins in the archive form (vendor's client).
const ARCHIVE: &str = ".vercel/source.tgz.part";

/// The fields that the create call knows: published ones first, then those that the vendor's client sends, then the keys of `vercel.json`,
/// which that client spreads into the body.
const FIELDS: &[&str] = &[
    "customEnvironmentSlugOrId",
    "deploymentId",
    "files",
    "gitMetadata",
    "gitSource",
    "meta",
    "monorepoManager",
    "name",
    "project",
    "projectSettings",
    "target",
    "withLatestCommit", // published
    "version",
    "source",
    "env",
    "build",
    "regions",
    "autoAssignCustomDomains",
    "actor",
    "buildMachine",
    "public",
    "manualProvisioning", // client
    "alias",
    "builds",
    "cleanUrls",
    "crons",
    "functions",
    "git",
    "headers",
    "images",
    "ignoreCommand",
    "buildCommand",
    "installCommand",
    "devCommand",
    "framework",
    "outputDirectory",
    "redirects",
    "rewrites",
    "routes",
    "trailingSlash",
    "bunVersion",
    "fluid", // vercel.json
    "$schema",
];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Create {
    name: Option<String>,
    project: Option<String>,
    target: Option<String>,
    files: Option<Vec<Entry>>,
    git_source: Option<Value>,
    deployment_id: Option<String>,
    meta: BTreeMap<String, String>,
    git_metadata: Option<GitMetadata>,
    project_settings: Option<ProjectSettings>,
    auto_assign_custom_domains: Option<bool>,
    regions: Vec<String>,
    source: Option<String>,
    clean_urls: bool,
    output_directory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GitMetadata {
    commit_ref: Option<String>,
    commit_sha: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ProjectSettings {
    root_directory: Option<String>,
    output_directory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    file: String,
    sha: Option<String>,
    size: Option<u64>,
    data: Option<String>,
    encoding: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CreateQuery {
    prebuilt: Option<String>,
    force_new: Option<String>,
}

/// What a deployment is made from.
pub(super) struct Origin {
    pub(super) files: Arc<Files>,
    pub(super) prebuilt: bool,
    pub(super) root: String,
    pub(super) plain: PlainSettings,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) git_source: Option<Value>,
    pub(super) source: String,
    pub(super) regions: Vec<String>,
    pub(super) production: bool,
    pub(super) auto_assign: Option<bool>,
}

/// `POST /v13/deployments`.
pub(super) async fn create(
    State(vercel): State<Vercel>,
    caller: Caller,
    Query(query): Query<CreateQuery>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let body = vercel.parse(&body)?;
    let named = body.project.as_deref().or(body.name.as_deref()).unwrap_or_default();
    let (project, source) = {
        let state = vercel.state();
        let project = caller.project(&state, named)?.clone();
        let source = body.deployment_id.as_deref().map(|id| caller.deployment(&state, id).cloned()).transpose()?;
        (project, source)
    };
    let production = match body.target.as_deref() {
        None | Some("staging") => false,
        Some("production") => true,
        Some(other) => {
            return Err(Refusal::bad_request(format!(
                "Invalid request: `target` should be equal to one of the allowed values: \"{other}\"."
            )));
        }
    };
    let origin = match (&body.files, &body.git_source, source) {
        (None, Some(git), None) => from_git(&project, git)?,
        (None, None, Some(earlier)) => again(&earlier),
        (Some(files), None, None) => vercel.uploaded(&project, &body, files, query.prebuilt.as_deref() == Some("1"))?,
        (None, None, None) => return Err(Refusal::new(http::StatusCode::BAD_REQUEST, "no_files", "Invalid deployment: no files")),
        _ => return Err(Refusal::bad_request("Invalid request: use one of `files`, `gitSource` and `deploymentId`.")),
    };
    let mut origin = Origin { production, auto_assign: body.auto_assign_custom_domains, regions: body.regions.clone(), ..origin };
    origin.meta.extend(body.meta);
    if let Some(git) = &body.git_metadata {
        let known = [("githubCommitRef", &git.commit_ref), ("githubCommitSha", &git.commit_sha)];
        for (name, value) in known {
            if let Some(value) = value {
                origin.meta.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
        }
    }
    if query.force_new.as_deref() != Some("1")
        && let Some(equal) = vercel.equal(&project, &origin)
    {
        return Ok(Json(equal));
    }
    let id = vercel.add_deployment(&project.id, &caller.user, origin).ok_or_else(|| Refusal::not_found("Project not found."))?;
    let state = vercel.state();
    let made = state.deployments.get(&id).ok_or_else(|| Refusal::not_found("Deployment not found."))?;
    Ok(Json(wire::deployment(&state, made)))
}

impl Vercel {
    fn parse(&self, body: &[u8]) -> Result<Create, Refusal> {
        let raw: Value = serde_json::from_slice(body).map_err(|_| Refusal::bad_request("Invalid JSON"))?;
        let members = raw.as_object().ok_or_else(|| Refusal::bad_request("Invalid request: body should be object."))?;
        if self.state().switches.refuses_unknown_fields
            && let Some(unknown) = members.keys().find(|name| !FIELDS.contains(&name.as_str()))
        {
            return Err(Refusal::bad_request(format!("Invalid request: should NOT have additional property `{unknown}`."))
                .with("keyword", "additionalProperties")
                .with("dataPath", "")
                .with("params", json!({ "additionalProperty": unknown })));
        }
        if !members.get("name").is_some_and(Value::is_string) {
            return Err(Refusal::bad_request("Invalid request: missing required property `name`.")
                .with("keyword", "required")
                .with("params", json!({ "missingProperty": "name" })));
        }
        serde_json::from_value(raw).map_err(|error| Refusal::bad_request(format!("Invalid request: {error}.")))
    }

    fn uploaded(&self, project: &Project, body: &Create, entries: &[Entry], prebuilt: bool) -> Result<Origin, Refusal> {
        if entries.len() > MOST_FILES {
            return Err(Refusal::bad_request(format!("Invalid request: `files` should NOT have more than {MOST_FILES} items.")));
        }
        if body.meta.len() > 100 || body.meta.values().any(|value| value.len() > 65_536) {
            return Err(Refusal::bad_request("Invalid request: `meta` should NOT have more than 100 properties."));
        }
        let mut files = Files::new();
        let mut missing = Vec::new();
        for entry in entries {
            let stored = self.entry(entry, &mut missing)?;
            let Some(stored) = stored else { continue };
            if files.insert(entry.file.clone(), stored).is_some() {
                return Err(Refusal::new(
                    http::StatusCode::BAD_REQUEST,
                    "conflicting_file_path",
                    format!("Two or more files have conflicting paths: {}", entry.file),
                ));
            }
        }
        if !missing.is_empty() {
            missing.dedup();
            return Err(Refusal::new(http::StatusCode::BAD_REQUEST, "missing_files", "Missing files").with("missing", missing));
        }
        let files = self.unpacked(files)?;
        let settings = body.project_settings.as_ref();
        let root = settings.and_then(|settings| settings.root_directory.clone()).or_else(|| project.root_directory.clone());
        let local = files.get("vercel.json").and_then(|stored| self.store().read(&stored.sha).ok());
        let local: PlainSettings = local.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let output = settings.and_then(|settings| settings.output_directory.clone());
        let plain = PlainSettings {
            clean_urls: body.clean_urls || local.clean_urls,
            output_directory: output.or_else(|| body.output_directory.clone()).or(local.output_directory),
        };
        Ok(Origin {
            files: Arc::new(files),
            prebuilt,
            root: root.unwrap_or_default(),
            plain,
            meta: BTreeMap::new(),
            git_source: None,
            source: body.source.clone().unwrap_or_else(|| "cli".to_owned()),
            regions: Vec::new(),
            production: false,
            auto_assign: None,
        })
    }

    /// Returns where the entry's content is; `None` for an empty directory and for a content that is missing.
    fn entry(&self, entry: &Entry, missing: &mut Vec<String>) -> Result<Option<Stored>, Refusal> {
        let invalid = |what: &str| Refusal::bad_request(format!("Invalid request: `files` item \"{}\" {what}.", entry.file));
        if entry.file.is_empty() || entry.file.starts_with('/') || entry.file.split('/').any(|part| part == "..") {
            return Err(invalid("has no usable path"));
        }
        if let Some(data) = &entry.data {
            if entry.sha.is_some() || entry.size.is_some() {
                return Err(invalid("should NOT have additional property `sha`"));
            }
            let content = match entry.encoding.as_deref() {
                Some("base64") => STANDARD.decode(data).map_err(|_| invalid("is not base64"))?,
                None | Some("utf-8") => data.clone().into_bytes(),
                Some(_) => return Err(invalid("has an unknown encoding")),
            };
            return self.store().put(&content).map(Some).map_err(|error| Refusal::broken(&error));
        }
        let Some(sha) = &entry.sha else { return Ok(None) };
        match self.store().size(sha) {
            Some(size) if entry.size.is_some_and(|announced| announced != size) => Err(invalid("has the wrong size")),
            Some(size) => Ok(Some(Stored { sha: sha.clone(), size })),
            None => {
                missing.push(sha.clone());
                Ok(None)
            }
        }
    }

    /// Unpacks the archive form; other uploads stay as they are.
    fn unpacked(&self, files: Files) -> Result<Files, Refusal> {
        let mut parts: Vec<(u64, Stored)> =
            files.iter().filter_map(|(path, stored)| Some((path.strip_prefix(ARCHIVE)?.parse().ok()?, stored.clone()))).collect();
        if parts.is_empty() {
            return Ok(files);
        }
        parts.sort_by_key(|(number, _)| *number);
        let parts: Vec<Stored> = parts.into_iter().map(|(_, stored)| stored).collect();
        self.store().unpack(&parts).map_err(|error| Refusal::bad_request(format!("The archive could not be unpacked: {error}")))
    }

    /// Returns an equal earlier deployment, where the switch asks for that.
    fn equal(&self, project: &Project, origin: &Origin) -> Option<Value> {
        let state = self.state();
        let equal = |one: &&Deployment| {
            one.project == project.id && one.production == origin.production && one.files == origin.files && one.ready == BuildState::Ready
        };
        let found = state.deployments.values().filter(|_| state.switches.deduplicates).filter(equal).max_by_key(|one| one.created)?;
        Some(wire::deployment(&state, found))
    }

    /// Adds a deployment to `project` and begins its build; returns its id, or `None` when the project is gone.
    pub(super) fn add_deployment(&self, project: &str, user: &str, origin: Origin) -> Option<String> {
        let mut state = self.state();
        let now = self.now();
        let created = state.stamp(now);
        let slug = state
            .projects
            .get(project)
            .map(|project| state.teams.get(&project.scope).map_or(project.scope.clone(), |team| team.slug.clone()))?;
        // A project's first deployment is its production, whatever its target says (vendor's documentation).
        let first = !state.deployments.values().any(|one| one.project == project);
        let project = state.projects.get_mut(project)?;
        let id = self.identity("dpl_");
        let url = format!("{}-{}-{slug}.vercel.app", project.name, self.ground().chance.word(9));
        let deployment = Deployment {
            id: id.clone(),
            url: url.clone(),
            project: project.id.clone(),
            name: project.name.clone(),
            scope: project.scope.clone(),
            creator: user.to_owned(),
            production: origin.production || first,
            auto_assign: origin.auto_assign.unwrap_or(project.auto_assign),
            meta: origin.meta,
            git_source: origin.git_source,
            source: origin.source,
            regions: if origin.regions.is_empty() { vec!["iad1".to_owned()] } else { origin.regions },
            files: origin.files,
            prebuilt: origin.prebuilt,
            root: origin.root,
            plain: origin.plain,
            fate: if partial() {
                Fate { build: BuildFate::Hangs, ..Fate::default() }
            } else {
                project.fates.pop_front().unwrap_or_default()
            },
            ready: BuildState::Queued,
            promoted: false,
            created,
            building_at: None,
            ended_at: None,
            alias_assigned: None,
            error: None,
            log: Vec::new(),
            site: None,
            backend: self.face(&id, &url),
        };
        state.deployments.insert(id.clone(), deployment);
        drop(state);
        self.begin_build(&id);
        Some(id)
    }
}

/// Returns the tree of the project's repository that `source` (the create call's `gitSource`) names.
fn from_git(project: &Project, source: &Value) -> Result<Origin, Refusal> {
    let refused = |message: &str| Refusal::new(http::StatusCode::BAD_REQUEST, "incorrect_git_source_info", message);
    let link = project.link.as_ref().ok_or_else(|| refused("The project is not connected to a repository."))?;
    let text = |name: &str| source.get(name).and_then(Value::as_str);
    let id = source.get("repoId").map(|id| id.as_u64().map_or_else(|| id.as_str().unwrap_or_default().to_owned(), |id| id.to_string()));
    let ours = match id {
        Some(id) => id == link.repo_id.to_string(),
        None => text("org") == Some(&link.org) && text("repo") == Some(&link.repo),
    };
    if !ours || !matches!(text("type"), Some("github" | "github-limited")) {
        return Err(refused("The repository is not the one that the project is connected to."));
    }
    let branch = text("ref").ok_or_else(|| refused("`gitSource` has no `ref`."))?;
    let tree = project.tree(branch, text("sha")).ok_or_else(|| refused("The provided GitHub repository has no such commit."))?;
    let mut origin = of_tree(project, tree);
    origin.git_source = Some(json!({ "type": "github", "repoId": link.repo_id, "ref": branch, "sha": tree.sha }));
    "api-trigger-git-deploy".clone_into(&mut origin.source);
    Ok(origin)
}

/// Returns what a build of `tree` begins with. A tree that holds a Build Output directory is taken as built, any other as static files.
pub(super) fn of_tree(project: &Project, tree: &super::state::GitTree) -> Origin {
    let mut meta = BTreeMap::new();
    if let Some(link) = &project.link {
        let known = [
            ("githubDeployment", "1".to_owned()),
            ("githubOrg", link.org.clone()),
            ("githubRepo", link.repo.clone()),
            ("githubRepoId", link.repo_id.to_string()),
            ("githubCommitOrg", link.org.clone()),
            ("githubCommitRepo", link.repo.clone()),
            ("githubCommitRef", tree.branch.clone()),
            ("githubCommitSha", tree.sha.clone()),
        ];
        meta.extend(known.map(|(name, value)| (name.to_owned(), value)));
    }
    let root = project.root_directory.clone().unwrap_or_default();
    let prebuilt = tree.files.keys().any(|path| path.ends_with(".vercel/output/config.json"));
    Origin {
        files: Arc::new(tree.files.clone()),
        prebuilt,
        root,
        plain: PlainSettings::default(),
        meta,
        git_source: None,
        source: "git".to_owned(),
        regions: Vec::new(),
        production: false,
        auto_assign: None,
    }
}

/// Returns the origin of `earlier` once more.
fn again(earlier: &Deployment) -> Origin {
    Origin {
        files: Arc::clone(&earlier.files),
        prebuilt: earlier.prebuilt,
        root: earlier.root.clone(),
        plain: earlier.plain.clone(),
        meta: earlier.meta.clone(),
        git_source: earlier.git_source.clone(),
        source: "redeploy".to_owned(),
        regions: earlier.regions.clone(),
        production: false,
        auto_assign: None,
    }
}
