//! `cutover check`: everything that is wrong with the manifest, at once.

use std::io::Write;
use std::path::Path;

use super::{Ended, Format, pretty, put};
use crate::exit;
use crate::manifest::{Loaded, Source, diagnostics, load};

/// Checks the manifest and the files it names, and tells every fault.
pub(super) fn run(path: &Path, format: Format) -> Ended {
    let (source, faults, warnings): (Source, _, _) = match load(path) {
        Ok(Loaded { source, warnings, .. }) => (source, Vec::new(), warnings),
        Err(faults) => (faults.source, faults.faults, faults.warnings),
    };
    let code = if faults.is_empty() { exit::DONE } else { exit::USAGE };
    match format {
        Format::Json => put(&pretty(&diagnostics::json(&source, &faults, &warnings)))?,
        Format::Text | Format::Markdown => {
            let mut out = anstream::stderr();
            // Nowhere is left to say that standard error is gone.
            let _ = write!(out, "{}", diagnostics::text(&source, &faults, &warnings));
            if faults.is_empty() {
                let _ = writeln!(out, "{} is good.", source.path.display());
            }
            code
        }
    };
    Ok(code)
}
