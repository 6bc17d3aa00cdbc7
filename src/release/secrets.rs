//! Secrets: set as late as the machines that shall have them allow, recorded by name and digest before, and what that means for the way back.
//!
//! They belong to the whole target and cannot be read, so they do not come back with what served before. A changed one that the manifest does not call
//! compatible with what served before is a point of no return: a failure after it ends stuck, with what serves left as it is.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::journal::{Entry, Open};
use super::plan::{Planned, Shipment};
use super::{Context, Failure, Release};
use crate::event::{Level, Phase};
use crate::id::Name;
use crate::platform::{AnyTarget, Preparation, SecretChange, Target};

impl Release<'_> {
    /// Sets the secrets that differ on the targets whose turn it is: before anything is prepared where what is prepared runs already and must see
    /// them, else right before users' traffic changes. A release of what an earlier one shipped sets none.
    pub(super) async fn set_secrets(&mut self, phase: Phase) -> Result<(), Failure> {
        let changes = self.secret_changes(phase).await?;
        if changes.is_empty() {
            return Ok(());
        }
        for (name, changes) in &changes {
            self.context.events.notice(level(changes), "release::secrets", announcement(name, changes));
        }
        self.append(phase, Entry::Secrets { changes: changes.clone() }).await?;
        let scope = self.context.scope(phase, &self.context.shutdown);
        let set = self.plan.moving().filter_map(|planned| Some((planned, changes.get(planned.target.name())?)));
        let set = join_all(set.map(async |(planned, changes)| {
            let name = planned.target.name().clone();
            let known = planned.target.set_secrets(&scope, changes).await.map_err(|error| Failure::on(phase, &name, &error))?;
            Ok::<_, Failure>((name, known))
        }))
        .await;
        let known = set.into_iter().collect::<Result<BTreeMap<_, _>, _>>()?;
        self.append(phase, Entry::SecretsSet { known }).await
    }

    /// Tells of targets that stay as they are although this run has another value for one of their secrets than what is surely there: a target
    /// that is carried gets none. The digests of what a release sets are part of the revision, so that this is what somebody has changed
    /// beside cutover since. Nothing is known where the platform cannot be asked.
    pub(super) async fn tell_secrets_not_set(&self) {
        let state = self.journal.state();
        for planned in self.plan.targets.iter().filter(|planned| planned.carried && sets(planned)) {
            let name = planned.target.name();
            let known = state.secrets.get(name).map(Vec::as_slice).unwrap_or_default();
            let Ok(changes) = planned.target.secret_changes(known).await else { continue };
            if changes.is_empty() {
                continue;
            }
            let all = names(changes.iter().map(|change| change.name.as_str()));
            let text = format!(
                "{name} stays as it serves, so {all} is not set from this run's environment, and may have another value there: set it by hand (fly \
                 secrets set -a {} …), or release something new.",
                planned.target.thing()
            );
            self.context.events.notice(Level::Warning, "release::secrets-not-set", text);
        }
    }

    async fn secret_changes(&self, phase: Phase) -> Result<BTreeMap<Name, Vec<SecretChange>>, Failure> {
        let state = self.journal.state();
        let turn = self.plan.moving().filter(|planned| sets(planned) && phase == when(planned));
        let asked = join_all(turn.map(async |planned| {
            let name = planned.target.name().clone();
            let known = state.secrets.get(&name).map(Vec::as_slice).unwrap_or_default();
            let changes = planned.target.secret_changes(known).await.map_err(|error| Failure::on(phase, &name, &error))?;
            Ok::<_, Failure>((name, changes))
        }))
        .await;
        let all = asked.into_iter().collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(all.into_iter().filter(|(_, changes)| !changes.is_empty()).collect())
    }
}

/// Returns whether a target's release may set secrets at all: a way back or a promotion ships what was made and changes no secret.
fn sets(planned: &Planned) -> bool {
    matches!(planned.shipment, Shipment::New(_))
}

/// Returns the phase in which a target's secrets are set: before anything is made that runs at once, a migration's command included.
fn when(planned: &Planned) -> Phase {
    let runs = matches!(planned.target.capabilities().prepare, Preparation::Fully | Preparation::Tried);
    let runs_at_once = runs || planned.before.serving.is_empty();
    if runs_at_once || planned.migration().is_some() { Phase::Prepare } else { Phase::CutOver }
}

/// Returns whether what served before may not work with what a secret is set to. One that was not there before was not needed before.
fn bars(change: &SecretChange) -> bool {
    !change.compatible && change.was.is_some()
}

fn level(changes: &[SecretChange]) -> Level {
    if changes.iter().any(bars) { Level::Warning } else { Level::Note }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn announcement(target: &Name, changes: &[SecretChange]) -> String {
    let all = names(changes.iter().map(|change| change.name.as_str()));
    let barring = names(changes.iter().filter(|change| bars(change)).map(|change| change.name.as_str()));
    let end = if barring.is_empty() {
        String::new()
    } else {
        format!(" The manifest does not call a change of {barring} compatible: if that changes its value, a failure after it ends stuck.")
    };
    format!("{target}: setting {all} from this run's environment. Secrets do not come back.{end}")
}

/// Returns why the release does not go back: a secret that has changed, and with which what served before may not work.
pub(super) async fn in_the_way(context: &Context, open: &Open, targets: &BTreeMap<Name, &AnyTarget>) -> Vec<Failure> {
    let barring = |changes: &Vec<SecretChange>| changes.iter().filter(|change| bars(change)).cloned().collect::<Vec<_>>();
    let asked = open.secrets.iter().map(|(name, changes)| (name, barring(changes))).filter(|(_, changes)| !changes.is_empty());
    let found = join_all(asked.map(async |(name, changes)| {
        let Some(target) = targets.get(name) else {
            return Some(Failure::said(
                Phase::RollBack,
                Some(name),
                "this run has no access to it, to see whether its secrets have changed",
            ));
        };
        match target.landed_secrets(&changes).await {
            Err(error) => Some(Failure::on(Phase::RollBack, name, &error)),
            Ok(landed) if landed.is_empty() => None,
            Ok(landed) => Some(no_return(context, name, target.thing(), &landed)),
        }
    }))
    .await;
    found.into_iter().flatten().collect()
}

fn no_return(context: &Context, name: &Name, thing: &str, landed: &[String]) -> Failure {
    let (all, environment) = (names(landed.iter().map(String::as_str)), &context.environment);
    let text = format!(
        "this release has changed the secret {all}, and the manifest does not call that compatible with what served before; nothing was taken back, and what serves stays as it is"
    );
    let values = landed.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(" ");
    let hints = vec![
        format!("put the value of before back (fly secrets set --stage -a {thing} {values}), then: cutover recover {environment}"),
        format!("where what served before works with the new value as well: cutover recover {environment} --keep-secrets"),
    ];
    Failure { hints, ..Failure::said(Phase::RollBack, Some(name), text) }
}

/// Looks at the secrets once what served before serves again: tells which stay changed, and returns what has landed late that bars the way.
pub(super) async fn left(context: &Context, open: &Open, targets: &BTreeMap<Name, &AnyTarget>) -> Vec<Failure> {
    if open.secrets.is_empty() {
        return Vec::new();
    }
    let late = in_the_way(context, open, targets).await;
    for (name, changes) in &open.secrets {
        let Some(target) = targets.get(name) else { continue };
        // That they stay was said when they were set; here only what is sure is told.
        let landed = target.landed_secrets(changes).await.unwrap_or_default();
        if !landed.is_empty() {
            let text = format!(
                "{name}: {} stay as this release has set them: a secret cannot be read, so nobody can put back what it was.",
                names(landed.iter().map(String::as_str))
            );
            context.events.notice(Level::Warning, "release::secrets-stay", text);
        }
    }
    late
}
