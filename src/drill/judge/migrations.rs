//! What must hold of migrations, by the platform's own count of what it ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Findings, Invariant, Reference};
use crate::drill::blueprint::{Blueprint, Part, Seed};
use crate::drill::case::Case;
use crate::drill::truth::Seen;
use crate::settings::targets::TargetSettings;

pub(super) fn judge(blueprint: &Blueprint, reference: &Reference, case: &Case, findings: &mut Findings) {
    for part in blueprint.parts.iter().filter(|part| migrates(part)) {
        let Some(seen) = case.rest.targets.get(&part.name) else { continue };
        at_most_once(part, seen, findings);
        after_its_snapshot(part, seen, findings);
        before_anything_new(part, reference, case, seen, findings);
    }
}

/// Returns whether a release of this target runs a command before anything serves.
pub(super) fn migrates(part: &Part) -> bool {
    match &part.settings {
        TargetSettings::Fly { settings, .. } => settings.config.deploy.release_command.is_some(),
        TargetSettings::Vercel { .. } | TargetSettings::Pages { .. } | TargetSettings::Worker { .. } => false,
    }
}

fn at_most_once(part: &Part, seen: &Seen, findings: &mut Findings) {
    let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
    for job in &seen.jobs {
        *begun.entry(job.release.as_deref().unwrap_or("nobody's release")).or_default() += job.starts;
    }
    for (release, times) in begun {
        findings.expect(times <= 1, Invariant::Migrations, || format!("{}: the release command of {release} ran {times} times", part.name));
    }
}

fn after_its_snapshot(part: &Part, seen: &Seen, findings: &mut Findings) {
    if !matches!(&part.seed, Seed::App { database: Some(_), .. }) {
        return;
    }
    for began in seen.jobs.iter().filter_map(|job| job.began) {
        findings.expect(seen.snapshots.iter().any(|made| *made <= began), Invariant::Migrations, || {
            format!("{}: a release command began at {began:?}, and no snapshot was complete: {:?}", part.name, seen.snapshots)
        });
    }
}

fn before_anything_new(part: &Part, reference: &Reference, case: &Case, seen: &Seen, findings: &mut Findings) {
    let before: BTreeSet<&String> = case.before.targets.get(&part.name).into_iter().flat_map(|seen| &seen.serves).collect();
    let after = reference.after.get(&part.name).into_iter().flat_map(|after| &after.serves);
    let new: BTreeSet<&String> = after.filter(|content| !before.contains(content)).collect();
    let history = case.changes.iter().filter(|change| change.host == part.host());
    let Some(first) = history.filter(|change| change.contents.iter().any(|content| new.contains(content))).map(|change| change.at).min()
    else {
        return;
    };
    let ended: Option<Duration> = seen.jobs.iter().filter_map(|job| job.ended).min();
    findings.expect(ended.is_some_and(|ended| ended <= first), Invariant::Migrations, || {
        format!("{} served the new release at {first:?}; its migration ended at {ended:?}", part.name)
    });
}
