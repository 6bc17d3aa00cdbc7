//! A repository's git side: objects, refs with their past, the graph of commits, differences of trees.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Commit, Entry, Object};

/// Files of a whole tree: path → entry.
pub(super) type Flat = BTreeMap<String, Entry>;

/// Objects and refs.
#[derive(Debug, Clone, Default)]
pub(super) struct Git {
    objects: BTreeMap<String, Object>,
    refs: BTreeMap<String, Vec<(i64, Option<String>)>>,
}

/// What became of a file between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) previous: Option<String>,
    pub(super) status: &'static str,
    pub(super) sha: String,
    pub(super) additions: usize,
    pub(super) deletions: usize,
}

impl Git {
    /// Stores `object` under its own name.
    pub(super) fn add(&mut self, object: Object) -> String {
        let id = object.id();
        self.objects.insert(id.clone(), object);
        id
    }

    /// Stores a commit under a name that a real repository gave it.
    pub(super) fn add_as(&mut self, sha: &str, commit: Commit) {
        self.objects.insert(sha.to_owned(), Object::Commit(commit));
    }

    pub(super) fn object(&self, sha: &str) -> Option<&Object> {
        self.objects.get(sha)
    }

    pub(super) fn commit(&self, sha: &str) -> Option<&Commit> {
        if let Some(Object::Commit(commit)) = self.objects.get(sha) { Some(commit) } else { None }
    }

    pub(super) fn tree(&self, sha: &str) -> Option<&BTreeMap<String, Entry>> {
        if let Some(Object::Tree(entries)) = self.objects.get(sha) { Some(entries) } else { None }
    }

    pub(super) fn blob(&self, sha: &str) -> Option<&[u8]> {
        if let Some(Object::Blob(content)) = self.objects.get(sha) { Some(content) } else { None }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.refs.keys().any(|name| self.head(name).is_some())
    }

    /// Returns what the ref `name` (`refs/heads/main`) points at now.
    pub(super) fn head(&self, name: &str) -> Option<&str> {
        self.refs.get(name)?.last()?.1.as_deref()
    }

    /// Returns what a reader sees who sees nothing newer than `at` (milliseconds).
    pub(super) fn head_at(&self, name: &str, at: i64) -> Option<&str> {
        self.refs.get(name)?.iter().rev().find(|(since, _)| *since <= at)?.1.as_deref()
    }

    /// Returns the refs that begin with `prefix` and exist now.
    pub(super) fn refs(&self, prefix: &str) -> Vec<(String, String)> {
        let begin = self.refs.keys().filter(|name| name.starts_with(prefix));
        begin.filter_map(|name| Some((name.clone(), self.head(name)?.to_owned()))).collect()
    }

    /// Moves, makes or (with `None`) removes a ref.
    pub(super) fn set(&mut self, name: &str, sha: Option<&str>, now: i64) {
        self.refs.entry(name.to_owned()).or_default().push((now, sha.map(str::to_owned)));
    }

    /// Returns the commit that `text` means: a branch, a tag, `heads/...`, a full or abbreviated name.
    pub(super) fn resolve(&self, text: &str) -> Option<String> {
        let text = text.strip_prefix("refs/").unwrap_or(text);
        for name in [format!("refs/heads/{text}"), format!("refs/tags/{text}"), format!("refs/{text}")] {
            if let Some(sha) = self.head(&name) {
                return Some(sha.to_owned());
            }
        }
        let whole = self.commit(text).map(|_| text.to_owned());
        let abbreviated = || {
            let mut found = self.objects.range(text.to_owned()..).take_while(|(sha, _)| sha.starts_with(text));
            let (sha, object) = found.next().filter(|_| text.len() >= 7)?;
            matches!(object, Object::Commit(_)).then(|| sha.clone())
        };
        whole.or_else(abbreviated)
    }

    /// Returns everything reachable from `sha`, itself included, nearest first.
    pub(super) fn history(&self, sha: &str) -> Vec<String> {
        let (mut found, mut queue, mut seen) = (Vec::new(), vec![sha.to_owned()], BTreeSet::new());
        while !queue.is_empty() {
            let mut next = Vec::new();
            for sha in queue {
                if !seen.insert(sha.clone()) {
                    continue;
                }
                if let Some(commit) = self.commit(&sha) {
                    next.extend(commit.parents.iter().cloned());
                    found.push(sha);
                }
            }
            queue = next;
        }
        found
    }

    /// Returns whether `ancestor` is reachable from `sha`.
    pub(super) fn descends(&self, sha: &str, ancestor: &str) -> bool {
        self.history(sha).iter().any(|one| one == ancestor)
    }

    /// Returns the commits reachable from `head` but not from `base`, oldest first.
    pub(super) fn between(&self, base: &str, head: &str) -> Vec<String> {
        let known: BTreeSet<String> = self.history(base).into_iter().collect();
        self.history(head).into_iter().filter(|sha| !known.contains(sha)).rev().collect()
    }

    /// Returns the nearest commit that both reach.
    pub(super) fn merge_base(&self, a: &str, b: &str) -> Option<String> {
        let known: BTreeSet<String> = self.history(a).into_iter().collect();
        self.history(b).into_iter().find(|sha| known.contains(sha))
    }

    /// Returns every file below the tree `sha`.
    pub(super) fn flat(&self, sha: &str) -> Flat {
        let mut files = Flat::new();
        self.flatten(sha, "", &mut files);
        files
    }

    fn flatten(&self, sha: &str, base: &str, files: &mut Flat) {
        for (name, entry) in self.tree(sha).into_iter().flatten() {
            let path = format!("{base}{name}");
            if entry.is_tree() {
                self.flatten(&entry.sha, &format!("{path}/"), files);
            } else {
                files.insert(path, entry.clone());
            }
        }
    }

    /// Stores the directories that hold `files`; returns the name of the root tree.
    pub(super) fn write_tree(&mut self, files: &Flat) -> String {
        let mut entries = BTreeMap::new();
        let mut below: BTreeMap<String, Flat> = BTreeMap::new();
        for (path, entry) in files {
            match path.split_once('/') {
                None => {
                    entries.insert(path.clone(), entry.clone());
                }
                Some((directory, rest)) => {
                    below.entry(directory.to_owned()).or_default().insert(rest.to_owned(), entry.clone());
                }
            }
        }
        for (name, files) in below {
            let sha = self.write_tree(&files);
            entries.insert(name, Entry { mode: "040000".to_owned(), sha });
        }
        self.add(Object::Tree(entries))
    }

    /// Returns the files of the commit `sha`; none where it is not known.
    pub(super) fn files(&self, sha: &str) -> Flat {
        self.commit(sha).map(|commit| self.flat(&commit.tree)).unwrap_or_default()
    }

    /// Returns what changed between two commits; equal contents that moved are renames.
    pub(super) fn differences(&self, base: Option<&str>, head: &str) -> Vec<Difference> {
        let (old, new) = (base.map(|base| self.files(base)).unwrap_or_default(), self.files(head));
        let mut gone: BTreeMap<&String, &Entry> = old.iter().filter(|(path, _)| !new.contains_key(*path)).collect();
        let mut found = Vec::new();
        for (path, entry) in &new {
            let lines = self.lines(&entry.sha);
            let made = |status, previous, additions, deletions| Difference {
                path: path.clone(),
                previous,
                status,
                sha: entry.sha.clone(),
                additions,
                deletions,
            };
            match old.get(path) {
                Some(before) if before == entry => {}
                Some(before) => {
                    let (added, removed) = changed(&self.lines(&before.sha), &lines);
                    found.push(made("modified", None, added, removed));
                }
                None => {
                    let twin = gone.iter().find(|(_, entry_before)| entry_before.sha == entry.sha).map(|(path, _)| (*path).clone());
                    if let Some(twin) = twin {
                        gone.remove(&twin);
                        found.push(made("renamed", Some(twin), 0, 0));
                    } else {
                        found.push(made("added", None, lines.len(), 0));
                    }
                }
            }
        }
        for (path, entry) in gone {
            let deletions = self.lines(&entry.sha).len();
            let sha = entry.sha.clone();
            found.push(Difference { path: path.clone(), previous: None, status: "removed", sha, additions: 0, deletions });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    fn lines(&self, sha: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(self.blob(sha).unwrap_or_default()).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}

/// Returns how many lines were added and removed, moved lines not counted.
fn changed(old: &[String], new: &[String]) -> (usize, usize) {
    let mut left: BTreeMap<&String, usize> = BTreeMap::new();
    for line in old {
        *left.entry(line).or_default() += 1;
    }
    let mut added = 0;
    for line in new {
        match left.get_mut(line) {
            Some(count) if *count > 0 => *count -= 1,
            _ => added += 1,
        }
    }
    (added, left.values().sum())
}
