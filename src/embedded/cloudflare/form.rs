//! Reading `multipart/form-data`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The parts of a form by name, and their content types where they have any; of several with one name the last counts.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, Bytes>, BTreeMap<String, String>);

impl Form {
    /// Takes a body apart; `None` when it is no form.
    pub(super) fn parse(headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let boundary = kind.strip_prefix("multipart/form-data")?.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
        let boundary = format!("--{}", boundary.trim_matches('"'));
        let (mut parts, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut at = find(body, boundary.as_bytes(), 0)? + boundary.len();
        while body.get(at..at + 2) == Some(b"\r\n") {
            let head_end = find(body, b"\r\n\r\n", at)?;
            let content = head_end + 4;
            let next = find(body, format!("\r\n{boundary}").as_bytes(), content)?;
            let head = String::from_utf8_lossy(&body[at..head_end]).into_owned();
            if let Some(name) = name_in(&head) {
                if let Some(kind) = type_in(&head) {
                    types.insert(name.clone(), kind);
                }
                parts.insert(name, body.slice(content..next));
            }
            at = next + 2 + boundary.len();
        }
        Some(Self(parts, types))
    }

    /// Returns a part as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns every part: name, content type where it has one, content.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, Option<&str>, &Bytes)> {
        self.0.iter().map(|(name, content)| (name.as_str(), self.1.get(name).map(String::as_str), content))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

fn name_in(head: &str) -> Option<String> {
    let disposition = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let parameter = disposition.split(';').find_map(|part| part.trim().strip_prefix("name="))?;
    Some(parameter.trim_matches('"').to_owned())
}

fn type_in(head: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-type:"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn find(body: &[u8], what: &[u8], from: usize) -> Option<usize> {
    body.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}
