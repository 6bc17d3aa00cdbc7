//! A directory that stands in for what a gate would make: it answers as the checks of its target expect.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::blueprint::scripted;
use crate::id::Name;
use crate::manifest::{Check, Equals};

/// Which platform's rules the directory follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// A Build Output tree: whatever is no file is a route of its `config.json`.
    Vercel,
    /// Files, and `_headers` and `_redirects` beside them.
    Cloudflare,
}

/// Writes the directory. It differs from every other target's: which of two equal files is uploaded would be a matter of chance.
pub(super) fn write(folder: &Path, rules: Rules, name: &Name, checks: &[Check]) -> io::Result<()> {
    let site = if rules == Rules::Vercel { folder.join(".vercel/output/static") } else { folder.to_owned() };
    std::fs::create_dir_all(&site)?;
    let mut answers = Answers::default();
    answers.0.extend(checks.iter().filter_map(scripted).map(|(path, status, headers)| (path, (status, headers))));
    let mut pages: BTreeMap<&str, Vec<&Check>> = BTreeMap::from([("/", Vec::new())]);
    for check in checks {
        let path = check.request.path().split('?').next().unwrap_or_default();
        if answers.is_file(path) && !path.starts_with("/.") {
            pages.entry(path).or_default().push(check);
        }
    }
    for (path, checks) in pages {
        let named = path.trim_matches('/');
        // A folder's page is asked for with a slash at its end on Cloudflare, a page by its name alone.
        let file = match rules {
            _ if named.is_empty() => site.join("index.html"),
            _ if named.contains('.') => site.join(named),
            Rules::Cloudflare if !path.ends_with('/') => site.join(format!("{named}.html")),
            _ => site.join(named).join("index.html"),
        };
        std::fs::create_dir_all(file.parent().unwrap_or(&site))?;
        std::fs::write(file, content(name, named, &checks))?;
    }
    match rules {
        Rules::Vercel => {
            let blank = " ".repeat(name.as_str().len());
            std::fs::write(folder.join(".vercel/output/config.json"), format!("{}{blank}", answers.config()))
        }
        Rules::Cloudflare => answers.write_rules(&site, name),
    }
}

/// Returns a page that has what every check of its path looks for.
fn content(name: &Name, path: &str, checks: &[&Check]) -> String {
    let expected = |check: &&Check| match &check.expect.equals {
        Some(Equals::Value(value)) => Some((check.expect.json.clone(), value.clone())),
        _ => None,
    };
    match checks.iter().find_map(expected) {
        Some((None, value)) => return value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        Some((Some(pointer), value)) => {
            let wrap = |inner: Value, key: &str| json!({ key: inner });
            return pointer.rsplit('/').filter(|key| !key.is_empty()).fold(value, wrap).to_string();
        }
        None => {}
    }
    let wanted: Vec<&str> = checks.iter().filter_map(|check| check.expect.contains.as_deref()).collect();
    format!("<!doctype html><p>new {name} {path} {}\n", wanted.join(" "))
}

/// What paths answer that is not just a file: status and headers by path.
#[derive(Debug, Default)]
struct Answers(BTreeMap<String, (u16, BTreeMap<String, String>)>);

impl Answers {
    /// Returns whether a file is what answers at this path.
    fn is_file(&self, path: &str) -> bool {
        self.0.get(path).is_none_or(|(status, _)| *status == 200)
    }

    fn config(&self) -> Value {
        let route = |(path, (status, headers)): (&String, &(u16, BTreeMap<String, String>))| {
            let src = format!("^{}$", escaped(path));
            if *status == 200 {
                json!({ "src": src, "headers": headers, "continue": true })
            } else {
                json!({ "src": src, "status": status, "headers": headers })
            }
        };
        // What is not there answers 404 by itself.
        let routes: Vec<Value> = self.0.iter().filter(|(_, (status, _))| *status != 404).map(route).collect();
        if routes.is_empty() { json!({ "version": 3 }) } else { json!({ "version": 3, "routes": routes }) }
    }

    fn write_rules(&self, site: &Path, name: &Name) -> io::Result<()> {
        let (mut redirects, mut headers) = (String::new(), String::new());
        for (path, (status, own)) in &self.0 {
            // Writing to a string cannot fail.
            match own.get("location").filter(|_| (300..400).contains(status)) {
                Some(location) => {
                    let _ = writeln!(redirects, "{path} {location} {status}");
                }
                None if !own.is_empty() => {
                    let _ = writeln!(headers, "{path}");
                    for (header, value) in own {
                        let _ = writeln!(headers, "  {header}: {value}");
                    }
                }
                None => {}
            }
        }
        for (file, text) in [("_redirects", redirects), ("_headers", headers)] {
            if !text.is_empty() {
                std::fs::write(site.join(file), text)?;
            }
        }
        // Without a page for it, Pages takes every path for one of an application of one page.
        if self.0.values().any(|(status, _)| *status == 404) {
            std::fs::write(site.join("404.html"), format!("<!doctype html><p>{name} has no such page\n"))?;
        }
        Ok(())
    }
}

/// Returns a path as an expression that matches it alone.
fn escaped(path: &str) -> String {
    path.chars().fold(String::new(), |mut text, letter| {
        if ".+*?()[]{}|^$\\".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
        text
    })
}
