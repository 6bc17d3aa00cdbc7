//! `cutover rehearse DIR --drills`: the product's own release, broken at every point, and a table of how each case ended.

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;

use super::arguments::{Drilled, Rehearse};
use super::run::manifest;
use super::{Ended, Failure, Format, manifest_in, pretty, put, rehearse};
use crate::drill::blueprint::Blueprint;
use crate::drill::explore::campaign::explore;
use crate::drill::explore::tally::Tally;
use crate::drill::explore::{Stage, Summary};
use crate::drill::page::Page;
use crate::drill::schedule::{Beginning, Keeping, Schedule};
use crate::drill::shrink::shrink;
use crate::exit;

/// How many failing cases are made shorter: each costs many more.
const SHRUNK: usize = 5;

/// Drills the product in a folder.
pub(super) fn run(arguments: &Rehearse, format: Format, quiet: bool) -> Ended {
    let loaded = manifest(&manifest_in(&arguments.directory))?;
    let environment = rehearse::chosen_environment(&loaded.manifest, arguments.environment.as_ref())?;
    let blueprint = Blueprint::of(loaded.manifest.product.as_str(), &loaded, &environment);
    let blueprint = Arc::new(blueprint.map_err(|error| Failure::usage(error.to_string()))?);
    let beginning = if arguments.first { Beginning::First } else { Beginning::Earlier };
    let mut summaries = Vec::new();
    if let Some(line) = &arguments.drilled.schedule {
        let schedule: Schedule = line.parse().map_err(|error: crate::drill::schedule::ScheduleError| Failure::usage(error.to_string()))?;
        let stage = stage(&blueprint, schedule.beginning, schedule.keeping, arguments.drilled.seed)?;
        summaries.extend(stage.play_all(&[schedule]).map_err(unplayable)?);
    } else {
        let stages = [Keeping::File, Keeping::Ref].map(|keeping| stage(&blueprint, beginning, keeping, arguments.drilled.seed));
        let share = arguments.drilled.cases.div_ceil(stages.len());
        for stage in stages {
            summaries.extend(play(&stage?, share, &arguments.drilled, quiet)?);
        }
    }
    let mut tally = Tally::default();
    summaries.iter().cloned().for_each(|summary| tally.add(summary));
    let page = Page::of(&blueprint.called, &tally, &summaries);
    put(&match format {
        Format::Text => page.text(),
        Format::Json => pretty(&page),
        Format::Markdown => page.markdown(),
    })?;
    Ok(if page.failed == 0 { exit::DONE } else { exit::STUCK })
}

fn stage(blueprint: &Arc<Blueprint>, beginning: Beginning, keeping: Keeping, seed: u64) -> Result<Stage, Failure> {
    let set = Stage::set(blueprint.clone(), beginning, keeping, seed);
    set.map_err(|error| Failure { code: exit::STUCK, text: error.to_string(), hints: Vec::new() })
}

/// Plays a stage's share of the cases, and makes what fails as short as it gets.
fn play(stage: &Stage, share: usize, drilled: &Drilled, quiet: bool) -> Result<Vec<Summary>, Failure> {
    if !quiet && std::io::stderr().is_terminal() {
        let mut out = anstream::stderr();
        // Nowhere is left to say that standard error is gone.
        let _ = writeln!(out, "Playing {share} cases of `{}`...", stage.calm);
    }
    let mut summaries = Vec::new();
    explore(stage, share, drilled.seed, &mut |summary| summaries.push(summary)).map_err(unplayable)?;
    let failing = summaries.iter_mut().filter(|summary| summary.fired && !summary.findings.is_empty()).take(SHRUNK);
    for summary in failing {
        let least = shrink(stage, &summary.schedule).map_err(unplayable)?;
        *summary = stage.play(&least).map_err(unplayable)?;
    }
    Ok(summaries)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn unplayable(error: std::io::Error) -> Failure {
    Failure::preflight(format!("a drill cannot be played: {error}"))
}
