//! The receipt: what a run did, as one JSON document for programs (`--receipt FILE`).
//!
//! Its schema stands beside this file as `receipt.schema.json` and is what `cutover schema receipt` prints. Within version 1 fields are only
//! added. A receipt holds the whole report, so that a job of its own can report what other jobs did.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Report;
use super::model::{CheckReport, GateReport, ImageReport, NoticeReport, PhaseReport, TargetReport};
use crate::event::{Outcome, Serving};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};

/// The version of the form.
pub const VERSION: u32 = 1;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The version of this form: 1.
    pub version: u32,
    /// The product.
    #[serde(default)]
    pub product: Option<Name>,
    /// The release's id; `null` when the run did not come to a release.
    pub release: Option<ReleaseId>,
    /// The environment; `null` when the run releases to none.
    pub environment: Option<Name>,
    /// The git commit; forty zeros without git.
    pub commit: String,
    /// What started the run, in words.
    #[serde(default)]
    pub trigger: String,
    /// When the run began.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub started: Option<Timestamp>,
    /// How long the run took.
    #[serde(default)]
    pub duration_ms: u64,
    /// How the run ended.
    pub outcome: Outcome,
    /// The exit code of the process.
    pub exit_code: u8,
    /// What serves now, over all targets; `before` when nothing was touched.
    pub serving: Serving,
    /// From the first change of traffic to the last confirmation from outside; `null` when traffic never changed.
    pub skew_ms: Option<u64>,
    /// From the first call that changed traffic to the answer of the last one, those of the way back included.
    #[serde(default)]
    pub skew_calls_ms: Option<u64>,
    /// Why the run did not finish.
    #[serde(default)]
    pub failure: Option<String>,
    /// The pull request that was previewed; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<u64>,
    /// What to try or type next.
    #[serde(default)]
    pub hints: Vec<String>,
    /// The gates.
    pub gates: Vec<GateReport>,
    /// The images.
    #[serde(default)]
    pub images: Vec<ImageReport>,
    /// The targets in the order of cutting over.
    pub targets: Vec<TargetReport>,
    /// The phases of the release.
    pub phases: Vec<PhaseReport>,
    /// The checks as they were judged.
    #[serde(default)]
    pub checks: Vec<CheckReport>,
    /// How many requests went to each platform, every attempt counted.
    pub requests: BTreeMap<Platform, u64>,
    /// What the reader should know besides.
    #[serde(default)]
    pub notices: Vec<NoticeReport>,
}

/// Why a receipt could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The run has not ended.
    #[error("the run has not ended, so there is no receipt of it")]
    NotEnded,
    /// The file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no receipt of this version.
    #[error("{} is no receipt of version {VERSION}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Receipt {
    /// Returns the receipt of a run that has ended.
    pub fn of(report: &Report) -> Result<Self, ReceiptError> {
        let report = report.clone();
        let (Some(outcome), Some(exit_code)) = (report.outcome, report.exit_code) else { return Err(ReceiptError::NotEnded) };
        Ok(Self {
            version: VERSION,
            product: report.product,
            release: report.release,
            environment: report.environment,
            commit: report.commit,
            trigger: report.trigger,
            started: report.started,
            duration_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            outcome,
            exit_code,
            serving: report.serving,
            skew_ms: report.skew_ms,
            skew_calls_ms: report.skew_calls_ms,
            failure: report.failure,
            hints: report.hints,
            gates: report.gates,
            preview: report.preview,
            images: report.images,
            targets: report.targets,
            phases: report.phases,
            checks: report.checks,
            requests: report.requests,
            notices: report.notices,
        })
    }

    /// Returns the report that the receipt was made from.
    pub fn into_report(self) -> Report {
        Report {
            product: self.product,
            environment: self.environment,
            commit: self.commit,
            trigger: self.trigger,
            started: self.started,
            elapsed: Duration::from_millis(self.duration_ms),
            notices: self.notices,
            gates: self.gates,
            images: self.images,
            preview: self.preview,
            release: self.release,
            targets: self.targets,
            phases: self.phases,
            checks: self.checks,
            skew_ms: self.skew_ms,
            skew_calls_ms: self.skew_calls_ms,
            outcome: Some(self.outcome),
            serving: self.serving,
            exit_code: Some(self.exit_code),
            failure: self.failure,
            hints: self.hints,
            requests: self.requests,
            jobs: None,
        }
    }

    /// Writes the receipt as indented JSON; whoever reads the file sees the old content or the new one, never a part.
    pub fn write(&self, path: &Path) -> Result<(), ReceiptError> {
        let fault = |source: std::io::Error| ReceiptError::File { path: path.to_owned(), source };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = serde_json::to_string_pretty(self).map_err(|error| fault(error.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(fault)?;
        writeln!(file, "{text}").and_then(|()| file.as_file().sync_all()).map_err(fault)?;
        // A temporary file is readable by its owner only, and a receipt is made to be handed on.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(fault)?;
        }
        file.persist(path).map_err(|error| fault(error.error))?;
        Ok(())
    }

    /// Reads a receipt back. It may come from another job: its texts are foreign text.
    pub fn read(path: &Path) -> Result<Self, ReceiptError> {
        let bytes = std::fs::read(path).map_err(|source| ReceiptError::File { path: path.to_owned(), source })?;
        let form = |reason: String| ReceiptError::Form { path: path.to_owned(), reason };
        let receipt: Self = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
        if receipt.version != VERSION {
            return Err(form(format!("its version is {}", receipt.version)));
        }
        // Names are shown as they are everywhere, because the manifest allows harmless ones only; another job's file allows anything.
        let bad = receipt.names().find(|name| Name::parse(name.as_str()).is_none()).cloned();
        match bad {
            Some(name) => Err(form(format!("{:?} is no name", name.as_str()))),
            None => Ok(receipt),
        }
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        let whole = self.product.iter().chain(&self.environment);
        let made = self.gates.iter().map(|it| &it.name).chain(self.images.iter().map(|it| &it.name));
        whole.chain(made).chain(self.targets.iter().map(|it| &it.name)).chain(self.checks.iter().map(|it| &it.target))
    }

    /// Returns the schema of the form (JSON Schema 2020-12).
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self);
        schema.insert("title".to_owned(), "The receipt of a run of cutover".into());
        schema.to_value()
    }
}
