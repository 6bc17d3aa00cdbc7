//! `config.json` of a Build Output tree: ours for a plain site, and the place of the mark in everybody else's.

use serde_json::{Value, json};

use super::MARK;

/// Returns the configuration of a plain site. A `404.html` answers what is missing, as it does for a static project that Vercel builds.
pub(super) fn of_static(with_not_found: bool) -> Vec<u8> {
    let config = if with_not_found {
        json!({ "version": 3, "routes": [
            { "handle": "filesystem" },
            { "handle": "error" },
            { "status": 404, "src": "^.*$", "dest": "/404.html" },
        ] })
    } else {
        json!({ "version": 3 })
    };
    config.to_string().into_bytes()
}

/// Returns the configuration with a leading route for the mark, and a note, where a route before the file system could swallow it.
///
/// Errors: what is wrong with the configuration, in words.
pub(super) fn marked(text: &[u8]) -> Result<Option<(Vec<u8>, String)>, String> {
    let mut config: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if config.get("version").and_then(Value::as_u64) != Some(3) {
        return Err("its version is not 3".to_owned());
    }
    let Some(routes) = config.get_mut("routes").and_then(Value::as_array_mut) else { return Ok(None) };
    let first = routes.iter().take_while(|route| route.get("handle").is_none());
    let Some(swallows) = first.into_iter().find(|route| may_swallow(route)) else { return Ok(None) };
    let note = format!(
        "The route {} of config.json stands before the files and could answer for /{MARK}: a route for that address was put first.",
        swallows.get("src").and_then(Value::as_str).unwrap_or_default()
    );
    let pattern = format!("^/{}$", MARK.replace('.', "\\."));
    routes.insert(0, json!({ "src": pattern, "dest": format!("/{MARK}") }));
    Ok(Some((config.to_string().into_bytes(), note)))
}

/// Returns whether a route could answer for the mark: it matches it as far as its literal beginning says, and does not merely add headers.
fn may_swallow(route: &Value) -> bool {
    let has = |name: &str| route.get(name).is_some_and(|value| !value.is_null());
    let goes_on = route.get("continue").and_then(Value::as_bool).unwrap_or_default() && !has("middlewarePath");
    let ends = has("dest") || has("status") || has("middlewarePath") || has("middleware");
    let Some(pattern) = route.get("src").and_then(Value::as_str) else { return false };
    if goes_on || !ends {
        return false;
    }
    let mark = format!("/{MARK}");
    literal_beginning(pattern).is_none_or(|begins| begins.starts_with(&mark) || mark.starts_with(&begins))
}

/// Returns the text that every match of the pattern begins with, in lower case; `None` when alternatives make that unknown.
fn literal_beginning(pattern: &str) -> Option<String> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let mut depth = 0_i32;
    let mut escaped = false;
    for letter in pattern.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => return None,
            _ => {}
        }
    }
    let mut text = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(literal) if !literal.is_ascii_alphanumeric() => text.push(literal),
                _ => break,
            },
            '?' | '*' | '{' => {
                // It may be there no time at all.
                text.pop();
                break;
            }
            '(' | ')' | '[' | ']' | '.' | '+' | '$' | '^' | '|' => break,
            literal => text.push(literal),
        }
    }
    // The vendor matches without regard to case unless the route says otherwise.
    Some(text.to_ascii_lowercase())
}
