//! Watch: what serves is judged by every check, from outside, before the commit is written down.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::baseline::decisive;
use super::check::Asked;
use super::plan::Planned;
use super::{Failure, Release};
use crate::event::{EventKind, Phase};
use crate::http::Via;
use crate::platform::Target;

/// The pause between two rounds of checks.
const ROUND: Duration = Duration::from_secs(1);

impl Release<'_> {
    /// Asks all checks of all targets in rounds until the watch is over; at least one whole round.
    pub(super) async fn watch(&mut self) -> Result<(), Failure> {
        self.phase(Phase::Watch, async |release| {
            let began = Instant::now();
            let mut round = 0;
            loop {
                let results = join_all(release.plan.moving().map(|planned| release.watch_one(planned, round))).await;
                decisive(results)?;
                release.keep(Phase::Watch).await?;
                round += 1;
                let left = release.context.timing.watch.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return release.prove_the_rest().await;
                }
                tokio::select! {
                    biased;
                    () = release.context.shutdown.at_least(crate::shutdown::Level::Drain) => return Err(Failure::cancellation(Phase::Watch)),
                    () = tokio::time::sleep(ROUND.min(left)) => {}
                }
            }
        })
        .await
    }

    async fn watch_one(&self, planned: &Planned, round: usize) -> Result<(), Failure> {
        let name = planned.target.name();
        let (Some(url), Some(revision)) = (planned.target.public_url(), &planned.after) else { return Ok(()) };
        let began = Instant::now();
        let mut results = Vec::new();
        for check in &planned.checks {
            let asked = Asked { base: url.clone(), headers: Vec::new(), via: Via::Public { edge: round }, revision: &revision.digest };
            let judgement = check.judge(&self.context, &asked).await;
            // Later rounds are told only when they change the story.
            let told = round == 0 || judgement.verdict != crate::event::Verdict::Pass;
            if told {
                results.push(self.judged(name, check, Phase::Watch, judgement));
            }
            if matches!(results.last(), Some(Err(failure)) if !failure.suspect) {
                break;
            }
        }
        let result = decisive(results);
        if round == 0 || result.is_err() {
            let failure = result.as_ref().err().map(|failure| failure.text.clone());
            let (target, duration) = (name.clone(), began.elapsed());
            self.context.events.emit(EventKind::TargetFinished { target, phase: Phase::Watch, duration, failure });
        }
        result
    }
}
