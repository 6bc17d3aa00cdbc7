//! Files outside of the output directory that functions name in `filePathMap`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::FilesError;
use super::layout::Layout;
use super::walk::{Found, Kind};

/// As far as it is read of a `.vc-config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FunctionConfig {
    /// Name in the function → path from the deploy root on (vercel.md 2.6).
    file_path_map: Option<BTreeMap<String, String>>,
}

/// Adds what the functions among `found` name, once each.
pub(super) fn add_mapped(found: &mut Vec<Found>, layout: &Layout) -> Result<(), FilesError> {
    let mut mapped = BTreeMap::new();
    for one in found.iter().filter(|one| one.file.ends_with(".func/.vc-config.json")) {
        let Kind::File { path, .. } = &one.kind else { continue };
        let text = std::fs::read(path).map_err(FilesError::unreadable(path))?;
        let config: FunctionConfig =
            serde_json::from_slice(&text).map_err(|error| FilesError::InvalidOutput { path: path.clone(), reason: error.to_string() })?;
        for file in config.file_path_map.into_iter().flatten().map(|(_, file)| file) {
            let name = file.strip_prefix("./").unwrap_or(&file).to_owned();
            if !mapped.contains_key(&name) && !found.iter().any(|known| known.file == name) {
                let added = on_disk(&name, &layout.deploy_root).ok_or_else(|| FilesError::MissingFile {
                    function: one.file.clone(),
                    file,
                    root: layout.deploy_root.clone(),
                })?;
                mapped.insert(name, added);
            }
        }
    }
    found.extend(mapped.into_values());
    Ok(())
}

/// Returns the file below the deploy root; `None` when it is missing or outside.
fn on_disk(name: &str, root: &Path) -> Option<Found> {
    let real = std::fs::canonicalize(root.join(name)).ok()?;
    let inside = real.starts_with(std::fs::canonicalize(root).ok()?);
    let metadata = std::fs::metadata(&real).ok()?;
    (inside && metadata.is_file()).then(|| Found::file(name.to_owned(), real, &metadata))
}
