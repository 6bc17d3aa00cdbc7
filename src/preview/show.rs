//! A commit is shown on every target of a preview.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use indexmap::IndexMap;
use tokio::time::Instant;

use super::AnyPreview;
use crate::event::{EventKind, Level, Outcome, Phase, Serving, Side, TargetSummary};
use crate::graph;
use crate::id::Name;
use crate::manifest::{Check, Equals};
use crate::platform::{Artifact, PlatformError, Preview, PreviewScope, Shown};
use crate::release::{Address, Context, ask_checks};
use crate::shutdown;

/// How long what was just shown may take to answer as its checks expect: a machine starts, edges lag.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// One target's copy, with what judges it.
#[derive(Debug)]
pub struct Copy {
    /// The copy.
    pub preview: AnyPreview,
    /// Targets that are shown before it.
    pub after: Vec<Name>,
    /// What judges it.
    pub checks: Vec<Check>,
}

/// What is shown, and where.
#[derive(Debug)]
pub struct Showing<'a> {
    /// What the calls belong to.
    pub scope: PreviewScope,
    /// By which checks are asked.
    pub context: &'a Context,
    /// The copies.
    pub copies: Vec<Copy>,
}

/// Why a preview does not show the commit on every target.
#[derive(Debug, Clone)]
pub struct ShowFailure {
    /// What failed, in whole sentences.
    pub text: String,
    /// What to try.
    pub hints: Vec<String>,
    /// Whether the run was cancelled.
    pub cancelled: bool,
    /// Whether nothing was made or changed.
    pub untouched: bool,
}

/// Why a preview does not show the commit on every target, and what it shows instead.
#[derive(Debug, Clone)]
pub struct NotShown {
    /// Why.
    pub failure: ShowFailure,
    /// Which commit its targets show now: this one, what they showed before, or some of each.
    pub serving: Serving,
}

impl ShowFailure {
    fn of(target: &Name, error: &PlatformError, untouched: bool) -> Self {
        Self { text: format!("{target}: {error}"), hints: error.hints.clone(), cancelled: error.cancelled(), untouched }
    }

    /// Joins failures to one, so that a person fixes them in one go.
    fn joined(failures: &[Self]) -> Option<Self> {
        let cancelled = failures.iter().any(|failure| failure.cancelled);
        let untouched = failures.iter().all(|failure| failure.untouched);
        let text = failures.iter().map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("\n");
        let hints = failures.iter().flat_map(|failure| failure.hints.clone()).collect();
        (!failures.is_empty()).then_some(Self { text, hints, cancelled, untouched })
    }
}

/// Shows a commit on every target, in place: looks that everything is right, makes what is not there, ships by `ship`, shows in the order of
/// the targets, and asks the checks. What fails on one target is told, and what does not depend on it is shown all the same: nobody's
/// traffic is at stake, and a reviewer may want the other half.
pub async fn show<S>(showing: &Showing<'_>, ship: S) -> Result<(), NotShown>
where
    S: AsyncFn(&AnyPreview) -> Result<Artifact, ShowFailure>,
{
    let before = preflight(showing).await.map_err(|failure| NotShown { failure, serving: Serving::Before })?;
    let scope = &showing.scope;
    let summary = |(copy, before): (&Copy, &Option<Shown>)| TargetSummary {
        name: copy.preview.name().clone(),
        platform: copy.preview.platform(),
        thing: copy.preview.thing().to_owned(),
        url: copy.preview.answers().then(|| copy.preview.address()),
        before: before.as_ref().map(label),
        after: Some(short(&scope.commit)),
        carried: false,
        cost: None,
        monthly: None,
    };
    scope.events.emit(EventKind::ReleaseStarted {
        release: scope.release.clone(),
        environment: scope.environment.clone(),
        targets: showing.copies.iter().zip(&before).map(summary).collect(),
    });
    let mut made: IndexMap<Name, Result<Shown, ShowFailure>> = IndexMap::new();
    let work = async {
        phase(scope, Phase::Prepare, make(showing)).await?;
        phase(scope, Phase::CutOver, ship_and_show(showing, &ship, &mut made)).await
    };
    let result: Result<(), ShowFailure> = work.await;
    let mut seen = BTreeSet::new();
    let result = match result {
        Ok(()) => phase(scope, Phase::Watch, judge(showing, &made, &mut seen)).await,
        // What is shown is judged all the same, unless nobody waits for it any more.
        Err(failure) if !failure.cancelled => {
            let judged = phase(scope, Phase::Watch, judge(showing, &made, &mut seen)).await;
            let all: Vec<ShowFailure> = std::iter::once(failure).chain(judged.err()).collect();
            ShowFailure::joined(&all).map_or(Ok(()), Err)
        }
        Err(failure) => Err(failure),
    };
    settle(showing, &before, &made, &seen);
    let serving = tell_end(scope, &made, &result);
    result.map_err(|failure| NotShown { failure, serving })
}

async fn phase<T>(scope: &PreviewScope, phase: Phase, work: impl Future<Output = Result<T, ShowFailure>>) -> Result<T, ShowFailure> {
    let began = Instant::now();
    scope.events.emit(EventKind::PhaseStarted { phase });
    let result = work.await;
    let failure = result.as_ref().err().map(|failure| failure.text.clone());
    scope.events.emit(EventKind::PhaseFinished { phase, duration: began.elapsed(), failure });
    result
}

/// Asks every copy whether it can be made, and what it shows; changes nothing.
async fn preflight(showing: &Showing<'_>) -> Result<Vec<Option<Shown>>, ShowFailure> {
    let scope = PreviewScope { phase: Phase::Preflight, ..showing.scope.clone() };
    let look = async {
        let asked = showing.copies.iter().map(async |copy| {
            let name = copy.preview.name();
            let failed = |error: PlatformError| ShowFailure::of(name, &error, true);
            let problems = copy.preview.preflight(&scope).await.map_err(failed)?;
            let mut fatal = Vec::new();
            for problem in problems {
                if problem.fatal {
                    let hints = problem.hint.into_iter().collect();
                    fatal.push(ShowFailure { text: format!("{name}: {}", problem.text), hints, cancelled: false, untouched: true });
                } else {
                    let hint = problem.hint.map(|hint| format!(" {hint}")).unwrap_or_default();
                    scope.events.notice(Level::Warning, problem.code, format!("{name}: {}{hint}", problem.text));
                }
            }
            match ShowFailure::joined(&fatal) {
                Some(failure) => Err(failure),
                None => copy.preview.shown(&scope).await.map_err(failed),
            }
        });
        let (mut shown, mut failures) = (Vec::new(), Vec::new());
        for answer in join_all(asked).await {
            match answer {
                Ok(found) => shown.push(found),
                Err(failure) => failures.push(failure),
            }
        }
        ShowFailure::joined(&failures).map_or(Ok(shown), Err)
    };
    phase(&scope, Phase::Preflight, look).await
}

async fn make(showing: &Showing<'_>) -> Result<(), ShowFailure> {
    let scope = PreviewScope { phase: Phase::Prepare, ..showing.scope.clone() };
    let made = join_all(showing.copies.iter().map(async |copy| (copy, copy.preview.make(&scope).await))).await;
    let failed = made.iter().filter_map(|(copy, made)| Some(ShowFailure::of(copy.preview.name(), made.as_ref().err()?, false)));
    ShowFailure::joined(&failed.collect::<Vec<_>>()).map_or(Ok(()), Err)
}

async fn ship_and_show<S>(showing: &Showing<'_>, ship: &S, made: &mut IndexMap<Name, Result<Shown, ShowFailure>>) -> Result<(), ShowFailure>
where
    S: AsyncFn(&AnyPreview) -> Result<Artifact, ShowFailure>,
{
    let needs = |copy: &Copy| -> Vec<Name> {
        copy.after.iter().filter(|after| showing.copies.iter().any(|it| it.preview.name() == *after)).cloned().collect()
    };
    let names: Vec<Name> = showing.copies.iter().map(|copy| copy.preview.name().clone()).collect();
    let of = |name: &Name| showing.copies.iter().find(|copy| copy.preview.name() == name).map(&needs).unwrap_or_default();
    // The manifest has no circles; where one came about all the same, the written order is as good as any.
    let order = graph::order(&names, of).unwrap_or(names);
    for name in order {
        let Some(copy) = showing.copies.iter().find(|copy| *copy.preview.name() == name) else { continue };
        let missing = needs(copy).into_iter().find(|after| made.get(after).is_some_and(Result::is_err));
        let shown = match missing {
            Some(after) => {
                let text = format!("{name}: not shown, because it comes after {after}, which failed");
                Err(ShowFailure { text, hints: Vec::new(), cancelled: false, untouched: true })
            }
            None => one(showing, copy, ship).await,
        };
        let ended = shown.as_ref().is_err_and(|failure| failure.cancelled);
        made.insert(name, shown);
        if ended {
            break;
        }
    }
    let failed: Vec<ShowFailure> = made.values().filter_map(|shown| shown.as_ref().err().cloned()).collect();
    ShowFailure::joined(&failed).map_or(Ok(()), Err)
}

async fn one<S>(showing: &Showing<'_>, copy: &Copy, ship: &S) -> Result<Shown, ShowFailure>
where
    S: AsyncFn(&AnyPreview) -> Result<Artifact, ShowFailure>,
{
    let (name, began) = (copy.preview.name().clone(), Instant::now());
    let scope = PreviewScope { phase: Phase::CutOver, ..showing.scope.clone() };
    let work = async {
        if scope.shutdown.level() >= shutdown::Level::Drain {
            return Err(ShowFailure { text: "the run was cancelled".to_owned(), hints: Vec::new(), cancelled: true, untouched: false });
        }
        let artifact = ship(&copy.preview).await?;
        copy.preview.show(&scope, &artifact).await.map_err(|error| ShowFailure::of(&name, &error, false))
    };
    let shown = work.await;
    let failure = shown.as_ref().err().map(|failure: &ShowFailure| failure.text.clone());
    scope.events.emit(EventKind::TargetFinished { target: name.clone(), phase: Phase::CutOver, duration: began.elapsed(), failure });
    shown
}

/// Asks the checks of everything that is shown; `seen` gets the targets whose address itself showed the revision.
async fn judge(
    showing: &Showing<'_>,
    made: &IndexMap<Name, Result<Shown, ShowFailure>>,
    seen: &mut BTreeSet<Name>,
) -> Result<(), ShowFailure> {
    let asked = showing.copies.iter().map(async |copy| {
        let name = copy.preview.name();
        let Some(Ok(shown)) = made.get(name) else { return Vec::new() };
        let nothing = crate::platform::RevisionDigest::of(b"");
        let revision = shown.revision.as_ref().unwrap_or(&nothing);
        let at = Address { base: copy.preview.address(), headers: copy.preview.opening(), revision };
        ask_checks(showing.context, name, &copy.checks, &at, ANSWER_LIMIT.min(showing.context.timing.proof_limit)).await
    });
    let failed = join_all(asked).await;
    let asks = |copy: &Copy| copy.checks.iter().any(|check| check.expect.equals == Some(Equals::Revision));
    let passed = showing.copies.iter().zip(&failed).filter(|(copy, failed)| failed.is_empty() && asks(copy));
    seen.extend(passed.map(|(copy, _)| copy.preview.name().clone()).filter(|name| made.get(name).is_some_and(Result::is_ok)));
    let failed: Vec<ShowFailure> = showing
        .copies
        .iter()
        .zip(failed)
        .flat_map(|(copy, failed)| failed.into_iter().map(|text| format!("{}: {text}", copy.preview.name())))
        .map(|text| ShowFailure { text, hints: Vec::new(), cancelled: false, untouched: false })
        .collect();
    ShowFailure::joined(&failed).map_or(Ok(()), Err)
}

/// Tells what every copy shows now.
fn settle(showing: &Showing<'_>, before: &[Option<Shown>], made: &IndexMap<Name, Result<Shown, ShowFailure>>, seen: &BTreeSet<Name>) {
    for (copy, before) in showing.copies.iter().zip(before) {
        let shown = made.get(copy.preview.name());
        let serves = match shown {
            Some(Ok(_)) => Side::After,
            Some(Err(failure)) if !failure.untouched => Side::Unknown,
            _ => Side::Before,
        };
        showing.scope.events.emit(EventKind::TargetSettled {
            target: copy.preview.name().clone(),
            before: before.as_ref().map(label),
            after: Some(short(&showing.scope.commit)),
            serves,
            url: copy.preview.answers().then(|| copy.preview.address()),
            proven_from_outside: seen.contains(copy.preview.name()),
            served_ms: None,
            seen_ms: None,
        });
    }
}

/// Tells how it ended; returns what is shown now.
fn tell_end(scope: &PreviewScope, made: &IndexMap<Name, Result<Shown, ShowFailure>>, result: &Result<(), ShowFailure>) -> Serving {
    let shown = made.values().filter(|shown| shown.is_ok()).count();
    let serving = match result {
        Ok(()) => Serving::After,
        Err(_) if shown == 0 => Serving::Before,
        Err(_) => Serving::Mixed,
    };
    let outcome = match result {
        Ok(()) => Outcome::Finished,
        Err(failure) if failure.cancelled => Outcome::Cancelled,
        Err(_) => Outcome::PreviewFailed,
    };
    let (failure, hints) = match result {
        Ok(()) => (None, Vec::new()),
        Err(failure) => (Some(failure.text.clone()), failure.hints.clone()),
    };
    let (skew_ms, skew_calls_ms) = (None, None);
    scope.events.emit(EventKind::ReleaseFinished {
        release: scope.release.clone(),
        outcome,
        serving,
        skew_ms,
        skew_calls_ms,
        failure,
        hints,
    });
    serving
}

fn label(shown: &Shown) -> String {
    shown.commit.as_deref().map_or_else(|| "an earlier commit".to_owned(), short)
}

fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}
