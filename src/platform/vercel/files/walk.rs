//! Listing a directory: names, kinds, links.

use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

use super::FilesError;
use super::ignored::Rules;

/// One thing that belongs to the upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The name in the upload.
    pub(super) file: String,
    pub(super) kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File {
        path: PathBuf,
        executable: bool,
    },
    /// A symbolic link, sent as what it says.
    Link(String),
    EmptyDirectory,
    /// What we add.
    Ours(Vec<u8>),
}

impl Kind {
    /// Returns `st_mode` with normalised permissions, so that a checkout's umask makes no difference (vercel.md 2.4).
    pub(super) fn mode(&self) -> u32 {
        match self {
            Self::File { executable: true, .. } => 0o100_755,
            Self::File { .. } | Self::Ours(_) => 0o100_644,
            Self::Link(_) => 0o120_777,
            Self::EmptyDirectory => 0o040_755,
        }
    }
}

impl Found {
    pub(super) fn ours(file: String, content: Vec<u8>) -> Self {
        Self { file, kind: Kind::Ours(content) }
    }

    pub(super) fn file(file: String, path: PathBuf, metadata: &Metadata) -> Self {
        Self { file, kind: Kind::File { path, executable: executable(metadata) } }
    }
}

/// Lists a Build Output directory whole; links stay links and must not leave it.
pub(super) fn output(directory: &Path, prefix: &str) -> Result<Vec<Found>, FilesError> {
    let mut walk = Walk { root: directory, prefix, rules: None, ancestors: Vec::new(), found: Vec::new() };
    walk.directory(directory, "")?;
    Ok(walk.found)
}

/// Lists a plain site by the ignore rules; links are followed within it, since a static file has to have a content.
pub(super) fn site(directory: &Path, prefix: &str, rules: &Rules) -> Result<Vec<Found>, FilesError> {
    let root = fs::canonicalize(directory).map_err(FilesError::unreadable(directory))?;
    let mut walk = Walk { root: &root, prefix, rules: Some(rules), ancestors: vec![root.clone()], found: Vec::new() };
    walk.directory(directory, "")?;
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    prefix: &'a str,
    /// The rules of a plain site; `None` for a Build Output tree.
    rules: Option<&'a Rules>,
    /// The real directories that are being listed, so that a link to one of them ends.
    ancestors: Vec<PathBuf>,
    found: Vec<Found>,
}

impl Walk<'_> {
    /// Lists one directory; `below` is its name from the root on, empty or ending in a slash.
    fn directory(&mut self, directory: &Path, below: &str) -> Result<(), FilesError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(FilesError::unreadable(directory))? {
            let entry = entry.map_err(FilesError::unreadable(directory))?;
            names.push(entry.file_name().into_string().map_err(|name| FilesError::NotUnicode(directory.join(name)))?);
        }
        if names.is_empty() && self.rules.is_none() && !below.is_empty() {
            let file = format!("{}{}", self.prefix, below.trim_end_matches('/'));
            self.found.push(Found { file, kind: Kind::EmptyDirectory });
        }
        names.sort();
        names.iter().try_for_each(|name| self.one(&directory.join(name), &format!("{below}{name}")))
    }

    fn one(&mut self, path: &Path, name: &str) -> Result<(), FilesError> {
        let metadata = fs::symlink_metadata(path).map_err(FilesError::unreadable(path))?;
        if self.rules.is_some_and(|rules| rules.ignores(name, metadata.is_dir())) {
            return Ok(());
        }
        if metadata.is_dir() {
            self.directory(path, &format!("{name}/"))
        } else if metadata.is_file() {
            self.found.push(Found::file(format!("{}{name}", self.prefix), path.to_owned(), &metadata));
            Ok(())
        } else if metadata.is_symlink() && self.rules.is_some() {
            self.followed(path, name)
        } else if metadata.is_symlink() {
            self.kept(path, name)
        } else {
            Err(FilesError::NotAFile(path.to_owned()))
        }
    }

    /// Adds a link as what it leads to.
    fn followed(&mut self, link: &Path, name: &str) -> Result<(), FilesError> {
        let target = fs::read_link(link).map_err(FilesError::unreadable(link))?;
        let leaves = || FilesError::LinkLeavesTree { link: link.to_owned(), target: target.clone() };
        let real = fs::canonicalize(link).map_err(|_| leaves())?;
        if !real.starts_with(self.root) || self.ancestors.contains(&real) {
            return Err(leaves());
        }
        let metadata = fs::metadata(&real).map_err(FilesError::unreadable(&real))?;
        if metadata.is_dir() {
            self.ancestors.push(real.clone());
            let listed = self.directory(&real, &format!("{name}/"));
            self.ancestors.pop();
            return listed;
        }
        self.found.push(Found::file(format!("{}{name}", self.prefix), real, &metadata));
        Ok(())
    }

    /// Adds a link as a link, where what it says leads to something in the tree from any place that the tree is put to.
    fn kept(&mut self, link: &Path, name: &str) -> Result<(), FilesError> {
        let target = fs::read_link(link).map_err(FilesError::unreadable(link))?;
        let leaves = || FilesError::LinkLeavesTree { link: link.to_owned(), target: target.clone() };
        let stays = stays_below(Path::new(name).parent().unwrap_or(Path::new("")), &target);
        if !stays || fs::metadata(link).is_err() {
            return Err(leaves());
        }
        let text = target.to_str().ok_or_else(|| FilesError::NotUnicode(target.clone()))?;
        self.found.push(Found { file: format!("{}{name}", self.prefix), kind: Kind::Link(text.to_owned()) });
        Ok(())
    }
}

/// Returns whether `target`, from the directory `from` on, never climbs above where `from` begins.
fn stays_below(from: &Path, target: &Path) -> bool {
    let mut depth = from.components().count();
    target.components().all(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    })
}

#[cfg(unix)]
fn executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn executable(_: &Metadata) -> bool {
    false
}
