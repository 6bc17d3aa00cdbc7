//! Verify: the prepared revisions are judged before any user gets them.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::check::{Asked, Judgement};
use super::plan::Planned;
use super::{Failure, Release, cancelled};
use crate::event::{EventKind, Level, Phase, Verdict};
use crate::http::Via;
use crate::platform::{Health, PlatformError, PlatformErrorKind, Preparation, Revision, Target};

impl Release<'_> {
    /// Judges all prepared revisions: by their platform's word, and by the manifest's checks where they can be asked.
    pub(super) async fn verify(&mut self) -> Result<(), Failure> {
        self.phase(Phase::Verify, async |release| {
            let results = join_all(release.plan.moving().map(|planned| release.verify_one(planned))).await;
            results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
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
                self.checked(name, check, Phase::Verify, Verdict::Pass, "asked by the platform's own checks".to_owned());
            }
            return Ok(());
        };
        let asked = Asked { base: address, headers, via: Via::Public { edge: 0 }, revision: &revision.digest };
        for check in now {
            let judgement = check.judge(&self.context, &asked).await;
            self.judged(name, check, Phase::Verify, judgement)?;
        }
        Ok(())
    }

    /// Tells a judgement and turns a failed one into a failure.
    pub(super) fn judged(
        &self,
        target: &crate::id::Name,
        check: &crate::manifest::Check,
        phase: Phase,
        judgement: Judgement,
    ) -> Result<(), Failure> {
        let Judgement { verdict, detail } = judgement;
        self.checked(target, check, phase, verdict, detail.clone());
        if self.context.cancelled() {
            return Err(Failure::cancellation(phase));
        }
        match verdict {
            Verdict::Pass | Verdict::Flaky => Ok(()),
            Verdict::Fail | Verdict::Suspect => {
                Err(Failure::said(phase, Some(target), format!("the check {} failed: {detail}", check.name)))
            }
        }
    }

    fn checked(&self, target: &crate::id::Name, check: &crate::manifest::Check, phase: Phase, verdict: Verdict, detail: String) {
        self.context.events.emit(EventKind::Checked { target: target.clone(), check: check.name.clone(), phase, verdict, detail });
    }
}
