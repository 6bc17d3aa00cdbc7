//! Where in the repository a test failed, as far as its report tells: only files that are there, below the repository's top.

use std::path::{Component, Path, PathBuf};

use super::junit::Case;
use crate::event::Place;

/// Folders whose frames say nothing about the repository's own code.
const FOREIGN: [&str; 8] = ["node_modules", "site-packages", "dist-packages", ".cargo", ".rustup", "rustc", ".git", "internal"];
/// How many lines of a failure are searched for a place.
const MOST_LINES: usize = 400;

/// Finds places in one repository.
#[derive(Debug, Clone)]
pub struct Places {
    /// The repository's top, without symbolic links.
    top: PathBuf,
    /// From where relative paths are meant, in the order of trying.
    bases: Vec<PathBuf>,
}

impl Places {
    /// Returns the places of the repository that holds `root`, the manifest's folder; relative paths are meant from `directory`, where the
    /// tests run, else from `root`, else from the top. Paths are told from the repository's top, as GitHub wants them.
    pub fn new(root: &Path, directory: &Path) -> Self {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let root = real(root);
        let top = root.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&root).to_owned();
        let mut bases = vec![real(directory), root, top.clone()];
        bases.dedup();
        Self { top, bases }
    }

    /// Returns where a case failed: by its own `file` and `line`, else by the frame in its text, else the beginning of its file.
    pub(super) fn of(&self, case: &Case) -> Option<Place> {
        let file = case.file.as_deref().and_then(|file| self.resolve(file));
        match (file, case.line) {
            (Some(file), Some(line)) => Some(Place { file, line }),
            (file, _) => self.frame(&case.message).or_else(|| self.frame(&case.text)).or_else(|| file.map(|file| Place { file, line: 1 })),
        }
    }

    /// Returns the innermost frame of a stack trace that is in the repository.
    ///
    /// Python writes it last, everything else first.
    pub fn frame(&self, text: &str) -> Option<Place> {
        let mut last = None;
        for (path, line) in text.lines().take(MOST_LINES).flat_map(frames) {
            let Some(file) = self.resolve(&path) else { continue };
            let python = Path::new(&file).extension().is_some_and(|extension| extension == "py");
            let place = Place { file, line };
            if !python {
                return last.or(Some(place));
            }
            last = Some(place);
        }
        last
    }

    /// Returns the path from the top of a file that is there, whatever stands before it: another machine's workspace, a container's folder.
    pub fn resolve(&self, path: &str) -> Option<String> {
        let path = path.trim().replace('\\', "/");
        let path = path.strip_prefix("file://").unwrap_or(&path);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.is_empty() || parts.len() > 64 || parts.iter().any(|part| FOREIGN.contains(part)) {
            return None;
        }
        if let Some(below) = self.bases.iter().find_map(|base| self.existing(&base.join(path))) {
            return Some(below);
        }
        // A name alone may be anybody's: what follows a foreign prefix has a folder at least.
        let shorter = (1..parts.len().saturating_sub(1)).map(|from| parts[from..].join("/"));
        shorter.filter(|suffix| !suffix.starts_with("..")).find_map(|suffix| {
            let found = self.bases.iter().find_map(|base| self.existing(&base.join(&suffix)));
            found.filter(|_| !parts[..parts.len() - 1].contains(&".."))
        })
    }

    fn existing(&self, path: &Path) -> Option<String> {
        let real = path.canonicalize().ok().filter(|real| real.is_file())?;
        let below = real.strip_prefix(&self.top).ok()?;
        let parts = below.components().map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        });
        let parts: Vec<&str> = parts.collect::<Option<_>>()?;
        let foreign = parts.iter().any(|part| FOREIGN.contains(part));
        (!foreign && !parts.is_empty()).then(|| parts.join("/"))
    }
}

/// Returns what looks like `path:line` or `path:line:column` in a line, and Python's `File "path", line 3`.
fn frames(line: &str) -> Vec<(String, u32)> {
    if let Some((path, number)) = python(line) {
        return vec![(path, number)];
    }
    let ends = |character: char| character.is_whitespace() || "()[]{}<>\"'`,;".contains(character);
    line.split(ends).filter_map(|word| frame(word.trim_end_matches(['.', ':']))).collect()
}

fn python(line: &str) -> Option<(String, u32)> {
    let (path, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    let digits: String = rest.strip_prefix(", line ")?.chars().take_while(char::is_ascii_digit).collect();
    Some((path.to_owned(), digits.parse().ok().filter(|line| *line > 0)?))
}

fn frame(word: &str) -> Option<(String, u32)> {
    let (before, last) = word.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    // A second number is the line, and the last one the column.
    let (path, line) = match before.rsplit_once(':').and_then(|(path, line)| Some((path, line.parse::<u32>().ok()?))) {
        Some((path, line)) => (path, line),
        None => (before, last),
    };
    let named = path.rsplit(['/', '\\']).next().is_some_and(|name| name.contains('.'));
    let web = path.starts_with("http://") || path.starts_with("https://");
    (named && !web && line > 0 && path.len() < 1_000).then(|| (path.to_owned(), line))
}
