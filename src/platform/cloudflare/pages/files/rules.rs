//! Checks of `_headers`, `_redirects` and `_routes.json`: the vendor ignores what is above its limits, and answers what it cannot read with an
//! unknown error.

use serde::Deserialize;

/// The most rules of `_headers` (cloudflare.md 3.3).
const MOST_HEADER_RULES: usize = 100;
/// The longest line of `_headers`, in characters (cloudflare.md 3.3).
const LONGEST_HEADER_LINE: usize = 2_000;
/// The most redirects whose source is plain, and the most others (cloudflare.md 3.3).
const MOST_REDIRECTS: (usize, usize) = (2_000, 100);
/// The longest redirect, in characters (cloudflare.md 3.3).
const LONGEST_REDIRECT: usize = 1_000;
/// The statuses of redirects (cloudflare.md 3.3).
const STATUSES: [&str; 6] = ["200", "301", "302", "303", "307", "308"];
/// The most rules of `_routes.json`, and the longest, in characters (cloudflare.md 3.3).
const ROUTES: (usize, usize) = (100, 100);

/// What is wrong, with the line where there is one.
pub(super) type Wrong = (Option<usize>, String);

/// Checks `_headers`.
pub(super) fn headers(text: &str) -> Result<(), Wrong> {
    let mut rules = 0;
    for (number, line) in numbered(text) {
        let wrong = |text: String| Err((Some(number), text));
        if line.chars().count() > LONGEST_HEADER_LINE {
            return wrong(format!("it is longer than {LONGEST_HEADER_LINE} characters"));
        }
        let path = line.trim();
        if line.starts_with(char::is_whitespace) || !(path.starts_with('/') || path.starts_with("http")) {
            let removes = path.starts_with('!');
            if !removes && !path.contains(':') {
                return wrong("it is neither a path nor a header (`Name: value`)".to_owned());
            }
            if rules == 0 {
                return wrong("a header stands before the first path".to_owned());
            }
            continue;
        }
        rules += 1;
        if rules > MOST_HEADER_RULES {
            return wrong(format!("it is rule {rules}, and Pages ignores all after {MOST_HEADER_RULES}"));
        }
        if let Err(text) = header_path(path) {
            return wrong(text);
        }
    }
    Ok(())
}

/// Checks the path of a rule: an absolute one has no port, a path at most one splat, a placeholder no hyphen (which ends its name).
fn header_path(path: &str) -> Result<(), String> {
    if path.matches('*').count() > 1 {
        return Err("a path has at most one `*`".to_owned());
    }
    let Some(rest) = path.strip_prefix("https://") else {
        return if path.starts_with('/') { Ok(()) } else { Err("an absolute path begins with https://".to_owned()) };
    };
    let host = rest.split('/').next().unwrap_or(rest);
    let (named, after) = host.strip_prefix(':').map_or(("", host), |name| name.split_once('.').unwrap_or((name, "")));
    if named.contains('-') {
        return Err(format!("the placeholder :{named} has a hyphen, which no placeholder can have"));
    }
    if after.contains(':') { Err("an absolute path has no port".to_owned()) } else { Ok(()) }
}

/// Checks `_redirects`.
pub(super) fn redirects(text: &str) -> Result<(), Wrong> {
    let (mut plain, mut dynamic) = (0, 0);
    for (number, line) in numbered(text) {
        let wrong = |text: String| Err((Some(number), text));
        if line.chars().count() > LONGEST_REDIRECT {
            return wrong(format!("it is longer than {LONGEST_REDIRECT} characters"));
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (from, to, status) = match words.as_slice() {
            [from, to] => (*from, *to, "302"),
            [from, to, status] => (*from, *to, *status),
            _ => return wrong("a redirect is `source destination [status]`".to_owned()),
        };
        if !from.starts_with('/') {
            return wrong(format!("the source {from} must be a path that begins with `/`"));
        }
        if !STATUSES.contains(&status) {
            return wrong(format!("the status {status} is none of {}", STATUSES.join(", ")));
        }
        if status == "200" && !to.starts_with('/') {
            return wrong("a rewrite (200) leads to a path of the same site only".to_owned());
        }
        let splats = from.matches('*').count();
        if splats > 1 {
            return wrong("a source has at most one `*`".to_owned());
        }
        let count = if splats > 0 || from.contains("/:") { &mut dynamic } else { &mut plain };
        *count += 1;
        if plain > MOST_REDIRECTS.0 || dynamic > MOST_REDIRECTS.1 {
            let (most, placeholders) = MOST_REDIRECTS;
            return wrong(format!("Pages takes {most} plain redirects and {placeholders} with `*` or placeholders"));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Routes {
    version: u64,
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
}

/// Checks `_routes.json`.
pub(super) fn routes(text: &str) -> Result<(), Wrong> {
    let routes: Routes = serde_json::from_str(text).map_err(|error| (Some(error.line()), error.to_string()))?;
    let wrong = |text: String| Err((None, text));
    if routes.version != 1 {
        return wrong(format!("its version is {}, not 1", routes.version));
    }
    if routes.include.is_empty() {
        return wrong("`include` has no rule".to_owned());
    }
    if routes.include.len() + routes.exclude.len() > ROUTES.0 {
        return wrong(format!("it has more than {} rules", ROUTES.0));
    }
    for list in [&routes.include, &routes.exclude] {
        for rule in list {
            if !rule.starts_with('/') {
                return wrong(format!("the rule {rule} does not begin with `/`"));
            }
            if rule.chars().count() > ROUTES.1 {
                return wrong(format!("the rule {rule} is longer than {} characters", ROUTES.1));
            }
            let covers = |other: &&String| *other != rule && other.strip_suffix('*').is_some_and(|start| rule.starts_with(start));
            if let Some(other) = list.iter().find(covers) {
                return wrong(format!("the rule {rule} is covered by {other}"));
            }
        }
    }
    Ok(())
}

/// Returns the lines that say something, with their numbers from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}
