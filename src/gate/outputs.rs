//! What a gate left: its declared outputs, and the files of its test reports.

use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;

/// Returns the first declared output that is not there.
///
/// A path that ends with `/` must be a directory. A glob must match at least one file or directory; hidden ones count.
pub(super) fn first_missing<'a>(root: &Path, outputs: &'a [String]) -> Option<&'a str> {
    outputs.iter().map(String::as_str).find(|output| !present(root, output))
}

fn present(root: &Path, output: &str) -> bool {
    if output.contains(META) {
        return walk(root, output).next().is_some();
    }
    let path = root.join(output);
    if output.ends_with('/') { path.is_dir() } else { path.exists() }
}

/// What makes a path a glob.
const META: [char; 4] = ['*', '?', '[', '{'];

/// Returns the files that a path or a glob names, in the order of their names; of a directory, the `.xml` files below it.
pub(super) fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let below;
    let directory = pattern.ends_with('/') || (!pattern.contains(META) && root.join(pattern).is_dir());
    let pattern = if directory {
        below = format!("{}/**/*.xml", pattern.trim_end_matches('/'));
        &below
    } else {
        pattern
    };
    if !pattern.contains(META) {
        let path = root.join(pattern);
        return if path.is_file() { vec![path] } else { Vec::new() };
    }
    let mut files: Vec<PathBuf> = walk(root, pattern).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Returns what a glob matches, hidden files and directories too.
fn walk(root: &Path, glob: &str) -> impl Iterator<Item = PathBuf> {
    // Only what is below the last directory without a glob in its name can match.
    let meta = glob.find(META).unwrap_or(glob.len());
    let base = root.join(glob[..meta].rsplit_once('/').map_or("", |(directory, _)| directory));
    let overrides = OverrideBuilder::new(root).add(&format!("/{glob}")).and_then(|builder| builder.build()).ok();
    let walk = overrides.is_some().then(|| WalkBuilder::new(base).standard_filters(false).build());
    walk.into_iter().flatten().flatten().map(|entry| (entry.file_type().is_some_and(|kind| kind.is_dir()), entry.into_path())).filter_map(
        move |(is_directory, path)| {
            overrides.as_ref().is_some_and(|overrides| overrides.matched(&path, is_directory).is_whitelist()).then_some(path)
        },
    )
}
