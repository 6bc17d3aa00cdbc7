//! Preflight: everything that would stop a release is found before a gate's minutes are spent, and told at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::conduct::Conclusion;
use super::older;
use super::stage::{Stage, signing_secrets};
use crate::event::{EventKind, Level, Outcome, Phase};
use crate::id::Name;
use crate::platform::{AnyTarget, PlatformError, Problem, Scope, Target};
use crate::release::journal::Journal;
use crate::release::{Context, DriftPolicy, drift};

/// Asks every target whether it can be released, and looks for what this machine lacks; changes nothing.
pub(crate) async fn run(stage: &Stage, context: &Context, targets: &[AnyTarget], journal: &Journal, older: bool) -> Result<(), Conclusion> {
    let began = tokio::time::Instant::now();
    context.events.emit(EventKind::PhaseStarted { phase: Phase::Preflight });
    let result = look(stage, context, targets, journal, older).await;
    let failure = result.as_ref().err().and_then(|conclusion| conclusion.failure.clone());
    context.events.emit(EventKind::PhaseFinished { phase: Phase::Preflight, duration: began.elapsed(), failure });
    result
}

/// Makes sure that every variable which a gate names is set, by the environment or on this machine, before any gate's minutes are spent: what is
/// built without one would be another artifact. Values are not looked at.
pub(crate) fn gates_have_their_variables(stage: &Stage, environment: &Name) -> Result<(), Conclusion> {
    let declared = stage.manifest.environments.get(environment).map(|settings| &settings.variables);
    let here = super::gates::inherited(stage);
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, gate) in &stage.manifest.gates {
        let set = |variable: &str| {
            declared.is_some_and(|all| all.contains_key(variable)) || here.get(variable).is_some() || gate.env.contains_key(variable)
        };
        for variable in gate.variables.iter().filter(|variable| !set(variable)) {
            missing.entry(variable).or_default().push(name.as_str());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let said = missing.iter().map(|(variable, gates)| format!("{variable}, which the gate {} is to get, is not set", gates.join(", ")));
    let hint = format!("write it under `environments: {{ {environment}: {{ variables: … }} }}`");
    let hint = match &here.restricted_by {
        Some(credential) => format!("{hint}; what is set here is kept from gates, because {credential} is set as well"),
        None => format!("{hint}, or set it where cutover runs"),
    };
    Err(Conclusion::refused(said.collect::<Vec<_>>().join("\n"), vec![hint]))
}

async fn look(stage: &Stage, context: &Context, targets: &[AnyTarget], journal: &Journal, older: bool) -> Result<(), Conclusion> {
    let mut faults: Vec<(String, Vec<String>)> = Vec::new();
    for name in signing_secrets(&stage.manifest, &context.environment) {
        if !context.secrets.contains_key(&name) {
            let state = if stage.settings.environment.contains_key(&name) { "set, but empty" } else { "not set" };
            faults.push((format!("the environment variable {name}, with which a check signs its request, is {state}"), Vec::new()));
        }
    }
    if let Some(text) = older::than_serving(stage, context, journal).await.filter(|_| !older) {
        faults.push((text, vec!["to release it all the same: `--older`, or the input `older`".to_owned()]));
    }
    let scope = context.scope(Phase::Preflight, &context.shutdown);
    let answers = join_all(targets.iter().map(async |target| (target, problems(context, &scope, target).await))).await;
    for (target, answer) in answers {
        match answer {
            Ok(problems) => {
                for Problem { fatal, code, text, hint, .. } in problems {
                    if fatal {
                        faults.push((format!("{}: {text}", target.name()), hint.into_iter().collect()));
                    } else {
                        let hint = hint.map(|hint| format!(" {hint}")).unwrap_or_default();
                        context.events.notice(Level::Warning, code, format!("{}: {text}{hint}", target.name()));
                    }
                }
            }
            Err(error) if error.cancelled() => {
                return Err(Conclusion { outcome: Outcome::Cancelled, ..Conclusion::refused("the run was cancelled", Vec::new()) });
            }
            Err(error) => faults.push((format!("{}: {error}", target.name()), error.hints)),
        }
    }
    faults.extend(drifted(context, &scope, targets, journal).await);
    if faults.is_empty() {
        return Ok(());
    }
    let (texts, hints): (Vec<_>, Vec<_>) = faults.into_iter().unzip();
    Err(Conclusion::refused(texts.join("\n"), hints.into_iter().flatten().collect()))
}

/// Returns what is wrong with a target and with the hostnames that are to lead to it.
pub(super) async fn problems(context: &Context, scope: &Scope, target: &AnyTarget) -> Result<Vec<Problem>, PlatformError> {
    let mut problems = target.preflight(scope).await?;
    problems.extend(context.hostnames.problems(scope, target).await?);
    Ok(problems)
}

/// Returns what somebody else changed since the last release: the release itself would refuse it, but only after the gates' minutes.
///
/// While a release is open nobody can tell its work from a person's; what cannot be observed here is told by the plan.
async fn drifted(context: &Context, scope: &Scope, targets: &[AnyTarget], journal: &Journal) -> Option<(String, Vec<String>)> {
    let state = journal.state();
    if context.drift != DriftPolicy::Refuse || state.open.is_some() || state.serving().is_none() {
        return None;
    }
    let observed = join_all(targets.iter().map(async |target| (target, target.observe(scope).await))).await;
    let found = observed.into_iter().filter_map(|(target, observed)| drift::of(state, target, &observed.ok()?));
    let texts: Vec<String> = found.map(|drift| drift.to_string()).collect();
    let text = format!("somebody else changed what serves since the last release: {}", texts.join("\n"));
    (!texts.is_empty()).then(|| (text, drift::hints()))
}
