//! `vercel.json` of a plain site: its rules as the configuration of a Build Output tree, as `vercel build` compiles them.
//!
//! | key | becomes |
//! |---|---|
//! | `cleanUrls`, `trailingSlash`, `redirects`, `headers` | routes before the file system, in this order |
//! | `rewrites` | routes after it |
//! | `routes` | routes as they stand |
//! | `images`, `crons` | the same |
//!
//! Source: the vendor's client (`vercel build` 60.1.3, whose output for the same files is compared in `tests/vendor`). What would have to run, or
//! to be built, is refused by its name; a key that says nothing about what is served is passed over.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::FilesError;
use super::pattern::{Pattern, expand};

/// Keys that say nothing about what a plain site serves.
const HARMLESS: &[&str] = &[
    "$schema",
    "alias",
    "autoJobCancelation",
    "buildCommand",
    "bunVersion",
    "devCommand",
    "fluid",
    "framework",
    "git",
    "github",
    "ignoreCommand",
    "installCommand",
    "name",
    "passiveRegions",
    "functionFailoverRegions",
    "public",
    "regions",
    "relatedProjects",
    "scope",
    "version",
];

/// The rules of a site.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rules {
    /// Routes in their order, up to those of errors.
    routes: Vec<Value>,
    clean_urls: bool,
    images: Option<Value>,
    crons: Option<Value>,
    /// What is not known, and so not applied.
    pub(super) unknown: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Redirect {
    source: String,
    destination: String,
    permanent: Option<bool>,
    status_code: Option<u16>,
    has: Option<Vec<Value>>,
    missing: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rewrite {
    source: String,
    destination: String,
    status_code: Option<u16>,
    has: Option<Vec<Value>>,
    missing: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    source: String,
    #[serde(rename = "headers")]
    pairs: Vec<Header>,
    has: Option<Vec<Value>>,
    missing: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    value: String,
}

impl Rules {
    /// Reads a `vercel.json`. Errors: it cannot be read, is not valid, or asks for what a plain site cannot have.
    pub(super) fn read(path: &Path) -> Result<Self, FilesError> {
        let text = std::fs::read(path).map_err(FilesError::unreadable(path))?;
        let invalid = |reason: String| FilesError::InvalidRules { path: path.to_owned(), reason };
        let config: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
        Self::of(&config).map_err(invalid)
    }

    fn of(config: &Map<String, Value>) -> Result<Self, String> {
        let mut rules = Self { clean_urls: optional(config, "cleanUrls")?.unwrap_or_default(), ..Self::default() };
        let slash: Option<bool> = optional(config, "trailingSlash")?;
        let (redirects, headers, rewrites) = (listed(config, "redirects")?, listed(config, "headers")?, listed(config, "rewrites")?);
        if rules.clean_urls {
            rules.routes.extend(clean_urls(slash.unwrap_or_default()));
        }
        rules.routes.extend(slash.map(trailing_slash).unwrap_or_default());
        for (index, route) in listed::<Map<String, Value>>(config, "routes")?.into_iter().enumerate() {
            rules.routes.push(as_it_stands(route).map_err(|why| format!("routes[{index}]: {why}"))?);
        }
        rules.add("redirects", redirects, redirect)?;
        rules.add("headers", headers, header)?;
        if !rewrites.is_empty() {
            rules.routes.push(json!({ "handle": "filesystem" }));
        }
        rules.add("rewrites", rewrites, rewrite)?;
        let applied = ["cleanUrls", "trailingSlash", "routes", "redirects", "headers", "rewrites", "images", "crons"];
        let rest =
            config.iter().filter(|(key, value)| !applied.contains(&key.as_str()) && !HARMLESS.contains(&key.as_str()) && !empty(value));
        for (key, value) in rest {
            match key.as_str() {
                "outputDirectory" if value == "." => {}
                "outputDirectory" => {
                    return Err(format!(
                        "`outputDirectory` is {value}: ship that directory (`dir`), or build with `vercel build` and ship `.vercel/output`"
                    ));
                }
                "builds" | "functions" | "services" | "experimentalServices" | "bulkRedirectsPath" | "env" | "build" => {
                    return Err(format!("a plain site cannot have `{key}`: build it with `vercel build`, and ship `.vercel/output`"));
                }
                _ => rules.unknown.push(key.clone()),
            }
        }
        rules.images = config.get("images").cloned();
        rules.crons = config.get("crons").filter(|crons| !empty(crons)).cloned();
        Ok(rules)
    }

    fn add<T>(&mut self, key: &str, all: Vec<T>, compiled: impl Fn(T) -> Result<Value, String>) -> Result<(), String> {
        for (index, one) in all.into_iter().enumerate() {
            self.routes.push(compiled(one).map_err(|why| format!("{key}[{index}]: {why}"))?);
        }
        Ok(())
    }

    /// Returns whether anything is served otherwise than without the file.
    pub(super) fn say_nothing(&self) -> bool {
        self.routes.is_empty() && !self.clean_urls && self.images.is_none() && self.crons.is_none()
    }

    /// Returns the configuration of a site with these pages, named from its root on.
    pub(super) fn config<'a>(&self, pages: impl Iterator<Item = &'a str>) -> Vec<u8> {
        let mut routes = self.routes.clone();
        let lost = if self.clean_urls { "/404" } else { "/404.html" };
        routes.push(json!({ "handle": "error" }));
        routes.push(json!({ "status": 404, "src": "^(?!/api).*$", "dest": lost }));
        let mut config = json!({ "version": 3, "routes": routes });
        if self.clean_urls {
            let clean = pages.filter_map(|page| Some((page.to_owned(), json!({ "path": page.strip_suffix(".html")? }))));
            config["overrides"] = Value::Object(clean.collect());
        }
        for (key, value) in [("images", &self.images), ("crons", &self.crons)] {
            if let Some(value) = value {
                config[key] = value.clone();
            }
        }
        config.to_string().into_bytes()
    }
}

fn clean_urls(slash: bool) -> [Value; 2] {
    let to = if slash { "/$1/" } else { "/$1" };
    ["^/(?:(.+)/)?index(?:\\.html)?/?$", "^/(.*)\\.html/?$"].map(|src| json!({ "src": src, "headers": { "Location": to }, "status": 308 }))
}

fn trailing_slash(wanted: bool) -> Vec<Value> {
    let moved = |src: &str, to: &str| json!({ "src": src, "headers": { "Location": to }, "status": 308 });
    if !wanted {
        return vec![moved("^/(.*)/$", "/$1")];
    }
    vec![
        json!({ "src": "^/\\.well-known(?:/.*)?$" }),
        moved("^/((?:[^/]+/)*[^/\\.]+)$", "/$1/"),
        moved("^/((?:[^/]+/)*[^/]+\\.\\w+)/$", "/$1"),
    ]
}

fn redirect(one: Redirect) -> Result<Value, String> {
    let pattern = Pattern::compile(&one.source)?;
    let conditions = captured(one.has.as_deref());
    let known = pattern.inserted(&conditions);
    let (to, _) = whole(&one.destination, &known)?;
    let to = if known.is_empty() { one.destination } else { to };
    let status = match (one.permanent, one.status_code) {
        (Some(_), Some(_)) => return Err("it has both `permanent` and `statusCode`".to_owned()),
        (Some(true) | None, None) => 308,
        (Some(false), None) => 307,
        (None, Some(status)) => status,
    };
    Ok(conditional(json!({ "src": pattern.src, "headers": { "Location": to }, "status": status }), one.has, one.missing))
}

fn rewrite(one: Rewrite) -> Result<Value, String> {
    let pattern = Pattern::compile(&one.source)?;
    let conditions = captured(one.has.as_deref());
    let known = pattern.inserted(&conditions);
    let (to, in_path) = whole(&one.destination, &known)?;
    let to = if in_path { to } else { with_query(&to, &known) };
    let mut route = conditional(json!({ "src": pattern.src, "dest": to, "check": true }), one.has, one.missing);
    if let Some(status) = one.status_code {
        route["status"] = status.into();
    }
    Ok(route)
}

fn header(one: Headers) -> Result<Value, String> {
    let pattern = Pattern::compile(&one.source)?;
    let conditions = captured(one.has.as_deref());
    let known = pattern.inserted(&conditions);
    // A colon in a header is no name unless the source knows it.
    let filled = |text: String| if known.is_empty() || !text.contains(':') { text } else { expand(&text, &known).text };
    let headers: Map<String, Value> = one.pairs.into_iter().map(|pair| (filled(pair.key), filled(pair.value).into())).collect();
    Ok(conditional(json!({ "src": pattern.src, "headers": headers, "continue": true }), one.has, one.missing))
}

/// Returns a destination with its names replaced, and whether any stands outside of its query.
fn whole(destination: &str, known: &[(&str, String)]) -> Result<(String, bool), String> {
    let (rest, hash) = destination.split_once('#').map_or((destination, None), |(rest, hash)| (rest, Some(hash)));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    // What ends in an optional name has no query behind its question mark.
    let query = query.filter(|query| !query.is_empty());
    let parts = [Some(path), query, hash].map(|part| part.map(|part| expand(part, known)));
    if let Some(name) = parts.iter().flatten().find_map(|part| part.unknown.as_ref()) {
        return Err(format!("`:{name}` is in the destination and not in the source"));
    }
    let [path, query, hash] = parts;
    let in_path = [&path, &hash].into_iter().flatten().any(|part| !part.used.is_empty());
    let text = [("", path), ("?", query), ("#", hash)].into_iter().filter_map(|(mark, part)| Some(format!("{mark}{}", part?.text)));
    Ok((text.collect(), in_path))
}

/// Returns a destination to which captures that it does not use are given as its query.
fn with_query(destination: &str, known: &[(&str, String)]) -> String {
    let (rest, hash) = destination.split_once('#').map_or((destination, ""), |(rest, _)| (rest, &destination[rest.len()..]));
    let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let mut text = rest.to_owned();
    for (name, inserted) in known.iter().filter(|(name, _)| !has(name)) {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.extend([name, "=", inserted.as_str()]);
    }
    text + hash
}

/// Adds the conditions of a route; the names of headers are compared in lower case.
fn conditional(mut route: Value, has: Option<Vec<Value>>, missing: Option<Vec<Value>>) -> Value {
    for (key, conditions) in [("has", has), ("missing", missing)] {
        let Some(mut conditions) = conditions else { continue };
        for condition in conditions.iter_mut().filter(|condition| condition["type"] == "header") {
            if let Some(name) = condition["key"].as_str().map(str::to_lowercase) {
                condition["key"] = name.into();
            }
        }
        route[key] = conditions.into();
    }
    route
}

/// Returns the names that conditions capture: of what they only ask for, and the groups of their patterns.
fn captured(has: Option<&[Value]>) -> Vec<String> {
    let mut names = Vec::new();
    for condition in has.into_iter().flatten() {
        let value = condition["value"].as_str().or_else(|| condition["value"]["re"].as_str());
        match (value, condition["key"].as_str()) {
            (None, Some(key)) if condition["value"].is_null() => names.push(key.to_owned()),
            (Some(value), _) => {
                let groups = value.split("(?<").skip(1).filter_map(|rest| rest.split_once('>'));
                names.extend(groups.map(|(name, _)| name.to_owned()).filter(|name| !name.starts_with(['=', '!'])));
                if condition["type"] == "host" {
                    names.push("host".to_owned());
                }
            }
            _ => {}
        }
    }
    names
}

/// Returns a route of `routes` with the names of the Build Output API and a pattern that is bound to both ends.
fn as_it_stands(mut route: Map<String, Value>) -> Result<Value, String> {
    for (theirs, ours) in [("source", "src"), ("destination", "dest"), ("statusCode", "status")] {
        if let Some(value) = route.remove(theirs)
            && route.insert(ours.to_owned(), value).is_some()
        {
            return Err(format!("it has both `{theirs}` and `{ours}`"));
        }
    }
    if route.contains_key("handle") {
        return Ok(Value::Object(route));
    }
    let src = route.get("src").and_then(Value::as_str).ok_or("it has neither `src` nor `handle`")?;
    let (begin, end) = (if src.starts_with('^') { "" } else { "^" }, if src.ends_with('$') { "" } else { "$" });
    let src = format!("{begin}{src}{end}").replace("\\/", "/");
    if route.get("dest").is_some_and(|dest| !dest.is_string()) {
        return Err("its destination is no text".to_owned());
    }
    route.insert("src".to_owned(), src.into());
    Ok(Value::Object(route))
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn optional<T: DeserializeOwned>(config: &Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    let value = config.get(key).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
}

fn listed<T: DeserializeOwned>(config: &Map<String, Value>, key: &str) -> Result<Vec<T>, String> {
    optional(config, key).map(Option::unwrap_or_default)
}
