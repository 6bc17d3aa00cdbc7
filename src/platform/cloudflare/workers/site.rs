//! What is uploaded: the same walk, hashes and checks as for Pages (the vendor's client hashes both alike), less what `.assetsignore` names.

use std::collections::BTreeMap;
use std::path::Path;

use ignore::gitignore::GitignoreBuilder;
use serde_json::{Value, json};

use super::WorkerTarget;
use crate::event::Level;
use crate::platform::cloudflare::pages::files::{FilesError, MARK, ReadSite, Site, Worker, aside};
use crate::platform::{Errand, PlatformError, PlatformErrorKind, RevisionDigest};

/// The file that names what is not published, in the syntax of `.gitignore` (vendor's documentation).
const IGNORE: &str = ".assetsignore";
/// How many files a version has at most (vendor's documentation of limits: 20,000 on the free plan, more on others); the platform's own answer
/// decides above the highest.
const MOST_FILES: u64 = 100_000;

impl WorkerTarget {
    pub(super) async fn read_site(&self, errand: &impl Errand, path: &Path, digest: &RevisionDigest) -> Result<Site, PlatformError> {
        let wanted = ReadSite { directory: path.to_owned(), revision: digest.clone(), dotfiles: self.settings.dotfiles.clone() };
        let site = Site::read(wanted).await.map_err(|error| self.unusable(&error))?;
        if site.worker != Worker::None {
            let text = "the directory holds a _worker.js or a _worker.bundle, and this target serves files alone".to_owned();
            return Err(self.error("read_files", PlatformErrorKind::Impossible(text)).hint("remove it from what is published"));
        }
        let folder = path.to_owned();
        let site = aside(move || less_ignored(site, &folder)).await.map_err(|error| self.unusable(&error))?;
        site.within(MOST_FILES).map_err(|error| self.unusable(&error))?;
        for note in &site.notes {
            errand.events().notice(Level::Note, "cloudflare::files", format!("{}: {note}", self.settings.target));
        }
        errand.step(&self.settings.target, format!("{} files", site.assets.len()));
        Ok(site)
    }

    /// Returns the configuration of a version's files: the two special files travel as they are, and the platform reads them.
    pub(super) fn config(&self, site: &Site) -> Value {
        let mut config = json!({ "not_found_handling": self.settings.not_found, "html_handling": "auto-trailing-slash" });
        for (name, text) in [("_headers", &site.headers), ("_redirects", &site.redirects)] {
            if let Some(text) = text {
                config[name] = json!(text);
            }
        }
        config
    }
}

/// Returns the manifest of an upload session: hash and size by path.
pub(super) fn manifest(site: &Site) -> BTreeMap<&str, Value> {
    site.assets.iter().map(|asset| (asset.path.as_str(), json!({ "hash": asset.key, "size": asset.size }))).collect()
}

fn less_ignored(mut site: Site, folder: &Path) -> Result<Site, FilesError> {
    let own = format!("/{IGNORE}");
    site.assets.retain(|asset| asset.path != own);
    let path = folder.join(IGNORE);
    if !path.is_file() {
        return Ok(site);
    }
    let text = std::fs::read_to_string(&path).map_err(FilesError::unreadable(&path))?;
    let bad = |reason: &ignore::Error| FilesError::BadRules { path: path.clone(), line: None, reason: reason.to_string() };
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines() {
        builder.add_line(None, line).map_err(|error| bad(&error))?;
    }
    let ignored = builder.build().map_err(|error| bad(&error))?;
    site.assets
        .retain(|asset| asset.path == MARK || !ignored.matched_path_or_any_parents(asset.path.trim_start_matches('/'), false).is_ignore());
    Ok(site)
}
