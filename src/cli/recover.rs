//! `cutover recover`: unfinished releases are brought to their end from journal and platforms alone; no manifest is read, no checkout needed.

use std::collections::BTreeMap;

use super::arguments::Output;
use super::conduct::{self, Conclusion, Stop};
use super::journal::{self, Place};
use super::reporting::{self, Listening};
use super::run::{Base, Settled, settle};
use super::stage::Means;
use super::{Ended, targets};
use crate::event::{EventKind, Events, Level, Outcome, Serving};
use crate::id::Name;
use crate::platform::{AnyTarget, Target};
use crate::release::journal::Journal;
use crate::release::{Context, Recovered, recover};
use crate::report::comment::Links;

/// The code of the notice that there was nothing to do.
const NOTHING: &str = "recover::nothing";
/// The code of the notice that a recovery rolled an unfinished release back.
const ROLLED_BACK: &str = "recover::rolled-back";
/// The code of the notice that a recovery finished a committed release.
const FINISHED: &str = "recover::finished";

/// A journal that is meant, opened if it could be.
struct Found {
    product: Name,
    environment: Name,
    journal: Result<Journal, Conclusion>,
}

impl Found {
    fn is_open(&self) -> bool {
        self.journal.as_ref().is_ok_and(|journal| journal.state().open.is_some())
    }
}

/// Brings the unfinished releases of every journal that is meant to their end.
pub(super) async fn run(base: Base, environment: Option<Name>, product: Option<Name>, output: Output) -> Ended {
    let Settled { mut means, events, mut telling } = settle(&base, journal::root(&base), None).await?;
    let found = find(&means, product.as_ref(), environment.as_ref()).await;
    // Quiet when there is nothing to do: one line, and warnings if there are any.
    telling.quiet |= matches!(&found, Ok(found) if !found.iter().any(Found::is_open));
    let listening = Listening::begin(telling, &means.masker, events);
    let conclusion = match found {
        Ok(found) => every(&means, found, environment.as_ref()).await,
        Err(stop) => stop,
    };
    conduct::tell_end(&means, &conclusion);
    // The last sender goes, so that the listeners hear the end.
    drop(std::mem::replace(&mut means.events, Events::channel(means.clock).0));
    let report = listening.end().await;
    reporting::tell_troubles(&reporting::write_files(&means, &report, &Links::default(), &output));
    Ok(conclusion.exit_code())
}

/// Returns the journals that are meant; an environment that several products have must be named with its product.
async fn find(means: &Means, product: Option<&Name>, environment: Option<&Name>) -> Result<Vec<Found>, Stop> {
    let place = Place::of(means).await?;
    let mut all = place.journals().await?;
    all.retain(|(of, named)| product.is_none_or(|product| product == of) && environment.is_none_or(|environment| environment == named));
    if let (Some(environment), None, [_, _, ..]) = (environment, product, all.as_slice()) {
        let products: Vec<&str> = all.iter().map(|(product, _)| product.as_str()).collect();
        let text = format!("several products have an environment {environment}: {}; nothing was touched", products.join(", "));
        return Err(Conclusion::refused(text, vec![format!("cutover recover {environment} --product NAME")]));
    }
    let mut found = Vec::new();
    for (product, environment) in all {
        let journal = place.open(means, &product, &environment).await;
        found.push(Found { product, environment, journal });
    }
    Ok(found)
}

/// Recovers one environment after the other; what one refuses does not keep the others waiting.
async fn every(means: &Means, found: Vec<Found>, named: Option<&Name>) -> Conclusion {
    let Some(first) = found.first() else {
        let what = named.map_or_else(|| "any environment".to_owned(), Name::to_string);
        means.events.notice(Level::Note, NOTHING, format!("There is no journal of {what}; nothing to do."));
        return Conclusion::untouched(Outcome::Carried);
    };
    means.events.emit(EventKind::RunStarted {
        product: first.product.clone(),
        environment: (found.len() == 1).then(|| first.environment.clone()),
        commit: means.trigger.tested_commit().to_owned(),
        trigger: means.trigger.to_string(),
    });
    let (mut conclusions, mut closed) = (Vec::new(), Vec::new());
    for Found { product, environment, journal } in found {
        match journal {
            Ok(mut journal) => match one(means, &product, &environment, &mut journal).await.unwrap_or_else(Some) {
                Some(conclusion) => conclusions.push((environment, conclusion)),
                None => closed.push(environment.to_string()),
            },
            // Somebody is at work on it: that is no unfinished release, unless it was asked for by name.
            Err(Conclusion { outcome: Outcome::Held, failure, .. }) if named.is_none() => {
                let text = format!("{environment} is left alone: {}.", failure.unwrap_or_default());
                means.events.notice(Level::Note, "recover::at-work", text);
            }
            Err(stop) => conclusions.push((environment, stop)),
        }
    }
    if !closed.is_empty() {
        let text = format!("Every release of {} is closed; nothing to do.", closed.join(", "));
        means.events.notice(Level::Note, NOTHING, text);
    }
    worst(conclusions)
}

/// Recovers one environment; `None` when every release of it was closed.
async fn one(means: &Means, product: &Name, environment: &Name, journal: &mut Journal) -> Result<Option<Conclusion>, Stop> {
    let context = means.recovery(product, environment);
    // What was to be recovered is recovered: that is success, whichever side it ended on.
    match first(means, &context, journal).await? {
        Recovered::RolledBack(release) => {
            let text = format!("The unfinished release {release} of {environment} was rolled back; what served before it serves.");
            means.events.notice(Level::Note, ROLLED_BACK, text);
            Ok(Some(Conclusion::untouched(Outcome::Carried)))
        }
        Recovered::Finished(release) => {
            let text = format!("The release {release} of {environment} had been committed; it is finished now.");
            means.events.notice(Level::Note, FINISHED, text);
            Ok(Some(Conclusion { serving: Serving::After, ..Conclusion::untouched(Outcome::Finished) }))
        }
        _ => Ok(None),
    }
}

/// Brings the journal's unfinished release to its end with targets that the journal itself names; the beginning of every release.
pub(crate) async fn first(means: &Means, context: &Context, journal: &mut Journal) -> Result<Recovered, Stop> {
    let all = targets::of_journal(means, journal.state()).map_err(|fault| Conclusion {
        serving: Serving::Unknown,
        ..Conclusion::refused(format!("the unfinished release cannot be brought to its end: {fault}"), fault.hints)
    })?;
    let by_name: BTreeMap<Name, &AnyTarget> = all.iter().map(|target| (target.name().clone(), target)).collect();
    match recover(context, journal, &by_name).await.map_err(conduct::refused)? {
        Recovered::Stuck(release, failures) => {
            let text = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let environment = &context.environment;
            Err(Conclusion {
                serving: Serving::Unknown,
                failure: Some(format!("the unfinished release {release} could not be brought to its end: {text}")),
                hints: vec![format!("cutover status {environment}"), format!("cutover recover {environment}")],
                ..Conclusion::untouched(Outcome::Stuck)
            })
        }
        other => Ok(other),
    }
}

/// Returns one conclusion for all environments: the one that needs a person most, with everybody's words.
fn worst(conclusions: Vec<(Name, Conclusion)>) -> Conclusion {
    let rank = |outcome: Outcome| match outcome {
        Outcome::Stuck => 4,
        Outcome::Cancelled => 3,
        Outcome::Carried => 0,
        Outcome::Finished => 1,
        _ => 2,
    };
    let several = conclusions.len() > 1;
    let mut all = Conclusion::untouched(Outcome::Carried);
    let mut failures = Vec::new();
    for (at, (environment, conclusion)) in conclusions.into_iter().enumerate() {
        if rank(conclusion.outcome) > rank(all.outcome) {
            all.outcome = conclusion.outcome;
        }
        all.serving = match (at, all.serving == conclusion.serving) {
            (0, _) | (_, true) => conclusion.serving,
            _ if all.serving == Serving::Unknown || conclusion.serving == Serving::Unknown => Serving::Unknown,
            _ => Serving::Mixed,
        };
        failures.extend(conclusion.failure.map(|text| if several { format!("{environment}: {text}") } else { text }));
        all.hints.extend(conclusion.hints);
    }
    all.failure = (!failures.is_empty()).then(|| failures.join("\n"));
    all
}
