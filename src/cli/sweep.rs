//! `cutover sweep`: removes what no open pull request owns.

use super::arguments::Sweep;
use super::conduct::{Conclusion, tell_end};
use super::previewing;
use super::run::{Base, Ready, ready};
use super::stage::Stage;
use super::{Ended, targets};
use crate::event::{EventKind, Level, Outcome, Serving};
use crate::github::{GitHub, PreviewedPulls};
use crate::id::Name;
use crate::platform::{PreviewOf, PreviewsOf};
use crate::preview::{SweepLimits, Swept, sweep};
use crate::report::previewed::SWEPT;
use crate::settings::previews;
use crate::settings::targets::NO_VARIABLES;

/// `cutover sweep`.
pub(super) async fn run(base: Base, arguments: Sweep) -> Ended {
    conducted(ready(&base).await?, arguments).await
}

/// Sweeps, and tells what was done.
pub(super) async fn conducted(ready: Ready, arguments: Sweep) -> Ended {
    let Sweep { dry_run, most, pull_request, output } = arguments;
    let limits = SweepLimits { most, only: pull_request, dry_run };
    // Nothing is deployed, so no environment is reported on.
    ready.run(None, &output, async |stage| whole(stage, limits).await).await
}

async fn whole(stage: &Stage, limits: SweepLimits) -> Conclusion {
    stage.events.emit(EventKind::RunStarted {
        product: stage.manifest.product.clone(),
        environment: None,
        commit: stage.trigger.tested_commit().to_owned(),
        trigger: stage.trigger.to_string(),
    });
    let conclusion = attempt(stage, limits).await.unwrap_or_else(|stop| stop);
    tell_end(stage, &conclusion);
    conclusion
}

async fn attempt(stage: &Stage, limits: SweepLimits) -> Result<Conclusion, Conclusion> {
    let Some(environment) = stage.manifest.preview_environment().cloned() else {
        let text = "Nothing to sweep: no environment of the manifest previews pull requests.".to_owned();
        stage.events.notice(Level::Note, SWEPT, text);
        return Ok(Conclusion::untouched(Outcome::Carried));
    };
    let github = previewing::github(stage)?;
    let of = previewing::previews_of(stage, &github, &stage.manifest.product).await?;
    let swept = swept(stage, &environment, &github, &of, limits).await?;
    Ok(told(stage, &swept, limits))
}

/// Removes the preview of one pull request that is closed; what cannot be done is told, and left to the next sweep.
pub(super) async fn one(stage: &Stage, environment: &Name, github: &GitHub, of: &PreviewOf) {
    let limits = SweepLimits { most: usize::MAX, only: Some(of.pull_request), dry_run: false };
    match swept(stage, environment, github, &of.of, limits).await {
        Ok(swept) => {
            for failed in &swept.failed {
                stage.events.notice(Level::Warning, "sweep::failed", format!("{failed}."));
            }
        }
        Err(conclusion) => {
            let why = conclusion.failure.unwrap_or_default();
            stage.events.notice(Level::Warning, "sweep::failed", format!("The preview is left to the next sweep: {why}."));
        }
    }
}

async fn swept(stage: &Stage, environment: &Name, github: &GitHub, of: &PreviewsOf, limits: SweepLimits) -> Result<Swept, Conclusion> {
    let means = targets::means_of(stage, &NO_VARIABLES);
    let (grounds, faults) = previews::grounds(&means, &stage.manifest, environment, &stage.transport);
    let pulls = PreviewedPulls::new(github.clone(), of.product.clone(), environment.clone());
    let mut swept = sweep(&grounds, of, &pulls, limits, (&stage.events, &stage.shutdown)).await.map_err(|error| {
        let hints = vec!["the job needs `pull-requests: read`, `deployments: write` and `contents: read`".to_owned()];
        Conclusion::refused(error.to_string(), hints)
    })?;
    swept.failed.extend(faults.iter().map(ToString::to_string));
    Ok(swept)
}

fn told(stage: &Stage, swept: &Swept, limits: SweepLimits) -> Conclusion {
    let things = |count: usize| if count == 1 { "1 thing".to_owned() } else { format!("{count} things") };
    if limits.dry_run {
        for thing in &swept.removed {
            let text = format!("Would remove {} ({}), of pull request #{}.", thing.thing, thing.platform, thing.pull_request);
            stage.events.notice(Level::Note, "sweep::would-remove", text);
        }
    }
    let did = if limits.dry_run { "A sweep would remove" } else { "The sweep removed" };
    let mut text = format!("{did} {} of closed pull requests; {} of open ones stay.", things(swept.removed.len()), things(swept.kept));
    if swept.left > 0 {
        let (left, most) = (things(swept.left), limits.most);
        text = format!("{text} {left} are left for the next sweep: one removes at most {most} (--most).");
    }
    let level = if swept.failed.is_empty() { Level::Note } else { Level::Warning };
    stage.events.notice(level, SWEPT, text);
    let cancelled = stage.shutdown.level() >= crate::shutdown::Level::Drain;
    let outcome = match (swept.failed.is_empty(), swept.removed.is_empty() && swept.retired.is_empty()) {
        _ if cancelled => Outcome::Cancelled,
        (false, _) => Outcome::PreviewFailed,
        (true, true) => Outcome::Carried,
        (true, false) => Outcome::Finished,
    };
    let failure = (!swept.failed.is_empty()).then(|| swept.failed.join("\n"));
    let hints = if swept.failed.is_empty() { Vec::new() } else { vec!["cutover sweep (the next one tries again)".to_owned()] };
    Conclusion { outcome, serving: Serving::Before, failure, hints }
}

/// How much a sweep removes where nobody says.
pub(super) const MOST: usize = 50;
