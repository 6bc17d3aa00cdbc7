//! Reads targets.

use std::path::PathBuf;
use std::time::Duration;

use super::{check, exactly_one, exclude};
use crate::id::Name;
use crate::manifest::fault::{Code, Fault};
use crate::manifest::files::{Link, Surroundings};
use crate::manifest::keys;
use crate::manifest::reader::{Fields, From, PathUse, Pointed, Reader, closest};
use crate::manifest::scalar;
use crate::manifest::shape::{
    Dns, FlyStrategy, FlyTarget, Migration, NotFound, PagesSource, PagesTarget, RenderTarget, Target, TargetPlatform, VercelSource,
    VercelTarget, WorkerTarget,
};
use crate::manifest::tree::{Key, Kind, Node};

/// What a target is read with.
#[derive(Debug)]
pub(in crate::manifest) struct Around<'a> {
    /// The files beside the manifest.
    pub(in crate::manifest) files: &'a Surroundings,
    /// Every gate, which a target needs where it does not say.
    pub(in crate::manifest) gates: &'a [Name],
    /// The environment whose overrides are merged into the target.
    pub(in crate::manifest) environment: Option<&'a Name>,
}

/// Returns the target that `key` names.
pub(in crate::manifest) fn target(reader: &mut Reader, around: &Around<'_>, name: &Name, key: &Key, node: &Node) -> Option<Target> {
    let fields = reader.fields(node, &key.span, &keys::TARGET)?;
    let from = From { section: "targets", name: name.to_string(), environment: around.environment.map(ToString::to_string) };
    let image = fields.get("image").and_then(|node| reader.reference(node, Pointed::Image, &from));
    let platform = platform(reader, around, &fields, image);
    let after = reader.references(fields.get("after"), Pointed::Target, &from);
    let needs = fields.get("needs").map(|node| reader.references(Some(node), Pointed::Gate, &from));
    let (secrets, compatible_secrets) = secrets(reader, fields.get("secrets"));
    let variables = reader.variable_names(fields.get("variables"));
    if let (Some((own, _)), None) = (fields.entry("variables"), fields.get("fly")) {
        let fault = Fault::new(Code::Conflict, &own.span, "a target on this platform gets no variables when it runs");
        reader.fault(fault.suggest("what a site needs is built into it: name them at the gate that builds it"));
    }
    let verify = check::checks(reader, fields.get("verify"));
    let url = fields.get("url").and_then(|node| reader.parsed(node, "a public address", scalar::address));
    let dns = fields.get("dns").and_then(|node| dns(reader, &fields, node));
    let migration = fields.get("migration").and_then(|node| migration(reader, &fields, node));
    let needs = needs.unwrap_or_else(|| around.gates.to_vec());
    Some(Target { platform: platform?, after, needs, secrets, compatible_secrets, variables, verify, migration, url, dns })
}

/// How old a newest snapshot may be at most: a year.
const LONGEST_RPO: Duration = Duration::from_hours(8760);

fn migration(reader: &mut Reader, target: &Fields<'_>, node: &Node) -> Option<Migration> {
    if let (Some((own, _)), None) = (target.entry("migration"), target.get("fly")) {
        let fault = Fault::new(Code::Conflict, &own.span, "a target on this platform runs no migration");
        reader.fault(fault.suggest("only a Fly target has one: the `release_command` of its fly.toml"));
        return None;
    }
    if matches!(node.kind, Kind::Text { .. }) {
        let database = reader.text(node, "the app that has the database")?;
        return Some(Migration { database: Some(database), ..Migration::default() });
    }
    let fields = reader.fields(node, &target.at, &keys::MIGRATION)?;
    let database = fields.get("database").and_then(|node| reader.text(node, "the app that has the database"));
    let volumes = fields
        .get("volumes")
        .map_or_else(Vec::new, |node| reader.list(node, "the id of a volume", |reader, item| reader.text(item, "the id of a volume")));
    let rpo = fields.get("rpo").and_then(|node| reader.duration(node, LONGEST_RPO));
    let breaking = fields.get("breaking").and_then(|node| reader.flag(node)).unwrap_or(false);
    for key in ["volumes", "rpo"] {
        if let (Some((own, _)), None) = (fields.entry(key), fields.get("database")) {
            let fault = Fault::new(Code::Conflict, &own.span, format!("`{key}` says something of a database, and none is named"));
            reader.fault(fault.suggest("add `database: APP`, the app that has it"));
        }
    }
    Some(Migration { database, volumes, rpo, breaking })
}

/// Returns the hostnames of a target, and what may be done about them.
fn dns(reader: &mut Reader, target: &Fields<'_>, node: &Node) -> Option<Dns> {
    let node = platform_as_map("dns", node);
    let fields = reader.fields(&node, &target.at, &keys::DNS)?;
    let hosts = fields
        .get("hosts")
        .map_or_else(Vec::new, |node| reader.list(node, "a hostname", |reader, item| reader.parsed(item, "a hostname", scalar::hostname)));
    if let Some((own, _)) = fields.entry("hosts").filter(|(_, node)| matches!(&node.kind, Kind::List(items) if items.is_empty())) {
        let fault = Fault::new(Code::BadValue, &own.span, "no hostname is named");
        reader.fault(fault.suggest("name one, or take `dns` out"));
    }
    if fields.entry("hosts").is_none() {
        reader.fault(Fault::new(Code::MissingKey, &node.span, "`dns` names no hostname").suggest("add `hosts: [NAME]`"));
    }
    let flag = |reader: &mut Reader, key: &str, usual: bool| fields.get(key).and_then(|node| reader.flag(node)).unwrap_or(usual);
    let (manage, purge) = (flag(reader, "manage", false), flag(reader, "purge", true));
    (!hosts.is_empty()).then_some(Dns { hosts, manage, purge })
}

/// Returns the names of secrets, and those of them that are called compatible.
fn secrets(reader: &mut Reader, node: Option<&Node>) -> (Vec<String>, Vec<String>) {
    let one = |reader: &mut Reader, node: &Node| {
        if !matches!(node.kind, Kind::Map(_)) {
            return Some((reader.variable_name(node)?, false));
        }
        let fields = reader.fields(node, &node.span, &keys::SECRET)?;
        let compatible = fields.get("compatible").and_then(|node| reader.flag(node)).unwrap_or(false);
        Some((reader.variable_name(fields.get("name")?)?, compatible))
    };
    let all = node.map_or_else(Vec::new, |node| reader.list(node, "the name of a secret, or a map with it", one));
    let compatible = all.iter().filter(|(_, compatible)| *compatible).map(|(name, _)| name.clone()).collect();
    (all.into_iter().map(|(name, _)| name).collect(), compatible)
}

/// Returns `override_node` laid over the target `base`: maps are merged, lists and scalars replaced, short forms are maps.
pub(in crate::manifest) fn overridden(base: &Node, override_node: &Node) -> Node {
    merged(base, override_node, "")
}

fn merged(base: &Node, over: &Node, key: &str) -> Node {
    let short = ["fly", "vercel", "pages", "worker", "render", "migration", "dns"].contains(&key);
    let long = |node: &Node| if short { platform_as_map(key, node) } else { node.clone() };
    let (base, over) = (long(base), long(over));
    let (Kind::Map(old), Kind::Map(new)) = (&base.kind, &over.kind) else { return over };
    let mut entries = old.clone();
    for (own, value) in new {
        match entries.iter_mut().find(|(other, _)| other.text == own.text) {
            Some((place, old)) => (*old, *place) = (merged(old, value, &own.text), own.clone()),
            None => entries.push((own.clone(), value.clone())),
        }
    }
    Node { span: over.span.clone(), kind: Kind::Map(entries) }
}

/// Returns the long form of what a target says of its platform.
fn platform_as_map(platform: &str, node: &Node) -> Node {
    let text = match &node.kind {
        Kind::Text { text, .. } => text,
        // Only hostnames have a list as their short form.
        Kind::List(_) if platform == "dns" => "",
        _ => return node.clone(),
    };
    let key = match platform {
        "dns" => "hosts",
        "worker" => "name",
        "fly" => "config",
        "migration" => "database",
        "vercel" if is_directory(text) => "link",
        "vercel" | "pages" => "project",
        _ => "service",
    };
    let key = Key { text: key.to_owned(), span: node.span.clone() };
    Node { span: node.span.clone(), kind: Kind::Map(vec![(key, node.clone())]) }
}

/// Returns whether the short form of a Vercel target is a path, and no name of a project.
fn is_directory(text: &str) -> bool {
    text.starts_with('.') || text.contains('/')
}

fn platform(reader: &mut Reader, around: &Around<'_>, fields: &Fields<'_>, image: Option<Name>) -> Option<TargetPlatform> {
    let (kind, node) = exactly_one(reader, fields, keys::TARGET.what, &["fly", "vercel", "pages", "worker", "render"])?;
    let node = platform_as_map(kind, node);
    let ships_files = ["vercel", "pages", "worker"].contains(&kind);
    let foreign: &[&str] = if ships_files { &["image"] } else { &["dir"] };
    for key in foreign {
        if let (Some((own, _)), Some((ours, _))) = (fields.entry(key), fields.entry(kind)) {
            let fault = Fault::new(Code::Conflict, &own.span, format!("a target on this platform has no `{key}`"));
            let hint = match kind {
                "vercel" => "a Vercel target ships a directory, `dir`",
                "pages" => "a Pages target ships a directory, `dir`",
                "worker" => "a worker target ships a directory, `dir`",
                _ => "only a Vercel, Pages or worker target ships a directory",
            };
            reader.fault(fault.related(&ours.span, "because of this").suggest(hint));
        }
    }
    match kind {
        "fly" => {
            let has_image = fields.get("image").is_some();
            fly(reader, around, &node, &fields.at, image, has_image).map(TargetPlatform::Fly)
        }
        "vercel" => vercel(reader, around, &node, fields).map(TargetPlatform::Vercel),
        "pages" => pages(reader, &node, fields).map(TargetPlatform::Pages),
        "worker" => worker(reader, &node, fields).map(TargetPlatform::Worker),
        _ => {
            let own = reader.fields(&node, &fields.at, &keys::RENDER)?;
            let service = own.get("service").and_then(|node| reader.text(node, "the id of a service"))?;
            Some(TargetPlatform::Render(RenderTarget { service, image }))
        }
    }
}

fn fly(
    reader: &mut Reader,
    around: &Around<'_>,
    node: &Node,
    at: &std::ops::Range<usize>,
    image: Option<Name>,
    has_image: bool,
) -> Option<FlyTarget> {
    let fields = reader.fields(node, at, &keys::FLY)?;
    let app = fields.get("app").and_then(|node| reader.text(node, "the name of an app"));
    let strategy = fields.get("strategy").and_then(|node| strategy(reader, node));
    let keep_previous = fields.get("keep_previous").and_then(|node| reader.duration(node, FlyTarget::LONGEST_KEPT));
    let place = fields.get("config").map_or_else(|| at.clone(), |node| node.span.clone());
    let config = match fields.get("config") {
        None => "fly.toml".to_owned(),
        Some(node) => {
            let path = reader.path(node, "the path of a fly.toml")?;
            match path.as_str() {
                "." => "fly.toml".to_owned(),
                file if has_extension(file, "toml") => path,
                directory => format!("{directory}/fly.toml"),
            }
        }
    };
    let suggestion = "`fly` is the path of a fly.toml; an app is named by `fly: { app: NAME }`".to_owned();
    let what = "the file".to_owned();
    reader.paths.push(PathUse { path: config.clone(), directory: false, span: place.clone(), what, suggestion: Some(suggestion) });
    match around.files.fly_config(&config) {
        Ok(None) => {}
        Ok(Some(said)) => {
            if app.is_none() && !said.names_app {
                let fault = Fault::new(Code::BadFile, &place, format!("`{config}` names no app"));
                reader.fault(fault.suggest("add `app = \"NAME\"` to it, or write `fly: { app: NAME }`"));
            }
            if !has_image && !said.names_image {
                let fault = Fault::new(Code::MissingKey, at, format!("the target has no image, and `{config}` names none"));
                reader.fault(fault.suggest("add `image: NAME` with one of the manifest's images"));
            }
        }
        Err(wrong) => reader.fault(Fault::new(Code::BadFile, &place, wrong)),
    }
    let workers_first = fields.get("workers").is_some_and(|node| workers_first(reader, node));
    Some(FlyTarget { config: PathBuf::from(config), app, image, strategy, workers_first, keep_previous })
}

fn has_extension(path: &str, wanted: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == wanted)
}

fn strategy(reader: &mut Reader, node: &Node) -> Option<FlyStrategy> {
    let text = reader.text(node, "a strategy")?;
    let known = FlyStrategy::ALL.into_iter().find(|strategy| strategy.as_str() == text);
    if known.is_none() {
        let words = FlyStrategy::ALL.map(FlyStrategy::as_str);
        let fault = Fault::new(Code::BadValue, &node.span, format!("`{}` is not a strategy", scalar::shown(&text)));
        reader.fault(fault.suggest(closest(&text, words.into_iter()).unwrap_or_else(|| format!("write one of {}", words.join(", ")))));
    }
    known
}

fn workers_first(reader: &mut Reader, node: &Node) -> bool {
    match reader.text(node, "a turn").as_deref() {
        Some("first") => true,
        Some("last") | None => false,
        Some(other) => {
            let fault = Fault::new(Code::BadValue, &node.span, format!("`{}` is no turn", scalar::shown(other)));
            reader.fault(fault.suggest("write `first` or `last`"));
            false
        }
    }
}

fn vercel(reader: &mut Reader, around: &Around<'_>, node: &Node, target: &Fields<'_>) -> Option<VercelTarget> {
    let fields = reader.fields(node, &target.at, &keys::VERCEL)?;
    let project = fields.get("project").map(|node| reader.text(node, "the name or id of a project"));
    let team = fields.get("team").and_then(|node| reader.text(node, "the id or slug of a team"));
    let link = fields.get("link").map(|node| reader.path(node, "the path of a linked directory"));
    let dir = target.get("dir").map(|node| (reader.path(node, "the path of a directory"), node.span.clone()));
    let source = source(reader, &fields, target, dir.as_ref(), link.as_ref());
    let place = fields.get("link").map_or_else(|| target.at.clone(), |node| node.span.clone());
    let directory = match (&link, &dir) {
        (Some(link), _) => link.clone()?,
        (None, Some((Some(dir), _))) => dir.clone(),
        (None, _) => ".".to_owned(),
    };
    let found = around.files.vercel_link(&directory, project.as_ref().and_then(Option::as_deref));
    let found: Option<Link> = match found {
        Ok(found) => found,
        Err(wrong) => {
            reader.fault(Fault::new(Code::BadFile, &place, wrong));
            return None;
        }
    };
    let project = match (project, &found) {
        (Some(written), _) => written,
        (None, Some(link)) => Some(link.project.clone()),
        (None, None) => {
            let fault = Fault::new(Code::MissingKey, &place, "the target names no Vercel project, and no link file does");
            reader.fault(fault.suggest("write `vercel: NAME`, or add `.vercel/project.json` with `vercel link`"));
            None
        }
    };
    let alias = fields.get("alias").and_then(|node| reader.parsed(node, "the beginning of a hostname", scalar::label));
    let archive_above = fields.get("archive_above").and_then(|node| reader.number(node, 0..=VercelTarget::MOST_ENTRIES));
    let team = team.or_else(|| found.and_then(|link| link.team));
    Some(VercelTarget { project: project?, team, source: source?, alias, archive_above })
}

fn pages(reader: &mut Reader, node: &Node, target: &Fields<'_>) -> Option<PagesTarget> {
    let fields = reader.fields(node, &target.at, &keys::PAGES)?;
    let project = fields.get("project").and_then(|node| reader.text(node, "the name of a project"));
    let account = fields.get("account").and_then(|node| reader.text(node, "the id of an account"));
    let subdomain = fields.get("subdomain").and_then(|node| reader.parsed(node, "a name on pages.dev", scalar::label));
    let dotfiles = reader.globs(fields.get("dotfiles"));
    let source = pages_source(reader, &fields, target)?;
    Some(PagesTarget { project: project?, account, subdomain, source, dotfiles })
}

/// Returns what the target publishes: one of `dir`, `git` and `hook`.
fn pages_source(reader: &mut Reader, fields: &Fields<'_>, target: &Fields<'_>) -> Option<PagesSource> {
    let git = match fields.get("git") {
        Some(node) => reader.flag(node)?,
        None => false,
    };
    let hook = fields.entry("hook");
    let places = [("dir", target.entry("dir")), ("git", fields.entry("git").filter(|_| git)), ("hook", hook)];
    let written: Vec<(&str, &Key)> = places.into_iter().filter_map(|(word, entry)| entry.map(|(key, _)| (word, key))).collect();
    if let [first, second, ..] = written.as_slice() {
        exclude(reader, "a Pages target", (first.0, &first.1.span), (second.0, &second.1.span));
        return None;
    }
    if git {
        return Some(PagesSource::Git);
    }
    if let Some((_, node)) = hook {
        return Some(PagesSource::Hook { secret_name: reader.variable_name(node)? });
    }
    published(reader, target).map(PagesSource::Directory)
}

fn worker(reader: &mut Reader, node: &Node, target: &Fields<'_>) -> Option<WorkerTarget> {
    let fields = reader.fields(node, &target.at, &keys::WORKER)?;
    let name = fields.get("name").and_then(|node| reader.text(node, "the name of a worker"));
    let account = fields.get("account").and_then(|node| reader.text(node, "the id of an account"));
    let subdomain = fields.get("subdomain").and_then(|node| reader.parsed(node, "a name on workers.dev", scalar::label));
    let dotfiles = reader.globs(fields.get("dotfiles"));
    let not_found = fields.get("not_found").and_then(|node| not_found(reader, node)).unwrap_or_default();
    let directory = published(reader, target)?;
    Some(WorkerTarget { name: name?, account, subdomain, directory, dotfiles, not_found })
}

fn not_found(reader: &mut Reader, node: &Node) -> Option<NotFound> {
    let text = reader.text(node, "what a path gets that no file has")?;
    let known = NotFound::ALL.into_iter().find(|way| way.as_str() == text);
    if known.is_none() {
        let words = NotFound::ALL.map(NotFound::as_str);
        let fault = Fault::new(Code::BadValue, &node.span, format!("`{}` is no answer for a path without a file", scalar::shown(&text)));
        reader.fault(fault.suggest(closest(&text, words.into_iter()).unwrap_or_else(|| format!("write one of {}", words.join(", ")))));
    }
    known
}

/// Returns the directory that a target publishes.
fn published(reader: &mut Reader, target: &Fields<'_>) -> Option<PathBuf> {
    let Some(node) = target.get("dir") else {
        let fault = Fault::new(Code::MissingKey, &target.at, "the target does not say what it deploys");
        reader.fault(fault.suggest("add `dir: PATH`, the directory that is published"));
        return None;
    };
    let path = reader.path(node, "the path of a directory")?;
    let suggestion = Some("add it, or name it among the `outputs` of the gate that makes it".to_owned());
    let what = "the directory to ship,".to_owned();
    reader.paths.push(PathUse { path: path.clone(), directory: true, span: node.span.clone(), what, suggestion });
    Some(PathBuf::from(path))
}

/// Returns what the target deploys: one of `dir`, `git` and `hook`, or the linked directory.
fn source(
    reader: &mut Reader,
    fields: &Fields<'_>,
    target: &Fields<'_>,
    dir: Option<&(Option<String>, std::ops::Range<usize>)>,
    link: Option<&Option<String>>,
) -> Option<VercelSource> {
    let git = fields.entry("git").filter(|(_, node)| !matches!(&node.kind, Kind::Text { text, plain: true } if text == "false"));
    let hook = fields.entry("hook");
    let places = [("dir", target.entry("dir")), ("git", git), ("hook", hook)];
    let written: Vec<(&str, &Key)> = places.into_iter().filter_map(|(word, entry)| entry.map(|(key, _)| (word, key))).collect();
    if let [first, second, ..] = written.as_slice() {
        exclude(reader, "a Vercel target", (first.0, &first.1.span), (second.0, &second.1.span));
        return None;
    }
    if let Some((_, node)) = git {
        let own = matches!(&node.kind, Kind::Text { text, plain: true } if text == "true");
        let branch = if own { None } else { Some(reader.parsed(node, "a branch, or `true`", scalar::branch)?) };
        return Some(VercelSource::Git { branch });
    }
    if let Some((_, node)) = hook {
        return Some(VercelSource::Hook { secret_name: reader.variable_name(node)? });
    }
    if let Some((path, span)) = dir {
        let path = path.clone()?;
        let suggestion = Some("add it, or name it among the `outputs` of the gate that makes it".to_owned());
        let what = "the directory to ship,".to_owned();
        reader.paths.push(PathUse { path: path.clone(), directory: true, span: span.clone(), what, suggestion });
        return Some(VercelSource::Directory(PathBuf::from(path)));
    }
    if let Some(link) = link {
        // Only a prebuilt output: the plain files of a linked directory, perhaps the whole repository, were never meant to be a site.
        let link = link.clone()?;
        let output = if link == "." { ".vercel/output".to_owned() } else { format!("{link}/.vercel/output") };
        let suggestion = Some(format!("name `{output}/` among the `outputs` of the gate that makes it, or add `dir: PATH`"));
        let span = fields.get("link").map_or_else(|| target.at.clone(), |node| node.span.clone());
        reader.paths.push(PathUse { path: output, directory: true, span, what: "the prebuilt output".to_owned(), suggestion });
        return Some(VercelSource::Directory(PathBuf::from(link)));
    }
    let fault = Fault::new(Code::MissingKey, &target.at, "the target does not say what it deploys");
    reader.fault(fault.suggest("add `dir: PATH`, `vercel: { git: true }` or `vercel: { hook: VARIABLE }`"));
    None
}
