//! The files beside the manifest, as far as the manifest must know them: whether they exist, and the few words that it leaves to them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::fault::{Code, Fault};
use super::reader::PathUse;
use super::shape::Gate;

/// The largest file that is read beside the manifest, in bytes.
const LARGEST: u64 = 1 << 20;

/// The repository around a manifest; nothing is known of it where a manifest is read from a text alone.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) root: Option<PathBuf>,
}

/// What the manifest needs to know of a `fly.toml`.
#[derive(Debug)]
pub(super) struct FlyConfig {
    pub(super) names_app: bool,
    pub(super) names_image: bool,
}

/// What a link file says.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) project: String,
    pub(super) team: Option<String>,
}

/// `.vercel/project.json`, as `vercel link` writes it.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct ProjectFile {
    project_id: String,
    project_name: Option<String>,
    org_id: String,
}

/// `.vercel/repo.json`, as `vercel link --repo` writes it. `orgId` stood at the top in older files, and stands at each project in newer ones.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RepoFile {
    org_id: String,
    projects: Vec<RepoProject>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RepoProject {
    id: String,
    name: String,
    directory: String,
    org_id: String,
}

impl Surroundings {
    /// Returns what the `fly.toml` at `path` says, or the same in JSON or YAML; `None` when it is not there, a sentence when it is none of them.
    pub(super) fn fly_config(&self, path: &str) -> Result<Option<FlyConfig>, String> {
        let Some(text) = self.read(path)? else { return Ok(None) };
        let table: serde_json::Value = match path.rsplit_once('.') {
            Some((_, "json")) => serde_json::from_str(&text).map_err(|error| format!("`{path}` is not JSON: {error}"))?,
            Some((_, "yaml")) => serde_yaml::from_str(&text).map_err(|error| format!("`{path}` is not YAML: {error}"))?,
            _ => toml::from_str(&text).map_err(|error: toml::de::Error| {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                format!("`{path}` is not TOML: line {line}: {}", error.message())
            })?,
        };
        let names = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_str).is_some_and(|text| !text.is_empty());
        let image = table.get("build").and_then(|build| build.get("image"));
        Ok(Some(FlyConfig { names_app: names(table.get("app")), names_image: names(image) }))
    }

    /// Returns the link of `directory`: its own link file, else the repository's. With a `project`, only a link of that project counts.
    pub(super) fn vercel_link(&self, directory: &str, project: Option<&str>) -> Result<Option<Link>, String> {
        let wanted = |id: &str, name: Option<&str>| project.is_none_or(|project| project == id || Some(project) == name);
        let own = if directory == "." { ".vercel/project.json".to_owned() } else { format!("{directory}/.vercel/project.json") };
        if let Some(file) = self.json::<ProjectFile>(&own)?
            && !file.project_id.is_empty()
            && wanted(&file.project_id, file.project_name.as_deref())
        {
            return Ok(Some(Link { project: file.project_id, team: team(&file.org_id) }));
        }
        let Some(file) = self.json::<RepoFile>(".vercel/repo.json")? else { return Ok(None) };
        let inside = |entry: &RepoProject| entry.directory.trim_end_matches('/') == directory || project.is_some();
        let found = file.projects.into_iter().find(|entry| !entry.id.is_empty() && inside(entry) && wanted(&entry.id, Some(&entry.name)));
        Ok(found.map(|entry| {
            let team = team(&entry.org_id).or_else(|| team(&file.org_id));
            Link { project: entry.id, team }
        }))
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<Option<T>, String> {
        let Some(text) = self.read(path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| format!("`{path}` cannot be read: {error}"))
    }

    /// Returns the file's text; `None` when it is not there, and when nothing is known of files.
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        let Some(file) = self.root.as_ref().map(|root| root.join(path)) else { return Ok(None) };
        match fs::metadata(&file) {
            Ok(found) if !found.is_file() => return Ok(None),
            Ok(found) if found.len() > LARGEST => return Err(format!("`{path}` is larger than 1 MiB")),
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
        fs::read_to_string(&file).map(Some).map_err(|error| format!("`{path}` cannot be read: {error}"))
    }
}

/// Returns the team of an owner; an owner that is no team is a personal account, for which the platform wants none.
fn team(owner: &str) -> Option<String> {
    owner.starts_with("team_").then(|| owner.to_owned())
}

/// Returns a fault for each path that is not there and that no gate makes.
pub(super) fn missing(root: &Path, paths: &[PathUse], gates: &[&Gate]) -> Vec<Fault> {
    let absent = |path: &&PathUse| {
        let file = root.join(&path.path);
        let there = if path.directory { file.is_dir() } else { file.is_file() };
        !there && !gates.iter().flat_map(|gate| &gate.outputs).any(|output| makes(output, &path.path))
    };
    let fault = |path: &PathUse| {
        let kind = if root.join(&path.path).exists() {
            if path.directory { "is not a directory" } else { "is not a file" }
        } else {
            "does not exist"
        };
        Fault::new(Code::MissingFile, &path.span, format!("{} `{}` {kind}", path.what, path.path)).suggest_maybe(path.suggestion.clone())
    };
    let absent: Vec<&PathUse> = paths.iter().filter(absent).collect();
    // Where the build context is not there, its Dockerfile goes without saying.
    let of_other = |path: &PathUse| !path.directory && absent.iter().any(|other| other.directory && other.span == path.span);
    absent.iter().filter(|path| !of_other(path)).map(|path| fault(path)).collect()
}

/// Returns whether a gate's output may bring `path` into being: it lies in it, around it, or may match it.
fn makes(output: &str, path: &str) -> bool {
    // Up to the first wildcard, an output is a plain path.
    let plain: &str = output.split(['*', '?', '[', '{']).next().unwrap_or_default();
    let whole = plain.len() == output.len();
    let plain = plain.trim_end_matches('/');
    let below = |inner: &str, outer: &str| inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    below(path, plain) || below(plain, path) || (!whole && (path.starts_with(plain) || plain.is_empty()))
}
