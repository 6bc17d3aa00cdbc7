//! What the next steps of a workflow get: the action's outputs and the job summary, through the files that the runner names.
//!
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Report;
use crate::id::Chance;

/// Why a file of the runner was not written.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be written: {source}", path.display())]
pub struct OutputError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// Returns the outputs by name: `outcome`, `release`, `urls` (a JSON object by target) and `url_<target>`.
pub fn outputs(report: &Report) -> Vec<(String, String)> {
    let urls: BTreeMap<&str, &str> =
        report.targets.iter().filter_map(|target| Some((target.name.as_str(), target.url.as_deref()?))).collect();
    let mut outputs = vec![
        ("outcome".to_owned(), report.outcome.map_or("", |outcome| outcome.as_str()).to_owned()),
        ("release".to_owned(), report.release.as_ref().map_or("", |release| release.as_str()).to_owned()),
        ("urls".to_owned(), serde_json::to_string(&urls).unwrap_or_default()),
    ];
    outputs.extend(urls.iter().map(|(name, url)| (format!("url_{name}"), (*url).to_owned())));
    outputs
}

/// Returns the outputs in the form of `GITHUB_OUTPUT`, each value between delimiters that it does not contain: a value cannot end itself and
/// define another output.
pub fn render_outputs(outputs: &[(String, String)], chance: &Chance) -> String {
    let mut text = String::new();
    for (name, value) in outputs {
        // Names are ours and the manifest's; this keeps it true whatever they become.
        if name.is_empty() || name.contains(['=', '<', '\r', '\n']) {
            continue;
        }
        let mut delimiter = format!("ghadelimiter_{}", chance.word(26));
        while value.contains(&delimiter) {
            delimiter = format!("ghadelimiter_{}", chance.word(26));
        }
        let _ = writeln!(text, "{name}<<{delimiter}\n{value}\n{delimiter}");
    }
    text
}

/// Appends to a file that the runner made (`GITHUB_OUTPUT`, `GITHUB_STEP_SUMMARY`); earlier parts of the step stay.
pub fn append(path: &Path, text: &str) -> Result<(), OutputError> {
    let written = || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    written().map_err(|source| OutputError { path: path.to_owned(), source })
}
