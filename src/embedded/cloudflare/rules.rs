//! `_headers` and `_redirects` as the vendor's edge reads them; lines that it cannot read are passed over (vendor's documentation).

/// How many rules of `_headers` count, of plain redirects, and of others.
const MOST: (usize, usize, usize) = (100, 2_000, 100);

/// What `_headers` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<HeaderRule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct HeaderRule {
    /// Hostname, where the rule is for one only.
    host: Option<String>,
    path: String,
    set: Vec<(String, String)>,
    removed: Vec<String>,
}

impl Headers {
    /// Reads the file.
    pub(super) fn parse(text: &str) -> Self {
        let mut rules: Vec<HeaderRule> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
            let word = line.trim();
            if let Some(rest) = word.strip_prefix("https://") {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                rules.push(HeaderRule { host: Some(host.to_owned()), path: format!("/{path}"), set: Vec::new(), removed: Vec::new() });
            } else if word.starts_with('/') {
                rules.push(HeaderRule { host: None, path: word.to_owned(), set: Vec::new(), removed: Vec::new() });
            } else if let Some(rule) = rules.last_mut() {
                if let Some(name) = word.strip_prefix('!') {
                    rule.removed.push(name.trim().to_lowercase());
                } else if let Some((name, value)) = word.split_once(':') {
                    rule.set.push((name.trim().to_lowercase(), value.trim().to_owned()));
                }
            }
        }
        rules.truncate(MOST.0);
        Self(rules)
    }

    /// Returns the headers for a path: values of several rules are joined, and a removal undoes what earlier rules have set. A name without a
    /// value is removed from what the vendor adds, too.
    pub(super) fn of(&self, host: &str, path: &str) -> Vec<(String, Option<String>)> {
        let mut headers: Vec<(String, Option<String>)> = Vec::new();
        for rule in &self.0 {
            if rule.host.as_deref().is_some_and(|only| !is_host(only, host)) {
                continue;
            }
            let Some(found) = matched(&rule.path, path) else { continue };
            for name in &rule.removed {
                headers.retain(|(known, _)| known != name);
                headers.push((name.clone(), None));
            }
            for (name, value) in &rule.set {
                let value = filled(value, &found);
                match headers.iter_mut().find(|(known, _)| known == name) {
                    Some((_, Some(earlier))) => *earlier = format!("{earlier}, {value}"),
                    Some((_, empty)) => *empty = Some(value),
                    None => headers.push((name.clone(), Some(value))),
                }
            }
        }
        headers
    }
}

/// What `_redirects` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Redirects {
    plain: Vec<(String, String, u16)>,
    dynamic: Vec<(String, String, u16)>,
}

impl Redirects {
    /// Reads the file.
    pub(super) fn parse(text: &str) -> Self {
        let mut redirects = Self::default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (from, to, status) = match words.as_slice() {
                [from, to] => (*from, *to, 302),
                [from, to, status] => match status.parse() {
                    Ok(status @ (200 | 301 | 302 | 303 | 307 | 308)) => (*from, *to, status),
                    _ => continue,
                },
                _ => continue,
            };
            let relative = status != 200 || to.starts_with('/');
            if !from.starts_with('/') || !relative {
                continue;
            }
            let dynamic = from.contains('*') || from.contains("/:");
            let list = if dynamic { &mut redirects.dynamic } else { &mut redirects.plain };
            list.push((from.to_owned(), to.to_owned(), status));
        }
        redirects.plain.truncate(MOST.1);
        redirects.dynamic.truncate(MOST.2);
        redirects
    }

    /// Returns status and goal of the first redirect for a path, plain ones first.
    pub(super) fn matching(&self, path: &str) -> Option<(u16, String)> {
        let plain = self.plain.iter().find(|(from, ..)| from == path).map(|(_, to, status)| (*status, to.clone()));
        plain.or_else(|| self.dynamic.iter().find_map(|(from, to, status)| Some((*status, filled(to, &matched(from, path)?)))))
    }
}

/// Returns whether a hostname is the one that a rule is for: a splat stands for any part of it, a placeholder for one label.
fn is_host(pattern: &str, host: &str) -> bool {
    if let Some((before, after)) = pattern.split_once('*') {
        return host.strip_prefix(before).is_some_and(|rest| rest.ends_with(after));
    }
    let labels = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (wanted, given) = (labels(pattern), labels(host));
    wanted.len() == given.len() && wanted.iter().zip(&given).all(|(wanted, given)| wanted.starts_with(':') || wanted == given)
}

/// Returns what the placeholders of a pattern stand for in a path, `splat` for its `*`; `None` where it does not match.
fn matched(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    if let Some((before, after)) = pattern.split_once('*') {
        // What stands before and after the splat may have placeholders; the splat takes all between.
        let segments = before.matches('/').count();
        let head_end = path.match_indices('/').map(|(at, _)| at + 1).nth(segments.checked_sub(1)?)?;
        let literal = before.rsplit('/').next().unwrap_or_default();
        let mut found = matched(before.strip_suffix(literal)?, path.get(..head_end)?)?;
        let rest = path.get(head_end..)?.strip_prefix(literal)?.strip_suffix(after)?;
        found.push(("splat".to_owned(), rest.to_owned()));
        return Some(found);
    }
    let (wanted, given): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut found = Vec::new();
    for (wanted, given) in wanted.into_iter().zip(given) {
        match wanted.strip_prefix(':') {
            Some(name) if !given.is_empty() => found.push((name.to_owned(), given.to_owned())),
            _ if wanted == given => {}
            _ => return None,
        }
    }
    Some(found)
}

/// Returns `text` with every placeholder replaced, the longest names first.
fn filled(text: &str, found: &[(String, String)]) -> String {
    let mut names: Vec<&(String, String)> = found.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!(":{name}"), value))
}
