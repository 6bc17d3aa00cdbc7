//! What must hold when everything is over.

use std::time::Duration;

use super::{Findings, Invariant, Reference, Stand};
use crate::drill::blueprint::{Blueprint, Part, Seed};
use crate::drill::case::Case;
use crate::drill::explore::catalogue::is_read;
use crate::drill::truth::Truth;
use crate::embedded::fault::Effect;
use crate::id::Name;
use crate::release::journal::Entry;

pub(super) fn judge(blueprint: &Blueprint, reference: &Reference, case: &Case, findings: &mut Findings) {
    one_side(blueprint, reference, case, findings);
    nothing_left(blueprint, reference, case, findings);
    for part in &blueprint.parts {
        settings_back(part, case, findings);
    }
    volumes(reference, case, findings);
    for (thing, was) in &case.before.foreign {
        let now = case.rest.foreign.get(thing);
        findings.expect(now == Some(was), Invariant::ForeignHands, || format!("{thing} was {was:?} and is {now:?}"));
    }
    live(case, findings);
    findings.expect(case.hung.is_empty(), Invariant::Bounded, || format!("runners {:?} never ended", case.hung));
    findings.expect(!case.ran_away, Invariant::Bounded, || format!("{} requests", case.met.len()));
    findings.expect(case.ghosts == 0, Invariant::NoGhosts, || format!("{} requests of dead runners", case.ghosts));
}

/// Settings are as they were, but for a secret that the release changes: that one is new after a commit, and old unless a record announced its change.
fn settings_back(part: &Part, case: &Case, findings: &mut Findings) {
    let settings = |truth: &Truth| truth.targets.get(&part.name).map(|seen| seen.settings.clone()).unwrap_or_default();
    let (mut was, mut is) = (settings(&case.before), settings(&case.rest));
    if let Seed::App { changed, .. } = &part.seed {
        let announced = case.records.iter().any(|record| matches!(record.entry, Entry::Secrets { .. }));
        for (name, new) in changed {
            let name = format!("secret {name}");
            let (old, now) = (was.remove(&name), is.remove(&name));
            let stays = now == old && !case.committed();
            findings.expect(stays || (announced && now.as_ref() == Some(new)), Invariant::SettingsBack, || {
                format!("{}: the {name} is {now:?}, was {old:?}, and its change was announced: {announced}", part.name)
            });
        }
    }
    findings.expect(was == is, Invariant::SettingsBack, || format!("{}: {is:?}, was {was:?}", part.name));
}

fn one_side(blueprint: &Blueprint, reference: &Reference, case: &Case, findings: &mut Findings) {
    let wanted = if case.committed() { Stand::After } else { Stand::Before };
    let stands = reference.stands_in(case, &case.rest);
    // What lands when everybody has stopped waiting for it is reported as drift, and a person decides.
    let beyond = case.latest() > blueprint.timing.late;
    findings.expect(beyond || stands.values().all(|stand| *stand == wanted), Invariant::OneSide, || {
        let serves: Vec<_> = case.rest.targets.iter().map(|(name, seen)| format!("{name} serves {:?}", seen.places)).collect();
        let records: Vec<_> = case.records.iter().map(|record| record.entry.as_str()).collect();
        format!("all should be {wanted:?}: {stands:?}; {}; {}", serves.join(", "), records.join(" "))
    });
    let cutting = case.ledger.iter().find(|record| record.entry == "cutting").map_or(Duration::MAX, |record| record.at);
    for (name, at) in case.touched.iter().filter(|(name, at)| *at < cutting && could_be_seen(blueprint, case, name, *at)) {
        let now = case.rest.targets.get(name).cloned().unwrap_or_default();
        let run_over = reference.stand(&case.before, name, &now) != Stand::Torn;
        let places = now.places;
        findings.expect(!run_over, Invariant::ForeignHands, || format!("what a person did to {name} at {at:?} was run over: {places:?}"));
    }
    let open = case.records.last().and_then(|record| record.state.open.as_ref());
    findings
        .expect(open.is_none(), Invariant::Live, || format!("the release is still open: {:?}", open.map(|open| (open.stage, open.stuck))));
}

/// A volume stays with its machine, whatever becomes of the release. What a first release makes is not destroyed with it, since nobody can know
/// that nothing was written to it; the next attempt takes it, and there is never more of it than the release needs. A volume carries no mark of
/// whoever made it: where one comes late or is made twice, nobody can know it.
fn volumes(reference: &Reference, case: &Case, findings: &mut Findings) {
    for (name, seen) in &case.rest.targets {
        let was = case.before.targets.get(name).map(|seen| seen.volumes.clone()).unwrap_or_default();
        for (volume, had) in &was {
            let has = seen.volumes.get(volume);
            findings
                .expect(has == Some(had), Invariant::ForeignHands, || format!("volume {volume} of {name} was {had:?}'s and is {has:?}'s"));
        }
        if case.schedule.rules.iter().any(|rule| !matches!(rule.effect, Effect::None | Effect::Once)) {
            continue;
        }
        let needed = reference.after.get(name).map_or(0, |after| after.volumes.len()).max(was.len());
        findings.expect(seen.volumes.len() <= needed, Invariant::NothingLeft, || format!("{name} has the volumes {:?}", seen.volumes));
    }
}

/// Returns whether the target was read between a person's act and the next move of its traffic: no platform's move has a precondition, so an
/// act that falls between the last look and the move is run over, and no client can help it.
fn could_be_seen(blueprint: &Blueprint, case: &Case, name: &Name, acted: Duration) -> bool {
    let thing = blueprint.parts.iter().find(|part| part.name == *name).map(Part::thing);
    let acted = u64::try_from(acted.as_millis()).unwrap_or(u64::MAX);
    let after = case.tape.iter().filter(|entry| entry.target.as_deref() == thing && entry.at_ms >= acted);
    after.take_while(|entry| !super::records::is_visible(entry)).any(|entry| entry.at_ms > acted && is_read(&entry.boundary))
}

/// What carries the stamp of a release that does not serve must be gone, and so must what served before a committed one where it cannot be
/// gone back to.
fn nothing_left(blueprint: &Blueprint, reference: &Reference, case: &Case, findings: &mut Findings) {
    let finished = |release: &str| {
        let newest = case.records.last();
        newest.is_some_and(|record| record.state.closed.iter().any(|closed| closed.finished && closed.release.as_str() == release))
    };
    let committed = case.committed();
    for part in &blueprint.parts {
        let (Some(seen), Some(was)) = (case.rest.targets.get(&part.name), case.before.targets.get(&part.name)) else { continue };
        let app = matches!(part.seed, Seed::App { .. });
        for (id, thing) in seen.things.iter().filter(|(_, thing)| !thing.serves) {
            let ours = thing.stamp.as_deref();
            let left = match (app, ours) {
                // A deployment that had production traffic is what its platform can go back to.
                // A first release's placeholder has served in the place of nothing, and is what its failure goes back to.
                (false, Some(release)) => !finished(release) && reference.placeholder.get(&part.name) != Some(&thing.content),
                (false, None) => false,
                (true, Some(_)) => true,
                (true, None) => committed || was.things.get(id).is_none_or(|old| old.serves),
            };
            // A machine that died serves nobody, and is what it was; one that a person changed is theirs.
            let died = case.crashed() && if committed { ours.is_some_and(finished) } else { was.things.contains_key(id) };
            let theirs = ours.is_none() && case.touched.iter().any(|(touched, _)| *touched == part.name);
            let left = left && !died && !theirs;
            findings.expect(!left, Invariant::NothingLeft, || format!("{}: {id} {thing:?}", part.name));
        }
    }
}

/// One recovery brings rest, and the next one writes nothing.
fn live(case: &Case, findings: &mut Findings) {
    let Some(last) = case.recoveries.last() else {
        findings.add(Invariant::Live, "no recovery ended");
        return;
    };
    findings.expect(last.writes == 0 && last.records == 0, Invariant::Live, || {
        format!("the last recovery made {} changes and wrote {} records", last.writes, last.records)
    });
    if let Some(failure) = case.recoveries.iter().find_map(|ended| ended.word.failure.as_ref()) {
        findings.add(Invariant::Live, format!("a recovery failed although nothing went wrong any more: {failure}"));
    }
}
