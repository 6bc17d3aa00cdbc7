//! The whole run as one value: the fold of its events.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::images::ImageReport;
use crate::event::{
    Event, EventKind, GateOutcome, Level, Monthly, Outcome, Phase, Serving, Side, SnapshotTaken, TargetSummary, TestResults, Verdict,
};
use crate::http::Platform;
use crate::id::{Name, ReleaseId};

/// A run as far as it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The product.
    pub product: Option<Name>,
    /// The environment, where the run releases to one.
    pub environment: Option<Name>,
    /// The git commit.
    pub commit: String,
    /// What started the run, in words. Foreign text.
    pub trigger: String,
    /// When the run began.
    pub started: Option<Timestamp>,
    /// How long it has run.
    pub elapsed: Duration,
    /// What the reader should know besides.
    pub notices: Vec<NoticeReport>,
    /// Gates in the order in which they began or ended.
    pub gates: Vec<GateReport>,
    /// Images.
    pub images: Vec<ImageReport>,
    /// The pull request that the run previews, where it does.
    pub preview: Option<u64>,
    /// The release, where there was one.
    pub release: Option<ReleaseId>,
    /// Targets in the order of cutting over.
    pub targets: Vec<TargetReport>,
    /// Phases of the release in the order in which they began.
    pub phases: Vec<PhaseReport>,
    /// Checks as they were judged.
    pub checks: Vec<CheckReport>,
    /// From the first change of traffic to the last confirmation from outside.
    pub skew_ms: Option<u64>,
    /// From the first call that changed traffic to the answer of the last one, those of the way back included.
    pub skew_calls_ms: Option<u64>,
    /// How the run ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// What serves now.
    pub serving: Serving,
    /// The exit code, once the run has ended.
    pub exit_code: Option<u8>,
    /// Why it did not finish.
    pub failure: Option<String>,
    /// What to try or type next.
    pub hints: Vec<String>,
    /// Requests by platform, every attempt counted.
    pub requests: BTreeMap<Platform, u64>,
    /// What GitHub says of the jobs, where a job of its own reports the others.
    pub jobs: Option<JobsReport>,
}

/// GitHub's word on the jobs of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsReport {
    /// How many did what they were to do.
    pub passed: usize,
    /// What did not end as it should have, a sentence's part each: "the job release failed". Foreign text.
    pub trouble: Vec<String>,
}

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeReport {
    /// How much it matters.
    pub level: Level,
    /// Its stable code.
    pub code: String,
    /// Its sentences.
    pub text: String,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// Its name.
    pub name: Name,
    /// One stable word: `passed`, `flaky`, `leaky`, `failed`, `signalled`, `timed_out`, `could_not_start`, `output_missing`,
    /// `output_unreadable`, `service_failed`, `cancelled`, `not_started`; `running` while it runs.
    pub outcome: String,
    /// The outcome in words: "failed with exit code 1".
    #[serde(default)]
    pub words: String,
    /// Of all attempts together.
    pub duration_ms: u64,
    /// How many attempts were made.
    #[serde(default)]
    pub attempts: u32,
    /// When it began, from the beginning of the run.
    #[serde(default)]
    pub started_ms: u64,
    /// The last lines of its output, when it did not pass. Foreign text.
    #[serde(default)]
    pub last_lines: Vec<String>,
    /// What its test reports say; absent where it declares none, or wrote none that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestResults>,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetReport {
    /// Its name.
    pub name: Name,
    /// Its platform.
    pub platform: Platform,
    /// What it is called there.
    #[serde(default)]
    pub thing: String,
    /// What it served before, in short; `null` when nothing did.
    pub before: Option<String>,
    /// What it was to serve, in short; `null` when the release did not come so far.
    pub after: Option<String>,
    /// Which of the two it serves now.
    pub serves: Side,
    /// Its public address.
    pub url: Option<String>,
    /// Whether that address itself showed the revision; otherwise it is the platform's word.
    pub proven_from_outside: bool,
    /// How long after the first change of traffic its platform said that it serves the new revision.
    #[serde(default)]
    pub served_ms: Option<u64>,
    /// How long after the first change of traffic its address had shown the new revision at every edge.
    #[serde(default)]
    pub seen_ms: Option<u64>,
    /// Whether it was to stay as it is.
    #[serde(default)]
    pub carried: bool,
    /// What it costs a month with the release, and how that differs from before; absent where the prices are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// The same in figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<Monthly>,
    /// The phases that it went through.
    #[serde(default)]
    pub steps: Vec<PhaseReport>,
    /// The migration that ran before it; `null` where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationReport>,
}

/// A migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationReport {
    /// What ran. Foreign text.
    pub command: String,
    /// Whether the code that served before cannot work with what it left.
    pub breaking: bool,
    /// The snapshots that were taken before it.
    pub snapshots: Vec<SnapshotTaken>,
    /// Whether it did what it was to do.
    pub succeeded: bool,
    /// How it ended, in words that follow "it".
    pub ended: String,
}

/// A phase, of the release or of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseReport {
    /// Which.
    pub name: Phase,
    /// How long it took; up to now while it runs.
    pub duration_ms: u64,
    /// When it began, from the beginning of the run.
    #[serde(default)]
    pub started_ms: u64,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<String>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReport {
    /// The target.
    pub target: Name,
    /// In words.
    pub check: String,
    /// The phase in which it was asked.
    pub phase: Phase,
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

impl GateReport {
    /// Returns whether what depends on it could go on.
    pub fn passed(&self) -> bool {
        matches!(self.outcome.as_str(), "passed" | "flaky" | "leaky")
    }

    /// Returns whether it neither passed nor was left out because of something else.
    pub fn failed(&self) -> bool {
        !self.passed() && !matches!(self.outcome.as_str(), "running" | "not_started" | "cancelled")
    }
}

impl Default for Report {
    fn default() -> Self {
        Self {
            product: None,
            environment: None,
            commit: String::new(),
            trigger: String::new(),
            started: None,
            elapsed: Duration::ZERO,
            notices: Vec::new(),
            gates: Vec::new(),
            images: Vec::new(),
            preview: None,
            release: None,
            targets: Vec::new(),
            phases: Vec::new(),
            checks: Vec::new(),
            skew_ms: None,
            skew_calls_ms: None,
            outcome: None,
            // Until a release moves something, what served before serves.
            serving: Serving::Before,
            exit_code: None,
            failure: None,
            hints: Vec::new(),
            requests: BTreeMap::new(),
            jobs: None,
        }
    }
}

impl Report {
    /// Returns the fold of a whole run.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut report = Self::default();
        events.into_iter().for_each(|event| report.fold(event));
        report
    }

    /// Returns the gates that failed.
    pub fn failed_gates(&self) -> impl Iterator<Item = &GateReport> {
        self.gates.iter().filter(|gate| gate.failed())
    }

    /// Returns what must be told whatever else is left out.
    pub fn warnings(&self) -> impl Iterator<Item = &NoticeReport> {
        self.notices.iter().filter(|notice| notice.level > Level::Note)
    }

    /// Takes one more event in. Events of gates, images and targets that were not announced are taken as they are.
    pub fn fold(&mut self, event: &Event) {
        self.elapsed = event.elapsed;
        let now = millis(event.elapsed);
        match &event.kind {
            EventKind::RunStarted { product, environment, commit, trigger } => {
                self.started = Some(event.at);
                self.product = Some(product.clone());
                self.environment.clone_from(environment);
                self.commit.clone_from(commit);
                self.trigger.clone_from(trigger);
            }
            EventKind::Notice { level, code, text } => {
                self.notices.push(NoticeReport { level: *level, code: (*code).to_owned(), text: text.clone() });
            }
            EventKind::GateStarted { .. } | EventKind::GateTests { .. } | EventKind::GateFinished { .. } => {
                self.fold_gate(&event.kind, now);
            }
            EventKind::BuildStarted { .. } | EventKind::BuildFinished { .. } | EventKind::ImageShipped { .. } => {
                super::images::fold(&mut self.images, &event.kind, now);
            }
            EventKind::PreviewStarted { pull_request } => self.preview = Some(*pull_request),
            EventKind::ReleaseStarted { release, environment, targets } => {
                self.release = Some(release.clone());
                self.environment = Some(environment.clone());
                self.targets = targets.iter().map(target).collect();
            }
            EventKind::PhaseStarted { phase } => {
                self.phases.push(PhaseReport { name: *phase, duration_ms: 0, started_ms: now, failure: None });
            }
            EventKind::PhaseFinished { phase, duration, failure } => {
                let done = PhaseReport::done(*phase, *duration, now, failure.as_ref());
                match self.phases.iter_mut().rev().find(|it| it.name == *phase) {
                    Some(known) => *known = done,
                    None => self.phases.push(done),
                }
            }
            EventKind::Checked { target, check, phase, verdict, detail } => self.checks.push(CheckReport {
                target: target.clone(),
                check: check.clone(),
                phase: *phase,
                verdict: *verdict,
                detail: detail.clone(),
            }),
            EventKind::Migrated { .. } | EventKind::TargetFinished { .. } | EventKind::Proven { .. } | EventKind::TargetSettled { .. } => {
                self.fold_target(&event.kind, now);
            }
            EventKind::ReleaseFinished { outcome, serving, skew_ms, skew_calls_ms, failure, hints, .. } => {
                self.outcome = Some(*outcome);
                self.serving = *serving;
                self.skew_ms = *skew_ms;
                self.skew_calls_ms = *skew_calls_ms;
                self.failure.clone_from(failure);
                self.hints.clone_from(hints);
            }
            EventKind::RunFinished { outcome, exit_code, serving, failure, hints, requests } => {
                self.outcome = Some(*outcome);
                self.exit_code = Some(*exit_code);
                self.serving = *serving;
                self.requests.clone_from(requests);
                // The release has said it in its own words already, unless there was none.
                if failure.is_some() {
                    self.failure.clone_from(failure);
                }
                self.hints.extend(hints.iter().filter(|hint| !self.hints.contains(hint)).cloned().collect::<Vec<_>>());
            }
            EventKind::GateLine { .. }
            | EventKind::GateAttemptFailed { .. }
            | EventKind::BuildLine { .. }
            | EventKind::TargetStep { .. } => {}
        }
    }

    fn fold_gate(&mut self, kind: &EventKind, now: u64) {
        match kind {
            EventKind::GateStarted { gate, attempt } if !self.gates.iter().any(|it| it.name == *gate) => {
                self.gates.push(GateReport::running(gate, *attempt, now));
            }
            EventKind::GateTests { gate, tests } => {
                if let Some(known) = self.gates.iter_mut().find(|it| it.name == *gate) {
                    known.tests = Some(tests.clone());
                }
            }
            EventKind::GateFinished { gate, outcome, duration, attempts, last_lines } => {
                let known = self.gates.iter().find(|it| it.name == *gate);
                let (started_ms, tests) = known.map_or((now, None), |it| (it.started_ms, it.tests.clone()));
                let done = GateReport {
                    name: gate.clone(),
                    outcome: outcome.as_str().to_owned(),
                    words: words(outcome),
                    duration_ms: millis(*duration),
                    attempts: *attempts,
                    started_ms,
                    last_lines: last_lines.clone(),
                    tests,
                };
                match self.gates.iter_mut().find(|it| it.name == *gate) {
                    Some(known) => *known = done,
                    None => self.gates.push(done),
                }
            }
            _ => {}
        }
    }

    fn fold_target(&mut self, kind: &EventKind, now: u64) {
        let find = |targets: &mut Vec<TargetReport>, name: &Name| targets.iter().position(|it| it.name == *name);
        match kind {
            EventKind::TargetFinished { target, phase, duration, failure } => {
                if let Some(index) = find(&mut self.targets, target) {
                    self.targets[index].steps.push(PhaseReport::done(*phase, *duration, now, failure.as_ref()));
                }
            }
            EventKind::Migrated { target, command, breaking, snapshots, succeeded, ended } => {
                if let Some(index) = find(&mut self.targets, target) {
                    self.targets[index].migration = Some(MigrationReport {
                        command: command.clone(),
                        breaking: *breaking,
                        snapshots: snapshots.clone(),
                        succeeded: *succeeded,
                        ended: ended.clone(),
                    });
                }
            }
            EventKind::Proven { target, url, from_outside } => {
                if let Some(index) = find(&mut self.targets, target) {
                    self.targets[index].proven_from_outside = *from_outside;
                    self.targets[index].url.get_or_insert_with(|| url.clone());
                }
            }
            EventKind::TargetSettled { target, before, after, serves, url, proven_from_outside, served_ms, seen_ms } => {
                if let Some(index) = find(&mut self.targets, target) {
                    let known = &mut self.targets[index];
                    known.before.clone_from(before);
                    known.after.clone_from(after);
                    known.serves = *serves;
                    known.url = url.clone().or(known.url.take());
                    known.proven_from_outside = *proven_from_outside;
                    known.served_ms = *served_ms;
                    known.seen_ms = *seen_ms;
                }
            }
            _ => {}
        }
    }
}

impl GateReport {
    fn running(gate: &Name, attempts: u32, started_ms: u64) -> Self {
        let (outcome, words) = ("running".to_owned(), "running".to_owned());
        Self { name: gate.clone(), outcome, words, duration_ms: 0, attempts, started_ms, last_lines: Vec::new(), tests: None }
    }
}

impl PhaseReport {
    fn done(name: Phase, duration: Duration, now: u64, failure: Option<&String>) -> Self {
        let duration_ms = millis(duration);
        Self { name, duration_ms, started_ms: now.saturating_sub(duration_ms), failure: failure.cloned() }
    }
}

fn target(summary: &TargetSummary) -> TargetReport {
    TargetReport {
        name: summary.name.clone(),
        platform: summary.platform,
        thing: summary.thing.clone(),
        before: summary.before.clone(),
        after: summary.after.clone(),
        serves: Side::Before,
        url: summary.url.clone(),
        proven_from_outside: false,
        served_ms: None,
        seen_ms: None,
        carried: summary.carried,
        cost: summary.cost.clone(),
        monthly: summary.monthly.clone(),
        steps: Vec::new(),
        migration: None,
    }
}

fn words(outcome: &GateOutcome) -> String {
    outcome.to_string()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
