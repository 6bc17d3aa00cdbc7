//! Reads the manifest as a whole, and judges what only the whole can show: dangling names, circles, claims, things that nothing uses.

use std::collections::HashSet;
use std::ops::Range;

use indexmap::IndexMap;

use super::fault::{Code, Fault};
use super::files::{self, Surroundings};
use super::keys;
use super::parts::{environment, gate, image, target};
use super::reader::{Fields, Pointed, Reader, Reference, closest, listed};
use super::scalar;
use super::shape::{Environment, Manifest};
use super::tree::{Key, Kind, Node};
use crate::graph;
use crate::id::Name;

/// The most gates that a manifest may have.
pub(super) const MOST_GATES: usize = 200;
/// The most services, images, targets or environments that a manifest may have.
pub(super) const MOST_OTHERS: usize = 100;

/// How many dangling names get a suggestion; finding the nearest name costs time that a hostile manifest could multiply.
const MOST_SUGGESTIONS: usize = 100;

/// What came out of reading a manifest.
#[derive(Debug)]
pub(super) struct Read {
    /// The manifest, to be used only when there are no faults.
    pub(super) manifest: Option<Manifest>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

/// Returns the manifest whose tree is `root`, with everything that is wrong with it.
pub(super) fn read(root: &Node, surroundings: &Surroundings) -> Read {
    let mut reader = Reader::default();
    let mut warnings = Vec::new();
    let manifest = parts(&mut reader, root, surroundings).map(|(manifest, fields)| {
        // Beyond the limits nothing is compared with everything: the time for that grows with the square.
        if !reader.faults.iter().any(|fault| fault.code == Code::TooMany) {
            judge(&mut reader, &manifest, &fields);
        }
        if let Some(root) = &surroundings.root {
            let missing = files::missing(root, &reader.paths, &manifest.gates.values().collect::<Vec<_>>());
            reader.faults.extend(missing);
        }
        // Beside faults they would be noise: what could not be read points at nothing.
        if reader.faults.is_empty() {
            warnings = unused(&reader, &manifest, &fields);
        }
        manifest
    });
    Read { manifest, faults: reader.faults, warnings }
}

fn parts<'n>(reader: &mut Reader, root: &'n Node, files: &Surroundings) -> Option<(Manifest, Fields<'n>)> {
    if !version(reader, root) {
        return None;
    }
    let fields = reader.fields(root, &start_of(root), &keys::MANIFEST)?;
    let product = fields.get("product").and_then(|node| {
        let text = reader.text(node, "the product's name")?;
        reader.name_from(&text, &node.span)
    });
    for (section, most) in
        [("gates", MOST_GATES), ("services", MOST_OTHERS), ("images", MOST_OTHERS), ("targets", MOST_OTHERS), ("environments", MOST_OTHERS)]
    {
        if let Some((key, _)) = entries(&fields, section).get(most) {
            reader.fault(Fault::new(Code::TooMany, &key.span, format!("the manifest has more than {most} {section}")));
        }
    }
    let section = |name: &str| fields.get(name).cloned().unwrap_or(Node { span: 0..0, kind: Kind::Map(Vec::new()) });
    let (gates, services, images, targets, environments) =
        (section("gates"), section("services"), section("images"), section("targets"), section("environments"));
    let gates = reader.named(&gates, "gate", gate::gate);
    let services = reader.named(&services, "service", |reader, _, key, node| gate::service(reader, key, node));
    let images = reader.named(&images, "image", image::image);
    let gate_names: Vec<Name> = entries(&fields, "gates").iter().filter_map(|(key, _)| Name::parse(&key.text)).collect();
    let around = target::Around { files, gates: &gate_names, environment: None };
    let targets = reader.named(&targets, "target", |reader, name, key, node| target::target(reader, &around, name, key, node));
    let others = environment::Others { files, gates: &gate_names, targets: &targets, written: entries(&fields, "targets") };
    let environments =
        reader.named(&environments, "environment", |reader, name, key, node| environment::environment(reader, &others, name, key, node));
    // A product that could not be read was reported; the rest is still worth judging.
    let product = product.or_else(|| Name::parse("unnamed"))?;
    Some((Manifest { product, gates, services, images, targets, environments }, fields))
}

/// Returns where the manifest begins, for faults about what it lacks.
fn start_of(root: &Node) -> Range<usize> {
    match &root.kind {
        Kind::Map(entries) => entries.first().map_or(root.span.clone(), |(key, _)| key.span.clone()),
        _ => root.span.clone(),
    }
}

/// Returns whether the manifest may be of the version that is read here. Of another one no key is known, so nothing else is judged.
fn version(reader: &mut Reader, root: &Node) -> bool {
    let Kind::Map(entries) = &root.kind else { return true };
    let Some((_, node)) = entries.iter().find(|(key, _)| key.text == "version") else { return true };
    match reader.scalar(node, "the number 1") {
        Some(("1", _)) => true,
        Some((other, _)) => {
            let fault = Fault::new(Code::UnknownVersion, &node.span, format!("version `{}` is not known", scalar::shown(other)));
            reader.fault(fault.suggest("this cutover reads `version: 1`"));
            false
        }
        None => true,
    }
}

fn entries<'n>(fields: &Fields<'n>, section: &str) -> &'n [(Key, Node)] {
    match fields.get(section).map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries,
        _ => &[],
    }
}

fn judge(reader: &mut Reader, manifest: &Manifest, fields: &Fields<'_>) {
    dangling(reader, fields);
    let gates = manifest.gates.iter().map(|(name, gate)| (name.clone(), gate.needs.clone())).collect();
    circles(reader, &gates, "gates", None);
    let targets = manifest.targets.iter().map(|(name, target)| (name.clone(), target.after.clone())).collect();
    circles(reader, &targets, "targets", None);
    for (name, environment) in &manifest.environments {
        outside(reader, manifest, name, environment);
        if !environment.overridden.is_empty()
            && let Some(own) = manifest.in_environment(name)
        {
            let targets = own.targets.iter().map(|(name, target)| (name.clone(), target.after.clone())).collect();
            circles(reader, &targets, "targets", Some(name));
        }
    }
    claims(reader, manifest, fields);
    hostnames(reader, manifest, fields);
    unset(reader, manifest, fields);
}

/// Reports variables that an app is to get and that one of its environments does not have, at the target's name.
fn unset(reader: &mut Reader, manifest: &Manifest, fields: &Fields<'_>) {
    for (name, environment) in &manifest.environments {
        let Some(own) = manifest.in_environment(name) else { continue };
        for (target, settings) in &own.targets {
            let missing = settings.variables.iter().find(|variable| !environment.variables.contains_key(*variable));
            let place = entries(fields, "targets").iter().find(|(key, _)| key.text == target.as_str());
            if let (Some(variable), Some((key, _))) = (missing, place) {
                let text = format!("`{target}` is to get the variable `{variable}`, which `{name}` does not have");
                reader.fault(
                    Fault::new(Code::OutsideEnvironment, &key.span, text)
                        .suggest(format!("add `{variable}` to the `variables` of `{name}`")),
                );
            }
        }
    }
}

/// Reports hostnames that two targets of one environment claim, at the later one's name: a hostname leads to one of them.
fn hostnames(reader: &mut Reader, manifest: &Manifest, fields: &Fields<'_>) {
    let place = |name: &Name| entries(fields, "targets").iter().find(|(key, _)| key.text == name.as_str()).map(|(key, _)| key.span.clone());
    let mut told: HashSet<String> = HashSet::new();
    for environment in manifest.environments.keys() {
        let Some(own) = manifest.in_environment(environment) else { continue };
        let mut first: IndexMap<&str, &Name> = IndexMap::new();
        let all = own
            .targets
            .iter()
            .flat_map(|(name, target)| target.dns.iter().flat_map(move |dns| dns.hosts.iter().map(move |host| (host, name))));
        for (host, name) in all {
            let Some(other) = first.insert(host, name) else { continue };
            if told.insert(host.clone())
                && let Some(span) = place(name)
            {
                let text = format!("`{other}` and `{name}` both claim the hostname `{host}` in `{environment}`");
                reader.fault(Fault::new(Code::ClaimedTwice, &span, text).suggest("let one target have it"));
            }
        }
    }
}

/// Reports names that point at nothing. A thing that is written but could not be read counts as being there.
fn dangling(reader: &mut Reader, fields: &Fields<'_>) {
    let mut found = Vec::new();
    for reference in &reader.references {
        let (section, code) = match reference.to {
            Pointed::Gate => ("gates", Code::UnknownGate),
            Pointed::Service => ("services", Code::UnknownService),
            Pointed::Image => ("images", Code::UnknownImage),
            Pointed::Target => ("targets", Code::UnknownTarget),
        };
        let known = entries(fields, section).iter().map(|(key, _)| key.text.as_str());
        if known.clone().any(|known| known == reference.name.as_str()) {
            continue;
        }
        let word = reference.to.word();
        let fault = Fault::new(code, &reference.span, format!("there is no {word} `{}`", reference.name));
        let all = || {
            if known.clone().next().is_none() {
                format!("the manifest has no {section}")
            } else {
                format!("{section}: {}", listed(known.clone()))
            }
        };
        let near = if found.len() < MOST_SUGGESTIONS { closest(reference.name.as_str(), known.clone()) } else { None };
        found.push(fault.suggest(near.unwrap_or_else(all)));
    }
    reader.faults.extend(found);
}

/// Reports circles, each at the name that closes it; one that only an environment's overrides close, at a name of theirs.
fn circles(reader: &mut Reader, needs: &IndexMap<Name, Vec<Name>>, section: &'static str, environment: Option<&Name>) {
    let to = if section == "gates" { Pointed::Gate } else { Pointed::Target };
    for cycle in graph::cycles(needs) {
        let arrow = |from: &Name, name: &Name| {
            reader.references.iter().rev().find(|reference| {
                let own = &reference.from;
                let here = own.environment.is_none() || own.environment.as_deref() == environment.map(Name::as_str);
                reference.to == to && reference.name == *name && own.section == section && own.name == from.as_str() && here
            })
        };
        let next = cycle.iter().cycle().skip(1);
        let arrows: Vec<&Reference> = cycle.iter().zip(next).filter_map(|(from, name)| arrow(from, name)).collect();
        let overriding = arrows.iter().find(|reference| reference.from.environment.is_some());
        let Some(span) = overriding.or(arrows.last()).map(|reference| reference.span.clone()) else { continue };
        let fault = Fault::new(Code::Cycle, &span, format!("these {section} wait for each other: {}", graph::path(&cycle)));
        reader.fault(fault.suggest("take one of the arrows out"));
    }
}

/// Reports what points out of an environment.
fn outside(reader: &mut Reader, manifest: &Manifest, name: &Name, environment: &Environment) {
    let has = |target: &Name| environment.targets.contains(target);
    let listed_at: Vec<(Name, Range<usize>, bool)> = reader
        .references
        .iter()
        .filter(|reference| reference.from.section == "environments" && reference.from.name == name.as_str())
        .map(|reference| (reference.name.clone(), reference.span.clone(), has(&reference.name)))
        .collect();
    for (target, span, inside) in &listed_at {
        let known = manifest.targets.contains_key(target);
        if known && !inside {
            let fault = Fault::new(Code::OutsideEnvironment, span, format!("`{name}` has no target `{target}`"));
            reader.fault(fault.suggest(format!("add `{target}` to its `targets`")));
        }
    }
    let Some(own) = manifest.in_environment(name) else { return };
    for (target, settings) in &own.targets {
        for after in settings.after.iter().filter(|after| manifest.targets.contains_key(*after) && !has(after)) {
            let Some((_, span, _)) = listed_at.iter().find(|(listed, ..)| listed == target) else { continue };
            let fault =
                Fault::new(Code::OutsideEnvironment, span, format!("`{target}` comes after `{after}`, which `{name}` does not have"));
            reader.fault(fault.suggest(format!("add `{after}` to its `targets`, or write `overrides: {{ {target}: {{ after: [] }} }}`")));
        }
    }
}

/// Reports branches, and pull requests, that two environments claim.
fn claims(reader: &mut Reader, manifest: &Manifest, fields: &Fields<'_>) {
    let mut first_claims: IndexMap<String, (Name, Range<usize>)> = IndexMap::new();
    for (key, node) in entries(fields, "environments") {
        let Some((name, environment)) = manifest.environments.get_key_value(key.text.as_str()) else { continue };
        let claims = environment.branches.iter().map(|branch| format!("the branch `{branch}`"));
        for claim in claims.chain(environment.pull_request.as_ref().map(|_| "pull requests".to_owned())) {
            let span = claim_place(node, &claim).unwrap_or_else(|| key.span.clone());
            match first_claims.get(&claim) {
                Some((other, place)) => {
                    let whose = if other == name { "twice".to_owned() } else { format!("by `{other}` and by `{name}`") };
                    let fault =
                        Fault::new(Code::ClaimedTwice, &span, format!("{claim} is claimed {whose}").replace("requests is", "requests are"));
                    reader.fault(fault.related(place, "first claimed here").suggest("let one environment have it"));
                }
                None => {
                    first_claims.insert(claim, (name.clone(), span));
                }
            }
        }
    }
}

/// Returns where an environment writes its claim.
fn claim_place(node: &Node, claim: &str) -> Option<Range<usize>> {
    let is_it = |node: &&Node| matches!(&node.kind, Kind::Text { text, .. } if claim == format!("the branch `{text}`"));
    let Kind::Map(entries) = &node.kind else { return Some(node.span.clone()) };
    let value = |name: &str| entries.iter().find(|(key, _)| key.text == name);
    if claim == "pull requests" {
        return value("pull_request").map(|(key, _)| key.span.clone());
    }
    match &value("branch")?.1 {
        Node { kind: Kind::List(items), .. } => items.iter().rev().find(is_it).map(|item| item.span.clone()),
        other => Some(other.span.clone()),
    }
}

/// Returns a warning for each thing that nothing uses.
fn unused(reader: &Reader, manifest: &Manifest, fields: &Fields<'_>) -> Vec<Fault> {
    let pointed: HashSet<(Pointed, &str)> = reader.references.iter().map(|reference| (reference.to, reference.name.as_str())).collect();
    let served: HashSet<&str> = manifest.environments.values().flat_map(|environment| &environment.targets).map(Name::as_str).collect();
    let mut found = Vec::new();
    let mut warn = |key: &Key, word: &str, what: &str| {
        found.push(Fault::new(Code::Unused, &key.span, format!("the {word} `{}` {what}", scalar::shown(&key.text))));
    };
    for (section, to) in [("services", Pointed::Service), ("images", Pointed::Image)] {
        for (key, _) in entries(fields, section).iter().filter(|(key, _)| !pointed.contains(&(to, key.text.as_str()))) {
            warn(key, to.word(), if to == Pointed::Image { "is shipped by no target" } else { "is used by no gate" });
        }
    }
    for (key, _) in entries(fields, "targets").iter().filter(|(key, _)| !served.contains(key.text.as_str())) {
        warn(key, "target", "belongs to no environment, so nothing releases it");
    }
    found
}
