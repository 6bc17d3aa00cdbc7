//! What a deployment serves: Build Output API v3, or a plain static upload.
//!
//! Source: the vendor's documentation of the Build Output API and its client (`vercel build`). The common subset: `routes` with `handle`,
//! `src`, `dest`, `status`, `headers`, `methods`, `continue`; `overrides` with `contentType` and `path`; `index.html`, `404.html`. A route
//! with `has` or `missing` never matches. Functions are known and not run.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde::Deserialize;

use super::media::content_type;
use super::pattern::Pattern;
use super::store::{Files, Stored};

/// Why an upload cannot be served: code and message of the deployment that ends as ERROR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Unbuildable {
    /// The vendor's code.
    pub(super) code: &'static str,
    /// What is wrong.
    pub(super) message: String,
}

/// One file that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// Where its content is.
    pub(super) content: Stored,
    /// Its media type.
    pub(super) content_type: String,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The status.
    pub(super) status: u16,
    /// Headers that routes set.
    pub(super) headers: Vec<(String, String)>,
    /// The file, where one is served.
    pub(super) file: Option<Served>,
    /// The function, where one would have to run.
    pub(super) function: Option<String>,
}

/// The static files, functions and routes of one deployment.
#[derive(Debug, Default)]
pub(super) struct Site {
    files: BTreeMap<String, Served>,
    functions: BTreeSet<String>,
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    phase: Phase,
    pattern: Pattern,
    dest: Option<String>,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    methods: Vec<String>,
    goes_on: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the file system.
    First,
    /// After the file system: `filesystem`, `rewrite`, `miss`.
    Miss,
    /// Once a file was found.
    Hit,
    /// Once nothing was found.
    Error,
    /// What is not served here (`resource`).
    Unserved,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    version: u64,
    routes: Vec<RouteSource>,
    overrides: BTreeMap<String, Override>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RouteSource {
    src: Option<String>,
    handle: Option<String>,
    dest: Option<String>,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    methods: Vec<String>,
    r#continue: bool,
    case_sensitive: bool,
    has: Option<serde_json::Value>,
    missing: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Override {
    content_type: Option<String>,
    path: Option<String>,
}

/// What a plain static upload says about itself, in `vercel.json` or in the create call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PlainSettings {
    /// Whether `about.html` is served as `/about`.
    pub(super) clean_urls: bool,
    /// The directory that is served.
    pub(super) output_directory: Option<String>,
}

impl Site {
    /// Returns the site of a prebuilt upload whose paths begin with `root` (empty, or the project's root directory).
    ///
    /// `read` gives a content by its SHA-1.
    pub(super) fn prebuilt(files: &Files, root: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self, Unbuildable> {
        let base = format!("{}.vercel/output/", directory(root));
        let config = files
            .get(&format!("{base}config.json"))
            .and_then(|stored| read(&stored.sha))
            .ok_or_else(|| Unbuildable { code: "BUILD_FAILED", message: format!("Config file was not found at \"{base}config.json\"") })?;
        let config: Config = serde_json::from_slice(&config)
            .map_err(|error| Unbuildable { code: "BUILD_FAILED", message: format!("\"{base}config.json\" is not valid: {error}") })?;
        if config.version != 3 {
            return Err(Unbuildable {
                code: "BUILD_FAILED",
                message: format!("\"{base}config.json\" has version {}, not 3", config.version),
            });
        }
        let mut site = Self::default();
        for (path, stored) in files {
            if let Some(path) = path.strip_prefix(&format!("{base}static/")) {
                let rule = config.overrides.get(path);
                let kind = rule.and_then(|rule| rule.content_type.clone()).unwrap_or_else(|| content_type(path));
                let path = rule.and_then(|rule| rule.path.clone()).unwrap_or_else(|| path.to_owned());
                site.files.insert(path, Served { content: stored.clone(), content_type: kind });
            } else if let Some((function, _)) = path.strip_prefix(&format!("{base}functions/")).and_then(|path| path.split_once(".func/")) {
                site.functions.insert(function.to_owned());
            }
        }
        site.routes = compile(config.routes);
        Ok(site)
    }

    /// Returns the site of a plain static upload below `root`; `public/` is served where nothing else is named and it exists.
    pub(super) fn plain(files: &Files, root: &str, settings: &PlainSettings) -> Result<Self, Unbuildable> {
        let root = directory(root);
        let mut base = format!("{root}{}", directory(settings.output_directory.as_deref().unwrap_or_default()));
        if base == root && files.keys().any(|path| path.starts_with(&format!("{root}public/"))) {
            base = format!("{root}public/");
        }
        let mut site = Self::default();
        for (path, stored) in files {
            let Some(path) = path.strip_prefix(&base).filter(|path| *path != "vercel.json") else { continue };
            let served = Served { content: stored.clone(), content_type: content_type(path) };
            let clean = path.strip_suffix(".html").filter(|_| settings.clean_urls);
            site.files.insert(clean.unwrap_or(path).to_owned(), served);
        }
        if site.files.is_empty() {
            let message = format!("No files were found to serve below \"{base}\"");
            return Err(Unbuildable { code: "BUILD_FAILED", message });
        }
        Ok(site)
    }

    /// Returns what a request for `path` comes to.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Outcome {
        let mut walk = Walk { method, path: decode(path), headers: Vec::new(), status: None };
        for route in self.of(Phase::First) {
            match route.apply(&mut walk) {
                Step::Ends(status) => return walk.bare(status),
                Step::Rewrites => break,
                Step::GoesOn => {}
            }
        }
        if let Some(found) = self.find(&mut walk) {
            return found;
        }
        for route in self.of(Phase::Miss) {
            if let Step::Ends(status) = route.apply(&mut walk) {
                return walk.bare(status);
            }
            if let Some(found) = self.find(&mut walk) {
                return found;
            }
        }
        self.missing(walk)
    }

    /// Returns whether nothing but files is served, so that only GET and HEAD make sense.
    pub(super) fn is_static(&self) -> bool {
        self.functions.is_empty()
    }

    fn of(&self, phase: Phase) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| route.phase == phase)
    }

    fn find(&self, walk: &mut Walk<'_>) -> Option<Outcome> {
        let path = walk.path.trim_start_matches('/').to_owned();
        let trimmed = path.trim_end_matches('/').to_owned();
        let below = |name: &str| if trimmed.is_empty() { name.to_owned() } else { format!("{trimmed}/{name}") };
        let candidates = [path.clone(), trimmed.clone(), below("index.html"), below("index")];
        let file = candidates.iter().filter(|candidate| !candidate.is_empty()).find_map(|candidate| self.files.get(candidate)).cloned();
        let function = [trimmed.clone(), below("index")].into_iter().find(|name| file.is_none() && self.functions.contains(name));
        if file.is_none() && function.is_none() {
            return None;
        }
        let status = if file.is_some() { walk.status.unwrap_or(200) } else { 501 };
        for route in self.of(Phase::Hit) {
            let mut hit = Walk { method: walk.method, path: format!("/{path}"), headers: Vec::new(), status: None };
            route.apply(&mut hit);
            hit.headers.into_iter().for_each(|(name, value)| walk.set(&name, value));
        }
        Some(Outcome { status, headers: std::mem::take(&mut walk.headers), file, function })
    }

    fn missing(&self, mut walk: Walk<'_>) -> Outcome {
        for route in self.of(Phase::Error).filter(|route| route.status.is_none_or(|status| status == 404)) {
            if let Step::Rewrites = route.apply(&mut walk)
                && let Some(found) = self.find(&mut walk)
            {
                return Outcome { status: 404, ..found };
            }
        }
        let file = self.files.get("404.html").or_else(|| self.files.get("404")).cloned();
        Outcome { status: 404, headers: walk.headers, file, function: None }
    }
}

/// A request on its way through the routes.
struct Walk<'a> {
    method: &'a Method,
    path: String,
    headers: Vec<(String, String)>,
    status: Option<u16>,
}

impl Walk<'_> {
    fn set(&mut self, name: &str, value: String) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }

    fn bare(self, status: u16) -> Outcome {
        Outcome { status, headers: self.headers, file: None, function: None }
    }
}

/// What a route does to a request.
enum Step {
    /// Nothing, or it adds headers only.
    GoesOn,
    /// The request is for another path now.
    Rewrites,
    /// The request ends with this status: a redirect, or a bare status.
    Ends(u16),
}

impl Route {
    /// Applies the route where it matches.
    fn apply(&self, walk: &mut Walk<'_>) -> Step {
        let allowed = self.methods.is_empty() || self.methods.iter().any(|allowed| allowed.eq_ignore_ascii_case(walk.method.as_str()));
        let Some(captures) = self.pattern.matches(&walk.path).filter(|_| allowed) else { return Step::GoesOn };
        let mut redirects = false;
        for (name, value) in &self.headers {
            redirects |= name.eq_ignore_ascii_case("location");
            walk.set(name, captures.expand(value));
        }
        if let Some(status) = self.status.filter(|_| redirects || self.dest.is_none() && !self.goes_on) {
            return Step::Ends(status);
        }
        let Some(dest) = &self.dest else { return Step::GoesOn };
        // The query is not what is looked for; a name of a file may hold a question mark all the same.
        walk.path = captures.expand(dest.split('?').next().unwrap_or_default());
        if !walk.path.starts_with('/') {
            walk.path.insert(0, '/');
        }
        walk.status = self.status;
        if self.goes_on { Step::GoesOn } else { Step::Rewrites }
    }
}

fn compile(sources: Vec<RouteSource>) -> Vec<Route> {
    let mut phase = Phase::First;
    let mut routes = Vec::new();
    for source in sources {
        if let Some(handle) = &source.handle {
            phase = match handle.as_str() {
                "filesystem" | "rewrite" | "miss" => Phase::Miss,
                "hit" => Phase::Hit,
                "error" => Phase::Error,
                _ => Phase::Unserved,
            };
            continue;
        }
        if source.has.is_some() || source.missing.is_some() {
            continue;
        }
        let Some(pattern) = source.src.as_deref().and_then(|src| Pattern::compile(src, !source.case_sensitive)) else { continue };
        routes.push(Route {
            phase,
            pattern,
            dest: source.dest,
            status: source.status,
            headers: source.headers.into_iter().collect(),
            methods: source.methods,
            goes_on: source.r#continue,
        });
    }
    routes
}

/// Returns `name` as a prefix of paths: empty, or ending in a slash.
fn directory(name: &str) -> String {
    let name = name.trim_start_matches("./").trim_matches('/');
    if name.is_empty() || name == "." { String::new() } else { format!("{name}/") }
}

/// Undoes percent-encoding; what is not UTF-8 afterwards is replaced and so matches nothing.
fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        let value = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        plain.push(value.unwrap_or(*byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}
