//! The one vocabulary of what happens.
//!
//! Nothing that works prints. It emits events; the terminal, the Actions log, the job summary, the comment, the HTML page and the JSON file
//! are consumers of one stream. A new form of output adds a consumer and touches nothing that works.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::http::Platform;
use crate::id::{Name, ReleaseId};

/// Something that happened, and when.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Wall time.
    pub at: Timestamp,
    /// Time since the run began.
    #[serde(with = "milliseconds")]
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen in a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventKind {
    /// The run began.
    RunStarted {
        /// The product's name.
        product: Name,
        /// The environment, where the run releases to one.
        environment: Option<Name>,
        /// The git commit; all zeros without git.
        commit: String,
        /// In words: "push to main", "rehearsal of a push to main", ...
        trigger: String,
    },
    /// Something the reader should know that is part of no other event.
    Notice {
        /// How much it matters.
        level: Level,
        /// A stable code, for example `journal::local-only`.
        code: &'static str,
        /// One or more whole sentences.
        text: String,
    },
    /// A gate's attempt began.
    GateStarted {
        /// The gate.
        gate: Name,
        /// 1 for the first.
        attempt: u32,
    },
    /// A gate wrote a line.
    GateLine {
        /// The gate.
        gate: Name,
        /// Where to.
        stream: Stream,
        /// Time since the attempt began.
        #[serde(with = "milliseconds")]
        since: Duration,
        /// The line without its end, secrets masked; invalid UTF-8 replaced.
        line: String,
    },
    /// An attempt failed and another follows.
    GateAttemptFailed {
        /// The gate.
        gate: Name,
        /// Which attempt.
        attempt: u32,
        /// How it ended.
        outcome: GateOutcome,
    },
    /// A gate ended, or will never start.
    GateFinished {
        /// The gate.
        gate: Name,
        /// How it ended.
        outcome: GateOutcome,
        /// Of all attempts together.
        #[serde(with = "milliseconds")]
        duration: Duration,
        /// How many attempts were made; zero when it never started.
        attempts: u32,
        /// The last lines of output of the last attempt, for a report; empty when it passed.
        last_lines: Vec<String>,
    },
    /// An image's build began.
    BuildStarted {
        /// The image.
        image: Name,
        /// What builds it: `buildx`, `engine`, `buildah`, `stand-in`.
        builder: String,
    },
    /// A builder wrote a line.
    BuildLine {
        /// The image.
        image: Name,
        /// The line without its end, secrets masked.
        line: String,
    },
    /// An image's build ended.
    BuildFinished {
        /// The image.
        image: Name,
        /// The digest, or why there is none.
        result: Result<String, String>,
        /// Compressed size in bytes, where known.
        size: Option<u64>,
        /// How long it took.
        #[serde(with = "milliseconds")]
        duration: Duration,
    },
    /// A release was given its id and its targets.
    ReleaseStarted {
        /// Its id.
        release: ReleaseId,
        /// The environment.
        environment: Name,
        /// The targets in the order of cutting over.
        targets: Vec<TargetSummary>,
    },
    /// A phase of the release began.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// A phase of the release ended.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How long it took.
        #[serde(with = "milliseconds")]
        duration: Duration,
        /// Why it failed, if it did.
        failure: Option<String>,
    },
    /// A target moved on within a phase.
    TargetStep {
        /// The target.
        target: Name,
        /// The phase.
        phase: Phase,
        /// What it does now, in a few words: "3 machines created, waiting for their checks".
        step: String,
    },
    /// A target came through a phase, or failed in it.
    TargetFinished {
        /// The target.
        target: Name,
        /// The phase.
        phase: Phase,
        /// How long it took.
        #[serde(with = "milliseconds")]
        duration: Duration,
        /// Why it failed, if it did.
        failure: Option<String>,
    },
    /// A check was judged.
    Checked {
        /// The target.
        target: Name,
        /// In words: "GET /health".
        check: String,
        /// The phase in which it was asked.
        phase: Phase,
        /// The verdict.
        verdict: Verdict,
        /// What was seen, when it did not pass, or how long it took.
        detail: String,
    },
    /// What a target serves was seen from outside.
    Proven {
        /// The target.
        target: Name,
        /// The public address asked.
        url: String,
        /// Whether the address itself showed the revision; otherwise it is the platform's word.
        from_outside: bool,
    },
    /// The release ended.
    ReleaseFinished {
        /// Its id.
        release: ReleaseId,
        /// How.
        outcome: Outcome,
        /// What serves now.
        serving: Serving,
        /// From the first change of traffic to the last confirmation from outside; `None` when traffic never changed.
        skew_ms: Option<u64>,
        /// Why it did not finish, in a whole sentence.
        failure: Option<String>,
        /// What to try or type next.
        hints: Vec<String>,
    },
    /// What a target serves when the release has ended, by a last look at it.
    TargetSettled {
        /// The target.
        target: Name,
        /// What it served before, in short.
        before: Option<String>,
        /// What it was to serve, in short.
        after: Option<String>,
        /// Which of the two it serves.
        serves: Side,
        /// Its public address.
        url: Option<String>,
        /// Whether that address itself showed the revision.
        proven_from_outside: bool,
    },
    /// The run ended; the last event of every run, with or without a release.
    RunFinished {
        /// How.
        outcome: Outcome,
        /// The exit code of the process.
        exit_code: u8,
        /// What serves now; `before` where nothing was touched.
        serving: Serving,
        /// Why it did not finish, in a whole sentence; `None` when it did, or when the release has said it.
        failure: Option<String>,
        /// What to try or type next, one command or sentence each.
        hints: Vec<String>,
        /// How many requests went to each platform, every attempt counted.
        requests: BTreeMap<Platform, u64>,
    },
}

/// A target as the beginning of a release knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetSummary {
    /// Its name in the manifest.
    pub name: Name,
    /// Its platform.
    pub platform: Platform,
    /// What it is called there: the app, the project.
    pub thing: String,
    /// Its public address, if known.
    pub url: Option<String>,
    /// What it serves before, in short.
    pub before: Option<String>,
    /// What it shall serve, in short.
    pub after: Option<String>,
    /// Whether it stays as it is.
    pub carried: bool,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Note,
    /// Something is not as it should be; the run goes on.
    Warning,
    /// Why the run failed.
    Error,
}

/// Where a line of a gate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

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

/// The sending end of the stream; cheap to clone. Sending never fails the work: with no reader left, events are dropped.
#[derive(Debug, Clone)]
pub struct Events {
    clock: Clock,
    sender: mpsc::UnboundedSender<Event>,
}

impl Events {
    /// Returns the two ends of a new stream whose `elapsed` counts from now.
    pub fn channel(clock: Clock) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { clock, sender }, receiver)
    }

    /// Sends an event.
    pub fn emit(&self, kind: EventKind) {
        let event = Event { at: self.clock.now(), elapsed: self.clock.elapsed(), kind };
        // A reader that is gone is no reason to stop a release.
        let _ = self.sender.send(event);
    }

    /// Sends a notice.
    pub fn notice(&self, level: Level, code: &'static str, text: impl Into<String>) {
        self.emit(EventKind::Notice { level, code, text: text.into() });
    }
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::time::Duration;

    pub(super) fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}
