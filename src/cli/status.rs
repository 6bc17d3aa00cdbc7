//! `cutover status`: what an environment serves by its platforms' word, and what its journal says; reads only.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::run::{Base, ready};
use super::{Ended, Failure, Format, ask, hold, journal, pretty, put, show, targets};
use crate::event::Phase;
use crate::id::Name;
use crate::platform::Target;
use crate::release::journal::Hold;
use crate::report::plain;

#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    environment: Name,
    /// Where the journal is.
    journal: String,
    /// Why another journal may be the one that counts.
    caveat: Option<String>,
    /// The newest finished release that the journal knows.
    release: Option<Known>,
    /// The release that is not closed.
    unfinished: Option<Unfinished>,
    /// The hold, while there is one.
    hold: Option<Hold>,
    targets: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Known {
    release: String,
    commit: String,
    at: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Unfinished {
    release: String,
    stage: String,
    /// Who holds the lock.
    owner: String,
    /// Where to look for it; may be empty.
    url: String,
    /// Until when it counts as at work where nobody can say.
    until: String,
    /// Why the release is made.
    reason: String,
    cause: Option<String>,
    stuck: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    name: Name,
    platform: &'static str,
    thing: String,
    url: Option<String>,
    serves: Vec<String>,
    /// Whether that is what the journal's newest release left; `None` without one.
    as_recorded: Option<bool>,
    /// Why it could not be asked.
    error: Option<String>,
    facts: BTreeMap<String, String>,
}

/// Prints the status of an environment.
pub(super) async fn run(base: Base, environment: Name) -> Ended {
    let ready = ready(&base).await?;
    let stage = &ready.stage;
    ask::known(&stage.manifest, &environment).map_err(|misfit| Failure::usage(misfit.to_string()))?;
    let (journal, caveat) = journal::read(stage, &stage.manifest.product, &environment).await?;
    let state = journal.state();
    let all = targets::of(stage, &environment, &[])
        .map_err(|fault| Failure { hints: fault.hints.clone(), ..Failure::preflight(fault.to_string()) })?;
    let context = stage.context(&environment, "a look".to_owned());
    let scope = context.scope(Phase::Observe, &context.shutdown);
    let mut rows = Vec::new();
    for target in &all {
        let recorded = state.serving().and_then(|closed| closed.targets.get(target.name()));
        let mut row = Row {
            name: target.name().clone(),
            platform: target.platform().as_str(),
            thing: target.thing().to_owned(),
            url: target.public_url(),
            serves: Vec::new(),
            as_recorded: None,
            error: None,
            facts: BTreeMap::new(),
        };
        match target.observe(&scope).await {
            Ok(observed) => {
                row.as_recorded = recorded.map(|shipped| observed.single().is_some_and(|serving| serving.same_content(&shipped.revision)));
                row.serves = observed.serving.iter().map(|weighted| weighted.revision.label.clone()).collect();
                row.facts = observed.facts;
            }
            Err(error) => row.error = Some(error.to_string()),
        }
        rows.push(row);
    }
    let unreadable = rows.iter().any(|row| row.error.is_some());
    let document = Document {
        version: 1,
        environment,
        journal: journal.place(),
        caveat,
        release: state.serving().map(|closed| Known {
            release: closed.release.to_string(),
            commit: closed.commit.clone(),
            at: closed.at.to_string(),
            reason: closed.reason.clone(),
        }),
        unfinished: state.open.as_ref().map(|open| Unfinished {
            release: open.begun.release.to_string(),
            stage: format!("{:?}", open.stage).to_lowercase(),
            owner: open.owner.id.clone(),
            url: open.owner.url.clone(),
            until: open.until.to_string(),
            reason: open.begun.reason.clone(),
            cause: open.cause.clone(),
            stuck: open.stuck,
        }),
        hold: state.hold.clone(),
        targets: rows,
    };
    match base.format {
        Format::Json => put(&pretty(&document))?,
        Format::Text | Format::Markdown => show(stage, &text(&document))?,
    };
    Ok(if unreadable { crate::exit::PREFLIGHT_FAILED } else { crate::exit::DONE })
}

fn text(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match &document.release {
        Some(known) => writeln!(
            out,
            "{} serves {} (commit {}, since {})",
            document.environment,
            known.release,
            super::conduct::short(&known.commit),
            known.at
        ),
        None => writeln!(out, "{}: its journal knows no finished release ({})", document.environment, document.journal),
    };
    if let Some(caveat) = &document.caveat {
        let _ = writeln!(out, "careful: {caveat}");
    }
    if let Some(held) = &document.hold {
        let _ = writeln!(out, "held: {} (by {}, since {})", plain(&held.reason), held.by.id, hold::when(held));
        let _ = writeln!(out, "  no release begins until `cutover hold {} --off`", document.environment);
    }
    if let Some(open) = &document.unfinished {
        let stuck = if open.stuck { ", stuck" } else { "" };
        let _ = writeln!(out, "unfinished: {} ({}{stuck}), {}", open.release, open.stage, plain(&open.reason));
        let _ = writeln!(out, "  by {} {}", open.owner, open.url);
        let _ = writeln!(out, "  which counts as at work until {}, where nobody can say more", open.until);
        let _ = writeln!(out, "  `cutover recover {}` brings it to its end", document.environment);
    }
    for row in &document.targets {
        let serves = if row.serves.is_empty() { "nothing".to_owned() } else { row.serves.join(" and ") };
        let _ = writeln!(out, "\n  {}  ({} on {})", row.name, row.thing, row.platform);
        let _ = match &row.error {
            Some(error) => writeln!(out, "    could not be asked: {error}"),
            None => writeln!(out, "    serves     {serves}"),
        };
        if row.as_recorded == Some(false) {
            let _ = writeln!(out, "    differs    from what the journal's newest release left");
        }
        if let Some(url) = &row.url {
            let _ = writeln!(out, "    address    {url}");
        }
        for (fact, value) in &row.facts {
            let _ = writeln!(out, "    {fact:<10} {value}");
        }
    }
    out
}
