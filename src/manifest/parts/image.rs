//! Reads images.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::id::Name;
use crate::manifest::keys;
use crate::manifest::reader::{From, PathUse, Pointed, Reader};
use crate::manifest::scalar;
use crate::manifest::shape::Image;
use crate::manifest::tree::{Key, Kind, Node};

/// Returns the image that `key` names.
pub(in crate::manifest) fn image(reader: &mut Reader, name: &Name, key: &Key, node: &Node) -> Option<Image> {
    if matches!(node.kind, Kind::Text { .. }) {
        let context = context(reader, node)?;
        needs_dockerfile(reader, &context, node);
        return Some(Image {
            context: PathBuf::from(context),
            dockerfile: None,
            target: None,
            args: IndexMap::new(),
            secrets: Vec::new(),
            max_size: None,
            needs: Vec::new(),
        });
    }
    let fields = reader.fields(node, &key.span, &keys::IMAGE)?;
    let from = From { section: "images", name: name.to_string(), environment: None };
    let own_context = fields.get("context").map(|node| (context(reader, node), node));
    let dockerfile = fields.get("dockerfile").and_then(|node| {
        let path = reader.path(node, "the path of a Dockerfile")?;
        let what = "the Dockerfile".to_owned();
        reader.paths.push(PathUse { path: path.clone(), directory: false, span: node.span.clone(), what, suggestion: None });
        Some(PathBuf::from(path))
    });
    if fields.get("dockerfile").is_none() {
        let place = Node { span: fields.at.clone(), kind: Kind::Refused };
        match &own_context {
            None => needs_dockerfile(reader, ".", &place),
            Some((Some(context), node)) => needs_dockerfile(reader, context, node),
            Some((None, _)) => {}
        }
    }
    Some(Image {
        dockerfile,
        target: fields.get("target").and_then(|node| reader.text(node, "the name of a stage")),
        args: reader.texts(fields.get("args"), |reader, key| reader.is_variable(&key.text, &key.span)),
        secrets: reader.variable_names(fields.get("secrets")),
        max_size: fields.get("max_size").and_then(|node| reader.parsed(node, "a size such as `300MB`", scalar::size)),
        needs: reader.references(fields.get("needs"), Pointed::Gate, &from),
        context: PathBuf::from(own_context.map_or_else(|| Some(".".to_owned()), |(context, _)| context)?),
    })
}

fn context(reader: &mut Reader, node: &Node) -> Option<String> {
    let path = reader.path(node, "the directory of the build context")?;
    let what = "the build context".to_owned();
    reader.paths.push(PathUse { path: path.clone(), directory: true, span: node.span.clone(), what, suggestion: None });
    Some(path)
}

fn needs_dockerfile(reader: &mut Reader, context: &str, at: &Node) {
    let path = if context == "." { "Dockerfile".to_owned() } else { format!("{context}/Dockerfile") };
    let suggestion = Some("add it, or name another file in `dockerfile`".to_owned());
    reader.paths.push(PathUse { path, directory: false, span: at.span.clone(), what: "the Dockerfile".to_owned(), suggestion });
}
