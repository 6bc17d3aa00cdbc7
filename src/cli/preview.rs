//! `cutover preview`: shows a pull request's commit on every target of its preview.

use std::path::{Path, PathBuf};

use super::arguments::Output;
use super::build::{self, BuildFailure};
use super::conduct::{self, Conclusion, tell_end};
use super::previewing::{self, NoPreview};
use super::run::{Base, Ready, ready};
use super::stage::Stage;
use super::{Ended, gates, preflight, sweep, targets};
use crate::event::{EventKind, Level, Outcome, Serving};
use crate::id::{Name, ReleaseId};
use crate::platform::{Preview as _, PreviewScope};
use crate::preview::{Copy, NotShown, ShowFailure, Showing, show};
use crate::report::previewed::NONE;
use crate::settings::previews;

/// `cutover preview`.
pub(super) async fn run(base: Base, artifacts: Option<PathBuf>, skip_gates: bool, output: Output) -> Ended {
    conducted(ready(&base).await?, artifacts, skip_gates, &output).await
}

/// Settles what is previewed, and shows it.
pub(super) async fn conducted(mut ready: Ready, artifacts: Option<PathBuf>, skip_gates: bool, output: &Output) -> Ended {
    let settled = previewing::settle(&mut ready.stage).await;
    let environment = ready.stage.previewing.as_ref().map(|previewing| previewing.agreed.environment.clone());
    let environment = environment.or_else(|| ready.stage.manifest.preview_environment().cloned());
    let name = environment.clone();
    ready
        .run(environment.as_ref(), output, async |stage| {
            begin(stage, name.as_ref());
            let conclusion = match settled {
                Ok(()) => preview(stage, artifacts, skip_gates).await.unwrap_or_else(|stop| stop),
                Err(NoPreview::Peaceful(why)) => {
                    stage.events.notice(Level::Note, NONE, format!("No preview: {why}"));
                    Conclusion::untouched(Outcome::Carried)
                }
                Err(NoPreview::Refused(conclusion)) => conclusion,
            };
            tell_end(stage, &conclusion);
            conclusion
        })
        .await
}

/// Builds what a preview shows, with the addresses of its other targets, into a folder; no platform is asked, and no credential is needed.
pub(super) async fn built(mut ready: Ready, out: &Path, skip_gates: bool, output: &Output) -> Ended {
    let settled = previewing::settle(&mut ready.stage).await;
    ready
        .run(None, output, async |stage| match (settled, &stage.previewing) {
            (Ok(()), Some(previewing)) => conduct::build_only(stage, &previewing.agreed.environment, out, skip_gates).await,
            (Err(NoPreview::Refused(conclusion)), _) => {
                begin(stage, None);
                tell_end(stage, &conclusion);
                conclusion
            }
            (settled, _) => {
                begin(stage, None);
                let why = match settled {
                    Err(NoPreview::Peaceful(why)) => why,
                    _ => "there is none.".to_owned(),
                };
                stage.events.notice(Level::Note, NONE, format!("No preview, so nothing is built: {why}"));
                let conclusion = Conclusion::untouched(Outcome::Carried);
                tell_end(stage, &conclusion);
                conclusion
            }
        })
        .await
}

fn begin(stage: &Stage, environment: Option<&Name>) {
    stage.events.emit(EventKind::RunStarted {
        product: stage.manifest.product.clone(),
        environment: environment.cloned(),
        commit: stage.trigger.reported_commit().to_owned(),
        trigger: stage.trigger.to_string(),
    });
    if let Some(previewing) = &stage.previewing {
        stage.events.emit(EventKind::PreviewStarted { pull_request: previewing.of.pull_request });
        for later in &previewing.agreed.later {
            let text = format!("{later} is not previewed yet: the base branch has no such target, and its previews begin after the merge.");
            stage.events.notice(Level::Note, "preview::later", text);
        }
    }
}

async fn preview(stage: &Stage, artifacts: Option<PathBuf>, skip_gates: bool) -> Result<Conclusion, Conclusion> {
    let Some(previewing) = stage.previewing.clone() else { return Ok(Conclusion::untouched(Outcome::Carried)) };
    let environment = &previewing.agreed.environment;
    let context = stage.context(environment, stage.trigger.to_string());
    let scope = PreviewScope {
        preview: previewing.of.clone(),
        environment: environment.clone(),
        commit: stage.trigger.reported_commit().to_owned(),
        release: ReleaseId::new(stage.clock.now(), stage.transport.chance()),
        phase: crate::event::Phase::Preflight,
        events: stage.events.clone(),
        shutdown: stage.shutdown.clone(),
    };
    let copies = copies(stage)?;
    if !skip_gates && artifacts.is_none() {
        preflight::gates_have_their_variables(stage, environment)?;
        gates::run(stage, Some(environment), &[]).await.map_err(Conclusion::untouched)?;
    }
    let built = match &artifacts {
        Some(folder) => build::read(stage, environment, folder),
        None => build::build(stage, environment, &[]).await,
    };
    let built = built.map_err(failed_build)?;
    let showing = Showing { scope, context: &context, copies };
    let shown = show(&showing, async |preview| {
        let artifact = build::artifact_of(stage, environment, (preview.name(), preview.thing()), &built, false).await;
        artifact.map_err(|failure| {
            let cancelled = failure.outcome == Outcome::Cancelled;
            ShowFailure { text: failure.text, hints: failure.hints, cancelled, untouched: false }
        })
    })
    .await;
    remove_if_closed(stage).await;
    Ok(concluded(shown))
}

fn copies(stage: &Stage) -> Result<Vec<Copy>, Conclusion> {
    let Some(previewing) = &stage.previewing else { return Ok(Vec::new()) };
    let variables = gates::variables(stage, &previewing.agreed.environment);
    let means = targets::means_of(stage, &variables);
    let (mut copies, mut faults) = (Vec::new(), Vec::new());
    for (name, target) in &previewing.agreed.targets {
        let of = (&previewing.agreed, name, target);
        match previews::preview(&means, &previewing.of, of, stage.transport.clone()) {
            Ok(preview) => {
                copies.push(Copy { preview, after: target.target.after.clone(), checks: target.target.verify.clone() });
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok(copies);
    }
    let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let hints = faults.into_iter().flat_map(|fault| fault.hints).collect();
    Err(Conclusion::refused(format!("{text}\nnothing was touched"), hints))
}

/// A pull request that was closed while its preview was made has fired its event already: what was made is removed at once.
async fn remove_if_closed(stage: &Stage) {
    let Some(previewing) = &stage.previewing else { return };
    let Ok(github) = previewing::github(stage) else { return };
    match github.pull(previewing.of.pull_request).await {
        Ok(pull) if pull.state == "closed" => {
            let text = "The pull request was closed meanwhile; its preview is removed again.".to_owned();
            stage.events.notice(Level::Note, "preview::closed", text);
            sweep::one(stage, &previewing.agreed.environment, &github, &previewing.of).await;
        }
        // The scheduled sweep looks again.
        _ => {}
    }
}

fn concluded(shown: Result<(), NotShown>) -> Conclusion {
    // The showing has told its failure in its own last event.
    let ended = |outcome, serving| Conclusion { outcome, serving, failure: None, hints: Vec::new() };
    match shown {
        Ok(()) => ended(Outcome::Finished, Serving::After),
        Err(NotShown { failure, serving }) if failure.cancelled => ended(Outcome::Cancelled, serving),
        Err(NotShown { failure, .. }) if failure.untouched => Conclusion::refused(failure.text, failure.hints),
        Err(NotShown { serving, .. }) => ended(Outcome::PreviewFailed, serving),
    }
}

fn failed_build(error: BuildFailure) -> Conclusion {
    Conclusion { outcome: error.outcome, ..Conclusion::refused(error.text, error.hints) }
}
