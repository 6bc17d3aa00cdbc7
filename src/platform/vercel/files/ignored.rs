//! What of a plain directory is not uploaded.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::FilesError;

/// What the vendor's client leaves out (vercel.md 2.6).
const DEFAULTS: &[&str] = &[
    ".hg",
    ".git",
    ".gitmodules",
    ".svn",
    ".cache",
    ".next",
    ".now",
    ".vercel",
    ".npmignore",
    ".dockerignore",
    ".gitignore",
    ".*.swp",
    ".DS_Store",
    ".wafpicke-*",
    ".lock-wscript",
    ".env.local",
    ".env.*.local",
    ".venv",
    ".yarn/cache",
    ".pnp*",
    "npm-debug.log",
    "config.gypi",
    "node_modules",
    "__pycache__",
    "venv",
    "CVS",
];

/// What we leave out besides: a plain site is published as it is, and these are read by tools or are secrets. An ignore file may take them
/// in again (`!.env`).
const OURS: &[&str] = &[".env", ".env.*", ".vercelignore", ".nowignore"];

/// The ignore rules of one directory.
#[derive(Debug)]
pub(super) struct Rules(Gitignore);

impl Rules {
    /// Returns the built-in rules with those of the directory's ignore file.
    pub(super) fn of(directory: &Path) -> Result<Self, FilesError> {
        let mut builder = GitignoreBuilder::new("");
        let mut add = |line: &str, path: &Path| {
            builder
                .add_line(None, line)
                .map(drop)
                .map_err(|error| FilesError::BadPattern { path: path.to_owned(), reason: error.to_string() })
        };
        DEFAULTS.iter().chain(OURS).try_for_each(|line| add(line, directory))?;
        if directory.join("Cargo.toml").is_file() {
            add("/target", directory)?;
        }
        let files = [".vercelignore", ".nowignore"].map(|name| directory.join(name)).into_iter().filter(|path| path.is_file());
        let files: Vec<_> = files.collect();
        if files.len() > 1 {
            return Err(FilesError::TwoIgnoreFiles(directory.to_owned()));
        }
        for path in &files {
            let text = std::fs::read_to_string(path).map_err(FilesError::unreadable(path))?;
            text.lines().map(|line| line.strip_prefix("./").unwrap_or(line)).try_for_each(|line| add(line, path))?;
        }
        let empty = |error: ignore::Error| FilesError::BadPattern { path: directory.to_owned(), reason: error.to_string() };
        builder.build().map(Self).map_err(empty)
    }

    /// Returns whether `name`, from the directory on, stays out. What is below an ignored directory is never asked about.
    pub(super) fn ignores(&self, name: &str, is_directory: bool) -> bool {
        self.0.matched(name, is_directory).is_ignore()
    }
}

/// Returns the rules of one ignore file alone, bound to no directory.
pub(super) fn own(path: &Path) -> Result<Gitignore, ignore::Error> {
    let mut builder = GitignoreBuilder::new("");
    for line in std::fs::read_to_string(path)?.lines() {
        builder.add_line(None, line.strip_prefix("./").unwrap_or(line))?;
    }
    builder.build()
}
