//! The release: one transaction over all of an environment's targets.
//!
//! ```text
//! observe ─ prepare ─ migrate ─ prepare the rest ─ verify ─ cut over ─ watch ─ COMMIT ─ finish
//! begun     prepared  migrating/migrated    prepared          cutting             committed  finishing  finished
//!    └─────────┴──────────┴───────────────────┴──────────────────┴──> rolling_back ─ serve(before) ─ prune ─ rolled_back
//! ```
//!
//! Everything before `committed` goes back on any failure; everything after it only goes on. Going back works from the journal's record of
//! the release, not from what this process remembers, so that whoever finds an unfinished release does the same as its own runner would.

mod asking;
mod baseline;
mod check;
mod cut_over;
pub mod drift;
mod ending;
mod finish;
mod hostnames;
pub mod journal;
mod kept;
pub mod lock;
mod migrate;
pub mod ownership;
pub mod plan;
mod prepare;
mod proof;
mod recover;
mod roll_back;
mod secrets;
pub mod store;
mod verify;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

pub use asking::{Address, ask_checks};
pub use drift::DriftPolicy;
pub use ending::{Ending, Settled};
pub use kept::{EndedKept, end_due};
pub use plan::{Move, Plan, Planned};
pub use recover::{Afterwards, Recovered, look_at_closed, recover};

use self::journal::{Begun, Entry, Journal, Open, Stage};
use self::roll_back::NotBack;
use self::store::StoreError;
use crate::event::{EventKind, Events, Level, Outcome, Phase};
use crate::http::Transport;
use crate::id::{Name, ReleaseId};
use crate::manifest::Check;
use crate::platform::cloudflare::dns::Hostnames;
use crate::platform::{AnyTarget, Changes, PlatformError, PlatformErrorKind, Scope, Target};
use crate::shutdown::{self, Shutdown};

/// What a release belongs to and works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The product.
    pub product: Name,
    /// The environment.
    pub environment: Name,
    /// The release's id.
    pub release: ReleaseId,
    /// The git commit.
    pub commit: String,
    /// Who or what asked for it, in words.
    pub reason: String,
    /// By which checks and proofs are asked.
    pub transport: Transport,
    /// Where it is told.
    pub events: Events,
    /// What ends it.
    pub shutdown: Shutdown,
    /// Its named waits.
    pub timing: Timing,
    /// The secrets that checks sign with, by variable.
    pub secrets: BTreeMap<String, secrecy::SecretString>,
    /// What to do when somebody else changed what serves.
    pub drift: DriftPolicy,
    /// Where changes of users' traffic are noted; every release begins with none.
    pub changes: Changes,
    /// The hostnames of its targets whose DNS is Cloudflare's.
    pub hostnames: Hostnames,
}

/// The named waits of a release.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long the serving revisions are judged before the commit.
    pub watch: Duration,
    /// How long the release may be spread over two sides; exceeding it goes back while some target has not moved, else it is reported.
    pub max_skew: Option<Duration>,
    /// How long a prepared revision may take to be healthy by the platform's word.
    pub verify_limit: Duration,
    /// How long the public addresses may take to show the new revision.
    pub proof_limit: Duration,
    /// How long a public address may keep failing (5xx) after it was given the new revision before it is believed.
    pub failing_limit: Duration,
    /// The pause between two askings of the same thing.
    pub pause: Duration,
    /// How long one target may take to go back, all tries together.
    pub back_limit: Duration,
    /// How long after it was sent something whose answer was lost may still have its effect: the longest deadline of a request, and a margin
    /// for a platform that acts after it has hung up.
    pub late: Duration,
    /// How long whoever takes a release over waits for what its former runner may still do, where that was said; else it follows from `late`
    /// and [`ownership::Terms::term`].
    pub quarantine: Option<Duration>,
    /// How long the fate of a commit whose answer was lost is looked for.
    pub doubt_limit: Duration,
    /// How many edges a proof asks; in the real world, how many times it asks.
    pub edges: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(10),
            max_skew: None,
            verify_limit: Duration::from_secs(120),
            proof_limit: Duration::from_secs(60),
            failing_limit: Duration::from_secs(5),
            pause: Duration::from_millis(250),
            back_limit: Duration::from_secs(120),
            late: Duration::from_secs(60),
            quarantine: None,
            doubt_limit: Duration::from_secs(300),
            edges: 3,
        }
    }
}

impl Context {
    /// Returns the scope of a call forward in `phase`, ended by `shutdown`.
    pub fn scope(&self, phase: Phase, shutdown: &Shutdown) -> Scope {
        Scope {
            product: self.product.clone(),
            environment: self.environment.clone(),
            release: self.release.clone(),
            commit: self.commit.clone(),
            phase,
            events: self.events.clone(),
            shutdown: shutdown.clone(),
            changes: self.changes.clone(),
            turn: crate::platform::Turn::default(),
            expected: None,
        }
    }

    fn cancelled(&self) -> bool {
        self.shutdown.level() >= shutdown::Level::Drain
    }
}

/// Why a release does not go forward.
#[derive(Debug, Clone)]
pub struct Failure {
    /// In which phase.
    pub phase: Phase,
    /// On which target, if on one.
    pub target: Option<Name>,
    /// What failed, in a whole sentence with platform, call and request id.
    pub text: String,
    /// What to try.
    pub hints: Vec<String>,
    /// Whether the run's cancellation is the cause.
    pub cancelled: bool,
    /// Whether it is a check that fails on what served before as well.
    pub suspect: bool,
    /// Whether the release may be another runner's by now, or committed: then nothing more is changed from here.
    pub overtaken: bool,
}

impl Failure {
    fn on(phase: Phase, target: &Name, error: &PlatformError) -> Self {
        Self {
            phase,
            target: Some(target.clone()),
            text: error.to_string(),
            hints: error.hints.clone(),
            cancelled: error.cancelled(),
            suspect: false,
            overtaken: false,
        }
    }

    fn said(phase: Phase, target: Option<&Name>, text: impl Into<String>) -> Self {
        Self { phase, target: target.cloned(), text: text.into(), hints: Vec::new(), cancelled: false, suspect: false, overtaken: false }
    }

    fn cancellation(phase: Phase) -> Self {
        Self { cancelled: true, ..Self::said(phase, None, "the run was cancelled") }
    }

    fn journal(phase: Phase, error: &StoreError) -> Self {
        let overtaken = matches!(error, StoreError::Overtaken { .. } | StoreError::Unknown { .. });
        Self { overtaken, ..Self::said(phase, None, error.to_string()) }
    }

    /// Returns whether it holds the release instead of condemning it: no traffic has moved, and what serves fails the same check.
    fn holds(&self) -> bool {
        self.suspect && self.phase < Phase::CutOver
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{} of {target}: {}", self.phase, self.text),
            None => write!(f, "{}: {}", self.phase, self.text),
        }
    }
}

/// A release about to run: its plan, its targets and its journal.
#[derive(Debug)]
pub struct Release<'a> {
    context: Context,
    journal: &'a mut Journal,
    plan: Plan,
    reached: BTreeMap<Name, cut_over::Reached>,
    baseline: baseline::Baseline,
    skew: Option<Duration>,
    skew_calls: Option<Duration>,
}

impl<'a> Release<'a> {
    /// Returns a release of what was planned.
    pub fn new(context: Context, journal: &'a mut Journal, plan: Plan) -> Self {
        // What a recovery changed before is no part of this release.
        let hostnames = hostnames::guarded(&context, journal);
        let context = Context { changes: Changes::default(), hostnames, ..context };
        let (reached, baseline) = (BTreeMap::new(), baseline::Baseline::default());
        Self { context, journal, plan, reached, baseline, skew: None, skew_calls: None }
    }

    /// Runs the release to its end: forward to the commit and through finishing, or back.
    pub async fn run(mut self) -> Ending {
        self.context.events.emit(EventKind::ReleaseStarted {
            release: self.context.release.clone(),
            environment: self.context.environment.clone(),
            targets: self.plan.summaries(),
        });
        self.tell_secrets_not_set().await;
        if self.plan.moving().next().is_none() {
            return self.end(Outcome::Carried, None).await;
        }
        if let Err(failure) = self.begin().await {
            return self.end(if failure.cancelled { Outcome::Cancelled } else { Outcome::PreflightFailed }, Some(failure)).await;
        }
        let Err(mut failure) = self.forward().await else {
            self.finish().await;
            return self.end(Outcome::Finished, None).await;
        };
        let (level, code) = if failure.holds() { (Level::Warning, "release::held") } else { (Level::Error, "release::failed") };
        self.context.events.notice(level, code, failure.to_string());
        let outcome = match self.back(&failure).await {
            Ok(()) if failure.cancelled => Outcome::Cancelled,
            Ok(()) if failure.holds() => Outcome::Held,
            Ok(()) => Outcome::RolledBack,
            Err(NotBack::Ended) => Outcome::Cancelled,
            Err(NotBack::Targets(stuck)) => {
                failure.hints.extend(stuck.into_iter().flat_map(|stuck| stuck.hints));
                Outcome::Stuck
            }
            Err(NotBack::Untouched(why)) => {
                self.context.events.notice(Level::Error, "release::untouched", why.to_string());
                Outcome::Stuck
            }
        };
        self.end(outcome, Some(failure)).await
    }

    /// The way forward, in the words of the design.
    async fn forward(&mut self) -> Result<(), Failure> {
        self.set_secrets(Phase::Prepare).await?;
        self.prepare().await?;
        self.migrate().await?;
        self.prepare_rest().await?;
        self.verify().await?;
        self.lead_hostnames().await?;
        self.cut_over().await?;
        let mut purging = hostnames::Purging::of(&self.context, &self.plan);
        purging.beside(self.watch()).await?;
        self.commit().await?;
        purging.rest().await;
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        if self.context.cancelled() {
            return Err(Failure::cancellation(Phase::Preflight));
        }
        let adopts = self.look_for_drift()?;
        self.ask_baseline().await?;
        let begun = Begun {
            release: self.context.release.clone(),
            commit: self.context.commit.clone(),
            reason: self.context.reason.clone(),
            targets: self.records().await?,
            adopts,
        };
        self.append(Phase::Preflight, Entry::Begun(Box::new(begun))).await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.phase(Phase::Commit, async |release| {
            if release.context.cancelled() {
                return Err(Failure::cancellation(Phase::Commit));
            }
            match release.append(Phase::Commit, Entry::Committed).await {
                Err(failure) if release.journal.in_doubt() => release.find_out(failure).await,
                other => other,
            }
        })
        .await
    }

    /// Looks whether a commit whose answer was lost has landed: the same record is sent until somebody can say. Only a second signal ends
    /// this early, since neither side may be touched before it is known.
    async fn find_out(&mut self, failure: Failure) -> Result<(), Failure> {
        self.context.events.notice(Level::Warning, "journal::in-doubt", format!("{}. Finding out.", failure.text));
        let until = tokio::time::Instant::now() + self.context.timing.doubt_limit;
        loop {
            match self.journal.refresh().await {
                Ok(()) => {
                    let committed = self.open().is_some_and(|open| open.stage == Stage::Committed);
                    return if committed { Ok(()) } else { Err(failure) };
                }
                Err(StoreError::Unknown { .. }) if tokio::time::Instant::now() < until => {}
                Err(error) => return Err(Failure::journal(Phase::Commit, &error)),
            }
            tokio::select! {
                biased;
                () = self.context.shutdown.at_least(shutdown::Level::Now) => return Err(failure),
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
        }
    }

    /// Makes sure that the environment is still this run's, and that everybody else knows it for long enough. During a long wait it is called
    /// again and again, so that the way back is open at any moment, whatever becomes of the journal.
    async fn keep(&mut self, phase: Phase) -> Result<(), Failure> {
        keep(&self.context, self.journal, phase).await
    }

    async fn append(&mut self, phase: Phase, entry: Entry) -> Result<(), Failure> {
        self.journal.append(entry, self.context.transport.chance()).await.map_err(|error| Failure::journal(phase, &error))
    }

    /// Runs one phase between its two events.
    async fn phase<F>(&mut self, phase: Phase, work: F) -> Result<(), Failure>
    where
        F: AsyncFnOnce(&mut Self) -> Result<(), Failure>,
    {
        let began = tokio::time::Instant::now();
        self.context.events.emit(EventKind::PhaseStarted { phase });
        let result = work(self).await;
        let failure = result.as_ref().err().map(|failure| failure.text.clone());
        self.context.events.emit(EventKind::PhaseFinished { phase, duration: began.elapsed(), failure });
        result
    }

    fn open(&self) -> Option<&Open> {
        self.journal.state().open.as_ref()
    }
}

/// See [`Release::keep`].
async fn keep(context: &Context, journal: &mut Journal, phase: Phase) -> Result<(), Failure> {
    let renewed = journal.renew_if_near(context.transport.chance()).await;
    renewed.map_err(|error| Failure::journal(phase, &error))?;
    let half = journal.ownership().terms().look / 2;
    journal.ownership().assure_within(half).await.map_err(|not_ours| Failure::said(phase, None, not_ours.to_string()))
}

/// Returns a cancellation on a target as its own kind of error.
fn cancelled(target: &AnyTarget, operation: &'static str) -> PlatformError {
    PlatformError::new(target.platform(), operation, target.thing(), PlatformErrorKind::Cancelled)
}

/// Returns the checks of a target that can be asked at the address of its prepared revision, and those that must wait for `watch`.
fn split_checks<'c>(target: &AnyTarget, checks: &'c [Check]) -> (Vec<&'c Check>, Vec<&'c Check>) {
    use crate::platform::AskedFrom;
    match target.capabilities().asked_from {
        AskedFrom::Public => (checks.iter().collect(), Vec::new()),
        AskedFrom::PlatformChecks => checks.iter().partition(|check| check.plain_get().is_some()),
        AskedFrom::Nowhere => (Vec::new(), checks.iter().collect()),
    }
}
