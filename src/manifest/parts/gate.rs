//! Reads gates, and the services that run beside them.

use std::path::PathBuf;
use std::time::Duration;

use crate::id::Name;
use crate::manifest::fault::{Code, Fault};
use crate::manifest::keys;
use crate::manifest::reader::{From, PathUse, Pointed, Reader};
use crate::manifest::scalar;
use crate::manifest::shape::{Gate, Run, Service};
use crate::manifest::tree::{Key, Kind, Node};

/// The longest time-out of a gate.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a gate may be tried again.
const MOST_RETRIES: u32 = 10;

/// Returns the gate that `key` names.
pub(in crate::manifest) fn gate(reader: &mut Reader, name: &Name, key: &Key, node: &Node) -> Option<Gate> {
    let short = matches!(node.kind, Kind::Text { .. } | Kind::List(_));
    let run = if short { Some(node) } else { None };
    if let Some(node) = run {
        return Some(plain(command(reader, node)?));
    }
    let fields = reader.fields(node, &key.span, &keys::GATE)?;
    let from = From { section: "gates", name: name.to_string(), environment: None };
    let run = fields.get("run").and_then(|node| command(reader, node));
    let gate = Gate {
        needs: reader.references(fields.get("needs"), Pointed::Gate, &from),
        directory: fields.get("directory").and_then(|node| directory(reader, node)),
        timeout: fields.get("timeout").and_then(|node| reader.duration(node, LONGEST_TIMEOUT)).unwrap_or(Gate::DEFAULT_TIMEOUT),
        retries: fields.get("retries").and_then(|node| reader.number(node, 0..=MOST_RETRIES)).unwrap_or(0),
        variables: reader.variable_names(fields.get("variables")),
        env: reader.texts(fields.get("env"), |reader, key| reader.is_variable(&key.text, &key.span)),
        inputs: reader.globs(fields.get("inputs")),
        except: reader.globs(fields.get("except")),
        outputs: reader.globs(fields.get("outputs")),
        report: fields.get("report").and_then(|node| reader.parsed(node, "the path of a report", scalar::glob)),
        services: reader.references(fields.get("services"), Pointed::Service, &from),
        run: Run::Words(Vec::new()),
    };
    if let Some((own, _)) = fields.entry("env")
        && let Some(variable) = gate.variables.iter().find(|variable| gate.env.contains_key(*variable))
    {
        let message = format!("`{variable}` comes from the environment's `variables`, and `env` sets it too");
        reader.fault(Fault::new(Code::Conflict, &own.span, message).suggest("keep one of them"));
    }
    Some(Gate { run: run?, ..gate })
}

fn plain(run: Run) -> Gate {
    Gate {
        run,
        needs: Vec::new(),
        directory: None,
        timeout: Gate::DEFAULT_TIMEOUT,
        retries: 0,
        variables: Vec::new(),
        env: indexmap::IndexMap::new(),
        inputs: Vec::new(),
        except: Vec::new(),
        outputs: Vec::new(),
        report: None,
        services: Vec::new(),
    }
}

/// Returns the command: a text, or a list of words that no shell reads.
fn command(reader: &mut Reader, node: &Node) -> Option<Run> {
    if let Kind::List(items) = &node.kind {
        let words: Vec<String> =
            items.iter().filter_map(|item| reader.scalar(item, "a word of the command").map(|(word, _)| word.to_owned())).collect();
        if words.first().is_none_or(String::is_empty) {
            reader.fault(
                Fault::new(Code::BadValue, &node.span, "the command has no words").suggest("begin with the program: `[cargo, test]`"),
            );
            return None;
        }
        return (words.len() == items.len()).then_some(Run::Words(words));
    }
    reader.text(node, "a command").map(|text| scalar::run(text.trim()))
}

fn directory(reader: &mut Reader, node: &Node) -> Option<PathBuf> {
    let path = reader.path(node, "a directory")?;
    reader.paths.push(PathUse {
        path: path.clone(),
        directory: true,
        span: node.span.clone(),
        what: "the gate's directory".to_owned(),
        suggestion: None,
    });
    Some(PathBuf::from(path))
}

/// Returns the service that `key` names.
pub(in crate::manifest) fn service(reader: &mut Reader, key: &Key, node: &Node) -> Option<Service> {
    let fields = reader.fields(node, &key.span, &keys::SERVICE)?;
    let image = fields.get("image").and_then(|node| reader.text(node, "the name of an image"));
    let port = fields.get("port").and_then(|node| reader.number(node, 1..=u32::from(u16::MAX)));
    let provides = fields.get("provides").and_then(|node| reader.variable_name(node));
    Some(Service { image: image?, port: u16::try_from(port?).ok()?, provides: provides? })
}
