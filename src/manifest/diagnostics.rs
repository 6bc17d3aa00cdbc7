//! Shows faults: for people with the source line and a caret, for programs as JSON.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::fault::{Fault, Source};

/// How many faults a person is shown; a file with more is broken in one way, a hundred times.
const MOST_SHOWN: usize = 100;

/// Returns faults and warnings as people read them, each with its source line and a caret, with colours: write it to a stream that strips them
/// where they are not wanted (anstream's do).
pub fn text(source: &Source, faults: &[Fault], warnings: &[Fault]) -> String {
    let renderer = Renderer::styled();
    let mut shown = String::new();
    let errors = faults.iter().map(|fault| (Level::ERROR, fault));
    let all = errors.chain(warnings.iter().map(|warning| (Level::WARNING, warning)));
    for (level, fault) in all.take(MOST_SHOWN) {
        shown.push_str(&renderer.render(&[report(source, level, fault)]));
        shown.push_str("\n\n");
    }
    match (faults.len() + warnings.len()).checked_sub(MOST_SHOWN) {
        None | Some(0) => {}
        Some(more) => {
            let _ = writeln!(shown, "and {more} more; `--format json` lists all\n");
        }
    }
    shown
}

fn report<'a>(source: &'a Source, level: Level<'a>, fault: &'a Fault) -> Group<'a> {
    let path = source.path.display().to_string();
    let group = level.primary_title(&*fault.message).id(fault.code.as_str());
    let group = if source.text.is_empty() {
        group.element(annotate_snippets::Origin::path(path))
    } else {
        let mut snippet =
            Snippet::source(&*source.text).path(path).annotation(AnnotationKind::Primary.span(on_one_line(source, &fault.span)));
        if let Some((place, word)) = &fault.related {
            snippet = snippet.annotation(AnnotationKind::Context.span(on_one_line(source, place)).label(&**word));
        }
        group.element(snippet)
    };
    match &fault.suggestion {
        Some(suggestion) => group.element(Level::HELP.message(&**suggestion)),
        None => group,
    }
}

/// Returns the part of `span` on its first line: a map of forty lines is not to be underlined.
fn on_one_line(source: &Source, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let start = span.start.min(source.text.len());
    let line_end = source.text[start..].find(['\n', '\r']).map_or(source.text.len(), |at| start + at);
    start..span.end.clamp(start, line_end.max(start))
}

/// Returns faults and warnings as a JSON document: `ok`, `faults[]` and `warnings[]`, each with `code`, `message`, `file`, `line`, `column` and
/// `suggestion` (a text or null).
pub fn json(source: &Source, faults: &[Fault], warnings: &[Fault]) -> Value {
    let one = |fault: &Fault| {
        let (line, column) = source.position(fault.span.start);
        json!({
            "code": fault.code.as_str(),
            "message": fault.message,
            "file": source.path.display().to_string(),
            "line": line,
            "column": column,
            "suggestion": fault.suggestion,
        })
    };
    let all = |faults: &[Fault]| faults.iter().map(one).collect::<Vec<_>>();
    json!({ "ok": faults.is_empty(), "faults": all(faults), "warnings": all(warnings) })
}
