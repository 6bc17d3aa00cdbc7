//! What must hold between what was written down, what was done, and what was said.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Findings, Invariant, Reference, Stand};
use crate::drill::blueprint::Blueprint;
use crate::drill::case::{Case, Ended};
use crate::drill::explore::catalogue::is_read;
use crate::drill::keeper::JOURNAL;
use crate::drill::runner::Errand;
use crate::drill::schedule::{Beginning, Schedule};
use crate::embedded::fault::{Answer, Effect, Times};
use crate::embedded::tape::{self, Recorded};
use crate::event::{Outcome, Serving};
use crate::release::journal::Stage;
use crate::release::ownership::Terms;

/// Operations that change what users get.
const VISIBLE: [&str; 5] = ["uncordon_machine", "cordon_machine", "update_machine", "promote", "roll_back"];
/// Of those, the ones that put a placeholder where nothing serves.
const PLACES: [&str; 4] = ["promote", "roll_back", "create_deployment", "deploy_version"];

/// Returns whether a request changes what users get. On Pages a deployment does as soon as it is one of production; of a worker's, one that has a
/// version alone: what joins it with no user's share changes nothing.
pub(super) fn is_visible(entry: &tape::Entry) -> bool {
    let production = || match &entry.response {
        Recorded::Json(answer) => answer.pointer("/result/environment").is_some_and(|environment| environment == "production"),
        _ => false,
    };
    let alone = || match &entry.request {
        Recorded::Json(wanted) => wanted["versions"].as_array().is_some_and(|versions| versions.len() == 1),
        _ => false,
    };
    VISIBLE.contains(&entry.operation.as_str())
        || (entry.operation == "deploy_version" && alone())
        || (entry.platform == "cloudflare" && entry.operation == "create_deployment" && production())
}

pub(super) fn judge(blueprint: &Blueprint, reference: &Reference, case: &Case, findings: &mut Findings) {
    intent_first(case, findings);
    once(case, findings);
    for ended in case.ended.iter().chain(&case.recoveries) {
        truthful(reference, case, ended, findings);
    }
    fencing(case, findings);
    secrets(blueprint, case, findings);
    not_always_back(blueprint, case, findings);
}

fn intent_first(case: &Case, findings: &mut Findings) {
    for entry in case.tape.iter().filter(|entry| is_visible(entry)) {
        let known = case.ledger.iter().rev().find(|record| record.tape < entry.sequence);
        let announced = known
            .is_some_and(|record| matches!(record.stage, Some(Stage::Cutting | Stage::RollingBack | Stage::Committed | Stage::Finishing)));
        // Where nothing serves, nobody sees a placeholder take its place.
        let placeholder = case.schedule.beginning == Beginning::First
            && PLACES.contains(&entry.operation.as_str())
            && known.is_some_and(|record| record.stage == Some(Stage::Begun));
        findings.expect(announced || placeholder, Invariant::IntentFirst, || {
            format!("{} came after {:?}", entry.boundary, known.map(|record| (record.entry, record.stage)))
        });
    }
}

/// Once somebody has taken over, the one before may go on for its term at most: it must have looked by then.
fn fencing(case: &Case, findings: &mut Findings) {
    for taken in case.ledger.iter().filter(|record| record.entry == "taken_over") {
        let until = taken.at + Terms::default().term;
        let own = |boundary: &str| ["fly.", "vercel.", "cloudflare."].iter().any(|platform| boundary.starts_with(platform));
        let late = case
            .met
            .iter()
            .find(|met| met.sender != 0 && met.sender < taken.writer && met.at > until && own(&met.boundary) && !is_read(&met.boundary));
        if let Some(met) = late {
            let text = format!("runner {} sent {} at {:?}, taken over at {:?}", met.sender, met.boundary, met.at, taken.at);
            findings.add(Invariant::Fencing, text);
        }
    }
}

/// Counts what was made for each intent, and how often each record stands in the journal: where no answer came late and nothing was done twice
/// on purpose, it is one.
fn once(case: &Case, findings: &mut Findings) {
    let mut stands: BTreeMap<String, usize> = BTreeMap::new();
    for record in &case.records {
        *stands.entry(format!("record {} ({})", record.nonce, record.entry.as_str())).or_default() += 1;
    }
    for (record, count) in stands {
        findings.expect(count == 1, Invariant::Once, || format!("{record} stands {count} times in the journal"));
    }
    if case.schedule.rules.iter().any(|rule| !matches!(rule.effect, Effect::None | Effect::Once)) {
        return;
    }
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for entry in case.tape.iter().filter(|entry| entry.status.is_some_and(|status| status < 300)) {
        if let Some(intent) = entry.request.json().and_then(|body| intent(&entry.operation, body)) {
            *made.entry(format!("{intent} of {}", entry.target.as_deref().unwrap_or_default())).or_default() += 1;
        }
    }
    for (intent, count) in made {
        findings.expect(count == 1, Invariant::Once, || format!("{count} {intent}"));
    }
}

/// Returns what a request that makes something is meant to make, by the marks that it carries.
fn intent(operation: &str, body: &serde_json::Value) -> Option<String> {
    match operation {
        "create_machine" => Some(format!("machines were made for {}", body["config"]["metadata"]["cutover_intent"].as_str()?)),
        "create_deployment" => {
            let meta = &body["meta"];
            Some(format!("deployments were made for {}, {}", meta["cutoverRelease"].as_str()?, meta["cutoverRevision"]))
        }
        _ => None,
    }
}

fn truthful(reference: &Reference, case: &Case, ended: &Ended, findings: &mut Findings) {
    let stands = reference.stands_in(case, &ended.truth);
    let all = |wanted: Stand| stands.values().all(|stand| *stand == wanted);
    let word = &ended.word;
    let said = match word.serving {
        Serving::Before => all(Stand::Before),
        Serving::After => all(Stand::After),
        Serving::Mixed => !all(Stand::Before) && !all(Stand::After),
        Serving::Unknown => true,
    };
    // A run that refused to begin says nothing about what others have done meanwhile.
    let began = ended.errand == Errand::Release && ended.records > 0;
    let meant = match word.outcome {
        Outcome::RolledBack => all(Stand::Before),
        Outcome::Finished => all(Stand::After),
        _ => true,
    };
    let others = case.ended.len() + case.died.len() > 1;
    findings.expect(meant && (said || (others && !began)), Invariant::Truthful, || {
        format!("runner {} said {:?}, {:?} ({:?}); true was {stands:?}", ended.runner, word.outcome, word.serving, word.failure)
    });
}

fn secrets(blueprint: &Blueprint, case: &Case, findings: &mut Findings) {
    let canaries = blueprint.canaries();
    let forms: Vec<(usize, String)> =
        canaries.iter().enumerate().flat_map(|(index, canary)| forms(canary).into_iter().map(move |form| (index, form))).collect();
    let Ok(search) = aho_corasick::AhoCorasick::new(forms.iter().map(|(_, form)| form)) else { return };
    let mut look = |place: &str, text: &str| {
        if let Some(found) = search.find(text) {
            let canary = forms.get(found.pattern().as_usize()).and_then(|(index, _)| canaries.get(*index));
            findings.add(Invariant::Secrets, format!("{} is in {place}", canary.map(String::as_str).unwrap_or_default()));
        }
    };
    for (_, event) in &case.events {
        look("an event", &format!("{:?}", event.kind));
    }
    for ended in case.ended.iter().chain(&case.recoveries) {
        look("a runner's last word", &format!("{:?}", ended.word));
    }
    for record in &case.records {
        look("the journal", &serde_json::to_string(record).unwrap_or_default());
    }
    // Where a secret is set, its value must be.
    for entry in case.tape.iter().filter(|entry| entry.operation != "set_secrets") {
        look(&entry.boundary, &format!("{} {:?}", entry.path, entry.request));
    }
}

/// Returns a secret as it could stand somewhere: as it is, and in base64 whatever stands before and behind it.
fn forms(secret: &str) -> Vec<String> {
    let encoded = (0..3).map(|before| {
        let text = BASE64.encode(format!("{}{secret}", " ".repeat(before)));
        // The first letters depend on what stands before as well, the last ones on what follows.
        let from = [0, 2, 3][before];
        let whole = (before + secret.len()) * 8 / 6;
        text[from.min(whole)..whole].to_owned()
    });
    std::iter::once(secret.to_owned()).chain(encoded).filter(|form| form.len() >= 8).collect()
}

/// Returns whether the schedule is one passing fault that no client has to take for an answer. What takes longer than the budget of the skew
/// allows is to be gone back from.
fn passes(schedule: &Schedule, budget: Option<Duration>) -> bool {
    let [rule] = schedule.rules.as_slice() else { return schedule.is_calm() };
    // What the journal's keeper answers is its last word: it has asked again as often as it would.
    if rule.platform == JOURNAL {
        return false;
    }
    let within = |time: Duration| budget.is_none_or(|budget| time < budget);
    let mends = match &rule.answer {
        Answer::True => rule.effect == Effect::Once,
        Answer::Slow(by) => within(*by),
        Answer::Lost | Answer::Html | Answer::Truncated => true,
        Answer::Unknown | Answer::Stale | Answer::DoneWhenNot => false,
        Answer::Status { code, headers, .. } => {
            let after = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
            let pause = after.and_then(|(_, seconds)| seconds.parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
            (*code == 429 || *code >= 500) && within(pause)
        }
    };
    mends
        && rule.times == Times::Once
        && schedule.incidents.is_empty()
        && !matches!(rule.effect, Effect::Late(_) | Effect::Twice | Effect::Partial)
}

fn not_always_back(blueprint: &Blueprint, case: &Case, findings: &mut Findings) {
    if !passes(&case.schedule, blueprint.timing.max_skew) {
        return;
    }
    let finished = case.ended.first().is_some_and(|ended| ended.word.outcome == Outcome::Finished);
    findings.expect(finished, Invariant::NotAlwaysBack, || {
        let word = case.ended.first().map(|ended| (ended.word.outcome, ended.word.failure.clone()));
        format!("one passing fault ended it: {word:?}")
    });
}
