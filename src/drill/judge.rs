//! The invariants, judged from what the embedded world itself shows; content, never a vendor's ids, and never a product's word but to compare it.

mod instants;
mod migrations;
mod records;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::blueprint::Blueprint;
use super::case::Case;
use super::schedule::Act;
use super::truth::{Seen, Truth};
use crate::embedded::fault::Effect;
use crate::id::Name;

/// What must hold in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// At rest every target serves the new release, or every one what served before; the new one exactly if `committed` is in the journal.
    OneSide,
    /// At no instant and at no edge does a target serve anything else, or nothing where its capability has no gap.
    NeverNothing,
    /// Nothing that is somebody else's is changed.
    ForeignHands,
    /// Nothing of a release that does not serve is left.
    NothingLeft,
    /// Settings are as they were.
    SettingsBack,
    /// Every change that users could see was announced in a record known to be in the journal.
    IntentFirst,
    /// One effect for each intent.
    Once,
    /// Nothing that changes a platform is sent by a runner that was taken over longer ago than its term.
    Fencing,
    /// What a runner says of the world when it ends is true, or "unknown".
    Truthful,
    /// When faults end, one recovery brings rest; the next one writes nothing.
    Live,
    /// Nothing works for ever.
    Bounded,
    /// No secret is in anything that is told or kept.
    Secrets,
    /// With no fault, or one that passes before the commit, the release finishes.
    NotAlwaysBack,
    /// Nothing is sent in a dead runner's name.
    NoGhosts,
    /// A migration runs at most once for a release, over all its runners, after the snapshot it wants, and before anything new serves.
    Migrations,
}

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

/// What a product comes to when nothing goes wrong: what the cases are compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// What each target is after the release.
    pub after: BTreeMap<Name, Seen>,
    /// What users of each target get first in a first release, where a placeholder is served.
    pub placeholder: BTreeMap<Name, String>,
}

/// Which side a target is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stand {
    /// As before.
    Before,
    /// As after.
    After,
    /// Neither.
    Torn,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

impl Reference {
    /// Reads the reference from a case in which nothing goes wrong.
    pub fn of(blueprint: &Blueprint, calm: &Case) -> Self {
        let after = calm.rest.targets.clone();
        let mut placeholder = BTreeMap::new();
        for part in &blueprint.parts {
            let first = calm.changes.iter().find(|change| change.host == part.host() && !change.contents.is_empty());
            let nothing_before = calm.before.targets.get(&part.name).is_some_and(|seen| seen.serves.is_empty());
            let known = calm.rest.targets.get(&part.name).map(|seen| &seen.serves);
            if let Some(content) = first.and_then(|change| change.contents.first())
                && nothing_before
                && known.is_some_and(|serves| !serves.contains(content))
            {
                placeholder.insert(part.name.clone(), content.clone());
            }
        }
        Self { after, placeholder }
    }

    /// Returns which side a target is on: with each of its machines in its place.
    pub fn stand(&self, before: &Truth, name: &Name, now: &Seen) -> Stand {
        self.side(before, name, now, |was, now| was.places == now.places)
    }

    fn side(&self, before: &Truth, name: &Name, now: &Seen, same: impl Fn(&Seen, &Seen) -> bool) -> Stand {
        let nothing = Seen::default();
        let was = before.targets.get(name).unwrap_or(&nothing);
        let placeholder = self.placeholder.get(name).is_some_and(|content| now.serves == std::slice::from_ref(content));
        if same(was, now) || (was.serves.is_empty() && placeholder) {
            Stand::Before
        } else if self.after.get(name).is_some_and(|after| same(after, now)) {
            Stand::After
        } else {
            Stand::Torn
        }
    }

    /// Returns which side each target is on.
    pub fn stands(&self, before: &Truth, now: &Truth) -> BTreeMap<Name, Stand> {
        now.targets.iter().map(|(name, seen)| (name.clone(), self.stand(before, name, seen))).collect()
    }

    /// Returns which side each target of a case is on: what a person changed by hand is on none, and where a machine died, how many are left
    /// does not matter, but what all are that users or jobs would get.
    pub fn stands_in(&self, case: &Case, now: &Truth) -> BTreeMap<Name, Stand> {
        let stand = |name: &Name, seen: &Seen| {
            if case.crashed() {
                self.side(&case.before, name, seen, |was, now| registered(was) == registered(now))
            } else {
                self.stand(&case.before, name, seen)
            }
        };
        let touched = |name: &Name| case.touched.iter().any(|(touched, _)| touched == name);
        let untouched = now.targets.iter().filter(|(name, _)| !touched(name));
        untouched.map(|(name, seen)| (name.clone(), stand(name, seen))).collect()
    }
}

/// Returns what the machines are that users or jobs get while they are well, each content once.
fn registered(seen: &Seen) -> BTreeSet<&str> {
    seen.things.values().filter(|thing| thing.registered).map(|thing| thing.content.as_str()).collect()
}

/// Returns every invariant that did not hold.
pub fn judge(blueprint: &Blueprint, reference: &Reference, case: &Case) -> Vec<Finding> {
    let mut findings = Findings::default();
    rest::judge(blueprint, reference, case, &mut findings);
    instants::judge(blueprint, reference, case, &mut findings);
    records::judge(blueprint, reference, case, &mut findings);
    migrations::judge(blueprint, reference, case, &mut findings);
    findings.0.into_iter().filter(|finding| !promised_by_nobody(blueprint, case, finding)).collect()
}

/// Returns whether a finding is one of what is said not to be guaranteed.
fn promised_by_nobody(blueprint: &Blueprint, case: &Case, finding: &Finding) -> bool {
    let schedule = &case.schedule;
    // An effect that a vendor delays beyond every deadline is reported as drift once it serves, and not repaired.
    let delayed = schedule.rules.iter().any(|rule| matches!(rule.effect, Effect::Late(by) if by > WAITED_OUT));
    // What a person made of a target in the middle is neither side; and a run that touched nothing says so while another is at work.
    let company = schedule.incidents.iter().any(|incident| matches!(incident.act, Act::Person | Act::Release | Act::Recover));
    // Before the look by which the plan is made, a target's second after preflight's, what a person did is what the release finds, adopts and tells.
    let things: Vec<&str> = case.touched.iter().filter_map(|(name, _)| Some(blueprint.part(name)?.thing())).collect();
    let looked = |boundary: &str, thing: &str| LOOKS.iter().any(|look| boundary.starts_with(&format!("{look}[{thing}]")));
    let before_the_plan = |boundary: &str| {
        let before: Vec<_> = case.met.iter().take_while(|met| met.boundary != boundary).collect();
        things.iter().any(|thing| before.iter().filter(|met| looked(&met.boundary, thing)).count() < 2)
    };
    let by_person = schedule.incidents.iter().filter(|incident| incident.act == Act::Person);
    let unseen = by_person.into_iter().any(|incident| incident.boundary.ends_with("#1") || before_the_plan(&incident.boundary));
    match finding.invariant {
        Invariant::Truthful => delayed || company,
        Invariant::ForeignHands => unseen,
        _ => delayed,
    }
}

/// What a platform is asked first when a target is looked at.
const LOOKS: [&str; 4] = ["fly.list_machines", "vercel.get_project", "cloudflare.get_project", "cloudflare.list_worker_deployments"];

/// For how long after a request its late effect is waited for ([`crate::release::Timing::late`]).
const WAITED_OUT: Duration = Duration::from_secs(60);

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.0.push(Finding { invariant, what: what.into() });
    }

    /// Adds a finding unless `holds`.
    fn expect(&mut self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.add(invariant, what());
        }
    }
}
