//! Cut over: users get the new revisions, target by target, dependencies first.

use tokio::time::Instant;

use super::journal::Entry;
use super::{Failure, Release};
use crate::event::{EventKind, Level, Phase};
use crate::platform::Target;

impl Release<'_> {
    /// Serves every prepared revision in order; the record of the intent is on the disk before the first change.
    pub(super) async fn cut_over(&mut self) -> Result<(), Failure> {
        self.phase(Phase::CutOver, async |release| {
            if release.context.cancelled() {
                return Err(Failure::cancellation(Phase::CutOver));
            }
            release.look_again().await?;
            release.append(Phase::CutOver, Entry::Cutting).await?;
            let first_change = Instant::now();
            release.serve_in_order(first_change).await?;
            release.prove_all().await?;
            release.skew = Some(first_change.elapsed());
            if let Some(budget) = release.context.timing.max_skew.filter(|budget| first_change.elapsed() > *budget) {
                let text = format!("The release was spread over two sides for {:.1?}; its budget is {budget:?}.", first_change.elapsed());
                release.context.events.notice(Level::Warning, "release::skew", text);
            }
            Ok(())
        })
        .await
    }

    async fn serve_in_order(&self, first_change: Instant) -> Result<(), Failure> {
        let scope = self.context.scope(Phase::CutOver, &self.context.shutdown);
        for planned in self.plan.moving() {
            let name = planned.target.name();
            if self.context.cancelled() {
                return Err(Failure::cancellation(Phase::CutOver));
            }
            if let Some(budget) = self.context.timing.max_skew.filter(|budget| first_change.elapsed() > *budget) {
                let text = format!("{:.1?} have passed since the first target changed and {name} has not; the budget is {budget:?}", {
                    first_change.elapsed()
                });
                return Err(Failure::said(Phase::CutOver, Some(name), text));
            }
            let Some(revision) = &planned.after else {
                return Err(Failure::said(Phase::CutOver, Some(name), "there is no prepared revision to serve"));
            };
            let began = Instant::now();
            let result = planned.target.serve(&scope, revision).await;
            let failure = result.as_ref().err().map(ToString::to_string);
            let duration = began.elapsed();
            self.context.events.emit(EventKind::TargetFinished { target: name.clone(), phase: Phase::CutOver, duration, failure });
            let observed = result.map_err(|error| self.refused(Phase::CutOver, planned, &error))?;
            if !observed.single().is_some_and(|serving| serving.same_content(revision)) {
                let seen: Vec<_> = observed.serving.iter().map(|weighted| weighted.revision.label.as_str()).collect();
                let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join(" and ") };
                let text = format!("{} was told to serve {} and serves {seen}", planned.target.thing(), revision.label);
                return Err(Failure::said(Phase::CutOver, Some(name), text));
            }
        }
        Ok(())
    }
}
