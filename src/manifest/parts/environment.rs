//! Reads environments, and lays their overrides over targets.

use std::time::Duration;

use indexmap::IndexMap;

use super::exactly_one;
use super::target::{Around, overridden, target};
use crate::id::Name;
use crate::manifest::fault::{Code, Fault};
use crate::manifest::files::Surroundings;
use crate::manifest::keys;
use crate::manifest::reader::{Fields, From, Pointed, Reader};
use crate::manifest::scalar;
use crate::manifest::shape::{Environment, PullRequests, Target, Variable};
use crate::manifest::tree::{Key, Kind, Node};

/// The longest watch, and the longest skew that can be allowed.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// What environments are read with.
#[derive(Debug)]
pub(in crate::manifest) struct Others<'a> {
    /// The files beside the manifest.
    pub(in crate::manifest) files: &'a Surroundings,
    /// Every gate.
    pub(in crate::manifest) gates: &'a [Name],
    /// Every target that could be read.
    pub(in crate::manifest) targets: &'a IndexMap<Name, Target>,
    /// Every target as it is written.
    pub(in crate::manifest) written: &'a [(Key, Node)],
}

/// Returns the environment that `key` names.
pub(in crate::manifest) fn environment(
    reader: &mut Reader,
    others: &Others<'_>,
    name: &Name,
    key: &Key,
    node: &Node,
) -> Option<Environment> {
    let everything = || others.written.iter().filter_map(|(key, _)| Name::parse(&key.text)).collect();
    if matches!(node.kind, Kind::Text { .. }) {
        let branches = vec![reader.parsed(node, "a branch", scalar::branch)?];
        let watch = Environment::DEFAULT_WATCH;
        let (variables, overridden) = (IndexMap::new(), IndexMap::new());
        return Some(Environment { branches, pull_request: None, targets: everything(), watch, max_skew: None, variables, overridden });
    }
    let fields = reader.fields(node, &key.span, &keys::ENVIRONMENT)?;
    let from = From { section: "environments", name: name.to_string(), environment: Some(name.to_string()) };
    let targets = fields.get("targets").map(|node| reader.references(Some(node), Pointed::Target, &from));
    if let Some((own, _)) = fields.entry("targets").filter(|(_, node)| matches!(&node.kind, Kind::List(items) if items.is_empty())) {
        let fault = Fault::new(Code::BadValue, &own.span, "the environment has no targets");
        reader.fault(fault.suggest("name one, or take `targets` out for every target"));
    }
    let targets = targets.unwrap_or_else(everything);
    let pull_request = fields.get("pull_request").and_then(|node| pull_requests(reader, node, &key.span, &from));
    let mut overridden = overrides(reader, others, &fields, name, &targets);
    if pull_request.is_some() {
        apart(others, &fields, &targets, &mut overridden);
    }
    Some(Environment {
        branches: fields
            .get("branch")
            .map_or_else(Vec::new, |node| reader.list(node, "a branch", |reader, item| reader.parsed(item, "a branch", scalar::branch))),
        pull_request,
        watch: fields.get("watch").and_then(|node| reader.duration(node, LONGEST_WAIT)).unwrap_or(Environment::DEFAULT_WATCH),
        max_skew: fields.get("max_skew").and_then(|node| reader.duration(node, LONGEST_WAIT)),
        variables: variables(reader, &fields, &from),
        overridden,
        targets,
    })
}

/// Returns how the environment previews pull requests; `None` where it does not.
fn pull_requests(reader: &mut Reader, node: &Node, at: &std::ops::Range<usize>, from: &From) -> Option<PullRequests> {
    if matches!(node.kind, Kind::Text { .. }) {
        return reader.flag(node)?.then(PullRequests::default);
    }
    let fields = reader.fields(node, at, &keys::PULL_REQUEST)?;
    let organization = fields.get("organization").and_then(|node| reader.text(node, "an organisation's slug"));
    let memory = fields.get("memory").and_then(|node| reader.parsed(node, "an amount of memory", scalar::memory));
    let mut seeds = IndexMap::new();
    match fields.get("seed").map(|node| (node, &node.kind)) {
        None => {}
        Some((_, Kind::Map(entries))) => {
            for (key, value) in entries {
                let place = Node { span: key.span.clone(), kind: Kind::Text { text: key.text.clone(), plain: true } };
                let target = reader.reference(&place, Pointed::Target, from);
                if let (Some(target), Some(command)) = (target, reader.text(value, "a command")) {
                    seeds.insert(target, command);
                }
            }
        }
        Some((node, _)) => {
            reader.wrong_type::<()>(node, "a map from targets to commands");
        }
    }
    Some(PullRequests { organization, memory_mb: memory, seeds })
}

/// Takes out of the targets what belongs to production unless an override of this environment says it again: secrets, addresses that users know,
/// and the database of which snapshots are taken.
fn apart(others: &Others<'_>, fields: &Fields<'_>, targets: &[Name], overridden: &mut IndexMap<Name, Target>) {
    let written = |target: &Name, setting: &str| {
        let Some(Kind::Map(all)) = fields.get("overrides").map(|node| &node.kind) else { return false };
        let own = all.iter().find(|(key, _)| key.text == target.as_str()).map(|(_, node)| &node.kind);
        matches!(own, Some(Kind::Map(settings)) if settings.iter().any(|(key, _)| key.text == setting))
    };
    for name in targets {
        let Some(mut target) = overridden.get(name).or_else(|| others.targets.get(name)).cloned() else { continue };
        if !written(name, "secrets") {
            (target.secrets, target.compatible_secrets) = (Vec::new(), Vec::new());
        }
        if !written(name, "url") {
            target.url = None;
        }
        (target.migration, target.dns) = (None, None);
        overridden.insert(name.clone(), target);
    }
}

fn variables(reader: &mut Reader, fields: &Fields<'_>, from: &From) -> IndexMap<String, Variable> {
    let mut all = IndexMap::new();
    let Some(node) = fields.get("variables") else { return all };
    let Kind::Map(entries) = &node.kind else {
        reader.wrong_type::<()>(node, "a map of variables");
        return all;
    };
    for (key, value) in entries {
        let good = reader.is_variable(&key.text, &key.span);
        if let Some(variable) = variable(reader, key, value, from)
            && good
        {
            all.insert(key.text.clone(), variable);
        }
    }
    all
}

fn variable(reader: &mut Reader, key: &Key, node: &Node, from: &From) -> Option<Variable> {
    if let Kind::Text { text, .. } = &node.kind {
        return Some(Variable::Text(text.clone()));
    }
    let fields = reader.fields(node, &key.span, &keys::VARIABLE)?;
    let path = fields.get("path").map(|node| reader.parsed(node, "a path", scalar::url_path));
    let (kind, value) = exactly_one(reader, &fields, keys::VARIABLE.what, &["text", "url_of"])?;
    if kind == "text" {
        if let Some((own, _)) = fields.entry("path") {
            reader.fault(Fault::new(Code::Conflict, &own.span, "only `url_of` has a `path`").suggest("write the path into the text"));
        }
        return reader.scalar(value, "a text").map(|(text, _)| Variable::Text(text.to_owned()));
    }
    let target = reader.reference(value, Pointed::Target, from)?;
    Some(Variable::UrlOf { target, path: path.unwrap_or(Some(String::new()))? })
}

fn overrides(
    reader: &mut Reader,
    others: &Others<'_>,
    fields: &Fields<'_>,
    environment: &Name,
    targets: &[Name],
) -> IndexMap<Name, Target> {
    let mut all = IndexMap::new();
    let Some(node) = fields.get("overrides") else { return all };
    let Kind::Map(entries) = &node.kind else {
        reader.wrong_type::<()>(node, "a map with the name of each target");
        return all;
    };
    let around = Around { files: others.files, gates: others.gates, environment: Some(environment) };
    for (key, over) in entries {
        let place = Node { span: key.span.clone(), kind: Kind::Text { text: key.text.clone(), plain: true } };
        let from = From { section: "overrides", name: environment.to_string(), environment: Some(environment.to_string()) };
        let Some(name) = reader.reference(&place, Pointed::Target, &from) else { continue };
        if reader.loose_fields(over, &key.span, &keys::TARGET).is_none() {
            continue;
        }
        let Some((_, base)) = others.written.iter().find(|(own, _)| own.text == key.text) else { continue };
        if !targets.contains(&name) {
            let fault =
                Fault::new(Code::OutsideEnvironment, &key.span, format!("`{environment}` overrides `{name}`, which it does not have"));
            reader.fault(fault.suggest(format!("add `{name}` to its `targets`, or take the override out")));
            continue;
        }
        // A target that could not be read was reported already; its override would only repeat it.
        if others.targets.contains_key(&name)
            && let Some(target) = target(reader, &around, &name, key, &overridden(base, over))
        {
            all.insert(name, target);
        }
    }
    all
}
