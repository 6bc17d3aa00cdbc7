//! Whether a gate left what it declares.

use std::path::Path;

use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;

/// Returns the first declared output that is not there.
///
/// A path that ends with `/` must be a directory. A glob must match at least one file or directory; hidden ones count.
pub(super) fn first_missing<'a>(root: &Path, outputs: &'a [String]) -> Option<&'a str> {
    outputs.iter().map(String::as_str).find(|output| !present(root, output))
}

fn present(root: &Path, output: &str) -> bool {
    let Some(meta) = output.find(['*', '?', '[', '{']) else {
        let path = root.join(output);
        return if output.ends_with('/') { path.is_dir() } else { path.exists() };
    };
    // Only what is below the last directory without a glob in its name can match.
    let base = root.join(output[..meta].rsplit_once('/').map_or("", |(directory, _)| directory));
    let Ok(overrides) = OverrideBuilder::new(root).add(&format!("/{output}")).and_then(|builder| builder.build()) else {
        return false;
    };
    let mut found = WalkBuilder::new(base).standard_filters(false).build().flatten();
    found.any(|entry| {
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        overrides.matched(entry.path(), is_directory).is_whitelist()
    })
}
