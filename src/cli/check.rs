//! `cutover check`: everything that is wrong with the manifest, in one pass.

use std::io::{self, Write};
use std::path::Path;

use super::Format;
use crate::exit;
use crate::manifest::{self, Fault, Loaded, Source, diagnostics};

/// Writes what is wrong with the manifest at `path`, a file or a directory, and returns the exit code: [`exit::DONE`], or [`exit::USAGE`] when
/// there is a fault. Warnings are written and change nothing.
///
/// Text comes with colours; `out` should be a stream of anstream, which strips them where nobody sees them. Fails only when `out` does.
pub fn check(path: &Path, format: Format, out: &mut dyn Write) -> io::Result<u8> {
    let loaded = manifest::load(path);
    let (source, faults, warnings) = match &loaded {
        Ok(loaded) => (&loaded.source, &[][..], &loaded.warnings[..]),
        Err(faults) => (&faults.source, &faults.faults[..], &faults.warnings[..]),
    };
    match format {
        Format::Json => writeln!(out, "{:#}", diagnostics::json(source, faults, warnings))?,
        Format::Text => {
            write!(out, "{}", diagnostics::text(source, faults, warnings))?;
            writeln!(out, "{}", last_line(source, faults, warnings, loaded.as_ref().ok()))?;
        }
    }
    Ok(if faults.is_empty() { exit::DONE } else { exit::USAGE })
}

fn last_line(source: &Source, faults: &[Fault], warnings: &[Fault], loaded: Option<&Loaded>) -> String {
    let path = source.path.display();
    let besides = if warnings.is_empty() { String::new() } else { format!(", {}", counted(warnings.len(), "warning")) };
    let Some(Loaded { manifest, .. }) = loaded else { return format!("{path}: {}{besides}", counted(faults.len(), "fault")) };
    let parts = [
        counted(manifest.gates.len(), "gate"),
        counted(manifest.images.len(), "image"),
        counted(manifest.targets.len(), "target"),
        counted(manifest.environments.len(), "environment"),
    ];
    format!("{path} is good: {}{besides}", parts.join(", "))
}

fn counted(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
