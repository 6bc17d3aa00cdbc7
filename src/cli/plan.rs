//! `cutover plan`: what would run and what would change, with nothing written anywhere.

use std::fmt::Write as _;

use serde::Serialize;

use super::run::{Base, ready};
use super::{Ended, Failure, Format, ask, build, pretty, put, targets};
use crate::id::Name;
use crate::manifest::Target as Named;
use crate::platform::{AskedFrom, Back, Migration, NamedSecret, Preparation, Target};
use crate::release::plan::{PlanRow, Shipment};
use crate::release::{Move, Plan};

/// The plan as JSON.
#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    product: Name,
    environment: Name,
    commit: String,
    /// Gates in an order in which they could run.
    gates: Vec<Name>,
    images: Vec<Name>,
    /// Targets in the order of cutting over.
    targets: Vec<PlanRow>,
    /// What would stop the release.
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    target: Name,
    fatal: bool,
    code: &'static str,
    text: String,
    hint: Option<String>,
}

/// Prints the plan of an environment.
pub(super) async fn run(base: Base, environment: Option<Name>) -> Ended {
    let ready = ready(&base).await?;
    let stage = &ready.stage;
    let own = stage.trigger.branch().and_then(|branch| stage.manifest.environment_of_branch(branch)).cloned();
    let environment =
        environment.or(own).ok_or_else(|| Failure::usage("which environment? The branch belongs to none").hint("cutover plan ENV"))?;
    ask::known(&stage.manifest, &environment).map_err(|misfit| Failure::usage(misfit.to_string()))?;
    let context = stage.context(&environment, "a plan".to_owned());
    let all = targets::of(stage, &environment, &[])
        .map_err(|fault| Failure { hints: fault.hints.clone(), ..Failure::preflight(fault.to_string()) })?;
    let scope = context.scope(crate::event::Phase::Preflight, &context.shutdown);
    let mut problems = Vec::new();
    let mut moves = Vec::new();
    for target in all {
        match super::preflight::problems(&context, &scope, &target).await {
            Ok(found) => problems.extend(found.into_iter().map(|problem| Problem {
                target: target.name().clone(),
                fatal: problem.fatal,
                code: problem.code,
                text: problem.text,
                hint: problem.hint,
            })),
            Err(error) => return Err(Failure { hints: error.hints.clone(), ..Failure::preflight(format!("{}: {error}", target.name())) }),
        }
        let view = stage.manifest.in_environment(&environment);
        let named: Option<&Named> = view.as_ref().and_then(|view| view.targets.get(target.name()));
        let (after, checks) = named.map(|named| (named.after.clone(), named.verify.clone())).unwrap_or_default();
        let artifact = build::foreseen(stage, &environment, &target);
        moves.push(Move { target, shipment: Shipment::New(artifact), after, checks });
    }
    let plan = Plan::make(&context, moves)
        .await
        .map_err(|failure| Failure { hints: failure.hints.clone(), ..Failure::preflight(failure.to_string()) })?;
    let fatal = problems.iter().any(|problem| problem.fatal);
    let document = Document {
        version: 1,
        product: stage.manifest.product.clone(),
        environment,
        commit: context.commit.clone(),
        gates: stage.manifest.gates.keys().cloned().collect(),
        images: stage.manifest.shipped_images().into_iter().cloned().collect(),
        targets: plan.rows(),
        problems,
    };
    match base.format {
        Format::Json => put(&pretty(&document))?,
        Format::Text | Format::Markdown => put(&text(&document))?,
    };
    Ok(if fatal { crate::exit::PREFLIGHT_FAILED } else { crate::exit::DONE })
}

/// Says what runs before a target is prepared, and whether it leaves a way back.
fn migration_words(migration: &Migration) -> String {
    let snapshot = migration.database.as_ref().map_or_else(|| "without a snapshot".to_owned(), |of| format!("after a snapshot of {of}"));
    let back = if migration.breaking {
        "breaking: once it has run there is no way back, and a later failure needs a person"
    } else {
        "compatible with the code that serves, so that a failure still goes back to it"
    };
    format!("`{}` once on the new image, {snapshot}; {back}", migration.command)
}

/// Returns what a release does with secrets, in sentences.
fn secrets(all: &[NamedSecret]) -> Vec<String> {
    let named = |wanted: fn(&&NamedSecret) -> bool| all.iter().filter(wanted).map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    let (held, barring) = (named(|it| it.held), named(|it| it.held && !it.compatible));
    let mut lines = Vec::new();
    if !held.is_empty() {
        lines.push(format!("{held}: set from this environment where they differ; what has changed does not come back"));
    }
    if !barring.is_empty() {
        lines.push(format!("{barring}: not called compatible, so once the value has changed a failure does not go back and ends stuck"));
    }
    lines
}

fn text(document: &Document) -> String {
    let mut out = String::new();
    let names =
        |names: &[Name]| if names.is_empty() { "none".to_owned() } else { names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ") };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{} → {} at {}", document.product, document.environment, super::conduct::short(&document.commit));
    let _ =
        writeln!(out, "\ngates   {}\nimages  {}\n\nTargets in the order of cutting over:", names(&document.gates), names(&document.images));
    for row in &document.targets {
        let summary = &row.summary;
        let _ = writeln!(out, "\n  {}  ({} on {})", summary.name, summary.thing, summary.platform);
        let before = summary.before.as_deref().unwrap_or("nothing");
        let after = if summary.carried {
            "stays as it is".to_owned()
        } else {
            format!("→ {}", summary.after.as_deref().unwrap_or("what is built"))
        };
        let _ = writeln!(out, "    serves     {before} {after}");
        let capabilities = &row.capabilities;
        let prepared = match capabilities.prepare {
            Preparation::Fully => "prepared out of users' sight",
            Preparation::Tried => "tried by one machine out of users' sight, the rest running only when it serves",
            Preparation::UploadedOnly => "uploaded before, running only when it serves",
            Preparation::NotAtAll => "not preparable",
        };
        let asked = match capabilities.asked_from {
            AskedFrom::Public => "asked at its own address",
            AskedFrom::PlatformChecks => "asked by the platform's checks",
            AskedFrom::Nowhere => "not asked before it serves",
        };
        let back = match capabilities.back {
            Back::Instantly => "comes back instantly",
            Back::ByRedeploy => "comes back by a new deployment",
            Back::NotAtAll => "does not come back",
        };
        let _ = writeln!(out, "    can be     {prepared}; {asked}; {back}");
        if let Some(gap) = &capabilities.gap {
            let _ = writeln!(out, "    gap        {gap}");
        }
        for setting in &capabilities.side_effects {
            let _ = writeln!(out, "    restores   {setting}, which the platform changes by itself");
        }
        if let Some(migration) = &row.migration {
            let _ = writeln!(out, "    migrates   {}", migration_words(migration));
        }
        if !row.verified.is_empty() {
            let _ = writeln!(out, "    verify     {}", row.verified.join(", "));
        }
        if !row.watched.is_empty() {
            let _ = writeln!(out, "    in watch   {}", row.watched.join(", "));
        }
        for line in secrets(&row.secrets) {
            let _ = writeln!(out, "    secrets    {line}");
        }
        for (fact, value) in &row.facts {
            let _ = writeln!(out, "    {fact:<10} {value}");
        }
    }
    for problem in &document.problems {
        let word = if problem.fatal { "stops the release" } else { "worth knowing" };
        let _ = writeln!(out, "\n{word}: {}: {} [{}]", problem.target, problem.text, problem.code);
        if let Some(hint) = &problem.hint {
            let _ = writeln!(out, "  try: {hint}");
        }
    }
    let _ = writeln!(out, "\nNothing was written.");
    out
}
