//! How things end, and the phases in which they do: closed lists with one stable word each.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every way a gate can end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum GateOutcome {
    /// Exit code 0, and every declared output is there.
    Passed,
    /// Passed, but not in the first attempt.
    Flaky,
    /// Another exit code.
    Failed {
        /// The code.
        code: i32,
    },
    /// Ended by a signal that was not ours.
    Signalled {
        /// Its number.
        signal: i32,
    },
    /// Took longer than its timeout; the whole process group was ended.
    TimedOut {
        /// The timeout in milliseconds.
        limit_ms: u64,
    },
    /// The command could not be started.
    CouldNotStart {
        /// Why: not found, not executable, directory missing.
        reason: String,
    },
    /// The command passed but left a process behind that kept its output open; the group was ended.
    Leaky,
    /// The command passed, but a declared output is missing.
    OutputMissing {
        /// The path as declared.
        path: String,
    },
    /// Its output could not be read.
    OutputUnreadable {
        /// Why.
        reason: String,
    },
    /// A service that it needs could not be started.
    ServiceFailed {
        /// The service.
        service: String,
        /// Why.
        reason: String,
    },
    /// The run was cancelled while it ran.
    Cancelled,
    /// It never started.
    NotStarted {
        /// Why: which gate failed before it, or that the run was cancelled.
        because: String,
    },
}

impl GateOutcome {
    /// Returns whether what depends on the gate may go on.
    pub const fn passed(&self) -> bool {
        matches!(self, Self::Passed | Self::Flaky | Self::Leaky)
    }

    /// Returns the outcome as one stable word for machines.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Flaky => "flaky",
            Self::Failed { .. } => "failed",
            Self::Signalled { .. } => "signalled",
            Self::TimedOut { .. } => "timed_out",
            Self::CouldNotStart { .. } => "could_not_start",
            Self::Leaky => "leaky",
            Self::OutputMissing { .. } => "output_missing",
            Self::OutputUnreadable { .. } => "output_unreadable",
            Self::ServiceFailed { .. } => "service_failed",
            Self::Cancelled => "cancelled",
            Self::NotStarted { .. } => "not_started",
        }
    }
}

impl std::fmt::Display for GateOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Flaky => f.write_str("passed after a retry (flaky)"),
            Self::Failed { code } => write!(f, "failed with exit code {code}"),
            Self::Signalled { signal } => write!(f, "ended by signal {signal}"),
            Self::TimedOut { limit_ms } => write!(f, "took longer than its timeout of {:?}", Duration::from_millis(*limit_ms)),
            Self::CouldNotStart { reason } => write!(f, "could not be started: {reason}"),
            Self::Leaky => f.write_str("passed, but left a process behind that kept its output open"),
            Self::OutputMissing { path } => write!(f, "passed, but its declared output {path} is not there"),
            Self::OutputUnreadable { reason } => write!(f, "its output could not be read: {reason}"),
            Self::ServiceFailed { service, reason } => write!(f, "its service {service} could not be started: {reason}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::NotStarted { because } => write!(f, "not started: {because}"),
        }
    }
}

/// The phases of a release, in their order, and the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Credentials, secrets, lock, drift, capabilities: nothing is touched.
    Preflight,
    /// What serves now.
    Observe,
    /// The new revisions come to exist, out of users' sight.
    Prepare,
    /// The database gets what the new revisions need.
    Migrate,
    /// The prepared revisions are judged.
    Verify,
    /// Users get the new revisions, target by target.
    CutOver,
    /// The serving revisions are judged.
    Watch,
    /// The decision is written down.
    Commit,
    /// What is not needed any more is removed.
    Finish,
    /// What served before serves again.
    RollBack,
}

impl Phase {
    /// Returns the phase in the words of the command line and of messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Observe => "observe",
            Self::Prepare => "prepare",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
            Self::CutOver => "cut-over",
            Self::Watch => "watch",
            Self::Commit => "commit",
            Self::Finish => "finish",
            Self::RollBack => "roll-back",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Not as expected, n times of m.
    Fail,
    /// Passed often enough, but not always.
    Flaky,
    /// Fails on what serves now as well: the check itself is not to be trusted.
    Suspect,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new release serves everywhere.
    Finished,
    /// Nothing had to change.
    Carried,
    /// A newer commit took its place.
    Superseded,
    /// The release failed; what served before serves.
    RolledBack,
    /// A gate failed; nothing was touched.
    GatesFailed,
    /// A preview does not show the commit on every target; no environment was touched.
    PreviewFailed,
    /// A person is needed.
    Stuck,
    /// Preflight failed; nothing was touched.
    PreflightFailed,
    /// The environment is held; nothing was touched.
    Held,
    /// Cancelled; what could be taken back was.
    Cancelled,
}

impl Outcome {
    /// Returns the outcome as the receipt and the action's output spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Carried => "carried",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled_back",
            Self::GatesFailed => "gates_failed",
            Self::PreviewFailed => "preview_failed",
            Self::Stuck => "stuck",
            Self::PreflightFailed => "preflight_failed",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which side users get, over all targets of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Serving {
    /// What served before, everywhere.
    Before,
    /// The new release, everywhere.
    After,
    /// Some of each.
    Mixed,
    /// Nobody could be asked.
    Unknown,
}

/// Which side one target serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What it served before.
    Before,
    /// What the release brought.
    After,
    /// Something else.
    Neither,
    /// It could not be asked.
    Unknown,
}
