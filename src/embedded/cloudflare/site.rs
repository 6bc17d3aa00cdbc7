//! What a deployment answers: redirects, files, `404.html`, headers (vendor's documentation of serving).

use std::collections::BTreeMap;

use super::rules::{Headers, Redirects};

/// A deployment's files and rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Site {
    /// Keys by path.
    pub(super) manifest: BTreeMap<String, String>,
    /// Content types by key.
    pub(super) types: BTreeMap<String, String>,
    pub(super) headers: Headers,
    pub(super) redirects: Redirects,
    /// Whether a worker answers first, which the embedded Pages runs none of.
    pub(super) worker: bool,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A file, with this status.
    File(u16, String),
    /// Another address, with this status.
    Redirect(u16, String),
    /// Nothing is there.
    Nothing,
}

impl Site {
    /// Returns what users get, as a short text: equal files and rules, equal text, whatever deployment has them.
    pub(super) fn content(&self) -> String {
        let said = format!("{:?} {:?} {:?} {}", self.manifest, self.headers, self.redirects, self.worker);
        blake3::hash(said.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Returns what is answered for a path, as it was asked for; `query` is carried on to another address.
    pub(super) fn answer(&self, raw: &str, query: Option<&str>) -> Outcome {
        let carried = |to: String| match query {
            Some(query) if !to.contains('?') => format!("{to}?{query}"),
            _ => to,
        };
        let path = decoded(raw);
        match self.redirects.matching(&path) {
            Some((200, to)) => return self.file(&to),
            Some((status, to)) => return Outcome::Redirect(status, carried(to)),
            None => {}
        }
        match self.file(&path) {
            Outcome::Redirect(status, to) => Outcome::Redirect(status, carried(to)),
            other => other,
        }
    }

    /// Returns the file at a path; its canonical address where it was asked for by another one.
    fn file(&self, path: &str) -> Outcome {
        let has = |path: &str| self.manifest.contains_key(path);
        let elsewhere = |to: &str| Outcome::Redirect(308, to.to_owned());
        if let Some(folder) = path.strip_suffix("/index.html").or_else(|| path.strip_suffix("/index").filter(|_| !has(path)))
            && has(&format!("{folder}/index.html"))
        {
            return elsewhere(&format!("{folder}/"));
        }
        if let Some(page) = path.strip_suffix(".html")
            && has(path)
        {
            return elsewhere(page);
        }
        if let Some(folder) = path.strip_suffix('/') {
            let index = format!("{path}index.html");
            if has(&index) {
                return self.found(200, &index);
            }
            if has(folder) || has(&format!("{folder}.html")) {
                return elsewhere(folder);
            }
            return self.missing(path);
        }
        for candidate in [path.to_owned(), format!("{path}.html")] {
            if has(&candidate) {
                return self.found(200, &candidate);
            }
        }
        if has(&format!("{path}/index.html")) { elsewhere(&format!("{path}/")) } else { self.missing(path) }
    }

    /// Returns the nearest `404.html` above a path; where the site has none at its top, it counts as an application of one page.
    fn missing(&self, path: &str) -> Outcome {
        let mut folder = path;
        while let Some(at) = folder.rfind('/') {
            folder = &folder[..at];
            let page = format!("{folder}/404.html");
            if self.manifest.contains_key(&page) {
                return self.found(404, &page);
            }
        }
        if self.manifest.contains_key("/index.html") { self.found(200, "/index.html") } else { Outcome::Nothing }
    }

    fn found(&self, status: u16, path: &str) -> Outcome {
        self.manifest.get(path).map_or(Outcome::Nothing, |key| Outcome::File(status, key.clone()))
    }

    /// Returns the content type of a key as it is answered: text carries its charset.
    pub(super) fn content_type(&self, key: &str) -> String {
        let kind = self.types.get(key).map_or("application/octet-stream", String::as_str);
        let text = kind.starts_with("text/") || matches!(kind, "application/javascript" | "image/svg+xml");
        if text && !kind.contains("charset") { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
    }
}

/// Returns a path without its percent signs; what is no UTF-8 stays as it was sent.
fn decoded(raw: &str) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| raw.to_owned())
}
