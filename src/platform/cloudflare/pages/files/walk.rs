//! Listing a directory: what is published and what is not.

use std::fs;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::FilesError;

/// What stays out at the top of the directory: these configure the site, or are tools' own (cloudflare.md 3.2, measured).
const AT_THE_TOP: &[&str] = &["_worker.js", "_worker.bundle", "_redirects", "_headers", "_routes.json", "functions", ".wrangler"];
/// What stays out wherever it is (cloudflare.md 3.2, measured).
const ANYWHERE: &[&str] = &[".DS_Store", "node_modules", ".git"];
/// The one folder with a dot that is meant to be seen (RFC 8615).
const WELL_KNOWN: &str = ".well-known";
/// How many names of what was left out a note shows.
const SHOWN: usize = 3;

/// A file of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path in the site, without a leading slash.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Everything that is published, in the order of names, and what the reader should know.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) found: Vec<Found>,
    pub(super) notes: Vec<String>,
}

/// Lists a directory. `dotfiles` are patterns of names with a dot that are published all the same, in the syntax of `.gitignore`.
pub(super) fn site(directory: &Path, dotfiles: &[String]) -> Result<Listing, FilesError> {
    let root = fs::canonicalize(directory).map_err(FilesError::unreadable(directory))?;
    let mut walk = Walk {
        root: root.clone(),
        asked: asked(dotfiles)?,
        ancestors: vec![root.clone()],
        listing: Listing::default(),
        hidden: Vec::new(),
    };
    walk.directory(&root, "")?;
    let mut listing = walk.listing;
    listing.notes.extend(left_out(&walk.hidden));
    listing.notes.extend(
        listing
            .found
            .iter()
            .filter(|file| may_be_secret(&file.name))
            .map(|file| format!("/{} looks like a private key or a secret, and everyone will be able to read it.", file.name)),
    );
    listing.found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listing)
}

fn asked(dotfiles: &[String]) -> Result<Gitignore, FilesError> {
    let bad = |pattern: &str, error: &ignore::Error| FilesError::BadPattern { pattern: pattern.to_owned(), reason: error.to_string() };
    let mut builder = GitignoreBuilder::new("");
    for pattern in dotfiles {
        builder.add_line(None, pattern).map_err(|error| bad(pattern, &error))?;
    }
    builder.build().map_err(|error| bad(&dotfiles.join(", "), &error))
}

fn left_out(hidden: &[String]) -> Option<String> {
    let first = hidden.first()?;
    let names = hidden.iter().take(SHOWN).map(|name| format!("/{name}")).collect::<Vec<_>>().join(", ");
    let more = hidden.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("Not published, since the name begins with a dot: {names}{more}. `dotfiles: [\"{first}\"]` publishes it."))
}

/// Returns whether a name that will be published is usual for a private key.
fn may_be_secret(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let key = ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"].contains(&base) || super::extension(base) == "key";
    key || base == ".env" || base.starts_with(".env.")
}

struct Walk {
    root: PathBuf,
    asked: Gitignore,
    /// The real directories that are being listed, so that a link to one of them ends.
    ancestors: Vec<PathBuf>,
    listing: Listing,
    hidden: Vec<String>,
}

impl Walk {
    /// Lists one directory; `below` is its name from the root on, empty or ending in a slash.
    fn directory(&mut self, directory: &Path, below: &str) -> Result<(), FilesError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(FilesError::unreadable(directory))? {
            let entry = entry.map_err(FilesError::unreadable(directory))?;
            names.push(entry.file_name().into_string().map_err(|name| FilesError::NotUnicode(directory.join(name)))?);
        }
        names.sort();
        for name in names {
            let ours = below.is_empty() && AT_THE_TOP.contains(&name.as_str());
            if !ours && !ANYWHERE.contains(&name.as_str()) {
                self.one(&directory.join(&name), &format!("{below}{name}"))?;
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &Path, name: &str) -> Result<(), FilesError> {
        let metadata = fs::symlink_metadata(path).map_err(FilesError::unreadable(path))?;
        if metadata.is_symlink() {
            return self.followed(path, name);
        }
        if metadata.is_dir() {
            self.below(path, name)
        } else if metadata.is_file() {
            self.file(path, name);
            Ok(())
        } else {
            Err(FilesError::NotAFile(path.to_owned()))
        }
    }

    /// Lists what is below a directory, unless all of it is hidden.
    fn below(&mut self, path: &Path, name: &str) -> Result<(), FilesError> {
        if is_hidden(name) && self.asked.is_empty() {
            self.hidden.push(name.to_owned());
            return Ok(());
        }
        self.directory(path, &format!("{name}/"))
    }

    fn file(&mut self, path: &Path, name: &str) {
        if is_hidden(name) && !self.asked.matched_path_or_any_parents(name, false).is_ignore() {
            self.hidden.push(name.to_owned());
        } else {
            self.listing.found.push(Found { name: name.to_owned(), path: path.to_owned() });
        }
    }

    /// Adds a link as what it leads to, which must be in the directory: anything else on this machine was never meant to be published.
    fn followed(&mut self, link: &Path, name: &str) -> Result<(), FilesError> {
        let target = fs::read_link(link).map_err(FilesError::unreadable(link))?;
        let Ok(real) = fs::canonicalize(link) else {
            self.listing.notes.push(format!("The link /{name} leads nowhere ({}) and is left out.", target.display()));
            return Ok(());
        };
        if !real.starts_with(&self.root) || self.ancestors.contains(&real) {
            return Err(FilesError::LinkLeavesTree { link: link.to_owned(), target });
        }
        if fs::metadata(&real).map_err(FilesError::unreadable(&real))?.is_dir() {
            self.ancestors.push(real.clone());
            let listed = self.below(&real, name);
            self.ancestors.pop();
            return listed;
        }
        self.file(&real, name);
        Ok(())
    }
}

/// Returns whether a part of the name begins with a dot, `.well-known` at the top excepted.
fn is_hidden(name: &str) -> bool {
    let below = name.strip_prefix(WELL_KNOWN).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(name);
    below.split('/').any(|part| part.starts_with('.'))
}
