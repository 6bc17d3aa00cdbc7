//! The one vocabulary of what happens.
//!
//! Nothing that works prints. It emits events; the terminal, the Actions log, the job summary, the comment, the HTML page and the JSON file
//! are consumers of one stream. A new form of output adds a consumer and touches nothing that works.

mod outcome;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use self::outcome::{GateOutcome, Outcome, Phase, Serving, Side, Verdict};
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
    /// The run shows a pull request's commit in a preview, or sweeps what previews have left; comes before its `ReleaseStarted`.
    PreviewStarted {
        /// The pull request.
        pull_request: u64,
    },
    /// A migration ended, or nobody could be asked how.
    Migrated {
        /// The target.
        target: Name,
        /// What ran.
        command: String,
        /// Whether the code that served before cannot work with what it left.
        breaking: bool,
        /// The snapshots that were taken before it.
        snapshots: Vec<SnapshotTaken>,
        /// Whether it did what it was to do.
        succeeded: bool,
        /// How it ended, in words that follow "it".
        ended: String,
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
        /// From the first call that changed traffic to the answer of the last one, those of the way back included.
        skew_calls_ms: Option<u64>,
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
        /// How long after the first change of traffic its platform said that it serves the new revision.
        served_ms: Option<u64>,
        /// How long after the first change of traffic its address had shown the new revision.
        seen_ms: Option<u64>,
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

/// A copy of a database that was taken before a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotTaken {
    /// The platform's id of it.
    pub id: String,
    /// What it is a copy of.
    pub of: String,
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
    /// What it costs a month with this release, and how that differs from before, where its platform's prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
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
