//! What a prebuilt upload holds besides its output directory: files that functions name in `filePathMap`, and the routes of older builders.

use std::collections::BTreeMap;
use std::path::Path;

use ignore::gitignore::Gitignore;
use serde::Deserialize;

use super::FilesError;
use super::layout::Layout;
use super::walk::{Found, Kind};

/// Routes that builders before the Build Output API left beside it (vercel.md 2.6).
const ROUTES: &str = "routes.json";

/// As far as it is read of a `.vc-config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FunctionConfig {
    /// Name in the function → path from the deploy root on (vercel.md 2.6).
    file_path_map: Option<BTreeMap<String, String>>,
}

/// Adds what the functions among `found` name, once each; what the deploy root's `.vercelignore` names stays out, as with the vendor's client.
pub(super) fn add_mapped(found: &mut Vec<Found>, layout: &Layout, notes: &mut Vec<String>) -> Result<(), FilesError> {
    let ignored = ignored(&layout.deploy_root)?;
    let mut mapped = BTreeMap::new();
    for one in found.iter().filter(|one| one.file.ends_with(".func/.vc-config.json")) {
        let Kind::File { path, .. } = &one.kind else { continue };
        let text = std::fs::read(path).map_err(FilesError::unreadable(path))?;
        let config: FunctionConfig =
            serde_json::from_slice(&text).map_err(|error| FilesError::InvalidOutput { path: path.clone(), reason: error.to_string() })?;
        for file in config.file_path_map.into_iter().flatten().map(|(_, file)| file) {
            let name = file.strip_prefix("./").unwrap_or(&file).to_owned();
            if mapped.contains_key(&name) || found.iter().any(|known| known.file == name) {
                continue;
            }
            if !name.starts_with('/') && ignored.matched_path_or_any_parents(&name, false).is_ignore() {
                notes.push(format!("{} needs {name}, which .vercelignore leaves out.", one.file));
                continue;
            }
            let added = on_disk(&name, &layout.deploy_root).ok_or_else(|| FilesError::MissingFile {
                function: one.file.clone(),
                file,
                root: layout.deploy_root.clone(),
            })?;
            mapped.insert(name, added);
        }
    }
    found.extend(mapped.into_values());
    Ok(())
}

/// Adds `.vercel/routes.json` where it stands beside the output directory.
pub(super) fn add_routes(found: &mut Vec<Found>, layout: &Layout) {
    let beside = layout.files.parent().filter(|folder| folder.ends_with(".vercel")).map(|folder| folder.join(ROUTES));
    let Some(path) = beside.filter(|path| path.is_file()) else { return };
    if let Ok(metadata) = std::fs::metadata(&path) {
        let folder = layout.prefix.trim_end_matches("output/");
        found.push(Found::file(format!("{folder}{ROUTES}"), path, &metadata));
    }
}

/// Returns the rules of the deploy root's `.vercelignore`; the built-in ones do not bind what a build has asked for.
fn ignored(root: &Path) -> Result<Gitignore, FilesError> {
    let path = root.join(".vercelignore");
    if !path.is_file() {
        return Ok(Gitignore::empty());
    }
    super::ignored::own(&path).map_err(|error| FilesError::BadPattern { path, reason: error.to_string() })
}

/// Returns the file below the deploy root; `None` when it is missing or outside.
fn on_disk(name: &str, root: &Path) -> Option<Found> {
    let real = std::fs::canonicalize(root.join(name)).ok()?;
    let inside = real.starts_with(std::fs::canonicalize(root).ok()?);
    let metadata = std::fs::metadata(&real).ok()?;
    (inside && metadata.is_file()).then(|| Found::file(name.to_owned(), real, &metadata))
}
