//! What a release would do, before it does anything: per target what serves, what shall serve, and in which order traffic changes.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;

use super::journal::{Shipped, TargetRecord};
use super::{Context, Failure};
use crate::event::{Monthly, Phase, TargetSummary};
use crate::graph::{Graph, GraphError};
use crate::id::Name;
use crate::manifest::Check;
use crate::platform::{AnyTarget, Artifact, Back, Capabilities, Health, Migration, NamedSecret, Observed, Revision, Target};

/// What a target is to ship.
#[derive(Debug, Clone)]
pub enum Shipment {
    /// An artifact made by this run.
    New(Artifact),
    /// What an earlier release shipped: its revision if the platform still has it, else its artifact once more.
    Earlier(Box<Shipped>),
}

/// A target that takes part in a release.
#[derive(Debug)]
pub struct Move {
    /// The target.
    pub target: AnyTarget,
    /// What it is to ship.
    pub shipment: Shipment,
    /// The targets that must serve before it.
    pub after: Vec<Name>,
    /// How it is judged.
    pub checks: Vec<Check>,
}

/// A target as planned.
#[derive(Debug)]
pub struct Planned {
    /// The target.
    pub target: AnyTarget,
    /// What it is to ship.
    pub shipment: Shipment,
    /// The targets that must serve before it, whether or not they are part of the release.
    pub needs: Vec<Name>,
    /// How it is judged.
    pub checks: Vec<Check>,
    /// What it serves.
    pub before: Observed,
    /// What this release makes it serve where it serves nothing and could not go back to that; it counts as what was before.
    pub placeholder: Option<Revision>,
    /// Whether it stays as it is.
    pub carried: bool,
    /// What it shall serve, as far as known: for a carried target what it serves.
    pub after: Option<Revision>,
}

/// The targets in the order of cutting over.
#[derive(Debug)]
pub struct Plan {
    /// Dependencies first; among equals, what comes back most easily first.
    pub targets: Vec<Planned>,
}

/// A plan as `cutover plan` prints it.
#[derive(Debug, Serialize)]
pub struct PlanRow {
    /// The target, as a release's beginning tells it.
    #[serde(flatten)]
    pub summary: TargetSummary,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Checks asked of the prepared revision.
    pub verified: Vec<String>,
    /// Checks that can only be asked once it serves, still before the commit.
    pub watched: Vec<String>,
    /// What runs once on the new artifact before it is prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// The secrets that the manifest names, and which of them a release sets from this environment.
    pub secrets: Vec<NamedSecret>,
    /// Facts about what serves.
    pub facts: BTreeMap<String, String>,
}

impl Plan {
    /// Observes every target and decides what moves; changes nothing.
    pub async fn make(context: &Context, moves: Vec<Move>) -> Result<Self, Failure> {
        let scope = context.scope(Phase::Observe, &context.shutdown);
        let after: BTreeMap<Name, Vec<Name>> = moves.iter().map(|each| (each.target.name().clone(), each.after.clone())).collect();
        let observed = join_all(moves.into_iter().map(async |each| {
            let name = each.target.name().clone();
            let before = each.target.observe(&scope).await.map_err(|error| Failure::on(Phase::Observe, &name, &error))?;
            decide(&scope, each, before).await.map_err(|error| Failure::on(Phase::Observe, &name, &error))
        }))
        .await;
        let mut targets = Vec::new();
        for planned in observed {
            targets.push(planned?);
        }
        let targets = order(targets, &after).map_err(|error| Failure::said(Phase::Preflight, None, error.to_string()))?;
        let lasting: Vec<_> =
            targets.iter().filter(|planned| !planned.carried && planned.target.capabilities().back == Back::NotAtAll).collect();
        if let [first, second, ..] = lasting.as_slice() {
            let text = format!("{} and {} both cannot come back, so they cannot be one release", first.target.name(), second.target.name());
            return Err(Failure::said(Phase::Preflight, None, text));
        }
        Ok(Self { targets })
    }

    /// Returns the targets that do not stay as they are.
    pub fn moving(&self) -> impl Iterator<Item = &Planned> {
        self.targets.iter().filter(|planned| !planned.carried)
    }

    /// Returns the targets as the beginning of a release tells them.
    pub fn summaries(&self) -> Vec<TargetSummary> {
        self.targets.iter().map(Planned::summary).collect()
    }

    /// Returns the plan as it is printed.
    pub fn rows(&self) -> Vec<PlanRow> {
        let names = |checks: Vec<&Check>| checks.into_iter().map(|check| check.name.clone()).collect();
        self.targets
            .iter()
            .map(|planned| {
                let (verified, watched) = super::split_checks(&planned.target, &planned.checks);
                PlanRow {
                    summary: planned.summary(),
                    capabilities: planned.target.capabilities(),
                    verified: names(verified),
                    watched: names(watched),
                    migration: planned.migration().map(|(migration, _)| migration),
                    secrets: planned.target.secrets(),
                    facts: planned.before.facts.clone(),
                }
            })
            .collect()
    }
}

impl Planned {
    /// Returns the journal's record of the target as the release begins.
    pub fn record(&self) -> TargetRecord {
        TargetRecord {
            name: self.target.name().clone(),
            platform: self.target.platform(),
            thing: self.target.thing().to_owned(),
            before: self.before.clone(),
            artifact: self.artifact(),
            before_artifact: self.before.single().and_then(|revision| self.target.artifact_of(revision)),
            capabilities: self.target.capabilities(),
            settings: self.before.settings.clone(),
            reach: self.target.reach(),
            needs: Some(self.needs.clone()),
            checks: self.checks.clone(),
            after: if self.carried { self.after.clone() } else { None },
            carried: self.carried,
        }
    }

    fn artifact(&self) -> Option<Artifact> {
        match &self.shipment {
            Shipment::New(artifact) => Some(artifact.clone()),
            Shipment::Earlier(shipped) => shipped.artifact.clone(),
        }
    }

    fn summary(&self) -> TargetSummary {
        let label = |revision: &Revision| revision.label.clone();
        let figure = |fact: &str| self.before.facts.get(fact)?.parse::<f64>().ok();
        let after = match (&self.after, &self.shipment) {
            (Some(after), _) => Some(label(after)),
            (None, Shipment::New(artifact)) => Some(short(artifact)),
            (None, Shipment::Earlier(shipped)) => Some(label(&shipped.revision)),
        };
        TargetSummary {
            name: self.target.name().clone(),
            platform: self.target.platform(),
            thing: self.target.thing().to_owned(),
            url: self.target.public_url(),
            before: self.before.serving.iter().max_by(|a, b| a.percent.total_cmp(&b.percent)).map(|weighted| label(&weighted.revision)),
            after,
            carried: self.carried,
            cost: self.before.facts.get("cost").cloned(),
            monthly: figure("monthly_usd").map(|usd| Monthly {
                usd,
                before: figure("monthly_usd_before"),
                prices_as_of: self.before.facts.get("prices_as_of").cloned().unwrap_or_default(),
            }),
        }
    }
}

/// Returns an artifact in a few words.
fn short(artifact: &Artifact) -> String {
    let hex = |digest: &str| digest.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    match artifact {
        // A plan is made before anything is built.
        Artifact::Image { digest, .. } | Artifact::Directory { digest, .. } if !digest.starts_with("sha256:") => digest.clone(),
        Artifact::Image { digest, stand_in: false, .. } => format!("image {}", hex(digest)),
        Artifact::Image { digest, stand_in: true, .. } => format!("stand-in image {}", hex(digest)),
        Artifact::Directory { digest, .. } => format!("files {}", hex(digest)),
        Artifact::Commit { sha, .. } => format!("commit {}", hex(sha)),
    }
}

/// Decides whether a target moves: not if what it would serve is, by content, what it serves.
async fn decide(scope: &crate::platform::Scope, each: Move, before: Observed) -> Result<Planned, crate::platform::PlatformError> {
    let Move { target, shipment, checks, after: needs } = each;
    let (carried, after) = match &shipment {
        Shipment::New(artifact) => {
            let digest = target.digest_of(artifact, &before).await?;
            let same = before.single().filter(|serving| serving.digest == digest).cloned();
            (same.is_some(), same)
        }
        Shipment::Earlier(shipped) => {
            let serves = before.single().is_some_and(|serving| serving.same_content(&shipped.revision));
            let there = serves || matches!(target.probe(scope, &shipped.revision).await, Ok(Health::Healthy));
            (serves, there.then(|| shipped.revision.clone()))
        }
    };
    Ok(Planned { target, shipment, needs, checks, before, placeholder: None, carried, after })
}

/// Puts targets into the order of cutting over.
fn order(mut targets: Vec<Planned>, after: &BTreeMap<Name, Vec<Name>>) -> Result<Vec<Planned>, GraphError<Name>> {
    // A stable sort by ease of coming back first, so that the graph's order, which keeps the given order among equals, has it.
    targets.sort_by_key(|planned| planned.target.capabilities().back);
    let present = |name: &Name| targets.iter().any(|planned| planned.target.name() == name);
    let needs = |name: &Name| after.get(name).into_iter().flatten().filter(|needed| present(needed)).cloned().collect();
    let things = targets.iter().map(|planned| (planned.target.name().clone(), needs(planned.target.name())));
    let graph = Graph::new(things.collect::<Vec<_>>())?;
    let order: Vec<Name> = graph.order().into_iter().cloned().collect();
    targets.sort_by_key(|planned| order.iter().position(|name| name == planned.target.name()));
    Ok(targets)
}
