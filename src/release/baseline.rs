//! Baseline: what serves now is asked first, by every check that has not changed since the release that serves.
//!
//! A check that fails on what serves and on what was prepared says nothing about the new release: the verdict is *suspect*, and the release
//! is held instead of condemned. Once traffic has moved a suspect check takes the release back like any other, and says so. A check that
//! is new or was changed has no baseline: nobody knows how it did before. Asking changes nothing, so it comes before the first record.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::check::{Asked, Judgement};
use super::journal::State;
use super::plan::Planned;
use super::{Failure, Release, drift};
use crate::event::{EventKind, Phase, Verdict};
use crate::http::Via;
use crate::id::Name;
use crate::manifest::Check;
use crate::platform::{PlatformError, PlatformErrorKind, RevisionDigest, Target};

/// The checks that fail on what serves now, by target, each with what was seen.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    failed: BTreeMap<Name, Vec<(Check, String)>>,
}

impl Baseline {
    /// Returns what was seen when `check` failed on what `target` serves; `None` when it passed there, or could not be asked.
    pub(super) fn failed(&self, target: &Name, check: &Check) -> Option<&str> {
        let failed = self.failed.get(target)?;
        failed.iter().find(|(known, _)| known == check).map(|(_, seen)| seen.as_str())
    }

    /// Returns the judgement in the light of how the same check did on what served.
    pub(super) fn weigh(&self, target: &Name, check: &Check, judgement: Judgement) -> Judgement {
        let Some(before) = self.failed(target, check) else { return judgement };
        let Judgement { verdict, detail } = judgement;
        match verdict {
            Verdict::Pass | Verdict::Flaky => {
                Judgement { verdict, detail: format!("{detail}; it failed on what served before: this release mends it") }
            }
            Verdict::Fail | Verdict::Suspect => {
                Judgement { verdict: Verdict::Suspect, detail: format!("{detail}; on what served before: {before}") }
            }
        }
    }
}

impl Release<'_> {
    /// Asks what serves now by every check that the serving release was judged by as well; nothing to ask is nothing told.
    pub(super) async fn ask_baseline(&mut self) -> Result<(), Failure> {
        let asked: Vec<(Name, Check)> = self
            .plan
            .moving()
            .flat_map(|planned| unchanged(self.journal.state(), planned).map(|check| (planned.target.name().clone(), check.clone())))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        self.phase(Phase::Observe, async |release| {
            let judged = join_all(asked.iter().map(|(target, check)| release.ask_serving(target, check))).await;
            if release.context.cancelled() {
                return Err(Failure::cancellation(Phase::Observe));
            }
            for ((target, check), judgement) in asked.into_iter().zip(judged) {
                let Some(Judgement { verdict: verdict @ (Verdict::Fail | Verdict::Suspect), detail }) = judgement else { continue };
                let (name, seen) = (check.name.clone(), detail.clone());
                release.context.events.emit(EventKind::Checked {
                    target: target.clone(),
                    check: name,
                    phase: Phase::Observe,
                    verdict,
                    detail: seen,
                });
                release.baseline.failed.entry(target).or_default().push((check, detail));
            }
            Ok(())
        })
        .await
    }

    /// Judges what a target serves at every edge in turn; the first edge at which the check fails decides. `None`: it cannot be asked.
    async fn ask_serving(&self, target: &Name, check: &Check) -> Option<Judgement> {
        let planned = self.plan.targets.iter().find(|planned| planned.target.name() == target)?;
        let (base, revision) = (planned.target.public_url()?, judged_as(planned, check)?);
        let mut last = None;
        for edge in 0..self.context.timing.edges.max(1) {
            let asked = Asked { base: base.clone(), headers: Vec::new(), via: Via::Public { edge }, revision };
            let judgement = check.judge(&self.context, &asked).await;
            let failed = judgement.verdict == Verdict::Fail;
            last = Some(judgement);
            if failed || self.context.cancelled() {
                break;
            }
        }
        last
    }

    /// Turns a platform's refusal into a failure; a check of the manifest that the platform asked for us is told and weighed as our own are.
    pub(super) fn refused(&self, phase: Phase, planned: &Planned, error: &PlatformError) -> Failure {
        let name = planned.target.name();
        let failure = Failure::on(phase, name, error);
        let PlatformErrorKind::CheckFailing { ordinals, why } = &error.kind else { return failure };
        let asked: Vec<&Check> = planned.checks.iter().filter(|check| check.plain_get().is_some()).collect();
        let judged = ordinals.iter().filter_map(|ordinal| asked.get(*ordinal)).map(|check| {
            let judgement = Judgement { verdict: Verdict::Fail, detail: format!("asked by the platform's own checks: {why}") };
            self.judged(name, check, phase, judgement)
        });
        match decisive(judged.collect::<Vec<_>>()) {
            Err(weighed) if weighed.suspect => weighed,
            _ => failure,
        }
    }
}

/// Returns the failure that decides: what only the new release fails comes before what fails on both sides.
pub(super) fn decisive(results: impl IntoIterator<Item = Result<(), Failure>>) -> Result<(), Failure> {
    let mut suspect = None;
    for failure in results.into_iter().filter_map(Result::err) {
        if !failure.suspect {
            return Err(failure);
        }
        suspect.get_or_insert(failure);
    }
    suspect.map_or(Ok(()), Err)
}

/// Returns the checks of a target that judged the release that serves as well, word for word.
fn unchanged<'p>(state: &State, planned: &'p Planned) -> impl Iterator<Item = &'p Check> {
    let known = drift::left(state, &planned.target).map(|shipped| shipped.checks.clone()).unwrap_or_default();
    let serves = !planned.before.serving.is_empty();
    planned.checks.iter().filter(move |check| serves && known.contains(check))
}

/// Returns the revision against which a check judges what serves; `None` where it needs one and several serve.
fn judged_as<'p>(planned: &'p Planned, check: &Check) -> Option<&'p RevisionDigest> {
    match planned.before.single() {
        Some(revision) => Some(&revision.digest),
        None if check.proves_revision() => None,
        None => planned.before.serving.first().map(|weighted| &weighted.revision.digest),
    }
}
