//! Verify: the prepared revisions are judged before any user gets them.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::baseline::decisive;
use super::check::{Asked, Judgement};
use super::plan::Planned;
use super::{Failure, Release, cancelled};
use crate::event::{EventKind, Level, Phase, Verdict};
use crate::http::Via;
use crate::id::Name;
use crate::manifest::Check;
use crate::platform::{Health, PlatformError, PlatformErrorKind, Preparation, Revision, Target};

impl Release<'_> {
    /// Judges all prepared revisions: by their platform's word, and by the manifest's checks where they can be asked.
    pub(super) async fn verify(&mut self) -> Result<(), Failure> {
        self.phase(Phase::Verify, async |release| {
            let results = join_all(release.plan.moving().map(|planned| release.verify_one(planned))).await;
            decisive(results)
        })
        .await
    }

    async fn verify_one(&self, planned: &Planned) -> Result<(), Failure> {
        let name = planned.target.name();
        let began = Instant::now();
        let Some(revision) = &planned.after else {
            return Err(Failure::said(Phase::Verify, Some(name), "there is no prepared revision to judge"));
        };
        // What runs only when it serves has no health before; its serving waits for it, step by step.
        let runs = planned.target.capabilities().prepare == Preparation::Fully;
        let healthy = if runs { self.wait_healthy(planned, revision).await } else { Ok(()) };
        let result = match healthy {
            Ok(()) => self.ask_prepared(planned, revision).await,
            Err(error) => Err(Failure::on(Phase::Verify, name, &error)),
        };
        let failure = result.as_ref().err().map(|failure| failure.text.clone());
        let duration = began.elapsed();
        self.context.events.emit(EventKind::TargetFinished { target: name.clone(), phase: Phase::Verify, duration, failure });
        result
    }

    async fn wait_healthy(&self, planned: &Planned, revision: &Revision) -> Result<(), PlatformError> {
        let target = &planned.target;
        let scope = self.context.scope(Phase::Verify, &self.context.shutdown);
        let deadline = Instant::now() + self.context.timing.verify_limit;
        loop {
            if self.context.cancelled() {
                return Err(cancelled(target, "probe"));
            }
            let waits_for = match target.probe(&scope, revision).await? {
                Health::Healthy => return Ok(()),
                Health::Unhealthy(reason) => {
                    return Err(PlatformError::new(target.platform(), "probe", target.thing(), PlatformErrorKind::Unhealthy(reason)));
                }
                Health::Unknown(reason) => reason,
            };
            if Instant::now() + self.context.timing.pause > deadline {
                let kind = PlatformErrorKind::TimedOut { what: format!("health ({waits_for})"), limit: self.context.timing.verify_limit };
                return Err(PlatformError::new(target.platform(), "probe", target.thing(), kind));
            }
            tokio::time::sleep(self.context.timing.pause).await;
        }
    }

    async fn ask_prepared(&self, planned: &Planned, revision: &Revision) -> Result<(), Failure> {
        let name = planned.target.name();
        let (now, later) = super::split_checks(&planned.target, &planned.checks);
        if !later.is_empty() {
            let list: Vec<_> = later.iter().map(|check| check.name.as_str()).collect();
            let text = format!("{name} cannot be asked before it serves; asked in watch, before the commit: {}.", list.join(", "));
            self.context.events.notice(Level::Note, "check::asked-in-watch", text);
        }
        let Some((address, headers)) = planned.target.prepared_url(revision) else {
            // Its platform's checks have asked the plain GETs, and wait_healthy has heard their word.
            for check in now {
                let judgement = Judgement { verdict: Verdict::Pass, detail: "asked by the platform's own checks".to_owned() };
                self.judged(name, check, Phase::Verify, judgement)?;
            }
            return Ok(());
        };
        let asked = Asked { base: address, headers, via: Via::Public { edge: 0 }, revision: &revision.digest };
        let mut results = Vec::new();
        for check in now {
            let judgement = check.judge(&self.context, &asked).await;
            results.push(self.judged(name, check, Phase::Verify, judgement));
            // After a suspect one the others are asked all the same: one that only the new release fails condemns it.
            if matches!(results.last(), Some(Err(failure)) if !failure.suspect) {
                break;
            }
        }
        decisive(results)
    }

    /// Tells a judgement, weighed by the baseline, and turns a failed one into a failure.
    pub(super) fn judged(&self, target: &Name, check: &Check, phase: Phase, judgement: Judgement) -> Result<(), Failure> {
        if self.context.cancelled() {
            // What a cancelled run could not ask to the end is no verdict.
            return Err(Failure::cancellation(phase));
        }
        let Judgement { verdict, detail } = self.baseline.weigh(target, check, judgement);
        self.context.events.emit(EventKind::Checked {
            target: target.clone(),
            check: check.name.clone(),
            phase,
            verdict,
            detail: detail.clone(),
        });
        match verdict {
            Verdict::Pass | Verdict::Flaky => Ok(()),
            Verdict::Fail => Err(Failure::said(phase, Some(target), format!("the check {} failed: {detail}", check.name))),
            Verdict::Suspect => Err(suspect(phase, target, check, &detail)),
        }
    }
}

/// Returns the failure of a check that fails on both sides.
fn suspect(phase: Phase, target: &Name, check: &Check, detail: &str) -> Failure {
    let so = if phase < Phase::CutOver {
        "so it does not condemn the new release, and the release is held: no traffic has moved"
    } else {
        "but traffic had moved, so the release goes back like any that fails"
    };
    let text = format!("the check {} failed, and it fails on what served before as well, {so}: {detail}", check.name);
    let mut failure = Failure::said(phase, Some(target), text);
    failure.suspect = true;
    failure.hints = vec![
        format!("find out why {} of {target} fails on what serves now, then release again", check.name),
        "a check that is changed in the manifest judges the new release alone".to_owned(),
    ];
    failure
}
