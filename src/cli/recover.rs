//! `cutover recover`: unfinished releases are brought to their end from journal and platforms alone; no manifest is read, no checkout needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arguments::Output;
use super::conduct::{self, Conclusion, Stop};
use super::journal::{self, Opened, Place};
use super::reporting::{self, Listening};
use super::run::{Base, Settled, settle};
use super::stage::Means;
use super::{Ended, targets};
use crate::event::{EventKind, Events, Level, Outcome, Serving};
use crate::http::Transport;
use crate::id::Name;
use crate::platform::{AnyTarget, Target};
use crate::release::journal::{Entry, Journal};
use crate::release::lock::{self, NoTurn, Patience, Turn};
use crate::release::{Context, Recovered, end_due, look_at_closed, recover};
use crate::report::comment::Links;
use crate::trigger::Source;

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
    opened: Result<Opened, Conclusion>,
}

impl Found {
    fn has_work(&self, means: &Means) -> bool {
        self.opened.as_ref().is_ok_and(|opened| opened.journal.state().open.is_some() || is_due(means, &opened.journal))
    }
}

/// Brings the unfinished releases of every journal that is meant to their end.
pub(super) async fn run(
    base: Base,
    environment: Option<Name>,
    product: Option<Name>,
    (over_migration, keep_secrets): (bool, bool),
    output: Output,
) -> Ended {
    let Settled { mut means, events, mut telling } = settle(&base, journal::root(&base), None).await?;
    let mut found = find(&means, product.as_ref(), environment.as_ref()).await;
    if let (true, Ok(found)) = (keep_secrets, &mut found) {
        keep(&means, found).await?;
    }
    // Quiet when there is nothing to do: one line, and warnings if there are any.
    telling.quiet |= matches!(&found, Ok(found) if !found.iter().any(|found| found.has_work(&means)));
    let listening = Listening::begin(telling, &means.masker, events);
    let conclusion = match found {
        Ok(found) => every(&means, found, environment.as_ref(), over_migration).await,
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
        let opened = place.open(means, &product, &environment, None).await;
        found.push(Found { product, environment, opened });
    }
    Ok(found)
}

/// Records a person's word that what served before works with the secrets as a stuck release has set them.
async fn keep(means: &Means, found: &mut [Found]) -> Result<(), super::Failure> {
    for opened in found.iter_mut().filter_map(|found| found.opened.as_mut().ok()) {
        if opened.journal.state().open.as_ref().is_some_and(|open| open.stuck && !open.secrets.is_empty()) {
            super::hold::append(&mut opened.journal, &Entry::SecretsKept, &means.chance).await?;
        }
    }
    Ok(())
}

/// Recovers one environment after the other; what one refuses does not keep the others waiting.
async fn every(means: &Means, found: Vec<Found>, named: Option<&Name>, over_migration: bool) -> Conclusion {
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
    // A person who names it wants to know; a clock or another workflow's end comes again.
    let asked = named.is_some() && matches!(means.trigger.source, Source::Person(_) | Source::Dispatch(_));
    let (mut conclusions, mut closed) = (Vec::new(), Vec::new());
    for Found { product, environment, opened } in found {
        let ended = match opened {
            Ok(mut opened) => match allow_back(means, &mut opened, over_migration).await {
                Ok(()) => one(means, &product, &environment, &mut opened).await.unwrap_or_else(Some),
                Err(stop) => Some(stop),
            },
            Err(stop) => Some(stop),
        };
        match ended {
            // Somebody is at work on it: that is no unfinished release.
            Some(held) if held.outcome == Outcome::Held && !asked => tell_at_work(means, &environment, &held),
            Some(conclusion) => conclusions.push((environment, conclusion)),
            None => closed.push(environment.to_string()),
        }
    }
    if !closed.is_empty() {
        let text = format!("Every release of {} is closed; nothing to do.", closed.join(", "));
        means.events.notice(Level::Note, NOTHING, text);
    }
    worst(conclusions)
}

fn tell_at_work(means: &Means, environment: &Name, held: &Conclusion) {
    let why = held.failure.as_deref().unwrap_or("somebody is at work on it");
    means.events.notice(Level::Note, NOTHING, format!("{environment} is left alone: {why}."));
}

/// Writes down that a person opens the way back over a breaking migration, where there is one in the way.
async fn allow_back(means: &Means, opened: &mut Opened, over_migration: bool) -> Result<(), Stop> {
    let barred = opened.journal.state().open.as_ref().is_some_and(|open| open.migrations.values().any(|migrated| !migrated.back_allowed));
    if !over_migration || !barred {
        return Ok(());
    }
    let entry = Entry::BackAllowed { reason: "asked for by --over-migration".to_owned() };
    opened.journal.append(entry, &means.chance).await.map_err(|error| Conclusion::refused(error.to_string(), Vec::new()))
}

/// Recovers one environment; `None` when every release of it was closed.
async fn one(means: &Means, product: &Name, environment: &Name, opened: &mut Opened) -> Result<Option<Conclusion>, Stop> {
    let context = means.recovery(product, environment);
    let note = |code, text| means.events.notice(Level::Note, code, text);
    // What was to be recovered is recovered: that is success, whichever side it ended on.
    match first(means, &context, opened, Patience::NONE).await? {
        Recovered::RolledBack(release) => {
            note(ROLLED_BACK, format!("The unfinished release {release} of {environment} was rolled back; what served before it serves."));
            Ok(Some(Conclusion::untouched(Outcome::Carried)))
        }
        Recovered::Finished(release) => {
            note(FINISHED, format!("The release {release} of {environment} had been committed; it is finished now."));
            // What its runner made twice, or what landed after it, no record names.
            afterwards(means, &context, &opened.journal).await;
            Ok(Some(Conclusion { serving: Serving::After, ..Conclusion::untouched(Outcome::Finished) }))
        }
        Recovered::Unfinished(release) => {
            note(FINISHED, format!("The release {release} of {environment} serves; the next recovery removes what could not be removed."));
            Ok(Some(Conclusion { serving: Serving::After, ..Conclusion::untouched(Outcome::Finished) }))
        }
        Recovered::Nothing => {
            afterwards(means, &context, &opened.journal).await;
            Ok(None)
        }
        // `first` has made a stop of it.
        Recovered::Stuck(..) => Ok(Some(Conclusion::untouched(Outcome::Stuck))),
    }
}

/// Looks once more at what closed releases left; tells what it removed, and what somebody else changed.
async fn afterwards(means: &Means, context: &Context, journal: &Journal) {
    // Without a credential nobody can look, and that is no fault of a closed release.
    let Ok(all) = targets::recorded(means, &guarded(means, journal), journal.state()) else { return };
    let tell = |level, code, text| means.events.notice(level, code, text);
    for found in look_at_closed(context, journal, &by_name(&all)).await {
        let name = &found.target;
        if !found.removed.is_empty() {
            let labels: Vec<&str> = found.removed.iter().map(|revision| revision.label.as_str()).collect();
            let text = format!("{name}: removed what a closed release left late, and what served nobody: {}.", labels.join(", "));
            tell(Level::Warning, "recover::late", text);
        }
        if let Some(serves) = &found.drifted_to {
            let text = format!("{name} serves {serves}, which is not what the newest release left there; it stays as it is.");
            tell(Level::Warning, "recover::drift", text);
        }
        if let Some(error) = &found.error {
            tell(Level::Warning, "recover::unseen", format!("{name} could not be looked at: {error}."));
        }
    }
}

/// Waits for the environment's turn, and brings the journal's unfinished release to its end with targets that the journal itself names; the
/// beginning of every release.
pub(crate) async fn first(means: &Means, context: &Context, opened: &mut Opened, patience: Patience) -> Result<Recovered, Stop> {
    let Opened { journal, census } = opened;
    let abandoned = match lock::turn(context, journal, census.as_ref(), patience).await {
        Ok(Turn::Free) => {
            end_kept(means, context, journal).await;
            return Ok(Recovered::Nothing);
        }
        Ok(Turn::Abandoned(abandoned)) => abandoned,
        Err(no_turn) => return Err(without_turn(&no_turn)),
    };
    let all = targets::recorded(means, &guarded(means, journal), journal.state()).map_err(|fault| Conclusion {
        serving: Serving::Unknown,
        ..Conclusion::refused(format!("the unfinished release cannot be brought to its end: {fault}"), fault.hints)
    })?;
    match recover(context, journal, &by_name(&all), &abandoned).await.map_err(conduct::refused)? {
        Recovered::Stuck(release, failures) => {
            let text = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let environment = &context.environment;
            let own = failures.into_iter().flat_map(|failure| failure.hints);
            Err(Conclusion {
                serving: Serving::Unknown,
                failure: Some(format!("the unfinished release {release} could not be brought to its end: {text}")),
                hints: own.chain([format!("cutover status {environment}"), format!("cutover recover {environment}")]).collect(),
                ..Conclusion::untouched(Outcome::Stuck)
            })
        }
        other => Ok(other),
    }
}

/// Ends what earlier releases kept for a rollback, where its time is over.
async fn end_kept(means: &Means, context: &Context, journal: &mut Journal) {
    if !is_due(means, journal) {
        return;
    }
    // Without a credential nobody can end it; the journal goes on naming it.
    let Ok(all) = targets::recorded(means, &guarded(means, journal), journal.state()) else { return };
    for ended in end_due(context, journal, &by_name(&all)).await {
        let (target, label) = (&ended.target, &ended.label);
        let (level, text) = match &ended.error {
            None => (Level::Note, format!("{target}: {label}, kept for a rollback, is removed; its time was over.")),
            Some(error) => (
                Level::Warning,
                format!("{target}: {label}, kept for a rollback, could not be removed: {error}. The next run tries again."),
            ),
        };
        means.events.notice(level, "recover::kept", text);
    }
}

/// Returns whether something that was kept is to be removed by now.
fn is_due(means: &Means, journal: &Journal) -> bool {
    let now = means.clock.now();
    journal.state().kept.values().any(|kept| kept.is_due(now))
}

/// Returns the way out for changes: it withholds them while the environment is not this run's.
pub(crate) fn guarded(means: &Means, journal: &Journal) -> Transport {
    means.transport.guarded(Arc::new(journal.ownership().clone()))
}

fn by_name(targets: &[AnyTarget]) -> BTreeMap<Name, &AnyTarget> {
    targets.iter().map(|target| (target.name().clone(), target)).collect()
}

/// Returns how a run ends whose turn never came; nothing was touched.
fn without_turn(no_turn: &NoTurn) -> Conclusion {
    let outcome = match no_turn {
        NoTurn::TimedOut { .. } => Outcome::Held,
        NoTurn::Superseded(_) => Outcome::Superseded,
        NoTurn::Cancelled => Outcome::Cancelled,
        NoTurn::Store(_) => Outcome::PreflightFailed,
    };
    Conclusion { outcome, ..Conclusion::refused(no_turn.to_string(), Vec::new()) }
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
