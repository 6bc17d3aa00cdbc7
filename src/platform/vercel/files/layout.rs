//! What kind of directory it is, and by which names it is uploaded.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::FilesError;

/// Whether a directory was built for Vercel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A Build Output tree, as `vercel build` makes it.
    Prebuilt,
    /// Files that are served as they are.
    Static,
}

impl Form {
    /// Returns the form of a directory. What cannot be read counts as static; reading it says why.
    pub fn of(directory: &Path) -> Self {
        if output_in(directory).is_some() { Self::Prebuilt } else { Self::Static }
    }
}

/// A directory and the names of its files in the upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) form: Form,
    /// The Build Output directory, or the site.
    pub(super) files: PathBuf,
    /// What names of the Build Output tree begin with: `.vercel/output/`, below the project's root directory where it has one.
    pub(super) prefix: String,
    /// What the upload's names begin at, as far as this machine has it: the repository's root for a project with a root directory.
    pub(super) deploy_root: PathBuf,
}

impl Layout {
    /// Returns the layout of `directory` for a project whose root directory is `root` (vercel.md 10).
    pub(super) fn of(directory: &Path, root: Option<&str>) -> Result<Self, FilesError> {
        std::fs::read_dir(directory).map_err(FilesError::unreadable(directory))?;
        let prefix = format!("{}.vercel/output/", root.map(|root| format!("{root}/")).unwrap_or_default());
        let Some(output) = output_in(directory) else {
            return Ok(Self { form: Form::Static, files: directory.to_owned(), prefix, deploy_root: directory.to_owned() });
        };
        // `…/.vercel/output` belongs to the directory above `.vercel`.
        let inside = output.parent().filter(|parent| parent.ends_with(".vercel")).and_then(Path::parent);
        let project = inside.unwrap_or(directory);
        let above = root.and_then(|root| project.ends_with(root).then(|| project.ancestors().nth(Path::new(root).components().count())));
        let deploy_root = above.flatten().unwrap_or(project).to_owned();
        Ok(Self { form: Form::Prebuilt, files: output, prefix, deploy_root })
    }
}

/// Returns the Build Output directory that `directory` holds or is.
fn output_in(directory: &Path) -> Option<PathBuf> {
    let inner = directory.join(".vercel").join("output");
    if inner.join("config.json").is_file() {
        return Some(inner);
    }
    // A site may have a config.json of its own: only the version and its place or its directories make it a Build Output tree.
    let text = std::fs::read(directory.join("config.json")).ok()?;
    let version = serde_json::from_slice::<Value>(&text).ok()?.get("version")?.as_u64();
    let has = |name: &str| directory.join(name).is_dir();
    let named = directory.ends_with(".vercel/output") || has("static") || has("functions");
    (version == Some(3) && named).then(|| directory.to_owned())
}

/// Refuses an output whose build failed or was for another environment; `vercel build` writes that down (vercel.md 2.6).
pub(super) fn check_builds(output: &Path) -> Result<(), FilesError> {
    let path = output.join("builds.json");
    let Ok(text) = std::fs::read(&path) else { return Ok(()) };
    let builds: Value =
        serde_json::from_slice(&text).map_err(|error| FilesError::InvalidOutput { path: path.clone(), reason: error.to_string() })?;
    if let Some(error) = builds.get("error").filter(|error| !error.is_null()) {
        let reason = error.get("message").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned);
        return Err(FilesError::BuildFailed { path, reason });
    }
    match builds.get("target").and_then(Value::as_str) {
        Some(target) if target != "production" => Err(FilesError::OtherTarget { path, target: target.to_owned() }),
        _ => Ok(()),
    }
}

/// Returns whether a directory holds functions, which get the project's environment variables; plain files get none.
pub(super) fn has_functions(directory: &Path) -> bool {
    output_in(directory).is_some_and(|output| output.join("functions").is_dir())
}
