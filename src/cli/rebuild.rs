//! Directories made again from the commit that a release was made of, in a work tree of their own; the one that is checked out stays untouched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::conduct::Conclusion;
use super::stage::{Means, Stage};
use super::{build, gates};
use crate::event::Outcome;
use crate::id::Name;
use crate::image::DirectoryArtifact;
use crate::manifest::{FILE_NAME, Manifest, Variable, load};
use crate::trigger::git;

/// Directories that were made again; their files are gone when it is dropped.
#[derive(Debug)]
pub(super) struct Rebuilt {
    /// By target.
    pub(super) directories: BTreeMap<Name, DirectoryArtifact>,
    _folder: tempfile::TempDir,
}

/// Runs the gates of `commit` that make what `targets` ship, with the variables of `environment` as that commit has them.
pub(super) async fn directories(stage: &Stage, environment: &Name, commit: &str, targets: &[Name]) -> Result<Rebuilt, Conclusion> {
    let unmade = |error: std::io::Error| Conclusion::refused(format!("a temporary folder cannot be made: {error}"), Vec::new());
    let folder = tempfile::Builder::new().prefix("cutover-").tempdir().map_err(unmade)?;
    let tree = folder.path().join("tree");
    let prefix = git::add_work_tree(&stage.root, commit, &tree).await.map_err(|reason| {
        let text = format!("the commit {commit} cannot be checked out beside this one: {reason}; nothing was touched");
        Conclusion::refused(text, vec!["fetch it: a checkout in a workflow needs `fetch-depth: 0`".to_owned()])
    })?;
    let made = make(stage, environment, commit, targets, &tree.join(prefix)).await.and_then(|made| kept(made, folder.path()));
    git::remove_work_tree(&stage.root, &tree).await;
    Ok(Rebuilt { directories: made?, _folder: folder })
}

async fn make(
    stage: &Stage,
    environment: &Name,
    commit: &str,
    targets: &[Name],
    root: &Path,
) -> Result<BTreeMap<Name, DirectoryArtifact>, Conclusion> {
    let refused = |text: String| Conclusion::refused(format!("{text}; nothing was touched"), Vec::new());
    let loaded =
        load(&root.join(FILE_NAME)).map_err(|_| refused(format!("the manifest of {commit} is not one that this version reads")))?;
    let Some(view) = loaded.manifest.in_environment(environment) else {
        return Err(refused(format!("the manifest of {commit} has no environment {environment}")));
    };
    let then = Stage {
        means: Means { root: root.to_owned(), ..stage.means.clone() },
        manifest: loaded.manifest.clone(),
        builds: stage.builds,
        previewing: None,
    };
    let mut wanted: Vec<(Name, PathBuf)> = Vec::new();
    for name in targets {
        let directory = view.targets.get(name).and_then(|target| target.directory()).map(Path::to_owned);
        let directory = directory.ok_or_else(|| refused(format!("{name} ships no directory in the manifest of {commit}")))?;
        wanted.push((name.clone(), directory));
    }
    let chosen: BTreeSet<Name> = wanted.iter().flat_map(|(_, directory)| makers(&loaded.manifest, directory)).collect();
    if !chosen.is_empty() {
        let chosen: Vec<Name> = chosen.into_iter().collect();
        gates::run(&then, Some(environment), &chosen).await.map_err(Conclusion::untouched)?;
    }
    let mut made = BTreeMap::new();
    for (name, directory) in wanted {
        let read = build::read_directory(&then, &name, &directory);
        let read =
            read.map_err(|error| Conclusion { outcome: Outcome::PreflightFailed, ..Conclusion::refused(error.text, error.hints) })?;
        made.insert(name, read);
    }
    Ok(made)
}

/// Moves directories out of the work tree, which is removed before they are shipped. Two targets may ship the same one.
fn kept(made: BTreeMap<Name, DirectoryArtifact>, folder: &Path) -> Result<BTreeMap<Name, DirectoryArtifact>, Conclusion> {
    let mut moved: BTreeMap<PathBuf, DirectoryArtifact> = BTreeMap::new();
    let mut kept = BTreeMap::new();
    for (name, directory) in made {
        if !moved.contains_key(&directory.path) {
            let place = folder.join(name.as_str());
            let read = std::fs::rename(&directory.path, &place).map_err(|error| error.to_string());
            let read = read.and_then(|()| DirectoryArtifact::read(&place).map_err(|error| error.to_string()));
            let read = read.map_err(|error| Conclusion::refused(format!("{name}: {error}; nothing was touched"), Vec::new()))?;
            moved.insert(directory.path.clone(), read);
        }
        kept.extend(moved.get(&directory.path).map(|directory| (name, directory.clone())));
    }
    Ok(kept)
}

/// Returns the gates that make a directory: those whose outputs are it, hold it, or lie in it.
fn makers(manifest: &Manifest, directory: &Path) -> Vec<Name> {
    let of_it = |output: &String| {
        // A glob says where it begins before its first wildcard.
        let plain = output.split(['*', '?', '[', '{']).next().unwrap_or_default().trim_end_matches('/');
        let plain = Path::new(plain);
        plain.starts_with(directory) || (!plain.as_os_str().is_empty() && directory.starts_with(plain))
    };
    manifest.gates.iter().filter(|(_, gate)| gate.outputs.iter().any(of_it)).map(|(name, _)| name.clone()).collect()
}

/// Returns why a directory that one environment ships is made again for another one.
pub(super) fn differing(stage: &Stage, target: &Name, from: &Name, to: &Name) -> String {
    let manifest = &stage.manifest;
    let view = manifest.in_environment(to);
    let directory = view.as_ref().and_then(|view| view.targets.get(target)).and_then(|target| target.directory());
    let mut makers = directory.map(|directory| makers(manifest, directory)).unwrap_or_default();
    let mut at = 0;
    while let Some(gate) = makers.get(at).and_then(|name| manifest.gates.get(name)) {
        let needed: Vec<Name> = gate.needs.iter().filter(|needed| !makers.contains(needed)).cloned().collect();
        makers.extend(needed);
        at += 1;
    }
    let value = |environment: &Name, name: &String| {
        manifest.environments.get(environment).and_then(|settings| settings.variables.get(name)).map(|variable| match variable {
            Variable::Text(text) => text.clone(),
            // An address differs with the target that has it.
            Variable::UrlOf { target, path } => format!("{environment} {target} {path}"),
        })
    };
    let read: BTreeSet<&String> = makers.iter().filter_map(|name| manifest.gates.get(name)).flat_map(|gate| &gate.variables).collect();
    let differ: Vec<&str> = read.into_iter().filter(|name| value(from, name) != value(to, name)).map(String::as_str).collect();
    if differ.is_empty() {
        format!("its files belong to another project, that of {from}, and are not on this machine")
    } else {
        format!("what it is made with differs between {from} and {to} ({})", differ.join(", "))
    }
}
